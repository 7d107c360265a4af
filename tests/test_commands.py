"""`snncc run`, `train`, `inspect`, `check` and `doctor` on a small network."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import snncc
from snncc import cli
from snncc.commands import check as checking
from snncc.commands import doctor
from snncc.commands.npz import read_npz, write_npz
from snncc.passes.pipeline import Options, pipeline
from tests.terminal import NETWORK, TRAINED, Terminal, assert_refused


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Terminal:
    monkeypatch.setattr(sys, "path", list(sys.path))    # commands put the folders of networks there
    return Terminal(capsys)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A file with networks."""
    path = tmp_path_factory.mktemp("networks") / "two_layers.py"
    path.write_text(NETWORK)
    return str(path)


@pytest.fixture(scope="module")
def model(source: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The compiled network."""
    folder = tmp_path_factory.mktemp("models") / "two"
    assert cli.main(["compile", f"{source}:net", "-o", str(folder), *TRAINED]) == 0
    return folder


@pytest.fixture
def arrays(tmp_path: Path) -> dict[str, np.ndarray]:
    random = np.random.default_rng(0)
    return {"x": random.normal(0.5, 1, (5, 7, 4)).astype(np.float32), "y": random.integers(0, 3, 7)}


# run


def test_run_computes_what_a_call_does(
    run: Terminal, model: Path, arrays: dict[str, Any], tmp_path: Path
) -> None:
    mem = np.full((7, 6), 0.5, np.float32)
    np.savez(tmp_path / "in.npz", **{"x": arrays["x"], "lif1.mem": mem})
    answer = run("run", model, tmp_path / "in.npz", "-o", tmp_path / "out.npz")
    assert (answer.code, answer.err) == (0, "")
    out, found = snncc.load(model)(arrays["x"], state={"lif1.mem": mem}), dict(np.load(tmp_path / "out.npz"))
    assert list(found) == ["spk", "mem", "lif1.mem_next", "lif2.mem_next"]
    np.testing.assert_array_equal(found["mem"], out.mem)
    np.testing.assert_array_equal(found["spk"], out.spk)
    np.testing.assert_array_equal(found["lif1.mem_next"], out.state["lif1.mem"])
    assert "mem              float32 [5, 7, 3]" in answer.out


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"x": np.zeros((5, 7, 4)), "z": [1]}, "'z' is neither an input nor a state.*inputs are x; states"),
        ({"lif1.mem": np.zeros((7, 6))}, "input 'x' is missing"),
        ({"x": np.zeros((5, 7, 3))}, r"x: .*expected \[T, B, 4\], found \[5, 7, 3\]"),
        ({"x": np.full((5, 7, 4), np.nan)}, r"x: nan at \[0, 0, 0\]"),
        ({"x": np.array(["a"])}, "x: expected numbers"),
        ({"x": np.array([{}])}, "it holds Python objects"),
        (b"PK\x03\x04 and so on", "is not a sound .npz file"),
        (b"", "is not a sound .npz file"),
        (b"hello", "is not a sound .npz file"),
        (None, "in.npz: cannot be read: No such file"),
    ],
)
def test_run_refuses_what_does_not_fit(
    run: Terminal, model: Path, given: Any, message: str, tmp_path: Path
) -> None:
    if isinstance(given, bytes):
        (tmp_path / "in.npz").write_bytes(given)
    elif given is not None:
        np.savez(tmp_path / "in.npz", **given)
    before = sorted(tmp_path.iterdir())
    assert_refused(run("run", model, tmp_path / "in.npz", "-o", tmp_path / "out.npz"), message)
    assert sorted(tmp_path.iterdir()) == before


def test_run_asks_for_a_positive_number_of_steps(
    run: Terminal, model: Path, arrays: dict[str, Any], tmp_path: Path
) -> None:
    np.savez(tmp_path / "in.npz", x=arrays["x"])
    options = (model, tmp_path / "in.npz", "-o", tmp_path / "out.npz", "--num-steps")
    assert_refused(run("run", *options, 0), "num_steps must be a positive integer, got 0")
    assert_refused(run("run", *options, 6), "expected 6 as in num_steps, found 5")


def test_a_npy_file_is_no_npz(tmp_path: Path) -> None:
    np.save(tmp_path / "one.npy", np.zeros(3))
    with pytest.raises(snncc.ModelError, match="holds one array"):
        read_npz(tmp_path / "one.npy")


def test_arrays_may_have_any_name(tmp_path: Path) -> None:
    arrays = {"file": np.float32(3.5), "a/b": np.arange(6).reshape(2, 3).T, "": np.zeros((0, 2))}
    write_npz(tmp_path / "a.npz", arrays)
    found = read_npz(tmp_path / "a.npz")
    assert list(found) == list(arrays)
    for name, array in arrays.items():
        np.testing.assert_array_equal(found[name], array)
        assert found[name].shape == np.shape(array)


# train


def test_train_learns_and_saves(run: Terminal, model: Path, arrays: dict[str, Any], tmp_path: Path) -> None:
    np.savez(tmp_path / "data.npz", **arrays)
    options = (model, tmp_path / "data.npz", "--epochs", 3, "--batch-size", 4, "--lr", 0.05)
    answer = run("train", *options, "-o", tmp_path / "m", "--validation", tmp_path / "data.npz")
    assert answer.code == 0, answer.err
    titles = answer.out.splitlines()[0].split()
    assert titles[:2] == ["epoch", "loss"]
    assert {"seconds", "val_loss", "val_accuracy"} <= set(titles)
    assert len(answer.out.splitlines()) == 1 + 3 + 1
    assert "epoch 3/3" in answer.err
    assert f"saved to {tmp_path / 'm'}" in answer.out
    old, new = snncc.load(model), snncc.load(tmp_path / "m")
    assert new.evaluate(arrays["x"], arrays["y"])["loss"] < old.evaluate(arrays["x"], arrays["y"])["loss"]
    answer = run("train", tmp_path / "m", tmp_path / "data.npz")
    assert f"saved to {tmp_path / 'm'}" in answer.out
    assert not np.array_equal(snncc.load(tmp_path / "m").params["fc1.weight"], new.params["fc1.weight"])


@pytest.mark.parametrize(
    ("given", "options", "message"),
    [
        (["x"], [], "has no array 'y' of targets; it has x"),
        (["y"], [], "input 'x' is missing"),
        (["x", "y"], ["--epochs", "0"], "epochs must be a positive integer, got 0"),
        (["x", "y"], ["--batch-size", "-3"], "batch_size must be a positive integer, got -3"),
        (["x", "y"], ["--lr", "inf"], "lr must be a finite number, a function or None, got inf"),
        (["x", "y"], ["--validation", "absent.npz"], "absent.npz: cannot be read"),
    ],
)
def test_train_refuses_what_makes_no_sense(
    run: Terminal, model: Path, arrays: dict[str, Any], given: list[str], options: list[str], message: str,
    tmp_path: Path,
) -> None:    # fmt: skip
    np.savez(tmp_path / "data.npz", **{name: arrays[name] for name in given})
    answer = run("train", model, tmp_path / "data.npz", "-o", tmp_path / "m", *options)
    assert_refused(answer, message)
    assert not (tmp_path / "m").exists()


# inspect


def test_inspect_shows_layers_and_ports(run: Terminal, source: str, model: Path) -> None:
    answer = run("inspect", f"{source}:net", *TRAINED)
    assert answer.code == 0, answer.err
    for line in ("  x                      [T, B, 4]", "  mem                    [T, B, 3]",
                 "  lif1.mem               [B, 6]", "parameters    51",
                 "  fc1                    Linear       weight [6, 4], bias [6]",
                 "entry points  forward, backward, evaluate, train, step, update"):    # fmt: skip
        assert line in answer.out.splitlines()
    folder = run("inspect", model)
    assert folder.code == 0, folder.err
    for text in ("lif1.mem               [B, 6]", "cross_entropy(mem)", "Adam", "fc1.weight"):
        assert text in folder.out


def test_inspect_of_a_file_shows_nodes_states_graph_and_cost(
    run: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = Path(__file__).parent / "golden" / "onnx" / "helper_scan_lif.onnx"
    text = run("inspect", file).out
    for line in ("  lif/Fire         Greater   spike             exact", "  state v0: LIF(tau=10, ",
                 "  W                      [8, 12]", "graph\n  %x = input", "  W.product "):  # fmt: skip
        assert line in text
    monkeypatch.setattr("snncc.commands.inspect.MOST_LINES", 3)
    assert "more lines: --after trace shows all\ncost\n" in run("inspect", file).out


def test_inspect_finds_a_static_input_classes_and_functions(run: Terminal, source: str) -> None:
    assert "  x                      [B, 4]" in run("inspect", f"{source}:static").out.splitlines()
    assert "[3, 4]" in run("inspect", f"{source}:Own").out
    assert "[2, 4]" in run("inspect", f"{source}:make").out


def passes(gradient: str) -> Iterator[str]:
    return (step.title() for step in pipeline(Options(), gradient))


def test_inspect_prints_every_stage(run: Terminal, source: str) -> None:
    texts = {}
    for entry, gradient in (("forward", ""), ("train", "loss")):
        for name in ("trace", *passes(gradient)):
            said = name if entry == "forward" else name.replace("-", "_")    # both are the pass's name
            answer = run("inspect", f"{source}:net", "--after", said, "--entry", entry, *TRAINED)
            assert (answer.code, answer.err) == (0, "")
            texts[entry, name] = answer.out
    assert "%lif1.mem.prev = delay(" in texts["forward", "trace"]
    assert "real[T, B, 6]" in texts["forward", "trace"]
    assert "f32[T, B, 6]" in texts["forward", "infer-types"]
    assert "gradient fc1.weight" in texts["train", "differentiate"]
    assert "@ scan 1" in texts["train", "fuse"]
    assert len(set(texts.values())) > 12    # few passes find nothing to do


def test_inspect_prints_memory_program_and_c(run: Terminal, source: str) -> None:
    memory = run("inspect", f"{source}:net", "--memory", *TRAINED).out
    assert "peak of inference" in memory
    assert "peak of training" in memory
    both = run("inspect", f"{source}:net", "--program", "--c").out
    assert "entry forward" in both
    assert "int32_t model_forward(" in both


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--after", "polish"], "forward has no pass 'polish'; its passes are trace, infer-types, "),
        (["--after", "differentiate"], "forward has no pass 'differentiate'"),
        (["--after", "fuse", "--entry", "train"], "--entry must be.*backward, got 'train'; give --loss"),
        (["--entry", "backward"], "--entry chooses what --after and --cost show"),
    ],
)
def test_inspect_says_what_there_is(run: Terminal, source: str, options: list[str], message: str) -> None:
    assert_refused(run("inspect", f"{source}:net", *options), message)


def test_inspect_of_a_folder_has_no_stages(run: Terminal, model: Path, tmp_path: Path) -> None:
    assert_refused(run("inspect", model, "--after", "fuse"), "need the network: give file.py:name")
    assert_refused(run("inspect", tmp_path), "has no manifest.json")
    assert run("inspect", model, "--c").out.strip() == (model / "model.c").read_text().strip()


# check


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_check_compares_layer_by_layer(run: Terminal, source: str, dtype: str) -> None:
    answer = run("check", f"{source}:net", "--batch", 6, "--dtype", dtype, *TRAINED)
    assert answer.code == 0, answer.out
    for name in ("lif1.spk", "lif1.mem each step", "lif2.mem, final", "loss", "d loss / d fc1.weight",
                 "d outputs / d x", "d outputs / d lif2.mem", "fc2.bias, updated"):    # fmt: skip
        assert f"\n  {name} " in answer.out
    assert "kept" in answer.out
    assert "ABOVE" not in answer.out


def test_check_knows_what_is_rounded(run: Terminal, source: str) -> None:
    answer = run("check", f"{source}:net", "--context", "bfloat16", *TRAINED)
    assert answer.code == 0, answer.out
    assert "ABOVE" not in answer.out


def test_check_finds_a_difference(run: Terminal, source: str, monkeypatch: pytest.MonkeyPatch) -> None:
    reference = checking.Subject.reference

    def altered(self: Any, entry: str, draw: Any) -> Any:
        found = reference(self, entry, draw)
        key = "gradient", "fc2.weight"
        return {**found, key: found[key] + 1e-3} if entry == "backward" else found

    monkeypatch.setattr(checking.Subject, "reference", altered)
    answer = run("check", f"{source}:net", "--num-steps", 5)
    assert answer.code == 1
    above = [line for line in answer.out.splitlines() if "ABOVE THE BOUND" in line]
    assert len(above) == 1
    assert "d outputs / d fc2.weight" in above[0]


def test_check_counts_spikes_that_differ(run: Terminal, source: str, monkeypatch: pytest.MonkeyPatch) -> None:
    reference = checking.Subject.reference

    def altered(self: Any, entry: str, draw: Any) -> Any:
        found = reference(self, entry, draw)
        if entry == "forward":
            found["output", "lif1.spk"] = found["output", "lif1.spk"].copy()
            found["output", "lif1.spk"][2, 1, 3] = 1 - found["output", "lif1.spk"][2, 1, 3]
        return found

    monkeypatch.setattr(checking.Subject, "reference", altered)
    answer = run("check", f"{source}:net", "--num-steps", 5)
    assert answer.code == 0
    assert "1 flipped" in answer.out
    assert "spikes differ in 1 of 8 samples: left out of the differences" in answer.out
    answer = run("check", f"{source}:net", "--num-steps", 5, "--batch", 2)
    assert answer.code == 1
    assert "spikes differ in 1 of 2 samples: at most 25% may" in answer.out


@pytest.mark.parametrize(
    ("found", "expected", "result"),
    [
        ([1.0, 2.0], [1.0, 2.0], 0.0),
        ([0.5], [0.25], 0.25),
        ([101.0], [100.0], 0.01),
        ([np.nan], [1.0], np.inf),
        ([1.0], [1.0, 1.0], np.inf),
    ],
)
def test_differences_are_relative(found: list[float], expected: list[float], result: float) -> None:
    assert checking.difference(np.array(found), np.array(expected)) == pytest.approx(result)


# doctor


def test_doctor_is_content_where_models_compile(run: Terminal) -> None:
    answer = run("doctor")
    assert (answer.code, answer.err) == (0, "")
    topics = [line.split()[0] for line in answer.out.splitlines() if line and line[0] not in " m"]
    assert topics == [
        "snncc", "Python", "packages", "processor", "cache", "compiler", "flags", "OpenMP", "trial", "BLAS",
        "nvcc", "CUDA", "threads",
    ]    # fmt: skip
    assert answer.out.endswith("models can be compiled and run here\n")


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("CC", "false", "compiler    ERROR no C compiler found .tried false"),
        ("SNNCC_CACHE", "/dev/null/cache", "cache       ERROR .*set SNNCC_CACHE to a folder that can"),
    ],
)
def test_doctor_says_what_is_missing(
    run: Terminal, variable: str, value: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, value)
    answer = run("doctor")
    assert (answer.code, answer.err) == (1, "")
    assert re.search(message, answer.out)
    assert answer.out.endswith("models cannot be compiled here yet\n")


def test_doctor_knows_remedies(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "libgomp1" in str(doctor._openmp(()))
    monkeypatch.setattr(doctor, "_installed", lambda name: "" if name == "networkx" else "1")
    assert "networkx missing: pip install networkx" in "\n".join(map(str, doctor._python()))
