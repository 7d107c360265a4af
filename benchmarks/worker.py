"""A process that is measured: one contestant, one task. Asked in lines of JSON, it answers in lines of JSON.

    python -m benchmarks.worker snntorch tutorial FOLDER
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks import machine, task
from benchmarks.on_gpu.device import PROBE, Probe

# Timed steps do all of a step's work but leave the weights alone: spikes stay as dense as the task says, and
# the hundredth call costs what the first does. `learn` takes a step at a real rate.
STILL, RATE = 0.0, 5e-4
WARMING = 0.3    # seconds
LEAST = 2        # calls of a turn

Call = Callable[[], float]


class Worker:
    """Answers questions about two calls."""

    def __init__(self, calls: task.Calls) -> None:
        self.train = calls.train
        self.memory: Any = Probe() if PROBE in os.environ else machine
        self.calls: dict[str, Call] = {"train": partial(calls.train, STILL), "infer": calls.infer}

    def first(self, mode: str) -> dict[str, Any]:
        """Value and seconds of the first call, which may compile, and the memory that calls need [bytes]."""
        call = self.calls[mode]
        self.memory.forget_peak()
        before, start = self.memory.resident(), time.perf_counter()
        value = call()
        seconds = time.perf_counter() - start
        _repeat(call, WARMING)
        self.memory.forget_peak()
        _repeat(call, 0.0)
        return {"value": value, "seconds": seconds, "memory": self.memory.peak() - before}

    def turn(self, mode: str, seconds: float) -> dict[str, Any]:
        """Seconds of each call for about `seconds`, as clocks show them and as processors worked, and
        processors that others kept busy meanwhile."""
        call = self.calls[mode]
        call()
        foreign, start = machine.foreign_seconds(), time.perf_counter()
        times, worked = _repeat(call, seconds)
        wall = time.perf_counter() - start
        others = max(0.0, machine.foreign_seconds() - foreign)
        return {"times": times, "worked": worked, "wall": wall, "foreign": others}

    def learn(self) -> float:
        """The loss after one step at a real learning rate."""
        self.train(RATE)
        return self.train(STILL)


def _repeat(call: Call, seconds: float) -> tuple[list[float], list[float]]:
    """Seconds of each call, and of all processors that worked for it."""
    times: list[float] = []
    worked: list[float] = []
    end = time.perf_counter() + seconds
    while len(times) < LEAST or time.perf_counter() < end:
        before, start = time.process_time(), time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
        worked.append(time.process_time() - before)
    return times, worked


def main() -> None:
    module, variant, folder = sys.argv[1:]
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)    # what libraries print must not get between

    def answer(value: Any) -> None:
        answers.write(json.dumps(value) + "\n")
        answers.flush()

    try:
        peer = importlib.import_module(f"benchmarks.peers.{module}")
        read = getattr(peer, "read", task.read)
        worker = Worker(peer.build(read(Path(folder)), variant))
    except (ImportError, task.LeftOut) as reason:
        answer({"left_out": str(reason)})
        return
    answer({"ready": True})
    for line in sys.stdin:
        question, *operands = json.loads(line)
        answer(getattr(worker, question)(*operands))


if __name__ == "__main__":
    main()
