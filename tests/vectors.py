"""The golden vectors of other packages (tests/golden/vectors), one case at a time in one precision."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

FOLDER = Path(__file__).parent / "golden" / "vectors"
SHORT = {"float32": "f32", "float64": "f64"}

Array = NDArray[Any]


@dataclass(frozen=True)
class NeuronCase:
    """A neuron driven by `x`; every array in the dtype asked for, time first."""

    name: str
    constructor: str             # "snntorch.Leaky"
    options: dict[str, Any]      # the arguments it was called with
    x: Array                     # [T, B, n]
    upstream: dict[str, Array]   # weight of each output in the loss, by output
    params: dict[str, Array]     # every parameter, also the fixed ones
    init: dict[str, Array]       # initial states [B, n]; empty: zero
    outputs: dict[str, Array]    # spk, mem: [T, B, n]
    # By x, parameter or init.<state>: of sum_k sum(upstream[k] * outputs[k]), and of the term of spk alone
    # (empty where spikes carry no gradient).
    gradients: dict[str, Array]
    spike_gradients: dict[str, Array]

    @property
    def learnable(self) -> frozenset[str]:
        """Parameters that have a gradient."""
        return frozenset(self.params) & frozenset(self.gradients)

    @property
    def surrogate(self) -> tuple[str, dict[str, float]]:
        """Name and arguments of the surrogate in snnTorch's words; atan unless the options say otherwise."""
        name, arguments = self.options.get("spike_grad", ("atan", {"alpha": 2.0}))
        return name, arguments


@dataclass(frozen=True)
class LossCase:
    """A loss of outputs over time."""

    name: str
    constructor: str             # "snntorch.functional.ce_count_loss"
    options: dict[str, Any]
    data: Array                  # [T, B, classes]
    targets: NDArray[np.int64]   # [B]
    loss: float
    gradient: Array              # of the loss, by data


@dataclass(frozen=True)
class SurrogateCase:
    """A surrogate at some membranes."""

    name: str
    constructor: str             # "snntorch.surrogate.atan"
    options: dict[str, Any]
    u: Array                     # [n]
    spikes: Array
    gradient: Array              # of the sum of the spikes, by u
    noise: Array | None          # what the backward pass drew, from 0 to below 1


def cases(constructor: str = "", kind: str = "") -> list[str]:
    """Names of the cases whose constructor begins so, and whose own name begins with `kind`."""
    found = _manifest()["cases"].items()
    return [n for n, e in found if n.startswith(kind) and e["constructor"].startswith(constructor)]


def load_neuron(name: str, dtype: str) -> NeuronCase:
    """The case `name` in "float32" or "float64"."""
    entry, arrays = _read(name)
    short = SHORT[dtype]
    return NeuronCase(
        name=name,
        constructor=entry["constructor"],
        options=entry["kwargs"],
        x=arrays["x"].astype(dtype),
        upstream={key: value.astype(dtype) for key, value in _below(arrays, "g.").items()},
        params=_below(arrays, f"{short}.param."),
        init=_below(arrays, f"{short}.init."),
        outputs=_below(arrays, f"{short}.out."),
        gradients=_below(arrays, f"{short}.grad_all."),
        spike_gradients=_below(arrays, f"{short}.grad_spk."),
    )


def load_loss(name: str, dtype: str) -> LossCase:
    """The case `name` in "float32" or "float64"."""
    entry, arrays = _read(name)
    short = SHORT[dtype]
    return LossCase(
        name=name,
        constructor=entry["constructor"],
        options=entry["kwargs"],
        data=arrays["data"].astype(dtype),
        targets=arrays["targets"],
        loss=arrays[f"{short}.out.loss"].item(),
        gradient=arrays[f"{short}.grad.data"],
    )


def read_arrays(name: str) -> dict[str, Array]:
    """The arrays of a case under their own keys."""
    return _read(name)[1]


def load_surrogate(name: str, dtype: str) -> SurrogateCase:
    """The case `name` in "float32" or "float64"."""
    entry, arrays = _read(name)
    short = SHORT[dtype]
    return SurrogateCase(
        name=name,
        constructor=entry["constructor"],
        options=entry["kwargs"],
        u=arrays["u"].astype(dtype),
        spikes=arrays[f"{short}.out.spk"],
        gradient=arrays[f"{short}.grad.u"],
        noise=arrays.get(f"{short}.noise_uniform01"),
    )


@cache
def _manifest() -> dict[str, Any]:
    manifest: dict[str, Any] = json.loads((FOLDER / "manifest.json").read_text(encoding="utf-8"))
    return manifest


def _read(name: str) -> tuple[dict[str, Any], dict[str, Array]]:
    entry = _manifest()["cases"][name]
    with np.load(FOLDER / entry["file"]) as file:
        return entry, dict(file)


def _below(arrays: dict[str, Array], prefix: str) -> dict[str, Array]:
    return {key.removeprefix(prefix): value for key, value in arrays.items() if key.startswith(prefix)}
