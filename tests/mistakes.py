"""Mistakes of a user: functions whose last line (or the line marked `# here`) an error must point to."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path

import pytest

from snncc import CompileError

Mistake = Callable[[], object]


def line_of(mistake: Mistake) -> str:
    """`file.py:31` of the marked line of a function, or of its last one."""
    lines, first = inspect.getsourcelines(mistake)
    marked = [k for k, line in enumerate(lines) if "# here" in line]
    return f"{Path(inspect.getfile(mistake)).name}:{first + (marked[0] if marked else len(lines) - 1)}"


def refused(mistake: Mistake) -> str:
    """The message of the error, without its place, which must be the right one and there once."""
    with pytest.raises(CompileError) as error:
        mistake()
    message, where = str(error.value), line_of(mistake)
    assert message.endswith(f" ({where})"), f"{message} should end with ({where})"
    assert message.count(".py:") == 1
    return message.removesuffix(f" ({where})")
