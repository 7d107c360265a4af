"""Products of values: PyTorch's attention in C and on CUDA; beside the interpreter, slopes, zeros, errors."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

import snncc
from snncc import CompileError, loss, nn
from snncc.driver import entry_stages
from snncc.frontend.dsl import trace
from snncc.target import Target
from tests.cuda_pairs import BACKENDS
from tests.networks import Bench, Case, Extent, difference
from tests.test_differentiate import arguments, slopes_agree
from tests.test_end_to_end import CHECKS
from tests.vector_runs import BOUND, DTYPES, model_of

GOLDEN = dict(np.load(Path(__file__).parent / "golden" / "layers" / "attention.npz"))
STEPS, BATCH, TOKENS, WIDTH = GOLDEN["x"].shape
HEADS = 2


class Attention(nn.Module):
    """Heads of softmax attention; projections are parameters, the same for all samples."""

    inputs: ClassVar[dict[str, nn.Input]] = {"x": nn.Input(TOKENS, WIDTH)}

    def __init__(self) -> None:
        self.q, self.k, self.v = (nn.Parameter((WIDTH, WIDTH), GOLDEN[name]) for name in "qkv")

    def forward(self, x: Any) -> dict[str, Any]:
        q, k, v = ((x @ w).reshape(TOKENS, HEADS, -1).permute(1, 0, 2) for w in (self.q, self.k, self.v))
        scores = snncc.matmul(q, k, transpose_b=True) / (WIDTH // HEADS) ** 0.5
        heads = snncc.softmax(scores) @ v
        return {"out": heads.permute(1, 0, 2).reshape(TOKENS, WIDTH), "log": snncc.log_softmax(scores)}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("way", BACKENDS)
def test_attention_is_pytorchs(way: str, dtype: str) -> None:
    model = model_of(Attention(), way, num_steps=STEPS, dtype=dtype)
    out = model(GOLDEN["x"])
    d_out = 2 * (GOLDEN["out"] - GOLDEN["target"]) / GOLDEN["out"].size
    found = model.backward(GOLDEN["x"], cotangents={"out": d_out})
    gradients = {"d_x": found.inputs["x"], **{f"d_{name}": array for name, array in found.params.items()}}
    for name, array in {"out": out["out"], "log": out["log"], **gradients}.items():
        assert difference(array, GOLDEN[name]) <= BOUND[dtype], name


class Products(nn.Module):
    """Each way to turn an operand, wide and narrow, of what is dense and of spikes that drive the product."""

    inputs: ClassVar[dict[str, nn.Input]] = {"a": nn.Input(2, 21, 70), "b": nn.Input(2, 33, 70)}

    def __init__(self) -> None:
        self.lif, self.last = nn.Leaky(0.9), nn.Leaky(0.5, 4.0)
        self.shared = nn.Parameter((2, 21, 5), np.linspace(-1, 1, 210).reshape(2, 21, 5))

    def forward(self, a: Any, b: Any) -> dict[str, Any]:
        spk, _ = self.lif(b)
        curved = snncc.tanh(a) / 32.0
        scores = snncc.matmul(curved, spk, transpose_b=True)    # spikes second: the transposed product
        counted = snncc.matmul(spk, a, transpose_b=True) / 32.0    # spikes first, by their rows
        mixed = snncc.matmul(counted, spk, transpose_a=True)    # sums of spikes and spikes, turned
        turned = snncc.matmul(spk, scores, True, True)
        mem = self.last((mixed + scores @ spk)[0, :3, :3].reshape(9)).mem[:3]
        one = a[0, :1] @ b[0].transpose()
        return {"turned": turned @ self.shared, "scores": scores, "mem": mem, "one": one}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_compiled_code_is_what_the_interpreter_says(dtype: str, tmp_path: Path) -> None:
    case = Case(Products, loss.mse("mem"))
    bench = Bench(case, dtype, tmp_path / "bench")
    found = [f"{c.__name__}: {p}" for c in CHECKS for p in c(bench, "custom", Extent(3, 5))]
    dense = Bench(case, dtype, tmp_path / "dense", products="dense")
    given = bench.inputs(Extent(3, 5))
    one, other = bench.load()(given), dense.load()(given)
    names = ("turned", "scores", "mem")
    found += [f"{name}: other bits" for name in names if one[name].tobytes() != other[name].tobytes()]
    assert found == []


def test_spikes_drive_products() -> None:
    target = Target()
    forward = next(s for s in entry_stages(trace(Products()), target) if s.name == "forward")
    *_, (_, graph) = forward.run(target.options)
    found = {str(node.op) for node in graph if node.op.name == "matmul"}
    assert "matmul<b transposed, zeros and ones in b>" in found
    assert "matmul<b transposed, zeros and ones in a>" in found


def test_gradients_are_slopes() -> None:
    traced = trace(Products())
    slopes_agree(traced.graph, "outputs", arguments(traced, loss.mse("mem"), steps=2, batch=2))


@pytest.mark.parametrize(
    ("a", "b", "message"),
    [
        ((3,), (3, 4), "matmul takes values [..., n, k] and [..., k, m] with equal axes in front, found [3]"),
        ((2, 3, 4), (3, 4, 5), "equal axes in front, found [2, 3, 4] and [3, 4, 5]"),
        ((3, 4), (5, 4), "matmul of [3, 4] and [5, 4]: rows of 4 elements meet columns of 5"),
    ],
)
def test_bad_input(a: tuple[int, ...], b: tuple[int, ...], message: str) -> None:
    class Wrong(nn.Module):
        inputs: ClassVar[dict[str, nn.Input]] = {"a": nn.Input(*a), "b": nn.Input(*b)}

        def forward(self, a: Any, b: Any) -> Any:
            return a @ b

    with pytest.raises(CompileError) as error:
        trace(Wrong())
    assert message in str(error.value)
    assert "test_matmul.py:" in str(error.value)


def test_on_arrays_they_compute_at_once() -> None:
    x = GOLDEN["x"]
    np.testing.assert_array_equal(snncc.matmul(x, x, transpose_b=True), x @ x.swapaxes(-1, -2))
