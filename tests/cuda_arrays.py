"""Another library with arrays on the device, as far as a model sees it: streams, memory, descriptions."""

from __future__ import annotations

import ctypes
import struct
from typing import Any

import numpy as np

from tests import cuda_host

NOT_READY = 600    # cudaErrorNotReady
TO_DEVICE, TO_HOST = 1, 2
NON_BLOCKING = 1
MANAGED = struct.Struct("<QiiiBBHQQQQQ")    # DLManagedTensor, as a 64-bit machine has it


class Cuda:
    """CUDA's own functions, on the processor: the library that models are linked with as well."""

    def __init__(self, variant: str = "plain") -> None:
        self._library = ctypes.CDLL(str(cuda_host.library(variant)))
        self._library.snncc_host_crossings.restype = ctypes.c_size_t

    def call(self, name: str, *arguments: Any) -> None:
        assert getattr(self._library, name)(*arguments) == 0

    def stream(self) -> int:
        """A stream that no other one waits for."""
        found = ctypes.c_void_p()
        self.call("cudaStreamCreateWithFlags", ctypes.byref(found), NON_BLOCKING)
        assert found.value
        return found.value

    def idle(self, stream: int) -> bool:
        code = self._library.cudaStreamQuery(ctypes.c_void_p(stream))
        assert code in (0, NOT_READY)
        return bool(code == 0)

    def crossings(self) -> int:
        """How many copies between host and device there were in this process."""
        return int(self._library.snncc_host_crossings())

    def available(self) -> int:
        """Bytes of the device that are free."""
        free, total = ctypes.c_size_t(), ctypes.c_size_t()
        self.call("cudaMemGetInfo", ctypes.byref(free), ctypes.byref(total))
        return free.value

    def memory(self, size: int, name: str = "cudaMalloc") -> int:
        found = ctypes.c_void_p()
        self.call(name, ctypes.byref(found), ctypes.c_size_t(size))
        assert found.value
        return found.value

    def copy(self, to: int, start: int, size: int, kind: int, stream: int | None) -> None:
        pointers = ctypes.c_void_p(to), ctypes.c_void_p(start)
        self.call("cudaMemcpyAsync", *pointers, ctypes.c_size_t(size), kind, ctypes.c_void_p(stream))


class Tensor:
    """An array on the device, which its stream fills when it comes to it."""

    def __init__(self, cuda: Cuda, values: np.ndarray[Any, Any], stream: int | None = None) -> None:
        self.cuda, self.values, self.stream = cuda, np.ascontiguousarray(values), stream
        self.pointer = cuda.memory(self.values.nbytes)
        self._pinned = cuda.memory(self.values.nbytes, "cudaMallocHost")
        self.fill(self.values)

    def __del__(self) -> None:
        self.cuda.call("cudaFree", ctypes.c_void_p(self.pointer))
        self.cuda.call("cudaFreeHost", ctypes.c_void_p(self._pinned))

    def fill(self, values: np.ndarray[Any, Any]) -> None:
        source = np.ascontiguousarray(values, self.values.dtype)
        ctypes.memmove(self._pinned, source.ctypes.data, source.nbytes)
        self.cuda.copy(self.pointer, self._pinned, source.nbytes, TO_DEVICE, self.stream)


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
        event = ctypes.c_void_p()
        self.cuda.call("cudaEventCreate", ctypes.byref(event))
        self.cuda.call("cudaEventRecord", event, ctypes.c_void_p(self.stream))
        reader = ctypes.c_void_p(None if stream == 1 else stream)
        self.cuda.call("cudaStreamWaitEvent", reader, event, 0)
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
