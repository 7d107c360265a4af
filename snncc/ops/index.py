"""Features by constant index: repeat, permute, crop, sum groups. Each operator is the other's adjoint."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import CompileError
from ..graph import Op, Type
from .value import Value, apply

SHOWN = 8  # indices in the text of a graph


@dataclass(frozen=True)
class Indexed(Op):
    """index: for each element of the longer side, its place on the other, in row-major order.

    features: shape of the result.
    """

    index: tuple[int, ...]
    features: tuple[int, ...]

    def attributes(self) -> str:
        shown = ", ".join(map(str, self.index[:SHOWN]))
        more = f", ... {len(self.index)} in all" if len(self.index) > SHOWN else ""
        return f"<[{shown}{more}]>"

    def infer(self, *types: Type) -> Type:
        (x,) = types
        longer, other = self._sizes(x.size, Type(self.features).size)
        if len(self.index) != longer or not all(0 <= i < other for i in self.index):
            raise CompileError(
                f"{self.name}: expected {longer} indices from 0 to {other - 1}, found {len(self.index)} from "
                f"{min(self.index, default=0)} to {max(self.index, default=0)}"
            )
        return Type(self.features, x.time, x.batch, "real" if x.dtype in ("number", "scalar") else x.dtype)

    def _sizes(self, given: int, made: int) -> tuple[int, int]:
        """Elements of the longer side, and of the other."""
        raise NotImplementedError


@dataclass(frozen=True)
class Take(Indexed):
    """y[i] = x[index[i]]."""

    name = "take"

    def _sizes(self, given: int, made: int) -> tuple[int, int]:
        return made, given

    def evaluate(self, *arrays: Any) -> Any:
        flat = _flat(arrays[0])
        return flat[..., list(self.index)].reshape(flat.shape[:-1] + self.features)

    def vjp(self, grad: Any, out: Any, *inputs: Any) -> tuple[Any, ...]:
        return (scatter_add(full(grad, out), self.index, inputs[0].type.features),)


@dataclass(frozen=True)
class ScatterAdd(Indexed):
    """y[j] = the sum of all x[i] with index[i] = j, in ascending i."""

    name = "scatter_add"

    def _sizes(self, given: int, made: int) -> tuple[int, int]:
        return given, made

    def evaluate(self, *arrays: Any) -> Any:
        flat = _flat(arrays[0])
        sums = np.zeros((*flat.shape[:-1], Type(self.features).size), flat.dtype)
        for i, j in enumerate(self.index):
            sums[..., j] += flat[..., i]
        return sums.reshape(flat.shape[:-1] + self.features)

    def vjp(self, grad: Any, out: Any, *inputs: Any) -> tuple[Any, ...]:
        return (take(full(grad, out), self.index, inputs[0].type.features),)


def _flat(x: Any) -> Any:
    """[T, B, n], whatever the shape of the features."""
    return np.reshape(x, (*np.shape(x)[:2], -1))


def full(grad: Any, out: Any) -> Any:
    """A cotangent with all features of what it belongs to."""
    from .reduce import expand

    type = grad.type
    return expand(grad, Type(out.type.features, type.time, type.batch)) if not type.features else grad


def take(x: Any, index: Sequence[int] | np.ndarray, shape: tuple[int, ...] | None = None) -> Any:
    """Features of x (row-major) by constant index: y[i] = x[index[i]], in `shape` (default: the index's)."""
    return _indexed(Take, x, index, np.shape(index) if shape is None else shape)


def scatter_add(x: Any, index: Sequence[int] | np.ndarray, shape: tuple[int, ...]) -> Any:
    """Sums of features by constant index: y[j] is the sum of all x[i] with index[i] = j; y has `shape`."""
    return _indexed(ScatterAdd, x, index, shape)


def _indexed(kind: type[Indexed], x: Any, index: Any, shape: tuple[int, ...]) -> Any:
    places = tuple(int(i) for i in np.asarray(index, np.int64).ravel())
    op = kind(places, tuple(int(n) for n in shape))
    return apply(op, x) if isinstance(x, Value) else op.evaluate(np.asarray(x))
