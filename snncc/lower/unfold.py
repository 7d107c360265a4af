"""How many images a convolution on a GPU takes at a time, and the memory that it needs for them.

cuBLAS multiplies rows, so windows are written as rows first, and an adjoint's rows are added to pixels
afterwards; in precision "exact" only the adjoint needs this. Some images at a time, so that what is written
is still in the device's second-level cache when it is read.
"""

from __future__ import annotations

from .layout import WHOLE, halved, padded

ROOM = 1 << 25  # bytes: most of the cache of a large GPU, and rows enough for all of its multiprocessors


def room(
    kind: str, precision: str, sizes: tuple[int, int], windows: int, whole: bool, real_bytes: int
) -> tuple[int, int]:
    """Images and bytes; no bytes where nothing is written. kind: "conv", "conv_transpose", "conv_gradient".
    sizes: inputs and outputs of a window. windows: of an image. whole: they are the pixels themselves."""
    n_in, n_out = sizes
    row = 0 if whole or (kind != "conv_transpose" and not precision) else n_in * real_bytes
    if precision == "split":
        row = {
            "conv": halved(n_in),
            "conv_transpose": row + halved(n_out),
            "conv_gradient": halved(n_in) + 3 * halved(n_out),
        }[kind]
    if not row:
        return WHOLE, 0
    images = max(1, ROOM // (windows * row))
    return images, images * windows * row


def fits(sizes: tuple[int, int], windows: int) -> bool:
    """Whether a kernel can count the numbers of an image's windows."""
    return windows * padded(sizes[0]) < WHOLE
