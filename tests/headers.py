"""The C headers as a library of one-line wrappers, called with NumPy arrays, for test_headers.py."""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

import cffi
import numpy as np

INCLUDE = Path(__file__).parents[1] / "runtime" / "snncc_runtime" / "include"
WARNINGS = ["-std=c11", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-Wno-unused-function"]
ARITHMETIC = ["-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math"]
VARIANTS = {
    "fast": ["-O3", "-march=native", "-mprefer-vector-width=512"],
    "plain": ["-O0", "-march=native"],
    "portable": ["-O2", "-DSNNCC_PORTABLE"],
}

# What is tested, as declared in the headers without the prefix snncc_; the driver exports each as c_<name>.
TYPES = "typedef struct { int32_t *offsets; int32_t *index; real *value; } snncc_events;"
DECLARATIONS = """
const char *error_text(int32_t code);
int stride(int n);
void pack(const real *spikes, int width, uint64_t *word);
void unpack(const uint64_t *bits, int n, real *x);
size_t events_bytes(size_t rows, size_t n, int valued);
snncc_events events_at(void *base, int rows, int n, int valued);
int32_t events_count(snncc_events events, int rows);
void events_from_bits(snncc_events events, int rows, int n, const uint64_t *bits);
void events_from_rows(snncc_events events, int rows, int n, int stride, const real *x);
void product_dense(int rows, int n_in, int x_stride, int n_out_stride, const real *x, const real *w,
                   const real *bias, real *y);
void product_events(snncc_events x, int rows, int n_in, int n_out_stride, const real *w, const real *bias,
                    real *y);
void product(snncc_events e, int rows, int n_in, int x_stride, int n_out_stride, const real *x, const real *w,
             const real *bias, real *y);
size_t transposed_bytes(size_t rows, size_t n, int valued);
void transpose_events(snncc_events x, int rows, int n_in, void *transposed);
void weight_gradient(snncc_events x, int rows, int n_in, int d_stride, const real *d_y, void *scratch,
                     real *d_w);
int32_t load(int steps, int rows, int batch, int first, int n, int stride, const real *user, real *tile);
void store(int steps, int rows, int batch, int first, int n, int stride, const real *tile, real *user);
int32_t load_labels(int rows, int first, int classes, const int64_t *user, int32_t *tile);
void log_softmax(int rows, int n, int stride, const real *x, real *y);
void sum_features(int rows, int n, int stride, const real *x, real *y);
void max_features(int rows, int n, int stride, const real *x, real *y);
void one_hot(int rows, int n, int stride, const int32_t *labels, real *y);
void panels_from_matrix(int n_out, int n_in, const real *matrix, real *panels);
void matrix_from_panels(int n_out, int n_in, const real *panels, real *matrix);
void transpose_panels(int n_out, int n_in, const real *panels, real *transposed);
void vector_from_array(int n, int stride, const real *array, real *vector);
void array_from_vector(int n, int stride, const real *vector, real *array);
void add_slots(size_t count, int slots, size_t slot_stride, real *sums, size_t begin, size_t end);
"""
UNARY = ["exp", "log", "tanh", "sigmoid", "sqrt", "abs"]
BINARY = ["min", "max"]


def driver() -> tuple[str, str]:
    """C text that exports every function, and its declarations."""
    declared, text = [TYPES], ['#include "snncc/snncc.h"', "typedef snncc_real real;"]

    def export(head: str, body: str) -> None:
        declared.append(f"{head};")
        text.append(f"{head};\n{head} {{ {body} }}")

    for result, name, parameters in re.findall(r"(\w[\w ]* \*?)(\w+)\(([^)]*)\);", DECLARATIONS):
        names = ", ".join(re.findall(r"(\w+)(?:,|$)", parameters))
        export(
            f"{result}c_{name}({parameters})",
            f"{'' if result == 'void ' else 'return '}snncc_{name}({names});",
        )
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
    kept: list[np.ndarray] = field(default_factory=list)

    @property
    def lanes(self) -> int:
        return 64 // self.real().itemsize

    @property
    def panel(self) -> int:
        return 8 * self.lanes

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
        self.call("panels_from_matrix", n_out, n_in, np.ascontiguousarray(matrix), panels)
        return panels

    def tile(self, x: np.ndarray) -> np.ndarray:
        """Rows with garbage in the pads, as a kernel may leave them."""
        padded = np.full((len(x), self.stride(x.shape[1])), np.nan, self.real)
        padded[:, : x.shape[1]] = x
        return padded

    def events(self, x: np.ndarray, valued: bool) -> object:
        """The events of the rows of x, an snncc_events."""
        rows, n = x.shape
        memory = self.bytes(self.library.c_events_bytes(rows, n, valued))
        events = self.library.c_events_at(memory, rows, n, valued)
        tile = self.tile(x)
        self.call("events_from_rows", events, rows, n, tile.shape[1], tile)
        return events

    def lists(self, events: object, rows: int) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
        """offsets, index and value as arrays."""
        count = self.library.c_events_count(events, rows)

        def array(pointer: object, size: int, dtype: type) -> np.ndarray:
            return np.frombuffer(self.ffi.buffer(pointer, size * np.dtype(dtype).itemsize), dtype).copy()

        value = array(events.value, count, self.real) if events.value else None
        return array(events.offsets, rows + 1, np.int32), array(events.index, count, np.int32), value

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
        str(source),
        "-o",
        str(folder / name),
    ]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return folder / name
