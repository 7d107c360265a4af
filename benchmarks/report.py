"""What one workload's contest came to: ratios, disagreements, and all of it as plain values for JSON."""

from __future__ import annotations

import math
import statistics
from dataclasses import asdict, dataclass
from typing import Any

from benchmarks.contest import OURS, TUTORIAL, Result
from benchmarks.floors import Floor
from models.workloads import Workload

MODES = {"train": "training step", "infer": "inference"}
# Relative. A single spike so near the threshold that rounding decides changes what follows an update.
SAME, SAME_LEARNED = 1e-4, 1e-3


@dataclass(frozen=True)
class Report:
    """densities: spikes a neuron and step by layer, at the initial weights. floors: by mode."""

    workload: Workload
    densities: dict[str, float]
    results: list[Result]
    floors: dict[str, Floor]

    def took_part(self, mode: str) -> list[Result]:
        """Fastest first."""
        found = [r for r in self.results if r.turns.get(mode)]
        return sorted(found, key=lambda r: statistics.median(r.times(mode)))

    def of(self, name: str, mode: str) -> Result | None:
        return next((r for r in self.took_part(mode) if r.contestant.name == name), None)

    def best_peer(self, mode: str) -> Result | None:
        return next((r for r in self.took_part(mode) if r.contestant.name != OURS), None)

    @property
    def state_bytes(self) -> int:
        """Gradients and Adam's two moments: what training needs in any case, beside the parameters."""
        return 3 * sum(array.nbytes for array in self.workload.parameters().values())

    @property
    def compile(self) -> dict[str, float]:
        """Seconds of `snncc compile`, empty if it took no part."""
        return next((r.compile for r in self.results if r.compile), {})

    @property
    def left_out(self) -> dict[str, str]:
        """Reasons by contestant."""
        return {r.contestant.name: r.failure for r in self.results if r.failure}

    def disagreements(self) -> list[str]:
        """Where contestants that should compute the same do not."""
        found = []
        exact = [r for r in self.results if r.contestant.exact]
        for mode, what in (("train", "first loss"), ("infer", "sum of the outputs")):
            values = {r.contestant.name: r.first[mode]["value"] for r in exact if mode in r.first}
            found += disagreeing(f"{self.workload.name} {what}", values, SAME)
        learned = {r.contestant.name: r.learned for r in exact if r.learned is not None}
        return found + disagreeing(f"{self.workload.name} loss after one update", learned, SAME_LEARNED)


def disagreeing(what: str, values: dict[str, float], bound: float) -> list[str]:
    """A line for each value that is not the first one, which is snncc's if it takes part."""
    reference, expected = next(iter(values.items()), ("", 0.0))
    return [
        f"MISMATCH: {what}: {reference} {expected:.8g}, {name} {value:.8g}"
        for name, value in values.items()
        if not math.isclose(value, expected, rel_tol=bound)
    ]


def ratio(slow: Result, fast: Result, mode: str) -> dict[str, float]:
    """How many times as long `slow` takes: median, min and max over the rounds, each of which met both.

    fastest: by the fastest call of each, which a busy machine disturbs least.
    """
    found = [a / b for a, b in zip(slow.medians(mode), fast.medians(mode), strict=False)]
    fastest = min(slow.times(mode)) / min(fast.times(mode))
    return {"median": statistics.median(found), "min": min(found), "max": max(found), "fastest": fastest}


def plain(report: Report) -> dict[str, Any]:
    """benchmarks/README.md says what the fields are."""
    w = report.workload
    return {
        "title": w.title,
        "num_steps": w.num_steps,
        "batch": w.batch,
        "sizes": list(w.sizes),
        "density": w.density,
        "layer_densities": report.densities,
        "state_bytes": report.state_bytes,
        "compile_s": report.compile,
        "modes": {mode: _plain_mode(report, mode) for mode in report.floors},
        "learned": {r.contestant.name: r.learned for r in report.results if r.learned is not None},
        "left_out": report.left_out,
        "mismatches": report.disagreements(),
    }


def _plain_mode(report: Report, mode: str) -> dict[str, Any]:
    ours, best, tutorial = report.of(OURS, mode), report.best_peer(mode), report.of(TUTORIAL, mode)
    return {
        "floor_ms": asdict(report.floors[mode]),
        "contestants": {r.contestant.name: _plain_result(r, mode) for r in report.took_part(mode)},
        "best_peer": best.contestant.name if best else None,
        "best_peer_over_snncc": ratio(best, ours, mode) if best and ours else None,
        "snntorch_over_snncc": ratio(tutorial, ours, mode) if tutorial and ours else None,
    }


def _plain_result(result: Result, mode: str) -> dict[str, Any]:
    times, first = result.times(mode), result.first[mode]
    return {
        "median_ms": 1e3 * statistics.median(times),
        "min_ms": 1e3 * min(times),
        "max_ms": 1e3 * max(times),
        "calls": len(times),
        "turn_medians_ms": [1e3 * t for t in result.medians(mode)],
        "first_call_s": first["seconds"],
        "first_value": first["value"],
        "memory_bytes": first["memory"],
        "foreign_cpus": result.foreign(mode),
    }
