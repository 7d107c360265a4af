"""The networks that snncc is measured on, and the numbers that make each a task: steps, batch, loss, seeds.

    snncc compile models/workloads.py:w5 -o build/w5 --num-steps 16 --loss mse:rate --optimizer adam --lr 5e-4
    python benchmarks/run.py --only W5

W1 and W2 are the network of snnTorch's tutorial 5, on images and on spikes; W5 is deep, W6 is W2 for one
sample at a time, W7 is one layer over a long sequence. W3 is the network of tutorial 6, which convolves. In
W4 the spikes of a layer come back to it.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

import snncc
from snncc import loss, nn, optim
from snncc.frontend.dsl import trace
from snncc.reference import Call, evaluate

w1 = nn.Sequential(
    fc1=nn.Linear(784, 1000),
    lif1=nn.Leaky(beta=0.95),
    fc2=nn.Linear(1000, 10),
    lif2=nn.Leaky(beta=0.95),
    input=nn.Input(784, static=True),
)
w2 = nn.Sequential(
    fc1=nn.Linear(784, 1000),
    lif1=nn.Leaky(beta=0.95),
    fc2=nn.Linear(1000, 10),
    lif2=nn.Leaky(beta=0.95),
)
w3 = nn.Sequential(
    conv1=nn.Conv2d(1, 12, 5),
    pool1=nn.MaxPool2d(2),
    lif1=nn.Leaky(beta=0.95),
    conv2=nn.Conv2d(12, 64, 5),
    pool2=nn.MaxPool2d(2),
    lif2=nn.Leaky(beta=0.95),
    flat=nn.Flatten(),
    fc=nn.Linear(64 * 4 * 4, 10),
    lif3=nn.Leaky(beta=0.95),
    input=nn.Input(1, 28, 28, static=True),
)
w4 = nn.Sequential(
    fc1=nn.Linear(700, 256),
    lif1=nn.RLeaky(beta=0.95, linear_features=256),
    fc2=nn.Linear(256, 20),
    lif2=nn.Leaky(beta=0.95, reset="none"),
)
w5 = nn.Sequential(
    fc1=nn.Linear(1024, 1024),
    lif1=nn.Leaky(beta=0.95),
    fc2=nn.Linear(1024, 1024),
    lif2=nn.Leaky(beta=0.95),
    fc3=nn.Linear(1024, 1024),
    lif3=nn.Leaky(beta=0.95),
    fc4=nn.Linear(1024, 1024),
    lif4=nn.Leaky(beta=0.95),
)
w6 = w2
w7 = nn.Sequential(
    fc1=nn.Linear(512, 512),
    lif1=nn.Leaky(beta=0.95),
)
wide = nn.Sequential(
    fc1=nn.Linear(16384, 16384),
    lif1=nn.Leaky(beta=0.95),
)
recurrent = nn.Sequential(
    fc1=nn.Linear(700, 1024),
    lif1=nn.RLeaky(beta=0.95, linear_features=1024),
    fc2=nn.Linear(1024, 20),
    lif2=nn.Leaky(beta=0.95, reset="none"),
)


class Spikes(nn.Module):
    """65,536 neurons without weights, and nothing of them but their spikes."""

    inputs: ClassVar[dict[str, nn.Input]] = {"x": nn.Input(65536)}

    def __init__(self) -> None:
        self.lif = nn.Leaky(beta=0.95)

    def forward(self, x: Any) -> dict[str, Any]:
        return {"spk": self.lif(x).spk}


layer = Spikes()


@dataclass(frozen=True)
class Product:
    """A layer with weights, of one sample and step: numbers that go in and come out, multiplications, and
    the neurons behind it."""

    n_in: int
    n_out: int
    sums: int
    neurons: int


@dataclass(frozen=True)
class Workload:
    """A network and one batch for it; equal on every machine, since all of it is seeded.

    density: share of the inputs that are not zero. gains: a number a layer with weights, also those through
    which spikes come back; they start uniform in +-gain / sqrt(inputs of an output). modes: what is measured,
    "train" and "infer".
    """

    name: str
    title: str
    attribute: str    # the network's name in this file
    num_steps: int
    batch: int
    density: float
    loss: loss.Loss
    gains: tuple[float, ...]
    modes: tuple[str, ...] = ("train", "infer")

    @property
    def network(self) -> nn.Sequential:
        network: nn.Sequential = globals()[self.attribute]
        return network

    @property
    def static(self) -> bool:
        """Whether the input is the same at every step."""
        return self.network.inputs["x"].static

    @property
    def products(self) -> tuple[Product, ...]:
        """Of each layer whose neurons follow, in their order; not those through which spikes come back."""
        graph, fire = trace(self.network).graph, self._neurons()
        weighted = [n for n in graph if n.op.name in ("linear", "conv") and n.name.split(".")[0] not in fire]
        found = []
        for node, name in zip(weighted, fire, strict=True):
            x, weight = (graph[given].type for given in node.inputs[:2])
            places = node.type.size // node.type.features[0]
            neurons = graph[f"{name}.spk"].type.size
            found.append(Product(x.size, node.type.size, weight.size * places, neurons))
        return tuple(found)

    @property
    def sizes(self) -> tuple[int, ...]:
        """Numbers of inputs and of the neurons of each layer."""
        return (self.products[0].n_in, *(product.neurons for product in self.products))

    def parameters(self) -> dict[str, np.ndarray]:
        """Initial weights and biases by name, float32."""
        rng = np.random.default_rng(1234)
        found = {}
        shapes = {n: a.shape for n, a in trace(self.network).parameters.items() if n.endswith(".weight")}
        for (name, shape), gain in zip(shapes.items(), self.gains, strict=True):
            bound = gain / np.sqrt(np.prod(shape[1:]))
            found[name] = rng.uniform(-bound, bound, shape).astype(np.float32)
            bias = rng.uniform(-bound, bound, shape[0]).astype(np.float32)
            found[f"{name.removesuffix('weight')}bias"] = bias
        return found

    def samples(self) -> tuple[np.ndarray, np.ndarray]:
        """Inputs, spikes [T, B, ...] or static values [B, ...], and targets, classes [B] or rates [B, n]."""
        rng = np.random.default_rng(4321)
        shape, n_out = (self.batch, *self.network.inputs["x"].shape), self.sizes[-1]
        if self.static:
            x: Any = (rng.random(shape) < self.density) * rng.random(shape)
        else:
            x = rng.random((self.num_steps, *shape)) < self.density
        if self.loss.target_is_label():
            y: Any = rng.integers(0, n_out, self.batch)
        else:
            y = ((rng.random((self.batch, n_out)) < 0.2) * 0.5).astype(np.float32)
        return x.astype(np.float32), y

    def compile(self, out: Path | None = None) -> snncc.Model:
        """The trainable model with its initial weights; `out`: a folder for it, with other weights."""
        model = snncc.compile(
            self.network,
            num_steps=self.num_steps,
            loss=self.loss,
            optimizer=optim.Adam(5e-4),
            out=out,
        )
        model.params.update(self.parameters())
        return model

    def rates(self) -> dict[str, float]:
        """Spikes a neuron and step of each spiking layer, at the initial weights."""
        given, (x, _), static = self.parameters(), self.samples(), self.static
        found = {}
        for name, layer in self.network.layers.items():
            if name in self._neurons():
                steps = itertools.repeat(x, self.num_steps) if static else iter(x)
                back = [given[n] for n in given if n.startswith(f"{name}.recurrent.")]
                x, static = np.stack(list(_spikes(layer, steps, *back))), False
                found[name] = float(x.mean())
            else:
                shape = x.shape[1 if static else 2 :]
                alone = nn.Sequential(**{name: layer}, input=nn.Input(*shape, static=static))
                call = Call({"x": x}, given, {}, self.num_steps, self.batch, np.float32)
                x = evaluate(trace(alone).graph, call)["output", "out"]
        return found

    @property
    def recurrent(self) -> bool:
        """Whether the spikes of the first layer come back to it."""
        return isinstance(self.network.layers["lif1"], nn.RLeaky)

    def _neurons(self) -> list[str]:
        return [name for name, layer in self.network.layers.items() if isinstance(layer, nn.Neuron)]


def _spikes(
    neuron: Any, currents: Iterator[np.ndarray], weight: np.ndarray | None = None, bias: Any = 0.0
) -> Iterator[np.ndarray]:
    """A leaky neuron's own equation, step after step; weight, bias: of the connections of all to all."""
    leaky = nn.Leaky(beta=neuron.beta, reset=neuron.reset)
    spk: Any = np.float32(0)
    mem: Any = np.float32(0)
    for current in currents:
        back = np.float32(0) if weight is None else np.broadcast_to(spk, current.shape) @ weight.T + bias
        spk, mem = leaky.step(current + back, mem)
        spk = np.asarray(spk, np.float32)
        yield spk


_BY_MEMBRANE, _BY_RATE = loss.cross_entropy("mem"), loss.mse("rate")
_SPIKES = "784-1000-10 on spikes at 10 %"
_BACK = "700-256-20 on spikes at 2 %, the 256 connected all to all"
_DEEP = "1024 inputs, four layers of 1024, on spikes at 10 %"
_DENSE = "layers fire at 25 %"
_CONV = "convolutions 12C5-P2-64C5-P2-10 on images"

# Gains at which layers fire at about 5 % (of W3, whose gains are PyTorch's own, at 13 %), and for "dense" at
# 25 %, as hidden layers do when they have learnt.
WORKLOADS = {
    w.name: w
    for w in (
        Workload("W1", "784-1000-10 on images", "w1", 25, 128, 0.19, _BY_MEMBRANE, (1.0, 1.0)),
        Workload("W2", _SPIKES, "w2", 25, 128, 0.1, _BY_MEMBRANE, (2.0, 2.0)),
        Workload("W2-dense", f"{_SPIKES}; {_DENSE}", "w2", 25, 128, 0.1, _BY_MEMBRANE, (8.6, 4.7)),
        Workload("W3", _CONV, "w3", 25, 128, 0.19, _BY_MEMBRANE, (1.0, 1.0, 1.0)),
        Workload("W4", _BACK, "w4", 100, 128, 0.02, _BY_MEMBRANE, (4.0, 1.0, 1.0)),
        Workload("W5", _DEEP, "w5", 16, 64, 0.1, _BY_RATE, (2.0, 3.0, 3.0, 3.0)),
        Workload("W5-dense", f"{_DEEP}; {_DENSE}", "w5", 16, 64, 0.1, _BY_RATE, (8.9, 3.3, 3.3, 3.4)),
        Workload("W6", _SPIKES, "w6", 25, 1, 0.1, _BY_MEMBRANE, (2.0, 2.0), ("infer",)),
        Workload("W7", "512-512 on spikes at 10 %", "w7", 1000, 32, 0.1, _BY_RATE, (2.0,), ("train",)),
    )
}
# For GPUs: a layer as in the benchmark of open-neuromorphic at its widest, and W4 four times as wide.
LARGE = {
    w.name: w
    for w in (
        Workload("16k", "16384-16384 on spikes at 10 %", "wide", 500, 16, 0.1, _BY_RATE, (2.0,)),
        Workload("R1024", "700-1024-20, the 1024 connected all to all", "recurrent", 100, 128, 0.02,
                 _BY_MEMBRANE, (4.0, 1.0, 1.0)),
    )
}    # fmt: skip
