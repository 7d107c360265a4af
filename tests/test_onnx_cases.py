"""Networks as real exporters write them to ONNX, against what their frameworks compute."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import pytest

import snncc
from snncc.cli import main
from snncc.commands.options import Choices
from snncc.commands.source import load_source
from tests.onnx_cases import cases, interpreted

CASES = cases()
# One of each way in which time is told: a step, Scan, Loop with weights as inputs, recurrent layers.
COMPILED = (
    *("sj_lif_step_dynamo", "helper_scan_lif", "onnxscript_for_loop"),
    *("snn_leakyparallel_seq_ts", "torch_lstm_ts"),
)


@pytest.mark.parametrize("name", list(CASES))
def test_a_network_computes_what_its_framework_does_and_its_report_has_every_node(name: str) -> None:
    case = CASES[name]
    network = snncc.import_onnx(case.path)
    case.check(interpreted(network, case.arrays()[0]))
    written = onnx.load(case.path).graph.node
    told = Counter((f.node, f.kind.rpartition("::")[2]) for f in network.report.findings)
    assert not Counter((n.name or f"-> {n.output[0]}", n.op_type) for n in written) - told
    assert all(f.became for f in network.report.findings)


@pytest.mark.parametrize("name", [n for n, case in CASES.items() if case.kind == "step"])
def test_states_are_found_and_told(name: str) -> None:
    case = CASES[name]
    network = snncc.import_onnx(case.path)
    told = ", ".join(f"{before} = {after}" for before, after in case.states.items())
    assert network.report.remarks == (f"states found: {told}",)


@pytest.mark.parametrize("joined", [True, False])
def test_states_are_given_one_by_one_or_together(joined: bool) -> None:
    case = next(case for case in CASES.values() if len(case.states) > 1)
    pairs = [f"{before}={after}" for before, after in case.states.items()]
    options = Choices(state=(",".join(pairs),) if joined else tuple(pairs))
    source = load_source(str(case.path), options)
    assert source.report is not None
    assert source.report.remarks[0].startswith("states as given: ")


ENDS = ("_multi_dynamo", "_seq_dynamo", "expleak_seq_ts")
WRITTEN_OUT = [n for n in CASES if "unrolled" in n or n.endswith(ENDS)]


@pytest.mark.parametrize("name", [n for n in WRITTEN_OUT if n != "sj_psn_multi_dynamo"])
def test_steps_that_are_written_out_become_one(name: str) -> None:
    case = CASES[name]
    network = snncc.import_onnx(case.path)
    assert network.report.remarks == (f"{case.steps} steps that are written out were rolled into one",)
    assert network.num_steps == case.steps


@pytest.mark.parametrize("name", COMPILED)
def test_the_command_line_compiles_and_runs_a_file(name: str, tmp_path: Path) -> None:
    case = CASES[name]
    given, _ = case.arrays()
    np.savez(tmp_path / "in.npz", **given)
    assert main(["compile", str(case.path), "-o", str(tmp_path / "m")]) == 0
    assert main(["run", str(tmp_path / "m"), str(tmp_path / "in.npz"), "-o", str(tmp_path / "out.npz")]) == 0
    with np.load(tmp_path / "out.npz") as found:
        case.check(dict(found))


NEURONS = {
    "snn_mlp_unrolled_dynT_ts": ["Leaky(beta=0.95, threshold=1, reset=subtract)"] * 2,
    "snn_leaky_zero_unrolled_dynamo": ["Leaky(beta=0.95, threshold=1, reset=zero)"] * 2,
    "sj_lif_step_dynamo": ["LIF(tau=2, v_threshold=1, v_reset=0), fires at its threshold"] * 2,
    "helper_scan_lif": ["LIF(tau=10, decay_input=False, v_threshold=1, v_reset=None)"],
    "sj_if_soft_multi_dynamo": ["IF(v_threshold=1, v_reset=None), fires at its threshold"] * 2,
    "sj_lif_nodecay_multi_dynamo": [
        "LIF(tau=4, decay_input=False, v_threshold=0.75, v_reset=-0.25), fires at its threshold"
    ]
    * 2,
    "snn_lapicque_step_ts": ["Leaky(beta=0.8, threshold=1, reset=subtract)"],
    "helper_where_clip_lif": [
        "LIF(tau=10, decay_input=False, v_threshold=1, v_reset=-0.125), fires at its threshold",
        "LIF(tau=10, decay_input=False, v_threshold=1, v_reset=None)",
        "LIF(tau=10, decay_input=False, v_threshold=1, v_reset=None), fires at its threshold",
    ],
}


@pytest.mark.parametrize("name", list(NEURONS))
def test_known_neurons_are_named(name: str) -> None:
    report = snncc.import_onnx(CASES[name].path).report
    assert list(report.neurons.values()) == NEURONS[name]
