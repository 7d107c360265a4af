"""Which values are exactly zero for many neurons, as their operators tell: what no kernel has to multiply.

A surrogate with compact support (a triangle, a rectangle) is zero for membranes further from the threshold;
so is its product with any cotangent, a sum of such products, and what of it is carried back in time.
"""

from __future__ import annotations

from typing import Any

from ..graph import Graph, Node

SAME = (
    "neg",
    "abs",
    "sqrt",
    "floor",
    "tanh",
    "carry",
    "advance",
    "following",
    "previous",
    "detach",
    "expand",
    "reshape",
    "context",
    "take",
    "sum_pool",
    "max_pool",
    "sum_unpool",
    "reorder",
    "spread",
    "scatter_add",
    "strided",
    "strided_sum",
)
STEPS = ("spike", "greater", "greater_equal", "first_maximum", "max_unpool")


def with_zeros(graph: Graph) -> set[str]:
    """Values with exact zeros: all that do not have a reason to be without, loops through time included."""
    found = set(graph.nodes)
    while lost := {n for n in found if not _has_zeros(graph, graph[n], found)}:
        found -= lost
    return found


def _has_zeros(graph: Graph, node: Node, found: set[str]) -> bool:
    constant: Any = node.op
    op, zeros = node.op.name, [i in found for i in node.inputs]
    if op == "constant":
        return bool(constant.value == 0.0)
    if op in STEPS:
        return True
    if op in ("mul", "maximum", "minimum", "concat"):
        return any(zeros)
    if op in ("add", "sub"):
        return all(zeros)
    if op == "where":
        return any(zeros[1:])
    return op in (*SAME, "div") and zeros[0]
