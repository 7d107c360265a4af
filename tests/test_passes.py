"""Passes keep meaning: reference(graph) == reference(pass(graph)) on seeded random networks.

Every pass gives the same bits, with one exception: Simplify's reductions group moves sums over time, which
rounds in another order. Sums of some tens of float64 terms of size one differ by a few 1e-16 then, and a
cancelling sum keeps the error of its terms: 1e-12 of the largest magnitude of the array (at least one)
leaves two digits of room and is far below any wrong term. Differentiate adds outputs (and drops those that
its caller has already), so for it every value of the graph before is compared, not only what leaves it.

Golden texts show what each pass does to a few nodes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Protocol

import numpy as np
import pytest

from snncc import loss, nn, reference
from snncc.driver import Stages, entry_stages
from snncc.frontend.dsl import trace
from snncc.graph import Builder, Graph, Type
from snncc.ops import Value, linear, spike, sqrt, sum_time, tanh
from snncc.ops import leaf as leaves
from snncc.ops.time import Delay
from snncc.passes.base import Pass
from snncc.passes.choose_kernels import CHOICES, ChooseKernels
from snncc.passes.differentiate import Differentiate
from snncc.passes.fuse import Fuse
from snncc.passes.infer_types import InferTypes
from snncc.passes.insert_context import InsertContext
from snncc.passes.insert_memorize import InsertMemorize
from snncc.passes.pipeline import Options, pipeline, run
from snncc.passes.simplify import Simplify
from snncc.passes.unroll_time import UnrollTime
from snncc.reference import Call
from snncc.target import Target
from tests import random_networks

SEEDS = range(110)
REDUCTIONS_TOLERANCE = 1e-12
Values = Mapping[Any, np.ndarray]


def same(before: Values, after: Values, tolerance: float, label: str) -> None:
    """Everything that was there before is there with the same value."""
    for key, expected in before.items():
        found = after[key]
        assert np.isfinite(expected).all(), f"{label}: {key} was not finite before"
        scale = max(1.0, float(np.abs(expected).max(initial=0.0)))
        np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance * scale, err_msg=f"{label}: {key}")
        assert found.shape == expected.shape, f"{label}: {key}"


def obeys(step: Pass, before: Graph, after: Graph, call: Call, known: Values) -> Values:
    """The law for one pass; returns what the graph after it means."""
    result = reference.evaluate(after, call)
    if isinstance(step, Differentiate):
        same(reference.evaluate_nodes(before, call), reference.evaluate_nodes(after, call), 0, str(step))
        assert {o.role for o in after.outputs} <= {"loss", "gradient", "d_input", "d_state"}
        return result
    assert list(known) == list(result), f"{step} changed the outputs"
    loose = isinstance(step, Simplify) and step.reductions
    same(known, result, REDUCTIONS_TOLERANCE if loose else 0.0, str(step))
    return result


def check(stages: Stages, options: Options, call: Call) -> Values:
    """The law for every pass of an entry point's pipeline."""
    before = stages.graph
    known: Values = reference.evaluate(before, call)
    for step, after in run(before, stages.passes(options)):
        if isinstance(step, Simplify):
            exact = replace(step, reductions=False)
            obeys(exact, before, exact.run(before).verify(), call, known)
        known = obeys(step, before, after, call, known)
        before = after
    return known


@pytest.mark.parametrize("seed", SEEDS)
def test_every_pass_keeps_the_meaning(seed: int) -> None:
    """Each network with two of its four entry points in turn: forward and train, or backward and evaluate."""
    case = random_networks.case(seed)
    for stages, target in case.entries():
        if stages.name in (("forward", "train"), ("backward", "evaluate"))[seed % 2]:
            check(stages, target.options, case.call)


@pytest.mark.parametrize("seed", range(0, 20, 2))
def test_unrolling_changes_nothing_but_the_stages(seed: int) -> None:
    case = random_networks.case(seed)
    for stages, target in case.entries():
        if stages.name not in ("forward", "train"):
            continue
        results, texts = [], set()
        for unroll in (1, 3, int(target.num_steps)):
            graph = [g for _, g in stages.run(replace(target.options, unroll=unroll))][-1]
            results.append(reference.evaluate(graph, case.call))
            factor = f" unroll={unroll}" if unroll > 1 else ""
            assert factor in str(graph)
            texts.add(str(graph).replace(factor, ""))
        assert len(texts) == 1
        same(results[0], results[1], 0, "unroll=3")
        same(results[0], results[2], 0, "unroll=full")


@pytest.mark.parametrize("products", CHOICES)
def test_every_choice_of_products_keeps_the_meaning(products: str) -> None:
    for seed in range(1000, 1005):
        case = random_networks.case(seed)
        for stages, target in case.entries():
            if stages.name in ("forward", "backward"):
                check(stages, replace(target.options, products=products), case.call)


@pytest.mark.parametrize("seed", range(2000, 2008))
def test_float32_values_stay_float32(seed: int) -> None:
    """No pass may let a double-precision scalar widen a value of the network; loss values included."""
    case = random_networks.case(seed)
    call = replace(case.call, dtype=np.float32)
    for stages, target in case.entries():
        graph = [g for _, g in stages.run(replace(target.options, dtype="f32"))][-1]
        assert [n.name for n in graph if n.type.dtype == "real"] == []
        values = reference.evaluate_nodes(graph, call)
        wide = [n.name for n in graph if n.type.dtype == "f32" and values[n.name].dtype != np.float32]
        assert wide == []


def test_arrays_made_of_a_number_are_arrays() -> None:
    """Lowering writes numbers out where they are read and gives them no memory: an array is no number."""
    small = Small()
    spikes = spike(linear(small.input("x", 3), small.weight("w", 2, 3)))  # no surrogate: zero gradients
    graph = after(small.graph(spk=spikes), *pipeline(Options(), "outputs", inputs=True))
    made = {o.role: graph[o.value] for o in graph.outputs}
    assert made["gradient"].type == Type((2, 3), dtype="f32")
    assert made["d_input"].type == Type((3,), True, True, "f32")
    assert {n.op.name for n in made.values()} == {"expand"}


def test_the_backward_half_remembers_nothing_of_the_forward_half() -> None:
    """It reads what was kept; a delay of a kept value is `previous`, which needs no buffer."""
    entries = [entry for seed in range(6) for entry in random_networks.case(seed).entries()]
    previous = 0
    for stages, target in entries:
        graph = after(stages.graph, *stages.passes(target.options))
        backward = [n for n in graph if n.half == "backward"]
        assert [n.name for n in backward if n.op.name in ("memorize", "delay")] == []
        forward = {n.name for n in graph if n.half == "forward" and (n.type.time or n.type.batch)}
        read = {i for n in backward for i in n.inputs} & forward
        assert [i for i in sorted(read) if graph[i].op.name != "context"] == []
        previous += sum(n.op.name == "previous" for n in backward)
    assert previous > 0


def test_a_pass_leaves_the_given_graph_alone() -> None:
    case = random_networks.case(5)
    for stages, target in case.entries():
        before = stages.graph
        for step, after in run(before, stages.passes(target.options)):
            text = str(before)
            step.run(before)
            assert str(before) == text, str(step)
            before = after


def test_passes_are_deterministic() -> None:
    """The same network twice gives the same text at every stage."""
    texts = []
    for _ in range(2):
        case = random_networks.case(11)
        texts.append([str(g) for stages, target in case.entries() for _, g in stages.run(target.options)])
    assert texts[0] == texts[1]


# Golden texts


class Golden(Protocol):
    def check(self, text: str, extension: str, suffix: str = "") -> None: ...


class Small:
    """A graph of a few nodes, built by hand."""

    def __init__(self) -> None:
        self.builder = Builder()

    def input(self, name: str, *features: int, static: bool = False) -> Value:
        op = leaves.Input(name, "input", features, not static)
        return Value(self.builder, self.builder.add(op, name=name))

    def weight(self, name: str, *features: int) -> Value:
        op = leaves.Parameter(name, features, panels=len(features) == 2)
        return Value(self.builder, self.builder.add(op, name=name))

    def memory(self, name: str, *features: int) -> Value:
        """What `name` was one step before."""
        zero = self.builder.add(leaves.Constant(0.0), name="const 0.0")
        start = self.builder.add(leaves.State(name, features), [zero], name=f"{name}.initial")
        op = Delay(features)
        return Value(self.builder, self.builder.add(op, [start, start], name=f"{name}.prev", type=op.infer()))

    def feed(self, previous: Value, following: Value) -> None:
        self.builder.connect(previous.node, following.node, self.builder.nodes[previous.node].inputs[1])

    def graph(self, **outputs: Value) -> Graph:
        for name, value in outputs.items():
            self.builder.output(name, "output", value.node)
        return self.builder.graph().verify()


def integrator() -> Graph:
    """mem = 0.9 mem + x, and a spike of it."""
    small = Small()
    x, previous = small.input("x", 2), small.memory("mem", 2)
    mem = 0.9 * previous + x
    small.feed(previous, mem)
    return small.graph(spk=spike(mem - 1.0, nn.surrogate.StraightThrough()))


def after(graph: Graph, *steps: Pass) -> Graph:
    for _, changed in run(graph, steps):
        graph = changed
    return graph


def show(golden: Golden, step: Pass, graph: Graph) -> None:
    golden.check(f"{graph}\nafter {step}:\n\n{after(graph, step)}", "txt")


def test_infer_types(golden: Golden) -> None:
    small = Small()
    x, w = small.input("x", 3, static=True), small.weight("w", 2, 3)
    show(golden, InferTypes("f64"), small.graph(y=linear(x, w) * small.input("gate")))


def test_differentiate(golden: Golden) -> None:
    small = Small()
    x, previous = small.input("x"), small.memory("mem")
    mem = small.weight("w") * previous + x
    small.feed(previous, mem)
    show(golden, Differentiate("outputs"), small.graph(y=mem))


def test_simplify(golden: Golden) -> None:
    small = Small()
    x, w = small.input("x"), small.weight("w")
    unread = tanh(x)
    assert unread.node == "tanh"
    three = 1.5 * sqrt(Value(small.builder, small.builder.add(leaves.Constant(4.0), name="const 4.0")))
    graph = small.graph(y=sum_time((x * 1.0) * w) + -(w * three), same=sum_time(x * w))
    show(golden, Simplify(), graph)


def test_unroll_time(golden: Golden) -> None:
    small = Small()
    x, w, still = small.input("x"), small.weight("w"), small.input("still", static=True)
    previous = small.memory("mem")
    mem = (w * w) * previous + x * still * still
    small.feed(previous, mem)
    show(golden, UnrollTime(4), small.graph(y=mem))


def test_insert_memorize(golden: Golden) -> None:
    show(golden, InsertMemorize(), after(integrator(), InferTypes(), Differentiate("outputs", inputs=True)))


def test_choose_kernels(golden: Golden) -> None:
    small = Small()
    current = linear(small.input("x", 4), small.weight("w1", 3, 4))
    spk = spike(current, nn.surrogate.StraightThrough())
    dense = linear(current, small.weight("w3", 2, 3))
    graph = small.graph(out=linear(spk, small.weight("w2", 2, 3)), dense=dense)
    show(golden, ChooseKernels(), after(graph, InferTypes(), Differentiate("outputs"), Simplify()))


def test_insert_context(golden: Golden) -> None:
    small = Small()
    x, v, w = small.input("x", 2), small.weight("v", 2), small.weight("w", 2)
    graph = small.graph(y=tanh(x - 1.0) * v, z=x * x * w)    # tanh is dear, x * x is not
    steps = (InferTypes(), Differentiate("outputs"), Simplify(), UnrollTime(), InsertMemorize())
    show(golden, InsertContext(), after(graph, *steps))


def test_fuse(golden: Golden) -> None:
    small = Small()
    x, previous = small.input("x", 4), small.memory("lif1.mem", 2)
    mem = 0.9 * previous + linear(x, small.weight("fc1.w", 2, 4))
    small.feed(previous, mem)
    graph = small.graph(spk=spike(mem - 1.0), mem=mem)
    show(golden, Fuse(), after(graph, InferTypes(), UnrollTime(), InsertMemorize(), ChooseKernels()))


def test_the_whole_pipeline(golden: Golden) -> None:
    """Every stage of the training step of two layers."""
    layers = {"fc1": nn.Linear(4, 3, bias=False), "lif1": nn.Leaky(0.9, reset="none")}
    layers |= {"fc2": nn.Linear(3, 2, bias=False), "lif2": nn.Leaky(0.8)}
    target = Target(loss=loss.cross_entropy("count"))
    *_, train = entry_stages(trace(nn.Sequential(**layers)), target)
    texts = [f"traced\n\n{train.graph}", *(f"{step}\n\n{graph}" for step, graph in train.run(target.options))]
    golden.check("\n".join(texts), "txt")
