"""Networks from ONNX files on the command line."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import CompileError

if TYPE_CHECKING:
    from ..frontend.onnx import OnnxNetwork


def load_onnx(path: Path, options: Mapping[str, Any]) -> OnnxNetwork:
    """The network of a file, by the options that were given for it. Raises CompileError."""
    from ..frontend.onnx import import_onnx  # here: it loads onnx, 0.3 s

    given = dict(options)
    if "state" in given:
        given["states"] = parse_states(given.pop("state"))
    if "output" in given:
        given["outputs"] = parse_pairs("--output", given.pop("output"))
    return import_onnx(path, **given)


def parse_states(pairs: tuple[str, ...]) -> dict[str, str]:
    """`("mem=mem_out",)`; {} for `none`. Raises CompileError."""
    return {} if pairs == ("none",) else parse_pairs("--state", pairs)


def parse_pairs(option: str, pairs: tuple[str, ...]) -> dict[str, str]:
    """`("a=b", "c=d,e=f")` as a mapping. Raises CompileError."""
    found: dict[str, str] = {}
    for pair in chain.from_iterable(map(_apart, pairs)):
        before, equals, after = pair.partition("=")
        if not equals or not before or not after or before in found:
            raise CompileError(f"{option} must be NAME=NAME, once for each name; got {pair!r}")
        found[before] = after
    return found


def _apart(text: str) -> list[str]:
    """Several pairs in one, if each part is a pair; else the comma belongs to a name."""
    parts = text.split(",")
    return parts if all(part.count("=") == 1 for part in parts) else [text]
