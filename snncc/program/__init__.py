"""The lowered form: buffers, kernels, and in which order they run. Printable, and checked.

A program has entry points. An entry runs `prepare` once a call; then for each block of the batch
`before`, `tile` for each tile of the block, and `after`; and `finish` when the sums of all blocks are
known. What has no time axis but costs a product (a static input's layer) runs before and after, for
many samples at once; all else runs in tiles, which fit a core's cache. Where tiles need sums of all others
(batch normalisation), an entry has several phases of this.
"""

from .entries import Entry, Phase, Program
from .items import (
    Array,
    Call,
    Item,
    Local,
    Loop,
    Nest,
    Panels,
    Pointer,
    Segments,
    State,
    Statement,
    Sweep,
    flat,
    plain,
    used,
)
from .memory import BLOCK_TILES, CALLERS, NARROW, ROUNDED, Buffer, Region, Size, Tensor, UserArray

__all__ = [
    "BLOCK_TILES",
    "CALLERS",
    "NARROW",
    "ROUNDED",
    "Array",
    "Buffer",
    "Call",
    "Entry",
    "Item",
    "Local",
    "Loop",
    "Nest",
    "Panels",
    "Phase",
    "Pointer",
    "Program",
    "Region",
    "Segments",
    "Size",
    "State",
    "Statement",
    "Sweep",
    "Tensor",
    "UserArray",
    "flat",
    "plain",
    "used",
]
