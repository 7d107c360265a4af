"""SpikingJelly's names, argument orders and defaults, translated to snncc's own layers and surrogates."""

from . import surrogate

__all__ = ["surrogate"]
