"""Weights of other systems: PyTorch's files are read without PyTorch, safely, and matched by name."""

from __future__ import annotations

import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import snncc
from snncc import nn
from snncc_runtime import ModelError
from snncc_runtime.checkpoint import read_checkpoint
from snncc_runtime.weights import match, open_weights, parse_rename
from tests.damage import damaged
from tests.terminal import Terminal, assert_refused

HERE = Path(__file__).parent / "golden" / "weights"
NET = """from snncc import nn
net = nn.Sequential(
    fc1=nn.Linear(4, 3), lif1=nn.Leaky({beta}), fc2=nn.Linear(3, 2), lif2=nn.Leaky(0.5, learn_beta=True)
)
"""
SHAPES = {"fc1.weight": (3, 4), "fc1.bias": (3,), "fc2.weight": (2, 3), "fc2.bias": (2,), "lif2.beta": ()}


@pytest.fixture(scope="module")
def model() -> snncc.Model:
    net = nn.Sequential(
        fc1=nn.Linear(4, 3), lif1=nn.Leaky(0.9), fc2=nn.Linear(3, 2), lif2=nn.Leaky(0.5, learn_beta=True)
    )
    return snncc.compile(net, num_steps=2)


# Files


def test_tensors_of_every_kind_are_read_as_pytorch_holds_them() -> None:
    expected = np.load(HERE / "kinds.npz")
    found = read_checkpoint(HERE / "kinds.pt")
    assert list(found) == list(expected)
    for name, record in found.items():
        array = record.read()
        assert array.shape == record.shape == expected[name].shape
        np.testing.assert_array_equal(array, expected[name])
    types = [found[name].read().dtype.name for name in ("half", "bfloat", "slice")]
    assert types == ["float16", "float32", "int64"]


@pytest.mark.parametrize("file", ["snntorch.pt", "checkpoint.pt", "compiled.pt"])
def test_a_state_dict_loads_by_name(model: snncc.Model, file: str) -> None:
    plain = open_weights(HERE / "snntorch.pt")
    model.params.update({name: np.zeros(shape) for name, shape in SHAPES.items()})
    done = model.load_weights(HERE / file)
    assert set(done.pairs) == set(SHAPES)
    assert {name.rpartition(".")[2] for name in done.ignored} == {
        "threshold", "graded_spikes_factor", "reset_mechanism_val", "beta",
    }    # fmt: skip
    for name in SHAPES:
        np.testing.assert_array_equal(model.params[name], plain[name].read())
    assert model.params["lif2.beta"] == np.float32(0.8)


@pytest.mark.parametrize("suffix", ["pt", "npz", "safetensors"])
def test_what_is_saved_is_what_was_held(model: snncc.Model, tmp_path: Path, suffix: str) -> None:
    values = {name: np.random.default_rng(1).random(shape) for name, shape in SHAPES.items()}
    model.params.update(values)
    model.save_weights(tmp_path / f"w.{suffix}")
    held = dict(model.params)
    model.params.update({name: np.zeros(shape) for name, shape in SHAPES.items()})
    model.load_weights(tmp_path / f"w.{suffix}")
    for name in SHAPES:
        np.testing.assert_array_equal(model.params[name], held[name])


class Attack:
    """Runs something when it is unpickled."""

    def __reduce__(self) -> Any:
        return (exec, ("raise SystemExit('the file was run')",))


def archive(path: Path, content: bytes, compression: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", compression) as file:
        file.writestr("archive/data.pkl", content)
        file.writestr("archive/data/0", bytes(16))
    return path


def tensor(size: bytes, strides: bytes = b"K\x01\x85", storage: bytes = b"FloatStorage") -> bytes:
    """The pickle of {"w": a tensor} of a storage of 4 floats."""
    return (
        b"\x80\x02}X\x01\x00\x00\x00wctorch._utils\n_rebuild_tensor_v2\n"
        b"((X\x07\x00\x00\x00storagectorch\n"
        + storage + b"\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpuK\x04tQK\x00" + size + strides + b"\x89NtRs."
    )    # fmt: skip


def nested_key(depth: int) -> bytes:
    """A dict whose key is a tuple of a tuple of ... twice each: its hash would take 2^depth steps."""
    return b"\x80\x02}K\x00" + b"2\x86" * depth + b"Ns."


BAD = {
    "code": (pickle.dumps({"w": Attack()}), "it asks for (__builtin__|builtins).exec"),
    "a lookup": (b"\x80\x02cos\nsystem\n.", "it asks for os.system"),
    "a call of a text": (b"\x80\x02}X\x01\x00\x00\x00wX\x01\x00\x00\x00a)Rs.", "of what is no function"),
    "an endless hash": (nested_key(64), "a key that is neither text nor number"),
    "no end": (b"\x80\x02}", "it has no end|ValueError"),
    "an unknown operation": (b"\x80\x02\x8f.", "EMPTY_SET is not known"),
    "a list": (b"\x80\x02].", "holds no state dict"),
    "no tensors": (b"\x80\x02}K\x01K\x02s.", "holds no state dicts"),
    "a negative size": (tensor(b"J\xff\xff\xff\xff\x85"), "a tensor of no possible extent"),
    "a storage of what is no storage": (tensor(b"K\x04\x85", storage=b"Size"), "of a type that is not read"),
    "broken": (b"\x80\x02}X\xff\xff\xff\xffw.", "ValueError"),
}


@pytest.mark.parametrize("name", BAD)
def test_pickles_can_do_nothing_but_name_tensors(tmp_path: Path, name: str) -> None:
    content, message = BAD[name]
    with pytest.raises(ModelError, match=message):
        read_checkpoint(archive(tmp_path / "bad.pt", content))


def test_tensors_stay_within_their_storage(tmp_path: Path) -> None:
    sound = read_checkpoint(archive(tmp_path / "a.pt", tensor(b"K\x04\x85")))
    np.testing.assert_array_equal(sound["w"].read(), np.zeros(4))
    beyond = read_checkpoint(archive(tmp_path / "b.pt", tensor(b"K\x05\x85")))
    with pytest.raises(ModelError, match="reaches beyond its storage"):
        beyond["w"].read()
    with pytest.raises(ModelError, match="is packed or too large"):
        read_checkpoint(archive(tmp_path / "c.pt", bytes(1 << 20), zipfile.ZIP_DEFLATED))


FILES = {
    "whole_module.pt": "asks for torch.nn.modules.linear.Linear, and only tensors are read; save",
    "legacy.pt": "the format of PyTorch before 1.6",
    "none.pt": "cannot be read",
}


@pytest.mark.parametrize("name", FILES)
def test_files_that_are_not_read_say_what_to_do(model: snncc.Model, name: str) -> None:
    with pytest.raises(ModelError, match=FILES[name]):
        model.load_weights(HERE / name)


def test_npz_files_hold_numbers_only(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", w=np.array([{}], dtype=object))
    with pytest.raises(ModelError, match=r"w\.npy holds object, not numbers"):
        open_weights(tmp_path / "a.npz")
    (tmp_path / "b.npz").write_bytes((HERE / "kinds.npz").read_bytes()[:200])
    with pytest.raises(ModelError, match=r"b\.npz: is not a sound zip: BadZipFile"):
        open_weights(tmp_path / "b.npz")


def test_damaged_files_are_errors_of_the_file(tmp_path: Path) -> None:
    files = [(HERE / name).read_bytes() for name in ("snntorch.pt", "checkpoint.pt", "kinds.pt", "kinds.npz")]
    read = refused = 0
    for content in damaged(files, 600, seed=4):
        (tmp_path / "w").write_bytes(content)
        try:
            for record in open_weights(tmp_path / "w").values():
                if np.prod(record.shape, dtype=float) < 1e6:
                    record.read()
            read += 1
        except ModelError:
            refused += 1
    assert read > 20
    assert refused > 300


# Names


def test_everything_that_does_not_fit_is_said_at_once(model: snncc.Model) -> None:
    held = dict(model.params)
    arrays = {name: np.zeros(shape) for name, shape in SHAPES.items() if name != "fc2.bias"}
    with pytest.raises(ModelError) as caught:
        model.load_weights({**arrays, "fc1.weight": np.zeros((4, 3)), "fc3.weight": np.zeros(2)})
    assert str(caught.value) == (
        "load_weights: parameters are missing: fc2.bias; not in the network: fc3.weight; other shapes: "
        "fc1.weight: expected [3, 4], found [4, 3]; rename= maps their names to ours, strict=False takes "
        "what fits"
    )
    for name, array in held.items():
        np.testing.assert_array_equal(model.params[name], array)
    done = model.load_weights({"fc1.bias": np.ones(3), "fc3.weight": np.zeros(2)}, strict=False)
    assert (dict(done.pairs), done.unexpected) == ({"fc1.bias": "fc1.bias"}, ("fc3.weight",))
    np.testing.assert_array_equal(model.params["fc1.bias"], np.ones(3))
    with pytest.raises(ModelError, match="not in the network: other"):    # nothing fits: not silently
        model.load_weights({"other": np.ones(3)}, strict=False)


@pytest.mark.parametrize(
    ("names", "rename"),
    [
        (("net.0.weight", "net.0.bias"), "net.0.=fc1."),
        (("weight", "bias"), "weight=fc1.weight,bias=fc1.bias"),
        (("model.fc1.weight", "model.fc1.bias"), ""),
        (("module.model.fc1._orig_mod.weight", "module.model.fc1.bias"), ""),
    ],
)
def test_names_find_their_parameters(names: tuple[str, ...], rename: str) -> None:
    wanted = {"fc1.weight": (3, 4), "fc1.bias": (3,)}
    shapes = dict(zip(names, wanted.values(), strict=True))
    found = match("file", wanted, shapes, parse_rename(rename))
    assert found.check().pairs == dict(zip(wanted, names, strict=True))


def test_rows_may_be_numbered_modules() -> None:
    """As snnTorch's BNTT is a list of layers, one a step."""
    network = nn.Sequential(fc=nn.Linear(2, 4), bn=nn.BatchNormTT1d(4, 12), input=nn.Input(2))
    model, rng = snncc.compile(network, num_steps=12), np.random.default_rng(0)
    names, fc = ("weight", "running_mean", "running_var"), {"weight": np.ones((4, 2)), "bias": np.ones(4)}
    for prefix, bn, rename in (("", "bn", None), ("model.", "bn", None), ("", "a.list", {"a.list.": "bn."})):
        rows = {f"{bn}.{t}.{name}": rng.random(4, np.float32) for t in reversed(range(12)) for name in names}
        rows |= {f"{bn}.{t}.num_batches_tracked": np.array(t) for t in range(12)}
        given = {prefix + name: a for name, a in rows.items()} | {f"{prefix}fc.{k}": a for k, a in fc.items()}
        assert model.load_weights(given, rename=rename).check().unexpected == ()
        for name in (*names, "num_batches_tracked"):
            stacked = np.stack([rows[f"{bn}.{t}.{name}"] for t in range(12)])
            np.testing.assert_array_equal(model.params[f"bn.{name}"], stacked)
        fewer = {name: array for name, array in given.items() if not name.endswith(".4.weight")}
        with pytest.raises(ModelError, match=r"are missing: bn.weight; not in the network: .*11.weight"):
            model.load_weights(fewer, rename=rename)


def test_parameters_that_do_not_learn_may_be_absent() -> None:
    wanted = {"fc.weight": (2,), "lif.init_mem": (2,)}
    found = match("file", wanted, {"fc.weight": (2,)}, fixed=["lif.init_mem"])
    assert (found.check().kept, found.missing) == (("lif.init_mem",), ())


# The command line


def test_numbers_of_the_network_may_be_arrays_of_the_file() -> None:
    wanted, shapes = {"fc.weight": (2,)}, {"fc.weight": (2,), "lif.beta": (5,)}
    assert match("file", wanted, shapes).unexpected == ("lif.beta",)
    assert match("file", wanted, shapes, numbers=["lif.beta"]).check().ignored == ("lif.beta",)


def test_networks_compile_with_weights(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run, source = Terminal(capsys), tmp_path / "net.py"
    source.write_text(NET.format(beta=0.9))
    answer = run("compile", f"{source}:net", "-o", tmp_path / "m", "--weights", HERE / "checkpoint.pt")
    assert answer.code == 0, answer.err
    assert "checkpoint.pt: 5 parameters\n  renamed: module.fc1.weight -> fc1.weight" in answer.out
    held = snncc.load(tmp_path / "m").params
    for name, record in open_weights(HERE / "snntorch.pt").items():
        if name in SHAPES:
            np.testing.assert_array_equal(held[name], record.read())
    source.write_text(NET.format(beta=0.95))
    answer = run("compile", f"{source}:net", "-o", tmp_path / "n", "--weights", HERE / "snntorch.pt")
    assert_refused(answer, r"lif1.beta is 0.95 in the network and 0.9 in .*snntorch.pt")
    assert not (tmp_path / "n").exists()
