"""A network compiled to C and to CUDA: both give the same bits.

The processor executes the kernels, by what is in tests/cuda; with `pytest --gpu` a GPU does.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import snncc
from snncc import nn, nvcc
from snncc_runtime import Model
from tests import cuda_host

Array = np.ndarray[Any, Any]
LARGEST = 24.0    # of inputs: enough for neurons to fire behind layers of random weights
GPU = "SNNCC_TEST_GPU"    # set by pytest --gpu, for the processes of a run


@contextmanager
def executed_on_the_host(variant: str = "plain") -> Iterator[None]:
    """Within: what would be built by nvcc is built by the host's C++ compiler."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(nvcc, "find_compiler", lambda arch=None: cuda_host.compiler(variant))
        yield


def on_a_gpu() -> bool:
    return bool(os.environ.get(GPU))


def built() -> AbstractContextManager[None]:
    """Within: CUDA models are built for where they are tested."""
    return nullcontext() if on_a_gpu() else executed_on_the_host()


def in_c(network: nn.Module, folder: Path, **options: Any) -> Model:
    """With a tile for all samples: then sums have the order of CUDA's."""
    snncc.compile(network, out=folder / "c", **options)
    return snncc.load(folder / "c", slots=1, tile=64)


def on_cuda(network: nn.Module, folder: Path, **options: Any) -> Model:
    with built():
        return snncc.compile(network, target="cuda", out=folder / "cuda", **options)


BACKENDS: dict[str, Callable[..., Model]] = {"c": in_c, "cuda": on_cuda}


class Pair:
    """A network's two models."""

    def __init__(self, network: nn.Module, folder: Path, **options: Any) -> None:
        self.c, self.cuda = (make(network, folder, **options) for make in BACKENDS.values())

    @property
    def both(self) -> tuple[Model, Model]:
        return self.c, self.cuda

    def check_calls(self, given: Mapping[str, Array], **options: Any) -> None:
        """Outputs, final states, and gradients of everything, from states that are given."""
        c, cuda = (model(given, **options) for model in self.both)
        same(*({name: out[name] for name in self.c.output_names} for out in (c, cuda)))
        spikes = [name for name in self.c.output_names if name.startswith("spk")]
        assert [name for name in spikes if len(np.unique(c[name])) < 2] == []    # silence proves nothing
        same(c.state, cuda.state)
        on = [model(given, state=c.state, **options) for model in self.both]
        same(*({name: out[name] for name in self.c.output_names} for out in on))
        random = np.random.default_rng(1)
        cotangents = {name: random.normal(size=c[name].shape) for name in self.c.output_names}
        slopes = {"cotangents": cotangents, "state": c.state, **options}
        found = [model.backward(given, **slopes) for model in self.both]
        for kind in ("inputs", "params", "state"):
            same(*(getattr(gradients, kind) for gradients in found))

    def check_training(self, given: Any, targets: Array, calls: int = 3, **options: Any) -> None:
        """Steps of the optimiser, of which the second is recorded and the third replayed; an evaluation."""
        for _ in range(calls):
            losses = [model.train_step(given, targets, **options) for model in self.both]
            assert losses[0] == losses[1]
            same(*(model.gradients() for model in self.both))
        same(*(model.params for model in self.both))
        gradients = self.c.gradients()
        results = [model.evaluate(given, targets, **options) for model in self.both]
        assert results[0] == results[1]
        for model in self.both:    # an evaluation leaves them
            same(gradients, model.gradients())


def same(expected: Mapping[str, Array], found: Mapping[str, Array]) -> None:
    """The same names and bits."""
    assert list(expected) == list(found)
    for name, array in expected.items():
        np.testing.assert_array_equal(found[name], array, err_msg=name)


def inputs(model: Model, steps: int, batch: int) -> dict[str, Array]:
    """For each input sparse numbers, or whole ones, of the shapes that it takes."""
    random = np.random.default_rng(2)
    found = {}
    for port in model.manifest["io"]:
        if port["role"] == "input":
            shape = (*[steps] * port["time"], batch, *port["shape"])
            sparse = random.random(shape) * (random.random(shape) < 0.5) * LARGEST
            found[port["name"]] = sparse if port["dtype"] != "int64" else random.integers(0, 3, shape)
    return found
