"""Samples and targets of training, checked once as a whole and cut into batches."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from .arrays import Extent, named, plain_array
from .errors import ModelError
from .manifest import Manifest, Port
from .values import Arrays


@dataclass(frozen=True)
class Batch:
    """`count` samples: arrays by role and name, ready for a call."""

    given: dict[str, Arrays]
    count: int


class Dataset:
    """Inputs, and targets if `entry` has any. Arrays keep their own dtype (bytes stay bytes) until a call."""

    def __init__(
        self, manifest: Manifest, entry: str, x: Any, y: Any, num_steps: int | None, lengths: Any = None
    ) -> None:
        self._arrays: list[tuple[Port, np.ndarray, int | None]] = []
        self._extent = Extent(steps=num_steps)
        self._add(manifest, entry, "input", x)
        self._add(manifest, entry, "target", y)
        if lengths is not None:
            require_lengths(manifest)
            self._add(manifest, entry, "lengths", lengths)
        if self._extent.batch is None:
            raise ModelError(
                f"{manifest.name}: no input has a batch axis, so there are no samples to go through"
            )
        self.size: int = self._extent.batch

    def batch(self, index: np.ndarray | slice) -> Batch:
        """Samples by index, or a range of them."""
        given: dict[str, Arrays] = {}
        for port, array, axis in self._arrays:
            given.setdefault(port.role, {})[port.name] = array if axis is None else _pick(array, index, axis)
        count = len(index) if isinstance(index, np.ndarray) else len(range(*index.indices(self.size)))
        return Batch(given, count)

    def batches(self, size: int) -> Iterator[Batch]:
        """All samples in order; the last batch may be smaller."""
        return (self.batch(slice(start, start + size)) for start in range(0, self.size, size))

    def shuffled(self, size: int, order: np.ndarray) -> Iterator[Batch]:
        """The samples that `order` names, in that order."""
        return (self.batch(order[start : start + size]) for start in range(0, len(order), size))

    def _add(self, manifest: Manifest, entry: str, role: str, values: Any) -> None:
        ports = manifest.ports_of(role, entry)
        by_name = named(values, ports, role) if ports else {}
        for port in ports:
            if port.name not in by_name:
                raise ModelError(f"{manifest.name}: {role} {port.name!r} is missing")
            array = plain_array(port.name, by_name[port.name], port.kinds)
            self._extent.check(port, array.shape)
            self._arrays.append((port, array, self._extent.batch_axis(port)))


def require_lengths(manifest: Manifest) -> None:
    """Raises ModelError where a model cannot be told how many steps each sample has."""
    if not manifest.ports_of("lengths"):
        raise ModelError(f"{manifest.name}: was compiled without lengths; compile it with lengths=True")


def _pick(array: np.ndarray, index: np.ndarray | slice, axis: int) -> np.ndarray:
    """Samples along `axis`."""
    if isinstance(index, np.ndarray) and array.flags.c_contiguous and array.flags.aligned:
        return array.take(index, axis)  # array[:, index] has another layout and would be copied once more
    return array[(slice(None),) * axis + (index,)]
