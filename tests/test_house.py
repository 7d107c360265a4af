"""The house rules: who may import whom, and how long, named and documented things are.

Each rule is a table at the top. To change the house, change the table.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import networkx as nx
import pytest

ROOT = Path(__file__).parents[1]
COMPILER, RUNTIME = ROOT / "snncc", ROOT / "runtime" / "snncc_runtime"

# From the ground up. A room imports from the floors below it and from itself, never sideways or up.
FLOORS = (
    ("errors",),
    ("arguments", "expr", "names"),
    ("graph",),
    ("ops",),
    ("nn", "loss", "optim", "reference", "passes", "rules"),
    ("frontend", "program", "target"),
    ("lower", "plan_meetings", "plan_memory"),
    ("cost", "plan_crews", "plan_tiles"),
    ("backend", "interface"),
    ("store", "headers"),
    ("build", "nvcc"),
    ("cache",),
    ("driver",),
    ("commands",),
    ("cli",),
)
APART = {("backend", "passes")}    # (importer, imported): forbidden although it is below

# Packages from outside, and the rooms or files that may import them.
OUTSIDE = {
    "numpy": ("",),
    "networkx": ("graph", "passes", "frontend/nir", "commands/drawing"),
    "onnx": ("frontend/onnx",),
    "google": ("frontend/onnx",),    # protobuf, which onnx is made of
    "nir": ("frontend/nir",),
    "h5py": ("frontend/nir",),
    "jinja2": ("backend",),
    "cffi": ("store",),
    "click": ("cli", "commands"),
    "snncc_runtime": (
        *("__init__", "arguments", "frontend/nir", "frontend/onnx"),
        *("store", "headers", "build", "nvcc", "cache", "driver", "commands", "cli"),
    ),
}
RUNTIME_OUTSIDE = {"numpy", "cffi"}
RUNTIME_LAZY = {"tqdm"}    # inside functions only: the runtime works without

LONGEST_FUNCTION, LONGEST_FILE = 60, 400
FORBIDDEN_NAMES = {"utils", "util", "helpers", "common", "manager", "handler", "process", "data", "info"}
PRINTERS = {"snncc/cli.py", "runtime/snncc_runtime/progress.py"}
SHIPPED = (COMPILER, RUNTIME)
EVERYTHING = (*SHIPPED, ROOT / "models", ROOT / "benchmarks", ROOT / "docs", ROOT / "tests")
TEXT_SUFFIXES = {".py", ".h", ".c", ".cpp", ".cu", ".j2", ".inc"}

Function = ast.FunctionDef | ast.AsyncFunctionDef


def files(*folders: Path, suffixes: frozenset[str] | set[str] = frozenset({".py"})) -> list[Path]:
    return [
        path
        for folder in folders
        for path in sorted(folder.rglob("*"))
        if path.suffix in suffixes and not path.is_relative_to(ROOT / "tests" / "golden")
    ]


def short(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def room_of(path: Path) -> str:
    """The room of a file of the compiler: its first folder, or its own name."""
    return path.relative_to(COMPILER).with_suffix("").parts[0]


def floor_of(room: str) -> int:
    return next((floor for floor, rooms in enumerate(FLOORS) if room in rooms), -1)


def imports(path: Path, package: Path) -> Iterator[str]:
    """Dotted names that a file imports, relative ones resolved; `from a import b` counts as a.b."""
    here = path.relative_to(package.parent).with_suffix("").parts
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(here[: -node.level]) if node.level else ""
            source = ".".join(part for part in (base, node.module) if part)
            yield from (f"{source}.{alias.name}" for alias in node.names)


def misplaced(path: Path) -> Iterator[str]:
    """Imports of a file of the compiler that its room does not allow."""
    room = room_of(path)
    for name in imports(path, COMPILER):
        package, _, rest = name.partition(".")
        target = rest.partition(".")[0]
        if package == "snncc":
            if target == "__version__" or target == room or room in ("__init__", "__main__"):
                continue
            if not 0 <= floor_of(target) < floor_of(room) or (room, target) in APART:
                yield f"{short(path)}: {room} may not import {name}"
        elif package not in sys.stdlib_module_names:
            place = path.relative_to(COMPILER).with_suffix("").as_posix() + "/"
            if not any(not door or place.startswith(f"{door}/") for door in OUTSIDE.get(package, ())):
                yield f"{short(path)}: {room} may not import {package}"


def test_every_module_has_a_room() -> None:
    rooms = {room_of(path) for path in files(COMPILER)} - {"__init__", "__main__"}
    assert sorted(room for room in rooms if floor_of(room) < 0) == []


def test_modules_import_only_what_lies_below_them() -> None:
    assert [line for path in files(COMPILER) for line in misplaced(path)] == []


def test_files_of_the_front_end_import_in_one_direction() -> None:
    paths = files(COMPILER / "frontend")
    names = {".".join(path.relative_to(ROOT).with_suffix("").parts): path for path in paths}
    found = nx.DiGraph()
    for name, path in names.items():
        for target in imports(path, COMPILER):
            file = next((t for t in (target, target.rpartition(".")[0]) if t in names), name)
            found.add_edges_from([(name, file)] * (file != name))
    assert [sorted(part) for part in nx.strongly_connected_components(found) if len(part) > 1] == []


def test_the_runtime_stands_alone() -> None:
    wrong = []
    for path in files(RUNTIME):
        top = {id(node) for node in tree(path).body}
        for node in ast.walk(tree(path)):
            if not isinstance(node, ast.Import | ast.ImportFrom) or getattr(node, "level", 0):
                continue
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else [a.name for a in node.names]
            for package in (name.partition(".")[0] for name in names):
                known = package in sys.stdlib_module_names or package in RUNTIME_OUTSIDE | {"snncc_runtime"}
                if not known and (package not in RUNTIME_LAZY or id(node) in top):
                    wrong.append(f"{short(path)}:{node.lineno} imports {package}")
    assert wrong == []


@pytest.mark.parametrize(
    ("room", "line", "allowed"),
    [
        ("graph.py", "from .errors import CompileError", True),
        ("errors.py", "from . import graph", False),
        ("nn/layers.py", "from ..ops import linear", True),
        ("nn/layers.py", "from .module import Module", True),
        ("nn/layers.py", "from ..frontend import dsl", False),
        ("ops/linear.py", "import snncc.nn.layers", False),
        ("backend/c.py", "from ..passes import fuse", False),
        ("passes/fuse.py", "from ..backend.c import emit", False),
        ("cost/table.py", "from ..lower import Layout", True),
        ("cost/table.py", "from ..backend.calls import CALLS", False),
        ("passes/fuse.py", "import networkx as nx", True),
        ("nn/layers.py", "import networkx", False),
        ("frontend/onnx.py", "import onnx.helper", True),
        ("frontend/nir/read.py", "import h5py", True),
        ("frontend/dsl.py", "import h5py", False),
        ("frontend/dsl.py", "import onnx", False),
        ("cli.py", "import torch", False),
        ("build.py", "from snncc import __version__", True),
    ],
)
def test_the_import_rule_itself(room: str, line: str, allowed: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules[__name__], "tree", lambda path: ast.parse(line))
    assert (list(misplaced(COMPILER / room)) == []) is allowed


def functions(path: Path) -> Iterator[Function]:
    return (node for node in ast.walk(tree(path)) if isinstance(node, Function))


def test_functions_are_short() -> None:
    long = [
        f"{short(path)}:{node.lineno} {node.name} has {length} lines"
        for path in files(*EVERYTHING)
        for node in functions(path)
        if (length := (node.end_lineno or node.lineno) - node.lineno + 1) > LONGEST_FUNCTION
    ]
    assert long == []


def test_files_are_short() -> None:
    """A file over the limit holds two ideas. Templates and headers count as well."""
    lengths = {
        short(path): len(path.read_text(encoding="utf-8").splitlines())
        for path in files(*EVERYTHING, suffixes=TEXT_SUFFIXES)
    }
    assert {name: n for name, n in lengths.items() if n > LONGEST_FILE} == {}


def test_modules_say_what_they_are() -> None:
    modules = {short(path): tree(path) for path in files(*EVERYTHING)}
    assert [name for name, module in modules.items() if module.body and not ast.get_docstring(module)] == []


def test_names_say_what_things_are() -> None:
    vague = [short(path) for path in files(*EVERYTHING) if path.stem in FORBIDDEN_NAMES]
    assert vague == []


def test_only_the_command_line_prints() -> None:
    prints = [
        f"{short(path)}:{node.lineno}"
        for path in files(*SHIPPED)
        if short(path) not in PRINTERS
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"
    ]
    assert prints == []


def test_packages_are_typed() -> None:
    assert [short(folder) for folder in SHIPPED if not (folder / "py.typed").exists()] == []
