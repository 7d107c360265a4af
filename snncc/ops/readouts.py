"""What a sequence comes to, one row a sample: of its own steps, if the batch has different lengths."""

from __future__ import annotations

from .elementwise import absolute, greater, minimum, where
from .lengths import at_end, at_step, count_steps, inside, lengths, step_beside
from .reduce import expand
from .time import Delay, Last, sum_time
from .value import Value, apply, operand


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


def farthest(x: Value) -> Value:
    """The largest x of all steps or the smallest, whichever is farther from 0; of equal ones the smallest."""
    most, least = largest(x), -largest(-x)
    result: Value = where(greater(absolute(most), absolute(least)), most, least)
    return result


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
