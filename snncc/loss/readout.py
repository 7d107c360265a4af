"""What a loss looks at: a sequence of outputs as one row a sample, or as it is."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import CompileError, user_line
from ..ops import Value, absolute, expand, greater, minimum, scatter_add, sum_time, where
from ..ops.lengths import at_end, at_step, count_steps, inside, lengths, step_beside
from ..ops.time import Delay, Last
from ..ops.value import apply, operand

# The output that each readout is of, unless `of` says another one.
READS = {
    "mem": "mem",
    "mem_last": "mem",
    "mem_max": "mem",
    "mem_mean": "mem",
    "rate": "spk",
    "count": "spk",
    "latency": "spk",
}


@dataclass(frozen=True)
class Scores:
    """By what classes are chosen: the largest score, of equal ones the first.

    readout: of output `of`; the earliest spike for "latency". classes: of groups of outputs, 0 for none.
    """

    readout: str
    of: str
    classes: int = 0

    def record(self) -> dict[str, str | int]:
        """For the manifest."""
        return {"readout": self.readout, "of": self.of, "population": self.classes}


def check(readout: str) -> None:
    if readout not in READS:
        names = ", ".join(map(repr, READS))
        raise CompileError(f"loss: readout must be one of {names}, got {readout!r} ({user_line()})")


def read(x: Value, readout: str, classes: int = 0) -> Value:
    """The readout of a sequence: [B, n], or [T, B, n] for "mem" and "rate", which are read at every step."""
    if readout == "mem_last":
        x = last_step(x)
    elif readout == "mem_max":
        x = largest(x)
    elif readout == "mem_mean":
        x = sum_time(x) / count_steps(x)
    elif readout == "latency":
        x = spike_time(x)
    elif readout == "count":
        x = sum_time(x)
    return grouped(x, classes)


def score(x: Value, chosen: Scores) -> Value:
    """What is largest for the chosen class, [B, classes]."""
    if chosen.readout in ("mem", "rate"):
        return grouped(sum_time(x), chosen.classes)
    value = read(x, chosen.readout, chosen.classes)
    return -value if chosen.readout == "latency" else value


def grouped(x: Value, classes: int) -> Value:
    """Sums of as many groups of neighbouring outputs as there are classes (a population code)."""
    if not classes:
        return x
    size = x.type.size
    if size % classes:
        raise CompileError(
            f"loss: {size} outputs cannot be {classes} groups of the same size ({user_line()})"
        )
    return scatter_add(x, [i * classes // size for i in range(size)], (classes,))  # type: ignore[no-any-return]


def last_step(x: Value) -> Value:
    """x at the last step of each sample."""
    end = at_end(x)
    return end if lengths(x.builder) is not None else at_step(x, end, count_steps(x) - 1.0)


def largest(x: Value) -> Value:
    """The largest x of all steps; the first of equal ones takes the gradient."""
    before, step_before, number = _delay(x), _delay(x), step_beside(x)
    above, live = where(greater(number, 0.5), greater(x, before), 1.0), inside(x)
    above = above if live is None else live * above
    now = where(above, x, before)
    step = where(above, number, step_before)
    _feed(before, now)
    _feed(step_before, step)
    return at_step(x, apply(Last(), now), apply(Last(), step))


def spike_time(spk: Value, number: int = 1) -> Value:
    """The step of a neuron's first spike (or later one, by number from 1), the last step where there is none.

    Its gradient goes to the spike at that step alone, with the sign turned round: more is earlier.
    """
    before = _delay(spk)
    count = before + where(greater(absolute(spk), 0.0), 1.0, 0.0)
    _feed(before, count)
    waiting = where(greater(float(number), count), 1.0, 0.0)
    time = minimum(sum_time(waiting), count_steps(spk) - 1.0)
    return at_step(-spk, time, time)


def _delay(like: Value) -> Value:
    """The value of the step before, to be fed; zero before the first step."""
    builder, op = like.builder, Delay(like.shape)
    zero = operand(builder, 0.0)
    return Value(builder, builder.add(op, [zero, zero], type=op.infer()))


def _feed(delay: Value, value: Value) -> None:
    builder = delay.builder
    builder.connect(delay.node, expand(value, delay.type).node, builder.nodes[delay.node].inputs[1])
