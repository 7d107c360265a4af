"""Kernels of images as C: for given windows a function around one kernel of the runtime headers."""

from __future__ import annotations

from ..lower import Layout
from ..lower.images import GEOMETRY, PLACES
from ..lower.layout import LISTS
from ..program import Call

# By kind: parameters in the order of the call's buffers, and the kernel. In its text {x} and the like are
# distances between rows, {valued} whether events have values.
FORMS: dict[str, tuple[tuple[str, ...], str]] = {
    "conv_events": (
        ("events", "w", "bias", "scratch", "y"),
        "snncc_conv_events(g, {valued}, events, rows, {y}, w, bias, scratch, y, crew);",
    ),
    "conv_dense": (
        ("x", "w", "bias", "scratch", "y"),
        "snncc_conv_dense(g, {chunk}, rows, {x}, {y}, x, w, bias, scratch, y, crew);",
    ),
    "conv_counted": (
        ("events", "x", "w", "bias", "scratch", "y"),
        "snncc_conv_counted(g, {chunk}, events, rows, {x}, {y}, x, w, bias, scratch, y, crew);",
    ),
    "conv_groups": (
        ("x", "w", "bias", "scratch", "y"),
        "snncc_conv_groups(g, rows, {x}, {y}, x, w, bias, scratch, y, crew);",
    ),
    "conv_transpose_events": (
        ("events", "w", "bias", "scratch", "x"),
        "snncc_conv_transpose_events(g, {valued}, events, rows, {x}, w, bias, scratch, x, crew);",
    ),
    "conv_transpose_dense": (
        ("y", "w", "bias", "scratch", "x"),
        "snncc_conv_transpose_dense(g, {chunk}, rows, {y}, {x}, y, w, bias, scratch, x, crew);",
    ),
    "conv_transpose_counted": (
        ("events", "y", "w", "bias", "scratch", "x"),
        "snncc_conv_transpose_counted(g, {chunk}, events, rows, {y}, {x}, y, w, bias, scratch, x, crew);",
    ),
    "conv_transpose_groups": (
        ("y", "w", "bias", "scratch", "x"),
        "snncc_conv_transpose_groups(g, rows, {y}, {x}, y, w, bias, scratch, x, crew);",
    ),
    "conv_gradient_events": (
        ("events", "d_y", "scratch", "d_w"),
        "snncc_conv_gradient_events(g, {valued}, events, rows, {d_y}, d_y, scratch, d_w, crew);",
    ),
    "conv_gradient_dense": (
        ("x", "d_y", "scratch", "d_w"),
        "snncc_conv_gradient_dense(g, {chunk}, rows, {x}, {d_y}, x, d_y, scratch, d_w, crew);",
    ),
    "conv_gradient_counted": (
        ("events", "x", "d_y", "scratch", "d_w"),
        "snncc_conv_gradient_counted(g, {chunk}, events, rows, {x}, {d_y}, x, d_y, scratch, d_w, crew);",
    ),
    "conv_gradient_groups": (
        ("x", "d_y", "scratch", "d_w"),
        "snncc_conv_gradient_groups(g, rows, {x}, {d_y}, x, d_y, scratch, d_w, crew);",
    ),
    **dict.fromkeys(
        ("max_pool", "max_place", "sum_pool"),
        (("x", "scratch", "y"), "snncc_pool(g, {what}, {ends}, rows, {x}, {y}, x, scratch, y, crew);"),
    ),
    "max_unpool": (("y", "places", "x"), "snncc_unpool_max(g, rows, {x}, {y}, y, places, x, crew);"),
    "sum_unpool": (
        ("y", "scratch", "x"),
        "snncc_unpool_sum(g, {what}, {ends}, rows, {y}, {x}, y, scratch, x, crew);",
    ),
}
WINDOWS = tuple(FORMS)
FIELDS = ("channels", "outputs", "groups", "in", "out", "size", "stride", "before", "dilation")
TITLES = {
    "conv": "y = conv(x, w) + bias",
    "conv_transpose": "x = the adjoint of conv(., w) on y, + bias",
    "conv_gradient": "d_w += the gradient of conv(x, w)",
    "max_pool": "y = the largest of each window",
    "max_place": "y = the place of the largest of each window",
    "sum_pool": "y = the sum or mean of each window",
    "max_unpool": "x = y at the place of each window's largest",
    "sum_unpool": "x = y, or its share, at all places of each window",
}
HOW = {
    "events": ", by events",
    "dense": ", dense",
    "counted": ", by events or dense",
    "groups": ", in groups",
}


class WindowsText:
    """The name, comment, parameters and lines of the function for a call."""

    def __init__(self, call: Call, layout: Layout) -> None:
        self.call, self.layout = call, layout
        self.operands, self.kernel = FORMS[call.kind]
        stem, _, how = call.kind.rpartition("_")
        self.title = TITLES[call.kind] if call.kind in TITLES else TITLES[stem] + HOW[how]
        channels, outputs, _, *axes = call.numbers[-GEOMETRY:]
        self.axes = [tuple(axes[k : k + 3]) for k in range(0, 18, 3)]
        shape = "x".join(str(n) for n in (channels, *self.axes[0]) if n > 1) or "1"
        self.wish = f"{call.kind}_{shape}" + (f"_{outputs}" if outputs else "")

        self.real = "float" if layout.real_bytes == 4 else "double"

    @property
    def parameters(self) -> str:
        special = {"events": "snncc_events events", "scratch": "void *scratch"}
        *read, written = self.operands
        given = [special.get(name, f"const {self.real} *{name}") for name in read]
        return ", ".join(["int rows", *given, f"{self.real} *{written}", "const snncc_crew *crew"])

    @property
    def geometry(self) -> tuple[str, ...]:
        """The declaration of `g`."""
        numbers = self.call.numbers[-GEOMETRY:]
        values = (*map(str, numbers[:3]), *map(_listed, self.axes))
        fields = [f".{name} = {value}" for name, value in zip(FIELDS, values, strict=True)]
        rows_of = [", ".join(fields[k : k + 3]) for k in range(0, len(fields), 3)]
        head = "const snncc_windows g = {"
        text = f",\n{' ' * len(head)}".join(rows_of)
        return tuple(f"{head}{text}}};".split("\n"))

    @property
    def pool(self) -> tuple[str, str]:
        """Of a pool: what a window comes to, and where places end to count for a mean."""
        return f"SNNCC_POOL_{PLACES[self.call.numbers[2]].upper()}", ", ".join(
            map(str, self.call.numbers[3:6])
        )

    @property
    def lines(self) -> tuple[str, ...]:
        buffers = dict(zip(self.operands, self.call.buffers, strict=True))
        rows = {n: self.layout.row(b) for n, b in buffers.items() if b is not None and b.layout == "real"}
        events = buffers.get("events")
        valued = int(events is not None and LISTS[events.layout] > 0)
        what, ends = self.pool if "{what}" in self.kernel else ("", "")
        sizes = {"valued": valued, "chunk": self.call.numbers[2], "what": what, "ends": ends}
        return *self.geometry, self.kernel.format(**rows, **sizes)


def _listed(numbers: tuple[int, ...]) -> str:
    return f"{{{', '.join(map(str, numbers))}}}"
