"""`snncc compile`: a model folder from a network in a file."""

from __future__ import annotations

import math
import time
from pathlib import Path

from snncc_runtime.files import check_replaceable

from ..driver import Made, make
from .options import Choices
from .source import load_source
from .weights import traced


def compile_source(text: str, folder: Path, choices: Choices) -> str:
    """Compiles and says what was made. Raises CompileError or ModelError."""
    start = time.perf_counter()
    target = choices.wanted()
    check_replaceable(folder)  # complain before the work
    source = load_source(text, choices)
    network, target, matched = traced(source, target, choices)
    made = make(network, target, source.label, folder)
    said = [_report(folder, made, time.perf_counter() - start)]
    return "\n".join(said + [str(part) for part in (matched, source.report) if part is not None])


def _report(folder: Path, made: Made, seconds: float) -> str:
    manifest, built = made.manifest, made.built
    parameters = [t for t in manifest["tensors"] if t["role"] == "parameter"]
    count = sum(math.prod(t["shape"]) for t in parameters)
    lines = [
        f"{folder}: compiled in {seconds:.2f} s{', from the cache' * built.cached}",
        f"  library       {built.library}, {len(built.files[built.library]):,} bytes",
        f"  parameters    {count:,} in {len(parameters)} arrays, {manifest['dtype']}",
        f"  entry points  {', '.join(manifest['entries'])}",
        f"  compiler      {built.compiler}",
    ]
    return "\n".join(lines)
