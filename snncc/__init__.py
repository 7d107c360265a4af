"""snncc: an ahead-of-time compiler for spiking neural networks.

nn: layers, neurons, surrogates. loss, optim: what trains them. compile: a network as C, built and loaded.
load: a compiled model. import_nir: a network from a file of another system. The functions of `ops` are what neurons' equations are written in.
"""

__version__ = "0.1.0"

from snncc_runtime import Model, ModelError, load, metrics

from . import loss, nn, optim, rules
from .driver import compile
from .errors import CompileError, InternalError
from .frontend.nir import import_nir
from .nn import delay
from .ops import (
    absolute,
    clamp,
    cos,
    detach,
    exp,
    first_maximum,
    floor,
    greater,
    greater_equal,
    log,
    maximum,
    minimum,
    round_even,
    scatter_add,
    sigmoid,
    sign,
    sin,
    spike,
    sqrt,
    substitute,
    take,
    tanh,
    uniform,
    where,
)

__all__ = [
    "CompileError",
    "InternalError",
    "Model",
    "ModelError",
    "absolute",
    "clamp",
    "compile",
    "cos",
    "delay",
    "detach",
    "exp",
    "first_maximum",
    "floor",
    "greater",
    "greater_equal",
    "import_nir",
    "load",
    "log",
    "loss",
    "maximum",
    "metrics",
    "minimum",
    "nn",
    "optim",
    "round_even",
    "rules",
    "scatter_add",
    "sigmoid",
    "sign",
    "sin",
    "spike",
    "sqrt",
    "substitute",
    "take",
    "tanh",
    "uniform",
    "where",
]
