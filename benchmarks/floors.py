"""What a task takes at least: by its operations, by its bytes, and where spikes drive the products."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from benchmarks.contest import surroundings
from benchmarks.machine import COPIED
from models.workloads import Product, Workload

FLOAT = 4
# Measured on two threads of a Zen 4 with AVX-512, at densities of 5 to 10 %, weights in panels of 128 neurons
# and sums in registers: weights added a second, forward and for the gradient of the weights; seconds a neuron
# and step, forward and backward.
ADDED, ADDED_BACK, NEURON, NEURON_BACK, THREADS = 45e9, 27e9, 0.40e-9, 0.47e-9, 2


@dataclass(frozen=True)
class Rates:
    """Speed of the machine, with `threads`: dense products and memory."""

    gflops: float
    gbs: float
    threads: int


def measured(threads: int, gflops: float | None, gbs: float | None, copied: int = COPIED) -> Rates:
    """What is given, else measured by a process with so many threads that copies so many bytes."""
    if gflops and gbs:
        return Rates(gflops, gbs, threads)
    command = [sys.executable, "-m", "benchmarks.machine", str(threads), str(copied)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=surroundings(threads))
    found = json.loads(done.stdout)
    return Rates(gflops or found["gflops"], gbs or found["gbs"], threads)


@dataclass(frozen=True)
class Floor:
    """Milliseconds.

    operations: of the dense products, a static input's once. bytes: if every tensor went through memory once.
    spikes: an estimate; each product as a dense one or driven by spikes, whichever is cheaper, the neurons'
    loops and the optimiser's pass over memory, nothing overlapping.
    """

    operations: float
    bytes: float
    spikes: float


@dataclass(frozen=True)
class Layer:
    """product: without neurons behind connections back; density of its input; steps; whether its input needs
    no gradient."""

    product: Product
    density: float
    steps: int
    first: bool

    def products(self, train: bool) -> Iterator[bool]:
        """The dense products, by whether spikes could drive them: forward; for the weights; for the input."""
        sparse = self.steps > 1
        yield sparse
        if train:
            yield sparse
            if not self.first:
                yield False


def floor(workload: Workload, mode: str, rates: Rates, densities: Sequence[float]) -> Floor:
    """densities: spikes a neuron and step, by layer."""
    train = mode == "train"
    parameters = sum(array.size for array in workload.parameters().values())
    stack = _layers(workload, densities)
    return Floor(
        operations=1e3 * _flops(workload, stack, train) / (1e9 * rates.gflops),
        bytes=1e3 * _bytes(workload, stack, train, parameters) / (1e9 * rates.gbs),
        spikes=1e3 * _spike_driven(workload, stack, train, parameters, rates),
    )


def _layers(workload: Workload, densities: Sequence[float]) -> list[Layer]:
    n = workload.sizes[1]
    back = Layer(Product(n, n, n * n, 0), densities[0], workload.num_steps, False)
    found = [back] * workload.recurrent
    return found + [
        Layer(product, density, 1 if i == 0 and workload.static else workload.num_steps, i == 0)
        for i, (product, density) in enumerate(
            zip(workload.products, (workload.density, *densities), strict=False)
        )
    ]


def _flops(workload: Workload, stack: list[Layer], train: bool) -> float:
    return sum(
        2.0 * layer.product.sums * layer.steps * workload.batch * len(list(layer.products(train)))
        for layer in stack
    )


def _bytes(workload: Workload, stack: list[Layer], train: bool, parameters: int) -> float:
    """Each input of a product read, each current written and read, each spike written; in training also each
    membrane written, all of them and their gradients read once, and seven passes over the parameters."""
    total = parameters * (1 + (2 + 7 if train else 0))
    for layer in stack:
        inputs, currents = layer.product.n_in * layer.steps, layer.product.n_out * layer.steps
        total += workload.batch * (inputs * (2 if train else 1) + currents * (4 if train else 2))
        total += workload.batch * workload.num_steps * layer.product.neurons * (4 if train else 1)
    return float(FLOAT * total)


def _spike_driven(
    workload: Workload, stack: list[Layer], train: bool, parameters: int, rates: Rates
) -> float:
    """Seconds."""
    share = rates.threads / THREADS
    total = 0.0
    for layer in stack:
        sums = float(layer.product.sums) * layer.steps * workload.batch
        dense = 2 * sums / (1e9 * rates.gflops)
        for sparse, added in zip(layer.products(train), (ADDED, ADDED_BACK, 0.0), strict=False):
            total += min(dense, sums * layer.density / (added * share)) if sparse else dense
        neurons = workload.num_steps * workload.batch * layer.product.neurons
        total += neurons * (NEURON + (NEURON_BACK if train else 0.0)) / share
    return total + (7 * FLOAT * parameters / (1e9 * rates.gbs) if train else 0.0)
