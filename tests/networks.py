"""Small networks of every kind that the compiler takes, and what the reference interpreter says of them.

Weights and inputs are multiples of 1/64 and 1/16: products with them are exact in float32, in whatever order
they are added. So spikes and membranes must agree to the bit in both precisions, and only gradients round.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

import snncc
from snncc import Model, loss, nn, optim
from snncc.driver import entry_stages
from snncc.frontend.dsl import trace
from snncc.nn.module import Module
from snncc.passes.simplify import Simplify
from snncc.reference import Call, evaluate
from snncc.target import Target

Array = np.ndarray
Results = dict[tuple[str, str], Array]

CLASSES = 3
SIZES = (1, 3, 16, 64, 65, 130)
# Largest difference to the reference interpreter, relative to max(1, largest value), of what may round.
BOUND = {"float32": 3e-5, "float64": 1e-10}


def slopes(n: int) -> Array:
    """A decay a neuron, some of them beyond the clamp."""
    return np.linspace(0.4, 1.05, n)


class Stack(nn.Sequential):
    """Two layers: per-neuron beta in the first one, one learnable number each in the second."""

    def __init__(self, size: int, reset: str, reset_delay: bool) -> None:
        options: dict[str, Any] = {"reset": reset, "reset_delay": reset_delay, "learn_beta": True}
        super().__init__(
            fc1=nn.Linear(12, size),
            lif1=nn.Leaky(slopes(size), learn_threshold=True, **options),
            fc2=nn.Linear(size, CLASSES, bias=False),
            lif2=nn.Leaky(0.8, 0.75, init_mem=0.25, **options),
        )


class Bank(nn.Module):
    """Neurons alone, in every size: nothing is added up, so every bit is determined."""

    inputs: ClassVar[dict[str, nn.Input]] = {f"x{n}": nn.Input(n) for n in SIZES}

    def __init__(self, reset: str, surrogate: nn.surrogate.Surrogate) -> None:
        self.neurons = {
            f"n{n}": nn.Leaky(
                slopes(n), 1.0 + slopes(n) / 4, reset=reset, reset_delay=n != 16, surrogate=surrogate,
                learn_beta=n > 3, learn_threshold=n == 65,
            )
            for n in SIZES
        }    # fmt: skip

    def forward(self, *currents: Any) -> dict[str, Any]:
        outputs = {}
        for n, current in zip(SIZES, currents, strict=True):
            outputs[f"spk{n}"], outputs[f"mem{n}"] = self.neurons[f"n{n}"](current)
        return outputs


class TwoRoads(nn.Module):
    """A sequence and a static input, a skip connection, and outputs with and without time."""

    inputs: ClassVar[dict[str, nn.Input]] = {"a": nn.Input(2, 3), "b": nn.Input(4, static=True)}

    def __init__(self) -> None:
        self.flat = nn.Flatten()
        self.of_a, self.of_b = nn.Linear(6, 20), nn.Linear(4, 20)
        self.lif = nn.Leaky(0.9, learn_beta=True)
        self.skip, self.out = nn.Linear(6, CLASSES), nn.Linear(20, CLASSES)
        self.last = nn.Leaky(0.5, reset="zero", surrogate=nn.surrogate.FastSigmoid(5.0))

    def forward(self, a: Any, b: Any) -> dict[str, Any]:
        flat, still = self.flat(a), self.of_b(b)
        hidden, _ = self.lif(self.of_a(flat) + still)
        spk, mem = self.last(self.out(hidden) + self.skip(flat))
        return {"spk": spk, "mem": mem, "hidden": hidden, "still": still * 2.0}


class Feedback(nn.Module):
    """Spikes of the step before come back through a matrix, beside a delay of the input."""

    inputs: ClassVar[dict[str, nn.Input]] = {"x": nn.Input(5)}

    def __init__(self, size: int = 18) -> None:
        self.size = size
        self.fc, self.back = nn.Linear(5, size), nn.Linear(size, size, bias=False)
        self.lif = nn.Leaky(slopes(size), learn_beta=True)
        self.out = nn.Linear(size, CLASSES)
        self.last = nn.Leaky(0.7, learn_threshold=True, reset="none")

    def forward(self, x: Any) -> Any:
        loop = snncc.delay(shape=self.size, name="loop")
        spk, _ = self.lif(self.fc(x + 0.5 * snncc.delay(x)) + self.back(loop.value))
        loop.feed(spk)
        return self.last(self.out(spk))


class Deep(nn.Module):
    """Two layers inside one loop through time: a product of spikes at every step."""

    inputs: ClassVar[dict[str, nn.Input]] = {"x": nn.Input(5)}

    def __init__(self, size: int = 70) -> None:
        self.fc, self.back = nn.Linear(5, size), nn.Linear(CLASSES, size)
        self.hidden = nn.Leaky(slopes(size), learn_beta=True)
        self.out, self.last = nn.Linear(size, CLASSES), nn.Leaky(0.7, learn_threshold=True)

    def forward(self, x: Any) -> Any:
        loop = snncc.delay(shape=CLASSES)
        spk, _ = self.hidden(self.fc(x) + self.back(loop.value))
        result = self.last(self.out(spk))
        loop.feed(result.spk)
        return result


class Shared(nn.Module):
    """A layer used three times, parameters that are added, seen through a reshape, or not used at all."""

    inputs: ClassVar[dict[str, nn.Input]] = {"x": nn.Input(CLASSES)}

    def __init__(self) -> None:
        shape = (1, CLASSES)
        self.layer, self.flat = nn.Linear(CLASSES, CLASSES), nn.Flatten()
        self.lif = nn.Leaky(0.8, learn_beta=True)
        values = (np.full(shape, value) for value in (0.25, 0.125, 1.0))
        self.shift, self.twin, self.unused = (nn.Parameter(shape, value) for value in values)

    def forward(self, x: Any) -> dict[str, Any]:
        shift = self.flat(self.shift) + self.flat(self.twin) + 0.0 * self.flat(self.unused)
        once = self.lif(self.layer(x) + shift)
        twice = self.lif(self.layer(once.spk))
        return {"spk": twice.spk, "mem": twice.mem + self.layer(snncc.delay(once.spk))}


class Wide(nn.Sequential):
    """Layers of several panels, the last narrower and with pads; one input for all steps, or one a step."""

    def __init__(self, static: bool) -> None:
        super().__init__(
            fc1=nn.Linear(12, 300),
            lif1=nn.Leaky(slopes(300), learn_beta=True, reset_delay=False),
            fc2=nn.Linear(300, 130),
            lif2=nn.Leaky(0.8, learn_threshold=True, reset="zero"),
            fc3=nn.Linear(130, CLASSES),
            lif3=nn.Leaky(0.75, 0.25),
            input=nn.Input(12, static=static),
        )


class Still(nn.Module):
    """Two layers without a time axis before one with it: both run once for a block of samples."""

    inputs: ClassVar[dict[str, nn.Input]] = {"x": nn.Input(6, static=True)}

    def __init__(self) -> None:
        self.fc1, self.fc2 = nn.Linear(6, 140), nn.Linear(140, 133)
        self.lif, self.out, self.last = nn.Leaky(0.9), nn.Linear(133, CLASSES), nn.Leaky(0.7, 0.5)

    def forward(self, x: Any) -> Any:
        still = self.fc1(x)
        bent = snncc.where(still > 0.0, still, 0.25 * still)
        return self.last(self.out(self.lif(self.fc2(bent)).spk))


class Adaptive(nn.Neuron):
    """A user's neuron with two states, a smooth nonlinearity and a choice."""

    surrogate = nn.surrogate.Sigmoid(4.0)

    def __init__(self, n: int) -> None:
        self.rate = nn.Parameter((n,), np.linspace(0.1, 0.9, n), limits=(0.2, 0.8))

    def step(self, current: Any, mem: Any, fatigue: Any) -> tuple[Any, Any, Any]:
        drive = snncc.where(current > 0.0, current, 0.125 * current)
        mem = -snncc.tanh(fatigue) + (0.5 * mem + drive)
        spk = snncc.spike(mem - 0.5, self.surrogate)
        return spk, mem * (1.0 - snncc.detach(spk)), self.rate * fatigue + spk


class Custom(nn.Sequential):
    """A static input through a user's neuron."""

    def __init__(self) -> None:
        layers = {"flat": nn.Flatten(), "fc": nn.Linear(6, CLASSES), "cell": Adaptive(CLASSES)}
        super().__init__(input=nn.Input(2, 3, static=True), **layers)


@dataclass(frozen=True)
class Case:
    """A network with the loss that it is trained on."""

    network: Callable[[], Module]
    loss: loss.Loss | None


LOSSES = (
    loss.cross_entropy("mem"), loss.cross_entropy("rate"), loss.cross_entropy("count"),
    loss.mse("mem", on=1.5, off=0.25), loss.mse("rate", on=0.75), loss.mse("count", on=0.8, off=0.2),
)    # fmt: skip
RESETS = tuple((reset, delay) for reset in ("subtract", "zero", "none") for delay in (True, False))


def stack_case(k: int, shift: int) -> Case:
    """The k-th pair of reset and loss, with a size that `shift` moves on."""
    size = SIZES[(k + shift) % len(SIZES)]
    return Case(lambda: Stack(size, *RESETS[k]), LOSSES[k])


@dataclass(frozen=True)
class Extent:
    """Steps and samples of a call; loud: every input is large."""

    steps: int
    batch: int
    loud: bool = False


class Bench:
    """A case compiled into a folder, beside the reference interpreter on graphs that no pass has changed."""

    def __init__(self, case: Case, dtype: str, folder: Path, build: bool = True, **options: Any) -> None:
        self.dtype, self.folder = dtype, folder
        self.network, self.loss = case.network(), case.loss
        self.traced = trace(self.network)
        self.values = {name: on_grid(name, value) for name, value in self.traced.parameters.items()}
        if build:
            optimizer = optim.SGD(0.0) if case.loss else None    # updates nothing: gradients are looked at
            given: dict[str, Any] = {"num_steps": 9, "name": "bench", "optimizer": optimizer, **options}
            snncc.compile(self.network, out=folder, loss=case.loss, dtype=dtype, **given)

    def load(self, threads: int = 1, slots: int = 2, tile: int = 4) -> Model:
        model = snncc.load(self.folder, threads=threads, slots=slots, tile=tile)
        model.params.update(self.values)
        return model

    @cached_property
    def graphs(self) -> dict[str, Any]:
        """The graph of each entry point, after type inference and differentiation only."""
        target = Target(loss=self.loss, dtype=self.dtype)
        graphs = {}
        for stages in entry_stages(self.traced, target):
            graphs[stages.name] = stages.graph
            for step, graph in stages.run(target.options):
                if isinstance(step, Simplify):
                    break
                graphs[stages.name] = graph
        return graphs

    def reference(self, entry: str, extent: Extent, given: Mapping[str, Array], state: Any = None) -> Results:
        """Results by role and name; `given`: inputs, target, and cotangents as d_<output>."""
        call = Call(given, self.values, state or {}, extent.steps, extent.batch, np.dtype(self.dtype))
        return evaluate(self.graphs[entry], call)

    def inputs(self, extent: Extent) -> dict[str, Array]:
        random = np.random.default_rng([0, extent.steps, extent.batch])
        arrays = {}
        for name, declared in self.traced.inputs.items():
            lead = (extent.batch,) if declared.static else (extent.steps, extent.batch)
            array = np.round(random.normal(0.25, 1, (*lead, *declared.shape)) * 16) / 16
            arrays[name] = np.abs(array) + 4 if extent.loud else array
        return arrays

    def cotangents(self, extent: Extent) -> dict[str, Array]:
        """A weight for every element of every output."""
        random = np.random.default_rng([1, extent.steps, extent.batch])
        results = self.reference("forward", extent, self.inputs(extent))
        return {name: random.normal(size=a.shape) for (role, name), a in results.items() if role == "output"}

    def varies(self, output: str) -> bool:
        """Whether an output has a time axis."""
        (node,) = (o.value for o in self.traced.graph.outputs if (o.role, o.name) == ("output", output))
        return self.traced.graph[node].type.time

    def steps_of(self, inputs: Mapping[str, Array], steps: slice | int) -> dict[str, Array]:
        """Some of the steps of the inputs; static ones stay."""
        still = {name for name, declared in self.traced.inputs.items() if declared.static}
        return {name: array if name in still else array[steps] for name, array in inputs.items()}

    def targets(self, extent: Extent) -> Array:
        assert self.loss is not None
        random = np.random.default_rng([2, extent.steps, extent.batch])
        if self.loss.target_is_label():
            return random.integers(0, CLASSES, extent.batch)
        return random.normal(size=(extent.batch, CLASSES))


def on_grid(name: str, value: Array) -> Array:
    """Weights and biases as multiples of 1/64; coefficients as they are."""
    weight = name.endswith(("weight", "bias"))
    return np.round(value * 128) / 64 if weight else np.array(value)


def difference(found: Array, expected: Array) -> float:
    """Largest difference, relative to max(1, largest expected value)."""
    assert found.shape == expected.shape
    scale = max(1.0, float(np.max(np.abs(expected), initial=0.0)))
    return float(np.max(np.abs(found.astype(np.float64) - expected), initial=0.0)) / scale
