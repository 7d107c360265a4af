"""Neurons without a reset, which other systems compute for all steps at once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from ...arguments import shown
from ...ops import Value, exp, linear, maximum, take
from ..layers import Linear, positive
from ..module import Module, Parameter, delay, tracer
from ..neuron import Neuron, Number, coefficient, named_outputs
from ..surrogate import Surrogate
from .firing import Firing, Quantize


class RecurrentWeights(Module):
    """The weights of a recurrent layer, as PyTorch's RNN has them.

    hidden: the initial hidden weights; without them all are uniform in +-1/sqrt(out_features).
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        hidden: np.ndarray | None,
        *,
        bias: bool,
        dense: bool,
        learn_hidden: bool,
    ) -> None:
        n, bound = out_features, 1.0 / np.sqrt(out_features)
        self.size, self.has_bias, self.dense = n, bias, dense

        def start(rng: np.random.Generator) -> np.ndarray:
            weights = rng.uniform(-bound, bound, (n, n)) if hidden is None else hidden
            return weights if dense else weights * np.eye(n)

        self.weight_ih_l0 = Parameter(
            (n, in_features), lambda rng: rng.uniform(-bound, bound, (n, in_features)), panels=True
        )
        self.weight_hh_l0 = Parameter((n, n), start, learnable=learn_hidden, panels=dense)
        if bias:
            self.bias_ih_l0 = Parameter((n,), lambda rng: rng.uniform(-bound, bound, n))
            self.bias_hh_l0 = Parameter((n,), lambda rng: rng.uniform(-bound, bound, n))

    def of_input(self, x: Any) -> Any:
        """What the input and both biases add to the state."""
        weights: Any = self.weight_ih_l0
        if not self.has_bias:
            return linear(x, weights)
        biases: list[Any] = [self.bias_ih_l0, self.bias_hh_l0]
        return linear(x, weights, biases[0]) + biases[1]

    def of_state(self, mem: Any) -> Any:
        """What the state of the step before adds: of all neurons, or of each its own."""
        weights: Any = self.weight_hh_l0
        return linear(mem, weights) if self.dense else self.diagonal(weights) * mem

    def diagonal(self, weights: Any) -> Any:
        """The weight from each neuron to itself."""
        return take(weights, np.arange(self.size) * (self.size + 1))


class LeakyParallel(Firing):
    """A layer and its leaky neurons, rectified and without a reset: a recurrent layer that spikes.

        mem = relu(weight_ih x + bias_ih + weight_hh mem + bias_hh)
        spk = graded_spikes_factor (mem > threshold)

    weight_hh is diagonal, a decay a neuron, unless dense=True. It is not clamped.

    in_features: size of the input.
    out_features: number of neurons.
    beta: initial decay, clamped to [0, 1]: a number or one a neuron. None: uniform in
    +-1/sqrt(out_features), as PyTorch's RNN starts. With dense=True, of all weights of a neuron's row.
    threshold: membrane above which a neuron fires, one number or one a neuron; learn_threshold trains it.
    bias: whether there are biases (two of them, as in PyTorch).
    dense: whether every neuron's state reaches every neuron.
    learn_beta: whether weight_hh trains.
    surrogate: derivative of the spike at mem - threshold; None: spikes carry no gradient.
    graded_spikes_factor: what a spike is worth, a number or one a neuron; learn_graded_spikes_factor
    trains it.
    Outputs: spk, mem.
    Differences: snnTorch returns the spikes only and ignores one beta a neuron, and dropout.
    """

    known_as: ClassVar[Mapping[str, str]] = {"snnTorch": "LeakyParallel"}

    def __init__(
        self,
        in_features: int,
        out_features: int,
        beta: Number | None = None,
        threshold: Number = 1.0,
        *,
        bias: bool = True,
        dense: bool = False,
        learn_beta: bool = False,
        learn_threshold: bool = False,
        surrogate: Surrogate | None = Neuron.surrogate,
        graded_spikes_factor: Number = 1.0,
        learn_graded_spikes_factor: bool = False,
    ) -> None:
        positive(self, in_features=in_features, out_features=out_features)
        self.in_features, self.out_features = in_features, out_features
        self.rnn = RecurrentWeights(
            in_features,
            out_features,
            None if beta is None else self._hidden(beta),
            bias=bias,
            dense=dense,
            learn_hidden=learn_beta,
        )
        self.fires(
            threshold,
            learn_threshold,
            surrogate,
            graded_spikes_factor=graded_spikes_factor,
            learn_graded_spikes_factor=learn_graded_spikes_factor,
        )

    def _hidden(self, beta: Number) -> np.ndarray:
        """Hidden weights of which each row holds its neuron's decay."""
        coefficient(self, "beta", beta, learnable=True)  # checks that these are numbers
        decays = np.clip(np.asarray(beta, np.float64), 0.0, 1.0).ravel()
        if decays.size not in (1, self.out_features):
            raise self.error(f"beta must be one number or {self.out_features}, got {decays.size}")
        return np.broadcast_to(decays[:, None], (self.out_features, self.out_features))

    def forward(self, current: Value) -> tuple[Value, ...]:
        return super().forward(self.rnn.of_input(current))

    def step(self, current: Any, mem: Any) -> tuple[Any, Any]:
        mem = maximum(0.0, current + self.rnn.of_state(mem))
        spk, mem = self.fire(mem)
        return spk, mem


class StateLeaky(Firing):
    """A leaky integrator that never resets.

        decay = exp(-1 / tau),  tau = 1 / (1 - beta + 1e-12)
        mem   = decay mem + current
        spk   = graded_spikes_factor (mem > threshold)

    With kernel_truncation_steps=K the membrane is the sum of the last K currents, each with its decay; then
    it keeps K - 1 currents instead of a membrane, and takes K multiplications a step.

    beta: sets tau, the decay's time constant in steps; below 1. One number or one a neuron; with learn_beta
    it is tau that trains (not clamped).
    threshold: membrane above which a neuron fires, one number or one a neuron; learn_threshold trains it.
    surrogate: derivative of the spike at mem - threshold; None: spikes carry no gradient.
    quantize: a function that what is given out of the membrane goes through; the sum itself is not rounded.
    graded_spikes_factor: what a spike is worth, a number or one a neuron; learn_graded_spikes_factor
    trains it.
    kernel_truncation_steps: how many currents the membrane remembers; None: all.
    Outputs: spk, mem.
    Differences: the decay a step is exp(beta - 1), not beta, as in snnTorch, which applies the factor twice.
    """

    known_as: ClassVar[Mapping[str, str]] = {"snnTorch": "StateLeaky"}

    def __init__(
        self,
        beta: Number,
        threshold: Number = 1.0,
        *,
        learn_beta: bool = False,
        learn_threshold: bool = False,
        surrogate: Surrogate | None = Neuron.surrogate,
        quantize: Quantize | None = None,
        graded_spikes_factor: Number = 1.0,
        learn_graded_spikes_factor: bool = False,
        kernel_truncation_steps: int | None = None,
    ) -> None:
        coefficient(self, "beta", beta, learnable=True)  # checks that these are numbers
        decays = np.asarray(beta, np.float64)
        if (decays > 1.0).any():
            raise self.error(f"beta must not be larger than 1, got {shown(beta)}")
        self.tau = coefficient(self, "tau", 1.0 / (1.0 - decays + 1e-12), learn_beta)
        if kernel_truncation_steps is not None:
            positive(self, kernel_truncation_steps=kernel_truncation_steps)
        self.kernel_truncation_steps = kernel_truncation_steps
        self.fires(
            threshold,
            learn_threshold,
            surrogate,
            quantize=quantize,
            graded_spikes_factor=graded_spikes_factor,
            learn_graded_spikes_factor=learn_graded_spikes_factor,
        )

    @property
    def decay(self) -> Any:
        """What is left of the membrane after a step."""
        tau: Any = self.tau
        return exp(-1.0 / tau)

    def forward(self, current: Value) -> tuple[Value, ...]:
        with self.sized(current.shape, current.builder.scope):
            return self._integrated(current)

    def _integrated(self, current: Value) -> tuple[Value, ...]:
        if self.kernel_truncation_steps is None:
            trace = tracer(type(self).__name__)
            before = trace.state(self, "mem", current.shape, 0.0)
            mem = self.decay * before + current
            trace.close(before, mem)
        else:
            mem = self._truncated(current, self.kernel_truncation_steps)
        spk, mem = self.fire(mem)
        return named_outputs(("spk", "mem"), (self.by_rate(spk, current), mem))

    def _truncated(self, current: Value, count: int) -> Value:
        """The sum of the last currents, from the oldest on."""
        currents = [current]
        for k in range(1, count):
            currents.append(delay(currents[-1], name=f"current.{k}"))
        mem = currents.pop()
        for younger in reversed(currents):
            mem = self.decay * mem + younger
        return mem


class LinearLeaky(StateLeaky):
    """A linear layer and the leaky integrators behind it: `Linear`, then `StateLeaky`.

        current = weight x + bias
        decay   = exp(-1 / tau),  tau = 1 / (1 - beta + 1e-12)
        mem     = decay mem + current
        spk     = graded_spikes_factor (mem > threshold)

    in_features: size of the input.
    out_features: number of neurons.
    beta: sets tau, the decay's time constant in steps; below 1. One number or one a neuron; with learn_beta
    it is tau that trains (not clamped).
    threshold: membrane above which a neuron fires, one number or one a neuron; learn_threshold trains it.
    bias: whether the layer has a bias.
    surrogate: derivative of the spike at mem - threshold; None: spikes carry no gradient.
    quantize: a function that what is given out of the membrane goes through; the sum itself is not rounded.
    graded_spikes_factor: what a spike is worth, a number or one a neuron; learn_graded_spikes_factor
    trains it.
    kernel_truncation_steps: how many currents the membrane remembers; None: all.
    Outputs: spk, mem.
    Differences: as of `StateLeaky`.
    """

    known_as: ClassVar[Mapping[str, str]] = {"snnTorch": "LinearLeaky"}

    def __init__(
        self,
        in_features: int,
        out_features: int,
        beta: Number,
        threshold: Number = 1.0,
        *,
        bias: bool = True,
        learn_beta: bool = False,
        learn_threshold: bool = False,
        surrogate: Surrogate | None = Neuron.surrogate,
        quantize: Quantize | None = None,
        graded_spikes_factor: Number = 1.0,
        learn_graded_spikes_factor: bool = False,
        kernel_truncation_steps: int | None = None,
    ) -> None:
        super().__init__(
            beta,
            threshold,
            learn_beta=learn_beta,
            learn_threshold=learn_threshold,
            surrogate=surrogate,
            quantize=quantize,
            graded_spikes_factor=graded_spikes_factor,
            learn_graded_spikes_factor=learn_graded_spikes_factor,
            kernel_truncation_steps=kernel_truncation_steps,
        )
        self.linear = Linear(in_features, out_features, bias)
        self.in_features, self.out_features = in_features, out_features

    def forward(self, current: Value) -> tuple[Value, ...]:
        return super().forward(self.linear(current))
