"""Reads a network from a user's file: `models/mnist_mlp.py:net`, `net.onnx`."""

from __future__ import annotations

import importlib.util
import inspect
import sys
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

from ..errors import CompileError
from ..frontend.foreign import shown
from ..frontend.report import Report
from ..nn.module import Module
from .options import Choices


@dataclass(frozen=True)
class Source:
    """A network, and how the user called it: `mnist_mlp.py:net`. report: of an imported file."""

    network: Module
    label: str
    report: Report | None = None


def load_source(text: str, choices: Choices) -> Source:
    """The network that SOURCE names. Raises CompileError."""
    suffix = Path(text).suffix.lower()
    options = choices.of_file(suffix)
    if suffix == ".nir":
        from ..frontend.nir import import_nir

        network = import_nir(text, **options)
        return Source(network, Path(text).name, network.report)
    if suffix == ".onnx":
        from .onnx import load_onnx

        imported = load_onnx(Path(text), options)
        return Source(imported, shown(Path(text).name), imported.report)
    return _of_python(text)


def _of_python(text: str) -> Source:
    """The network that `file.py:name` names: a module, a class of modules, or a function that makes one.

    The file is run, with its folder first on sys.path, but not as __main__. What it raises becomes a
    CompileError with the line in it.
    """
    file, separator, name = text.rpartition(":")
    if not separator or not file.endswith(".py"):
        file, name = text, ""
    path = Path(file)
    if not path.is_file():
        what = "is a folder" if path.is_dir() else "is not there" if not path.exists() else "is not a file"
        raise CompileError(f"{file}: {what}; give a network as file.py:name, or a .nir or .onnx file")
    module = _run_file(path)
    if not name:
        raise CompileError(f"{file}: which network? Give {file}:NAME; {_choices(module)}")
    return Source(_network(module, path, name), f"{path.name}:{name}")


def _run_file(path: Path) -> ModuleType:
    name = path.stem
    if not name.isidentifier() or name in sys.modules:
        name = f"snncc_source_{path.stem}"
    folder = str(path.absolute().parent)
    if folder not in sys.path:
        sys.path.insert(0, folder)
    spec = importlib.util.spec_from_file_location(name, path.absolute())
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        _guarded(path, partial(spec.loader.exec_module, module))
    except CompileError:
        del sys.modules[name]
        raise
    return module


def _guarded(path: Path, action: Any) -> Any:
    """The action's result; any error of the user's code becomes one line that names its place."""
    arguments, sys.argv = sys.argv, [str(path)]  # ours are not for the user's file
    try:
        return action()
    except CompileError:
        raise
    except SyntaxError as error:
        place = f"{Path(error.filename or path).name}:{error.lineno}"
        raise CompileError(f"{path}: {error.msg} ({place})") from error
    except (Exception, SystemExit) as error:
        text = f"{type(error).__name__}: {error}".removesuffix(": ")
        raise CompileError(f"{path}: {text} ({_place(path, error)})") from error
    finally:
        sys.argv = arguments


def _place(path: Path, error: BaseException) -> str:
    """`file.py:31` of the innermost line that lies beside the user's file."""
    frames = traceback.extract_tb(error.__traceback__)
    folder = path.absolute().parent
    own = [frame for frame in frames if Path(frame.filename).parent == folder]
    return f"{Path(own[-1].filename).name}:{own[-1].lineno}" if own else path.name


def _network(module: ModuleType, path: Path, name: str) -> Module:
    found: Any = module
    for part in name.split("."):
        if not hasattr(found, part):
            raise CompileError(f"{path}: there is no {name!r}; {_choices(module)}")
        found = getattr(found, part)
    if isinstance(found, Module):
        return found
    if not callable(found):
        raise CompileError(f"{path}: {name} is {_article(found)}, not a network; {_choices(module)}")
    needed = _needed(found)
    if needed:
        raise CompileError(
            f"{path}: {name} needs {', '.join(needed)}; "
            "give a network, or a class or function without arguments"
        )
    made = _guarded(path, found)
    if not isinstance(made, Module):
        raise CompileError(f"{path}: {name}() returned {_article(made)}, not a network (an nn.Module)")
    if isinstance(found, type):
        object.__setattr__(made, "where", _line_of(found, path))
    return made


def _needed(function: Any) -> list[str]:
    """Arguments that have no default."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return []
    given = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return [p.name for p in parameters if p.default is p.empty and p.kind not in given]


def _line_of(kind: type, path: Path) -> str:
    try:
        return f"{path.name}:{inspect.getsourcelines(kind)[1]}"
    except (OSError, TypeError):
        return path.name


def _article(value: Any) -> str:
    name = type(value).__name__
    return f"an {name}" if name[0] in "aeiou" else f"a {name}"


def _choices(module: ModuleType) -> str:
    names = ", ".join(_networks(module))
    return f"it has {names}" if names else "it has no network (an nn.Module)"


def _networks(module: ModuleType) -> Iterator[str]:
    """Networks of a file, and its own classes and functions that may make one."""
    for name, value in vars(module).items():
        kind = value if isinstance(value, type) and value.__module__ == module.__name__ else None
        if isinstance(value, Module) or (kind and issubclass(kind, Module) and not _needed(kind)):
            yield name
