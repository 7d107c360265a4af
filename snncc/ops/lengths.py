"""Sequences of different lengths in one batch: which steps are a sample's own.

A network that takes lengths has an input `lengths`, a number of steps for each sample. What lies past a
sample's end is computed and not read: outputs, losses and final states go through the functions here, which
without that input change nothing.
"""

from __future__ import annotations

from ..errors import located
from ..graph import Builder, Graph, Type
from .elementwise import absolute, detach, greater, substitute, where
from .leaf import Input, StepNumber, Steps
from .reduce import expand, leaf, sum_batch
from .time import Last, sum_time
from .value import Value, apply

LENGTHS = "lengths"


def declare(builder: Builder) -> None:
    """Give the network its input `lengths`."""
    builder.add(Input(LENGTHS, LENGTHS, (), False), name=LENGTHS)


def lengths(builder: Builder) -> Value | None:
    """Steps of each sample, [B]; None if all have as many as the call."""
    node = builder.nodes.get(LENGTHS)
    found = node is not None and isinstance(node.op, Input) and node.op.role == LENGTHS
    return Value(builder, LENGTHS) if found else None


def count_steps(like: Value) -> Value:
    """How many steps a sequence has: those of the sample, or of the call."""
    own = lengths(like.builder)
    return leaf(like, Steps()) if own is None else own


def step_beside(like: Value) -> Value:
    """The number of the step, beside every neuron: in their kernel it costs nothing."""
    return expand(leaf(like, StepNumber()), Type(like.shape, True))


def inside(like: Value) -> Value | None:
    """1 at a sample's own steps, 0 past its end, beside every neuron; None if no sample has an end."""
    own = lengths(like.builder)
    if own is None:
        return None
    result: Value = greater(expand(own, Type(like.shape, False, True)), step_beside(like))
    return result


def within(x: Value) -> Value:
    """x at a sample's own steps, 0 past its end."""
    live = inside(x)
    return x if live is None else where(live, x, 0.0)


def mean_time(x: Value) -> Value:
    """x averaged over a sample's own steps; x itself where it is the same at every step."""
    result: Value = sum_time(within(x)) / count_steps(x) if x.type.time else x
    return result


def at_end(x: Value) -> Value:
    """x at the last step of each sample."""
    if lengths(x.builder) is None:
        result: Value = apply(Last(), x)
        return result
    return _picked(x, count_steps(x) - 1.0)


def at_step(x: Value, value: Value, step: Value) -> Value:
    """`value`, which has the gradient of x at that step."""
    result: Value = substitute(value, _picked(x, step))
    return result


def _picked(x: Value, step: Value) -> Value:
    there = detach(greater(0.5, absolute(step_beside(x) - step)))
    return sum_time(where(there, x, 0.0))


def sum_of_means(per_sample: Value, like: Value, power: int = 1) -> Value:
    """The sum over the batch of what is divided by the number of steps, or by its power."""
    count = count_steps(like)
    divisor = count if power == 1 else count * count
    if count.type.batch:
        return sum_batch(per_sample / divisor)
    return sum_batch(per_sample) / divisor


def check_ends(graph: Graph) -> None:
    """Raises CompileError where a network with lengths adds up its batch: ended samples would count."""
    if not any(isinstance(n.op, Input) and n.op.role == LENGTHS for n in graph):
        return
    for node in graph:
        if not node.type.batch and any(graph[i].type.batch for i in node.inputs):
            raise located(
                f"%{node.name}: lengths: statistics of a batch would count what lies past a sample's end; "
                "normalise by nn.LayerNorm or nn.GroupNorm, or leave lengths out",
                node.where,
            )
