"""Workloads are what their table says; the benchmark measures, compares, and says where systems disagree."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from benchmarks import growth, neurons, run, scaling, table, task
from benchmarks.contest import CONTESTANTS, Result, write_task
from benchmarks.floors import Rates, floor
from benchmarks.neuron_cases import CASES
from benchmarks.report import Report
from models.workloads import WORKLOADS

pytestmark = pytest.mark.optimised    # what is measured is what users get

ROOT = Path(__file__).parents[1]

# The first loss, and the sum of the outputs it is read from: snnTorch 1.0.0's numbers.
SNNTORCH = {
    "W1": (59.448521, -1339.4497),
    "W2": (63.602135, -9312.4033),
    "W2-dense": (192.31552, -112026.18),
    "W3": (61.312023, -1627.9836),
    "W4": (340.43412, 72250.281),
    "W5": (0.048627973, 54590),
    "W5-dense": (0.16169274, 260932),
    "W6": (89.587204, -75.02832),
    "W7": (0.045700796, 866309),
}


@pytest.mark.parametrize("name", WORKLOADS)
def test_workloads_start_where_snntorch_does(name: str) -> None:
    workload = WORKLOADS[name]
    model, (x, y) = workload.compile(), workload.samples()
    out = model(x)
    total = float((out.mem if workload.loss.reads == "mem" else out.spk).sum())
    # In float32, 2 of the 3.3 million spikes of W3's second layer are not PyTorch's; in float64 all are.
    bound = 5e-5 if name == "W3" else 1e-5
    assert (model.evaluate(x, y)["loss"], total) == pytest.approx(SNNTORCH[name], rel=bound)


@cache
def rates(name: str) -> list[float]:
    return list(WORKLOADS[name].rates().values())


@pytest.mark.parametrize("name", WORKLOADS)
def test_layers_fire_as_often_as_the_table_says(name: str) -> None:
    found = rates(name)
    if name.endswith("-dense"):
        assert found == pytest.approx([0.25] * len(found), abs=0.02)
    else:
        hidden = found[:-1] if WORKLOADS[name].sizes[-1] <= 20 else found
        low, high = (0.12, 0.15) if name == "W3" else (0.03, 0.06)
        assert all(low < rate < high for rate in hidden)


def test_every_workload_has_its_place() -> None:
    assert {name[:2] for name in WORKLOADS} == {f"W{i}" for i in range(1, 8)}


def test_contestants_get_the_task_that_was_written(tmp_path: Path) -> None:
    workload = WORKLOADS["W6"]
    write_task(workload, tmp_path)
    given = task.read(tmp_path)
    assert given.task == task.Task("W6", 25, 1, (784, 1000, 10), False, "cross_entropy", 0.95)
    assert (given.x.shape, given.y.shape, given.by_membrane) == ((25, 1, 784), (1,), True)
    assert [weight.shape for weight, _ in given.layers] == [(1000, 784), (10, 1000)]
    assert given.back == []


@pytest.mark.parametrize(
    ("name", "mode", "operations", "spikes"),
    [
        ("W1", "train", 3.12, 6.08),
        ("W2", "infer", 26.75, 6.9),
        ("W3", "train", 125.7, 79.9),
        ("W3", "infer", 42.0, 15.0),
        ("W4", "train", 76.8, 17.9),
        ("W4", "infer", 33.7, 3.33),
        ("W5", "train", 124.3, 57.1),
        ("W7", "train", 176.6, 64.2),
    ],
)
def test_floors_of_a_known_machine(name: str, mode: str, operations: float, spikes: float) -> None:
    workload = WORKLOADS[name]
    found = floor(workload, mode, Rates(190, 30, 2), rates(name))
    assert (found.operations, found.spikes) == pytest.approx((operations, spikes), rel=0.01)


def benchmark(*options: str) -> subprocess.CompletedProcess[str]:
    """The command on a machine whose rates need not be measured."""
    command = [sys.executable, str(ROOT / "benchmarks" / "run.py"), "--gflops", "100", "--gbs", "10"]
    command += options
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)


def test_the_command_measures_and_writes_json(tmp_path: Path) -> None:
    written = tmp_path / "out.json"
    done = benchmark("--only", "W6", "--peers", "snncc", "--seconds", "0.1", "--json", str(written))
    assert done.returncode == 0, done.stderr
    assert re.search(r"^snncc +[\d.]+ +[\d.]+ +[\d.]+ +\d+ ", done.stdout, re.MULTILINE), done.stdout
    assert "snncc compile: " in done.stdout
    everything = json.loads(written.read_text())
    assert set(everything) == {"processor", "threads", "gflops", "gbs", "workloads"}
    found = everything["workloads"]["W6"]
    assert (found["num_steps"], found["batch"], found["sizes"]) == (25, 1, [784, 1000, 10])
    assert (found["mismatches"], found["left_out"]) == ([], {})
    assert 0 < found["compile_s"]["cached"] < found["compile_s"]["cold"]
    mode = found["modes"]["infer"]
    assert set(mode["floor_ms"]) == {"operations", "bytes", "spikes"}
    ours = mode["contestants"]["snncc"]
    assert 0 < ours["min_ms"] <= ours["median_ms"] <= ours["max_ms"] and ours["calls"] >= 10
    assert ours["first_value"] == pytest.approx(SNNTORCH["W6"][1], rel=1e-5)
    assert len(ours["turn_medians_ms"]) == 5 and ours["foreign_cpus"] >= 0


def test_a_contestant_that_cannot_run_is_left_out() -> None:
    done = benchmark("--only", "W6", "--peers", "norse", "--python", "torch=/bin/false")
    assert done.returncode == 0, done.stderr
    assert "left out: norse: ended with code 1" in done.stdout


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--only", "W9"), "no workload is called 'W9'; there are W1, W2, "),
        (("--peers", "snncc,jaxx"), "no peer is called 'jaxx'; there are jax, jax:scan, "),
        (("--python", "tourch=x"), "no environment is called 'tourch'; there are jax, norse, "),
    ],
)
def test_unknown_names_are_refused_with_the_known_ones(
    options: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as left:
        run.parse(options)
    assert left.value.code == 2 and message in capsys.readouterr().err


def test_a_module_stands_for_all_of_its_variants() -> None:
    names = [c.name for c in run.contestants("jax,snncc")]
    assert names == ["snncc", "jax:scan", "jax:unroll5", "jax:unroll"]


def result(name: str, value: float, milliseconds: float, learned: float = 1.0) -> Result:
    turns = [{"times": [milliseconds / 1e3] * 2, "wall": 1.0, "foreign": 0.25}]
    first = {"value": value, "seconds": 0.5, "memory": 2**20}
    return Result(CONTESTANTS[name], {"train": first}, {"train": turns}, learned)


def reported(*results: Result) -> Report:
    floors = {"train": floor(WORKLOADS["W2"], "train", Rates(1, 1, 1), [0.05])}
    return Report(WORKLOADS["W2"], {"lif1": 0.05}, list(results), floors)


def test_systems_that_disagree_are_named() -> None:
    exact, inexact = result("jax:scan", 2.0001, 3.0), result("norse", 3.0, 4.0)
    assert reported(result("snncc", 2.0, 1.0), exact, inexact).disagreements() == []
    wrong = reported(result("snncc", 2.0, 1.0), result("jax:scan", 2.001, 3.0), inexact)
    assert wrong.disagreements() == ["MISMATCH: W2 first loss: snncc 2, jax:scan 2.001"]
    assert wrong.disagreements()[0] in table.of_workload(wrong)
    late = reported(result("snncc", 2.0, 1.0), result("jax:scan", 2.0, 3.0, learned=0.9))
    assert late.disagreements() == ["MISMATCH: W2 loss after one update: snncc 1, jax:scan 0.9"]


def test_ratios_are_those_of_the_same_rounds() -> None:
    one, other = result("jax:scan", 2, 3.0), result("norse", 2, 9.0)
    shown = table.summary([reported(result("snncc", 2, 2.0), other, one)])
    expected = "W2 training step 2.00 jax:scan 3.00 1.5 [1.5 .. 1.5] 1.5"
    assert expected in " ".join(shown.split())


def points() -> list[growth.Point]:
    """1 ms, and 0.5 ms a unit."""
    return [
        growth.Point(axis, at, {}, {mode: [1e-3 + 5e-4 * at] for mode in ("train", "infer")})
        for axis, values in growth.AXES.items()
        for at in values
    ]


def test_a_line_goes_through_points_on_a_line() -> None:
    fit = growth.line(growth.on_axis(points(), "batch"), "train")
    assert (fit.fixed, fit.slope, fit.off) == pytest.approx((1.0, 0.5, 0.0), abs=1e-9)


def test_growth_is_measured_and_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (growth, scaling):
        monkeypatch.setattr(module, "AXES", {"batch": (1, 2), "density": (0.1, 0.2)})
    written = tmp_path / "out.json"
    scaling.main(["--rounds", "1", "--seconds", "0.1", "--cores", "W6", "--json", str(written)])
    found = json.loads(written.read_text())
    assert found["axes"]["batch"]["at"] == [1, 2]
    assert set(found["axes"]["density"]["train"]["line"]) == {"fixed", "slope", "off"}
    assert found["second_core"]["W6"]["infer"]["median"] > 0


def test_the_picture_of_growth_is_drawn(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="the extra [demo] is not installed")
    from benchmarks.scaling_picture import draw

    cores = {"W1": {"train": {"median": 1.9, "min": 1.8, "max": 2.0}}}
    draw(points(), cores, tmp_path / "growth.svg")
    text = (tmp_path / "growth.svg").read_text()
    assert "Two cores against one" in text and "samples" in text


def test_neurons_are_measured_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    written = tmp_path / "out.json"
    sizes = ["--num-steps", "3", "--batch", "2", "--size", "16", "--seconds", "0.02"]
    sizes += ["--gbs", "10", "--gflops", "30"]
    assert neurons.main(["--only", "LIF,PSN", "--alone", *sizes, "--json", str(written)]) == 0
    line = r"^LIF +LIFNode +[\d.]+% +[\d.]+ +0\.80 +\d+% +[\d.]+ +1\.20 +\d+% *$"
    assert re.search(line, capsys.readouterr().out, re.MULTILINE)
    everything = json.loads(written.read_text())
    assert set(everything["neurons"]) == {"LIF", "PSN"}
    for mode, moved, products in (("forward", 0.8, 1), ("gradient", 1.2, 3)):
        least = everything["neurons"]["PSN"][mode]["floor_ns"]
        each = 2 * 3 / 30    # of 3 multiply-adds for a neuron and step
        assert least == pytest.approx({"bytes": moved, "products": products * each})
    found = everything["neurons"]["LIF"]
    assert (found["original"], found["disagreement"], found["left_out"]) == ("spikingjelly.LIFNode", "", "")
    for mode in ("forward", "gradient"):
        assert 0 < found[mode]["fastest_ns"]["snncc"] <= found[mode]["median_ns"]["snncc"]
        assert found[mode]["ratio"] is None


def test_an_original_that_cannot_run_is_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    sizes = ["--num-steps", "2", "--batch", "2", "--size", "16", "--seconds", "0.02"]
    rates = ["--gbs", "10", "--gflops", "30"]
    assert neurons.main(["--only", "IF", "--python", "torch=/bin/false", *sizes, *rates]) == 0
    assert "left out: ended with code 1" in capsys.readouterr().out


def test_neurons_that_compute_something_else_are_not_compared() -> None:
    case = CASES[0]
    out = np.tile(np.array([0, 1], np.float32), (4, 3, 2))
    ours = {"out": out, "d_x": out / 2, "beta": np.ones(1, np.float32)}
    assert neurons.disagreement(case, ours, {**ours, "unread": np.ones(2)}) == ""
    other = {**ours, "beta": np.full(1, 0.5)}
    assert neurons.disagreement(case, ours, other) == "gradient of beta differs by 0.5"
    assert "gradient of x differs" in neurons.disagreement(case, ours, {**ours, "d_x": out})
    moved = out.copy()
    moved[2, 1, 0] = 1
    assert "of the outputs differ" in neurons.disagreement(case, ours, {**ours, "out": moved})
    assert "nowhere" in neurons.disagreement(case, ours, {**ours, "out": 1 - out})


def test_every_neuron_has_an_original_beside_it() -> None:
    without = {"IntegrateAndFire", "SConv2dLSTM"}    # the base of others; one of images, and here are rows
    assert {case.name.partition(",")[0] for case in CASES} == set(neurons.nn.neurons.__all__) - without
