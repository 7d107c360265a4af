"""`snncc run`: one call of a compiled model on arrays in a file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from snncc_runtime import Model, ModelError, load

from .npz import read_npz, write_npz


def run_model(folder: Path, given: Path, out: Path, num_steps: int | None, profile: bool = False) -> str:
    """Runs the model and says what was written, and where the time went. Raises ModelError."""
    model = load(folder)
    arrays = read_npz(given)
    _check_names(model, arrays, given)
    inputs = {name: array for name, array in arrays.items() if name in model.input_names}
    state = {name: array for name, array in arrays.items() if name in model.state_names}
    result = model(inputs, state=state, num_steps=num_steps)
    found = {name: result[name] for name in model.output_names}
    for name, array in result.state.items():
        if f"{name}_next" in found:
            raise ModelError(f"{folder}: the output {name}_next has the name of a final state; rename it")
        found[f"{name}_next"] = array
    write_npz(out, found)
    lines = [f"  {name:<16} {array.dtype} {list(array.shape)}" for name, array in found.items()]
    if profile:
        lines += ["", str(model.profile(inputs, state=state, num_steps=num_steps))]
    return "\n".join([f"{out}:", *lines])


def _check_names(model: Model, arrays: Mapping[str, object], given: Path) -> None:
    known = {**dict.fromkeys(model.input_names, "input"), **dict.fromkeys(model.state_names, "state")}
    for name in arrays:
        if name not in known:
            listed = "; ".join(
                f"{role}s are {', '.join(n for n, r in known.items() if r == role) or 'none'}"
                for role in ("input", "state")
            )
            raise ModelError(f"{given}: {name!r} is neither an input nor a state of the model; {listed}")
