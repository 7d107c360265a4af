"""SpikingJelly's neurons that see all steps at once or do not spike, under its own names (version 2.0)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ...ops import Value
from ...ops.lengths import mean_time
from ...ops.readouts import farthest, largest, last_step
from ..layers import positive
from ..module import Module
from ..neurons import DSRIF, DSRLIF, LI, GatedLIF, I
from ..neurons import PSN as OurPSN
from ..neurons import MaskedPSN as OurMaskedPSN
from ..neurons import SlidingPSN as OurSlidingPSN
from ..surrogate import Surrogate
from .neurons import same_anyway

DECODES: dict[str, Callable[[Value], Value]] = {
    "max-mem": largest,
    "max-abs-mem": farthest,
    "mean-mem": mean_time,
    "last_mem": last_step,
}


class PSN(OurPSN):
    """SpikingJelly's PSN: nn.PSN. Its parameters are `weight` [T, T] and `bias` [T, 1]."""

    def __init__(self, T: int, surrogate_function: Surrogate | None = OurPSN.surrogate) -> None:
        super().__init__(T, surrogate=surrogate_function)


class MaskedPSN(OurMaskedPSN):
    """SpikingJelly's MaskedPSN: nn.MaskedPSN. Its parameters are `weight` [T, T] and `bias` [T, 1].

    step_mode: all steps are mixed whatever lambda is, one at a time is not possible.
    """

    def __init__(
        self,
        k: int,
        T: int,
        lambda_init: float = 0.0,
        surrogate_function: Surrogate | None = OurPSN.surrogate,
        step_mode: str = "s",
        *,
        backend: str = "torch",
    ) -> None:
        same_anyway(self, step_mode, backend)
        super().__init__(k, T, lambda_init, surrogate=surrogate_function)


class SlidingPSN(OurSlidingPSN):
    """SpikingJelly's SlidingPSN: nn.SlidingPSN. Its parameters are `weight` [k] and `bias`."""

    def __init__(
        self,
        k: int,
        exp_init: bool = True,
        surrogate_function: Surrogate | None = OurPSN.surrogate,
        step_mode: str = "s",
        *,
        backend: str = "torch",
    ) -> None:
        if backend != "gemm" and backend != "conv":
            same_anyway(self, step_mode, backend)
        super().__init__(k, exp_init, surrogate=surrogate_function)


class DSRIFNode(DSRIF):
    """SpikingJelly's DSRIFNode: nn.DSRIF. Its parameter is `v_threshold`.

    T: the package's backward pass needs the number of steps here; ours counts them.
    bound: "clamp" as in version 2.0, "overwrite" as in the code before it.
    """

    def __init__(
        self,
        T: int = 20,
        v_threshold: float = 6.0,
        alpha: float = 0.5,
        v_threshold_training: bool = True,
        v_threshold_grad_scaling: float = 1.0,
        v_threshold_lower_bound: float = 0.01,
        step_mode: str = "m",
        *,
        backend: str = "torch",
        bound: str = "clamp",
    ) -> None:
        only_multi(self, step_mode, backend)
        positive(self, T=T)
        options: dict[str, Any] = {"lower_bound": v_threshold_lower_bound, "bound": bound}
        options |= {"learn_threshold": v_threshold_training, "grad_scaling": v_threshold_grad_scaling}
        super().__init__(v_threshold, alpha, **options)


class DSRLIFNode(DSRLIF):
    """SpikingJelly's DSRLIFNode: nn.DSRLIF. Its parameter is `v_threshold`.

    bound: "clamp" as in version 2.0, "overwrite" as in the code before it.
    """

    def __init__(
        self,
        T: int = 20,
        v_threshold: float = 1.0,
        tau: float = 2.0,
        delta_t: float = 0.05,
        alpha: float = 0.3,
        v_threshold_training: bool = True,
        v_threshold_grad_scaling: float = 1.0,
        v_threshold_lower_bound: float = 0.1,
        step_mode: str = "m",
        *,
        backend: str = "torch",
        bound: str = "clamp",
    ) -> None:
        only_multi(self, step_mode, backend)
        options: dict[str, Any] = {"lower_bound": v_threshold_lower_bound, "bound": bound}
        options |= {"learn_threshold": v_threshold_training, "grad_scaling": v_threshold_grad_scaling}
        super().__init__(T, v_threshold, tau, delta_t, alpha, **options)


class GatedLIFNode(GatedLIF):
    """SpikingJelly's GatedLIFNode: nn.GatedLIF. Its parameters have the package's names and shapes.

    inplane: channels of the input, whose features are [C, H, W]; None for one number a layer.
    """

    def __init__(
        self,
        T: int,
        inplane: int | None = None,
        init_linear_decay: float | None = None,
        init_v_subreset: float | None = None,
        init_tau: float = 0.25,
        init_v_threshold: float = 0.5,
        init_conduct: float = 0.5,
        surrogate_function: Surrogate | None = GatedLIF.surrogate,
        step_mode: str = "m",
        *,
        backend: str = "torch",
    ) -> None:
        only_multi(self, step_mode, backend)
        options: dict[str, Any] = {"linear_decay": init_linear_decay, "v_subreset": init_v_subreset}
        options |= {"tau": init_tau, "threshold": init_v_threshold, "conduct": init_conduct}
        super().__init__(T, inplane, surrogate=surrogate_function, **options)


class _Readout(Module):
    """A membrane without spikes, and what is made of its steps."""

    decode: str | None

    def decoded_by(self, decode: str | None) -> str | None:
        if decode is not None and decode not in DECODES:
            names = ", ".join(map(repr, DECODES))
            raise self.error(f"decode must be {names} or None, for the membrane of all steps, got {decode!r}")
        return decode

    def forward(self, current: Value) -> Any:
        outputs: Any = super().forward(current)
        return {"mem": DECODES[self.decode](outputs.mem)} if self.decode else outputs


class NonSpikingIFNode(_Readout, I):
    """SpikingJelly's NonSpikingIFNode: nn.I.

    decode: None for the membrane of all steps, "last_mem" for that of the last, "max-mem" for the largest,
    "max-abs-mem" for the largest or smallest, whichever is farther from 0 (the smallest, if they are equally
    far), "mean-mem" for the mean. Of equal ones the first step has the gradient. With `lengths`, of a
    sample's own steps.
    """

    def __init__(self, decode: str | None = None) -> None:
        self.decode = self.decoded_by(decode)


class NonSpikingLIFNode(_Readout, LI):
    """SpikingJelly's NonSpikingLIFNode: nn.LI.

    decode: None for the membrane of all steps, "last_mem" for that of the last, "max-mem" for the largest,
    "max-abs-mem" for the largest or smallest, whichever is farther from 0 (the smallest, if they are equally
    far), "mean-mem" for the mean. Of equal ones the first step has the gradient. With `lengths`, of a
    sample's own steps.
    """

    def __init__(self, tau: float = 2.0, decode: str | None = None) -> None:
        super().__init__(tau)
        self.decode = self.decoded_by(decode)


def only_multi(module: Module, step_mode: str, backend: str) -> None:
    """Check the arguments of neurons that SpikingJelly has for whole sequences only."""
    same_anyway(module, step_mode, backend)
    if step_mode != "m":
        raise module.error(f"step_mode must be 'm': this neuron needs all steps at once, got {step_mode!r}")
