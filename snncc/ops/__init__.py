"""The operators: for each its shape rule, NumPy meaning, gradient, and C form, in one place.

elementwise.py  scalar functions (a table), spike, detach, substitute, expand
time.py         delay, advance and their buffered forms, reductions over time
reduce.py       reductions over batch and features, log_softmax, first_maximum, one_hot, reshape
index.py        take, scatter_add: features by constant index
steps.py        products over the steps, rows of a parameter that belong to steps
linear.py       linear, transpose, weight_gradient, events, context
random.py       random numbers from counters
leaf.py         inputs, parameters, states, constants
value.py        values: what Python arithmetic builds nodes from
"""

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
from .index import scatter_add, take
from .linear import linear, transpose, weight_gradient
from .random import uniform
from .reduce import expand, first_maximum, sum_batch, sum_features, sum_to
from .time import first, sum_time
from .value import Value, apply

__all__ = [
    "Value",
    "absolute",
    "apply",
    "clamp",
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
    "maximum",
    "minimum",
    "round_even",
    "scatter_add",
    "sigmoid",
    "sign",
    "sin",
    "spike",
    "sqrt",
    "substitute",
    "sum_batch",
    "sum_features",
    "sum_time",
    "sum_to",
    "take",
    "tanh",
    "transpose",
    "uniform",
    "weight_gradient",
    "where",
]
