"""What a docstring says: summary, equations and prose, paragraphs of arguments, outputs, differences."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

SECTIONS = ("Outputs", "Differences")
HEAD = re.compile(r"(\w+(?:, \w+)*)(?: \[([^\]]+)\])?: (.*)")
REFERENCE = re.compile(r"as (?:of )?`?(\w+)`?\.")


@dataclass(frozen=True)
class Argument:
    """A paragraph about one argument or several. also: those that its text mentions and no other one has."""

    names: tuple[str, ...]
    unit: str
    text: str
    also: tuple[str, ...] = ()


@dataclass(frozen=True)
class Docstring:
    """body: equations and prose, in their order, each with whether it is equations."""

    summary: str
    body: tuple[tuple[bool, str], ...]
    arguments: tuple[Argument, ...]
    sections: dict[str, str]

    @property
    def equations(self) -> list[str]:
        return [text for is_equations, text in self.body if is_equations]


def parse(documented: object, names: Iterable[str]) -> Docstring:
    """The docstring of a class whose constructor has arguments of these names.

    Paragraphs of arguments stand on lines of their own, with or without a blank line between them.
    """
    known = {*names, *SECTIONS}
    paragraphs = list(_split(inspect.getdoc(documented) or "", known))
    body, arguments, sections = [], [], {}
    for text in paragraphs[1:]:
        head = HEAD.fullmatch(" ".join(text.split()))
        if text.startswith(" "):
            body.append((True, inspect.cleandoc("\n" + text)))
        elif head and is_head(text, known):
            found, unit, said = head.groups()
            if found in SECTIONS:
                sections[found] = said
            else:
                arguments.append(Argument(tuple(found.split(", ")), unit or "", said))
        else:
            body.append((False, text))
    summary = " ".join(paragraphs[0].split()) if paragraphs else ""
    return Docstring(summary, tuple(body), tuple(_mentioned(arguments, names)), sections)


def is_head(line: str, known: set[str]) -> bool:
    """Whether the paragraph of an argument or a section starts here."""
    head = HEAD.match(line)
    return head is not None and known >= set(head[1].split(", "))


def _split(text: str, known: set[str]) -> Iterator[str]:
    """Paragraphs: between blank lines, and from each line that starts an argument's."""
    lines: list[str] = []
    for line in text.split("\n"):
        if lines and (not line or is_head(line, known)):
            yield "\n".join(lines)
            lines = []
        if line:
            lines.append(line)
    if lines:
        yield "\n".join(lines)


def _mentioned(arguments: list[Argument], names: Iterable[str]) -> Iterator[Argument]:
    """Arguments with those that only their text mentions, as in "learn_beta trains it"."""
    open_names = [n for n in names if not any(n in a.names for a in arguments)]
    for argument in arguments:
        also = tuple(n for n in open_names if re.search(rf"\b{n}\b", argument.text))
        open_names = [n for n in open_names if n not in also]
        yield Argument(argument.names, argument.unit, argument.text, also)


def reference(text: str) -> str | None:
    """The other class that says it: `as LIF.`"""
    found = REFERENCE.fullmatch(text)
    return found[1] if found else None
