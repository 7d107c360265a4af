"""Rows of a matrix by whole numbers, and the sums of rows that their gradient is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import CompileError, located
from ..graph import Graph, Op, Type
from .reduce import Reshape, expand
from .value import Value, apply


@dataclass(frozen=True)
class Embedding(Op):
    """embedding(x, weight): rows of the weight [classes, n] by the whole numbers of x, one after the other.

    x holds numbers from 0 to classes - 1, in any shape; the result is flat.
    """

    classes: int
    name = "embedding"

    def infer(self, *types: Type) -> Type:
        x, weight = types
        if x.dtype != "i32":
            raise CompileError(
                "embedding takes whole numbers; declare its input as nn.Input(..., dtype='int')"
            )
        return Type((x.size * weight.features[1],), x.time, x.batch, weight.dtype)

    def evaluate(self, *arrays: Any) -> Any:
        x, weight = arrays
        rows = weight[0, 0][x.astype(np.int64).reshape(*x.shape[:2], -1)]
        return rows.reshape(*x.shape[:2], -1)

    def vjp(self, grad: Any, out: Any, *inputs: Any) -> tuple[Any, ...]:
        full = expand(grad, out.type)
        return (None, apply(EmbeddingGradient(self.classes), full, inputs[0]))


@dataclass(frozen=True)
class EmbeddingGradient(Op):
    """embedding_gradient(d_y, x): for each row the sum of the cotangents of the places where x named it."""

    classes: int
    name = "embedding_gradient"

    def infer(self, *types: Type) -> Type:
        d_y, x = types
        return Type((self.classes, d_y.size // x.size), False, False, d_y.dtype)

    def evaluate(self, *arrays: Any) -> Any:
        d_y, x = arrays
        x = np.broadcast_to(x, (*d_y.shape[:2], *x.shape[2:])).astype(np.int64).reshape(-1)
        rows = d_y.reshape(len(x), -1)
        total = np.zeros((self.classes, rows.shape[-1]), d_y.dtype)
        for number, row in zip(x[::-1], rows[::-1], strict=True):
            total[number] += row
        return total[None, None]

    def vjp(self, grad: Any, out: Any, *inputs: Any) -> tuple[Any, ...]:
        raise CompileError("second derivatives are not supported")


def check_whole(graph: Graph) -> None:
    """Raises CompileError where anything but an embedding reads whole numbers."""
    whole = {n.name for n in graph if n.op.name == "input" and n.type.dtype == "i32"}
    for node in graph:
        for source in whole.intersection(node.inputs):
            if node.op.name not in ("embedding", "one_hot"):
                raise located(
                    f"%{source} holds whole numbers, which nn.Embedding takes and nothing else; %{node.name} "
                    f"is {node.op.name}: declare the input without dtype='int' there",
                    node.where,
                )


def embedding(x: Value, weight: Value) -> Value:
    """Row x of the weight [classes, n] for each number of x: [*shape of x, n]."""
    classes, n = weight.type.features
    flat: Value = apply(Embedding(classes), x, weight)
    return flat if x.shape == () else apply(Reshape((*x.shape, n)), flat)
