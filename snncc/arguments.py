"""Arguments of what users call, checked against their annotations: a CompileError with the user's line."""

from __future__ import annotations

from types import ModuleType
from typing import Any

from snncc_runtime import checked as runtime

from .errors import CompileError, located, user_line

# Modules that have the names of another library, as one writes them, by where its own are; snncc.nn fills it.
PRESETS: dict[str, dict[str, ModuleType]] = {}


def shown(value: Any) -> str:
    """A value in a message of one line, at its end; if it is another library's, what to write instead.

    A class says in its method `_shown` how messages show what is of it.
    """
    own = getattr(type(value), "_shown", None)
    if own is not None:
        return str(own(value))
    kind = value if hasattr(value, "__qualname__") else type(value)
    place, name = str(kind.__module__), kind.__qualname__.partition(".")[0]
    for library, spaces in PRESETS.items():
        ours = [f"{path}.{name}(...)" for path, space in spaces.items() if name in _named(space)]
        if ours and f"{place}.".startswith(f"{library}."):
            return f"{library.partition('.')[0]}'s {name}; write {' or '.join(ours)}"
    return runtime.shown(value)


def _named(space: ModuleType) -> dict[str, Any]:
    """What a module has of its own: classes and functions, by name."""
    inside = f"{space.__name__}."
    return {n: v for n, v in vars(space).items() if f"{getattr(v, '__module__', '')}.".startswith(inside)}


def _elsewhere(owner: type, names: list[str]) -> str:
    """The presets of a class that have arguments of these names, as the end of a message."""
    found = [
        f"{path}.{name}"
        for spaces in PRESETS.values()
        for path, space in spaces.items()
        for name, kind in _named(space).items()
        if isinstance(kind, type) and issubclass(kind, owner) and set(names) <= set(runtime.taken(kind))
    ]
    are = "is an argument" if len(names) == 1 else "are arguments"
    return f"; {' and '.join(names)} {are} of {' and '.join(found)}" if found else ""


def _error(message: str) -> CompileError:
    return located(message, user_line())


WORDS = runtime.Words(shown, _elsewhere)
checked = runtime.checked(_error, WORDS)
numbers, WRONG = runtime.numbers, runtime.WRONG


def check_fields(item: Any) -> None:
    """The fields of a dataclass, against their annotations; they become plain values."""
    runtime.check_fields(item, _error, WORDS)
