"""What the machine says of itself: memory, who else computes, and how fast it multiplies and copies.

    python -m benchmarks.machine 2             # rates with two threads, as JSON
    python -m benchmarks.machine 1 3276800     # of a copy of so many bytes
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import json
import os
import platform
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

SIDE = 2048    # of the matrices that are multiplied
COPIED = 128 * 2**20    # bytes, far more than caches hold
MEASURING, LEAST = 0.5, 7    # seconds and calls, at least
QUIET, LOOKING = 0.1, 0.2    # processors that others may use, and seconds of looking at them
STATUS, STAT = Path("/proc/self/status"), Path("/proc/stat")
LINUX = STATUS.exists()


def forget_peak() -> None:
    """Free memory goes back to the system, and its peak so far is forgotten, where Linux lets us."""
    gc.collect()
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
        Path("/proc/self/clear_refs").write_text("5")


def resident() -> int:
    """Bytes of memory that this process holds; 0 where the system does not say."""
    return _status("VmRSS")


def peak() -> int:
    """Bytes that it held at most since `forget_peak`."""
    return _status("VmHWM")


def _status(field: str) -> int:
    if not LINUX:
        return 0
    lines = STATUS.read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(field))


def foreign_seconds() -> float:
    """Processor seconds that all but this process have used so far, and those that the host took (steal)."""
    if not LINUX:
        return 0.0
    ticks = [int(field) for field in STAT.read_text().splitlines()[0].split()[1:9]]
    user, nice, system, _, _, irq, softirq, steal = ticks
    busy = (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")
    return busy - time.process_time()


def wait_until_quiet(most: float) -> None:
    """Returns when all but this process rest, at the latest after `most` seconds."""
    end = time.perf_counter() + most
    while (start := time.perf_counter()) < end:
        before = foreign_seconds()
        time.sleep(LOOKING)
        if foreign_seconds() - before < QUIET * (time.perf_counter() - start):
            return


def processor() -> str:
    """The processor's name."""
    with contextlib.suppress(OSError, StopIteration):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    return platform.processor() or platform.machine()


def rates(threads: int, copied: int = COPIED) -> dict[str, float]:
    """GFLOP/s of NumPy's float32 product, whose threads the environment sets; GB/s of a copy, both ways.

    copied: bytes that each thread shares in copying; by default far more than caches hold.
    """
    a, b = (np.ones((SIDE, SIDE), np.float32) for _ in range(2))
    c = np.empty_like(a)
    # One thread's own time does not count what others do on the same processor meanwhile.
    clock = time.process_time if threads == 1 else time.perf_counter
    product = _least(lambda: np.matmul(a, b, out=c), clock)
    source = np.ones((threads, copied // threads // 4), np.float32)
    target = np.empty_like(source)
    with ThreadPoolExecutor(threads) as pool:
        copy = _least(lambda: list(pool.map(np.copyto, target, source)), clock)
    return {"gflops": 2 * SIDE**3 / product / 1e9, "gbs": 2 * source.nbytes / copy / 1e9}


def _least(call: Callable[[], object], clock: Callable[[], float]) -> float:
    """Seconds of the fastest of a few calls: a rate is a property of the machine, not of its neighbours."""
    times: list[float] = []
    end = time.perf_counter() + MEASURING
    while len(times) < LEAST or time.perf_counter() < end:
        start = clock()
        call()
        times.append(clock() - start)
    return min(times)


if __name__ == "__main__":
    print(json.dumps(rates(*map(int, sys.argv[1:]))))
