"""Where a model's arena and the arrays of its callers lie: in the process, or on a GPU.

An instance asks for an arena, and for a pointer to each array of a call; `finish` is after the call.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np

from .binding import Library, Status, aligned_bytes
from .errors import ModelError


class Arena(Protocol):
    """A model's memory: `pointer` for C, `size` in bytes."""

    pointer: Any
    size: int


class Memory(Protocol):
    """What an instance needs of the place where its model computes."""

    def arena(self, size: int) -> Arena: ...
    def given(self, field: str, array: np.ndarray) -> Any: ...
    def taken(self, field: str, array: np.ndarray) -> Any: ...
    def finish(self, model: Any, status: int) -> int: ...
    def close(self) -> None: ...


class _HostArena:
    def __init__(self, library: Library, size: int) -> None:
        self.size, self._bytes = size, aligned_bytes(size)
        self.pointer = library.ffi.from_buffer(self._bytes)


class HostMemory:
    """NumPy's arrays are what the library reads and fills."""

    def __init__(self, library: Library) -> None:
        self._library = library

    def arena(self, size: int) -> Arena:
        """Raises MemoryError or ValueError."""
        return _HostArena(self._library, size)

    def given(self, field: str, array: np.ndarray) -> Any:
        return self._library.pointer(array)

    def taken(self, field: str, array: np.ndarray) -> Any:
        return self._library.pointer(array)

    def finish(self, model: Any, status: int) -> int:
        return status

    def close(self) -> None:
        """Before the arena ends."""


class _DeviceArena:
    """Device memory that is given back when nobody refers to it."""

    def __init__(self, library: Library, size: int) -> None:
        self.size, self._release = size, library.function("release")
        found = library.ffi.new("void **")
        code = library.function("allocate")(size, found)
        if code != Status.OK:
            raise ModelError(f"{size} bytes on the device: {library.finding(code)}")
        self.pointer = found[0]

    def __del__(self) -> None:
        if pointer := getattr(self, "pointer", None):
            self._release(pointer)


class DeviceMemory:
    """A GPU's: the arrays of a call are copied to the device and back, through buffers that stay."""

    def __init__(self, library: Library, model: Any) -> None:
        self._library, self._model = library, model
        self._buffers: dict[str, _DeviceArena] = {}
        self._results: list[tuple[np.ndarray, Any]] = []
        self._codes: list[int] = []

    def arena(self, size: int) -> Arena:
        """Raises ModelError."""
        return _DeviceArena(self._library, size)

    def given(self, field: str, array: np.ndarray) -> Any:
        pointer = self._buffer(field, array)
        source = self._library.pointer(array)
        self._codes.append(self._library.function("to_device")(self._model, pointer, source, array.nbytes))
        return pointer

    def taken(self, field: str, array: np.ndarray) -> Any:
        pointer = self._buffer(field, array)
        self._results.append((array, pointer))
        return pointer

    def finish(self, model: Any, status: int) -> int:
        """Waits for the call, with its results on the host."""
        codes, results = [*self._codes, status], self._results
        self._codes, self._results = [], []
        bad = next((code for code in codes if code != Status.OK), Status.OK)
        if bad != Status.OK:
            return bad
        copy = self._library.function("to_host")
        for array, pointer in results:
            codes.append(copy(model, self._library.pointer(array), pointer, array.nbytes))
        codes.append(self._library.function("wait")(model))
        return next((code for code in codes if code != Status.OK), Status.OK)

    def close(self) -> None:
        """Waits for the device and forgets recorded calls, before the arena ends."""
        self._library.function("wait")(self._model)
        self._library.function("close")(self._model)

    def __del__(self) -> None:
        if hasattr(self, "_codes"):
            self.close()

    def _buffer(self, field: str, array: np.ndarray) -> Any:
        """Device memory for an array of the caller, as C types it."""
        known = self._buffers.get(field)
        if known is None or known.size < array.nbytes:
            known = self._buffers[field] = _DeviceArena(self._library, max(1, array.nbytes))
        return self._library.typed(known.pointer, array)


def memory_of(manifest: Mapping[str, Any], library: Library, model: Any) -> Memory:
    """Where a model of that target computes."""
    return DeviceMemory(library, model) if manifest["target"] == "cuda" else HostMemory(library)
