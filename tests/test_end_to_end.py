"""Compiled networks compute what the reference interpreter does: outputs, states, losses, gradients."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from snncc import loss, nn
from tests.networks import (
    BOUND,
    LOSSES,
    RESETS,
    Array,
    Bank,
    Bench,
    Case,
    Custom,
    Extent,
    Feedback,
    Results,
    TwoRoads,
    difference,
    stack_case,
)

EXTENTS = (Extent(1, 1), Extent(1, 6), Extent(7, 1), Extent(9, 13))    # slots of 6 and 7, tiles of 4

CASES: dict[str, Case] = {
    **{f"stack-{reset}-{'later' if delay else 'now'}": stack_case(k, 0) for k, (reset, delay) in enumerate(RESETS)},
    "bank-subtract": Case(lambda: Bank("subtract", nn.surrogate.ATan()), None),
    "bank-zero": Case(lambda: Bank("zero", nn.surrogate.Triangle(1.5)), None),
    "two-roads": Case(TwoRoads, LOSSES[0]),
    "feedback": Case(Feedback, loss.mse("mem")),
    "custom": Case(Custom, loss.mse("rate")),
}
SHIFTED = {"float32": 0, "float64": 3}    # each precision meets each reset with another size
ROUNDING = {"custom"}    # of tanh: only there may a bit of the outputs differ

TRAINING = [name for name, case in CASES.items() if case.loss]


@pytest.fixture(scope="module")
def benches(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, str], Bench]:
    """Makes a bench at its first use."""
    made: dict[tuple[str, str], Bench] = {}

    def bench(name: str, dtype: str) -> Bench:
        if (name, dtype) not in made:
            case = CASES[name]
            if name.startswith("stack-"):
                case = stack_case(list(CASES).index(name), SHIFTED[dtype])
            made[name, dtype] = Bench(case, dtype, tmp_path_factory.mktemp("model") / "bench")
        return made[name, dtype]

    return bench


@pytest.fixture(scope="module", params=["float32", "float64"])
def dtype(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module", params=CASES)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def bench(benches: Callable[[str, str], Bench], name: str, dtype: str) -> Bench:
    return benches(name, dtype)


def labelled(arrays: dict[str, Array], prefix: str) -> dict[str, Array]:
    return {prefix + key: array for key, array in arrays.items()}


def compare(found: dict[tuple[str, str], Array], expected: Results, dtype: str, bound: float | None = None) -> None:
    """All results of the reference were found, and they agree; the message names those that do not."""
    assert found.keys() == expected.keys()
    assert {array.dtype for array in found.values()} == {np.dtype(dtype)}
    bound = BOUND[dtype] if bound is None else bound
    wrong = {key: d for key in expected if not (d := difference(found[key], expected[key])) <= bound}
    assert wrong == {}


@pytest.mark.parametrize("extent", EXTENTS, ids=lambda e: f"T{e.steps}-B{e.batch}")
class TestReference:
    """Against the reference interpreter."""

    def test_outputs_and_final_states(self, bench: Bench, name: str, extent: Extent) -> None:
        expected = bench.reference("forward", extent, bench.inputs(extent))
        out = bench.load()(bench.inputs(extent), num_steps=extent.steps)
        found = {("output", key): out[key] for key in bench.load().output_names}
        found |= {("state_out", key): array for key, array in out.state.items()}
        exact = bench.dtype == "float32" and name not in ROUNDING
        compare(found, expected, bench.dtype, bound=0.0 if exact else None)
        for key in (k for k in expected if k[1].startswith("spk")):
            np.testing.assert_array_equal(found[key], expected[key])

    def test_gradients_of_everything(self, bench: Bench, extent: Extent) -> None:
        given, cotangents = bench.inputs(extent), bench.cotangents(extent)
        state = initial_states(bench, extent)
        expected = bench.reference("backward", extent, {**given, **labelled(cotangents, "d_")}, state)
        gradients = bench.load().backward(given, cotangents=cotangents, state=state, num_steps=extent.steps)
        found = {("gradient", key): array for key, array in gradients.params.items()}
        found |= {("d_input", key): array for key, array in gradients.inputs.items()}
        found |= {("d_state", key): array for key, array in gradients.state.items()}
        compare(found, expected, bench.dtype)

    def test_loss_and_its_gradients(self, bench: Bench, extent: Extent) -> None:
        if bench.loss is None:
            pytest.skip("a network without a loss")
        given, target = bench.inputs(extent), bench.targets(extent)
        expected = bench.reference("train", extent, {**given, "target": target})
        model = bench.load()
        value = model.train_step(given, target, num_steps=extent.steps)
        assert value == pytest.approx(float(expected.pop(("loss", "loss"))), rel=BOUND[bench.dtype])
        compare({("gradient", key): g for key, g in model.gradients().items()}, expected, bench.dtype)

    def test_evaluation(self, bench: Bench, extent: Extent) -> None:
        if bench.loss is None:
            pytest.skip("a network without a loss")
        given, target = bench.inputs(extent), bench.targets(extent)
        expected = bench.reference("evaluate", extent, {**given, "target": target})
        scores = bench.load().evaluate(given, target, num_steps=extent.steps)
        assert scores["loss"] == pytest.approx(float(expected["loss", "loss"]), rel=BOUND[bench.dtype])
        if bench.loss.target_is_label():
            for key, score in (("spk", "accuracy"), ("mem", "accuracy_mem")):
                assert scores[score] == np.mean(expected["sum", key].argmax(axis=1) == target)


def initial_states(bench: Bench, extent: Extent) -> dict[str, Array]:
    """Initial values for every second state; the others start fresh."""
    random = np.random.default_rng(3)
    shapes = {key: a.shape for (role, key), a in bench.reference("forward", extent, bench.inputs(extent)).items() if role == "state_out"}
    return {key: np.round(random.normal(size=shapes[key]) * 16) / 16 for key in list(shapes)[::2]}
