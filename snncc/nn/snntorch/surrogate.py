"""snnTorch's surrogates by its own function names: `atan(alpha=2.0)` and so on.

snnTorch's spike is 1 where u > 0; that belongs to the neuron, a surrogate is only the derivative at u.
"""

from __future__ import annotations

from .. import surrogate as own

Surrogate = own.Surrogate


def atan(alpha: float = 2.0) -> Surrogate:
    """(alpha/2) / (1 + (pi alpha u / 2)^2), without the 1/pi of its documentation."""
    return own.ATan(alpha)
