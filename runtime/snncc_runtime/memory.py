"""Where a model's arena and the arrays of its callers lie: here, in the process; on a GPU, see device_memory.

An instance asks for an arena, and in each call for pointers to its arrays between `begin` and `finish`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol

import numpy as np

from .binding import Library, aligned_bytes
from .errors import ModelError
from .manifest import Port


class Arena(Protocol):
    """A model's memory: `pointer` for C, `size` in bytes."""

    pointer: Any
    size: int


class Memory(Protocol):
    """What an instance needs of the place where its model computes."""

    def arena(self, size: int) -> Arena: ...
    def fits_alone(self, size: int) -> bool: ...
    def started(self) -> None: ...
    def view(self, port: Port, values: Any) -> Any: ...
    def begin(self, arrays: Iterable[Any]) -> None: ...
    def given(self, port: Port, array: Any) -> Any: ...
    def result(self, port: Port, shape: tuple[int, ...]) -> tuple[Any, Any]: ...
    def finish(self, status: int) -> int: ...
    def close(self) -> None: ...
    def end(self) -> None: ...
    def wait(self) -> None: ...

    @property
    def pending(self) -> bool: ...
    @property
    def stream(self) -> Any: ...
    @stream.setter
    def stream(self, stream: Any) -> None: ...


class _HostArena:
    def __init__(self, library: Library, size: int) -> None:
        self.size, self._bytes = size, aligned_bytes(size)
        self.pointer = library.ffi.from_buffer(self._bytes)


class HostMemory:
    """NumPy's arrays are what the library reads and fills."""

    def __init__(self, library: Library, name: str) -> None:
        self._library, self._name = library, name

    def arena(self, size: int) -> Arena:
        """Raises MemoryError or ValueError."""
        return _HostArena(self._library, size)

    def fits_alone(self, size: int) -> bool:
        """Whether an arena that has no room beside the present one might have it in its place."""
        return False

    def started(self) -> None:
        """After an arena came into use."""

    def view(self, port: Port, values: Any) -> Any:
        """An array that is on the device already; None for all others."""

    def begin(self, arrays: Iterable[Any]) -> None:
        """Before a call with these arrays."""

    def given(self, port: Port, array: np.ndarray) -> Any:
        return self._library.pointer(array)

    def result(self, port: Port, shape: tuple[int, ...]) -> tuple[np.ndarray, Any]:
        """An array for the library to fill, and its pointer."""
        array = np.empty(shape, port.dtype)
        return array, self._library.pointer(array)

    def finish(self, status: int) -> int:
        """After a call: what it found."""
        return status

    def close(self) -> None:
        """Before the arena ends."""

    def end(self) -> None:
        """Nobody will call the model any more."""

    def wait(self) -> None:
        """Until all work is done."""

    @property
    def pending(self) -> bool:
        """Whether there were calls that nobody waited for."""
        return False

    @property
    def stream(self) -> None:
        """Where work goes, of a GPU."""

    @stream.setter
    def stream(self, stream: Any) -> None:
        raise ModelError(f"{self._name}: a model in C has no stream; compile it with target='cuda'")
