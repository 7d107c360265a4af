"""A step's statements as one loop over neurons or, where long chains follow each other, as several.

    for i:  let a = sigmoid(x_at[i])            for i:  a[i] = sigmoid(x_at[i])
            let b = a * m_state[i]       ->     for i:  b[i] = a[i] * m_state[i]
            let c = sigmoid(b)                  for i:  c[i] = sigmoid(b[i])
            ...                                 for i:  ...

A logistic function is some thirty instructions, of which nearly each waits for the one before. A processor
looks a few hundred ahead: in one loop it meets the second chain of a vector before the first one of the next
vector. A loop for each function keeps the chains of all vectors of a block going side by side: a quarter of
CLIF's time. It is for steps that wait for the one before; elsewhere the next step's chains are there in any
case. Every neuron's operations and their order are the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from ..expr import Apply, Expr, Ref
from ..program import Statement

CHAINS = frozenset({"exp", "log", "sigmoid", "tanh", "sin", "cos"})  # functions that are long chains
LEAST = 2  # of them, one after the other, before loops are split


@dataclass
class _Step:
    """A statement, whether it computes one of CHAINS, and its stage: of these odd, of others even."""

    statement: Statement
    chain: bool
    stage: int = 0

    def after(self, other: _Step, reads: bool) -> int:
        """The earliest stage behind another statement, or beside it if it is plain and so is this one."""
        if not self.chain and not (other.chain and reads):
            return other.stage + other.chain
        return other.stage + (2 if other.chain == self.chain else 1)


def staged(statements: Sequence[Statement], taken: frozenset[str]) -> tuple[list[list[Statement]], list[str]]:
    """Statements by loop, and the locals that became arrays because another loop reads them.

    taken: names that new locals must not have.
    """
    plain = [s for s in statements if s.kind != "pack"]
    steps = [_Step(s, _is_chain(s.value)) for s in _direct(list(_apart(plain, taken)))]
    for k, step in enumerate(steps):
        step.stage = max((step.after(*found) for found in _before(step, steps[:k])), default=int(step.chain))
    if len({s.stage for s in steps if s.chain}) < LEAST or not _carries(plain):
        return [plain], []
    crossing = _crossing(steps)
    loops: dict[int, list[Statement]] = {stage: [] for stage in sorted({s.stage for s in steps})}
    for step in steps:
        loops[step.stage].append(_by_element(step.statement, crossing))
    return list(loops.values()), sorted(crossing)


def _carries(statements: Sequence[Statement]) -> bool:
    """Whether something is read and then changed: what a step leaves to the next one, which waits for it."""
    read: set[str] = set()
    for s in statements:
        read.update(refs(s.value))
        if s.kind == "set" and s.target in read:
            return True
    return False


def _is_chain(value: Expr) -> bool:
    return isinstance(value, Apply) and value.function in CHAINS


def _apart(statements: Sequence[Statement], taken: frozenset[str]) -> Iterator[Statement]:
    """The statements; functions of CHAINS within expressions become locals of their own."""
    names = (name for k in range(1, 1_000_000) if (name := f"chain_{k}") not in taken)
    for s in statements:
        found: list[Statement] = []

        def named(expr: Expr, found: list[Statement] = found) -> Expr:
            if not _is_chain(expr):
                return expr
            found.append(Statement("let", next(names), expr))
            return Ref(found[-1].target)

        value: Expr | None = _changed(s.value, named)
        if found and s.kind == "let" and value == Ref(found[-1].target):
            found[-1], value = replace(s, value=found[-1].value), None  # it was one already
        yield from found
        if value is not None:
            yield replace(s, value=value)


def _direct(statements: list[Statement]) -> list[Statement]:
    """Locals that only name an element of memory are read there, unless it changes in between."""
    kept: list[Statement] = []
    rest = statements
    while rest:
        first, *rest = rest
        if _names_element(first, rest):
            here = {first.target: first.value}
            rest = [_put(s, here) for s in rest]
        else:
            kept.append(first)
    return kept


def _names_element(s: Statement, rest: Sequence[Statement]) -> bool:
    if s.kind != "let" or not isinstance(s.value, Ref) or "[" not in s.value.text:
        return False
    last = max((n for n, r in enumerate(rest) if s.target in refs(r.value)), default=0)
    return all(r.target != s.value.text for r in rest[:last])


def _put(s: Statement, here: Mapping[str, Expr]) -> Statement:
    """The statement with other expressions for some names."""
    return replace(s, value=_changed(s.value, lambda e: here.get(e.text, e) if isinstance(e, Ref) else e))


def _before(step: _Step, earlier: Sequence[_Step]) -> Iterator[tuple[_Step, bool]]:
    """Statements that this one must not come before, and whether it reads what they write."""
    read, target = set(refs(step.statement.value)), step.statement.target
    for other in earlier:
        if other.statement.target in read:
            yield other, True
        elif target == other.statement.target or target in refs(other.statement.value):
            yield other, False


def _crossing(steps: Sequence[_Step]) -> set[str]:
    """Locals that a statement of another stage reads."""
    stages = {s.statement.target: s.stage for s in steps if s.statement.kind == "let"}
    return {name for s in steps for name in refs(s.statement.value) if stages.get(name, s.stage) != s.stage}


def _by_element(s: Statement, crossing: set[str]) -> Statement:
    """The statement where some locals are arrays."""
    there = _put(s, {name: Ref(f"{name}[i]") for name in crossing})
    return replace(there, kind="set", target=f"{s.target}[i]") if s.target in crossing else there


def _changed(expr: Expr, change: Callable[[Expr], Expr]) -> Expr:
    """The expression with every part replaced, operands first."""
    if isinstance(expr, Apply):
        expr = replace(expr, operands=tuple(_changed(o, change) for o in expr.operands))
    return change(expr)


def refs(expr: Expr) -> Iterator[str]:
    """The texts that an expression reads."""
    if isinstance(expr, Ref):
        yield expr.text
    elif isinstance(expr, Apply):
        for operand in expr.operands:
            yield from refs(operand)
