"""What waits for the whole batch: networks with several layers of it, dropout, folded calls, errors."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import snncc
from snncc import loss, nn, optim
from snncc.driver import entry_stages, generate
from snncc.frontend.dsl import trace
from snncc.ops import Value
from snncc.passes.pipeline import Options
from snncc.reference import Call, evaluate
from snncc.target import Target
from snncc_runtime import ModelError

STEPS, BATCH = 5, 7
IMAGE, VECTOR = (2, 6, 6), (4,)


def deep() -> nn.Module:
    """Two chains of statistics; a loop over time around a product; widths of several panels."""
    return nn.Sequential(
        nn.Linear(4, 70), nn.BatchNorm1d(70), nn.Leaky(0.9),
        nn.Linear(70, 24), nn.RLeaky(0.9, linear_features=24),
        nn.Linear(24, 3), nn.BatchNorm1d(3), nn.Leaky(0.8),
    )  # fmt: skip


def images() -> nn.Module:
    """Behind convolutions; masks of channels; a layer that has no steps."""
    return nn.Sequential(
        nn.Conv2d(2, 6, 3, padding=1), nn.BatchNorm2d(6), nn.Leaky(0.9), nn.Dropout2d(0.3), nn.AvgPool2d(2),
        nn.WSConv2d(6, 5, 3), nn.ThresholdDependentBatchNorm2d(1.0, 1.0, 5), nn.Leaky(0.9),
        nn.Flatten(), nn.Linear(5, 3), nn.Leaky(0.9), input=nn.Input(*IMAGE, static=True),
    )  # fmt: skip


def masks() -> nn.Module:
    return nn.Sequential(
        nn.Linear(4, 24), nn.LayerNorm(24), nn.Leaky(0.9), nn.Dropout(0.3), nn.Linear(24, 20),
        nn.Dropout(0.5, per_step=True), nn.GroupNorm(4, 20), nn.Leaky(0.9), nn.Linear(20, 3), nn.Leaky(0.9),
    )  # fmt: skip


NETWORKS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...], dict[str, Any]]] = {
    "deep": (deep, (STEPS, BATCH, *VECTOR), {}),
    "images": (images, (BATCH, *IMAGE), {"context": "float16", "unroll": 2}),
    "masks": (masks, (STEPS, BATCH, *VECTOR), {}),
}


def given(module: nn.Module, shape: tuple[int, ...]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Inputs and parameters; variances are positive."""
    rng = np.random.default_rng(0)
    params = {k: rng.normal(size=v.shape) for k, v in trace(module).parameters.items()}
    params |= {k: v**2 + 0.1 for k, v in params.items() if k.endswith("running_var")}
    return {"x": rng.normal(size=shape), "target": rng.integers(0, 3, BATCH)}, params


@pytest.mark.parametrize("name", NETWORKS)
def test_a_training_step_is_the_interpreters(name: str, tmp_path: Path) -> None:
    """Loss, gradients and updated statistics; the same bits for any number of threads."""
    make, shape, options = NETWORKS[name]
    target = Target(STEPS, loss.cross_entropy("mem"), optim.SGD(0.1), "float64", **options)
    stages = {s.name: s for s in entry_stages(trace(make()), target)}
    graph = list(stages["train"].run(target.options))[-1][1]
    inputs, params = given(make(), shape)
    wanted = evaluate(graph, Call(inputs, params, {}, STEPS, BATCH, seed=3))
    assert max(n.stage.phase for n in graph if n.stage) == {"deep": 6, "images": 6, "masks": 0}[name]
    snncc.compile(
        make(), num_steps=STEPS, loss=target.loss, optimizer=target.optimizer, dtype="float64", **options,
        out=tmp_path / "model",
    )  # fmt: skip
    bits = set()
    for threads, tile, slots in ((1, 2, 2), (2, 2, 2), (3, 2, 2), (4, 3, 1), (2, 1, 4)):
        model = snncc.load(tmp_path / "model", threads=threads, tile=tile, slots=slots)
        model.params.update(params)
        model.seed = 3
        value = model.train_step(inputs["x"], inputs["target"], lr=0.0)
        found = {("gradient", k): v for k, v in model.gradients().items()}
        found |= {("parameter", k): v for k, v in model.params.items()} | {("loss", "loss"): np.array(value)}
        for key, array in wanted.items():
            assert np.abs(found[key] - array).max() <= 1e-12 * max(1.0, np.abs(array).max()), key
        if (tile, slots) == (2, 2):
            bits.add(b"".join(array.tobytes() for array in found.values()))
    assert len(bits) == 1


@pytest.mark.parametrize(("make", "shape"), [(deep, VECTOR), (images, IMAGE)])
def test_a_call_has_its_normalisation_in_its_weights(make: Callable[[], nn.Module], shape: Any) -> None:
    """And computes them again when a parameter has changed."""
    network = trace(make())
    stages = {s.name: s for s in entry_stages(network, Target(STEPS))}
    graph = list(stages["forward"].run(Options("f64")))[-1][1]
    own = [n for n in graph if n.type.batch and n.name.startswith(("1.", "6."))]
    assert not any(n.op.name in ("mul", "add") for n in own)
    static = network.inputs["x"].static
    inputs, params = given(make(), ((BATCH, *shape) if static else (STEPS, BATCH, *shape)))
    model = snncc.compile(make(), num_steps=STEPS, dtype="float64")
    found = []
    for factor in (1.0, 1.1, 1.0):
        now = {name: array * factor for name, array in params.items()}
        model.params.update(now)
        wanted = evaluate(stages["forward"].graph, Call(inputs, now, {}, STEPS, BATCH))["output", "mem"]
        found.append(model(inputs["x"]).mem)
        assert np.abs(found[-1] - wanted).max() < 1e-11 * np.abs(wanted).max()
        model.backward(inputs["x"])
        assert model(inputs["x"]).mem.tobytes() == found[-1].tobytes()
    assert found[0].tobytes() == found[2].tobytes() != found[1].tobytes()


def test_dropout_is_off_in_a_call_and_keeps_its_mask_over_steps() -> None:
    class Net(nn.Module):
        inputs = {"x": nn.Input(50)}  # noqa: RUF012

        def __init__(self) -> None:
            self.one, self.each = nn.Dropout(0.25), nn.Dropout(0.25, per_step=True)

        def forward(self, x: Value) -> dict[str, Value]:
            return {"mem": self.one(x), "each": self.each(x)}

    network = trace(Net())
    ones = np.ones((20, 8, 50))
    call = Call({"x": ones}, {}, {}, 20, 8, seed=1)
    off, on = evaluate(network.graph, call), evaluate(network.trained, call)
    assert (off["output", "mem"] == 1).all() and (off["output", "each"] == 1).all()
    one, each = on["output", "mem"], on["output", "each"]
    assert (one == one[:1]).all() and not (each == each[:1]).all()
    for array in (one[:1], each):
        assert set(np.unique(array)) == {0.0, 1 / 0.75}
        assert abs((array == 0).mean() - 0.25) < 0.05


def dropped(layer: nn.Module, *shape: int) -> np.ndarray:
    """What a layer leaves of ones in training, [8, *shape]."""
    network = trace(nn.Sequential(layer, input=nn.Input(*shape)))
    array = evaluate(network.trained, Call({"x": np.ones((1, 8, *shape))}, {}, {}, 1, 8, seed=1))
    found: np.ndarray = array["output", "out"][0]
    return found


@pytest.mark.parametrize(
    ("layer", "shape"), [(nn.Dropout1d, (40, 5)), (nn.Dropout2d, (40, 5, 2)), (nn.Dropout3d, (40, 5, 2, 3))]
)
def test_dropout_of_channels_takes_all_of_one(layer: Any, shape: tuple[int, ...]) -> None:
    found = dropped(layer(0.25), *shape).reshape(8, 40, -1)
    assert (found == found[..., :1]).all() and set(np.unique(found)) == {0.0, 1 / 0.75}
    assert 0.15 < (found[..., 0] == 0).mean() < 0.35
    assert not dropped(layer(1.0), *shape).any(), "as PyTorch's"
    with pytest.raises(snncc.CompileError, match=rf"expected features \[C, .*\], found \[{shape[0]}\]"):
        trace(nn.Sequential(layer(), input=nn.Input(shape[0])))


class Loop(nn.Module):
    """Normalises what a step feeds back."""

    inputs = {"x": nn.Input(4)}  # noqa: RUF012

    def __init__(self) -> None:
        self.bn, self.lif = nn.BatchNorm1d(4), nn.Leaky(0.9)

    def forward(self, x: Value) -> Any:
        back = snncc.delay(shape=4)
        spk, mem = self.lif(self.bn(x + back.value))
        back.feed(spk)
        return {"spk": spk, "mem": mem}


def first(norm: nn.Module) -> nn.Module:
    """A network that begins with a norm."""
    return nn.Sequential(norm=norm, fc=nn.Linear(4, 3), lif=nn.Leaky(0.9), input=nn.Input(4))


def test_what_cannot_be_is_refused_by_name() -> None:
    def target(**options: Any) -> Target:
        return Target(STEPS, loss.cross_entropy("mem"), **options)

    cases: tuple[tuple[nn.Module, dict[str, Any], str], ...] = (
        (Loop(), {}, "within a feedback loop; normalise what comes into the loop"),
        (deep(), {"checkpoint_every": 2}, r"waits for statistics .*\(test_phases.py:\d+\)$"),
        (first(nn.BatchNorm1d(4)), {"checkpoint_every": 2}, r"^layer norm waits .*\(test_phases.py:\d+\)$"),
        (first(nn.BatchNormTT1d(4, STEPS)), {"checkpoint_every": 2}, "^layer norm needs all steps at once"),
        (deep(), {"rule": "ottt"}, "%0.linear flows into a membrane through a curved function"),
    )
    for module, options, words in cases:
        with pytest.raises(snncc.CompileError, match=words):
            generate(trace(module), target(**options))
    with pytest.raises(snncc.CompileError, match=r"expected features .5. or .5, length., found .4."):
        trace(nn.Sequential(nn.BatchNorm1d(5), input=nn.Input(4)))
    with pytest.raises(snncc.CompileError, match="p must be a probability"):
        nn.Dropout(1.5)
    with pytest.raises(snncc.CompileError, match="cannot be divided into 3 groups"):
        nn.GroupNorm(3, 4)


def test_a_variance_needs_two_numbers_and_a_batch_its_memory() -> None:
    net = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3), nn.Leaky(0.9))
    model = snncc.compile(net, num_steps=1, loss=loss.cross_entropy("mem"), optimizer=optim.SGD(0.1))
    before = dict(model.params)
    with pytest.raises(ModelError, match="more than one number a channel"):
        model.train_step(np.ones((1, 1, 4), np.float32), np.zeros(1, np.int64))
    assert all((model.params[k] == v).all() for k, v in before.items())
    with pytest.raises(ModelError, match="finite"):
        model.train_step(np.full((1, 3, 4), np.nan, np.float32), np.zeros(3, np.int64))
    assert all((model.params[k] == v).all() for k, v in before.items()), "statistics of a failed step"
    for batch in (2, 90, 30):
        model.train_step(np.ones((1, batch, 4), np.float32), np.zeros(batch, np.int64))
    assert model.params["1.num_batches_tracked"] == 3
