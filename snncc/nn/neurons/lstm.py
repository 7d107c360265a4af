"""Long short-term memories whose output spikes: of rows, and of images."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from ...ops import Value, concat, linear, sigmoid, spike, split, take, tanh
from ..conv import Conv2d, Numbers, same_size
from ..layers import positive
from ..module import Module, Parameter
from ..neuron import Neuron, Number
from ..pool import AvgPool2d, MaxPool2d
from ..surrogate import Surrogate
from .firing import Firing, Quantize


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


class SConv2dLSTM(Firing):
    """A long short-term memory of images, whose gates are one convolution of the input and the membrane.

        reset      = mem > threshold                     (of the step before, detached)
        i, f, o, g = conv(current, mem)                  (the channels of both, one after the other)
        syn        = sigmoid(f) syn + sigmoid(i) tanh(g)
        next       = sigmoid(o) tanh(syn)
        mem        = next - reset threshold              (reset="subtract")
        mem        = (1 - reset) next                    (reset="zero": syn is not reset)
        mem        = next                                (reset="none")
        spk        = pooled(mem) > threshold             (mem itself without max_pool and avg_pool)

    It is a layer of its own: it takes images [in_channels, height, width] and gives
    [out_channels, height, width], or smaller ones where it pools; the states keep their size. The membrane
    lies between -1 and 1 (without a reset), so the threshold has to be lower than 1 for the neuron to fire.

    in_channels: channels of the input.
    out_channels: channels of the membrane.
    kernel_size: size of the windows, odd; one number or two. Zeros around the image keep its size.
    threshold: membrane above which a neuron fires; learn_threshold trains it.
    bias: whether the convolution has a bias.
    max_pool: size of the windows of which the largest membrane fires; 0: no pooling.
    avg_pool: size of the windows whose mean fires, likewise; one of both.
    reset: what a spike does to the membrane: "subtract", "zero" or "none".
    surrogate: derivative of the spike at mem - threshold; None: spikes carry no gradient.
    quantize: a function that both states go through, the current after the membrane has read it.
    Outputs: spk, syn, mem (before the reset).
    Differences: snnTorch takes kernels of even sizes, with which it fails.
    """

    known_as: ClassVar[Mapping[str, str]] = {"snnTorch": "SConv2dLSTM"}

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Numbers,
        threshold: float = 1.0,
        *,
        bias: bool = True,
        max_pool: Numbers = 0,
        avg_pool: Numbers = 0,
        reset: str = "none",
        learn_threshold: bool = False,
        surrogate: Surrogate | None = Neuron.surrogate,
        quantize: Quantize | None = None,
    ) -> None:
        positive(self, in_channels=in_channels, out_channels=out_channels)
        if np.ndim(threshold):
            raise self.error(f"threshold must be one number, got {np.size(threshold)}")
        largest, mean = max_pool != 0, avg_pool != 0
        if largest and mean:
            raise self.error(f"expected either max_pool or avg_pool, got {max_pool!r} and {avg_pool!r}")
        self.in_channels, self.out_channels = in_channels, out_channels
        both, padding = in_channels + out_channels, same_size(self, kernel_size)
        self.conv = Conv2d(both, 4 * out_channels, kernel_size, padding=padding, bias=bias)
        self.pool = MaxPool2d(max_pool) if largest else AvgPool2d(avg_pool) if mean else None
        self.fires(threshold, learn_threshold, surrogate, reset=reset, quantize=quantize)

    def state_shape(self, current: tuple[int, ...]) -> tuple[int, ...]:
        if len(current) != 3 or current[0] != self.in_channels:
            raise self.error(
                f"expected images [{self.in_channels}, height, width], the input has shape {list(current)}"
            )
        return (self.out_channels, *current[1:])

    def step(self, current: Any, syn: Any, mem: Any) -> tuple[Any, Any, Any]:
        reset = self.due(mem)
        i, f, o, g = split(self.conv(concat([current, mem])), self.out_channels)
        syn = sigmoid(f) * syn + sigmoid(i) * tanh(g)
        mem = self.quantized(self.lowered(sigmoid(o) * tanh(syn), reset))
        above = (self.pool(mem) if self.pool else mem) - self.threshold
        return self.graded(spike(above, self.surrogate)), self.quantized(syn), mem
