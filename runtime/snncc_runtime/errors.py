"""The one error that this package raises when a model, a file or an argument is wrong."""

from __future__ import annotations


class ModelError(RuntimeError):
    """A model folder, a weights file or an argument cannot be used; the message says where and what to do."""
