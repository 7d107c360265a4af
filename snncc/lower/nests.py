"""Loops around moving features: from a view and how both sides lie in memory to the fewest loops."""

from __future__ import annotations

from collections.abc import Sequence

from ..errors import InternalError
from ..ops.views import View
from ..program import Nest

Loop = tuple[int, int, int]  # extent, and how far apart its elements are in x and in y


def strides(features: Sequence[int], channels: int = 0) -> tuple[int, ...]:
    """How far apart the elements of each axis lie in a row: row-major, or the first axis last."""
    if channels and channels != features[0]:
        raise InternalError(f"{channels} channels last are no axis of {list(features)}")
    found, step = [], channels or 1
    for n in reversed(features[1:] if channels else features):
        found.append(step)
        step *= n
    return tuple(reversed([*found, 1] if channels else found))


def reading(view: View, x: Sequence[int], y: Sequence[int]) -> Nest:
    """y = the view of x; x, y: strides of their axes."""
    start = sum(s * at for s, at in zip(x, view.starts, strict=True))
    loops = [
        (axis.length, axis.step * x[axis.along] if axis.along >= 0 else 0, step)
        for axis, step in zip(view.axes, y, strict=True)
    ]
    return Nest(_fewest(loops), start, 0)


def writing(view: View, x: Sequence[int], y: Sequence[int]) -> Nest:
    """The view of y = or += x."""
    back = reading(view, y, x)
    return Nest(_fewest([(n, b, a) for n, a, b in back.loops]), 0, back.x)


def _fewest(loops: Sequence[Loop]) -> tuple[Loop, ...]:
    """In the order of y, sums outside of the innermost elements of y; neighbours that go on from each other
    are one loop."""
    kept = sorted((loop for loop in loops if loop[0] > 1 and loop[2]), key=lambda loop: -abs(loop[2]))
    sums = [loop for loop in loops if loop[0] > 1 and not loop[2]]
    kept, sums = _joined(kept), _joined(sums)
    return (*kept[:-1], *sums, *kept[-1:])


def _joined(loops: Sequence[Loop]) -> list[Loop]:
    found: list[Loop] = []
    for n, x, y in loops:
        if found and found[-1][1:] == (n * x, n * y):
            found[-1] = (found[-1][0] * n, x, y)
        else:
            found.append((n, x, y))
    return found
