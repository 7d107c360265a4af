"""The first of steps that were written out: for which initial states it is what the common step gives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from typing import Any

import numpy as np

from ...errors import CompileError
from . import constants
from .nodes import STEP, Node
from .slices import slice_of
from .trains import Irregular, Rolling, alike

MOST_UNKNOWN, MOST_STARTS = 3, 4  # states that are guessed together, and constants that are tried for them
MOST_AGAIN = 6  # nodes that are computed twice to carry one state less
TESTS = ("Greater", "GreaterOrEqual", "Less", "LessOrEqual")
CHEAP = ("Add", "Sub", "Mul", "Neg", *TESTS, "Cast", "CastLike", "Not", "Where", "Identity")
NEUTRAL = {"Add": (0.0, (0, 1)), "Sub": (0.0, (1,)), "Mul": (1.0, (0, 1)), "Div": (1.0, (1,))}


@dataclass
class Proof:
    """Unifies values of the common step with those of step 0. equations: that constants have to meet."""

    run: Rolling
    again: Sequence[Node] = ()
    initial: dict[str, Any] = field(default_factory=dict)  # of a delay: an array, or the name of an input
    equations: list[tuple[str, np.ndarray]] = field(default_factory=list)
    proven: set[tuple[str, str]] = field(default_factory=set)
    known: dict[str, Any] = field(default_factory=dict)  # arrays, or None

    def __post_init__(self) -> None:
        self.makers = {n: node for node in (*self.run.nodes, *self.again) for n in node.outputs if n}
        delayed = (train.delayed for train in self.run.trains.values())
        self.delays = {name for name in delayed if name and name not in self.makers}

    def unify(self, made: str, first: str) -> None:
        """`made` at step 0 is `first`; raises Irregular where it cannot be."""
        waiting = [(made, first)]
        while waiting:
            pair = waiting.pop()
            if pair in self.proven:
                continue
            self.proven.add(pair)
            waiting += self._operands(*pair)

    def _operands(self, made: str, first: str) -> list[tuple[str, str]]:
        flat, constant = self.run.flat, self.run.flat.constants.get(first)
        if made in self.delays:
            self._bind(made, first if constant is None else constant)
            return []
        if made == first or (constant is not None and made in flat.constants
                             and _equals(flat.constants[made], constant)):  # fmt: skip
            return []
        if constant is not None:
            self.equations.append((made, constant))
            return []
        node = self.makers.get(made)
        if node is None:
            raise Irregular(f"step 0 has {first} in place of {made}")
        if node.op == STEP:
            slice = slice_of(flat, self.run.makers, first)
            if slice is None or (slice.sequence, slice.axis, slice.step) != (
                node.inputs[0],
                node.attributes["axis"],
                0,
            ):
                raise Irregular(f"step 0 has {first} in place of a step of {node.inputs[0]}")
            return []
        return self._same_operator(node, made, first)

    def _same_operator(self, node: Node, made: str, first: str) -> list[tuple[str, str]]:
        other = self.run.makers.get(first)
        if other is not None and len(other.outputs) == len(node.outputs) and alike(other, node, first, made):
            return [(a, b) for a, b in zip(node.inputs, other.inputs, strict=True) if a]
        # An exporter may have left out an operand that changes nothing.
        neutral, places = NEUTRAL.get(node.op, (0.0, ()))
        for place in places:
            if self._is(node.inputs[place], neutral):
                return [(node.inputs[1 - place], first)]
        raise Irregular(f"step 0 computes {first} in another way")

    def _is(self, name: str, number: float) -> bool:
        value = self.at_first(name)
        if value is None and name in self.delays and name not in self.initial:
            self.initial[name] = np.full((), number, np.float32)
            self.known.clear()
            return True
        return value is not None and bool(np.all(value == number))

    def _bind(self, delay: str, value: Any) -> None:
        before = self.initial.get(delay)
        if before is None:
            self.initial[delay] = value
            self.known.clear()
        elif isinstance(before, str) or isinstance(value, str):
            if not (isinstance(before, str) and before == value):
                raise Irregular(f"the state {delay} starts as two different values")
        elif not _equals(before, value):
            raise Irregular(f"the state {delay} starts as two different constants")

    def at_first(self, name: str) -> Any:
        """What a value of the common step is at step 0, if that hangs on constants alone."""
        waiting = [name]
        while waiting:
            top = waiting[-1]
            if top in self.known:
                waiting.pop()
                continue
            node = self.makers.get(top)
            inputs = [] if node is None else [i for i in node.inputs if i and i not in self.known]
            if node is not None and node.op in constants.FOLDED and inputs:
                waiting += inputs
                continue
            self.known[top] = self._folded(top, node)
            waiting.pop()
        return self.known[name]

    def _folded(self, name: str, node: Node | None) -> Any:
        if name in self.delays:
            start = self.initial.get(name)
            return start if isinstance(start, np.ndarray) else None
        if node is None:
            return self.run.flat.constants.get(name)
        if node.op not in constants.FOLDED:
            return None
        operands = [self.known[i] if i else None for i in node.inputs]
        if any(i and o is None for i, o in zip(node.inputs, operands, strict=True)):
            return None
        try:
            return constants.fold(node, operands)[0]
        except CompileError:
            return None

    def solve(self) -> None:
        """The equations, with the simplest states that meet them where they are not known yet."""
        left = self.equations
        while left:
            unmet = []
            for made, constant in left:
                value = self.at_first(made)
                if value is None and not self._guess(made, constant):
                    unmet.append((made, constant))
                elif value is not None and not _equals(value, constant):
                    raise Irregular(f"no initial state makes {made} the constant of step 0")
            if len(unmet) == len(left):
                raise Irregular(f"the initial state behind {unmet[0][0]} is not known")
            left = unmet

    def _guess(self, made: str, constant: np.ndarray) -> bool:
        """Sets the states that a value hangs on to 0, to the constant, or to what another state has."""
        delays = sorted(self._open(made))
        if not 0 < len(delays) <= MOST_UNKNOWN:
            return False
        starts = [v for v in self.initial.values() if isinstance(v, np.ndarray)][:MOST_STARTS]
        zeros = np.zeros((), constant.dtype)
        for chosen in product([zeros, constant, *starts], repeat=len(delays)):
            self.initial.update(zip(delays, chosen, strict=True))
            self.known.clear()
            value = self.at_first(made)
            if value is not None and _equals(value, constant):
                return True
        for delay in delays:
            del self.initial[delay]
        self.known.clear()
        return False

    def _open(self, made: str) -> set[str]:
        """The states without an initial value that a value hangs on."""
        found, waiting, seen = set(), [made], set()
        while waiting:
            name = waiting.pop()
            if name in seen:
                continue
            seen.add(name)
            if name in self.delays:
                if name not in self.initial:
                    found.add(name)
            elif name in self.makers:
                waiting += self.makers[name].inputs
        return found


def recomputed(run: Rolling) -> list[Node]:
    """Values of the step before that follow from other states: computed from them again, not carried.

    So a reset by the spike of the step before becomes a test of its membrane, as neurons write it. The nodes
    to add; each makes what a delay would have made.
    """
    makers = {name: node for node in run.nodes for name in node.outputs if name}
    before = {train.made: train.delayed for train in run.trains.values() if train.delayed is not None}
    made: list[Node] = []
    for value, delay in list(before.items()):
        cone = _cone(run, makers, {v: d for v, d in before.items() if v != value}, value)
        if cone is not None:
            made += [_earlier(node, before, value, delay) for node in cone]
            del before[value]
    return made


def _cone(run: Rolling, makers: dict[str, Node], before: Mapping[str, str], value: str) -> list[Node] | None:
    """The nodes that make a value of what has delays and of constants, in order; None if it needs more."""
    found: list[Node] = []

    def visit(name: str) -> bool:
        node = makers.get(name)
        if name in before or not name or name in run.flat.constants:
            return True
        if node is None or node.op not in CHEAP or len(found) > MOST_AGAIN:
            return False
        if node not in found:
            if not all(visit(i) for i in node.inputs):
                return False
            found.append(node)
        return True

    return found if visit(value) and 0 < len(found) <= MOST_AGAIN else None


def _earlier(node: Node, before: Mapping[str, str], value: str, delay: str) -> Node:
    """A node on the values of the step before."""

    def read(name: str) -> str:
        return before[name] if name in before and name != value else written(name)

    def written(name: str) -> str:
        return delay if name == value else f"{name}@again{delay}" if name.startswith("@") else name

    return replace(node, inputs=tuple(map(read, node.inputs)), outputs=tuple(map(written, node.outputs)))


def _equals(a: np.ndarray, b: np.ndarray) -> bool:
    try:
        left, right = np.broadcast_arrays(a, b)
    except ValueError:
        return False
    return bool(np.array_equal(left, right, equal_nan=left.dtype.kind == "f" == right.dtype.kind))


def first_step(run: Rolling, again: Sequence[Node] = ()) -> Proof:
    """The proof, with the initial value of each delay; raises Irregular where step 0 is not the common step.

    again: nodes that make what would else be delayed.
    """
    proof = Proof(run, again)
    for made, first in run.proofs:
        proof.unify(made, first)
    proof.solve()
    for delay in proof.delays:
        if delay not in proof.initial:
            raise Irregular(f"the initial state {delay} is not known")
    return proof
