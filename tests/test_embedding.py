"""Embedding: rows by whole numbers, their gradient, and numbers that are none."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

import snncc
from snncc import CompileError, ModelError, loss, nn
from snncc.driver import generate
from snncc.frontend.dsl import trace
from snncc.target import Target
from tests.networks import BOUND, CLASSES, Bench, Case, Extent, difference

WORDS, WIDTH = 11, 70


class Words(nn.Module):
    """A word a step, three words a step, and one for all steps."""

    inputs: ClassVar[dict[str, nn.Input]] = {
        "word": nn.Input(dtype="int"),
        "three": nn.Input(3, dtype="int"),
        "topic": nn.Input(dtype="int", static=True),
    }

    def __init__(self) -> None:
        self.table, self.few = nn.Embedding(WORDS, WIDTH), nn.Embedding(4, 5)
        self.topic, self.lif = nn.Embedding(6, WIDTH), nn.Leaky(0.9)
        self.flat, self.fc = nn.Flatten(), nn.Linear(15, WIDTH)
        self.out = nn.Linear(WIDTH, CLASSES)

    def forward(self, word: Any, three: Any, topic: Any) -> dict[str, Any]:
        current = self.table(word) + self.fc(self.flat(self.few(three))) + self.topic(topic)
        spk, _ = self.lif(current)
        return {"mem": self.out(spk), "rows": self.few(three)}


def words(steps: int, batch: int) -> dict[str, Any]:
    rng = np.random.default_rng([steps, batch])
    shapes = {"word": ((steps, batch), WORDS), "three": ((steps, batch, 3), 4), "topic": ((batch,), 6)}
    return {name: rng.integers(0, most, shape) for name, (shape, most) in shapes.items()}


@pytest.mark.parametrize(
    ("dtype", "options"), [("float32", {}), ("float64", {"checkpoint_every": 4, "unroll": 2})]
)
def test_embeddings_are_the_interpreters(dtype: str, options: dict[str, Any], tmp_path: Path) -> None:
    bench = Bench(Case(Words, None), dtype, tmp_path / "m", **options)
    for steps, batch in ((9, 3), (2, 1), (17, 5)):
        extent, inputs = Extent(steps, batch), words(steps, batch)
        expected = bench.reference("forward", extent, inputs)
        rng = np.random.default_rng(0)
        cotangents = {n: rng.normal(size=a.shape) for (role, n), a in expected.items() if role == "output"}
        given = {**inputs, **{f"d_{name}": c for name, c in cotangents.items()}}
        slopes = bench.reference("backward", extent, given)
        first: dict[str, Any] = {}
        for threads, tile in ((1, 4), (3, 4), (2, 1)):
            model = bench.load(threads=threads, slots=1, tile=tile)
            result, back = model(inputs), model.backward(inputs, cotangents=cotangents)
            assert not back.inputs, "whole numbers have no gradient"
            np.testing.assert_array_equal(result["rows"], expected["output", "rows"])
            assert difference(result["mem"], expected["output", "mem"]) <= BOUND[dtype]
            for (role, name), array in slopes.items():
                if role == "gradient":
                    assert difference(back.params[name], array) <= BOUND[dtype], name
            if tile == 4:
                first = first or back.params
                assert all(np.array_equal(first[name], array) for name, array in back.params.items())


def test_a_gradient_is_the_sum_of_rows() -> None:
    network = nn.Sequential(table=nn.Embedding(4, 3), input=nn.Input(dtype="int"))
    bench = Bench(Case(lambda: network, None), "float64", Path(), build=False)
    x, d_y = np.array([[0, 2], [2, 2], [3, 0]]), np.random.default_rng(0).normal(size=(3, 2, 3))
    found = bench.reference("forward", Extent(3, 2), {"x": x})["output", "out"]
    np.testing.assert_array_equal(found, bench.values["table.weight"][x])
    expected = np.zeros((4, 3))
    np.add.at(expected, x, d_y)
    slope = bench.reference("backward", Extent(3, 2), {"x": x, "d_out": d_y})["gradient", "table.weight"]
    np.testing.assert_allclose(slope, expected, atol=1e-14)
    assert trace(network).parameters["table.weight"].std() == pytest.approx(1.0, abs=0.5)


def test_numbers_that_are_none(tmp_path: Path) -> None:
    network = nn.Sequential(table=nn.Embedding(4, 3), lif=nn.Leaky(0.9), input=nn.Input(dtype="int"))
    model = snncc.compile(network, num_steps=2, loss=loss.cross_entropy("mem"))
    for wrong in (4, -1, 2**40):
        message = rf"^x: expected rows of the embedding 'table', from 0 to 3, found {wrong} at \[0, 1\]$"
        with pytest.raises(ModelError, match=message):
            model(np.array([[0, wrong], [1, 1]]))
    with pytest.raises(ModelError, match=r"^target: expected classes, from 0 to 2, found 3 at \[1\]$"):
        model.evaluate(np.zeros((2, 2), int), np.array([0, 3]))
    with pytest.raises(ModelError, match="expected integers"):
        model(np.zeros((2, 2)))
    with pytest.raises(CompileError, match="embedding takes whole numbers"):
        trace(nn.Sequential(nn.Embedding(4, 3), input=nn.Input()))
    with pytest.raises(CompileError, match=r"whole numbers, which nn\.Embedding takes and nothing else"):
        generate(trace(nn.Sequential(nn.Linear(3, 2), input=nn.Input(3, dtype="int"))), Target())
    with pytest.raises(CompileError, match="dtype must be 'float' or 'int'"):
        nn.Input(3, dtype="int64")
    with pytest.raises(CompileError, match="num_embeddings must be a positive integer"):
        nn.Embedding(0, 3)
