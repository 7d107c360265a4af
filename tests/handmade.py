"""A model written by hand: three leaky neurons, mem' = beta*mem + weight*x, spk = mem' > 1.

It follows the C interface of generated models, so that the runtime and the build are tested without the
compiler. Loss: half the squared distance of the mean membrane from a one-hot target, mean over the batch.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np

from snncc import build
from snncc_runtime.safetensors import to_bytes

N = 3
BETA = 0.5
WEIGHT = (1.0, 0.5, 2.0)

TYPES = """
typedef struct { int32_t steps, tile, slots, threads, training; } tiny_config;
typedef struct {
    const REAL *x, *mem_in, *d_spk, *d_mem; const int64_t *y;
    REAL *spk, *mem, *mem_out, *d_x, *d_mem_in, *sum_spk, *sum_mem; double *loss;
} tiny_io;
typedef struct {
    tiny_config config; REAL *weight, *gradient, *momentum, beta; int64_t count;
} tiny_model;
typedef struct {
    int32_t version, real_bytes, config_bytes, io_bytes, model_bytes; char digest[65];
} tiny_abi_record;
"""

FUNCTIONS = """
size_t tiny_arena_bytes(const tiny_config *);
int32_t tiny_init(tiny_model *, const tiny_config *, void *arena, size_t bytes);
int32_t tiny_set(tiny_model *, int32_t tensor, const void *values);
int32_t tiny_get(const tiny_model *, int32_t tensor, void *values);
int32_t tiny_forward(tiny_model *, const tiny_io *, int32_t steps, int32_t batch);
int32_t tiny_step(tiny_model *, const tiny_io *, int32_t batch);
int32_t tiny_backward(tiny_model *, const tiny_io *, int32_t steps, int32_t batch);
int32_t tiny_train(tiny_model *, const tiny_io *, int32_t steps, int32_t batch);
int32_t tiny_evaluate(tiny_model *, const tiny_io *, int32_t steps, int32_t batch);
int32_t tiny_update(tiny_model *, double learning_rate);
const char *tiny_error(int32_t code);
void tiny_abi(tiny_abi_record *);
"""

CODE = """
#include <stdint.h>
#include <string.h>
#include "model.h"
enum { N = 3 };

size_t tiny_arena_bytes(const tiny_config *c)
{
    return c->steps < 1 || c->tile < 1 || c->slots < 1 || c->threads < 1 ? 0 : 64 * (c->training ? 3 : 1);
}

int32_t tiny_init(tiny_model *m, const tiny_config *c, void *arena, size_t bytes)
{
    char *base = arena;
    if (bytes < tiny_arena_bytes(c) || (uintptr_t)arena % 64) return 3;
    memset(m, 0, sizeof *m);
    memset(arena, 0, tiny_arena_bytes(c));
    m->config = *c;
    m->weight = (REAL *)base;
    m->gradient = c->training ? (REAL *)(base + 64) : NULL;
    m->momentum = c->training ? (REAL *)(base + 128) : NULL;
    return 0;
}

static void *place(const tiny_model *m, int32_t tensor, size_t *bytes)
{
    void *places[] = {m->weight, m->gradient, m->momentum, (void *)&m->count, (void *)&m->beta};
    const size_t row = N * sizeof(REAL), sizes[] = {row, row, row, sizeof m->count, sizeof m->beta};
    if (tensor < 0 || tensor > 4) return NULL;
    *bytes = sizes[tensor];
    return places[tensor];
}

int32_t tiny_set(tiny_model *m, int32_t tensor, const void *values)
{
    size_t bytes = 0;
    void *to = place(m, tensor, &bytes);
    if (to) memcpy(to, values, bytes);
    return to ? 0 : tensor < 0 || tensor > 4 ? 4 : 6;
}

int32_t tiny_get(const tiny_model *m, int32_t tensor, void *values)
{
    size_t bytes = 0;
    const void *from = place(m, tensor, &bytes);
    if (from) memcpy(values, from, bytes);
    return from ? 0 : tensor < 0 || tensor > 4 ? 4 : 6;
}

static const REAL *input(const tiny_io *io, int32_t t, int32_t batch, int32_t b)
{
    return io->x + ((STATIC ? 0 : t) * batch + b) * N;
}

static int32_t check(const tiny_model *m, const tiny_io *io, int32_t steps, int32_t batch)
{
    if (!io->x) return 1;
    if (steps < 1 || batch < 1 || steps > m->config.steps) return 2;
    for (int32_t i = 0; i < (STATIC ? 1 : steps) * batch * N; i++) if (io->x[i] - io->x[i] != 0) return 7;
    for (int32_t i = 0; io->mem_in && i < batch * N; i++) if (io->mem_in[i] - io->mem_in[i] != 0) return 7;
    for (int32_t b = 0; io->y && b < batch; b++) if (io->y[b] < 0 || io->y[b] >= N) return 5;
    return 0;
}

int32_t tiny_forward(tiny_model *m, const tiny_io *io, int32_t steps, int32_t batch)
{
    const int32_t status = check(m, io, steps, batch);
    if (status) return status;
    for (int32_t b = 0; b < batch; b++)
        for (int32_t i = 0; i < N; i++) {
            REAL mem = io->mem_in ? io->mem_in[b * N + i] : 0, sum = 0, spikes = 0;
            for (int32_t t = 0; t < steps; t++) {
                mem = m->beta * mem + m->weight[i] * input(io, t, batch, b)[i];
                sum += mem;
                spikes += mem > 1;
                if (io->mem) io->mem[(t * batch + b) * N + i] = mem;
                if (io->spk) io->spk[(t * batch + b) * N + i] = mem > 1;
            }
            if (io->mem_out) io->mem_out[b * N + i] = mem;
            if (io->sum_mem) io->sum_mem[b * N + i] = sum;
            if (io->sum_spk) io->sum_spk[b * N + i] = spikes;
        }
    return 0;
}

int32_t tiny_step(tiny_model *m, const tiny_io *io, int32_t batch)
{
    return tiny_forward(m, io, 1, batch);
}

int32_t tiny_backward(tiny_model *m, const tiny_io *io, int32_t steps, int32_t batch)
{
    const int32_t status = check(m, io, steps, batch);
    if (status || !m->gradient) return status ? status : 6;
    memset(m->gradient, 0, N * sizeof(REAL));
    for (int32_t b = 0; b < batch; b++)
        for (int32_t i = 0; i < N; i++) {
            REAL d = 0, d_static = 0;
            for (int32_t t = steps - 1; t >= 0; t--) {
                d = m->beta * d + (io->d_mem ? io->d_mem[(t * batch + b) * N + i] : 0);
                d_static += m->weight[i] * d;
                REAL *d_x = io->d_x ? io->d_x + ((STATIC ? 0 : t) * batch + b) * N : NULL;
                if (d_x) d_x[i] = STATIC ? d_static : m->weight[i] * d;
                m->gradient[i] += d * input(io, t, batch, b)[i];
            }
            if (io->d_mem_in) io->d_mem_in[b * N + i] = m->beta * d;
        }
    return 0;
}

int32_t tiny_evaluate(tiny_model *m, const tiny_io *io, int32_t steps, int32_t batch)
{
    const int32_t status = !io->y ? 1 : tiny_forward(m, io, steps, batch);
    if (status) return status;
    double loss = 0;
    for (int32_t b = 0; b < batch; b++)
        for (int32_t i = 0; i < N; i++) {
            const REAL d = io->sum_mem[b * N + i] / steps - (io->y[b] == i);
            loss += 0.5 * (double)(d * d);
        }
    if (io->loss) *io->loss = loss / batch;
    return 0;
}

int32_t tiny_train(tiny_model *m, const tiny_io *io, int32_t steps, int32_t batch)
{
    double loss = 0;
    int32_t status = !io->y ? 1 : check(m, io, steps, batch);
    if (status || !m->gradient) return status ? status : 6;
    memset(m->gradient, 0, N * sizeof(REAL));
    for (int32_t b = 0; b < batch; b++)
        for (int32_t i = 0; i < N; i++) {
            REAL mem = 0, sum = 0, d = 0;
            for (int32_t t = 0; t < steps; t++)
                sum += mem = m->beta * mem + m->weight[i] * input(io, t, batch, b)[i];
            const REAL d_sum = sum / steps - (io->y[b] == i);
            loss += 0.5 * (double)(d_sum * d_sum) / batch;
            for (int32_t t = steps - 1; t >= 0; t--) {
                d = m->beta * d + d_sum / steps / batch;
                m->gradient[i] += d * input(io, t, batch, b)[i];
            }
        }
    if (io->loss) *io->loss = loss;
    return 0;
}

int32_t tiny_update(tiny_model *m, double learning_rate)
{
    if (!m->gradient) return 6;
    for (int32_t i = 0; i < N; i++) {
        m->momentum[i] = (REAL)0.5 * m->momentum[i] + m->gradient[i];
        m->weight[i] -= (REAL)learning_rate * m->momentum[i];
    }
    m->count++;
    return 0;
}

const char *tiny_error(int32_t code) { return code == 2 ? "steps or batch do not fit" : "something else"; }

void tiny_abi(tiny_abi_record *r)
{
    r->version = 1;
    r->real_bytes = sizeof(REAL);
    r->config_bytes = sizeof(tiny_config);
    r->io_bytes = sizeof(tiny_io);
    r->model_bytes = sizeof(tiny_model);
    strcpy(r->digest, "DIGEST");
}
"""


def declarations(real: str = "float") -> str:
    return (TYPES + FUNCTIONS).replace("REAL", real)


def sources(real: str = "float", static: bool = False) -> dict[str, str]:
    """model.h and model.c; `static`: x is [B, 3], the same at every step."""
    digest = hashlib.sha256(declarations(real).encode()).hexdigest()
    header = f"#include <stddef.h>\n#include <stdint.h>\n{declarations(real)}"
    code = CODE.replace("REAL", real).replace("STATIC", str(int(static))).replace("DIGEST", digest)
    return {"model.h": header, "model.c": code}


def manifest(record: dict[str, Any], real: str = "float", static: bool = False) -> dict[str, Any]:
    dtype = {"float": "float32", "double": "float64"}[real]

    def port(name: str, field: str, role: str, entries: str, time: bool = False) -> dict[str, Any]:
        kind = {"y": "int64", "loss": "float64"}.get(name, dtype)
        shape = [] if name in ("y", "loss") else [N]
        return {
            "name": name, "field": field, "role": role, "shape": shape, "time": time,
            "batch": name != "loss", "dtype": kind, "entries": entries.split(), "below": N * (name == "y"),
        }  # fmt: skip

    def tensor(index: int, name: str, role: str, shape: list[int], kind: str = dtype) -> dict[str, Any]:
        learnable = name.endswith("weight")
        return {
            "name": name, "role": role, "shape": shape, "dtype": kind, "learnable": learnable, "index": index
        }  # fmt: skip

    return {
        "schema": 1, "snncc": "0.1.0", "name": "tiny", "prefix": "tiny", "target": "c", "dtype": dtype,
        "num_steps": 4, "loss": "mse(mem)", "learns": "", "optimizer": {"name": "SGD", "learning_rate": 0.1},
        "entries": ["forward", "step", "backward", "train", "evaluate", "update"],
        "io": [
            port("x", "x", "input", "forward step backward train evaluate", time=not static),
            port("leaky.mem", "mem_in", "state", "forward step backward"),
            port("y", "y", "target", "train evaluate"),
            port("spk", "spk", "output", "forward step", time=True),
            port("mem", "mem", "output", "forward step", time=True),
            port("leaky.mem", "mem_out", "state_out", "forward step"),
            port("spk", "d_spk", "cotangent", "backward", time=True),
            port("mem", "d_mem", "cotangent", "backward", time=True),
            port("x", "d_x", "d_input", "backward", time=not static),
            port("leaky.mem", "d_mem_in", "d_state", "backward"),
            port("loss", "loss", "loss", "train evaluate"),
            port("spk", "sum_spk", "sum", "evaluate"),
            port("mem", "sum_mem", "sum", "evaluate"),
        ],
        "tensors": [
            tensor(0, "leaky.weight", "parameter", [N]),
            tensor(4, "leaky.beta", "parameter", []),
            tensor(1, "leaky.weight", "gradient", [N]),
            tensor(2, "leaky.weight.momentum", "optimizer", [N]),
            tensor(3, "count", "optimizer", [], "int64"),
        ],
        "memory": {"tile": 2},
        "build": record,
    }  # fmt: skip


def weights(real: str = "float") -> dict[str, np.ndarray]:
    dtype = np.float32 if real == "float" else np.float64
    return {"leaky.weight": np.array(WEIGHT, dtype), "leaky.beta": np.array(BETA, dtype)}


def write(folder: Path, real: str = "float", static: bool = False, **changes: Any) -> Path:
    """Builds the model into `folder`; `changes` replace entries of the manifest."""
    built = build.build(sources(real, static), name="tiny", declarations=declarations(real))
    files = {**built.files, "weights.safetensors": to_bytes(weights(real))}
    build.write_folder(folder, files, {**manifest(built.record(), real, static), **changes})
    return folder


def membranes(x: np.ndarray, weight: Any = WEIGHT, beta: float = BETA, start: Any = 0.0) -> np.ndarray:
    """What the model should compute, in NumPy: x is [T, B, 3]."""
    mem, rows = np.zeros(x.shape[1:]) + start, []
    for current in x:
        mem = beta * mem + np.array(weight) * current
        rows.append(mem)
    return np.array(rows)
