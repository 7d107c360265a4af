"""A step's statements in one loop over neurons or several: what may be split, and what must stay in order."""

from __future__ import annotations

from snncc.backend.stages import staged
from snncc.expr import Apply, Const, Expr, Ref
from snncc.program import Statement


def sigmoid(operand: Expr) -> Expr:
    return Apply("sigmoid", (operand,))


def mul(a: str, b: Expr) -> Expr:
    return Apply("mul", (Ref(a), b))


CHAINED = (
    Statement("let", "prev", Ref("state[i]")),
    Statement("let", "a", mul("prev", sigmoid(Ref("x_at[i]")))),
    Statement("let", "b", sigmoid(Ref("a"))),
    Statement("add", "sum[i]", mul("b", Ref("prev"))),
    Statement("set", "state[i]", mul("b", Ref("a"))),
)


def texts(loops: list[list[Statement]]) -> list[list[str]]:
    return [[s.target for s in loop] for loop in loops]


def test_functions_after_each_other_have_loops_of_their_own() -> None:
    loops, arrays = staged(CHAINED, frozenset({"chain_1"}))
    assert texts(loops) == [["chain_2[i]"], ["a[i]"], ["b[i]"], ["sum[i]", "state[i]"]]
    assert arrays == ["a", "b", "chain_2"]    # what another loop reads; chain_1 was taken
    assert loops[1][0].value == mul("state[i]", Ref("chain_2[i]"))    # a state is read before it changes
    assert loops[3][0].value == mul("b[i]", Ref("state[i]"))


def test_a_value_that_is_read_after_its_element_changed_is_kept() -> None:
    late = Statement("set", "y_at[i]", Ref("prev"))
    loops, arrays = staged((*CHAINED, late), frozenset())
    assert "prev" in arrays and loops[0][0] == Statement("set", "prev[i]", Ref("state[i]"))
    assert loops[0][-1] == Statement("set", "y_at[i]", Ref("prev[i]"))
    assert loops[4][0].value == mul("b[i]", Ref("prev[i]"))


def test_an_element_changes_after_all_have_read_it() -> None:
    early = Statement("set", "x_at[i]", Const(0.0))
    loops, _ = staged((*CHAINED, early), frozenset())
    where = {s.target: k for k, loop in enumerate(loops) for s in loop}
    assert where["x_at[i]"] > where["chain_1[i]"]


def test_one_function_or_steps_that_do_not_wait_stay_in_one_loop() -> None:
    assert staged(CHAINED[:1] + CHAINED[2:], frozenset()) == ([[CHAINED[0], *CHAINED[2:]]], [])
    assert staged(CHAINED[:4], frozenset()) == ([list(CHAINED[:4])], [])
