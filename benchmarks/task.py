"""What every contestant is given: one network, its weights and one batch, as NumPy arrays in a folder.

Contestants live in environments of their own, so nothing here needs more than NumPy.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

DEVICE = "SNNCC_BENCHMARK_DEVICE"    # in the environment of a measured process


class LeftOut(Exception):
    """A contestant does not take part in a task, for a reason that the table shows."""


class Calls(NamedTuple):
    """What is timed; each runs to its end before it returns.

    train: one step of Adam at the given learning rate; returns the loss before it. infer: returns the sum of
    the outputs that the loss reads.
    """

    train: Callable[[float], float]
    infer: Callable[[], float]


@dataclass(frozen=True)
class Task:
    """Linear layers, each followed by leaky neurons with threshold 1 and a detached, subtracting reset.

    A weight of rank 4 is that of a convolution, without padding, of images; its result goes through pooling,
    the largest of 2 x 2, before the neurons. recurrent: the spikes of the first layer come back to it a step
    later, through a linear layer of their own, and the last layer, a read-out, has no reset. sizes: inputs,
    then neurons of each layer. static: the input is the same at every step. loss: "cross_entropy" of the
    membranes, summed over the steps, or "mse" of the spikes averaged over the steps.
    """

    name: str
    num_steps: int
    batch: int
    sizes: tuple[int, ...]
    static: bool
    loss: str
    beta: float
    recurrent: bool = False

    def write(self, folder: Path, parameters: dict[str, Any], samples: tuple[Any, Any]) -> None:
        """parameters: weight [out, in] or [out, in, height, width] and bias [out] of each layer, in order,
        also lif1.recurrent.weight and .bias where the task is recurrent; samples: inputs and targets."""
        (folder / "task.json").write_text(json.dumps(asdict(self)))
        np.savez(folder / "arrays.npz", x=samples[0], y=samples[1], **parameters)


class Process:
    """What a measured process is told by its environment."""

    @property
    def device(self) -> str:
        """Where to compute: "cpu" or "cuda"."""
        return os.environ.get(DEVICE, "cpu")

    @property
    def threads(self) -> int:
        return int(os.environ["OMP_NUM_THREADS"])


@dataclass(frozen=True)
class Given(Process):
    """A task as a contestant gets it.

    Inputs are [T, B, n], or [B, n] if static, where n may also be channels, height, width; targets [B] or
    [B, n].
    """

    task: Task
    folder: Path
    parameters: dict[str, np.ndarray]
    x: np.ndarray
    y: np.ndarray

    @property
    def layers(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """Weight and bias of each layer."""
        names = [n.removesuffix("weight") for n in self.parameters if n.endswith(".weight")]
        found = [n for n in names if not n.startswith("lif")]
        return [(self.parameters[f"{n}weight"], self.parameters[f"{n}bias"]) for n in found]

    @property
    def back(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """Weight and bias through which spikes of the first layer come back, if they do."""
        names = ["lif1.recurrent"] * self.task.recurrent
        return [(self.parameters[f"{n}.weight"], self.parameters[f"{n}.bias"]) for n in names]

    @property
    def by_membrane(self) -> bool:
        """Whether the loss reads the membranes of the last layer, not its spikes."""
        return self.task.loss == "cross_entropy"


def read(folder: Path) -> Given:
    """What `Task.write` wrote."""
    fields = json.loads((folder / "task.json").read_text())
    with np.load(folder / "arrays.npz") as arrays:
        found = dict(arrays)
    task = Task(**{**fields, "sizes": tuple(fields["sizes"])})
    return Given(task, folder, x=found.pop("x"), y=found.pop("y"), parameters=found)
