"""Products with sparse weights: values of the synapses, and tables of where they lie.

Synapses are sorted by input. Those of input i are offsets[i] .. offsets[i + 1]; synapse s has the weight
values[s] and leads to output indices[s]. No matrix is ever made, forward or backward.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import CompileError
from ..graph import Op, Type
from .reduce import expand, sum_to
from .time import sum_time
from .value import Value, apply


@dataclass(frozen=True)
class SparseLinear(Op):
    """sparse_linear(x, values, indices, offsets[, bias]): bias, plus what each input's synapses hand on.

    kernel: "" until `choose_kernels`; then "events" (x is an event list) or "rows" (x itself, of one step).
    """

    n_out: int
    kernel: str = ""
    name = "sparse_linear"

    def attributes(self) -> str:
        return f"<{self.n_out}{f', {self.kernel}' if self.kernel else ''}>"

    def infer(self, *types: Type) -> Type:
        x, n_in = types[0], types[3].features[0] - 1
        if x.features != (n_in,):
            raise CompileError(
                f"sparse layer takes {n_in} features, its input has shape {list(x.features)}"
                + ("; put nn.Flatten() before it" if len(x.features) > 1 else "")
            )
        return Type((self.n_out,), x.time, x.batch, x.dtype)

    def evaluate(self, *arrays: Any) -> Any:
        x, values, indices, offsets, *bias = arrays
        carried = x[..., inputs_of(offsets)] * values
        start = np.broadcast_to(bias[0] if bias else 0, (*x.shape[:2], self.n_out))
        return added(start.astype(carried.dtype), indices[0, 0], carried)

    def vjp(self, grad: Any, out: Any, *inputs: Any) -> tuple[Any, ...]:
        x, values, indices, offsets, *bias = inputs
        grad_bias = tuple(sum_to(grad, out.type, b.type) for b in bias)
        full = expand(grad, Type(out.type.features, False, out.type.batch))
        operand = sum_time(x) if x.type.time and not full.type.time else x
        d_x = apply(SparseInputGradient(), full, values, indices, offsets)
        d_values = apply(SparseWeightGradient(), full, operand, indices, offsets)
        return (d_x, d_values, None, None, *grad_bias)


@dataclass(frozen=True)
class SparseWeightGradient(Op):
    """For each synapse the sum over steps and samples of d_y at its output times x at its input.

    kernel: "" until `choose_kernels`; then "events": x is an event list.
    """

    kernel: str = ""
    name = "sparse_weight_gradient"

    def attributes(self) -> str:
        return f"<{self.kernel}>" if self.kernel else ""

    def infer(self, *types: Type) -> Type:
        return Type(types[2].features, False, False, types[0].dtype)

    def evaluate(self, *arrays: Any) -> Any:
        d_y, x = (a.reshape(-1, a.shape[-1]) for a in arrays[:2])
        indices, inputs = arrays[2][0, 0], inputs_of(arrays[3])
        total = np.zeros(len(indices), d_y.dtype)
        for row in reversed(range(max(len(d_y), len(x)))):
            total += d_y[row % len(d_y), indices] * x[row % len(x), inputs]
        return total[None, None]

    def vjp(self, grad: Any, out: Any, *inputs: Any) -> tuple[Any, ...]:
        raise CompileError("second derivatives are not supported")


@dataclass(frozen=True)
class SparseInputGradient(Op):
    """sparse_input_gradient(d_y, values, indices, offsets): for each input what its synapses gather."""

    name = "sparse_input_gradient"

    def infer(self, *types: Type) -> Type:
        d_y = types[0]
        return Type((types[3].features[0] - 1,), d_y.time, d_y.batch, d_y.dtype)

    def evaluate(self, *arrays: Any) -> Any:
        d_y, values, indices, offsets = arrays
        gathered = d_y[..., indices[0, 0]] * values
        d_x = np.zeros((*d_y.shape[:2], offsets.shape[-1] - 1), gathered.dtype)
        return added(d_x, inputs_of(offsets), gathered)

    def vjp(self, grad: Any, out: Any, *inputs: Any) -> tuple[Any, ...]:
        raise CompileError("second derivatives are not supported")


def added(start: np.ndarray, places: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    """start with number s added at feature places[s], in ascending order."""
    sums = np.moveaxis(start, -1, 0).copy()
    for place, number in zip(places, np.moveaxis(numbers, -1, 0), strict=True):
        sums[place] += number
    return np.moveaxis(sums, 0, -1)


def inputs_of(offsets: Any) -> np.ndarray:
    """The input of each synapse."""
    counts = np.diff(offsets[0, 0])
    return np.repeat(np.arange(len(counts)), counts)


SYNAPSE_SUMS = (
    "sparse_weight_gradient",
    "delayed_gradient",
    "embedding_gradient",
)  # over the samples, and over the steps


def sparse_linear(x: Value, n_out: int, values: Value, indices: Value, offsets: Value, *bias: Value) -> Value:
    """What the synapses hand on of x, [n_out]; see SparseLinear."""
    result: Value = apply(SparseLinear(n_out), x, values, indices, offsets, *bias)
    return result
