"""A network with every neuron's spikes and states as further outputs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

from ..frontend.dsl import Network
from ..graph import Builder, Graph, Type
from ..ops import Value
from ..ops.reduce import expand

SPIKES = re.compile(r"(^|.*\.)spk(\.\d+)?")  # what neurons call their spikes


def with_probes(network: Network) -> Network:
    """Outputs named like the layers' values, `lif1.spk`, in place of outputs that are the same value."""
    builder = Builder(network.graph)
    found = dict(_visible(network.graph))
    builder.outputs = [o for o in builder.outputs if o.role != "output" or o.value not in found.values()]
    taken = {o.name for o in builder.outputs if o.role == "output"}
    for name, node in found.items():
        if name not in taken:
            value = Value(builder, node)
            builder.output(name, "output", expand(value, Type(value.shape, False, True)).node)
    return replace(network, graph=builder.graph())


def _visible(graph: Graph) -> Iterator[tuple[str, str]]:
    """Names and nodes: spikes by their name, states by the value that the next step starts from."""
    for node in graph:
        if SPIKES.fullmatch(node.name) and node.type.time:
            yield node.name, node.name
    for o in graph.outputs:
        if o.role == "state_out":
            yield f"{o.name} each step", graph[o.value].inputs[0]  # not the name of the state itself
