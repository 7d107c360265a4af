"""One layer of each neuron beside snnTorch's or SpikingJelly's own: ns per neuron and step.

    python benchmarks/neurons.py --python torch=t/bin/python     # all of them
    python benchmarks/neurons.py --only LIF,Leaky --alone        # these, without the originals
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))    # a clone runs its benchmarks without being installed
sys.path.insert(1, str(Path(__file__).parents[1] / "runtime"))

import numpy as np

import snncc
from benchmarks import machine, neuron_task
from benchmarks.contest import Contestant, Player, Result, Settings, take_turns
from benchmarks.floors import FLOAT, Rates, measured
from benchmarks.neuron_cases import CASES, Case
from snncc import nn

MODES = {"infer": "forward", "train": "gradient"}    # the worker's word, and the table's
ARRAYS = {"infer": 2, "train": 3}    # current and spike; current, cotangent and gradient
OURS = Contestant("neuron", "", "snncc")
# Rounding may move a spike over the threshold. A neuron in which one moved (its sample, where
# neurons are mixed) is not compared further.
MOVED, APART = 1e-5, 1e-4
HALF = 0.5    # of the samples, at least, are to be compared where a spike moves others
GRADIENTS_APART = 1e-2    # of a parameter's, a sum over all samples, those with a moved spike too

LEGEND = """\
floor: the longer of two: currents, spikes, cotangents and gradients read and written once, at the rate
of a copy of them; multiply-adds of products at the rate of NumPy's, or additions where spikes drive them.
share: of our time, that is the floor."""


@dataclass(frozen=True)
class Sizes:
    """Steps, samples and neurons of the layer."""

    steps: int
    batch: int
    neurons: int

    @property
    def updates(self) -> int:
        """Of neurons, in a call."""
        return self.steps * self.batch * self.neurons


@dataclass(frozen=True)
class Floor:
    """What a neuron takes at least in a step [ns].

    bytes: its arrays once through memory. products: the multiply-adds of products, of those that spikes drive
    only the additions that the spikes of this run ask for.
    """

    bytes: float
    products: float

    @property
    def most(self) -> float:
        return max(self.bytes, self.products)


@dataclass
class Row:
    """What was measured of a neuron: ns per neuron and step by mode, by contestant.

    rate: nonzero outputs. floors: by mode. disagreement, left_out: why there is no peer to compare with.
    """

    case: Case
    floors: dict[str, Floor]
    rate: float = 0.0
    fastest: dict[str, dict[str, float]] = field(default_factory=dict)
    medians: dict[str, dict[str, float]] = field(default_factory=dict)
    disagreement: str = ""
    left_out: str = ""

    def ratio(self, mode: str) -> float | None:
        both = self.fastest.get(mode, {})
        return both["peer"] / both["snncc"] if len(both) == 2 else None

    def share(self, mode: str) -> float:
        """Of our time that the floor is."""
        return self.floors[mode].most / self.fastest[mode]["snncc"]


class Layer(nn.Module):
    """The neurons alone. Its output is the spikes, or membranes where there are none."""

    def __init__(self, case: Case, sizes: Sizes) -> None:
        self.inputs = {"x": nn.Input(sizes.neurons)}
        preset = getattr(getattr(nn, case.system), case.preset)
        self.neuron = preset(**case.arguments(sizes.steps, sizes.neurons))

    def forward(self, x: Any) -> Any:
        result = self.neuron(x)
        return {"out": result[0] if isinstance(result, tuple) else result}


def prepare(case: Case, sizes: Sizes, folder: Path, rates: Rates) -> dict[str, Floor]:
    """The compiled layer, and what all contestants are given. Floors by mode."""
    model = snncc.compile(Layer(case, sizes), num_steps=sizes.steps, name="neuron")
    model.save(folder / "model")
    generator = np.random.default_rng(1)
    x = generator.normal(*case.drive, (sizes.steps, sizes.batch, sizes.neurons)).astype(np.float32)
    out = model(x).out
    d_out = generator.normal(size=out.shape).astype(np.float32)
    parameters = {name.removeprefix("neuron."): array for name, array in model.params.items()}
    neuron_task.write(folder, case.preset, case.arguments(sizes.steps, sizes.neurons), x, d_out, parameters)
    profiles = {
        "infer": model.profile(x, repeats=1),
        "train": model.profile(x, cotangents={"out": d_out}, repeats=1),
    }
    return {mode: floor(mode, profile, sizes, rates) for mode, profile in profiles.items()}


def floor(mode: str, profile: Any, sizes: Sizes, rates: Rates) -> Floor:
    """From what a call counted. An addition takes an adder as long as a multiplication takes a multiplier."""
    additions = sum(row.work.additions for row in profile.rows if row.work.dense)
    return Floor(ARRAYS[mode] * FLOAT / rates.gbs, 2 * additions / rates.gflops / sizes.updates)


def measure(case: Case, sizes: Sizes, settings: Settings, rates: Rates, alone: bool) -> Row:
    """Both take turns, each in a process of its own."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        row = Row(case, prepare(case, sizes, folder, rates))
        original = Contestant(f"neuron_{case.system}", "", case.system, "torch")
        results = [Result(c) for c in ((OURS,) if alone else (OURS, original))]
        players = [Player(result, folder, settings) for result in results]
        if not alone and not results[1].failure:
            row.disagreement = disagreement(
                case, neuron_task.found(folder, "snncc"), neuron_task.found(folder, "peer")
            )
        playing = players[:1] if row.disagreement or results[-1].failure else players
        try:
            take_turns(playing, list(MODES), settings)
        finally:
            for player in players:
                player.close()
        out = neuron_task.found(folder, "snncc")["out"]
    row.rate = float(np.count_nonzero(out) / out.size)
    row.left_out = results[-1].failure
    for name, result in zip(("snncc", "peer"), results, strict=False):
        for mode in result.turns:
            # One thread's own time does not count what others do on the same processor meanwhile.
            times = result.worked(mode) if settings.threads == 1 else result.times(mode)
            row.fastest.setdefault(mode, {})[name] = min(times) / out.size * 1e9
            row.medians.setdefault(mode, {})[name] = statistics.median(times) / out.size * 1e9
    return row


def disagreement(case: Case, ours: dict[str, Any], theirs: dict[str, Any]) -> str:
    """What is too far apart, or nothing."""
    ours = {name: array for name, array in ours.items() if name in theirs and array.size}
    lines = []
    spikes = np.isin(theirs["out"], (0, 1)).all()
    differ = ours["out"] != theirs["out"] if spikes else ~np.isclose(ours["out"], theirs["out"], 1e-3, 1e-4)
    same = ~differ.any(axis=(0, 2) if case.mixes else 0)
    if same.mean() < HALF if case.mixes else differ.mean() > MOVED:
        lines.append(f"{differ.mean():.2g} of the outputs differ")
    if not same.any():
        return "; ".join([*lines, "nowhere are all outputs the same"])
    for name in ours.keys() - {"out"}:
        one, other = ours[name], theirs[name].reshape(ours[name].shape)
        bound = APART if name == "d_x" or same.all() else GRADIENTS_APART
        if name == "d_x":
            one, other = one[:, same], other[:, same]
        distance = float(np.abs(one - other).max() / max(1.0, np.abs(other).max()))
        if not distance <= bound:
            lines.append(f"gradient of {name.removeprefix('d_')} differs by {distance:.2g}")
    return "; ".join(sorted(lines))


def table(rows: Sequence[Row]) -> Iterator[str]:
    columns = f"{'floor':>8}{'share':>6}{'original':>10}{'ratio':>7}"
    modes = "".join(f"{mode:>12}{columns}" for mode in MODES.values())
    yield f"{'neuron':22}{'original':22}{'nonzero':>8}{modes}"
    for row in rows:
        yield line(row)
        if row.disagreement:
            yield f"  MISMATCH: {row.disagreement}"
        if row.left_out:
            yield f"  left out: {row.left_out}"


def line(row: Row) -> str:
    text = f"{row.case.name:22}{row.case.preset:22}{100 * row.rate:7.1f}%"
    for mode in MODES:
        found, ratio = row.fastest[mode], row.ratio(mode)
        text += f"{found['snncc']:12.2f}{row.floors[mode].most:8.2f}{100 * row.share(mode):5.0f}%"
        text += f"{found['peer']:10.2f}{ratio:7.1f}" if ratio else " " * 17
    return text


def main(arguments: Sequence[str] | None = None) -> int:
    """1 where a neuron disagrees with its original."""
    options = parse(arguments)
    settings = Settings(options.threads, options.seconds, dict(options.python))
    sizes = Sizes(options.num_steps, options.batch, options.size)
    rates = measured(options.threads, options.gflops, options.gbs, FLOAT * sizes.updates)
    print(f"{machine.processor()}, threads: {options.threads}; ", end="")
    print(f"products {rates.gflops:.0f} GFLOP/s, a copy of the currents {rates.gbs:.0f} GB/s")
    print(f"{sizes.steps} steps, batch {sizes.batch}, {sizes.neurons} neurons; ns per neuron and step\n")
    rows = []
    for case in options.only:
        rows.append(measure(case, sizes, settings, rates, options.alone))
        lines = list(table(rows[-1:]))
        print("\n".join(lines[1 if len(rows) > 1 else 0 :]), flush=True)
    print(f"\n{LEGEND}")
    if options.json:
        options.json.write_text(json.dumps(plain(rows, sizes, rates), indent=1) + "\n")
    return 1 if any(row.disagreement for row in rows) else 0


def plain(rows: Sequence[Row], sizes: Sizes, rates: Rates) -> dict[str, Any]:
    return {
        "processor": machine.processor(),
        "threads": rates.threads,
        "gflops": rates.gflops,
        "gbs": rates.gbs,
        "num_steps": sizes.steps,
        "batch": sizes.batch,
        "size": sizes.neurons,
        "neurons": {row.case.name: of_row(row) for row in rows},
    }


def of_row(row: Row) -> dict[str, Any]:
    modes = {
        title: {
            "fastest_ns": row.fastest[mode],
            "median_ns": row.medians[mode],
            "floor_ns": asdict(row.floors[mode]),
            "share": row.share(mode),
            "ratio": row.ratio(mode),
        }
        for mode, title in MODES.items()
    }
    original = f"{row.case.system}.{row.case.preset}"
    why = {"disagreement": row.disagreement, "left_out": row.left_out}
    return {"original": original, "nonzero": row.rate, **modes, **why}


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Time each neuron beside its original.")
    add = parser.add_argument
    add("--only", type=cases, default=list(CASES), metavar="LIF,...", help="neurons, by snncc's names")
    add("--alone", action="store_true", help="without the originals")
    add("--num-steps", type=int, default=25)
    add("--batch", type=int, default=64)
    add("--size", type=int, default=512, help="neurons")
    add("--seconds", type=float, default=1.0, help="of measuring, for each contestant and mode")
    add("--threads", type=int, default=1)
    add("--python", type=interpreter, action="append", default=[], metavar="torch=PATH",
        help="interpreter of the environment of snnTorch and SpikingJelly")    # fmt: skip
    add("--gflops", type=float, help="rate of products; measured if not given")
    add("--gbs", type=float, help="rate of a copy in GB/s; measured if not given")
    add("--json", type=Path, metavar="FILE", help="write what was measured")
    return parser.parse_args(arguments)


def cases(text: str) -> list[Case]:
    """`RLeaky` stands for all cases whose first word it is."""
    known = {case.name.partition(",")[0] for case in CASES}
    for name in text.split(","):
        if name not in known:
            there = ", ".join(sorted(known))
            raise argparse.ArgumentTypeError(f"no neuron is called {name!r}; there are {there}")
    return [case for case in CASES if case.name.partition(",")[0] in text.split(",")]


def interpreter(text: str) -> tuple[str, str]:
    name, _, path = text.partition("=")
    if name != "torch":
        raise argparse.ArgumentTypeError(f"no environment is called {name!r}; there is torch")
    return name, path


if __name__ == "__main__":
    sys.exit(main())
