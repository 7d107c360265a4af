"""`snncc run`: one call of a compiled model on arrays in a file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from snncc_runtime import Model, ModelError, load

from .npz import read_npz, write_npz


def run_model(folder: Path, given: Path, out: Path, num_steps: int | None, profile: bool = False) -> str:
    """Runs the model and says what was written, and where the time went. Raises ModelError."""
    model = load(folder)
    arrays = _in_order(model, read_npz(given), given)
    lengths = arrays.pop("lengths", None) if takes_lengths(model) else None
    _check_names(model, arrays, given)
    model.params.update({name: array for name, array in arrays.items() if name in model.params})
    inputs = {name: array for name, array in arrays.items() if name in model.input_names}
    state = {name: array for name, array in arrays.items() if name in model.state_names}
    result = model(inputs, state=state, num_steps=num_steps, lengths=lengths)
    found = {name: _as_in_file(model, name, result[name]) for name in model.output_names}
    for name, array in result.state.items():
        if f"{name}_next" in found:
            raise ModelError(f"{folder}: the output {name}_next has the name of a final state; rename it")
        found[f"{name}_next"] = array
    write_npz(out, found)
    lines = [f"  {name:<16} {array.dtype} {list(array.shape)}" for name, array in found.items()]
    if profile:
        lines += ["", str(model.profile(inputs, state=state, num_steps=num_steps, lengths=lengths))]
    return "\n".join([f"{out}:", *lines])


def takes_lengths(model: Model) -> bool:
    """Whether a file may hold `lengths`, the steps of each sample."""
    return any(port["role"] == "lengths" for port in model.manifest["io"])


def _check_names(model: Model, arrays: Mapping[str, object], given: Path) -> None:
    weights = model.manifest.get("import", {}).get("weights", ())
    known = {**dict.fromkeys(model.input_names, "input"), **dict.fromkeys(model.state_names, "state")}
    known |= dict.fromkeys(weights, "weight")
    missing = [name for name in weights if name not in arrays]
    if missing:
        raise ModelError(f"{given}: {', '.join(missing)} are missing: in the model's file weights are inputs")
    for name in arrays:
        if name not in known:
            listed = "; ".join(
                f"{role}s are {', '.join(n for n, r in known.items() if r == role) or 'none'}"
                for role in ("input", "state")
            )
            raise ModelError(f"{given}: {name!r} is neither an input nor a state of the model; {listed}")


def _in_order(model: Model, arrays: Mapping[str, np.ndarray], given: Path) -> dict[str, np.ndarray]:
    """Arrays as an imported file has them, under its names, as the model takes them."""
    file = model.manifest.get("import", {})
    found, names = {}, file.get("names", {})
    orders = {n: o for role in ("input", "weight") for n, o in file.get("order", {}).get(role, {}).items()}
    for given_name, array in arrays.items():
        name = names.get(given_name, given_name)
        order = orders.get(name)
        if order is not None and array.ndim != len(order):
            raise ModelError(f"{given}: {given_name} must have {len(order)} axes, found {list(array.shape)}")
        if order is not None:
            array = array.transpose(np.argsort(order))
            array = np.expand_dims(array, [i for i in range(max(order) + 1) if i not in order])
        found[name] = array
    return found


def _as_in_file(model: Model, name: str, array: np.ndarray) -> np.ndarray:
    """An output with the axes in the order of the file that the model was imported from."""
    order = model.manifest.get("import", {}).get("order", {}).get("output", {}).get(name)
    if order is None:
        return array
    gone = tuple(i for i in range(array.ndim) if i not in order)
    rank = [i for i in range(array.ndim) if i in order]
    return np.squeeze(array, gone).transpose([rank.index(i) for i in order])
