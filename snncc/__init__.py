"""snncc: an ahead-of-time compiler for spiking neural networks.

nn: layers, neurons, surrogates. loss, optim: what trains them. compile: a network as C, built and loaded.
load: a compiled model. import_nir: a network from a file of another system. The functions of `ops` are what
neurons' equations are written in.
"""

__version__ = "0.1.0"

from importlib import import_module
from typing import TYPE_CHECKING, Any

from snncc_runtime import Model, ModelError, load, metrics

from . import loss, nn, optim, rules
from .driver import compile
from .errors import CompileError, InternalError
from .nn import delay
from .ops import (
    absolute,
    broadcast_to,
    clamp,
    concat,
    cos,
    detach,
    exp,
    first_maximum,
    floor,
    greater,
    greater_equal,
    log,
    log_softmax,
    matmul,
    maximum,
    minimum,
    pad,
    permute,
    round_even,
    scatter_add,
    sigmoid,
    sign,
    sin,
    softmax,
    spike,
    split,
    sqrt,
    substitute,
    take,
    tanh,
    uniform,
    where,
)

if TYPE_CHECKING:
    from .frontend.nir import export_nir, import_nir
    from .frontend.onnx import export_onnx, import_onnx

LATE = {  # loaded when first used: time and packages that most programs do not need
    "export_nir": "snncc.frontend.nir",
    "import_nir": "snncc.frontend.nir",
    "export_onnx": "snncc.frontend.onnx",
    "import_onnx": "snncc.frontend.onnx",
}

__all__ = [
    "CompileError",
    "InternalError",
    "Model",
    "ModelError",
    "absolute",
    "broadcast_to",
    "clamp",
    "compile",
    "concat",
    "cos",
    "delay",
    "detach",
    "exp",
    "export_nir",
    "export_onnx",
    "first_maximum",
    "floor",
    "greater",
    "greater_equal",
    "import_nir",
    "import_onnx",
    "load",
    "log",
    "log_softmax",
    "loss",
    "matmul",
    "maximum",
    "metrics",
    "minimum",
    "nn",
    "optim",
    "pad",
    "permute",
    "round_even",
    "rules",
    "scatter_add",
    "sigmoid",
    "sign",
    "sin",
    "softmax",
    "spike",
    "split",
    "sqrt",
    "substitute",
    "take",
    "tanh",
    "uniform",
    "where",
]


def __getattr__(name: str) -> Any:
    if name in LATE:
        return getattr(import_module(LATE[name]), name)
    raise AttributeError(f"module 'snncc' has no attribute {name!r}")
