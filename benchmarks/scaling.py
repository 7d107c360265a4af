"""How the cost of a network grows: with steps, batch and density of the input, and what a second core gives.

    python benchmarks/scaling.py --picture scaling.svg --json scaling.json

W2's network, a decade of each, the others as in W2. A line through the fastest calls says what a call
costs in any case, and what each step, sample or event adds. All points take turns; so do one core and two.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))    # a clone runs its benchmarks without being installed
sys.path.insert(1, str(Path(__file__).parents[1] / "runtime"))

import snncc_runtime
from benchmarks import contest, growth, machine
from benchmarks.contest import CONTESTANTS, OURS, Player, Result, Settings
from benchmarks.growth import AXES, LABELS, Point, on_axis
from benchmarks.report import MODES, ratio
from models.workloads import WORKLOADS, Workload

ON_CORES = ("W1", "W2", "W5", "W7")

Speedups = dict[str, dict[str, dict[str, float]]]    # by workload and mode: what `ratio` says


def main(arguments: Sequence[str] | None = None) -> None:
    options = parse(arguments)
    with tempfile.TemporaryDirectory() as scratch:
        points = growth.sweep(Path(scratch), options.threads, options.rounds, options.wait)
    print(f"{machine.processor()}, threads: {options.threads}; ms, fastest calls\n")
    print("\n".join(axis_lines(points)) + "\n", flush=True)
    speedups = {name: second_core(WORKLOADS[name], options) for name in options.cores}
    if options.json:
        options.json.write_text(json.dumps(plain(points, speedups, options.threads), indent=1) + "\n")
    if options.picture:
        from benchmarks.scaling_picture import draw

        draw(points, speedups, options.picture)


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measure how the cost of W2's network grows.")
    add = parser.add_argument
    add("--rounds", type=int, default=7, help="turns of each point")
    add("--cores", type=lambda text: [name for name in text.split(",") if name], default=ON_CORES,
        metavar="W1,...", help="workloads that the second core is measured on")    # fmt: skip
    add("--seconds", type=float, default=2.0, help="of measuring with one core, and with two")
    add("--threads", type=int, default=2, help="for steps, batch and density")
    add("--wait", type=float, default=0.0, metavar="SECONDS",
        help="before each turn, wait for other processes to rest, at most so long")    # fmt: skip
    add("--json", type=Path, metavar="FILE", help="write what was measured")
    add("--picture", type=Path, metavar="FILE.svg", help="draw it; needs matplotlib")
    return parser.parse_args(arguments)


def second_core(workload: Workload, options: argparse.Namespace) -> dict[str, dict[str, float]]:
    """How many times as fast two threads are as one, by mode. Their results must be the same bits."""
    one, two = (Result(CONTESTANTS[OURS]) for _ in range(2))
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        contest.write_task(workload, folder)
        workload.compile(folder / "model")
        same_bits(workload, folder / "model")
        settings = [Settings(threads, options.seconds, wait=options.wait) for threads in (1, 2)]
        players = [Player(r, folder, s) for r, s in zip((one, two), settings, strict=True)]
        contest.take_turns(players, workload.modes, settings[0])
        for player in players:
            player.close()
    if failure := one.failure or two.failure:
        raise SystemExit(f"{workload.name}: {failure}")
    found = {mode: ratio(one, two, mode) for mode in workload.modes}
    for mode, times in found.items():
        said = "{median:.2f} [{min:.2f} .. {max:.2f}], by fastest calls {fastest:.2f}".format(**times)
        print(f"two cores against one, {workload.name} {MODES[mode]}: {said}", flush=True)
    return found


def same_bits(workload: Workload, folder: Path) -> None:
    """One core and two must give the same weights after two steps, to the last bit."""
    found = []
    for threads in (1, 2):
        model = snncc_runtime.load(folder, threads=threads)
        model.params.update(workload.parameters())
        losses = [model.train_step(*workload.samples()) for _ in range(2 if "train" in workload.modes else 0)]
        found.append((losses, {name: array.tobytes() for name, array in model.params.items()}))
    if found[0] != found[1]:
        losses = f"losses {found[0][0]} and {found[1][0]}"
        raise SystemExit(f"MISMATCH: {workload.name}: one core and two differ, {losses}")


def axis_lines(points: Sequence[Point]) -> list[str]:
    """A table an axis."""
    lines = []
    for axis in AXES:
        here = on_axis(points, axis)
        lines.append(f"{LABELS[axis]:28}" + "".join(f"{p.at:>9g}" for p in here))
        for mode, title in MODES.items():
            fit = growth.line(here, mode)
            times = "".join(f"{p.fastest(mode):9.2f}" for p in here)
            said = f"{fit.fixed:.2f} + {fit.slope:.4g} x, off by {100 * fit.off:.0f} % at most"
            lines.append(f"  {title:26}{times}   {said}")
    return lines


def plain(points: Sequence[Point], speedups: Speedups, threads: int) -> dict[str, Any]:
    """For JSON; benchmarks/README.md says what the fields are."""
    axes: dict[str, Any] = {}
    for axis in AXES:
        here = on_axis(points, axis)
        axes[axis] = {"at": [p.at for p in here]}
        for mode in MODES:
            fit = vars(growth.line(here, mode))
            axes[axis][mode] = {
                "median_ms": [p.median(mode) for p in here],
                "min_ms": [p.fastest(mode) for p in here],
                "line": fit,
            }
    return {"processor": machine.processor(), "threads": threads, "axes": axes, "second_core": speedups}


if __name__ == "__main__":
    main()
