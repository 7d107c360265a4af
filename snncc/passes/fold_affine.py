"""fold_affine: a scale and shift of each channel right behind a layer go into its weights and bias.

before:  %conv = conv(%x, %w, %b)       %bn = affine(%conv * %scale + %shift, %conv, %scale, %shift)
after:   %bn = conv(%x, mul(%w, spread(%scale)), add(mul(%b, %scale), %shift))

So batch normalisation costs nothing in a call: weights are multiplied once. Where something else reads the
layer's output, and in graphs that are differentiated, scale and shift are part of the next sweep.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from ..graph import Builder, Graph, Node
from ..ops import Value, spread
from .base import Pass
from .simplify import live


@dataclass(frozen=True)
class FoldAffine(Pass):
    def run(self, graph: Graph) -> Graph:
        graph = live(graph)  # a fold drops what nothing reads, which may be a later one's
        for node in [n for n in graph if n.op.name == "affine"]:
            if _foldable(graph, node):
                graph = _folded(graph, node)
        return graph


def _foldable(graph: Graph, node: Node) -> bool:
    """Whether nothing but the scale and shift reads the output of a layer with weights of its own."""
    made, x = (graph[i] for i in node.inputs[:2])
    image = x.op.name == "conv" or (x.op.name == "linear" and len(x.type.features) == 1)
    weights = image and not any(graph[i].type.time or graph[i].type.batch for i in x.inputs[1:])
    scaled = {node.name, made.name, *made.inputs}
    others = [n.name for n in graph if x.name in n.inputs and n.name not in scaled]
    return weights and not others and all(o.value not in (x.name, *made.inputs) for o in graph.outputs)


def _folded(graph: Graph, node: Node) -> Graph:
    builder = Builder(graph)
    builder.where = node.where
    layer = graph[node.inputs[1]]
    x, weight, *bias = (Value(builder, i) for i in layer.inputs)
    scale, shift = (Value(builder, i) for i in node.inputs[2:])
    builder.scope = layer.name.rpartition(".")[0]
    weights = weight * spread(scale, weight.type.features)
    offset = bias[0] * scale + shift if bias else shift
    made = replace(layer, name=node.name, inputs=(x.node, weights.node, offset.node), type=node.type)
    real = weight.type.dtype
    nodes = {n.name: replace(n, type=replace(n.type, dtype=real)) if n.type.dtype == "real" else n
             for n in builder.nodes.values()}  # fmt: skip
    return live(Graph({**nodes, node.name: made}, graph.outputs))
