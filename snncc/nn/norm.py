"""Normalisation layers. Names, arguments, defaults, parameters and buffers are PyTorch's.

Batch normalisation takes its statistics over all steps and samples of a batch (and the features of a
channel), as SpikingJelly's multi-step layers do. `BatchNormTT1d` has statistics for each step.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from ..ops import Value, sqrt
from ..ops.groups import spread
from ..ops.normalize import Over, normalize, scaled
from .layers import positive
from .module import Module, Parameter


def filled(shape: tuple[int, ...], value: float, learnable: bool = True) -> Parameter:
    """A parameter that starts as one number everywhere."""
    return Parameter(shape, np.asarray(value), learnable=learnable)


def number(module: Module, name: str, value: float, low: float = 0.0) -> float:
    """A number of at least `low`."""
    if value < low:
        raise module.error(f"{name} must be at least {low:g}, got {value!r}")
    return value


class _BatchNorm(Module):
    """Base of batch normalisation: one mean and variance a channel, or for BNTT a step and channel."""

    ranks: ClassVar[tuple[int, ...]] = ()  # of the features of a sample at a step
    steps: int = 0  # with statistics of their own; 0: all share theirs

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
    ) -> None:
        positive(self, num_features=num_features)
        self.num_features, self.eps = num_features, number(self, "eps", eps)
        self.momentum = None if momentum is None else number(self, "momentum", momentum)
        self.affine, self.track_running_stats = affine, track_running_stats
        shape = (self.steps, num_features) if self.steps else (num_features,)
        if affine:
            self.weight = filled(shape, 1.0)
            if not self.steps:
                self.bias = filled(shape, 0.0)
        if track_running_stats:
            self.running_mean = filled(shape, 0.0, learnable=False)
            self.running_var = filled(shape, 1.0, learnable=False)
            self.num_batches_tracked = filled((self.steps,) if self.steps else (), 0.0, learnable=False)

    def forward(self, x: Value) -> Value:
        over = self._over(x)
        affine = [getattr(self, name) for name in ("weight", "bias") if name in self._parameters]
        if not self.track_running_stats:
            return normalize(x, over, self.eps, *affine)[0]
        # All parameters are read in both modes; they are values while the network is traced.
        read: list[Any] = [self.running_mean, self.running_var, self.num_batches_tracked]
        mean, variance, tracked = read
        if self.training:
            y, *found = normalize(x, over, self.eps, *affine)
            self._track(over, x, tracked + 1.0, (mean, variance), found)
            return y
        scale = 1.0 / sqrt(variance + self.eps)
        scale = scale * affine[0] if affine else scale
        shift = affine[1] - mean * scale if len(affine) > 1 else -(mean * scale)
        if self.steps:
            return x * over.back(scale) + over.back(shift)
        return scaled(x, scale, shift)

    def _over(self, x: Value) -> Over:
        """The axes of the statistics; raises CompileError for features of another shape."""
        if len(x.shape) not in self.ranks or x.shape[0] != self.num_features:
            names = {1: "", 2: ", length", 3: ", height, width", 4: ", depth, height, width"}
            wanted = " or ".join(f"[{self.num_features}{names[r]}]" for r in self.ranks)
            raise self.error(f"expected features {wanted}, found {list(x.shape)}")
        kind = "step" if self.steps else "batch"
        return Over(x.shape, (self.num_features,), kind, x.type.time or bool(self.steps), self.steps)

    def _track(self, over: Over, x: Value, tracked: Value, old: Sequence[Any], new: Sequence[Value]) -> None:
        """Running mean and (unbiased) variance go a part of the way to those of the batch."""
        self.update("num_batches_tracked", tracked)
        count = over.count(x)
        unbiased = new[1] * (count / (count - 1.0))
        part: Any = 1.0 / tracked if self.momentum is None else self.momentum
        if self.steps and self.momentum is None:
            part = spread(part, over.shape)
        for name, before, now in zip(("running_mean", "running_var"), old, (new[0], unbiased), strict=True):
            self.update(name, before * (1.0 - part) + now * part)


class BatchNorm1d(_BatchNorm):
    """Batch normalisation of features [C] or [C, length] over steps, samples and length.

        y = (x - mean) / sqrt(var + eps) weight + bias

    Training takes mean and (biased) variance of the batch, and moves running_mean and running_var a part
    `momentum` of the way to them (the unbiased variance; None: to the average of all batches). A call takes
    the running ones, unless track_running_stats=False. An input that is the same at every step counts once.

    num_features: C. eps: keeps the root from zero. affine: whether weight and bias are there.
    """

    ranks = (1, 2)


class BatchNorm2d(_BatchNorm):
    """Batch normalisation of features [C, height, width]; see `BatchNorm1d`."""

    ranks = (3,)


class BatchNorm3d(_BatchNorm):
    """Batch normalisation of features [C, depth, height, width]; see `BatchNorm1d`."""

    ranks = (4,)


class _ThresholdDependent(_BatchNorm):
    """Base of tdBN: the weight starts at alpha v_th."""

    def __init__(
        self,
        alpha: float,
        v_th: float,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
    ) -> None:
        if not affine:
            raise self.error("the threshold is in the weight: affine must be True")
        super().__init__(num_features, eps, momentum, affine, track_running_stats)
        self.alpha, self.v_th = number(self, "alpha", alpha), number(self, "v_th", v_th)
        self.weight = filled((num_features,), self.alpha * self.v_th)


class ThresholdDependentBatchNorm1d(_ThresholdDependent):
    """tdBN (Zheng et al. 2021) of features [C] or [C, length]: `BatchNorm1d`, weights start at alpha v_th.

    alpha: 1, or 1/sqrt(n) where n branches are added. v_th: the threshold of the neuron behind it.
    """

    ranks = (1, 2)


class ThresholdDependentBatchNorm2d(_ThresholdDependent):
    """tdBN of features [C, height, width]; see `ThresholdDependentBatchNorm1d`."""

    ranks = (3,)


class _ThroughTime(_BatchNorm):
    """Base of BNTT: parameters and statistics for each step, no bias."""

    def __init__(
        self,
        input_features: int,
        time_steps: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
    ) -> None:
        positive(self, input_features=input_features, time_steps=time_steps)
        self.steps = time_steps
        super().__init__(input_features, eps, momentum, affine)


class BatchNormTT1d(_ThroughTime):
    """Batch normalisation through time (BNTT, Kim and Panda 2021) of features [C] or [C, length].

    Each of `time_steps` steps has a weight and statistics of its own, over samples and length, and no bias.
    Row t of weight, running_mean and running_var [time_steps, C] is what snnTorch's `BatchNormTT1d` has in
    its layer t, and SpikingJelly's `BatchNormThroughTime1d` in bn_list[t]. A call has exactly so many steps.
    """

    ranks = (1, 2)


class BatchNormTT2d(_ThroughTime):
    """BNTT of features [C, height, width]; see `BatchNormTT1d`."""

    ranks = (3,)


class LayerNorm(Module):
    """Normalises each sample and step over its last features (PyTorch's `LayerNorm`).

        y = (x - mean) / sqrt(var + eps) weight + bias

    normalized_shape: the last features, an integer or a shape; mean and variance are over these.
    elementwise_affine: whether weight (and, with `bias`, bias) of that shape are there.
    """

    def __init__(
        self,
        normalized_shape: int | Sequence[int],
        eps: float = 1e-5,
        elementwise_affine: bool = True,
        bias: bool = True,
    ) -> None:
        sizes = [normalized_shape] if isinstance(normalized_shape, int) else normalized_shape
        for size in sizes:
            positive(self, normalized_shape=size)
        self.normalized_shape, self.eps = tuple(sizes), number(self, "eps", eps)
        if not self.normalized_shape:
            raise self.error("normalized_shape needs at least one axis")
        if elementwise_affine:
            self.weight = filled(self.normalized_shape, 1.0)
            if bias:
                self.bias = filled(self.normalized_shape, 0.0)

    def forward(self, x: Value) -> Value:
        rank = len(self.normalized_shape)
        if x.shape[-rank:] != self.normalized_shape:
            raise self.error(
                f"expected features ending in {list(self.normalized_shape)}, found {list(x.shape)}"
            )
        y, _, _ = normalize(x, Over(x.shape, x.shape[:-rank], "row", x.type.time), self.eps)
        return _affine(self, y, trailing=True)


class GroupNorm(Module):
    """Normalises each sample and step over groups of channels (PyTorch's `GroupNorm`).

    num_groups divides num_channels, the first of the features; weight and bias [num_channels] are there with
    `affine`.
    """

    def __init__(self, num_groups: int, num_channels: int, eps: float = 1e-5, affine: bool = True) -> None:
        positive(self, num_groups=num_groups, num_channels=num_channels)
        if num_channels % num_groups:
            raise self.error(f"num_channels {num_channels} cannot be divided into {num_groups} groups")
        self.num_groups, self.num_channels = num_groups, num_channels
        self.eps = number(self, "eps", eps)
        if affine:
            self.weight = filled((num_channels,), 1.0)
            self.bias = filled((num_channels,), 0.0)

    def forward(self, x: Value) -> Value:
        if not x.shape or x.shape[0] != self.num_channels:
            raise self.error(f"expected features [{self.num_channels}, ...], found {list(x.shape)}")
        groups = (self.num_groups,) if self.num_groups > 1 else ()
        y, _, _ = normalize(x, Over(x.shape, groups, "row", x.type.time), self.eps)
        return _affine(self, y)


def _affine(module: Module, y: Value, trailing: bool = False) -> Value:
    """y weight + bias, each spread over the features."""
    for name in ("weight", "bias"):
        if name in module._parameters:
            value = spread(getattr(module, name), y.shape, trailing)
            y = y * value if name == "weight" else y + value
    return y
