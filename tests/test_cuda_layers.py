"""Synapses, steps and moved features on CUDA: what the C backend computes, bit for bit."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

import snncc
from snncc import nn
from snncc.driver import generate
from snncc.frontend.dsl import trace
from snncc.nn.connections import FanIn, Local, Probability
from snncc.program import Call, Loop, flat
from snncc.target import Target
from tests.cuda_host import ORDERS
from tests.cuda_pairs import Pair, inputs

STEPS, BATCH, CLASSES = 5, 3, 4
SIZE = 70    # more than a block's threads for a row of synapses


class Synapses(nn.Module):
    """Sparse and late synapses, given and learned, around a loop as well, and rows by whole numbers."""

    inputs: ClassVar[dict[str, nn.Input]] = {"words": nn.Input(20, dtype="int"), "x": nn.Input(9)}

    def __init__(self) -> None:
        self.table, self.flat = nn.Embedding(3, 4), nn.Flatten()
        self.wide = nn.SparseLinear(80, SIZE, FanIn(5))
        self.all = nn.DelayedLinear(9, SIZE, max_delay=3, seed=2)
        self.first, self.each, self.two = nn.Leaky(0.9), nn.Delay(np.arange(SIZE) % 4), nn.Delay(2)
        self.learned = nn.DelayedLinear(SIZE, SIZE, max_delay=3, learn_delays=True, connections=FanIn(4))
        self.back = nn.SparseLinear(SIZE, SIZE, Local((SIZE,), 2, wrap=True), bias=False)
        self.echo = nn.DelayedLinear(SIZE, SIZE, max_delay=2, learn_delays=True, connections=FanIn(3))
        self.second, self.late = nn.Leaky(0.8), nn.Delay(np.linspace(0, 3, SIZE), learn=True, max_delay=3)
        self.out = nn.SparseLinear(SIZE, CLASSES, Probability(1.0))

    def forward(self, words: Any, x: Any) -> dict[str, Any]:
        spk, mem = self.first(self.wide(self.flat(self.table(words))) + self.all(x))
        loop = snncc.delay(shape=SIZE, steps=2)
        spk, _ = self.second(self.learned(self.each(mem)) + self.back(loop.value) + self.echo(loop.value))
        loop.feed(spk)
        return {"spk": spk, "mem": self.out(self.late(mem) + self.two(spk))}


class Delays(nn.Module):
    """Delays of several steps in loops over time, of spikes and of numbers alone, and outside of loops."""

    inputs: ClassVar[dict[str, nn.Input]] = {"x": nn.Input(9)}

    def __init__(self) -> None:
        self.fc, self.lif, self.late = nn.Linear(9, 20), nn.Leaky(0.9), nn.Delay(3)
        self.back, self.out = nn.Linear(20, 20), nn.Linear(20, CLASSES)

    def forward(self, x: Any) -> dict[str, Any]:
        loop, echo = snncc.delay(shape=20, steps=2), snncc.delay(shape=CLASSES, steps=3)
        spk, mem = self.lif(self.late(self.fc(x)) + self.back(loop.value))
        loop.feed(spk)
        return {"spk": spk, "late": self.late(spk), "mem": echo.feed(self.out(mem) + 0.5 * echo.value)}


class Parallel(nn.Module):
    """Neurons over all steps at once."""

    inputs: ClassVar[dict[str, nn.Input]] = {"x": nn.Input(20)}

    def __init__(self) -> None:
        self.psn, self.masked, self.sliding = nn.PSN(STEPS), nn.MaskedPSN(2, STEPS, 0.5), nn.SlidingPSN(3)

    def forward(self, x: Any) -> dict[str, Any]:
        (spk,), (masked,), (sliding,) = self.psn(x), self.masked(x), self.sliding(x)
        return {"spk": spk, "sum": spk + masked * sliding}


class Features(nn.Module):
    """Features moved, indexed and multiplied: of steps, of samples and of parameters."""

    inputs: ClassVar[dict[str, nn.Input]] = {"x": nn.Input(3, 4, 6), "still": nn.Input(6, static=True)}

    def __init__(self) -> None:
        self.conv, shapes = nn.Conv2d(3, 3, 1), ((3, 4, 6), (2, 6), (3, 4))
        given = (nn.Parameter(s, np.arange(float(np.prod(s))).reshape(s) / 8) for s in shapes)
        self.image, self.weight, self.scale = given

    def forward(self, x: Any, still: Any) -> dict[str, Any]:
        image = self.conv(x) * self.image
        turned = x[::-1, 1:].permute(1, 2, 0)    # [3, 6, 3]
        parts = [turned, x.permute(0, 2, 1)[..., ::3], snncc.broadcast_to(still[:3], (3, 6, 3))]
        joined = snncc.concat(parts, axis=-1)    # [3, 6, 8]
        scores = snncc.softmax(snncc.matmul(turned, joined, transpose_a=True))    # [3, 3, 8]
        table = snncc.matmul(self.weight, self.image.reshape(6, 12))[:, 1::4]    # [2, 3]
        scaled = snncc.take(self.scale, [5, 5, 0, 11, 2, 3]) * snncc.take(still, [1, 0, 0, 3, 4, 5])
        padded = snncc.pad(x.sum((0, 1)) + x.sum(1)[1], [(2, 1)])
        added = snncc.scatter_add(padded, np.arange(9) % 6, (6,)) + scaled
        table = table * self.weight[:, ::2] + self.scale.reshape(2, 2, 3).sum(1)
        return {"heads": scores @ image.reshape(3, 8, 3)[..., 1:], "table": table, "added": added}


NETWORKS: dict[str, tuple[Callable[[], nn.Module], str, set[str]]] = {
    "synapses": (Synapses, "float64", {
        "embedding", "embedding_gradient", "sparse_rows", "sparse_gradient_rows", "sparse_input_gradient",
        "late_rows", "late_gradient_rows", "late_input_gradient", "first_steps", "last_steps",
        "late_before", "late_step", "late_input_gradient_step", "start_ring",
    }),
    "parallel": (Parallel, "float64", {
        "mix_steps", "mix_steps_transposed", "steps_gradient", "at_step", "sum_at_step",
    }),
    "features": (Features, "float32", {
        "move", "move_once", "move_sum", "move_sum_once", "take", "take_once",
        "scatter_add", "scatter_add_once", "matmul", "matmul_once", "reorder", "reorder_once",
    }),
}    # fmt: skip


def kinds(network: nn.Module, **options: Any) -> set[str]:
    """Of all calls of the program."""
    program = generate(trace(network), Target(num_steps=STEPS, target="cuda", **options)).program
    items = [item for entry in program.entries for item in flat(entry.items)]
    looped = [inner for item in items if isinstance(item, Loop) for inner in item.items]
    return {item.kind for item in (*items, *looped) if isinstance(item, Call)}


@pytest.mark.parametrize("name", NETWORKS)
def test_layers_give_the_bits_of_c(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    network, dtype, called = NETWORKS[name]
    assert called <= kinds(network())
    pair = Pair(network(), tmp_path, dtype=dtype, num_steps=STEPS)
    for order in ORDERS:
        monkeypatch.setenv("SNNCC_HOST_ORDER", order)
        pair.check_calls(inputs(pair.c, STEPS, BATCH))


@pytest.mark.parametrize("segment", [None, 2])
def test_delays_give_the_bits_of_c(segment: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also in segments shorter than the delays; samples that end in any of them."""
    found = kinds(Delays(), checkpoint_every=segment)
    assert found >= ({"keep_first", "keep_last", "keep_rows", "restore_rows"} if segment else {"start_ring"})
    pair = Pair(Delays(), tmp_path, num_steps=STEPS, checkpoint_every=segment, lengths=True)
    for order in ORDERS:
        monkeypatch.setenv("SNNCC_HOST_ORDER", order)
        pair.check_calls(inputs(pair.c, STEPS, BATCH), lengths=np.array([5, 1, 4]))
