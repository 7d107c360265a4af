"""Learning rules: how the gradient of a network's parameters comes about. `compile(rule=...)` takes one.

bptt    backpropagation through time, through all steps or windows of k steps
dsr     differentiation on spike representation: gradients of firing rates, without time
ottt    online training through time: no gradient goes back in time, memory does not grow with the steps
stdp    spike-timing dependent plasticity: no loss, weights follow pairs of spikes
"""

from collections.abc import Callable, Sequence
from typing import Any

from ..arguments import checked
from .base import Rule
from .online import OTTT
from .plasticity import STDP, Bounds, Clamped, Power
from .through_time import BPTT, DSR


@checked
def bptt(truncate: int | None = None) -> BPTT:
    """See `BPTT`."""
    return BPTT(truncate)


def dsr() -> DSR:
    """See `DSR`."""
    return DSR()


def ottt() -> OTTT:
    """See `OTTT`."""
    return OTTT()


@checked
def stdp(
    tau_pre: float = 2.0,
    tau_post: float = 2.0,
    *,
    f_pre: Callable[[Any], Any] = STDP.f_pre,
    f_post: Callable[[Any], Any] = STDP.f_post,
    every: str = "step",
    bounds: Bounds | None = None,
    layers: str | Sequence[str] | None = None,
) -> STDP:
    """See `STDP`."""
    named = (layers,) if isinstance(layers, str) else layers
    return STDP(tau_pre, tau_post, f_pre, f_post, every, bounds, None if named is None else tuple(named))


RULES: dict[str, Callable[..., Rule]] = {"bptt": bptt, "dsr": dsr, "ottt": ottt, "stdp": stdp}

__all__ = [
    "BPTT",
    "DSR",
    "OTTT",
    "RULES",
    "STDP",
    "Clamped",
    "Power",
    "Rule",
    "bptt",
    "dsr",
    "ottt",
    "stdp",
]
