"""Arrays on a GPU: those that callers have there already, and those that a model gives back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from . import dlpack
from .errors import ModelError
from .streams import LEGACY, handle_of

METHODS = {"float32": "float", "float64": "double", "int64": "long", "int32": "int"}  # of PyTorch's tensors
REFUSALS = (BufferError, RuntimeError, TypeError, ValueError, AttributeError, NotImplementedError)


@dataclass(frozen=True)
class DeviceView:
    """A caller's array where it lies.

    stream: whose work it waits for; None: nothing to wait for. owner: what must last until it was read; None
    if that is no concern.
    """

    pointer: int
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    stream: int | None
    owner: Any


class Lender(Protocol):
    """Where a DeviceArray's memory comes from, and who reads it."""

    @property
    def handle(self) -> int: ...
    @property
    def device(self) -> int: ...
    def read(self, array: DeviceArray) -> np.ndarray: ...
    def lend_to(self, stream: int) -> None: ...


class DeviceArray:
    """An array of a model's results on its GPU, in C order; made and read in the order of `model.stream`.

    CuPy, PyTorch, JAX and numba take it without a copy (`torch.from_dlpack(a)`, `cupy.asarray(a)`); `numpy()`
    and NumPy's functions copy it to the host, and there is raised what the calls before found wrong. Its
    memory goes back to the model when nobody refers to it.
    """

    def __init__(
        self, lender: Lender, memory: Any, unused: list[Any], shape: tuple[int, ...], dtype: np.dtype[Any]
    ) -> None:
        self._lender, self._memory, self._unused = lender, memory, unused
        self.shape, self.dtype = shape, dtype

    def __del__(self) -> None:
        if hasattr(self, "_unused"):
            self._unused.append(self._memory)

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def size(self) -> int:
        return int(np.prod(self.shape, dtype=np.int64))

    @property
    def nbytes(self) -> int:
        return self.size * self.dtype.itemsize

    @property
    def pointer(self) -> int:
        """The address on the device."""
        return int(self._memory.address)

    def numpy(self) -> np.ndarray:
        """A copy on the host. Waits for the model; raises ModelError for what its calls found wrong."""
        return self._lender.read(self)

    def __float__(self) -> float:
        return float(self.numpy().reshape(()))  # of a loss

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        if copy is False:
            raise ValueError("an array on the device is on the host only as a copy")
        values = self.numpy()
        return values if dtype is None else values.astype(dtype, copy=False)

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        stream = self._lender.handle or LEGACY
        where = {"data": (self.pointer, False), "stream": stream, "version": 3}
        return {"shape": self.shape, "typestr": self.dtype.str, "strides": None, **where}

    def __dlpack_device__(self) -> tuple[int, int]:
        return dlpack.CUDA, self._lender.device

    def __dlpack__(
        self,
        *,
        stream: int | None = None,
        max_version: tuple[int, int] | None = None,
        dl_device: tuple[int, int] | None = None,
        copy: bool | None = None,
    ) -> Any:
        """A capsule. `stream`: the reader's, which waits for the model's; None: the default one; -1: it need
        not wait."""
        if copy or (dl_device is not None and tuple(dl_device) != self.__dlpack_device__()):
            raise BufferError("a model's array is lent where it lies: no copies, no other device")
        if stream == 0:
            raise ValueError("stream: 0 may mean two streams; give 1 for the default one")
        if stream != -1:
            self._lender.lend_to(handle_of(stream))
        return dlpack.capsule_of(self.pointer, self.shape, self.dtype, self._lender.device, self)

    def __repr__(self) -> str:
        return f"DeviceArray({self.dtype}{list(self.shape)}, device {self._lender.device})"


def view_of(name: str, values: Any, dtype: np.dtype[Any], lender: Lender) -> DeviceView | None:
    """A caller's array on the device; None if it is not there. It is never converted.

    Raises ModelError if it has another dtype than `dtype`, or gaps, or an address that is no number's.
    """
    if isinstance(values, np.ndarray):
        return None
    try:
        found = _found(values, lender)
    except REFUSALS as error:
        raise ModelError(f"{name}: the array on the device cannot be used: {error}") from None
    if found is None:
        return None
    array, stream, owner = found
    _require(name, array, dtype)
    return DeviceView(array.pointer, array.shape, dtype, stream, owner)


def _found(values: Any, lender: Lender) -> tuple[dlpack.Found, int | None, Any] | None:
    """An array on the device, the stream to wait for, and its owner. Raises what producers raise."""
    if isinstance(values, DeviceArray):
        array = dlpack.Found(values.pointer, values.shape, None, values.dtype)
        return (array, None, None) if values._lender is lender else (array, values._lender.handle, values)
    if hasattr(values, "__dlpack_device__"):
        if values.__dlpack_device__()[0] not in (dlpack.CUDA, dlpack.CUDA_MANAGED):
            return None
        capsule = values.__dlpack__(stream=lender.handle or LEGACY)  # which waits for the array from now on
        return dlpack.read(capsule), None, capsule
    if not hasattr(values, "__cuda_array_interface__"):
        return None
    interface = values.__cuda_array_interface__
    stream = interface.get("stream", LEGACY if interface["version"] < 3 else None)
    return _described(interface), None if stream is None else handle_of(stream), values


def _described(interface: dict[str, Any]) -> dlpack.Found:
    """What __cuda_array_interface__ says, in DLPack's terms. Raises ValueError."""
    if interface.get("mask") is not None:
        raise ValueError("it has a mask")
    dtype, strides = np.dtype(interface["typestr"]), interface.get("strides")
    steps = None if strides is None else tuple(step // dtype.itemsize for step in strides)
    return dlpack.Found(int(interface["data"][0]), tuple(interface["shape"]), steps, dtype)


def _require(name: str, found: dlpack.Found, dtype: np.dtype[Any]) -> None:
    if found.dtype != dtype:
        raise ModelError(
            f"{name}: an array on the device is taken as it is: expected {dtype}, found {found.dtype}; "
            f"convert it there, with .{METHODS[dtype.name]}() in PyTorch, .astype({str(dtype)!r}) elsewhere"
        )
    if not _is_dense(found):
        raise ModelError(
            f"{name}: an array on the device is taken as it is: expected C order without gaps, found strides "
            f"{list(found.strides or ())} (in elements) for shape {list(found.shape)}; copy it there, with "
            ".contiguous() in PyTorch, .copy() elsewhere"
        )
    if found.pointer % dtype.itemsize:
        raise ModelError(
            f"{name}: an array on the device is taken as it is: expected an address that is a multiple of "
            f"{dtype.itemsize} bytes, found {found.pointer:#x}; copy it there, with .clone() in PyTorch, "
            ".copy() elsewhere"
        )


def _is_dense(found: dlpack.Found) -> bool:
    expected = 1
    for size, step in zip(reversed(found.shape), reversed(found.strides or ()), strict=False):
        if size != 1 and step != expected:
            return False
        expected *= size
    return True
