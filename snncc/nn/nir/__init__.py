"""NIR's neurons: continuous-time equations in seconds, stepped with forward Euler of step `dt`.

NIR leaves open what happens within a step, and its importers differ. `dialect` says whose reading is meant:

    "exact"         the equations with forward Euler; strict comparison; reset in the step of the spike
    "norse"         r of IF and LIF and every v_reset are ignored; states start at v_leak
    "snntorch"      dt is 1e-4 s; inputs are not scaled, the threshold is instead; v_reset is ignored
    "spikingjelly"  a membrane at the threshold fires; the membrane starts at v_reset
    "sinabs"        exponential Euler; the threshold is subtracted; a membrane at the threshold fires

What NIR leaves open can be chosen by itself, as in `dialect=nn.nir.dialect("snntorch",
reset="subtract_delayed")`:

    reset           "file": v_reset; "subtract": the threshold is subtracted in the step of the spike;
                    "subtract_delayed": in the step after it, as snnTorch does, and the reset is detached
    integrator      "euler": a state goes dt/tau of its way to rest in a step; "exp": 1 - exp(-dt/tau)
    compare         "gt": a membrane above the threshold fires; "ge": one at the threshold too
    v0              where membranes start: "zero", "v_reset" or "v_leak"

What an importer refuses is an error here too. Values are one number or one a neuron, where an importer
takes only equal ones as well.
"""

from .dialects import CHOICES, DIALECTS, Dialect, dialect
from .layers import Delay, Flatten, Scale
from .neurons import IF, LI, LIF, CubaLI, CubaLIF, I, Threshold

__all__ = [
    "CHOICES",
    "DIALECTS",
    "IF",
    "LI",
    "LIF",
    "CubaLI",
    "CubaLIF",
    "Delay",
    "Dialect",
    "Flatten",
    "I",
    "Scale",
    "Threshold",
    "dialect",
]
