"""benchmarks/gpu.py counts what CUDA models start, move and add; it says what it cannot do without a GPU."""

from __future__ import annotations

import json
import re
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import snncc
from benchmarks import gpu, worker
from benchmarks.contest import Settings
from benchmarks.on_gpu import launches, measured, static
from benchmarks.on_gpu.cases import CASES, Case
from benchmarks.on_gpu.device import PROBE, Probe
from benchmarks.on_gpu.launches import Launch, Resources
from benchmarks.peers.snncc import on_device
from snncc import CompileError, loss, nvcc, optim
from snncc_runtime import get_include
from snncc_runtime.kernels import Work
from tests import cuda_host
from tests.cuda_pairs import executed_on_the_host

SAID = """\
ptxas info    : 4 bytes gmem
ptxas info    : Compiling entry function '_Z20snncc_product_kernelILi4ELi1E12snncc_factorS0_EviiiT1_T2_PKfiPf' for 'sm_90'
ptxas info    : Function properties for _Z20snncc_product_kernelILi4ELi1E12snncc_factorS0_EviiiT1_T2_PKfiPf
    0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
ptxas info    : Used 72 registers, used 1 barriers, 5248 bytes smem
ptxas info    : Compile time = 59.449 ms
ptxas info    : Compiling entry function '_ZL11lif1_kernelPKfS0_Pfii' for 'sm_90'
ptxas info    : Function properties for _ZL11lif1_kernelPKfS0_Pfii
    16 bytes stack frame, 24 bytes spill stores, 8 bytes spill loads
ptxas info    : Used 255 registers
"""    # noqa: E501
H200 = static.Device(4800, 33500, 132)
NETWORK = """
from snncc import nn
net = nn.Sequential(fc=nn.Linear(6, 8), lif=nn.RLeaky(0.9, linear_features=8), out=nn.Linear(8, 4),
                    spk=nn.Leaky(0.5))
"""


def test_what_ptxas_says() -> None:
    found = launches.resources(SAID)
    assert [launches.readable(name) for name in found] == ["snncc_product_kernel<4, 1>", "lif1_kernel"]
    assert list(found.values()) == [Resources(72, 0, 0, 5248), Resources(255, 32, 16, 0)]
    with pytest.raises(ValueError, match="no registers of lif1"):
        launches.resources("Compiling entry function 'lif1' for 'sm_90'\nnothing else\n")


def test_statements_are_numbered_by_entry_point() -> None:
    text = "static void a(int stream)\n{\n    f(stream, 1);\n}\n"
    entry = "static int32_t {}_kernels(int stream)\n{{\n    f(stream, 1);\n    if (x) g_2(stream, f);\n}}\n"
    found, counts = launches.marked(text + entry.format("forward") + entry.format("train"))
    assert counts == {"forward": 2, "train": 2}
    assert text in found
    assert found.count("    snncc_at(0), f(stream, 1);\n    if (x) snncc_at(1), g_2(stream, f);\n") == 2


def test_how_often_blocks_fill_a_device() -> None:
    def waves(blocks: int, threads: int, registers: int, shared: int) -> float:
        return H200.waves(Launch(0, "", blocks, threads, 0), Resources(registers, 0, 0, shared))

    assert waves(132 * 8, 256, 32, 0) == 1      # 2048 threads
    assert waves(132 * 2, 256, 96, 0) == 1      # 65536 registers
    assert waves(132 * 3, 256, 73, 0) == 1      # which come by eight a thread
    assert waves(132 * 2, 64, 16, 100 * 2**10) == 1    # shared memory
    assert H200.seconds(Work(additions=33.5e9, read=1)) == pytest.approx(1e-3)
    assert H200.limit(Work(additions=1, read=3, written=2)) == "bytes"


def test_every_start_has_its_kernel_of_the_table(tmp_path: Path) -> None:
    try:
        nvcc.find_nvcc()
    except CompileError as error:
        pytest.skip(f"NOTHING WAS COUNTED: {error}")
    (tmp_path / "tiny.py").write_text(NETWORK)
    steps, objective = 5, loss.cross_entropy("rate")
    case = Case("tiny", "6-8-4", str(tmp_path / "tiny.py:net"), steps, 3, ("train", "infer"), objective)
    train, infer = static.counted(case, ("train", "infer"), "sm_90")
    rows = {row.name: row for row in (*infer.rows, *train.rows)}

    def started(name: str) -> set[str]:
        return {launches.readable(launch.name) for launch in rows[name].launches}

    assert [len(rows[name].launches) for name in ("lif.loop", "lif.loop.2")] == [1, 1]    # for all steps
    assert started("lif.loop.2") == {"lif_backward_loop_2_kernel"}
    assert rows["lif.loop"].work.multiplications == (8 * 8 + 8) * steps * 3    # and a decay
    assert started("fc.product") == started("fc.gradient") == {"snncc_product_kernel<1, 1, 64>"}
    assert "clear" not in rows    # what is first added starts a sum
    assert started("update") == {"update_parameters_numbers_kernel", "update_parameters_kernel"}
    assert [row.name for row in rows.values() if not row.launches] == ["add"]    # there are no other slots
    assert all(bool(row.kernels) == (row.most("registers") > 0) for row in rows.values())
    assert len(train.launches) > len(infer.launches)
    product = rows["fc.product"]
    assert product.work.additions == 6 * 8 * steps * 3
    assert product.work.bytes == 4 * (6 * 8 + (6 + 8) * steps * 3)
    assert train.small(H200) == sum(launch.kernel for launch in train.launches)
    assert train.arena > infer.arena > 0
    shown, record = static.table(train, H200), json.loads(json.dumps(static.plain(train, H200)))
    assert "tiny training step: 6-8-4; 5 steps, batch 3" in shown and "\nlif.recurrent.gradient " in shown
    assert record["launches"] == len(train.launches) and record["kernels"][0]["registers"] > 0
    assert "tiny inference" in static.summary([train, infer], H200)


def test_a_device_is_measured_by_whole_lines(tmp_path: Path) -> None:
    """The ceiling of memory is that of a copy whose threads read and write 16 bytes at once."""
    try:
        found = nvcc.find_nvcc()
    except CompileError as error:
        pytest.skip(f"NOTHING WAS COMPILED FOR A GPU: {error}")
    command = [found.path, "-ptx", "-std=c++17", "-arch=sm_90", "-Werror", "all-warnings"]
    command += ["-DSNNCC_REAL_BITS=32", "-I", get_include(), str(measured.SOURCE), "-o", str(tmp_path / "x")]
    subprocess.run(command, check=True)
    copy = (tmp_path / "x").read_text().partition("copy_kernel")[2].partition("\n}")[0]
    assert re.findall(r"(ld|st)\.global\.v4", copy) == ["ld", "st"]


def test_a_gpu_runs_all_tests_of_models() -> None:
    here = Path(__file__)
    every = [path for path in here.parent.glob("test_*.py") if path != here]
    sources = re.compile(r"^from tests\.(cuda_pairs|vector_runs) import", re.MULTILINE)
    assert {f"tests/{path.name}" for path in every if sources.search(path.read_text())} == set(gpu.TESTS)


def test_what_is_measured_on_a_gpu_runs_here_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By what executes CUDA on the processor; times mean nothing, rates are there."""
    library = tmp_path / "device.so"
    command = ["c++", *cuda_host.FLAGS, *cuda_host.VARIANTS["plain"], "-DSNNCC_REAL_BITS=32", "-shared"]
    command += ["-I", get_include(), str(measured.SOURCE), *cuda_host.linking("plain"), "-o", str(library)]
    subprocess.run(command, check=True)
    probe = Probe(library)
    rates = probe.rates(32, copied=2**14, side=20, blocks=2, turns=3)
    assert set(rates) == {"gbs", "fused", "apart", "product"} and all(rate > 0 for rate in rates.values())
    monkeypatch.setenv(PROBE, str(library))
    monkeypatch.setattr(worker, "WARMING", 0.0)
    (tmp_path / "tiny.py").write_text(NETWORK)
    modes, objective = ("train", "infer", "gradient"), loss.cross_entropy("rate")
    case = Case("tiny", "6-8-4", str(tmp_path / "tiny.py:net"), 5, 3, modes, objective)
    with executed_on_the_host():
        result = measured.alone(case, modes, 0.0, probe)
        learning = {"loss": objective, "optimizer": optim.Adam(0.01)}
        model = snncc.compile(case.network, num_steps=5, target="cuda", **learning)
    x, y = np.ones((5, 3, 6), np.float32), np.array([0, 3, 1])
    peer = on_device(model, probe, x, y, "mem")
    assert peer.infer() == peer.infer() == float(model(x).mem.sum())
    assert peer.train(0.0) == peer.train(0.0) == model.evaluate(x, y)["loss"]
    assert (result.failure, set(result.turns)) == ("", set(modes))
    assert result.first["train"]["value"] > 0 and result.first["infer"]["memory"] > 0
    found = measured.Measured(case, [result], measured.works(case, modes))
    shown, record = measured.table(found, rates), json.loads(json.dumps(measured.plain(found, rates)))
    assert [shown.count(text) for text in ("training step ", "inference ", "gradient ")] == [1, 1, 1]
    assert record["modes"]["gradient"]["contestants"]["snncc"]["calls"] == 10
    assert record["modes"]["train"]["gops"] > 0


def test_cases_without_a_workload_have_peers_as_well() -> None:
    """Here they say that there is no torch, or run on the processor."""
    case = replace(CASES["layer"], num_steps=2, batch=1)
    outputs = [o.name for o in case.compiled().network.graph.outputs if o.role == "output"]
    assert outputs == ["spk"]    # which is what they make
    peers = gpu.contestants("snncc,torch:eager,jax,snntorch:tutorial")
    results = measured.beside(case, case.modes, peers, Settings(1, 0.0))
    assert [r.contestant.name for r in results] == ["layer:eager", "layer:snntorch", "layer_jax:scan"]
    for result in results:
        took_part = set(result.turns) == set(case.modes) and not result.failure
        assert took_part or result.failure.startswith("No module named"), result.failure


def test_names_are_checked(capsys: pytest.CaptureFixture[str]) -> None:
    for option, what in (("--only", "case"), ("--modes", "mode"), ("--peers", "peer")):
        with pytest.raises(SystemExit):
            gpu.parse([option, "W1,W9"] if what == "case" else [option, "W9"])
        assert f"no {what} is called 'W9'; there are " in capsys.readouterr().err
    assert set(gpu.parse([]).only) == set(CASES)
    peers = gpu.parse(["--peers", "snncc,jax"]).peers
    assert [peer.name for peer in peers] == ["snncc", "jax:scan", "jax:unroll5", "jax:unroll"]
