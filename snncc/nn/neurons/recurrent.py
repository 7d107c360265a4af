"""Neurons whose spikes come back to them a step later."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar

from ..conv import Conv2d, Numbers, same_size
from ..layers import Linear
from ..neuron import Neuron, Number, coefficient
from ..surrogate import Surrogate
from .firing import Firing, Quantize


class Recurrent(Firing):
    """Base: the way back, from each neuron to itself (V), from all to all (linear_features), or by a
    convolution (conv2d_channels, kernel_size)."""

    recurrent: Linear | Conv2d | None = None

    def returns(
        self,
        V: Number | None,
        linear_features: int | None,
        conv2d_channels: int | None,
        kernel_size: Numbers | None,
        learnable: bool,
    ) -> None:
        """Check and keep the way back."""
        ways = {"V": V, "linear_features": linear_features, "conv2d_channels": conv2d_channels}
        given = [name for name, value in ways.items() if value is not None]
        if len(given) != 1:
            raise self.error(
                "expected either V, a weight from each neuron to itself, or linear_features, the number of "
                "neurons that are connected all to all, or conv2d_channels and kernel_size, a convolution; "
                f"got {' and '.join(given) or 'none of them'}"
            )
        if (conv2d_channels is None) != (kernel_size is None):
            raise self.error(
                f"conv2d_channels and kernel_size go together, got {conv2d_channels!r} and {kernel_size!r}"
            )
        if V is not None:
            self.V = coefficient(self, "V", V, learnable)
            return
        if linear_features is not None:
            self.recurrent = Linear(linear_features, linear_features)
        elif conv2d_channels is not None and kernel_size is not None:
            padding = same_size(self, kernel_size)
            self.recurrent = Conv2d(conv2d_channels, conv2d_channels, kernel_size, padding=padding)
        for name, parameter in list(self.recurrent._parameters.items() if self.recurrent else ()):
            setattr(self.recurrent, name, replace(parameter, learnable=learnable))

    def recurrence(self, spk: Any) -> Any:
        """What the spikes of the step before add to the current."""
        return self.V * spk if self.recurrent is None else self.recurrent(spk)


class RLeaky(Recurrent):
    """Leaky integrate-and-fire of first order with spikes that come back a step later.

        reset = mem > threshold                               (of the step before, detached)
        next  = beta mem + current + recurrent(spk)           (spk of the step before, not detached)
        mem   = next - reset threshold                        (reset="subtract")
        mem   = (1 - reset) next                              (reset="zero")
        mem   = next                                          (reset="none")
        spk   = mem > threshold

    recurrent(spk) is V spk, from each neuron to itself, or weight spk + bias, from all to all, or a
    convolution of the image that the neurons are.
    With reset_delay=False the membrane is reset in the step of its spike; that reset is not detached.

    beta: decay a step, used clamped to [0, 1]. One number or one a neuron; learn_beta trains it.
    threshold: membrane above which a neuron fires, one number or one a neuron; learn_threshold trains it.
    V: weight from each neuron to itself, a number or one a neuron.
    linear_features: number of neurons, if they are connected all to all.
    conv2d_channels: channels of the image [channels, height, width] that the neurons are, if a convolution
    connects them. One of this, linear_features and V must be given.
    kernel_size: size of that convolution's windows, odd; one number or two. Padding keeps the image's size.
    learn_recurrent: whether V, or weight and bias of the connections, train.
    reset: what a spike does to the membrane: "subtract", "zero" or "none".
    reset_delay: whether the reset waits for the next step.
    surrogate: derivative of the spike at mem - threshold; None: spikes carry no gradient.
    inhibition: only the neuron with the largest mem - threshold may fire; what it fires comes back.
    quantize: a function that the membrane goes through before the spike.
    Outputs: spk, mem (before a delayed reset).
    Differences: snnTorch takes kernels of even sizes, with which it fails.
    """

    known_as: ClassVar[Mapping[str, str]] = {"snnTorch": "RLeaky"}

    def __init__(
        self,
        beta: Number,
        threshold: Number = 1.0,
        *,
        V: Number | None = None,
        linear_features: int | None = None,
        conv2d_channels: int | None = None,
        kernel_size: Numbers | None = None,
        learn_recurrent: bool = True,
        reset: str = "subtract",
        reset_delay: bool = True,
        learn_beta: bool = False,
        learn_threshold: bool = False,
        surrogate: Surrogate | None = Neuron.surrogate,
        inhibition: bool = False,
        quantize: Quantize | None = None,
    ) -> None:
        self.beta = coefficient(self, "beta", beta, learn_beta, (0.0, 1.0))
        self.returns(V, linear_features, conv2d_channels, kernel_size, learn_recurrent)
        self.fires(
            threshold,
            learn_threshold,
            surrogate,
            reset=reset,
            reset_delay=reset_delay,
            inhibition=inhibition,
            quantize=quantize,
        )

    def step(self, current: Any, spk: Any, mem: Any) -> tuple[Any, Any]:
        reset = self.due(mem)
        mem = self.lowered(self.beta * mem + current + self.recurrence(spk), reset)
        spk, mem = self.fire(mem, reset)
        return spk, mem


class RSynaptic(Recurrent):
    """`Synaptic` with spikes that come back a step later, to the synaptic current.

        reset = mem > threshold                               (of the step before, detached)
        syn   = alpha syn + current + recurrent(spk)          (spk of the step before, not detached)
        mem   = beta mem + syn - reset threshold              (reset="subtract")
        mem   = (1 - reset) (beta mem + syn)                  (reset="zero": syn is not reset)
        mem   = beta mem + syn                                (reset="none")
        spk   = mem > threshold

    recurrent(spk) is V spk, from each neuron to itself, or weight spk + bias, from all to all, or a
    convolution of the image that the neurons are.
    With reset_delay=False the membrane is reset in the step of its spike; that reset is not detached.

    alpha: decay of the synaptic current a step, used clamped to [0, 1]. One number or one a neuron;
    learn_alpha trains it.
    beta: decay of the membrane a step, likewise; learn_beta trains it.
    threshold: membrane above which a neuron fires, one number or one a neuron; learn_threshold trains it.
    V: weight from each neuron to itself, a number or one a neuron.
    linear_features: number of neurons, if they are connected all to all.
    conv2d_channels: channels of the image [channels, height, width] that the neurons are, if a convolution
    connects them. One of this, linear_features and V must be given.
    kernel_size: size of that convolution's windows, odd; one number or two. Padding keeps the image's size.
    learn_recurrent: whether V, or weight and bias of the connections, train.
    reset: what a spike does to the membrane: "subtract", "zero" or "none".
    reset_delay: whether the reset waits for the next step.
    surrogate: derivative of the spike at mem - threshold; None: spikes carry no gradient.
    inhibition: only the neuron with the largest mem - threshold may fire; what it fires comes back.
    quantize: a function that both states go through, the current after the membrane has read it.
    Outputs: spk, syn, mem (before a delayed reset).
    Differences: in snnTorch reset_delay=False fails or does nothing, as do kernels of even sizes.
    """

    known_as: ClassVar[Mapping[str, str]] = {"snnTorch": "RSynaptic"}

    def __init__(
        self,
        alpha: Number,
        beta: Number,
        threshold: Number = 1.0,
        *,
        V: Number | None = None,
        linear_features: int | None = None,
        conv2d_channels: int | None = None,
        kernel_size: Numbers | None = None,
        learn_recurrent: bool = True,
        reset: str = "subtract",
        reset_delay: bool = True,
        learn_alpha: bool = False,
        learn_beta: bool = False,
        learn_threshold: bool = False,
        surrogate: Surrogate | None = Neuron.surrogate,
        inhibition: bool = False,
        quantize: Quantize | None = None,
    ) -> None:
        self.alpha = coefficient(self, "alpha", alpha, learn_alpha, (0.0, 1.0))
        self.beta = coefficient(self, "beta", beta, learn_beta, (0.0, 1.0))
        self.returns(V, linear_features, conv2d_channels, kernel_size, learn_recurrent)
        self.fires(
            threshold,
            learn_threshold,
            surrogate,
            reset=reset,
            reset_delay=reset_delay,
            inhibition=inhibition,
            quantize=quantize,
        )

    def step(self, current: Any, spk: Any, syn: Any, mem: Any) -> tuple[Any, Any, Any]:
        reset = self.due(mem)
        syn = self.alpha * syn + current + self.recurrence(spk)
        mem = self.lowered(self.beta * mem + syn, reset)
        spk, mem = self.fire(mem, reset)
        return spk, self.quantized(syn), mem
