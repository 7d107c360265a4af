"""What a learning rule is to the compiler."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ..graph import Graph


@dataclass(frozen=True)
class Rule:
    """Base of rules. A rule may rewrite the graph whose gradient is taken; it never changes an output."""

    described: ClassVar[str] = "a rule of snncc.rules"
    by_rates: ClassVar[bool] = False  # whether neurons are differentiated by their rates, without time

    @property
    def window(self) -> int:
        """Steps that a gradient goes back at most; 0: through all of them."""
        return 0

    @property
    def held(self) -> int:
        """Steps whose values are held at a time, where nobody says how many; 0: all."""
        return self.window

    def prepared(self, graph: Graph) -> Graph:
        """The graph to differentiate. Raises CompileError where the rule cannot train it."""
        return graph
