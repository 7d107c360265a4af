"""Seeded damage to files: bytes changed, copied, overwritten and cut."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence

FILLS = (b"\xff\xff\xff\xff", b"\0\0\0\0", b"\x7f\xff\xff\xff")


def damaged(files: Sequence[bytes], count: int, seed: int) -> Iterator[bytes]:
    """So many files that were sound, each with one fault or a few."""
    draw = random.Random(seed)
    for _ in range(count):
        content = bytearray(draw.choice(files))
        for _ in range(draw.choice((1, 1, 2, 4, 16))):
            at, kind = draw.randrange(len(content)), draw.randrange(5)
            if kind == 0:
                content[at] = draw.randrange(256)
            elif kind == 1:
                content[at] ^= 1 << draw.randrange(8)
            elif kind == 2:
                content[at : at + 4] = draw.choice(FILLS)
            elif kind == 3:
                other = draw.randrange(len(content))
                content[at : at + 64] = content[other : other + 64]
            elif len(content) > 400:
                del content[at : at + draw.randrange(200)]
        yield bytes(content)
