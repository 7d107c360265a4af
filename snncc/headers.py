"""The runtime's headers as one file, so that a model folder needs nothing else."""

from __future__ import annotations

from pathlib import Path

from snncc_runtime import get_include


def joined(header: str) -> str:
    """The headers that one includes ("snncc.h", "cuda/cuda.h"), with what it defines before them."""
    first = Path(get_include()) / "snncc" / header
    text = first.read_text().splitlines()
    names = [included(line) for line in text if included(line)]
    defined = [line for line in text if line.startswith("#define ") and not line.endswith("_H")]
    parts = [(first.parent / name).read_text() for name in names]
    known = {Path(name).name for name in names}
    lines = [line for part in parts for line in part.splitlines() if Path(included(line)).name not in known]
    return "\n".join(["/* The runtime of snncc in one file. */", *defined, *lines]) + "\n"


def included(line: str) -> str:
    """The header that a line includes by its place, or nothing."""
    return line.split('"')[1] if line.startswith('#include "') else ""
