"""Contestants in processes of their own that take turns: a change of the machine's speed meets them all."""

from __future__ import annotations

import compileall
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import snncc
import snncc_runtime
from benchmarks import machine
from benchmarks.on_gpu.device import PROBE
from benchmarks.task import DEVICE, Task
from models.workloads import Workload
from snncc.loss import Loss

ROOT = Path(__file__).parents[1]
NETWORKS = ROOT / "models" / "workloads.py"
ROUNDS = 5


@dataclass(frozen=True)
class Contestant:
    """module: a file in peers/. environment: name of an interpreter. exact: computes the same as snncc."""

    module: str
    variant: str
    label: str
    environment: str = ""
    exact: bool = True

    @property
    def name(self) -> str:
        return f"{self.module}:{self.variant}" if self.variant else self.module


OURS, TUTORIAL = "snncc", "snntorch:tutorial"
CONTESTANTS = {
    c.name: c
    for c in (
        Contestant("snncc", "", "snncc"),
        Contestant("snntorch", "tutorial", "snnTorch, the tutorial's code", "torch"),
        Contestant("snntorch", "hoisted", "snnTorch, static layer once", "torch"),
        Contestant("snntorch", "compiled", "snnTorch under torch.compile", "torch"),
        Contestant("torch", "eager", "PyTorch by hand", "torch"),
        Contestant("torch", "scans", "PyTorch by hand, loops compiled", "torch"),
        Contestant("torch", "whole", "PyTorch by hand, all compiled", "torch"),
        Contestant("jax", "scan", "JAX by hand, scan", "jax"),
        Contestant("jax", "unroll5", "JAX by hand, unrolled by 5", "jax"),
        Contestant("jax", "unroll", "JAX by hand, unrolled", "jax"),
        Contestant("spikingjelly", "", "SpikingJelly, multi-step", "torch", exact=False),
        Contestant("norse", "", "Norse", "torch", exact=False),
        Contestant("spyx", "", "Spyx", "jax", exact=False),
    )
}


@dataclass(frozen=True)
class Settings:
    """seconds: of measuring, a contestant and mode. pythons: interpreters by environment or module.

    wait: before each turn, at most so many seconds until other processes rest. fresh: torch.compile starts
    with an empty cache, as `snncc compile` always does here. device: "cpu" or "cuda"; probe: the library that
    tells a GPU's memory. options: more of `snncc compile`.
    """

    threads: int
    seconds: float
    pythons: Mapping[str, str] = field(default_factory=dict)
    wait: float = 0.0
    fresh: bool = False
    device: str = "cpu"
    probe: str = ""
    options: tuple[str, ...] = ()

    def surroundings(self) -> dict[str, str]:
        """Environment variables of a measured process. On a GPU all compute in float32, as they say."""
        found = {**surroundings(self.threads), "JAX_PLATFORMS": self.device, DEVICE: self.device}
        if self.device == "cpu":
            return found
        return found | {
            PROBE: self.probe,
            "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
            "JAX_DEFAULT_MATMUL_PRECISION": "float32",    # not TF32
        }

    def python(self, contestant: Contestant) -> str:
        found = self.pythons.get(contestant.module) or self.pythons.get(contestant.environment)
        return found or sys.executable


@dataclass
class Result:
    """What was measured of one contestant.

    first, turns: what the worker answered to questions of that name, by mode. learned: the loss after one
    update. compile: seconds of `snncc compile`. failure: why it is missing, or why some of it is.
    """

    contestant: Contestant
    first: dict[str, dict[str, float]] = field(default_factory=dict)
    turns: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    learned: float | None = None
    compile: dict[str, float] = field(default_factory=dict)
    failure: str = ""

    def times(self, mode: str) -> list[float]:
        """Seconds of every call."""
        return [t for turn in self.turns.get(mode, []) for t in turn["times"]]

    def worked(self, mode: str) -> list[float]:
        """Seconds of every call, of all processors together."""
        return [t for turn in self.turns.get(mode, []) for t in turn["worked"]]

    def medians(self, mode: str) -> list[float]:
        """Seconds of the median call of each turn."""
        return [statistics.median(turn["times"]) for turn in self.turns.get(mode, [])]

    def foreign(self, mode: str) -> float:
        """Processors that others kept busy while this was timed."""
        turns = self.turns[mode]
        return sum(float(t["foreign"]) for t in turns) / sum(float(t["wall"]) for t in turns)


class Player:
    """The parent's side of a measured process. Once it has died or left, it answers None."""

    def __init__(self, result: Result, folder: Path, settings: Settings) -> None:
        self.result = result
        contestant = result.contestant
        command = [settings.python(contestant), "-m", "benchmarks.worker"]
        command += [contestant.module, contestant.variant, str(folder)]
        environment = settings.surroundings()
        if settings.fresh:
            environment["TORCHINDUCTOR_CACHE_DIR"] = str(folder / f"{contestant.module}-{contestant.variant}")
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )
        answer = self._answer()
        if answer and "left_out" in answer:
            result.failure = answer["left_out"]

    def ask(self, *question: Any) -> Any:
        """The answer of the worker's method of that name."""
        if self.result.failure:
            return None
        assert self.process.stdin
        with contextlib.suppress(BrokenPipeError):    # then there is no answer, which says so
            self.process.stdin.write(json.dumps(question) + "\n")
            self.process.stdin.flush()
        return self._answer()

    def close(self) -> None:
        """The worker ends when there are no more questions."""
        with contextlib.suppress(BrokenPipeError):
            self.process.communicate()

    def _answer(self) -> Any:
        assert self.process.stdout
        line = self.process.stdout.readline()
        if line:
            return json.loads(line)
        self.result.failure = f"ended with code {self.process.wait()}; it says why above"
        return None


def surroundings(threads: int) -> dict[str, str]:
    """Environment variables of a measured process. It finds this checkout, installed or not."""
    places = [str(ROOT), str(ROOT / "runtime"), os.environ.get("PYTHONPATH", "")]
    counts = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), str(threads))
    paths = os.pathsep.join(place for place in places if place)
    return {**os.environ, **counts, "PYTHONPATH": paths}


def compete(
    workload: Workload, contestants: Sequence[Contestant], modes: Sequence[str], settings: Settings
) -> list[Result]:
    """All contestants on one workload."""
    results = [Result(contestant) for contestant in contestants]
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        write_task(workload, folder)
        for result in results:
            if result.contestant.name == OURS:
                compile_ours(workload, folder, result, settings.options)
        players = [Player(result, folder, settings) for result in results if not result.failure]
        try:
            take_turns(players, modes, settings)
        finally:
            for player in players:
                player.close()
    return results


def take_turns(players: Sequence[Player], modes: Sequence[str], settings: Settings) -> None:
    """Fills the players' results; every other round goes backwards."""
    for mode in modes:
        for player in players:
            if first := player.ask("first", mode):
                player.result.first[mode] = first
    for number in range(ROUNDS):
        for mode in modes:
            for player in players[:: -1 if number % 2 else 1]:
                machine.wait_until_quiet(settings.wait)
                if turn := player.ask("turn", mode, settings.seconds / ROUNDS):
                    player.result.turns.setdefault(mode, []).append(turn)
    if "train" in modes:
        for player in players:
            player.result.learned = player.ask("learn")


def write_task(workload: Workload, folder: Path) -> None:
    """The workload as contestants read it."""
    name, readout = option(workload.loss).split(":")
    assert (name, readout) in (("cross_entropy", "mem"), ("mse", "rate"))
    neuron: Any = workload.network.layers["lif1"]
    task = Task(
        *(workload.name, workload.num_steps, workload.batch, workload.sizes, workload.static, name),
        beta=neuron.beta,
        recurrent=workload.recurrent,
    )
    task.write(folder, workload.parameters(), workload.samples())


def compile_ours(workload: Workload, folder: Path, result: Result, options: Sequence[str] = ()) -> None:
    """Times `snncc compile` from start to end of the process: with nothing in its cache, and with all.

    Python's bytecode is there, as it is wherever pip has installed snncc.
    """
    for module in (snncc, snncc_runtime):
        compileall.compile_dir(Path(str(module.__file__)).parent, quiet=2)
    command = [sys.executable, "-m", "snncc", "compile", f"{NETWORKS}:{workload.attribute}"]
    command += ["-o", str(folder / "model"), "--num-steps", str(workload.num_steps)]
    command += ["--loss", option(workload.loss), "--optimizer", "adam", *options]
    for kind in ("cold", "cached"):
        start = time.perf_counter()
        environment = {**surroundings(threads=1), "SNNCC_CACHE": str(folder / "cache")}
        done = subprocess.run(command, check=False, stdout=subprocess.DEVNULL, env=environment)
        result.compile[kind] = time.perf_counter() - start
        if done.returncode:
            result.failure = f"snncc compile ended with code {done.returncode}; it says why above"
            return


def option(loss: Loss) -> str:
    """A loss as the command line takes it."""
    return str(loss).replace("(", ":").rstrip(")")
