"""Several processes and threads at once: the same new model compiled, libraries opened and left."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

import snncc
from snncc import nn

ROOT = Path(__file__).parents[1]
PATHS = f"import sys; sys.path[:0] = {[str(ROOT), str(ROOT / 'runtime')]}\n"
COMPILE = """
import numpy as np, snncc
from snncc import nn
network = nn.Sequential(nn.Linear(4, 3), nn.Leaky(0.9))
print("ready", flush=True)
input()
model = snncc.compile(network, num_steps=5, name="both", out=sys.argv[1])
print(float(model(np.ones((5, 2, 4))).mem.sum()))
"""
LEAVE = """
import gc, numpy as np, snncc
for _ in range(40):
    model = snncc.load(sys.argv[1], threads=2, slots=4)
    model(np.zeros((5, 16, 12)))
    del model
    gc.collect()
print("fine")
"""


def start(text: str, folder: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-B", "-c", PATHS + text, str(folder)]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True)


def test_two_processes_compile_the_same_new_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Into one cache and into one folder: both get a sound model."""
    monkeypatch.setenv("SNNCC_CACHE", str(tmp_path / "cache"))
    processes = [start(COMPILE, tmp_path / "model") for _ in range(2)]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    said = [process.communicate("go\n") for process in processes]
    assert [process.returncode for process in processes] == [0, 0], said
    assert len({out for out, _ in said}) == 1
    assert not list((tmp_path / "cache").glob("draft-*"))
    model = snncc.load(tmp_path / "model")
    assert f"{float(model(np.ones((5, 2, 4))).mem.sum())}\n" == said[0][0]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("model") / "model"
    snncc.compile(nn.Sequential(nn.Linear(12, 20), nn.Leaky(0.9)), num_steps=5, out=place)
    return place


def test_models_with_threads_may_be_left(folder: Path) -> None:
    """Closing the last library would unmap OpenMP under its idle threads: the process would crash."""
    process = start(LEAVE, folder)
    out, err = process.communicate()
    assert (process.returncode, out) == (0, "fine\n"), err


def test_python_threads_share_a_model(folder: Path) -> None:
    model = snncc.load(folder, threads=2, slots=3)
    inputs = [np.random.default_rng(k).normal(size=(5, 1 + k, 12)) for k in range(8)]
    expected = [model(x).mem for x in inputs]
    with ThreadPoolExecutor(4) as pool:
        for _ in range(5):
            for found, wanted in zip(pool.map(lambda x: model(x).mem, inputs), expected, strict=True):
                np.testing.assert_array_equal(found, wanted)
