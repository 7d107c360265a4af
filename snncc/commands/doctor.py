"""`snncc doctor`: what this machine has for compiling and running models, and what to do about the rest."""

from __future__ import annotations

import ctypes
import importlib.util
import os
import platform
import shutil
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from snncc_runtime import cublas, cuda
from snncc_runtime.cpu import cpu_flags, default_slots, default_threads

from .. import __version__
from ..build import OPTIONAL_FLAGS, Compiler, accepted_flags, build, find_compiler
from ..errors import CompileError
from ..nvcc import find_nvcc
from ..store import cache_folder

PACKAGES = ("numpy", "cffi", "click", "jinja2", "networkx", "onnx", "tqdm")
WIDE = ("avx512f", "avx2", "asimd", "sse4_2")
TRIAL = "int trial_answer(void);\n"


@dataclass(frozen=True)
class Finding:
    """One line of the report: what was looked at, what was found, and what to do if that is not enough."""

    topic: str
    found: str
    remedy: str = ""
    fatal: bool = False

    def __str__(self) -> str:
        mark = "ERROR " if self.fatal else ""
        lines = [f"{self.topic:<12}{mark}{self.found}"]
        return "\n".join([*lines, f"{'':<12}-> {self.remedy}"] if self.remedy else lines)


@dataclass(frozen=True)
class Report:
    """All findings as text, and whether models can be compiled here."""

    text: str
    sound: bool


def examine() -> Report:
    """Looks at the machine; compiles and runs a function of one line."""
    findings = [*_python(), *_c(), _blas(), *_cuda(), _threads()]
    sound = not any(finding.fatal for finding in findings)
    verdict = "models can be compiled and run here" if sound else "models cannot be compiled here yet"
    return Report("\n".join([*map(str, findings), "", verdict]), sound)


def _python() -> Iterator[Finding]:
    yield Finding("snncc", f"{__version__}, in {Path(__file__).parents[1]}")
    yield Finding("Python", f"{platform.python_version()}, {sys.executable}")
    found = {name: _installed(name) for name in PACKAGES}
    missing = [name for name, text in found.items() if not text]
    listed = ", ".join(f"{name} {text}" for name, text in found.items() if text)
    remedy = f"{', '.join(missing)} missing: pip install {' '.join(missing)}" if missing else ""
    yield Finding("packages", listed, remedy)


def _installed(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def _c() -> Iterator[Finding]:
    """Processor, cache folder, compiler, and a trial of all of them."""
    flags = cpu_flags() or ()
    wide = next((name for name in WIDE if name in flags), "no known vector instructions")
    yield Finding("processor", f"{platform.machine()}, {wide}, {os.cpu_count()} processors")
    try:
        folder = cache_folder()
    except CompileError as error:
        yield Finding("cache", str(error), fatal=True)
        return
    yield _cache(folder)
    try:
        compiler = find_compiler()
    except CompileError as error:
        yield Finding("compiler", str(error), fatal=True)
        return
    yield from _compiler(compiler, folder)


def _cache(folder: Path) -> Finding:
    if not os.access(folder, os.W_OK):
        return Finding(
            "cache", f"{folder} cannot be written", "set SNNCC_CACHE to a folder that can", fatal=True
        )
    files = [path for path in folder.rglob("*") if path.is_file()]
    size = sum(path.stat().st_size for path in files)
    builds = sum(path.is_dir() for path in folder.iterdir())
    return Finding(
        "cache", f"{folder}, {builds} builds, {size / 2**20:.1f} MiB; it may be deleted at any time"
    )


def _compiler(compiler: Compiler, folder: Path) -> Iterator[Finding]:
    place = shutil.which(compiler.command[0])
    yield Finding("compiler", f"{compiler}, {place}")
    try:
        accepted = accepted_flags(compiler, folder)
        answer = _trial()
    except CompileError as error:
        yield Finding(
            "trial", str(error), "install a complete C compiler: `apt install gcc libc6-dev`", fatal=True
        )
        return
    refused = [flag for flag in OPTIONAL_FLAGS if flag not in accepted]
    text = f"takes {', '.join(accepted) or 'none of the optional ones'}"
    yield Finding("flags", text + (f"; refuses {', '.join(refused)}" if refused else ""))
    yield _openmp(accepted)
    if answer == 42:
        yield Finding("trial", "a C function was compiled, loaded and called")
    else:
        yield Finding("trial", f"a compiled function gave {answer}, not 42", fatal=True)


def _trial() -> int:
    built = build(
        {"model.h": TRIAL, "model.c": '#include "model.h"\nint trial_answer(void) { return 42; }\n'},
        name="trial", declarations=TRIAL,
    )  # fmt: skip
    try:
        return int(ctypes.CDLL(str(built.folder / built.library)).trial_answer())
    except OSError as error:
        raise CompileError(f"the compiled library cannot be loaded: {error}") from error


def _openmp(accepted: tuple[str, ...]) -> Finding:
    if "-fopenmp" in accepted:
        return Finding("OpenMP", "found: models run on several threads")
    return Finding(
        "OpenMP", "not found: models run on one thread",
        "`apt install libgomp1` for gcc, `libomp-dev` for clang, `brew install libomp` on macOS",
    )  # fmt: skip


def _blas() -> Finding:
    if importlib.util.find_spec("scipy_openblas32") is not None:
        return Finding("BLAS", f"scipy-openblas32 {_installed('scipy-openblas32')}, not needed")
    config: Any = np.show_config(mode="dicts")
    name = config.get("Build Dependencies", {}).get("blas", {}).get("name", "unknown")
    return Finding(
        "BLAS", f"no scipy-openblas32 (numpy has {name} of its own); not needed: products are snncc's own"
    )  # fmt: skip


def _cuda() -> Iterator[Finding]:
    """Compiler, driver and devices; all of them optional, so nothing here is an error."""
    try:
        yield Finding("nvcc", str(find_nvcc()))
    except CompileError as error:
        yield Finding("nvcc", f"not needed for models in C; {error}")
    found = cuda.driver()
    if found is None:
        yield Finding("CUDA", "no NVIDIA driver; not needed: models in C run on the processor")
        return
    devices = ", ".join(map(str, found.devices))
    remedy = cuda.explain(found.code or 100) if not devices else ""
    yield _cublas()
    yield Finding(
        "CUDA", f"driver for CUDA {found.cuda[0]}.{found.cuda[1]}, {devices or 'no device'}", remedy
    )


def _cublas() -> Finding:
    for path in cublas.candidates():
        with suppress(OSError):
            ctypes.CDLL(path)
            return Finding("cuBLAS", f"{path}, for models with another precision than exact")
    return Finding(
        "cuBLAS", f"not found, and needed for another precision than exact alone: {cublas.INSTALL}"
    )


def _threads() -> Finding:
    wish = os.environ.get("OMP_NUM_THREADS")
    source = f"OMP_NUM_THREADS={wish}" if wish else "OMP_NUM_THREADS is not set"
    return Finding("threads", f"{default_threads()} ({source}), {default_slots()} parts of a batch")
