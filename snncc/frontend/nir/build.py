"""From a node of NIR to a module of ours, and what the report says about it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ... import nn
from ...errors import CompileError
from ...nn.module import Module, Parameter
from ...nn.nir import Dialect
from ...nn.surrogate import Surrogate
from ..foreign import shown
from ..report import Finding
from .primitives import PRIMITIVES, SPIKING, whole
from .read import RawNode
from .shapes import SPACE, Shape, flat_axes

CLOSE = 1e-3  # of a step: how far a delay may be from a whole number of steps and count as exact
COUNTS = (
    "sinabs fires several spikes in one step unless it was made with SingleSpike, which the file does not "
    "say; here a neuron fires at most one"
)


@dataclass(frozen=True)
class Options:
    """How a file is read. dt [s]: the step. surrogate: "default" is the dialect's."""

    dt: float
    dialect: Dialect
    surrogate: Surrogate | str | None = "default"
    ahead: int = 0  # steps of delay that the network has behind this node already


@dataclass(frozen=True)
class Part:
    """What a node became."""

    module: Module | None  # None: what enters leaves
    finding: Finding


def build(name: str, node: RawNode, entering: Shape, options: Options) -> Part:
    """The module of a node of a known type. Raises CompileError that names it."""
    try:
        with np.errstate(all="ignore"):  # what becomes infinite is refused as such
            module, finding = BUILDERS[node.type](node, entering, options)
    except CompileError as error:
        raise CompileError(f"node {shown(name)} ({node.type}): {error}") from None
    return Part(module, replace(finding, node=name, kind=node.type))


Built = tuple[Module | None, Finding]


def _exact(became: str = "") -> Finding:
    return Finding("", "", became=became)


def coefficient(node: RawNode, name: str, shape: Shape) -> float | np.ndarray:
    """A value of each neuron: one number if it is the same for all."""
    array = np.asarray(node.values[name], np.float64)
    if (array == array.flat[0]).all():
        return float(array.flat[0])
    return array.reshape(shape)


def _weights(module: Any, node: RawNode) -> None:
    """Give a layer the file's weights."""
    for name in ("weight", "bias"):
        if name in module._parameters:
            declared: Parameter = module._parameters[name]
            array = np.broadcast_to(np.asarray(node.values[name], np.float64), declared.shape)
            setattr(module, name, replace(declared, initial=array))


def _linear(node: RawNode, entering: Shape, options: Options) -> Built:
    rows, columns = np.shape(node.values["weight"])
    layer = nn.Linear(columns, rows, bias=node.type == "Affine")
    _weights(layer, node)
    return layer, _exact(f"nn.Linear({columns}, {rows}{'' if layer.has_bias else ', bias=False'})")


def _conv(node: RawNode, entering: Shape, options: Options) -> Built:
    axes, (out, per_group, *kernel) = SPACE[node.type], np.shape(node.values["weight"])
    groups = whole(node, "groups", 1)[0]
    given = node.values["padding"]
    layer = getattr(nn, node.type)(
        per_group * groups,
        out,
        tuple(kernel),
        stride=whole(node, "stride", axes),
        padding=given if isinstance(given, str) else whole(node, "padding", axes),
        dilation=whole(node, "dilation", axes),
        groups=groups,
        bias="bias" in node.values,
    )
    _weights(layer, node)
    return layer, _exact(f"nn.{node.type}({per_group * groups}, {out}, {'x'.join(map(str, kernel))})")


def _pool(node: RawNode, entering: Shape, options: Options) -> Built:
    size, stride, ends = (whole(node, name, 2) for name in ("kernel_size", "stride", "padding"))
    return getattr(nn, node.type)(size, stride, ends), _exact(f"nn.{node.type}({size[0]}x{size[1]})")


def _flatten(node: RawNode, entering: Shape, options: Options) -> Built:
    first, last = flat_axes(node, len(entering))
    if (first, last) == (0, len(entering) - 1):
        return nn.Flatten(), _exact("nn.Flatten()")
    return nn.nir.Flatten(first, last), _exact(f"nn.nir.Flatten({first}, {last})")


def _neuron(node: RawNode, entering: Shape, options: Options) -> Built:
    fields = PRIMITIVES[node.type].per_feature
    values = {name: coefficient(node, name, entering) for name in fields if name in node.values}
    more: dict[str, Any] = {"surrogate": options.surrogate} if node.type in SPIKING else {}
    neuron = getattr(nn.nir, node.type)(**values, **more, dt=options.dt, dialect=options.dialect)
    numbers = ", ".join(f"{n}={v:g}" for n, v in values.items() if isinstance(v, float))
    became = f"nn.nir.{node.type}({numbers})"
    if options.dialect.name == "sinabs" and node.type in SPIKING:
        return neuron, Finding("", "", "approximate", COUNTS, became)
    return neuron, _exact(became)


def _threshold(node: RawNode, entering: Shape, options: Options) -> Built:
    given = options.surrogate
    surrogate = options.dialect.surrogate if isinstance(given, str) else given
    neuron = nn.nir.Threshold(coefficient(node, "threshold", entering), surrogate=surrogate)
    return neuron, _exact("nn.nir.Threshold")


def _scale(node: RawNode, entering: Shape, options: Options) -> Built:
    return nn.nir.Scale(coefficient(node, "scale", entering)), _exact("nn.nir.Scale")


def _delay(node: RawNode, entering: Shape, options: Options) -> Built:
    steps = np.asarray(node.values["delay"], np.float64) / options.dt
    layer = nn.nir.Delay(coefficient(node, "delay", entering), dt=options.dt, ahead=options.ahead)
    became = (
        f"nn.nir.Delay({' to '.join(f'{s:g}' for s in np.unique(np.rint([steps.min(), steps.max()])))} steps)"
    )
    off = np.abs(steps - np.rint(steps))
    if off.max() <= CLOSE:
        return layer, _exact(became)
    worst = float(steps.flat[int(off.argmax())])
    why = f"a delay of {worst:g} steps was rounded to {np.rint(worst):g}; a dt that divides it would be exact"
    return layer, Finding("", "", "approximate", why, became)


def _through(node: RawNode, entering: Shape, options: Options) -> Built:
    return None, _exact()


BUILDERS: dict[str, Callable[[RawNode, Shape, Options], Built]] = {
    "Input": _through,
    "Output": _through,
    "Affine": _linear,
    "Linear": _linear,
    "Scale": _scale,
    "Conv1d": _conv,
    "Conv2d": _conv,
    "SumPool2d": _pool,
    "AvgPool2d": _pool,
    "Flatten": _flatten,
    "Delay": _delay,
    "Threshold": _threshold,
    **dict.fromkeys(("I", "LI", "IF", "LIF", "CubaLI", "CubaLIF"), _neuron),
}
