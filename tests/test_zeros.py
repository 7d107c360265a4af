"""Surrogates with compact support: their exact zeros are found in the graph and skipped by the products."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import snncc
from snncc import loss, nn, optim
from snncc.driver import entry_stages
from snncc.frontend.dsl import trace
from snncc.nn.surrogate import Surrogate
from snncc.passes.zeros import with_zeros
from snncc.target import Target

WIDE = {
    "triangle": nn.surrogate.Triangle(0.5),
    "rectangle": nn.surrogate.Rectangle(0.5),
    "one-sided": nn.surrogate.TwoSlopes(),
    "cut": nn.surrogate.SparseFastSigmoid(5.0, 0.25),
    "log-tail": nn.surrogate.LogTailedReLU(),
}
DENSE = {
    "atan": nn.surrogate.ATan(),
    "straight": nn.surrogate.StraightThrough(),
    "leaking": nn.surrogate.Rectangle(0.5, leak=0.25),
    "two-sided": nn.surrogate.TwoSlopes(0.1),
}


def network(surrogate: Surrogate, reset: str = "subtract") -> nn.Module:
    return nn.Sequential(
        fc1=nn.Linear(20, 150),
        lif1=nn.Leaky(0.9, surrogate=surrogate, reset=reset),
        fc2=nn.Linear(150, 70),
        lif2=nn.Leaky(0.8, surrogate=surrogate, learn_beta=True),
        fc3=nn.Linear(70, 5),
        lif3=nn.Leaky(0.7, surrogate=surrogate),
    )


def kernels(surrogate: Surrogate, chosen_loss: loss.Loss, reset: str = "subtract") -> list[str]:
    """The kernels of the gradients of spikes, from the last layer to the first."""
    traced, target = trace(network(surrogate, reset)), Target(loss=chosen_loss)
    (train,) = (s for s in entry_stages(traced, target) if s.name == "train")
    graph = [g for _, g in train.run(target.options)][-1]
    return [n.op.kernel for n in graph if n.op.name == "linear" and n.half == "backward"]  # type: ignore[attr-defined]


@pytest.mark.parametrize("reset", ["subtract", "zero", "none"])
@pytest.mark.parametrize("name", WIDE)
def test_gradients_behind_a_compact_surrogate_are_counted(name: str, reset: str) -> None:
    assert kernels(WIDE[name], loss.mse("rate"), reset) == ["counted", "counted"]


@pytest.mark.parametrize("name", DENSE)
def test_other_gradients_are_dense(name: str) -> None:
    assert kernels(DENSE[name], loss.mse("rate")) == ["dense", "dense"]


def test_a_loss_of_membranes_has_no_zeros() -> None:
    """Every membrane of the last layer has a gradient; those of layers before are behind the surrogate."""
    assert kernels(WIDE["triangle"], loss.mse("mem")) == ["dense", "counted"]


@pytest.mark.parametrize("name", WIDE)
def test_values_said_to_have_zeros_have_some(name: str) -> None:
    """Of the values on the way back through a layer, in the interpreter."""
    from snncc.passes.differentiate import Differentiate
    from snncc.passes.infer_types import InferTypes
    from snncc.reference import Call, evaluate_nodes

    traced, rng = trace(network(WIDE[name])), np.random.default_rng(0)
    (train,) = (s for s in entry_stages(traced, Target(loss=loss.mse("rate"))) if s.name == "train")
    graph = Differentiate("loss", inputs=False).run(InferTypes("f64").run(train.graph))
    inputs = {"x": rng.normal(size=(6, 4, 20)) * 2, "target": rng.random((4, 5))}
    values = evaluate_nodes(graph, Call(inputs, traced.parameters, {}, 6, 4, np.dtype("float64")))
    zeros = with_zeros(graph)
    shares = {
        n.name: float(np.mean(values[n.name] == 0.0))
        for n in graph
        if n.half == "backward" and n.op.name == "mul" and n.type.time and n.name in zeros
    }
    assert shares and max(shares.values()) > 0.3


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_every_choice_gives_the_same_bits(dtype: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    x = (3.0 * (rng.random((7, 9, 20)) < 0.5)).astype(dtype)
    y = rng.random((9, 5)).astype(dtype)
    found = []
    for products in ("auto", "dense", "events"):
        model = snncc.compile(
            network(nn.surrogate.Triangle(1.0)),
            num_steps=7,
            loss=loss.mse("rate"),
            optimizer=optim.SGD(0.0),
            dtype=dtype,
            products=products,
        )
        model.train_step(x, y)
        found.append(model.gradients())
    assert any(np.any(g != 0.0) for name, g in found[0].items() if name.startswith("fc1"))
    for other in found[1:]:
        for name, gradient in found[0].items():
            assert gradient.tobytes() == other[name].tobytes(), name
