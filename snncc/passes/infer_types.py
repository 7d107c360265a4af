"""infer_types: dtypes, feature shapes, and what varies over time and batch.

before:  %fc1 = linear(%x, %fc1.weight) : real[T, B, 1000]
after:   %fc1 = linear(%x, %fc1.weight) : f32[B, 1000]         (if %x does not vary over time)
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from ..graph import Graph, Node, Type
from .base import Pass


@dataclass(frozen=True)
class InferTypes(Pass):
    """dtype: what "real" becomes, "f32" or "f64"."""

    dtype: str = "f32"

    def run(self, graph: Graph) -> Graph:
        types: dict[str, Type] = {}
        for name in graph.order:
            node = graph[name]
            known = [types[i] for i in node.inputs if i in types]
            # What a delay is fed may come later; its type does not depend on it.
            inferred = node.op.infer(*(known if len(known) == len(node.inputs) else []))
            types[name] = replace(inferred, dtype=self.dtype) if inferred.dtype == "real" else inferred
        return graph.map(lambda node: _typed(node, types))


def _typed(node: Node, types: dict[str, Type]) -> Node:
    return replace(node, type=types[node.name])
