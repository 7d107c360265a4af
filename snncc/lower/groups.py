"""Which group of features an element belongs to, for the operators of ops/groups.py: the one place that knows
in which order the features of a value lie in memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..errors import InternalError
from ..graph import Node, Type
from .layout import Layout

BLOCK = 64  # SNNCC_BLOCK of target.h: elements of a sweep's inner loop


@dataclass(frozen=True)
class Grouping:
    """Element i of a row of n features is of group i / inner % groups."""

    n: int
    groups: int
    inner: int

    def index(self, blocks: bool = True) -> str:
        """C's text for the group of element n0 + i of a sweep, whose n0 are multiples of BLOCK if it has
        blocks: with little arithmetic in the loop over i."""
        several = self.groups * self.inner < self.n
        if blocks and self.inner % BLOCK == 0:
            return f"n0 / {self.inner}" + f" % {self.groups}" * several
        if blocks and self.inner == 1 and self.groups % BLOCK == 0:
            return f"n0 % {self.groups} + i"
        if blocks and self.inner == 1 and BLOCK % self.groups == 0:
            return f"i % {self.groups}"
        place = "(n0 + i)" + f" / {self.inner}" * (self.inner > 1)
        return place + f" % {self.groups}" * several


def grouping(op: Any, longer: Type, shorter: Type, channels: int = 0) -> Grouping:
    """How the features of the longer side of a spread or sum_groups lie beside those of the other.

    channels: of the longer side, that lie last; each group has some of them.
    """
    n, groups = longer.size, shorter.size
    if channels and (op.trailing or channels % groups):
        raise InternalError(f"{op}: {groups} groups of features with {channels} channels last")
    return Grouping(n, groups, 1 if op.trailing else (channels or n) // groups)


def of_panels(n_out: int, n_in: int, layout: Layout) -> str:
    """C's text for the output that element n0 + i of a matrix in panels belongs to."""
    stride, panel = layout.stride(n_out), layout.panel
    if stride < panel:
        return f"(n0 + i) % {stride}"
    if stride % panel == 0:
        return f"n0 / {panel * n_in} * {panel} + i"
    return f"snncc_output_of(n0 + i, {stride}, {n_in})"


def of_node(node: Node, operand: Node) -> Grouping:
    """The grouping of a spread or sum_groups."""
    longer, shorter = (node, operand) if node.op.name == "spread" else (operand, node)
    return grouping(node.op, longer.type, shorter.type, longer.channels)
