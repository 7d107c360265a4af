"""Products of spikes with float32 numbers as products of bf16 numbers, which a GPU's tensor cores make.

A spike is exact in bf16, and a float32 number is the sum of three bf16 numbers. Before such a product its
spikes are written as bf16 and the other factor as three parts; those of weights once a call:

before:  product_dense(x, w, bias, y)
after:   split_once(w, w_parts)                          prepared
         halve_rows(x, x_halves)
         product_dense(x_halves, w_parts, x, w, bias, y)

The factors themselves stay operands, for where there is no cuBLAS. Kernels of convolutions do the same for
some images at a time; their weights' parts are made here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from ..program import NARROW, Buffer, Call, Size
from .images import weight_sizes
from .layout import halved, padded


class Splitter:
    """Makes the calls of one entry point. prepared: those that run once a call, before all else."""

    def __init__(self, taken: set[str]) -> None:
        self.taken = taken  # names of buffers
        self.prepared: list[Call] = []
        self.parts: dict[Buffer, Buffer] = {}

    def calls(self, call: Call) -> Iterator[Call]:
        """What a product of spikes becomes."""
        x, other = call.buffers[:2]
        assert x is not None and other is not None
        if call.kind.startswith("conv_gradient"):
            yield call
            return
        if call.kind.startswith("conv"):
            yield replace(call, buffers=(self._parts(other, weight_sizes(call), call.layer), *call.buffers))
            return
        n_in, n_out = call.numbers
        halves = self._rows(x, "halves", n_in, call.time)
        yield Call("halve_rows", (x, halves), (n_in,), call.time, layer=call.layer)
        if other.layout != "panels":
            parts = self._rows(other, "parts", n_out, call.time)
            yield Call("split_rows", (other, parts), (n_out,), call.time, layer=call.layer)
        else:
            parts = self._parts(other, (n_in, n_out), call.layer)
        yield replace(call, buffers=(halves, parts, *call.buffers))

    def _rows(self, source: Buffer, layout: str, n: int, time: bool) -> Buffer:
        """Rows of n numbers, of all steps or of one."""
        width = padded(n)
        bytes = NARROW[layout] * width
        size = Size(seq=bytes) if time else Size(row=bytes)
        return Buffer(self._name(source, layout), "tile", (width,), time, True, layout, size)

    def _parts(self, weight: Buffer, sizes: tuple[int, int], layer: str) -> Buffer:
        """The parts of weights that are the same through the whole call. sizes: their rows and columns."""
        if weight not in self.parts:
            n_in, n_out = sizes
            size, features = Size(fixed=3 * n_in * halved(n_out)), (n_in, padded(n_out))
            name = self._name(weight, "parts")
            self.parts[weight] = Buffer(name, "shared", features, layout="parts", size=size)
            self.prepared.append(Call("split_once", (weight, self.parts[weight]), sizes, layer=layer))
        return self.parts[weight]

    def _name(self, source: Buffer, layout: str) -> str:
        base = name = f"{source.name}_{layout}"
        while name in self.taken:
            name = f"{base}_{len(self.taken)}"
        self.taken.add(name)
        return name
