"""A training step of the spiking ResNet-18 (SEW, 32x32, T = 4) beside SpikingJelly and snnTorch, in turns.

    python benchmarks/resnet.py --python torch/bin/python              # 64 channels, batch 32
    python benchmarks/resnet.py --python torch/bin/python --width 16 --rounds 3

Each contestant is a process of its own with the same images; they take turns, every other round backwards.
Weights are each system's own: the work is the same, the losses are not.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).parents[1]
STEPS, BATCH, SIDE, CLASSES = 4, 32, 32, 10    # peers/resnet.py has the same steps and classes
LABELS = {"snncc": "snncc", "spikingjelly": "SpikingJelly, multi-step", "snntorch": "snnTorch"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--python", default=sys.executable, help="one that has torch, SpikingJelly, snnTorch")
    parser.add_argument("--only", default=",".join(LABELS), help="contestants, with commas")
    parser.add_argument("--width", type=int, default=64, help="channels of the first stage")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        work(options.worker, options.width, options.threads)
    else:
        print(table(contest(options)))


def contest(options: argparse.Namespace) -> dict[str, list[float]]:
    """Seconds of each contestant's steps."""
    workers = {name: start(name, options) for name in options.only.split(",")}
    times: dict[str, list[float]] = {name: [] for name in workers}
    try:
        for number in range(options.rounds + 1):
            for name in list(workers)[:: -1 if number % 2 else 1]:
                answer = ask(workers[name])
                if number:    # the first one compiles, and fills caches
                    times[name].append(answer)
    finally:
        for worker in workers.values():
            worker.kill()
    return times


def start(name: str, options: argparse.Namespace) -> subprocess.Popen[str]:
    python = sys.executable if name == "snncc" else options.python
    sizes = ["--width", str(options.width), "--threads", str(options.threads)]
    command = [python, str(Path(__file__)), "--worker", name, *sizes]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def ask(worker: subprocess.Popen[str]) -> float:
    """Seconds of a step."""
    assert worker.stdin and worker.stdout
    worker.stdin.write("step\n")
    worker.stdin.flush()
    line = worker.stdout.readline()
    if not line:
        raise SystemExit("a contestant ended: see its message above")
    return float(json.loads(line))


def table(times: dict[str, list[float]]) -> str:
    ours = times.get("snncc")
    lines = [f"{'seconds a step':26}{'median':>8}{'min':>8}{'max':>8}{'x snncc':>10}"]
    for name, found in times.items():
        pairs = [b / a for a, b in zip(ours, found, strict=True)] if ours else []
        ratio = f"{statistics.median(pairs):10.2f}" if pairs else ""
        numbers = (statistics.median(found), min(found), max(found))
        lines.append(f"{LABELS[name]:26}" + "".join(f"{n:8.2f}" for n in numbers) + ratio)
    return "\n".join(lines)


def work(name: str, width: int, threads: int) -> None:
    """Answers each line with the seconds of a step."""
    random = np.random.default_rng(0)
    images = random.random((BATCH, 3, SIDE, SIDE), dtype=np.float32)
    targets = random.integers(0, CLASSES, BATCH)
    sys.path[:0] = [str(ROOT), str(ROOT / "runtime"), str(ROOT / "models")]
    if name == "snncc":
        step = ours(images, targets, width, threads)
    else:
        from benchmarks.peers.resnet import trained

        step = trained(name, images, targets, width, threads)
    for _ in sys.stdin:
        began = time.perf_counter()
        step()
        print(json.dumps(time.perf_counter() - began), flush=True)


def ours(images: np.ndarray, targets: np.ndarray, width: int, threads: int) -> Callable[[], Any]:
    import tempfile

    import snncc
    from sew_resnet18 import SEWResNet18
    from snncc import loss, optim

    folder = Path(tempfile.mkdtemp()) / "resnet"
    learning: dict[str, Any] = {"loss": loss.cross_entropy("mem_mean"), "optimizer": optim.Adam(1e-3)}
    snncc.compile(SEWResNet18(width), num_steps=STEPS, out=folder, **learning)
    model = snncc.load(folder, threads=threads)
    return lambda: model.train_step(images, targets)


if __name__ == "__main__":
    main()
