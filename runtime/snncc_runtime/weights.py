"""Weights from files of others: PyTorch's state dicts, safetensors and npz, matched to parameters by name."""

from __future__ import annotations

import os
import re
import zipfile
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from .checkpoint import read_checkpoint, sound, write_checkpoint
from .errors import ModelError
from .files import reason, write_file
from .safetensors import read_safetensors, write_safetensors

Shape = tuple[int, ...]
ZIP, OLD_TORCH = b"PK\x03\x04", b"\x80\x02\x8a\n"
WRAPPERS = ("module", "_orig_mod")  # components that DataParallel and torch.compile put into names
# What PyTorch, snnTorch and SpikingJelly keep beside parameters, and no compiled network needs.
BUFFERS = ("num_batches_tracked", "reset_mechanism_val", "mem", "spk", "syn", "syn_exc", "syn_inh", "v")
# What is a number of the compiled network, unless it is learnable or one a neuron.
NUMBERS = ("alpha", "beta", "threshold", "graded_spikes_factor", "V", "tau", "v_threshold", "v_reset")
NUMBERED = re.compile(r"((?:.+\.)?)(\d+)\.([^.]+)")
MOST_NAMED = 12
NPZ = ".npz file"


class Stored(Protocol):
    """An array of a file, read when it is needed."""

    @property
    def shape(self) -> Shape: ...

    def read(self) -> np.ndarray: ...


@dataclass(frozen=True)
class Held:
    """An array that is in memory."""

    array: np.ndarray

    @property
    def shape(self) -> Shape:
        return self.array.shape

    def read(self) -> np.ndarray:
        return self.array


@dataclass(frozen=True)
class NpzRecord:
    """An array of an .npz file."""

    file: str
    name: str
    shape: Shape

    def read(self) -> np.ndarray:
        with sound(self.file, NPZ), np.load(self.file, allow_pickle=False) as archive:
            return np.asarray(archive[self.name])


@dataclass(frozen=True)
class Rows:
    """Arrays of one shape, one after the other along a new first axis."""

    parts: tuple[Stored, ...]

    @property
    def shape(self) -> Shape:
        return (len(self.parts), *self.parts[0].shape)

    def read(self) -> np.ndarray:
        return np.stack([part.read() for part in self.parts])


@dataclass(frozen=True)
class Match:
    """Which array of a file belongs to which parameter, and what is left over.

    pairs: the file's names by ours. kept: parameters that no training changes and the file does not have.
    ignored: what the file holds beside parameters: buffers, and numbers that are part of the network.
    """

    source: str
    pairs: Mapping[str, str]
    missing: tuple[str, ...] = ()
    unexpected: tuple[str, ...] = ()
    misshaped: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()

    def check(self) -> Match:
        """This match; a ModelError that says all that does not fit, if anything."""
        parts = [f"{what}: {_listed(names)}" for what, names in self._misfits() if names]
        if not parts:
            return self
        remedy = "; rename= maps their names to ours, strict=False takes what fits"
        raise ModelError(f"{self.source}: {'; '.join(parts)}{remedy}")

    def _misfits(self) -> Iterator[tuple[str, tuple[str, ...]]]:
        yield "parameters are missing", self.missing
        yield "not in the network", self.unexpected
        yield "other shapes", self.misshaped

    def __str__(self) -> str:
        lines = [f"{self.source}: {len(self.pairs)} parameters"]
        renamed = [f"{theirs} -> {ours}" for ours, theirs in self.pairs.items() if ours != theirs]
        rest = (("renamed", tuple(renamed)), *self._misfits(), ("kept", self.kept), ("ignored", self.ignored))
        return "\n".join([*lines, *(f"  {what}: {_listed(names)}" for what, names in rest if names)])


def _listed(names: tuple[str, ...]) -> str:
    more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    return ", ".join(names[:MOST_NAMED]) + more


def open_weights(path: str | os.PathLike[str]) -> dict[str, Stored]:
    """The arrays of a file by name; its contents say which kind it is. Raises ModelError."""
    file = Path(path)
    try:
        with file.open("rb") as opened:
            start = opened.read(4)
        if start == ZIP:
            with sound(str(file), "zip"), zipfile.ZipFile(file) as archive:
                npz = any(name.endswith(".npy") for name in archive.namelist())
            return dict(_npz(file) if npz else read_checkpoint(file))
    except OSError as error:
        raise ModelError(f"{file}: cannot be read: {reason(error)}") from None
    if start == OLD_TORCH:
        raise ModelError(
            f"{file}: is in the format of PyTorch before 1.6; load it with PyTorch and save it again: "
            "torch.save(torch.load(path, weights_only=True), path)"
        )
    return {name: Held(array) for name, array in read_safetensors(file)[0].items()}


def _npz(file: Path) -> dict[str, Stored]:
    """Names and shapes of an .npz file."""
    found: dict[str, Stored] = {}
    with sound(str(file), NPZ), zipfile.ZipFile(file) as archive:
        for member in archive.namelist():
            with archive.open(member) as opened:
                version = np.lib.format.read_magic(opened)
                read = {(1, 0): np.lib.format.read_array_header_1_0}.get(
                    version, np.lib.format.read_array_header_2_0
                )
                shape, _, dtype = read(opened)
            if dtype.kind not in "biuf":
                raise ModelError(f"{file}: {member} holds {dtype}, not numbers")
            name = member.removesuffix(".npy")
            found[name] = NpzRecord(str(file), name, tuple(shape))
    return found


def save_weights(path: str | os.PathLike[str], arrays: Mapping[str, np.ndarray]) -> None:
    """Writes .pt and .pth for PyTorch, .npz, or else safetensors; whole or not at all."""
    suffix = Path(path).suffix.lower()
    if suffix in (".pt", ".pth"):
        write_checkpoint(path, arrays)
    elif suffix == ".npz":
        write_file(Path(path), _npz_bytes(arrays))
    else:
        write_safetensors(path, arrays)


def _npz_bytes(arrays: Mapping[str, np.ndarray]) -> bytes:
    import io

    memory = io.BytesIO()
    with zipfile.ZipFile(memory, "w") as archive:
        for name, array in arrays.items():
            with archive.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True) as file:
                np.lib.format.write_array(file, np.asarray(array), allow_pickle=False)
    return memory.getvalue()


def joined(
    stored: Mapping[str, Stored], wanted: Mapping[str, Shape], rename: Mapping[str, str] | None = None
) -> dict[str, Stored]:
    """The arrays of a file, where those of numbered modules, `bn.0.weight`, `bn.1.weight`, ... (of snnTorch's
    BNTT), are the rows of one parameter: as one array `bn.weight`, if all rows are there."""
    rows: dict[str, dict[int, str]] = {}
    shared = _shared(stored)
    for name in stored:
        called = list(_candidates(name, rename or {}, shared))
        numbered = () if any(c in wanted for c in called) else map(NUMBERED.fullmatch, called)
        for found in filter(None, numbered):
            ours = found[1] + found[3]
            if ours in wanted:
                rows.setdefault(ours, {}).setdefault(int(found[2]), name)
    result = dict(stored)
    for ours, names in rows.items():
        shape, parts = wanted[ours], tuple(stored[names[k]] for k in sorted(names))
        if sorted(names) == list(range(*shape[:1] or (0,))) and {p.shape for p in parts} == {shape[1:]}:
            result = {name: array for name, array in result.items() if name not in names.values()}
            result[NUMBERED.sub(r"\1\3", names[0])] = Rows(parts)
    return result


def match(
    source: str,
    wanted: Mapping[str, Shape],
    found: Mapping[str, Shape],
    rename: Mapping[str, str] | None = None,
    fixed: Iterable[str] = (),
    numbers: Collection[str] = (),
) -> Match:
    """Pairs parameters with a file's arrays by name.

    wanted: shapes of parameters. found: shapes in the file. rename: their names to ours; of names that end
    with a dot, as a prefix. fixed: parameters that no training changes. numbers: what is part of the network,
    if that is known. A name counts as it is, or without what PyTorch's wrappers put into it, or without what
    all names of the file begin with.
    """
    pairs: dict[str, str] = {}
    misshaped: list[str] = []
    unexpected: list[str] = []
    ignored: list[str] = []
    shared = _shared(found)
    for name, shape in found.items():
        called = list(_candidates(name, rename or {}, shared))
        ours = next((c for c in called if c in wanted), None)
        if ours is None and (_beside(name, shape) or any(c in numbers for c in called)):
            ignored.append(name)
        elif ours is None or ours in pairs:
            unexpected.append(name)
        elif _squeezed(shape) != _squeezed(wanted[ours]):
            misshaped.append(f"{ours}: expected {list(wanted[ours])}, found {list(shape)}")
            pairs[ours] = ""
        else:
            pairs[ours] = name
    absent = [name for name in wanted if name not in pairs]
    fixed = set(fixed)
    return Match(
        source,
        {name: pairs[name] for name in wanted if pairs.get(name)},
        tuple(name for name in absent if name not in fixed),
        tuple(unexpected),
        tuple(misshaped),
        tuple(name for name in absent if name in fixed),
        tuple(ignored),
    )


def candidates(name: str, rename: Mapping[str, str], names: Iterable[str]) -> Iterator[str]:
    """What a name of a file that holds `names` may be called here, likeliest first."""
    return _candidates(name, rename, _shared(names))


def _candidates(name: str, rename: Mapping[str, str], shared: list[str]) -> Iterator[str]:
    """What a name of a file may be called here, likeliest first."""
    if name in rename:
        yield rename[name]
        return
    prefix = max((p for p in rename if p.endswith(".") and name.startswith(p)), key=len, default="")
    name = rename[prefix] + name.removeprefix(prefix) if prefix else name
    yield name
    bare = ".".join(part for part in name.split(".") if part not in WRAPPERS)
    yield bare
    if not prefix:
        for k in range(1, len(shared) + 1):
            yield bare.removeprefix(".".join(shared[:k]) + ".")


def _shared(names: Iterable[str]) -> list[str]:
    """The components that all names begin with, wrappers aside: ["model"]."""
    split = [[part for part in name.split(".") if part not in WRAPPERS][:-1] for name in names]
    shortest = min(split, key=len, default=[])
    same = takewhile(lambda k: all(path[k] == shortest[k] for path in split), range(len(shortest)))
    return [shortest[k] for k in same]


def _beside(name: str, shape: Shape) -> bool:
    last = name.rpartition(".")[2]
    return last in BUFFERS or (last in NUMBERS and not _squeezed(shape))


def _squeezed(shape: Shape) -> Shape:
    return tuple(n for n in shape if n != 1)


def parse_rename(text: str) -> dict[str, str]:
    """`net.0.=fc1.,net.2.=fc2.` as a mapping. Raises ModelError."""
    pairs = [part.partition("=") for part in re.split(r",\s*", text) if part]
    if not all(theirs and equals for theirs, equals, _ in pairs):
        raise ModelError(f"rename: expected THEIRS=OURS,..., got {text!r}")
    return {theirs: ours for theirs, _, ours in pairs}


def arrays_of(matched: Match, stored: Mapping[str, Stored], wanted: Mapping[str, Shape]) -> dict[str, Any]:
    """The arrays of a match in the shapes of the parameters, by our names."""
    found = {}
    for ours, theirs in matched.pairs.items():
        found[ours] = stored[theirs].read().reshape(wanted[ours])
    return found
