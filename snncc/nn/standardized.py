"""Layers with standardised weights, which replace normalisation: nothing of them depends on the batch."""

from __future__ import annotations

from math import prod, sqrt
from typing import Any

from ..ops import Value, linear, spread
from ..ops.conv import conv
from ..ops.normalize import Over, normalize
from ..ops.reduce import Reshape
from ..ops.value import apply
from .conv import Conv2d, Numbers
from .layers import Linear
from .module import Parameter
from .norm import filled, number


def standardized(weight: Value, eps: float, gain: Value | None) -> Value:
    """(weight - mean) / sqrt(var n + eps) gain, for each output over its n weights; var is unbiased."""
    features = weight.type.features
    n = prod(features[1:])
    factor = n * n / (n - 1)  # the biased variance times this is var n
    unit, _, _ = normalize(weight, Over(features, features[:1], "row", False), eps / factor)
    scaled: Value = unit * (1.0 / sqrt(factor))
    if gain is None:
        return scaled
    return scaled * spread(apply(Reshape(features[:1]), gain), features)


class WSLinear(Linear):
    """`Linear` with scaled weight standardisation (Brock et al. 2021; SpikingJelly's `layer.WSLinear`).

        y = x w^T + bias with w = (weight - mean) / sqrt(var in_features + eps) gain

    mean and (unbiased) variance are those of each output's weights. gain [out_features, 1] starts at one.
    """

    def __init__(
        self, in_features: int, out_features: int, bias: bool = True, gain: bool = True, eps: float = 1e-4
    ) -> None:
        super().__init__(in_features, out_features, bias)
        if in_features < 2:
            raise self.error(f"the variance of one weight is not defined: in_features is {in_features}")
        self.eps = number(self, "eps", eps)
        if gain:
            self.gain = filled((out_features, 1), 1.0)

    def forward(self, x: Value) -> Value:
        return linear(x, *_operands(self))


class WSConv2d(Conv2d):
    """`Conv2d` with scaled weight standardisation; see `WSLinear`. gain is [out_channels, 1, 1, 1]."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Numbers,
        stride: Numbers = 1,
        padding: Numbers | str = 0,
        dilation: Numbers = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        gain: bool = True,
        eps: float = 1e-4,
    ) -> None:
        sizes = (in_channels, out_channels, kernel_size, stride, padding, dilation, groups)
        super().__init__(*sizes, bias, padding_mode)
        declared: Parameter = self._parameters["weight"]
        if prod(declared.shape[1:]) < 2:
            raise self.error(f"the variance of one weight is not defined: weights are {declared.shape}")
        self.eps = number(self, "eps", eps)
        if gain:
            self.gain = filled((out_channels, 1, 1, 1), 1.0)

    def forward(self, x: Value) -> Value:
        return conv(x, *_operands(self), windows=self.windows, groups=self.groups)


def _operands(layer: Any) -> list[Any]:
    """Standardised weights, and the bias."""
    gain = layer.gain if "gain" in layer._parameters else None
    return [standardized(layer.weight, layer.eps, gain), *([layer.bias] if layer.has_bias else [])]
