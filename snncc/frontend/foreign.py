"""Names from files of others: escaped for messages, plain for graphs. They are text, never code."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

LONGEST_SHOWN = 80
LONGEST_PATH = 1000
LONGEST_NAME = 60
UNSEEN = ("Cc", "Cf", "Cn", "Co", "Cs", "Zl", "Zp")  # control, direction marks, surrogates, line ends


def shown(text: object, longest: int = LONGEST_SHOWN) -> str:
    """A foreign text on one line: what cannot be seen is escaped, what is too long is cut."""
    escaped = "".join(
        _escape(c) if unicodedata.category(c) in UNSEEN else c for c in str(text)[: longest + 1]
    )
    return escaped if len(escaped) <= longest else escaped[: longest - 3] + "..."


def shown_path(path: object) -> str:
    """A path as the user gave it, on one line."""
    return shown(path, LONGEST_PATH)


def _escape(character: str) -> str:
    return character.encode("unicode_escape", "surrogatepass").decode("ascii")


def plain_names(names: Iterable[str], taken: Iterable[str] = ()) -> dict[str, str]:
    """For each foreign name one of letters, digits, `_` and single dots; unique, and none of `taken`."""
    used, result = set(taken), {}
    for name in names:
        parts = [re.sub(r"\W+", "_", part, flags=re.ASCII) for part in name[:LONGEST_NAME].split(".")]
        plain = ".".join(part for part in parts if part.strip("_")) or "node"
        candidate, count = plain, 1
        while candidate in used:
            count += 1
            candidate = f"{plain}_{count}"
        used.add(candidate)
        result[name] = candidate
    return result
