"""What all surrogates have in common."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, ClassVar

import numpy as np

from ...arguments import check_fields
from ...errors import located, user_line


@dataclass(frozen=True, repr=False)
class Surrogate:
    """Base: define `derivative(u)`, u = membrane - threshold. Prints as `ATan(alpha=2.0)`.

    `primitive(u)` is an antiderivative on NumPy arrays: tests put it in place of the spike and compare the
    derived gradient with finite differences. A network needs none.
    The first line of a surrogate's docstring is its derivative; docs/surrogates.md is made from it.
    """

    above: ClassVar[dict[str, float]] = {}  # arguments that must be larger than a number
    described: ClassVar[str] = "one of nn.surrogate"

    def __post_init__(self) -> None:
        check_fields(self)
        for name, limit in self.above.items():
            check_above(type(self).__name__, name, getattr(self, name), limit)

    def derivative(self, u: Any) -> Any:
        """What stands in for the derivative of the spike, on values or on arrays."""
        raise NotImplementedError

    def gradient(self, u: Any, grad: Any, spk: Any) -> Any:
        """The cotangent of u, given that of the spike, and the spike."""
        return grad * self.derivative(u)

    def primitive(self, u: np.ndarray) -> np.ndarray:
        """An antiderivative of `derivative`."""
        raise NotImplementedError(f"{type(self).__name__} has no primitive(u)")

    def __str__(self) -> str:
        shown = (f"{f.name}={getattr(self, f.name)}" for f in fields(self))
        return f"{type(self).__name__}({', '.join(shown)})"

    def __repr__(self) -> str:
        return str(self)


def check_above(owner: str, name: str, value: float, limit: float) -> float:
    """A number larger than the limit; raises CompileError, which names the owner's argument."""
    if not value > limit:
        raise located(f"{owner}: {name} must be above {limit:g}, got {value!r}", user_line())
    return value
