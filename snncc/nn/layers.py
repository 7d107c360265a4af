"""Layers without a state: Linear, Flatten, and Sequential that strings layers together."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..ops import Value, linear
from ..ops.reduce import Reshape
from ..ops.value import apply
from .module import LARGEST, Input, Module, Parameter


def positive(module: Module, **sizes: int) -> None:
    """Sizes must be positive, and no larger than an index may be."""
    for name, size in sizes.items():
        if size < 1:
            raise module.error(f"{name} must be a positive integer, got {size}")
        if size > LARGEST:
            raise module.error(f"{name} must be at most {LARGEST}, got {size}")


class Linear(Module):
    """y = x weight^T + bias, along the last axis of x.

    weight [out_features, in_features] and bias [out_features] start uniform in
    +-1/sqrt(in_features), as PyTorch's do.
    """

    def __init__(self, in_features: int, out_features: int, bias: bool = True) -> None:
        positive(self, in_features=in_features, out_features=out_features)
        self.in_features, self.out_features, self.has_bias = in_features, out_features, bias
        bound = 1.0 / np.sqrt(in_features)
        matrix, vector = (out_features, in_features), (out_features,)
        self.weight = Parameter(matrix, lambda rng: rng.uniform(-bound, bound, matrix), panels=True)
        if bias:
            self.bias = Parameter(vector, lambda rng: rng.uniform(-bound, bound, vector))

    def forward(self, x: Value) -> Value:
        # Parameters are values while the network is traced.
        operands: list[Any] = [self.weight, *([self.bias] if self.has_bias else [])]
        return linear(x, *operands)


class Flatten(Module):
    """All features of a step as one axis (time and batch are no features here)."""

    def forward(self, x: Value) -> Value:
        size = int(np.prod(x.shape)) if x.shape else 1
        flat: Value = apply(Reshape((size,)), x)
        return flat


class Sequential(Module):
    """Layers one after the other; a neuron hands its spikes on. The last layer's outputs are the network's.

    Layers are named "0", "1", ... or by keyword: Sequential(fc1=nn.Linear(784, 10), lif1=nn.Leaky(0.9)).
    input: needed when the first layer does not say its input's shape, or for a static input.
    """

    def __init__(self, *layers: Module, input: Input | None = None, **named: Module) -> None:
        self.layers = {**{str(i): layer for i, layer in enumerate(layers)}, **named}
        if not self.layers:
            raise self.error("needs at least one layer")
        self.input = input

    def children(self) -> Any:
        yield from self.layers.items()

    @property
    def inputs(self) -> dict[str, Input]:
        """The network's one input, `x`."""
        if self.input is not None:
            return {"x": self.input}
        first = next(iter(self.layers.values()))
        if isinstance(first, Sequential):
            return first.inputs
        size = getattr(first, "in_features", None)  # of layers, neurons with weights of their own included
        if size is not None:
            return {"x": Input(size)}
        raise self.error(
            f"the first layer, {type(first).__name__}, does not say its input's shape; "
            "give input=nn.Input(...) to Sequential"
        )

    def forward(self, x: Value) -> Any:
        result: Any = x
        for layer in self.layers.values():
            result = layer(result[0] if isinstance(result, tuple) else result)
        return result
