"""The operators: for each its shape rule, NumPy meaning, gradient, and C form, in one place.

elementwise.py  scalar functions (a table), spike, detach, substitute, expand
time.py         delay, advance and their buffered forms, reductions over time
reduce.py       reductions over batch and features, log_softmax, first_maximum, one_hot, reshape
index.py        take, scatter_add: features by constant index
groups.py       numbers of groups of features: spread over them, and summed
normalize.py    statistics over several axes, and the gradient through them
steps.py        products over the steps, rows of a parameter that belong to steps
windows.py      the geometry of convolutions and pooling
conv.py         conv, conv_transpose, conv_gradient
pool.py         max_pool, sum_pool, and their adjoints
linear.py       linear, transpose, weight_gradient, events, context
random.py       random numbers from counters
leaf.py         inputs, parameters, states, constants
value.py        values: what Python arithmetic builds nodes from
"""

from .conv import conv, conv_transpose
from .elementwise import (
    absolute,
    clamp,
    cos,
    detach,
    exp,
    floor,
    greater,
    greater_equal,
    log,
    maximum,
    minimum,
    round_even,
    sigmoid,
    sign,
    sin,
    spike,
    sqrt,
    substitute,
    tanh,
    where,
)
from .groups import spread, sum_groups, sum_space
from .index import scatter_add, take
from .linear import linear, transpose, weight_gradient
from .pool import max_pool, sum_pool
from .random import uniform
from .reduce import expand, first_maximum, sum_batch, sum_features, sum_to
from .time import first, sum_time
from .value import Value, apply
from .windows import Windows

__all__ = [
    "Value",
    "Windows",
    "absolute",
    "apply",
    "clamp",
    "conv",
    "conv_transpose",
    "cos",
    "detach",
    "exp",
    "expand",
    "first",
    "first_maximum",
    "floor",
    "greater",
    "greater_equal",
    "linear",
    "log",
    "max_pool",
    "maximum",
    "minimum",
    "round_even",
    "scatter_add",
    "sigmoid",
    "sign",
    "sin",
    "spike",
    "spread",
    "sqrt",
    "substitute",
    "sum_batch",
    "sum_features",
    "sum_groups",
    "sum_pool",
    "sum_space",
    "sum_time",
    "sum_to",
    "take",
    "tanh",
    "transpose",
    "uniform",
    "weight_gradient",
    "where",
]
