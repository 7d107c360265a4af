"""Networks from ONNX files on the command line."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import CompileError
from ..nn import surrogate as surrogates
from .options import numbers_of

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
    if "surrogate" in given:
        given["surrogate"] = parse_surrogate(given["surrogate"])
    return import_onnx(path, **given)


def parse_states(pairs: tuple[str, ...]) -> dict[str, str]:
    """`("mem=mem_out",)`; {} for `none`. Raises CompileError."""
    return {} if pairs == ("none",) else parse_pairs("--state", pairs)


def parse_pairs(option: str, pairs: tuple[str, ...]) -> dict[str, str]:
    """`("a=b",)` as a mapping. Raises CompileError."""
    found: dict[str, str] = {}
    for pair in pairs:
        before, equals, after = pair.partition("=")
        if not equals or not before or not after or before in found:
            raise CompileError(f"{option} must be NAME=NAME, once for each name; got {pair!r}")
        found[before] = after
    return found


def parse_surrogate(text: str) -> Any:
    """`ATan`, `FastSigmoid,slope=10`. Raises CompileError."""
    kinds = {
        name.lower(): kind
        for name, kind in vars(surrogates).items()
        if isinstance(kind, type)
        and issubclass(kind, surrogates.Surrogate)
        and kind is not surrogates.Surrogate
    }
    head = text.partition(",")[0]
    kind = kinds.get(head.lower())
    if kind is None:
        raise CompileError(
            f"--surrogate must be one of {', '.join(k.__name__ for k in kinds.values())}, got {text!r}"
        )
    known = tuple(f.name for f in fields(kind))
    try:
        return kind(**numbers_of("--surrogate", text, known)[1])
    except TypeError as error:
        raise CompileError(f"--surrogate: {error}") from None
