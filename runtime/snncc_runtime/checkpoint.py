"""Reads and writes PyTorch's state dicts (.pt, .pth) without PyTorch, and without running anything of a file.

Such a file is a zip of a pickle and of the raw bytes of each storage. Tensors are read when they are asked
for, after their extent was checked against the file.
"""

from __future__ import annotations

import io
import math
import os
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from .errors import ModelError
from .files import write_file
from .pickles import Function, PickleError, read_pickle

STORAGES = {
    "FloatStorage": "f4",
    "DoubleStorage": "f8",
    "HalfStorage": "f2",
    "BFloat16Storage": "bfloat16",
    "LongStorage": "i8",
    "IntStorage": "i4",
    "ShortStorage": "i2",
    "CharStorage": "i1",
    "ByteStorage": "u1",
    "BoolStorage": "b1",
}
KIND = "file of torch.save"
# What zipfile, zlib, pickletools and NumPy raise for bytes that are not what they should be.
DAMAGED = (
    *(OSError, EOFError, ValueError, TypeError, KeyError, IndexError, OverflowError, SyntaxError),
    *(RuntimeError, MemoryError, zipfile.BadZipFile, zlib.error, struct.error),
)
LONGEST_PICKLE = 64 << 20
LARGEST = 2**48
ALONE = "save the state dict alone: torch.save(model.state_dict(), ...)"
# Where training scripts put the state dict in a larger checkpoint.
KEYS = ("state_dict", "model_state_dict", "model", "net", "network", "params", "weights", "ema", "module")
# What else checkpoints hold, and is not read.
OTHER = (
    ("torch", "device"),
    ("numpy", "dtype"),
    ("numpy.core.multiarray", "scalar"),
    ("numpy._core.multiarray", "scalar"),
    ("_codecs", "encode"),
    *(("torch", f"{kind}{bits}") for kind in ("float", "int", "uint", "bfloat") for bits in (8, 16, 32, 64)),
)


@contextmanager
def sound(file: str, kind: str) -> Iterator[None]:
    """Whatever a damaged archive makes Python raise becomes a ModelError about the file."""
    try:
        yield
    except (ModelError, FileNotFoundError, PermissionError, IsADirectoryError):
        raise
    except DAMAGED as error:
        raise ModelError(f"{file}: is not a sound {kind}: {type(error).__name__}") from None


@dataclass(frozen=True)
class TensorRecord:
    """A tensor of a file: an extent of one of its storages."""

    file: str
    entry: str
    kind: str
    order: Literal["<", ">"]
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    def read(self) -> np.ndarray:
        """The numbers; bfloat16 becomes float32. Raises ModelError if the storage is too short."""
        dtype = np.dtype("u2" if self.kind == "bfloat16" else self.kind).newbyteorder(self.order)
        if 0 in self.shape:
            return np.zeros(self.shape, dtype.newbyteorder("="))
        with sound(self.file, KIND), zipfile.ZipFile(self.file) as archive:
            raw = _member(archive, self.entry, self.file)
        last = self.offset + sum((n - 1) * s for n, s in zip(self.shape, self.strides, strict=True))
        if (last + 1) * dtype.itemsize > len(raw):
            raise ModelError(f"{self.file}: a tensor of shape {list(self.shape)} reaches beyond its storage")
        flat = np.frombuffer(raw, dtype, len(raw) // dtype.itemsize)[self.offset :]
        steps = tuple(s * dtype.itemsize for s in self.strides)
        view = np.lib.stride_tricks.as_strided(flat, self.shape, steps, writeable=False)
        found = np.array(view, dtype.newbyteorder("="), order="C")
        return (found.astype(np.uint32) << 16).view(np.float32) if self.kind == "bfloat16" else found


def read_checkpoint(path: str | os.PathLike[str]) -> dict[str, TensorRecord]:
    """The tensors of a state dict, or of the one in a larger checkpoint, by name. Raises ModelError."""
    name = os.fspath(path)
    with sound(name, KIND):
        with zipfile.ZipFile(name) as archive:
            members = archive.namelist()
            found = next((m for m in members if m.endswith("/data.pkl") or m == "data.pkl"), None)
            if found is None:
                raise ModelError(f"{name}: is not a file of torch.save: it has no data.pkl")
            root = found.removesuffix("data.pkl")
            order = _member(archive, f"{root}byteorder", name) if f"{root}byteorder" in members else b"little"
            content = _member(archive, found, name, LONGEST_PICKLE)
        file = _File(name, root, ">" if order == b"big" else "<")
        try:
            return _state_dict(read_pickle(content, file.known(), file.storage), name)
        except PickleError as error:
            remedy = f", and only tensors are read; {ALONE}" if "asks for" in str(error) else ""
            raise ModelError(f"{name}: {error}{remedy}") from None


def _member(archive: zipfile.ZipFile, name: str, file: str, limit: float = math.inf) -> bytes:
    """A member that is stored as it is, so that it cannot be larger than the file."""
    info = archive.getinfo(name)
    if info.compress_type != zipfile.ZIP_STORED or info.file_size > min(limit, Path(file).stat().st_size):
        raise ModelError(f"{file}: {name} is packed or too large; torch.save does not write such files")
    return archive.read(info)


def _state_dict(value: Any, name: str) -> dict[str, TensorRecord]:
    """The mapping of tensors: the value itself, or one of its entries."""
    if not isinstance(value, dict):
        raise ModelError(f"{name}: holds no state dict; {ALONE}")
    if tensors := _tensors(value):
        return tensors
    entries = {id(entry): (key, entry) for key, entry in value.items() if isinstance(entry, dict)}
    inner = {key: found for key, entry in entries.values() if (found := _tensors(entry))}
    known = [key for key in KEYS if key in inner]
    if not inner or (len(inner) > 1 and not known):
        raise ModelError(f"{name}: holds {len(inner) or 'no'} state dicts; {ALONE}")
    return inner[known[0] if known else next(iter(inner))]


def _tensors(table: Mapping[Any, Any]) -> dict[str, TensorRecord]:
    return {key: v for key, v in table.items() if isinstance(key, str) and isinstance(v, TensorRecord)}


@dataclass(frozen=True)
class _StorageKind:
    kind: str

    def __call__(self) -> None:
        raise PickleError("a storage outside of the file")


@dataclass(frozen=True)
class _Storage:
    entry: str
    kind: str


@dataclass(frozen=True)
class _File:
    """What the pickle of a file may ask for."""

    name: str
    root: str
    order: Literal["<", ">"]

    def known(self) -> dict[tuple[str, str], Callable[..., Any]]:
        return {
            ("collections", "OrderedDict"): _ordered,
            ("torch", "Size"): _size,
            ("torch._utils", "_rebuild_tensor"): self.tensor,
            ("torch._utils", "_rebuild_tensor_v2"): self.tensor,
            ("torch._utils", "_rebuild_parameter"): _first,
            ("torch._utils", "_rebuild_parameter_with_state"): _first,
            **{("torch", name): _StorageKind(kind) for name, kind in STORAGES.items()},
            **dict.fromkeys(OTHER, _nothing),
        }

    def storage(self, pid: Any) -> _Storage:
        """What ('storage', kind, key, device, count) stands for."""
        if not isinstance(pid, tuple) or len(pid) != 5 or not isinstance(pid[2], str) or not pid[2].isalnum():
            raise PickleError("a storage without a name")
        kind = pid[1].call if isinstance(pid[1], Function) else None
        if not isinstance(kind, _StorageKind):
            raise PickleError("a tensor of a type that is not read")
        return _Storage(f"{self.root}data/{pid[2]}", kind.kind)

    def tensor(self, storage: Any, offset: Any, shape: Any, strides: Any, *more: Any) -> TensorRecord:
        if (
            not isinstance(storage, _Storage)
            or not isinstance(shape, tuple)
            or not isinstance(strides, tuple)
        ):
            raise PickleError("a tensor without storage or shape")
        sizes = (offset, *shape, *strides)
        if len(shape) != len(strides) or not all(type(n) is int and 0 <= n < LARGEST for n in sizes):
            raise PickleError("a tensor of no possible extent")
        return TensorRecord(self.name, storage.entry, storage.kind, self.order, offset, shape, strides)


def _ordered(pairs: Any = ()) -> dict[Any, Any]:
    if not all(isinstance(key, str) for key, _ in pairs):
        raise PickleError("a key that is no text")
    return dict(pairs)


def _size(values: Any = ()) -> tuple[Any, ...]:
    return tuple(values)


def _first(value: Any, *more: Any) -> Any:
    return value


def _nothing(*arguments: Any) -> None:
    """What is no tensor is left out."""


def write_checkpoint(path: str | os.PathLike[str], arrays: Mapping[str, np.ndarray]) -> None:
    """The arrays as a state dict that torch.load(path, weights_only=True) reads; whole or not at all."""
    memory, stem = io.BytesIO(), Path(path).stem or "archive"
    parts = {"data.pkl": b"".join(_pickled(arrays)), "byteorder": b"little"}
    for k, array in enumerate(arrays.values()):
        parts[f"data/{k}"] = array.astype(array.dtype.newbyteorder("<")).tobytes()
    with zipfile.ZipFile(memory, "w") as archive:
        for name, content in {**parts, "version": b"3\n"}.items():
            archive.writestr(zipfile.ZipInfo(f"{stem}/{name}", (1980, 1, 1, 0, 0, 0)), content)
    write_file(Path(path), memory.getvalue())


def _pickled(arrays: Mapping[str, np.ndarray]) -> Iterator[bytes]:
    """The pickle of a dict of tensors, operation by operation, in protocol 2."""
    kinds = {np.dtype(kind): name for name, kind in STORAGES.items() if kind != "bfloat16"}
    yield b"\x80\x02}("
    for k, (name, array) in enumerate(arrays.items()):
        storage, shape = kinds[array.dtype.newbyteorder("=")], array.shape
        strides = tuple(math.prod(shape[axis + 1 :]) for axis in range(len(shape)))
        yield _text(name) + b"ctorch._utils\n_rebuild_tensor_v2\n("
        yield b"(" + _text("storage") + b"ctorch\n" + storage.encode() + b"\n" + _text(str(k)) + _text("cpu")
        yield _whole(array.size) + b"tQ" + _whole(0) + _tuple(shape) + _tuple(strides)
        yield b"\x89ccollections\nOrderedDict\n)RtR"
    yield b"u."


def _text(value: str) -> bytes:
    raw = value.encode("utf-8", "surrogatepass")
    return b"X" + struct.pack("<I", len(raw)) + raw


def _whole(value: int) -> bytes:
    return b"J" + struct.pack("<i", value) if value < 2**31 else b"\x8a\x08" + struct.pack("<q", value)


def _tuple(values: tuple[int, ...]) -> bytes:
    return b"(" + b"".join(map(_whole, values)) + b"t"
