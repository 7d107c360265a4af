"""Synaptic delays: of a layer, of each neuron, of each synapse; given, drawn, or learned."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Annotated, Any

import numpy as np

from ..arguments import shown
from ..graph import Type
from ..ops import Value
from ..ops.delays import delayed_linear
from ..ops.reduce import expand
from ..ops.value import operand
from .connections import OneToOne, Probability, check_seed, drawn_below, wired
from .layers import positive
from .module import LARGEST, Module, Parameter, Table, delay, tracer
from .neuron import beside, for_each
from .sparse import SparseLinear

Delays = Annotated[
    int | float | Sequence[int] | Sequence[float] | np.ndarray,
    "an integer, at least 0 (where it is learned, a finite number), or one a feature",
]
LEAST = 1  # steps that a layer of late synapses remembers


class Delay(Module):
    """y[t] = x[t - steps]: features come so many time steps later (NIR's Delay, SpikingJelly's Delay).

    steps [steps]: a whole number, at least 0; one for each channel of an image, [C]; or one for each feature.
    initial: what comes out before the first input does. learn: positions between 0 and max_delay, one for
    each channel or feature, which training moves: y[t] = (1 - f) x[t - k] + f x[t - k - 1] for a position
    k + f, with its gradient. `steps` are then where positions start, and the parameter is `positions`, in
    their shape.

    Its state holds the last inputs, [B, steps, *features] of the longest delay, the oldest first.
    """

    def __init__(
        self,
        steps: Delays,
        *,
        initial: float = 0.0,
        learn: bool = False,
        max_delay: int | None = None,
    ) -> None:
        if max_delay is not None:
            positive(self, max_delay=max_delay)
        self.initial, self.learn, self.each = initial, learn, learn or np.ndim(steps) > 0
        if not self.each:
            if not isinstance(steps, int) or not 0 <= steps <= LARGEST:
                raise self.error(f"steps must be an integer, at least 0, got {shown(steps)}")
            check_steps(self, np.asarray(steps), False, max_delay)
            self.steps = steps
            return
        self.given = np.asarray(steps)
        if not self.given.size:
            raise self.error(f"steps must be one number, or one a channel or feature, got {steps!r}")
        longest = check_steps(self, self.given, self.learn, max_delay)
        self.longest = max(longest, LEAST)
        self.positions = positions(self.given, self.learn, longest)

    def forward(self, x: Value) -> Value:
        if self.each:
            return self._of_features(x)
        return delay(x, initial=self.initial, steps=self.steps) if self.steps else x

    def _of_features(self, x: Value) -> Value:
        """A synapse of weight 1 for each feature, as late as it says."""
        n, fitting = prod(x.shape), beside(self.given.shape, x.shape)
        if fitting is None:
            raise self.error(
                f"steps has shape {list(self.given.shape)}, the input {list(x.shape)}; pass one number for "
                "all, one for each channel ([C]) or one for each feature"
            )
        made = OneToOne()(n, n)
        self.indices = Table((n,), made.indices, most=n - 1)
        self.offsets = Table(made.offsets.shape, made.offsets, most=n, ascending=True)
        if not self.learn:
            each = np.broadcast_to(self.given.reshape(fitting), x.shape).ravel()
            self.positions = positions(each, False, self.longest)
        late_by: Any = self.positions
        if self.learn:
            late_by = expand(for_each(late_by, x.shape), Type(x.shape)).reshape(n)
        ones = expand(Value(x.builder, operand(x.builder, 1.0)), Type((n,)))
        tracer("Delay").name(ones, "ones")
        flat = late(self, x, self.longest, n, self.initial, ones, late_by)
        return flat.reshape(x.shape)


class DelayedLinear(SparseLinear):
    """A layer whose synapses have delays: y[t, o] = bias[o] + sum of weight[o, i] x[t - delay[o, i], i].

    delays [steps]: whole numbers from 0, one, or a matrix [out_features, in_features]; None draws them evenly
    from 0 to max_delay, a function of `seed`. learn_delays: positions between whole steps, from 0 to
    max_delay, that training moves; a synapse between k and k + 1 hands on its share to both (linear
    interpolation of dilated convolutions with learnable spacings, DCLS). connections: as of
    nn.SparseLinear, None for all.

    `values` and `positions` [synapses] are in the order of `offsets` and `indices`; without learn_delays
    positions are part of the model's `structure`. Its state holds the last inputs, [B, longest, in_features].
    In a loop over time the input is what `snncc.delay` hands on; not for checkpoint_every.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        delays: Delays | None = None,
        *,
        max_delay: int | None = None,
        learn_delays: bool = False,
        connections: Any = None,
        bias: bool = True,
        seed: int = 0,
    ) -> None:
        positive(self, in_features=in_features, out_features=out_features)
        made = wired(Probability(1.0) if connections is None else connections, in_features, out_features)
        super().__init__(in_features, out_features, made, bias)
        given = self._of_synapses(delays, max_delay, seed)
        longest = check_steps(self, given, learn_delays, max_delay)
        self.longest = max(longest, LEAST)
        self.positions = positions(given, learn_delays, longest)

    def _of_synapses(self, delays: Any, max_delay: int | None, seed: int) -> np.ndarray:
        made, matrix = self.connections, (self.out_features, self.in_features)
        if delays is None:
            if max_delay is None:
                raise self.error("give delays, or max_delay to draw them up to")
            positive(self, max_delay=max_delay)
            check_seed("DelayedLinear", seed)
            return drawn_below(max_delay + 1, seed, len(made.indices))
        given = np.asarray(delays)
        if given.shape not in ((), matrix):
            raise self.error(
                f"delays must be a number or a matrix {list(matrix)}, got shape {list(given.shape)}"
            )
        chosen: np.ndarray = np.broadcast_to(given, matrix)[made.indices, made.inputs]
        return chosen

    def forward(self, x: Value) -> Value:
        bias = [self.bias] if self.has_bias else []
        return late(self, x, self.longest, self.out_features, 0.0, self.values, self.positions, *bias)


def check_steps(module: Module, given: np.ndarray, learn: bool, max_delay: int | None) -> int:
    """The longest delay; CompileError for delays that cannot be."""
    if max_delay is not None:
        positive(module, max_delay=max_delay)
    elif learn:
        raise module.error("delays that are learned need max_delay, the longest that they may become")
    most = int(np.ceil(given.max(initial=0))) if max_delay is None else max_delay
    kinds = "iu" if not learn else "iuf"
    if given.dtype.kind not in kinds or not ((given >= 0) & (given <= most)).all():
        what = "numbers" if learn else "whole numbers"
        raise module.error(
            f"delays must be {what} from 0 to {most}, got {given.dtype} from {given.min()} to {given.max()}"
        )
    return most


def positions(given: np.ndarray, learn: bool, longest: int) -> Parameter:
    """Delays as a parameter that stays within its limits, or as a table."""
    if learn:
        return Parameter(given.shape, given.astype(np.float64), limits=(0.0, float(longest)))
    return Table(given.shape, given.astype(np.int32), most=max(longest, LEAST))


def late(
    module: Any, x: Value, longest: int, n_out: int, initial: float, values: Any, late_by: Any, *bias: Any
) -> Value:
    """What a module's synapses hand on, [n_out], each so many steps late."""
    n, held = prod(x.shape), delay(x, initial=initial, steps=longest)  # for its state alone
    before = Value(held.builder, held.builder.nodes[held.node].inputs[1]).reshape(longest, n)
    operands = (values, late_by, module.indices, module.offsets)
    return delayed_linear(x.reshape(n), before, longest, n_out, *operands, *bias)
