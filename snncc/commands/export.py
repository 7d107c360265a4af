"""`snncc export`: a network as a file that other systems read."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from ..errors import CompileError
from .options import IMPORTS, Choices
from .source import load_source
from .weights import traced

READ = ("surrogate", "output")  # options of reading a file that say nothing about writing one


def export_source(text: str, nir: Path | None, onnx: Path | None, choices: Choices) -> str:
    """Writes the file and says what became of each layer. Raises CompileError or ModelError."""
    if (nir is None) == (onnx is None):
        raise CompileError("export: say where to: --nir FILE or --onnx FILE")
    if nir is None:
        from ..frontend.onnx import export_onnx

        source = load_source(text, choices)
        network, _, _ = traced(source, choices.wanted(), choices)
        return str(export_onnx(source.network, onnx or Path(), weights=network))
    from ..frontend.nir import export_nir

    names = [name for name in IMPORTS[".nir"] if name not in READ]
    options = {name: getattr(choices, name) for name in names}
    if options.pop("integrator") is not None:
        raise CompileError("--integrator: a file is written for the euler integrator; leave it out")
    from_nir = Path(text).suffix.lower() == ".nir"
    unread: dict[str, Any] = dict.fromkeys(names)
    plain = choices if from_nir else replace(choices, **unread)
    source, target = load_source(text, plain), choices.wanted()
    network, _, _ = traced(source, target, plain)
    given = {name: value for name, value in options.items() if value is not None}
    return str(export_nir(source.network, nir, weights=network, **given))
