"""The neurons, one family a file."""

from .adaptive import CLIF, KLIF, RAF, CubaLIF
from .dsr import DSRIF, DSRLIF
from .gated import GatedLIF
from .integrate_and_fire import IF, LIF, HalfThresholdIF, IntegrateAndFire, ParametricLIF
from .leaky import Leaky
from .non_spiking import LI, I
from .nonlinear import EIF, QIF, Izhikevich
from .parallel import PSN, MaskedPSN, SlidingPSN

__all__ = [
    "CLIF",
    "DSRIF",
    "DSRLIF",
    "EIF",
    "IF",
    "KLIF",
    "LI",
    "LIF",
    "PSN",
    "QIF",
    "RAF",
    "CubaLIF",
    "GatedLIF",
    "HalfThresholdIF",
    "I",
    "IntegrateAndFire",
    "Izhikevich",
    "Leaky",
    "MaskedPSN",
    "ParametricLIF",
    "SlidingPSN",
]
