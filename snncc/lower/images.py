"""Calls of the kernels of images: convolutions, pooling, copies between orders of features."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from math import prod
from typing import Any

from ..graph import Node
from ..ops.conv import in_lanes
from ..ops.windows import Windows
from ..passes.choose_kernels import is_spike
from ..program import Buffer, Call, Size
from .buffers import Buffers
from .unfold import fits
from .unfold import room as room_of

CHUNK_BYTES = 1 << 17  # of unfolded windows at a time: they stay in the second-level cache beside weights
LEAST_CHUNK = 24  # windows, so that a weight is read for many of them
SMALL_IMAGE = 96  # windows; of those of fewer several rows go together
GEOMETRY = 21  # numbers of a snncc_windows, the last of a call's: three, and six for each of three axes
ONE_PIXEL = Windows((1,), (1,), (0,), (0,), (1,))
PLACES = ("max", "place", "sum", "window", "inside")  # what a pool's window comes to, as images.h counts them


def geometry(
    windows: Windows, channels: int, outputs: int, groups: int, space: tuple[int, ...]
) -> tuple[int, ...]:
    """The numbers of a snncc_windows, in its order: images get three axes of space."""
    out = windows.outputs(space)
    axes = (space, out, windows.size, windows.stride, windows.before, windows.dilation)
    fill = (1, 1, 1, 1, 0, 1)
    full = ((f,) * (3 - len(a)) + a for a, f in zip(axes, fill, strict=True))
    return (channels, outputs, groups, *(n for axis in full for n in axis))


def _scratch(buffers: Buffers, node: Node, bytes: int, room: bool = False) -> Buffer:
    """Memory that a thread needs while a kernel runs; a GPU's that of all its threads, if any."""
    name, place = buffers.names.new(f"{node.name}.scratch"), "tile" if room else "panel"
    return Buffer(name, place, (1,), layout="scratch", size=Size(fixed=bytes))


def _convolution(buffers: Buffers, node: Node) -> Call:
    """A convolution, its adjoint, or the gradient of its weight."""
    op: Any = node.op
    first, second = (buffers.graph[i] for i in node.inputs[:2])
    if op.name == "conv":
        image, outputs, weight = first, node.type.features[0], second
    elif op.name == "conv_transpose":
        image, outputs, weight = node, first.type.features[0], second
    else:
        image, outputs, weight = second, first.type.features[0], node
    channels, *space = image.type.features
    numbers = geometry(op.windows, channels, outputs, op.groups, tuple(space))
    n_out, n_in = outputs // op.groups, weight.type.size // outputs
    if op.groups > 1 and (buffers.layout.device or in_lanes(buffers.graph, node)):
        stride, inside = buffers.layout.stride, prod(space)
        wide = channels // op.groups * inside * stride(outputs)
        if op.name == "conv_transpose":
            windows = prod(op.windows.outputs(tuple(space)))
            wide = ((prod(op.windows.size) + windows) * n_out + inside) * stride(channels)
        sizes = (*_sizes(buffers, node), *numbers)
        return _call(buffers, node, f"{op.name}_groups", sizes, wide * buffers.layout.real_bytes)
    pixels = prod(space), prod(op.windows.outputs(tuple(space)))
    return _sliding(buffers, node, op.name, numbers, (n_in, n_out), pixels, op.groups)


def of_tokens(buffers: Buffers, node: Node) -> Call:
    """A linear layer of tokens [..., n_in], or its weight gradient: tokens are pixels, in windows of one."""
    x = buffers.graph[node.inputs[0 if node.op.name == "linear" else 1]]
    n_in, n_out = x.type.features[-1], node.type.features[-1 if node.op.name == "linear" else 0]
    pixels = x.type.size // n_in
    numbers = geometry(ONE_PIXEL, n_in, n_out, 1, (pixels,))
    name = "conv" if node.op.name == "linear" else "conv_gradient"
    return _sliding(buffers, node, name, numbers, (n_in, n_out), (pixels, pixels))


def _sliding(
    buffers: Buffers,
    node: Node,
    name: str,
    numbers: tuple[int, ...],
    sizes: tuple[int, int],
    pixels: tuple[int, int],
    groups: int = 1,
) -> Call:
    """sizes: inputs and outputs of a window and group; pixels: of the image, and of the outputs."""
    op: Any = node.op
    if buffers.layout.device:
        return _at_a_time(buffers, node, name, numbers, sizes, pixels[1])
    (n_in, n_out), (inside, windows), layout = sizes, pixels, buffers.layout
    fitting = CHUNK_BYTES // (n_in * layout.real_bytes) // LEAST_CHUNK * LEAST_CHUNK
    chunk = max(LEAST_CHUNK, min(fitting, max(windows, SMALL_IMAGE)))
    dense = chunk * (layout.stride(n_in) + layout.stride(n_out)) * layout.real_bytes
    listed = (
        (4 * ((windows if name == "conv_transpose" else inside) * groups + 1) + 63) // 64 * 64
        + layout.stride(n_in) * layout.real_bytes
        + 64
    )
    need = {"dense": dense, "events": listed, "counted": max(dense, listed)}[op.kernel]
    if groups > 1 and name != "conv_transpose":
        need += groups * layout.stride(n_out) * n_in * layout.real_bytes  # the weight, by groups
    return _call(buffers, node, f"{name}_{op.kernel}", (*_sizes(buffers, node), chunk, *numbers), need)


def _at_a_time(
    buffers: Buffers, node: Node, name: str, numbers: tuple[int, ...], sizes: tuple[int, int], windows: int
) -> Call:
    """On a GPU: some images at a time. windows: of an image."""
    layout, gradient = buffers.layout, name == "conv_gradient"
    x = node.inputs[gradient]
    precision = layout.product(is_spike(buffers.graph, x)) if fits(sizes, windows) else ""
    inside, outside, size, stride, before = (numbers[k : k + 3] for k in range(3, 18, 3))
    pixels = inside == outside and size == stride == (1, 1, 1) and not any(before)
    folded = name == "conv_transpose" and len(node.inputs) > 2
    images, bytes = room_of(name, precision, sizes, windows, pixels and not folded, layout.real_bytes)
    given = (*_sizes(buffers, node), images, *numbers)
    call = _call(buffers, node, f"{name}_dense", given, bytes, bytes > 0)
    return replace(call, precision=precision)


def weight_sizes(call: Call) -> tuple[int, int]:
    """Rows and columns of a convolution's weights in memory; those of an adjoint are turned."""
    channels, outputs, _, *axes = call.numbers[-GEOMETRY:]
    inputs = channels * prod(axes[6:9])
    return (outputs, inputs) if call.kind.startswith("conv_transpose") else (inputs, outputs)


def _sizes(buffers: Buffers, node: Node) -> tuple[int, int]:
    """Features of a row that is read, and of one that is written or read with it."""
    x = buffers.graph[node.inputs[0]]
    other = buffers.graph[node.inputs[1]] if node.op.name.endswith("_gradient") else node
    return x.type.size, other.type.size


def _call(
    buffers: Buffers, node: Node, kind: str, numbers: tuple[int, ...], scratch: int, room: bool = False
) -> Call:
    """The operands in the kernels' order: lists, rows, weight, bias, scratch, result."""
    buffer, gradient = buffers.buffer, kind.startswith("conv_gradient")
    listed = [i for i in node.inputs if buffers.graph[buffers.source(i)].op.name == "events"]
    rest = [i for i in node.inputs if i not in listed]
    operands: list[Buffer | None] = [buffer(i, buffers.list_layout(i)) for i in listed]
    if gradient:
        d_y, *x = rest
        operands += [*(buffer(i) for i in x), buffer(d_y)]
    else:
        by_events = kind.endswith("_events")
        operands += [buffer(i) for i in rest if not by_events and i == rest[0]]
        weight, *bias = rest if by_events else rest[1:]
        operands += [buffer(_straight(buffers, weight) if kind.endswith("_groups") else weight, "panels")]
        operands += [buffer(bias[0]) if bias else None]
    operands += [_scratch(buffers, node, scratch, room), buffer(node.name)]
    timed = buffers.graph[node.inputs[1]].type.time if gradient else buffers.runs_all_steps(node)
    return Call(kind, tuple(operands), numbers, timed)


def _straight(buffers: Buffers, weight: str) -> str:
    """A weight that is not transposed, as kernels of groups read it."""
    node = buffers.graph[weight]
    return node.inputs[0] if node.op.name == "transpose" else weight


def _pool(buffers: Buffers, node: Node) -> Call:
    op: Any = node.op
    image = node if op.name.endswith("unpool") else buffers.graph[node.inputs[0]]
    channels, *space = image.type.features
    numbers = geometry(op.windows, channels, 0, 1, tuple(space))
    mean = getattr(op, "mean", "")
    what = {"max_pool": "max", "max_place": "place"}.get(op.name, mean or "sum")
    beyond = getattr(op, "beyond", ()) or (0,) * len(space)
    w = op.windows
    last = [n + a - b for n, a, b in zip(space, w.after, beyond, strict=True)]
    ends = (*(1,) * (3 - len(last)), *last)
    best = _scratch(buffers, node, buffers.layout.stride(channels) * buffers.layout.real_bytes)
    given = (buffers.buffer(i) for i in node.inputs)
    operands = (*given, *[best] * (op.name != "max_unpool"), buffers.buffer(node.name))
    sizes = (buffers.graph[node.inputs[0]].type.size, node.type.size)
    return Call(
        op.name, operands, (*sizes, PLACES.index(what), *ends, *numbers), buffers.runs_all_steps(node)
    )


def _reorder(buffers: Buffers, node: Node) -> Call:
    """Rows of an image turned: pixels of a channel side by side, or channels of a pixel."""
    op: Any = node.op
    lines = op.before or node.type.size // op.after
    both = (buffers.buffer(node.inputs[0]), buffers.buffer(node.name))
    numbers = (node.type.size, buffers.pitch(node), lines)
    kind = "reorder" if node.type.batch else "reorder_once"
    return Call(kind, both, numbers, buffers.runs_all_steps(node))


# By operator: how its calls are made.
IMAGES: dict[str, Callable[[Buffers, Node], Call]] = {
    **dict.fromkeys(("conv", "conv_transpose", "conv_gradient"), _convolution),
    **dict.fromkeys(("max_pool", "max_place", "sum_pool", "max_unpool", "sum_unpool"), _pool),
    "reorder": _reorder,
}
