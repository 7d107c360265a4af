"""What is kept for the backward half may be rounded: gradients see it, and nothing else does."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import snncc
from snncc import driver, loss, nn, optim, reference
from snncc.driver import entry_stages
from snncc.frontend.dsl import trace
from snncc.graph import Graph
from snncc.ops.linear import rounded
from snncc.plan_memory import footprint
from snncc.target import Target
from tests import random_networks, test_emit, test_end_to_end
from tests.mistakes import Mistake, refused
from tests.networks import Bench, Case, Extent, Stack

FORMATS = {"float16": 11, "bfloat16": 8}  # and the bits of their mantissas
STACK = Case(lambda: Stack(130, "zero", False), loss.cross_entropy("mem"))
CASES: dict[str, tuple[Case, str, dict[str, Any]]] = {
    "bank-subtract": (test_end_to_end.CASES["bank-subtract"], "float32", {"context": "float16"}),
    "bank-zero": (test_end_to_end.CASES["bank-zero"], "float32", {"context": "bfloat16"}),
    "two-roads": (test_end_to_end.CASES["two-roads"], "float64", {"context": "bfloat16"}),
    "feedback": (test_end_to_end.CASES["feedback"], "float32", {"context": "float16"}),
    "feedback-deep": (test_end_to_end.CASES["feedback-deep"], "float32", {"context": "bfloat16"}),
    "custom": (test_end_to_end.CASES["custom"], "float64", {"context": "float16"}),
    "floats of doubles": (STACK, "float64", {"context": "float32"}),
    "unrolled": (STACK, "float32", {"context": "float16", "unroll": 3}),
}
EXTENTS = (Extent(1, 2), Extent(9, 13))
CHECKS = (
    test_end_to_end.check_outputs_and_final_states,
    test_end_to_end.check_gradients_of_everything,
    test_end_to_end.check_loss_and_its_gradients,
    test_end_to_end.check_tiles_do_not_matter,
    test_end_to_end.check_threads_do_not_matter,
)


class RoundedBench(Bench):
    """A case beside the interpreter on the graphs that all passes have changed: rounding is part of them."""

    def __init__(self, case: Case, dtype: str, folder: Path, build: bool = True, **options: Any) -> None:
        super().__init__(case, dtype, folder, build, **options)
        self.context = options["context"]

    @cached_property
    def graphs(self) -> dict[str, Any]:
        return final_graphs(self.traced, Target(loss=self.loss, dtype=self.dtype, context=self.context))


def final_graphs(network: Any, target: Target) -> dict[str, Graph]:
    return {s.name: [g for _, g in s.run(target.options)][-1] for s in entry_stages(network, target)}


@pytest.mark.parametrize("name", CASES)
def test_compiled_networks_agree_with_the_rounded_graph(name: str, tmp_path: Path) -> None:
    case, dtype, options = CASES[name]
    bench = RoundedBench(case, dtype, tmp_path / "bench", **options)
    found = [f"{e}: {problem}" for e in EXTENTS for check in CHECKS for problem in check(bench, name, e)]
    assert found == []
    assert f"snncc_store_{options['context']}(" in (bench.folder / "model.c").read_text()


def test_compilers_and_sanitizers_find_nothing(tmp_path: Path) -> None:
    """Rows have room for what is stored in them, alone and in panels."""
    target = Target(9, STACK.loss, optim.SGD(0.1), context="float16", name="kept")
    folder = test_emit.written(driver.generate(trace(STACK.network()), target).sources, tmp_path)
    sanitize = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all")
    options = (*test_emit.STRICT, *test_emit.EXACT, "-O1", *sanitize)
    test_emit.cc(*options, "example.c", "model.c", "-o", "example", folder=folder)
    assert "loss" in test_emit.run("./example", folder=folder)


# The graph


@pytest.mark.parametrize("seed", range(40))
def test_only_what_gradients_are_made_of_is_rounded(seed: int) -> None:
    """Forward values are the same to the bit, and so are spikes and comparisons that are read backward."""
    case = random_networks.case(seed)
    for context in FORMATS:
        target = Target(loss=case.loss, dtype="float64")
        plain, kept = (final_graphs(case.network, replace(target, context=c)) for c in (None, context))
        for entry, graph in kept.items():
            values = [reference.evaluate_nodes(g, case.call) for g in (plain[entry], graph)]
            for node in graph:
                again = node.name.removesuffix(".again") if node.half == "backward" else node.name
                steps = node.op.name in ("spike", "greater", "greater_equal", "floor")
                bits = node.op.name == "context" and node.op.format == "bits"  # type: ignore[attr-defined]
                if node.name.endswith(".again"):
                    assert not steps, f"{entry}: %{node.name} is computed from rounded values"
                elif bits:
                    np.testing.assert_array_equal(values[1][node.name], values[0][node.inputs[0]])
                elif node.half == "forward" and node.op.name != "context" and again in values[0]:
                    np.testing.assert_array_equal(values[1][node.name], values[0][again], err_msg=node.name)


@pytest.mark.parametrize("context", FORMATS)
def test_gradients_are_close_to_the_plain_ones(context: str) -> None:
    """A kept value changes by up to half a unit in its last place, a gradient (of a smooth surrogate) by a
    few of those units, relative to the largest one of its parameter."""
    extent, unit = Extent(9, 13), 2.0 ** -FORMATS[context]
    case = Case(lambda: Stack(64, "subtract", True), loss.cross_entropy("mem"))
    benches = [RoundedBench(case, "float64", Path(), False, context=c) for c in ("float64", context)]
    given = {**benches[0].inputs(extent), "target": benches[0].targets(extent)}
    plain, rough = (b.reference("train", extent, given) for b in benches)
    assert rough["loss", "loss"] == plain["loss", "loss"]
    apart = {name: np.abs(rough[role, name] - a).max() / np.abs(a).max() for (role, name), a in plain.items()}
    assert 0 < max(apart.values()) < 8 * unit, apart


def test_what_is_copied_to_another_order_is_kept_as_well() -> None:
    """A delay of several steps gives rows of an image, whose reader wants channels last."""

    def image() -> nn.Sequential:
        found = {"conv": nn.Conv2d(2, 6, 3), "late": nn.Delay(2), "psn": nn.SlidingPSN(2)}
        return nn.Sequential(**found, input=nn.Input(2, 5, 5))

    x, y = (np.random.default_rng(0).random((7, 2, *shape)) for shape in ((2, 5, 5), (6, 3, 3)))
    plain, *rough = (
        snncc.compile(image(), num_steps=7, context=context).backward(x, spk=y).params
        for context in (None, *FORMATS)
    )
    for found, bits in zip(rough, FORMATS.values(), strict=True):
        for name, array in plain.items():
            assert np.abs(found[name] - array).max() < 2.0**-bits * np.abs(array).max(), name


def test_the_memory_plan_shows_the_saving() -> None:
    layers = {"fc1": nn.Linear(64, 512), "lif1": nn.Leaky(0.9, reset="none"), "fc2": nn.Linear(512, 10)}
    network = trace(nn.Sequential(**layers, lif2=nn.Leaky(0.9), input=nn.Input(64)))
    scratch = {}
    for context in (None, *FORMATS):
        target = Target(100, loss.cross_entropy("mem"), optim.SGD(0.1), context=context)
        program = driver.generate(network, target).program
        scratch[context] = footprint(program, 100, 4, 1, 1, True).scratch
    membranes = 100 * 4 * 512 * 2  # bytes that two instead of four a value save
    for context in FORMATS:
        assert scratch[None] - scratch[context] >= 0.9 * membranes


def test_a_network_s_own_dtype_changes_nothing() -> None:
    network = trace(Stack(16, "zero", True))
    for dtype in ("float32", "float64"):
        target = Target(loss=loss.mse("mem"), dtype=dtype)
        texts = [driver.generate(network, replace(target, context=c)).sources for c in (None, dtype)]
        assert texts[0] == texts[1]


# Rounding


@pytest.mark.parametrize("real", [np.float32, np.float64])
def test_bfloat16_rounds_to_even(real: type) -> None:
    random = np.random.default_rng(0)
    bits = random.integers(0, 2**32, 100_000, dtype=np.uint32)
    bits[:50_000] &= 0xFFFF8000  # ties
    even = (bits + np.uint32(0x7FFF) + (bits >> np.uint32(16) & np.uint32(1))) & np.uint32(0xFFFF0000)
    with np.errstate(invalid="ignore"):
        x = bits.view(np.float32).astype(real)
        expected = np.where(np.isnan(x), x, even.view(np.float32).astype(real))
    np.testing.assert_array_equal(rounded(x, "bfloat16"), expected)
    assert rounded(x, "bfloat16").dtype == real


def test_formats_round_once() -> None:
    """A double that a float would round up to a tie."""
    x = np.array([1 + 2.0**-11 + 2.0**-40, 1 + 2.0**-8 + 2.0**-40, 1 + 2.0**-24 + 2.0**-50])
    assert rounded(x, "float16")[0] == 1 + 2.0**-10
    assert rounded(x, "bfloat16")[1] == 1 + 2.0**-7
    assert rounded(x, "float32")[2] == 1 + 2.0**-23


# Mistakes


def a_context_of_eight_bits() -> object:
    return Target(context="float8")


def a_context_wider_than_the_network() -> object:
    return snncc.compile(nn.Sequential(nn.Linear(2, 2), nn.Leaky(0.9)), context="float64")


MISTAKES: dict[Mistake, str] = {
    a_context_of_eight_bits: "context must be 'float32', 'float16' or 'bfloat16', got 'float8'",
    a_context_wider_than_the_network: "context must be 'float32', 'float16' or 'bfloat16', got 'float64'",
}


@pytest.mark.parametrize(("mistake", "message"), MISTAKES.items(), ids=[m.__name__ for m in MISTAKES])
def test_mistakes_are_named_with_their_line(mistake: Mistake, message: str) -> None:
    assert refused(mistake) == message
