"""The operator domain `snncc`: what ONNX has no word for, as functions whose bodies any runtime can run.

Spike (u > 0) and SpikeAtZero (u >= 0) name their surrogate in an attribute, Detach and Substitute say where
gradients go. A file's metadata under the same name says which outputs are the next values of which inputs,
the numbers that states start at, and which outputs the network has besides. All of it comes from
strangers: a function with another body is another function, and what metadata says is checked.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from typing import Any

import onnx
from onnx import TensorProto, helper

from ...errors import CompileError
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


def written(pairs: dict[str, str], initial: dict[str, float], outputs: list[str]) -> str:
    """The metadata of a file."""
    return json.dumps({"states": pairs, "initial": initial, "outputs": outputs})


@dataclass(frozen=True)
class Told:
    """What metadata says: pairs of states, None if nothing; initial values; outputs that only states have."""

    states: dict[str, str] | None = None
    initial: dict[str, float] = field(default_factory=dict)
    hidden: frozenset[str] = frozenset()


def told(model: onnx.ModelProto) -> Told:
    """What the metadata of a file says. Raises CompileError where it is damaged."""
    text = next((entry.value for entry in model.metadata_props if entry.key == DOMAIN), None)
    if text is None:
        return Told()
    try:
        said: Any = json.loads(text) if len(text) <= LONGEST else None
        states, initial = dict(said["states"]), dict(said["initial"])
        outputs = said.get("outputs")
        hidden = frozenset() if outputs is None else frozenset(states.values()).difference(outputs)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise CompileError(f"the metadata {DOMAIN!r} is damaged; export the file again") from None
    sound = all(isinstance(v, str) for v in states.values())
    if not sound or not all(isinstance(v, float) and math.isfinite(v) for v in initial.values()):
        raise CompileError(f"the metadata {DOMAIN!r} is damaged; export the file again")
    return Told(states, initial, hidden)
