"""Reads a NIR graph from an HDF5 file or from an object of the package nir, and trusts neither.

HDF5 files can link elsewhere, contain themselves, unpack to any size and name code to unpack them with. All
of that is refused before anything of it is read.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import CompileError
from ..foreign import shown, shown_path
from .apart import Apart, GoneError, limit

MOST_NODES = 100_000
DEEPEST = 32
MOST_EXPANSION = 1100  # what a byte of the file can become: the limit of deflate
ALLOWANCE = 1 << 20  # bytes that any file may hold
LARGEST_RANK = 8
LONGEST, SLOWEST = 2.0, 5e5  # seconds of a processor for any file, and bytes that are read in one more
PATIENCE = 20  # how many times as long it may take where the machine does other things
ROOM = 1 << 28  # bytes that libhdf5 may take for itself
FILTERS = {1: "gzip", 2: "shuffle", 3: "fletcher32", 4: "szip", 5: "nbit", 6: "scaleoffset", 32000: "lzf"}
INSTALL = "reading and writing NIR needs the packages nir and h5py: pip install 'snncc[nir]'"

# What h5py raises for a file that is not sound.
UNSOUND = (OSError, RuntimeError, KeyError, ValueError, TypeError, AttributeError, IndexError, OverflowError)


@dataclass(frozen=True)
class RawNode:
    """A node as it stands in the file: arrays and texts by name; of a graph its nodes and edges."""

    type: str
    values: Mapping[str, np.ndarray | str] = field(default_factory=dict)
    nodes: Mapping[str, RawNode] = field(default_factory=dict)
    edges: tuple[tuple[str, str], ...] = ()


def read_file(path: Path) -> tuple[RawNode, str]:
    """The graph of a file, and the version of NIR that wrote it. Raises CompileError."""
    require_h5py()
    if not path.is_file():
        what = "is a folder" if path.is_dir() else "is not there" if not path.exists() else "is not a file"
        raise CompileError(f"{shown_path(path)}: {what}; give a NIR file")
    size = path.stat().st_size
    try:
        found: tuple[RawNode, str] = _APART(str(path.absolute()), size, seconds=PATIENCE * _seconds(size))
        return found
    except _UnfitError as error:
        raise CompileError(f"{shown_path(path)}: {error}") from None
    except GoneError as error:
        raise CompileError(
            f"{shown_path(path)}: not a readable NIR (HDF5) file: libhdf5 {error} on it"
        ) from None


def _read_apart(path: str, size: int) -> tuple[RawNode, str]:
    """What read_file returns, or _UnfitError; in a process that may hang or die."""
    h5py, budget = require_h5py(), MOST_EXPANSION * size + ALLOWANCE
    limit(2 * budget + ROOM, _seconds(size))
    try:
        with h5py.File(path, "r") as file:
            reader = _Reader(h5py, budget)
            version = reader.item(file, "version") if "version" in file else "of no version"
            return reader.graph(reader.item(file, "node")), shown(version, 20)
    except (*UNSOUND, MemoryError) as error:
        text = shown(" ".join(str(error).split()), 200)
        raise _UnfitError(f"not a readable NIR (HDF5) file: {text}") from None


def _seconds(size: int) -> float:
    return LONGEST + size / SLOWEST


_APART = Apart(_read_apart)


def read_object(graph: Any) -> RawNode:
    """The graph of a `nir.NIRGraph`."""
    try:
        return _from_dict(graph.to_dict(), 0)
    except _UnfitError as error:
        raise CompileError(f"NIRGraph: {error}") from None


def is_graph(value: Any) -> bool:
    """Whether this is a NIRGraph, without importing nir."""
    return type(value).__name__ == "NIRGraph" and hasattr(value, "to_dict")


class _UnfitError(Exception):
    pass


def require_h5py() -> Any:
    try:
        import h5py
    except ImportError:
        raise CompileError(INSTALL) from None
    return h5py


class _Reader:
    """Counts what it read, and stops where a file would become too much."""

    def __init__(self, h5py: Any, budget: int) -> None:
        self.h5py, self.budget, self.count = h5py, budget, 0

    def item(self, group: Any, name: str) -> Any:
        """A member of a group: a group, a text or an array."""
        link = group.get(name, getlink=True)
        if link is None:
            raise _UnfitError(f"{shown(group.name)} has no {name!r}: not a NIR file, or a damaged one")
        if not isinstance(link, self.h5py.HardLink):
            raise _UnfitError(f"{_path(group, name)} links to another place, which is not followed")
        found = group[name]
        return found if isinstance(found, self.h5py.Group) else self.array(found)

    def array(self, dataset: Any) -> np.ndarray | str:
        """The contents of a dataset; of strings, one text or an array of objects."""
        shape, where = getattr(dataset, "shape", None), shown(dataset.name)
        if shape is None:
            raise _UnfitError(f"{where} is neither a group nor an array")
        plist, dtype = dataset.id.get_create_plist(), dataset.dtype
        filters = [plist.get_filter(k)[0] for k in range(plist.get_nfilters())]
        if plist.get_layout() == self.h5py.h5d.VIRTUAL or plist.get_external_count():
            raise _UnfitError(f"{where} lies in another file, which is not followed")
        if unknown := [code for code in filters if code not in FILTERS]:
            raise _UnfitError(f"{where} is packed with filter {unknown[0]}; write it with gzip")
        self.budget -= math.prod(shape) * max(dtype.itemsize, 1)
        if self.budget < 0 or len(shape) > LARGEST_RANK:
            raise _UnfitError(f"{where} has shape {list(shape)}, more than a file of this size can hold")
        if self.h5py.check_string_dtype(dtype) is not None:
            text = dataset.asstr()[()]
            return text if isinstance(text, str) else np.asarray(text, object)
        if dtype.kind not in "biuf":
            raise _UnfitError(f"{where} holds neither numbers nor text, but {dtype}")
        return np.asarray(dataset[()])

    def graph(self, group: Any, depth: int = 0) -> RawNode:
        """A node and all that is in it."""
        self.count += 1
        if depth > DEEPEST or self.count > MOST_NODES:
            limit = f"deeper than {DEEPEST} graphs" if depth > DEEPEST else f"of more than {MOST_NODES} nodes"
            raise _UnfitError(f"{shown(group.name)}: graphs {limit} are not read")
        if not isinstance(group, self.h5py.Group):
            raise _UnfitError("'node' is not a group: not a NIR file, or a damaged one")
        type = self.item(group, "type")
        if not isinstance(type, str):
            raise _UnfitError(f"{_path(group, 'type')} is not a text")
        values = {
            name: value
            for name in group
            if name not in ("type", "nodes", "edges", "metadata")
            and not isinstance(value := self.item(group, name), self.h5py.Group)
        }
        if type != "NIRGraph":
            return RawNode(type, values)
        inner, edges = self.item(group, "nodes"), self.item(group, "edges")
        if not isinstance(inner, self.h5py.Group):
            raise _UnfitError(f"{_path(group, 'nodes')} is not a group")
        nodes = {name: self.graph(self.item(inner, name), depth + 1) for name in inner}
        return RawNode(type, values, nodes, tuple(_edges(edges, _path(group, "edges"))))


def _path(group: Any, name: str) -> str:
    return shown(f"{group.name.rstrip('/')}/{name}")


def _edges(found: Any, where: str) -> Iterator[tuple[str, str]]:
    pairs = np.asarray(found, object)
    if pairs.size == 0:
        return
    if pairs.ndim != 2 or pairs.shape[1] != 2:
        raise _UnfitError(f"{where} should be pairs of names, its shape is {list(pairs.shape)}")
    for pair in pairs:
        source, target = (p.decode("utf8", "replace") if isinstance(p, bytes) else p for p in pair)
        if not (isinstance(source, str) and isinstance(target, str)):
            raise _UnfitError(f"{where} should be pairs of names, found {shown(pair.tolist())}")
        yield source, target


def _from_dict(table: Any, depth: int) -> RawNode:
    """A node from what `to_dict` of the package nir makes."""
    if not isinstance(table, Mapping) or not isinstance(table.get("type"), str) or depth > DEEPEST:
        raise _UnfitError("to_dict did not return nodes with types")
    values = {}
    for name, value in table.items():
        if name not in ("type", "nodes", "edges", "metadata") and value is not None:
            values[name] = value if isinstance(value, str) else np.asarray(value)
    nodes = {name: _from_dict(inner, depth + 1) for name, inner in table.get("nodes", {}).items()}
    return RawNode(table["type"], values, nodes, tuple(_edges(list(table.get("edges", ())), "edges")))
