"""CUDA sources as programs and libraries that run on the processor, by what is in tests/cuda."""

from __future__ import annotations

import hashlib
import os
import subprocess
from pathlib import Path

from snncc.nvcc import CudaCompiler
from tests import once

HERE = Path(__file__).parent
HEADERS = HERE / "cuda"
INCLUDE = HERE.parent / "runtime" / "snncc_runtime" / "include"
FLAGS = (
    *("-x", "c++", "-std=c++17", "-DSNNCC_CUDA_HOST", "-fPIC", "-ffp-contract=off", "-fno-math-errno"),
    *("-Wall", "-Wextra", "-Werror", "-Wno-unknown-pragmas"),
)
# What each finds: see tests/cuda/host.h.
VARIANTS = {
    "plain": ("-Og",),
    "address": ("-O1", "-g1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"),
    "thread": ("-O1", "-g1", "-fsanitize=thread"),
}
# CUDA itself: compiled once, so that each source only has to include what it declares.
LIBRARY = {
    "plain": ("-O2",),
    "address": ("-O1", "-fsanitize=address"),
    "thread": ("-O1", "-fsanitize=thread"),
}
SANITIZERS = {"plain": (), "address": ("libasan.so", "libubsan.so"), "thread": ("libtsan.so",)}
OPTIONS = {
    "ASAN_OPTIONS": "detect_leaks=0",
    "TSAN_OPTIONS": "atexit_sleep_ms=0",    # otherwise every process waits for a second
}
ORDERS = ("forward", "reverse", "7")    # of threads and blocks: SNNCC_HOST_ORDER


def library(variant: str) -> Path:
    """CUDA itself."""
    name = f"cuda/{variant}/libcuda_host.so"
    return _built(name, *LIBRARY[variant], "-shared", str(HEADERS / "host.cpp"))


def cublas(variant: str = "plain") -> Path:
    """What stands in for libcublas.so, for what is resolved at run time."""
    name = f"cuda/{variant}/libcublas_host.so"
    return _built(name, *LIBRARY[variant], "-shared", str(HEADERS / "cublas.cpp"), *linking(variant))


def program(source: Path, variant: str) -> Path:
    """The program of a .cu file."""
    return _built(f"cuda/{variant}/{source.stem}", *VARIANTS[variant], str(source), *linking(variant))


def linking(variant: str) -> tuple[str, ...]:
    """Flags with paths of this machine."""
    folder = library(variant).parent
    return "-I", str(HEADERS), "-L", str(folder), "-lcuda_host", f"-Wl,-rpath,{folder}"


def compiler(variant: str = "plain") -> CudaCompiler:
    """For `nvcc.build`: makes a library that runs on the processor."""
    sources = b"".join(path.read_bytes() for path in sorted(HEADERS.iterdir()))
    version = f"tests/cuda {hashlib.sha256(sources).hexdigest()}"
    return CudaCompiler(("c++",), (*FLAGS, *VARIANTS[variant], "-shared"), version, private=linking(variant))


def _built(name: str, *arguments: str) -> Path:
    """Built once in a run of the tests."""

    def build(draft: Path) -> None:
        command = ["c++", *FLAGS, "-I", str(INCLUDE), *arguments, "-o", str(draft)]
        answer = subprocess.run(command, capture_output=True, text=True, check=False)
        assert answer.returncode == 0, answer.stderr

    return once.file(name, build)


def environment(variant: str) -> dict[str, str]:
    """What a Python process needs that loads a library of this variant."""
    paths = [
        subprocess.check_output(["c++", f"-print-file-name={name}"], text=True).strip()
        for name in SANITIZERS[variant]
    ]
    return {**os.environ, **OPTIONS, "LD_PRELOAD": " ".join(paths)}


def run(path: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Runs a program; `environment` has the host's switches, in lower case without SNNCC_HOST_."""
    switches = {f"SNNCC_HOST_{name.upper()}": value for name, value in environment.items()}
    kept = {name: value for name, value in os.environ.items() if not name.startswith("SNNCC_HOST_")}
    everything = {**kept, **OPTIONS, **switches}
    return subprocess.run(
        [path, *arguments], capture_output=True, text=True, check=False, timeout=120, env=everything
    )
