"""Linear layers of tokens [..., n]: compiled code beside the interpreter, and PyTorch's attention of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import pytest

import snncc
from snncc import loss, nn
from snncc.frontend.dsl import trace
from tests.networks import CLASSES, Bench, Case, Extent, difference
from tests.test_differentiate import arguments, slopes_agree
from tests.test_end_to_end import CHECKS, check_gradients_of_everything, check_loss_and_its_gradients
from tests.test_matmul import GOLDEN, HEADS, STEPS, TOKENS, WIDTH

TRAINING = (check_gradients_of_everything, check_loss_and_its_gradients)


class Tokens(nn.Module):
    """Spikes and numbers as tokens, wide and narrow, in a loop, without a time axis, and all in one."""

    inputs: ClassVar[dict[str, nn.Input]] = {"x": nn.Input(5, 12), "still": nn.Input(5, 3, static=True)}

    def __init__(self) -> None:
        self.fc1, self.fc2, self.fc3 = nn.Linear(12, 70), nn.Linear(70, 9), nn.Linear(9, 1)
        self.of_still, self.back = nn.Linear(3, 9, bias=False), nn.Linear(9, 9)
        self.lif1, self.lif2 = nn.Leaky(0.9, 0.5), nn.Leaky(0.8, 0.5)
        self.out, self.last = nn.Linear(45, CLASSES), nn.Leaky(0.7, 0.5)

    def forward(self, x: Any, still: Any) -> dict[str, Any]:
        spk, _ = self.lif1(self.fc1(x))
        loop = nn.delay(shape=(5, 9))
        spk2, _ = self.lif2(self.fc2(spk) + self.of_still(still) + 0.25 * self.back(loop.value))
        loop.feed(spk2)
        result = self.last(self.out((spk2 + spk[:, ::8]).reshape(45)))
        return {"spk": result.spk, "mem": result.mem, "single": self.fc3(snncc.tanh(spk2 * 0.5))}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_compiled_code_is_what_the_interpreter_says(dtype: str, tmp_path: Path) -> None:
    bench = Bench(Case(Tokens, loss.cross_entropy("mem")), dtype, tmp_path / "bench")
    extent = Extent(3, 5)
    assert 0.02 < bench.reference("forward", extent, bench.inputs(extent))["output", "spk"].mean() < 0.8
    found = [f"{c.__name__}: {p}" for c in CHECKS for p in c(bench, "custom", extent)]
    assert found == []


def test_gradients_are_slopes() -> None:
    traced = trace(Tokens())
    slopes_agree(traced.graph, "outputs", arguments(traced, loss.mse("mem"), steps=2))


class Attention(nn.Module):
    """The attention of test_matmul, its projections layers."""

    inputs: ClassVar[dict[str, nn.Input]] = {"x": nn.Input(TOKENS, WIDTH)}

    def __init__(self) -> None:
        self.q, self.k, self.v = (nn.Linear(WIDTH, WIDTH, bias=False) for _ in "qkv")

    def forward(self, x: Any) -> dict[str, Any]:
        q, k, v = (fc(x).reshape(TOKENS, HEADS, -1).permute(1, 0, 2) for fc in (self.q, self.k, self.v))
        scores = snncc.matmul(q, k, transpose_b=True) / (WIDTH // HEADS) ** 0.5
        return {"out": (snncc.softmax(scores) @ v).permute(1, 0, 2).reshape(TOKENS, WIDTH)}


def test_attention_is_pytorchs() -> None:
    model = snncc.compile(Attention(), num_steps=STEPS, dtype="float64")
    for name in "qkv":
        model.params[f"{name}.weight"] = GOLDEN[name].T
    assert difference(model(GOLDEN["x"])["out"], GOLDEN["out"]) <= 1e-10
    d_out = 2 * (GOLDEN["out"] - GOLDEN["target"]) / GOLDEN["out"].size
    found = model.backward(GOLDEN["x"], cotangents={"out": d_out})
    assert difference(found.inputs["x"], GOLDEN["d_x"]) <= 1e-10
    for name in "qkv":
        assert difference(found.params[f"{name}.weight"].T, GOLDEN[f"d_{name}"]) <= 1e-10


def test_tokens_of_another_width_are_refused() -> None:
    with pytest.raises(snncc.CompileError, match=r"takes 4 features, its input has shape \[4, 3\]; put"):
        trace(nn.Sequential(fc=nn.Linear(4, 2), input=nn.Input(4, 3)))


def test_a_spikformer_trains_as_the_interpreter_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1] / "models"))
    from models.spikformer import Spikformer

    case = Case(lambda: Spikformer(width=12, heads=2, hidden=20, depth=1), loss.cross_entropy("mem_mean"))
    bench = Bench(case, "float64", tmp_path / "bench")
    extent = Extent(3, 2)
    found = [f"{c.__name__}: {p}" for c in TRAINING for p in c(bench, "custom", extent)]
    assert found == []
