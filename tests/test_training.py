"""Gradients, training, evaluation and prediction through the runtime, on the handmade model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from snncc_runtime import Model, ModelError, load
from snncc_runtime.progress import Bar, Lines, Silence, choose_progress
from tests import handmade

RANDOM = np.random.default_rng(2)
N = 20
LABELS = RANDOM.integers(0, 3, N)
SAMPLES = (np.eye(3)[LABELS] + RANDOM.random((4, N, 3)) / 4).astype(np.float32)    # the class has the current


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    place = tmp_path_factory.mktemp("models")
    return {
        "double": handmade.write(place / "double", "double"),
        "static": handmade.write(place / "static", static=True),
        "inference": handmade.write(place / "inference", entries=["forward", "step"], optimizer=None),
    }


@pytest.fixture
def model(folders: dict[str, Path]) -> Model:
    return load(folders["double"])


def loss_of(weight: Any, x: np.ndarray, labels: np.ndarray) -> float:
    mean = handmade.membranes(x, weight).mean(axis=0)
    return float((0.5 * (mean - np.eye(3)[labels]) ** 2).sum(axis=1).mean())


# Gradients


def test_backward_agrees_with_finite_differences(model: Model) -> None:
    x, start = RANDOM.random((4, 2, 3)), RANDOM.random((2, 3))
    cotangent = RANDOM.random((4, 2, 3))
    gradients = model.backward(x, state={"leaky.mem": start}, mem=cotangent)

    def value(x: np.ndarray = x, start: np.ndarray = start, weight: Any = handmade.WEIGHT) -> float:
        return float((handmade.membranes(x, weight, start=start) * cotangent).sum())

    step = 1e-6
    for place in np.ndindex(x.shape):
        shifted = x.copy()
        shifted[place] += step
        assert gradients.inputs["x"][place] == pytest.approx((value(shifted) - value()) / step, rel=1e-5)
    for place in np.ndindex(start.shape):
        shifted = start.copy()
        shifted[place] += step
        found = gradients.state["leaky.mem"][place]
        assert found == pytest.approx((value(start=shifted) - value()) / step, rel=1e-5)
    for i in range(3):
        shifted = np.array(handmade.WEIGHT)
        shifted[i] += step
        found = gradients.params["leaky.weight"][i]
        assert found == pytest.approx((value(weight=shifted) - value()) / step, rel=1e-5)
    np.testing.assert_array_equal(model.gradients()["leaky.weight"], gradients.params["leaky.weight"])
    assert repr(gradients).startswith("Gradients(inputs={x: float64[4, 2, 3]}, params={leaky.weight")


def test_cotangents_are_checked_and_may_be_a_mapping(model: Model) -> None:
    x = SAMPLES[:, :2]
    by_name = model.backward(x, cotangents={"mem": np.ones((4, 2, 3))})
    np.testing.assert_array_equal(by_name.inputs["x"], model.backward(x, mem=np.ones((4, 2, 3))).inputs["x"])
    assert not model.backward(x).inputs["x"].any(), "without cotangents nothing flows back"
    with pytest.raises(ModelError, match="'out' is not the name of a cotangent; known are: spk, mem"):
        model.backward(x, out=np.ones((4, 2, 3)))
    with pytest.raises(ModelError, match="mem: axis 0 is time: expected 4 as in x, found 3"):
        model.backward(x, mem=np.ones((3, 2, 3)))
    with pytest.raises(ModelError, match=r"x: nan at \[0, 0, 0\]"):
        model.backward(np.full((4, 2, 3), np.nan), mem=np.ones((4, 2, 3)))


def test_a_static_input_has_a_gradient_without_time(folders: dict[str, Path]) -> None:
    gradients = load(folders["static"]).backward(SAMPLES[0], mem=np.ones((6, N, 3)))    # 6 steps: from mem
    assert gradients.inputs["x"].shape == (N, 3)


def test_there_are_no_gradients_at_first(model: Model) -> None:
    with pytest.raises(ModelError, match="tiny: no gradients yet; call backward or train_step first"):
        model.gradients()


# Training


def test_a_training_step_descends_the_loss(model: Model) -> None:
    loss = model.train_step(SAMPLES, LABELS)
    assert loss == pytest.approx(loss_of(handmade.WEIGHT, SAMPLES.astype(float), LABELS))
    moved = np.array(handmade.WEIGHT) - 0.1 * model.gradients()["leaky.weight"]
    np.testing.assert_allclose(model.params["leaky.weight"], moved)
    before = model.params["leaky.weight"]
    model.train_step(SAMPLES, LABELS, lr=0.0)
    np.testing.assert_array_equal(model.params["leaky.weight"], before)


def test_the_optimiser_survives_a_larger_arena(folders: dict[str, Path]) -> None:
    results = []
    for disturb in (False, True):
        model = load(folders["double"])
        model.train_step(SAMPLES, LABELS)
        if disturb:
            model(np.zeros((50, 1, 3)))    # more steps: momentum and gradients move into a new arena
            assert model.gradients()["leaky.weight"].any()
        model.train_step(SAMPLES, LABELS)
        results.append(model.params["leaky.weight"])
    np.testing.assert_array_equal(*results)


def test_fit_learns_and_records(model: Model, capsys: pytest.CaptureFixture[str]) -> None:
    history = model.fit(
        SAMPLES, LABELS, epochs=8, batch_size=8, validation_data=(SAMPLES, LABELS), lr=0.2, progress=None
    )
    assert list(history) == ["loss", "seconds", "val_loss", "val_accuracy", "val_accuracy_mem"]
    assert len(history) == 5
    assert history.loss == history["loss"]
    assert len(history.loss) == 8
    assert history.val_loss[-1] < 0.5 * history.val_loss[0]
    assert history.val_accuracy_mem[-1] == 1.0
    assert "of 8 epochs" in repr(history)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 8
    assert lines[0].startswith("epoch 1/8  loss ")
    assert "val_accuracy_mem 1" in lines[-1]
    with pytest.raises(AttributeError, match="no record of 'accuracy'"):
        _ = history.accuracy


def test_the_seed_decides_the_order(folders: dict[str, Path]) -> None:
    def weights(**options: Any) -> np.ndarray:
        model = load(folders["double"])
        model.fit(SAMPLES, LABELS, batch_size=6, progress=False, **options)
        return model.params["leaky.weight"]

    np.testing.assert_array_equal(weights(seed=3), weights(seed=3))
    assert (weights(seed=3) != weights(seed=4)).any()
    np.testing.assert_array_equal(weights(shuffle=False, seed=3), weights(shuffle=False, seed=4))


def test_fit_in_batches_is_training_steps(folders: dict[str, Path]) -> None:
    fitted, stepped = load(folders["double"]), load(folders["double"])
    history = fitted.fit(SAMPLES, LABELS, batch_size=8, shuffle=False, progress=False)
    parts = [slice(0, 8), slice(8, 16), slice(16, 20)]
    losses = [stepped.train_step(SAMPLES[:, part], LABELS[part]) for part in parts]
    np.testing.assert_array_equal(fitted.params["leaky.weight"], stepped.params["leaky.weight"])
    assert history.loss[0] == pytest.approx(np.average(losses, weights=[8, 8, 4]))
    dropped = load(folders["double"])
    dropped.fit(SAMPLES, LABELS, batch_size=8, shuffle=False, drop_last=True, progress=False)
    assert (dropped.params["leaky.weight"] != fitted.params["leaky.weight"]).any()


def test_learning_rates_and_callbacks_follow_the_epoch(model: Model) -> None:
    rates, seen = [], []

    def rate(epoch: int) -> float:
        rates.append(epoch)
        return 0.0

    def stop(epoch: int, history: Any) -> bool:
        seen.append((epoch, len(history.loss)))
        return epoch == 2

    model.fit(SAMPLES, LABELS, epochs=9, lr=rate, callbacks=[stop], progress=False)
    assert rates == [0, 1, 2]
    assert seen == [(0, 1), (1, 2), (2, 3)]
    np.testing.assert_array_equal(model.params["leaky.weight"], handmade.WEIGHT)


def test_static_samples_and_mappings(folders: dict[str, Path]) -> None:
    model = load(folders["static"])
    history = model.fit({"x": SAMPLES[0]}, {"y": LABELS}, epochs=5, batch_size=7, lr=0.3, progress=False)
    assert history.loss[-1] < history.loss[0]
    assert model.evaluate(SAMPLES[0], LABELS, num_steps=9)["accuracy_mem"] == 1.0
    assert model.predict(SAMPLES[0], num_steps=2).shape == (N,)


def test_evaluation_does_not_depend_on_the_batch(model: Model) -> None:
    whole, parts = model.evaluate(SAMPLES, LABELS), model.evaluate(SAMPLES, LABELS, batch_size=3)
    assert whole == pytest.approx(parts)
    mem = handmade.membranes(SAMPLES.astype(float))
    assert whole["loss"] == pytest.approx(loss_of(handmade.WEIGHT, SAMPLES.astype(float), LABELS))
    assert whole["accuracy"] == np.mean((mem > 1).sum(0).argmax(1) == LABELS)
    assert whole["accuracy_mem"] == np.mean(mem.sum(0).argmax(1) == LABELS)


def test_prediction(model: Model) -> None:
    mem = handmade.membranes(SAMPLES.astype(float))
    for size in (3, 512):
        np.testing.assert_array_equal(model.predict(SAMPLES, batch_size=size), (mem > 1).sum(0).argmax(1))
        np.testing.assert_array_equal(model.predict(SAMPLES, "mem", size), mem.sum(0).argmax(1))
    assert model.predict(SAMPLES).dtype == np.int64
    with pytest.raises(ModelError, match=r"predict: by must be one of spk, mem, rate.*got 'volts'"):
        model.predict(SAMPLES, by="volts")
    np.testing.assert_array_equal(model.predict(SAMPLES, "rate"), model.predict(SAMPLES))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"x": SAMPLES[0]}, r"x: axis 0 is time, axis 1 is batch: expected \[T, B, 3\]"),
        ({"y": LABELS[:7]}, "y: axis 0 is batch: expected 20 as in x, found 7"),
        ({"y": LABELS / 2}, "y: expected integers, found dtype float64"),
        ({"y": LABELS + 1}, "y: expected classes, from 0 to 2, found 3 at"),
        ({"y": LABELS - 1}, "y: expected classes, from 0 to 2, found -1 at"),
        ({"y": None}, "target 'y' is missing"),
        ({"batch_size": 0}, "batch_size must be a positive integer"),
        ({"epochs": 0}, "epochs must be a positive integer"),
        ({"batch_size": 21, "drop_last": True}, "20 samples make no batch of 21"),
        ({"lr": -1}, "lr must be a finite number from 0, got -1"),
        ({"lr": "fast"}, "lr must be a finite number, a function or None, got 'fast'"),
        ({"lr": 1e200}, "the loss is inf in epoch 1, batch 2; train with a lower learning rate"),
        ({"validation_data": (SAMPLES, LABELS[:3])}, "y: axis 0 is batch: expected 20 as in x, found 3"),
    ],
)
def test_wrong_training_arguments_are_named(changes: dict[str, Any], message: str, model: Model) -> None:
    arguments = {"x": SAMPLES, "y": LABELS, "batch_size": 8, "progress": False, **changes}
    with pytest.raises(ModelError, match=message):
        model.fit(arguments.pop("x"), arguments.pop("y"), **arguments)
    if "1e+200" not in str(changes):
        np.testing.assert_array_equal(model.params["leaky.weight"], handmade.WEIGHT)


def test_a_model_without_loss_says_so(folders: dict[str, Path]) -> None:
    model = load(folders["inference"])
    assert model.predict(SAMPLES).shape == (N,)
    for call, entry in (
        (lambda: model.fit(SAMPLES, LABELS), "train"),
        (lambda: model.train_step(SAMPLES, LABELS), "train"),
        (lambda: model.evaluate(SAMPLES, LABELS), "evaluate"),
        (lambda: model.backward(SAMPLES), "backward"),
    ):
        with pytest.raises(ModelError, match=f"tiny: was compiled without '{entry}'; compile it again with"):
            call()


# Progress


def test_progress_is_a_bar_only_where_it_can_be_one(monkeypatch: pytest.MonkeyPatch) -> None:
    assert type(choose_progress(False)) is Silence
    assert isinstance(choose_progress(True), Bar)
    assert isinstance(choose_progress(None), Lines), "pytest's stderr is no terminal"
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    assert isinstance(choose_progress(None), Bar)


def test_the_bar_shows_the_results(model: Model, capsys: pytest.CaptureFixture[str]) -> None:
    model.fit(SAMPLES, LABELS, epochs=2, batch_size=8, validation_data=(SAMPLES, LABELS), progress=True)
    text = capsys.readouterr().err
    assert "epoch 2/2" in text
    assert "3/3" in text
    assert "val_accuracy=" in text


def test_silence(model: Model, capsys: pytest.CaptureFixture[str]) -> None:
    model.fit(SAMPLES, LABELS, progress=False)
    assert capsys.readouterr() == ("", "")
