"""A long short-term memory whose output spikes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from ...ops import Value, linear, sigmoid, take, tanh
from ..layers import positive
from ..module import Module, Parameter
from ..neuron import Neuron
from ..surrogate import Surrogate
from .firing import Firing, Number, Quantize


class LSTMCell(Module):
    """The weights of a long short-term memory, as PyTorch's LSTMCell has them: rows of gates i, f, g, o."""

    def __init__(self, in_features: int, out_features: int, bias: bool) -> None:
        bound, gates = 1.0 / np.sqrt(out_features), 4 * out_features
        self.has_bias = bias
        shapes: dict[str, tuple[int, ...]] = {
            "weight_ih": (gates, in_features),
            "weight_hh": (gates, out_features),
            **({"bias_ih": (gates,), "bias_hh": (gates,)} if bias else {}),
        }
        for name, shape in shapes.items():
            setattr(self, name, _uniform(bound, shape))

    def of_input(self, x: Any) -> Any:
        """What the input adds to the gates."""
        return linear(x, self.weight_ih, *([self.bias_ih] if self.has_bias else []))

    def of_state(self, mem: Any) -> Any:
        """What the output of the step before adds to them."""
        return linear(mem, self.weight_hh, *([self.bias_hh] if self.has_bias else []))


def _uniform(bound: float, shape: tuple[int, ...]) -> Parameter:
    return Parameter(shape, lambda rng: rng.uniform(-bound, bound, shape), panels=len(shape) == 2)


class SLSTM(Firing):
    """A long short-term memory whose output is a membrane.

        reset      = mem > threshold                     (of the step before, detached)
        i, f, g, o = weight_ih current + bias_ih + weight_hh mem + bias_hh
        syn        = sigmoid(f) syn + sigmoid(i) tanh(g)
        next       = sigmoid(o) tanh(syn)
        mem        = next - reset threshold              (reset="subtract")
        mem        = (1 - reset) next                    (reset="zero": syn is not reset)
        mem        = next                                (reset="none")
        spk        = mem > threshold

    It is a layer of its own: it takes in_features and gives out_features. The membrane lies between -1 and 1
    (without a reset), so the threshold has to be lower than 1 for the neuron to fire at all.

    in_features: size of the input.
    out_features: number of neurons.
    threshold: membrane above which a neuron fires, one number or one a neuron; learn_threshold trains it.
    bias: whether the gates have biases (two of them, as in PyTorch).
    reset: what a spike does to the membrane: "subtract", "zero" or "none".
    surrogate: derivative of the spike at mem - threshold; None: spikes carry no gradient.
    quantize: a function that both states go through, the current after the membrane has read it.
    Outputs: spk, syn, mem (before the reset).
    Differences: snnTorch's forgets both states at every step if in_features is not out_features.
    """

    known_as: ClassVar[Mapping[str, str]] = {"snnTorch": "SLSTM"}

    def __init__(
        self,
        in_features: int,
        out_features: int,
        threshold: Number = 1.0,
        *,
        bias: bool = True,
        reset: str = "none",
        learn_threshold: bool = False,
        surrogate: Surrogate | None = Neuron.surrogate,
        quantize: Quantize | None = None,
    ) -> None:
        positive(self, in_features=in_features, out_features=out_features)
        self.in_features, self.out_features = in_features, out_features
        self.lstm_cell = LSTMCell(in_features, out_features, bias)
        self.fires(threshold, learn_threshold, surrogate, reset=reset, quantize=quantize)

    def state_shape(self, current: tuple[int, ...]) -> tuple[int, ...]:
        return (self.out_features,)

    def forward(self, current: Value) -> tuple[Value, ...]:
        return super().forward(self.lstm_cell.of_input(current))

    def step(self, current: Any, syn: Any, mem: Any) -> tuple[Any, Any, Any]:
        reset = self.due(mem)
        i, f, g, o = self.gates(current + self.recurrence(mem))
        syn = sigmoid(f) * syn + sigmoid(i) * tanh(g)
        mem = self.lowered(sigmoid(o) * tanh(syn), reset)
        spk, mem = self.fire(mem, reset)
        return spk, self.quantized(syn), mem

    def recurrence(self, mem: Any) -> Any:
        """What the membrane of the step before adds to the gates."""
        return self.lstm_cell.of_state(mem)

    def gates(self, rows: Any) -> tuple[Any, ...]:
        """The four gates."""
        n = self.out_features
        return tuple(take(rows, np.arange(k * n, (k + 1) * n)) for k in range(4))
