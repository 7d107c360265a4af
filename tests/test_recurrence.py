"""Feedback: around a neuron, around several layers, by delays; its loops, its kernels, its states."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

import snncc
from snncc import nn
from snncc.driver import entry_stages, generate
from snncc.errors import CompileError
from snncc.frontend.dsl import trace
from snncc.passes.choose_kernels import spike_states
from snncc.target import Target
from snncc_runtime import ModelError
from tests.networks import BOUND, CLASSES, Bench, Case, Extent, difference

INPUTS, HIDDEN = 5, 70    # beyond a panel


class Everything(nn.Module):
    """All to all, one to one, around two layers, and after a further delay."""

    inputs: ClassVar[dict[str, nn.Input]] = {"x": nn.Input(INPUTS)}

    def __init__(self) -> None:
        self.fc = nn.Linear(INPUTS, HIDDEN)
        self.all = nn.Recurrent(nn.Leaky(0.9), nn.Linear(HIDDEN, HIDDEN))
        self.own = nn.Recurrent(nn.Leaky(0.8), V=np.linspace(-0.5, 0.5, HIDDEN))
        self.two = nn.Recurrent(
            nn.Sequential(a=nn.Leaky(0.7), fc=nn.Linear(HIDDEN, 18), b=nn.Leaky(0.9)), nn.Linear(18, HIDDEN)
        )
        self.late, self.out = nn.Linear(HIDDEN, HIDDEN, bias=False), nn.Linear(18, CLASSES)

    def forward(self, x: Any) -> dict[str, Any]:
        loop = snncc.delay(shape=HIDDEN, name="loop")
        spk = self.all(self.fc(x) + self.late(snncc.delay(loop.value, name="again"))).spk
        loop.feed(spk)
        own = self.own(spk)
        both = self.two(own.spk + 0.5 * spk)
        return {"spk": self.out(both.spk), "mem": both.mem, "own": own.mem}


def states(bench: Bench, batch: int) -> dict[str, Any]:
    """Initial states of all kinds; of spikes zeros and ones."""
    rng = np.random.default_rng(3)
    found: list[Any] = [n for n in bench.traced.graph if n.op.name == "state"]
    values = {n.op.label: np.round(rng.normal(size=(batch, *n.type.features)) * 16) / 16 for n in found}
    return values | {name: (values[name] > 0) * 1.0 for name in spike_states(bench.traced.graph)}


@pytest.mark.parametrize(("dtype", "options"), [("float32", {}), ("float64", {"checkpoint_every": 4})])
def test_feedback_is_the_interpreters(dtype: str, options: dict[str, Any], tmp_path: Path) -> None:
    bench = Bench(Case(Everything, None), dtype, tmp_path / "m", **options)
    assert spike_states(bench.traced.graph) >= {"all.back", "two.back", "again", "loop"}
    model = bench.load(threads=2)
    for extent in (Extent(9, 3), Extent(1, 2), Extent(17, 5)):
        x, cotangents = bench.inputs(extent), bench.cotangents(extent)
        given = {**x, **{f"d_{name}": c for name, c in cotangents.items()}}
        for state in (None, states(bench, extent.batch)):
            result = model(x, state=state)
            for (role, name), array in bench.reference("forward", extent, x, state).items():
                found = result[name] if role == "output" else result.state[name]
                assert difference(found, array) <= BOUND[dtype], (role, name)
            back = model.backward(x, state=state, cotangents=cotangents)
            roles = {"d_input": back.inputs, "gradient": back.params, "d_state": back.state}
            for (role, name), array in bench.reference("backward", extent, given, state).items():
                assert difference(roles[role][name], array) <= BOUND[dtype], (role, name)


def test_loops_hold_what_depends_on_itself_and_nothing_else() -> None:
    """What leads to feedback, and what only reads it, runs for all steps at once, forward and backward."""
    net = nn.Sequential(
        fc1=nn.Linear(INPUTS, HIDDEN),
        lif1=nn.RLeaky(0.9, linear_features=HIDDEN),
        fc2=nn.Linear(HIDDEN, CLASSES),
        lif2=nn.Leaky(0.9),
    )
    (stages,) = [s for s in entry_stages(trace(net), Target()) if s.name == "backward"]
    *_, (_, graph) = stages.run(Target().options)
    components = {frozenset(c) for c in graph.components if len(c) > 1}
    loops: dict[int, set[str]] = {}
    for node in graph:
        if node.stage and node.stage.kind in ("scan", "reverse"):
            loops.setdefault(node.stage.loop, set()).add(node.name)
    assert {frozenset(members) for members in loops.values()} == components
    looped = set().union(*components)
    products = {n.name: n for n in graph if n.op.name in ("linear", "weight_gradient")}
    assert {name for name in products if name in looped} == {"lif1.recurrent.linear", "d_lif1.spk.prev"}
    assert str(products["lif1.recurrent.linear"].op) == "linear<events>"
    outside = {n.stage.kind for n in products.values() if n.stage and n.name not in looped}
    assert outside == {"parallel", "tile"}
    gradient = products["d_lif1.recurrent.weight"]
    assert str(graph[gradient.inputs[1]].op) == "events<previous>", "the spikes are kept once, as bits"


@pytest.mark.parametrize(("steps", "tile"), [(3, 12), (25, 12), (100, 4), (2000, 1)])
def test_a_step_reads_its_weights_for_a_block_of_samples(steps: int, tile: int) -> None:
    """Whatever the cache has room for, unless so many samples are too many rows."""
    net = nn.Sequential(lif=nn.RLeaky(0.9, linear_features=HIDDEN), input=nn.Input(HIDDEN))
    assert generate(trace(net), Target(num_steps=steps)).tile == tile


def test_all_to_all_is_recurrent_leaky() -> None:
    own = nn.Sequential(fc=nn.Linear(INPUTS, 20), lif=nn.RLeaky(0.9, linear_features=20))
    made = nn.Sequential(fc=nn.Linear(INPUTS, 20), lif=nn.Recurrent(nn.Leaky(0.9), nn.Linear(20, 20)))
    x = np.random.default_rng(0).normal(size=(12, 4, INPUTS))
    one, two = (snncc.compile(net, num_steps=12, dtype="float64") for net in (own, made))
    renamed = {"lif.recurrent.weight": "lif.back.weight", "lif.recurrent.bias": "lif.back.bias"}
    two.params.update({renamed.get(name, name): 2 * array for name, array in one.params.items()})
    one.params.update({name: 2 * array for name, array in one.params.items()})
    np.testing.assert_array_equal(one(x).spk, two(x).spk)
    np.testing.assert_allclose(one(x).mem, two(x).mem, atol=1e-12)
    assert one(x).spk.mean() > 0.05
    with pytest.raises(ModelError, match="spikes of the step before, which are 0 or 1"):
        two(x, state={"lif.back": np.full((4, 20), 0.5)})


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: nn.Recurrent(nn.Leaky(0.9)), "either back, a module, or V"),
        (lambda: nn.Recurrent(nn.Leaky(0.9), nn.Linear(2, 2), V=1.0), "got both"),
        (lambda: nn.Recurrent(nn.Leaky(0.9), 0.5), "back must be a module"),
        (lambda: trace(nn.Sequential(nn.Recurrent(nn.Leaky(0.9), V=1.0, of="x"), input=nn.Input(2))),
         "no output 'x', it has spk, mem"),
    ],
)    # fmt: skip
def test_bad_feedback_is_refused(make: Any, message: str) -> None:
    with pytest.raises(CompileError, match=message):
        make()
