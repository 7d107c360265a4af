"""What to compile a network for: the arguments of `compile`, checked."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from .errors import located, user_line
from .loss import Loss
from .optim import SGD, Optimizer
from .rules import BPTT, RULES, STDP, Rule

if TYPE_CHECKING:  # the passes load networkx, which a model from the cache does not need
    from .passes.pipeline import Options

DTYPES = {"float32": ("f32", 4), "float64": ("f64", 8)}
TARGETS = ("c", "cuda")
PRECISIONS = {"float32": ("exact", "float32", "split", "tf32", "bf16"), "float64": ("exact", "float64")}
CONTEXTS = ("float32", "float16", "bfloat16")  # beside the network's own dtype
MOST_STEPS = 2**31 - 1  # of a call
STEPS = 25  # of a call, if nobody says


@dataclass(frozen=True)
class Target:
    """What to compile a network for; the arguments of `compile`.

    exact_steps: whether calls may have no other number of steps.
    """

    num_steps: int = STEPS
    loss: Loss | None = None
    optimizer: Optimizer | None = None
    dtype: str = "float32"
    name: str = "model"
    unroll: str | int = "none"
    products: str = "auto"
    checkpoint_every: int | None = None
    context: str | None = None
    rule: str | Rule = "bptt"
    exact_steps: bool = False
    lengths: bool = False
    target: str = "c"
    arch: str | None = None
    precision: str = "exact"

    def __post_init__(self) -> None:
        steps = self.num_steps
        if isinstance(steps, bool) or not isinstance(steps, (int, np.integer)) or steps < 1:
            raise located(f"num_steps must be a positive integer, got {steps!r}", user_line())
        if not isinstance(self.name, str) or not self.name.strip():
            raise located(f"name must be text, got {self.name!r}", user_line())
        every = self.checkpoint_every
        whole = isinstance(every, (int, np.integer)) and not isinstance(every, bool)
        if every is not None and (not whole or every < 1):
            raise located(
                f"checkpoint_every must be None or a positive number of steps, got {every!r}", user_line()
            )
        if self.rule not in RULES and not isinstance(self.rule, Rule):
            names = ", ".join(map(repr, RULES))
            raise located(f"rule must be {names} or of snncc.rules, got {self.rule!r}", user_line())
        if self.learning.window and every is not None:
            raise located(
                f"rule {self.learning} holds a window at a time: leave checkpoint_every out", user_line()
            )
        if self.dtype not in DTYPES:
            raise located(f"dtype must be 'float32' or 'float64', got {self.dtype!r}", user_line())
        if self.context not in (None, self.dtype, *CONTEXTS):
            raise located(
                f"context must be 'float32', 'float16' or 'bfloat16', got {self.context!r}", user_line()
            )
        if self.target not in TARGETS:
            raise located(f"target must be 'c' or 'cuda', got {self.target!r}", user_line())
        if self.arch is not None and not self.device:
            raise located(f"arch={self.arch!r} is for target='cuda': leave it out", user_line())
        self._check_precision()
        self._check_learning()
        if self.loss is not None and not isinstance(self.loss, Loss):
            raise located(f"loss must be made by snncc.loss, got {self.loss!r}", user_line())
        if self.optimizer is not None and not isinstance(self.optimizer, Optimizer):
            raise located(f"optimizer must be made by snncc.optim, got {self.optimizer!r}", user_line())

    def of_steps(self, asked: int | None, own: int | None) -> Target:
        """This target with the steps that were asked for, or else with a network's own, and exactly those."""
        return replace(self, num_steps=own, exact_steps=True) if asked is None and own else self

    def _check_precision(self) -> None:
        """Products of a GPU are in the network's type, or round float32."""
        if self.precision != "exact" and not self.device:
            raise located(f"precision={self.precision!r} is for target='cuda': leave it out", user_line())
        if self.precision not in PRECISIONS[self.dtype]:
            names = ", ".join(map(repr, PRECISIONS[self.dtype]))
            raise located(
                f"precision of a {self.dtype} network must be one of {names}, got {self.precision!r}",
                user_line(),
            )

    def _check_learning(self) -> None:
        """A gradient rule and its optimizer need a loss; plasticity needs an optimizer and has no loss."""
        if self.lengths and not isinstance(self.learning, BPTT):
            raise located(
                f"lengths need rule='bptt': {self.learning} knows no end of a sample; leave lengths out, or "
                "take sequences of one length",
                user_line(),
            )
        plastic = isinstance(self.learning, STDP)
        if self.optimizer is not None and self.loss is None and not plastic:
            raise located("an optimizer needs a loss: give loss= as well", user_line())
        if plastic and (self.loss is not None or not isinstance(self.optimizer, SGD)):
            found = f"loss={self.loss}, optimizer={self.optimizer}"
            raise located(
                f"rule='stdp' takes no loss, and optimizer=optim.SGD(lr) to apply its changes; found {found}",
                user_line(),
            )

    @property
    def updating(self) -> Optimizer | None:
        """The optimizer, within the bounds that the learning rule asks for."""
        rule, optimizer = self.learning, self.optimizer
        if isinstance(rule, STDP) and rule.bounds and isinstance(optimizer, SGD):
            return replace(optimizer, bounds=rule.bounds)
        return optimizer

    @property
    def options(self) -> Options:
        words: dict[str | int, int] = {"none": 1, "full": int(self.num_steps)}
        factor = words.get(self.unroll, self.unroll)
        if isinstance(factor, bool) or not isinstance(factor, int) or factor < 1:
            raise located(
                f"unroll must be 'none', 'full' or a positive number of steps, got {self.unroll!r}",
                user_line(),
            )
        from .passes.pipeline import Options

        context, window = self.context if self.context not in (None, self.dtype) else "", self.learning.window
        lists = not self.device
        return Options(
            DTYPES[self.dtype][0], factor, self.products, self.segment, context or "", window, lists
        )

    @property
    def device(self) -> bool:
        """Whether the model runs on a GPU."""
        return self.target == "cuda"

    @property
    def blas(self) -> str:
        """The precision of products on cuBLAS; "" where there are none."""
        return "" if self.precision == "exact" else self.precision

    @property
    def learning(self) -> Rule:
        """The learning rule."""
        if isinstance(self.rule, Rule):
            return self.rule
        made: Rule = RULES[self.rule]()
        return made

    @property
    def segment(self) -> int:
        """Steps of a segment of time; 0 for all in one."""
        return min(int(self.checkpoint_every or self.learning.held), MOST_STEPS)
