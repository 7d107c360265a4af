"""DLPack's capsules for arrays on a GPU, read and made: https://dmlc.github.io/dlpack/latest/c_api.html."""

from __future__ import annotations

import ctypes
from typing import Any, NamedTuple

import numpy as np

CUDA, CUDA_MANAGED = 2, 13  # DLDeviceType
NAME = b"dltensor"
CODES = {"i": 0, "u": 1, "f": 2}  # DLDataTypeCode by NumPy's kind
SIZES = {0: "i", 1: "u", 2: "f"}


class _Device(ctypes.Structure):
    _fields_ = (("type", ctypes.c_int32), ("index", ctypes.c_int32))


class _Type(ctypes.Structure):
    _fields_ = (("code", ctypes.c_uint8), ("bits", ctypes.c_uint8), ("lanes", ctypes.c_uint16))


class _Tensor(ctypes.Structure):
    _fields_ = (
        ("data", ctypes.c_void_p),
        ("device", _Device),
        ("ndim", ctypes.c_int32),
        ("dtype", _Type),
        ("shape", ctypes.POINTER(ctypes.c_int64)),
        ("strides", ctypes.POINTER(ctypes.c_int64)),
        ("byte_offset", ctypes.c_uint64),
    )


class Managed(ctypes.Structure):
    """DLManagedTensor: whoever takes it out of its capsule calls the deleter when done."""

    _fields_ = (("tensor", _Tensor), ("context", ctypes.c_void_p), ("deleter", ctypes.c_void_p))


class Found(NamedTuple):
    """What a capsule says: strides in elements, or None for C order; dtype is text where NumPy has none."""

    pointer: int
    shape: tuple[int, ...]
    strides: tuple[int, ...] | None
    dtype: np.dtype[Any] | str


_api = ctypes.pythonapi
_new = ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p)(
    ("PyCapsule_New", _api)
)
_pointer = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.py_object, ctypes.c_char_p)(
    ("PyCapsule_GetPointer", _api)
)
# For a capsule that is just being destroyed, which may not be referred to any more.
_is_named = ctypes.PYFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_char_p)(("PyCapsule_IsValid", _api))
_pointer_in = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p, ctypes.c_char_p)(
    ("PyCapsule_GetPointer", _api)
)
_lent: dict[int, tuple[Any, ...]] = {}  # what capsules and their readers refer to, by address


def read(capsule: Any) -> Found:
    """An array that lasts as long as the capsule, which stays the owner. Raises ValueError."""
    tensor = ctypes.cast(_pointer(capsule, NAME), ctypes.POINTER(Managed)).contents.tensor
    shape = tuple(tensor.shape[: tensor.ndim])
    strides = tuple(tensor.strides[: tensor.ndim]) if tensor.strides else None
    code, bits, lanes = tensor.dtype.code, tensor.dtype.bits, tensor.dtype.lanes
    plain = code in SIZES and lanes == 1 and bits in (8, 16, 32, 64)
    known = plain and np.dtype(f"{SIZES[code]}{bits // 8}") if (code, bits) != (2, 8) else False
    dtype = known or f"DLPack's type {code} of {lanes} x {bits} bits"
    return Found((tensor.data or 0) + tensor.byte_offset, shape, strides, dtype)


def capsule_of(pointer: int, shape: tuple[int, ...], dtype: np.dtype[Any], device: int, owner: Any) -> Any:
    """A capsule of an array in C order; until its reader is done with it, `owner` is referred to."""
    axes = (ctypes.c_int64 * max(1, len(shape)))(*shape)
    steps = [int(np.prod(shape[k + 1 :], dtype=np.int64)) for k in range(len(shape))]
    strides = (ctypes.c_int64 * max(1, len(shape)))(*steps)
    kind = _Type(CODES[dtype.kind], 8 * dtype.itemsize, 1)
    tensor = _Tensor(pointer, _Device(CUDA, device), len(shape), kind, axes, strides, 0)
    managed = Managed(tensor, None, ctypes.cast(_delete, ctypes.c_void_p))
    address = ctypes.addressof(managed)
    _lent[address] = (managed, axes, strides, owner)
    return _new(address, NAME, ctypes.cast(_destroy, ctypes.c_void_p))


def _forget(address: int, lent: dict[int, tuple[Any, ...]] = _lent) -> None:
    lent.pop(address, None)


def _abandon(capsule: int, named: Any = _is_named, pointer: Any = _pointer_in, forget: Any = _forget) -> None:
    """The end of a capsule: its array ends with it, unless somebody took it out, who then renamed it."""
    if named(capsule, b"dltensor"):
        forget(pointer(capsule, b"dltensor"))


# Called by readers, maybe as the last thing in a process: they refer to nothing that ends before them.
_delete = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(_forget)
_destroy = ctypes.PYFUNCTYPE(None, ctypes.c_void_p)(_abandon)
for _function in (_delete, _destroy):
    _api.Py_IncRef(ctypes.py_object(_function))
