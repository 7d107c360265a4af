"""The operators: for each its shape rule, NumPy meaning, gradient, and C form, in one place.

axes.py         what users call on feature axes: permute, slice, split, concat, sum, softmax
elementwise.py  scalar functions (a table), spike, detach, substitute, expand
time.py         delay, advance and their buffered forms, reductions over time
reduce.py       reductions over batch and all features, one_hot, reshape
last_axis.py    softmax, log_softmax, first_maximum, max_last
views.py        strided, strided_sum, concat: what moves features and sums over axes
index.py        take, scatter_add: features by constant index
groups.py       numbers of groups of features: spread over them, and summed
normalize.py    statistics over several axes, and the gradient through them
steps.py        products over the steps, rows of a parameter that belong to steps
windows.py      the geometry of convolutions and pooling
conv.py         conv, conv_transpose, conv_gradient
pool.py         max_pool, sum_pool, and their adjoints
matmul.py       products of two values, sample by sample
linear.py       linear, transpose, weight_gradient, events, context
random.py       random numbers from counters
leaf.py         inputs, parameters, states, constants
value.py        values: what Python arithmetic builds nodes from
"""

from .axes import broadcast_to, concat, log_softmax, pad, permute, softmax, split
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
from .last_axis import first_maximum
from .linear import linear, transpose, weight_gradient
from .matmul import matmul
from .pool import max_pool, sum_pool
from .random import uniform
from .reduce import expand, sum_batch, sum_features, sum_to
from .time import first, sum_time
from .value import Value, apply
from .windows import Windows

__all__ = [
    "Value",
    "Windows",
    "absolute",
    "apply",
    "broadcast_to",
    "clamp",
    "concat",
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
    "log_softmax",
    "matmul",
    "max_pool",
    "maximum",
    "minimum",
    "pad",
    "permute",
    "round_even",
    "scatter_add",
    "sigmoid",
    "sign",
    "sin",
    "softmax",
    "spike",
    "split",
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
