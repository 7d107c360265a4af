"""The operator domain `snncc`: what ONNX has no word for, as functions whose bodies any runtime can run.

Spike (u > 0) and SpikeAtZero (u >= 0) name their surrogate in an attribute, Detach and Substitute say where
gradients go. A file's metadata under the same name says which outputs are the next values of which inputs,
and the numbers that states start at. All of it comes from strangers: a function with another body is
another function, and what metadata says is checked.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from dataclasses import fields
from typing import Any

import onnx
from onnx import TensorProto, helper

from ...errors import CompileError
from ...nn import surrogate as surrogates
from ...ops import Value, detach, spike, substitute
from .axes import Tensor, broadcast
from .evaluate import Evaluation, operator, tensor
from .flat import Node
from .read import DOMAIN

OPSET = 18
LONGEST = 1 << 20  # characters of metadata
SPIKES = {"Spike": "Greater", "SpikeAtZero": "GreaterOrEqual"}


def functions() -> list[Any]:
    """The functions of the domain, each with its body."""

    def function(name: str, inputs: list[str], nodes: list[Any], attributes: list[str]) -> Any:
        opsets = [helper.make_opsetid("", OPSET)]
        return helper.make_function(DOMAIN, name, inputs, ["y"], nodes, opsets, attributes)

    zero = helper.make_node("Constant", [], ["zero"], value_float=0.0)
    cast = helper.make_node("Cast", ["fired"], ["y"], to=TensorProto.FLOAT)
    fired = {kind: helper.make_node(op, ["u", "zero"], ["fired"]) for kind, op in SPIKES.items()}
    made = [function(kind, ["u"], [zero, node, cast], ["surrogate"]) for kind, node in fired.items()]
    same = [helper.make_node("Identity", ["x"], ["y"])]
    return [*made, function("Detach", ["x"], same, []), function("Substitute", ["x", "stand_in"], same, [])]


def own_functions(model: onnx.ModelProto) -> list[tuple[str, str]]:
    """The functions of a file that are exactly those of the domain."""
    known = {f.name: f.SerializeToString(deterministic=True) for f in functions()}
    return [
        (f.domain, f.name)
        for f in model.functions
        if f.domain == DOMAIN and known.get(f.name) == f.SerializeToString(deterministic=True)
    ]


def written(pairs: dict[str, str], initial: dict[str, float]) -> str:
    """The metadata of a file."""
    return json.dumps({"states": pairs, "initial": initial})


def told(model: onnx.ModelProto) -> tuple[dict[str, str] | None, dict[str, float]]:
    """Pairs of states and their initial values, as the metadata says; None where it does not."""
    text = next((entry.value for entry in model.metadata_props if entry.key == DOMAIN), None)
    if text is None:
        return None, {}
    try:
        said: Any = json.loads(text) if len(text) <= LONGEST else None
        states, initial = dict(said["states"]), dict(said["initial"])
    except (ValueError, TypeError, KeyError, RecursionError):
        raise CompileError(f"the metadata {DOMAIN!r} is damaged; export the file again") from None
    sound = all(isinstance(v, str) for v in states.values())
    if not sound or not all(isinstance(v, float) and math.isfinite(v) for v in initial.values()):
        raise CompileError(f"the metadata {DOMAIN!r} is damaged; export the file again")
    return states, initial


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
