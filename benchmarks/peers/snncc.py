"""The compiled model; nothing of the compiler is in this process."""

from __future__ import annotations

import snncc_runtime

from ..task import Calls, Given

FOLDER = "model"    # below the task's, written by `snncc compile`


def build(given: Given, variant: str) -> Calls:
    model = snncc_runtime.load(given.folder / FOLDER)
    model.params.update(given.parameters)
    x, y = given.x, given.y

    def infer() -> float:
        out = model(x)
        return float((out.mem if given.by_membrane else out.spk).sum())

    return Calls(lambda rate: model.train_step(x, y, rate), infer)
