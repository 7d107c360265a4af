"""Other systems' neurons: which preset stands for which neuron of ours, and where each argument goes.

Where an argument goes is found by trying: the preset is made with another value, and what reaches the
constructor of our neuron is compared.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

from docs.docstring import parse
from docs.markdown import sentence
from docs.specimen import NEURONS, abstract, constructor, required
from snncc import CompileError, nn
from snncc.nn import neurons
from snncc.nn.module import Module

SYSTEMS: dict[str, ModuleType] = {
    "snnTorch": nn.snntorch,
    "SpikingJelly": nn.spikingjelly,
    "SNNGrow": nn.snngrow,
    "Aidge": nn.aidge,
    "NIR": nn.nir,
}
OURS: dict[str, type[Module]] = {name: getattr(neurons, name) for name in neurons.__all__}

# What is tried, where the default's kind does not say: the first that is not the default.
TRIALS: dict[str, tuple[Any, ...]] = {
    "reset_mechanism": ("zero", "subtract"), "reset": ("to_zero",), "step_mode": ("m", "s"),
    "backend": ("cupy",), "decode": ("mean-mem",), "bound": ("overwrite",), "name": ("fire",),
    "state_quant": (nn.UniformLevels(-1.0, 1.0, 4),), "spike_grad": (nn.surrogate.Triangle(),),
    "surrogate_function": (nn.surrogate.Triangle(),), "beta": (0.6,), "R": (2.0,), "C": (2.0,),
    "linear_features": (NEURONS, 18), "conv2d_channels": (4,), "kernel_size": (3,), "inplane": (NEURONS,),
    "kernel_truncation_steps": (3,), "init_linear_decay": (0.3,), "init_v_subreset": (0.3,),
    "device": ("cpu",), "dtype": ("float32",), "time_step": (2.0,), "T": (14,),
    "d_value": (8,), "d_key": (12,),
}    # fmt: skip
# What else must be given for an argument to matter; each is tried.
BACK: tuple[dict[str, Any], ...] = (
    {"all_to_all": False}, {"linear_features": NEURONS}, {"conv2d_channels": 2, "kernel_size": 5},
)    # fmt: skip
BASES: dict[str, tuple[dict[str, Any], ...]] = {
    "RLeaky": BACK,
    "RSynaptic": BACK,
    "Lapicque": ({"beta": 0.8}, {"R": 1.0, "C": 5.0}),
    "DeltaLeaky": ({"beta": 0.8},),
    "Alpha": ({"beta": 0.5},),
}
TOGETHER = {"d_value": {"num_spiking_neurons": 88}, "d_key": {"num_spiking_neurons": 84}}
# What no single trial shows.
SAID = {
    "all_to_all": "`V` (False), or `linear_features` or `conv2d_channels` (True)",
    "num_spiking_neurons": "must be d_value d_key",
}
NOTHING, REFUSED, OWN = "changes nothing", "another value is refused, with the reason", "the preset's own"


def presets(module: ModuleType) -> dict[str, type[Module]]:
    """A system's modules by its own names, in alphabetical order."""
    return {
        name: kind
        for name, kind in sorted(vars(module).items(), key=lambda item: item[0].lower())
        if inspect.isclass(kind)
        and issubclass(kind, Module)
        and f"{kind.__module__}.".startswith(f"{module.__name__}.")
        and not name.startswith("_")
    }


def ours(kind: type[Module]) -> str | None:
    """The neuron of ours that it is a preset of; a base without equations is none."""
    found = (base for base in kind.__mro__[1:] if base in OURS.values() and not abstract(base))
    return next((base.__name__ for base in found), None)


def presets_of(name: str) -> Iterator[tuple[str, type[Module]]]:
    """The presets of one of our neurons, with their systems."""
    for system, module in SYSTEMS.items():
        yield from ((system, kind) for kind in presets(module).values() if ours(kind) == name)


def remark(kind: type[Module]) -> str:
    """The summary of a preset without "SpikingJelly's IFNode: nn.IF.", which its place says."""
    summary = parse(kind, constructor(kind)).summary
    rest = re.sub(r"^\S+'s `?\w+`?(: nn\.\w+)?(\.\s*|[,;:]\s*|$)", "", summary)
    return sentence(rest)


@contextmanager
def _watched(base: type[Module], calls: list[dict[str, Any]]) -> Iterator[None]:
    """Note what reaches the constructor of a neuron of ours."""
    original = base.__init__
    known = inspect.signature(original)

    def watch(self: Any, *args: Any, **kwargs: Any) -> None:
        given = dict(list(known.bind(self, *args, **kwargs).arguments.items())[1:])
        options = given.pop("options", {})
        calls.append({**given, **options})
        original(self, *args, **kwargs)

    base.__init__ = watch    # type: ignore[method-assign]
    try:
        yield
    finally:
        base.__init__ = original    # type: ignore[method-assign]


def _told(kind: type[Module], **given: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """What our constructor is told, and the plain attributes that the preset then has."""
    calls: list[dict[str, Any]] = []
    base = OURS[ours(kind) or ""]
    if base.__init__ is object.__init__:
        made = kind(**given)
    else:
        with _watched(base, calls):
            made = kind(**given)
    plain = {n: v for n, v in vars(made).items() if isinstance(v, (bool, int, float, str)) and n != "where"}
    return calls[0] if calls else {}, plain


def _trial(argument: inspect.Parameter, now: Any) -> Any:
    """Another value."""
    if argument.name in TRIALS:
        return next(value for value in TRIALS[argument.name] if value != now)
    if isinstance(now, bool):
        return not now
    return now + 1 if isinstance(now, int) else now * 0.75 or 0.25


def _goes_to(kind: type[Module], argument: inspect.Parameter, given: dict[str, Any]) -> set[str]:
    now, before = given.get(argument.name, argument.default), _told(kind, **given)
    given_too = {argument.name: _trial(argument, now), **TOGETHER.get(argument.name, {})}
    try:
        after = _told(kind, **{**given, **given_too})
    except CompileError:
        return {REFUSED}
    pairs = ((name, value, after[0][name]) for name, value in before[0].items())
    changed = {name for name, one, other in pairs if one is not other and one != other}
    return changed or ({OWN} if before[1] != after[1] else {NOTHING})


def where_it_goes(kind: type[Module], name: str) -> str:
    """Our name of a preset's argument, or what becomes of it."""
    if name in SAID:
        return SAID[name]
    found: set[str] = set()
    for base in BASES.get(kind.__name__, ({},)):
        found |= _goes_to(kind, constructor(kind)[name], {**required(kind), **base})
    arguments = sorted(found - {NOTHING, REFUSED, OWN})
    if arguments:
        return ", ".join(f"`{argument}`" for argument in arguments)
    return next(text for text in (OWN, NOTHING, REFUSED) if text in found)


