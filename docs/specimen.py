"""A neuron's constructor, and what a neuron made by it has: parameters, states, outputs.

Sizes of the specimens are primes, so that a shape tells which arguments it is made of.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from itertools import combinations
from typing import Any

import numpy as np

from snncc import CompileError, nn
from snncc.frontend.dsl import Network, trace
from snncc.graph import Graph
from snncc.nn.module import Module

NEURONS = 17
SIZES = {
    "in_features": 3, "out_features": 5, "d_value": 7, "d_key": 11, "num_steps": 13, "k": 2,
    "linear_features": NEURONS, "channels": 19, "input_size": 3, "hidden_size": 3, "in_dim": 3, "T": 13,
    "in_channels": 23, "out_channels": 29, "conv2d_channels": 31, "kernel_size": 37,
}    # fmt: skip
HEIGHT, WIDTH = 41, 43    # of images
VALUES = {
    "beta": 0.8, "alpha": 0.9, "num_spiking_neurons": 77, "nb_timesteps": 13,
    "tau": 0.02, "tau_syn": 0.005, "tau_mem": 0.02, "r": 1.0, "v_leak": 0.0, "v_threshold": 1.0, "dt": 1e-3,
    "scale": 2.0, "threshold": 1.0,
}    # fmt: skip
# What else a specimen needs, where arguments with a default are not all; of each, a page shows all variants.
VARIANTS: dict[str, tuple[dict[str, Any], ...]] = {
    "Lapicque": ({"beta": 0.8},),
    "RLeaky": ({"V": 0.5}, {"linear_features": NEURONS}, {"conv2d_channels": 31, "kernel_size": 37}),
    "RSynaptic": ({"V": 0.5}, {"linear_features": NEURONS}, {"conv2d_channels": 31, "kernel_size": 37}),
    "GatedLIF": ({}, {"channels": SIZES["channels"]}),
}


def constructor(kind: type[Module]) -> dict[str, inspect.Parameter]:
    """Its arguments; those that it hands on as **options are its base's."""
    found: dict[str, inspect.Parameter] = {}
    for base in kind.__mro__:
        if "__init__" not in base.__dict__ or base is object:
            continue
        own = dict(list(inspect.signature(base.__dict__["__init__"]).parameters.items())[1:])
        named = {n: p for n, p in own.items() if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)}
        if found:
            named = {n: p.replace(kind=p.KEYWORD_ONLY) for n, p in named.items()}
        found = {**found, **{n: p for n, p in named.items() if n not in found}}
        if len(named) == len(own):
            break
    return found


def text_of(default: Any) -> str:
    """A default as one writes it."""
    return f'"{default}"' if isinstance(default, str) else repr(default)


def signature(kind: type[Module]) -> list[str]:
    """Arguments as in a call, with defaults."""
    shown, starred = [], False
    for name, argument in constructor(kind).items():
        if argument.kind == argument.KEYWORD_ONLY and not starred:
            starred = True
            shown.append("*")
        shown.append(name if argument.default is argument.empty else f"{name}={text_of(argument.default)}")
    return shown


def required(kind: type[Module]) -> dict[str, Any]:
    """Values for the arguments that have no default."""
    given = {**VALUES, **SIZES}
    return {n: given[n] for n, p in constructor(kind).items() if p.default is p.empty}


def abstract(kind: type[Module]) -> bool:
    """Whether it is a base that leaves its equation to others."""
    base = nn.IntegrateAndFire
    return issubclass(kind, base) and kind.charge is base.charge and kind.step is base.step


def specimens(kind: type[Module]) -> Iterator[Callable[..., Module]]:
    """Ways to make one, to which other arguments may be given."""
    for variant in VARIANTS.get(kind.__name__, ({},)):
        yield partial(kind, **{**required(kind), **variant})


class _Alone(Module):
    """A network of one neuron."""

    def __init__(self, neuron: Module) -> None:
        size = getattr(neuron, "in_features", None) or getattr(neuron, "channels", None) or NEURONS
        back = getattr(neuron, "recurrent", None)
        channels = getattr(neuron, "in_channels", None) or getattr(back, "in_channels", None)
        self.inputs = {"x": nn.Input(channels, HEIGHT, WIDTH) if channels else nn.Input(size)}
        self.neuron = neuron

    def forward(self, x: Any) -> Any:
        return self.neuron(x)


def traced(neuron: Module) -> Network:
    return trace(_Alone(neuron))


def output_names(network: Network) -> list[str]:
    return [o.name for o in network.graph.outputs if o.role == "output"]


def states(network: Network) -> Iterator[tuple[str, tuple[int, ...], str]]:
    """Name, shape and initial value of each."""
    graph: Graph = network.graph
    for node in graph.nodes.values():
        if node.op.name != "delay":
            continue
        initial = graph.nodes[node.inputs[1]]
        (value,) = initial.inputs
        source = graph.nodes[value]
        first = getattr(source.op, "value", None)
        label = str(getattr(initial.op, "label", "")).removeprefix("neuron.")
        yield label, node.type.features, f"{first:g}" if first is not None else f"`{value}`"


def parameters(neuron: Module) -> dict[str, nn.Parameter]:
    """By path, as in a state_dict."""
    return {
        f"{path}.{name}" if path else name: parameter
        for path, module in neuron.named_modules()
        for name, parameter in module._parameters.items()
    }


def one_a_neuron(make: Callable[..., Module], name: str, count: tuple[int, ...]) -> dict[str, nn.Parameter]:
    """The parameters of a neuron for which this argument is one number a neuron; none if it cannot be."""
    start = getattr(make, "keywords", {}).get(name, 0.5)
    values = np.full(count, 2.5 if name.startswith(("tau", "C", "R")) else start if start else 0.5)
    try:
        return parameters(make(**{name: values}))
    except CompileError:
        return {}


def shape_text(shape: tuple[int, ...], kind: type[Module]) -> str:
    """A shape in the words of the arguments: [2 out_features, in_features]."""
    names = {SIZES[n]: n for n in constructor(kind) if n in SIZES and n != "linear_features"}
    names |= {NEURONS: "neurons", HEIGHT: "height", WIDTH: "width"}
    return f"[{', '.join(_length(length, names) for length in shape)}]"


def _length(length: int, names: Mapping[int, str]) -> str:
    if length in names:
        return names[length]
    for a, b in combinations(names, 2):
        if length == a * b:
            return f"{names[a]} {names[b]}"
    for size, name in names.items():
        if length % size == 0 and size > 2:
            return f"{length // size} {name}"
    for a, b in combinations(names, 2):
        if length == a + b:
            return f"{names[a]} + {names[b]}"
    return str(length)
