"""Spikes that only products and sweeps read, as a bit each, on a GPU.

before:  sweep lif1(..., spk)  # set spk_at[i] = spike(sub(mem, 1.0))
         product_dense(spk, w, bias, y, 1000, 10, all steps)             spk: real[T, tile, 1000]
after:   sweep lif1(..., spk)  # let spk_bit = spike(sub(mem, 1.0)); pack spk = spk_bit
         product_dense(spk, w, bias, y, 1000, 10, all steps)             spk: bits[T, tile, 1000]

A warp's 32 spikes are a word, by a ballot; products turn bits into 0 and 1 where they read their factors,
so no sum changes. Left as numbers are spikes that are results or that another kernel reads: cuBLAS, pools,
loops.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from ..expr import Apply, Expr, Ref
from ..passes.choose_kernels import STEPS
from ..program import Buffer, Call, Entry, Item, Phase, Statement, Sweep, used
from .layout import Layout

READERS = (  # of their first buffer
    *("product_dense", "wide_gradient_dense", "narrow_gradient_dense"),
    *("conv_dense", "conv_gradient_dense"),
)


def pack_spikes(entry: Entry, layout: Layout) -> Entry:
    """The entry with such buffers as bits."""
    uses: dict[Buffer, list[Item]] = {}
    for item in entry.items:
        for buffer in dict.fromkeys(used(item)):
            uses.setdefault(buffer, []).append(item)
    bits = {
        buffer: replace(buffer, layout="bits", size=layout.size("bits", buffer.count, True, "tile"))
        for buffer, items in uses.items()
        if _held(buffer) and _packable(buffer, items)
    }
    return replace(
        entry,
        prepare=tuple(_packed(entry.prepare, bits)),
        phases=tuple(
            Phase(*(tuple(_packed(items, bits)) for items in (p.before, p.tile, p.after, p.finish)))
            for p in entry.phases
        ),
    )


def _held(buffer: Buffer) -> bool:
    """Whether it holds rows of all steps that are nobody else's."""
    return buffer.place == "tile" and buffer.layout == "real" and buffer.time and buffer.batch


def _packable(buffer: Buffer, items: Iterable[Item]) -> bool:
    """Whether one of these items makes it, of spikes, and the others read their own, or are products."""
    written = 0
    for item in items:
        match item:
            case Sweep():
                pointers = [p for p in item.pointers if p.buffer == buffer]
                alike = item.size == buffer.count and item.batch
                plain = not any(p.whole or p.steps for p in pointers)
                if not (alike and plain and all(p.initial != buffer for p in item.pointers)):
                    return False
                writing = any(p.written for p in pointers)
                if writing and not _spikes(item, pointers[0].name):
                    return False
                written += writing
            case Call():
                first = item.buffers.index(buffer) == 0 and item.buffers.count(buffer) == 1
                if item.kind not in READERS or item.precision or not (first and item.time):
                    return False
            case _:
                return False
    return written == 1


def _spikes(sweep: Sweep, name: str) -> bool:
    """Whether a sweep sets all elements of an array to spikes, and reads none."""
    for section in (sweep.before, sweep.body, sweep.after):
        made = {s.target: s.value for s in section if s.kind == "let"}
        for s in section:
            if s.target.partition("[")[0] == f"{name}_at":
                return section is sweep.body and s.kind == "set" and _is_spike(s.value, made)
    return False


def _is_spike(value: Expr, made: dict[str, Expr]) -> bool:
    while isinstance(value, Ref) and value.text in made:
        value = made[value.text]
    return isinstance(value, Apply) and value.function in STEPS


def _packed(items: Iterable[Item], bits: dict[Buffer, Buffer]) -> Iterator[Item]:
    for item in items:
        match item:
            case Call():
                yield replace(item, buffers=tuple(bits.get(b, b) if b else None for b in item.buffers))
            case Sweep():
                yield _packing(item, bits)
            case _:
                yield item


def _packing(sweep: Sweep, bits: dict[Buffer, Buffer]) -> Sweep:
    pointers = tuple(replace(p, buffer=bits.get(p.buffer, p.buffer)) for p in sweep.pointers)
    packed = {f"{p.name}_at": p.name for p in sweep.pointers if p.written and p.buffer in bits}
    body: list[Statement] = []
    for s in sweep.body:
        name = packed.get(s.target.partition("[")[0])
        if name is None:
            body.append(s)
        else:
            body += [Statement("let", f"{name}_bit", s.value), Statement("pack", name, Ref(f"{name}_bit"))]
    return replace(sweep, pointers=pointers, body=tuple(body))
