"""Products as C: for given sizes a function around one kernel of the runtime headers.

The sizes are constants, so that the compiler specialises the kernel for them. Where a layer has several
panels the function computes one of them; the last one may be narrower.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..lower import Layout
from ..lower.layout import LISTS
from ..program import Call


@dataclass(frozen=True)
class Form:
    """A kind of product: what its function is called and does, its operands, and its kernel.

    operands: the call's buffers, by the names that the kernel's text has for them. In that text {v} are
    the vectors of the panel, {n0} its first feature, {x} and the like the distance between rows.
    single: the kernel for a single output, whose weights are no vectors. given, given_single: the same where
    x is the caller's array.
    """

    name: str
    title: str
    operands: tuple[str, ...]
    kernel: str
    single: str = ""
    given: str = ""
    given_single: str = ""


FORMS = {
    "product_dense": Form(
        "dense",
        "y = x w + bias, dense",
        ("x", "w", "bias", "y"),
        "snncc_dense_panel({v}, rows, {n_in}, {x}, {y}, x, w, bias, y);",
        "snncc_dense_single(rows, {n_in}, {x}, x, w, bias, y);",
    ),
    "product_events": Form(
        "spikes",
        "y = x w + bias, by the events of x",
        ("events", "w", "bias", "y"),
        "snncc_event_blocks({v}, {valued}, events, rows, {n_in}, {y}, w, bias, y);",
        "snncc_event_single(events, rows, w, bias, y);",
    ),
    "product": Form(
        "product",
        "y = x w + bias, by events or dense as the density of x says",
        ("events", "x", "w", "bias", "y"),
        "snncc_counted_panel({v}, events, rows, {n_in}, {x}, {y}, x, w, bias, y);",
        "snncc_counted_single(events, rows, {n_in}, {x}, x, w, bias, y);",
        "snncc_counted_given({v}, events, rows, {n_in}, {y}, x, w, bias, y);",
        "snncc_counted_single_given(events, rows, {n_in}, x, w, bias, y);",
    ),
    "input_gradient": Form(
        "input_gradient",
        "d_x = d_y w^T, dense",
        ("d_y", "whole", "slice", "d_x"),
        "snncc_input_gradient_panel({v}, {n0}, rows, {n_in}, {n_out}, {d_y}, {d_x}, d_y, whole, slice, d_x);",
    ),
    "wide_gradient_events": Form(
        "gradient",
        "d_w += x^T d_y (= if fresh), by the events of x for each input",
        ("lists", "d_y", "d_w"),
        "snncc_gradient_blocks({v}, {valued}, fresh, by_input, rows, {n_in}, {d_y}, d_y, d_w);",
    ),
    "wide_gradient_counted": Form(
        "gradient",
        "d_w += x^T d_y (= if fresh), by events or dense as the density of x says",
        ("events", "x", "lists", "d_y", "d_w"),
        "snncc_counted_gradient({v}, fresh, events, by_input, rows, {n_in}, {x}, {d_y}, x, d_y, d_w);",
        given="snncc_counted_gradient_given({v}, fresh, events, by_input, rows, {n_in}, {d_y}, x, d_y, d_w);",
    ),
    "wide_gradient_dense": Form(
        "gradient",
        "d_w += x^T d_y (= if fresh), dense",
        ("x", "d_y", "d_w"),
        "snncc_gradient_dense_panel({v}, fresh, rows, {n_in}, {x}, {d_y}, x, d_y, d_w);",
    ),
    "narrow_gradient_events": Form(
        "gradient",
        "d_w += x^T d_y, by the events of x",
        ("events", "d_y", "d_w"),
        "snncc_gradient_rows({v}, 0, {valued}, events, rows, {d_y}, d_y, d_w);",
        "snncc_gradient_single(events, rows, d_y, d_w);",
    ),
    "narrow_gradient_counted": Form(
        "gradient",
        "d_w += x^T d_y, by events or dense as the density of x says",
        ("events", "x", "d_y", "d_w"),
        "snncc_counted_gradient_rows({v}, events, rows, {n_in}, {x}, {d_y}, x, d_y, d_w);",
        given="snncc_counted_gradient_rows_given({v}, events, rows, {n_in}, {d_y}, x, d_y, d_w);",
    ),
    "narrow_gradient_dense": Form(
        "gradient",
        "d_w += x^T d_y, dense",
        ("x", "d_y", "d_w"),
        "snncc_gradient_dense_panel({v}, 0, rows, {n_in}, {x}, {d_y}, x, d_y, d_w);",
    ),
}
WRITTEN = ("y", "d_x", "d_w", "slice")
BY_OUTPUT = ("bias", "y", "d_y", "d_x")  # rows or vectors of the outputs: a panel begins at its first feature
BY_PANEL = ("w", "d_w")  # matrices in panels


class ProductText:
    """The parameters and lines of a product's function."""

    def __init__(self, call: Call, layout: Layout) -> None:
        self.call, self.layout, self.form = call, layout, FORMS[call.kind]
        self.n_in, self.n_out = call.numbers
        self.buffers = dict(zip(self.form.operands, call.buffers, strict=True))
        stride = layout.stride(self.n_out)
        x = self.buffers.get("x")
        self.given = x is not None and x.place == "given"
        self.panels, self.last = divmod(stride, layout.panel) if stride > layout.panel else (0, stride)

    @property
    def parameters(self) -> list[str]:
        fresh = ["int fresh"] * ("fresh" in self.form.kernel)
        operands = [self._parameter(name) for name in self.form.operands]
        return [*fresh, "int rows", *operands, *["int panel"] * bool(self.panels)]

    def _parameter(self, name: str) -> str:
        if name == "events":
            return "snncc_events events"
        if name == "x" and self.given:
            return "snncc_rows x"
        real = "float" if self.layout.real_bytes == 4 else "double"
        return "void *lists" if name == "lists" else f"{'' if name in WRITTEN else 'const '}{real} *{name}"

    @property
    def lines(self) -> list[str]:
        if self.last == 1 and not self.panels:
            single = self.form.given_single if self.given else self.form.single
            return [single.format(**self._sizes(0))]
        kernel = self.form.given if self.given else self.form.kernel
        lines, lanes = self._start(), self.layout.lanes
        if not self.panels:
            return [*lines, kernel.format(**self._sizes(self.last // lanes))]
        whole = kernel.format(**self._sizes(self.layout.panel // lanes))
        if not self.last:
            return [*lines, whole]
        rest = kernel.format(**self._sizes(self.last // lanes))
        return [*lines, f"if (panel < {self.panels})", f"    {whole}", "else", f"    {rest}"]

    def _start(self) -> list[str]:
        """Pointers to the panel at hand."""
        lines = []
        if "lists" in self.buffers:
            lines.append(
                f"const snncc_events by_input = snncc_events_at(lists, {self.n_in}, rows, {self._form()});"
            )
        if not self.panels:
            return lines
        lines.append("const int n0 = panel * SNNCC_PANEL;")
        for name, buffer in self.buffers.items():
            if name in BY_OUTPUT and buffer is not None and buffer.place != "panel" and not self._whole(name):
                lines.append(f"{name} += n0;")
            if name in BY_PANEL:
                lines.append(f"{name} += (size_t)n0 * {self.n_in};")
        return lines

    def _whole(self, name: str) -> bool:
        """Cotangents of outputs, when it is the inputs that are in panels."""
        return self.call.kind == "input_gradient" and name == "d_y"

    def _form(self) -> int:
        lists = self.buffers.get("lists") or self.buffers.get("events")
        assert lists is not None
        return LISTS[lists.layout]

    def _sizes(self, vectors: int) -> dict[str, object]:
        rows = {
            n: self.layout.row(b) for n, b in self.buffers.items() if b is not None and b.layout == "real"
        }
        listed = "events" in self.buffers or "lists" in self.buffers
        numbers = {
            "v": vectors,
            "n_in": self.n_in,
            "n_out": self.n_out,
            "valued": int(listed and self._form() > 0),
        }
        return {**numbers, **rows, "n0": "n0" if self.panels else "0"}
