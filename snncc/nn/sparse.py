"""Sparse layers: synapses that are there, and no others."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..ops import Value
from ..ops.sparse import sparse_linear
from .connections import Connections, wired
from .layers import positive
from .module import Module, Parameter, Table


class SparseLinear(Module):
    """y = x weight^T + bias, for a weight of which only some entries exist.

    connections: which ones: a rule (`nn.connections.Probability(0.1)`, `FanIn(20)`, `OneToOne()`,
    `Local((28, 28), 2)`), a NumPy mask [out_features, in_features], or a scipy.sparse matrix of that shape,
    whose entries are the initial weights.

    values [synapses] are learned; indices and offsets, in the model's `structure`, say where they lie, sorted
    by input: synapse s with offsets[i] <= s < offsets[i + 1] leads from input i to output indices[s]. As of
    a `scipy.sparse.csc_matrix((values, indices, offsets), (out_features, in_features))`. values start uniform
    in +-1/sqrt(synapses of the output), bias in +-1/sqrt(synapses of an output on average).
    """

    def __init__(self, in_features: int, out_features: int, connections: Any, bias: bool = True) -> None:
        positive(self, in_features=in_features, out_features=out_features)
        self.in_features, self.out_features, self.has_bias = in_features, out_features, bias
        self.connections = made = wired(connections, in_features, out_features)
        fan_in = np.maximum(made.fan_in, 1)
        self._values(made, (1.0 / np.sqrt(fan_in))[made.indices])
        if bias:
            bound = 1.0 / np.sqrt(np.mean(fan_in))
            self.bias = Parameter((out_features,), lambda rng: rng.uniform(-bound, bound, out_features))

    def _values(self, made: Connections, bounds: Any) -> None:
        """The parameter and the tables of the synapses; their weights start in +-bounds."""
        shape, given = made.indices.shape, made.weights
        self.values = Parameter(
            shape, (lambda rng: rng.uniform(-1, 1, shape) * bounds) if given is None else given
        )
        self.indices = Table(shape, made.indices, most=made.n_out - 1)
        self.offsets = Table(made.offsets.shape, made.offsets, most=len(made.indices), ascending=True)

    def forward(self, x: Value) -> Value:
        operands: list[Any] = [
            self.values,
            self.indices,
            self.offsets,
            *([self.bias] if self.has_bias else []),
        ]
        return sparse_linear(x, self.out_features, *operands)

    def dense(self, values: Any) -> np.ndarray:
        """values as a matrix [out_features, in_features] with zeros between them: to look at."""
        values = np.asarray(values)
        if values.shape != self.connections.indices.shape:
            raise self.error(
                f"expected {len(self.connections.indices)} values, found shape {list(values.shape)}"
            )
        matrix = np.zeros((self.out_features, self.in_features), values.dtype)
        matrix[self.connections.indices, self.connections.inputs] = values
        return matrix
