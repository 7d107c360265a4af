"""Products with sparse weights whose synapses are late: each by its own number of steps.

Synapses lie as those of `sparse_linear` do. Synapse s is positions[s] steps late; between two whole numbers,
k and k + 1, it hands on (1 - f) of its input after k and f after k + 1 steps, f = positions[s] - k. That is
the linear interpolation of dilated convolutions with learnable spacings (Khalfaoui-Hassani et al. 2023),
with which a position has a gradient. (Hammouamri et al. 2024, who learn delays of spiking networks so,
interpolate with a Gaussian that narrows during training.)
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from ..errors import CompileError, located
from ..graph import Graph, Op, Type
from .reduce import expand, sum_to
from .sparse import added, inputs_of
from .value import Value, apply


@dataclass(frozen=True)
class Late(Op):
    """Base: longest [steps] is how many steps of its input a layer still remembers."""

    longest: int
    spans: ClassVar[bool] = True

    def shares(self, positions: Any) -> Iterator[tuple[int, Any, Any]]:
        """For each whole delay d what of a synapse is d steps late, and its derivative by the position."""
        whole = np.minimum(np.floor(positions).astype(np.int64), self.longest - 1)
        part = positions - whole
        for d in range(self.longest + 1):
            here, after = whole == d, whole + 1 == d
            yield d, here * (1 - part) + after * part, after * 1.0 - here


@dataclass(frozen=True)
class DelayedLinear(Late):
    """delayed_linear(x, before, values, positions, indices, offsets[, bias]).

    before: x of the `longest` steps before the first one, [longest, n_in], the oldest first. kernel: "" until
    `choose_kernels`, then "events" (x is an event list).
    """

    n_out: int
    kernel: str = ""
    name = "delayed_linear"

    def infer(self, *types: Type) -> Type:
        x, n_in = types[0], types[5].features[0] - 1
        if x.features != (n_in,):
            raise CompileError(f"layer takes {n_in} features, its input has shape {list(x.features)}")
        return Type((self.n_out,), True, True, x.dtype)

    def evaluate(self, *arrays: Any) -> Any:
        x, before, values, positions, indices, offsets, *bias = arrays
        steps, whole = len(x), _joined(before, x)
        start = np.broadcast_to(bias[0] if bias else 0, (steps, x.shape[1], self.n_out)).astype(whole.dtype)
        for d, share, _ in self.shares(positions):
            carried = whole[self.longest - d :][:steps][..., inputs_of(offsets)] * (values * share)
            start = added(start, indices[0, 0], carried)
        return start

    def vjp(self, grad: Any, out: Any, *inputs: Any) -> tuple[Any, ...]:
        x, before, values, positions, indices, offsets, *bias = inputs
        grad_bias = tuple(sum_to(grad, out.type, b.type) for b in bias)
        full = expand(grad, out.type)
        wired = (values, positions, indices, offsets)
        back = [apply(DelayedInputGradient(self.longest, k), full, *wired) for k in (False, True)]
        learned = [
            apply(DelayedGradient(self.longest, k), full, x, before, *wired)
            for k in (False, True)
            if not k or positions.type.dtype != "i32"
        ]
        return (*back, *learned, *[None] * (4 - len(learned)), *grad_bias)


@dataclass(frozen=True)
class DelayedGradient(Late):
    """For each synapse the gradient of its value, or of its position."""

    of_positions: bool
    kernel: str = ""
    name = "delayed_gradient"

    def infer(self, *types: Type) -> Type:
        return Type(types[5].features, False, False, types[0].dtype)

    def evaluate(self, *arrays: Any) -> Any:
        d_y, x, before, values, positions, indices, offsets = arrays
        steps, whole = len(d_y), _joined(before, np.broadcast_to(x, (len(d_y), *x.shape[1:])))
        total = np.zeros(values.shape[-1], d_y.dtype)
        for d, share, slope in self.shares(positions):
            carried = whole[self.longest - d :][:steps][..., inputs_of(offsets)]
            factor = values * slope if self.of_positions else share
            total += np.einsum("tbs,tbs->s", d_y[..., indices[0, 0]], carried) * factor[0, 0]
        return total[None, None]

    def vjp(self, grad: Any, out: Any, *inputs: Any) -> tuple[Any, ...]:
        raise CompileError("second derivatives are not supported")


@dataclass(frozen=True)
class DelayedInputGradient(Late):
    """The gradient of the input at each step, or of what it was before the first one."""

    of_before: bool
    name = "delayed_input_gradient"

    def infer(self, *types: Type) -> Type:
        n_in = types[4].features[0] - 1
        return Type(
            (self.longest, n_in) if self.of_before else (n_in,), not self.of_before, True, types[0].dtype
        )

    def evaluate(self, *arrays: Any) -> Any:
        d_y, values, positions, indices, offsets = arrays
        whole = np.zeros((self.longest + len(d_y), d_y.shape[1], offsets.shape[-1] - 1), d_y.dtype)
        for d, share, _ in self.shares(positions):
            rows = slice(self.longest - d, self.longest - d + len(d_y))
            gathered = d_y[..., indices[0, 0]] * (values * share)
            whole[rows] = added(whole[rows], inputs_of(offsets), gathered)
        first = whole[: self.longest]
        return np.moveaxis(first, 0, 1)[None] if self.of_before else whole[self.longest :]

    def vjp(self, grad: Any, out: Any, *inputs: Any) -> tuple[Any, ...]:
        raise CompileError("second derivatives are not supported")


def _joined(before: Any, x: Any) -> Any:
    """The sequence with the steps before it in front."""
    rows = np.moveaxis(before[0], 1, 0)
    batch = max(rows.shape[1], x.shape[1])
    return np.concatenate([np.broadcast_to(a, (len(a), batch, a.shape[-1])) for a in (rows, x)])


def delayed_linear(x: Value, before: Value, longest: int, n_out: int, *operands: Value) -> Value:
    """What late synapses hand on; operands: values, positions, indices, offsets and maybe a bias."""
    result: Value = apply(
        DelayedLinear(longest, n_out), expand(x, Type(x.shape, True, True)), before, *operands
    )
    return result


def check_delayed(graph: Graph, segment: int) -> None:
    """Raises CompileError where steps run in segments: late synapses hand on to steps of later ones."""
    for node in graph:
        if segment and node.op.name == "delayed_linear":
            raise located(
                f"%{node.name}: synapses or neurons with delays of their own need all steps at once, but "
                "steps are computed segment by segment; use nn.Delay(n) with one delay for the layer there, "
                "or compile without checkpoint_every and with rule='bptt'",
                node.where,
            )
