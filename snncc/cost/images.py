"""How much the kernels of images do for a row, by the windows of a call."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from ..lower.images import GEOMETRY
from ..program import Call
from .work import EVENT, RUN, How, Work, row_bytes


@dataclass(frozen=True)
class Slid:
    """inputs: of an output. terms: multiply-adds of a row, places outside of the image left out."""

    inputs: int
    outputs: int
    terms: int


def slid(call: Call) -> Slid:
    """What a convolution, its adjoint or its gradient does."""
    channels, outputs, groups, *axes = call.numbers[-GEOMETRY:]
    places = prod(axes[6:9])
    inside = prod(_inside(axes, axis) for axis in range(3))
    return Slid(places * channels // groups, outputs, inside * channels // groups * outputs)


def pooled(call: Call) -> int:
    """Pixels that the windows of a pool look at."""
    channels, _, _, *axes = call.numbers[-GEOMETRY:]
    return channels * prod(_inside(axes, axis) for axis in range(3))


def sliding(call: Call, per: int, how: How, work: Work) -> None:
    """A convolution, its adjoint or its gradient: each event is in several windows."""
    size = slid(call)
    work.add("dense", per, size.terms)
    if how.listed is None or how.dense:
        work.add("additions", per, size.terms)
        work.add("multiplications", per, size.terms)
    else:
        each = size.terms / how.listed.count
        work.add("additions", EVENT, each)
        work.add("multiplications", EVENT, each * how.valued)
        work.read(EVENT, how.entry_bytes)
        work.read(per, 4)
    *sources, target = (b for b in call.buffers if b is not None and b.layout in ("real", "bits", "panels"))
    for buffer in sources:
        if buffer.layout == "panels":
            work.read(RUN, size.inputs * how.row_bytes(size.outputs))
        else:
            work.read(per, row_bytes(buffer, how.layout))
    for buffer in (b for b in call.buffers if b is not None and b.layout == "scratch" and b.place == "tile"):
        unfolded = buffer.size.fixed // call.numbers[2]  # a GPU's windows as rows: bytes of an image
        work.write(per, unfolded)
        work.read(per, unfolded)
    gradient = target.layout == "panels"
    work.write(
        RUN if gradient else per,
        size.inputs * how.row_bytes(size.outputs) if gradient else row_bytes(target, how.layout),
    )


def pooling(call: Call, per: int, how: How, work: Work) -> None:
    work.add("additions", per, pooled(call))
    *sources, target = (b for b in call.buffers if b is not None and b.layout == "real")
    for buffer in sources:
        work.read(per, row_bytes(buffer, how.layout))
    work.write(per, row_bytes(target, how.layout))


def _inside(axes: list[int], axis: int) -> int:
    """Pairs of a window and a place of it in the image, along an axis."""
    pixels, windows, size, stride, before, dilation = axes[axis::3]
    starts = (k * stride - before for k in range(windows))
    return sum(0 <= start + place * dilation < pixels for start in starts for place in range(size))
