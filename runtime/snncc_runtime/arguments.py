"""Arguments of a model's methods that are no arrays: checked, with defaults."""

from __future__ import annotations

import operator
from collections.abc import Mapping
from typing import Any

import numpy as np

from .checked import checked, shown
from .errors import ModelError
from .instance import Draws

LARGEST = 2**31 - 1
argument = checked(ModelError)  # a decorator


def inputs_of(x: Any, named: Mapping[str, Any]) -> Any:
    """`x` alone, or the mapping of all named inputs."""
    if not named:
        return x
    if x is None or isinstance(x, Mapping):
        return {**(x or {}), **named}
    raise ModelError(f"give inputs by name or one array, not both (found {', '.join(named)})")


def steps_of(num_steps: int | None) -> int | None:
    return None if num_steps is None else positive("num_steps", num_steps)


def draws_of(seed: Any, first_step: Any) -> Draws:
    for name, value, limit in (("seed", seed, 2**63), ("number", first_step, 2**31)):
        whole = isinstance(value, (int, np.integer)) and not isinstance(value, bool)
        if not whole or not 0 <= value < limit:
            raise ModelError(f"{name} must be an integer from 0 to {limit - 1}, got {shown(value)}")
    return Draws(int(seed), int(first_step))


def positive(name: str, value: int | None, default: int = 1) -> int:
    if value is None:
        return default
    try:
        number = operator.index(value)
    except TypeError:
        number = 0
    if isinstance(value, bool) or not 0 < number <= LARGEST:
        raise ModelError(f"{name} must be a positive integer, got {shown(value)}")
    return number
