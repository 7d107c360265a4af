"""What was measured, as text."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from benchmarks.contest import OURS, TUTORIAL, Result
from benchmarks.report import MODES, Report, ratio

MIB = 2**20
TITLES = ("median", "min", "max", "calls", "memory", "beyond", "first call", "others", "x snncc", "by min")
SHORT = (
    "median, ms", "snncc", "best peer", "", "x snncc", "by min", "snnTorch", "x snncc", "by min", "products",
    "spikes",
)    # fmt: skip
LEGEND = """\
Each contestant runs in a process of its own; they take turns. memory: what training steps add to the resident
set at its peak; beyond: of this, what is not gradients and Adam's moments. first call: compiles, where a
system does. others: processors busy with something else. x snncc: median of the rounds [least .. most]; by
min: of the fastest calls. products: least time by dense products; spikes: estimate where spikes drive them.
* its neurons differ in a detail that its file states; the work is the same."""


def of_workload(report: Report) -> str:
    """A table a mode, and what went wrong."""
    w = report.workload
    densities = ", ".join(f"{100 * d:.1f} %" for d in report.densities.values())
    lines = [f"{w.name}: {w.title}; {w.num_steps} steps, batch {w.batch}", f"layers fire at {densities}"]
    for mode in report.floors:
        lines += ["", *_mode(report, mode)]
    if report.compile:
        spent = ", ".join(f"{seconds:.2f} s {kind}" for kind, seconds in report.compile.items())
        lines += ["", f"snncc compile: {spent}"]
    for reason in dict.fromkeys(report.left_out.values()):
        names = ", ".join(name for name, why in report.left_out.items() if why == reason)
        lines.append(f"left out: {names}: {reason}")
    return "\n".join([*lines, *report.disagreements()])


def summary(reports: Sequence[Report]) -> str:
    """One line a workload and mode."""
    rows = [_short_row(report, mode) for report in reports for mode in report.floors]
    return "\n".join(aligned([SHORT, *rows]))


def _short_row(report: Report, mode: str) -> list[str]:
    ours, best = report.of(OURS, mode), report.best_peer(mode)
    tutorial, floor = report.of(TUTORIAL, mode), report.floors[mode]
    return [
        f"{report.workload.name} {MODES[mode]}", _median(ours, mode),
        best.contestant.name if best else "", _median(best, mode), *_ratios(best, ours, mode),
        _median(tutorial, mode), *_ratios(tutorial, ours, mode),
        f"{floor.operations:.2f}", f"{floor.spikes:.2f}",
    ]    # fmt: skip


def _mode(report: Report, mode: str) -> list[str]:
    rows = [_row(report, result, mode) for result in report.took_part(mode)]
    floor = report.floors[mode]
    least = f"{floor.operations:.2f} by dense products, {floor.bytes:.2f} by bytes"
    return [
        *aligned([(f"{MODES[mode]}, ms", *TITLES), *rows]),
        f"at least: {least}; driven by spikes: about {floor.spikes:.2f}",
    ]


def _row(report: Report, result: Result, mode: str) -> list[str]:
    times, first, ours = result.times(mode), result.first[mode], report.of(OURS, mode)
    beyond = max(0.0, first["memory"] - report.state_bytes)
    memory = [f"{size / MIB:.1f} MiB" for size in (first["memory"], beyond)]
    return [
        result.contestant.label + ("" if result.contestant.exact else " *"),
        *(f"{1e3 * f(times):.2f}" for f in (statistics.median, min, max)),
        f"{len(times)}",
        *(memory if mode == "train" else ("", "")),
        f"{first['seconds']:.2f} s",
        f"{result.foreign(mode):.2f}",
        *(f"{ratio(result, ours, mode)[by]:.1f}" if ours else "" for by in ("median", "fastest")),
    ]


def _median(result: Result | None, mode: str) -> str:
    return f"{1e3 * statistics.median(result.times(mode)):.2f}" if result else ""


def _ratios(slow: Result | None, fast: Result | None, mode: str) -> list[str]:
    if not (slow and fast):
        return ["", ""]
    found = ratio(slow, fast, mode)
    return ["{median:.1f} [{min:.1f} .. {max:.1f}]".format(**found), f"{found['fastest']:.1f}"]


def aligned(rows: Sequence[Sequence[str]], left: int = 1) -> list[str]:
    """Columns as wide as what they hold: the first `left` on the left, the others on the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    sides = "<" * left + ">" * (len(widths) - left)
    return [
        "   ".join(f"{cell:{side}{width}}" for cell, side, width in zip(row, sides, widths, strict=True))
        for row in rows
    ]
