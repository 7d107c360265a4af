"""Calls in a loop over time that is one kernel: what an element, or a block with a sample, does.

Each has the sums of the kernel that the call starts elsewhere (calls.py).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import prod

from ...lower import Layout
from ...names import Names
from ...plan_meetings import columns
from ...program import Buffer, Call
from .images import WINDOWS, DeviceWindows, used
from .kernels import Kernels
from .synapses import late_layer

Row = Callable[[Buffer | None], str]  # the rows that an item reads or writes at a step
QUAD = 4  # SNNCC_QUAD: terms of a place are filled up to a multiple of it


@dataclass(frozen=True)
class Slice:
    """Weights of a product, of whose columns a block keeps its own. terms: of a column, as they are read."""

    name: str
    weight: Buffer
    terms: int
    given: str  # C++ of where terms stand, and the number of columns


class LoopCalls:
    """The C++ of a loop's calls. windows: declarations that they need, before the loop."""

    def __init__(self, layout: Layout, kernels: Kernels, entry: str, row: Row, names: Names) -> None:
        self.layout, self.kernels, self.entry, self.row, self.names = layout, kernels, entry, row, names
        self.windows: list[str] = []
        self.slices: dict[tuple[Buffer | None, str], Slice] = {}
        self._known: dict[tuple[str, ...], str] = {}

    def element(self, call: Call) -> str:
        """Makes element `at`."""
        *read, made = (self.row(b) for b in call.buffers)
        kind, numbers = call.kind, call.numbers
        if kind == "sum_features":
            return _called("snncc_sum_row", "at", numbers[0], *read, made)
        if kind == "sparse_input_gradient":
            return _called("snncc_gather", "at", *numbers[:2], *read[:-1], made)
        if kind == "late_input_gradient_step":
            layer, d_y, d_x = late_layer(call, [*read, made], "steps - t")
            return _called("snncc_late_gather", "at", layer, 0, d_y, d_x)
        if kind == "matmul":
            return _called("snncc_matmul_element", "at", *numbers[4:], *read, made)
        if kind == "zero_rows":
            return f"*({made} + at) = 0;"
        if kind == "reorder":
            return _called("snncc_reorder_element", "at", numbers[0], numbers[2], *read, made)
        if kind in WINDOWS:
            function, given = DeviceWindows(call, self.layout).element
            places = (self.row(call.buffers[k]) for k in used(call))
            return _called(function, "at", self._geometry(call), *given, *places)
        return _called(self.kernels.moved_element(call, self.entry), "at", *read, made)

    def sample(self, call: Call) -> str:
        """What a block does with sample b."""
        *read, made = (self.row(b) for b in call.buffers)
        if call.kind == "late_step":
            layer, x, y = late_layer(call, [*read, made], "steps - t")
            return _called("snncc_late_row", layer, 0, 1, "b", x, "NULL", "some", y)
        (x, *wired), (n_in, n, *_) = read, call.numbers
        places = f"{x} + (size_t)b * {n_in}", *wired, "some", f"{made} + (size_t)b * {n}"
        return _called("snncc_sparse_row", "SNNCC_THREADS", n_in, n, *places)

    def product(self, call: Call, sums: str) -> str:
        """The sums of a thread's elements of a tile."""
        x, weight, bias, *_ = call.buffers
        assert weight is not None
        if call.kind == "product_dense":
            n_in, n_out = call.numbers
            rows, terms, given = f"{n_in}", n_in, f"snncc_terms_of({n_in}, {n_out}), {n_out}"
            kind = "snncc_left_rows"
        else:
            _, _, _, channels, outputs, _, *axes = call.numbers
            turned = call.kind == "conv_transpose_dense"
            kind = "snncc_reaching_rows" if turned else "snncc_window_rows"
            each, rows = outputs if turned else channels, self._geometry(call)
            terms = prod(axes[6:9]) * -(-each // QUAD) * QUAD
            given = f"{kind}::terms({rows}), {columns(call)}"
        if (weight, given) not in self.slices:
            self.slices[weight, given] = Slice(self.names.new(f"{weight.name}_slice"), weight, terms, given)
        kept, left = self.slices[weight, given].name, f"{kind}{{{self.row(x)}, {rows}}}"
        return _called("snncc_tile_product", "tile", kept, left, self.row(bias), "room", sums)

    def _geometry(self, call: Call) -> str:
        """The name of a call's windows."""
        lines = DeviceWindows(call, self.layout).geometry
        if lines not in self._known:
            name = self._known[lines] = self.names.new("g")
            indent = " " * (len(name) - 1)
            first, *rest = lines
            self.windows += [first.replace(" g =", f" {name} =", 1), *(indent + line for line in rest)]
        return self._known[lines]


def _called(function: str, *arguments: object) -> str:
    return f"{function}({', '.join(map(str, arguments))});"
