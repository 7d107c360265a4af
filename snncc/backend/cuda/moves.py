"""Moves of features within rows as CUDA: a kernel with a thread for each element that something goes to."""

from __future__ import annotations

from math import prod

from ...lower import Layout
from ...program import Call, Nest
from ..moves import INDEX, MoveText, place
from ..sweeps import NAME
from .records import MoveRecord


def move(call: Call, layout: Layout) -> tuple[MoveRecord, str, str]:
    """The kernel of a move by loops, the name that it would like, and what it does.

    A thread has one turn of the loops over the elements of y; sums are loops of its own, in C's order.
    """
    text = MoveText(call, layout)
    threads = [prod(extent for extent, _, to in nest.loops if to) for nest in text.nests]
    total, row = sum(threads), text.rows[-1]
    lines = _row(total)
    first = 0
    for name, pitch, nest, count in zip(text.operands, text.rows, text.nests, threads, strict=False):
        moved = _moved(text, nest, f"{name}[row * {pitch}", f"y[row * {row}", first)
        if len(threads) > 1:
            head = "else " * bool(first) + f"if (place < {first + count})" * (first + count < total)
            moved = [f"{head.strip()} {{", *("    " + line for line in moved), "}"]
        lines += moved
        first += count
    parameters = ", ".join(text.parameters[1:-1])  # without the rows, and the crew of the processor's threads
    arguments = ", ".join((*text.operands, "y"))
    cleared = text.size if text.zeroed else 0
    record = MoveRecord(NAME, "@comment", parameters, tuple(lines), total, cleared, arguments)
    return record, text.name, text.comment


def _row(elements: int) -> list[str]:
    return [f"const size_t row = at / {elements};", f"const int place = (int)(at % {elements});"]


def _moved(text: MoveText, nest: Nest, x: str, y: str, first: int) -> list[str]:
    """One element: `place` counts through the loops over y from `first` on."""
    names = dict(zip(INDEX, nest.loops, strict=False))
    kept = {name: loop for name, loop in names.items() if loop[2]}
    lines, inner = [], 1
    for name, (extent, _, _) in reversed(kept.items()):
        at = f"(place - {first})" if first else "place"
        at += f" / {inner}" * (inner > 1)
        outermost = name == next(iter(kept))
        lines.append(f"const int {name} = {at}{'' if outermost else f' % {extent}'};")
        inner *= extent
    lines.reverse()
    if not kept and text.nests == (nest,):
        lines.append("(void)place;")
    source = f"{x} + {place(nest.x, [(name, step) for name, (_, step, _) in names.items()])}]"
    target = f"{y} + {place(nest.y, [(name, step) for name, (_, _, step) in kept.items()])}]"
    if not text.adds:
        return [*lines, f"{target} = {source};"]
    sums = [(name, extent) for name, (extent, _, to) in names.items() if not to]
    loops = [
        f"{'    ' * depth}for (int {name} = 0; {name} < {extent}; {name}++)"
        for depth, (name, extent) in enumerate(sums)
    ]
    added = f"{'    ' * len(sums)}sum += {source};"
    return [*lines, f"{text.real} sum = 0;", *loops, added, f"{target} = sum;"]


def indexed(call: Call, layout: Layout) -> tuple[MoveRecord, str, str]:
    """The kernel of a move by constant index, the name that it would like, and what it does."""
    kind, (n_in, n_out, *index) = call.kind.removesuffix("_once"), call.numbers
    real = "float" if layout.real_bytes == 4 else "double"
    lines = _row(n_out)
    if kind == "take":
        tables = [_table("index", index)]
        lines.append(f"y[at] = x[row * {n_in} + {NAME}_index[place]];")
    else:
        places = [[i for i, to in enumerate(index) if to == k] for k in range(n_out)]
        offsets = [sum(map(len, places[:k])) for k in range(n_out + 1)]
        tables = [_table("offsets", offsets), _table("sources", [i for some in places for i in some])]
        lines += [
            f"{real} sum = 0;",
            f"for (int k = {NAME}_offsets[place]; k < {NAME}_offsets[place + 1]; k++)",
            f"    sum += x[row * {n_in} + {NAME}_sources[k]];",
            "y[at] = sum;",
        ]
    what = "y[i] = x[index[i]]" if kind == "take" else "y[index[i]] += x[i]"
    operands = f"const {real} *x, {real} *y"
    record = MoveRecord(NAME, "@comment", operands, tuple(lines), n_out, 0, "x, y", tuple(tables))
    return record, f"{kind}_{n_in}_{n_out}", f"{what}: {n_in} to {n_out} features"


def _table(name: str, values: list[int]) -> str:
    return f"{NAME}_{name}[{len(values)}] = {{{', '.join(map(str, values))}}}"
