"""Reads and writes weights in the safetensors format: numbers of every usual type and string metadata.

A file is a little-endian uint64 header length, a JSON header, and the raw bytes of the tensors. Nothing in a
file is trusted: every size and offset is checked against the file before anything is allocated.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from .errors import ModelError
from .files import write_file

DTYPES: dict[str, np.dtype[Any]] = {
    "F32": np.dtype("<f4"),
    "F64": np.dtype("<f8"),
    "I64": np.dtype("<i8"),
    "I32": np.dtype("<i4"),
}
CODES = {dtype: code for code, dtype in DTYPES.items()}
# What others write and we read as well.
READABLE = {
    **DTYPES,
    "F16": np.dtype("<f2"),
    "BF16": np.dtype("<u2"),  # the upper half of a float32
    "I16": np.dtype("<i2"),
    "I8": np.dtype("<i1"),
    "U8": np.dtype("<u1"),
    "BOOL": np.dtype("?"),
}
LONGEST_HEADER = 100_000_000  # the limit of the reference implementation

Arrays = dict[str, np.ndarray]


def read_safetensors(path: str | os.PathLike[str]) -> tuple[Arrays, dict[str, str]]:
    """Tensors by name, in the file's order, and the metadata. Raises ModelError if the file is not sound."""
    try:
        with Path(path).open("rb") as file:
            return _read(file, os.fstat(file.fileno()).st_size)
    except OSError as error:
        raise ModelError(f"{path}: cannot be read: {error.strerror or error}") from error
    except _UnsoundError as error:
        raise ModelError(f"{path}: not a sound safetensors file: {error}") from None


def write_safetensors(
    path: str | os.PathLike[str], arrays: Mapping[str, np.ndarray], metadata: Mapping[str, str] | None = None
) -> None:
    """Writes the file whole or not at all."""
    write_file(Path(path), to_bytes(arrays, metadata))


def to_bytes(arrays: Mapping[str, np.ndarray], metadata: Mapping[str, str] | None = None) -> bytes:
    """The text of a safetensors file; the widest elements come first, so that all are aligned."""
    header: dict[str, object] = {"__metadata__": dict(metadata)} if metadata else {}
    parts: list[bytes] = []
    end = 0
    for name in sorted(arrays, key=lambda name: (-arrays[name].dtype.itemsize, name)):
        array = arrays[name]
        little = array.dtype.newbyteorder("<")
        if little not in CODES:
            raise ModelError(f"{name}: weights must be float32, float64 or int64, got {array.dtype}")
        part = array.astype(little, copy=False).tobytes()
        begin, end = end, end + len(part)
        header[name] = {"dtype": CODES[little], "shape": list(array.shape), "data_offsets": [begin, end]}
        parts.append(part)
    text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return b"".join([len(text).to_bytes(8, "little"), text, *parts])


class _UnsoundError(Exception):
    pass


def _read(file: BinaryIO, size: int) -> tuple[Arrays, dict[str, str]]:
    length = int.from_bytes(file.read(8), "little")
    if size < 8 or length > min(size - 8, LONGEST_HEADER):
        raise _UnsoundError(f"the header should have {length} bytes, the file has {size}")
    header = _parse_header(file.read(length))
    metadata = header.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise _UnsoundError("__metadata__ is not a table of strings")
    tensors = {name: _parse_tensor(name, entry) for name, entry in header.items()}
    _check_tiling(tensors, size - 8 - length)
    arrays = {}
    for name, (code, shape, begin, end) in tensors.items():
        file.seek(8 + length + begin)
        raw = np.frombuffer(file.read(end - begin), READABLE[code])
        if code == "BF16":
            raw = (raw.astype(np.uint32) << 16).view(np.float32)
        arrays[name] = raw.reshape(shape).astype(raw.dtype.newbyteorder("="))
    return arrays, metadata


def _parse_header(text: bytes) -> dict[str, Any]:
    if not text.startswith(b"{"):
        raise _UnsoundError("the header does not begin with '{'")
    try:
        header = json.loads(text.decode(), object_pairs_hook=_without_duplicates)
    except (ValueError, RecursionError) as error:
        raise _UnsoundError(f"the header is not JSON: {error}") from None
    assert isinstance(header, dict)  # it began with '{'
    return header


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    names = dict(pairs)
    if len(names) < len(pairs):
        raise ValueError("a name stands twice")
    return names


_Tensor = tuple[str, tuple[int, ...], int, int]


def _parse_tensor(name: str, entry: Any) -> _Tensor:
    if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
        raise _UnsoundError(f"{name!r}: expected dtype, shape and data_offsets")
    code, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(code, str) or code not in READABLE:
        raise _UnsoundError(f"{name!r}: dtype must be one of {', '.join(READABLE)}, got {code!r}")
    if not _are_sizes(shape) or not _are_sizes(offsets) or len(offsets) != 2 or len(shape) > 32:
        raise _UnsoundError(f"{name!r}: shape and data_offsets must be lists of sizes")
    bytes_of_shape = math.prod(shape) * READABLE[code].itemsize
    if offsets[1] - offsets[0] != bytes_of_shape:
        raise _UnsoundError(
            f"{name!r}: {code}{shape} takes {bytes_of_shape} bytes, data_offsets are {offsets}"
        )
    return code, tuple(shape), offsets[0], offsets[1]


def _are_sizes(values: Any) -> bool:
    return isinstance(values, list) and all(type(value) is int and 0 <= value < 2**62 for value in values)


def _check_tiling(tensors: Mapping[str, _Tensor], size: int) -> None:
    """The tensors must cover the bytes after the header exactly: no holes, no overlaps, nothing outside."""
    expected = 0
    for name, (_, _, begin, end) in sorted(tensors.items(), key=lambda item: item[1][2:]):
        if begin != expected:
            raise _UnsoundError(f"{name!r}: its data begin at {begin}, where {expected} was expected")
        expected = end
    if expected != size:
        raise _UnsoundError(f"the tensors take {expected} bytes, the file holds {size}")
