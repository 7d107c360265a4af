"""The picture of `scaling.py`: a panel an axis, and one for the second core."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.growth import AXES, LABELS, Point, line, on_axis
from benchmarks.report import MODES
from models.picture import FAINT, INK, QUIET, RIGHT, STYLE

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLORS = {"train": INK, "infer": RIGHT}


def draw(points: Sequence[Point], speedups: dict[str, dict[str, dict[str, float]]], path: Path) -> None:
    """Write an SVG, or what the ending of `path` says. Needs matplotlib, but no display."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context({**STYLE, "svg.fonttype": "none", "svg.hashsalt": "snncc"}):
        count = len(AXES) + bool(speedups)
        figure = Figure(figsize=(4.2 * count, 4.2), layout="constrained", facecolor="white")
        panels: Any = figure.subplots(1, count)
        for axes, axis in zip(panels, AXES, strict=False):
            _axis(axes, axis, on_axis(points, axis))
        panels[0].set_ylabel("ms")
        panels[0].legend(frameon=False, labelcolor="linecolor", handlelength=0)
        if speedups:
            _cores(panels[-1], speedups)
        figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)


def _axis(axes: Axes, axis: str, points: Sequence[Point]) -> None:
    """Points, and the line through them from zero on."""
    reach = np.array([0.0, max(p.at for p in points)])
    for mode, title in MODES.items():
        fit = line(points, mode)
        axes.plot(reach, fit.fixed + fit.slope * reach, color=FAINT, linewidth=2, zorder=0)
        at, times = [p.at for p in points], [p.fastest(mode) for p in points]
        axes.plot(at, times, "o", color=COLORS[mode], label=title)
    axes.set(xlabel=LABELS[axis], xlim=(0, None), ylim=(0, None))


def _cores(axes: Axes, speedups: dict[str, dict[str, dict[str, float]]]) -> None:
    rows = [(name, mode, found) for name, by_mode in speedups.items() for mode, found in by_mode.items()]
    for row, (_, mode, found) in enumerate(rows):
        axes.barh(row, found["median"], color=COLORS[mode], height=0.6)
        axes.hlines(row, found["min"], found["max"], color=QUIET, linewidth=2)
    axes.set_yticks(range(len(rows)), [f"{name} {MODES[mode]}" for name, mode, _ in rows])
    axes.invert_yaxis()
    axes.axvline(2, color=FAINT, linewidth=2, zorder=0)
    axes.set(title="Two cores against one", xlim=(0, 2.2))
