"""Convolutions on cuBLAS: what each precision rounds, some images at a time, and what they do without it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

import snncc
from snncc import nn
from snncc.lower import unfold
from snncc_runtime import Model, cublas
from tests import cuda_host
from tests.cuda_pairs import built, on_a_gpu
from tests.test_cuda_precision import ROUNDED, UNIT

STEPS, BATCH, CHANNELS, HEIGHT, WIDTH = 2, 3, 3, 7, 6


class Images(nn.Module):
    """Windows that overlap and reach beyond, single pixels, tokens: of spikes and of numbers."""

    inputs: ClassVar = {"x": nn.Input(CHANNELS, HEIGHT, WIDTH)}

    def __init__(self) -> None:
        self.conv = nn.Conv2d(CHANNELS, 5, 3, stride=2, padding=(1, 2))
        self.up = nn.ConvTranspose2d(CHANNELS, 4, 3, stride=2, padding=1)
        self.pixels = nn.Conv2d(CHANNELS, 9, 1)
        self.pixels_up = nn.ConvTranspose2d(CHANNELS, 4, 1, bias=False)
        self.tokens = nn.Linear(WIDTH, 10)

    def forward(self, x: Any) -> dict[str, Any]:
        spikes = snncc.greater(x, 0.5)
        layers = {"conv": self.conv, "up": self.up}
        found = {f"{n}_spikes": layer(spikes) for n, layer in layers.items()}
        found |= {f"{n}_numbers": layer(x) for n, layer in layers.items()}
        found |= {"pixels_spikes": self.pixels(spikes), "pixels_up_spikes": self.pixels_up(spikes)}
        return found | {"tokens_spikes": self.tokens(spikes.reshape(CHANNELS * HEIGHT, WIDTH))}


@pytest.fixture(autouse=True)
def room(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few of the six images at a time, so there are several lots and a rest; and a cuBLAS."""
    monkeypatch.setattr(unfold, "ROOM", 1 << 12)
    if not on_a_gpu():
        monkeypatch.setattr(cublas, "candidates", lambda: iter([str(cuda_host.cublas())]))


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Model:
    folder = tmp_path_factory.mktemp("images")
    snncc.compile(Images(), dtype="float64", out=folder)
    return snncc.load(folder, slots=1, tile=64)


def results(model: Model, x: np.ndarray, cotangents: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Outputs, and gradients of weights and of the input."""
    out, found = model(x), model.backward(x, cotangents=cotangents)
    return {**{n: out[n] for n in model.output_names}, **found.params, **found.inputs}


# An element's most terms: of outputs the inputs of a window and the bias; then d_w and d_bias of all rows'
# windows, of spikes and of numbers; then d_x of the windows and outputs of both layers that read numbers.
TERMS = {"out": 28, "params": 2 * STEPS * BATCH * 13 * 11, "inputs": 9 * (5 + 4)}


@pytest.mark.parametrize("precision", ["split", "tf32", "float64"])
def test_convolutions_are_as_precise_as_is_said(
    precision: str, reference: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Against float64. What a sum's terms come to is the result of absolute values."""
    dtype = "float64" if precision == "float64" else "float32"
    with built():
        model = snncc.compile(Images(), target="cuda", precision=precision, dtype=dtype, out=tmp_path)
    random = np.random.default_rng(3)
    x = np.abs(random.normal(size=(STEPS, BATCH, CHANNELS, HEIGHT, WIDTH))).astype(dtype)
    params = {name: random.normal(size=array.shape).astype(dtype) for name, array in model.params.items()}
    out = reference(x.astype(np.float64))
    cotangents = {n: random.normal(size=out[n].shape).astype(dtype) for n in reference.output_names}

    def exactly(form: Any) -> dict[str, np.ndarray]:
        double = [{n: form(array.astype(np.float64)) for n, array in d.items()} for d in (params, cotangents)]
        reference.params.update(double[0])
        return results(reference, x.astype(np.float64), double[1])

    expected, sizes = exactly(np.asarray), exactly(np.abs)

    def check(model: Model, rounding: float) -> None:
        model.params.update(params)
        for name, array in results(model, x, cotangents).items():
            kind = "inputs" if name == "x" else "params" if name in params else "out"
            rounded = (1 + rounding) ** (1 if name.endswith("spikes") else 2) - 1
            bound = rounded + (TERMS[kind] + 4) * UNIT[dtype]
            assert (np.abs(array - expected[name]) <= bound * sizes[name]).all(), name

    check(model, ROUNDED.get(precision, 0.0))
    if precision == "split":
        monkeypatch.setattr(cublas, "candidates", lambda: iter(()))
        with pytest.warns(RuntimeWarning, match="no cuBLAS was found"):
            check(snncc.load(tmp_path), 0.0)
