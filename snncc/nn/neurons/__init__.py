"""The neurons, one family a file."""

from .adaptive import CLIF, KLIF, RAF, CubaLIF
from .associative import AssociativeLeaky
from .dsr import DSRIF, DSRLIF
from .gated import GatedLIF
from .integrate_and_fire import IF, LIF, HalfThresholdIF, IntegrateAndFire, ParametricLIF
from .lapicque import Lapicque
from .leaky import DeltaLeaky, Leaky
from .lstm import SLSTM, SConv2dLSTM
from .non_spiking import LI, I
from .nonlinear import EIF, QIF, Izhikevich
from .parallel import LeakyParallel, LinearLeaky, StateLeaky
from .psn import PSN, MaskedPSN, SlidingPSN
from .recurrent import RLeaky, RSynaptic
from .synaptic import Alpha, Synaptic

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
    "SLSTM",
    "Alpha",
    "AssociativeLeaky",
    "CubaLIF",
    "DeltaLeaky",
    "GatedLIF",
    "HalfThresholdIF",
    "I",
    "IntegrateAndFire",
    "Izhikevich",
    "Lapicque",
    "Leaky",
    "LeakyParallel",
    "LinearLeaky",
    "MaskedPSN",
    "ParametricLIF",
    "RLeaky",
    "RSynaptic",
    "SConv2dLSTM",
    "SlidingPSN",
    "StateLeaky",
    "Synaptic",
]
