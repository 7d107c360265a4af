"""The options that several commands share: what to compile a network for."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, fields
from itertools import chain
from typing import Any

from .. import loss as losses
from .. import optim, rules
from ..errors import CompileError
from ..loss import READS, Loss
from ..nn import surrogate as surrogates
from ..optim import Optimizer
from ..target import STEPS, Target

LOSSES: dict[str, Callable[..., Loss]] = {"cross_entropy": losses.cross_entropy, "mse": losses.mse}
NUMBERS = {
    "cross_entropy": ("population", "label_smoothing"),
    "mse": ("on", "off", "population", "tolerance"),
}
OPTIMIZERS: dict[str, type[Optimizer]] = {"adam": optim.Adam, "sgd": optim.SGD, "adamw": optim.AdamW}
LEARNING_RATE = 1e-3
PRODUCTS = ("auto", "dense", "events")
IMPORTS = {  # options by kind of file
    ".nir": ("dt", "dialect", "reset", "integrator", "compare", "v0", "surrogate", "output"),
    ".onnx": ("state", "time_axis", "batch_axis", "surrogate", "output"),
}


@dataclass(frozen=True)
class Choices:
    """The options as they stand on the command line."""

    num_steps: int | None = None
    dtype: str = "float32"
    loss: str | None = None
    optimizer: str | None = None
    lr: float | None = None
    name: str = "model"
    seed: int = 0
    unroll: str = "none"
    products: str = "auto"
    checkpoint_every: int | None = None
    context: str | None = None
    rule: str = "bptt"
    lengths: bool = False
    target: str = "c"
    arch: str | None = None
    precision: str = "exact"
    weights: str | None = None
    rename: str | None = None
    dt: float | None = None
    dialect: str | None = None
    reset: str | None = None
    integrator: str | None = None
    compare: str | None = None
    v0: str | None = None
    state: tuple[str, ...] = ()
    time_axis: int | None = None
    batch_axis: int | None = None
    surrogate: str | None = None
    output: tuple[str, ...] = ()

    def of_file(self, suffix: str) -> dict[str, Any]:
        """The options that were given for importing such a file. Raises CompileError for others'."""
        given = {
            name: value
            for names in IMPORTS.values()
            for name in names
            if (value := getattr(self, name)) not in (None, ())
        }
        for name in given:
            if name not in IMPORTS.get(suffix, ()):
                kinds = " and ".join(kind for kind, names in IMPORTS.items() if name in names)
                raise CompileError(f"--{name.replace('_', '-')} is for {kinds} files")
        if "surrogate" in given:
            given["surrogate"] = parse_surrogate(given["surrogate"])
        if "output" in given:
            given["outputs"] = parse_pairs("--output", given.pop("output"))
        return given

    def wanted(self) -> Target:
        """What to compile for. Raises CompileError for what does not make sense."""
        if self.lr is not None and self.optimizer is None:
            raise CompileError("--lr needs an --optimizer")
        rule = parse_rule(self.rule)
        if self.optimizer is not None and self.loss is None and not isinstance(rule, rules.STDP):
            raise CompileError("--optimizer needs a --loss")
        if self.rename is not None and self.weights is None:
            raise CompileError("--rename needs --weights")
        if self.seed < 0:
            raise CompileError(f"--seed must not be negative, got {self.seed}")
        return Target(
            STEPS if self.num_steps is None else self.num_steps,
            parse_loss(self.loss) if self.loss is not None else None,
            parse_optimizer(self.optimizer, self.lr) if self.optimizer is not None else None,
            self.dtype,
            self.name,
            parse_unroll(self.unroll),
            self.products,
            self.checkpoint_every,
            self.context,
            rule,
            lengths=self.lengths,
            target=self.target,
            arch=self.arch,
            precision=self.precision,
        )


def parse_loss(text: str) -> Loss:
    """`cross_entropy:mem_max`, `mse:count,on=0.8,off=0.2`, `cross_entropy:count,population=10`. Raises
    CompileError."""
    head, numbers = numbers_of("--loss", text, tuple(dict.fromkeys(n for of in NUMBERS.values() for n in of)))
    name, _, readout = head.partition(":")
    if name not in LOSSES or (readout and readout not in READS) or not numbers.keys() <= set(NUMBERS[name]):
        readouts = ", ".join(f":{name}" for name in READS)
        known = "; ".join(f"of {name} {', '.join(names)}" for name, names in NUMBERS.items())
        raise CompileError(
            f"--loss must be cross_entropy or mse, with a readout ({readouts}) and numbers as in "
            f"mse:count,on=X,off=Y ({known}); got {text!r}"
        )
    if "population" in numbers:
        numbers["population"] = int(numbers["population"])
    return LOSSES[name](*([readout] if readout else []), **numbers)


def parse_optimizer(text: str, lr: float | None = None) -> Optimizer:
    """`adam`, `sgd,momentum=0.9`. Raises CompileError."""
    head = text.partition(",")[0]
    if head not in OPTIMIZERS:
        raise CompileError(f"--optimizer must be one of {', '.join(OPTIMIZERS)}, got {text!r}")
    kind, lr = OPTIMIZERS[head], LEARNING_RATE if lr is None else lr
    known = tuple(f.name for f in fields(kind) if f.name not in ("learning_rate", "betas"))
    numbers = numbers_of("--optimizer", text, known)[1]
    for name, value in {"lr": lr, **numbers}.items():
        if not 0 <= value < math.inf:
            raise CompileError(
                f"--{name if name == 'lr' else f'optimizer: {name}'} must be a number from 0, got {value}"
            )
    return kind(lr, **numbers)


def parse_rule(text: str) -> rules.Rule:
    """`ottt`, `bptt,truncate=8`, `stdp,tau_pre=3`. Raises CompileError."""
    head = text.partition(",")[0]
    if head not in rules.RULES:
        raise CompileError(f"--rule must be one of {', '.join(rules.RULES)}, got {text!r}")
    known = {"bptt": ("truncate",), "stdp": ("tau_pre", "tau_post")}.get(head, ())
    numbers = numbers_of("--rule", text, known)[1]
    return rules.RULES[head](**{name: int(n) if n == int(n) else n for name, n in numbers.items()})


def parse_surrogate(text: str) -> Any:
    """`ATan`, `FastSigmoid,slope=10`. Raises CompileError."""
    kinds = {
        name.lower(): kind
        for name, kind in vars(surrogates).items()
        if isinstance(kind, type)
        and issubclass(kind, surrogates.Surrogate)
        and kind is not surrogates.Surrogate
    }
    head = text.partition(",")[0]
    kind = kinds.get(head.lower())
    if kind is None:
        raise CompileError(
            f"--surrogate must be one of {', '.join(k.__name__ for k in kinds.values())}, got {text!r}"
        )
    known = tuple(f.name for f in fields(kind))
    try:
        return kind(**numbers_of("--surrogate", text, known)[1])
    except TypeError as error:
        raise CompileError(f"--surrogate: {error}") from None


def parse_pairs(option: str, pairs: tuple[str, ...]) -> dict[str, str]:
    """`("a=b", "c=d,e=f")` as a mapping. Raises CompileError."""
    found: dict[str, str] = {}
    for pair in chain.from_iterable(map(_apart, pairs)):
        before, equals, after = pair.partition("=")
        if not equals or not before or not after or before in found:
            raise CompileError(f"{option} must be NAME=NAME, once for each name; got {pair!r}")
        found[before] = after
    return found


def _apart(text: str) -> list[str]:
    """Several pairs in one, if each part is a pair; else the comma belongs to a name."""
    parts = text.split(",")
    return parts if all(part.count("=") == 1 for part in parts) else [text]


def parse_unroll(text: str) -> str | int:
    return int(text) if text.isdecimal() else text


def numbers_of(option: str, text: str, known: tuple[str, ...]) -> tuple[str, dict[str, Any]]:
    """`head,key=1.5,...` as the head and its numbers."""
    head, *rest = text.split(",")
    found = {}
    for part in rest:
        key, _, value = part.partition("=")
        try:
            found[key] = float(value)
        except ValueError:
            raise CompileError(f"{option}: expected {key or 'name'}=NUMBER, got {part!r}") from None
        if key not in known:
            raise CompileError(f"{option}: {key!r} is not known, only {', '.join(known) or 'the name alone'}")
    return head, found
