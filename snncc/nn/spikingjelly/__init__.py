"""SpikingJelly's names, argument orders and defaults, translated to snncc's own layers and surrogates."""

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
