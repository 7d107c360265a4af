"""What SpikingJelly's neurons without spikes make of their membranes, beside its own numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

import snncc
from snncc import nn
from snncc.nn.spikingjelly.over_time import DECODES

GOLDEN = np.load(Path(__file__).parent / "golden" / "layers" / "readouts.npz")
X, UP = GOLDEN["x"], GOLDEN["up"]
NODES: dict[str, Any] = {
    "if": nn.spikingjelly.NonSpikingIFNode,
    "lif": lambda decode: nn.spikingjelly.NonSpikingLIFNode(3.0, decode),
}


class Every(nn.Module):
    """Each neuron by each decoding, on inputs of its own."""

    inputs: ClassVar = {f"{node}.{way}": nn.Input(X.shape[2]) for node in NODES for way in DECODES}

    def __init__(self) -> None:
        self.layers = {name: NODES[node](way) for name in self.inputs for node, way in [name.split(".")]}

    def forward(self, *currents: Any) -> dict[str, Any]:
        pairs = zip(self.layers.items(), currents, strict=True)
        return {f"{name}.out": layer(x)["mem"] for (name, layer), x in pairs}


UPS = {f"{name}.out": UP for name in Every.inputs}


@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-5), ("float64", 1e-10)])
def test_decodings_are_spikingjellys(dtype: str, tolerance: float) -> None:
    """Forward and gradient, ties among them; of all steps, and of a sample's own."""
    model = snncc.compile(Every(), num_steps=len(X), lengths=True, dtype=dtype)
    assert len(Every.inputs) == 8
    for part, lengths in ("", np.full(X.shape[1], len(X))), (".own", GOLDEN["lengths"]):
        inputs = dict.fromkeys(Every.inputs, X)
        out = model(inputs, lengths=lengths)
        back = model.backward(inputs, lengths=lengths, cotangents=UPS)
        for name in Every.inputs:
            for array, golden in (out[f"{name}.out"], "out"), (back.inputs[name], "d_x"):
                wanted = GOLDEN[f"{name}{part}.{golden}"]
                close = tolerance * max(1.0, np.abs(wanted).max())
                np.testing.assert_allclose(array, wanted, rtol=0, atol=close)


def test_decodings_without_lengths() -> None:
    model = snncc.compile(Every(), num_steps=len(X), dtype="float64")
    inputs = dict.fromkeys(Every.inputs, X)
    back = model.backward(inputs, cotangents=UPS)
    for name in Every.inputs:
        np.testing.assert_allclose(model(inputs)[f"{name}.out"], GOLDEN[f"{name}.out"], rtol=0, atol=1e-10)
        np.testing.assert_allclose(back.inputs[name], GOLDEN[f"{name}.d_x"], rtol=0, atol=1e-10)
