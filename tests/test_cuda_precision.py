"""Products on cuBLAS: what each precision rounds, and what models do that find none."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

import snncc
from snncc import CompileError, loss, nn, optim
from snncc_runtime import Model, ModelError, cublas
from tests import cuda_host
from tests.cuda_pairs import Array, built, inputs, on_a_gpu, same
from tests.test_cuda import layers, leaky

N_IN, N_OUT, STEPS, BATCH = 20, 13, 5, 4
UNIT = {"float32": 2.0**-24, "float64": 2.0**-53}    # rounding of a sum
ROUNDED = {"tf32": 2.0**-11, "bf16": 2.0**-8}    # of a factor; others are not rounded at all
PRECISIONS = ("float32", "split", "tf32", "bf16", "float64")


class Products(nn.Module):
    """Spikes and numbers, each times weights, and numbers times numbers."""

    inputs: ClassVar = {"x": nn.Input(N_IN)}

    def __init__(self) -> None:
        self.spiking, self.plain = nn.Linear(N_IN, N_OUT), nn.Linear(N_IN, 24, bias=False)

    def forward(self, x: Any) -> dict[str, Any]:
        values = self.plain(x)
        heads = values.reshape(2, 3, 4)
        scores = snncc.matmul(heads, heads, transpose_b=True)
        return {"spiking": self.spiking(snncc.greater(x, 0.5)), "values": values, "scores": scores}


@pytest.fixture
def found(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Says where there is a cuBLAS: at first the one that stands in for it, or with a GPU the real one."""

    def libraries(*paths: object) -> None:
        monkeypatch.setattr(cublas, "candidates", lambda: iter(map(str, paths)))

    if not on_a_gpu():
        libraries(cuda_host.cublas())
    return libraries


def compiled(network: nn.Module, **options: Any) -> Model:
    with built():
        return snncc.compile(network, target="cuda", **options)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_products_are_as_precise_as_is_said(precision: str, found: object) -> None:
    """Against float64. A sum of k terms is rounded k times."""
    dtype = "float64" if precision == "float64" else "float32"
    model = compiled(Products(), precision=precision, dtype=dtype)
    assert model.cublas
    random = np.random.default_rng(3)
    x = random.normal(size=(STEPS, BATCH, N_IN)).astype(dtype)
    weights = {name: array.astype(np.float64) for name, array in model.params.items()}
    out = model(x)
    cotangents = {name: random.normal(size=out[name].shape).astype(dtype) for name in ("spiking", "values")}
    gradients = model.backward(x, cotangents={**cotangents, "scores": np.zeros_like(out["scores"])})
    spikes, heads = (x > 0.5).astype(np.float64), out["values"].reshape(STEPS, BATCH, 2, 3, 4)
    rows, once = {name: array.reshape(STEPS * BATCH, -1) for name, array in cotangents.items()}, UNIT[dtype]
    rounded, flat = ROUNDED.get(precision, 0.0), x.reshape(-1, N_IN)

    def check(name: str, result: Array, a: Array, b: Array, factors: int, start: Any = 0.0) -> None:
        """result = start + a b, of which so many factors are rounded."""
        a, b = a.astype(np.float64), b.astype(np.float64)
        size = np.abs(a) @ np.abs(b) + np.abs(start)
        bound = (1 + rounded) ** factors - 1 + (a.shape[-1] + 4) * once
        assert (np.abs(result - (start + a @ b)) <= bound * size).all(), name

    weight = weights["spiking.weight"].T
    check("spiking", out["spiking"], spikes, weight, 1, weights["spiking.bias"])
    check("values", out["values"], x, weights["plain.weight"].T, 2)
    check("scores", out["scores"], heads, heads.swapaxes(-1, -2), 2)
    check("d_spiking", gradients.params["spiking.weight"].T, spikes.reshape(-1, N_IN).T, rows["spiking"], 1)
    check("d_plain", gradients.params["plain.weight"].T, flat.T, rows["values"], 2)
    check("d_x", gradients.inputs["x"], cotangents["values"], weights["plain.weight"], 2)

    # A single spike: what comes out is the weight, and its gradient the cotangent.
    single = np.eye(N_IN, dtype=dtype)[np.newaxis]
    model.params["spiking.bias"] = np.zeros(N_OUT, dtype)
    chosen = model(single)["spiking"][0]
    d_y = random.normal(size=(1, N_IN, N_OUT)).astype(dtype)
    d_w = model.backward(single, cotangents={"spiking": d_y}).params["spiking.weight"].T
    for result, factor in ((chosen, weight), (d_w, d_y[0])):
        assert (np.abs(result - factor) <= rounded * np.abs(factor)).all()
        exact = (result == factor).all()
        assert exact == (not rounded) or (exact and on_a_gpu())    # where cuBLAS may leave out rounding


def test_networks_spike_and_learn_as_those_of_c(tmp_path: Path, found: Callable[..., None]) -> None:
    """A loop over time and segments of it; the second call is recorded and the third replayed."""
    network = layers(leaky(), nn.RLeaky(0.9, linear_features=8))
    learning = {"loss": loss.cross_entropy("mem"), "optimizer": optim.SGD(0.0)}
    options: dict[str, Any] = {**learning, "checkpoint_every": 3}
    snncc.compile(network, out=tmp_path / "c", **options)
    c = snncc.load(tmp_path / "c", slots=1, tile=64)
    model = compiled(network, precision="split", out=tmp_path / "cuda", **options)
    given, targets = inputs(c, 7, 3), np.array([0, 3, 1])
    same(*({name: m(given)[name] for name in ("spk",)} for m in (c, model)))
    expected, first = c.train_step(given, targets), None
    for _ in range(3):
        assert model.train_step(given, targets) == pytest.approx(expected, rel=1e-6)
        gradients = model.gradients()
        for name, array in c.gradients().items():
            np.testing.assert_allclose(gradients[name], array, rtol=1e-5, atol=1e-6 * np.abs(array).max())
        first = first or gradients
        same(first, gradients)
    larger = inputs(c, 9, 5)    # a new arena, and cuBLAS with a workspace in it
    np.testing.assert_array_equal(model(larger)["spk"], c(larger)["spk"])

    found()
    with pytest.warns(RuntimeWarning, match="no cuBLAS was found; its products are float32, by snncc's own"):
        alone = snncc.load(tmp_path / "cuda")
    assert alone.cublas == ""
    assert alone.train_step(given, targets) == expected
    same(c.gradients(), alone.gradients())


FAILING = """
int cublasCreate_v2(void **handle) { *handle = handle; return CREATED; }
int cublasDestroy_v2(void) { return 0; }
int cublasSetStream_v2(void) { return 0; }
int cublasSetWorkspace_v2(void) { return 0; }
int cublasGemmEx(void) { return 13; }
int cublasGemmStridedBatchedEx(void) { return 13; }
"""


def failing(folder: Path, created: int) -> Path:
    """A cuBLAS that gives this status when it starts, and fails afterwards."""
    path = folder / f"failing{created}.so"
    command = ["cc", "-x", "c", "-", f"-DCREATED={created}", "-shared", "-fPIC", "-o", str(path)]
    subprocess.run(command, input=FAILING, text=True, check=True)
    return path


def test_what_fails_is_said(tmp_path: Path, found: Callable[..., None]) -> None:
    network = nn.Sequential(fc=nn.Linear(N_IN, 2), lif=nn.Leaky(0.5))
    other = cuda_host.library("plain")    # no cuBLAS at all
    found(other, tmp_path / "absent.so", failing(tmp_path, 1))
    with pytest.warns(RuntimeWarning, match=r"failing1.so: cuBLAS cannot start.* \(CUBLAS_STATUS 1\); its"):
        compiled(network, precision="tf32", out=tmp_path / "model")
    found(failing(tmp_path, 0))
    model = snncc.load(tmp_path / "model")
    for _ in range(3):    # also where a call is recorded
        with pytest.raises(ModelError, match=r"cuBLAS did not do what it was asked for \(CUBLAS_STATUS 13\)"):
            model(np.ones((2, 3, N_IN)))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"precision": "tf32"}, "precision='tf32' is for target='cuda': leave it out"),
        ({"target": "cuda", "precision": "half"}, "one of 'exact', 'float32', 'split', 'tf32', 'bf16'"),
        (
            {"target": "cuda", "precision": "split", "dtype": "float64"},
            "precision of a float64 network must be one of 'exact', 'float64', got 'split'",
        ),
    ],
)
def test_a_precision_that_makes_no_sense_is_refused(options: dict[str, str], said: str) -> None:
    with pytest.raises(CompileError, match=said):
        snncc.compile(nn.Linear(2, 2), **options)
