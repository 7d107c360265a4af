"""The two ways in which snncc fails: the user's network is wrong, or snncc is.

`CompileError` is for the user: it says where, what was expected, what was found and what to do.
`InternalError` is a bug of ours: a pass broke the graph, or a stage met what an earlier one had
to remove.
"""

from __future__ import annotations

import os
import re
import sys
from importlib.util import find_spec
from pathlib import Path

PACKAGE = str(Path(__file__).parent) + os.sep
BELOW = tuple(  # what snncc calls, which calls it back
    str(Path(str(getattr(find_spec(name), "origin", f"<{name}>"))).parent) + os.sep
    for name in ("snncc_runtime", "numpy")
)
LOCATION = re.compile(r"\([^()]+:\d+\)$")
COMMANDS = str(Path(PACKAGE, "commands"))


class CompileError(Exception):
    """The network, file or option that the user gave cannot be compiled."""


class InternalError(Exception):
    """snncc itself is wrong."""


def user_line(within: str = "") -> str:
    """`file.py:31` of the innermost caller outside snncc (and NumPy), or an empty string.

    Behind a command of snncc there is no line of the user's. within: the name of a function of snncc;
    only what it called counts.
    """
    frame, found = sys._getframe(1), ""
    while frame is not None:
        file = frame.f_code.co_filename
        if file.startswith(COMMANDS):
            return found if not within else ""
        if not found and not file.startswith((PACKAGE, *BELOW, "<")):
            found = f"{Path(file).name}:{frame.f_lineno}"
        if found and not within:
            return found
        if within == frame.f_code.co_name and file.startswith(PACKAGE):
            return found
        frame = frame.f_back  # type: ignore[assignment]
    return "" if within else found


def located(message: str, where: str) -> CompileError:
    """A `CompileError` whose message ends with the user's line, once."""
    return CompileError(f"{message} ({where})" if where and not LOCATION.search(message) else message)
