"""SpikingJelly's names, arguments and defaults (version 2.0)."""

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

__all__ = [
    "CUBALIFNode",
    "ComplementaryLIFNode",
    "EIFNode",
    "HalfThresholdIFNode",
    "IFNode",
    "IzhikevichNode",
    "KLIFNode",
    "LIFNode",
    "ParametricLIFNode",
    "QIFNode",
    "RAFNode",
]
