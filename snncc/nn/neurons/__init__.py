"""The neurons, one family a file."""

from .associative import AssociativeLeaky
from .lapicque import Lapicque
from .leaky import DeltaLeaky, Leaky
from .lstm import SLSTM
from .parallel import LeakyParallel, LinearLeaky, StateLeaky
from .recurrent import RLeaky, RSynaptic
from .synaptic import Alpha, Synaptic

__all__ = [
    "SLSTM",
    "Alpha",
    "AssociativeLeaky",
    "DeltaLeaky",
    "Lapicque",
    "Leaky",
    "LeakyParallel",
    "LinearLeaky",
    "RLeaky",
    "RSynaptic",
    "StateLeaky",
    "Synaptic",
]
