"""The example networks on images, small: they learn a batch; what they share trains, scores and saves."""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import snncc
from snncc import loss, optim

MODELS = Path(__file__).parents[1] / "models"
SMALL: dict[str, Callable[[Any], tuple[Any, Any]]] = {    # a network, and pixels [N, 784] as its images
    "mnist_cnn": lambda script: (script.net, script.arranged),
    "sparse_cnn": lambda script: (script.SparseCNN((3, 4), 8), script.arranged),
    "vgg11_dsr": lambda script: (script.VGG11(4), script.arranged),
    "sew_resnet18": lambda script: (script.SEWResNet18(4, depth=2), script.coloured),
    "spikformer": lambda script: (script.Spikformer(16, heads=2, hidden=24, depth=1), lambda pixels: pixels),
}
STEPS = 4


def learning(name: str) -> dict[str, Any]:
    """How one of these is compiled."""
    by = loss.cross_entropy("rate" if name == "mnist_cnn" else "mem_mean")
    return {"num_steps": STEPS, "loss": by, "optimizer": optim.Adam(1e-2)}


@pytest.fixture
def script(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(MODELS))
    return importlib.import_module(request.param)


@pytest.mark.parametrize("script", SMALL, indirect=True)
def test_a_batch_is_learnt(script: Any) -> None:
    network, arranged = SMALL[script.__name__](script)
    model = snncc.compile(network, **learning(script.__name__))
    x, y = arranged(np.random.default_rng(0).random((6, 784), np.float32)), np.arange(6)
    losses = [model.train_step(x, y) for _ in range(20)]
    assert losses[-1] < 0.95 * losses[0], losses
    means = [array for name, array in model.params.items() if name.endswith(".running_mean")]
    assert all(array.any() for array in means)
    counts = [array for name, array in model.params.items() if name.endswith(".num_batches_tracked")]
    assert counts == [len(losses)] * len(means)


def stripes(script: Any) -> Any:
    """Ten classes of images, each with its own bright rows."""
    rng = np.random.default_rng(0)
    y = rng.integers(0, 10, 200)
    x = 0.2 * rng.random((200, 28, 28), np.float32)
    x[np.arange(200), 2 * y + 4] = 1.0
    x = x.reshape(200, 784)
    return script.training.Digits(x, y, x[:50], y[:50])


@pytest.mark.parametrize("script", ["mnist_cnn"], indirect=True)
def test_the_script_trains_scores_and_saves(
    script: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    given = ["cnn", "--epochs", "3", "--batch-size", "20", "--num-steps", "5", "--out", str(tmp_path / "out")]
    monkeypatch.setattr("sys.argv", given)
    monkeypatch.setattr(script.training, "mnist_5000", lambda: stripes(script))
    assert script.main() == 0
    *epochs, seconds = capsys.readouterr().out.splitlines()
    right = [float(line.split()[-1].rstrip("%")) for line in epochs]
    assert len(right) == 3 and right[-1] > 60 and seconds.endswith(" s an epoch")
    image = script.arranged(stripes(script).x[:3])
    assert snncc.load(tmp_path / "out")(image, num_steps=5).spk.shape == (5, 3, 10)


@pytest.mark.parametrize("script", ["vgg11_dsr"], indirect=True)
def test_cifar_files_are_read_or_refused(script: Any, tmp_path: Path) -> None:
    rows = np.random.default_rng(0).integers(0, 10, (4, script.ROW)).astype(np.uint8)
    for name in (*script.FILES, "test_batch.bin"):
        rows.tofile(tmp_path / name)
    read = script.read(argparse.Namespace(data=tmp_path))
    assert script.arranged(read.x).shape == (20, 3, 32, 32) and read.x_test.shape == (4, 3072)
    np.testing.assert_array_equal(read.y[4:8], rows[:, 0])
    assert script.arranged(read.x)[1, 2, 0, 5] == rows[1, 1 + 2 * 1024 + 5] / np.float32(255)
    for content, message in (
        (rows.ravel()[:-1], f"expected rows of 3073 bytes, found {rows.size - 1}"),
        (rows.ravel()[:0], "found 0 bytes"),
        (np.full(script.ROW, 10, np.uint8), "labels must be 0 to 9, found 10"),
    ):
        content.tofile(tmp_path / script.FILES[1])
        with pytest.raises(script.DigitsError, match=message) as refused:
            script.read(argparse.Namespace(data=tmp_path))
        assert script.FILES[1] in str(refused.value)
    with pytest.raises(script.DigitsError, match=r"data_batch_1\.bin: cannot be read"):
        script.from_cifar(tmp_path / "nowhere")
