"""Tables of neurons by reset, four of each, that several modules test; each makes one with a given surrogate.

Forward they spike sometimes: what never does, or always, agrees with anything.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from snncc import nn
from tests.networks import RESETS

Make = Callable[..., nn.Module]

# Neurons that fire above a threshold: those that reset as snnTorch's do, and those without a reset.

BETA: Any = [0.3, 0.9, 0.5, 1.4]    # the last one beyond the clamp
TRAINED: dict[str, Any] = {"learn_beta": True, "learn_threshold": True}
GRADED: dict[str, Any] = {"graded_spikes_factor": [0.5, -1.0, 2.0, 1.5], "learn_graded_spikes_factor": True}
ALPHA: dict[str, Any] = {"beta": [0.3, 0.5, 0.8, 0.1], "learn_alpha": True, "learn_beta": True}

EVERY_RESET = {
    f"{reset}_{'later' if delay else 'now'}": (reset, delay)
    for reset, delay in RESETS
    if (reset, delay) != ("none", False)    # the same as with delay
}
EITHER: dict[str, Make] = {    # take reset_delay
    "leaky": lambda **o: nn.Leaky(BETA, 0.4, **TRAINED, **o),
    "graded": lambda **o: nn.Leaky(BETA, 0.4, **GRADED, **TRAINED, **o),
    "inhibited": lambda **o: nn.Leaky(0.9, 0.4, inhibition=True, **TRAINED, **o),
    "one-to-one": lambda **o: nn.RLeaky(BETA, [0.3, 0.5, 0.4, 0.2], V=[0.5, -0.5, 1.0, 0.25], **TRAINED, **o),
    "all-to-all": lambda **o: nn.RLeaky(0.8, 0.4, linear_features=4, inhibition=True, **TRAINED, **o),
    "synaptic": lambda **o: nn.Synaptic(BETA, 0.7, 0.4, learn_alpha=True, **TRAINED, **o),
    "both": lambda **o: nn.RSynaptic(0.6, BETA, 0.4, linear_features=4, learn_alpha=True, **TRAINED, **o),
}
LATER: dict[str, Make] = {    # reset in the step after a spike
    "alpha": lambda **o: nn.Alpha(0.9, threshold=0.1, learn_threshold=True, **ALPHA, **o),
    "circuit": lambda **o: nn.Lapicque(0.8, C=1.5, threshold=0.2, **TRAINED, **o),
    "circuit-exact": lambda **o: nn.Lapicque(0.8, C=1.5, threshold=0.2, exact=True, **TRAINED, **o),
    "lstm": lambda **o: nn.SLSTM(4, 4, 0.1, learn_threshold=True, **o),
}
LASTING: dict[str, Make] = {
    "delta": lambda **o: nn.DeltaLeaky(BETA, 0.3, learn_beta=True, **o),
    "diagonal": lambda **o: nn.LeakyParallel(4, 4, BETA, 0.2, **GRADED, **TRAINED, **o),
    "dense": lambda **o: nn.LeakyParallel(4, 4, None, 0.2, dense=True, bias=False, **TRAINED, **o),
    "state": lambda **o: nn.StateLeaky([0.3, 0.9, 0.5, -0.2], 0.3, **GRADED, **TRAINED, **o),
    "truncated": lambda **o: nn.LinearLeaky(4, 4, 0.7, 0.3, kernel_truncation_steps=3, **TRAINED, **o),
    "associative": lambda **o: nn.AssociativeLeaky(4, 2, 3, 0.1, **o),
    "associative-unread": lambda **o: nn.AssociativeLeaky(4, 2, 2, 0.1, use_q_projection=False, **o),
}


def above_a_threshold() -> dict[str, Make]:
    """Of EITHER and LATER, by neuron and reset."""
    found: dict[str, Make] = {}
    for word, (reset, delay) in EVERY_RESET.items():
        later, both = {"reset": reset}, {"reset": reset, "reset_delay": delay}
        found |= {f"{name}-{word}": given(make, both) for name, make in EITHER.items()}
        found |= {f"{name}-{word}": given(make, later) for name, make in LATER.items() if delay}
    return found


def given(make: Make, options: dict[str, Any]) -> Make:
    """With some options from now on."""
    return lambda **more: make(**options, **more)


# Neurons that charge, fire and reset within a step, parallel ones, and those of NIR and Aidge.

SMOOTH = nn.surrogate.Sigmoid(4.0)    # without kinks
RESETTING: dict[str, Make] = {    # take v_reset and detach_reset
    "if": lambda **o: nn.IF(0.75, **o),
    "lif": lambda **o: nn.LIF(1.5, 0.5, **o),
    "lif-undecayed": lambda **o: nn.LIF(2.5, 0.75, decay_input=False, **o),
    "lif-per-neuron": lambda **o: nn.LIF([1.5, 2.0, 2.5, 3.0], [0.3, 0.4, 0.5, 0.6], **o),
    "lif-threshold": lambda **o: nn.LIF(2.0, 0.5, learn_threshold=True, strict=True, **o),
    "plif": lambda **o: nn.ParametricLIF(1.75, 0.5, **o),
    "plif-undecayed": lambda **o: nn.ParametricLIF([1.5, 2.0, 3.0, 4.0], 0.5, decay_input=False, **o),
    # With a soft reset, short time constants diverge: a square is not caught by subtracting the threshold.
    "qif": lambda **o: nn.QIF(6.0, threshold=0.3, **o),
    "eif": lambda **o: nn.EIF(8.0, threshold=0.3, **o),
    "izhikevich": lambda **o: nn.Izhikevich(6.0, threshold=0.2, a=0.3, b=0.4, w_rest=0.1, **o),
    "klif": lambda **o: nn.KLIF(1.5, 0.5, **o),
    "klif-scaled": lambda **o: nn.KLIF(1.5, 0.5, scale_reset=True, **o),
    "cuba": lambda **o: nn.CubaLIF(**{"surrogate": SMOOTH, **o}),
    "raf": lambda **o: nn.RAF(threshold=0.6, **o),
}
WITHIN: dict[str, dict[str, Any]] = {
    "hard": {"v_reset": -0.1},
    "hard-zero": {"v_reset": 0.0, "detach_reset": True},
    "soft": {"v_reset": None},
    "soft-detached": {"v_reset": None, "detach_reset": True},
}
OTHERS: dict[str, Make] = {
    "half": lambda **o: nn.HalfThresholdIF(0.75, **o),
    "clif": lambda **o: nn.CLIF(2.0, 0.6, **{"surrogate": SMOOTH, **o}),
    "sliding": lambda **o: nn.SlidingPSN(3, exp_init=False, **o),
    "nir-if": lambda **o: nn.nir.IF(2000.0, 0.3, 0.1, dt=1e-3, **o),
    "nir-lif": lambda **o: nn.nir.LIF([3e-3, 4e-3, 5e-3, 6e-3], 2.0, 0.1, 0.4, -0.1, dt=1e-3, **o),
    "nir-cubalif": lambda **o: nn.nir.CubaLIF(3e-3, 4e-3, 2.0, 0.1, 0.3, 0.05, 2.0, dt=1e-3, **o),
    "nir-threshold": lambda **o: nn.nir.Threshold(0.4, **o),
}
READOUTS: dict[str, Make] = {    # have no surrogate
    "li": lambda: nn.LI(2.5),
    "i": lambda: nn.I(),
    "nir-li": lambda: nn.nir.LI(3e-3, 2.0, 0.1, dt=1e-3),
    "nir-cubali": lambda: nn.nir.CubaLI(3e-3, 4e-3, 2.0, 0.1, dt=1e-3),
    "nir-scale": lambda: nn.nir.Scale([0.5, 1.0, 1.5, 2.0], learnable=True),
    "aidge-memorize": lambda: nn.aidge.Memorize(init=0.5),
}
FIXED: dict[str, Make] = {    # made for a number of steps
    "psn": lambda steps, **o: nn.PSN(steps, **o),
    "masked": lambda steps, **o: nn.MaskedPSN(3, steps, 0.5, **o),
    "masked-wholly": lambda steps, **o: nn.MaskedPSN(2, steps, 1.0, **o),
    "gated": lambda steps, **o: nn.GatedLIF(steps, **o),
    "gated-channels": lambda steps, **o: nn.GatedLIF(steps, 4, conduct=0.3, v_subreset=0.4, **o),
}


def groups(steps: int) -> dict[str, dict[str, Make]]:
    """All that have a surrogate, by neuron and reset, in groups of at most 28."""
    within = {f"{n}-{word}": given(RESETTING[n], o) for n in RESETTING for word, o in WITHIN.items()}
    fixed = {name: given(make, {"steps": steps}) for name, make in FIXED.items()}
    tables = {"above": above_a_threshold(), "within": within, "others": {**LASTING, **OTHERS, **fixed}}
    return {f"{name}-{k}": part for name, table in tables.items() for k, part in enumerate(parts(table))}


def parts(table: dict[str, Make], most: int = 28) -> Iterator[dict[str, Make]]:
    """A table in pieces."""
    items = list(table.items())
    for start in range(0, len(items), most):
        yield dict(items[start : start + most])
