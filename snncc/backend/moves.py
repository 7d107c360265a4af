"""Moves of features within rows as C: a function of nested loops for each place that they go to."""

from __future__ import annotations

from ..lower import Layout
from ..program import Call, Nest

INDEX = "abcdefgh"  # of loops, outermost first


class MoveText:
    """The name, parameters and lines of a move's function."""

    def __init__(self, call: Call, layout: Layout) -> None:
        self.call, self.nests = call, call.nests
        self.size, self.zeroed = call.numbers
        self.real = "float" if layout.real_bytes == 4 else "double"
        self.rows = [layout.row(b) for b in call.buffers if b is not None]
        self.adds = call.kind.startswith("move_sum")
        self.operands = ["x"] if len(self.nests) == 1 else [f"x{k}" for k in range(len(self.nests))]

    @property
    def name(self) -> str:
        return f"{'sum' if self.adds else 'move'}_{self.size}"

    @property
    def comment(self) -> str:
        return f"Rows of {self.size} features {'summed' if self.adds else 'moved'} out of others"

    @property
    def parameters(self) -> list[str]:
        operands = [f"const {self.real} *{name}" for name in self.operands]
        return ["int rows", *operands, f"{self.real} *y", "const snncc_crew *crew"]

    @property
    def lines(self) -> list[str]:
        pitch, restrict = self.rows[-1], "SNNCC_RESTRICT const"
        body = [f"{self.real} *{restrict} to = y + (size_t)row * {pitch};"]
        if self.zeroed or self.adds:
            body.append(f"memset(to, 0, {pitch} * sizeof *to);")
        for name, row, nest in zip(self.operands, self.rows, self.nests, strict=False):
            source = f"from{name[1:]}"
            body.append(f"const {self.real} *{restrict} {source} = {name} + (size_t)row * {row};")
            body += self._loops(nest, source)
        if not self.zeroed and not self.adds and pitch > self.size:
            body.append(f"for (int i = {self.size}; i < {pitch}; i++) to[i] = 0;")
        head = "for (int row = mine.begin; row < mine.end; row++) {"
        mine = "const snncc_range mine = snncc_part(crew, rows);"
        return [mine, head, *("    " + line for line in body), "}"]

    def _loops(self, nest: Nest, source: str) -> list[str]:
        lines, names = [], INDEX[: len(nest.loops)]
        for depth, (name, (extent, _, _)) in enumerate(zip(names, nest.loops, strict=True)):
            lines.append(f"{'    ' * depth}for (int {name} = 0; {name} < {extent}; {name}++)")
        x = place(nest.x, [(name, step) for name, (_, step, _) in zip(names, nest.loops, strict=True)])
        y = place(nest.y, [(name, step) for name, (_, _, step) in zip(names, nest.loops, strict=True)])
        move = f"to[{y}] {'+=' if self.adds else '='} {source}[{x}];"
        return [*lines, "    " * len(names) + move]


def place(start: int, steps: list[tuple[str, int]]) -> str:
    """Where an element lies, as C: 3 + a * 4 - b."""
    text = str(start) if start or not any(step > 0 for _, step in steps) else ""
    for name, step in steps:
        if step:
            sign = "" if not text and step > 0 else " + " if step > 0 else " - "
            text += f"{sign}{name}" + (f" * {abs(step)}" if abs(step) != 1 else "")
    return text
