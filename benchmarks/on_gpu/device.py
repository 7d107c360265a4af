"""A GPU as measured processes see it: its memory, arrays on it, the most that it can do. Needs NumPy only."""

from __future__ import annotations

import ctypes
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

PROBE = "SNNCC_BENCHMARK_PROBE"    # in the environment: the library made of device.cu
COPIED, SIDE = 512 * 2**20, 4096    # bytes of a copy; rows of a matrix
BLOCKS, TURNS = 132 * 64, 1 << 12
BITS = (32, 64)


@dataclass(frozen=True)
class OnDevice:
    """An array on the GPU that models, CuPy and others take where it lies."""

    pointer: int
    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        return {
            "shape": self.shape, "typestr": self.dtype.str, "data": (self.pointer, False),
            "version": 3, "strides": None, "stream": None,
        }    # fmt: skip


class Probe:
    """The library of `PROBE`. Its memory is asked for as that of the process is in machine.py."""

    def __init__(self, path: str | Path = "") -> None:
        self._library = ctypes.CDLL(str(path or os.environ[PROBE]))

    def used(self) -> int:
        """Bytes of the device that are not free, whoever has them."""
        free, whole = ctypes.c_size_t(), ctypes.c_size_t()
        self._call("device_memory", ctypes.byref(free), ctypes.byref(whole))
        return whole.value - free.value

    resident = peak = used    # systems keep what they have had

    def forget_peak(self) -> None:
        """There is none."""

    def upload(self, array: np.ndarray) -> OnDevice:
        array, copy = np.ascontiguousarray(array), ctypes.c_void_p()
        source = array.ctypes.data_as(ctypes.c_void_p)
        self._call("device_upload", source, ctypes.c_size_t(array.nbytes), ctypes.byref(copy))
        assert copy.value
        return OnDevice(copy.value, array.shape, array.dtype)

    def rates(
        self, bits: int, copied: int = COPIED, side: int = SIDE, blocks: int = BLOCKS, turns: int = TURNS
    ) -> dict[str, float]:
        """GB/s of a copy, both ways; billions of operations a second: fused, apart, and of our product.

        A multiplication and an addition are two operations, fused in one instruction or apart.
        """
        quads, chained = copied // (bits // 2), 2 * 8 * 256 * blocks * turns
        return {
            "gbs": 2 * quads * (bits // 2) / self._timed("device_copy", ctypes.c_size_t(quads)) / 1e9,
            "fused": chained / self._timed("device_chains", blocks, turns, 1) / 1e9,
            "apart": chained / self._timed("device_chains", blocks, turns, 0) / 1e9,
            "product": 2 * side**3 / self._timed("device_product", side) / 1e9,
        }

    def _timed(self, name: str, *sizes: Any) -> float:
        seconds = ctypes.c_double()
        self._call(name, *sizes, ctypes.byref(seconds))
        return seconds.value

    def _call(self, name: str, *arguments: Any) -> None:
        if code := getattr(self._library, name)(*arguments):
            raise RuntimeError(f"{name}: CUDA error {code}")
