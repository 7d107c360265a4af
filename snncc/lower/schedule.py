"""In which order the units of an entry run, in which section, and which of them share a loop over panels.

A unit is what runs as one: a sweep, a call, or a loop over time. Units that compute each of n features
by itself (elementwise sweeps, the outputs of a product, the columns of a weight gradient) can run for a
panel of these features at a time, one after the other, before the next panel is looked at.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ..graph import Node, stable_order

SECTIONS = ("prepare", "before", "tile", "after", "finish")


@dataclass(frozen=True)
class Unit:
    """nodes: what it computes. axis: the number of features it can be split over, or 0.

    needs: units that must have run, and whether all their features are read for one feature of this.
    kind: of its stage. timeless: whether neither it nor what it reads has a time axis. phase: of its stage.
    """

    nodes: tuple[Node, ...]
    axis: int
    needs: Mapping[str, bool]
    kind: str
    timeless: bool
    phase: int = 0

    @property
    def part(self) -> str:
        """The part of a tile in which it runs, where steps run in segments; see `split_time`."""
        stage = self.nodes[0].stage
        return stage.part if stage else ""

    @property
    def op(self) -> str:
        return self.nodes[0].op.name

    @property
    def product(self) -> bool:
        return self.op in ("linear", "weight_gradient")


def sections(units: Mapping[str, Unit]) -> dict[str, str]:
    """The section of each unit; what runs in tiles is timeless only where no product depends on it."""
    found = {k: {"once": "prepare", "finish": "finish"}.get(u.kind, "tile") for k, u in units.items()}
    tiled = {k: u for k, u in units.items() if found[k] == "tile"}
    before = _before(tiled)
    after = _after(tiled, before)
    level = dict.fromkeys(tiled, 0) | dict.fromkeys(before, 1) | dict.fromkeys(after, 1)
    for key, unit in tiled.items():
        if any(level[k] != level[key] and tiled[k].op == "events" for k in unit.needs if k in tiled):
            return found  # a list of a block's events cannot be made or read a tile at a time
    return found | dict.fromkeys(before, "before") | dict.fromkeys(after, "after")


def _before(units: Mapping[str, Unit]) -> set[str]:
    """Products that wait for nothing with a time axis, and what they need."""
    early: set[str] = set()
    for key in stable_order(units, _edges(units)):
        if units[key].timeless and all(k in early for k in units[key].needs if k in units):
            early.add(key)
    wanted = {k for k in early if units[k].product}
    for key in reversed(stable_order(units, _edges(units))):
        if key in wanted:
            wanted |= units[key].needs.keys() & early
    return wanted


def _after(units: Mapping[str, Unit], before: set[str]) -> set[str]:
    """What is timeless and read by nothing in the tiles, if there is a product among it."""
    readers: dict[str, set[str]] = {k: set() for k in units}
    for key, unit in units.items():
        for k in unit.needs:
            if k in readers:
                readers[k].add(key)
    late: set[str] = set()
    for key in reversed(stable_order(units, _edges(units))):
        if units[key].timeless and key not in before and readers[key] <= late:
            late.add(key)
    return late if any(units[k].product for k in late) else set()


def groups(units: Mapping[str, Unit]) -> list[list[str]]:
    """Units in an order in which everything is made before it is read; those of one loop together.

    A loop over panels takes all units of its axis that can run once those before it have, and the few
    that must run first for that.
    """
    work = _Groups(units)
    result = []
    for key in work.order:
        if key not in work.done:
            result += work.opened(key)
    return result


class _Groups:
    def __init__(self, units: Mapping[str, Unit]) -> None:
        self.units = units
        self.order = stable_order(units, _edges(units))
        self.done: set[str] = set()

    def opened(self, key: str) -> list[list[str]]:
        """The groups that run when `key` is next: itself, or a loop with what has to come before."""
        group, first = [key], list[str]()
        while self.units[key].axis:
            found = next(filter(None, (self._joining(k, group) for k in self.order)), None)
            if found is None:
                break
            first += [k for k in found[:-1] if k not in first]
            group.append(found[-1])
            self.done.update(found[:-1])
        self.done.update(group)
        return [*([k] for k in first), group]

    def _joining(self, key: str, group: list[str]) -> list[str]:
        """What must run before, then `key`, if it can join the group."""
        unit = self.units[key]
        if key in self.done or key in group or unit.axis != self.units[group[0]].axis:
            return []
        if any(whole and k in group for k, whole in unit.needs.items()):
            return []
        missing = self._missing(key) - set(group)
        waits = any(self._missing(k) & set(group) for k in missing)
        if waits or any(self.units[k].axis for k in missing):
            return []
        return [*(k for k in self.order if k in missing), key]

    def _missing(self, key: str) -> set[str]:
        """Units that have yet to run before this one."""
        found: set[str] = set()
        work = [key]
        while work:
            for k in self.units[work.pop()].needs:
                if k in self.units and k not in self.done and k not in found:
                    found.add(k)
                    work.append(k)
        return found


def _edges(units: Mapping[str, Unit]) -> Iterable[tuple[str, str]]:
    return [(k, key) for key, unit in units.items() for k in unit.needs if k in units]
