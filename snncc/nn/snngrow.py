"""SNNGrow's neurons under its own names, arguments, order and defaults.

In SNNGrow a layer sees one step at a time, or with parallel_optim all T steps at once as [T*N, ...]. Here
a network always has time: inputs are [T, B, ...] and every layer handles all steps, so parallel_optim and T
change nothing. Eval mode, where spikes carry no gradient, is surrogate_function=None.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..arguments import WRONG, numbers
from .connections import Probability
from .module import Module, Parameter
from .neurons import IF, LIF
from .sparse import SparseLinear
from .spikingjelly.neurons import check_tau
from .surrogate import Sigmoid, Surrogate

DEFAULT: Surrogate = Sigmoid(4.0)


def _options(
    module: Module,
    surrogate: Surrogate | None,
    detach_reset: bool,
    T: int,
    spike_out: bool,
) -> dict[str, Any]:
    """How SNNGrow's arguments are called here."""
    if T < 1:
        raise module.error(f"T must be a positive integer (the steps of [T*N, ...]), got {T}")
    # Boolean spikes carry no gradient into the reset.
    return {"surrogate": surrogate, "detach_reset": detach_reset or spike_out}


class IFNode(IF):
    """SNNGrow's IFNode: nn.IF.

    parallel_optim, T: every layer handles all steps anyway.
    spike_out: SNNGrow hands on boolean spikes; the numbers are the same, but the reset is detached.
    """

    def __init__(
        self,
        v_threshold: float = 1.0,
        v_reset: float | None = 0.0,
        surrogate_function: Surrogate | None = DEFAULT,
        detach_reset: bool = False,
        parallel_optim: bool = False,
        T: int = 1,
        spike_out: bool = False,
    ) -> None:
        options = _options(self, surrogate_function, detach_reset, T, spike_out)
        super().__init__(v_threshold, v_reset, **options)


class LIFNode(LIF):
    """SNNGrow's LIFNode: nn.LIF.

    parallel_optim, T: every layer handles all steps anyway.
    spike_out: SNNGrow hands on boolean spikes; the numbers are the same, but the reset is detached.
    """

    def __init__(
        self,
        tau: float = 2.0,
        decay_input: bool = True,
        v_threshold: float = 1.0,
        v_reset: float | None = 0.0,
        surrogate_function: Surrogate | None = DEFAULT,
        detach_reset: bool = False,
        parallel_optim: bool = False,
        T: int = 1,
        spike_out: bool = False,
    ) -> None:
        options = _options(self, surrogate_function, detach_reset, T, spike_out)
        super().__init__(check_tau(self, tau), v_threshold, v_reset, decay_input=decay_input, **options)


class SparseSynapse(SparseLinear):
    """SNNGrow's SparseSynapse: y = x (W * C)^T + bias, of which only the weights where C is not 0 exist.

    connection: None for all, "random" for each with probability 1/2 (of `seed`), or a matrix C
    [out_features, in_features]: its entries must be 0 or 1. SNNGrow wraps C in a Parameter, so that with real
    numbers it learns too; here it is the mask that it is meant to be. Weights start as SNNGrow's, uniform in
    +-1/sqrt(in_features), and are `values`, one a connection.
    """

    def __init__(
        self, in_features: int, out_features: int, bias: bool = True, connection: Any = None, *, seed: int = 0
    ) -> None:
        super().__init__(in_features, out_features, self._rule(connection, seed), bias)
        shape, bound = self.connections.indices.shape, 1.0 / np.sqrt(in_features)
        self.values = Parameter(shape, lambda rng: rng.uniform(-bound, bound, shape))
        if bias:
            self.bias = Parameter((out_features,), lambda rng: rng.uniform(-bound, bound, out_features))

    def _rule(self, connection: Any, seed: int) -> Any:
        if connection is None or isinstance(connection, str):
            if connection not in (None, "random"):
                raise self.error(
                    f"connection must be None, 'random' or a matrix of 0 and 1, got {connection!r}"
                )
            return Probability(1.0 if connection is None else 0.5, seed)
        matrix = numbers(connection, "biuf")
        if matrix is WRONG or not np.isin(matrix, (0, 1)).all():
            raise self.error(
                "connection must hold 0 and 1 alone; give weights of their own to nn.SparseLinear"
            )
        return matrix.astype(bool)
