"""Threads that share the panels of a slot: what one of them finds wrong must not leave the others waiting."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import snncc
from snncc import loss, nn, optim

CALLS = """
import sys
import numpy as np
import snncc_runtime

folder, threads, batch, where = sys.argv[1], *map(int, sys.argv[2:])
model = snncc_runtime.load(folder, threads=threads, slots=1, tile=4)
x, y = np.ones((6, batch, 20), np.float32), np.zeros(batch, np.int64)
x[3, where] = np.nan
for call in [lambda: model(x), lambda: model.train_step(x, y)] * 30:
    try:
        call()
        sys.exit("a NaN was taken for a number")
    except snncc_runtime.ModelError as error:
        assert "nan" in str(error), error
x[3, where] = 1.0
assert np.isfinite(model.train_step(x, y))
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network of several panels."""
    layers = {"fc1": nn.Linear(20, 200), "lif1": nn.Leaky(0.9)}
    layers |= {"fc2": nn.Linear(200, 10), "lif2": nn.Leaky(0.9)}
    where = tmp_path_factory.mktemp("teams") / "model"
    options = {"loss": loss.cross_entropy("mem"), "optimizer": optim.Adam(1e-3), "num_steps": 6}
    snncc.compile(nn.Sequential(**layers), out=where, **options)
    return where


@pytest.mark.parametrize("threads", [2, 3, 4])
@pytest.mark.parametrize(("batch", "where"), [(1, 0), (19, 0), (19, 17)])
def test_a_bad_input_stops_every_thread(folder: Path, threads: int, batch: int, where: int) -> None:
    """In the first tile and in a later one; the model still works after that."""
    command = [sys.executable, "-c", CALLS, str(folder), *map(str, (threads, batch, where))]
    answer = subprocess.run(command, timeout=60, capture_output=True, text=True)
    assert answer.returncode == 0, answer.stderr


def test_more_threads_than_work_change_nothing(folder: Path) -> None:
    x = (np.random.default_rng(0).random((6, 3, 20)) < 0.4).astype(np.float32)
    found = [snncc.load(folder, threads=threads, slots=2)(x).mem for threads in (1, 2, 5, 16)]
    for other in found[1:]:
        assert other.tobytes() == found[0].tobytes()


RACE = Path(__file__).with_name("teams_race.c")


@pytest.fixture(scope="module")
def race(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A program that shares the slots of a network of wide layers, with the thread sanitizer."""
    layers = {"fc1": nn.Linear(100, 200), "lif1": nn.Leaky(0.9)}
    layers |= {"fc2": nn.Linear(200, 150), "lif2": nn.Leaky(0.9)}
    folder = tmp_path_factory.mktemp("race")
    options = {"loss": loss.mse("rate"), "optimizer": optim.Adam(1e-3), "num_steps": 6, "name": "model"}
    snncc.compile(nn.Sequential(**layers), out=folder / "model", **options)
    shutil.copy(RACE, folder / "model" / "race.c")
    flags = ["-O1", "-march=native", "-ffp-contract=off", "-fno-math-errno", "-fopenmp", "-fsanitize=thread"]
    command = ["cc", *flags, "race.c", "-o", "race", "-lpthread", "-lm"]
    built = subprocess.run(command, cwd=folder / "model", capture_output=True, text=True)
    if built.returncode and "tsan" in built.stderr:
        pytest.skip("no thread sanitizer")
    assert built.returncode == 0, built.stderr
    return folder / "model" / "race"


@pytest.mark.parametrize(("steps", "batch"), [(1, 1), (1, 3), (6, 1), (6, 13)])
def test_threads_of_a_crew_do_not_race(race: Path, steps: int, batch: int) -> None:
    """Rows that the threads do not divide, fewer than threads, one; several tiles. All find the same bits."""
    found = set()
    for threads in (1, 2, 3, 4):
        command = [str(race), *map(str, (threads, steps, batch))]
        answer = subprocess.run(command, timeout=60, capture_output=True, text=True)
        assert answer.returncode == 0, answer.stderr
        found.add(answer.stdout)
    assert len(found) == 1
