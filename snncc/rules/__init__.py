"""Learning rules: how the gradient of a network's parameters comes about. `compile(rule=...)` takes one.

bptt    backpropagation through time, through all steps or windows of k steps
dsr     differentiation on spike representation: gradients of firing rates, without time
ottt    online training through time: no gradient goes back in time, memory does not grow with the steps
stdp    spike-timing dependent plasticity: no loss, weights follow pairs of spikes
"""

from collections.abc import Callable

from .base import Rule
from .online import OTTT
from .through_time import BPTT, DSR


def bptt(truncate: int | None = None) -> BPTT:
    """See `BPTT`."""
    return BPTT(truncate)


def dsr() -> DSR:
    """See `DSR`."""
    return DSR()


def ottt() -> OTTT:
    """See `OTTT`."""
    return OTTT()


RULES: dict[str, Callable[[], Rule]] = {"bptt": bptt, "dsr": dsr, "ottt": ottt}

__all__ = ["BPTT", "DSR", "OTTT", "RULES", "Rule", "bptt", "dsr", "ottt"]
