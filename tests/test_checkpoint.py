"""checkpoint_every: time in segments, the forward half run again; not a bit of a result changes."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

import snncc
from snncc import driver, loss, nn, optim, plan_memory
from snncc.frontend.dsl import trace
from snncc.nn.module import Module
from snncc.ops import sum_time
from snncc.program import Buffer, Entry, Item, Segments, used
from snncc.target import Target
from tests import random_networks
from tests.mistakes import refused
from tests.networks import Array, Bench, Case, Custom, Deep, Extent, Feedback, Shared, Stack, TwoRoads
from tests.terminal import NETWORK, TRAINED, Terminal
from tests.test_passes import check
from tests.test_variants import everything


def late() -> nn.Module:    # states that nothing reads in the forward half, once the backward half makes them
    return nn.Sequential(nn.Linear(6, 5), nn.SlidingPSN(4), nn.Linear(5, 4), nn.SlidingPSN(3))


class Memoryless(nn.Module):
    """Each step by itself: no value goes from one to the next, forward or backward."""

    inputs: ClassVar[dict[str, nn.Input]] = {"x": nn.Input(6)}

    def __init__(self) -> None:
        self.a, self.b = nn.Linear(6, 5), nn.Linear(5, 4)

    def forward(self, x: Any) -> Any:
        return {"mem": self.b(snncc.tanh(self.a(x)))}


# Networks of every kind with a dtype and lengths of a segment; all lengths of calls meet all of them.
CASES: dict[str, tuple[Case, str, tuple[int, ...]]] = {
    "stack": (Case(lambda: Stack(130, "subtract", False), loss.cross_entropy("mem")), "float32", (1, 4)),
    "rate": (Case(lambda: Stack(64, "zero", True), loss.mse("rate", on=0.75)), "float64", (3, 20)),
    "roads": (Case(TwoRoads, loss.mse("mem", on=1.5, off=0.25)), "float32", (2,)),
    "feedback": (Case(lambda: Feedback(150), loss.cross_entropy("count")), "float32", (1, 4)),
    "deep": (Case(Deep, loss.cross_entropy("rate")), "float64", (3,)),
    "shared": (Case(Shared, loss.cross_entropy("mem")), "float64", (2,)),
    "custom": (Case(Custom, loss.mse("count", on=0.8, off=0.2)), "float32", (4,)),
    "memoryless": (Case(Memoryless, loss.cross_entropy("mem")), "float32", (1, 3)),
    "late": (Case(late, loss.mse("rate", on=0.75)), "float32", (1, 2)),
}
EXTENTS = (Extent(9, 5), Extent(8, 9), Extent(4, 2), Extent(2, 3), Extent(1, 3))
LOADS = ({}, {"threads": 2, "slots": 1, "tile": 3}, {"threads": 2, "slots": 3, "tile": 1})


@pytest.mark.parametrize("name", CASES)
def test_segments_change_no_bit(name: str, tmp_path: Path) -> None:
    case, dtype, lengths = CASES[name]
    plain = Bench(case, dtype, tmp_path / "plain")
    for every in lengths:
        bench = Bench(case, dtype, tmp_path / str(every), checkpoint_every=every)
        for extent in EXTENTS:
            assert different(everything(bench, extent), everything(plain, extent)) == [], (every, extent)
        for load in LOADS:
            assert different(trained(bench, load), trained(plain, load)) == [], (every, load)


def different(found: dict[str, Array], expected: dict[str, Array]) -> list[str]:
    assert list(found) == list(expected)
    return [key for key, array in expected.items() if not np.array_equal(found[key], array)]


def trained(bench: Bench, load: dict[str, int]) -> dict[str, Array]:
    """The loss and gradients of a batch of several tiles."""
    extent, model = Extent(7, 11), bench.load(**load)
    value = model.train_step(bench.inputs(extent), bench.targets(extent), num_steps=extent.steps)
    return {"loss": np.array(value), **model.gradients()}


# A scan, feedback, two neurons, and a loss that sees a delay.
@pytest.mark.parametrize("seed", [4009, 4013, 4029, 4037])
def test_random_networks_change_no_bit(seed: int, tmp_path: Path) -> None:
    case, results = random_networks.case(seed), []
    call = random_networks.arguments(np.random.default_rng(seed), case.network, case.loss, steps=7, batch=3)
    for every in (None, 3):
        target = Target(loss=case.loss, optimizer=optim.SGD(0.0), dtype="float64", checkpoint_every=every)
        driver.write(driver.generate(case.network, target), tmp_path / str(every))
        model = snncc.load(tmp_path / str(every), threads=1, slots=2, tile=2)
        model.params.update(call.parameters)
        x = {name: call.inputs[name] for name in case.network.inputs}
        value = model.train_step(x, call.inputs["target"], num_steps=call.steps)
        out = model(x, state=call.states, num_steps=call.steps)
        ones = {name: np.ones_like(out[name]) for name in model.output_names}
        back = model.backward(x, state=call.states, cotangents=ones, num_steps=call.steps)
        groups = (model.gradients(), out.state, back.inputs, back.params, back.state)
        results.append({f"{k} {n}": a for k, group in enumerate(groups) for n, a in group.items()})
        results[-1] |= {"loss": np.array(value)} | {name: out[name] for name in model.output_names}
    assert different(results[1], results[0]) == []


@pytest.mark.parametrize("seed", range(40, 50))
def test_the_parts_keep_the_meaning(seed: int) -> None:
    case = random_networks.case(seed)
    for stages, target in case.entries():
        check(stages, replace(target.options, checkpoint_every=2), case.call)


def test_steps_one_at_a_time_and_states_go_on(tmp_path: Path) -> None:
    """Streaming and passing states are as without segments."""
    bench = Bench(CASES["feedback"][0], "float32", tmp_path / "model", checkpoint_every=3)
    extent = Extent(8, 4)
    x, model = bench.inputs(extent)["x"], bench.load()
    whole, first = model(x), model(x[:5])
    rest = model(x[5:], state=first.state)
    np.testing.assert_array_equal(np.concatenate([first.spk, rest.spk]), whole.spk)
    np.testing.assert_array_equal(rest.state["lif.mem"], whole.state["lif.mem"])


# What it cannot do


class Centred(nn.Module):
    """Subtracts the sum over all steps at each step."""

    inputs: ClassVar[dict[str, nn.Input]] = {"x": nn.Input(3)}

    def forward(self, x: Any) -> Any:
        return x - sum_time(x)


def test_a_sum_over_all_steps_that_a_step_reads_is_refused() -> None:
    def mistake() -> object:
        return driver.generate(trace(Centred()), Target(checkpoint_every=2))

    assert refused(mistake) == (
        "%sub of a step needs %sum_time, which is known only after all steps, so steps cannot be computed "
        "segment by segment; compile without checkpoint_every, and with a rule that has no windows "
        "(rule='bptt' or 'dsr')"
    )
    driver.generate(trace(Centred()), Target())


@pytest.mark.parametrize("every", [0, -3, 2.5, True, "4"])
def test_lengths_that_make_no_sense_are_refused(every: Any) -> None:
    def mistake() -> object:
        return snncc.compile(nn.Sequential(nn.Linear(2, 2), nn.Leaky(0.9)), checkpoint_every=every)

    assert refused(mistake) == f"checkpoint_every must be None or a positive number of steps, got {every!r}"


# Memory


def long(every: int | None) -> driver.Compiled:
    """Two layers over a thousand steps."""
    net: Module = nn.Sequential(nn.Linear(64, 256), nn.Leaky(0.9), nn.Linear(256, 3), nn.Leaky(0.9))
    target = Target(1000, loss.cross_entropy("mem"), optim.SGD(0.1), checkpoint_every=every)
    return driver.generate(trace(net), target)


def test_memory_is_that_of_a_segment() -> None:
    plain, found = long(None), long(50)
    assert found.tile == plain.tile, "another tile would add samples in another order"
    sizes = []
    for compiled in (plain, found):
        foot = plan_memory.footprint(compiled.program, 1000, 1, 1, 1, training=True)
        sizes.append(foot.scratch + foot.panels)
    rows = 1000 * 64 * 4    # of the input, which segments copy and all steps at once are read where they lie
    assert sizes[1] < 1.3 / 20 * (sizes[0] + rows)
    text = plan_memory.describe(found.program, 1000, 1, 1, 1)
    assert "1 samples of 1000 steps, 50 of them at a time" in text


@cache
def planned(seed: int) -> tuple[Entry, ...]:
    case = random_networks.case(seed)
    target = Target(loss=case.loss, optimizer=optim.SGD(0.0), checkpoint_every=2)
    return driver.generate(case.network, target).program.entries


def played(entry: Entry) -> Iterator[Item | None]:
    """The items of a tile as they run in three segments; None where a segment's values begin anew."""
    for item in entry.tile:
        if isinstance(item, Segments):
            for turn in range(3):
                if not item.reverse or turn:
                    yield None
                yield from (*(item.again if turn else ()), *item.items)
        else:
            yield item


@pytest.mark.parametrize("seed", range(4000, 4014))
def test_nothing_is_overwritten_before_its_last_use(seed: int) -> None:
    """What has no time axis, and what a segment holds, is its region's last user's until it is used."""
    for entry in planned(seed):
        region = {b: k for k, r in enumerate(entry.regions) for b in r.buffers}
        owner: dict[int, Buffer] = {}
        met: set[Buffer] = set()
        for item in played(entry):
            if item is None:
                met = {b for b in met if not b.time or b.layout == "marks"}
                continue
            for buffer in dict.fromkeys(b for b in used(item) if b in region):
                assert buffer not in met or owner[region[buffer]] == buffer, f"{entry.name}: {buffer}"
                met.add(buffer)
                owner[region[buffer]] = buffer


# The command line


def test_the_command_line_takes_it(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))    # commands put the folders of networks there
    run, source = Terminal(capsys), tmp_path / "two_layers.py"
    source.write_text(NETWORK)
    option = ("--checkpoint-every", "4")
    assert "4 of them at a time" in run("inspect", f"{source}:net", "--memory", *TRAINED, *option).out
    after = ("--after", "split-time", "--entry", "train")
    shown = run("inspect", f"{source}:net", *after, *TRAINED, *option).out
    assert ", forward" in shown
    assert ", backward" in shown
    assert run("check", f"{source}:net", *TRAINED, *option).code == 0
    refused_by = run("inspect", f"{source}:net", "--memory", "--checkpoint-every", "0")
    assert (refused_by.code, refused_by.err) == (
        2,
        "snncc: checkpoint_every must be None or a positive number of steps, got 0\n",
    )
