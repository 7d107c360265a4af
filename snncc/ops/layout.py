"""The order of features in memory, which nothing of a graph's meaning depends on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..errors import CompileError
from ..graph import Op, Type


@dataclass(frozen=True)
class Reorder(Op):
    """The same value, copied to another order in memory: so many channels last, 0 for row-major."""

    before: int
    after: int
    name = "reorder"

    def infer(self, *types: Type) -> Type:
        return types[0]

    def evaluate(self, *arrays: Any) -> Any:
        return arrays[0]

    def vjp(self, grad: Any, out: Any, *inputs: Any) -> tuple[Any, ...]:
        raise CompileError("orders are chosen after gradients")


def row_major(place: int, size: int, channels: int) -> int:
    """Which element, counted row-major, lies at a place in memory."""
    return place % channels * (size // channels) + place // channels if channels else place


def place_of(element: int, size: int, channels: int) -> int:
    """Where in memory an element lies that is counted row-major."""
    pixels = size // channels if channels else 1
    return element % pixels * channels + element // pixels if channels else element
