"""SpikingJelly's neurons under its own names: arguments, order and defaults of version 2.0."""

from __future__ import annotations

from typing import Any

from ..module import Module
from ..neurons import CLIF, EIF, IF, KLIF, LIF, QIF, RAF, CubaLIF, HalfThresholdIF, Izhikevich
from ..neurons import ParametricLIF as Parametric
from ..surrogate import Sigmoid, Surrogate

DEFAULT: Surrogate = Sigmoid(4.0)
MODES, BACKENDS = ("s", "m"), ("torch", "cupy", "triton", "inductor")


def same_anyway(module: Module, step_mode: str, backend: str = "torch") -> None:
    """Check arguments that say how SpikingJelly computes, not what."""
    if step_mode not in MODES:
        raise module.error(f"step_mode must be 's' or 'm' (both compute the same here), got {step_mode!r}")
    if backend not in BACKENDS:
        raise module.error(f"backend must be one of {', '.join(BACKENDS)} (none matters), got {backend!r}")


def check_tau(module: Module, tau: float) -> float:
    """SpikingJelly's time constants are above 1."""
    if not tau > 1:
        raise module.error(f"tau must be a number above 1, got {tau!r}")
    return tau


class IFNode(IF):
    """SpikingJelly's IFNode: nn.IF."""

    def __init__(
        self,
        v_threshold: float = 1.0,
        v_reset: float | None = 0.0,
        surrogate_function: Surrogate | None = DEFAULT,
        detach_reset: bool = False,
        step_mode: str = "s",
        store_v_seq: bool = False,
        *,
        backend: str = "torch",
    ) -> None:
        same_anyway(self, step_mode, backend)
        super().__init__(v_threshold, v_reset, detach_reset=detach_reset, surrogate=surrogate_function)


class HalfThresholdIFNode(HalfThresholdIF):
    """SpikingJelly's HalfThresholdIFNode: nn.HalfThresholdIF."""

    def __init__(
        self,
        v_threshold: float = 1.0,
        surrogate_function: Surrogate | None = DEFAULT,
        detach_reset: bool = False,
        step_mode: str = "s",
        store_v_seq: bool = False,
        *,
        backend: str = "torch",
    ) -> None:
        same_anyway(self, step_mode, backend)
        super().__init__(v_threshold, detach_reset=detach_reset, surrogate=surrogate_function)


class LIFNode(LIF):
    """SpikingJelly's LIFNode: nn.LIF."""

    def __init__(
        self,
        tau: float = 2.0,
        decay_input: bool = True,
        v_threshold: float = 1.0,
        v_reset: float | None = 0.0,
        surrogate_function: Surrogate | None = DEFAULT,
        detach_reset: bool = False,
        step_mode: str = "s",
        store_v_seq: bool = False,
        *,
        backend: str = "torch",
    ) -> None:
        same_anyway(self, step_mode, backend)
        options: dict[str, Any] = {"detach_reset": detach_reset, "surrogate": surrogate_function}
        super().__init__(check_tau(self, tau), v_threshold, v_reset, decay_input=decay_input, **options)


class ParametricLIFNode(Parametric):
    """SpikingJelly's ParametricLIFNode: nn.ParametricLIF. Its parameter is `w`."""

    def __init__(
        self,
        init_tau: float = 2.0,
        decay_input: bool = True,
        v_threshold: float = 1.0,
        v_reset: float | None = 0.0,
        surrogate_function: Surrogate | None = DEFAULT,
        detach_reset: bool = False,
        step_mode: str = "s",
        store_v_seq: bool = False,
        *,
        backend: str = "torch",
    ) -> None:
        same_anyway(self, step_mode, backend)
        options: dict[str, Any] = {"detach_reset": detach_reset, "surrogate": surrogate_function}
        super().__init__(init_tau, v_threshold, v_reset, decay_input=decay_input, **options)


class QIFNode(QIF):
    """SpikingJelly's QIFNode: nn.QIF."""

    def __init__(
        self,
        tau: float = 2.0,
        v_c: float = 0.8,
        a0: float = 1.0,
        v_threshold: float = 1.0,
        v_rest: float = 0.0,
        v_reset: float | None = -0.1,
        surrogate_function: Surrogate | None = DEFAULT,
        detach_reset: bool = False,
        step_mode: str = "s",
        store_v_seq: bool = False,
        *,
        backend: str = "torch",
    ) -> None:
        same_anyway(self, step_mode, backend)
        options: dict[str, Any] = {"detach_reset": detach_reset, "surrogate": surrogate_function}
        super().__init__(tau, v_c, a0, v_threshold, v_rest, v_reset, **options)


class EIFNode(EIF):
    """SpikingJelly's EIFNode: nn.EIF."""

    def __init__(
        self,
        tau: float = 2.0,
        delta_T: float = 1.0,
        theta_rh: float = 0.8,
        v_threshold: float = 1.0,
        v_rest: float = 0.0,
        v_reset: float | None = -0.1,
        surrogate_function: Surrogate | None = DEFAULT,
        detach_reset: bool = False,
        step_mode: str = "s",
        store_v_seq: bool = False,
        *,
        backend: str = "torch",
    ) -> None:
        same_anyway(self, step_mode, backend)
        options: dict[str, Any] = {"detach_reset": detach_reset, "surrogate": surrogate_function}
        super().__init__(tau, delta_T, theta_rh, v_threshold, v_rest, v_reset, **options)


class IzhikevichNode(Izhikevich):
    """SpikingJelly's IzhikevichNode: nn.Izhikevich."""

    def __init__(
        self,
        tau: float = 2.0,
        v_c: float = 0.8,
        a0: float = 1.0,
        v_threshold: float = 1.0,
        v_reset: float | None = 0.0,
        v_rest: float = -0.1,
        w_rest: float = 0.0,
        tau_w: float = 2.0,
        a: float = 0.0,
        b: float = 0.0,
        surrogate_function: Surrogate | None = DEFAULT,
        detach_reset: bool = False,
        step_mode: str = "s",
        store_v_seq: bool = False,
        *,
        backend: str = "torch",
    ) -> None:
        same_anyway(self, step_mode, backend)
        options: dict[str, Any] = {"detach_reset": detach_reset, "surrogate": surrogate_function}
        super().__init__(tau, v_c, a0, v_threshold, v_reset, v_rest, w_rest, tau_w, a, b, **options)


class KLIFNode(KLIF):
    """SpikingJelly's KLIFNode: nn.KLIF. Its parameter is `k`."""

    def __init__(
        self,
        scale_reset: bool = False,
        tau: float = 2.0,
        decay_input: bool = True,
        v_threshold: float = 1.0,
        v_reset: float | None = 0.0,
        surrogate_function: Surrogate | None = DEFAULT,
        detach_reset: bool = False,
        step_mode: str = "s",
        store_v_seq: bool = False,
        *,
        backend: str = "torch",
    ) -> None:
        same_anyway(self, step_mode, backend)
        options: dict[str, Any] = {"detach_reset": detach_reset, "surrogate": surrogate_function}
        options |= {"scale_reset": scale_reset, "decay_input": decay_input}
        super().__init__(check_tau(self, tau), v_threshold, v_reset, **options)


class CUBALIFNode(CubaLIF):
    """SpikingJelly's CUBALIFNode: nn.CubaLIF. Its state c is `syn` here."""

    def __init__(
        self,
        c_decay: float = 0.5,
        v_decay: float = 0.75,
        v_threshold: float = 0.5,
        v_reset: float | None = 0.0,
        surrogate_function: Surrogate | None = CubaLIF.surrogate,
    ) -> None:
        super().__init__(c_decay, v_decay, v_threshold, v_reset, surrogate=surrogate_function)


class ComplementaryLIFNode(CLIF):
    """SpikingJelly's ComplementaryLIFNode: nn.CLIF.

    In its eval mode spikes carry no gradient: surrogate_function=None.
    """

    def __init__(
        self,
        tau: float = 2.0,
        v_threshold: float = 1.0,
        surrogate_function: Surrogate | None = CLIF.surrogate,
        step_mode: str = "s",
        store_state_seqs: bool = False,
    ) -> None:
        same_anyway(self, step_mode)
        super().__init__(tau, v_threshold, surrogate=surrogate_function)


class RAFNode(RAF):
    """SpikingJelly's RAFNode: nn.RAF."""

    def __init__(
        self,
        b: float = -0.2,
        omega: float = 1.0,
        dt: float = 1.0,
        v_threshold: float = 1.0,
        v_reset: float | None = 0.0,
        surrogate_function: Surrogate | None = DEFAULT,
        detach_reset: bool = False,
        step_mode: str = "s",
        store_v_seq: bool = False,
    ) -> None:
        same_anyway(self, step_mode)
        options: dict[str, Any] = {"detach_reset": detach_reset, "surrogate": surrogate_function}
        super().__init__(b, omega, dt, v_threshold, v_reset, **options)
