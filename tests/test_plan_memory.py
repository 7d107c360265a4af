"""The memory plan: what shares memory is never needed at once, and the peak is what the library asks for."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from itertools import combinations, product
from pathlib import Path

import numpy as np
import pytest

import snncc
from snncc import driver, loss, nn, optim, plan_memory
from snncc.driver import entry_stages
from snncc.frontend.dsl import trace
from snncc.lower import Layout, lower
from snncc.program import Buffer, Entry, Item, Loop, Program, Sweep, used
from snncc.target import DTYPES, Target
from snncc_runtime.instance import Config
from tests import random_networks

ROOT = Path(__file__).parent.parent
SIZES = list(product((1, 3, 25), (1, 5)))  # steps, samples of a tile


@cache
def planned(seed: int) -> Program:
    """A random network as a program with its plan, without C."""
    case = random_networks.case(seed)
    target = Target(loss=case.loss, dtype=("float32", "float64")[seed % 2])
    entries = []
    for stages in entry_stages(case.network, target):
        graph = [g for _, g in stages.run(target.options)][-1]
        entries.append(lower(graph, stages.name, Layout(DTYPES[target.dtype][1])))
    bits = 8 * DTYPES[target.dtype][1]
    return plan_memory.plan_memory(Program("model", bits, tuple(entries), (), ()).verify())


def played(entry: Entry) -> Iterator[Item]:
    """The items of a tile as they run: twice the items of a loop over time, whole loops in between."""
    for item in entry.tile:
        if isinstance(item, Loop):
            yield from (*item.items, *item.items)
        yield item


def touched(item: Item) -> list[Buffer]:
    """The scratch buffers of an item."""
    return [b for b in dict.fromkeys(used(item)) if b.place == "tile"]


def live_sets(entry: Entry) -> Iterator[list[Buffer]]:
    """At each item of a tile, the buffers that were touched before or now, and now or later."""
    items = [touched(item) for item in entry.tile]
    for now in range(len(items)):
        past = {b for item in items[: now + 1] for b in item}
        future = {b for item in items[now:] for b in item}
        yield sorted(past & future, key=lambda b: b.name)


@pytest.mark.parametrize("seed", range(4000, 4014))
def test_what_shares_memory_is_never_needed_at_once(seed: int) -> None:
    for entry in planned(seed).entries:
        region = {b: k for k, r in enumerate(entry.regions) for b in r.buffers}
        for alive in live_sets(entry):
            for one, other in combinations(alive, 2):
                assert region[one] != region[other], f"{entry.name}: {one} and {other}"


@pytest.mark.parametrize("seed", range(4000, 4014))
def test_nothing_is_overwritten_before_its_last_use(seed: int) -> None:
    """The entry played item by item: who wrote into a region last is who is read from it."""
    for entry in planned(seed).entries:
        region = {b: k for k, r in enumerate(entry.regions) for b in r.buffers}
        owner: dict[int, Buffer] = {}
        met: set[Buffer] = set()
        for item in played(entry):
            for buffer in touched(item):
                assert buffer not in met or owner[region[buffer]] == buffer, f"{entry.name}: {buffer}"
                met.add(buffer)
                owner[region[buffer]] = buffer


@pytest.mark.parametrize("seed", range(4000, 4014))
def test_sweeps_read_what_was_made_before(seed: int) -> None:
    for entry in planned(seed).entries:
        known: set[Buffer] = set()
        for item in entry.items:
            if isinstance(item, Sweep):
                read = {p.buffer for p in item.pointers if not p.written}
                read |= {p.initial for p in item.pointers if p.initial}
                unknown = [str(b) for b in read - known if b.place in ("tile", "shared")]
                assert unknown == [], f"{entry.name}: {item.name} reads what nobody made"
            known |= set(used(item))


@pytest.mark.parametrize("seed", range(4005, 4014))
def test_the_peak_covers_what_is_alive(seed: int) -> None:
    program = planned(seed)
    for (steps, tile), slots in product(SIZES, (1, 3)):
        scratch = plan_memory.footprint(program, steps, tile, slots, 1, training=True).scratch
        for entry in program.entries:
            for alive in live_sets(entry):
                assert slots * sum(b.size.at(steps, tile) for b in alive) <= scratch
            for region in entry.regions:
                largest = max(b.size.at(steps, tile) for b in region.buffers)
                assert region.size.at(steps, tile) >= largest
                assert region.size.at(steps, tile) % 64 == 0


def test_every_buffer_has_a_place() -> None:
    for seed in range(4005, 4014):
        for entry in planned(seed).entries:
            places = ("tile", "block", "optional", "result", "panel", "shared", "sum")
            of = {place: {b for b in entry.buffers if b.place == place} for place in places}
            scratch = of["tile"] | of["block"] | of["optional"] | of["result"]
            assert scratch == {b for r in entry.regions for b in r.buffers}
            assert of["panel"] == {b for r in entry.panels for b in r.buffers}
            assert of["shared"] == {b for r in entry.shared for b in r.buffers}
            assert of["sum"] == {b for sums in entry.sums for b in sums}


def test_the_plan_shares_memory_at_all() -> None:
    layers = {f"fc{k}": nn.Linear(64, 64) if k % 2 else nn.Leaky(0.9) for k in range(1, 7)}
    network = trace(nn.Sequential(**layers))
    compiled = driver.generate(network, Target())
    forward = compiled.program.entries[0]
    scratch = sum(r.size.at(25, 8) for r in forward.regions)
    assert scratch < 0.7 * sum(b.size.at(25, 8) for b in forward.buffers if b.place == "tile")


NETWORKS = {
    "trains": (
        nn.Sequential(nn.Linear(7, 33), nn.Leaky(0.9, learn_beta=True), nn.Linear(33, 3), nn.Leaky(0.8)),
        Target(loss=loss.cross_entropy("mem"), optimizer=optim.Adam(1e-3)),
    ),
    "trains in segments": (
        nn.Sequential(nn.Linear(7, 33), nn.Leaky(0.9, learn_beta=True), nn.Linear(33, 3), nn.Leaky(0.8)),
        Target(loss=loss.cross_entropy("mem"), optimizer=optim.Adam(1e-3), checkpoint_every=4),
    ),
    "normalises": (
        nn.Sequential(nn.Linear(7, 33), nn.BatchNorm1d(33), nn.Leaky(0.9), nn.Linear(33, 3), nn.Leaky(0.8)),
        Target(loss=loss.cross_entropy("mem"), optimizer=optim.Adam(1e-3)),
    ),
    "runs": (random_networks.module(np.random.default_rng(17)), Target(dtype="float64")),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_the_footprint_is_what_the_library_asks_for(name: str, tmp_path: Path) -> None:
    module, target = NETWORKS[name]
    compiled = driver.generate(trace(module), target)
    driver.write(compiled, tmp_path / "model")
    instance = snncc.load(tmp_path / "model")._instance
    arena_bytes = instance._library.function("arena_bytes")
    for (steps, tile), slots, threads, training in product(SIZES, (1, 4), (1, 3), (False, True)):
        batch = 100 * (tile > 1)
        config = Config(steps, tile, slots, threads, training, batch)
        found = arena_bytes(instance._c_config(config))
        foot = plan_memory.footprint(compiled.program, steps, tile, slots, threads, training, batch)
        assert found == foot.total, config
        assert bool(foot.whole) is (name == "normalises" and training and batch > 0)


def test_the_plan_as_text() -> None:
    """Figures of the text are those of the footprint."""
    compiled = driver.generate(trace(NETWORKS["trains"][0]), NETWORKS["trains"][1])
    text = plan_memory.describe(compiled.program, 25, 8, 2, 3)
    heads = [line for line in text.splitlines() if " a slot, " in line]
    assert len(heads) == len(compiled.program.entries) > 1
    assert all(line.endswith(" for 8 samples of 25 steps") for line in heads)
    for training, title in ((False, "inference"), (True, "training")):
        total = plan_memory.footprint(compiled.program, 25, 8, 2, 3, training).total
        assert f"peak of {title}, 2 slots, 3 threads: {total:,} bytes" in text
    for entry in compiled.program.entries:
        more = plan_memory.filled(compiled.program, entry, 25, 8, 2, 3)
        assert f"{entry.name} and nothing else: at most {more:,} bytes" in text
    assert [line.split(":")[0] for line in text.splitlines() if line[0] != " "][:4] == [
        "forward", "backward", "evaluate", "train",
    ]  # fmt: skip


FILLS = """
import json
import sys
import numpy as np
import snncc_runtime

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096

def made(model, x_shape, y_shape):
    x = np.random.default_rng(0).random(x_shape, np.float32)
    y = np.zeros(y_shape, np.float32 if len(y_shape) > 1 else np.int64)
    does = {"train": lambda: model.train_step(x, y), "evaluate": lambda: model.evaluate(x, y)}
    run = does.get(sys.argv[2], lambda: model(x))
    before = resident()
    found = [run() for _ in range(2)]
    arrays = [a for out in found if sys.argv[2] == "forward" for a in (*out, *out.state.values())]
    return resident() - before - sum(a.nbytes for a in arrays)

tile, one_x, one_y, x, y = map(json.loads, sys.argv[3:])
made(snncc_runtime.load(sys.argv[1], threads=1, slots=1, tile=1), one_x, one_y)    # what a first call imports
print(made(snncc_runtime.load(sys.argv[1], threads=1, slots=2, tile=tile), x, y))
"""


def filled(folder: Path, entry: str, tile: int, *shapes: tuple[int, ...]) -> int:
    """By how much memory grows in a process that calls one entry point of a model, in bytes.

    shapes: of x and y of a first call, with a sample, and of those that are measured. NumPy asks for pages
    of 2 MiB, which would count as a whole where a byte of them is used.
    """
    command = [sys.executable, "-c", FILLS, str(folder), entry, *map(json.dumps, (tile, *shapes))]
    small = {**os.environ, "NUMPY_MADVISE_HUGEPAGE": "0"}
    return int(subprocess.run(command, check=True, capture_output=True, text=True, env=small).stdout)


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="asks /proc")
def test_what_one_entry_point_fills(tmp_path: Path) -> None:
    """A process that only trains, only evaluates or only calls has as much more memory as is foretold."""
    network = nn.Sequential(nn.Linear(64, 1024), nn.Leaky(0.9), nn.Linear(1024, 8), nn.Leaky(0.9))
    target = Target(loss=loss.mse("rate"), optimizer=optim.Adam(1e-3), products="dense", num_steps=100)
    compiled = driver.generate(trace(network), target)
    driver.write(compiled, tmp_path / "model")
    for entry in compiled.program.entries:
        if entry.name != "backward":
            found = filled(tmp_path / "model", entry.name, 32, (1, 1, 64), (1, 8), (100, 64, 64), (64, 8))
            foretold = plan_memory.filled(compiled.program, entry, 100, 32, 2, 1, 64)
            assert foretold > 20e6
            assert found == pytest.approx(foretold, rel=0.03), entry.name


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="asks /proc")
def test_what_training_on_images_fills(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a spiking ResNet, whose batch normalisation keeps values of the whole batch."""
    monkeypatch.syspath_prepend(str(ROOT / "models"))
    from models.sew_resnet18 import SEWResNet18

    target = Target(loss=loss.cross_entropy("mem_mean"), optimizer=optim.Adam(1e-3), num_steps=2)
    compiled = driver.generate(trace(SEWResNet18(4, depth=1)), target)
    driver.write(compiled, tmp_path / "model")
    image = (3, 32, 32)
    found = filled(tmp_path / "model", "train", 4, (1, *image), (1,), (64, *image), (64,))
    entry = next(e for e in compiled.program.entries if e.name == "train")
    foretold = plan_memory.filled(compiled.program, entry, 2, 4, 2, 1, 64)
    assert foretold > 20e6
    assert found == pytest.approx(foretold, rel=0.02)
