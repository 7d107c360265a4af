"""Loops over time that are one kernel of CUDA: what C computes, by blocks that meet where they have to."""

from __future__ import annotations

import re
import subprocess
import sys
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
from tests import cuda_host
from tests.cuda_host import ORDERS
from tests.cuda_pairs import Pair, inputs
from tests.networks import Deep

ROOT = Path(__file__).parents[1]
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


class Images(nn.Module):
    """In the loop convolutions, with strides, odd channels and edges, pools, slices, products of matrices."""

    inputs: ClassVar[dict[str, nn.Input]] = {"x": nn.Input(4, 5, 5)}

    def __init__(self) -> None:
        self.each = nn.Conv2d(4, 4, 3, padding=1, groups=4)
        self.down, self.up = nn.Conv2d(4, 6, 3, stride=2, padding=1), nn.ConvTranspose2d(6, 4, 3, 2, 1)
        self.same = nn.Conv2d(4, 4, (2, 3), padding="same", dilation=2, bias=False)
        self.largest, self.mean = nn.MaxPool2d(3, 1, 1), nn.AvgPool2d(2, 1, 1)
        self.near, self.far = nn.Leaky(0.9), nn.Leaky(0.8, threshold=0.2)

    def forward(self, x: Any) -> dict[str, Any]:
        loop = snncc.delay(shape=(4, 5, 5))
        rows = loop.value.reshape(4, 25)
        mixed = snncc.matmul(snncc.matmul(rows, rows, transpose_b=True), rows).reshape(4, 5, 5)
        spk, mem = self.near(x + self.each(loop.value) + self.same(loop.value) - 0.1 * mixed)
        far = self.far(self.mean(self.largest(self.down(spk)))[:, :3, :3]).spk
        loop.feed(self.up(far))
        return {"spk": spk, "mem": mem.reshape(100)[:CLASSES]}


def image_loop(channels: int, side: int, size: int) -> nn.Sequential:
    back = nn.RLeaky(0.9, conv2d_channels=channels, kernel_size=size)
    return nn.Sequential(
        input=nn.Input(2, side, side), conv=nn.Conv2d(2, channels, 3, padding=1), back=back,
        flat=nn.Flatten(), out=nn.Linear(channels * side * side, CLASSES), last=nn.Leaky(0.75, threshold=0.1),
    )    # fmt: skip


class Squares(nn.Module):
    """For the sanitizers: 8 numbers that are two small images, and inputs of late synapses."""

    inputs: ClassVar[dict[str, nn.Input]] = {"x": nn.Input(2, 2, 2)}

    def __init__(self) -> None:
        self.down, self.up = nn.Conv2d(2, 3, 3, 2, 1), nn.ConvTranspose2d(3, 2, 2)
        self.late, self.lif = nn.DelayedLinear(8, 8, max_delay=2), nn.Leaky(0.9)

    def forward(self, x: Any) -> dict[str, Any]:
        loop = snncc.delay(shape=(2, 2, 2))
        back = self.up(self.down(loop.value)) + self.late(loop.value.reshape(8)).reshape(2, 2, 2)
        return {"spk": loop.feed(self.lif(x + back).spk)}


def late() -> nn.Sequential:
    """Synapses whose delays are learned."""
    synapses = nn.DelayedLinear(20, 20, max_delay=2, learn_delays=True, connections=FanIn(4))
    return around(nn.Recurrent(nn.Leaky(0.9), synapses), 20)


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
    "images": (Images, {}, 3),
    "weights that do not stay": (lambda: image_loop(32, 2, 7), {"dtype": "float64"}, 1),
    "late": (late, {}, 3),
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


WATCHED = """
import sys
import numpy as np
import snncc
from tests.cuda_pairs import executed_on_the_host, inputs
from tests.test_cuda_loops import STEPS, Squares

with executed_on_the_host(sys.argv[1]):
    model = snncc.compile(Squares(), target="cuda")
x = inputs(model, STEPS, 9)
model.backward(x, spk=model(x)["spk"])
"""


@pytest.mark.parametrize("variant", ["address", "thread"])
def test_sanitizers_find_nothing(variant: str) -> None:
    command = [sys.executable, "-c", WATCHED, variant]
    watched = {**cuda_host.environment(variant), "PYTHONPATH": f"{ROOT}:{ROOT / 'runtime'}"}
    answer = subprocess.run(command, capture_output=True, text=True, env=watched, check=False)
    assert (answer.returncode, answer.stdout, answer.stderr) == (0, "", "")


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


class Chosen(nn.Module):
    """What comes back is a softmax of it."""

    inputs: ClassVar[dict[str, nn.Input]] = {"x": nn.Input(20)}

    def __init__(self) -> None:
        self.lif = nn.Leaky(0.9, threshold=0.5)

    def forward(self, x: Any) -> Any:
        loop = snncc.delay(shape=20)
        spk, mem = self.lif(x + snncc.softmax(loop.value))
        loop.feed(mem)
        return spk


def test_other_loops_start_their_kernels_step_by_step(tmp_path: Path) -> None:
    pair = Pair(Chosen(), tmp_path)
    given = {name: array / 8 for name, array in inputs(pair.c, STEPS, 2).items()}
    pair.check_calls(given)
    text = (tmp_path / "cuda" / "model.cu").read_text()
    assert "    for (int t = 0; t < steps; t++) {" in text.partition("forward_kernels")[2]


class Shapes(nn.Module):
    """32 numbers as 16 pixels of 2 channels, and as 4 tokens of 8 features."""

    inputs: ClassVar[dict[str, nn.Input]] = {"x": nn.Input(2, 4, 4)}

    def __init__(self) -> None:
        self.conv, self.tokens, self.lif = nn.Conv2d(2, 2, 3, padding=1), nn.Linear(8, 8), nn.Leaky(0.9)

    def forward(self, x: Any) -> Any:
        loop = snncc.delay(shape=(2, 4, 4))
        back = self.tokens(loop.value.reshape(4, 8)).reshape(2, 4, 4)
        return loop.feed(self.lif(x + self.conv(loop.value) + back).spk)


def test_numbers_that_two_products_share_in_two_ways() -> None:
    """A thread would have other elements behind each."""
    found = list(loops(generate(trace(Shapes()), Target(target="cuda")).program))
    assert found and not any(map(plan_meetings.persistent, found))


def test_convolutions_in_one_kernel_take_no_memory() -> None:
    """What the adjoint adds up over windows stays in registers."""
    program = generate(trace(image_loop(4, 4, 3)), Target(target="cuda", **LEARNING)).program
    calls = [i for loop in loops(program) for i in loop.items if isinstance(i, Call)]
    assert {call.kind for call in calls} == {"conv_dense", "conv_transpose_dense"}
    assert all(b is None or b.layout != "scratch" for call in calls for b in call.buffers)
