"""NIR files for tests: the corpus of tests/golden/nir, and files that are written node by node."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import h5py
import numpy as np

HERE = Path(__file__).parent / "golden" / "nir"
MANIFEST: dict[str, Any] = json.loads((HERE / "manifest.json").read_text())
RUNS = [
    (case["case"], run["expected"], run["options"])
    for case in MANIFEST["cases"]
    for run in case["runs"]
]    # fmt: skip


def unpack(folder: Path) -> Path:
    """The corpus as files."""
    with zipfile.ZipFile(HERE / "corpus.zip") as archive:
        archive.extractall(folder)
    return folder


def node(kind: str, **values: Any) -> dict[str, Any]:
    return {"type": kind, **values}


def graph(nodes: Mapping[str, Any], *edges: tuple[str, str]) -> dict[str, Any]:
    return {"type": "NIRGraph", "nodes": dict(nodes), "edges": list(edges)}


def chain(**nodes: Any) -> dict[str, Any]:
    """Nodes in a row, between an input of 4 and an output."""
    named = {"input": node("Input", shape=[4]), **nodes, "output": node("Output", shape=[3])}
    names = list(named)
    return graph(named, *pairwise(names))


def lif(n: int = 3, **other: Any) -> dict[str, Any]:
    values = {"tau": 5e-3, "r": 2.0, "v_leak": 0.1, "v_threshold": 1.0, "v_reset": -0.2}
    return node("LIF", **{name: np.full(n, value) for name, value in values.items()} | other)


def linear(rows: int = 3, columns: int = 4, seed: int = 0) -> dict[str, Any]:
    return node("Linear", weight=np.random.default_rng(seed).normal(0, 1, (rows, columns)))


def write(path: Path, table: Mapping[str, Any]) -> Path:
    """The file that nir.write makes of such a graph, sound or not."""
    with h5py.File(path, "w") as file:
        file.create_dataset("version", data="1.0.8", dtype=h5py.string_dtype())
        _write(file.create_group("node"), table)
    return path


def _write(group: Any, table: Mapping[str, Any]) -> None:
    for name, value in table.items():
        if isinstance(value, Mapping):
            _write(group.create_group(name), value)
        elif name == "edges":
            pairs = np.array(value, dtype=object).reshape(-1, 2)
            group.create_dataset(name, data=pairs, dtype=h5py.string_dtype())
        elif isinstance(value, str):
            group.create_dataset(name, data=value, dtype=h5py.string_dtype())
        else:
            group.create_dataset(name, data=np.asarray(value))
