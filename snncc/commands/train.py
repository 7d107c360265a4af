"""`snncc train`: trains a compiled model on arrays in a file, and saves it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from snncc_runtime import History, Model, ModelError, load
from snncc_runtime.files import check_replaceable

from .npz import read_npz
from .run import takes_lengths

TARGET = "y"


def train_model(
    folder: Path, given: Path, out: Path | None, validation: Path | None, num_steps: int | None, **plan: Any
) -> str:
    """Trains, saves, and returns the history as a table. `plan`: further arguments of Model.fit."""
    out = out or folder
    check_replaceable(out)
    model = load(folder)
    x, y, lengths = _samples(model, given)
    held_out = _samples(model, validation) if validation else None
    history = model.fit(x, y, validation_data=held_out, num_steps=num_steps, lengths=lengths, **plan)
    model.save(out)
    return f"{_table(history)}\nsaved to {out}"


def _samples(model: Model, path: Path) -> tuple[Any, np.ndarray, np.ndarray | None]:
    """Inputs by name (`x` does for an only one), targets `y`, and `lengths` where the model takes them."""
    arrays = read_npz(path)
    if TARGET not in arrays:
        raise ModelError(f"{path}: has no array {TARGET!r} of targets; it has {', '.join(arrays) or 'none'}")
    y = arrays.pop(TARGET)
    lengths = arrays.pop("lengths", None) if takes_lengths(model) else None
    if len(model.input_names) == 1 and list(arrays) == ["x"]:
        arrays = {model.input_names[0]: arrays["x"]}
    return arrays, y, lengths


def _table(history: History) -> str:
    names = list(history)
    lines = ["epoch" + "".join(f"{name:>18}" for name in names)]
    for epoch, row in enumerate(zip(*history.values(), strict=True), start=1):
        lines.append(f"{epoch:5}" + "".join(f"{value:>18.5g}" for value in row))
    return "\n".join(lines)
