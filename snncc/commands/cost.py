"""`snncc inspect --cost`: operations, bytes and time of a call before it runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from snncc_runtime.kernels import Kernel, Load, Work, parse_kernels
from snncc_runtime.profile import Profile, Row

from ..errors import CompileError

# What a thread of a core with AVX-512 does in a second while its neighbour is busy, as `Model.profile` found
# it (Zen 4, 1 MiB of second-level cache): additions of each kind of product, entries of lists, elementwise
# operations, bytes.
RATES = {
    "events": 20e9, "gradient": 18e9, "dense": 42e9, "lists": 0.8e9, "elementwise": 60e9, "bytes": 40e9
}  # fmt: skip


@dataclass(frozen=True)
class Assumed:
    """What a call is like: the share of numbers that are not 0, by layer or for all."""

    density: float = 0.1
    of: Mapping[str, float] = field(default_factory=dict)

    def density_of(self, source: str) -> float:
        return self.of.get(source, self.density)


def parse_densities(texts: Sequence[str]) -> Assumed:
    """`0.1`, `x=0.2`, `lif1=0.05`. Raises CompileError."""
    found: dict[str, float] = {}
    for text in texts:
        name, _, number = text.rpartition("=")
        try:
            found[name] = float(number)
        except ValueError:
            found[name] = -1.0
        if not 0 <= found[name] <= 1:
            raise CompileError(f"--density must be a number from 0 to 1, or LAYER=NUMBER, got {text!r}")
    return Assumed(found.pop("", 0.1), found)


def predict(manifest: Mapping[str, Any], entry: str, load: Load, assumed: Assumed, threads: int) -> Profile:
    """The profile that a call should have, of the manifest's table. Raises CompileError."""
    everything = parse_kernels(manifest)
    entries = {"train": ("train", "update")}.get(entry, (entry,))
    kernels = [k for k in everything if k.entry in entries]
    _check(manifest, everything, entry, assumed)
    crossover = manifest.get("crossover", {})
    rows = [_row(kernel, load, assumed, crossover.get(kernel.crossover, 2.0)) for kernel in kernels]
    rows = [row for row in rows if row.calls]
    seconds = sum(row.seconds for row in rows) / threads
    notes = tuple(_notes(kernels, assumed, crossover))
    return Profile(f"{manifest['name']}, {entry}", load, threads, seconds, tuple(rows), 0.0, False, notes)


def _check(manifest: Mapping[str, Any], kernels: Sequence[Kernel], entry: str, assumed: Assumed) -> None:
    names = list(dict.fromkeys(k.entry for k in kernels if k.entry not in ("", "update")))
    if entry not in names:
        remedy = "" if "train" in names else "; give --loss for train and evaluate"
        raise CompileError(f"--entry must be one of {', '.join(names)}, got {entry!r}{remedy}")
    sources = list(dict.fromkeys(k.source for k in kernels if k.source))
    for name in assumed.of:
        if name not in sources:
            shown = ", ".join(sources) or "of nothing"
            raise CompileError(f"--density: no events of {name!r} are listed, only {shown}")


def _row(kernel: Kernel, load: Load, assumed: Assumed, crossover: float) -> Row:
    most = kernel.most_events(load)
    density = assumed.density_of(kernel.source) if most else 0.0
    dense = float(density >= crossover)
    work = kernel.cost(load, density * most, dense)
    seconds = _seconds(kernel, work, density * most, dense)
    calls = load.runs(kernel.level) * kernel.panels
    return Row(kernel.name, kernel.layer, kernel.does, calls, seconds, density * most, most, dense, work)


def _seconds(kernel: Kernel, work: Work, events: float, dense: float) -> float:
    """The larger of the times that operations and bytes take."""
    amounts = {"lists": events, "elementwise": work.operations}
    amount = amounts.get(kernel.rate, work.additions * kernel.padding)
    return max(amount / RATES["dense" if dense else kernel.rate], work.bytes / RATES["bytes"])


def _notes(kernels: Sequence[Kernel], assumed: Assumed, crossover: Mapping[str, float]) -> list[str]:
    sources = list(dict.fromkeys(k.source for k in kernels if k.source))
    shown = ", ".join(f"{name} {assumed.density_of(name):g}" for name in sources)
    notes = [f"densities assumed (--density): {shown}"] * bool(sources)
    for kind, density in crossover.items():
        names = [k.name for k in kernels if k.crossover == kind]
        if names:
            notes.append(f"{', '.join(names)}: dense in tiles with a density from {density:g} on")
    rates = ", ".join(f"{name} {rate / 1e9:g}" for name, rate in RATES.items())
    notes.append(f"ms from what a thread of a core with AVX-512 does, in billions a second: {rates}")
    return notes
