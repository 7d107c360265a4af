"""Products of two values: matrices of features times matrices of features, of each sample and step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import CompileError
from ..graph import Op, Type
from .index import full
from .linear import matrix_product
from .reduce import expand
from .value import Value, apply


@dataclass(frozen=True)
class MatMul(Op):
    """a b for the last two axes, [..., n, k] times [..., k, m]; all axes before are the same.

    transpose_a, transpose_b: that operand is given with its last two axes swapped. zeros: "" until
    `choose_kernels` finds that an operand, "a" or "b", is often exactly zero; ones: else it is one.
    """

    transpose_a: bool = False
    transpose_b: bool = False
    zeros: str = ""
    ones: bool = False
    name = "matmul"

    def attributes(self) -> str:
        notes = ["a transposed"] * self.transpose_a + ["b transposed"] * self.transpose_b
        notes += [f"zeros {'and ones ' * self.ones}in {self.zeros}"] * bool(self.zeros)
        return f"<{', '.join(notes)}>" if notes else ""

    def sizes(self, a: Type, b: Type) -> tuple[int, int, int, int]:
        """Number of matrices, and n, k, m of each."""
        n, k = a.features[:-3:-1] if self.transpose_a else a.features[-2:]
        m = b.features[-2 if self.transpose_b else -1]
        return a.size // (n * k), n, k, m

    def infer(self, *types: Type) -> Type:
        a, b = types
        if min(len(a.features), len(b.features)) < 2 or a.features[:-2] != b.features[:-2]:
            raise CompileError(
                f"matmul takes values [..., n, k] and [..., k, m] with equal axes in front, found "
                f"{list(a.features)} and {list(b.features)}"
            )
        _, n, k, m = self.sizes(a, b)
        if k != b.features[-1 if self.transpose_b else -2]:
            turned = " and ".join(["a"] * self.transpose_a + ["b"] * self.transpose_b)
            how = f", {turned} transposed" if turned else ""
            raise CompileError(
                f"matmul of {list(a.features)} and {list(b.features)}{how}: rows of {k} elements meet "
                f"columns of {b.features[-1 if self.transpose_b else -2]}"
            )
        return Type((*a.features[:-2], n, m), a.time or b.time, a.batch or b.batch, a.dtype)

    def evaluate(self, *arrays: Any) -> Any:
        a, b = (
            np.swapaxes(x, -1, -2) if turned else x
            for x, turned in zip(arrays, (self.transpose_a, self.transpose_b), strict=True)
        )
        return matrix_product(a, b)

    def vjp(self, grad: Any, out: Any, *inputs: Any) -> tuple[Any, ...]:
        (a, b), g = inputs, expand(full(grad, out), out.type)
        turned_a, turned_b = self.transpose_a, self.transpose_b
        d_a = matmul(b, g, turned_b, True) if turned_a else matmul(g, b, False, not turned_b)
        d_b = matmul(g, a, True, turned_a) if turned_b else matmul(a, g, not turned_a, False)
        return d_a, d_b


def matmul(a: Any, b: Any, transpose_a: bool = False, transpose_b: bool = False) -> Any:
    """a b for the last two feature axes of two values, of each sample at each step by itself.

    a: [..., n, k], b: [..., k, m], their axes in front equal; the result: [..., n, m]. transpose_a,
    transpose_b: that operand is given with its last two axes swapped; it is read so, not copied.
    """
    values = [v for v in (a, b) if isinstance(v, Value)]
    time, batch = (any(getattr(v.type, axis) for v in values) for axis in ("time", "batch"))
    a, b = (expand(v, Type(v.shape, time, batch)) if isinstance(v, Value) else np.asarray(v) for v in (a, b))
    return apply(MatMul(bool(transpose_a), bool(transpose_b)), a, b)
