"""Operators of ONNX that add, take away or repeat features at places: Pad, Resize, Upsample."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ...errors import CompileError
from ...ops import Value, pad
from . import constants
from .axes import AxisError, Tensor, after_move, described, moved, plain, reshape
from .evaluate import Evaluation, operator, tensor
from .nodes import Node

FILLS = {"reflect": "reflect", "edge": "edge", "wrap": "wrap"}  # NumPy's names


@operator("Pad")
def _pad(run: Evaluation, node: Node, operands: Sequence[Any]) -> Any:
    """Ends that are constant, or repeat what is inside; a negative number takes away."""
    x = tensor(run, node, operands)
    widths, fill = _widths(run, node, x, operands), _fill(node, operands)
    mode = node.attributes.get("mode", "constant")
    cut = tuple(slice(max(0, -a), n - max(0, -b)) for (a, b), n in zip(widths, _sizes(x), strict=True))
    widths = [(max(0, a), max(0, b)) for a, b in widths]
    value, dims = moved(x, lambda index: index[cut])
    if 0 in dims:
        raise CompileError("takes everything away")
    x = after_move(x, value, x.axes, dims)
    if mode in FILLS:
        value, dims = moved(x, lambda index: np.pad(index, widths, FILLS[mode]))  # type: ignore[call-overload]
        return after_move(x, value, x.axes, dims)
    if mode != "constant":
        raise CompileError(f"pads in the mode {mode!r}; constant, {', '.join(FILLS)} are supported")
    sizes = _sizes(x)
    made: Value = pad(reshape(x.value, tuple(sizes)), widths)
    if fill:
        outside = np.pad(np.zeros(sizes), widths, constant_values=fill)
        made = made + run.weights.parameter(node.outputs[0], "ends", outside)
    padded = [n + a + b for n, (a, b) in zip(sizes, widths, strict=True)]
    return replace(after_move(x, made, x.axes, padded), state=False, delayed=False, product=None)


def _sizes(x: Tensor) -> list[int]:
    """Features along each axis of the tensor."""
    return [math.prod(a for a in axis if isinstance(a, int)) for axis in x.axes]


def _widths(run: Evaluation, node: Node, x: Tensor, operands: Sequence[Any]) -> list[tuple[int, int]]:
    """Before and behind each axis."""
    given = constants.attribute_or_input(node, "pads", 1, operands)
    chosen = constants.attribute_or_input(node, "axes", 3, operands)
    places = list(range(x.rank)) if chosen is None else constants.axes_of(node, x.rank, chosen)
    if given is None or len(given) != 2 * len(places):
        raise CompileError(f"needs two numbers for each of {len(places)} axes, found {given}")
    widths = [(0, 0)] * x.rank
    for place, before, behind in zip(places, given[: len(places)], given[len(places) :], strict=True):
        if (before or behind) and not plain(x.axes[place]):
            raise AxisError(f"pads axis {place} of {described(x.axes)}")
        widths[place] = before, behind
    if any(-min(a, b, a + b) >= n for (a, b), n in zip(widths, _sizes(x), strict=True) if a < 0 or b < 0):
        raise CompileError("takes everything away")
    return widths


def _fill(node: Node, operands: Sequence[Any]) -> float:
    value = node.attributes.get("value", operands[2] if len(operands) > 2 else None)
    if isinstance(value, np.ndarray) and value.size == 1:
        value = float(value.reshape(-1)[0])
    if value is not None and not (isinstance(value, (int, float)) and math.isfinite(value)):
        raise CompileError("its constant must be one finite number")
    return float(value or 0.0)


@operator("Resize", "Upsample")
def _resize(run: Evaluation, node: Node, operands: Sequence[Any]) -> Any:
    """Pixels repeated (mode nearest)."""
    x = tensor(run, node, operands)
    mode = node.attributes.get("mode", "nearest")
    if mode != "nearest":
        raise CompileError(f"is of mode {mode!r}; nearest is supported")
    scales, wanted = _scales(run, node, x, operands)
    index = [_nearest(node, n, m, s) for n, m, s in zip(_sizes(x), wanted, scales, strict=True)]
    value, dims = moved(x, lambda flat: flat[np.ix_(*index)])
    return after_move(x, value, x.axes, dims)


def _scales(run: Evaluation, node: Node, x: Tensor, operands: Sequence[Any]) -> tuple[list[float], list[int]]:
    """For each axis the factor, and how many features there will be."""
    place = 1 if node.op == "Upsample" else 2
    scales = node.attributes.get("scales", operands[place] if len(operands) > place else None)
    sizes = operands[3] if len(operands) > 3 else None
    if "axes" in node.attributes or node.attributes.get("keep_aspect_ratio_policy", "stretch") != "stretch":
        raise CompileError("axes and keep_aspect_ratio_policy are not supported")
    dims = x.dims(run.lengths)
    if isinstance(sizes, np.ndarray) and sizes.size:
        wanted = [int(n) for n in sizes.reshape(-1)]
        factors = [w / n for w, n in zip(wanted, dims, strict=False)]
    elif isinstance(scales, (np.ndarray, list)) and np.size(scales):
        factors = [float(s) for s in np.asarray(scales).reshape(-1)]
        wanted = [math.floor(n * s) for n, s in zip(dims, factors, strict=False)]
    else:
        raise CompileError("its scales or sizes must be constant")
    if len(wanted) != x.rank or min(wanted) < 1:
        raise CompileError(f"cannot become {wanted}")
    for axis, n, w in zip(x.axes, dims, wanted, strict=True):
        if n != w and not plain(axis):
            raise AxisError(f"resizes time or the batch of {described(x.axes)}")
    kept = [m if plain(axis) else n for axis, m, n in zip(x.axes, wanted, _sizes(x), strict=True)]
    return factors, kept


def _nearest(node: Node, count: int, wanted: int, scale: float) -> np.ndarray:
    """For each pixel of the result the one that it repeats."""
    if count == wanted:
        return np.arange(count)
    legacy = node.op == "Upsample" or node.opset < 11
    place = "asymmetric" if legacy else node.attributes.get("coordinate_transformation_mode", "half_pixel")
    to = "floor" if legacy else node.attributes.get("nearest_mode", "round_prefer_floor")
    pixels = np.arange(wanted)
    places = {
        "asymmetric": pixels / scale,
        "half_pixel": (pixels + 0.5) / scale - 0.5,
        "pytorch_half_pixel": (pixels + 0.5) / scale - 0.5 if wanted > 1 else pixels * 0.0,
    }
    whole: dict[str, Callable[[Any], Any]] = {
        "floor": np.floor, "ceil": np.ceil,
        "round_prefer_floor": lambda x: np.ceil(x - 0.5), "round_prefer_ceil": lambda x: np.floor(x + 0.5),
    }  # fmt: skip
    if place not in places or to not in whole:
        raise CompileError(f"is of the modes {place!r} and {to!r}; {', '.join(places)} are supported")
    found: np.ndarray = np.clip(whole[to](places[place]), 0, count - 1).astype(np.int64)
    return found
