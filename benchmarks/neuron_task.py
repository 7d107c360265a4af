"""What contestants of benchmarks/neurons.py are given and what they leave to be compared. NumPy only."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .task import Calls, Process

Array = np.ndarray
Gradient = Callable[[], tuple[Array, Mapping[str, Array]]]


@dataclass(frozen=True)
class NeuronGiven(Process):
    """preset, options: a constructor's name and arguments. x, d_out [T, B, n]: currents, cotangent."""

    folder: Path
    preset: str
    options: dict[str, Any]
    x: Array
    d_out: Array
    parameters: dict[str, Array]

    def calls(self, name: str, forward: Callable[[], Array], gradient: Gradient) -> Calls:
        """What is timed; before, what it computes is written for `found`.

        forward: the spikes. gradient: those of the currents and, by name, of the parameters.
        """
        d_x, d_parameters = gradient()
        np.savez(self.folder / f"{name}.npz", out=forward(), d_x=d_x, **d_parameters)

        def both(rate: float) -> float:
            gradient()
            return 0.0

        def infer() -> float:
            forward()
            return 0.0

        return Calls(both, infer)


def write(
    folder: Path, preset: str, options: dict[str, Any], x: Array, d_out: Array, parameters: dict[str, Array]
) -> None:
    """All but the compiled model."""
    (folder / "neuron.json").write_text(json.dumps({"preset": preset, "options": options}))
    np.savez(folder / "given.npz", x=x, d_out=d_out, **parameters)


def read(folder: Path) -> NeuronGiven:
    """What `write` wrote."""
    with np.load(folder / "given.npz") as arrays:
        found = dict(arrays)
    fields = json.loads((folder / "neuron.json").read_text())
    return NeuronGiven(folder, **fields, x=found.pop("x"), d_out=found.pop("d_out"), parameters=found)


def found(folder: Path, name: str) -> dict[str, Array]:
    """What a contestant computed: out, d_x, and gradients by parameter."""
    with np.load(folder / f"{name}.npz") as arrays:
        return dict(arrays)
