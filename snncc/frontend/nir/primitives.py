"""NIR's primitives: which values a node must have, and what is wrong with those that it has."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..foreign import shown
from ..report import Finding
from .read import RawNode

SPIKING = ("IF", "LIF", "CubaLIF")
STATEFUL = (*SPIKING, "I", "LI", "CubaLI")
ELEMENTWISE = (*STATEFUL, "Threshold", "Scale", "Delay")


@dataclass(frozen=True)
class Fields:
    """Values that a primitive has, those that it may lack, and those that broadcast to its features."""

    required: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()
    per_feature: tuple[str, ...] = ()


_CONV = Fields(("weight", "stride", "padding", "dilation", "groups"), ("bias", "input_shape"))
_POOL = Fields(("kernel_size", "stride", "padding"))


def _per_feature(*names: str, optional: tuple[str, ...] = ()) -> Fields:
    return Fields(names, optional, (*names, *optional))


PRIMITIVES = {
    "Input": Fields((), ("shape",)),
    "Output": Fields((), ("shape",)),
    "Affine": Fields(("weight", "bias")),
    "Linear": Fields(("weight",)),
    "Scale": _per_feature("scale"),
    "Conv1d": _CONV,
    "Conv2d": _CONV,
    "SumPool2d": _POOL,
    "AvgPool2d": _POOL,
    "Flatten": Fields(("start_dim", "end_dim"), ("input_type",)),
    "Delay": _per_feature("delay"),
    "I": _per_feature("r"),
    "LI": _per_feature("tau", "r", "v_leak"),
    "IF": _per_feature("r", "v_threshold", optional=("v_reset",)),
    "LIF": _per_feature("tau", "r", "v_leak", "v_threshold", optional=("v_reset",)),
    "CubaLI": _per_feature("tau_syn", "tau_mem", "r", "v_leak", optional=("w_in",)),
    "CubaLIF": _per_feature("tau_syn", "tau_mem", "r", "v_leak", "v_threshold", optional=("v_reset", "w_in")),
    "Threshold": _per_feature("threshold"),
}


def unsupported(name: str, node: RawNode) -> Finding | None:
    """Why a node cannot be imported, if its type is not known."""
    if node.type in PRIMITIVES:
        return None
    why = f"NIR type {shown(node.type)} is not supported; these are: {', '.join(PRIMITIVES)}, NIRGraph"
    return Finding(name, node.type, "unsupported", why)


def fault(node: RawNode) -> str:
    """What is wrong with the values of a node of a known type; empty if nothing is."""
    fields = PRIMITIVES[node.type]
    if missing := [name for name in fields.required if name not in node.values]:
        return f"has no {' and no '.join(missing)}"
    for name in (*fields.required, *fields.optional):
        value = node.values.get(name)
        if value is None or (name == "padding" and isinstance(value, str)):
            continue
        if isinstance(value, str) or value.dtype.kind not in "biuf":
            return f"{name} must be numbers, found {shown(value)!r}"
        if not np.isfinite(value).all():
            return f"{name} must be finite, found {_entries(value, ~np.isfinite(value))}"
        if name.startswith("tau") and not (value > 0).all():
            return f"{name} must be positive, found {_entries(value, value <= 0)}"
        if name == "delay" and not (value >= 0).all():
            return f"delay must not be negative, found {_entries(value, value < 0)}"
    return _shape_fault(node, fields)


def _shape_fault(node: RawNode, fields: Fields) -> str:
    shapes = {n: np.shape(node.values[n]) for n in fields.per_feature if n in node.values}
    wide = {name: shape for name, shape in shapes.items() if np.prod(shape, dtype=int) != 1}
    if any(0 in shape for shape in shapes.values()):
        return "has values without entries"
    if len(set(wide.values())) > 1:
        return "its values differ in shape: " + ", ".join(f"{n} {list(s)}" for n, s in wide.items())
    if node.type in ("Affine", "Linear", "Conv1d", "Conv2d"):
        rank = {"Conv1d": 3, "Conv2d": 4}.get(node.type, 2)
        weight, bias = (np.shape(node.values.get(name, ())) for name in ("weight", "bias"))
        if len(weight) != rank or 0 in weight:
            return f"weight must have {rank} axes, its shape is {list(weight)}"
        if node.type != "Linear" and bias not in ((), (1,), weight[:1]):
            return f"bias must have shape [{weight[0]}], found {list(bias)}"
    return ""


def _entries(values: np.ndarray, wrong: np.ndarray) -> str:
    """The first entries that are wrong, with their places."""
    places = [tuple(int(i) for i in place) for place in np.argwhere(wrong)]
    shown_places = [f"{values[p]:g}" + (f" at {list(p)}" if p else "") for p in places[:3]]
    more = f" and {len(places) - 3} more" if len(places) > 3 else ""
    return ", ".join(shown_places) + more


def feature_shape(node: RawNode) -> tuple[int, ...] | None:
    """The shape that the values of an elementwise node demand, or None if they are single numbers."""
    shapes = (np.shape(node.values[n]) for n in PRIMITIVES[node.type].per_feature if n in node.values)
    return next((shape for shape in shapes if shape and shape != (1,)), None)


def whole(node: RawNode, name: str, count: int, default: int | None = None) -> tuple[int, ...]:
    """A value of `count` whole numbers; one stands for all. Raises ValueError."""
    if name not in node.values:
        assert default is not None
        return (default,) * count
    values = np.ravel(node.values[name])
    if values.size not in (1, count) or any(v != int(v) for v in values):
        raise ValueError(f"{name} must be {count} whole numbers, found {shown(values.tolist())}")
    numbers = [int(v) for v in values]
    return tuple(numbers if len(numbers) == count else numbers * count)
