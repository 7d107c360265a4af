"""Loading and saving model folders: what is missing, altered or foreign is named."""

from __future__ import annotations

import gc
import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from snncc_runtime import Model, ModelError, load
from snncc_runtime.manifest import check_cpu, read_manifest
from snncc_runtime.safetensors import to_bytes
from tests import handmade

X = np.random.default_rng(1).random((4, 5, 3)).astype(np.float32)


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return handmade.write(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture
def folder(original: Path, tmp_path: Path) -> Path:
    """A copy of the model folder that a test may spoil."""
    return Path(shutil.copytree(original, tmp_path / "tiny"))


@pytest.fixture
def model(original: Path) -> Model:
    return load(original)


def change(folder: Path, alter: Callable[[dict[str, Any]], object]) -> None:
    path = folder / "manifest.json"
    manifest = json.loads(path.read_text())
    alter(manifest)
    path.write_text(json.dumps(manifest))


def test_a_saved_model_is_the_same_model(model: Model, tmp_path: Path) -> None:
    model.params["leaky.weight"] = [4, 5, 6]
    model.save(tmp_path / "out" / "copy")
    copy = load(str(tmp_path / "out" / "copy"))
    np.testing.assert_array_equal(copy(X).mem, model(X).mem)
    assert copy.manifest == model.manifest
    assert repr(copy) == "<Model tiny: x -> spk, mem, float32, 4 parameters>"
    assert (copy.name, copy.input_names, copy.output_names) == ("tiny", ("x",), ("spk", "mem"))
    assert copy.state_names == ("leaky.mem",)
    model.save(tmp_path / "out" / "copy")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["copy"]


def test_save_needs_nothing_of_the_folder_it_came_from(folder: Path, tmp_path: Path) -> None:
    model = load(folder)
    shutil.rmtree(folder)
    model.save(tmp_path / "copy")
    assert load(tmp_path / "copy").name == "tiny"


def test_save_leaves_foreign_folders_alone(model: Model, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("text")
    with pytest.raises(ModelError, match="is a folder that is not a model of snncc, and is left alone"):
        model.save(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_model_compiled_again_into_its_folder_is_the_new_one(folder: Path) -> None:
    old = load(folder)
    handmade.write(folder, static=True)
    new = load(folder)
    assert new(X[0]).mem.shape == (4, 5, 3)
    np.testing.assert_allclose(new(X[0]).mem[1], handmade.membranes(X[[0, 0]])[1], rtol=1e-6)
    np.testing.assert_allclose(old(X).mem, handmade.membranes(X), rtol=1e-6)


def test_loading_leaves_the_folder_as_it_is(folder: Path) -> None:
    before = sorted(folder.iterdir())
    load(folder)(X)
    assert sorted(folder.iterdir()) == before


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda f: (f / "manifest.json").unlink(), "tiny: has no manifest.json; give the folder"),
        (lambda f: (f / "manifest.json").write_text("{"), "is not JSON"),
        (lambda f: (f / "manifest.json").write_text("[]"), "is not the manifest of a model"),
        (lambda f: (f / "model.c").unlink(), "tiny: model.c is missing; compile or save"),
        (lambda f: (f / "model.c").write_text(""), "tiny: model.c was altered after"),
        (lambda f: (f / "libtiny.so").unlink(), "libtiny.so is missing"),
        (lambda f: (f / "libtiny.so").write_bytes(b"ELF"), "libtiny.so was altered"),
        (lambda f: (f / "_binding.py").write_text("import os"), "_binding.py was altered"),
        (lambda f: (f / "weights.safetensors").unlink(), "weights.safetensors is missing"),
        (lambda f: (f / "weights.safetensors").write_bytes(b"x"), "not a sound safetensors file"),
        (lambda f: shutil.rmtree(f), "tiny: is not a folder"),
    ],
)
def test_missing_and_altered_files_are_named(spoil: Any, message: str, folder: Path) -> None:
    spoil(folder)
    with pytest.raises(ModelError, match=message):
        load(folder)


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ({"leaky.weight": np.zeros(3, np.float32)}, "parameters are missing: leaky.beta"),
        ({**handmade.weights(), "fc9.weight": np.zeros(3, np.float32)}, "'fc9.weight' is not the name"),
        (handmade.weights("double"), "expected float32, found float64"),
        ({**handmade.weights(), "leaky.beta": np.zeros(4, np.float32)}, r"shape \[\], found \[4\]"),
    ],
)
def test_weights_of_another_model_are_refused(weights: Any, message: str, folder: Path) -> None:
    (folder / "weights.safetensors").write_bytes(to_bytes(weights))
    with pytest.raises(ModelError, match=message):
        load(folder)


@pytest.mark.parametrize(
    ("alter", "message"),
    [
        (lambda m: m.update(schema=2), "schema is 2, this version of snncc_runtime reads 1"),
        (lambda m: m.update(target="metal"), "target must be one of c, cuda, got 'metal'"),
        (lambda m: m.update(prefix="a b"), "'prefix' must be a C identifier, got 'a b'"),
        (lambda m: m.update(dtype="int8"), "'dtype' must be one of float32, float64, got 'int8'"),
        (lambda m: m.update(num_steps=0), "'num_steps' must be positive, got 0"),
        (lambda m: m.pop("io"), "'io' must be list, got None"),
        (lambda m: m["io"][0].update(role="in"), "'role' must be one of input"),
        (lambda m: m["io"][0].update(shape=[-1]), "x: 'shape' must be a list of positive sizes"),
        (lambda m: m["io"][0].update(time=1), "x: 'time' must be bool, got 1"),
        (lambda m: m["io"].append(3), "expected a table with 'role', got 3"),
        (lambda m: m["entries"].append(3), "'entries' must be a list of strings"),
        (lambda m: m["files"].update({"../x": ""}), "'../x' must be a name inside the folder"),
        (lambda m: m["files"].pop("libtiny.so"), "files does not name libtiny.so"),
    ],
)
def test_manifests_that_make_no_sense_are_refused(alter: Any, message: str, folder: Path) -> None:
    change(folder, alter)
    with pytest.raises(ModelError, match=rf"manifest\.json: .*{message}.*; compile the model again"):
        load(folder)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("r->version = 1", "r->version = 9", "version is 9 in the library, 1 in the binding"),
        ("sizeof(tiny_io)", "sizeof(tiny_io) + 8", "io_bytes is"),
        ("strcpy(r->digest, ", "strcpy(r->digest, 1 + ", "digest is"),
        ("tiny_arena_bytes(c)", "tiny_arena_bytes_too(c)", "cannot be opened"),
    ],
)
def test_a_library_of_another_layout_is_refused(
    old: str, new: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = handmade.CODE.replace(old, new)
    prototype = "size_t tiny_arena_bytes_too(const tiny_config *);\n" if "_too" in new else ""
    code = code.replace("enum { N = 3 };", f"{prototype}enum {{ N = 3 }};")
    monkeypatch.setattr(handmade, "CODE", code)
    with pytest.raises(ModelError, match=message):
        load(handmade.write(tmp_path / "other"))


def test_a_field_that_the_struct_lacks_is_refused(folder: Path) -> None:
    change(folder, lambda m: m["io"][0].update(field="z"))
    with pytest.raises(ModelError, match="tiny_io has no field z"):
        load(folder)


def test_a_library_for_another_cpu_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    change(folder, lambda m: m["build"]["cpu_flags"].append("avx9000"))
    with pytest.raises(ModelError, match=r"libtiny\.so was built for a CPU with avx9000.*on this machine"):
        load(folder)
    monkeypatch.setattr("snncc_runtime.manifest.cpu_flags", lambda: None)    # not Linux: nobody can tell
    check_cpu(read_manifest(folder), folder)


@pytest.mark.parametrize("argument", ["threads", "slots", "tile"])
@pytest.mark.parametrize("value", [0, -1, 1.5, "2", True])
def test_sizes_are_checked(argument: str, value: Any, original: Path) -> None:
    with pytest.raises(ModelError, match=f"{argument} must be a(n| positive) integer"):
        load(original, **{argument: value})


def test_the_folder_must_be_a_path() -> None:
    with pytest.raises(ModelError, match="load: folder must be text or a path, got 3"):
        load(3)    # type: ignore[arg-type]


def test_digests_are_of_the_bytes(folder: Path) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    assert "weights.safetensors" not in manifest["files"]
    for name, digest in manifest["files"].items():
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="/proc/self/maps tells what is mapped")
def test_a_library_stays_mapped_when_its_model_is_gone(folder: Path) -> None:
    """Closing the last one would unmap the OpenMP runtime under its own waiting threads."""
    model = load(folder)
    library = str((folder / model.manifest["build"]["library"]).resolve())
    del model
    gc.collect()
    assert library in Path("/proc/self/maps").read_text()
