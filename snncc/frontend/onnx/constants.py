"""What operators mean for constants, in NumPy: everything that is known at import is computed at import."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ...errors import CompileError
from .nodes import Node

Array = Any
MOST_FOLDED = 1 << 22  # elements of a constant that is computed
TYPES = {1: np.float32, 2: np.uint8, 3: np.int8, 5: np.int16, 6: np.int32, 7: np.int64, 9: np.bool_,
         10: np.float16, 11: np.float64, 12: np.uint32, 13: np.uint64, 4: np.uint16}  # fmt: skip


def attribute_or_input(node: Node, name: str, position: int, arrays: Sequence[Array]) -> list[int] | None:
    """A list that older operator sets have as an attribute and newer ones as an input."""
    if name in node.attributes:
        value = node.attributes[name]
        return [int(v) for v in value] if isinstance(value, list) else [int(value)]
    if position < len(arrays) and arrays[position] is not None:
        if not isinstance(arrays[position], np.ndarray):
            raise node.error(f"its {name} must be constant")
        return [int(v) for v in np.asarray(arrays[position]).reshape(-1)]
    return None


def bounded(node: Node, shape: Sequence[int]) -> tuple[int, ...]:
    """A shape of a result, if it is not too large to be made."""
    if any(n < 0 for n in shape) or math.prod(int(n) for n in shape) > MOST_FOLDED:
        raise node.error(f"a constant of shape {[int(n) for n in shape]} cannot be made")
    return tuple(int(n) for n in shape)


def dtype_of(node: Node) -> np.dtype[Any]:
    """What a Cast casts to."""
    kind = node.attributes.get("to")
    if kind not in TYPES:
        raise node.error(f"casts to type {kind!r}; float, integer and bool are supported")
    return np.dtype(TYPES[kind])


def axes_of(node: Node, rank: int, axes: Sequence[int]) -> list[int]:
    """Axes from 0, each once. Raises CompileError."""
    found = [a + rank if a < 0 else a for a in axes]
    if any(not 0 <= a < rank for a in found) or len(set(found)) != len(found):
        raise node.error(f"axes {list(axes)} do not fit a value of {rank} axes")
    return found


def shape(node: Node, dims: Sequence[int]) -> list[Array]:
    start, end = node.attributes.get("start", 0), node.attributes.get("end", len(dims))
    return [np.array(list(dims)[start:end], np.int64)]


def reshaped(node: Node, given: Sequence[int], wanted: Sequence[int]) -> tuple[int, ...]:
    """The target of a Reshape with its zeros and -1 filled in."""
    keep = not node.attributes.get("allowzero", 0)
    if sum(n == -1 for n in wanted) > 1 or any(n < -1 for n in wanted):
        raise node.error(f"cannot reshape to {list(wanted)}")
    dims = [given[i] if n == 0 and keep and i < len(given) else n for i, n in enumerate(wanted)]
    size = math.prod(given)
    rest = math.prod(n for n in dims if n != -1)
    dims = [size // rest if n == -1 and rest else n for n in dims]
    if math.prod(dims) != size:
        raise node.error(f"cannot reshape {list(given)} to {list(wanted)}")
    return tuple(dims)


def slices(node: Node, rank: int, arrays: Sequence[Array]) -> tuple[slice, ...]:
    """What a Slice takes, an axis each."""
    starts = attribute_or_input(node, "starts", 1, arrays)
    ends = attribute_or_input(node, "ends", 2, arrays)
    if starts is None or ends is None or len(starts) != len(ends):
        raise node.error("needs as many starts as ends")
    axes = attribute_or_input(node, "axes", 3, arrays) or list(range(len(starts)))
    steps = attribute_or_input(node, "steps", 4, arrays) or [1] * len(starts)
    if not len(starts) == len(axes) == len(steps) or 0 in steps:
        raise node.error("needs a start, an end and a step other than 0 for each axis")
    result = [slice(None)] * rank
    for axis, start, end, step in zip(axes_of(node, rank, axes), starts, ends, steps, strict=True):
        # NumPy reads an end below -length as "up to the first" only as None.
        stop = None if step < 0 and end < -(2**30) else end
        result[axis] = slice(start, stop, step)
    return tuple(result)


def gathered(node: Node, x: Array, index: Array) -> Array:
    (axis,) = axes_of(node, np.ndim(x), [node.attributes.get("axis", 0)])
    places = np.asarray(index)
    if places.dtype.kind not in "iu" or np.any(places < -x.shape[axis]) or np.any(places >= x.shape[axis]):
        raise node.error(f"indices must be integers within an axis of length {x.shape[axis]}")
    bounded(node, (*x.shape[:axis], *places.shape, *x.shape[axis + 1 :]))
    return np.take(x, places, axis)


def squeezed(node: Node, dims: Sequence[int], axes: Sequence[int] | None) -> list[int]:
    """The axes that a Squeeze takes away."""
    chosen = [i for i, n in enumerate(dims) if n == 1] if axes is None else axes_of(node, len(dims), axes)
    if any(dims[a] != 1 for a in chosen):
        raise node.error(f"axes {chosen} of {list(dims)} are not all of length 1")
    return chosen


def split_sizes(node: Node, length: int, outputs: int, arrays: Sequence[Array]) -> list[int]:
    """The lengths of a Split's parts."""
    sizes = attribute_or_input(node, "split", 1, arrays)
    if sizes is None:
        parts = node.attributes.get("num_outputs", outputs)
        size = -(-length // parts) if parts > 0 else 0
        sizes = [max(0, min(size, length - i * size)) for i in range(parts)]
    if sum(sizes) != length or any(n < 0 for n in sizes) or len(sizes) < outputs:
        raise node.error(f"cannot split {length} into {sizes}")
    return sizes


def divide(a: Array, b: Array) -> Array:
    """Integers are divided towards zero, as in C."""
    if np.asarray(a).dtype.kind in "iu":
        quotient = np.abs(a) // np.maximum(np.abs(b), 1)
        return (np.sign(a) * np.sign(b) * quotient).astype(np.asarray(a).dtype)
    return np.divide(a, b)


def clipped(node: Node, arrays: Sequence[Array]) -> Array:
    low, high = limits(node, arrays)
    x = arrays[0]
    x = x if low is None else np.maximum(x, np.asarray(low, x.dtype))
    return x if high is None else np.minimum(x, np.asarray(high, x.dtype))


def limits(node: Node, arrays: Sequence[Array]) -> tuple[Any, Any]:
    """The bounds of a Clip, from attributes (before opset 11) or inputs; None where there is none."""
    low = node.attributes.get("min", arrays[1] if len(arrays) > 1 else None)
    high = node.attributes.get("max", arrays[2] if len(arrays) > 2 else None)
    return low, high


def product(node: Node, arrays: Sequence[Array]) -> Array:
    a, b = (
        x.T if node.attributes.get(t, 0) else x for x, t in zip(arrays, ("transA", "transB"), strict=False)
    )
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[0]:
        raise node.error(f"cannot multiply {list(a.shape)} by {list(b.shape)}")
    bounded(node, (a.shape[0], b.shape[1]))
    y = a @ b if node.attributes.get("alpha", 1.0) == 1 else (a @ b) * a.dtype.type(node.attributes["alpha"])
    if len(arrays) > 2 and arrays[2] is not None:
        y = y + arrays[2] * a.dtype.type(node.attributes.get("beta", 1.0))
    return y


def constant(node: Node) -> Array:
    """The value of a Constant, whichever attribute it is in."""
    kinds = {
        "value_float": np.float32,
        "value_floats": np.float32,
        "value_int": np.int64,
        "value_ints": np.int64,
    }
    for name, value in node.attributes.items():
        if name == "value":
            return value
        if name in kinds:
            return np.array(value, kinds[name])
    raise node.error("holds neither a tensor nor numbers")


def reduced(node: Node, arrays: Sequence[Array], function: Callable[..., Array]) -> Array:
    x = arrays[0]
    axes = attribute_or_input(node, "axes", 1, arrays)
    if not axes:
        if axes is not None and node.attributes.get("noop_with_empty_axes", 0):
            return x
        axes = list(range(x.ndim))
    kept = bool(node.attributes.get("keepdims", 1))
    return np.asarray(function(x, axis=tuple(axes_of(node, x.ndim, axes)), keepdims=kept)).astype(x.dtype)


def _range(node: Node, arrays: Sequence[Array]) -> Array:
    start, limit, step = (np.asarray(a).reshape(-1)[0] for a in arrays)
    count = max(0.0, math.ceil((float(limit) - float(start)) / float(step))) if step else -1
    bounded(node, [int(min(count, MOST_FOLDED + 1))])
    return (start + np.arange(int(count)) * step).astype(arrays[0].dtype)


def _expand(node: Node, arrays: Sequence[Array]) -> Array:
    shape = np.broadcast_shapes(arrays[0].shape, tuple(int(n) for n in arrays[1].reshape(-1)))
    return np.broadcast_to(arrays[0], bounded(node, shape)).copy()


def _of_shape(node: Node, arrays: Sequence[Array]) -> Array:
    value = np.asarray(node.attributes.get("value", np.zeros(1, np.float32))).reshape(-1)
    return np.full(bounded(node, arrays[0].reshape(-1)), value[0], value.dtype)


def _tile(node: Node, arrays: Sequence[Array]) -> Array:
    x, repeats = arrays[0], [int(n) for n in arrays[1].reshape(-1)]
    if len(repeats) != x.ndim:
        raise node.error(f"needs {x.ndim} repeats, found {len(repeats)}")
    bounded(node, [n * r for n, r in zip(x.shape, repeats, strict=True)])
    return np.tile(x, repeats)


def _squeeze(node: Node, arrays: Sequence[Array]) -> Array:
    gone = squeezed(node, arrays[0].shape, attribute_or_input(node, "axes", 1, arrays))
    return arrays[0].reshape([n for i, n in enumerate(arrays[0].shape) if i not in gone])


def _unsqueeze(node: Node, arrays: Sequence[Array]) -> Array:
    axes = attribute_or_input(node, "axes", 1, arrays) or []
    return np.expand_dims(arrays[0], tuple(axes_of(node, arrays[0].ndim + len(axes), axes)))


def _flatten(node: Node, arrays: Sequence[Array]) -> Array:
    axis = node.attributes.get("axis", 1)
    rows = math.prod(arrays[0].shape[: axis if axis >= 0 else axis + arrays[0].ndim])
    return arrays[0].reshape(rows, -1) if arrays[0].size else arrays[0].reshape(rows, 0)


def _split(node: Node, arrays: Sequence[Array]) -> list[Array]:
    (axis,) = axes_of(node, arrays[0].ndim, [node.attributes.get("axis", 0)])
    sizes = split_sizes(node, arrays[0].shape[axis], len(node.outputs), arrays)
    return np.split(arrays[0], np.cumsum(sizes)[:-1], axis)


def _concat(node: Node, arrays: Sequence[Array]) -> Array:
    bounded(node, [sum(a.size for a in arrays)])
    return np.concatenate(arrays, axes_of(node, arrays[0].ndim, [node.attributes.get("axis", 0)])[0])


def _matmul(node: Node, arrays: Sequence[Array]) -> Array:
    a, b = arrays
    bounded(
        node, [(a.size // max(1, a.shape[-1])) * (b.size // max(1, b.shape[-2] if b.ndim > 1 else b.size))]
    )
    return np.matmul(a, b)


def _plain(function: Callable[..., Array]) -> Callable[[Node, Sequence[Array]], Array]:
    def run(node: Node, arrays: Sequence[Array]) -> Array:
        shape = np.broadcast_shapes(*(np.shape(a) for a in arrays))
        bounded(node, shape)
        return function(*arrays)

    return run


def _like(function: Callable[..., Array]) -> Callable[[Node, Sequence[Array]], Array]:
    return _plain(lambda x: np.asarray(function(x)).astype(x.dtype))


def _chain(function: Callable[..., Array]) -> Callable[[Node, Sequence[Array]], Array]:
    def run(node: Node, arrays: Sequence[Array]) -> Array:
        result = arrays[0]
        for other in arrays[1:]:
            bounded(node, np.broadcast_shapes(result.shape, other.shape))
            result = function(result, other)
        return result

    return run


def _mod(node: Node, arrays: Sequence[Array]) -> Array:
    """The rest of a division: with the divisor's sign, or with fmod=1 as in C."""
    return _plain(np.fmod if node.attributes.get("fmod", 0) else np.mod)(node, arrays)


def to_type(x: Array, dtype: Any) -> Array:
    """As Cast: floats to integers towards zero, anything to truth by not being zero."""
    with np.errstate(all="ignore"):
        return (x != 0) if np.dtype(dtype) == np.bool_ else x.astype(dtype)


FOLDED: dict[str, Callable[[Node, Sequence[Array]], Array]] = {
    "Add": _plain(np.add), "Sub": _plain(np.subtract), "Mul": _plain(np.multiply), "Div": _plain(divide),
    "Neg": _plain(np.negative), "Abs": _plain(np.abs), "Floor": _like(np.floor), "Ceil": _like(np.ceil),
    "Round": _like(np.rint), "Sqrt": _like(np.sqrt), "Exp": _like(np.exp), "Log": _like(np.log),
    "Sin": _like(np.sin), "Cos": _like(np.cos), "Tanh": _like(np.tanh), "Sign": _like(np.sign),
    "Sigmoid": _like(lambda x: 1 / (1 + np.exp(-x))), "Relu": _like(lambda x: np.maximum(x, 0)),
    "Reciprocal": _like(lambda x: 1 / x), "Pow": _plain(lambda a, b: np.power(a, b).astype(a.dtype)),
    "Min": _chain(np.minimum), "Max": _chain(np.maximum), "Sum": _chain(np.add),
    "Mod": _mod, "Not": _plain(np.logical_not), "And": _plain(np.logical_and),
    "Or": _plain(np.logical_or), "Xor": _plain(np.logical_xor), "Equal": _plain(np.equal),
    "Greater": _plain(np.greater), "GreaterOrEqual": _plain(np.greater_equal),
    "Less": _plain(np.less), "LessOrEqual": _plain(np.less_equal),
    "Where": _plain(np.where), "Clip": clipped,
    "Identity": lambda node, arrays: arrays[0], "Constant": lambda node, arrays: constant(node),
    "Dropout": lambda node, arrays: arrays[0],
    "Cast": lambda node, arrays: to_type(arrays[0], dtype_of(node)),
    "CastLike": lambda node, arrays: to_type(arrays[0], arrays[1].dtype),
    "Shape": lambda node, arrays: shape(node, arrays[0].shape)[0],
    "Size": lambda node, arrays: np.array(arrays[0].size, np.int64),
    "Gather": lambda node, arrays: gathered(node, *arrays),
    "Slice": lambda node, arrays: arrays[0][slices(node, arrays[0].ndim, arrays)],
    "Squeeze": _squeeze, "Unsqueeze": _unsqueeze, "Concat": _concat, "Split": _split, "Flatten": _flatten,
    "Reshape": lambda node, arrays: arrays[0].reshape(
        reshaped(node, arrays[0].shape, [int(n) for n in arrays[1].reshape(-1)])),
    "Transpose": lambda node, arrays: arrays[0].transpose(
        axes_of(node, arrays[0].ndim, node.attributes.get("perm", list(range(arrays[0].ndim))[::-1]))),
    "Expand": _expand, "ConstantOfShape": _of_shape, "Range": _range, "Tile": _tile,
    "Gemm": product, "MatMul": _matmul,
    "ReduceSum": lambda node, arrays: reduced(node, arrays, np.sum),
    "ReduceMean": lambda node, arrays: reduced(node, arrays, np.mean),
    "ReduceMax": lambda node, arrays: reduced(node, arrays, np.max),
    "ReduceMin": lambda node, arrays: reduced(node, arrays, np.min),
    "ReduceProd": lambda node, arrays: reduced(node, arrays, np.prod),
}  # fmt: skip


def fold(node: Node, arrays: Sequence[Array]) -> list[Array]:
    """The results of a node of constants, an array each. Raises CompileError."""
    try:
        with np.errstate(all="ignore"):
            result = FOLDED[node.op](node, arrays)
    except CompileError:
        raise
    except (ValueError, TypeError, IndexError, OverflowError, ZeroDivisionError, AttributeError) as error:
        raise node.error(f"cannot be computed from its constants: {error}") from None
    results = result if isinstance(result, list) else [result]
    return [np.asarray(r) for r in results]
