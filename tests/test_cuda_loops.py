"""Loops over time that are one kernel of CUDA: what C computes, by blocks that meet where they have to."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

import snncc
from snncc import loss, nn, optim, plan_meetings
from snncc.driver import generate
from snncc.frontend.dsl import trace
from snncc.nn.connections import FanIn
from snncc.program import Call, Loop, Program, Segments
from snncc.target import Target
from tests.cuda_host import ORDERS
from tests.cuda_pairs import Pair, inputs
from tests.networks import Deep

STEPS, CLASSES = 4, 4
LEARNING = {"loss": loss.cross_entropy("mem"), "optimizer": optim.SGD(0.1), "num_steps": STEPS}


def around(recurrent: nn.Module, size: int) -> nn.Sequential:
    """6 inputs, `size` neurons that hear of each other, and 4 neurons."""
    return nn.Sequential(
        input=nn.Input(6), fc=nn.Linear(6, size), back=recurrent,
        out=nn.Linear(size, CLASSES), last=nn.Leaky(0.75, threshold=0.1),
    )    # fmt: skip


def sparse() -> nn.Sequential:
    return around(nn.Recurrent(nn.Leaky(0.9), nn.SparseLinear(20, 20, FanIn(4))), 20)


class Normalised(nn.Module):
    """In the loop a product that is an output, sums of features, and random numbers of each step."""

    inputs: ClassVar[dict[str, nn.Input]] = {"x": nn.Input(6)}

    def __init__(self) -> None:
        self.fc, self.back, self.norm = nn.Linear(6, 20), nn.Linear(20, 20), nn.LayerNorm(20)
        self.drop, self.lif = nn.Dropout(0.2, per_step=True), nn.Leaky(0.9)

    def forward(self, x: Any) -> dict[str, Any]:
        loop = snncc.delay(shape=20)
        heard = self.back(loop.value)
        spk, mem = self.lif(self.fc(x) + self.drop(self.norm(heard)))
        loop.feed(spk)
        return {"spk": spk, "mem": mem, "heard": heard}


def two_layers() -> nn.Module:
    """One of them wide, both within the loop."""
    network = Deep(530)
    network.last = nn.Leaky(0.7, threshold=0.02)
    return network


# By name: the network, its options, and the samples of a batch.
NETWORKS: dict[str, tuple[Callable[[], nn.Module], dict[str, Any], int]] = {
    "two states, half kept": (
        lambda: around(nn.RSynaptic(0.9, np.linspace(0.5, 0.9, 20), linear_features=20), 20),
        {"context": "float16"}, 35,
    ),
    "four gates": (lambda: around(nn.SLSTM(20, 20, threshold=0.1), 20), {"dtype": "float64"}, 3),
    "sparse": (sparse, {}, 3),
    "normalised": (Normalised, {"checkpoint_every": 3}, 3),
    "more tiles than blocks": (two_layers, {}, 3),    # 34, of which a device of tests/cuda holds 32
}    # fmt: skip


def loops(program: Program) -> Iterator[Loop]:
    for entry in program.entries:
        for item in entry.items:
            inner = (*item.again, *item.items) if isinstance(item, Segments) else (item,)
            yield from (i for i in inner if isinstance(i, Loop))


@pytest.mark.parametrize("name", NETWORKS)
def test_a_loop_gives_the_bits_of_c(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make, options, batch = NETWORKS[name]
    pair = Pair(make(), tmp_path, **{**LEARNING, **options})
    given = {name: 8 * array for name, array in inputs(pair.c, STEPS, batch).items()}
    targets = np.arange(batch) % CLASSES
    assert len(np.unique(pair.c(given)["spk"])) > 1
    for order in ORDERS:
        monkeypatch.setenv("SNNCC_HOST_ORDER", order)
        pair.check_calls(given)
    pair.check_training(given, targets)
    found = list(loops(generate(trace(make()), Target(target="cuda", **{**LEARNING, **options})).program))
    assert found and all(map(plan_meetings.persistent, found))
    text = (tmp_path / "cuda" / "model.cu").read_text()
    assert len(re.findall(r"_loop(_\d+)?\(stream", text)) == len(found)


def test_a_missing_meeting_shows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks that never meet read what others have not yet written."""
    monkeypatch.setattr(plan_meetings, "_clash", lambda *_: False)
    pair = Pair(around(nn.RLeaky(0.9, linear_features=40), 40), tmp_path)
    given = 8 * inputs(pair.c, STEPS, 3)["x"]
    expected, found = (model(given)["spk"] for model in pair.both)
    np.testing.assert_array_equal(found[0], expected[0])    # nothing of another neuron is in the first step
    assert (found != expected).any()


def test_where_blocks_meet() -> None:
    """Before a product, which reads what neurons of other blocks did, and nowhere else."""
    network = trace(around(nn.RSynaptic(0.9, 0.8, linear_features=20), 20))
    for loop in loops(generate(network, Target(target="cuda", **LEARNING)).program):
        turns = plan_meetings.turns(loop)
        assert [turn.meet for turn in turns if turn.meet] == [True]
        (call,) = (turn.items[0] for turn in turns if turn.meet)
        assert isinstance(call, Call) and call.kind == "product_dense"


def test_blocks_meet_before_and_behind_a_sparse_product() -> None:
    """There a block has whole samples."""
    program = generate(trace(sparse()), Target(target="cuda", **LEARNING)).program
    meetings = {loop.reverse: [t.meet for t in plan_meetings.turns(loop)] for loop in loops(program)}
    assert meetings == {False: [False, True, True], True: [False, True]}


def test_other_loops_start_their_kernels_step_by_step(tmp_path: Path) -> None:
    """What comes back through a convolution."""
    network = nn.Sequential(input=nn.Input(2, 4, 4), back=nn.RLeaky(0.9, conv2d_channels=2, kernel_size=3))
    pair = Pair(network, tmp_path)
    given = {name: 8 * array for name, array in inputs(pair.c, STEPS, 2).items()}
    pair.check_calls(given)
    text = (tmp_path / "cuda" / "model.cu").read_text()
    assert "_loop(stream" not in text and "for (int t = 0; t < steps; t++) {" in text
