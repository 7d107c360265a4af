"""Steps that were written out, rolled back into one step with delays.

Exporters write a loop over time as so many copies of its body. Where T values are stacked to a sequence, the
T computations behind them are laid side by side: the same operator at each step is one node; a value that
step t takes from step t - 1 is a delay; slice t of a sequence is a step of it. The first step may look
otherwise, because its states were constants and have been folded: it has to be what the common step gives
for some constant initial states, which is proven node by node, or nothing is rolled.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from .first_step import Proof, first_step, recomputed
from .loops import Feed
from .nodes import DELAY, LAST, STACK, Flat, Node
from .slices import stacked
from .trains import Irregular, Rolling, Train


def rolled(flat: Flat, remarks: list[str]) -> Flat | None:
    """The flat graph with its repeated steps as one, or None where there are none."""
    makers = flat.made_by()
    stacks = list(stacked(flat, makers))
    if not stacks:
        return None
    counts = [len(parts) for _, _, parts in stacks]
    steps = max(set(counts), key=counts.count)
    run = Rolling(flat, steps)
    ends: list[Node] = []
    try:
        for node, axis, parts in stacks:
            if len(parts) == steps:
                made = run.stack(parts)
                ends.append(Node(STACK, (made,), node.outputs, {"axis": axis}, node.label))
        again, proof = _proven(run)
    except Irregular as reason:
        remarks.append(f"the {steps} steps that are written out could not be rolled into one: {reason}")
        return None
    initial = proof.initial
    delays = [
        _delayed(flat, run, train, initial) for train in run.trains.values() if train.delayed in initial
    ]
    replaced = {name for end in ends for name in end.outputs}
    rest = [node for node in flat.nodes if not replaced & set(node.outputs)]
    lasts = _final_states(run, flat, rest)
    gone = {name for node in lasts for name in node.outputs}
    rest = [node for node in rest if not gone & set(node.outputs)]
    remarks.append(f"{steps} steps that are written out were rolled into one")
    nodes = ordered([*delays, *rest, *run.nodes, *again, *ends, *lasts], flat)
    became = {first: made for made, first in proof.proven}
    became |= {name: train.made for train in run.trains.values() for name in train.tail}
    return replace(flat, nodes=nodes, steps=steps, rolled=became)


def _proven(run: Rolling) -> tuple[list[Node], Proof]:
    """What is computed again, and the proof for all other delays."""
    again = recomputed(run)
    try:
        return again, first_step(run, again)
    except Irregular:
        return [], first_step(run)


def _delayed(flat: Flat, run: Rolling, train: Train, initial: dict[str, np.ndarray]) -> Node:
    assert train.delayed is not None
    name = f"{train.delayed}@initial"
    if isinstance(initial[train.delayed], str):
        name = str(initial[train.delayed])
    else:
        flat.constants[name] = initial[train.delayed]
    maker = run.makers.get(train.tail[0])
    label = f"{run.layer(maker)}.state" if maker is not None and run.layer(maker) else train.tail[0]
    shape = flat.shapes.get(train.tail[0])
    attributes: dict[str, Any] = {"feed": Feed(train.made, label)} | ({"shape": shape} if shape else {})
    return Node(DELAY, (name,), (train.delayed,), attributes, f"state {label}")


def _final_states(run: Rolling, flat: Flat, rest: Iterable[Node]) -> list[Node]:
    """Outputs that are a value at the last step."""
    last = {train.tail[-1]: train.made for train in run.trains.values()}
    return [Node(LAST, (last[name],), (name,), {}, name) for name in flat.outputs if name in last]


def ordered(nodes: Sequence[Node], flat: Flat) -> list[Node]:
    """The nodes such that each comes after those that it reads; what a delay is fed comes when it may."""
    makers = {name: node for node in nodes for name in node.outputs if name}
    done: dict[int, Node] = {}
    for start in nodes:
        waiting = [(start, iter(start.inputs))]
        seen = {id(start)}
        while waiting:
            node, inputs = waiting[-1]
            if id(node) in done:
                waiting.pop()
                continue
            name = next(inputs, None)
            if name is None:
                done[id(node)] = node
                waiting.pop()
            elif (maker := makers.get(name)) is not None and id(maker) not in done:
                if id(maker) in seen:
                    raise Irregular(f"{name} hangs on itself within a step")
                seen.add(id(maker))
                waiting.append((maker, iter(maker.inputs)))
    return list(done.values())
