"""Finds cuBLAS for models whose products it computes: compiled for CUDA with another precision than "exact".

Libraries are tried in this order: what the system's loader finds by name, which is also what another package
has loaded already; pip's packages; a toolkit. So a model shares the library that PyTorch or CuPy use.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

from .binding import Library, Status

NAMES = ("libcublas.so.13", "libcublas.so.12")
PLACES = ("nvidia/cu13/lib", "nvidia/cublas/lib")  # of pip's packages, beside other modules
TOOLKITS = ("CUDA_HOME", "CUDA_PATH")
DEFAULT_TOOLKIT = "/usr/local/cuda"
INSTALL = (
    "`pip install nvidia-cublas` (nvidia-cublas-cu12 for a driver of CUDA 12), or install NVIDIA's CUDA "
    "Toolkit and set CUDA_HOME"
)


def candidates() -> Iterator[str]:
    """Names and paths to try."""
    yield from NAMES
    roots = [Path(place, name) for place in sys.path for name in PLACES]
    kits = [Path(kit) for variable in TOOLKITS if (kit := os.environ.get(variable, "").strip())]
    roots += [kit / "lib64" for kit in (*kits, Path(DEFAULT_TOOLKIT))]
    yield from (str(root / name) for root in roots for name in NAMES if (root / name).is_file())


def attach(library: Library, model: object) -> tuple[str, str]:
    """Gives an initialised model the first library that works.

    Returns its name or path and nothing, or nothing and why there is none.
    """
    tried = []
    for path in candidates():
        code = library.function("library")(model, path.encode())
        if code == Status.OK:
            return path, ""
        if code >= Status.BLAS:
            tried.append(f"{path}: {library.finding(code)}")
    return "", "; ".join(tried) or "no cuBLAS was found"
