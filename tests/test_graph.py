"""Graphs: what verify refuses, the error of a loop without a delay, unique names, the text form."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import FrozenInstanceError, replace

import pytest

from snncc import nn
from snncc.errors import CompileError, InternalError
from snncc.frontend.dsl import trace
from snncc.graph import Builder, Graph, Node, Op, Output, Stage, Type, constant_value, renamed
from snncc.ops import Value
from snncc.ops import leaf as leaves
from snncc.ops.elementwise import Detach, Elementwise
from snncc.ops.linear import Linear
from snncc.ops.time import Delay

SEQUENCE = Type((2,), True, True)


def node(name: str, op: Op, *inputs: str, type: Type = SEQUENCE, where: str = "") -> Node:
    return Node(name, op, inputs, type, where=where)


def graph(nodes: Iterable[Node], outputs: tuple[Output, ...] = ()) -> Graph:
    return Graph({n.name: n for n in nodes}, outputs)


X = node("x", leaves.Input("x", "input", (2,)))
START = node("start", leaves.State("mem", (2,)), "zero", type=Type((2,), False, True))
ZERO = node("zero", leaves.Constant(0.0), type=Type((), dtype="number"))


def loop(op: Op) -> Graph:
    """a = x + back, back = op(a)."""
    further = ("start",) if isinstance(op, Delay) else ()
    return graph([X, ZERO, START, node("a", Elementwise("add"), "x", "back", where="net.py:7"),
                  node("back", op, "a", *further)])  # fmt: skip


def test_unknown_names() -> None:
    with pytest.raises(InternalError, match=r"%y reads %nobody, which no node makes"):
        graph([X, node("y", Elementwise("neg"), "nobody")])
    with pytest.raises(InternalError, match=r"output out is %nobody, which no node makes"):
        graph([X], (Output("out", "output", "nobody"),))


def test_a_loop_with_a_delay_is_fine() -> None:
    made = loop(Delay((2,))).verify()
    assert made.order.index("back") < made.order.index("a")


def test_a_loop_without_a_delay_is_named_with_its_line() -> None:
    with pytest.raises(CompileError) as refused:
        loop(Detach()).verify()
    assert str(refused.value) in (
        "feedback loop without a delay: %a -> %back -> %a; put snncc.delay in the loop (net.py:7)",
        "feedback loop without a delay: %back -> %a -> %back; put snncc.delay in the loop (net.py:7)",
    )


def test_a_node_that_reads_itself_is_a_loop() -> None:
    with pytest.raises(CompileError, match=r"without a delay: %y -> %y; put snncc\.delay"):
        graph([X, node("y", Elementwise("add"), "x", "y")]).verify()


def test_the_initial_value_of_a_delay_may_not_wait_for_the_delay() -> None:
    """Only what is fed comes a step later; the initial value is read at once."""
    ahead = node("back", Delay((2,)), "x", "a")
    with pytest.raises(CompileError, match="feedback loop without a delay"):
        graph([X, node("a", Elementwise("neg"), "back"), ahead]).verify()


@pytest.mark.parametrize(
    "type",
    [Type((2,), False, True), Type((2,), True, False), Type((3,), True, True), Type((), True, True)],
    ids=str,
)
def test_types_must_be_those_of_the_rules(type: Type) -> None:
    with pytest.raises(InternalError) as refused:
        graph([X, node("y", Elementwise("neg"), "x", type=type)]).verify()
    assert str(refused.value) == f"%y is {type}, its operands make it real[T, B, 2]"


def test_operands_that_do_not_fit_are_refused() -> None:
    other = node("other", leaves.Input("other", "input", (3,)), type=Type((3,), True, True))
    with pytest.raises(CompileError, match=r"that are equal or scalar, found \[2\] and \[3\]"):
        graph([X, other, node("y", Elementwise("add"), "x", "other")]).verify()


def test_graphs_do_not_change() -> None:
    made = loop(Delay((2,)))
    with pytest.raises(FrozenInstanceError):
        made["a"].name = "b"  # type: ignore[misc]
    changed = made.map(lambda n: replace(n, kernel="k"))
    assert {n.kernel for n in changed} == {"k"}
    assert {n.kernel for n in made} == {""}


def test_the_text_form() -> None:
    builder = Builder()
    x = Value(builder, builder.add(leaves.Input("x", "input", (2, 3)), name="x"))
    w = Value(builder, builder.add(leaves.Parameter("w", (), learnable=False), name="w"))
    builder.output("y", "output", (2.0 * x - w).node)
    made = builder.graph()
    assert str(made) == (
        "%x = input<label='x', role='input'>() : real[T, B, 2, 3]\n"
        "%w = parameter<label='w', learnable=False>() : real[]\n"
        "%mul = mul(2.0, %x) : real[T, B, 2, 3]\n"
        "%sub = sub(%mul, %w) : real[T, B, 2, 3]\n"
        "output y = %sub\n"
    )
    placed = replace(made["sub"], stage=Stage("scan", 2, 4), kernel="lif1")
    assert str(placed).endswith("real[T, B, 2, 3]  @ scan 2 unroll=4, in lif1")
    assert str(replace(made["sub"], stage=Stage("reverse", 1))).endswith("  @ reverse 1")
    assert str(replace(made["sub"], stage=Stage("parallel"))).endswith("  @ parallel")
    assert constant_value(made, "const 2.0") == 2.0
    assert constant_value(made, "x") is None


def test_equal_operands_and_readers() -> None:
    """x * x reads x twice, but is one reader."""
    made = graph([X, node("y", Elementwise("mul"), "x", "x")]).verify()
    assert [n.name for n in made.readers()["x"]] == ["y"]
    assert made.network.number_of_edges("x", "y") == 2


def test_names_are_handed_out_once() -> None:
    builder = Builder()
    names = [builder.add(leaves.Constant(float(k)), name="c") for k in range(3)]
    assert names == ["c", "c.2", "c.3"]


def test_renaming_resolves_clashes() -> None:
    nodes = [X, node("a", Elementwise("neg"), "x"), node("b", Elementwise("neg"), "a")]
    made = graph(nodes, (Output("o", "output", "b"),))
    changed = renamed(made, {"a": "x", "b": "x"}).verify()
    assert list(changed.nodes) == ["x", "x.2", "x.3"]
    assert changed["x.3"].inputs == ("x.2",)
    assert changed.outputs == (Output("o", "output", "x.3"),)


def test_shape_errors_of_a_builder_carry_scope_and_line() -> None:
    builder = Builder()
    x = builder.add(leaves.Input("x", "input", (3,)), name="x")
    w = builder.add(leaves.Parameter("w", (2, 4)), name="w")
    builder.scope, builder.where = "fc1", "net.py:3"
    with pytest.raises(CompileError) as refused:
        builder.add(Linear(), (x, w))
    assert str(refused.value) == "fc1: linear layer takes 4 features, its input has shape [3] (net.py:3)"


def test_the_order_is_stable() -> None:
    made = trace(nn.Sequential(nn.Linear(2, 3), nn.Leaky(0.9), nn.Linear(3, 2), nn.Leaky(0.9))).graph
    again = Graph(dict(made.nodes), made.outputs)
    assert made.order == again.order
    position = {name: k for k, name in enumerate(made.order)}
    for made_node in made:
        now = made_node.inputs[1:] if made_node.op.name == "delay" else made_node.inputs
        assert all(position[i] < position[made_node.name] for i in now)
