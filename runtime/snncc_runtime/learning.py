"""Learning without a loss: weights that follow the spikes, step by step or call by call."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from .arrays import Extent, named, plain_array
from .checked import shown
from .errors import ModelError
from .instance import Instance
from .manifest import Manifest
from .values import Arrays

RESULTS = ("output", "state_out")


def learn(
    instance: Instance, given: Mapping[str, Any], num_steps: int | None, rate: float | None
) -> tuple[Arrays, Arrays]:
    """Outputs and final states of all steps; the weights have learned. See Model.learn."""
    instance.require("learn")
    rate = learning_rate(instance.manifest, rate)
    with instance.lock:
        if instance.manifest.learns == "call":
            filled = instance.call("learn", given, Extent(steps=num_steps), RESULTS, rate=rate)
            return filled["output"], filled["state_out"]
        return _by_steps(instance, given, num_steps, rate)


def _by_steps(
    instance: Instance, given: Mapping[str, Any], num_steps: int | None, rate: float
) -> tuple[Arrays, Arrays]:
    ports = {port.name: port for port in instance.manifest.ports_of("input", "learn")}
    inputs, extent = named(given["input"], tuple(ports.values()), "input"), Extent(steps=num_steps)
    arrays = {name: plain_array(name, values) for name, values in inputs.items()}
    for name, array in arrays.items():
        extent.check(ports[name], array.shape)
    steps = extent.steps or instance.manifest.num_steps
    if steps is None:
        raise ModelError(f"{instance.manifest.name}: num_steps is needed, because no input has a time axis")
    made: list[Arrays] = []
    state = given["state"]
    for t in range(steps):
        now = {name: array[t] if ports[name].time else array for name, array in arrays.items()}
        extent = Extent(time=False, steps=1)
        filled = instance.call("learn", {"input": now, "state": state}, extent, RESULTS, rate=rate)
        made.append(filled["output"])
        state = filled["state_out"]
    return {name: np.stack([outputs[name] for outputs in made]) for name in made[0]}, state


def learning_rate(manifest: Manifest, rate: float | None) -> float:
    """The rate of an update: the one given, or the compiled one."""
    rate = manifest.learning_rate if rate is None else rate
    if rate is None:
        raise ModelError(f"{manifest.name}: was compiled without an optimizer; compile it with one")
    try:
        number = float(rate)
    except (TypeError, ValueError):
        number = math.nan
    if not 0 <= number < math.inf:
        raise ModelError(f"lr must be a finite number from 0, got {shown(rate)}")
    return number
