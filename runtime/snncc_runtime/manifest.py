"""The manifest of a model folder: parsed, checked, and the folder's files checked against it."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .cpu import cpu_flags
from .errors import ModelError
from .files import MANIFEST, WEIGHTS, is_plain_name, reason

SCHEMA = 1
LEARNING = ("", "step", "call")
BINDING = "_binding.py"
DTYPES = ("float32", "float64", "int64", "int32")
TARGETS = ("c", "cuda")
IO_ROLES = (
    *("input", "state", "target", "cotangent", "seed", "lengths"),  # given by the caller
    *("output", "state_out", "d_input", "d_state", "loss", "sum", "score"),  # filled by the model
)
TENSOR_ROLES = ("parameter", "structure", "gradient", "optimizer")


@dataclass(frozen=True)
class Port:
    """An array that the model takes or gives: `field` of the C struct, `name` of the user.

    below: of whole numbers, how many there are to choose from (0: not said). reader: the embedding of which
    they choose rows.
    """

    name: str
    field: str
    role: str
    shape: tuple[int, ...]
    time: bool
    batch: bool
    dtype: np.dtype[Any]
    entries: frozenset[str]
    below: int = 0
    reader: str = ""

    @property
    def kinds(self) -> str:
        """NumPy's letters of what it may be given: truth is a number, but no number of steps."""
        return "iuf" if self.role == "lengths" else "biuf"


@dataclass(frozen=True)
class Tensor:
    """A parameter, its gradient or an optimiser's state, kept in the arena under `index`.

    Or a table of a layer's connections ("structure"), whose content `sha256` tells.
    """

    name: str
    role: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    index: int
    learnable: bool = True
    sha256: str = ""


@dataclass(frozen=True)
class Manifest:
    """What the runtime needs of manifest.json; `raw` is all of it."""

    raw: dict[str, Any]
    name: str
    prefix: str
    num_steps: int | None
    exact_steps: bool  # whether every call must have num_steps steps
    entries: frozenset[str]
    ports: tuple[Port, ...]
    tensors: tuple[Tensor, ...]
    learning_rate: float | None
    learns: str  # when weights change without a loss: after each step or each call, or ""
    dtype: np.dtype[Any]
    precision: str  # of products on a GPU
    tile: int
    slots: int | None
    phased: frozenset[str]  # entry points whose memory grows with the batch
    library: str
    cpu_flags: tuple[str, ...]
    digests: dict[str, str]

    def ports_of(self, role: str, entry: str | None = None) -> tuple[Port, ...]:
        """Ports of a role, in the manifest's order, all or those that an entry point uses."""
        ports = (port for port in self.ports if port.role == role)
        return tuple(port for port in ports if entry is None or entry in port.entries)

    def tensors_of(self, role: str) -> dict[str, Tensor]:
        return {tensor.name: tensor for tensor in self.tensors if tensor.role == role}


def read_manifest(folder: Path) -> Manifest:
    """Reads and checks manifest.json alone; raises ModelError."""
    path = folder / MANIFEST
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        what = "has no manifest.json" if folder.is_dir() else "is not a folder"
        raise ModelError(
            f"{folder}: {what}; give the folder that `snncc compile` or `model.save` wrote"
        ) from None
    except OSError as error:
        raise ModelError(f"{path}: cannot be read: {reason(error)}") from error
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{path}: is not JSON: {error}; compile the model again") from None
    try:
        return parse_manifest(raw)
    except _UnfitError as error:
        raise ModelError(f"{path}: {error}; compile the model again") from None


def read_files(folder: Path, manifest: Manifest) -> dict[str, bytes]:
    """The model's files by name, each checked against its digest. Raises ModelError."""
    contents: dict[str, bytes] = {}
    for name, digest in manifest.digests.items():
        try:
            content = (folder / name).read_bytes()
        except FileNotFoundError:
            raise ModelError(f"{folder}: {name} is missing; compile or save the model again") from None
        except OSError as error:
            raise ModelError(f"{folder / name}: cannot be read: {reason(error)}") from error
        if hashlib.sha256(content).hexdigest() != digest:
            raise ModelError(
                f"{folder}: {name} was altered after the model was compiled (its SHA-256 differs from the "
                "manifest); compile the model again instead of editing its folder"
            )
        contents[name] = content
    if not (folder / WEIGHTS).is_file():
        raise ModelError(f"{folder}: {WEIGHTS} is missing; compile or save the model again")
    return contents


def check_cpu(manifest: Manifest, folder: Path) -> None:
    """Raises ModelError if the library may use instructions that this processor lacks."""
    here = cpu_flags()
    lacking = sorted(set(manifest.cpu_flags) - set(here)) if here is not None else []
    if lacking:
        raise ModelError(
            f"{folder}: {manifest.library} was built for a CPU with {', '.join(lacking)}, which this machine "
            "lacks; compile the model on this machine"
        )


def parse_manifest(raw: Any) -> Manifest:
    """The typed manifest. Raises _UnfitError with the path of the entry that is wrong."""
    if not isinstance(raw, dict) or "schema" not in raw:
        raise _UnfitError("is not the manifest of a model of snncc")
    if raw["schema"] != SCHEMA:
        raise _UnfitError(f"schema is {raw['schema']!r}, this version of snncc_runtime reads {SCHEMA}")
    if raw.get("target") not in TARGETS:
        raise _UnfitError(f"target must be one of {', '.join(TARGETS)}, got {raw.get('target')!r}")
    optimizer, num_steps = raw.get("optimizer"), raw.get("num_steps")
    memory, build = _get(raw, "memory", dict), _get(raw, "build", dict)
    manifest = Manifest(
        raw=raw,
        name=_get(raw, "name", str),
        prefix=_identifier(raw, "prefix"),
        num_steps=None if num_steps is None else _positive(raw, "num_steps"),
        exact_steps=raw.get("exact_steps") is True,
        entries=frozenset(_strings(raw, "entries")),
        ports=tuple(_port(entry) for entry in _get(raw, "io", list)),
        tensors=tuple(_tensor(entry) for entry in _get(raw, "tensors", list)),
        learning_rate=None if optimizer is None else float(_get(optimizer, "learning_rate", float, int)),
        learns=_one_of(raw, "learns", LEARNING),
        dtype=np.dtype(_one_of(raw, "dtype", DTYPES[:2])),
        precision=_get(raw, "precision", str) if "precision" in raw else "exact",
        tile=_positive(memory, "tile"),
        slots=_positive(memory, "slots") if "slots" in memory else None,
        phased=frozenset(_strings(memory, "phased") if "phased" in memory else ()),
        library=_get(build, "library", str),
        cpu_flags=_strings(build, "cpu_flags"),
        digests={name: _digest(name, text) for name, text in _get(raw, "files", dict).items()},
    )
    for name in (manifest.library, BINDING):
        if name not in manifest.digests:
            raise _UnfitError(f"files does not name {name}")
    return manifest


class _UnfitError(Exception):
    pass


def _port(entry: Any) -> Port:
    role, dtype = _one_of(entry, "role", IO_ROLES), _one_of(entry, "dtype", DTYPES)
    return Port(
        name=_get(entry, "name", str),
        field=_identifier(entry, "field"),
        role=role,
        shape=_shape(entry),
        time=_get(entry, "time", bool),
        batch=_get(entry, "batch", bool),
        dtype=np.dtype(dtype),
        entries=frozenset(_strings(entry, "entries")),
        below=_get(entry, "below", int) if "below" in entry else 0,
        reader=_get(entry, "reader", str) if "reader" in entry else "",
    )


def _tensor(entry: Any) -> Tensor:
    role, dtype = _one_of(entry, "role", TENSOR_ROLES), _one_of(entry, "dtype", DTYPES)
    index = _get(entry, "index", int)
    learnable = entry.get("learnable") is not False
    digest = _get(entry, "sha256", str) if role == "structure" else ""
    named = _get(entry, "name", str)
    return Tensor(named, role, _shape(entry), np.dtype(dtype), index, learnable, digest)


def _get(table: Any, key: str, *kinds: type) -> Any:
    if not isinstance(table, Mapping):
        raise _UnfitError(f"expected a table with {key!r}, got {table!r}")
    value = table.get(key)
    if type(value) not in kinds:
        wanted = " or ".join(kind.__name__ for kind in kinds)
        raise _UnfitError(
            f"{table.get('name', '')}: {key!r} must be {wanted}, got {value!r}".removeprefix(": ")
        )
    return value


def _one_of(table: Any, key: str, choices: tuple[str, ...]) -> str:
    value: str = _get(table, key, str)
    if value not in choices:
        raise _UnfitError(f"{key!r} must be one of {', '.join(choices)}, got {value!r}")
    return value


def _identifier(table: Any, key: str) -> str:
    value: str = _get(table, key, str)
    if not re.fullmatch(r"[A-Za-z_]\w*", value, re.ASCII):
        raise _UnfitError(f"{key!r} must be a C identifier, got {value!r}")
    return value


def _positive(table: Any, key: str) -> int:
    value: int = _get(table, key, int)
    if not 0 < value < 2**31:
        raise _UnfitError(f"{key!r} must be positive, got {value}")
    return value


def _strings(table: Any, key: str) -> tuple[str, ...]:
    values = _get(table, key, list)
    if not all(isinstance(value, str) for value in values):
        raise _UnfitError(f"{key!r} must be a list of strings, got {values!r}")
    return tuple(values)


def _shape(table: Any) -> tuple[int, ...]:
    sizes = _get(table, "shape", list)
    if not all(type(size) is int and 0 < size < 2**31 for size in sizes):
        raise _UnfitError(f"{table.get('name')}: 'shape' must be a list of positive sizes, got {sizes!r}")
    return tuple(sizes)


def _digest(name: str, text: Any) -> str:
    if not is_plain_name(name) or not isinstance(text, str):
        raise _UnfitError(f"files: {name!r} must be a name inside the folder with a SHA-256, got {text!r}")
    return text


def path_of(folder: str | os.PathLike[str]) -> Path:
    """The folder as a Path; raises ModelError for anything that is not a path."""
    try:
        return Path(folder)
    except TypeError:
        raise ModelError(f"load: expected the path of a model folder, got {type(folder).__name__}") from None
