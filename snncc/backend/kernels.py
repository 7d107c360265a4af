"""The functions of a model.c: sweeps, and products for given sizes. Those of equal text are one function."""

from __future__ import annotations

from ..lower import Layout
from ..lower.layout import PANEL_VECTORS
from ..names import RESERVED, Names
from ..program import Buffer, Call, Program, Sweep
from .records import ProductRecord
from .render import render
from .sweeps import NAME, SweepText


class Kernels:
    """Collects functions in order of first use and gives them names."""

    def __init__(self, program: Program) -> None:
        self.real_bits = program.real_bits
        self.layout = Layout(program.real_bits // 8)
        module = {"TENSORS", "lay_out", "layout", "tensor", "tensor_data", "larger", program.name}
        # An entry's buffers are locals, which would hide a function of that name from another entry.
        self.names = Names(RESERVED | module | {b.name for e in program.entries for b in e.buffers})
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
        kind, (n_in, n_out) = call.kind, call.numbers
        title = {
            "product_dense": ("dense", "y = x w + bias, dense"),
            "product_events": ("spikes", "y = x w + bias, by the events of x"),
            "product": ("product", "y = x w + bias, by events or dense as the density of x says"),
            "weight_gradient": ("gradient", "d_w += x^T d_y, by the events of x for each input"),
            "narrow_gradient": ("gradient", "d_w += x^T d_y, by the events of x"),
        }[kind]
        product = ProductText(call, self.layout)
        record = ProductRecord(NAME, "@comment", ", ".join(product.parameters), tuple(product.lines))
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


class ProductText:
    """The text of a product: its kernel, the sizes constant, so that it is compiled once for them.

    Where there are several panels it computes one of them; the last may be narrower.
    """

    def __init__(self, call: Call, layout: Layout) -> None:
        self.call, self.layout = call, layout
        self.real = "float" if layout.real_bytes == 4 else "double"
        self.n_in, self.n_out = call.numbers
        self.stride = layout.stride(self.n_out)
        self.panels = self.stride > layout.panel
        self.x = call.buffers[0]
        assert self.x is not None
        self.spikes, self.valued = self.x.layout == "events", int(self.x.layout == "valued")

    @property
    def parameters(self) -> list[str]:
        real, const = self.real, f"const {self.real} *"
        first = {
            "weight_gradient": ["int rows", "void *lists"],
            "product_events": ["snncc_events x", "int rows"],
            "narrow_gradient": ["snncc_events x", "int rows"],
            "product_dense": ["int rows", f"{const}x"],
            "product": ["snncc_events events", "int rows", f"{const}x"],
        }[self.call.kind]
        gradient = [f"{const}d_y", f"{real} *d_w"]
        rest = gradient if "gradient" in self.call.kind else [f"{const}w", f"{const}bias", f"{real} *y"]
        return [*first, *rest, *["int panel"] * self.panels]

    @property
    def lines(self) -> list[str]:
        if self.stride == 1:
            return [self._single()]
        before = self._start()
        full, rest = divmod(self.stride, self.layout.panel)
        if not self.panels:
            return [*before, self._kernel(self.stride // self.layout.lanes)]
        whole = self._kernel(PANEL_VECTORS)
        if not rest:
            return [*before, whole]
        last = self._kernel(rest // self.layout.lanes)
        return [*before, f"if (panel < {full})", f"    {whole}", "else", f"    {last}"]

    def _start(self) -> list[str]:
        """Pointers to the panel at hand."""
        lines = []
        if self.call.kind == "weight_gradient":
            lines.append(f"const snncc_events by_input = snncc_events_at(lists, {self.n_in}, rows, {self.valued});")
        if not self.panels:
            return lines
        gradient = "gradient" in self.call.kind
        y = self.call.buffers[-2 if gradient else -1]
        lines.append("const int n0 = panel * SNNCC_PANEL;")
        if y is not None and y.place != "panel":
            lines.append(f"{'d_y' if gradient else 'y'} += n0;")
        lines.append(f"{'d_w' if gradient else 'w'} += (size_t)n0 * {self.n_in};")
        if not gradient and self.call.buffers[-2] is not None:
            lines.append("bias += n0;")
        return lines

    def _kernel(self, vectors: int) -> str:
        """The kernel of the runtime headers; lists of spikes say that they hold no values."""
        events = "(snncc_events){x.offsets, x.index, NULL}" if self.spikes else "x"
        buffers, n_in = self.call.buffers, self.n_in
        if "gradient" in self.call.kind:
            d = self._row(buffers[-2])
            if self.call.kind == "narrow_gradient":
                return f"snncc_gradient_rows({vectors}, 0, {self.valued}, {events}, rows, {d}, d_y, d_w);"
            return f"snncc_gradient_panel({vectors}, {self.valued}, by_input, {n_in}, {d}, d_y, d_w);"
        y = self._row(buffers[-1])
        if self.call.kind == "product_events":
            return f"snncc_event_panel({vectors}, {self.valued}, {events}, rows, {y}, w, bias, y);"
        x = self._row(buffers[-4])
        if self.call.kind == "product_dense":
            return f"snncc_dense_panel({vectors}, rows, {n_in}, {x}, {y}, x, w, bias, y);"
        return f"snncc_counted_panel({vectors}, events, rows, {n_in}, {x}, {y}, x, w, bias, y);"

    def _single(self) -> str:
        """A single output is no vector; its rows are numbers."""
        events = "(snncc_events){x.offsets, x.index, NULL}" if self.spikes else "x"
        x = 0 if "events" in self.call.kind or "gradient" in self.call.kind else self._row(self.call.buffers[-4])
        return {
            "product_dense": f"snncc_product_dense(rows, {self.n_in}, {x}, 1, x, w, bias, y);",
            "product_events": f"snncc_product_events({events}, rows, {self.n_in}, 1, w, bias, y);",
            "product": f"snncc_product(events, rows, {self.n_in}, {x}, 1, x, w, bias, y);",
            "narrow_gradient": f"snncc_gradient_single({events}, rows, d_y, d_w);",
        }[self.call.kind]

    def _row(self, buffer: Buffer | None) -> int:
        assert buffer is not None
        return self.layout.row(buffer)


def fold_long_lines(text: str, width: int = 118) -> str:
    """Break lines of C after a comma, continued below the opening parenthesis or four columns in."""
    return "\n".join(folded for line in text.split("\n") for folded in _fold(line.rstrip(), width))


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
