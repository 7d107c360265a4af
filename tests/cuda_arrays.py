"""Another library with arrays on the device, as a model sees it: streams, memory, descriptions.

Arrays and streams are made by CUDA's driver: a GPU's (libcuda.so.1, nothing else is needed), or on the
processor by what stands in for it. `present()` is that of this run.
"""

from __future__ import annotations

import ctypes
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest

from tests import cuda_host
from tests.cuda_pairs import on_a_gpu

OUT_OF_MEMORY, ENDED, NOT_READY = 2, 4, 600    # CUresult; ENDED: at the end of a process
NON_BLOCKING, NO_TIMES, EQUAL = 1, 2, 1    # flags of streams, of events, and of what a stream waits for
PATIENCE = 30.0    # seconds that a stream is held at most: a test that waits for it fails, and does not hang
FILLS = 4    # of an array, at most
PAGE, MEBI = 4096, 2**20
MANAGED = struct.Struct("<QiiiBBHQQQQQ")    # DLManagedTensor, as a 64-bit machine has it


class Cuda:
    """The driver's functions, in the context that models use."""

    def __init__(self, library: ctypes.CDLL) -> None:
        self._library, context = library, ctypes.c_void_p()
        self.call("cuInit", 0)
        self.call("cuDevicePrimaryCtxRetain", ctypes.byref(context), 0)
        self.call("cuCtxSetCurrent", context)
        page = self.pinned(PAGE)
        self.words = iter(range(page, page + PAGE, 4))    # of gates: nothing is allocated while one is closed

    def call(self, name: str, *arguments: Any) -> None:
        code = self._library[name](*arguments)
        assert code == 0, f"{name}: {code}"

    def stream(self) -> int:
        """A stream that no other one waits for."""
        found = ctypes.c_void_p()
        self.call("cuStreamCreate", ctypes.byref(found), NON_BLOCKING)
        assert found.value
        return found.value

    def idle(self, stream: int) -> bool:
        code = self._library.cuStreamQuery(ctypes.c_void_p(stream))
        assert code in (0, NOT_READY), code
        return bool(code == 0)

    def synchronize(self, stream: int) -> None:
        self.call("cuStreamSynchronize", ctypes.c_void_p(stream))

    def hold(self, stream: int) -> Gate:
        """What is put on the stream from now on waits until the gate is opened."""
        return Gate(self, stream)

    def order(self, first: int | None, then: int | None) -> None:
        """Work put on `then` from now on waits for what is on `first` now."""
        event = ctypes.c_void_p()
        self.call("cuEventCreate", ctypes.byref(event), NO_TIMES)
        self.call("cuEventRecord", event, ctypes.c_void_p(first))
        self.call("cuStreamWaitEvent", ctypes.c_void_p(then), event, 0)
        self.call("cuEventDestroy_v2", event)

    def available(self) -> int:
        """Bytes of the device that are free."""
        free, total = ctypes.c_size_t(), ctypes.c_size_t()
        self.call("cuMemGetInfo_v2", ctypes.byref(free), ctypes.byref(total))
        return free.value

    def memory(self, size: int) -> int:
        found = ctypes.c_uint64()
        self.call("cuMemAlloc_v2", ctypes.byref(found), ctypes.c_size_t(size))
        return found.value

    def pinned(self, size: int) -> int:
        """Memory of the host that the device reads by itself."""
        found = ctypes.c_void_p()
        self.call("cuMemAllocHost_v2", ctypes.byref(found), ctypes.c_size_t(size))
        assert found.value
        return found.value

    def free(self, pointer: int, pinned: bool = False) -> None:
        name = "cuMemFreeHost" if pinned else "cuMemFree_v2"
        assert self._library[name](ctypes.c_void_p(pointer)) in (0, ENDED)

    def copy(self, to: int, start: int, size: int, stream: int | None) -> None:
        """Between device and pinned memory, whichever is which."""
        where = ctypes.c_uint64(to), ctypes.c_uint64(start)
        self.call("cuMemcpyAsync", *where, ctypes.c_size_t(size), ctypes.c_void_p(stream))

    def values(self, pointer: int, like: np.ndarray[Any, Any], stream: int) -> np.ndarray[Any, Any]:
        """What lies there when the stream comes to it; waits for it."""
        found, pinned = np.empty_like(like), self.pinned(like.nbytes)
        self.copy(pinned, pointer, like.nbytes, stream)
        self.synchronize(stream)
        ctypes.memmove(found.ctypes.data, pinned, like.nbytes)
        self.free(pinned, pinned=True)
        return found


class StandIn(Cuda):
    """On the processor: the library that models are linked with as well."""

    samples = 500    # of a call that needs more memory than `full` leaves

    def __init__(self, variant: str = "plain") -> None:
        library = ctypes.CDLL(str(cuda_host.library(variant)))
        library.snncc_host_crossings.restype = ctypes.c_size_t
        super().__init__(library)

    def crossings(self) -> int:
        """How many copies between host and device there were in this process."""
        return int(self._library.snncc_host_crossings())

    @contextmanager
    def full(self) -> Iterator[None]:
        """Within: the device is smaller than what is there already."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("SNNCC_HOST_MEMORY", "65536")
            yield


class Gpu(Cuda):
    samples = 2**21

    def __init__(self) -> None:
        super().__init__(ctypes.CDLL("libcuda.so.1"))

    @contextmanager
    def full(self) -> Iterator[None]:
        """Within: 256 MiB are left, a little more or less."""
        taken, size = [], self.available()
        while size >= 64 * MEBI:
            wanted, found = min(size, self.available() - 256 * MEBI), ctypes.c_uint64()
            if wanted < 64 * MEBI:
                break
            code = self._library.cuMemAlloc_v2(ctypes.byref(found), ctypes.c_size_t(wanted))
            assert code in (0, OUT_OF_MEMORY), code
            if code:    # not in one piece
                size //= 2
            else:
                taken.append(found.value)
        try:
            yield
        finally:
            for pointer in taken:
                self.free(pointer)


def present() -> Any:
    """StandIn, or with `pytest --gpu` Gpu: then tests that need more of StandIn are left out by a marker."""
    return Gpu() if on_a_gpu() else StandIn()


class Gate:
    """Holds a stream; opened after PATIENCE at the latest."""

    def __init__(self, cuda: Cuda, stream: int) -> None:
        self._word = ctypes.c_uint32.from_address(next(cuda.words))
        self._word.value = 0
        place = ctypes.c_uint64(ctypes.addressof(self._word))
        cuda.call("cuStreamWaitValue32_v2", ctypes.c_void_p(stream), place, 1, EQUAL)
        self._timer = threading.Timer(PATIENCE, self.open)
        self._timer.daemon = True
        self._timer.start()

    def open(self) -> None:
        self._word.value = 1
        self._timer.cancel()


class Tensor:
    """An array on the device, which its stream fills when it comes to it."""

    def __init__(self, cuda: Cuda, values: np.ndarray[Any, Any], stream: int | None = None) -> None:
        self.cuda, self.values, self.stream = cuda, np.ascontiguousarray(values), stream
        self.pointer = cuda.memory(self.values.nbytes)
        size = self.values.nbytes
        self._pinned = cuda.pinned(FILLS * size)
        self._places = iter(range(self._pinned, self._pinned + FILLS * size, size))
        self.fill(self.values)

    def __del__(self) -> None:
        self.cuda.free(self.pointer)
        self.cuda.free(self._pinned, pinned=True)

    def fill(self, values: np.ndarray[Any, Any]) -> None:
        """Each time from another place, as the copies before may not have been made yet."""
        source, place = np.ascontiguousarray(values, self.values.dtype), next(self._places)
        ctypes.memmove(place, source.ctypes.data, source.nbytes)
        self.cuda.copy(self.pointer, place, source.nbytes, self.stream)


class Described(Tensor):
    """It says so as CuPy and numba do; `changes` are what it says otherwise."""

    changes: dict[str, Any] = {}    # noqa: RUF012

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        given = {"shape": self.values.shape, "typestr": self.values.dtype.str, "strides": None}
        where = {"data": (self.pointer, False), "stream": self.stream or 1}
        return {**given, **where, "version": 3, **self.changes}


class Packed(Tensor):
    """It says so as PyTorch and JAX do. `ended`: how often a reader was done with it."""

    lent: list[Packed] = []    # noqa: RUF012    whoever has a capsule keeps its tensor

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.ended = 0
        self._capsules: list[Any] = []

    def __dlpack_device__(self) -> tuple[int, int]:
        return 2, 0

    def __dlpack__(self, *, stream: int) -> Any:
        """The reader's stream waits for what is on this one."""
        self.cuda.order(self.stream, None if stream == 1 else stream)
        return self._capsule()

    def _capsule(self) -> Any:
        def end(_: int) -> None:
            self.ended += 1
            self.lent.remove(self)

        deleter = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(end)
        destroy = ctypes.PYFUNCTYPE(None, ctypes.c_void_p)(end)
        shape = (ctypes.c_int64 * self.values.ndim)(*self.values.shape)
        code, bits = {"i": 0, "f": 2}[self.values.dtype.kind], 8 * self.values.dtype.itemsize
        where = self.pointer - 4, 2, 0, self.values.ndim, code, bits, 1, ctypes.addressof(shape), 0, 4, 0
        packed = MANAGED.pack(*where, ctypes.cast(deleter, ctypes.c_void_p).value)
        record = ctypes.create_string_buffer(packed)
        self.lent.append(self)
        self._capsules.append((deleter, destroy, shape, record))
        return capsule(ctypes.addressof(record), ctypes.cast(destroy, ctypes.c_void_p).value)


def capsule(address: int, destroy: int | None) -> Any:
    new = ctypes.pythonapi.PyCapsule_New
    new.restype, new.argtypes = ctypes.py_object, (ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p)
    return new(address, b"dltensor", destroy)


def unpacked(found: Any) -> tuple[Any, ...]:
    """The fields of a capsule, shape and strides as tuples, and its address: taken as readers take it."""
    get, rename = ctypes.pythonapi.PyCapsule_GetPointer, ctypes.pythonapi.PyCapsule_SetName
    get.restype, get.argtypes = ctypes.c_void_p, (ctypes.py_object, ctypes.c_char_p)
    rename.argtypes = ctypes.py_object, ctypes.c_char_p
    address = get(found, b"dltensor")
    rename(found, b"used_dltensor")
    fields = MANAGED.unpack(ctypes.string_at(address, MANAGED.size))
    shape, strides = (
        tuple((ctypes.c_int64 * fields[3]).from_address(pointer)) for pointer in (fields[7], fields[8])
    )
    return (*fields[:7], shape, strides, fields[9], fields[11], address)
