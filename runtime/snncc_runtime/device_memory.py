"""A GPU's memory for a model: its arena, buffers for arrays of the host, and a pool of arrays for results."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from threading import RLock
from typing import Any
from weakref import finalize

import numpy as np

from .binding import Library, Status
from .device_array import DeviceArray, DeviceView, view_of
from .errors import ModelError
from .manifest import Port
from .memory import Arena
from .streams import handle_of

REMEDY = "take a smaller batch, or compile with checkpoint_every= or context='float16'"


class Allocation:
    """Device memory that is given back when nobody refers to it; the end of a process gives back all."""

    def __init__(self, library: Library, size: int, pointer: Any) -> None:
        self.size, self.pointer = size, pointer
        self.address = int(library.ffi.cast("uintptr_t", pointer))
        finalize(self, library.function("release"), pointer).atexit = False


class DeviceMemory:
    """Arrays of the host are copied to the device and back, through buffers that stay; the call waits.

    With an array that is on the device, results stay there as well and nothing waits. What such calls found
    wrong is raised at the next look from the host: `wait`, `read`, or a call with arrays of the host alone.
    """

    def __init__(self, library: Library, model: Any, name: str, lock: RLock) -> None:
        self._library, self._model, self._name, self._lock = library, model, name, lock
        self._stream: Any = None  # as it was given, which keeps it alive
        self._arena: Allocation | None = None
        self._buffers: dict[str, Allocation] = {}
        self._unused: dict[tuple[str, int], list[Allocation]] = {}  # by field and size
        self._results: list[tuple[np.ndarray, Any]] = []
        self._codes: list[int] = []
        self._views: list[DeviceView] = []  # of the present call
        self._reading: deque[tuple[Any, list[Any]]] = deque()  # events, and arrays that are read before them
        self.pending = False  # whether there were calls that nobody waited for
        self._late = int(Status.OK)  # what they found, as far as known
        self.device = 0

    def arena(self, size: int) -> Arena:
        """Raises ModelError."""
        self._arena = self._allocate(size, "the model")
        self.device = int(self._library.function("device_of")(self._arena.pointer))
        return self._arena

    def fits_alone(self, size: int) -> bool:
        return self._arena is not None and size <= self._available() + self._arena.size

    def started(self) -> None:
        self._model.stream = self._pointer(handle_of(self._stream))

    def view(self, port: Port, values: Any) -> DeviceView | None:
        return view_of(port.name, values, port.dtype, self)

    def begin(self, arrays: Iterable[Any]) -> None:
        self._check("device", self._library.function("here")(self._model))
        self._codes, self._results = [], []
        self._views = [array for array in arrays if isinstance(array, DeviceView)]
        if self.pending and not self._views:
            self.wait()

    def given(self, port: Port, array: np.ndarray | DeviceView) -> Any:
        if isinstance(array, DeviceView):
            return self._typed(self._in_order(port, array), array.dtype)
        pointer = self._typed(self._buffer(port.field, array.nbytes), array.dtype)
        if self._views:  # nothing waits: the caller's own may be pinned, and change before it is read
            array = array.copy()
        copy, source = self._library.function("to_device"), self._library.pointer(array)
        self._codes.append(copy(self._model, pointer, source, array.nbytes))
        return pointer

    def result(self, port: Port, shape: tuple[int, ...]) -> tuple[np.ndarray | DeviceArray, Any]:
        if self._views:
            made = self._lend(port, shape)
            return made, self._typed(self._pointer(made.pointer), port.dtype)
        array = np.empty(shape, port.dtype)
        pointer = self._typed(self._buffer(port.field, array.nbytes), port.dtype)
        self._results.append((array, pointer))
        return array, pointer

    def finish(self, status: int) -> int:
        """Waits for the call, with its results on the host; not where they stay on the device."""
        bad, views = _first(*self._codes, status), self._views
        self._views = []
        if bad != Status.OK:
            return bad
        if views:
            self.pending = True
            return self._hold(views)
        copy, codes = self._library.function("to_host"), []
        for array, pointer in self._results:
            codes.append(copy(self._model, self._library.pointer(array), pointer, array.nbytes))
        return _first(*codes, self._library.function("wait")(self._model))

    def close(self) -> None:
        """Waits for the device and forgets recorded calls, before the arena ends."""
        found = self._library.function("wait")(self._model)
        self._late = _first(self._late, found if self.pending else Status.OK)
        self._library.function("close")(self._model)
        self._release_views()

    def end(self) -> None:
        """The present arena is of no use any more; arrays that somebody has stay readable."""
        self.close()
        self._arena = None
        self._buffers.clear()
        self._unused.clear()

    def wait(self, *codes: int) -> None:
        """Until all work is done. codes: what else to look at. Raises ModelError for what is wrong."""
        with self._lock:
            found = _first(*codes, self._late, self._library.function("wait")(self._model))
            self._late, self.pending = int(Status.OK), False
            self._release_views()
        if found != Status.OK:
            raise ModelError(
                f"{self._name}: a call with arrays on the device: {self._library.finding(found)}; "
                "to see which one, use model.wait() after each"
            )

    @property
    def stream(self) -> Any:
        return self._stream

    @stream.setter
    def stream(self, stream: Any) -> None:
        new = handle_of(stream)
        with self._lock:
            self._order(self.handle, new)
            self._stream, self._model.stream = stream, self._pointer(new)

    @property
    def handle(self) -> int:
        """The stream's, as a number."""
        return int(self._library.ffi.cast("uintptr_t", self._model.stream))

    def read(self, array: DeviceArray) -> np.ndarray:
        values = np.empty(array.shape, array.dtype)
        with self._lock:
            to, start = self._library.pointer(values), self._pointer(array.pointer)
            self.wait(self._library.function("to_host")(self._model, to, start, values.nbytes))
        return values

    def lend_to(self, stream: int) -> None:
        """From now on that stream may read results."""
        self._order(self.handle, stream)

    def _order(self, first: int, then: int) -> None:
        self._check("streams", self._library.function("order")(self._pointer(first), self._pointer(then)))

    def _in_order(self, port: Port, view: DeviceView) -> Any:
        """A caller's array for the model's stream."""
        pointer = self._pointer(view.pointer)
        found = self._library.function("device_of")(pointer)
        if found != self.device:
            place = "of the host" if found < 0 else f"of device {found}"
            raise ModelError(
                f"{port.name}: expected memory of device {self.device}, where the model is, found memory "
                f"{place}; copy it there"
            )
        if view.stream is not None:
            self._order(view.stream, self.handle)
        return pointer

    def _hold(self, views: list[DeviceView]) -> int:
        """Keeps arrays of a call until it has read them."""
        code = Status.OK
        owners = [v.owner for v in views if v.owner is not None and v.stream != self.handle]
        if owners:
            event = self._library.ffi.new("void **")
            code = self._library.function("mark")(self._model, event)
            self._reading.append((event[0], owners))
        reached, unmark = self._library.function("reached"), self._library.function("unmark")
        while self._reading and reached(self._reading[0][0]) == Status.OK:
            unmark(self._reading.popleft()[0])
        return int(code)

    def _release_views(self) -> None:
        """After a wait: all arrays were read."""
        while self._reading:
            self._library.function("unmark")(self._reading.popleft()[0])

    def _lend(self, port: Port, shape: tuple[int, ...]) -> DeviceArray:
        """Memory for a result: that with the lowest address, so that recorded calls come again."""
        size = int(np.prod(shape, dtype=np.int64)) * port.dtype.itemsize
        unused = self._unused.setdefault((port.field, size), [])
        found = min(unused, key=lambda memory: memory.address, default=None)
        if found is None:
            found = self._allocate(size, port.name)
        else:
            unused.remove(found)
        return DeviceArray(self, found, unused, shape, port.dtype)

    def _buffer(self, field: str, size: int) -> Any:
        known = self._buffers.get(field)
        if known is None or known.size < size:
            known = self._buffers[field] = self._allocate(size, field)
        return known.pointer

    def _allocate(self, size: int, what: str) -> Allocation:
        """Raises ModelError, before anything is started."""
        if size > self._available():
            for unused in self._unused.values():
                unused.clear()
        free, found = self._available(), self._library.ffi.new("void **")
        code = self._library.function("allocate")(max(1, size), found) if size <= free else None
        if code is None or code == Status.DEVICE + 2:  # cudaErrorMemoryAllocation: free, but in pieces
            raise ModelError(
                f"{self._name}: {what} needs {size} bytes on the device, and {free} are free: {REMEDY}"
            )
        self._check("allocate", code)
        return Allocation(self._library, size, found[0])

    def _available(self) -> int:
        """Free bytes. Raises ModelError, also where there is no device."""
        found = self._library.ffi.new("size_t *")
        self._check("device memory", self._library.function("available")(found))
        return int(found[0])

    def _check(self, what: str, code: int) -> None:
        if code != Status.OK:
            raise ModelError(f"{self._name}: {what}: {self._library.finding(code)}")

    def _pointer(self, address: int) -> Any:
        return self._library.ffi.cast("void *", address)

    def _typed(self, pointer: Any, dtype: np.dtype[Any]) -> Any:
        return self._library.typed(pointer, dtype)


def _first(*codes: int) -> int:
    """The first that is an error."""
    return next((int(code) for code in codes if code != Status.OK), int(Status.OK))
