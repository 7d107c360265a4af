"""By what a class is chosen, and how often that is right: snnTorch's accuracies, readouts of membranes."""

from __future__ import annotations

from typing import Any

import numpy as np

from .checked import WRONG, checked, numbers, shown
from .errors import ModelError

argument = checked(ModelError)
READOUTS = ("rate", "count", "mem", "mem_last", "mem_max", "mem_mean", "latency")
OUTPUTS = {"rate": "spk", "count": "spk", "latency": "spk"}  # the others are of "mem"


@argument
def scores(values: Any, readout: str = "count", population: int = 0, lengths: Any = None) -> np.ndarray:
    """What is largest for the chosen class, [B, classes], of an output over time [T, B, outputs].

    "count", "rate": spikes. "mem", "mem_mean": the membrane's sum. "mem_last", "mem_max": its last, its
    largest value. "latency": how early the first spike is; no spike counts as one at the last step.
    population: the number of classes, if each has a group of neighbouring outputs, which are added.
    lengths: steps of each sample, [B]; all, if not given. Raises ModelError.
    """
    array = _output(values, "scores")
    inside = _inside(array, lengths)
    if readout == "mem_last":
        found = array[inside.sum(axis=0)[:, 0] - 1, np.arange(array.shape[1])]
    elif readout == "mem_max":
        found = np.where(inside, array, -np.inf).max(axis=0).astype(array.dtype)
    elif readout == "latency":
        found = -first_spike(array, lengths)
    elif readout in READOUTS:
        found = np.where(inside, array, 0).sum(axis=0)
        if readout == "mem_mean":
            found = found / inside.sum(axis=0)
    else:
        raise ModelError(f"scores: readout must be one of {', '.join(READOUTS)}, got {readout!r}")
    return _grouped(found, population)


def first_spike(spk: Any, lengths: Any = None) -> np.ndarray:
    """The step of each neuron's first spike, [B, n]; the sample's last step where there is none."""
    array = _output(spk, "first_spike")
    inside = _inside(array, lengths)
    fired = (array != 0) & inside
    steps: np.ndarray = np.where(fired.any(axis=0), fired.argmax(axis=0), inside.sum(axis=0) - 1)
    return steps


def _output(values: Any, who: str) -> np.ndarray:
    """An output over time, [T, B, outputs], of numbers. Raises ModelError."""
    array = numbers(values, "biuf", finite=False)
    if array is WRONG or array.ndim != 3:
        found = shown(values) if array is WRONG else list(array.shape)
        raise ModelError(f"{who}: expected an output [T, B, outputs], found {found}")
    return array


def _inside(array: np.ndarray, lengths: Any) -> np.ndarray:
    """Which steps are a sample's own, [T, B, 1]. Raises ModelError."""
    steps, batch = array.shape[:2]
    own = np.full(batch, steps) if lengths is None else numbers(lengths, "iu")
    if own is WRONG or own.shape != (batch,) or not ((own >= 1) & (own <= steps)).all():
        raise ModelError(f"lengths: expected {batch} numbers from 1 to {steps}, found {shown(lengths)}")
    inside: np.ndarray = np.arange(steps)[:, None, None] < own[:, None]
    return inside


@argument
def accuracy(
    values: Any, targets: Any, readout: str = "count", population: int = 0, lengths: Any = None
) -> float:
    """The share of samples whose class has the largest score, of equal ones the first."""
    chosen = most(scores(values, readout, population, lengths))
    labels = numbers(targets, "iuf")
    if labels is WRONG or labels.shape != chosen.shape:
        found = shown(targets) if labels is WRONG else list(labels.shape)
        raise ModelError(f"accuracy: expected {len(chosen)} class labels, found {found}")
    return float((chosen == labels).mean())


def most(sums: np.ndarray) -> np.ndarray:
    """The feature with the largest value of each sample, the first of equals."""
    classes: np.ndarray = sums.reshape(len(sums), -1).argmax(axis=1)
    return classes


def _grouped(found: np.ndarray, population: int) -> np.ndarray:
    if not population:
        return found
    if population < 0 or found.shape[1] % population:
        raise ModelError(
            f"scores: {found.shape[1]} outputs cannot be {population} groups of the same size (population)"
        )
    sums: np.ndarray = found.reshape(len(found), population, -1).sum(axis=2)
    return sums
