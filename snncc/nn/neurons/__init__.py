"""The neurons, one family a file."""

from .leaky import Leaky

__all__ = ["Leaky"]
