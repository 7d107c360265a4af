"""snncc beside snnTorch, PyTorch, JAX, SpikingJelly, Norse and Spyx, in turns, on models/workloads.py.

    python benchmarks/run.py                                     # all workloads, whoever is installed
    python benchmarks/run.py --only W1,W6 --peers snncc,jax      # the names are those of --list
    python benchmarks/run.py --python torch=t/bin/python --python jax=j/bin/python --json result.json
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))    # a clone runs its benchmarks without being installed
sys.path.insert(1, str(Path(__file__).parents[1] / "runtime"))

from benchmarks import machine, report, table
from benchmarks.contest import CONTESTANTS, Contestant, Settings, compete
from benchmarks.floors import Rates, floor, measured
from benchmarks.report import MODES, Report
from models.workloads import WORKLOADS, Workload


def main() -> int:
    """1 where contestants disagree on what they compute."""
    options = parse()
    if options.list:
        print(listing())
        return 0
    settings = Settings(options.threads, options.seconds, dict(options.python), options.wait, options.fresh)
    machine.wait_until_quiet(options.wait)
    rates = measured(options.threads, options.gflops, options.gbs)
    print(f"{machine.processor()}, threads: {options.threads}; ", end="")
    print(f"dense products {rates.gflops:.0f} GFLOP/s, memory {rates.gbs:.0f} GB/s\n", flush=True)
    reports = []
    for name in options.only:
        modes = [mode for mode in WORKLOADS[name].modes if mode in options.modes]
        if modes:
            reports.append(measure(WORKLOADS[name], options.peers, modes, settings, rates))
            print(table.of_workload(reports[-1]) + "\n", flush=True)
    print(table.summary(reports) + "\n\n" + table.LEGEND)
    if options.json:
        options.json.write_text(json.dumps(plain(reports, rates, settings), indent=1) + "\n")
    return 1 if any(r.disagreements() for r in reports) else 0


def measure(
    workload: Workload, peers: list[Contestant], modes: list[str], settings: Settings, rates: Rates
) -> Report:
    densities = workload.rates()
    floors = {mode: floor(workload, mode, rates, list(densities.values())) for mode in modes}
    return Report(workload, densities, compete(workload, peers, modes, settings), floors)


def plain(reports: Iterable[Report], rates: Rates, settings: Settings) -> dict[str, Any]:
    return {
        "processor": machine.processor(),
        "threads": settings.threads,
        "gflops": rates.gflops,
        "gbs": rates.gbs,
        "workloads": {r.workload.name: report.plain(r) for r in reports},
    }


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Time snncc beside other systems.")
    add = parser.add_argument
    add("--only", type=workloads, default=list(WORKLOADS), metavar="W1,...", help="workloads")
    add("--peers", type=contestants, default=list(CONTESTANTS.values()), metavar="snncc,...")
    add("--modes", type=modes, default=list(MODES), metavar="train,infer")
    add("--seconds", type=float, default=2.5, help="of measuring, for each contestant and mode")
    add("--threads", type=int, default=2)
    add("--python", type=interpreter, action="append", default=[], metavar="NAME=PATH",
        help="interpreter of an environment (torch, jax) or of one peer")    # fmt: skip
    add("--wait", type=float, default=0.0, metavar="SECONDS",
        help="before each turn, wait for other processes to rest, at most so long")    # fmt: skip
    add("--fresh", action="store_true", help="torch.compile starts with an empty cache")
    add("--gflops", type=float, help="rate of dense products; measured if not given")
    add("--gbs", type=float, help="rate of memory in GB/s; measured if not given")
    add("--json", type=Path, metavar="FILE", help="write what was measured")
    add("--list", action="store_true", help="names of workloads and peers")
    return parser.parse_args(arguments)


def workloads(text: str) -> list[str]:
    return [_known(name, WORKLOADS, "workload") for name in text.split(",")]


def modes(text: str) -> list[str]:
    return [_known(name, MODES, "mode") for name in text.split(",")]


def contestants(text: str) -> list[Contestant]:
    """`jax:scan`, or `jax` for all of its variants."""
    names = text.split(",")
    known = {*CONTESTANTS, *(c.module for c in CONTESTANTS.values())}
    for name in names:
        _known(name, known, "peer")
    return [c for c in CONTESTANTS.values() if c.name in names or c.module in names]


def interpreter(text: str) -> tuple[str, str]:
    name, _, path = text.partition("=")
    environments = {c.environment or c.module for c in CONTESTANTS.values()}
    _known(name, environments | {c.module for c in CONTESTANTS.values()}, "environment")
    return name, path


def _known(name: str, names: Iterable[str], what: str) -> str:
    if name not in names:
        known = ", ".join(sorted(names))
        raise argparse.ArgumentTypeError(f"no {what} is called {name!r}; there are {known}")
    return name


def listing() -> str:
    lines = [f"{w.name:20}{w.title}" for w in WORKLOADS.values()]
    return "\n".join([*lines, "", *(f"{c.name:20}{c.label}" for c in CONTESTANTS.values())])


if __name__ == "__main__":
    sys.exit(main())
