"""`Model.profile` and `snncc inspect --cost`: counted events, calls and times; the same sums before a run."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

import snncc
import snncc.cost.table as costs
from snncc import ModelError, cli, headers, loss, nn, optim
from snncc.backend.calls import CALLS
from snncc.backend.cuda.calls import CALLS as DEVICE_CALLS
from snncc.build import find_compiler
from snncc.commands.cost import Assumed, parse_densities, predict
from snncc.driver import generate, text_of
from snncc.frontend.dsl import trace
from snncc.program import BLOCK_TILES
from snncc.target import Target
from snncc_runtime.kernels import Load, Work, parse_kernels
from snncc_runtime.profile import Profile, Row
from tests.conftest import Golden
from tests.networks import Feedback
from tests.terminal import NETWORK, TRAINED, Terminal, assert_refused

WIDE, STEPS, BATCH = 150, 6, 11


class Watched(nn.Module):
    """Two layers, the first in two panels, whose spikes can be counted from outside."""

    inputs: ClassVar[dict[str, nn.Input]] = {"x": nn.Input(20)}

    def __init__(self) -> None:
        self.fc1, self.lif1 = nn.Linear(20, WIDE), nn.Leaky(0.9)
        self.fc2, self.lif2 = nn.Linear(WIDE, 3), nn.Leaky(0.8)

    def forward(self, x: Any) -> dict[str, Any]:
        hidden, _ = self.lif1(self.fc1(x))
        spk, mem = self.lif2(self.fc2(hidden))
        return {"hidden": hidden, "spk": spk, "mem": mem}


TARGET = Target(STEPS, loss.cross_entropy("mem"), optim.Adam(1e-2), name="watched")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("models") / "watched"
    snncc.compile(Watched(), num_steps=STEPS, loss=TARGET.loss, optimizer=TARGET.optimizer, out=place)
    return place


@cache
def samples(density: float = 0.3, batch: int = BATCH) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(3)
    kept = random.random((STEPS, batch, 20)) < density
    x = np.where(kept, random.uniform(0.5, 3, kept.shape), 0).astype(np.float32)
    return x, random.integers(0, 3, batch)


# What is counted


@pytest.mark.parametrize(("threads", "slots"), [(1, 1), (2, 2), (2, 1), (3, 4)])
@pytest.mark.parametrize("train", [False, True])
def test_events_are_nonzeros_and_calls_are_runs(folder: Path, threads: int, slots: int, train: bool) -> None:
    model = snncc.load(folder, threads=threads, slots=slots, tile=2)
    x, y = samples()
    spikes = np.count_nonzero(model(x).hidden)
    profile = model.profile(x, y if train else None, repeats=2)
    found = {"x": np.count_nonzero(x), "lif1": spikes}
    entries = ("train", "update") if train else ("forward",)
    kernels = {k.name: k for k in parse_kernels(model.manifest) if k.entry in entries}
    load = Load(BATCH, STEPS, 2, slots, BLOCK_TILES)
    for row in profile.rows:
        kernel = kernels[row.kernel]
        assert row.events == found.get(kernel.source, 0), row.kernel
        if kernel.level in ("block", "tile", "step"):
            assert row.calls == load.runs(kernel.level) * kernel.panels, row.kernel
    assert {kernels[row.kernel].source for row in profile.rows} == {"", "x", "lif1"}
    assert profile["x.events"].density == np.count_nonzero(x) / x.size


def test_kernels_have_the_layers_names_in_order_of_execution(folder: Path) -> None:
    model = snncc.load(folder, threads=1, slots=2, tile=4)
    assert [(r.kernel, r.layer) for r in model.profile(*samples(), repeats=1).rows] == [
        ("clear", ""), ("x.events", "x"), ("lif1.load", "lif1"),
        ("fc1.product", "fc1"), ("lif1", "lif1"), ("lif1.events", "lif1"), ("fc2.product", "fc2"),
        ("lif2", "lif2"), ("target.load", "target"), ("loss", "loss"), ("loss.backward", "loss"),
        ("fc1.by_input", "fc1"), ("fc2.backward", "fc2"), ("lif1.backward", "lif1"),
        ("fc1.gradient", "fc1"), ("fc2.gradient", "fc2"), ("add", ""), ("loss.2", "loss"),
        ("loss.store", "loss"), ("update", ""),
    ]  # fmt: skip


def test_the_times_of_kernels_fill_the_call(folder: Path) -> None:
    """In one of several tries: medians of a call and of its kernels differ while others use the machine."""
    (x, y), model = samples(batch=512), snncc.load(folder, threads=1, slots=1)
    for given in ((x,), (x, y)):
        profiles = [model.profile(*given) for _ in range(8)]
        assert all(row.seconds >= 0 for p in profiles for row in p.rows) and profiles[0].waiting == 0
        assert any(0.5 * p.seconds < p.kernel_seconds < 1.02 * p.seconds for p in profiles), str(profiles[-1])


def test_loops_over_time_count_their_steps(tmp_path: Path) -> None:
    model = snncc.compile(Feedback(), num_steps=STEPS, out=tmp_path / "feedback")
    model = snncc.load(tmp_path / "feedback", threads=1, slots=1, tile=4)
    shape = next(io["shape"] for io in model.manifest["io"] if io["role"] == "input")
    profile = model.profile(np.ones((STEPS, BATCH, *shape), np.float32), repeats=1)
    kernels = {k.name: k for k in parse_kernels(model.manifest) if k.entry == "forward"}
    stepped = [row for row in profile.rows if kernels[row.kernel].level == "step"]
    assert {row.calls for row in stepped} == {STEPS * 3}
    assert any("product" in row.does for row in stepped)
    assert any("elementwise" in row.does for row in stepped)


def test_segments_of_time_are_told_apart(tmp_path: Path) -> None:
    options = {"loss": TARGET.loss, "num_steps": STEPS, "checkpoint_every": 4}
    snncc.compile(Watched(), out=tmp_path / "segments", **options)
    model = snncc.load(tmp_path / "segments", threads=1, slots=2, tile=2)
    x, y = samples()
    profile = model.profile(x, y, repeats=1)
    kernels = {k.name: k for k in parse_kernels(model.manifest) if k.entry == "train"}
    assert profile.load.segments == 2
    for row in profile.rows:
        kernel = kernels[row.kernel]
        if kernel.level not in ("once", "slot", "other slot"):
            assert row.calls == profile.load.runs(kernel.level) * kernel.panels, row.kernel
    again = {name for name, kernel in kernels.items() if kernel.level == "segment again"}
    assert {"x.load", "x.events", "fc1.product"} <= {name.removesuffix(".2") for name in again}
    listed = [row for row in profile.rows if row.kernel.startswith("x.events")]
    assert sorted(row.events for row in listed) == [np.count_nonzero(x[:4]), np.count_nonzero(x)]
    assert sorted(row.density for row in listed) == sorted([np.mean(x[:4] != 0), np.mean(x != 0)])


@pytest.mark.parametrize("steps_before", [0, 1])    # without: there is no room for training yet
def test_a_profile_of_training_changes_nothing(folder: Path, steps_before: int) -> None:
    plain, profiled = (snncc.load(folder, slots=2) for _ in range(2))
    x, y = samples()
    for model in (plain, profiled):
        for _ in range(steps_before):
            model.train_step(x, y)
    before = dict(profiled.params)
    profiled.profile(x, y, repeats=3)
    for name, array in profiled.params.items():
        np.testing.assert_array_equal(array, before[name])
    losses = [[model.train_step(x, y) for _ in range(5)] for model in (plain, profiled)]
    assert losses[0] == losses[1]    # the optimiser's state is as it was, too


def test_what_cannot_be_profiled_is_refused(folder: Path, tmp_path: Path) -> None:
    model, (x, y) = snncc.load(folder), samples()
    with pytest.raises(ModelError, match="repeats must be a positive integer, got 0"):
        model.profile(x, repeats=0)
    for other, both in (("state", "state or y"), ("cotangents", "y or cotangents")):
        with pytest.raises(ModelError, match=f"give {both}, not both"):
            model.profile(x, y, **{other: {}})
    with pytest.raises(ModelError, match="input 'x' is missing"):
        model.profile()
    raw = model.manifest
    kept = raw.pop("kernels")
    with pytest.raises(ModelError, match="compiled without a table of kernels; compile it again"):
        model.profile(x)
    raw["kernels"] = [{**kept[0], "work": None}, {}]
    with pytest.raises(ModelError, match="its table of kernels is damaged"):
        model.profile(x)
    raw["kernels"] = kept
    silent = snncc.compile(Watched(), num_steps=STEPS, out=tmp_path / "silent")
    with pytest.raises(ModelError, match="compiled without 'train'; compile it again with a loss"):
        silent.profile(x, y)


# C


PROGRAM = """
#include <stdio.h>
#include <stdlib.h>
#include "model.h"

int main(void)
{
    const watched_config config = {.steps = 6, .tile = 4, .slots = 1, .threads = 1};
    const size_t bytes = watched_arena_bytes(&config);
    static watched_model model;
    static int64_t counts[WATCHED_KERNELS][4];
    static float x[6][8][20];
    if (watched_init(&model, &config, aligned_alloc(64, (bytes + 63) / 64 * 64), bytes)) return 1;
    for (int t = 0; t < 6; t++) x[t][2][5] = 1.0f;
    if (watched_profile(&model, &counts[0][0])) return 2;
    if (watched_forward(&model, &(watched_io){.x = &x[0][0][0]}, 6, 8)) return 3;
    if (watched_profile(&model, NULL)) return 4;
    if (watched_forward(&model, &(watched_io){.x = &x[0][0][0]}, 6, 8)) return 5;
    for (int k = 0; k < WATCHED_KERNELS; k++)
        printf("%lld %lld %d\\n", (long long)counts[k][1], (long long)counts[k][2], counts[k][0] > 0);
    return 0;
}
"""


@pytest.mark.parametrize("clock", [True, False])
def test_plain_c11_without_threads_or_clock_counts_too(tmp_path: Path, clock: bool) -> None:
    sources = generate(trace(Watched()), replace(TARGET, optimizer=None)).sources
    for name, text in {**sources.files, "snncc.h": headers.joined("snncc.h"), "main.c": PROGRAM}.items():
        (tmp_path / name).write_text(text)
    flags = ["-std=c11", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-O1", "-fno-openmp"]
    flags += [] if clock else ["-DSNNCC_NOW()=0"]
    command = [*find_compiler().command, *flags, "main.c", "model.c", "-o", "main"]
    built = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    printed = subprocess.run([tmp_path / "main"], capture_output=True, text=True, check=True).stdout
    counts = [tuple(map(int, line.split())) for line in printed.splitlines()]
    kernels = parse_kernels(text_of(generate(trace(Watched()), replace(TARGET, optimizer=None))).manifest)
    found = {(k.entry, k.name): of for k, of in zip(kernels, counts, strict=True)}
    assert found["forward", "x.events"][:2] == (2, 6)
    panels = next(k.panels for k in kernels if (k.entry, k.name) == ("forward", "fc1.product"))
    assert panels > 1 and found["forward", "fc1.product"][:3] == (2 * panels, 6 * panels, clock)
    assert {of[0] for (entry, _), of in found.items() if entry != "forward"} == {0}


def test_every_call_has_a_cost() -> None:
    """A kind that is not listed here is taken for a copy of rows."""
    copies = "one_hot reorder reorder_once embedding check_spikes take take_once move move_once copy_gradient"
    copies += " copy_rows zero_rows keep_rows restore_rows pack_rows first_steps last_steps copy_if_first"
    rings = {"copy_first", "copy_last", "keep_first", "keep_last", "start_ring", "start_ring_bits"}
    assert CALLS.keys() | DEVICE_CALLS == costs.CALLS.keys() | rings | {*copies.split()}


@pytest.mark.parametrize("density", [0.3, 1.0])
@pytest.mark.parametrize("entry", ["forward", "train"])
def test_a_prediction_has_the_operations_of_the_run(folder: Path, density: float, entry: str) -> None:
    model = snncc.load(folder, threads=1, slots=2, tile=2)
    x, y = samples(density)
    profile = model.profile(x, y if entry == "train" else None, repeats=1)
    found = {"x": profile["x.events"].density, "lif1": profile["lif1.events"].density}
    predicted = predict(model.manifest, entry, profile.load, Assumed(0.1, found), 1)
    assert [row.kernel for row in predicted.rows] == [row.kernel for row in profile.rows]
    for before, after in zip(predicted.rows, profile.rows, strict=True):
        assert before.events == pytest.approx(after.events)
        assert before.dense == after.dense == (density == 1.0 and "or dense" in after.does)
        for name, amount in vars(after.work).items():
            assert getattr(before.work, name) == pytest.approx(amount), (after.kernel, name)


def test_operations_are_those_that_a_person_counts(folder: Path) -> None:
    model = snncc.load(folder, threads=1, slots=1, tile=4)
    x, y = samples()
    spikes, rows = np.count_nonzero(model(x).hidden), STEPS * BATCH
    profile = model.profile(x, y, repeats=1)
    nonzeros = np.count_nonzero(x)
    first, second = profile["fc1.product"].work, profile["fc2.product"].work
    assert (first.dense, first.additions, first.multiplications) == (
        rows * 20 * WIDE, nonzeros * WIDE, nonzeros * WIDE
    )  # fmt: skip
    assert (second.dense, second.additions, second.multiplications) == (rows * WIDE * 3, spikes * 3, 0)
    stride, tiles = 160, 3
    assert first.written == rows * stride * 4
    assert first.read == tiles * 20 * stride * 4 + nonzeros * (2 + 4) + rows * 4
    assert profile["fc2.backward"].work.additions == rows * WIDE * 3
    assert profile["fc1.gradient"].work.additions == nonzeros * WIDE
    dense = sum(row.work.dense for row in profile.rows)
    assert dense == rows * (2 * 20 * WIDE + 3 * WIDE * 3)
    assert profile.saved[1] == dense - 2 * nonzeros * WIDE - rows * WIDE * 3
    assert profile["update"].work.written > 3 * 4 * (20 * WIDE + WIDE + 3 * WIDE + 3)    # Adam: two moments


@pytest.mark.parametrize(
    ("load", "tiles", "blocks", "others"),
    [
        (Load(128, 25, 5, 2, 8), 26, 4, 1),
        (Load(3, 25, 4, 8, 8), 3, 3, 2),    # a slot has one sample at least
        (Load(1, 25, 4, 1, 8), 1, 1, 0),
    ],
)
def test_runs_of_a_call(load: Load, tiles: int, blocks: int, others: int) -> None:
    found = {level: load.runs(level) for level in ("once", "slot", "other slot", "block", "tile", "step")}
    assert found == {
        "once": 1, "slot": others + 1, "other slot": others, "block": blocks, "tile": tiles,
        "step": 25 * tiles,
    }  # fmt: skip


def test_the_prediction_of_an_entry_point_that_is_not_there(folder: Path) -> None:
    manifest = snncc.load(folder).manifest
    with pytest.raises(snncc.CompileError, match="one of forward, backward, evaluate, train, got 'ran'"):
        predict(manifest, "ran", Load(1, 1, 1, 1, 1), Assumed(), 1)
    with pytest.raises(snncc.CompileError, match="no events of 'lif2' are listed, only x, lif1"):
        predict(manifest, "train", Load(1, 1, 1, 1, 1), Assumed(of={"lif2": 0.5}), 1)


# Text


def test_text_of_a_profile(golden: Golden) -> None:
    rows = (
        Row("x.events", "x", "nonzeros listed", 4, 2e-5, 1200, 4000, 0, Work(read=16e3, written=12e3)),
        Row(
            "fc1.product", "fc1", "product, events or dense", 32, 5e-4, 1200, 4000, 0.25,
            Work(4e6, 1.5e6, 1.5e6, 0, 2e6, 1e5),
        ),
        Row("lif1", "lif1", "elementwise, each step", 32, 3e-4, 0, 0, 0, Work(0, 4e6, 1e6, 2e6, 4e6, 4e6)),
        Row("fc2.product", "fc2", "product by events", 4, 1e-7, 7, 1000, 0, Work(1e4, 70, 0, 0, 280, 640)),
        Row("lif2.load", "lif2", "copied in", 4, 1e-7, 0, 0, 0, Work(written=64)),
    )    # fmt: skip
    measured = Profile("net, forward", Load(128, 25, 5, 2, 8), 2, 5e-4, rows, 1e-4)
    golden.check(f"{measured}\n", "txt")
    assert replace(measured, rows=()).saved == (0, 0)
    assert "a call should take 0.500 ms" in str(replace(measured, measured=False))


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        ((), Assumed(0.1, {})),
        (("0.25",), Assumed(0.25, {})),
        (("lif1=0.05", "0.2", "x=1"), Assumed(0.2, {"lif1": 0.05, "x": 1.0})),
    ],
)
def test_densities_as_they_stand_on_the_command_line(texts: tuple[str, ...], expected: Assumed) -> None:
    assert parse_densities(texts) == expected


# Commands


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Terminal:
    monkeypatch.setattr(sys, "path", list(sys.path))
    return Terminal(capsys)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("networks") / "profiled_layers.py"
    path.write_text(NETWORK)
    return str(path)


def line_of(text: str, kernel: str) -> list[str]:
    return next(line.split() for line in text.splitlines() if line.startswith(f"{kernel} "))


def test_inspect_predicts_the_cost(run: Terminal, source: str, tmp_path: Path) -> None:
    options = ("--cost", "--batch", 64, "--density", 0.25, "--density", "lif1=0.5")
    answer = run("inspect", f"{source}:net", *options, "--entry", "train", *TRAINED)
    assert (answer.code, answer.err) == (0, "")
    assert answer.out.startswith("model, train: 64 samples, 5 steps; tiles of ")
    assert line_of(answer.out, "fc1.product")[5:7] == ["320", "0.250"]    # of 64 * 5 * 4
    assert line_of(answer.out, "fc2.product")[5:7] == ["960", "0.500"]
    assert "densities assumed (--density): x 0.25, lif1 0.5" in answer.out
    assert "fc1.product: dense in tiles with a density from 0." in answer.out
    forward = run("inspect", f"{source}:net", *options)
    assert forward.out.startswith("model, forward: 64 samples")
    assert run("compile", f"{source}:net", "-o", tmp_path / "m").code == 0
    of_folder = run("inspect", tmp_path / "m", *options)
    assert line_of(of_folder.out, "fc1.product")[5:7] == ["1,600", "0.250"]    # of 25 steps


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--cost", "--density", "1.5"), "must be a number from 0 to 1, or LAYER=NUMBER, got '1.5'"),
        (("--cost", "--density", "x=many"), "--density must be a number from 0 to 1.*got 'x=many'"),
        (("--cost", "--density", "fc1=0.1"), "no events of 'fc1' are listed, only x, lif1"),
        (("--cost", "--entry", "train"), "must be one of forward, backward, got 'train'; give --loss"),
        (("--cost", "--batch", "0"), "0 is not in the range"),
    ],
)
def test_inspect_refuses_costs_of_nothing(
    run: Terminal, source: str, options: tuple[str, ...], message: str
) -> None:
    assert_refused(run("inspect", f"{source}:net", *options), message)


def test_run_shows_where_the_time_goes(run: Terminal, source: str, tmp_path: Path) -> None:
    assert cli.main(["compile", f"{source}:net", "-o", str(tmp_path / "m"), *TRAINED]) == 0
    x = np.random.default_rng(0).normal(0.5, 1, (5, 7, 4)).astype(np.float32)
    np.savez(tmp_path / "in.npz", x=x)
    answer = run("run", tmp_path / "m", tmp_path / "in.npz", "-o", tmp_path / "out.npz", "--profile")
    assert (answer.code, answer.err) == (0, "")
    assert "model, forward: 7 samples, 5 steps" in answer.out
    assert line_of(answer.out, "fc1.product")[1] == "fc1"
    assert "the call took " in answer.out
    assert set(np.load(tmp_path / "out.npz")) == {"spk", "mem", "lif1.mem_next", "lif2.mem_next"}


def test_crossovers_are_those_of_the_headers(folder: Path) -> None:
    found: Mapping[str, float] = snncc.load(folder).manifest["crossover"]
    assert {"product", "gradient"} <= set(found)
    assert all(f"CROSSOVER {value:g}\n" in headers.joined("snncc.h") for value in found.values())
