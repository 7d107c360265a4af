"""Calling a model: results, shapes, states, parameters, and every wrong argument."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import snncc_runtime
from snncc_runtime import Model, ModelError, cpu, load
from tests import handmade

RANDOM = np.random.default_rng(1)
X = RANDOM.random((4, 5, 3)).astype(np.float32)
LABELS = np.array([0, 1, 2, 0, 1])


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The handmade model as it is, in float64, and with a static input."""
    place = tmp_path_factory.mktemp("models")
    return {
        "float": handmade.write(place / "float"),
        "double": handmade.write(place / "double", "double"),
        "static": handmade.write(place / "static", static=True),
    }


@pytest.fixture
def model(folders: dict[str, Path]) -> Model:
    return load(folders["float"])


# Calls


def test_a_call_computes_all_steps(model: Model) -> None:
    out = model(X)
    expected = handmade.membranes(X)
    np.testing.assert_allclose(out.mem, expected, rtol=1e-6)
    np.testing.assert_array_equal(out.spk, (out.mem > 1).astype(np.float32))
    np.testing.assert_array_equal(out.state["leaky.mem"], out.mem[-1])
    assert out.mem.dtype == np.float32


def test_an_output_is_found_by_name_by_number_and_in_order(model: Model) -> None:
    out = model(x=X)
    spk, mem = out
    assert spk is out.spk is out["spk"] is out[0]
    assert mem is out.mem is out["mem"] is out[1]
    assert len(out) == 2
    assert "spk" in dir(out)
    assert repr(out) == "Output(spk: float32[4, 5, 3], mem: float32[4, 5, 3], state={leaky.mem})"
    with pytest.raises(AttributeError, match="no output 'spike'; outputs are spk, mem"):
        _ = out.spike


def test_a_float64_model_computes_in_float64(folders: dict[str, Path]) -> None:
    x = RANDOM.random((4, 2, 3))
    np.testing.assert_allclose(load(folders["double"])(x).mem, handmade.membranes(x), rtol=1e-15)


def test_state_goes_out_and_in(model: Model) -> None:
    first = model(X[:3])
    second = model(X[3:], state=first.state)
    np.testing.assert_array_equal(second.mem, model(X).mem[3:])


def test_streaming_is_the_same_as_a_call(model: Model) -> None:
    state = None
    for current, expected in zip(X, model(X).mem, strict=True):
        out = model.step(current, state=state)
        np.testing.assert_array_equal(out.mem, expected)
        assert out.mem.shape == (5, 3)
        state = out.state
    np.testing.assert_array_equal(model.step(X[0]).mem, model(X).mem[0])


def test_a_static_input_runs_for_num_steps(folders: dict[str, Path]) -> None:
    model = load(folders["static"])
    for num_steps, steps in ((None, 4), (2, 2), (7, 7)):
        out = model(X[0], num_steps=num_steps)
        np.testing.assert_allclose(out.mem, handmade.membranes(np.repeat(X[:1], steps, 0)), rtol=1e-6)
    with pytest.raises(ModelError, match="num_steps must be a positive integer, got 0"):
        model(X[0], num_steps=0)
    with pytest.raises(ModelError, match="num_steps must be a positive integer, got True"):
        model(X[0], num_steps=True)


def test_more_steps_than_compiled_for_keep_the_weights(model: Model) -> None:
    model.params["leaky.weight"] = [3, 2, 1]
    x = np.repeat(X, 5, 0)
    np.testing.assert_allclose(model(x).mem, handmade.membranes(x, (3, 2, 1)), rtol=1e-6)


def test_arrays_of_any_layout_and_number_type(model: Model) -> None:
    wide = np.zeros((5, 4, 6), np.float32)
    wide[:, :, ::2] = X.transpose(1, 0, 2)
    frozen = X.copy()
    frozen.flags.writeable = False
    for x in (wide[:, :, ::2].transpose(1, 0, 2), frozen, X.astype(np.float64), X.astype(">f4"), X.tolist()):
        np.testing.assert_array_equal(model(x).mem, model(X).mem)
    spikes = X > 0.5
    for kind in (bool, np.uint8, np.int64, np.float16):
        np.testing.assert_array_equal(model(spikes.astype(kind)).mem, model(spikes.astype(np.float32)).mem)


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (X[0], r"x: axis 0 is time, axis 1 is batch: expected \[T, B, 3\], found \[5, 3\]; .*x\[:, None\]"),
        (X[:, :, :2], r"expected \[T, B, 3\], found \[4, 5, 2\]$"),
        (X[:0], "x: axis 0 is time and is empty"),
        (X[:, :0], "x: axis 1 is batch and is empty"),
        (X[:, :, :, None], r"found \[4, 5, 3, 1\]; reshape it: x.reshape\(4, 5, 3\)"),
        (X.astype(complex), "x: expected numbers, found dtype complex128"),
        (X.astype(str), "x: expected numbers, found dtype <U"),
        (X.astype(object), "x: expected numbers, found dtype object"),
        ([[1, 2], [3]], "x: cannot be made an array"),
        (np.full((1, 1, 3), 2**24 + 1), "x: the integer 16777217 has no exact float32"),
        (np.full((1, 1, 3), 1e300), r"x: inf at \[0, 0, 0\] \(3 such values in 3\); inputs must be finite"),
        (None, "tiny: input 'x' is missing"),
        ({"z": X}, "'z' is not the name of a input; known are: x"),
    ],
)
def test_wrong_inputs_are_named(x: Any, message: str, model: Model) -> None:
    with pytest.raises(ModelError, match=message):
        model(x)


def test_nan_is_found_where_it_is(model: Model) -> None:
    x = X.copy()
    x[2, 1, 0] = np.nan
    with pytest.raises(ModelError, match=r"x: nan at \[2, 1, 0\] \(1 such values in 60\)"):
        model(x)
    with pytest.raises(ModelError, match=r"leaky.mem: inf at \[0, 0\]"):
        model(X, state={"leaky.mem": np.full((5, 3), np.inf)})


def test_arrays_must_agree(model: Model) -> None:
    with pytest.raises(ModelError, match=r"leaky\.mem: axis 0 is batch: expected 5 as in x, found 4"):
        model(X, state={"leaky.mem": np.zeros((4, 3))})
    with pytest.raises(ModelError, match="x: axis 0 is time: expected 3 as in num_steps, found 4"):
        model(X, num_steps=3)
    with pytest.raises(ModelError, match=r"'lif\.mem' is not the name of a state; known are: leaky\.mem"):
        model(X, state={"lif.mem": np.zeros((5, 3))})
    with pytest.raises(ModelError, match=r"x: axis 0 is batch: expected \[B, 3\], found \[4, 5, 3\]"):
        model.step(X)
    with pytest.raises(ModelError, match="give inputs by name or one array, not both"):
        model(X, x=X)


def test_a_call_knows_nothing_of_the_one_before(model: Model) -> None:
    fresh = model(X)
    kept = fresh.mem.copy()
    continued = model(X, state=fresh.state)
    assert (continued.mem != fresh.mem).any()
    assert not np.shares_memory(continued.mem, fresh.mem)
    np.testing.assert_array_equal(fresh.mem, kept)
    np.testing.assert_array_equal(model(X).mem, kept)
    np.testing.assert_array_equal(model.step(X[0], state=fresh.state).mem, continued.mem[0])
    with pytest.raises(ModelError, match="x: nan"):
        model(np.full_like(X, np.nan), state=fresh.state)
    np.testing.assert_array_equal(model(X).mem, kept)


@pytest.mark.parametrize("shuffle", [True, False])
def test_samples_of_any_layout_train_alike(shuffle: bool, folders: dict[str, Path]) -> None:
    transposed = np.ascontiguousarray(X.transpose(1, 0, 2)).transpose(1, 0, 2)
    results = []
    for x in (X, transposed, np.asfortranarray(X), X.astype(">f8"), X.tolist()):
        model = load(folders["float"])
        model.fit(x, LABELS, batch_size=2, shuffle=shuffle, progress=False)
        results.append(model.params["leaky.weight"])
        assert model.evaluate(x, LABELS, batch_size=2) == model.evaluate(X, LABELS, batch_size=2)
    for result in results:
        np.testing.assert_array_equal(result, results[0])


def test_calls_from_several_threads(model: Model) -> None:
    batches = [RANDOM.random((steps, 7, 3)).astype(np.float32) for steps in range(1, 30)]
    with ThreadPoolExecutor(4) as pool:
        for x, out in zip(batches, pool.map(model, batches), strict=True):
            np.testing.assert_allclose(out.mem, handmade.membranes(x), rtol=1e-5)


# Parameters


def test_parameters_are_a_mapping_of_copies(model: Model) -> None:
    assert list(model.params) == ["leaky.weight", "leaky.beta"]
    assert len(model.params) == 2
    assert "leaky.weight" in model.params
    assert model.params["leaky.beta"].shape == ()
    model.params["leaky.weight"][0] = 7
    np.testing.assert_array_equal(model.params["leaky.weight"], handmade.WEIGHT)
    assert repr(model.params) == "Parameters(leaky.weight: float32[3], leaky.beta: float32[])"
    with pytest.raises(KeyError):
        _ = model.params["weight"]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"leaky.weight": np.zeros(2)}, r"leaky.weight: expected shape \[3\], found \[2\]"),
        ({"leaky.weight": [1, np.nan, 0]}, r"leaky.weight: nan at \[1\].*parameters must be finite"),
        ({"leaky.weight": "zero"}, "leaky.weight: expected numbers"),
        ({"weight": np.zeros(3)}, "'weight' is not the name of a parameter; known are: leaky.weight"),
        ({"leaky.beta": 0.9, "leaky.weight": []}, r"expected shape \[3\], found \[0\]"),
    ],
)
def test_parameters_that_do_not_fit_change_nothing(values: Any, message: str, model: Model) -> None:
    with pytest.raises(ModelError, match=message):
        model.params.update(values)
    np.testing.assert_array_equal(model.params["leaky.weight"], handmade.WEIGHT)
    assert model.params["leaky.beta"] == handmade.BETA


def test_weights_files_go_out_and_in(folders: dict[str, Path], model: Model, tmp_path: Path) -> None:
    model.params["leaky.weight"] = [4, 5, 6]
    model.save_weights(tmp_path / "w.safetensors")
    for source in (tmp_path / "w.safetensors", str(tmp_path / "w.safetensors"), dict(model.params)):
        other = load(folders["double"])    # the type of a file need not be the model's
        other.load_weights(source)
        np.testing.assert_array_equal(other.params["leaky.weight"], [4, 5, 6])
    with pytest.raises(ModelError, match=r"load_weights: parameters are missing: leaky\.weight"):
        model.load_weights({"leaky.beta": 0.5})
    with pytest.raises(ModelError, match="none: cannot be read"):
        model.load_weights(tmp_path / "none")


# The machine


def test_cpu_flags_are_those_a_compiler_may_use(tmp_path: Path) -> None:
    info = tmp_path / "cpuinfo"
    info.write_text("processor : 0\nflags\t\t: fpu avx2 hypervisor avx512f\n\nflags : none\n")
    assert cpu.cpu_flags(str(info)) == ("avx2", "avx512f")
    assert cpu.cpu_flags(str(tmp_path / "none")) is None
    info = tmp_path / "empty"
    info.write_text("processor : 0\n")
    assert cpu.cpu_flags(str(info)) is None


def test_threads_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for text, expected in (("3", 3), ("5,2", 5)):
        monkeypatch.setenv("OMP_NUM_THREADS", text)
        assert cpu.default_threads() == expected
    for text in ("", "0", "many"):
        monkeypatch.setenv("OMP_NUM_THREADS", text)
        assert cpu.default_threads() >= 1
    monkeypatch.setattr(os, "cpu_count", lambda: 96)
    assert cpu.default_slots() == 16


def test_slots_are_the_manifests_and_threads_may_be_more(
    folders: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 5)
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    chosen = handmade.write(tmp_path / "chosen", memory={"tile": 2, "slots": 3})

    def sizes(folder: Path, **options: int) -> tuple[int, int]:
        config = load(folder, **options)._instance.config
        return config.slots, config.threads

    assert sizes(chosen) == (3, 7)
    assert sizes(chosen, slots=2, threads=4) == (2, 4)
    assert sizes(folders["float"]) == (5, 7)    # of a compiler that chose no slots


@pytest.mark.parametrize(
    ("slots", "message"),
    [
        (0, "'slots' must be positive, got 0"),
        ("2", "'slots' must be int, got '2'"),
        (None, "'slots' must be int, got None"),
    ],
)
def test_slots_of_a_manifest_are_checked(slots: Any, message: str, tmp_path: Path) -> None:
    folder = handmade.write(tmp_path / "tiny", memory={"tile": 2, "slots": slots})
    with pytest.raises(ModelError, match=f"{message}.*; compile the model again"):
        load(folder)


@pytest.mark.parametrize(
    ("given", "spins"),
    [({}, "1000"), ({"GOMP_SPINCOUNT": "5"}, "5"), ({"OMP_WAIT_POLICY": "active"}, None)],
)
def test_idle_threads_spin_for_a_while(
    given: dict[str, str], spins: str | None, folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "environ", given.copy())
    load(folders["float"], threads=1)
    assert os.environ.get("GOMP_SPINCOUNT") == spins
    assert os.environ["OMP_WAIT_POLICY"] == given.get("OMP_WAIT_POLICY", "passive")


def test_the_runtime_needs_neither_the_compiler_nor_tqdm(folders: dict[str, Path]) -> None:
    text = f"""
import sys
sys.path.insert(0, {str(Path(snncc_runtime.__file__).parents[1])!r})
sys.modules["snncc"] = sys.modules["tqdm"] = None
import numpy, snncc_runtime
model = snncc_runtime.load({str(folders["float"])!r})
model.fit(numpy.ones((4, 6, 3)), numpy.arange(6) % 3, progress=True)
print("pycparser" in sys.modules)
"""
    answer = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=True)
    assert answer.stdout == "False\n"
    assert answer.stderr.startswith("epoch 1/1  loss ")
