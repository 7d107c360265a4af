"""The printer of scalar expressions, by exact text: parentheses only where C needs them."""

from __future__ import annotations

import numpy as np
import pytest

from snncc.backend.dialects import DECAY, DIFFERS
from snncc.backend.dialects import FORMS as SCALAR_FORMS
from snncc.errors import CompileError
from snncc.expr import Apply, Const, Dialect, Expr, Ref, show

FORMS = SCALAR_FORMS | DIFFERS | DECAY
DOUBLE = Dialect(FORMS)
SINGLE = Dialect(FORMS, "f", True)
A, B, C, D = map(Ref, "abcd")


def of(function: str, *operands: Expr) -> Apply:
    return Apply(function, operands)


def chain(function: str, *operands: Expr) -> Expr:
    """From the left, as Python groups."""
    first, *rest = operands
    for operand in rest:
        first = of(function, first, operand)
    return first


@pytest.mark.parametrize(
    ("expr", "text"),
    [
        (of("add", A, of("mul", B, C)), "a + b * c"),
        (of("mul", of("add", A, B), C), "(a + b) * c"),
        (of("mul", A, of("add", B, C)), "a * (b + c)"),
        (of("div", of("mul", A, B), C), "a * b / c"),
        (of("mul", A, of("div", B, C)), "a * (b / c)"),
        (of("sub", of("mul", A, B), of("div", C, D)), "a * b - c / d"),
        (of("exp", of("sub", A, B)), "snncc_exp(a - b)"),
        (of("exp", of("neg", of("mul", Const(4.0), of("abs", A)))), "snncc_exp_decay(-(4.0 * snncc_abs(a)))"),
        (of("exp", of("neg", of("mul", A, A))), "snncc_exp_decay(-(a * a))"),
        (of("exp", of("neg", of("mul", Const(-4.0), of("abs", A)))), "snncc_exp(-(-4.0 * snncc_abs(a)))"),
        (of("exp", of("neg", of("mul", A, B))), "snncc_exp(-(a * b))"),
        (of("minimum", of("add", A, B), of("maximum", C, D)), "snncc_min(a + b, snncc_max(c, d))"),
        (of("mul", of("tanh", A), B), "snncc_tanh(a) * b"),
    ],
)
def test_precedence(expr: Expr, text: str) -> None:
    assert show(expr, DOUBLE) == text


@pytest.mark.parametrize(
    ("expr", "text"),
    [
        (chain("add", A, B, C), "a + b + c"),
        (chain("sub", A, B, C), "a - b - c"),
        (chain("div", A, B, C), "a / b / c"),
        # Floating point does not associate: the right operand keeps its parentheses, even of a sum.
        (of("add", A, of("add", B, C)), "a + (b + c)"),
        (of("sub", A, of("sub", B, C)), "a - (b - c)"),
        (of("sub", A, of("add", B, C)), "a - (b + c)"),
        (of("mul", A, of("mul", B, C)), "a * (b * c)"),
        (of("div", A, of("div", B, C)), "a / (b / c)"),
        (of("add", of("sub", A, B), of("sub", C, D)), "a - b + (c - d)"),
    ],
)
def test_associativity(expr: Expr, text: str) -> None:
    assert show(expr, DOUBLE) == text


@pytest.mark.parametrize(
    ("expr", "text"),
    [
        (of("neg", A), "-a"),
        (of("neg", of("mul", A, B)), "-(a * b)"),
        (of("neg", of("add", A, B)), "-(a + b)"),
        (of("neg", of("exp", A)), "-snncc_exp(a)"),
        (of("mul", of("neg", A), B), "-a * b"),
        (of("mul", A, of("neg", B)), "a * -b"),
        (of("mul", Const(-2.0), A), "-2.0 * a"),
        (of("exp", Const(-2.0)), "snncc_exp(-2.0)"),
        (of("div", of("neg", of("sub", A, B)), C), "-(a - b) / c"),
    ],
)
def test_negation(expr: Expr, text: str) -> None:
    assert show(expr, DOUBLE) == text


@pytest.mark.parametrize(
    "expr",
    [
        of("neg", of("neg", A)), of("neg", Const(-1.0)), of("sub", A, of("neg", B)),
        of("sub", A, of("mul", of("neg", B), C)), of("neg", of("mul", of("neg", A), B)),
        of("sub", A, Const(-1.0)), of("sub", A, of("sub", of("neg", B), C)), of("sub", A, Const(-0.0)),
        of("neg", Const(-0.0)),
    ],
    ids=str,
)  # fmt: skip
def test_two_minus_signs_never_meet(expr: Expr) -> None:
    """`--a` would be C's decrement."""
    text = show(expr, DOUBLE)
    assert "--" not in text
    assert "+-" not in text.replace(" ", "")


@pytest.mark.parametrize(
    ("value", "double", "single"),
    [
        (1.0, "1.0", "1.0f"),
        (0.0, "0.0", "0.0f"),
        (-0.0, "-0.0", "-0.0f"),
        (0.9, "0.9", "0.9f"),
        (1 / 3, "0.3333333333333333", "0.33333334f"),
        (1e-8, "1e-08", "1e-08f"),
        (1e20, "1e+20", "1e+20f"),
        (1e16, "1e+16", "1e+16f"),
        (65536.1, "65536.1", "65536.1f"),
        (5e-324, "5e-324", "0.0f"),
        (1.1754944e-38, "1.1754944e-38", "1.1754944e-38f"),
        (-2.5, "-2.5", "-2.5f"),
    ],
)
def test_literals(value: float, double: str, single: str) -> None:
    assert show(Const(value), DOUBLE) == double
    assert show(Const(value), SINGLE) == single


def test_literals_read_back_as_the_same_number() -> None:
    rng = np.random.default_rng(0)
    for value in np.concatenate([rng.normal(size=200), np.exp(rng.uniform(-80, 80, 200))]):
        assert float(show(Const(float(value)), DOUBLE)) == value
        assert np.float32(show(Const(float(value)), SINGLE)[:-1]) == np.float32(value)


def test_a_double_constant_among_floats_is_rounded_once() -> None:
    assert show(of("mul", Const(0.1), A), SINGLE) == "0.1f * a"


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_what_has_no_literal_is_refused(value: float) -> None:
    for dialect in (DOUBLE, SINGLE):
        with pytest.raises(CompileError, match=f"holds the constant {value}, which is no finite float"):
            show(Const(value), dialect)


@pytest.mark.parametrize("value", [1e39, -1e300])
def test_what_overflows_float32_has_no_literal(value: float) -> None:
    with pytest.raises(CompileError, match="no finite float32"):
        show(Const(value), SINGLE)
    assert float(show(Const(value), DOUBLE)) == value


@pytest.mark.parametrize(
    ("expr", "text"),
    [
        (of("greater", A, B), "a > b ? 1.0 : 0.0"),
        (of("where", of("greater", A, B), C, D), "a > b ? c : d"),
        (of("where", of("greater_equal", A, of("add", B, C)), C, D), "a >= b + c ? c : d"),
        (of("where", A, B, C), "a != 0.0 ? b : c"),
        (of("where", of("mul", A, B), C, D), "a * b != 0.0 ? c : d"),
        (of("mul", of("greater", A, B), C), "(a > b ? 1.0 : 0.0) * c"),
        (of("add", A, of("where", B, C, D)), "a + (b != 0.0 ? c : d)"),
        (of("exp", of("greater", A, B)), "snncc_exp(a > b ? 1.0 : 0.0)"),
        (of("greater", of("greater", A, B), C), "(a > b ? 1.0 : 0.0) > c ? 1.0 : 0.0"),
        (of("where", of("greater", A, B), of("greater", C, D), A), "a > b ? (c > d ? 1.0 : 0.0) : a"),
        (of("neg", of("greater", A, B)), "-(a > b ? 1.0 : 0.0)"),
        (of("where", of("where", A, B, C), C, D), "(a != 0.0 ? b : c) != 0.0 ? c : d"),
    ],
)
def test_conditions(expr: Expr, text: str) -> None:
    assert show(expr, DOUBLE) == text


def test_choices_within_choices_keep_their_parentheses() -> None:
    inner = of("where", of("greater", C, D), C, D)
    assert show(of("where", of("greater", A, B), inner, D), DOUBLE) == "a > b ? (c > d ? c : d) : d"
    assert show(of("where", of("greater", A, B), A, inner), DOUBLE) == "a > b ? a : (c > d ? c : d)"


@pytest.mark.parametrize(
    ("expr", "text"),
    [
        (of("spike", of("sub", A, B)), "a > b ? 1.0f : 0.0f"),
        (Apply("spike", (of("sub", A, Const(1.0)),), strict=False), "a >= 1.0f ? 1.0f : 0.0f"),
        (of("spike", A), "a > 0.0f ? 1.0f : 0.0f"),
        (of("spike", of("sub", A, of("sub", B, C))), "a > b - c ? 1.0f : 0.0f"),
        (of("mul", of("spike", of("sub", A, B)), C), "(a > b ? 1.0f : 0.0f) * c"),
        (of("where", of("spike", A), B, C), "(a > 0.0f ? 1.0f : 0.0f) != 0.0f ? b : c"),
    ],
)
def test_spikes_are_comparisons(expr: Expr, text: str) -> None:
    assert show(expr, SINGLE) == text


def evaluate(text: str, **values: float) -> float:
    """The text as Python computes it; only for arithmetic, which both languages write alike."""
    return float(eval(text, {}, values))


def test_random_arithmetic_means_what_it_says() -> None:
    """Printed, then read by another parser with the same precedences: the same bits."""
    rng = np.random.default_rng(1)
    values = {"a": 0.7, "b": -1.3, "c": 2.1, "d": 0.11}
    table = {"add": np.add, "sub": np.subtract, "mul": np.multiply, "div": np.divide, "neg": np.negative}

    def grow(depth: int) -> tuple[Expr, float]:
        if depth == 0:
            if rng.random() < 0.3:
                number = float(np.round(rng.normal(), 2)) or 1.0
                return Const(number), number
            name = str(rng.choice(list(values)))
            return Ref(name), values[name]
        function = str(rng.choice(list(table)))
        grown = [grow(depth - 1) for _ in range(1 if function == "neg" else 2)]
        with np.errstate(all="ignore"):
            return of(function, *(e for e, _ in grown)), float(table[function](*(v for _, v in grown)))

    checked = 0
    for _ in range(300):
        expr, expected = grow(int(rng.integers(1, 5)))
        text = show(expr, DOUBLE)
        try:
            found = evaluate(text, **values)
        except ZeroDivisionError:
            continue
        assert found == expected, text
        checked += 1
    assert checked > 250
