"""Spike-timing dependent plasticity, watched: what SNNGrow's example of its `STDP` learner shows.

Two inputs and one integrate-and-fire neuron. The first input makes the neuron fire, the second fires after
it; a few spikes are random. The first synapse grows, the second shrinks. Draws spikes, traces and weights.

    python models/stdp.py                # draws build/stdp.png
    python models/stdp.py --steps 200 --rate 0.1 --out build/stdp.svg
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np

import snncc
from picture import FAINT, INK, QUIET, RIGHT, STYLE, WRONG
from snncc import nn, optim, rules

SYNAPSES, START = 2, 0.5
PERIOD = 10    # steps from volley to volley

net = nn.Sequential(fc=nn.Linear(SYNAPSES, 1, bias=False), neuron=nn.snngrow.IFNode())


def main() -> None:
    options = parse()
    rule = rules.stdp(bounds=(0.0, 1.0))
    model = snncc.compile(net, optimizer=optim.SGD(options.rate), rule=rule, name="stdp")
    model.params["fc.weight"] = np.full((1, SYNAPSES), START)
    spikes = volleys(options.steps, options.seed)
    record = watch(model, spikes[:, None].astype(np.float32))
    options.out.parent.mkdir(parents=True, exist_ok=True)
    draw(spikes, record, options.out)
    after = " and ".join(f"{w:.2f}" for w in record["weight"][-1])
    print(f"weights: {START} and {START} before, {after} after {options.steps} steps")
    print(f"picture: {options.out}")


def volleys(steps: int, seed: int) -> np.ndarray:
    """[steps, 2]: two spikes of the first input, then two of the second, again and again, with some noise."""
    phase = np.arange(steps) % PERIOD
    spikes = np.stack([phase < 2, (phase >= 2) & (phase < 4)], axis=1)
    return spikes ^ (np.random.default_rng(seed).random(spikes.shape) < 0.03)


def watch(model: Any, spikes: np.ndarray) -> dict[str, np.ndarray]:
    """Output spikes, traces and weights after each step."""
    found: dict[str, list[np.ndarray]] = {name: [] for name in ("spk", "trace_pre", "trace_post", "weight")}
    state = None
    for now in spikes:
        out = model.learn(now[None], state=state)
        state = out.state
        found["spk"].append(out.spk[0, 0])
        found["trace_pre"].append(state["fc.trace_pre"][0])
        found["trace_post"].append(state["fc.trace_post"][0])
        found["weight"].append(np.array(model.params["fc.weight"])[0])
    return {name: np.stack(rows) for name, rows in found.items()}


def draw(spikes: np.ndarray, record: dict[str, np.ndarray], path: Path) -> None:
    """One panel each: who fires when, what the traces remember, what the weights make of it."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context({**STYLE, "svg.hashsalt": "snncc"}):
        figure = Figure(figsize=(10, 8), layout="constrained", facecolor="white")
        panels: Any = figure.subplots(4, 1, sharex=True, height_ratios=(1, 1, 1, 1.4))
        rows = [(np.flatnonzero(spikes[:, i]), f"input {i + 1}", c) for i, c in enumerate((RIGHT, WRONG))]
        rows.append((np.flatnonzero(record["spk"][:, 0]), "output", INK))
        for height, (times, _, color) in enumerate(reversed(rows)):
            panels[0].eventplot(times, lineoffsets=height, linelengths=0.7, colors=color)
        panels[0].set_yticks(range(3), [name for _, name, _ in reversed(rows)])
        for i, color in enumerate((RIGHT, WRONG)):
            panels[1].plot(record["trace_pre"][:, i], color=color)
            panels[3].plot(record["weight"][:, i], color=color, label=f"from input {i + 1}")
        panels[2].plot(record["trace_post"][:, 0], color=INK)
        titles = ("Spikes", "Traces of the inputs", "Trace of the output", "Weights")
        for axes, title in zip(panels, titles, strict=True):
            axes.set_title(title)
        panels[3].axhline(1.0, color=FAINT, zorder=0)
        panels[3].set(xlabel="time steps", ylim=(0, None))
        panels[3].legend(frameon=False, labelcolor="linecolor", handlelength=0, loc="upper left")
        panels[3].xaxis.label.set_color(QUIET)
        figure.savefig(path, dpi=150, metadata={"Date": None} if path.suffix == ".svg" else None)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Watch spike-timing dependent plasticity.")
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--rate", type=float, default=0.03, help="learning rate")
    parser.add_argument("--seed", type=int, default=0, help="of the random spikes")
    parser.add_argument("--out", type=Path, default=Path("build/stdp.png"))
    return parser.parse_args()


if __name__ == "__main__":
    main()
