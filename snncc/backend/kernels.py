"""The functions of a model.c: sweeps, and products for given sizes. Those of equal text are one function."""

from __future__ import annotations

from ..program import Call, Program
from .calls import INDEXED, MATMULS, MOVES, OVER_STEPS
from .functions import Functions
from .images import WINDOWS, WindowsText
from .moves import MoveText
from .products import FORMS, ProductText
from .records import ProductRecord
from .render import render
from .sweeps import NAME

PARTS = ("prepare", "before", "tile", "after", "work", "finish", "phases")  # functions of an entry point


class Kernels(Functions):
    """The functions of a model.c."""

    def __init__(self, program: Program) -> None:
        self.real_bits = program.real_bits
        parts = {f"{e.name}_{part}" for e in program.entries for part in PARTS}
        numbers = {(e.name, number) for e in program.entries for number in range(2, len(e.phases) + 1)}
        super().__init__(program, parts | {f"{e}_{part}_{number}" for e, number in numbers for part in PARTS})

    def function(self, call: Call, entry: str) -> str:
        """The name of the function that a call has for its sizes, index or loops, if it has one."""
        if call.kind in MOVES:
            return self.move(call, entry)
        if call.kind in MATMULS:
            return self.matmul(call, entry)
        if call.kind in OVER_STEPS:
            return self.over_steps(call, entry)
        if call.kind in INDEXED:
            return self.indexed(call, entry)
        if call.kind in WINDOWS:
            return self.windows(call, entry)
        return self.product(call, entry) if call.kind in FORMS else ""

    def product(self, call: Call, entry: str) -> str:
        """The name of the function for a product of these sizes."""
        product, (n_in, n_out) = ProductText(call, self.layout), call.numbers
        record = ProductRecord(NAME, "@comment", ", ".join(product.parameters), tuple(product.lines))
        text, form = render("c/product.c.j2", record), product.form
        return self.name(
            text, f"{form.name}_{n_in}_{n_out}", f"{form.title}: {n_in} to {n_out} features", entry
        )

    def windows(self, call: Call, entry: str) -> str:
        """The name of the function that slides these windows."""
        text = WindowsText(call, self.layout)
        record = ProductRecord(NAME, "@comment", text.parameters, text.lines)
        return self.name(render("c/product.c.j2", record), text.wish, text.title, entry)

    def indexed(self, call: Call, entry: str) -> str:
        """The name of the function that holds the index of a call."""
        kind, (n_in, n_out, *index) = call.kind.removesuffix("_once"), call.numbers
        x, y = (self.layout.row(b) for b in call.buffers if b is not None)
        real = "float" if self.real_bits == 32 else "double"
        verb = "take" if kind == "take" else "add"
        lines = (
            f"static const int32_t index[{len(index)}] = {{{', '.join(map(str, index))}}};",
            f"snncc_{verb}_by_index(rows, {len(index)}, {x}, {y}, index, x, y);",
        )
        record = ProductRecord(NAME, "@comment", f"int rows, const {real} *x, {real} *y", lines)
        what = "y[i] = x[index[i]]" if kind == "take" else "y[index[i]] += x[i]"
        text = render("c/product.c.j2", record)
        return self.name(text, f"{kind}_{n_in}_{n_out}", f"{what}: {n_in} to {n_out} features", entry)

    def move(self, call: Call, entry: str) -> str:
        """The name of the function that moves the features of its operands into their places."""
        move = MoveText(call, self.layout)
        record = ProductRecord(NAME, "@comment", ", ".join(move.parameters), tuple(move.lines))
        return self.name(render("c/product.c.j2", record), move.name, move.comment, entry)

    def over_steps(self, call: Call, entry: str) -> str:
        """The name of the function for a product over so many steps."""
        steps, n, pitch = call.numbers
        real = "float" if self.real_bits == 32 else "double"
        if call.kind == "steps_gradient":
            operands, title = f"const {real} *d_y, const {real} *x, {real} *d_w", "d_w += d_y x'"
            line = f"snncc_steps_gradient({steps}, rows, {n}, {pitch}, d_y, x, d_w, crew);"
        else:
            turned = int(call.kind.endswith("_transposed"))
            operands, title = f"const {real} *w, const {real} *x, {real} *y", f"y = w{chr(39) * turned} x"
            line = f"snncc_mix_steps({turned}, {steps}, (size_t)rows * {pitch}, w, x, y, crew);"
        parameters = f"int rows, {operands}, const snncc_crew *crew"
        text = render("c/product.c.j2", ProductRecord(NAME, "@comment", parameters, (line,)))
        comment = f"{title} over {steps} steps of {n} features"
        return self.name(text, f"{call.kind}_{steps}_{n}", comment, entry)

    def matmul(self, call: Call, entry: str) -> str:
        """The name of the function for a product of matrices of these sizes."""
        _, *known = call.numbers
        _, _, matrices, n, k, m, *turned = known
        pitches = (self.layout.row(b) for b in call.buffers if b is not None)
        numbers = ", ".join(map(str, (*known, *pitches)))
        real = "float" if self.real_bits == 32 else "double"
        operands = f"int rows, const {real} *a, const {real} *b, {real} *y, const snncc_crew *crew"
        record = ProductRecord(
            NAME, "@comment", operands, (f"snncc_matmul(rows, {numbers}, a, b, y, crew);",)
        )
        a, b = (f"{name} turned" if is_turned else name for name, is_turned in zip("ab", turned, strict=True))
        comment = f"y = a b of {matrices} matrices a row, [{n}][{k}] times [{k}][{m}]"
        comment += f"; {' and '.join(x for x in (a, b) if ' ' in x)}" * any(turned)
        return self.name(render("c/product.c.j2", record), f"matmul_{n}_{k}_{m}", comment, entry)


def fold_long_lines(text: str, width: int = 118) -> str:
    """Break lines of C after a comma, continued below the opening parenthesis or four columns in."""
    return "\n".join(folded for line in text.split("\n") for folded in _fold(line.rstrip(), width))


def _fold(line: str, width: int) -> list[str]:
    lines, indent = [], 0
    while len(line) > width and not line.lstrip().startswith(("/*", "*", "#")):
        opened = line.find("(")
        if not indent:
            indent = opened + 1 if 0 <= opened < 60 else len(line) - len(line.lstrip()) + 8
        cut = line.rfind(", ", indent, width)
        if cut < 0 or (opened < 0 and not line.startswith(" " * indent)):
            break
        lines.append(line[: cut + 1])
        line = " " * indent + line[cut + 2 :]
    return [*lines, line]
