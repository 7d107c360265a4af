"""Small kernels of a GPU as one: sums over the samples, and labels with what is made of them.

before:  add_samples(d_fc2_bias_terms, d_fc2_bias, 10, first)
         input_gradient(...)
         add_samples(d_fc1_bias_terms, d_fc1_bias, 1000, first)
after:   input_gradient(...)
         add_all_samples(d_fc2_bias_terms, d_fc2_bias, d_fc1_bias_terms, d_fc1_bias, 10, 1000, first)

Each waits until something reads one of the sums, at most to the end of its phase. Labels that only `one_hot`
reads are not stored.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from ..program import Buffer, Call, Entry, Item, Phase, used

MOST = 16  # SNNCC_SUMS of rows.h


def put_together(entry: Entry) -> Entry:
    """The entry with fewer kernels; after `start_sums`."""
    return replace(entry, phases=tuple(_phase(phase, entry) for phase in entry.phases))


def _phase(phase: Phase, entry: Entry) -> Phase:
    waiting: list[Call] = []
    before, tile, after = (
        tuple(_later(_labelled(items, entry), waiting)) for items in (phase.before, phase.tile, phase.after)
    )
    return Phase(before, tile, (*after, *_sums(waiting)), phase.finish)


def _later(items: Iterable[Item], waiting: list[Call]) -> Iterator[Item]:
    """The items; sums wait for the first that reads one."""
    for item in items:
        touched = set(used(item))
        if any(call.buffers[-1] in touched for call in waiting):
            yield from _sums(waiting)
            waiting.clear()
        if isinstance(item, Call) and item.kind == "add_samples" and item.first and not item.time:
            waiting.append(item)
        else:
            yield item


def _sums(waiting: list[Call]) -> Iterator[Call]:
    for begin in range(0, len(waiting), MOST):
        calls = waiting[begin : begin + MOST]
        buffers = tuple(b for call in calls for b in call.buffers)
        numbers = tuple(n for call in calls for n in call.numbers)
        yield calls[0] if len(calls) == 1 else Call("add_all_samples", buffers, numbers, first=True)


def _labelled(items: tuple[Item, ...], entry: Entry) -> Iterator[Item]:
    """The items, where `one_hot` loads what nothing else reads."""
    loads = {c.buffers[0]: c for c in items if isinstance(c, Call) and c.kind == "load_labels"}
    alone = {b for b in loads if b and _users(b, entry) == ["load_labels", "one_hot"]}
    for item in items:
        if not (isinstance(item, Call) and item.buffers and item.buffers[0] in alone):
            yield item
        elif item.kind == "one_hot":
            load = loads[item.buffers[0]]
            yield replace(
                item, kind="load_one_hot", buffers=item.buffers[1:], field=load.field, layer=load.layer
            )


def _users(buffer: Buffer, entry: Entry) -> list[str]:
    """The kinds of what touches a buffer."""
    items = (item for item in entry.items if buffer in used(item))
    return [item.kind if isinstance(item, Call) else "" for item in items]
