"""One layer of neurons, compiled."""

from __future__ import annotations

from typing import Any

import snncc_runtime

from ..neuron_task import NeuronGiven, read
from ..task import Calls

__all__ = ["build", "read"]


def build(given: NeuronGiven, variant: str) -> Calls:
    model = snncc_runtime.load(given.folder / "model", threads=given.threads)

    def gradient() -> Any:
        result = model.backward(given.x, out=given.d_out)
        return result.inputs["x"], result.params

    return given.calls("snncc", lambda: model(given.x).out, gradient)
