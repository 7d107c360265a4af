"""snnTorch's neurons that take a current and fire."""

from __future__ import annotations

from typing import Any

from .. import neurons
from ..conv import Numbers
from ..neuron import Number
from ..neurons.firing import Quantize
from ..surrogate import Surrogate
from .arguments import fires_as, refuse, surrogate_of


class Leaky(neurons.Leaky):
    """snnTorch's `Leaky`. With inhibition, spikes are not multiplied by graded_spikes_factor."""

    def __init__(
        self,
        beta: Number,
        threshold: Number = 1.0,
        spike_grad: Surrogate | None = None,
        surrogate_disable: bool = False,
        init_hidden: bool = False,
        inhibition: bool = False,
        learn_beta: bool = False,
        learn_threshold: bool = False,
        reset_mechanism: str = "subtract",
        state_quant: Quantize | bool = False,
        output: bool = False,
        graded_spikes_factor: Number = 1.0,
        learn_graded_spikes_factor: bool = False,
        reset_delay: bool = True,
    ) -> None:
        if inhibition:
            refuse(
                self,
                " with inhibition",
                graded_spikes_factor=(graded_spikes_factor, 1.0),
                learn_graded_spikes_factor=(learn_graded_spikes_factor, False),
            )
        super().__init__(
            beta,
            threshold,
            reset_delay=reset_delay,
            learn_beta=learn_beta,
            learn_threshold=learn_threshold,
            inhibition=inhibition,
            graded_spikes_factor=graded_spikes_factor,
            learn_graded_spikes_factor=learn_graded_spikes_factor,
            **fires_as(self, spike_grad, surrogate_disable, reset_mechanism, state_quant),
        )


class DeltaLeaky(neurons.DeltaLeaky):
    """snnTorch's `DeltaLeaky`. It takes Leaky's arguments and uses few of them: the others are refused."""

    def __init__(
        self,
        delta_threshold: Number = 1.0,
        beta: Number | None = None,
        threshold: Number = 1.0,
        spike_grad: Surrogate | None = None,
        surrogate_disable: bool = False,
        init_hidden: bool = False,
        inhibition: bool = False,
        learn_beta: bool = False,
        learn_threshold: bool = False,
        reset_mechanism: str = "subtract",
        state_quant: Quantize | bool = False,
        output: bool = False,
        graded_spikes_factor: Number = 1.0,
        learn_graded_spikes_factor: bool = False,
        reset_delay: bool = True,
    ) -> None:
        refuse(
            self,
            "",
            threshold=(threshold, 1.0),
            inhibition=(inhibition, False),
            learn_threshold=(learn_threshold, False),
            reset_mechanism=(reset_mechanism, "subtract"),
            state_quant=(state_quant, False),
            graded_spikes_factor=(graded_spikes_factor, 1.0),
            learn_graded_spikes_factor=(learn_graded_spikes_factor, False),
            reset_delay=(reset_delay, True),
        )
        if beta is None:
            raise self.error("beta is missing: a decay, one number or one a neuron")
        surrogate = surrogate_of(self, spike_grad, surrogate_disable)
        super().__init__(beta, delta_threshold, learn_beta=learn_beta, surrogate=surrogate)


def recurs_as(
    module: Any, V: Number, all_to_all: bool, linear: int | None, conv2d_channels: Any, kernel_size: Any
) -> dict[str, Any]:
    """Our arguments for how spikes come back."""
    if not all_to_all:
        refuse(
            module,
            " with all_to_all=False, where V is the way back",
            linear_features=(linear, None),
            conv2d_channels=(conv2d_channels, None),
            kernel_size=(kernel_size, None),
        )
        return {"V": V}
    if linear is None and conv2d_channels is None and kernel_size is None:
        raise module.error(
            "with all_to_all=True, linear_features must be given, the number of neurons, or conv2d_channels "
            "and kernel_size, a convolution"
        )
    return {"linear_features": linear, "conv2d_channels": conv2d_channels, "kernel_size": kernel_size}


class RLeaky(neurons.RLeaky):
    """snnTorch's `RLeaky`."""

    def __init__(
        self,
        beta: Number,
        V: Number = 1.0,
        all_to_all: bool = True,
        linear_features: int | None = None,
        conv2d_channels: int | None = None,
        kernel_size: Numbers | None = None,
        threshold: Number = 1.0,
        spike_grad: Surrogate | None = None,
        surrogate_disable: bool = False,
        init_hidden: bool = False,
        inhibition: bool = False,
        learn_beta: bool = False,
        learn_threshold: bool = False,
        learn_recurrent: bool = True,
        reset_mechanism: str = "subtract",
        state_quant: Quantize | bool = False,
        output: bool = False,
        reset_delay: bool = True,
    ) -> None:
        super().__init__(
            beta,
            threshold,
            learn_recurrent=learn_recurrent,
            reset_delay=reset_delay,
            learn_beta=learn_beta,
            learn_threshold=learn_threshold,
            inhibition=inhibition,
            **recurs_as(self, V, all_to_all, linear_features, conv2d_channels, kernel_size),
            **fires_as(self, spike_grad, surrogate_disable, reset_mechanism, state_quant),
        )


class Synaptic(neurons.Synaptic):
    """snnTorch's `Synaptic`."""

    def __init__(
        self,
        alpha: Number,
        beta: Number,
        threshold: Number = 1.0,
        spike_grad: Surrogate | None = None,
        surrogate_disable: bool = False,
        init_hidden: bool = False,
        inhibition: bool = False,
        learn_alpha: bool = False,
        learn_beta: bool = False,
        learn_threshold: bool = False,
        reset_mechanism: str = "subtract",
        state_quant: Quantize | bool = False,
        output: bool = False,
        reset_delay: bool = True,
    ) -> None:
        super().__init__(
            alpha,
            beta,
            threshold,
            reset_delay=reset_delay,
            learn_alpha=learn_alpha,
            learn_beta=learn_beta,
            learn_threshold=learn_threshold,
            inhibition=inhibition,
            **fires_as(self, spike_grad, surrogate_disable, reset_mechanism, state_quant),
        )


class RSynaptic(neurons.RSynaptic):
    """snnTorch's `RSynaptic`; there, reset_delay=False fails or does nothing, so here it is refused."""

    def __init__(
        self,
        alpha: Number,
        beta: Number,
        V: Number = 1.0,
        all_to_all: bool = True,
        linear_features: int | None = None,
        conv2d_channels: int | None = None,
        kernel_size: Numbers | None = None,
        threshold: Number = 1.0,
        spike_grad: Surrogate | None = None,
        surrogate_disable: bool = False,
        init_hidden: bool = False,
        inhibition: bool = False,
        learn_alpha: bool = False,
        learn_beta: bool = False,
        learn_threshold: bool = False,
        learn_recurrent: bool = True,
        reset_mechanism: str = "subtract",
        state_quant: Quantize | bool = False,
        output: bool = False,
        reset_delay: bool = True,
    ) -> None:
        if not reset_delay:
            raise self.error("in snnTorch reset_delay=False fails or does nothing; nn.RSynaptic can do it")
        super().__init__(
            alpha,
            beta,
            threshold,
            learn_recurrent=learn_recurrent,
            learn_alpha=learn_alpha,
            learn_beta=learn_beta,
            learn_threshold=learn_threshold,
            inhibition=inhibition,
            **recurs_as(self, V, all_to_all, linear_features, conv2d_channels, kernel_size),
            **fires_as(self, spike_grad, surrogate_disable, reset_mechanism, state_quant),
        )


class Alpha(neurons.Alpha):
    """snnTorch's `Alpha`. There, learn_alpha=True fails; here it is refused."""

    def __init__(
        self,
        alpha: Number,
        beta: Number,
        threshold: Number = 1.0,
        spike_grad: Surrogate | None = None,
        surrogate_disable: bool = False,
        init_hidden: bool = False,
        inhibition: bool = False,
        learn_alpha: bool = False,
        learn_beta: bool = False,
        learn_threshold: bool = False,
        reset_mechanism: str = "zero",
        state_quant: Quantize | bool = False,
        output: bool = False,
    ) -> None:
        if learn_alpha:
            raise self.error("in snnTorch learn_alpha=True fails; nn.Alpha can do it")
        super().__init__(
            alpha,
            beta,
            threshold,
            learn_beta=learn_beta,
            learn_threshold=learn_threshold,
            inhibition=inhibition,
            **fires_as(self, spike_grad, surrogate_disable, reset_mechanism, state_quant),
        )


class Lapicque(neurons.Lapicque):
    """snnTorch's `Lapicque`. Given beta it decays by 1 + ln beta; a learned beta works at every call."""

    def __init__(
        self,
        beta: Number | bool = False,
        R: Number | bool = False,
        C: Number | bool = False,
        time_step: float = 1,
        threshold: Number = 1.0,
        spike_grad: Surrogate | None = None,
        surrogate_disable: bool = False,
        init_hidden: bool = False,
        inhibition: bool = False,
        learn_beta: bool = False,
        learn_threshold: bool = False,
        reset_mechanism: str = "subtract",
        state_quant: Quantize | bool = False,
        output: bool = False,
    ) -> None:
        super().__init__(
            _given(beta),
            _given(R),
            _given(C),
            threshold,
            time_step=time_step,
            learn_beta=learn_beta,
            learn_threshold=learn_threshold,
            inhibition=inhibition,
            **fires_as(self, spike_grad, surrogate_disable, reset_mechanism, state_quant),
        )


def _given(value: Any) -> Any:
    """snnTorch's False is our None."""
    return None if value is False else value
