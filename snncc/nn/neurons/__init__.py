"""The neurons, one family a file."""

from .adaptive import CLIF, KLIF, RAF, CubaLIF
from .integrate_and_fire import IF, LIF, HalfThresholdIF, IntegrateAndFire, ParametricLIF
from .leaky import Leaky
from .non_spiking import LI, I
from .nonlinear import EIF, QIF, Izhikevich

__all__ = [
    "CLIF",
    "EIF",
    "IF",
    "KLIF",
    "LI",
    "LIF",
    "QIF",
    "RAF",
    "CubaLIF",
    "HalfThresholdIF",
    "I",
    "IntegrateAndFire",
    "Izhikevich",
    "Leaky",
    "ParametricLIF",
]
