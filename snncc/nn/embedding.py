"""Embedding: vectors of whole numbers."""

from __future__ import annotations

from typing import Any

from ..ops import Value
from ..ops.embedding import embedding
from .layers import positive
from .module import Module, Parameter


class Embedding(Module):
    """Row x of the weight for each whole number x of an input: [*] to [*, embedding_dim], as PyTorch's.

    Its input is declared with nn.Input(..., dtype="int") and holds numbers from 0 to num_embeddings - 1; any
    other is an error. weight [num_embeddings, embedding_dim] starts normally distributed, with variance 1.
    """

    def __init__(self, num_embeddings: int, embedding_dim: int) -> None:
        positive(self, num_embeddings=num_embeddings, embedding_dim=embedding_dim)
        shape = (num_embeddings, embedding_dim)
        self.weight = Parameter(shape, lambda rng: rng.normal(size=shape))

    def forward(self, x: Value) -> Value:
        weight: Any = self.weight
        return embedding(x, weight)
