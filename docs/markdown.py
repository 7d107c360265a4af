"""Pieces of Markdown."""

from __future__ import annotations

from collections.abc import Iterable


def table(*rows: tuple[str, ...]) -> str:
    """Rows under a head."""
    head, *body = [f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |" for row in rows]
    return "\n".join([head, "| --- " * len(rows[0]) + "|", *body]) + "\n\n"


def code(names: Iterable[str]) -> str:
    """Names as code, with commas between."""
    return ", ".join(f"`{name}`" for name in names)


def block(text: str, language: str = "text") -> str:
    """Lines of code."""
    return f"```{language}\n{text}\n```\n\n"


def call(name: str, arguments: Iterable[str], width: int = 100) -> str:
    """A signature, on as many lines as it takes."""
    lines, indent = [f"{name}("], " " * (len(name) + 1)
    shown = list(arguments)
    for place, argument in enumerate(shown):
        piece = argument + (", " if place + 1 < len(shown) else ")")
        if len(lines[-1] + piece) > width + 1:
            lines[-1] = lines[-1].rstrip()
            lines.append(indent)
        lines[-1] += piece
    return "\n".join(lines) if shown else f"{name}()"


def sentence(text: str, names: Iterable[str] = ()) -> str:
    """With a capital letter, unless the first word is a name."""
    first = text.split(" ")[0].rstrip(",;:")
    return text[:1].upper() + text[1:] if first.isalpha() and first.islower() and first not in names else text
