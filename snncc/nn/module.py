"""Modules: what networks are made of. A module holds parameters and says what it computes.

`self.weight` of a module is a value of the graph while the network is traced and a NumPy array
otherwise, so the same `forward` or `step` builds the graph and computes on arrays.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import numpy as np

from ..arguments import checked
from ..errors import CompileError, located, user_line
from ..ops import Value

Initial = Callable[[np.random.Generator], np.ndarray]
LARGEST = 2**31 - 1  # of sizes and numbers of steps
PACKAGE = __name__.removesuffix("nn.module")


@dataclass(frozen=True, eq=False)
class Parameter:
    """An array that belongs to a module.

    initial: the array, or a function of a random generator that draws it.
    learnable: whether training changes it. limits: clamped to these where it is used (the gradient
    passes inside, limits included). panels: a matrix that products read. at_least: raised to this after
    each update. each_neuron: numbers for each neuron or channel of the layer.
    """

    shape: tuple[int, ...]
    initial: np.ndarray | Initial
    learnable: bool = True
    limits: tuple[float, float] | None = None
    panels: bool = False
    at_least: float | None = None
    each_neuron: bool = False

    def draw(self, generator: np.random.Generator) -> np.ndarray:
        """The initial array in float64."""
        array = self.initial(generator) if callable(self.initial) else self.initial
        return np.broadcast_to(np.asarray(array, np.float64), self.shape)


@dataclass(frozen=True, eq=False)
class Table(Parameter):
    """Whole numbers that say how a module is wired: int32, not learned, in the model's `structure`.

    most: none is above it, or below 0. ascending: whether they run from 0 up to `most`.
    """

    learnable: bool = False
    most: int = 0
    ascending: bool = False

    def draw(self, generator: np.random.Generator) -> np.ndarray:
        """The array; nothing is drawn."""
        return np.asarray(self.initial, np.int32)


class Tracer(Protocol):
    """What a module asks of the front end while a network is traced.

    by_rates: whether a neuron's spikes have the gradient of its rate. training: whether the network is
    traced for a training step, and not for a call.
    """

    by_rates: bool

    @property
    def training(self) -> bool: ...

    def parameter(self, module: Module, name: str) -> Value: ...
    def call(self, module: Module, *operands: Any) -> Any: ...
    def state(self, module: Module, name: str, shape: tuple[int, ...], initial: Any) -> Value: ...
    def close(self, state: Value, following: Value) -> None: ...
    def delay(self, shape: tuple[int, ...], initial: float | Value, name: str, steps: int) -> Value: ...
    def name(self, value: Value, name: str) -> None: ...
    def update(self, module: Module, name: str, value: Value) -> None: ...


tracing: ContextVar[Tracer | None] = ContextVar("tracing", default=None)


def tracer(what: str) -> Tracer:
    """The tracer at work; an error if `what` is used outside a network's `forward`."""
    current = tracing.get()
    if current is None:
        raise CompileError(f"{what} belongs into the forward method of a network ({user_line()})")
    return current


class Module:
    """Base of layers, neurons and networks. Subclasses define `forward` on values."""

    where: str
    described: ClassVar[str] = "a module"
    _parameters: dict[str, Parameter]

    def __init_subclass__(cls) -> None:
        """Constructors of snncc's own modules check their arguments; a user's are the user's."""
        if cls.__module__.startswith(PACKAGE) and "__init__" in cls.__dict__:
            cls.__init__ = checked(cls.__init__)  # type: ignore[method-assign]

    def __new__(cls, *args: Any, **kwargs: Any) -> Module:
        module = super().__new__(cls)
        object.__setattr__(module, "_parameters", {})
        object.__setattr__(module, "where", user_line())
        return module

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Of modules without a constructor of their own, which have nothing to set."""
        if args or kwargs:
            given = ", ".join([*map(repr, args), *(f"{key}={value!r}" for key, value in kwargs.items())])
            raise self.error(f"takes no arguments, got {given}")

    def __setattr__(self, name: str, value: Any) -> None:
        if isinstance(value, Parameter):
            self._parameters[name] = value
            self.__dict__.pop(name, None)
        else:
            self._parameters.pop(name, None)
            object.__setattr__(self, name, value)

    def __getattr__(self, name: str) -> Any:
        parameters = self.__dict__.get("_parameters", {})
        if name not in parameters:
            raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")
        current = tracing.get()
        if current is not None:
            return current.parameter(self, name)
        return parameters[name].draw(np.random.default_rng(0))

    def __call__(self, *operands: Any) -> Any:
        current = tracing.get()
        return current.call(self, *operands) if current else self.forward(*operands)

    @property
    def training(self) -> bool:
        """Whether the network is traced for a training step. A call, `evaluate` and `backward` are not."""
        current = tracing.get()
        return current is not None and current.training

    def update(self, name: str, value: Value) -> None:
        """What a parameter that does not learn is after the training step; from here on it reads as that."""
        tracer("update").update(self, name, value)

    def forward(self, *operands: Any) -> Any:
        """The module's outputs for its inputs."""
        raise CompileError(f"{type(self).__name__} must define forward ({self.where})")

    def error(self, message: str) -> CompileError:
        """An error about this module, with the line that made it."""
        return located(f"{type(self).__name__}: {message}", self.where)

    def children(self) -> Iterator[tuple[str, Module]]:
        """Modules held as attributes (also in lists and dicts), by name, in order of definition."""
        for name, value in self.__dict__.items():
            if isinstance(value, Module):
                yield name, value
            elif isinstance(value, (list, tuple)):
                yield from ((f"{name}.{i}", m) for i, m in enumerate(value) if isinstance(m, Module))
            elif isinstance(value, dict):
                yield from ((f"{name}.{k}", m) for k, m in value.items() if isinstance(m, Module))

    def named_modules(self, prefix: str = "") -> Iterator[tuple[str, Module]]:
        """Every module below (itself first) with its path, as PyTorch writes it."""
        yield prefix, self
        for name, child in self.children():
            yield from child.named_modules(f"{prefix}.{name}" if prefix else name)


@dataclass(frozen=True)
class Input:
    """An input of a network: feature shape without time and batch.

    static=True: the same at every step, given as [B, *shape]; else [T, B, *shape]. dtype: "float", or "int"
    for the whole numbers that nn.Embedding takes.
    """

    shape: tuple[int, ...]
    static: bool
    dtype: str = "float"
    described: ClassVar[str] = "an nn.Input"

    @checked
    def __init__(self, *shape: int, static: bool = False, dtype: str = "float") -> None:
        if dtype not in ("float", "int"):
            raise CompileError(f"Input: dtype must be 'float' or 'int', got {dtype!r} ({user_line()})")
        object.__setattr__(self, "dtype", dtype)
        if not all(0 < n <= LARGEST for n in shape):
            raise CompileError(f"Input: shape must be positive integers, got {shape} ({user_line()})")
        object.__setattr__(self, "shape", shape)
        object.__setattr__(self, "static", static)


class Loop:
    """A loop through time: `value` is what will be fed, `steps` before. Made by `delay(shape=...)`."""

    def __init__(self, shape: tuple[int, ...], initial: float | Value, name: str, steps: int) -> None:
        self._value = tracer("delay").delay(shape, initial, name, steps)

    @property
    def value(self) -> Value:
        """The value of the step before, or of `steps` before (the initial one at the first steps)."""
        return self._value

    def feed(self, value: Value) -> Value:
        """Close the loop: at the next step, `value` comes out of the delay."""
        tracer("delay").close(self._value, value)
        return value


@checked
def delay(
    value: Value | None = None,
    *,
    shape: int | tuple[int, ...] = (),
    initial: float | Value = 0.0,
    name: str = "",
    steps: int = 1,
) -> Any:
    """A delay of `steps` time steps.

    delay(value): the value of the step before. delay(shape=n): a loop, for feedback: its `.value` can
    be used at once and `.feed(x)` closes it.
    """
    if not 1 <= steps <= LARGEST:
        raise CompileError(f"delay: steps must be a positive integer, got {steps} ({user_line()})")
    if value is None:
        return Loop((shape,) if isinstance(shape, int) else shape, initial, name, steps)
    loop = Loop(value.shape, initial, name, steps)
    loop.feed(value)
    return loop.value
