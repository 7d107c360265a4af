"""CUDA sources as programs and libraries that run on the processor, by the headers in tests/cuda."""

from __future__ import annotations

import fcntl
import os
import subprocess
from pathlib import Path

HERE = Path(__file__).parent
HEADERS = HERE / "cuda"
INCLUDE = HERE.parent / "runtime" / "snncc_runtime" / "include"
FLAGS = [
    *("-x", "c++", "-std=c++17", "-DSNNCC_CUDA_HOST", "-I", str(HEADERS), "-I", str(INCLUDE)),
    *("-Wall", "-Wextra", "-Werror", "-Wno-unknown-pragmas", "-ffp-contract=off", "-fno-math-errno"),
]
# What each finds: see tests/cuda/host.h.
VARIANTS = {
    "plain": ["-O1"],
    "address": ["-O1", "-g1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"],
    "thread": ["-O1", "-g1", "-fsanitize=thread"],
}
ORDERS = ("forward", "reverse", "7")    # of threads and blocks: SNNCC_HOST_ORDER


def program(source: Path, variant: str) -> Path:
    """The program of a .cu file; built once in a run of the tests, whatever the number of its processes."""
    folder = Path(os.environ["SNNCC_TEST_SESSION"]) / "cuda"
    folder.mkdir(exist_ok=True)
    path = folder / f"{source.stem}-{variant}"
    with path.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not path.exists():
            draft = path.with_suffix(".draft")
            command = ["c++", *FLAGS, *VARIANTS[variant], str(source), "-o", str(draft)]
            answer = subprocess.run(command, capture_output=True, text=True, check=False)
            assert answer.returncode == 0, answer.stderr
            draft.rename(path)
    return path


def run(path: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Runs a program; `environment` has the host's switches, in lower case without SNNCC_HOST_."""
    switches = {f"SNNCC_HOST_{name.upper()}": value for name, value in environment.items()}
    kept = {name: value for name, value in os.environ.items() if not name.startswith("SNNCC_HOST_")}
    kept["TSAN_OPTIONS"] = "atexit_sleep_ms=0"    # otherwise every process waits for a second
    return subprocess.run(
        [path, *arguments], capture_output=True, text=True, check=False, timeout=120, env={**kept, **switches}
    )
