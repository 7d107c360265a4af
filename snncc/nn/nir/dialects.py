"""What importers of NIR make of a node's numbers, and what they refuse."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..module import Module, Parameter
from ..neuron import coefficient
from ..neurons.integrate_and_fire import Coefficient, above, coefficient_array
from ..surrogate import ATan, FastSigmoid, Sigmoid, Surrogate

SURROGATES: dict[str, Surrogate] = {
    "nir": ATan(2.0),
    "norse": FastSigmoid(1.0),
    "snntorch": ATan(2.0),
    "spikingjelly": Sigmoid(4.0),
}
SNNTORCH_DT = 1e-4


class Node:
    """A node's numbers in float64, and the errors of importers."""

    def __init__(self, module: Module, dt: float, dialect: str, **values: Coefficient) -> None:
        if dialect not in SURROGATES:
            raise module.error(f"dialect must be one of {', '.join(SURROGATES)}, got {dialect!r}")
        if not (isinstance(dt, (int, float)) and 0 < dt < np.inf):
            raise module.error(f"dt must be a positive number of seconds, got {dt!r}")
        if dialect == "snntorch" and not np.isclose(dt, SNNTORCH_DT):
            raise module.error(f"dialect 'snntorch' has dt=1e-4, got {dt!r}; use dialect='nir' for another")
        self.module, self.dt, self.dialect = module, dt, dialect
        self.values = {name: coefficient_array(module, name, value) for name, value in values.items()}
        for name in values:
            if name.startswith("tau"):
                above(module, name, values[name], 0.0)

    def __getitem__(self, name: str) -> np.ndarray:
        return self.values[name]

    def require(self, name: str, *expected: Any, why: str) -> None:
        """An error unless a value is one of those that the dialect can express."""
        found = self.values[name]
        if not any(np.allclose(found, value) for value in expected):
            shown = " or ".join(str(np.unique(value)[0]) for value in expected)
            raise self.module.error(
                f"dialect {self.dialect!r} needs {name} = {shown} ({why}), got {np.unique(found)[0]}; "
                "use dialect='nir' for the equation itself"
            )

    def options(self, start: str, surrogate: Surrogate | str | None) -> dict[str, Any]:
        """What the base of firing neurons is told. start: the value at which the membrane starts."""
        free = self.dialect in ("norse", "snntorch")  # of v_reset
        start = {"norse": start, "spikingjelly": "v_reset"}.get(self.dialect, "")
        return {
            "v_reset": 0.0 if free else self["v_reset"],
            "strict": self.dialect != "spikingjelly",
            "init_mem": self.values.get(start, 0.0),
            "surrogate": SURROGATES[self.dialect] if surrogate == "default" else surrogate,
        }

    def fixed(self, name: str, value: Any) -> float | Parameter:
        return coefficient(self.module, name, value, learnable=False)
