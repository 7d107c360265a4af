"""The compiled model; nothing of the compiler is in this process.

On a GPU inputs and outputs stay there, as those of others do; numpy: they come from the host and go back.
"""

from __future__ import annotations

from typing import Any

import snncc_runtime

from ..on_gpu.device import Probe
from ..task import Calls, Given

FOLDER = "model"    # below the task's, written by `snncc compile`


def build(given: Given, variant: str) -> Calls:
    model = snncc_runtime.load(given.folder / FOLDER)
    model.params.update(given.parameters)
    x, y = given.x, given.y
    if given.device == "cuda" and not variant:
        return on_device(model, Probe(), x, y, "mem" if given.by_membrane else "spk")

    def infer() -> float:
        out = model(x)
        return float((out.mem if given.by_membrane else out.spk).sum())

    return Calls(lambda rate: model.train_step(x, y, rate), infer)


def on_device(model: Any, probe: Probe, x: Any, y: Any, read: str) -> Calls:
    """The sum of the outputs is that of the first call: later ones leave them where they are."""
    x, y = probe.upload(x), probe.upload(y)
    total: list[float] = []

    def infer() -> float:
        out = model(x)
        if not total:
            total.append(float(out[read].numpy().sum()))
        model.wait()
        return total[0]

    return Calls(lambda rate: model.train_step(x, y, rate), infer)
