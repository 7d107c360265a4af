"""NIR's neurons: continuous-time equations in seconds, stepped with forward Euler of step `dt`.

NIR leaves open what happens within a step, and its importers differ. `dialect` says whose reading is meant:

    "nir"           the equations with forward Euler; strict comparison; reset in the step of the spike
    "norse"         r of IF and LIF and every v_reset are ignored; states start at v_leak
    "snntorch"      dt is 1e-4 s; inputs are not scaled, the threshold is instead; v_reset is ignored
    "spikingjelly"  a membrane at the threshold fires; the membrane starts at v_reset

What an importer refuses is an error here too. Values are one number or one a neuron, where an importer
takes only equal ones as well.
"""

from .neurons import IF, LI, LIF, CubaLI, CubaLIF, I, Scale, Threshold

__all__ = ["IF", "LI", "LIF", "CubaLI", "CubaLIF", "I", "Scale", "Threshold"]
