"""SpikingJelly's names, argument orders and defaults, translated to snncc's own layers and surrogates.

Step modes "s" and "m" and every backend compute the same here, and the membrane is always an output:
step_mode, backend and store_v_seq are accepted, and change nothing. Where the package needs all steps at
once, step_mode="s" is refused.
"""

from . import surrogate
from .neurons import (
    ComplementaryLIFNode,
    CUBALIFNode,
    EIFNode,
    HalfThresholdIFNode,
    IFNode,
    IzhikevichNode,
    KLIFNode,
    LIFNode,
    ParametricLIFNode,
    QIFNode,
    RAFNode,
)
from .over_time import (
    PSN,
    DSRIFNode,
    DSRLIFNode,
    GatedLIFNode,
    MaskedPSN,
    NonSpikingIFNode,
    NonSpikingLIFNode,
    SlidingPSN,
)

__all__ = [
    "PSN",
    "CUBALIFNode",
    "ComplementaryLIFNode",
    "DSRIFNode",
    "DSRLIFNode",
    "EIFNode",
    "GatedLIFNode",
    "HalfThresholdIFNode",
    "IFNode",
    "IzhikevichNode",
    "KLIFNode",
    "LIFNode",
    "MaskedPSN",
    "NonSpikingIFNode",
    "NonSpikingLIFNode",
    "ParametricLIFNode",
    "QIFNode",
    "RAFNode",
    "SlidingPSN",
    "surrogate",
]
