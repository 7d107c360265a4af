"""How windows slide over an image: the geometry that convolutions and pooling share."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Windows:
    """One number an axis of space. before, after: zeros at both ends; an end may have more than it needs.

    A negative `after`: so many pixels at that end are in no window.
    """

    size: tuple[int, ...]
    stride: tuple[int, ...]
    before: tuple[int, ...]
    after: tuple[int, ...]
    dilation: tuple[int, ...]

    def __str__(self) -> str:
        shown = ["x".join(map(str, self.size))]
        if set(self.stride) != {1}:
            shown.append(f"stride={_short(self.stride)}")
        if set(self.before + self.after) != {0}:
            ends = self.before == self.after
            shown.append(f"pad={_short(self.before) if ends else f'{self.before}{self.after}'}")
        if set(self.dilation) != {1}:
            shown.append(f"dilation={_short(self.dilation)}")
        return ", ".join(shown)

    @property
    def count(self) -> int:
        """Places of a window."""
        return int(np.prod(self.size))

    def span(self) -> tuple[int, ...]:
        """Pixels from a window's first place to its last one, both counted."""
        return tuple(d * (k - 1) + 1 for k, d in zip(self.size, self.dilation, strict=True))

    def outputs(self, space: tuple[int, ...]) -> tuple[int, ...]:
        """How many windows there are on an image of `space` pixels; not positive where none fits."""
        ends = zip(space, self.before, self.after, self.span(), self.stride, strict=True)
        return tuple((n + a + b - span) // step + 1 for n, a, b, span, step in ends)

    def places(self) -> Iterator[tuple[int, ...]]:
        """The places of a window in row-major order."""
        return np.ndindex(*self.size)

    def padded(self, x: Any, value: float = 0.0) -> Any:
        """x, whose last axes are the image, with its ends."""
        ends = [(b, max(a, 0)) for b, a in zip(self.before, self.after, strict=True)]
        return np.pad(x, [(0, 0)] * (x.ndim - len(ends)) + ends, constant_values=value)

    def room(self, space: tuple[int, ...]) -> list[int]:
        """Pixels of a padded image."""
        return [n + b + max(a, 0) for n, b, a in zip(space, self.before, self.after, strict=True)]

    def at(self, place: tuple[int, ...], outputs: tuple[int, ...]) -> tuple[slice | Any, ...]:
        """Index of the pixels of a padded image that are at one place of all windows."""
        axes = zip(place, outputs, self.stride, self.dilation, strict=True)
        return (..., *(slice(p * d, p * d + (n - 1) * step + 1, step) for p, n, step, d in axes))

    def inside(self, x: Any, space: tuple[int, ...]) -> Any:
        """A padded image without its ends."""
        return x[(..., *(slice(b, b + n) for b, n in zip(self.before, space, strict=True)))]


def _short(numbers: tuple[int, ...]) -> str:
    return str(numbers[0]) if len(set(numbers)) == 1 else str(numbers)
