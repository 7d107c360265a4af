"""What all surrogates have in common."""

from __future__ import annotations

from dataclasses import dataclass, fields
from math import inf, isfinite
from typing import Any, ClassVar

import numpy as np

from ...errors import located, user_line


@dataclass(frozen=True, repr=False)
class Surrogate:
    """Base: define `derivative(u)`, u = membrane - threshold. Prints as `ATan(alpha=2.0)`.

    `primitive(u)` is an antiderivative on NumPy arrays: tests put it in place of the spike and compare the
    derived gradient with finite differences. A network needs none.
    The first line of a surrogate's docstring is its derivative; docs/surrogates.md is made from it.
    """

    above: ClassVar[dict[str, float]] = {}  # arguments that must be larger than a number

    def __post_init__(self) -> None:
        for field in fields(self):
            if field.type in ("float", float):
                limit = self.above.get(field.name, -inf)
                number = checked_number(type(self).__name__, field.name, getattr(self, field.name), limit)
                object.__setattr__(self, field.name, number)

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


def checked_number(owner: str, name: str, value: Any, above: float = -inf) -> float:
    """A finite number larger than `above`; raises CompileError, which names the owner's argument."""
    try:
        number = None if isinstance(value, str) else float(value)
    except (TypeError, ValueError):
        number = None
    if number is None or not isfinite(number) or number <= above:
        expected = "a finite number" if above == -inf else f"a finite number above {above:g}"
        raise located(f"{owner}: {name} must be {expected}, got {value!r}", user_line())
    return number
