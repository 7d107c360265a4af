"""CUDA models on a GPU beside others on it: times, memory, and rates against what it can do at most."""

from __future__ import annotations

import os
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import snncc
from benchmarks.case_task import CaseGiven
from benchmarks.contest import CONTESTANTS, OURS, ROUNDS, Contestant, Player, Result, Settings, compete
from benchmarks.on_gpu.cases import MODES, TITLES, Case
from benchmarks.on_gpu.device import BITS, PROBE, Probe
from benchmarks.report import Report
from benchmarks.table import aligned
from benchmarks.task import Calls
from benchmarks.worker import Worker
from snncc import nvcc
from snncc.cost import records
from snncc_runtime import ModelError, get_include
from snncc_runtime.kernels import Load, Work, parse_kernels

SOURCE = Path(__file__).with_name("device.cu")
MIB, TURNS = 2**20, 5
QUESTIONS = {"train": "train", "infer": "infer", "gradient": "train"}    # as workers know calls
COLUMNS = ("median, ms", "min", "max", "calls", "memory, MiB", "first call, s", "x snncc")
PEERS = {
    **CONTESTANTS,
    "snncc:numpy": Contestant("snncc", "numpy", "snncc, arrays of NumPy"),
    "torch:graphs": Contestant("torch", "graphs", "PyTorch by hand, all compiled, CUDA graphs", "torch"),
}
# Of the cases without a workload, by the file in peers/; what else the peer is called in --peers.
JELLY: Any = {"label": "SpikingJelly, multi-step", "environment": "torch", "exact": False}
CASE_PEERS = {
    "layer": (
        (Contestant("layer", "eager", "PyTorch by hand", "torch"), "torch:eager"),
        (Contestant("layer", "scans", "PyTorch by hand, loops compiled", "torch"), "torch:scans"),
        (Contestant("layer", "spikingjelly", **JELLY), "spikingjelly"),
        (Contestant("layer", "snntorch", "snnTorch", "torch"), "snntorch:tutorial"),
        (Contestant("layer_jax", "scan", "JAX by hand, scan", "jax"), "jax:scan"),
    ),
    "resnet": (
        (Contestant("resnet", "spikingjelly", **JELLY), "spikingjelly"),
        (Contestant("resnet", "snntorch", "snnTorch", "torch", exact=False), "snntorch:tutorial"),
    ),
}
USUAL = (
    *(OURS, "snncc:numpy", "torch:eager", "torch:scans", "torch:graphs", "jax:scan", "snntorch:tutorial"),
    "spikingjelly",
)


@dataclass(frozen=True)
class Measured:
    """What was found of a case. works: of a call, by mode."""

    case: Case
    results: list[Result]
    works: dict[str, Work]

    def took_part(self, mode: str) -> list[Result]:
        """Fastest first."""
        found = [r for r in self.results if r.turns.get(mode)]
        return sorted(found, key=lambda r: statistics.median(r.times(mode)))

    def ours(self, mode: str) -> float | None:
        """Seconds of the median call."""
        found = (r for r in self.took_part(mode) if r.contestant.name == OURS)
        return next((statistics.median(r.times(mode)) for r in found), None)

    @property
    def notes(self) -> list[str]:
        compiled = next((r.compile for r in self.results if r.compile), {})
        spent = ", ".join(f"{seconds:.2f} s {kind}" for kind, seconds in compiled.items())
        left_out = [f"left out: {r.contestant.name}: {r.failure}" for r in self.results if r.failure]
        wrong = Report(self.case.workload, {}, self.results, {}).disagreements() if self.case.workload else []
        return [*([f"snncc compile: {spent}"] if spent else []), *left_out, *wrong]


def probes(folder: Path) -> dict[int, Path]:
    """device.cu as libraries, by bits of a number. Raises CompileError, or RuntimeError if nvcc fails."""
    found, made = nvcc.find_compiler(), {}
    for bits in BITS:
        made[bits] = folder / f"device{bits}.so"
        command = [*found.program, *found.flags, *found.private, f"-DSNNCC_REAL_BITS={bits}"]
        command += ["-I", get_include(), str(SOURCE), "-o", str(made[bits])]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"nvcc ended with {done.returncode}: {(done.stderr or done.stdout)[-2000:]}")
    return made


def measured(
    case: Case, modes: Sequence[str], peers: Sequence[Contestant], settings: Settings, precision: str
) -> Measured:
    modes = [mode for mode in case.modes if mode in modes]
    if case.workload:
        results = compete(case.workload, peers, modes, settings)
    else:
        os.environ[PROBE] = settings.probe
        results = [alone(case, modes, settings.seconds, Probe(settings.probe), precision)]
        results += beside(case, modes, peers, settings)
    return Measured(case, results, works(case, modes))


def works(case: Case, modes: Sequence[str]) -> dict[str, Work]:
    """By the costs of the manifest."""
    program = case.compiled().program
    load = Load(case.batch, case.num_steps, tile=case.batch, slots=1, block=1, segment=program.segment)
    kernels = parse_kernels({"kernels": records(program)})
    return {
        mode: sum((k.cost(load, 0) for k in kernels if k.entry in MODES[mode]), Work()) for mode in modes
    }


def alone(
    case: Case, modes: Sequence[str], seconds: float, probe: Probe, precision: str = "exact"
) -> Result:
    """Our model without others, in this process."""
    result = Result(CONTESTANTS[OURS])
    target, network = case.target(), case.network
    try:
        start = time.perf_counter()
        model = snncc.compile(
            network,
            num_steps=case.num_steps,
            loss=target.loss,
            optimizer=target.optimizer,
            target="cuda",
            precision=precision,
        )
        result.compile["cold"] = time.perf_counter() - start
        calls = resident(model, case, probe)
        for mode in modes:
            worker = Worker(Calls(calls["train"], calls[mode]))
            question = "train" if mode == "train" else "infer"    # as workers know calls
            result.first[mode] = worker.first(question)
            result.turns[mode] = [worker.turn(question, seconds / TURNS) for _ in range(TURNS)]
    except (snncc.CompileError, ModelError) as error:
        result.failure = str(error)
    return result


def beside(
    case: Case, modes: Sequence[str], peers: Sequence[Contestant], settings: Settings
) -> list[Result]:
    """The peers of a case without a workload, in turns."""
    names = [peer.name for peer in peers]
    results = [Result(peer) for peer, name in CASE_PEERS.get(case.peer, ()) if name in names]
    shape = next(iter(case.compiled().network.inputs.values())).shape
    with tempfile.TemporaryDirectory() as scratch:
        CaseGiven(case.num_steps, case.batch, shape).write(Path(scratch))
        players = [Player(result, Path(scratch), settings) for result in results]
        for mode in modes:
            for player in players:
                if first := player.ask("first", QUESTIONS[mode]):
                    player.result.first[mode] = first
            for number in range(ROUNDS):
                for player in players[:: -1 if number % 2 else 1]:
                    if turn := player.ask("turn", QUESTIONS[mode], settings.seconds / ROUNDS):
                        player.result.turns.setdefault(mode, []).append(turn)
        for player in players:
            player.close()
    return results


def resident(model: Any, case: Case, probe: Probe) -> dict[str, Callable[..., float]]:
    """A call by mode, with arrays that are on the device already."""
    samples = case.samples(model.manifest)
    given = {r: {n: probe.upload(a) for n, a in arrays.items()} for r, arrays in samples.items()}
    (y,) = given.get("target", {"": None}).values()

    def infer() -> float:
        model(given["input"], num_steps=case.num_steps)
        model.wait()
        return 0.0

    def gradient() -> float:
        model.backward(given["input"], cotangents=given["cotangent"], num_steps=case.num_steps)
        model.wait()
        return 0.0

    def train(rate: float) -> float:
        return float(model.train_step(given["input"], y, rate, num_steps=case.num_steps))

    return {"train": train, "infer": infer, "gradient": gradient}


def table(found: Measured, rates: Mapping[str, float]) -> str:
    """A table a mode, what of the device's rates was reached, and what went wrong."""
    case = found.case
    lines = [f"{case.name}: {case.title}; {case.num_steps} steps, batch {case.batch}"]
    for mode in found.works:
        rows = [_row(result, mode, found.ours(mode)) for result in found.took_part(mode)]
        if rows:
            lines += ["", *aligned([(TITLES[mode], *COLUMNS), *rows])]
        if seconds := found.ours(mode):
            lines.append(_reached(found.works[mode], seconds, rates))
    return "\n".join([*lines, *found.notes])


def _row(result: Result, mode: str, ours: float | None) -> list[str]:
    times, first = result.times(mode), result.first[mode]
    median = statistics.median(times)
    return [
        result.contestant.label + ("" if result.contestant.exact else " *"),
        *(f"{1e3 * seconds:.3f}" for seconds in (median, min(times), max(times))), str(len(times)),
        f"{first['memory'] / MIB:.1f}", f"{first['seconds']:.2f}", f"{median / ours:.2f}" if ours else "",
    ]    # fmt: skip


def _reached(work: Work, seconds: float, rates: Mapping[str, float]) -> str:
    gbs, gops = work.bytes / seconds / 1e9, work.operations / seconds / 1e9
    return (
        f"snncc: {work.bytes / 1e6:.1f} MB, {gbs:.0f} GB/s, {100 * gbs / rates['gbs']:.0f} % of a copy; "
        f"{work.operations / 1e9:.2f} Gops, {gops:.0f} Gops/s, {100 * gops / rates['apart']:.0f} % of most"
    )


def plain(found: Measured, rates: Mapping[str, float]) -> dict[str, Any]:
    """benchmarks/README.md says what the fields are."""
    modes = {}
    for mode, work in found.works.items():
        contestants = {r.contestant.name: _plain_result(r, mode) for r in found.took_part(mode)}
        modes[mode] = {"bytes": work.bytes, "operations": work.operations, "contestants": contestants}
        if seconds := found.ours(mode):
            modes[mode]["gbs"] = work.bytes / seconds / 1e9
            modes[mode]["gops"] = work.operations / seconds / 1e9
    compiled = next((r.compile for r in found.results if r.compile), {})
    return {"title": found.case.title, "modes": modes, "compile_s": compiled, "notes": found.notes}


def _plain_result(result: Result, mode: str) -> dict[str, float]:
    times, first = result.times(mode), result.first[mode]
    return {
        "median_ms": 1e3 * statistics.median(times),
        "min_ms": 1e3 * min(times),
        "max_ms": 1e3 * max(times),
        "calls": len(times),
        "memory_bytes": first["memory"],
        "first_call_s": first["seconds"],
    }
