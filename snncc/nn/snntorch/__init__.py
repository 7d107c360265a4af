"""snnTorch's names, argument orders and defaults, translated to our layers, encoders and surrogates."""

from . import spikegen, surrogate

__all__ = ["spikegen", "surrogate"]
