"""The C headers that generated code includes, each function against NumPy, in float and double.

A driver of one-line wrappers is compiled per dtype and variant: as shipped ("fast"), without optimisation
("plain"), and without the AVX-512 paths ("portable"). Sums are compared bit for bit: NumPy adds in the order
that the headers promise.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from tests.headers import VARIANTS, bits_of, build, load_headers, sparse
from tests.headers import headers as headers
from tests.headers import rng as rng

EXACT_MAIN = Path(__file__).with_name("headers_exact.c")
pytestmark = pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler `cc`")


SHAPES = [
    (0, 5, 3),
    (1, 1, 1),
    (9, 1, 20),
    (7, 30, 1),
    (1, 100, 129),
    (5, 65, 16),
    (11, 40, 40),
    (13, 70, 250),
]
DENSITIES = [0.0, 0.1, 1.0]


def ulps(y: np.ndarray, exact: np.ndarray) -> float:
    """The largest error in units in the last place; subnormal results count in the smallest number."""
    spacing = np.spacing(np.abs(exact.astype(y.dtype)))
    return float(np.max(np.abs(y.astype(np.longdouble) - exact) / spacing))


@dataclass(frozen=True)
class Accuracy:
    """How exact a function is, in units in the last place, over a range for float and one for double."""

    exact: Callable[[np.ndarray], np.ndarray]
    ulps: float
    ranges: dict[int, tuple[float, float]]

    def samples(self, real: type, rng: np.random.Generator) -> np.ndarray:
        """100,000 numbers: over the whole range, and around 0 (in a range of positive numbers: around 1)."""
        low, high = self.ranges[8 * real().itemsize]
        near = rng.uniform(-1, 1, 50_000) * 10.0 ** rng.uniform(-6, 0, 50_000)
        if low > 0:
            wide = 10 ** rng.uniform(np.log10(low), np.log10(high), 50_000)
            return np.concatenate([wide, 1 + 0.5 * near]).astype(real)
        return np.concatenate([rng.uniform(low, high, 50_000), near]).astype(real)


FUNCTIONS = {
    "exp": Accuracy(np.exp, 1.0, {32: (-103, 88.7), 64: (-745, 709.7)}),
    "log": Accuracy(np.log, 1.0, {32: (1e-38, 1e38), 64: (1e-307, 1e308)}),
    "tanh": Accuracy(np.tanh, 1.5, {32: (-11, 11), 64: (-21, 21)}),
    "round": Accuracy(np.rint, 0.0, {32: (-1e7, 1e7), 64: (-1e7, 1e7)}),
    "floor": Accuracy(np.floor, 0.0, {32: (-1e7, 1e7), 64: (-1e7, 1e7)}),
    "sin": Accuracy(np.sin, 2.5, {32: (-3000, 3000), 64: (-1e6, 1e6)}),
    "cos": Accuracy(np.cos, 2.5, {32: (-3000, 3000), 64: (-1e6, 1e6)}),
    "sigmoid": Accuracy(lambda x: 1 / (1 + np.exp(-x)), 2.5, {32: (-100, 100), 64: (-740, 740)}),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_are_accurate(headers, rng, name):
    accuracy = FUNCTIONS[name]
    x = accuracy.samples(headers.real, rng)
    assert ulps(headers.map(name, x), accuracy.exact(x.astype(np.longdouble))) <= accuracy.ulps


@pytest.mark.parametrize("bits", [32, 64])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_give_the_same_bits_at_every_optimisation(bits, name):
    results = []
    for variant in VARIANTS:
        headers = load_headers(bits, variant)
        results.append(
            bits_of(headers.map(name, FUNCTIONS[name].samples(headers.real, np.random.default_rng(3))))
        )
    np.testing.assert_array_equal(results[0], results[1])
    np.testing.assert_array_equal(results[0], results[2])


@pytest.mark.parametrize(
    ("name", "x", "y"),
    [
        ("exp", [0, np.inf, -np.inf, np.nan, 1e4, -1e4], [1, np.inf, 0, np.nan, np.inf, 0]),
        (
            "log",
            [1, 0, -0.0, -1, np.inf, -np.inf, np.nan],
            [0, -np.inf, -np.inf, np.nan, np.inf, np.nan, np.nan],
        ),
        ("tanh", [0.0, -0.0, np.inf, -np.inf, np.nan, 1e-40], [0.0, -0.0, 1, -1, np.nan, 1e-40]),
        ("sigmoid", [0, np.inf, -np.inf, np.nan, 50], [0.5, 1, 0, np.nan, 1]),
        ("round", [0.5, 1.5, -2.5, -0.0, 1e30, np.inf, np.nan], [0, 2, -2, -0.0, 1e30, np.inf, np.nan]),
        ("floor", [0.5, -0.5, -0.0, 3, -1e30, -np.inf, np.nan], [0, -1, -0.0, 3, -1e30, -np.inf, np.nan]),
        ("sin", [0.0, -0.0, np.inf, np.nan, 1e-40], [0.0, -0.0, np.nan, np.nan, 1e-40]),
        ("cos", [0.0, -0.0, -np.inf, np.nan, 1e-40], [1, 1, np.nan, np.nan, 1]),
        ("sqrt", [0, 4, 2, np.inf, -1], [0, 2, np.sqrt(2), np.inf, np.nan]),
        ("abs", [0.0, -0.0, -2, -np.inf, np.nan], [0.0, 0.0, 2, np.inf, np.nan]),
    ],
)
def test_special_values(headers, name, x, y):
    result = headers.map(name, np.array(x, headers.real))
    np.testing.assert_array_equal(result, np.array(y, headers.real))
    zero = result == 0
    np.testing.assert_array_equal(np.signbit(result[zero]), np.signbit(np.array(y)[zero]))


def test_a_decay_has_the_bits_of_exp(headers):
    """Down to where it underflows, of NaN too."""
    lowest = -110 if headers.real == np.float32 else -760
    x = np.concatenate([np.linspace(lowest, 0, 100_001), [-0.0, -1e30, -np.inf, np.nan]]).astype(headers.real)
    np.testing.assert_array_equal(bits_of(headers.map("exp_decay", x)), bits_of(headers.map("exp", x)))


def test_log_of_subnormal_numbers(headers):
    x = np.array([np.finfo(headers.real).smallest_subnormal, np.finfo(headers.real).tiny / 3], headers.real)
    assert ulps(headers.map("log", x), np.log(x.astype(np.longdouble))) <= 1


@pytest.mark.parametrize("name", ["sin", "cos"])
def test_waves_of_large_numbers_stay_within_one(headers, rng, name):
    x = (rng.choice([-1, 1], 1000) * 10 ** rng.uniform(3, 37, 1000)).astype(headers.real)
    assert np.abs(headers.map(name, x)).max() <= 1


def test_min_and_max_pass_nan_on(headers):
    a, b = (np.array(v, headers.real) for v in ([1, 2, np.nan, 1], [2, 1, 1, np.nan]))
    np.testing.assert_array_equal(headers.map("min", a, b), np.minimum(a, b))
    np.testing.assert_array_equal(headers.map("max", a, b), np.maximum(a, b))


def test_every_code_has_a_text(headers):
    texts = {headers.ffi.string(headers.library.c_error_text(code)) for code in range(10)}
    assert len(texts) == 10


@pytest.mark.parametrize("n", [1, 15, 64, 100, 257])
@pytest.mark.parametrize("density", DENSITIES)
def test_bits_and_events(headers, rng, n, density):
    rows, words = 6, (n + 63) // 64
    x = sparse(rng, (rows, n), density, True, headers.real)
    bits = np.zeros((rows, words), np.uint64)
    back = np.full((rows, n), 7, headers.real)
    for row in range(rows):
        for word in range(words):
            part = np.ascontiguousarray(x[row, 64 * word : 64 * word + 64])
            headers.call("pack", part, part.size, bits[row, word:])
        headers.call("unpack", bits[row], n, back[row])
    np.testing.assert_array_equal(back, x != 0)
    row, index = np.nonzero(x)
    for valued in (False, True):
        offsets, indices, values = headers.lists(headers.events(x, valued), rows)
        np.testing.assert_array_equal(offsets, np.searchsorted(row, np.arange(rows + 1)))
        np.testing.assert_array_equal(indices, index)
        if valued:
            np.testing.assert_array_equal(values, x[x != 0])
        memory = headers.bytes(headers.library.c_events_bytes(rows, n, valued))
        events = headers.library.c_events_at(memory, rows, n, valued)
        headers.call("events_from_bits", events, rows, n, bits, headers.alone)
        np.testing.assert_array_equal(headers.lists(events, rows)[1], index)
        assert not valued or np.all(headers.lists(events, rows)[2] == 1)


@pytest.mark.parametrize("valued", [False, True])
@pytest.mark.parametrize("density", DENSITIES)
@pytest.mark.parametrize(("rows", "n_in", "n_out"), SHAPES)
def test_products_add_in_ascending_order(headers, rng, rows, n_in, n_out, density, valued):
    x = sparse(rng, (rows, n_in), density, valued, headers.real)
    matrix = rng.standard_normal((n_out, n_in)).astype(headers.real)
    bias = rng.standard_normal(n_out).astype(headers.real)
    bias[::3] = -0.0
    expected = np.tile(bias + headers.real(0), (rows, 1))
    for i in range(n_in):
        expected += x[:, i : i + 1] * matrix[:, i]
    w, padded_bias, tile = headers.panels(matrix), headers.tile(bias[None]), headers.tile(x)
    events, strides = headers.events(x, valued), (headers.stride(n_in), headers.stride(n_out))
    y = np.empty((3, rows, strides[1]), headers.real)
    headers.call("product_dense", rows, n_in, *strides, tile, w, padded_bias, y[0])
    headers.call("product_events", events, rows, n_in, strides[1], w, padded_bias, y[1])
    headers.call("product", events, rows, n_in, *strides, tile, w, padded_bias, y[2])
    for result in y:
        np.testing.assert_array_equal(bits_of(result[:, :n_out]), bits_of(expected))
    headers.call("product_dense", rows, n_in, *strides, tile, w, None, y[0])
    headers.call("product_events", events, rows, n_in, strides[1], w, None, y[1])
    np.testing.assert_array_equal(bits_of(y[0]), bits_of(y[1]))
    scale = np.abs(x).astype(np.float64) @ np.abs(matrix.T).astype(np.float64)
    error = np.abs(y[0, :, :n_out] - x.astype(np.float64) @ matrix.T)
    assert np.all(error <= 2 * n_in * np.finfo(headers.real).eps * scale)


@pytest.mark.parametrize("valued", [False, True])
@pytest.mark.parametrize("density", DENSITIES)
@pytest.mark.parametrize(("rows", "n_in", "n_out"), SHAPES)
def test_weight_gradient_adds_in_descending_order(headers, rng, rows, n_in, n_out, density, valued):
    x = sparse(rng, (rows, n_in), density, valued, headers.real)
    d_y = rng.standard_normal((rows, n_out)).astype(headers.real)
    expected = rng.standard_normal((n_out, n_in)).astype(headers.real)
    d_w = headers.panels(expected)
    for row in reversed(range(rows)):
        expected += d_y[row][:, None] * x[row]
    scratch = headers.bytes(headers.library.c_transposed_bytes(rows, n_in, valued))
    tile = headers.tile(d_y)
    headers.call("weight_gradient", headers.events(x, valued), rows, n_in, tile.shape[1], tile, scratch, d_w)
    result = np.empty((n_out, n_in), headers.real)
    headers.call("matrix_from_panels", n_out, n_in, 0, d_w, result)
    np.testing.assert_array_equal(bits_of(result), bits_of(expected))


@pytest.mark.parametrize(("rows", "n"), [(1, 40), (7, 33), (40, 200)])
def test_counted_lists_end_where_the_dense_kernel_is_faster(headers, rng, rows, n):
    """Up to the crossover a counted list is the valued one; a denser one says so and stays in its room."""
    room = (headers.library.c_events_bytes(rows, n, 2), headers.library.c_events_bytes(rows, n, 1))
    assert room[0] < room[1] or rows == 1
    for density in (0.1, 0.55, 0.7, 1.0):
        x = sparse(rng, (rows, n), density, True, headers.real)
        counted, valued = headers.events(x, 2), headers.events(x, 1)
        assert headers.library.c_is_dense(counted, rows, n, 1.0) == (np.count_nonzero(x) >= 0.625 * x.size)
        if not headers.library.c_is_dense(counted, rows, n, 1.0):
            for of_counted, of_valued in zip(
                headers.lists(counted, rows), headers.lists(valued, rows), strict=True
            ):
                np.testing.assert_array_equal(of_counted, of_valued)


def test_transposed_events(headers, rng):
    x = sparse(rng, (9, 70), 0.3, True, headers.real)
    scratch = headers.bytes(headers.library.c_transposed_bytes(9, 70, True))
    headers.call("transpose_events", headers.events(x, True), 9, 70, scratch, headers.alone)
    found = headers.lists(headers.library.c_events_at(scratch, 70, 9, True), 70)
    expected = headers.lists(headers.events(np.ascontiguousarray(x[::-1].T), True), 70)
    for by_input, transposed in zip(found, expected, strict=True):
        np.testing.assert_array_equal(by_input, transposed)


def test_tiles_are_loaded_and_stored(headers, rng):
    steps, rows, batch, first, n = 3, 2, 7, 4, 21
    user = rng.standard_normal((steps, batch, n)).astype(headers.real)
    tile = np.full((steps, rows, headers.stride(n)), np.nan, headers.real)
    shape = (steps, rows, batch, first, n, headers.stride(n))
    assert headers.call("load", *shape, user, tile, headers.alone) == 0
    np.testing.assert_array_equal(tile[:, :, :n], user[:, first : first + rows])
    assert not tile[:, :, n:].any()
    back = np.zeros_like(user)
    headers.call("store", *shape, tile, back, headers.alone)
    np.testing.assert_array_equal(back[:, first : first + rows], user[:, first : first + rows])
    assert np.count_nonzero(back) == steps * rows * n
    for bad in (np.nan, np.inf, -np.inf):
        user[-1, first + rows - 1, -1] = bad
        assert headers.call("load", *shape, user, tile, headers.alone) == 7
    user[:, first : first + rows] = np.finfo(headers.real).max
    assert headers.call("load", *shape, user, tile, headers.alone) == 0


def test_labels(headers):
    user, tile = np.array([9, 0, 2, 3, -1], np.int64), np.empty(2, np.int32)
    assert headers.call("load_labels", 2, 1, 3, user, tile) == 0
    np.testing.assert_array_equal(tile, [0, 2])
    assert headers.call("load_labels", 2, 2, 3, user, tile) == 5
    assert headers.call("load_labels", 1, 4, 3, user, tile) == 5
    y = np.full((2, headers.stride(3)), np.nan, headers.real)
    headers.call("one_hot", 2, 3, headers.stride(3), np.array([0, 2], np.int32), y, headers.alone)
    np.testing.assert_array_equal(y, np.eye(3, headers.stride(3), dtype=headers.real)[[0, 2]])


@pytest.mark.parametrize("rows", [0, 1, 16, 37])
@pytest.mark.parametrize("n", [1, 10, 16, 100])
def test_reductions(headers, rng, rows, n):
    x = (10 * rng.standard_normal((rows, n))).astype(headers.real)
    tile, y = headers.tile(x), np.empty(rows, headers.real)
    headers.call("sum_features", rows, n, headers.stride(n), tile, y, headers.alone)
    lanes = np.zeros((rows, -(-n // headers.lanes), headers.lanes), headers.real)
    lanes.reshape(rows, lanes.shape[1] * headers.lanes)[:, :n] = x
    expected = np.cumsum(np.cumsum(lanes, axis=1)[:, -1], axis=1)[:, -1]
    np.testing.assert_array_equal(bits_of(y), bits_of(expected))
    whole = (rows, n, n, headers.stride(n))
    headers.call("max_last", *whole, 1, tile, y, headers.alone)
    np.testing.assert_array_equal(y, np.max(x, axis=1))
    result = np.full_like(tile, np.nan)
    headers.call("log_softmax", *whole, headers.stride(n), tile, result, headers.alone)
    shifted = x.astype(np.longdouble) - np.max(x, axis=1, keepdims=True)
    exact = shifted - np.log(np.sum(np.exp(shifted), axis=1, keepdims=True))
    eps = np.finfo(headers.real).eps
    np.testing.assert_allclose(result[:, :n], exact, rtol=4 * eps, atol=n * eps)
    assert not result[:, n:].any()


@pytest.mark.parametrize("rows", [1, 16, 37])
@pytest.mark.parametrize("n", [1, 10, 16, 100])
def test_the_first_maximum(headers, rng, rows, n):
    """Of many equal ones the first, and a NaN before any number; pads become 0."""
    x = rng.integers(-2, 3, (rows, n)).astype(headers.real)
    x[rng.random((rows, n)) < 0.1 / n] = np.nan
    tile = headers.tile(x)
    y = np.full_like(tile, np.nan)
    headers.call("first_maximum", rows, n, n, headers.stride(n), headers.stride(n), tile, y, headers.alone)
    np.testing.assert_array_equal(y, np.eye(n, headers.stride(n), dtype=headers.real)[np.argmax(x, axis=1)])


@pytest.mark.parametrize(
    ("n_out", "n_in"), [(1, 1), (1, 9), (9, 1), (16, 16), (130, 20), (20, 300), (256, 65)]
)
def test_layouts(headers, rng, n_out, n_in):
    matrix = rng.standard_normal((n_out, n_in)).astype(headers.real)
    padded = np.zeros((headers.stride(n_out), n_in), headers.real)
    padded[:n_out] = matrix
    panels = headers.panels(matrix)
    parts = [
        padded[first : first + headers.panel].T.ravel() for first in range(0, len(padded), headers.panel)
    ]
    np.testing.assert_array_equal(panels, np.concatenate(parts))
    back = np.zeros_like(matrix)
    headers.call("matrix_from_panels", n_out, n_in, 0, panels, back)
    np.testing.assert_array_equal(back, matrix)
    transposed = np.full(headers.stride(n_in) * n_out, np.nan, headers.real)
    headers.call("transpose_weights", n_out, n_in, panels, transposed)
    np.testing.assert_array_equal(transposed, headers.panels(matrix.T))


def test_vectors_and_slots(headers, rng):
    array, vector = np.arange(1, 4, dtype=headers.real), np.full(headers.stride(3), np.nan, headers.real)
    headers.call("vector_from_array", 3, vector.size, 0, array, vector)
    np.testing.assert_array_equal(vector, [1, 2, 3, *[0] * (vector.size - 3)])
    headers.call("array_from_vector", 3, 0, 2 * vector, array)
    np.testing.assert_array_equal(array, [2, 4, 6])
    sums = rng.standard_normal((3, 50)).astype(headers.real)
    expected = sums[0, :40] + sums[1, :40] + sums[2, :40]
    rest = sums[0, 40:].copy()
    for part in range(2):
        headers.call("add_slots", 40, 3, 50, sums, headers.crew(part, 2))
    np.testing.assert_array_equal(sums[0], [*expected, *rest])
    headers.call("clear", sums, 40, headers.crew(0, 1))
    np.testing.assert_array_equal(sums[0], [*[0] * 40, *rest])


@pytest.mark.parametrize(("bits", "flag"), [(32, "-march=native"), (64, "-DSNNCC_PORTABLE")])
def test_sanitizers_find_nothing(tmp_path, bits, flag):
    flags = ["-O0", flag, "-fsanitize=address,undefined", "-fno-sanitize-recover"]
    program = build(tmp_path, "exact", bits, flags, EXACT_MAIN.read_text())
    result = subprocess.run([program], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
