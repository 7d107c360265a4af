"""What a loss is, and weighted sums of losses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from ..errors import CompileError, user_line
from ..graph import Builder
from ..ops import Value
from ..ops.leaf import Input
from ..ops.lengths import within
from .readout import Scores


@dataclass
class Values:
    """What a loss may read: the network's outputs, and values of its layers; and the one target."""

    builder: Builder
    outputs: Mapping[str, str]
    _target: Value | None = None

    def read(self, name: str, loss: Loss | str) -> Value:
        """An output, or the value of that name, or a layer's spikes. Raises CompileError."""
        for candidate in (self.outputs.get(name, ""), name, f"{name}.spk"):
            if candidate in self.builder.nodes:
                value = Value(self.builder, candidate)
                break
        else:
            layers = [n.removesuffix(".spk") for n in self.builder.nodes if n.endswith(".spk")]
            raise CompileError(
                f"loss {loss}: the network has no output {name!r}, it has {', '.join(self.outputs)}"
                + (f"; layers with spikes are {', '.join(layers)}" if layers else "")
                + f" ({user_line()})"
            )
        if not value.type.time:
            raise CompileError(f"loss {loss}: output {name!r} does not vary over time ({user_line()})")
        return value if value.node in self.outputs.values() else within(value)

    def target(self, loss: Loss, shape: tuple[int, ...], time: bool, dtype: str) -> Value:
        """The target of the call, which all losses of a sum share."""
        op = Input("target", "target", shape, time, dtype)
        if self._target is None:
            self._target = Value(self.builder, self.builder.add(op, name="target"))
        elif self.builder.nodes["target"].op != op:
            raise CompileError(
                f"loss {loss}: its targets are {op.infer()}, those of the losses before it "
                f"{self._target.type}; losses of a sum share one target ({user_line()})"
            )
        return self._target


@dataclass(frozen=True)
class Loss:
    """Base of all losses."""

    described: ClassVar[str] = "a loss of snncc.loss"

    def value(self, values: Values) -> Value:
        """The loss of a batch: a number."""
        raise NotImplementedError

    def target_is_label(self) -> bool:
        """Whether targets are class labels [B]."""
        return False

    def classes(self, outputs: Mapping[str, int]) -> int:
        """How many classes there are, given the number of features of each output; 0 without labels."""
        return 0

    @property
    def scores(self) -> Scores | None:
        """By what classes are chosen; None for the network's own spikes, or its first output."""
        return None

    def __add__(self, other: object) -> Loss:
        if not isinstance(other, Loss):
            raise CompileError(
                f"loss {self}: only a loss can be added to it, got {type(other).__name__} ({user_line()})"
            )
        return Sum((*_terms(self), *_terms(other)))

    def __mul__(self, factor: Any) -> Loss:
        if isinstance(factor, bool) or not isinstance(factor, (int, float)):
            raise CompileError(f"loss {self}: expected a number times a loss, got {factor!r} ({user_line()})")
        return Sum(tuple(replace(term, factor=term.factor * float(factor)) for term in _terms(self)))

    __rmul__ = __mul__


@dataclass(frozen=True)
class Term:
    factor: float
    loss: Loss

    def __str__(self) -> str:
        return str(self.loss) if self.factor == 1.0 else f"{self.factor:g} * {self.loss}"


@dataclass(frozen=True)
class Sum(Loss):
    """Losses times numbers, added."""

    terms: tuple[Term, ...]

    def value(self, values: Values) -> Value:
        first, *rest = (term.loss.value(values) * term.factor for term in self.terms)
        total = first
        for more in rest:
            total = total + more
        return total

    def target_is_label(self) -> bool:
        return any(term.loss.target_is_label() for term in self.terms)

    def classes(self, outputs: Mapping[str, int]) -> int:
        return max(term.loss.classes(outputs) for term in self.terms)

    @property
    def scores(self) -> Scores | None:
        """Of the first term that says so."""
        return next((term.loss.scores for term in self.terms if term.loss.scores), None)

    def __str__(self) -> str:
        return " + ".join(map(str, self.terms))


def _terms(loss: Loss) -> tuple[Term, ...]:
    return loss.terms if isinstance(loss, Sum) else (Term(1.0, loss),)
