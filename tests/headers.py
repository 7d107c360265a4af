"""The C headers as a library of one-line wrappers, called with NumPy arrays, for tests of headers."""

from __future__ import annotations

import fcntl
import os
import re
import subprocess
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import cffi
import numpy as np
import pytest

INCLUDE = Path(__file__).parents[1] / "runtime" / "snncc_runtime" / "include"
WARNINGS = ["-std=c11", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-Wno-unused-function"]
ARITHMETIC = ["-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math"]
VARIANTS = {
    "fast": ["-O3", "-march=native", "-mprefer-vector-width=512"],
    "plain": ["-O0", "-march=native"],
    "portable": ["-O1", "-DSNNCC_PORTABLE"],
    "wide": ["-O1", "-march=native", "-DSNNCC_INDEX_BITS=32"],
}

# What is tested, as declared in the headers without the prefix snncc_; the driver exports each as c_<name>.
TYPES = """
typedef struct { int32_t *offsets; place *index; real *value; int form; } snncc_events;
typedef struct { int32_t arrived, turn, asleep, status, unused[12]; } snncc_team;
typedef struct { snncc_team *team; int part, parts, fresh; void *profile; } snncc_crew;
"""
DECLARATIONS = """
const char *error_text(int32_t code);
int stride(int n);
void pack(const real *spikes, int width, uint64_t *word);
void unpack(const uint64_t *bits, int n, real *x);
size_t events_bytes(size_t rows, size_t n, int form);
snncc_events events_at(void *base, int rows, int n, int form);
int is_dense(snncc_events events, int rows, int n, double crossover);
int32_t events_count(snncc_events events, int rows);
int gradient_is_dense(int vectors, snncc_events x, int rows, int n_in);
int32_t events_from_bits(snncc_events events, int rows, int n, const uint64_t *bits, const snncc_crew *crew);
int32_t events_from_rows(snncc_events events, int rows, int n, int stride, const real *x,
                         const snncc_crew *crew);
void product_dense(int rows, int n_in, int x_stride, int n_out_stride, const real *x, const real *w,
                   const real *bias, real *y);
void product_events(snncc_events x, int rows, int n_in, int n_out_stride, const real *w, const real *bias,
                    real *y);
void product(snncc_events e, int rows, int n_in, int x_stride, int n_out_stride, const real *x, const real *w,
             const real *bias, real *y);
size_t transposed_bytes(size_t rows, size_t n, int form);
void transpose_events(snncc_events x, int rows, int n_in, void *transposed, const snncc_crew *crew);
void weight_gradient(snncc_events x, int rows, int n_in, int d_stride, const real *d_y, void *scratch,
                     real *d_w);
int32_t load(int steps, int rows, int batch, int first, int n, int stride, const real *user, real *tile,
             const snncc_crew *crew);
void store(int steps, int rows, int batch, int first, int n, int stride, const real *tile, real *user,
           const snncc_crew *crew);
int32_t load_labels(int rows, int first, int classes, const int64_t *user, int32_t *tile);
void softmax(int rows, int size, int n, int x_pitch, int y_pitch, const real *x, real *y,
             const snncc_crew *crew);
void log_softmax(int rows, int size, int n, int x_pitch, int y_pitch, const real *x, real *y,
                 const snncc_crew *crew);
void sum_features(int rows, int n, int stride, const real *x, real *y, const snncc_crew *crew);
void sum_groups(int rows, int n, int x_stride, int groups, int inner, int y_stride, const real *x, real *y,
                const snncc_crew *crew);
void max_last(int rows, int size, int n, int x_pitch, int y_pitch, const real *x, real *y,
              const snncc_crew *crew);
void first_maximum(int rows, int size, int n, int x_pitch, int y_pitch, const real *x, real *y,
                   const snncc_crew *crew);
void one_hot(int rows, int n, int stride, const int32_t *labels, real *y, const snncc_crew *crew);
void mix_steps(int transposed, int steps, size_t columns, const real *w, const real *x, real *y,
               const snncc_crew *crew);
void steps_gradient(int steps, int rows, int n, int stride, const real *d_y, const real *x, real *d_w,
                    const snncc_crew *crew);
void at_step(int steps, int rows, int n, int stride, const real *p, real *y);
void sum_at_step(int steps, int rows, int n, int stride, const real *x, real *p);
void panels_from_matrix(int n_out, int n_in, int channels, const real *matrix, real *panels);
void matrix_from_panels(int n_out, int n_in, int channels, const real *panels, real *matrix);
void transpose_weights(int n_out, int n_in, const real *panels, real *transposed);
void vector_from_array(int n, int stride, int channels, const real *array, real *vector);
void array_from_vector(int n, int channels, const real *vector, real *array);
void clear(real *sums, size_t count, const snncc_crew *crew);
void add_slots(size_t count, int slots, size_t slot_stride, real *sums, const snncc_crew *crew);
"""
# Kernels of one panel, exported with each number of vectors as a constant, as generated code calls them.
PANELS = """
void dense_panel(int vectors, int rows, int n_in, int x_stride, int y_stride, const real *x, const real *w,
                 const real *bias, real *y);
void event_panel(int vectors, int valued, snncc_events x, int rows, int y_stride, const real *w,
                 const real *bias, real *y);
void event_blocks(int vectors, int valued, snncc_events x, int rows, int n_in, int y_stride, const real *w,
                  const real *bias, real *y);
void counted_panel(int vectors, snncc_events events, int rows, int n_in, int x_stride, int y_stride,
                   const real *x, const real *w, const real *bias, real *y);
void gradient_panel(int vectors, int valued, snncc_events by_input, int rows, int n_in, int d_stride,
                    const real *d_y, real *d_w);
void gradient_blocks(int vectors, int valued, int fresh, snncc_events by_input, int rows, int n_in,
                     int d_stride, const real *d_y, real *d_w);
void gradient_dense_panel(int vectors, int fresh, int rows, int n_in, int x_stride, int d_stride,
                          const real *x, const real *d_y, real *d_w);
void gradient_rows(int vectors, int first, int valued, snncc_events x, int rows, int d_stride,
                   const real *d_y, real *d_w);
void copy_panel(int vectors, int rows, int stride, const real *x, real *copy);
void input_gradient_panel(int vectors, int first_in, int rows, int n_out, int n_in, int d_stride,
                          int x_stride, const real *d_y, const real *w, real *scratch, real *d_x);
"""
UNARY = ["exp", "exp_decay", "log", "tanh", "sigmoid", "sqrt", "abs", "round", "floor", "sin", "cos"]
BINARY = ["min", "max"]


def declarations(text: str) -> list[tuple[str, str, str]]:
    """Result, name and parameters of each declaration."""
    return re.findall(r"(\w[\w ]* \*?)(\w+)\(([^)]*)\);", text)


def arguments(parameters: str) -> str:
    """The names of the parameters."""
    return ", ".join(re.findall(r"(\w+)(?:,|$)", parameters))


def driver() -> tuple[str, str]:
    """C text that exports every function, and its declarations."""
    declared = [TYPES]
    text = ['#include "whole_matrices.h"', "typedef snncc_real real;", "typedef snncc_index place;"]

    def export(head: str, body: str) -> None:
        declared.append(f"{head};")
        text.append(f"{head};\n{head} {{ {body} }}")

    for result, name, parameters in declarations(DECLARATIONS):
        call = f"snncc_{name}({arguments(parameters)});"
        export(f"{result}c_{name}({parameters})", call if result == "void " else f"return {call}")
    for result, name, parameters in declarations(PANELS):
        call = f"SNNCC_SPECIALISE(snncc_{name}, {arguments(parameters)})"
        export(f"{result}c_{name}({parameters})", call)
    export("int c_slice_size(void)", "return SNNCC_SLICE_SIZE;")
    for name in UNARY:
        head = f"void c_{name}(int n, const real *x, real *y)"
        export(head, f"for (int i = 0; i < n; i++) y[i] = snncc_{name}(x[i]);")
    for name in BINARY:
        head = f"void c_{name}(int n, const real *a, const real *b, real *y)"
        export(head, f"for (int i = 0; i < n; i++) y[i] = snncc_{name}(a[i], b[i]);")
    return "\n".join(text), "\n".join(declared)


@dataclass(frozen=True)
class Headers:
    """A compiled driver: its functions take and return NumPy arrays of `real`."""

    library: object
    ffi: cffi.FFI
    real: type
    index: type
    kept: list[object] = field(default_factory=list)

    @property
    def lanes(self) -> int:
        return 64 // self.real().itemsize

    @property
    def panel(self) -> int:
        return 64

    @property
    def vectors(self) -> range:
        """Widths of panels, in vectors."""
        return range(1, self.panel // self.lanes + 1)

    def stride(self, n: int) -> int:
        return 1 if n == 1 else -(-n // self.lanes) * self.lanes

    def call(self, name: str, *arguments: object) -> int:
        """Call c_<name>; arrays go as pointers, None as NULL."""
        return getattr(self.library, f"c_{name}")(*map(self._pointer, arguments))

    def _pointer(self, value: object) -> object:
        if value is None:
            return self.ffi.NULL
        if not isinstance(value, np.ndarray):
            return value
        assert value.flags.c_contiguous
        types = {"f": "real *", "i4": "int32_t *", "i8": "int64_t *", "u8": "uint64_t *"}
        key = value.dtype.kind if value.dtype.kind == "f" else value.dtype.str[1:]
        return self.ffi.cast(types[key], value.ctypes.data)

    def map(self, name: str, *arguments: np.ndarray) -> np.ndarray:
        """An elementwise function on whole arrays."""
        y = np.empty_like(arguments[0])
        self.call(name, y.size, *arguments, y)
        return y

    def panels(self, matrix: np.ndarray) -> np.ndarray:
        n_out, n_in = matrix.shape
        panels = np.full(self.stride(n_out) * n_in, np.nan, self.real)
        self.call("panels_from_matrix", n_out, n_in, 0, np.ascontiguousarray(matrix), panels)
        return panels

    def tile(self, x: np.ndarray) -> np.ndarray:
        """Rows with garbage in the pads, as a kernel may leave them."""
        padded = np.full((len(x), self.stride(x.shape[1])), np.nan, self.real)
        padded[:, : x.shape[1]] = x
        return padded

    def events(self, x: np.ndarray, form: int) -> object:
        """The events of the rows of x, an snncc_events: of ones, valued or counted."""
        rows, n = x.shape
        memory = self.bytes(self.library.c_events_bytes(rows, n, form))
        events = self.library.c_events_at(memory, rows, n, form)
        tile = self.tile(x)
        self.call("events_from_rows", events, rows, n, tile.shape[1], tile, self.alone)
        return events

    def lists(self, events: object, rows: int) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
        """offsets, index and value as arrays."""
        count = self.library.c_events_count(events, rows)

        def array(pointer: object, size: int, dtype: type) -> np.ndarray:
            return np.frombuffer(self.ffi.buffer(pointer, size * np.dtype(dtype).itemsize), dtype).copy()

        value = array(events.value, count, self.real) if events.value else None
        index = array(events.index, count, self.index)
        return array(events.offsets, rows + 1, np.int32), index, value

    @property
    def alone(self) -> object:
        """The crew of one thread."""
        return self.crew(0, 1)

    def crew(self, part: int, parts: int) -> object:
        """One thread's place among `parts` threads, an snncc_crew *; the others never come."""
        team = self.ffi.new("snncc_team *")
        crew = self.ffi.new("snncc_crew *", {"team": team, "part": part, "parts": parts})
        self.kept.extend([team, crew])
        return crew

    def bytes(self, count: int) -> object:
        """Memory aligned to 64 bytes, alive as long as this object."""
        memory = np.full(count + 64, 0xAA, np.uint8)
        self.kept.append(memory)
        return self.ffi.cast("void *", memory.ctypes.data + -memory.ctypes.data % 64)


def build(folder: Path, name: str, bits: int, flags: list[str], text: str) -> Path:
    source = folder / f"{name}.c"
    source.write_text(f"#define SNNCC_REAL_BITS {bits}\n{text}")
    command = [
        "cc",
        *WARNINGS,
        *ARITHMETIC,
        *flags,
        "-I",
        str(INCLUDE),
        "-I",
        str(Path(__file__).parent),
        str(source),
        "-o",
        str(folder / name),
    ]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return folder / name


@cache
def load_headers(bits: int, variant: str) -> Headers:
    """Compiled once in a run of the tests, whatever the number of its processes."""
    text, declarations = driver()
    folder = Path(os.environ["SNNCC_TEST_SESSION"]) / f"headers-{variant}{bits}"
    folder.mkdir(exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        path = folder / "built.so"
        if not path.exists():
            draft = build(folder, "draft.so", bits, [*VARIANTS[variant], "-shared", "-fPIC"], text)
            draft.rename(path)
    ffi = cffi.FFI()
    real, index = ("float", "double")[bits == 64], ("uint16_t", "int32_t")[variant == "wide"]
    ffi.cdef(f"typedef {real} real; typedef {index} place;\n{declarations}")
    types = (np.float32, np.float64)[bits == 64], (np.uint16, np.int32)[variant == "wide"]
    return Headers(ffi.dlopen(str(path)), ffi, *types)


@pytest.fixture(
    params=[(bits, variant) for bits in (32, 64) for variant in VARIANTS], ids=lambda p: f"{p[1]}{p[0]}"
)
def headers(request: pytest.FixtureRequest) -> Headers:
    return load_headers(*request.param)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(7)


def sparse(
    rng: np.random.Generator, shape: tuple[int, int], density: float, valued: bool, real: type
) -> np.ndarray:
    kept = rng.random(shape) < density
    return (np.where(kept, rng.standard_normal(shape), 0) if valued else kept).astype(real)


def bits_of(x: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(x).view(np.uint32 if x.dtype == np.float32 else np.uint64)
