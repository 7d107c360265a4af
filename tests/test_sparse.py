"""Sparse synapses: which there are, what they compute, and that no matrix is ever made of them."""

from __future__ import annotations

from collections import namedtuple
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

import snncc
from snncc import CompileError, ModelError, loss, nn
from snncc.driver import generate
from snncc.frontend.dsl import trace
from snncc.nn.connections import Connections, FanIn, Local, OneToOne, Probability, pairs, wired
from snncc.reference import Call, evaluate
from snncc.target import Target
from snncc_runtime.safetensors import write_safetensors
from tests.networks import BOUND, CLASSES, Bench, Case, Extent, difference

SIZE = 150
EXTENTS = (Extent(9, 3), Extent(2, 1), Extent(17, 5))


class Wired(nn.Module):
    """Sparse synapses from inputs, a static input and spikes, onto few outputs, and around a loop."""

    inputs: ClassVar[dict[str, nn.Input]] = {"x": nn.Input(30), "still": nn.Input(30, static=True)}

    def __init__(self) -> None:
        self.a = nn.SparseLinear(30, SIZE, FanIn(4, seed=1))
        self.b = nn.SparseLinear(30, SIZE, Probability(0.1), bias=False)
        self.hidden, self.last = nn.Leaky(0.9, learn_beta=True), nn.Leaky(0.8)
        self.c, self.back = nn.SparseLinear(SIZE, SIZE, Probability(0.05, seed=3)), around()
        self.out = nn.SparseLinear(SIZE, CLASSES, Probability(0.3), bias=False)

    def forward(self, x: Any, still: Any) -> dict[str, Any]:
        spk, _ = self.hidden(self.a(x) + self.b(still))
        loop = snncc.delay(shape=SIZE)
        spk, _ = self.last(self.c(spk) + self.back(loop.value))
        loop.feed(spk)
        return {"spk": spk, "mem": self.out(spk)}


def around() -> nn.SparseLinear:
    return nn.SparseLinear(SIZE, SIZE, Local((SIZE,), 2, wrap=True))


@pytest.mark.parametrize(
    ("dtype", "options"), [("float32", {}), ("float64", {"checkpoint_every": 4, "unroll": 2})]
)
def test_sparse_layers_are_the_interpreters(dtype: str, options: dict[str, Any], tmp_path: Path) -> None:
    """Outputs to the bit; the same bits for any number of threads, and of outputs for any tile."""
    bench = Bench(Case(Wired, None), dtype, tmp_path / "m", **options)
    learned = bench.traced.parameters
    bench.values |= {k: np.round(v * 128) / 64 for k, v in learned.items() if k.endswith("values")}
    for extent in EXTENTS:
        inputs, cotangents = bench.inputs(extent), bench.cotangents(extent)
        given = {**inputs, **{f"d_{name}": c for name, c in cotangents.items()}}
        expected = bench.reference("forward", extent, inputs)
        slopes = bench.reference("backward", extent, given)
        first: dict[str, Any] = {}
        for threads, tile in ((1, 4), (3, 4), (2, 1)):
            model = snncc.load(bench.folder, threads=threads, slots=1, tile=tile)
            model.params.update({name: bench.values[name] for name in model.params})
            result, back = model(inputs), model.backward(inputs, cotangents=cotangents)
            for (role, name), array in expected.items():
                found = result[name] if role == "output" else result.state[name]
                np.testing.assert_array_equal(found, array, err_msg=name)
            roles = {"d_input": back.inputs, "gradient": back.params, "d_state": back.state}
            for (role, name), array in slopes.items():
                assert difference(roles[role][name], array) <= BOUND[dtype], (role, name)
            if tile == 4:
                first = first or back.params
                assert all(np.array_equal(first[name], array) for name, array in back.params.items())


def test_synapses_are_the_matrix_with_zeros_between() -> None:
    """Of inputs that are no spikes, forward and backward: what NumPy makes of the dense matrices."""
    layer = nn.SparseLinear(7, 5, Probability(0.4, seed=2))
    network = nn.Sequential(fc=layer, input=nn.Input(7))
    bench = Bench(Case(lambda: network, None), "float64", Path(), build=False)
    rng = np.random.default_rng(0)
    x, d_y = rng.normal(size=(4, 3, 7)), rng.normal(size=(4, 3, 5))
    values = rng.normal(size=bench.values["fc.values"].shape)
    bench.values["fc.values"] = values
    weight = layer.dense(values)
    assert (np.count_nonzero(weight), weight.shape) == (len(values), (5, 7))
    found = bench.reference("forward", Extent(4, 3), {"x": x})
    np.testing.assert_allclose(found["output", "out"], x @ weight.T + bench.values["fc.bias"], atol=1e-14)
    back = bench.reference("backward", Extent(4, 3), {"x": x, "d_out": d_y})
    np.testing.assert_allclose(back["d_input", "x"], d_y @ weight, atol=1e-14)
    whole = np.einsum("tbo,tbi->oi", d_y, x)[layer.connections.indices, layer.connections.inputs]
    np.testing.assert_allclose(back["gradient", "fc.values"], whole, atol=1e-13)


def places(connections: nn.connections.Connections) -> list[tuple[int, int]]:
    """(input, output) of each synapse."""
    return list(zip(connections.inputs.tolist(), connections.indices.tolist(), strict=True))


def test_random_connections_are_functions_of_their_seed() -> None:
    """The numbers are written down: they may not depend on machine, NumPy or version."""
    assert places(wired(Probability(0.2, seed=5), 6, 4)) == PROBABILITY
    assert places(wired(FanIn(2, seed=5), 6, 4)) == FAN_IN
    others = [places(wired(rule, 6, 4)) for rule in (Probability(0.2, seed=6), FanIn(2, seed=6))]
    assert others[0] != PROBABILITY
    assert others[1] != FAN_IN


PROBABILITY = [(0, 1), (0, 2), (3, 1), (3, 2), (4, 0), (5, 3)]
FAN_IN = [(0, 1), (1, 2), (4, 0), (4, 2), (4, 3), (5, 0), (5, 1), (5, 3)]


@pytest.mark.parametrize("probability", [1e-5, 0.003, 0.4, 0.97, 1.0])
def test_each_pair_is_connected_with_the_probability(probability: float) -> None:
    n_in, n_out = (3000, 2000) if probability < 0.1 else (200, 150)
    made = wired(Probability(probability, seed=1), n_in, n_out)
    expected = n_in * n_out * probability
    assert abs(len(made.indices) - expected) <= 5 * np.sqrt(expected * (1 - probability))
    assert len(set(places(made))) == len(made.indices)
    assert (np.diff(made.offsets) >= 0).all()


@pytest.mark.parametrize("count", [1, 7, 39, 40])
def test_each_output_has_so_many_different_inputs(count: int) -> None:
    made = wired(FanIn(count, seed=3), 40, 30)
    assert (made.fan_in == count).all()
    assert len(set(places(made))) == 30 * count
    used = np.bincount(made.inputs, minlength=40)
    assert abs(used - 30 * count / 40).max() <= 6 * np.sqrt(30 * count / 40)


def test_one_to_one_and_local() -> None:
    assert places(wired(OneToOne(), 3, 3)) == [(0, 0), (1, 1), (2, 2)]
    line = places(wired(Local((4,), 1), 4, 4))
    assert line == [(i, o) for i in range(4) for o in range(4) if abs(i - o) <= 1]
    ring = places(wired(Local((4,), 1, wrap=True), 4, 4))
    assert ring == [(i, o) for i in range(4) for o in range(4) if (i - o) % 4 in (0, 1, 3)]
    grid = places(wired(Local((5, 4), 1, stride=2), 20, 6))
    expected = [
        (4 * r + c, 2 * i + k)
        for r in range(5) for c in range(4) for i in range(3) for k in range(2)
        if abs(r - 2 * i) <= 1 and abs(c - 2 * k) <= 1
    ]    # fmt: skip
    assert grid == expected


Entries = namedtuple("Entries", "row col data")


class Stored:
    """What a scipy.sparse matrix is to us, in whatever format."""

    shape = (3, 4)

    def __init__(self, times: complex = 1.0) -> None:
        self.data = np.array([0.5, -2.0, 0.25, 0.0]) * times

    def tocoo(self) -> Entries:
        return Entries(np.array([2, 0, 2, 1]), np.array([3, 1, 3, 0]), self.data)


def test_masks_and_matrices() -> None:
    mask = np.array([[0, 1, 0], [1, 0, 1]], bool)
    assert places(wired(mask, 3, 2)) == [(0, 1), (1, 0), (2, 1)]
    made = wired(Stored(), 4, 3)
    assert places(made) == [(0, 1), (1, 0), (3, 2)]
    assert made.weights is not None
    np.testing.assert_array_equal(made.weights, [0.0, -2.0, 0.75])
    network = trace(nn.Sequential(fc=nn.SparseLinear(4, 3, Stored())))
    np.testing.assert_array_equal(network.parameters["fc.values"], made.weights)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Probability(0.0), "above 0, at most 1"),
        (lambda: Probability(0.5, seed=-1), "seed must be"),
        (lambda: FanIn(0), "count must be a positive integer"),
        (lambda: nn.SparseLinear(3, 4, FanIn(5)), "5 different inputs of 3"),
        (lambda: nn.SparseLinear(3, 4, OneToOne()), "as many outputs as inputs"),
        (lambda: nn.SparseLinear(3, 4, Local((3,), 1)), "features, the layer has 3 and 4"),
        (lambda: Local((3, 3, 3), 1), "one or two positive integers"),
        (lambda: nn.SparseLinear(3, 4, np.ones((3, 4), bool)), r"\[out_features, in_features\] = \[4, 3\]"),
        (lambda: nn.SparseLinear(3, 4, np.ones((4, 3))), "an array of float64"),
        (lambda: nn.SparseLinear(3, 4, np.zeros((4, 3), bool)), "no input leads to any output"),
        (lambda: nn.SparseLinear(3, 4, "random"), "got str"),
        (lambda: pairs(3, 2, [0, 3], [1, 1]), "inputs from 0 to 2, got 0 to 3"),
        (lambda: pairs(3, 2, [0], [-1]), "outputs from 0 to 1, got -1 to -1"),
        (lambda: Connections(1, 2, np.array([2]), np.array([0, 1])), "outputs from 0 to 1, got 2 to 2"),
        (lambda: Connections(2, 2, np.array([1]), np.array([0, 3, 1])), "3 numbers that ascend from 0 to 1"),
        (lambda: nn.SparseLinear(4, 3, Stored(1j)), "real numbers, got complex128"),
        (lambda: nn.snngrow.SparseSynapse(3, 4, connection="all"), "None, 'random' or a matrix"),
        (lambda: nn.snngrow.SparseSynapse(3, 4, connection=np.full((4, 3), 0.5)), "0 and 1 alone"),
    ],
)
def test_what_does_not_fit_is_said(make: Any, message: str) -> None:
    with pytest.raises(CompileError, match=message):
        make()


def test_snngrows_synapse_is_a_masked_layer() -> None:
    """y = x (W C)^T + b, dW = C (dy^T x): of the weights alone that C lets through."""
    mask = np.array([[1, 0, 1], [0, 1, 1]])
    layer = nn.snngrow.SparseSynapse(3, 2, connection=mask)
    assert (layer.dense(np.ones(4)) == mask).all()
    assert len(nn.snngrow.SparseSynapse(3, 2).connections.indices) == 6
    half = nn.snngrow.SparseSynapse(100, 80, connection="random", seed=1).connections
    assert abs(len(half.indices) - 4000) < 5 * np.sqrt(2000)


def test_connections_are_neither_text_nor_parameters(tmp_path: Path) -> None:
    """A layer of 20,000 x 20,000: its C is that of any other, its memory that of its synapses."""
    texts = []
    for n, probability in ((20_000, 0.001), (300, 0.05)):
        layer = nn.SparseLinear(n, n, Probability(probability, seed=1))
        compiled = generate(trace(nn.Sequential(fc=layer, lif=nn.Leaky(0.9))), Target(num_steps=5))
        texts.append(len(compiled.sources.files["model.c"]))
        synapses = len(layer.connections.indices)
        assert sum(t.length for t in compiled.program.tensors) < 2 * synapses + 3 * n + 100
    assert abs(texts[0] - texts[1]) < 2000


def test_a_saved_model_keeps_its_connections(tmp_path: Path) -> None:
    network = nn.Sequential(fc=nn.SparseLinear(6, 4, FanIn(2)), lif=nn.Leaky(0.9))
    model = snncc.compile(network, num_steps=3, out=tmp_path / "a")
    assert set(model.params) == {"fc.values", "fc.bias"}
    np.testing.assert_array_equal(model.structure["fc.indices"], network.layers["fc"].connections.indices)
    model.params["fc.values"] = np.arange(8.0)
    model.save(tmp_path / "b")
    again, x = snncc.load(tmp_path / "b"), np.ones((3, 2, 6))
    np.testing.assert_array_equal(again(x).mem, model(x).mem)
    model.save_weights(tmp_path / "w.safetensors")
    again.load_weights(tmp_path / "w.safetensors")
    other = nn.Sequential(fc=nn.SparseLinear(6, 4, FanIn(2, seed=1)), lif=nn.Leaky(0.9))
    with pytest.raises(ModelError, match="not the connections that the model was compiled with"):
        snncc.compile(other, num_steps=3).load_weights(tmp_path / "w.safetensors")
    altered = {**again.params, **again.structure, "fc.indices": again.structure["fc.indices"] + 10**6}
    write_safetensors(tmp_path / "b" / "weights.safetensors", altered)
    with pytest.raises(ModelError, match="not the connections that the model was compiled with"):
        snncc.load(tmp_path / "b")


def test_a_rule_without_traces_refuses() -> None:
    network = trace(nn.Sequential(fc=nn.SparseLinear(6, 4, FanIn(2)), lif=nn.Leaky(0.9)))
    with pytest.raises(CompileError, match="sparse synapses and embeddings have no traces"):
        generate(network, Target(loss=loss.cross_entropy("mem"), rule="ottt"))


def test_of_a_sequence_that_is_the_same_at_every_step() -> None:
    layer = nn.SparseLinear(3, 2, np.ones((2, 3), bool))
    network = trace(nn.Sequential(fc=layer, input=nn.Input(3, static=True)))
    x = np.arange(6.0).reshape(2, 3)
    found = evaluate(network.graph, Call({"x": x}, network.parameters, {}, 4, 2))
    assert found["output", "out"].shape == (2, 2)


def test_few_neurons_feed_back_through_sparse_synapses() -> None:
    """So few that their layers are no panels: what reads a list is a kernel of its own in the profile."""
    back = nn.SparseLinear(8, 8, FanIn(3))
    network = nn.Sequential(nn.Linear(9, 8), nn.Recurrent(nn.Leaky(0.9, threshold=0.2), back))
    model = snncc.compile(network, num_steps=4)
    x = np.random.default_rng(0).random((4, 2, 9), np.float32)
    assert 0 < model(x).spk.mean() < 1
    assert model.backward(x, spk=np.ones((4, 2, 8), np.float32)).params["1.back.values"].any()
