"""SNNGrow's neurons under its own names, arguments, order and defaults.

In SNNGrow a layer sees one step at a time, or with parallel_optim all T steps at once as [T*N, ...]. Here
a network always has time: inputs are [T, B, ...] and every layer handles all steps, so parallel_optim and T
change nothing. Eval mode, where spikes carry no gradient, is surrogate_function=None.
"""

from __future__ import annotations

from typing import Any

from .module import Module
from .neurons import IF, LIF
from .surrogate import Sigmoid, Surrogate

DEFAULT: Surrogate = Sigmoid(4.0)


def _options(
    module: Module,
    surrogate: Surrogate | None,
    detach_reset: bool,
    T: int,
    spike_out: bool,
) -> dict[str, Any]:
    """How SNNGrow's arguments are called here."""
    if isinstance(T, bool) or not isinstance(T, int) or T < 1:
        raise module.error(f"T must be a positive integer (the steps of [T*N, ...]), got {T!r}")
    # Boolean spikes carry no gradient into the reset.
    return {"surrogate": surrogate, "detach_reset": detach_reset or spike_out}


class IFNode(IF):
    """SNNGrow's IFNode: nn.IF.

    parallel_optim, T: every layer handles all steps anyway.
    spike_out: SNNGrow hands on boolean spikes; the numbers are the same, but the reset is detached.
    """

    def __init__(
        self,
        v_threshold: float = 1.0,
        v_reset: float | None = 0.0,
        surrogate_function: Surrogate | None = DEFAULT,
        detach_reset: bool = False,
        parallel_optim: bool = False,
        T: int = 1,
        spike_out: bool = False,
    ) -> None:
        options = _options(self, surrogate_function, detach_reset, T, spike_out)
        super().__init__(v_threshold, v_reset, **options)


class LIFNode(LIF):
    """SNNGrow's LIFNode: nn.LIF.

    parallel_optim, T: every layer handles all steps anyway.
    spike_out: SNNGrow hands on boolean spikes; the numbers are the same, but the reset is detached.
    """

    def __init__(
        self,
        tau: float = 2.0,
        decay_input: bool = True,
        v_threshold: float = 1.0,
        v_reset: float | None = 0.0,
        surrogate_function: Surrogate | None = DEFAULT,
        detach_reset: bool = False,
        parallel_optim: bool = False,
        T: int = 1,
        spike_out: bool = False,
    ) -> None:
        if not tau > 1:
            raise self.error(f"tau must be above 1, got {tau!r}")
        options = _options(self, surrogate_function, detach_reset, T, spike_out)
        super().__init__(tau, v_threshold, v_reset, decay_input=decay_input, **options)
