"""Takes a pickle apart without running it: containers, texts, numbers, and what the caller knows by name.

A pickle is a program for a small machine that can call any function there is. This machine only calls those
of a table. It sets no state of objects and hashes no key but texts and numbers, so that what it reads costs
memory and time in proportion to the pickle, and does nothing.
"""

from __future__ import annotations

import pickletools
from collections.abc import Callable, Iterable, Mapping
from typing import Any

Known = Mapping[tuple[str, str], Callable[..., Any]]

# Operations that push their argument, and those that push something new.
ARGUMENTS = frozenset(
    (
        *("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"),
        *("UNICODE", "SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8"),
        *("STRING", "SHORT_BINSTRING", "BINSTRING", "SHORT_BINBYTES", "BINBYTES", "BINBYTES8"),
    )
)
CONSTANTS: dict[str, Callable[[], Any]] = {
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
    "EMPTY_LIST": list,
    "EMPTY_TUPLE": tuple,
    "EMPTY_DICT": dict,
}
NOTHING = frozenset(("PROTO", "FRAME"))


class PickleError(Exception):
    """A pickle that is broken, or asks for more than there is."""


class Function:
    """A function of the table: only these are called."""

    def __init__(self, call: Callable[..., Any]) -> None:
        self.call = call


def read_pickle(content: bytes, known: Known, persistent: Callable[[Any], Any]) -> Any:
    """What a pickle holds.

    known: functions by module and name. persistent: makes something of a persistent id. Raises PickleError,
    or what the functions raise.
    """
    machine = _Machine(known, persistent)
    try:
        for operation, argument, _ in pickletools.genops(content):
            if operation.name == "STOP":
                return machine.stack.pop()
            machine.step(operation.name, argument)
    except (ValueError, IndexError, KeyError, TypeError, AttributeError, OverflowError) as error:
        raise PickleError(type(error).__name__) from None  # the text of nested containers can be endless
    raise PickleError("it has no end")


class _Machine:
    """A stack, stacks that wait behind marks, and what was noted to be used again."""

    def __init__(self, known: Known, persistent: Callable[[Any], Any]) -> None:
        self.known, self.persistent = known, persistent
        self.stack: list[Any] = []
        self.waiting: list[list[Any]] = []
        self.memo: dict[int, Any] = {}

    def step(self, name: str, argument: Any) -> None:
        if name in ARGUMENTS:
            self.stack.append(argument)
        elif name in CONSTANTS:
            self.stack.append(CONSTANTS[name]())
        elif name in STEPS:
            STEPS[name](self, argument)
        elif name not in NOTHING:
            raise PickleError(f"operation {name} is not known")

    def mark(self, _: Any) -> None:
        self.waiting.append(self.stack)
        self.stack = []

    def push(self, value: Any) -> None:
        self.stack.append(value)

    def marked(self) -> list[Any]:
        """What was pushed since the last mark."""
        items, self.stack = self.stack, self.waiting.pop()
        return items

    def popped(self, count: int) -> list[Any]:
        return [self.stack.pop() for _ in range(count)][::-1]

    def put(self, key: Any) -> None:
        self.memo[len(self.memo) if key is None else key] = self.stack[-1]

    def get(self, key: Any) -> None:
        self.stack.append(self.memo[key])

    def extend(self, items: list[Any]) -> None:
        target = self.stack[-1]
        if not isinstance(target, list):
            raise PickleError("an entry of what is no list")
        target.extend(items)

    def fill(self, items: list[Any]) -> None:
        target = self.stack[-1]
        if not isinstance(target, dict):
            raise PickleError("an entry of what is no dict")
        target.update(_pairs(items))

    def name(self, module: Any, name: Any) -> None:
        if not (isinstance(module, str) and isinstance(name, str)):
            raise PickleError("a name that is no text")
        if (module, name) not in self.known:
            where = f"{module}.{name}"[:100].encode("ascii", "backslashreplace").decode()
            raise PickleError(f"it asks for {where}")
        self.stack.append(Function(self.known[module, name]))

    def reduce(self, _: Any) -> None:
        function, arguments = self.popped(2)
        if not isinstance(function, Function) or not isinstance(arguments, tuple):
            raise PickleError("a call of what is no function")
        self.stack.append(function.call(*arguments))

    def persist(self, _: Any) -> None:
        self.stack.append(self.persistent(self.stack.pop()))


def _pairs(items: list[Any]) -> Iterable[tuple[Any, Any]]:
    for key, value in zip(items[::2], items[1::2], strict=True):
        if not isinstance(key, (str, int, float, bytes, type(None))):
            raise PickleError("a key that is neither text nor number")
        yield key, value


STEPS: dict[str, Callable[[_Machine, Any], Any]] = {
    "MARK": _Machine.mark,
    "POP": lambda m, _: m.stack.pop(),
    "POP_MARK": lambda m, _: m.marked(),
    "DUP": lambda m, _: m.push(m.stack[-1]),
    "TUPLE": lambda m, _: m.push(tuple(m.marked())),
    "TUPLE1": lambda m, _: m.push(tuple(m.popped(1))),
    "TUPLE2": lambda m, _: m.push(tuple(m.popped(2))),
    "TUPLE3": lambda m, _: m.push(tuple(m.popped(3))),
    "LIST": lambda m, _: m.push(m.marked()),
    "DICT": lambda m, _: m.push(dict(_pairs(m.marked()))),
    "APPEND": lambda m, _: m.extend(m.popped(1)),
    "APPENDS": lambda m, _: m.extend(m.marked()),
    "SETITEM": lambda m, _: m.fill(m.popped(2)),
    "SETITEMS": lambda m, _: m.fill(m.marked()),
    "PUT": _Machine.put,
    "BINPUT": _Machine.put,
    "LONG_BINPUT": _Machine.put,
    "MEMOIZE": _Machine.put,
    "GET": _Machine.get,
    "BINGET": _Machine.get,
    "LONG_BINGET": _Machine.get,
    "GLOBAL": lambda m, argument: m.name(*argument.split(" ", 1)),
    "STACK_GLOBAL": lambda m, _: m.name(*m.popped(2)),
    "REDUCE": _Machine.reduce,
    "NEWOBJ": _Machine.reduce,
    "BUILD": lambda m, _: m.stack.pop(),  # the state of an object is left out
    "BINPERSID": _Machine.persist,
}
