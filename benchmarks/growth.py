"""Times of W2's network along three axes, in turns, and the straight lines through them."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

import snncc_runtime
from benchmarks import machine
from benchmarks.report import MODES
from models.workloads import WORKLOADS

BASE = WORKLOADS["W2"]
AXES: dict[str, tuple[float, ...]] = {
    "num_steps": (10, 25, 50, 75, 100),
    "batch": (16, 32, 64, 96, 128, 160),
    "density": (0.02, 0.05, 0.1, 0.15, 0.2),
}
LABELS = {"num_steps": "time steps", "batch": "samples", "density": "share of inputs that spike"}
CALLS = 3    # timed calls of a turn


@dataclass
class Point:
    """One place on an axis. times: seconds of each call, by mode."""

    axis: str
    at: float
    calls: dict[str, Callable[[], Any]]
    times: dict[str, list[float]] = field(default_factory=lambda: {mode: [] for mode in MODES})

    def fastest(self, mode: str) -> float:
        """Milliseconds: how cost grows is a law of the program, not of its neighbours."""
        return 1e3 * min(self.times[mode])

    def median(self, mode: str) -> float:
        """Milliseconds."""
        return 1e3 * statistics.median(self.times[mode])


@dataclass(frozen=True)
class Line:
    """Milliseconds = fixed + slope * x. off: largest distance of a point from the line, as a share of it."""

    fixed: float
    slope: float
    off: float


def sweep(folder: Path, threads: int, rounds: int, wait: float) -> list[Point]:
    """Every point of every axis, timed in turns; every other round goes backwards."""
    BASE.compile(folder / "model")
    model = snncc_runtime.load(folder / "model", threads=threads)
    model.params.update(BASE.parameters())
    points = [_point(model, axis, at) for axis, values in AXES.items() for at in values]
    for number in range(rounds + 1):
        for point in points[:: -1 if number % 2 else 1]:
            machine.wait_until_quiet(wait)
            for mode, call in point.calls.items():
                times = [_seconds(call) for _ in range(1 + CALLS)]
                if number:    # the first round warms up
                    point.times[mode] += times[1:]
    return points


def _point(model: Any, axis: str, at: float) -> Point:
    changed: Any = {axis: type(getattr(BASE, axis))(at)}
    x, y = replace(BASE, **changed).samples()
    # A rate of 0 leaves the weights, and so the density of the hidden layer, alone.
    return Point(axis, at, {"train": lambda: model.train_step(x, y, 0.0), "infer": lambda: model(x)})


def _seconds(call: Callable[[], Any]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def on_axis(points: Sequence[Point], axis: str) -> list[Point]:
    return [p for p in points if p.axis == axis]


def line(points: Sequence[Point], mode: str) -> Line:
    """The line of least relative error through the fastest calls: points lie a decade apart."""
    x, y = np.array([p.at for p in points]), np.array([p.fastest(mode) for p in points])
    slope, fixed = np.polyfit(x, y, 1, w=1 / y)
    found = fixed + slope * x
    return Line(float(fixed), float(slope), float(np.max(np.abs(y - found) / found)))
