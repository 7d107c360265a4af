"""The kernels of one panel: all add in the same order, so that they give the same bits as NumPy does."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from tests.headers import Headers, bits_of, build, sparse
from tests.headers import headers as headers
from tests.headers import rng as rng

EXACT_MAIN = Path(__file__).with_name("panels_exact.c")
# Rows and inputs; the last two are long enough for blocks, forward and backward.
SHAPES = [(0, 5), (1, 1), (5, 37), (13, 400), (400, 13)]
SPIKES = [(False, 0.5), (True, 0.5), (True, 1.0)]
pytestmark = pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler `cc`")


@dataclass(frozen=True)
class Panel:
    """Rows of a panel that lies within wider rows; what is around must stay as it is."""

    rows: np.ndarray
    width: int

    @classmethod
    def of(cls, headers: Headers, x: np.ndarray) -> Panel:
        around = np.full((len(x), x.shape[1] + 3 * headers.lanes), np.nan, headers.real)
        panel = cls(around, x.shape[1])
        panel.values[:] = x
        return panel

    @property
    def lanes(self) -> int:
        return (self.rows.shape[1] - self.width) // 3

    @property
    def values(self) -> np.ndarray:
        return self.rows[:, self.lanes : self.lanes + self.width]

    @property
    def stride(self) -> int:
        return self.rows.shape[1]

    @property
    def start(self) -> np.ndarray:
        """What a kernel gets as its pointer."""
        return self.rows.reshape(-1)[self.lanes :]

    def must_be(self, expected: np.ndarray) -> None:
        np.testing.assert_array_equal(bits_of(self.values), bits_of(expected))
        assert np.isnan(self.rows[:, : self.lanes]).all()
        assert np.isnan(self.rows[:, self.lanes + self.width :]).all()


def spikes(
    rng: np.random.Generator, shape: tuple[int, int], density: float, valued: bool, real: type
) -> np.ndarray:
    """Rows with gaps: some rows and some inputs are silent."""
    x = sparse(rng, shape, density, valued, real)
    if density < 1:
        x[2::5] = 0
        x[:, 3::7] = 0
    return x


@pytest.mark.parametrize(("valued", "density"), SPIKES)
@pytest.mark.parametrize(("rows", "n_in"), SHAPES)
def test_products(headers, rng, rows, n_in, valued, density):
    for vectors in headers.vectors:
        products(headers, rng, vectors, rows, n_in, valued, density)


def products(headers, rng, vectors, rows, n_in, valued, density):
    width, real = vectors * headers.lanes, headers.real
    x = spikes(rng, (rows, n_in), density, valued, real)
    w, bias = rng.standard_normal((n_in, width)).astype(real), rng.standard_normal(width).astype(real)
    bias[::3] = -0.0
    events, tile = headers.events(x, valued), headers.tile(x)
    sizes = (rows, n_in, tile.shape[1])
    for start in (bias, None):
        expected = np.tile(np.zeros(width, real) if start is None else start + real(0), (rows, 1))
        for i in range(n_in):
            expected += x[:, i : i + 1] * w[i]
        y = [Panel.of(headers, np.full((rows, width), np.nan)) for _ in range(4)]
        stride = y[0].stride
        headers.call("dense_panel", vectors, *sizes, stride, tile, w, start, y[0].start)
        headers.call("event_panel", vectors, valued, events, rows, stride, w, start, y[1].start)
        headers.call("event_blocks", vectors, valued, events, rows, n_in, stride, w, start, y[2].start)
        headers.call("counted_panel", vectors, events, *sizes, stride, tile, w, start, y[3].start)
        for panel in y:
            panel.must_be(expected)


@pytest.mark.parametrize(("valued", "density"), SPIKES)
@pytest.mark.parametrize(("rows", "n_in"), SHAPES)
def test_weight_gradients(headers, rng, rows, n_in, valued, density):
    for vectors in headers.vectors:
        weight_gradients(headers, rng, vectors, rows, n_in, valued, density)


def weight_gradients(headers, rng, vectors, rows, n_in, valued, density):
    width, real = vectors * headers.lanes, headers.real
    x = spikes(rng, (rows, n_in), density, valued, real)
    before = rng.standard_normal((n_in, width)).astype(real)
    d_y = Panel.of(headers, rng.standard_normal((rows, width)))
    tile, events = headers.tile(x), headers.events(x, valued)
    lists = headers.bytes(headers.library.c_transposed_bytes(rows, n_in, valued))
    headers.call("transpose_events", events, rows, n_in, lists, headers.alone)
    by_input = headers.library.c_events_at(lists, n_in, rows, valued)
    copy = np.empty((rows, width), real)
    headers.call("copy_panel", vectors, rows, d_y.stride, d_y.start, copy)
    np.testing.assert_array_equal(copy, d_y.values)
    for fresh in (False, True):
        expected = np.zeros_like(before) if fresh else before.copy()
        for row in reversed(range(rows)):
            expected += x[row][:, None] * copy[row]
        found = [np.full_like(before, np.nan) if fresh else before.copy() for _ in range(5)]
        for d_w, stride, d in ((found[0], d_y.stride, d_y.start), (found[1], width, copy)):
            headers.call("gradient_blocks", vectors, valued, fresh, by_input, rows, n_in, stride, d, d_w)
        dense = (rows, n_in, tile.shape[1], d_y.stride, tile, d_y.start)
        headers.call("gradient_dense_panel", vectors, fresh, *dense, found[2])
        if not fresh:
            headers.call("gradient_panel", vectors, valued, by_input, rows, n_in, width, copy, found[3])
            headers.call("gradient_rows", vectors, 0, valued, events, rows, d_y.stride, d_y.start, found[4])
        for d_w in found[: 3 if fresh else 5]:
            np.testing.assert_array_equal(bits_of(d_w), bits_of(expected))


@pytest.mark.parametrize("valued", [False, True])
def test_dense_rows_take_the_dense_gradient(headers, rng, valued):
    few, many = (headers.events(sparse(rng, (20, 50), p, valued, headers.real), valued) for p in (0.1, 0.95))
    for vectors in headers.vectors:
        assert not headers.call("gradient_is_dense", vectors, few, 20, 50)
        assert headers.call("gradient_is_dense", vectors, many, 20, 50)


@pytest.mark.parametrize("n_in", [16, 39, 250])
@pytest.mark.parametrize("n_out", [1, 10, 128, 300])
@pytest.mark.parametrize("rows", [0, 1, 11])
def test_gradients_of_inputs_add_like_the_transposed_product(headers, rng, rows, n_out, n_in):
    real, stride = headers.real, headers.stride(n_in)
    matrix = rng.standard_normal((n_out, n_in)).astype(real)
    w, d_y = headers.panels(matrix), headers.tile(rng.standard_normal((rows, n_out)).astype(real))
    expected = np.zeros((rows, n_in), real)
    for o in range(n_out):
        expected += d_y[:, o : o + 1] * matrix[o]
    d_x = np.full((rows, stride), np.nan, real)
    scratch = np.full(headers.library.c_slice_size(), np.nan, real)
    for first in range(0, stride, headers.panel):
        vectors = min(headers.panel, stride - first) // headers.lanes
        sizes = (rows, n_out, n_in, d_y.shape[1], stride)
        part = d_x.reshape(-1)[first:]
        headers.call("input_gradient_panel", vectors, first, *sizes, d_y, w, scratch, part)
    np.testing.assert_array_equal(bits_of(d_x[:, :n_in]), bits_of(expected))
    assert not d_x[:, n_in:].any()


@pytest.mark.parametrize(
    ("bits", "flag"), [(32, "-march=native"), (64, "-march=native"), (64, "-DSNNCC_PORTABLE")]
)
def test_sanitizers_find_nothing(tmp_path, bits, flag):
    flags = ["-O0", flag, "-fsanitize=address,undefined", "-fno-sanitize-recover"]
    program = build(tmp_path, "exact", bits, flags, EXACT_MAIN.read_text())
    result = subprocess.run([program], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
