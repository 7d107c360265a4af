"""What the operators of the domain `snncc` mean; `domain` says what they are."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import fields
from typing import Any

from ...errors import CompileError
from ...nn import surrogate as surrogates
from ...ops import Value, detach, spike, substitute
from .axes import Tensor, broadcast
from .domain import SPIKES
from .evaluate import Evaluation, operator, tensor
from .nodes import Node
from .read import DOMAIN


def surrogate_of(text: str) -> Any:
    """The surrogate that prints as this text, ATan if snncc has none that does; None for no text."""
    if not text:
        return None
    found = re.fullmatch(r"(\w+)\(([\w=., +-]*)\)", text)
    kind = getattr(surrogates, found[1], None) if found else None
    if found is None or not isinstance(kind, type) or not issubclass(kind, surrogates.Surrogate):
        return surrogates.ATan()
    pairs = [part.partition("=") for part in found[2].split(",") if part.strip()]
    try:
        values = {name.strip(): float(value) for name, _, value in pairs}
        known = {f.name for f in fields(kind)}
        return kind(**values) if values.keys() <= known else surrogates.ATan()
    except (ValueError, TypeError, CompileError):
        return surrogates.ATan()


@operator(*(f"{DOMAIN}::{kind}" for kind in SPIKES))
def _spike(run: Evaluation, node: Node, operands: Sequence[Any]) -> Any:
    u = tensor(run, node, operands)
    surrogate = (
        surrogate_of(str(node.attributes.get("surrogate", ""))) if run.surrogate is None else run.surrogate
    )
    made: Value = spike(u.value, surrogate, strict=not node.op.endswith("AtZero"))
    return run.result(made, u.axes, [u])


@operator(f"{DOMAIN}::Detach")
def _detach(run: Evaluation, node: Node, operands: Sequence[Any]) -> Any:
    x = tensor(run, node, operands)
    return run.result(detach(x.value), x.axes, [x])


@operator(f"{DOMAIN}::Substitute")
def _substitute(run: Evaluation, node: Node, operands: Sequence[Any]) -> Any:
    axes = broadcast(operands, run.lengths)
    values = [run.operand(o, axes, name) for o, name in zip(operands, node.inputs, strict=True)]
    made: Value = substitute(*values)
    return run.result(made, axes, [o for o in operands if isinstance(o, Tensor)])
