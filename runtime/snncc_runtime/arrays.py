"""Turns what a user passes into the dense arrays that a model reads, and says exactly what does not fit.

Nothing is ever reshaped. Float inputs may be booleans, integers that the float type holds exactly, or floats
of any width (float64 is rounded to a float32 model), but not complex numbers, strings or objects.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from .errors import ModelError
from .manifest import Port


class Extent:
    """The run-time axes of a call: time steps and batch, learned from the first array that has them."""

    def __init__(self, *, time: bool = True, steps: int | None = None) -> None:
        self.time = time  # False: arrays are of one step and have no time axis
        self.steps = steps
        self.batch: int | None = None
        self._steps_from = "num_steps"
        self._batch_from = ""

    def shape(self, port: Port) -> tuple[int, ...]:
        """Shape of an array that the model fills."""
        assert self.steps is not None and self.batch is not None
        shape = (self.batch, *port.shape) if port.batch else port.shape
        return (self.steps, *shape) if self.time and port.time else shape

    def batch_axis(self, port: Port) -> int | None:
        return (1 if self._timed(port) else 0) if port.batch else None

    def check(self, port: Port, shape: tuple[int, ...]) -> None:
        """Raises ModelError unless `shape` fits the port and all arrays seen before."""
        timed = self.time and port.time
        leading = timed + port.batch
        if len(shape) != leading + len(port.shape) or shape[leading:] != port.shape:
            raise ModelError(self._misfit(port, shape))
        if timed:
            if self.steps is None:
                self.steps, self._steps_from = shape[0], port.name
            self._agree(port, 0, "time", shape[0], self.steps, self._steps_from)
        if port.batch:
            if self.batch is None:
                self.batch, self._batch_from = shape[leading - 1], port.name
            self._agree(port, leading - 1, "batch", shape[leading - 1], self.batch, self._batch_from)

    def _timed(self, port: Port) -> bool:
        return self.time and port.time

    def _agree(self, port: Port, axis: int, kind: str, found: int, expected: int, source: str) -> None:
        if found != expected:
            raise ModelError(
                f"{port.name}: axis {axis} is {kind}: expected {expected} as in {source}, found {found}"
            )
        if found == 0:
            raise ModelError(f"{port.name}: axis {axis} is {kind} and is empty; give at least one")

    def _misfit(self, port: Port, shape: tuple[int, ...]) -> str:
        names = ["T"] * self._timed(port) + ["B"] * port.batch
        axes = ", ".join(f"axis {i} is {'time' if name == 'T' else 'batch'}" for i, name in enumerate(names))
        expected = ", ".join([*names, *map(str, port.shape)])
        text = f"{port.name}: {axes}: " if axes else f"{port.name}: "
        text += f"expected [{expected}], found [{', '.join(map(str, shape))}]"
        rank, leading = len(names) + len(port.shape), len(names)
        if len(shape) == rank - 1 and port.batch and shape[leading - 1 :] == port.shape:
            text += f"; for one sample pass {port.name}[{':, ' * (leading - 1)}None]"
        elif len(shape) > leading and np.prod(shape[leading:]) == np.prod(port.shape, dtype=int):
            text += f"; reshape it: {port.name}.reshape({', '.join(map(str, shape[:leading] + port.shape))})"
        return text


def plain_array(name: str, values: Any, kinds: str = "biuf") -> np.ndarray:
    """`values` as an array of these kinds of numbers, not yet of the model's type. Raises ModelError."""
    try:
        array = np.asarray(values)
    except (ValueError, TypeError, RuntimeError) as error:
        raise ModelError(f"{name}: cannot be made an array: {error}") from None
    if array.dtype.kind not in kinds:
        raise ModelError(
            f"{name}: expected numbers, found dtype {array.dtype}; convert it to a number type first"
        )
    return array


def as_dtype(name: str, array: np.ndarray, dtype: np.dtype[Any]) -> np.ndarray:
    """The C-contiguous array of the model's type, without a copy where it is one already."""
    if array.dtype == dtype and array.flags.c_contiguous:
        return array
    if dtype.kind == "i":
        if array.dtype.kind == "f":
            raise ModelError(f"{name}: expected integers, found dtype {array.dtype}")
    elif array.dtype.kind in "iu" and array.dtype.itemsize >= dtype.itemsize and array.size:
        limit = 2 ** (np.finfo(dtype).nmant + 1)
        largest = max(abs(int(array.min())), abs(int(array.max())))
        if largest > limit:
            raise ModelError(f"{name}: the integer {largest} has no exact {dtype.name}; pass floats instead")
    with np.errstate(over="ignore"):  # what becomes infinite is reported as such
        return np.ascontiguousarray(array, dtype).reshape(array.shape)  # the former makes 0-d 1-d


def named(values: Any, ports: tuple[Port, ...], what: str) -> dict[str, Any]:
    """`values` by name: a mapping as it is, anything else as the only one of the ports."""
    if values is None:
        return {}
    if len(ports) == 1 and isinstance(values, np.ndarray):
        return {ports[0].name: values}
    names = [port.name for port in ports]
    if isinstance(values, Mapping):
        reject_unknown(values, names, what)
        return dict(values)
    if len(ports) != 1:
        raise ModelError(f"expected a mapping of {what}s by name ({', '.join(names)}), found one array")
    return {names[0]: values}


def reject_unknown(given: Mapping[str, Any], names: list[str], what: str) -> None:
    for name in given:
        if name not in names:
            known = ", ".join(names) if names else "none"
            raise ModelError(f"{name!r} is not the name of a {what}; known are: {known}")


def non_finite(arrays: Mapping[str, np.ndarray]) -> str | None:
    """The first NaN or infinity, as text, or None if there is none."""
    for name, array in arrays.items():
        bad = np.argwhere(~np.isfinite(array))
        if len(bad):
            place = ", ".join(map(str, bad[0]))
            return f"{name}: {array[tuple(bad[0])]} at [{place}] ({len(bad)} such values in {array.size})"
    return None
