"""Networks from ONNX files on the command line."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .options import parse_pairs

if TYPE_CHECKING:
    from ..frontend.onnx import OnnxNetwork


def load_onnx(path: Path, options: Mapping[str, Any]) -> OnnxNetwork:
    """The network of a file, by the options that were given for it. Raises CompileError."""
    from ..frontend.onnx import import_onnx  # here: it loads onnx, 0.3 s

    given = dict(options)
    if "state" in given:
        given["states"] = parse_states(given.pop("state"))
    return import_onnx(path, **given)


def parse_states(pairs: tuple[str, ...]) -> dict[str, str]:
    """`("mem=mem_out",)`; {} for `none`. Raises CompileError."""
    return {} if pairs == ("none",) else parse_pairs("--state", pairs)
