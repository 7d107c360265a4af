"""The functions of a model.c: sweeps, and products for given sizes. Those of equal text are one function."""

from __future__ import annotations

from ..names import RESERVED, Names
from ..program import Call, Program, Sweep
from .records import ProductRecord
from .render import render
from .sweeps import NAME, SweepText


class Kernels:
    """Collects functions in order of first use and gives them names."""

    def __init__(self, program: Program) -> None:
        self.real_bits = program.real_bits
        self.real = "float" if program.real_bits == 32 else "double"
        self.names = Names(
            RESERVED | {"TENSORS", "lay_out", "layout", "tensor", "tensor_data", "larger", program.name}
        )
        self.known: dict[str, str] = {}  # text with a placeholder: name
        self.users: dict[str, list[str]] = {}  # name: entry points
        self.wishes: dict[str, str] = {}

    def sweep(self, sweep: Sweep, entry: str) -> SweepText:
        """The text of a sweep, with the name of its function."""
        text = SweepText(sweep, self.real_bits)
        text.kernel = self._name(text.text("@comment"), sweep.name, "; ".join(sweep.comment), entry)
        return text

    def product(self, call: Call, entry: str) -> str:
        """The name of the function for a product of these sizes."""
        kind, n_in, n_out = call.kind, call.numbers[0], _outputs(call)
        title = {
            "product_dense": ("dense", "y = x w + bias, dense"),
            "product_events": ("spikes", "y = x w + bias, by the events of x"),
            "product": ("product", "y = x w + bias, by events or dense as the density of x says"),
            "weight_gradient": ("gradient", "d_w += x^T d_y, by the events of x"),
        }[kind]
        record = ProductRecord(NAME, "@comment", ", ".join(self._parameters(call)), _product_call(call))
        name = f"{title[0]}_{n_in}_{n_out}"
        return self._name(
            render("c/product.c.j2", record), name, f"{title[1]}: {n_in} to {n_out} features", entry
        )

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

    def _parameters(self, call: Call) -> list[str]:
        real, const = self.real, f"const {self.real} *"
        if call.kind == "weight_gradient":
            return ["snncc_events x", "int rows", f"{const}d_y", "void *scratch", f"{real} *d_w"]
        operands = {
            "product_events": ["snncc_events x", "int rows"],
            "product_dense": ["int rows", f"{const}x"],
        }
        first = operands.get(call.kind, ["snncc_events events", "int rows", f"{const}x"])
        return [*first, f"{const}w", f"{const}bias", f"{real} *y"]


def _outputs(call: Call) -> int:
    """Features that a product makes, without padding."""
    result = call.buffers[-1]
    assert result is not None
    return result.features[0]


def _product_call(call: Call) -> str:
    """The inlined kernel, its sizes constant; lists of spikes say that they hold no values."""
    sizes = ", ".join(map(str, call.numbers))
    spikes = call.buffers[0] is not None and call.buffers[0].layout == "events"
    events = "(snncc_events){x.offsets, x.index, NULL}" if spikes else "x"
    return {
        "product_dense": f"snncc_product_dense(rows, {sizes}, x, w, bias, y);",
        "product_events": f"snncc_product_events({events}, rows, {sizes}, w, bias, y);",
        "product": f"snncc_product(events, rows, {sizes}, x, w, bias, y);",
        "weight_gradient": f"snncc_weight_gradient({events}, rows, {sizes}, d_y, scratch, d_w);",
    }[call.kind]


def fold_long_lines(text: str, width: int = 118) -> str:
    """Break lines of C after a comma, continued below the opening parenthesis or four columns in."""
    return "\n".join(folded for line in text.split("\n") for folded in _fold(line, width))


def _fold(line: str, width: int, indent: int = 0) -> list[str]:
    if len(line) <= width or line.lstrip().startswith(("/*", "*", "#")):
        return [line]
    opened = line.find("(")
    if not indent:
        indent = opened + 1 if 0 <= opened < 60 else len(line) - len(line.lstrip()) + 8
    cut = line.rfind(", ", indent, width)
    if cut < 0 or (opened < 0 and not line.startswith(" " * indent)):
        return [line]
    return [line[: cut + 1], *_fold(" " * indent + line[cut + 2 :], width, indent)]
