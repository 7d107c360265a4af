"""Compiled networks compute what the reference interpreter does, however a call is cut into pieces.

A test is a network in one precision: it is built once, and then everything is asked of it. Each check yields
what is wrong in words, so that one failure does not hide another.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from snncc import Model, loss, nn
from snncc.passes.choose_kernels import spike_states
from tests.networks import (
    BOUND,
    LOSSES,
    RESETS,
    Array,
    Bank,
    Bench,
    Case,
    Custom,
    Deep,
    Extent,
    Feedback,
    Results,
    Shared,
    Still,
    TwoRoads,
    Wide,
    difference,
    stack_case,
)

EXTENTS = (Extent(1, 1), Extent(1, 6), Extent(7, 1), Extent(9, 13))    # at most: slots of 6 and 7, tiles of 4
LARGEST = EXTENTS[-1]

CASES: dict[str, Case] = {
    "bank-subtract": Case(lambda: Bank("subtract", nn.surrogate.ATan()), None),
    "bank-zero": Case(lambda: Bank("zero", nn.surrogate.Triangle(1.5)), None),
    "two-roads": Case(TwoRoads, LOSSES[0]),
    "feedback": Case(Feedback, loss.mse("mem")),
    "feedback-deep": Case(Deep, LOSSES[1]),
    "shared": Case(Shared, LOSSES[0]),
    "custom": Case(Custom, loss.mse("rate")),
    "wide": Case(lambda: Wide(static=False), LOSSES[0]),
    "wide-static": Case(lambda: Wide(static=True), loss.mse("rate")),
    "wide-feedback": Case(lambda: Feedback(140), LOSSES[0]),
    "wide-still": Case(Still, LOSSES[0]),
}
STACKS = [f"stack-{reset}-{'later' if delay else 'now'}" for reset, delay in RESETS]
SHIFT = {"float32": 0, "float64": 3}    # each precision meets a reset with another size
ROUNDING = ("custom",)    # its tanh is ours, not NumPy's: outputs may differ in the last bits
ELEMENTWISE = ("bank-subtract", "bank-zero")

Problems = Iterator[str]


def disagreements(found: Results, expected: Results, bound: Callable[[str, str], float]) -> Problems:
    """Missing results, results nobody asked for, and those further apart than bound(role, name)."""
    yield from (f"{role} {name}: only in one of both" for role, name in found.keys() ^ expected.keys())
    for role, name in found.keys() & expected.keys():
        apart = difference(found[role, name], expected[role, name])
        if not apart <= bound(role, name):
            yield f"{role} {name}: differs by {apart:.3g}"


def unequal(found: Mapping[str, Array], expected: Mapping[str, Array]) -> Problems:
    """Arrays that differ in a bit."""
    yield from (f"{name}: only in one of both" for name in found.keys() ^ expected.keys())
    for name in found.keys() & expected.keys():
        if found[name].tobytes() != expected[name].tobytes():
            yield f"{name}: other bits, by {np.abs(found[name] - expected[name]).max():.3g}"


def roles(role: str, arrays: Mapping[str, Array]) -> Results:
    return {(role, name): array for name, array in arrays.items()}


def gradients(model: Model, bench: Bench, extent: Extent, state: Any = None) -> Results:
    """Of everything, for all cotangents at once."""
    cotangents, steps = bench.cotangents(extent), extent.steps
    found = model.backward(bench.inputs(extent), cotangents=cotangents, state=state, num_steps=steps)
    by_role = {"gradient": found.params, "d_input": found.inputs, "d_state": found.state}
    return {key: array for role, arrays in by_role.items() for key, array in roles(role, arrays).items()}


def outputs(model: Model, inputs: Any, steps: int, state: Any = None) -> dict[str, Array]:
    """Outputs and, after a slash, final states."""
    out = model(inputs, state=state, num_steps=steps)
    return {**{name: out[name] for name in model.output_names}, **{f"/{k}": v for k, v in out.state.items()}}


def initial_states(bench: Bench, extent: Extent) -> dict[str, Array]:
    """Initial values of every second state; the others start as they do."""
    random = np.random.default_rng(3)
    states = [o.name for o in bench.traced.graph.outputs if o.role == "state_out"]
    last = bench.reference("forward", extent, bench.inputs(extent))
    shapes = {name: last["state_out", name].shape for name in states[::2]}
    found = {name: np.round(random.normal(size=shape) * 16) / 16 for name, shape in shapes.items()}
    return found | {name: (found[name] > 0) * 1.0 for name in spike_states(bench.traced.graph) & {*found}}


# Against the reference interpreter


def check_outputs_and_final_states(bench: Bench, name: str, extent: Extent) -> Problems:
    model = bench.load()
    rounding = BOUND[bench.dtype] if name in ROUNDING or bench.dtype == "float64" else 0.0

    def bound(role: str, key: str) -> float:
        return 0.0 if key.startswith("spk") else rounding

    for state in (None, initial_states(bench, extent)):
        expected = bench.reference("forward", extent, bench.inputs(extent), state)
        out = model(bench.inputs(extent), num_steps=extent.steps, state=state)
        found = {**roles("output", {k: out[k] for k in model.output_names}), **roles("state_out", out.state)}
        yield from disagreements(found, expected, bound)
        yield from (f"{key} is {a.dtype}" for key, a in found.items() if a.dtype != bench.dtype)


def check_gradients_of_everything(bench: Bench, name: str, extent: Extent) -> Problems:
    state = initial_states(bench, extent)
    cotangents = {f"d_{key}": array for key, array in bench.cotangents(extent).items()}
    expected = bench.reference("backward", extent, {**bench.inputs(extent), **cotangents}, state)
    exact = name in ELEMENTWISE and bench.dtype == "float32"    # but parameters' are sums

    def bound(role: str, key: str) -> float:
        return 0.0 if exact and role != "gradient" else BOUND[bench.dtype]

    yield from disagreements(gradients(bench.load(), bench, extent, state), expected, bound)


def check_loss_and_its_gradients(bench: Bench, name: str, extent: Extent) -> Problems:
    if bench.loss is None:
        return
    given, target = bench.inputs(extent), bench.targets(extent)
    expected = bench.reference("train", extent, {**given, "target": target})
    model = bench.load()
    value = np.array(model.train_step(given, target, num_steps=extent.steps))
    found = {("loss", "loss"): value, **roles("gradient", model.gradients())}
    yield from disagreements(found, expected, lambda role, key: BOUND[bench.dtype])


def check_evaluation(bench: Bench, name: str, extent: Extent) -> Problems:
    if bench.loss is None:
        return
    given, target = bench.inputs(extent), bench.targets(extent)
    expected = bench.reference("evaluate", extent, {**given, "target": target})
    scores = bench.load().evaluate(given, target, num_steps=extent.steps)
    wanted = {"loss": float(expected["loss", "loss"])}
    if bench.loss.target_is_label():
        for key, score in (("spk", "accuracy"), ("mem", "accuracy_mem")):
            wanted[score] = float(np.mean(expected["sum", key].argmax(axis=1) == target))
    for key, value in wanted.items():
        if scores[key] != pytest.approx(value, rel=BOUND[bench.dtype]):
            yield f"{key} is {scores[key]}, expected {value}"


# However a call is cut


def check_steps_are_a_call(bench: Bench, name: str, extent: Extent) -> Problems:
    model, inputs = bench.load(), bench.inputs(extent)
    whole = outputs(model, inputs, extent.steps)
    collected: list[dict[str, Array]] = []
    state: dict[str, Array] = {}
    for t in range(extent.steps):
        out = model.step(bench.steps_of(inputs, t), state=state)
        state = out.state
        collected.append({key: out[key] for key in model.output_names})
    streamed = {f"/{key}": array for key, array in state.items()}
    for key in model.output_names:
        rows = [row[key] for row in collected]
        streamed[key] = np.stack(rows) if bench.varies(key) else rows[-1]
    yield from unequal(streamed, whole)


def check_two_halves_are_a_whole(bench: Bench, name: str, extent: Extent) -> Problems:
    model, inputs, half = bench.load(), bench.inputs(extent), extent.steps // 2
    if half == 0:
        return
    whole = outputs(model, inputs, extent.steps)
    first = outputs(model, bench.steps_of(inputs, slice(half)), half)
    state = {key[1:]: array for key, array in first.items() if key[0] == "/"}
    joined = outputs(model, bench.steps_of(inputs, slice(half, None)), extent.steps - half, state)
    for key in model.output_names:
        if bench.varies(key):
            joined[key] = np.concatenate([first[key], joined[key]])
    yield from unequal(joined, whole)


def check_tiles_do_not_matter(bench: Bench, name: str, extent: Extent) -> Problems:
    inputs = bench.inputs(extent)
    expected = outputs(bench.load(), inputs, extent.steps)
    for slots, tile in ((1, 1), (3, 5), (16, 32)):
        found = outputs(bench.load(slots=slots, tile=tile), inputs, extent.steps)
        yield from (f"tile {tile}: {problem}" for problem in unequal(found, expected))


def check_threads_do_not_matter(bench: Bench, name: str, extent: Extent) -> Problems:
    """Fewer threads than slots, and so many that those of a slot share its panels."""
    for slots, tile, counts in ((3, 2, (1, 2, 7)), (1, 5, (1, 3, 4))):
        found = [everything(bench.load(threads=n, slots=slots, tile=tile), bench, extent) for n in counts]
        for other in found[1:]:
            yield from (f"{slots} slots: {problem}" for problem in unequal(other, found[0]))


def everything(model: Model, bench: Bench, extent: Extent) -> dict[str, Array]:
    """Outputs, and the gradients of both entry points that have some."""
    inputs, steps = bench.inputs(extent), extent.steps
    found = outputs(model, inputs, steps)
    found |= {" ".join(key): array for key, array in gradients(model, bench, extent).items()}
    if bench.loss is not None:
        found["loss"] = np.array(model.train_step(inputs, bench.targets(extent), num_steps=steps))
        found |= {f"train {key}": array for key, array in model.gradients().items()}
    return found


CHECKS = (
    check_outputs_and_final_states,
    check_gradients_of_everything,
    check_loss_and_its_gradients,
    check_evaluation,
    check_steps_are_a_call,
    check_two_halves_are_a_whole,
    check_tiles_do_not_matter,
    check_threads_do_not_matter,
)


@pytest.mark.parametrize("name", [*STACKS, *CASES])
@pytest.mark.parametrize("dtype", [pytest.param("float32", marks=pytest.mark.optimised), "float64"])
def test_compiled_networks_agree(name: str, dtype: str, tmp_path: Path) -> None:
    case = stack_case(STACKS.index(name), SHIFT[dtype]) if name in STACKS else CASES[name]
    bench = Bench(case, dtype, tmp_path / "bench")
    problems = [
        f"{check.__name__}, {extent}: {problem}"
        for extent in EXTENTS
        for check in CHECKS
        for problem in check(bench, name, extent)
    ]
    assert problems == []


def test_lists_have_room_for_every_neuron_at_every_step(tmp_path: Path) -> None:
    """Inputs without a zero, and neurons that all spike all the time."""
    name, loud = "stack-none-later", Extent(9, 13, loud=True)
    bench = Bench(stack_case(STACKS.index(name), 0), "float32", tmp_path / "bench")
    bench.values |= {key: np.abs(value) + 1 for key, value in bench.values.items() if key.endswith("weight")}
    assert (bench.reference("forward", loud, bench.inputs(loud))["output", "spk"] == 1).all()
    checks = (check_outputs_and_final_states, check_gradients_of_everything, check_loss_and_its_gradients)
    problems = [problem for check in checks for problem in check(bench, name, loud)]
    assert problems == []


def test_the_networks_are_lively(tmp_path: Path) -> None:
    """What never spikes, or always does, would agree with anything."""
    for name, case in {**CASES, **{n: stack_case(k, 0) for k, n in enumerate(STACKS)}}.items():
        bench = Bench(case, "float64", tmp_path / name, build=False)
        out = bench.reference("forward", LARGEST, bench.inputs(LARGEST))
        for (role, key), array in out.items():
            if role == "output" and key.startswith("spk"):
                assert 0.02 < array.mean() < 0.8, (name, key)
