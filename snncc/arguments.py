"""Arguments of what users call, checked against their annotations: a CompileError with the user's line."""

from __future__ import annotations

from typing import Any

from snncc_runtime import checked as runtime

from .errors import CompileError, located, user_line


def _error(message: str) -> CompileError:
    return located(message, user_line())


checked = runtime.checked(_error)
numbers, shown, WRONG = runtime.numbers, runtime.shown, runtime.WRONG


def check_fields(item: Any) -> None:
    """The fields of a dataclass, against their annotations; they become plain values."""
    runtime.check_fields(item, _error)
