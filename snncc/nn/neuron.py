"""Neurons are their equations: one function from input and states to outputs and states."""

from __future__ import annotations

import inspect
import sys
from collections import namedtuple
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Annotated, Any, ClassVar

import numpy as np

from ..arguments import WRONG, numbers, shown
from ..errors import located
from ..ops import Value, broadcast_to, substitute
from ..ops.groups import spread
from ..ops.value import Outputs
from .module import Module, Parameter, Tracer, tracer
from .surrogate import ATan, Surrogate

RESETS = ("subtract", "zero", "none")
Number = Annotated[float | Sequence[float] | np.ndarray, "a finite number or one a neuron"]


class Neuron(Module):
    """Base of neurons: define `step(self, current, *states)` and return `(spk, *next states)`.

    The names of the states are those of step's arguments. They start at zero, or at what the
    attribute `initial` says (a number or a per-neuron parameter, by state). A state called `spk` is the
    spike of the step before, which `step` returns once. A neuron that does not spike (`spiking = False`)
    returns its next states only.
    """

    surrogate: Surrogate = ATan()
    spiking: ClassVar[bool] = True
    known_as: ClassVar[Mapping[str, str]] = {}  # what other systems call it, by system

    def step(self, current: Any, *states: Any) -> tuple[Any, ...]:
        """One time step, on values or on arrays."""
        raise self.error("must define step(self, current, *states)")

    @property
    def initial(self) -> dict[str, Any]:
        """Initial values of states that do not start at zero."""
        return {}

    def firing_rate(self, current: Any) -> Any:
        """The firing rate that a current makes, without time: what rule="dsr" differentiates."""
        raise self.error(
            "rule='dsr' needs a neuron that defines firing_rate(self, current), as nn.Leaky does"
        )

    def state_shape(self, current: tuple[int, ...]) -> tuple[int, ...]:
        """The shape of each state, from that of step's `current`."""
        return current

    @classmethod
    def state_names(cls) -> tuple[str, ...]:
        """The states, in the order of step's arguments."""
        return tuple(inspect.signature(cls.step).parameters)[2:]

    @classmethod
    def output_names(cls) -> tuple[str, ...]:
        """What `step` returns: the spikes, and the states after the step."""
        states = cls.state_names()
        return ("spk", *(n for n in states if n != "spk")) if cls.spiking else states

    def forward(self, current: Value) -> tuple[Value, ...]:
        trace = tracer(type(self).__name__)
        with self.sized(self.state_shape(current.shape), current.builder.scope):
            return self._traced(trace, current)

    def _traced(self, trace: Tracer, current: Value) -> tuple[Value, ...]:
        states, initial = self.state_names(), self.initial
        shape = self.state_shape(current.shape)
        before = [trace.state(self, name, shape, initial.get(name, 0.0)) for name in states]
        result, names = self._named_step(current, *before), self.output_names()
        if not isinstance(result, tuple) or len(result) != len(names):
            raise self.error(f"step must return ({', '.join(names)}), one value each")
        if self.spiking:
            result = (self.by_rate(result[0], current), *result[1:])
        found = dict(zip(names, result, strict=True))
        for name, state in zip(states, before, strict=True):
            trace.name(found[name], name)
            trace.close(state, found[name])
        return named_outputs(names, result)

    @contextmanager
    def sized(self, shape: tuple[int, ...], path: str) -> Iterator[None]:
        """While it lasts there are neurons of this shape, and coefficients of channels read as if each neuron
        had its own. Raises CompileError for one that fits neither neurons nor channels."""
        for name, value in self._parameters.items():
            if value.each_neuron and beside(value.shape, shape) is None:
                raise located(
                    f"{path or type(self).__name__}: {name} {_misfit(value.shape, shape)}", self.where
                )
        self._neurons = shape
        try:
            yield
        finally:
            del self._neurons

    def __getattr__(self, name: str) -> Any:
        value = super().__getattr__(name)
        shape = self.__dict__.get("_neurons")
        if shape is None or not isinstance(value, Value) or not self._parameters[name].each_neuron:
            return value
        return for_each(value, shape)

    def by_rate(self, spk: Value, current: Value) -> Value:
        """The spikes; with the gradient of the neuron's rate, if the rule asks for that."""
        by_rates = tracer(type(self).__name__).by_rates
        result: Value = substitute(spk, self.firing_rate(current)) if by_rates else spk
        return result

    def _named_step(self, *operands: Value) -> tuple[Any, ...]:
        """Run step; values held in its local variables at the end get those names in the graph."""
        trace = tracer(type(self).__name__)
        codes = {kind.__dict__["step"].__code__ for kind in type(self).__mro__ if "step" in kind.__dict__}

        def watch(frame: Any, event: str, result: Any) -> None:
            if event == "return" and frame.f_code in codes:
                for name, value in frame.f_locals.items():
                    if isinstance(value, Value) and value.node not in given:
                        trace.name(value, name)

        given, before = {o.node for o in operands}, sys.getprofile()
        sys.setprofile(watch)
        try:
            return self.step(*operands)
        finally:
            sys.setprofile(None)
            resume = getattr(before, "enable", None)  # cProfile's profiler is not a function
            resume() if resume else sys.setprofile(before)


def beside(given: tuple[int, ...], shape: tuple[int, ...]) -> tuple[int, ...] | None:
    """The shape in which a coefficient's numbers can be repeated for neurons of `shape`; None: there is none.

    Axes of length 1 are repeated, as PyTorch does: [C, 1, 1] for [C, H, W]; [C] alone counts as channels.
    """
    while len(given) > len(shape) and given[0] == 1:
        given = given[1:]
    if len(given) == 1 < len(shape) and given[0] == shape[0]:
        given = (*given, *(1,) * (len(shape) - 1))
    if len(given) == len(shape) and all(a in (1, n) for a, n in zip(given, shape, strict=True)):
        return given
    return () if all(a == 1 for a in given) else None


def for_each(value: Value, shape: tuple[int, ...]) -> Value:
    """A coefficient beside neurons of that shape, which it fits."""
    given = beside(value.shape, shape) or ()
    if given != () and all(n == 1 for n in given[1:]):
        return spread(value, shape)
    result: Value = value.reshape(*given)
    return broadcast_to(result, shape) if given != () else result


def _misfit(given: tuple[int, ...], shape: tuple[int, ...]) -> str:
    """What is wrong with a coefficient of a layer."""
    if len(shape) == 1 and len(given) == 1:
        return f"has length {given[0]} for {shape[0]} neurons; pass one number for all, or one for each"
    ways = f"{list(shape)} for each"
    if len(shape) > 1:
        ways = f"{list(shape[:1])} for each channel, {ways}"
    return f"has shape {list(given)} for neurons of shape {list(shape)}; pass one number for all, or {ways}"


def named_outputs(names: Sequence[str], values: Sequence[Value]) -> tuple[Value, ...]:
    """A named tuple of values, which have these names in the graph as well."""
    trace = tracer("a neuron")
    for name, value in zip(names, values, strict=True):
        trace.name(value, name)
    outputs: tuple[Value, ...] = _tuple_of(names)(*values)
    return outputs


def _tuple_of(names: Sequence[str]) -> Any:
    return type("NeuronOutput", (Outputs, namedtuple("NeuronOutput", names)), {"__slots__": ()})


def check_reset(module: Module, reset: str) -> str:
    """One of RESETS."""
    if reset not in RESETS:
        raise module.error(f"reset must be 'subtract', 'zero' or 'none', got {reset!r}")
    return reset


def check_surrogate(module: Module, surrogate: Any) -> Any:
    """A surrogate, or None."""
    if surrogate is not None and not isinstance(surrogate, Surrogate):
        raise module.error(f"surrogate must be one of nn.surrogate or None, got {shown(surrogate)}")
    return surrogate


def coefficient(
    module: Module,
    name: str,
    value: Number,
    learnable: bool,
    limits: tuple[float, float] | None = None,
    literal: bool = True,
) -> float | Parameter:
    """A neuron's coefficient: a number, or a parameter when it is learnable or there are several.

    value: one number, one for each channel of images ([C] or [C, 1, 1]) or for each neuron (see `beside`).
    literal: whether it may be a number. A parameter is rounded to the network's dtype before anything is
    computed of it; a number after.
    """
    array = numbers(value)
    if array is WRONG:
        raise module.error(f"{name} must be a finite number or one a neuron, got {shown(value)}")
    array = array.astype(np.float64)
    if array.ndim == 0 and literal and not learnable:
        return float(np.clip(array, *limits)) if limits else float(array)
    each = array.ndim > 0
    return Parameter(array.shape, array, learnable=learnable, limits=limits, each_neuron=each)
