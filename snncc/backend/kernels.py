"""The functions of a model.c: sweeps, and products for given sizes. Those of equal text are one function."""

from __future__ import annotations

from ..lower import layout_of
from ..names import RESERVED, Names
from ..program import Call, Program, Sweep
from .calls import INDEXED, MATMULS, MOVES
from .images import WINDOWS, WindowsText
from .moves import MoveText
from .products import FORMS, ProductText
from .records import ProductRecord
from .render import render
from .sweeps import NAME, SweepText

# What the names of a model's own functions and types end with, and of the functions of an entry point.
API = (
    *("config", "io", "model", "abi_record", "arena_bytes", "init", "set", "get", "step", "update"),
    *("profile", "clock", "error", "abi", "wait", "close", "allocate", "release", "to_device", "to_host"),
)
PARTS = ("prepare", "before", "tile", "after", "work", "finish", "phases")


class Kernels:
    """Collects functions in order of first use and gives them names."""

    def __init__(self, program: Program) -> None:
        self.real_bits = program.real_bits
        self.layout = layout_of(program)
        module = {"TENSORS", "lay_out", "layout", "tensor", "tensor_data", "larger", program.name}
        entries = [e.name for e in program.entries]
        module |= {f"{program.name}_{word}" for word in (*API, *entries)}
        module |= {f"{entry}_{part}" for entry in entries for part in PARTS}
        numbers = {(e.name, number) for e in program.entries for number in range(2, len(e.phases) + 1)}
        module |= {f"{entry}_{part}_{number}" for entry, number in numbers for part in PARTS}
        # An entry's buffers are locals, which would hide a function of that name from another entry.
        self.names = Names(RESERVED | module | {b.name for e in program.entries for b in e.buffers})
        self.known: dict[str, str] = {}  # text with a placeholder: name
        self.users: dict[str, list[str]] = {}  # name: entry points
        self.wishes: dict[str, str] = {}

    def sweep(self, sweep: Sweep, entry: str) -> SweepText:
        """The text of a sweep, with the name of its function."""
        text = SweepText(sweep, self.layout)
        text.kernel = self._name(text.text("@comment"), sweep.name, "; ".join(sweep.comment), entry)
        return text

    def function(self, call: Call, entry: str) -> str:
        """The name of the function that a call has for its sizes, index or loops, if it has one."""
        if call.kind in MOVES:
            return self.move(call, entry)
        if call.kind in MATMULS:
            return self.matmul(call, entry)
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
        return self._name(
            text, f"{form.name}_{n_in}_{n_out}", f"{form.title}: {n_in} to {n_out} features", entry
        )

    def windows(self, call: Call, entry: str) -> str:
        """The name of the function that slides these windows."""
        text = WindowsText(call, self.layout)
        record = ProductRecord(NAME, "@comment", text.parameters, text.lines)
        return self._name(render("c/product.c.j2", record), text.wish, text.title, entry)

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
        return self._name(text, f"{kind}_{n_in}_{n_out}", f"{what}: {n_in} to {n_out} features", entry)

    def move(self, call: Call, entry: str) -> str:
        """The name of the function that moves the features of its operands into their places."""
        move = MoveText(call, self.layout)
        record = ProductRecord(NAME, "@comment", ", ".join(move.parameters), tuple(move.lines))
        return self._name(render("c/product.c.j2", record), move.name, move.comment, entry)

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
        return self._name(render("c/product.c.j2", record), f"matmul_{n}_{k}_{m}", comment, entry)

    def _name(self, text: str, wish: str, comment: str, entry: str) -> str:
        if text not in self.known:
            self.known[text] = name = self.names.new(wish)
            self.users[name], self.wishes[name] = [], comment
        name = self.known[text]
        if entry not in self.users[name]:
            self.users[name].append(entry)
        return name

    def texts(self) -> list[str]:
        """All functions, under their names."""
        result = []
        for text, name in self.known.items():
            comment = f"{self.wishes[name]} ({', '.join(self.users[name])})."
            result.append(text.replace("@comment", comment).replace(NAME, name))
        return result


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
