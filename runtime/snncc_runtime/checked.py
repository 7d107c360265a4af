"""Arguments checked against their annotations, before the function that they are given to runs.

What an annotation accepts comes out plain: `int` takes NumPy's integers and gives an int, `float` takes
finite numbers, `bool` no numbers, `Sequence[...]` arrays of one axis too, and gives a tuple; `np.ndarray` is
any array of finite numbers. A class says in its attribute `described` what messages call it, and
`Annotated[type, words]` says it itself. Any other annotation checks nothing.
"""

from __future__ import annotations

import inspect
import operator
import os
import types
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from functools import cache, wraps
from math import isfinite
from numbers import Real
from typing import Annotated, Any, NamedTuple, TypeVar, Union, get_args, get_origin, get_type_hints

import numpy as np

SHOWN = 80  # characters of a value in a message
FEW = 8  # numbers of an array that is shown itself
WRONG: Any = object()
Error = Callable[[str], Exception]
F = TypeVar("F", bound=Callable[..., Any])


class Kind(NamedTuple):
    """What an annotation accepts: in words, and as a function from a value to the plain one, or to WRONG."""

    words: str
    read: Callable[[Any], Any]


def shown(value: Any) -> str:
    """A value in a message of one line."""
    if isinstance(value, np.ndarray) and value.size > FEW:
        return f"an array of {value.dtype} of shape {list(value.shape)}"
    text = " ".join(repr(value).split())
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."


class Words(NamedTuple):
    """What messages say of a value that is refused, and of names that are no arguments of a class."""

    shown: Callable[[Any], str] = shown
    elsewhere: Callable[[type, list[str]], str] = lambda owner, names: ""


PLAIN_WORDS = Words()


def checked(error: Error, words: Words = PLAIN_WORDS) -> Callable[[F], F]:
    """A decorator: the function raises error(message) for the first argument that its annotation refuses,
    and for arguments that it does not take, or needs.

    Messages begin with the function's name, those of a constructor with the class's.
    """

    def decorate(function: F) -> F:
        name = function.__name__

        @wraps(function)
        def call(*given: Any, **named: Any) -> Any:
            signature = _signature(function)
            owner = name if name != "__init__" else type(given[0]).__name__
            plain = [
                _plain(error, words, owner, argument, kind, value)
                for (argument, kind), value in zip(signature.places(len(given)), given, strict=False)
            ]
            for argument, value in named.items():
                kind = signature.kinds.get(argument, signature.others)
                named[argument] = _plain(error, words, owner, argument, kind, value)
            try:
                return function(*plain, **named)
            except TypeError:
                if wrong := _misfit(function, plain, named, words):
                    raise error(f"{owner}: {wrong}") from None
                raise

        return call  # type: ignore[return-value]

    return decorate


def check_fields(item: Any, error: Error, words: Words = PLAIN_WORDS) -> None:
    """The same for the fields of a dataclass, frozen or not; they become plain."""
    kind: Any = type(item)
    kinds = _hinted(kind)
    for field in fields(item):
        value = getattr(item, field.name)
        plain = _plain(error, words, kind.__name__, field.name, kinds.get(field.name), value)
        object.__setattr__(item, field.name, plain)


def _plain(error: Error, words: Words, owner: str, argument: str, kind: Kind | None, value: Any) -> Any:
    plain = value if kind is None else kind.read(value)
    if plain is WRONG and kind is not None:
        raise error(f"{owner}: {argument} must be {kind.words}, got {words.shown(value)}")
    return plain


def _misfit(function: Callable[..., Any], given: list[Any], named: dict[str, Any], words: Words) -> str:
    """Why a function cannot be called with these arguments, and what it takes; nothing if it can."""
    try:
        inspect.signature(function).bind(*given, **named)
    except TypeError as wrong:
        makes = function.__name__ == "__init__"
        takes = taken(type(given[0])) if makes else _named(function)
        unknown = [name for name in named if name not in takes]
        others = words.elsewhere(type(given[0]), unknown) if makes and unknown else ""
        return f"{wrong}; it takes {', '.join(takes) or 'none'}{others}"
    return ""


def taken(kind: type) -> list[str]:
    """The arguments of a class; those that a constructor hands on as **options are its base's."""
    found: dict[str, None] = {}
    for base in kind.__mro__:
        if "__init__" in base.__dict__ and base is not object:
            own = inspect.signature(base.__dict__["__init__"]).parameters.values()
            found |= dict.fromkeys(_named(base.__dict__["__init__"]))
            if all(p.kind is not p.VAR_KEYWORD for p in own):
                break
    return list(found)


def _named(function: Callable[..., Any]) -> list[str]:
    """Names of a function's arguments, without `self`, `*arguments` and `**arguments`."""
    parameters = inspect.signature(function).parameters.values()
    several = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return [p.name for p in parameters if p.kind not in several and p.name != "self"]


def numbers(value: Any, kinds: str = "iuf", finite: bool = True) -> np.ndarray:
    """An array of numbers whose types are of these kinds (NumPy's letters), not empty, or WRONG."""
    try:
        array = np.asarray(value)
    except (TypeError, ValueError, RuntimeError, OverflowError):
        return WRONG  # type: ignore[no-any-return]
    real = array.dtype.kind in kinds and array.size > 0
    return array if real and (not finite or bool(np.isfinite(array).all())) else WRONG


class Signature(NamedTuple):
    """What a function may be given by place and by name; rest: the name of its `*arguments`, if it has them.

    more, others: what those accept, and its `**arguments`.
    """

    positional: tuple[str, ...]
    kinds: dict[str, Kind]
    rest: str = ""
    more: Kind | None = None
    others: Kind | None = None

    def places(self, count: int) -> list[tuple[str, Kind | None]]:
        """Names and kinds of so many arguments by place."""
        beyond = range(count - len(self.positional))
        named = [(name, self.kinds.get(name)) for name in self.positional]
        return named + [(f"{self.rest}[{i}]", self.more) for i in beyond]


@cache
def _signature(function: Callable[..., Any]) -> Signature:
    parameters = inspect.signature(function).parameters.values()
    by_place = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    found = Signature(tuple(p.name for p in parameters if p.kind in by_place), dict(_hinted(function)))
    for p in parameters:
        if p.kind is p.VAR_POSITIONAL:
            found = found._replace(rest=p.name, more=found.kinds.pop(p.name, None))
        elif p.kind is p.VAR_KEYWORD:
            found = found._replace(others=found.kinds.pop(p.name, None))
    return found


@cache
def _hinted(owner: Any) -> dict[str, Kind]:
    """What the annotations of a function or class accept, without those that accept everything."""
    try:
        hints = get_type_hints(owner, include_extras=True)
    except NameError:  # annotations that only a type checker can read
        return {}
    found = {name: _kind(hint) for name, hint in hints.items() if name != "return"}
    return {name: kind for name, kind in found.items() if kind}


def _kind(hint: Any) -> Kind | None:
    """What an annotation accepts; None: everything."""
    origin, parts = get_origin(hint), get_args(hint)
    if origin is Annotated:
        inner = _kind(parts[0])
        return inner and Kind(parts[1], inner.read)
    if origin in (Union, types.UnionType):
        return _either([_kind(part) for part in parts])
    if origin in (Sequence, tuple):
        return _several(
            [_kind(part) for part in parts if part is not ...], origin is tuple and ... not in parts
        )
    plain = origin or hint
    if plain in PLAIN:
        return PLAIN[plain]
    described = getattr(plain, "described", "")
    return Kind(described, lambda value: value if isinstance(value, plain) else WRONG) if described else None


def _either(kinds: list[Kind | None]) -> Kind | None:
    """The first of several annotations that accepts a value."""
    known = [kind for kind in kinds if kind]
    if len(known) < len(kinds):
        return None
    *first, last = (kind.words for kind in known)

    def read(value: Any) -> Any:
        return next((plain for kind in known if (plain := kind.read(value)) is not WRONG), WRONG)

    return Kind(f"{', '.join(first)} or {last}", read)


def _several(kinds: list[Kind | None], counted: bool) -> Kind:
    """Items of one kind; counted: as many as there are kinds, each of its own."""

    def read(value: Any) -> Any:
        items = _items(value)
        if items is WRONG or (counted and len(items) != len(kinds)):
            return WRONG
        each = kinds if counted else kinds * len(items)
        plain = tuple(k.read(item) if k else item for k, item in zip(each, items, strict=True))
        return WRONG if any(item is WRONG for item in plain) else plain

    words = [kind.words if kind else "anything" for kind in kinds]
    return Kind(f"({', '.join(words)})" if counted else f"a list, each {words[0]}", read)


def _items(value: Any) -> Any:
    """The items of a sequence or of an array of one axis, or WRONG."""
    if isinstance(value, Sequence) and not isinstance(value, (str, bytes)):
        return tuple(value)
    one = getattr(value, "ndim", 0) == 1 and hasattr(value, "tolist")
    return tuple(value.tolist()) if one else WRONG


def _bool(value: Any) -> Any:
    return bool(value) if isinstance(value, (bool, np.bool_)) else WRONG


def _int(value: Any) -> Any:
    """Of 64 bits at most."""
    try:
        number = operator.index(value)
    except TypeError:
        return WRONG
    return WRONG if isinstance(value, (bool, np.bool_)) or abs(number) >= 2**63 else number


def _float(value: Any) -> Any:
    """Also of an array without axes."""
    if isinstance(value, (bool, np.bool_)):
        return WRONG
    if not isinstance(value, Real):
        value = numbers(value) if getattr(value, "shape", None) == () else WRONG
    try:
        number = float(value)
    except (TypeError, OverflowError):
        return WRONG
    return number if isfinite(number) else WRONG


def _instance(*classes: type) -> Callable[[Any], Any]:
    return lambda value: value if isinstance(value, classes) else WRONG


PLAIN: dict[Any, Kind] = {
    type(None): Kind("None", _instance(type(None))),
    bool: Kind("True or False", _bool),
    int: Kind("an integer", _int),
    float: Kind("a finite number", _float),
    str: Kind("text", _instance(str)),
    np.ndarray: Kind("an array of finite numbers", numbers),
    os.PathLike: Kind("a path", _instance(os.PathLike)),
    Callable: Kind("a function", lambda value: value if callable(value) else WRONG),
    Mapping: Kind("a mapping", _instance(Mapping)),
}
