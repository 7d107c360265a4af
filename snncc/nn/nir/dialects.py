"""What importers of NIR make of a node's numbers, and what they refuse."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from ...arguments import checked
from ...errors import CompileError, located, user_line
from ..module import Module, Parameter
from ..neuron import coefficient
from ..neurons.integrate_and_fire import Coefficient, above, coefficient_array
from ..surrogate import ATan, Exponential, FastSigmoid, Sigmoid, Surrogate

CHOICES = {
    "reset": ("file", "subtract", "subtract_delayed"),
    "integrator": ("euler", "exp"),
    "compare": ("gt", "ge"),
    "v0": ("zero", "v_reset", "v_leak"),
}
SNNTORCH_DT = 1e-4


@dataclass(frozen=True)
class Dialect:
    """A system's reading of NIR; `dialect` makes one.

    dt [s]: the step that its files are made for, if it has one. ignored: values that it does not read. The
    rest is what NIR leaves open, see the package.
    """

    described: ClassVar[str] = "an nn.nir.dialect(...)"
    name: str
    dt: float | None
    surrogate: Surrogate
    reset: str = "file"
    integrator: str = "euler"
    compare: str = "gt"
    v0: str = "zero"
    ignored: tuple[str, ...] = ()

    @property
    def choices(self) -> dict[str, str]:
        """Reset, integrator, comparison and start."""
        return {name: getattr(self, name) for name in CHOICES}


DIALECTS = {
    d.name: d
    for d in (
        Dialect("exact", None, ATan(2.0)),
        # Norse writes tau times its dt of 1 ms: its files mean their network if dt is that squared.
        Dialect("norse", 1e-6, FastSigmoid(1.0), v0="v_leak", ignored=("v_reset",)),
        Dialect("snntorch", SNNTORCH_DT, ATan(2.0), ignored=("v_reset",)),
        Dialect("spikingjelly", 1e-4, Sigmoid(4.0), compare="ge", v0="v_reset"),
        Dialect("sinabs", 1.0, Exponential(2.0, 2.0), reset="subtract", integrator="exp", compare="ge"),
    )
}


@checked
def dialect(
    name: str,
    *,
    reset: str | None = None,
    integrator: str | None = None,
    compare: str | None = None,
    v0: str | None = None,
) -> Dialect:
    """A dialect with some of its choices replaced. Raises CompileError for what there is not."""
    if name not in DIALECTS:
        raise located(f"dialect must be one of {', '.join(DIALECTS)}, got {name!r}", user_line())
    given = {"reset": reset, "integrator": integrator, "compare": compare, "v0": v0}
    chosen: dict[str, Any] = {key: value for key, value in given.items() if value is not None}
    for key, value in chosen.items():
        if value not in CHOICES[key]:
            raise located(f"{key} must be one of {', '.join(CHOICES[key])}, got {value!r}", user_line())
    return replace(DIALECTS[name], **chosen)


class Node:
    """A node's numbers in float64, how to read them, and the errors of importers."""

    def __init__(self, module: Module, dt: float, reading: Dialect | str, **values: Coefficient) -> None:
        try:
            self.reading = reading if isinstance(reading, Dialect) else dialect(reading)
        except CompileError as error:
            raise module.error(str(error)) from None
        self.name = self.reading.name
        if not dt > 0:
            raise module.error(f"dt must be a positive number of seconds, got {dt!r}")
        if self.name == "snntorch" and not np.isclose(dt, SNNTORCH_DT):
            raise module.error(f"dialect 'snntorch' has dt=1e-4, got {dt!r}; use dialect='exact' for another")
        self.module, self.dt = module, dt
        self.values = {name: coefficient_array(module, name, value) for name, value in values.items()}
        for name in values:
            if name.startswith("tau"):
                above(module, name, values[name], 0.0)
            if name in self.reading.ignored:
                self.values[name] = np.zeros(())

    def __getitem__(self, name: str) -> np.ndarray:
        return self.values[name]

    def rate(self, tau: str) -> np.ndarray:
        """The share of its way to rest that a state goes in a step."""
        steps = self.dt / self[tau]
        return steps if self.reading.integrator == "euler" else -np.expm1(-steps)

    def require(self, name: str, *expected: Any, why: str) -> None:
        """An error unless a value is one of those that the dialect can express."""
        found = self.values[name]
        if not any(np.allclose(found, value) for value in expected):
            shown = " or ".join(str(np.unique(value)[0]) for value in expected)
            raise self.module.error(
                f"dialect {self.name!r} needs {name} = {shown} ({why}), got {np.unique(found)[0]}; "
                "use dialect='exact' for the equation itself"
            )

    @property
    def start(self) -> np.ndarray:
        """The membrane before the first step."""
        return self.values.get(self.reading.v0, np.zeros(()))

    def firing(self, surrogate: Surrogate | str | None) -> dict[str, Any]:
        """What the base of firing neurons is told."""
        return {
            "v_reset": self["v_reset"] if self.reading.reset == "file" else None,
            "strict": self.reading.compare == "gt",
            "init_mem": self.start,
            "surrogate": self.reading.surrogate if surrogate == "default" else surrogate,
        }

    def fixed(self, name: str, value: Any) -> float | Parameter:
        return coefficient(self.module, name, value, learnable=False)
