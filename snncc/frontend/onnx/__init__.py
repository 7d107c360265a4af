"""Networks from ONNX files, as their makers meant them: `import_onnx`.

read.py       a file, bounded and checked; refusals.py: onnx's checker in our words
nodes.py      the flat form: one list of nodes; flat.py makes it: functions, If and constants gone;
              constants.py computes those, shapes.py what has which shape
lists.py      ONNX's sequences as the values that are in them
scatter.py    writes of single places as the sequences that they make
loops.py      Scan and Loop as steps, delays and stacks; states.py the same for pairs of states;
              unroll.py for steps that were written out: slices.py finds them, trains.py lays them side by
              side, first_step.py proves the first
axes.py       tensors as values: which axes are time, batch, features
evaluate.py   runs the list on values; scalars, views, products, steps, spikes: what operators mean
network.py    the module that comes of it; neurons.py: names for the report
domain.py     operators and metadata of our own, in files that write.py writes: `export_onnx`
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import CompileError
from ..dsl import Network, trace
from ..foreign import shown, shown_path
from ..report import Finding, Report
from .axes import TIME, AxisError
from .domain import told
from .flat import flatten
from .network import TIMED, OnnxNetwork, Plan, Roles, sequences
from .neurons import recognised
from .nodes import Flat, needed
from .read import read_model
from .refusals import check_by_onnx, check_operators
from .scatter import unscattered
from .states import COMPARED, closed, given_pairs, named_pairs, structural_pairs
from .unroll import rolled
from .write import export_onnx

MOST_STEPS = 2**31 - 1
OTHER = 3  # stand-ins for open dimensions, the second time
BAKED = (
    "there are thresholds but no states: was the state baked in when the model was exported? This is one step"
)


def import_onnx(
    path: str | os.PathLike[str],
    *,
    states: Mapping[str, str] | None = None,
    time_axis: int | None = None,
    batch_axis: int | None = None,
    surrogate: Any = None,
    detach_reset: bool = True,
    outputs: Mapping[str, str] | None = None,
) -> OnnxNetwork:
    """The network of an ONNX file, a module like any other: compile it, check it, put it into another.

    states: which output is the next value of which input, {"mem": "mem_out"}; found by names and structure
    if not given, {} for none. time_axis, batch_axis: of the inputs of a file that holds all steps; found if
    not given. surrogate: of spikes, ATan(alpha=2) if not given. detach_reset: a reset by the spike of the
    step before has no gradient, as in snnTorch. outputs: other names for outputs of the file, those that
    losses know, say {"spk_rec": "spk"}.
    Raises CompileError that names the node and the reason, for what is not supported too.
    """
    label = shown_path(Path(path))
    asked = _Asked(label, states, time_axis, batch_axis, surrogate, detach_reset)
    try:
        model = read_model(Path(path))
        check_by_onnx(model)
        network, open_shapes = _network(model, asked)
        if open_shapes:
            other, _ = _network(model, asked, OTHER)
            if not _same(trace(network), trace(other)):
                raise CompileError("it computes with the length of an open dimension; export with fixed ones")
        network.rename(outputs or {})
        return network
    except CompileError as error:
        raise CompileError(f"{label}: {error}") from None


@dataclass(frozen=True)
class _Asked:
    """What the caller of `import_onnx` said."""

    label: str  # of the file
    states: Mapping[str, str] | None
    time_axis: int | None
    batch_axis: int | None
    surrogate: Any
    detach_reset: bool


def _network(model: Any, asked: _Asked, offset: int = 0) -> tuple[OnnxNetwork, bool]:
    """The network, and whether the length of an open dimension was read. offset: of their stand-ins."""
    flat = unscattered(flatten(model, offset))
    said = told(model)
    flat.initial, flat.hidden = said.initial, said.hidden
    check_operators(flat)
    states = asked.states if asked.states is not None else said.states
    plans, remarks = _plans(flat, states, asked.time_axis, asked.batch_axis)
    network = _first_sound(plans, asked, remarks)
    read = flat.open_shapes or network.plan.flat.open_shapes
    return network, read and any(port.open for port in flat.inputs.values())


def _same(a: Network, b: Network) -> bool:
    """Whether two networks compute the same."""
    same = a.parameters.keys() == b.parameters.keys() and str(a.graph) == str(b.graph)
    return same and all(np.array_equal(array, b.parameters[name]) for name, array in a.parameters.items())


def _plans(
    flat: Flat, states: Mapping[str, str] | None, time_axis: int | None, batch_axis: int | None
) -> tuple[Iterator[Plan], list[str]]:
    """How the graph may be run, the likeliest way first, and what was inferred."""
    remarks: list[str] = []
    flat = needed(flat)
    _check_axes(flat, time_axis, batch_axis)
    if any(n.op in TIMED for n in flat.nodes) and not states:
        return _sequences(flat, time_axis, batch_axis), remarks
    pairs = given_pairs(flat, states) if states is not None else named_pairs(flat)
    if not pairs and states is None:
        unrolled = rolled(flat, remarks)
        if unrolled is not None:
            one = _sequences(needed(unrolled), time_axis, batch_axis)
            straight = _sequences(flat, None, batch_axis) if time_axis is None else ()  # has no axis of time
            return chain(one, straight), remarks
    if states is None:
        pairs |= structural_pairs(flat, pairs)
    if not pairs:
        if any(n.op in COMPARED for n in flat.nodes):
            remarks.append(BAKED)
        return _sequences(flat, time_axis, batch_axis), remarks
    if time_axis is not None:
        raise CompileError(
            f"time_axis={time_axis}: the file is one step with states, so its inputs have no axis of time; "
            "leave it out, or say that there are no states: states={}, on the command line --state none"
        )
    listed = ", ".join(f"{shown(b)} = {shown(a)}" for b, a in pairs.items())
    remarks.append(f"states {'as given' if states else 'found'}: {listed}")
    return _stepwise(flat, pairs, batch_axis), remarks


def _check_axes(flat: Flat, time_axis: int | None, batch_axis: int | None) -> None:
    """Raises CompileError for axes that the caller gave and no input has, or both the same."""
    most = max((len(port.shape) for port in flat.inputs.values()), default=0)
    for name, axis in (("time_axis", time_axis), ("batch_axis", batch_axis)):
        if axis is not None and not 0 <= axis < most:
            raise CompileError(f"{name}={axis}: inputs have the axes 0 to {most - 1}")
    if time_axis is not None and time_axis == batch_axis:
        raise CompileError(f"time_axis and batch_axis are both {time_axis}; they are two axes")


def _stepwise(flat: Flat, pairs: Mapping[str, str], batch_axis: int | None) -> Iterator[Plan]:
    """One step: its inputs and outputs get an axis of time, its states are delays."""
    done = closed(flat, pairs)
    data = [name for name in flat.inputs if name not in pairs]
    if not data:
        raise CompileError("every input is a state; there is nothing to compute from")
    batches = [batch_axis] if batch_axis is not None else [0, None]
    for batch in batches:
        roles = {name: Roles(None, _within(batch, flat.inputs[name].shape)) for name in data}
        lengths = _lengths(done, roles)
        yield Plan(done, roles, tuple(pairs), (), True, None, lengths)


def _sequences(flat: Flat, time_axis: int | None, batch_axis: int | None) -> Iterator[Plan]:
    """All steps in one graph, or none at all."""
    initial = tuple(n.inputs[0] for n in flat.nodes if n.op == "@delay" and n.inputs[0] in flat.inputs)
    weights = tuple(name for name in flat.inputs if _holds_weights(flat, name) and name not in initial)
    timed = sequences(flat)
    for time, batch in _choices(flat, time_axis, batch_axis):
        roles: dict[str, Roles] = {}
        for name, port in flat.inputs.items():
            if name in initial or name in weights:
                continue
            loops = any(n.op in TIMED for n in flat.nodes)
            reads = (name in timed or not loops) and len(port.shape) > 1
            t = _within(time, port.shape) if reads else None
            b = batch if t is not None or batch is None or time is None else max(0, batch - (batch > time))
            roles[name] = Roles(t, _within(b, port.shape))
        if not roles:
            raise CompileError("has no input but weights and states")
        if not _agree(flat, roles):
            continue
        lengths = _lengths(flat, roles)
        if flat.steps is not None:
            lengths[TIME] = flat.steps
        for count in _trip_counts(flat):
            lengths.setdefault(TIME, count)
        fixed = lengths.get(TIME)
        is_open = any(r.time in flat.inputs[n].open for n, r in roles.items()) and flat.steps is None
        yield Plan(flat, roles, initial, weights, False, None if is_open else fixed or 1, lengths)


def _within(axis: int | None, shape: tuple[int, ...]) -> int | None:
    """The axis, if an array of this shape has it."""
    return axis if axis is not None and axis < len(shape) else None


def _choices(flat: Flat, time: int | None, batch: int | None) -> Iterator[tuple[int | None, int | None]]:
    loops = any(n.op in TIMED for n in flat.nodes)
    pairs: list[tuple[int | None, int | None]] = [(0, 1), (1, 0), (0, None), (1, None)]
    if not loops:
        deep = any(len(port.shape) > 2 for port in flat.inputs.values())
        pairs = [(0, 1)] * deep + [(None, 0), (None, 1), (None, None)]
    for t, b in pairs:
        if (time is None or t == time or (t is None and not loops)) and (batch is None or b == batch):
            yield (t if time is None else time, b if batch is None else batch)


def _trip_counts(flat: Flat) -> Iterator[int]:
    """The numbers of steps of loops that have a constant one."""
    for node in flat.nodes:
        count = flat.constants.get(node.inputs[0]) if node.op == "@number" else None
        if count is not None and count.size == 1 and 0 < int(count.reshape(-1)[0]) <= MOST_STEPS:
            yield int(count.reshape(-1)[0])


def _agree(flat: Flat, inputs: Mapping[str, Roles]) -> bool:
    """Whether all inputs have as many steps, and as many samples."""
    found = {
        pair for name, roles in inputs.items() for pair in roles.lengths(flat.inputs[name].shape).items()
    }
    return len(found) == len({atom for atom, _ in found})


def _lengths(flat: Flat, inputs: Mapping[str, Roles]) -> dict[str, int]:
    lengths: dict[str, int] = {}
    for name, roles in inputs.items():
        for atom, count in roles.lengths(flat.inputs[name].shape).items():
            lengths.setdefault(atom, count)
    return lengths


def _holds_weights(flat: Flat, name: str) -> bool:
    """An input that is a matrix or bias: the second operand of a product, or too short to have a batch."""
    readers = [(n, n.inputs.index(name)) for n in flat.nodes if name in n.inputs]
    port = flat.inputs[name]
    second = (
        len(port.shape) == 2
        and bool(readers)
        and all(n.op in ("Gemm", "MatMul") and place > 0 for n, place in readers)
    )
    return second or (len(port.shape) == 1 and len(flat.inputs) > 1)


def _findings(flat: Flat, became: Mapping[str, str]) -> Iterator[Finding]:
    """What became of each node of the file."""
    lost = "part of the loop over time" if flat.steps else "nothing: no output needs it"
    for seen in flat.seen:
        names = (flat.rolled.get(o, o) for o in seen.outputs)
        found = seen.became or next((became[n] for n in names if n in became), lost)
        yield Finding(seen.name, seen.op, became=found)


def _batch(plan: Plan, error: AxisError | None) -> Iterator[str]:
    """A remark where the batch is not where one expects it. error: why it cannot be there."""
    for name, roles in plan.sequences.items():
        usual = 0 if roles.time is None else 1 - roles.time
        if error is not None and roles.batch != usual:
            where = "no axis" if roles.batch is None else f"axis {roles.batch}"
            yield f"{where} of the input {shown(name)!r} was taken for the batch, since {error}"
            return


def _first_sound(plans: Iterator[Plan], asked: _Asked, remarks: list[str]) -> OnnxNetwork:
    """The network of the first plan whose axes go through every operator."""
    first: AxisError | None = None
    for plan in plans:
        remarked = (*remarks, *_batch(plan, first))
        report = Report(asked.label, f"ONNX opset {plan.flat.opset}", remarks=remarked)
        network = OnnxNetwork(plan, asked.surrogate, asked.detach_reset, report)
        try:
            plan.check()
            neurons = dict(recognised(trace(network).graph))
        except AxisError as error:
            first = first or error
            continue
        findings = tuple(_findings(plan.flat, network.became))
        network.report = replace(report, findings=findings, neurons=neurons)
        return network
    if first is not None and asked.time_axis is not None:
        raise CompileError(f"{first}: time_axis={asked.time_axis} does not fit; it is found if left out")
    raise first or CompileError("no axes of time and batch fit; give time_axis and batch_axis")


__all__ = ["OnnxNetwork", "export_onnx", "import_onnx"]
