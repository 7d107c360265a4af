"""Which sums start with the first that is added to them, on a GPU: nothing sets these to zero before.

before:  add_samples(d_fc_bias_terms, d_fc_bias, 10)           after:  the same, first
         wide_gradient_dense(x, d_y, d_fc_weight, 784, 10)             the same, first

A call that is `first` leaves what it has instead of adding it to what was there: one pass over a weight's
gradient instead of three. It must be the first that touches the sum, and be no part of a loop.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from ..program import Buffer, Call, Entry, Item, Phase, Sweep, used

# Kinds that add to their last buffer, to all of its elements.
ADDING = (
    *("wide_gradient_dense", "narrow_gradient_dense", "conv_gradient_dense", "conv_gradient_groups"),
    "add_samples",
)
SETTING = ("sum_groups_once", "sum_panels", "copy_gradient")  # that leave theirs whole in any case


def start_sums(entry: Entry) -> Entry:
    """The entry with such calls marked, and `started`: the sums that they start."""
    starter = _Starter()
    prepare = tuple(starter.items(entry.prepare))
    phases = tuple(
        Phase(*(tuple(starter.items(items)) for items in (p.before, p.tile, p.after, p.finish)))
        for p in entry.phases
    )
    return replace(entry, prepare=prepare, phases=phases, started=tuple(starter.started))


class _Starter:
    def __init__(self) -> None:
        self.touched: set[Buffer] = set()
        self.started: list[Buffer] = []

    def items(self, items: Iterable[Item]) -> Iterator[Item]:
        for item in items:
            found = _filled(item)
            if found and not found.time and found not in self.touched:
                self.started.append(found)
                if isinstance(item, Call) and item.kind in ADDING:
                    item = replace(item, first=True)
            self.touched.update(used(item))
            yield item


def _filled(item: Item) -> Buffer | None:
    """The sum or gradient that an item would leave whole, were it the first."""
    match item:
        case Call() if item.kind in (*ADDING, *SETTING):
            found = item.buffers[-1]
        case Sweep() if not item.time:
            found = next((p.buffer for p in item.pointers if _sets(item, p.buffer)), None)
        case _:
            return None
    return found if found and found.place in ("sum", "gradient") else None


def _sets(sweep: Sweep, buffer: Buffer) -> bool:
    """Whether a sweep sets each element of a buffer, and reads none."""
    pointers = [p for p in sweep.pointers if p.buffer == buffer]
    statements = (*sweep.before, *sweep.body, *sweep.after)
    kinds = [s.kind for s in statements if s.target.partition("[")[0] == f"{pointers[0].name}_at"]
    whole = sweep.size == buffer.count and not sweep.batch
    return whole and len(pointers) == 1 and pointers[0].written and kinds == ["set"]
