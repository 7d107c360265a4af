"""Opens a model's library through cffi and makes sure that both sides agree on the layout of its structs."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Mapping
from enum import IntEnum
from pathlib import Path
from typing import Any

import numpy as np

from .cuda import explain
from .errors import ModelError
from .manifest import BINDING, Manifest

ALIGNMENT = 64  # of an arena, in bytes
ABI_VERSION = 1
C_TYPES = {
    np.dtype("float32"): "float[]",
    np.dtype("float64"): "double[]",
    np.dtype("int64"): "int64_t[]",
    np.dtype("int32"): "int32_t[]",
}

# Paths of opened libraries and their digests. The loader of the system knows a library by its path: after
# a model was compiled again into the same folder it would hand out the old code.
_opened: dict[str, str] = {}


class Status(IntEnum):
    """Results of the C functions that the runtime explains itself (snncc/target.h)."""

    OK = 0
    LABEL = 5
    FINITE = 7
    LENGTH = 13
    DEVICE = 1000  # and up: an error of CUDA's
    BLAS = 3000  # and up: a status of cuBLAS's


class Library:
    """The functions of one compiled model; `prefix_forward` in C is `function("forward")` here."""

    def __init__(self, folder: Path, manifest: Manifest, files: dict[str, bytes]) -> None:
        namespace: dict[str, Any] = {}
        binding = folder / BINDING
        exec(compile(files[BINDING], str(binding), "exec"), namespace)  # not imported: leaves no __pycache__
        self.ffi = namespace["ffi"]
        self.prefix = manifest.prefix
        self.path = folder / manifest.library
        self._lib = _open(self.ffi, self.path, files[manifest.library])
        self.model_bytes = self._check_abi(manifest, namespace.get("digest"))

    def function(self, name: str) -> Any:
        try:
            return getattr(self._lib, f"{self.prefix}_{name}")
        except AttributeError:
            raise self._mismatch(f"{self.prefix}_{name} is missing") from None

    def new(self, struct: str, fields: Mapping[str, Any]) -> Any:
        """A new `prefix_struct` with these fields set and the others zero."""
        return self.ffi.new(f"{self.prefix}_{struct} *", fields)

    def pointer(self, array: np.ndarray) -> Any:
        """The array's memory, which must outlive the pointer."""
        return self.ffi.from_buffer(C_TYPES[array.dtype], array)

    def typed(self, pointer: Any, dtype: np.dtype[Any]) -> Any:
        """A pointer into memory elsewhere, as one to elements of that type."""
        return self.ffi.cast(C_TYPES[dtype].replace("[]", " *"), pointer)

    def new_model(self) -> Any:
        """The struct of a model, all zero, which lasts as long as the pointer."""
        memory = aligned_bytes(self.model_bytes)
        memory[:] = 0
        return self.ffi.from_buffer(f"{self.prefix}_model *", memory)

    def finding(self, status: int) -> str:
        """What an error code means, and of CUDA's what to do."""
        text = str(self.ffi.string(self.function("error")(status)).decode())
        if status >= Status.BLAS:
            return f"{text} (CUBLAS_STATUS {status - Status.BLAS})"
        return f"{text} ({status})" if status < Status.DEVICE else explain(status - Status.DEVICE, text)

    def _check_abi(self, manifest: Manifest, digest: str | None) -> int:
        record = self.new("abi_record", {})
        self.function("abi")(record)
        sizes = {
            "version": (record.version, ABI_VERSION),
            "digest": (self.ffi.string(record.digest).decode(), digest),
            "config_bytes": (record.config_bytes, self._sizeof("config")),
            "io_bytes": (record.io_bytes, self._sizeof("io")),
            "real_bytes": (record.real_bytes, manifest.dtype.itemsize),
        }
        for name, (found, expected) in sizes.items():
            if found != expected:
                raise self._mismatch(f"{name} is {found} in the library, {expected} in the binding")
        fields = {name for name, _ in self.ffi.typeof(f"{self.prefix}_io").fields}
        for port in manifest.ports:
            if port.field not in fields:
                raise self._mismatch(f"{self.prefix}_io has no field {port.field}")
        return int(record.model_bytes)

    def _sizeof(self, struct: str) -> int:
        return int(self.ffi.sizeof(f"{self.prefix}_{struct}"))

    def _mismatch(self, finding: str) -> ModelError:
        return ModelError(
            f"{self.path}: library and {BINDING} do not belong together: {finding}; compile again"
        )


def aligned_bytes(size: int) -> np.ndarray:
    """Uninitialised memory at a multiple of 64 bytes."""
    memory = np.empty(size + ALIGNMENT, np.uint8)
    start = -memory.ctypes.data % ALIGNMENT
    return memory[start : start + size]


def _open(ffi: Any, path: Path, content: bytes) -> Any:
    _limit_spinning()
    place, digest = os.path.realpath(path), hashlib.sha256(content).hexdigest()
    try:
        if _opened.setdefault(place, digest) == digest:
            return _dlopen(ffi, place)
        return _open_copy(ffi, content, digest)
    except OSError as error:
        raise ModelError(f"{path}: cannot be opened: {error}; compile the model on this machine") from error


def _limit_spinning() -> None:
    """How long an idle OpenMP thread spins before it sleeps, which gcc's runtime reads when it is loaded.

    Two threads and an empty region, in microseconds (2 cores of a virtual machine; a spin is about 25 ns):

        spins            again after 10   after 2000   slowest percent beside a busy process
        0 (passive)                  52            9                             4000 - 8000
        1000                        0.7           70                             3000 - 8000
        300000 (gcc's own)          0.8            2                           24000 - 37000

    With threads more than cores, "passive" makes them sleep at once. Who sets the policy is not overruled.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", "1000")
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")


def _dlopen(ffi: Any, path: str) -> Any:
    """Opened for good: were the last model to be closed, the OpenMP runtime would be unmapped under its own
    waiting threads."""
    return ffi.dlopen(path, ffi.RTLD_NOW | getattr(ffi, "RTLD_NODELETE", 0))


def _open_copy(ffi: Any, content: bytes, digest: str) -> Any:
    """Opens the library under a name of its own, which it needs no longer once it is open."""
    folder = tempfile.mkdtemp(prefix="snncc-")
    try:
        copy = Path(folder) / f"lib{digest}.so"
        copy.write_bytes(content)
        return _dlopen(ffi, str(copy))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
