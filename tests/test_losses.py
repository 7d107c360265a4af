"""Losses beside snnTorch's own numbers: readouts, regularisers, sums, metrics; and bad input."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import pytest

import snncc
from snncc import CompileError, ModelError, loss, metrics, nn, optim
from snncc.commands.options import parse_loss
from snncc.driver import Target, generate
from snncc.frontend.dsl import add_loss, trace
from snncc.passes.differentiate import Differentiate
from snncc.passes.infer_types import InferTypes
from snncc.reference import Call, evaluate

Array = np.ndarray
STEPS, BATCH, CLASSES = 9, 5, 6
RNG = np.random.default_rng(11)
DATA = RNG.integers(-64, 65, (STEPS, BATCH, CLASSES)) / 32.0
SPIKES = (RNG.random((STEPS, BATCH, CLASSES)) < 0.3) * 1.0
LABELS, GROUPS = RNG.integers(0, CLASSES, BATCH), RNG.integers(0, 3, BATCH)
WEIGHTS = (1.0, 2.0, 0.5, 1.5, 1.0, 3.0)
VARIANTS: tuple[dict[str, Any], ...] = ({}, {"checkpoint_every": 4}, {"unroll": 3})


class Outputs(nn.Module):
    """Two outputs that are inputs, each nudged by a parameter, so that there are gradients to compare."""

    inputs: ClassVar[dict[str, nn.Input]] = {"s": nn.Input(CLASSES), "m": nn.Input(CLASSES)}

    def __init__(self) -> None:
        self.nudge = nn.Parameter((CLASSES,), np.zeros(CLASSES))

    def forward(self, s: Any, m: Any) -> dict[str, Any]:
        return {"spk": s + s * self.nudge, "mem": m + m * self.nudge}


def log_softmax(z: Array) -> Array:
    shifted = z - z.max(-1, keepdims=True)
    result: Array = shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))
    return result


def entropy(z: Array, labels: Array = LABELS, weights: Any = None, smoothing: float = 0.0) -> float:
    classes = z.shape[-1]
    wanted = np.eye(classes)[labels] * (1 - smoothing) + smoothing / classes
    return float(-(wanted * (1 if weights is None else np.array(weights)) * log_softmax(z)).sum(-1).mean())


def grouped(x: Array) -> Array:
    return x.reshape(*x.shape[:-1], 3, 2).sum(-1)


def square(distance: Array) -> float:
    return float((distance**2).mean())


def first(spk: Array) -> Array:
    return np.where(spk.any(0), spk.argmax(0), STEPS - 1)


HOT = np.eye(CLASSES)[LABELS]
SAMPLE_WEIGHT = np.array(WEIGHTS)[LABELS][:, None]
RATE = SPIKES.mean(0)
SECOND = np.minimum((SPIKES.cumsum(0) < 2).sum(0), STEPS - 1)
# Each loss with its value, written out, and the labels that it takes.
VALUES: dict[str, tuple[loss.Loss, float, Array]] = {
    "ce_last": (loss.cross_entropy("mem_last"), entropy(DATA[-1]), LABELS),
    "ce_max": (loss.cross_entropy("mem_max"), entropy(DATA.max(0)), LABELS),
    "ce_mean": (loss.cross_entropy("mem_mean"), entropy(DATA.mean(0)), LABELS),
    "ce_smooth": (
        loss.cross_entropy("count", label_smoothing=0.2, class_weights=WEIGHTS),
        entropy(SPIKES.sum(0), LABELS, WEIGHTS, 0.2), LABELS,
    ),
    "ce_groups": (
        loss.cross_entropy("count", population=3), entropy(grouped(SPIKES.sum(0)), GROUPS), GROUPS,
    ),
    "ce_rate_groups": (
        loss.cross_entropy("rate", population=3, class_weights=(1, 2, 3)),
        entropy(grouped(SPIKES), GROUPS, (1, 2, 3)), GROUPS,
    ),
    "ce_weighted_mean": (
        loss.cross_entropy("mem_last", class_weights=WEIGHTS, weighted_mean=True),
        entropy(DATA[-1], LABELS, WEIGHTS) / SAMPLE_WEIGHT.mean(), LABELS,
    ),
    "ce_of": (loss.cross_entropy("count", of="mem"), entropy(DATA.sum(0)), LABELS),
    "mse_weight": (
        loss.mse("count", on=0.8, off=0.2, class_weights=WEIGHTS),
        float((SAMPLE_WEIGHT * (SPIKES.sum(0) - np.where(HOT, 7, 1)) ** 2).mean() / STEPS), LABELS,
    ),
    "mse_last": (loss.mse("mem_last", on=1.5), float(((DATA[-1] - 1.5 * HOT) ** 2).mean()), LABELS),
    "mse_array": (loss.mse("mem_max"), float(((DATA.max(0) - DATA[0]) ** 2).mean()), DATA[0]),
    "mse_time": (loss.mse("mem", time_varying=True), float(((DATA - SPIKES) ** 2).mean()), SPIKES),
    "mse_times": (
        loss.mse("latency"), float(((first(SPIKES) - 4.0) ** 2).mean() / STEPS**2),
        np.full((BATCH, CLASSES), 4.0),
    ),
    "mse_from_the_end": (
        loss.mse("latency", on=0, off=-2), square(first(SPIKES) - np.where(HOT, 0, 7)) / STEPS**2, LABELS,
    ),
    "mse_two_spikes": (
        loss.mse("latency", on=(0, 3), off=(4, 7)),
        (square(first(SPIKES) - np.where(HOT, 0, 4)) + square(SECOND - np.where(HOT, 3, 7))) / 2 / STEPS**2,
        LABELS,
    ),
    "l1": (loss.cross_entropy("mem") + loss.l1_rate(0.5), STEPS * entropy(DATA) + 0.5 * RATE.mean(), LABELS),
    "l2": (loss.mse("mem", on=1) + loss.l2_rate(2.0), square(DATA - HOT) + 2 * square(RATE), LABELS),
    "upper": (
        0.5 * loss.cross_entropy("mem_last") + loss.upper_rate(0.25, 3.0),
        0.5 * entropy(DATA[-1]) + 3 * (np.maximum(RATE - 0.25, 0) ** 2).mean(), LABELS,
    ),
    "lower": (
        loss.cross_entropy("mem_last") + 2 * loss.lower_rate(0.25, 3.0, of="spk"),
        entropy(DATA[-1]) + 6 * (np.maximum(0.25 - RATE, 0) ** 2).mean(), LABELS,
    ),
    "total": (
        loss.cross_entropy("mem_last") + loss.snntorch.reg.l1_rate_sparsity(1e-2),
        entropy(DATA[-1]) + 1e-2 * SPIKES.sum(), LABELS,
    ),
}    # fmt: skip


def interpreted(of: loss.Loss, targets: Array, nudge: Array | None = None) -> tuple[float, Array]:
    """Value and gradient by the nudge, in the interpreter."""
    network = trace(Outputs())
    graph = add_loss(network.graph, of)
    for step in (InferTypes("f64"), Differentiate("loss")):
        graph = step.run(graph)
    given = {"s": SPIKES, "m": DATA, "target": targets}
    weights = {"nudge": np.zeros(CLASSES) if nudge is None else nudge}
    found = evaluate(graph, Call(given, weights, {}, STEPS, BATCH))
    return float(found["loss", "loss"]), found["gradient", "nudge"]


@pytest.mark.parametrize("name", VALUES)
def test_values(name: str) -> None:
    of, expected, targets = VALUES[name]
    assert interpreted(of, targets)[0] == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("name", VALUES)
def test_compiled_losses_are_the_interpreted_ones(name: str) -> None:
    of, _, targets = VALUES[name]
    value, gradient = interpreted(of, targets)
    whole = "weighted_mean" in str(of)    # waits for all labels, so it is not computed in segments
    for options in (v for v in VARIANTS if not (whole and "checkpoint_every" in v)):
        model = snncc.compile(
            Outputs(), num_steps=STEPS, loss=of, optimizer=optim.SGD(0.1), dtype="float64", **options
        )
        assert model.train_step({"s": SPIKES, "m": DATA}, targets, lr=0.0) == pytest.approx(value, rel=1e-12)
        np.testing.assert_allclose(model.gradients()["nudge"], gradient, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("name", [n for n, (of, _, _) in VALUES.items() if "latency" not in str(of)])
def test_gradients_are_slopes(name: str) -> None:
    """Where a gradient is one: first spikes have a stand-in."""
    of, _, targets = VALUES[name]
    point, step = RNG.uniform(0.01, 0.1, CLASSES), 1e-6
    _, gradient = interpreted(of, targets, point)
    for k in range(CLASSES):
        ahead, behind = (interpreted(of, targets, point + s * np.eye(CLASSES)[k])[0] for s in (step, -step))
        assert gradient[k] == pytest.approx((ahead - behind) / (2 * step), abs=2e-8)


def test_weights_of_spike_times_are_divided_out() -> None:
    """As snnTorch's ce_temporal_loss does, which has PyTorch's CrossEntropyLoss inside."""
    preset = loss.snntorch.ce_temporal_loss(weight=WEIGHTS)
    assert preset == loss.cross_entropy("latency", class_weights=WEIGHTS, weighted_mean=True)


def test_a_tie_gives_the_first_largest_membrane_the_gradient() -> None:
    class Net(Outputs):
        def forward(self, s: Any, m: Any) -> dict[str, Any]:
            return {"mem": m * 0.0 + s * self.nudge}

    network = trace(Net())
    graph = add_loss(network.graph, loss.cross_entropy("mem_max"))
    for step in (InferTypes("f64"), Differentiate("loss")):
        graph = step.run(graph)
    once = np.zeros((STEPS, BATCH, CLASSES))
    once[0] = 1.0
    for s, zero in ((once, False), (1.0 - once, True)):
        given = {"s": s, "m": DATA, "target": LABELS}
        found = evaluate(graph, Call(given, {"nudge": np.zeros(CLASSES)}, {}, STEPS, BATCH))
        assert (abs(found["gradient", "nudge"]).max() == 0) == zero


def test_hidden_layers_are_regularised_by_name() -> None:
    net = nn.Sequential(
        fc1=nn.Linear(4, 20), lif1=nn.Leaky(0.9), fc2=nn.Linear(20, 3), lif2=nn.Leaky(0.9)
    )
    x, y = RNG.random((7, 8, 4)) * 4, RNG.integers(0, 3, 8)

    def trained(of: loss.Loss) -> tuple[float, dict[str, Array]]:
        model = snncc.compile(net, num_steps=7, loss=of, optimizer=optim.SGD(0.1), dtype="float64")
        return model.train_step(x, y, lr=0.0), model.gradients()

    plain, plain_gradients = trained(loss.cross_entropy("count"))
    for of in ("lif1", "lif1.spk"):
        value, gradients = trained(loss.cross_entropy("count") + loss.l1_rate(0.5, of=of))
        assert value > plain
        assert abs(gradients["fc1.weight"] - plain_gradients["fc1.weight"]).max() > 1e-4
        np.testing.assert_array_equal(gradients["fc2.weight"], plain_gradients["fc2.weight"])


def test_a_readout_of_a_whole_sequence_keeps_none() -> None:
    """Running maxima and counts live in the loop: no buffer of theirs has a time axis."""
    for of in (loss.cross_entropy("mem_max"), loss.cross_entropy("latency")):
        program = generate(trace(Outputs()), Target(loss=of)).program
        for entry in program.entries:
            assert not [b.name for b in entry.buffers if b.time and b.name.startswith("loss")]


# ---- accuracy


def test_metrics_are_snntorchs() -> None:
    """accuracy_rate and accuracy_temporal, written out; ties go to the first class."""
    counts = SPIKES.sum(0)
    assert metrics.accuracy(SPIKES, LABELS) == (counts.argmax(1) == LABELS).mean()
    assert metrics.accuracy(SPIKES, LABELS, "latency") == (first(SPIKES).argmin(1) == LABELS).mean()
    assert metrics.accuracy(SPIKES, GROUPS, population=3) == (grouped(counts).argmax(1) == GROUPS).mean()
    for readout, expected in (
        ("mem_last", DATA[-1]), ("mem_max", DATA.max(0)), ("mem_mean", DATA.sum(0)),
    ):    # fmt: skip
        assert metrics.accuracy(DATA, LABELS, readout) == (expected.argmax(1) == LABELS).mean()
    silent = np.zeros((4, 2, 3))
    assert metrics.accuracy(silent, [0, 1]) == metrics.accuracy(silent, [0, 1], "latency") == 0.5
    np.testing.assert_array_equal(metrics.first_spike(silent), 3)


@pytest.mark.parametrize(
    ("of", "scores"),
    [
        (loss.cross_entropy("count"), SPIKES.sum(0)),
        (loss.cross_entropy("mem"), SPIKES.sum(0)),    # as in snnTorch's tutorial
        (loss.cross_entropy("mem", accuracy="mem_max"), DATA.max(0)),
        (loss.cross_entropy("mem_last"), DATA[-1]),
        (loss.cross_entropy("mem_max"), DATA.max(0)),
        (loss.cross_entropy("latency"), -first(SPIKES)),
        (loss.cross_entropy("count", population=3), grouped(SPIKES.sum(0))),
        (0.5 * loss.mse("latency", on=0, off=4) + loss.l1_rate(1e-3), -first(SPIKES)),
        (loss.cross_entropy("count", of="mem"), DATA.sum(0)),
    ],
    ids=str,
)
def test_accuracy_follows_the_loss(of: loss.Loss, scores: Array) -> None:
    model = snncc.compile(Outputs(), num_steps=STEPS, loss=of, optimizer=optim.SGD(0.1))
    given, chosen = {"s": SPIKES, "m": DATA}, scores.argmax(1)
    for labels in (chosen, (chosen + 1) % scores.shape[1], np.zeros(BATCH, np.int64)):
        found = model.evaluate(given, labels, batch_size=2)
        assert found["accuracy"] == pytest.approx((chosen == labels).mean())
    np.testing.assert_array_equal(model.predict(given, batch_size=2), chosen)
    np.testing.assert_array_equal(model.predict(given, by="mem_max"), _by_max(of))
    history = model.fit(given, chosen, epochs=1, validation_data=(given, chosen), lr=0.0, progress=False)
    assert history.val_accuracy == [1.0]


def _by_max(of: loss.Loss) -> Array:
    largest = DATA.max(0)
    population = "population" in str(of)
    result: Array = (grouped(largest) if population else largest).argmax(1)
    return result


def test_targets_that_vary_over_time_are_fitted() -> None:
    net = nn.Sequential(fc=nn.Linear(4, 3), lif=nn.Leaky(0.9))
    of = loss.mse("mem", time_varying=True)
    model = snncc.compile(net, num_steps=7, loss=of, optimizer=optim.Adam(1e-2))
    x, y = RNG.random((7, 20, 4)), RNG.random((7, 20, 3))
    history = model.fit(x, y, epochs=3, batch_size=6, progress=False)
    assert history.loss[-1] < 0.5 * history.loss[0]
    out = model(x)
    assert model.evaluate(x, y, batch_size=7)["loss"] == pytest.approx(((out.mem - y) ** 2).mean(), rel=1e-5)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("cross_entropy:mem_max", loss.cross_entropy("mem_max")),
        ("cross_entropy:count,population=3,label_smoothing=0.1",
         loss.cross_entropy("count", population=3, label_smoothing=0.1)),
        ("mse:latency,on=1,off=-1,tolerance=2", loss.mse("latency", on=1.0, off=-1.0, tolerance=2.0)),
    ],
)    # fmt: skip
def test_losses_on_the_command_line(text: str, expected: loss.Loss) -> None:
    assert parse_loss(text) == expected


# ---- bad input


def of_a_missing_layer() -> object:
    return add_loss(trace(Outputs()).graph, loss.l1_rate(0.1, of="lif7"))


def weights_of_other_classes() -> object:
    return add_loss(trace(Outputs()).graph, loss.cross_entropy("count", class_weights=(1, 2)))


def groups_that_do_not_fit() -> object:
    return add_loss(trace(Outputs()).graph, loss.cross_entropy("count", population=4))


def two_targets() -> object:
    return add_loss(trace(Outputs()).graph, loss.cross_entropy("count") + loss.mse("mem_last"))


@pytest.mark.parametrize(
    ("mistake", "message"),
    [
        (of_a_missing_layer, r"l1_rate\(0.1, of=lif7\): the network has no output 'lif7', it has spk, mem"),
        (weights_of_other_classes, "expected 6 class weights, found 2"),
        (groups_that_do_not_fit, "6 outputs cannot be 4 groups of the same size"),
        (two_targets, "losses of a sum share one target"),
        (lambda: loss.cross_entropy("spikes"), "readout must be one of 'mem', 'mem_last'.*got 'spikes'"),
        (lambda: loss.cross_entropy("count", accuracy="all"), "readout must be one of .*got 'all'"),
        (lambda: loss.cross_entropy("count", label_smoothing=2), "label_smoothing must be from 0 to 1"),
        (lambda: loss.cross_entropy("count", label_smoothing="a"), "label_smoothing must be"),
        (lambda: loss.cross_entropy("latency", inverse="none"), "inverse must be 'negate' or 'reciprocal'"),
        (lambda: loss.cross_entropy("count", population=-1), "population must be a number of classes"),
        (lambda: loss.cross_entropy("latency", population=2), "has no population code"),
        (lambda: loss.cross_entropy("count", class_weights=(1, -1)), "class_weights must be numbers from 0"),
        (lambda: loss.mse("mem", class_weights=(1, 2)), "class_weights need class labels"),
        (lambda: loss.mse("count", on=(1, 2), off=(3, 4)), r"several times are for mse\('latency'\)"),
        (lambda: loss.mse("latency", on=(1, 2), off=(3,)), "as many in on as in off"),
        (lambda: loss.mse("count", on=1, tolerance=2.0), "a tolerance is of spike times"),
        (lambda: loss.mse("rate", time_varying=True), "time_varying targets are arrays"),
        (lambda: loss.l1_rate(-1), "l1_rate: strength must be a number from 0, got -1"),
        (lambda: loss.upper_rate(float("nan"), 1), "upper_rate: limit must be a finite number, got nan"),
        (lambda: loss.l2_rate(1, of=""), "of must be the name of a layer or output"),
        (lambda: loss.cross_entropy() + 3, "only a loss can be added to it, got int"),
        (lambda: loss.cross_entropy() * "2", "expected a number times a loss, got '2'"),
        (lambda: loss.snntorch.ce_count_loss(reduction="sum"), "reduction='mean'; got 'sum'"),
        (lambda: loss.snntorch.ce_count_loss(population_code=True), "population_code=True needs num_classes"),
        (lambda: loss.cross_entropy("count", weighted_mean=True), "give class_weights= as well"),
        (lambda: loss.snntorch.mse_membrane_loss(True), "labels that vary over time are not supported"),
        (lambda: loss.snntorch.mse_temporal_loss(on_target=[1]), "on_target is a list with multi_spike only"),
    ],
)
def test_bad_input(mistake: Any, message: str) -> None:
    with pytest.raises(CompileError, match=message) as caught:
        mistake()
    assert "test_losses.py:" in str(caught.value)


def test_bad_metrics() -> None:
    with pytest.raises(ModelError, match=r"expected an output \[T, B, outputs\]"):
        metrics.scores(np.zeros((2, 3)))
    with pytest.raises(ModelError, match="readout must be one of rate, count"):
        metrics.scores(SPIKES, "most")
    with pytest.raises(ModelError, match="6 outputs cannot be 4 groups"):
        metrics.scores(SPIKES, population=4)
    with pytest.raises(ModelError, match="expected 5 class labels"):
        metrics.accuracy(SPIKES, LABELS[:2])
    model = snncc.compile(Outputs(), num_steps=STEPS)
    with pytest.raises(ModelError, match=r"predict: by must be one of spk, mem, rate, count.*got 'volts'"):
        model.predict({"s": SPIKES, "m": DATA}, by="volts")
