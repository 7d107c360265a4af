"""SpikingJelly's surrogates by its own class names: `Sigmoid(alpha=4.0)` and so on.

SpikingJelly's spike is 1 where u >= 0; that belongs to the neuron, a surrogate is only the derivative at u.
"""

from __future__ import annotations

from .. import surrogate as own

Surrogate = own.Surrogate


def ATan(alpha: float = 2.0) -> Surrogate:
    """(alpha/2) / (1 + (pi alpha u / 2)^2)."""
    return own.ATan(alpha)
