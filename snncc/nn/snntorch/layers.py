"""snnTorch's neurons that are layers: they have weights of their own, or run over all steps at once."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ...arguments import checked
from ...ops import Value, exp, log, maximum
from .. import neurons
from ..conv import Numbers
from ..layers import positive
from ..module import delay
from ..neuron import Number, named_outputs
from ..neurons.firing import Quantize
from ..surrogate import Surrogate
from .arguments import fires_as, quantize_of, refuse, surrogate_of


class SLSTM(neurons.SLSTM):
    """snnTorch's `SLSTM`. If hidden_size is not input_size it forgets both states before every step."""

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        threshold: Number = 1.0,
        spike_grad: Surrogate | None = None,
        surrogate_disable: bool = False,
        init_hidden: bool = False,
        inhibition: bool = False,
        learn_threshold: bool = False,
        reset_mechanism: str = "none",
        state_quant: Quantize | bool = False,
        output: bool = False,
    ) -> None:
        refuse(self, "", inhibition=(inhibition, False))
        super().__init__(
            input_size,
            hidden_size,
            threshold,
            bias=bias,
            learn_threshold=learn_threshold,
            **fires_as(self, spike_grad, surrogate_disable, reset_mechanism, state_quant),
        )

    def step(self, current: Any, syn: Any, mem: Any) -> tuple[Any, Any, Any]:
        return super().step(current, 0.0, 0.0) if self.forgets else super().step(current, syn, mem)

    @property
    def forgets(self) -> bool:
        """Whether states are zeroed before every step."""
        return self.in_features != self.out_features

    def recurrence(self, mem: Any) -> Any:
        if not self.forgets:
            return super().recurrence(mem)
        cell: Any = self.lstm_cell
        _ = cell.weight_hh  # a parameter all the same, without an effect
        return cell.bias_hh if cell.has_bias else 0.0


class SConv2dLSTM(neurons.SConv2dLSTM):
    """snnTorch's `SConv2dLSTM`."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Numbers,
        bias: bool = True,
        max_pool: Numbers = 0,
        avg_pool: Numbers = 0,
        threshold: float = 1.0,
        spike_grad: Surrogate | None = None,
        surrogate_disable: bool = False,
        init_hidden: bool = False,
        inhibition: bool = False,
        learn_threshold: bool = False,
        reset_mechanism: str = "none",
        state_quant: Quantize | bool = False,
        output: bool = False,
    ) -> None:
        refuse(self, "", inhibition=(inhibition, False))
        super().__init__(
            in_channels,
            out_channels,
            kernel_size,
            threshold,
            bias=bias,
            max_pool=max_pool,
            avg_pool=avg_pool,
            learn_threshold=learn_threshold,
            **fires_as(self, spike_grad, surrogate_disable, reset_mechanism, state_quant),
        )


class LeakyParallel(neurons.LeakyParallel):
    """snnTorch's `LeakyParallel`; spikes come with the membrane."""

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        beta: Number | None = None,
        bias: bool = True,
        threshold: Number = 1.0,
        dropout: float = 0.0,
        spike_grad: Surrogate | None = None,
        surrogate_disable: bool = False,
        learn_beta: bool = False,
        learn_threshold: bool = False,
        graded_spikes_factor: Number = 1.0,
        learn_graded_spikes_factor: bool = False,
        weight_hh_enable: bool = False,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        refuse(self, ", which has one layer", dropout=(float(dropout), 0.0))
        not_here(self, device, dtype)
        if beta is not None and np.size(beta) > 1:
            raise self.error(
                f"snnTorch ignores a beta for each neuron, got {np.size(beta)} of them: its weights keep "
                "their random start; give one number, or use nn.LeakyParallel"
            )
        super().__init__(
            input_size,
            hidden_size,
            beta,
            threshold,
            bias=bias,
            dense=weight_hh_enable,
            learn_beta=learn_beta,
            learn_threshold=learn_threshold,
            surrogate=surrogate_of(self, spike_grad, surrogate_disable),
            graded_spikes_factor=graded_spikes_factor,
            learn_graded_spikes_factor=learn_graded_spikes_factor,
        )


def not_here(module: Any, device: Any, dtype: Any) -> None:
    """What a compiled network is told when it is compiled."""
    if device is not None or dtype is not None:
        raise module.error(
            "device and dtype are not the layer's: give dtype= to snncc.compile, leave them out"
        )


class _Squared:
    """The graded factor counts twice; without `output`, there are membranes only."""

    output: bool

    def graded(self, spk: Any) -> Any:
        return super().graded(super().graded(spk))  # type: ignore[misc]

    def forward(self, current: Value) -> tuple[Value, ...]:
        result = super().forward(current)  # type: ignore[misc]
        return result if self.output else named_outputs(("mem",), (result.mem,))


class StateLeaky(_Squared, neurons.StateLeaky):
    """snnTorch's `StateLeaky`. Spikes are multiplied by graded_spikes_factor twice.

    The parameter `beta` that snnTorch's has beside `tau` does nothing there; here there is none.

    channels: number of neurons; the input must have as many.
    output: whether there are spikes as well; without, membranes only.
    """

    def __init__(
        self,
        beta: Number,
        channels: int,
        threshold: Number = 1.0,
        spike_grad: Surrogate | None = None,
        surrogate_disable: bool = False,
        learn_beta: bool = False,
        learn_threshold: bool = False,
        state_quant: Quantize | bool = False,
        output: bool = True,
        graded_spikes_factor: Number = 1.0,
        learn_graded_spikes_factor: bool = False,
        kernel_truncation_steps: int | None = None,
    ) -> None:
        positive(self, channels=channels)
        self.output, self.channels = output, channels
        if np.size(beta) not in (1, channels):
            raise self.error(f"beta must be one number or {channels} (channels), got {np.size(beta)}")
        super().__init__(
            beta,
            threshold,
            learn_beta=learn_beta,
            learn_threshold=learn_threshold,
            surrogate=surrogate_of(self, spike_grad, surrogate_disable),
            quantize=quantize_of(self, state_quant),
            graded_spikes_factor=graded_spikes_factor,
            learn_graded_spikes_factor=learn_graded_spikes_factor,
            kernel_truncation_steps=kernel_truncation_steps,
        )

    def forward(self, current: Value) -> tuple[Value, ...]:
        if current.shape != (self.channels,):
            raise self.error(f"channels is {self.channels}, the input has shape {list(current.shape)}")
        return super().forward(current)


class LinearLeaky(_Squared, neurons.LinearLeaky):
    """snnTorch's `LinearLeaky`: a linear layer, then `StateLeaky`.

    output: whether there are spikes as well; without, membranes only.
    """

    def __init__(
        self,
        beta: Number,
        in_features: int,
        out_features: int,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
        threshold: Number = 1.0,
        spike_grad: Surrogate | None = None,
        surrogate_disable: bool = False,
        learn_beta: bool = False,
        learn_threshold: bool = False,
        state_quant: Quantize | bool = False,
        output: bool = True,
        graded_spikes_factor: Number = 1.0,
        learn_graded_spikes_factor: bool = False,
        kernel_truncation_steps: int | None = None,
    ) -> None:
        not_here(self, device, dtype)
        self.output = output
        super().__init__(
            in_features,
            out_features,
            beta,
            threshold,
            bias=bias,
            learn_beta=learn_beta,
            learn_threshold=learn_threshold,
            surrogate=surrogate_of(self, spike_grad, surrogate_disable),
            quantize=quantize_of(self, state_quant),
            graded_spikes_factor=graded_spikes_factor,
            learn_graded_spikes_factor=learn_graded_spikes_factor,
            kernel_truncation_steps=kernel_truncation_steps,
        )


class AssociativeLeaky(neurons.AssociativeLeaky):
    """snnTorch's `AssociativeLeaky`: a sum over all steps, divided and multiplied by products of alphas.

    Where such a product gets small (about 1e-8) the membranes fade; nn.AssociativeLeaky keeps them.
    """

    smallest = 1e-8

    def __init__(
        self,
        in_dim: int,
        d_value: int,
        d_key: int,
        num_spiking_neurons: int,
        use_q_projection: bool = True,
    ) -> None:
        super().__init__(in_dim, d_value, d_key, use_q_projection=use_q_projection)
        if num_spiking_neurons != d_value * d_key:
            raise self.error(
                f"num_spiking_neurons must be d_value x d_key = {d_value * d_key}, got {num_spiking_neurons}"
            )

    @classmethod
    @checked
    def from_num_spiking_neurons(
        cls, in_dim: int, num_spiking_neurons: int, use_q_projection: bool = True
    ) -> AssociativeLeaky:
        """As many values as keys: the square root of the number of neurons."""
        side = math.isqrt(max(num_spiking_neurons, 0))
        return cls(in_dim, side, side, num_spiking_neurons, use_q_projection)

    def remembered(self, written: Value, alpha: Value) -> Value:
        logs = delay(shape=alpha.shape, name="logs")
        total = exp(logs.feed(logs.value + log(maximum(alpha, self.smallest))))
        sums = delay(shape=written.shape, name="sums")
        scaled = sums.feed(sums.value + written * self.by_key(1.0 / (total + self.smallest)))
        mem: Value = scaled * self.by_key(total)
        return mem
