"""Import of NIR: real files give what their makers' networks gave, and what is not sound is refused."""

from __future__ import annotations

import os
import re
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from snncc.commands.options import Choices
from snncc.commands.source import load_source
from snncc.errors import CompileError
from snncc.frontend.dsl import trace
from snncc.frontend.nir import NIRNetwork, import_nir
from snncc.frontend.nir.apart import Apart, GoneError
from snncc.passes.infer_types import InferTypes
from snncc.reference import Call, evaluate
from tests.damage import damaged
from tests.nir_files import MANIFEST, RUNS, chain, graph, lif, linear, node, unpack, write
from tests.terminal import Terminal, assert_refused


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return unpack(tmp_path_factory.mktemp("nir"))


def interpreted(network: NIRNetwork, x: np.ndarray) -> dict[str, np.ndarray]:
    """Outputs in float64, by name."""
    traced = trace(network)
    call = Call({"x": x}, traced.parameters, {}, x.shape[0], x.shape[1], np.dtype("float64"))
    found = evaluate(InferTypes("f64").run(traced.graph), call)
    return {name: array for (role, name), array in found.items() if role == "output"}


def flags(options: Mapping[str, Any]) -> list[str]:
    return [word for name, value in options.items() for word in (f"--{name}", str(value))]


@pytest.mark.parametrize(("case", "expected", "options"), RUNS)
def test_real_files_give_what_they_should(
    corpus: Path, case: str, expected: str, options: dict[str, Any]
) -> None:
    x = np.load(corpus / case / "inputs.npz")["x"].astype(np.float64)
    y = np.load(corpus / case / expected)["y"]
    network = import_nir(corpus / case / "model.nir", **options)
    assert network.report.of("unsupported") == ()
    found = interpreted(network, x)["y"]
    assert found.shape == y.shape
    rounding = 2e-7 * max(1.0, np.abs(y).max())    # the file holds float32
    assert np.abs(found - y).max() <= rounding


BY_COMMAND = (
    ("snn_leaky_subtract_mlp", "expected.npz", ["--dialect", "snntorch", "--reset", "subtract_delayed"]),
    ("snn_rleaky_flattened", "expected.npz", ["--dialect", "snntorch"]),
    ("norse_lifbox_mlp", "expected.npz", ["--dialect", "norse"]),
    ("sinabs_lif_mlp", "expected.npz", ["--dialect", "sinabs"]),
    ("sj_if_conv", "expected.npz", ["--dialect", "spikingjelly"]),
    ("hand_delay_cubali_threshold", "expected_spec.npz", ["--dt", "1e-3"]),
)


@pytest.mark.parametrize(("case", "expected", "options"), BY_COMMAND)
def test_files_compile_and_run_by_the_command_line(
    corpus: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    case: str,
    expected: str,
    options: list[str],
) -> None:
    run, model, out = Terminal(capsys), tmp_path / "m", tmp_path / "out.npz"
    assert run("compile", corpus / case / "model.nir", "-o", model, *options).code == 0
    assert run("run", model, corpus / case / "inputs.npz", "-o", out).code == 0
    y = np.load(corpus / case / expected)["y"]
    np.testing.assert_allclose(np.load(out)["y"], y, rtol=0, atol=MANIFEST["tolerance"])


BAD = {
    "truncated": "not a readable NIR (HDF5) file",
    "dangling_edge": "edge (lif, out): there is no node 'out'",
    "unknown_type": "lif (QuantumLIF): NIR type QuantumLIF is not supported",
    "zero_tau": "node lif (LIF) tau must be positive, found 0 at [1], -0.01 at [2]",
}


@pytest.mark.parametrize("name", BAD)
def test_bad_files_are_one_clear_error(
    corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    answer = Terminal(capsys)("compile", corpus / "bad" / f"{name}.nir", "-o", tmp_path / "m")
    assert_refused(answer, re.escape(BAD[name]))
    assert list(tmp_path.iterdir()) == []


X = np.random.default_rng(3).random((6, 2, 4)) * 3


def outputs(tmp_path: Path, table: dict[str, Any], **options: Any) -> dict[str, np.ndarray]:
    return interpreted(import_nir(write(tmp_path / "a.nir", table), **{"dt": 1e-3, **options}), X)


def refusal(tmp_path: Path, table: dict[str, Any], **options: Any) -> str:
    with pytest.raises(CompileError) as caught:
        import_nir(write(tmp_path / "a.nir", table), **{"dt": 1e-3, **options})
    return str(caught.value)


def test_nested_graphs_mean_the_same_as_flat_ones(tmp_path: Path) -> None:
    ends = {"input": node("Input", shape=[4]), "output": node("Output", shape=[3])}
    inner = graph(
        {"in": node("Input", shape=[3]), "lif": lif(), "rec": linear(3, 3, seed=1), "out": node("Output")},
        ("in", "lif"), ("lif", "rec"), ("rec", "lif"), ("lif", "out"),
    )    # fmt: skip
    nested = graph({**ends, "fc": linear(), "sub": inner}, ("input", "fc"), ("fc", "sub"), ("sub", "output"))
    flat = graph(
        {**ends, "fc": linear(), "lif": lif(), "rec": linear(3, 3, seed=1)},
        ("input", "fc"), ("fc", "lif"), ("lif", "rec"), ("rec", "lif"), ("lif", "output"),
    )    # fmt: skip
    found = outputs(tmp_path, nested)["y"]
    assert 0.05 < found.mean() < 0.95
    np.testing.assert_array_equal(found, outputs(tmp_path, flat)["y"])
    network = import_nir(tmp_path / "a.nir", dt=1e-3)
    assert any("(lif, rec) is part of a cycle" in remark for remark in network.report.remarks)


def test_single_numbers_mean_the_same_as_one_a_neuron(tmp_path: Path) -> None:
    single = {name: np.ravel(value)[0] if name != "type" else value for name, value in lif().items()}
    found = outputs(tmp_path, chain(fc=linear(), lif=lif()))["y"]
    assert found.any()
    np.testing.assert_array_equal(found, outputs(tmp_path, chain(fc=linear(), lif=single))["y"])


def test_files_of_2023_have_no_v_reset_and_reset_to_zero(tmp_path: Path) -> None:
    old = {name: value for name, value in lif().items() if name != "v_reset"}
    found = outputs(tmp_path, chain(fc=linear(), lif=old))["y"]
    np.testing.assert_array_equal(
        found, outputs(tmp_path, chain(fc=linear(), lif=lif(v_reset=np.zeros(3))))["y"]
    )
    assert (found != outputs(tmp_path, chain(fc=linear(), lif=lif()))["y"]).any()


def test_edges_into_one_node_add_up(tmp_path: Path) -> None:
    ends = {"input": node("Input", shape=[4]), "output": node("Output", shape=[3])}
    two = graph(
        {**ends, "a": linear(seed=1), "b": linear(seed=2)},
        ("input", "a"), ("b", "output"), ("a", "output"), ("input", "b"),
    )    # fmt: skip
    weights = sum(linear(seed=seed)["weight"] for seed in (1, 2))
    np.testing.assert_allclose(outputs(tmp_path, two)["y"], X @ weights.T, rtol=1e-12)


def test_a_delay_in_a_cycle_counts_once(tmp_path: Path) -> None:
    """A loop with a Delay of two steps comes back after two steps, not after three."""
    nodes = {
        "input": node("Input", shape=[4]),
        "sum": node("Scale", scale=np.ones(4)),
        "late": node("Delay", delay=np.full(4, 2e-3)),
        "output": node("Output", shape=[4]),
    }
    table = graph(nodes, ("input", "sum"), ("sum", "late"), ("late", "sum"), ("sum", "output"))
    expected = X.copy()
    for t in range(2, len(X)):
        expected[t] += expected[t - 2]
    np.testing.assert_allclose(outputs(tmp_path, table)["y"], expected, rtol=1e-12)


def test_a_delay_that_is_no_whole_number_of_steps_is_said_to_be_rounded(tmp_path: Path) -> None:
    table = graph(
        {
            "input": node("Input", shape=[4]),
            "late": node("Delay", delay=np.full(4, 2.4e-3)),
            "output": node("Output"),
        },
        ("input", "late"), ("late", "output"),
    )    # fmt: skip
    np.testing.assert_array_equal(outputs(tmp_path, table)["y"][2:], X[:-2])
    (finding,) = import_nir(tmp_path / "a.nir", dt=1e-3).report.of("approximate")
    assert (finding.node, finding.why[:46]) == ("late", "a delay of 2.4 steps was rounded to 2; a dt th")


def test_shapes_come_from_what_reads_an_input(tmp_path: Path) -> None:
    table = chain(fc=linear(), lif=lif())
    table["nodes"]["input"] = node("Input")
    plain = outputs(tmp_path, table)["y"]
    table["nodes"]["input"] = node("Input", shape=[16, 4])    # a batch of 16, as Norse and sinabs write it
    np.testing.assert_array_equal(plain, outputs(tmp_path, table)["y"])
    assert "[16] was taken for the batch" in import_nir(tmp_path / "a.nir", dt=1e-3).report.remarks[0]
    table["nodes"]["input"] = node("Input", shape=[5])
    assert "input has shape [5], what reads it expects [4]" in refusal(tmp_path, table)


def test_dt_comes_from_the_caller_or_the_dialect_only(tmp_path: Path) -> None:
    table = chain(fc=linear(), lif=lif())
    assert "NIR files do not say the time step: give dt" in refusal(tmp_path, table, dt=None)
    report = import_nir(tmp_path / "a.nir", dialect="sinabs").report
    assert report.options["dt"] == "1 s (of dialect sinabs)"
    assert "dt is 200 times tau" in report.remarks[0]
    assert [f.why[:27] for f in report.of("approximate")] == ["sinabs fires several spikes"]
    assert "dialect must be one of exact" in refusal(tmp_path, table, dialect="lava")
    assert "reset must be one of file" in refusal(tmp_path, table, reset="soft")


FAULTS = {
    "lif (LIF) has no tau": chain(
        fc=linear(), lif={name: value for name, value in lif().items() if name != "tau"}
    ),
    "v_leak must be finite, found nan at [1]": chain(
        fc=linear(), lif=lif(v_leak=np.array([0.0, np.nan, 0.0]))
    ),
    "differ in shape: tau [3], r [2]": chain(fc=linear(), lif=lif(r=np.array([1.0, 2.0]))),
    "fc gives [3], lif takes [2]": chain(fc=linear(), lif=lif(2)),
    "bias must have shape [3], found [2]": chain(
        fc=node("Affine", weight=np.ones((3, 4)), bias=np.ones(2))
    ),
    "cycle without a state: a -> b -> a": graph(
        {"input": node("Input", shape=[4]), "a": linear(4, 4), "b": linear(4, 4), "output": node("Output")},
        ("input", "a"), ("a", "b"), ("b", "a"), ("b", "output"),
    ),
    "b (Linear) has no edge into it": graph(
        {"input": node("Input", shape=[4]), "a": linear(), "b": linear(), "output": node("Output")},
        ("input", "a"), ("a", "output"), ("b", "output"),
    ),
    "there is no Output node": graph({"input": node("Input", shape=[4]), "a": linear()}, ("input", "a")),
    "start_dim 1 and end_dim 0 are no axes of 1": chain(flat=node("Flatten", start_dim=1, end_dim=0)),
    "tau must be numbers, found 'fast'": chain(fc=linear(), lif=lif(tau="fast")),
}    # fmt: skip


@pytest.mark.parametrize("message", FAULTS)
def test_graphs_that_are_not_sound_are_refused_by_name(tmp_path: Path, message: str) -> None:
    assert message in refusal(tmp_path, FAULTS[message])


def soft_link(file: h5py.File) -> None:
    del file["node/nodes/fc/weight"]
    file["node/nodes/fc/weight"] = h5py.SoftLink("/node/nodes/fc/type")


def external_link(file: h5py.File) -> None:
    del file["node/nodes/fc/weight"]
    file["node/nodes/fc/weight"] = h5py.ExternalLink("other.h5", "/secret")


def external_storage(file: h5py.File) -> None:
    del file["node/nodes/fc/weight"]
    file["node/nodes/fc"].create_dataset("weight", (3, 4), "f8", external=[("/etc/hostname", 0, 96)])


def bomb(file: h5py.File) -> None:
    del file["node/nodes/fc/weight"]
    file["node/nodes/fc"].create_dataset("weight", (1 << 20, 1 << 20), "f8", chunks=(1 << 10, 1 << 10))


def graph_in_itself(file: h5py.File) -> None:
    file["node/nodes/again"] = file["node"]


def numbers_for_a_type(file: h5py.File) -> None:
    del file["node/nodes/fc/type"]
    file["node/nodes/fc/type"] = 3


TAMPERED = {
    soft_link: "links to another place",
    external_link: "links to another place",
    external_storage: "lies in another file",
    bomb: "more than a file of this size can hold",
    graph_in_itself: "deeper than 32 graphs",
    numbers_for_a_type: "type is not a text",
}


@pytest.mark.parametrize("change", TAMPERED)
def test_files_cannot_reach_out_of_themselves(tmp_path: Path, change: Any) -> None:
    path = write(tmp_path / "a.nir", chain(fc=linear(), lif=lif()))
    with h5py.File(path, "a") as file:
        change(file)
    with pytest.raises(CompileError, match=TAMPERED[change]):
        import_nir(path, dt=1e-3)


def test_a_file_that_hangs_or_kills_its_reader_is_refused(tmp_path: Path) -> None:
    assert Apart(divmod)(7, 2, seconds=10.0) == (3, 1)
    with pytest.raises(GoneError, match="took too long"):
        Apart(time.sleep)(30.0, seconds=0.2)
    died = Apart(os._exit)
    with pytest.raises(GoneError, match="crashed"):
        died(1, seconds=10.0)
    with pytest.raises(ZeroDivisionError):
        Apart(divmod)(1, 0, seconds=10.0)


def test_a_heap_that_libhdf5_never_leaves_is_refused(corpus: Path, tmp_path: Path) -> None:
    damaged = bytearray((corpus / "paper_braille_bias_zero" / "model.nir").read_bytes())
    damaged[2336:2400] = bytes(64)    # objects of no size: it goes round and round
    (tmp_path / "a.nir").write_bytes(damaged)
    with pytest.raises(CompileError, match="libhdf5 took too long"):
        import_nir(tmp_path / "a.nir", dt=1e-4)


def test_damaged_files_are_errors_of_the_file(corpus: Path, tmp_path: Path) -> None:
    names = ("snn_rleaky_flattened", "hand_skip_li_scale", "sinabs_lif_mlp")
    files = [(corpus / name / "model.nir").read_bytes() for name in names]
    read = refused = 0
    for content in damaged(files, 150, seed=1):
        (tmp_path / "a.nir").write_bytes(content)
        try:
            trace(import_nir(tmp_path / "a.nir", dt=1e-4))
            read += 1
        except CompileError:
            refused += 1
    assert read > 20
    assert refused > 50


def test_without_the_packages_the_error_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path / "a.nir", chain(fc=linear()))
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(CompileError, match=r"pip install 'snncc\[nir\]'"):
        import_nir(path, dt=1e-3)


def test_options_for_nir_are_refused_elsewhere(capsys: pytest.CaptureFixture[str]) -> None:
    answer = Terminal(capsys)("inspect", "net.py:net", "--dt", "1e-3")
    assert_refused(answer, "--dt is for .nir files")


def test_a_surrogate_is_chosen_on_the_command_line(tmp_path: Path) -> None:
    path = write(tmp_path / "net.nir", chain(fc=linear(), lif=lif()))
    graphs = [
        str(trace(load_source(str(path), Choices(dt=1e-3, surrogate=name)).network).graph)
        for name in ("FastSigmoid,slope=10", None)
    ]
    assert ["FastSigmoid(slope=10" in text for text in graphs] == [True, False]


def test_outputs_get_the_names_that_losses_know(tmp_path: Path) -> None:
    path = write(tmp_path / "net.nir", chain(fc=linear(), lif=lif()))
    target = Choices(dt=1e-3, output=("y=spk",), loss="cross_entropy:rate")
    network = load_source(str(path), target).network
    assert "output spk = " in str(trace(network).graph)
    with pytest.raises(CompileError, match=r"net.nir: output z=spk: expected an output of the file \(y\)"):
        import_nir(path, dt=1e-3, outputs={"z": "spk"})
