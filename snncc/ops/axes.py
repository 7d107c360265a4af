"""What users call on feature axes: permute, slice, broadcast, split, concatenate, sums, softmax.

Axes count from the first feature axis, or from the last if negative. Time and batch are never touched.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from math import prod
from typing import Any

import numpy as np

from ..errors import CompileError, located, user_line
from ..graph import Op, Type
from .groups import spread, sum_groups
from .last_axis import LogSoftmax, MaxLast, Softmax
from .reduce import Reshape, expand
from .value import Value, apply
from .views import Axis, Concat, Shape, Strided, StridedSum, View, whole


def wrong(message: str) -> CompileError:
    """An error with the user's line."""
    return located(message, user_line())


def features_of(x: Any) -> Shape:
    """Feature shape of a value, or of an array [T, B, *features]."""
    return x.type.features if isinstance(x, Value) else tuple(np.shape(x)[2:])


def place(axis: Any, rank: int, what: str) -> int:
    """An axis from 0; an error if there is none of that number."""
    if not rank:
        raise wrong(f"{what}: there is no feature axis in a single number")
    if isinstance(axis, bool) or not isinstance(axis, (int, np.integer)) or not -rank <= axis < rank:
        shown = f"expected a feature axis from {-rank} to {rank - 1}, time and batch are none"
        raise wrong(f"{what}: {shown}; got {axis!r}")
    return int(axis) % rank


def view(x: Any, shown: View) -> Any:
    """The view of x; x itself if it shows all of it as it is."""
    return x if shown == whole(features_of(x)) else apply(Strided(shown), x)


def permute(x: Any, *axes: int) -> Any:
    """x with its feature axes in another order: axis k of the result is axis axes[k] of x (PyTorch's)."""
    shape = features_of(x)
    order = [place(a, len(shape), "permute") for a in axes]
    if sorted(order) != list(range(len(shape))):
        raise wrong(f"permute needs each of the {len(shape)} feature axes once, got {list(axes)}")
    return view(x, View(shape, (0,) * len(shape), tuple(Axis(shape[a], a) for a in order)))


def transpose(x: Any, first: int = -2, second: int = -1) -> Any:
    """x with two feature axes swapped (PyTorch's)."""
    rank = len(features_of(x))
    axes = list(range(rank))
    a, b = place(first, rank, "transpose"), place(second, rank, "transpose")
    axes[a], axes[b] = b, a
    return permute(x, *axes)


def reshape(x: Any, *shape: int) -> Any:
    """The same features (row-major) in another shape; -1 stands for what is left."""
    size, known = prod(features_of(x)), prod(n for n in shape if n != -1)
    if any(not isinstance(n, (int, np.integer)) or n < 1 for n in shape if n != -1) or shape.count(-1) > 1:
        raise wrong(f"reshape needs positive sizes, at most one of them -1, got {list(shape)}")
    if size % known:
        raise wrong(f"cannot reshape {list(features_of(x))} to {list(shape)}")
    features = tuple(int(size // known if n == -1 else n) for n in shape)
    return x if features == features_of(x) else apply(Reshape(features), x)


def select(x: Any, index: Any) -> Any:
    """x[index] over the feature axes: whole numbers, slices with any step, ... and None for a new axis."""
    shape = features_of(x)
    index = index if isinstance(index, tuple) else (index,)
    given = sum(i is not None and i is not Ellipsis for i in index)
    if given > len(shape) or sum(i is Ellipsis for i in index) > 1:
        raise wrong(f"{len(shape)} feature axes, but {given} indices (time and batch are not indexed)")
    cut = next((k for k, i in enumerate(index) if i is Ellipsis), len(index))
    index = (*index[:cut], *[slice(None)] * (len(shape) - given), *index[cut + 1 :])
    starts, axes = [0] * len(shape), list[Axis]()
    along = 0
    for one in index:
        if one is None:
            axes.append(Axis(1))
            continue
        starts[along], axis = _selected(one, shape[along], along)
        axes += axis
        along += 1
    return view(x, View(shape, tuple(starts), tuple(axes)))


def _selected(index: Any, length: int, along: int) -> tuple[int, list[Axis]]:
    """Where an index begins on an axis, and the axis that it leaves, if it leaves one."""
    if isinstance(index, slice):
        places = range(length)[index]
        if not places:
            raise wrong(f"the slice {index} of an axis of {length} is empty")
        return places[0], [Axis(len(places), along, places.step)]
    if isinstance(index, bool) or not isinstance(index, (int, np.integer)):
        raise wrong(
            f"expected whole numbers, slices, ... or None as indices, got {type(index).__name__}; "
            "for lists of places there is snncc.take"
        )
    if not -length <= index < length:
        raise wrong(f"index {index} is outside of an axis of {length}")
    return int(index) % length, []


def broadcast_to(x: Any, shape: Sequence[int]) -> Any:
    """x with axes of length 1, and missing ones in front, repeated to `shape` (NumPy's rule)."""
    given = features_of(x)
    missing = len(shape) - len(given)
    fits = missing >= 0 and all(a in (1, n) for a, n in zip(given, shape[missing:], strict=True))
    if not fits:
        raise wrong(f"cannot broadcast {list(given)} to {list(shape)}")
    wanted, padded = tuple(map(int, shape)), (1,) * missing + given
    several = [k for k, n in enumerate(padded) if n > 1]
    first, behind = (several[0], several[-1] + 1) if several else (0, 0)
    if isinstance(x, Value) and padded[first:] == wanted[first:]:  # a sweep reads these where they are
        return spread(reshape(x, *padded[first:]), wanted, trailing=True)
    if isinstance(x, Value) and padded[:behind] == wanted[:behind]:
        x = reshape(x, *padded[:behind])
        return spread(x, wanted) if behind else expand(x, Type(wanted, x.type.time, x.type.batch))
    axes = [Axis(n) for n in wanted[:missing]]
    axes += [Axis(n, k) if given[k] == n else Axis(n) for k, n in enumerate(wanted[missing:])]
    return view(x, View(given, (0,) * len(given), tuple(axes)))


def concat(values: Sequence[Any], axis: int = 0) -> Any:
    """Values one after the other along a feature axis: 0 is the channels of an image, the rows of tokens."""
    if isinstance(values, Value) or not len(values):
        raise wrong("concat needs a list of at least one value")
    values = [v if isinstance(v, Value) else np.asarray(v) for v in values]
    rank = len(features_of(values[0]))
    if not rank:
        raise wrong("concat needs values with a feature axis; x.reshape(1) gives a number one")
    axis = place(axis, rank, "concat")
    time, batch = (any(getattr(v.type, k) for v in values if isinstance(v, Value)) for k in ("time", "batch"))
    values = [expand(v, Type(v.shape, time, batch)) if isinstance(v, Value) else v for v in values]
    return values[0] if len(values) == 1 else apply(Concat(axis), *values)


def split(x: Any, sizes: int | Sequence[int], axis: int = 0) -> tuple[Any, ...]:
    """x in pieces along a feature axis: of `sizes` elements each, or of the sizes in the list (PyTorch's)."""
    shape = features_of(x)
    axis = place(axis, len(shape), "split")
    length = shape[axis]
    each = [sizes] * (-(-length // max(1, sizes))) if isinstance(sizes, int) else [int(n) for n in sizes]
    ends = list(np.cumsum([0, *each]))
    if min(each, default=0) < 1 or (not isinstance(sizes, int) and ends[-1] != length):
        raise wrong(f"split: sizes must be positive and add up to {length}, got {sizes}")
    before = (slice(None),) * axis
    return tuple(select(x, (*before, slice(int(a), int(b)))) for a, b in pairwise(ends))


def pad(x: Any, widths: Sequence[tuple[int, int]]) -> Any:
    """x with zeros around it: for each feature axis how many before and behind (NumPy's)."""
    shape = features_of(x)
    if len(widths) != len(shape) or any(len(w) != 2 or min(w) < 0 for w in widths):
        raise wrong(f"pad needs two numbers from 0 for each of {len(shape)} feature axes, got {widths}")
    source = tuple(n + int(a) + int(b) for n, (a, b) in zip(shape, widths, strict=True))
    axes = tuple(Axis(n, k) for k, n in enumerate(shape))
    return (
        x if source == shape else apply(StridedSum(View(source, tuple(int(a) for a, _ in widths), axes)), x)
    )


def sum_axes(x: Any, axis: int | Sequence[int] | None = None, keepdims: bool = False) -> Any:
    """x summed over one, several or all of its feature axes (NumPy's)."""
    shape = features_of(x)
    gone = _reduced(axis, len(shape), "sum")
    kept = tuple(n for k, n in enumerate(shape) if k not in gone)
    last, first = (set(places) == gone for places in (range(len(kept), len(shape)), range(len(gone))))
    if isinstance(x, Value) and (last or first):
        result = sum_groups(x, kept, trailing=first and not last)
    else:
        numbers = iter(range(len(kept)))
        axes = tuple(Axis(n) if k in gone else Axis(n, next(numbers)) for k, n in enumerate(shape))
        result = apply(StridedSum(View(kept, (0,) * len(kept), axes)), x)
    return reshape(result, *_ones(shape, gone)) if keepdims and gone else result


def mean_axes(x: Any, axis: int | Sequence[int] | None = None, keepdims: bool = False) -> Any:
    """x averaged over one, several or all of its feature axes (NumPy's)."""
    shape = features_of(x)
    count = prod(shape[k] for k in _reduced(axis, len(shape), "mean"))
    return sum_axes(x, axis, keepdims) / float(count)


def max_axes(x: Any, axis: int | Sequence[int] | None = None, keepdims: bool = False) -> Any:
    """The largest of x over one, several or all of its feature axes, NaN if one is NaN.

    The gradient goes to the first of several.
    """
    shape = features_of(x)
    gone = sorted(_reduced(axis, len(shape), "max"))
    if not gone:
        return x
    kept = [k for k in range(len(shape)) if k not in gone]
    last = reshape(permute(x, *kept, *gone), *(shape[k] for k in kept), prod(shape[k] for k in gone))
    result = apply(MaxLast(), last)
    return reshape(result, *_ones(shape, set(gone))) if keepdims else result


def softmax(x: Any, axis: int = -1) -> Any:
    """exp(x) over its sum along a feature axis."""
    return _along(Softmax(), x, axis, "softmax")


def log_softmax(x: Any, axis: int = -1) -> Any:
    """log(softmax(x)) along a feature axis."""
    return _along(LogSoftmax(), x, axis, "log_softmax")


def _along(op: Op, x: Any, axis: int, what: str) -> Any:
    """A kernel of the last axis along any: two axes are swapped before, and back behind."""
    rank = len(features_of(x))
    axis = place(axis, rank, what)
    last = transpose(x, axis, -1)
    return transpose(apply(op, last), axis, -1)


def _reduced(axis: int | Sequence[int] | None, rank: int, what: str) -> set[int]:
    """The axes of a reduction."""
    if axis is None:
        return set(range(rank))
    axes = axis if isinstance(axis, Sequence) else (axis,)
    found = {place(a, rank, what) for a in axes}
    if len(found) != len(axes):
        raise wrong(f"{what}: each axis once, got {list(axes)}")
    return found


def _ones(shape: Shape, gone: set[int]) -> Shape:
    return tuple(1 if k in gone else n for k, n in enumerate(shape))
