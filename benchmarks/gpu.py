"""snncc's CUDA models: on a GPU measured, without one counted.

    python benchmarks/gpu.py                              # what this machine allows
    python benchmarks/gpu.py --static --only W2,W5        # kernels, registers, bytes, operations, least times
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))    # a clone runs its benchmarks without being installed
sys.path.insert(1, str(Path(__file__).parents[1] / "runtime"))

from benchmarks.on_gpu import static
from benchmarks.on_gpu.cases import CASES, MODES
from snncc import CompileError
from snncc_runtime import cuda

# Public figures of an H200: 4.8 TB/s, 67 TFLOP/s where one instruction does two, 132 multiprocessors.
GBS, GFLOPS, MULTIPROCESSORS = 4800.0, 33500.0, 132


def main() -> int:
    """1 where nothing could be compiled."""
    options = parse()
    driver = cuda.driver()
    if not options.static and not (driver and driver.devices):
        reason = cuda.explain(driver.code) if driver else cuda.NO_DRIVER
        print(f"nothing is measured: {reason}\n")
    device = static.Device(options.gbs, options.gflops, options.multiprocessors)
    try:
        count(options, device)
    except CompileError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def count(options: argparse.Namespace, device: static.Device) -> None:
    """Prints a table for each case and mode, then one of them all."""
    print(f"{options.arch}; at {device.gbs:g} GB/s and {device.gflops:g} Gops a second\n", flush=True)
    found = []
    for name in options.only:
        for counted in static.counted(CASES[name], options.modes, options.arch):
            found.append(counted)
            print(static.table(counted, device) + "\n", flush=True)
    print(static.summary(found, device) + "\n\n" + static.LEGEND)
    if options.json:
        everything: dict[str, dict[str, object]] = {}
        for counted in found:
            everything.setdefault(counted.case.name, {})[counted.mode] = static.plain(counted, device)
        record = {"arch": options.arch, **vars(device), "cases": everything}
        options.json.write_text(json.dumps(record, indent=1) + "\n")


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measure CUDA models on a GPU, or count what they do.")
    add = parser.add_argument
    add("--static", action="store_true", help="count, whether there is a GPU or not")
    add("--only", type=cases, default=list(CASES), metavar="W1,...", help=f"of {', '.join(CASES)}")
    add("--modes", type=modes, default=list(MODES), metavar="train,infer,gradient")
    add("--arch", default="sm_90", help="which GPUs nvcc compiles for")
    add("--gbs", type=float, default=GBS, help="rate of memory in GB/s, for least times")
    add("--gflops", type=float, default=GFLOPS, help="billions of single operations a second")
    add("--multiprocessors", type=int, default=MULTIPROCESSORS)
    add("--json", type=Path, metavar="FILE", help="write what was found")
    return parser.parse_args(arguments)


def cases(text: str) -> list[str]:
    return [_known(name, CASES, "case") for name in text.split(",")]


def modes(text: str) -> list[str]:
    return [_known(name, MODES, "mode") for name in text.split(",")]


def _known(name: str, names: Iterable[str], what: str) -> str:
    if name not in names:
        raise argparse.ArgumentTypeError(f"no {what} is called {name!r}; there are {', '.join(names)}")
    return name


if __name__ == "__main__":
    sys.exit(main())
