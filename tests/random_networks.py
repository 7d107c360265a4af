"""Seeded random networks, their arguments, and their entry points: what the laws are tested on.

`case(seed)` is a network that uses a random part of everything the front end offers: chains and graphs,
several inputs and outputs, skip connections, feedback through `delay`, every option of Leaky, neurons of
a user's own, Flatten, every loss. The same seed always gives the same network and arguments.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

import snncc
from snncc import loss, nn
from snncc.driver import Stages, entry_stages
from snncc.frontend.dsl import Network, trace
from snncc.loss import Loss
from snncc.nn import surrogate
from snncc.nn.surrogate import Surrogate
from snncc.passes.choose_kernels import spike_states
from snncc.reference import Call
from snncc.target import Target

Array = NDArray[Any]
Random = np.random.Generator

SURROGATES: tuple[Surrogate, ...] = (
    surrogate.ATan(), surrogate.ATan(1.0), surrogate.FastSigmoid(5.0), surrogate.Sigmoid(4.0),
    surrogate.Triangle(1.5), surrogate.Rectangle(2.0), surrogate.StraightThrough(),
)  # fmt: skip
LOSSES: tuple[Loss, ...] = (
    loss.cross_entropy("mem"), loss.cross_entropy("rate"), loss.cross_entropy("count"),
    loss.mse("mem"), loss.mse("rate"), loss.mse("count"),
    loss.mse("mem", on=1.2, off=-0.1), loss.mse("rate", on=0.9, off=0.1), loss.mse("count", on=0.8, off=0.2),
)  # fmt: skip


class Synaptic(nn.Neuron):
    """A user's neuron with two states, a learnable coefficient and a detached reset."""

    surrogate = surrogate.FastSigmoid(3.0)

    def __init__(self, n: int) -> None:
        self.alpha = nn.Parameter((n,), np.linspace(0.2, 0.7, n), limits=(0.0, 1.0))

    def step(self, current: Any, syn: Any, mem: Any) -> tuple[Any, Any, Any]:  # type: ignore[override]
        reset = snncc.detach(snncc.spike(mem - 0.6))
        syn = self.alpha * syn + current
        mem = 0.8 * mem + syn - reset * 0.6
        return snncc.spike(mem - 0.6, self.surrogate), syn, mem


class Adaptive(nn.Neuron):
    """A user's neuron whose threshold follows its activity; nonlinear in every state."""

    @property
    def initial(self) -> dict[str, Any]:
        return {"mem": 0.1, "trace": 0.5}

    def step(self, current: Any, mem: Any, trace: Any) -> tuple[Any, Any, Any]:  # type: ignore[override]
        pulled = snncc.tanh(current) * 0.9 + 0.7 * mem * snncc.sigmoid(trace)
        mem = snncc.where(pulled > -0.4, pulled, 0.5 * pulled)
        spk = snncc.spike(mem - 0.3 / snncc.sqrt(1.0 + trace * trace), self.surrogate)
        trace = snncc.clamp(0.9 * trace + 0.2 * snncc.absolute(mem), -1.0, 2.0)
        return spk, mem, -trace


def leaky(rng: Random, n: int) -> nn.Leaky:
    """A Leaky with random options; n is 0 where coefficients must be numbers."""

    def number(low: float, high: float) -> Any:
        return rng.uniform(low, high, n) if n and rng.random() < 0.4 else float(rng.uniform(low, high))

    return nn.Leaky(
        number(-0.2, 1.3),  # used clamped to [0, 1]
        number(0.2, 0.9),
        reset=str(rng.choice(["subtract", "zero", "none"])),
        reset_delay=bool(rng.random() < 0.6),
        learn_beta=bool(rng.random() < 0.4),
        learn_threshold=bool(rng.random() < 0.4),
        init_mem=number(-0.3, 0.8) if rng.random() < 0.4 else 0.0,
        surrogate=None if rng.random() < 0.1 else SURROGATES[rng.integers(len(SURROGATES))],
    )


def neuron(rng: Random, n: int) -> nn.Neuron:
    """Any neuron for n inputs; all have a state `mem`."""
    kind = rng.random()
    return leaky(rng, n) if kind < 0.7 else Synaptic(n) if kind < 0.85 else Adaptive()


class Layer(nn.Module):
    """Linear and a neuron, with or without feedback of the spikes through a second Linear."""

    def __init__(self, rng: Random, n_in: int, n_out: int) -> None:
        self.n = n_out
        self.fc = nn.Linear(n_in, n_out, bias=bool(rng.random() < 0.7))
        self.neuron = neuron(rng, n_out)
        if rng.random() < 0.35:
            self.back = nn.Linear(n_out, n_out, bias=bool(rng.random() < 0.3))
        self.initial, self.steps = float(rng.choice([0.0, 0.5])), int(rng.choice([1, 1, 2, 4]))

    def forward(self, x: Any) -> Any:
        current = self.fc(x)
        if "back" not in self.__dict__:
            return self.neuron(current)
        loop = snncc.delay(shape=self.n, initial=self.initial, name="loop", steps=self.steps)
        out = self.neuron(current + self.back(loop.value))
        loop.feed(out.spk)
        return out


class Graph(nn.Module):
    """Layers with two inputs, skips, delays, and outputs of every kind."""

    def __init__(self, rng: Random, sizes: list[int]) -> None:
        n_in, *rest = sizes
        kinds = rng.random(2) < 0.4
        self.inputs = {
            name: nn.Input(n, static=bool(kind))
            for name, n, kind in zip(("x", "side"), (n_in, rest[0]), kinds, strict=True)
        }
        self.layers = [Layer(rng, a, b) for a, b in pairwise(sizes)]
        self.skip = nn.Linear(n_in, rest[-1], bias=False)
        self.steps = int(rng.choice([1, 2]))
        self.plan = dict(zip(("skip", "delayed", "outputs", "scaled"), rng.random(4) < 0.5, strict=True))

    def forward(self, x: Any, side: Any) -> Any:
        spk = self.layers[0](x).spk + (0.5 * side if self.plan["scaled"] else side)
        hidden = spk
        for layer in self.layers[1:]:
            spk = layer(spk).spk
        if self.plan["skip"]:
            spk = spk + self.skip(x)
        late = snncc.delay(spk, initial=0.25, name="late", steps=self.steps)
        mem = late - spk if self.plan["delayed"] else 2.0 * spk
        found = {"spk": spk, "mem": mem}
        return {**found, "hidden": hidden, "same": side} if self.plan["outputs"] else found


def chain(rng: Random, sizes: list[int]) -> nn.Module:
    """A Sequential, from a plain or a two-dimensional input, static or not."""
    layers: dict[str, nn.Module] = {}
    static = bool(rng.random() < 0.3)
    declared = nn.Input(sizes[0], static=static)
    if rng.random() < 0.3:
        declared = nn.Input(2, sizes[0], static=static)
        layers |= {"lif0": leaky(rng, 0)} if rng.random() < 0.5 else {}
        layers["flat"] = nn.Flatten()
        sizes = [2 * sizes[0], *sizes[1:]]
    for i, (a, b) in enumerate(pairwise(sizes), 1):
        layers |= {f"fc{i}": nn.Linear(a, b, bias=bool(rng.random() < 0.8)), f"lif{i}": neuron(rng, b)}
    return nn.Sequential(input=declared, **layers)


def module(rng: Random) -> nn.Module:
    """A random network: one layer (perhaps with feedback), a chain, or a graph."""
    sizes = [int(n) for n in rng.integers(1, 5, rng.integers(2, 4))]
    if rng.random() < 0.2:
        return nn.Sequential(Layer(rng, *sizes[:2]), input=nn.Input(sizes[0]))
    return chain(rng, sizes) if rng.random() < 0.5 else Graph(rng, sizes)


@dataclass(frozen=True)
class Case:
    """A random network with a loss and arguments for all its entry points."""

    seed: int
    network: Network
    loss: Loss
    call: Call

    def entries(self) -> Iterator[tuple[Stages, Target]]:
        """Every entry point before the passes."""
        target = Target(loss=self.loss, dtype="float64")
        for stages in entry_stages(self.network, target):
            yield stages, target


def case(seed: int) -> Case:
    """The random network of a seed."""
    rng = np.random.default_rng(seed)
    network = trace(module(rng), seed=seed)
    chosen = LOSSES[rng.integers(len(LOSSES))]
    call = arguments(rng, network, chosen, steps=int(rng.integers(1, 6)), batch=3)
    return Case(seed, network, chosen, call)


def arguments(rng: Random, network: Network, chosen: Loss, steps: int, batch: int) -> Call:
    """Inputs, targets, cotangents, parameters of some spread, and initial states for some of the states."""
    graph = network.graph
    given: dict[str, Array] = {}
    for name, declared in network.inputs.items():
        shape = (batch, *declared.shape) if declared.static else (steps, batch, *declared.shape)
        given[name] = rng.normal(0.3, 1.0, shape)
    for output in graph.outputs:
        type = graph[output.value].type
        if output.role == "output" and rng.random() < 0.8:
            given[f"d_{output.name}"] = rng.normal(size=(steps,) * type.time + (batch, *type.features))
    features = next(graph[o.value].type.features for o in graph.outputs if o.name == chosen.reads)
    labels = rng.integers(0, features[0], batch)
    given["target"] = labels if chosen.target_is_label() else rng.normal(size=(batch, *features))
    states = {
        node.op.label: rng.normal(size=(batch, *node.type.features))  # type: ignore[attr-defined]
        for node in graph
        if node.op.name == "state" and rng.random() < 0.5
    }
    states |= {label: (states[label] > 0) * 1.0 for label in spike_states(graph) & {*states}}
    return Call(given, spread(rng, network.parameters), states, steps, batch)


def spread(rng: Random, parameters: Mapping[str, Array]) -> dict[str, Array]:
    """Parameters moved a little, so that nothing is symmetric."""
    return {name: array + rng.normal(0, 0.1, array.shape) for name, array in parameters.items()}
