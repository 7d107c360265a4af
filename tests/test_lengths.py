"""Sequences of different lengths in one batch give what each gives alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

import snncc
from snncc import loss, nn, optim
from snncc.commands.run import run_model
from snncc.commands.train import train_model
from snncc.errors import CompileError
from snncc_runtime import ModelError, metrics

STEPS, CLASSES = 13, 4
LENGTHS = np.array([13, 1, 7, 4, 10])


def leaky() -> nn.Module:
    return nn.Sequential(
        fc1=nn.Linear(6, 20), lif1=nn.Leaky(0.9), fc2=nn.Linear(20, CLASSES), lif2=nn.Leaky(0.8)
    )


def recurrent() -> nn.Module:
    return nn.Sequential(
        fc1=nn.Linear(6, 20),
        lif1=nn.RLeaky(0.9, linear_features=20),
        fc2=nn.Linear(20, CLASSES),
        lif2=nn.Leaky(0.8),
    )


def delayed() -> nn.Module:
    """Delays of several steps, longer than some samples, in a loop over time and not."""
    back = nn.Sequential(late=nn.Delay(3), fc=nn.Linear(20, 20))
    return nn.Sequential(
        fc1=nn.Linear(6, 20),
        lif1=nn.Recurrent(nn.Leaky(0.9), back),
        all=nn.Delay(2),
        fc2=nn.Linear(20, CLASSES),
        lif2=nn.Leaky(0.8),
    )


def late_synapses() -> nn.Module:
    """Synapses and features with delays of their own, in a loop over time and not."""
    return nn.Sequential(
        fc1=nn.DelayedLinear(6, 20, max_delay=3),
        lif1=nn.Recurrent(nn.Leaky(0.9), nn.DelayedLinear(20, 20, max_delay=2, learn_delays=True)),
        fc2=nn.Linear(20, CLASSES),
        each=nn.Delay([0, 1, 4, 2]),
        lif2=nn.Leaky(0.8),
    )


def mixing() -> nn.Module:
    """A layer whose steps all read all steps."""
    return nn.Sequential(fc1=nn.Linear(6, CLASSES), psn=nn.PSN(STEPS))


LATENCY, COUNT = loss.mse("latency", on=0, off=-1), loss.mse("count", on=0.8, off=0.2)
SPARSE = loss.l2_rate(0.5, of="lif1") + loss.cross_entropy("mem")


def compiled(make: Callable[[], nn.Module], objective: loss.Loss, **options: Any) -> snncc.Model:
    given: dict[str, Any] = {"num_steps": STEPS, "optimizer": optim.SGD(0.1), "dtype": "float64"}
    return snncc.compile(make(), loss=objective, lengths=True, **given, **options)


@pytest.fixture(scope="module")
def samples() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return 3 * rng.normal(size=(STEPS, len(LENGTHS), 6)), rng.integers(0, CLASSES, len(LENGTHS))


@pytest.mark.parametrize(
    ("make", "objective"),
    [
        *((leaky, objective) for objective in (SPARSE, LATENCY, COUNT)),
        *((leaky, loss.cross_entropy(f"mem_{readout}")) for readout in ("last", "max", "mean")),
        (recurrent, loss.cross_entropy("rate")),
        (recurrent, loss.cross_entropy("mem")),
        (delayed, loss.cross_entropy("rate")),
        (delayed, loss.cross_entropy("mem")),
        (late_synapses, loss.cross_entropy("rate")),
    ],
    ids=lambda given: getattr(given, "__name__", str(given)),
)
def test_a_batch_is_its_samples(make: Any, objective: loss.Loss, samples: Any) -> None:
    """Loss, accuracy, gradients, outputs, final states; nothing past the end has a say."""
    x, y = samples
    segments = {"checkpoint_every": 5} if str(objective) == "cross_entropy(mem)" else {}
    model, alone = compiled(make, objective, **segments), dict[str, Any]()
    model.train_step(x, y, 0.0, lengths=LENGTHS)
    gradients, scores = model.gradients(), model.evaluate(x, y, lengths=LENGTHS)
    late = np.arange(STEPS)[:, None] >= LENGTHS
    assert model.evaluate(np.where(late[..., None], 1e3, x), y, lengths=LENGTHS) == scores
    out, ones = model(x, lengths=LENGTHS), np.ones((STEPS, len(y), CLASSES))
    back = model.backward(x, lengths=LENGTHS, mem=ones, spk=ones)
    assert not back.inputs["x"][late].any() and not out.mem[late].any() and not out.spk[late].any()
    chosen = model.predict(x, lengths=LENGTHS)
    for b, steps in enumerate(LENGTHS):
        own, label = x[:steps, b : b + 1], y[b : b + 1]
        for name, value in model.evaluate(own, label).items():
            alone[name] = alone.get(name, 0.0) + value / len(y)
        model.train_step(own, label, 0.0)
        for name, array in model.gradients().items():
            alone[f"d {name}"] = alone.get(f"d {name}", 0.0) + array / len(y)
        result = model(own)
        np.testing.assert_array_equal(result.mem[:, 0], out.mem[:steps, b])
        for name, array in result.state.items():
            np.testing.assert_array_equal(out.state[name][b], array[0], err_msg=name)
        assert model.predict(own) == chosen[b]
    assert {name: alone[name] for name in scores} == pytest.approx(scores, rel=1e-12)
    for name, array in gradients.items():
        np.testing.assert_allclose(array, alone[f"d {name}"], atol=1e-12, err_msg=name)


def test_a_layer_that_mixes_steps_reads_none_past_the_end(samples: Any) -> None:
    x, y = samples
    model = compiled(mixing, loss.mse("rate", on=1.0))
    late = (np.arange(STEPS)[:, None] >= LENGTHS)[..., None]
    found = [model.evaluate(np.where(late, junk, x), y, lengths=LENGTHS) for junk in (0.0, 1e3)]
    assert found[0] == found[1]


def test_without_lengths_all_steps_count_and_fit_takes_them(samples: Any) -> None:
    x, y = samples
    model = compiled(recurrent, loss.cross_entropy("mem"))
    whole = np.full(len(y), STEPS)
    assert model.evaluate(x, y) == model.evaluate(x, y, lengths=whole)
    history = model.fit(
        x, y, epochs=3, batch_size=2, lengths=LENGTHS, validation_data=(x, y, LENGTHS), progress=False
    )
    assert history.val_loss[-1] == model.evaluate(x, y, 2, lengths=LENGTHS)["loss"] < history.val_loss[0]
    assert model.step(x[0]).mem.shape == (len(y), CLASSES)
    too_long = "from 1 to the steps of the call, found 2 to 14"
    truth = [True] * len(y)    # would be ones
    for wrong, message in ((LENGTHS + 1, too_long), (LENGTHS[:2], "batch"), (truth, "found dtype bool")):
        with pytest.raises(ModelError, match=message):
            model(x, lengths=wrong)
    with pytest.raises(ModelError, match="lengths: expected numbers, found dtype bool"):
        model.fit(x, y, lengths=truth, progress=False)
    plain = snncc.compile(leaky(), num_steps=STEPS)
    with pytest.raises(ModelError, match="compile it with lengths=True"):
        plain(x, lengths=LENGTHS)
    assert not any(port["role"] == "lengths" for port in plain.manifest["io"]), "and costs nothing"


@pytest.mark.parametrize(
    ("make", "alone"),
    [
        (lambda: nn.DSRIF(0.6), True),
        (lambda: nn.DSRLIF(STEPS, dt=0.2), False),
        (lambda: nn.spikingjelly.NonSpikingLIFNode(3.0, "mean-mem"), True),
    ],
)
def test_means_are_over_own_steps(make: Callable[[], nn.Module], alone: bool, samples: Any) -> None:
    """alone: whether the layer takes other numbers of steps than it was made for."""
    x, _ = samples
    net = nn.Sequential(make(), input=nn.Input(6))
    model = snncc.compile(net, num_steps=STEPS, lengths=True, dtype="float64")
    name = model.output_names[0]
    out = model(x, lengths=LENGTHS)[name]
    up = np.random.default_rng(0).standard_normal(out.shape)
    d_x = model.backward(x, cotangents={name: up}, lengths=LENGTHS).inputs["x"]
    late = (np.arange(STEPS)[:, None] >= LENGTHS)[..., None]
    junk = model.backward(np.where(late, 1e3, x), cotangents={name: up}, lengths=LENGTHS).inputs["x"]
    assert d_x.any() and not np.where(late, d_x, 0.0).any()
    np.testing.assert_array_equal(junk, d_x)
    for b, steps in enumerate(LENGTHS if alone else ()):
        own = up[:steps, b : b + 1] if out.ndim == 3 else up[b : b + 1]
        found = model.backward(x[:steps, b : b + 1], cotangents={name: own})
        np.testing.assert_allclose(d_x[:steps, b : b + 1], found.inputs["x"], atol=1e-14)


@pytest.mark.parametrize("op", ["ReduceSum", "ReduceMean"])
def test_sums_over_time_in_onnx_files_are_over_own_steps(op: str, samples: Any, tmp_path: Path) -> None:
    axes = {"axes": [0]} if op == "ReduceMean" else {}  # of a sum they are an input
    axis = [onnx.numpy_helper.from_array(np.array([0]), "axis")] if op == "ReduceSum" else []
    reduce = onnx.helper.make_node(op, ["x", *(["axis"] if axis else [])], ["y"], keepdims=0, **axes)
    x, y = (
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape)
        for name, shape in (("x", ("T", "B", 6)), ("y", ("B", 6)))
    )
    graph = onnx.helper.make_graph([reduce], "sums", [x], [y], axis)
    opset = [onnx.helper.make_opsetid("", 13)]
    onnx.save(onnx.helper.make_model(graph, opset_imports=opset, ir_version=8), tmp_path / "sums.onnx")
    network = snncc.import_onnx(tmp_path / "sums.onnx", time_axis=0, batch_axis=1)
    model = snncc.compile(network, num_steps=STEPS, lengths=True, dtype="float64")
    given, _ = samples
    own = (np.arange(STEPS)[:, None] < LENGTHS)[..., None]
    share = 1.0 if op == "ReduceSum" else 1.0 / LENGTHS[:, None]
    out = model(np.where(own, given, 1e3), lengths=LENGTHS).y
    np.testing.assert_allclose(out, np.where(own, given, 0.0).sum(0) * share, atol=1e-14)
    up = np.random.default_rng(0).standard_normal(out.shape)
    found = model.backward(given, y=up, lengths=LENGTHS).inputs["x"]
    np.testing.assert_allclose(found, np.where(own, up * share, 0.0), atol=1e-14)


def test_gradients_that_lengths_do_not_reach_take_them() -> None:
    """Spikes of an encoder have none."""
    model = snncc.compile(nn.Sequential(nn.Delta(), input=nn.Input(3)), num_steps=STEPS, lengths=True)
    x = np.ones((STEPS, len(LENGTHS), 3), np.float32)
    assert not model.backward(x, out=x, lengths=LENGTHS).inputs["x"].any()


def test_files_may_hold_lengths(samples: Any, tmp_path: Path) -> None:
    x, y = samples
    compiled(leaky, loss.cross_entropy("mem"), out=tmp_path / "model")
    np.savez(tmp_path / "data.npz", x=x, y=y, lengths=LENGTHS)
    np.savez(tmp_path / "x.npz", x=x, lengths=LENGTHS)
    run_model(tmp_path / "model", tmp_path / "x.npz", tmp_path / "out.npz", None)
    model = snncc.load(tmp_path / "model")
    np.testing.assert_array_equal(np.load(tmp_path / "out.npz")["mem"], model(x, lengths=LENGTHS).mem)
    plan = {"epochs": 1, "batch_size": 5, "shuffle": False}
    train_model(tmp_path / "model", tmp_path / "data.npz", None, None, None, **plan)
    model.train_step(x, y, lengths=LENGTHS)
    trained = snncc.load(tmp_path / "model").params["fc1.weight"]
    np.testing.assert_array_equal(trained, model.params["fc1.weight"])


def test_scores_of_arrays_end_where_samples_do() -> None:
    values = np.array([[[1.0, 3.0]], [[5.0, 0.0]], [[9.0, 9.0]]])
    expected = {"mem_last": [5, 0], "mem_max": [5, 3], "mem_mean": [3, 1.5], "count": [6, 3]}
    expected["latency"] = [0, 0]
    for readout, row in expected.items():
        np.testing.assert_array_equal(metrics.scores(values, readout, lengths=[2]), [row])
    np.testing.assert_array_equal(metrics.first_spike(np.zeros((3, 1, 1)), [2]), [[1]])
    with pytest.raises(ModelError, match="expected 1 numbers from 1 to 3"):
        metrics.scores(values, lengths=[4])


@pytest.mark.parametrize(
    ("network", "options", "message"),
    [
        (leaky, {"rule": "ottt"}, "lengths need rule='bptt'"),
        (lambda: nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2)), {}, "would count what lies past"),
        (lambda: nn.Sequential(nn.Linear(2, 2), nn.BatchNormTT1d(2, 5)), {"num_steps": 5}, "would count"),
        (
            lambda: nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2, track_running_stats=False)),
            {"loss": None},    # of the batch in a call too
            "would count what lies past",
        ),
    ],
)
def test_what_knows_no_end_is_refused(network: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(CompileError, match=message):
        snncc.compile(network(), lengths=True, **{"loss": loss.mse("rate", of="out"), **options})


def test_a_call_normalises_each_sample_by_running_statistics(samples: Any) -> None:
    x, _ = samples
    net = nn.Sequential(fc=nn.Linear(6, CLASSES), norm=nn.BatchNorm1d(CLASSES), lif=nn.Leaky(0.9))
    model = snncc.compile(net, num_steps=STEPS, lengths=True)
    out = model(x, lengths=LENGTHS).mem
    for b, steps in enumerate(LENGTHS):
        np.testing.assert_array_equal(out[:steps, b], model(x[:steps, b : b + 1]).mem[:, 0])
        assert not out[steps:, b].any()
