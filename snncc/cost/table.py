"""Operations and bytes of each kernel, as coefficients of what is known before or counted during a run.

A quantity is coefficients of four numbers: runs of the kernel, samples, rows (samples times steps) and
events. Bytes are what passes between a kernel and its buffers, each array once a run: what a core's caches
have to deliver, not what a gather of weight rows reads again and again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from math import prod
from typing import Any

from ..expr import Apply, Expr
from ..lower import Layout, layout_of
from ..program import Buffer, Call, Item, Loop, Program, Statement, Sweep
from .images import pooling, slid, sliding
from .kernels import LISTS, LOADS, OF_STEPS, PRODUCTS, SLIDING, STORES, WORDS, Kernel, kernels, sums
from .work import EVENT, ROW, RUN, SAMPLE, How, Work, row_bytes

GRADIENTS = ("wide_gradient", "narrow_gradient")
ADDITIONS = ("add", "sub", "neg")


def records(program: Program) -> list[dict[str, Any]]:
    """A record for each kernel, for the manifest."""
    layout = layout_of(program)
    found = kernels(program)
    sources = _sources(found)
    return [_record(kernel, program, layout, sources) for kernel in found]


def _sources(found: tuple[Kernel, ...]) -> dict[tuple[str, Buffer], str]:
    """By entry point and list: the layer or input whose events are listed."""
    result: dict[tuple[str, Buffer], str] = {}
    for kernel in found:
        for item in kernel.items:
            if isinstance(item, Call) and item.kind.startswith("events_from"):
                assert kernel.listed is not None
                result[kernel.entry, kernel.listed] = item.layer
    return result


def _record(
    kernel: Kernel, program: Program, layout: Layout, sources: dict[tuple[str, Buffer], str]
) -> dict[str, Any]:
    record: dict[str, Any] = {
        "name": kernel.name,
        "entry": kernel.entry,
        "layer": kernel.layer,
        "does": kernel.does,
        "level": kernel.level,
        "panels": kernel.panels,
    }
    if kernel.listed is not None:
        per = _rows(kernel, kernel.items[-1])
        source = sources.get((kernel.entry, kernel.listed), kernel.listed.name)
        record["events"] = {"of": source, "count": kernel.listed.count, "per": per}
    record["rate"], record["padding"] = _rate(kernel, layout)
    record["work"] = _work(kernel, program, layout, False).record()
    if kernel.crossover:
        record["crossover"] = kernel.crossover
        record["dense_work"] = _work(kernel, program, layout, True).record()
    return record


def _rows(kernel: Kernel, item: Item) -> int:
    """What a kernel of whole rows runs over: samples of each step, samples, or nothing of the kind."""
    if kernel.level in ("once", "slot", "other slot"):
        return RUN
    timed = kernel.level.startswith("step") or (isinstance(item, Call) and item.time)
    return ROW if timed else SAMPLE


def _rate(kernel: Kernel, layout: Layout) -> tuple[str, float]:
    """Which of a machine's rates limits the operations, and how much of its vectors is padding."""
    if kernel.call is not None and kernel.call.kind.startswith(OF_STEPS):
        _, n, row = kernel.call.numbers
        return "dense", round(row / n, 4)
    if kernel.call is not None and kernel.call.kind.startswith(SLIDING):
        outputs = slid(kernel.call).outputs
        rate = "gradient" if kernel.call.kind.startswith("conv_gradient") else "events"
        return rate if kernel.listed else "dense", round(layout.stride(outputs) / outputs, 4)
    if kernel.call is not None and kernel.call.kind.startswith("matmul"):
        return "dense", 1.0
    if kernel.call is None or not kernel.product:
        return "lists" if kernel.listed else "elementwise", 1.0
    kind, n_out = kernel.call.kind, kernel.call.numbers[1]
    rate = "gradient" if kind.startswith(GRADIENTS) else "events"
    dense = kind.endswith("_dense") or kind == "input_gradient"
    return "dense" if dense else rate, round(layout.stride(n_out) / n_out, 4)


def _work(kernel: Kernel, program: Program, layout: Layout, dense: bool) -> Work:
    """dense: of what a crossover decides on, the dense kernel."""
    work = Work()
    how = How(layout, kernel.listed, dense)
    if kernel.entry and not kernel.items:
        _sums(kernel, program, layout, work)
    for item in kernel.items:
        match item:
            case Sweep() if kernel.entry == "update":
                _update(item, program, layout, work)
            case Sweep():
                _sweep(item, _rows(kernel, item), layout, work)
            case Call():
                CALLS.get(item.kind, _copy)(item, _rows(kernel, item), how, work)
            case Loop():  # as one kernel, which reads weights once
                for inner in item.items:
                    if isinstance(inner, Sweep):
                        _sweep(inner, ROW, layout, work)
                    elif isinstance(inner, Call):
                        CALLS.get(inner.kind, _copy)(inner, ROW, how, work)
    return work


# ---- sums and the optimiser


def _learnable(program: Program) -> int:
    return sum(t.length for t in program.tensors if t.learnable)


def _sums(kernel: Kernel, program: Program, layout: Layout, work: Work) -> None:
    found = sums(program, next(e for e in program.entries if e.name == kernel.entry))
    if kernel.level == "slot":
        work.write(RUN, found.cleared * layout.real_bytes)
    else:
        added = found.added[kernel.phase]
        work.add("additions", RUN, added)
        work.read(RUN, 2 * added * layout.real_bytes)
        work.write(RUN, added * layout.real_bytes)


def _update(sweep: Sweep, program: Program, layout: Layout, work: Work) -> None:
    count = _learnable(program)
    for pointer in sweep.pointers:
        work.read(RUN, count * layout.real_bytes)
        work.write(RUN, count * layout.real_bytes * pointer.written)
    _statements((*sweep.before, *sweep.body, *sweep.after), RUN, count, work)


# ---- sweeps


def _sweep(sweep: Sweep, per: int, layout: Layout, work: Work) -> None:
    """per: SAMPLE, or ROW in a loop over time around the sweep, or RUN for what has no samples."""
    once = per if sweep.batch else RUN
    each = ROW if sweep.time and sweep.batch and per == SAMPLE else once
    _statements((*sweep.before, *sweep.after), once, sweep.size, work)
    _statements(sweep.body, each, sweep.size, work)
    statements = (*sweep.before, *sweep.body, *sweep.after)
    targets = {s.target.partition("_at[")[0] for s in statements if s.kind == "add"}
    for pointer in sweep.pointers:
        buffer = pointer.buffer
        basis = each if buffer.time else once if buffer.batch else RUN
        amount = row_bytes(buffer, layout)
        if pointer.written:
            work.write(basis, amount)
        if buffer.place != "state" and (not pointer.written or pointer.name in targets):  # these are fresh
            work.read(basis, amount)


def _statements(statements: tuple[Statement, ...], per: int, size: int, work: Work) -> None:
    for statement in statements:
        if statement.kind == "add":
            work.add("additions", per, size)
        for function in _functions(statement.value):
            quantity = "multiplications" if function == "mul" else "functions"
            work.add("additions" if function in ADDITIONS else quantity, per, size)


def _functions(expr: Expr) -> Iterator[str]:
    if isinstance(expr, Apply):
        yield expr.function
        for operand in expr.operands:
            yield from _functions(operand)


# ---- calls


def _product(call: Call, per: int, how: How, work: Work) -> None:
    n_in, n_out = call.numbers
    transposed = call.kind == "input_gradient"  # of the layer's own weights
    _terms(call, per, how, work)
    work.read(RUN, n_out * how.row_bytes(n_in) if transposed else n_in * how.row_bytes(n_out))
    work.write(per, how.row_bytes(n_out))


def _gradient(call: Call, per: int, how: How, work: Work) -> None:
    n_in, n_out = call.numbers
    _terms(call, per, how, work)
    work.read(per, how.row_bytes(n_out))
    work.read(RUN, n_in * how.row_bytes(n_out) * (not call.first))
    work.write(RUN, n_in * how.row_bytes(n_out))


def _terms(call: Call, per: int, how: How, work: Work) -> None:
    """Each event adds a row; only an event with a value multiplies it first."""
    n_in, n_out = call.numbers
    work.add("dense", per, n_in * n_out)
    if how.listed is None or how.dense:
        work.add("additions", per, n_in * n_out)
        work.add("multiplications", per, n_in * n_out)
        x = next((b for b in call.buffers if b and b.layout == "bits"), None)
        work.read(per, row_bytes(x, how.layout) if x else how.row_bytes(n_in))
    else:
        work.add("additions", EVENT, n_out)
        work.add("multiplications", EVENT, n_out * how.valued)
        work.read(EVENT, how.entry_bytes)
        work.read(per, 4)


def _listing(call: Call, per: int, how: How, work: Work) -> None:
    source = call.buffers[-2]
    assert source is not None
    work.read(per, row_bytes(source, how.layout))
    work.write(EVENT, how.entry_bytes)
    work.write(per, 4)


def _by_input(call: Call, per: int, how: How, work: Work) -> None:
    if not how.dense:
        work.read(EVENT, how.entry_bytes)
        work.read(per, 4)
        work.write(EVENT, how.entry_bytes)
        work.write(RUN, 4 * call.numbers[0])


def _transpose(call: Call, per: int, how: How, work: Work) -> None:
    n_out, n_in = call.numbers
    work.read(RUN, n_in * how.row_bytes(n_out))
    work.write(RUN, n_out * how.row_bytes(n_in))


def _softmax(call: Call, per: int, how: How, work: Work) -> None:
    """Per row: the largest, differences, exponentials and their sum, a logarithm, differences."""
    n = call.numbers[0]
    work.add("additions", per, 3 * n)
    work.add("functions", per, 2 * n + 1)
    _copy(call, per, how, work)


def _sum_features(call: Call, per: int, how: How, work: Work) -> None:
    work.add("additions", per, call.numbers[0])
    _copy(call, per, how, work)


def _add_samples(call: Call, per: int, how: How, work: Work) -> None:
    """Of a program for a GPU, wherever it stands: all samples' rows of terms, to one row."""
    per = ROW if call.time or per == ROW else SAMPLE
    for terms, target, n in zip(call.buffers[::2], call.buffers[1::2], call.numbers, strict=True):
        assert terms is not None and target is not None
        work.add("additions", per, n)
        work.read(per, row_bytes(terms, how.layout))
        work.write(RUN, row_bytes(target, how.layout))


def _moved(call: Call, per: int, how: How, work: Work) -> None:
    """An addition for each element of the operand."""
    work.add("additions", per, sum(prod(n for n, _, _ in nest.loops) for nest in call.nests))
    _copy(call, per, how, work)


def _matmul(call: Call, per: int, how: How, work: Work) -> None:
    """Of zeros nothing is known before a run."""
    _, _, _, matrices, n, k, m, *_ = call.numbers
    for quantity in ("dense", "additions", "multiplications"):
        work.add(quantity, per, matrices * n * k * m)
    _copy(call, per, how, work)


def _sum_panels(call: Call, per: int, how: How, work: Work) -> None:
    n_out, n_in = call.numbers
    work.add("additions", per, n_out * n_in)
    _copy(call, per, how, work)


def _of_steps(call: Call, per: int, how: How, work: Work) -> None:
    """A product over the steps: for each step and feature of a sample, one term of every step."""
    steps, n, _ = call.numbers
    for quantity in ("dense", "additions", "multiplications"):
        work.add(quantity, per, steps * n)
    y = call.buffers[-1]
    for buffer in call.buffers[:-1]:
        if buffer is not None:
            work.read(per if buffer.batch else RUN, row_bytes(buffer, how.layout))
    if y is not None:
        work.write(per if y.batch else RUN, row_bytes(y, how.layout))


def _at_step(call: Call, per: int, how: How, work: Work) -> None:
    """Rows of a parameter to or from rows of samples."""
    source, target = call.buffers
    for buffer, move in ((source, work.read), (target, work.write)):
        if buffer is not None:
            move(per if buffer.batch else RUN, row_bytes(buffer, how.layout))
    work.add("additions", per, call.numbers[1] * (call.kind == "sum_at_step"))


def _sparse(call: Call, per: int, how: How, work: Work) -> None:
    """Synapses of the events, each an index and a weight; without a list as many as there can be."""
    n_in, n_out, synapses = call.numbers[:3]
    each, share = (EVENT, synapses / n_in) if how.listed else (per, synapses)
    work.add("additions", each, share)
    work.add("multiplications", each, share * (how.listed is None or how.valued))
    work.read(each, share * (4 + how.layout.real_bytes))
    gathers = "input_gradient" in call.kind
    (work.read if gathers or "gradient" in call.kind else work.write)(per, how.row_bytes(n_out))
    work.write(per if gathers else RUN, how.row_bytes(n_in) if gathers else 0)


def _late(call: Call, per: int, how: How, work: Work) -> None:
    """As of sparse synapses, for every step of the samples, each with the place in time that it leads to."""
    _, n_in, n_out, synapses, *_ = call.numbers
    rows = per if call.kind == "late_before" else ROW
    _sparse(replace(call, numbers=(n_in, n_out, synapses)), rows, how, work)
    work.read(*((EVENT, 4 * synapses / n_in) if how.listed else (ROW, 4 * synapses)))


def _copy(call: Call, per: int, how: How, work: Work) -> None:
    """The last buffer is written, the others are read."""
    *sources, target = call.buffers
    for source in sources:
        if source is not None:
            work.read(per, row_bytes(source, how.layout))
    if target is not None:
        work.write(per, row_bytes(target, how.layout))


def _user(call: Call, per: int, how: How, work: Work) -> None:
    """Between an array of the caller and one of the tile; states are fresh, that is, not read."""
    row = row_bytes(call.buffers[0], how.layout) if call.buffers[0] else 0
    work.read(per, row * (call.kind != "load_state"))
    work.write(per, row)


def _missing(call: Call, per: int, how: How, work: Work) -> None:
    """Nothing, where the caller gives what he may leave out."""


def _check(call: Call, per: int, how: How, work: Work) -> None:
    """Of the caller's array, where it lies."""
    work.read(per, row_bytes(call.buffers[0], how.layout) if call.buffers[0] else 0)


def _labels(call: Call, per: int, how: How, work: Work) -> None:
    work.read(per, 8)
    work.write(per, row_bytes(call.buffers[0], how.layout) if call.buffers[0] else 0)


CALLS: dict[str, Callable[[Call, int, How, Work], None]] = {
    **{k: _gradient if k.startswith(GRADIENTS) else _product for k in WORDS if k.startswith(PRODUCTS)},
    **{k: _listing if k.startswith("events_from") else _by_input for k in LISTS},
    **dict.fromkeys((*LOADS, *STORES), _user),
    "load_missing": _missing,
    "check_finite": _check,
    "load_one_hot": _labels,
    **dict.fromkeys((k for k in WORDS if k.startswith(SLIDING)), sliding),
    **dict.fromkeys(("max_pool", "max_place", "sum_pool", "max_unpool", "sum_unpool"), pooling),
    "transpose": _transpose,
    "sum_groups": _sum_features,
    "sum_groups_once": _sum_features,
    "sum_panels": _sum_panels,
    **dict.fromkeys(("add_samples", "add_all_samples"), _add_samples),
    **dict.fromkeys(("halve_rows", "split_rows", "split_once"), _copy),  # factors for cuBLAS
    **dict.fromkeys(("softmax", "log_softmax", "softmax_once", "log_softmax_once"), _softmax),
    # a comparison a feature
    **dict.fromkeys(("first_maximum", "max_last", "first_maximum_once", "max_last_once"), _sum_features),
    **dict.fromkeys(("sum_features", "sum_features_once"), _sum_features),
    **dict.fromkeys(("move_sum", "move_sum_once"), _moved),
    **dict.fromkeys(("matmul", "matmul_once"), _matmul),
    **dict.fromkeys(("mix_steps", "mix_steps_transposed", "steps_gradient"), _of_steps),
    **dict.fromkeys(("at_step", "sum_at_step"), _at_step),
    **dict.fromkeys((k for k in WORDS if k.startswith("sparse_")), _sparse),
    "embedding": _copy,
    "embedding_gradient": _sum_features,
    **dict.fromkeys((k for k in WORDS if k.startswith("late_")), _late),
    **dict.fromkeys(("scatter_add", "scatter_add_once"), _sum_features),
}  # all others copy
