"""Generated text by what it was made from: a network that was compiled before needs no pass and no template.

The key is made of everything that the text depends on, by content: the traced graph with every attribute
of every operator, the target, the files of snncc and of its headers, the versions of the packages that
order and print, and the machine's cache size. A network with an operator, surrogate, loss or optimiser
that is not snncc's own has no key, since its meaning is the user's code, and is generated each time.
"""

from __future__ import annotations

import hashlib
import json
import platform
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields, is_dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from snncc_runtime import ModelError, get_include
from snncc_runtime.files import write_file

from .errors import CompileError
from .graph import Graph
from .store import cache_folder

PACKAGE = Path(__file__).parent
PRINTING = ("jinja2", "networkx")  # packages that decide on the text beside snncc's own files


@dataclass(frozen=True)
class Generated:
    """A network as text: all of a model folder but the built library and the weights."""

    prefix: str
    files: dict[str, str]
    declarations: str
    manifest: dict[str, Any]


def key_of(graph: Graph, *target: Any, training: Graph | None = None) -> str | None:
    """Digest of all that the text of a network depends on; None where that cannot be told."""
    graphs = [graph, *([training] if training else [])]
    try:
        nodes = [(n.name, _plain(n.op), n.inputs, _plain(n.type), n.half) for g in graphs for n in g]
        outputs = [_plain(o) for g in graphs for o in g.outputs]
        parts = [nodes, outputs, [_plain(part) for part in target]]
    except _ForeignError:
        return None
    text = json.dumps([*parts, _surroundings()], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def recall(key: str) -> Generated | None:
    """What was kept under the key, or None if there is nothing or it is damaged."""
    try:
        digest, _, text = _place(key).read_text(encoding="utf-8").partition("\n")
    except (OSError, ValueError):
        return None
    if hashlib.sha256(text.encode()).hexdigest() != digest:
        return None
    return Generated(**json.loads(text))


def keep(key: str, generated: Generated) -> None:
    """For the next compilation of the same network. Raises CompileError."""
    text = json.dumps(asdict(generated))
    content = f"{hashlib.sha256(text.encode()).hexdigest()}\n{text}"
    try:
        write_file(_place(key), content.encode())
    except ModelError as error:
        raise CompileError(f"{error}; set SNNCC_CACHE to a folder that can be written") from error


def _place(key: str) -> Path:
    return cache_folder() / f"text-{key[:32]}.json"


class _ForeignError(Exception):
    """A value that is not made of snncc's own classes and plain numbers."""


def _plain(value: Any) -> Any:
    """A value as JSON that says all of it, with the names of classes."""
    if value is None or isinstance(value, (bool, str, int)):
        return value
    if isinstance(value, (float, np.integer, np.floating)):
        return repr(value)  # NaN and infinities too
    if isinstance(value, (tuple, list)):
        return [_plain(v) for v in value]
    kind = type(value)
    if is_dataclass(value) and kind.__module__.partition(".")[0] == "snncc":
        return [
            kind.__module__,
            kind.__qualname__,
            *((f.name, _plain(getattr(value, f.name))) for f in fields(value)),
        ]
    raise _ForeignError


def _surroundings() -> list[Any]:
    """What the text depends on beside the network: snncc itself and what it runs on."""
    return [
        hashlib.sha256(b"".join(_own_files())).hexdigest(),
        [_version(name) for name in PRINTING],
        [sys.version, np.__version__, platform.machine()],
    ]


def _own_files() -> Iterator[bytes]:
    """Names and contents of the compiler, its templates and the runtime with its headers."""
    for folder in (PACKAGE, Path(get_include()).parent):
        for path in sorted(folder.rglob("*")):
            if path.is_file() and path.suffix != ".pyc":
                content = path.read_bytes()
                yield f"{path.relative_to(folder)} {len(content)}\n".encode() + content


def _version(package: str) -> str:
    """The name of a package's dist-info folder: importlib.metadata takes 30 ms to say the same."""
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        return "none"
    folder = Path(spec.origin).parents[1]
    return " ".join(sorted(p.name for p in folder.glob(f"{package}-*.dist-info"))) or str(folder)
