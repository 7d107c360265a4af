"""Training steps on arrays of the device: the optimiser's update is part of the call, and nothing waits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import snncc
from snncc import loss, nn, optim
from snncc_runtime import Model, ModelError
from tests.cuda_arrays import Described, Packed, StandIn, present
from tests.cuda_pairs import built

STEPS, BATCH, FEATURES = 5, 3, 6
LABELS = np.array([0, 3, 1])
Array = np.ndarray[Any, Any]


def numbers() -> Array:
    return np.random.default_rng(0).normal(size=(STEPS, BATCH, FEATURES)).astype(np.float32)


@pytest.fixture(scope="module")
def learner(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With running statistics, and an optimiser that counts its steps."""
    network = nn.Sequential(
        input=nn.Input(FEATURES), fc=nn.Linear(FEATURES, 4), norm=nn.BatchNorm1d(4),
        spk=nn.Leaky(0.9, learn_beta=True),
    )    # fmt: skip
    path = tmp_path_factory.mktemp("models") / "learner"
    learning: dict[str, Any] = {"loss": loss.cross_entropy("rate"), "optimizer": optim.Adam(0.1)}
    with built():
        snncc.compile(network, target="cuda", out=path, **learning)
    return path


def test_training_from_the_device(learner: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cuda = present()
    monkeypatch.setenv("SNNCC_HOST_STREAMS", "late")    # work waits until somebody waits for it
    host, device, queued = (snncc.load(learner) for _ in range(3))
    device.stream, queued.stream = cuda.stream(), cuda.stream()
    x, y = Packed(cuda, numbers()), Packed(cuda, LABELS)
    rates = (0.1, 0.1, 0.1, 0.2, 0.1)
    expected = [host.train_step(numbers(), LABELS, rate) for rate in rates]
    assert [device.train_step(x, y, rate) for rate in rates] == expected
    first = [queued.queue_step(x, y, rate) for rate in rates[:3]]
    losses = list(map(float, first))
    del first    # so that there is memory for more
    gate = cuda.hold(queued.stream)
    more = []
    for rate in rates[3:]:
        more.append(queued.queue_step(x, y, rate))
        assert not cuda.idle(queued.stream)    # nothing waited
    gate.open()
    assert losses + list(map(float, more)) == expected
    for name, array in host.params.items():
        np.testing.assert_array_equal(device.params[name], array)
        np.testing.assert_array_equal(queued.params[name], array)
    with pytest.raises(ModelError, match="queue_step: x or y on a GPU is needed"):
        host.queue_step(numbers(), LABELS)


@pytest.mark.stand_in("it counts copies between host and device")
def test_nothing_crosses(learner: Path) -> None:
    cuda, model = StandIn(), snncc.load(learner)
    x, y, crossings = Packed(cuda, numbers()), Packed(cuda, LABELS), []
    for rate in (0.1, 0.1, 0.2, 0.1):
        model.queue_step(x, y, rate)
        crossings.append(cuda.crossings())
    assert len(set(crossings)) == 1


def everything(model: Model) -> dict[str, Array]:
    """Parameters, running statistics, and what the optimiser keeps."""
    roles, instance = ("parameter", "optimizer"), model._instance
    return {f"{t.role} {t.name}": instance.get(t) for t in instance.manifest.tensors if t.role in roles}


@pytest.mark.parametrize("recorded", [0, 2])
def test_a_step_that_goes_wrong_changes_nothing(learner: Path, recorded: int) -> None:
    cuda = present()
    model, broken = snncc.load(learner), numbers()
    broken[2, 1, 3] = np.nan
    x, y = Described(cuda, numbers()), Described(cuda, LABELS)
    for _ in range(1 + recorded):
        model.train_step(x, y)
    before = everything(model)
    assert "optimizer powers" in before
    x.fill(broken)
    first = model.queue_step(x, y)
    x.fill(numbers())
    second = model.queue_step(x, y)
    with pytest.raises(ModelError, match="an input holds NaN"):
        float(first)
    assert np.isfinite(float(second))
    for name, array in everything(model).items():
        np.testing.assert_array_equal(array, before[name], err_msg=name)
    assert model.train_step(x, y) == float(second)    # what the second one would have been
    assert any((array != before[name]).any() for name, array in everything(model).items())
