"""What a pass is: a frozen dataclass whose fields are its options and whose `run` maps a graph to a graph."""

from __future__ import annotations

import re
from dataclasses import dataclass, fields

from ..graph import Graph


@dataclass(frozen=True)
class Pass:
    """Base. `str(pass)` is how it is named on the command line, e.g. `unroll-time(unroll=4)`."""

    @classmethod
    def title(cls) -> str:
        """`UnrollTime` is `unroll-time`."""
        return re.sub(r"(?<!^)(?=[A-Z])", "-", cls.__name__).lower()

    def run(self, graph: Graph) -> Graph:
        """The changed graph; the given one stays as it is."""
        raise NotImplementedError

    def __str__(self) -> str:
        options = [
            f"{f.name}={getattr(self, f.name)}" for f in fields(self) if getattr(self, f.name) != f.default
        ]
        return self.title() + (f"({', '.join(options)})" if options else "")
