"""Normalisation layers: PyTorch's numbers, in training and in a call, interpreted, in C and on CUDA."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

import snncc
from snncc import loss, nn, optim
from snncc.driver import entry_stages
from snncc.frontend.dsl import Network, add_loss, trace
from snncc.ops import Value, scatter_add
from snncc.ops.reduce import Reshape
from snncc.ops.value import apply
from snncc.passes.pipeline import Options
from snncc.reference import Call, evaluate
from snncc.target import Target
from snncc_runtime import Model
from tests.test_differentiate import arguments, slopes_agree
from tests.vector_runs import BOUND, DTYPES, model_of

GOLDEN = np.load(Path(__file__).parent / "golden" / "layers" / "norm.npz")
STEPS, BATCH = 3, 4
LAYERS: dict[str, tuple[Any, tuple[int, ...]]] = {
    "bn1d": (lambda: nn.BatchNorm1d(5), (5,)),
    "bn1d_length": (lambda: nn.BatchNorm1d(3, eps=1e-2, momentum=0.3), (3, 4)),
    "bn2d": (lambda: nn.BatchNorm2d(3, momentum=None), (3, 2, 3)),
    "bn2d_plain": (lambda: nn.BatchNorm2d(2, affine=False, track_running_stats=False), (2, 2, 2)),
    "bn3d": (lambda: nn.BatchNorm3d(2, affine=False), (2, 2, 1, 2)),
    "tdbn": (lambda: nn.ThresholdDependentBatchNorm2d(0.5, 1.5, 2), (2, 2, 2)),
    "bntt1d": (lambda: nn.BatchNormTT1d(4, STEPS), (4,)),
    "bntt2d": (lambda: nn.BatchNormTT2d(2, STEPS, momentum=0.2), (2, 2, 2)),
    "ln": (lambda: nn.LayerNorm(6), (6,)),
    "ln_all": (lambda: nn.LayerNorm((2, 3)), (2, 3)),
    "ln_last": (lambda: nn.LayerNorm(3, eps=1e-3), (4, 3)),
    "gn": (lambda: nn.GroupNorm(2, 4), (4, 2, 3)),
    "gn_one": (lambda: nn.GroupNorm(1, 4, affine=False), (4, 3)),
    "ws": (lambda: nn.WSLinear(6, 6), (6,)),
    "ws_conv": (lambda: nn.WSConv2d(2, 2, 3, padding=1, gain=False), (2, 2, 3)),
}
TOTAL = sum(int(np.prod(features)) for _, features in LAYERS.values())


class Behind(nn.Module):
    """A layer on an image that a Linear makes."""

    def __init__(self, layer: nn.Module, features: tuple[int, ...]) -> None:
        self.features = features
        self.fc, self.layer = nn.Linear(3, int(np.prod(features)), bias=False), layer

    def forward(self, x: Value) -> Value:
        y = self.layer(apply(Reshape(self.features), self.fc(x)))
        flat: Value = apply(Reshape((int(np.prod(self.features)),)), y)
        return flat


class Every(nn.Module):
    """All layers side by side, their outputs one after the other."""

    inputs: ClassVar = {"x": nn.Input(3)}

    def __init__(self) -> None:
        self.layers = {name: Behind(make(), features) for name, (make, features) in LAYERS.items()}

    def forward(self, x: Value) -> dict[str, Value]:
        parts, at = [], 0
        for layer in self.layers.values():
            y = layer(x)
            parts.append(scatter_add(y, range(at, at + y.shape[0]), (TOTAL,)))
            at += y.shape[0]
        return {"mem": sum(parts[1:], parts[0])}


@cache
def every() -> Network:
    return trace(Every())


def golden(label: str, grad: bool = False) -> np.ndarray | None:
    """PyTorch's array of a parameter or buffer of ours; of BNTT the rows of all steps."""
    _, name, part, *rest = label.split(".")
    key = f"{name}.{'.'.join([part, *rest]) if part == 'fc' else rest[0]}"
    if f"{key}{'.grad' * grad}" in GOLDEN:
        return GOLDEN[f"{key}{'.grad' * grad}"]
    rows = [f"{name}.{t}.{rest[0]}{'.grad' * grad}" for t in range(STEPS)]
    return np.stack([GOLDEN[k] for k in rows]) if rows[0] in GOLDEN else None


def start() -> dict[str, np.ndarray]:
    """The parameters before the two steps."""
    learnt = {n.op.label for n in every().graph if n.op.name == "parameter" and n.op.learnable}
    return {k: golden(k) if k in learnt else v for k, v in every().parameters.items()}


def close(found: np.ndarray, wanted: np.ndarray, tolerance: float, what: str) -> None:
    scale = max(1.0, float(np.abs(wanted).max()))
    assert np.abs(found - wanted).max() <= tolerance * scale, what


def check(params: dict[str, np.ndarray], grads: dict[str, np.ndarray], tolerance: float) -> None:
    """Gradients of the second step, and buffers after it."""
    assert len(grads) > 20
    for label, array in grads.items():
        close(array, golden(label, grad=True), tolerance, f"gradient of {label}")
    for label in params.keys() - grads.keys():
        close(params[label], golden(label), tolerance, label)


def test_interpreted_layers_have_pytorchs_numbers() -> None:
    stages = {s.name: s for s in entry_stages(every(), Target(STEPS, loss.mse("mem")))}
    graphs = {}
    for name, stage in stages.items():
        graphs[name] = next(g for p, g in stage.run(Options("f64")) if p.title() == "simplify")
    params = start()
    for step in range(2):
        inputs = {"x": GOLDEN[f"x{step}"], "target": GOLDEN[f"target{step}"]}
        found = evaluate(graphs["train"], Call(inputs, params, {}, STEPS, BATCH))
        close(found["loss", "loss"], GOLDEN[f"loss{step}"], 1e-12, "loss")
        params |= {name: array for (role, name), array in found.items() if role == "parameter"}
    check(params, {name: a for (role, name), a in found.items() if role == "gradient"}, 1e-10)
    out = evaluate(graphs["forward"], Call({"x": GOLDEN["x1"]}, params, {}, STEPS, BATCH))
    close(out["output", "mem"], np.concatenate([GOLDEN[f"{n}.out"] for n in LAYERS], 2), 1e-10, "outputs")


LEARNING: dict[str, Any] = {"num_steps": STEPS, "loss": loss.mse("mem"), "optimizer": optim.SGD(0.1)}


def trained(model: Model, dtype: str) -> dict[str, np.ndarray]:
    """Everything after the two steps, which has PyTorch's numbers."""
    bound = BOUND[dtype]
    model.params.update(start())
    for step in range(2):
        value = model.train_step(GOLDEN[f"x{step}"], GOLDEN[f"target{step}"], lr=0.0)
        close(np.array(value), GOLDEN[f"loss{step}"], bound, "loss")
    params, grads, out = dict(model.params), model.gradients(), model(GOLDEN["x1"]).mem
    check(params, grads, bound)
    close(out, np.concatenate([GOLDEN[f"{n}.out"] for n in LAYERS], 2), bound, "outputs")
    return {**params, **{f"d_{name}": array for name, array in grads.items()}, "out": out}


@pytest.mark.parametrize("dtype", DTYPES)
def test_compiled_layers_have_pytorchs_numbers(dtype: str, tmp_path: Path) -> None:
    """And the same bits for any number of threads."""
    snncc.compile(Every(), **LEARNING, dtype=dtype, out=tmp_path / "model")
    models = (snncc.load(tmp_path / "model", threads=threads, tile=2, slots=2) for threads in (1, 2, 5))
    found = [trained(model, dtype) for model in models]
    for name, array in found[0].items():
        assert array.tobytes() == found[1][name].tobytes() == found[2][name].tobytes(), name


@pytest.mark.parametrize("dtype", DTYPES)
def test_layers_have_pytorchs_numbers_on_cuda(dtype: str) -> None:
    trained(model_of(Every(), "cuda", **LEARNING, dtype=dtype), dtype)


class Some(nn.Module):
    """A normalisation by channels, one by groups of a row, one of the last features."""

    inputs: ClassVar = {"x": nn.Input(3)}

    def __init__(self) -> None:
        self.a = Behind(nn.BatchNorm2d(3), (3, 2, 3))
        self.b = Behind(nn.GroupNorm(2, 4), (4, 2, 3))
        self.c = Behind(nn.LayerNorm(3), (4, 3))

    def forward(self, x: Value) -> dict[str, Value]:
        return {"a": self.a(x), "b": self.b(x), "c": self.c(x)}


@pytest.mark.parametrize("layer", ["bn1d_length", "bn2d", "tdbn", "bntt2d", "ln_last", "gn", "ws_conv"])
def test_gradients_of_training_are_slopes(layer: str) -> None:
    """Through the statistics of the batch, and a spike behind them made smooth."""
    make, features = LAYERS[layer]
    network = trace(nn.Sequential(a=Behind(make(), features), lif=nn.Leaky(0.8), input=nn.Input(3)))
    assert (network.training is not None) == layer.startswith(("bn", "td"))
    graph = add_loss(network.trained, loss.mse("mem"))
    graph = replace(graph, outputs=tuple(o for o in graph.outputs if o.role != "parameter"))
    seen = slopes_agree(graph, "loss", arguments(network, loss.mse("mem"), steps=STEPS, batch=BATCH))
    learnt = {name for name, parameter in make()._parameters.items() if parameter.learnable}
    assert {("gradient", f"a.layer.{name}") for name in learnt} <= seen


def test_calls_and_their_gradients_are_the_interpreters() -> None:
    network, rng = trace(Some()), np.random.default_rng(0)
    model = snncc.compile(Some(), dtype="float64", num_steps=STEPS)
    params = {k: rng.normal(size=v.shape) ** 2 + 0.1 for k, v in network.parameters.items()}
    model.params.update(params)
    stages = {s.name: s for s in entry_stages(network, Target(STEPS))}
    graphs = {name: list(s.run(Options("f64")))[-1][1] for name, s in stages.items()}
    inputs: ClassVar = {"x": rng.normal(size=(STEPS, BATCH, 3))}
    outputs = evaluate(graphs["forward"], Call(inputs, params, {}, STEPS, BATCH))
    found = model(inputs["x"])
    given = {}
    for name in "abc":
        close(found[name], outputs["output", name], 1e-12, name)
        given[name] = rng.normal(size=found[name].shape)
    model.backward(inputs["x"], cotangents=given)
    inputs |= {f"d_{name}": array for name, array in given.items()}
    wanted = evaluate(graphs["backward"], Call(inputs, params, {}, STEPS, BATCH))
    for (role, name), array in wanted.items():
        if role == "gradient":
            close(model.gradients()[name], array, 1e-12, name)


class Unread(nn.Module):
    """A branch that nothing reads, with two layers of batch normalisation, beside one that is folded."""

    inputs: ClassVar = {"x": nn.Input(3)}

    def __init__(self) -> None:
        self.fc1, self.norm1, self.norm2 = nn.Linear(3, 3), nn.BatchNorm1d(3), nn.BatchNorm1d(3)
        self.fc2, self.norm3 = nn.Linear(3, 2), nn.BatchNorm1d(2)

    def forward(self, x: Value) -> dict[str, Value]:
        self.norm2(self.norm1(self.fc1(x)) * 2.0)
        return {"y": self.norm3(self.fc2(x))}


def test_a_branch_that_nothing_reads_is_dropped() -> None:
    (forward,) = (s for s in entry_stages(trace(Unread()), Target(STEPS)) if s.name == "forward")
    graph = {step.title(): g for step, g in forward.run(Options("f64"))}["fold-affine"]
    kinds = [node.op.name for node in graph]
    assert (kinds.count("linear"), kinds.count("affine")) == (1, 0)
