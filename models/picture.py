"""One picture of a trained network at work: the digit, who fires when, the ten membranes, the loss."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes

INK, QUIET, FAINT, RIGHT, WRONG = "#1f2a37", "#6b7785", "#c9d0d8", "#0b7285", "#d9480f"
SHOWN = 72    # rows of the hidden raster: as many as an eye can tell apart
STYLE: Any = {
    "font.size": 13,
    "axes.titlesize": 13,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titlepad": 10,
    "axes.labelcolor": QUIET,
    "axes.edgecolor": FAINT,
    "axes.linewidth": 1.2,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "text.color": INK,
    "xtick.color": QUIET,
    "ytick.color": QUIET,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
}

Array = NDArray[Any]


@dataclass(frozen=True)
class Scene:
    """What the picture shows: one test image going through the network, and how training went."""

    image: Array     # [28, 28]
    label: int
    hidden: Array    # spikes of the hidden layer, [T, n]
    spk: Array       # spikes of the outputs, [T, 10]
    mem: Array       # membranes of the outputs, [T, 10]
    loss: Array      # mean loss of each epoch on the training images
    held_out: Array  # the same on the test images

    @property
    def answer(self) -> int:
        """The output with the most spikes; among equals, the one with the highest membrane."""
        count, drive = self.spk.sum(axis=0), self.mem.sum(axis=0)
        return int(np.lexsort((drive, count))[-1])

    @property
    def accent(self) -> str:
        return RIGHT if self.answer == self.label else WRONG


def draw(scene: Scene, path: Path) -> None:
    """Write the picture as a PNG. Needs matplotlib, but no display."""
    import matplotlib as mpl
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    with mpl.rc_context(STYLE):
        layout = ConstrainedLayoutEngine(w_pad=0.15, h_pad=0.12, hspace=0.04, wspace=0.04)
        figure = Figure(figsize=(14, 8.4), dpi=100, layout=layout, facecolor="white")
        halves: Any = figure.subfigures(1, 2, width_ratios=(1, 2.5))
        left, right = halves
        digit, loss = left.subplots(2, 1, height_ratios=(1.25, 1))
        hidden, outputs, membranes = right.subplots(3, 1, sharex=True, height_ratios=(1.9, 1, 1.3))
        _digit(digit, scene)
        _loss(loss, scene)
        _hidden(hidden, scene)
        _outputs(outputs, scene)
        _membranes(membranes, scene)
        figure.savefig(path, format="png")


def _digit(axes: Axes, scene: Scene) -> None:
    axes.imshow(scene.image, cmap="gray_r", interpolation="nearest")
    axes.set_axis_off()
    axes.set_title(f"Test image of class {scene.label}, read as {scene.answer}", color=scene.accent)


def _loss(axes: Axes, scene: Scene) -> None:
    from matplotlib.ticker import MaxNLocator

    epochs = np.arange(1, len(scene.loss) + 1)
    axes.plot(epochs, scene.loss, "o-", color=INK, linewidth=2.4, markersize=6, label="learnt from")
    axes.plot(epochs, scene.held_out, "o-", color=RIGHT, linewidth=2.4, markersize=6, label="held out")
    axes.set(title="Mean loss of an image", xlabel="epoch", ylim=(0, None))
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    axes.legend(frameon=False, labelcolor="linecolor", handlelength=0)


def _hidden(axes: Axes, scene: Scene) -> None:
    steps, n = scene.hidden.shape
    # Neurons by the number of their spikes: a raster in order of index looks like noise.
    count = scene.hidden.sum(axis=0)
    firing = np.argsort(-count, kind="stable")[: np.count_nonzero(count)]
    shown = firing[:: max(1, -(-len(firing) // SHOWN))]
    step, row = np.nonzero(scene.hidden[:, shown])
    axes.vlines(step, row - 0.42, row + 0.42, color=INK, linewidth=4)
    share = 100 * scene.hidden.mean()
    axes.set_title(
        f"Hidden layer: {len(firing)} of {n} neurons fire, {share:.0f} % of all at a step; "
        f"{len(shown)} of them, busiest first"
    )
    axes.set(ylim=(max(len(shown), 1) - 0.4, -0.6), xlim=(-0.7, steps - 0.3), yticks=[])
    axes.tick_params(labelbottom=False)
    axes.spines[["left", "bottom"]].set_visible(False)


def _outputs(axes: Axes, scene: Scene) -> None:
    steps, n = scene.spk.shape
    for neuron in range(n):
        chosen = neuron == scene.answer
        color = scene.accent if chosen else QUIET
        axes.axhline(neuron, color=FAINT, linewidth=0.6, zorder=0)
        times = np.flatnonzero(scene.spk[:, neuron])
        axes.vlines(times, neuron - 0.36, neuron + 0.36, color=color, linewidth=4 if chosen else 2.5)
        if len(times):
            _beside(axes, steps, neuron, f"{len(times)}", color, "bold" if chosen else "normal")
    axes.set(yticks=range(n), ylim=(n - 0.4, -0.6))
    axes.set_title("Output spikes: one line a class, their number on the right")
    axes.tick_params(axis="y", labelsize=10)
    axes.tick_params(labelbottom=False)
    axes.spines[["left", "bottom"]].set_visible(False)


def _membranes(axes: Axes, scene: Scene) -> None:
    steps, n = scene.mem.shape
    for neuron in range(n):
        if neuron != scene.answer:
            axes.plot(scene.mem[:, neuron], color=FAINT, linewidth=1.4)
    axes.axhline(1, color=QUIET, linewidth=1, linestyle=(0, (4, 3)))
    axes.plot(scene.mem[:, scene.answer], color=scene.accent, linewidth=2.6)
    _beside(axes, steps, scene.mem[-1, scene.answer], f"{scene.answer}", scene.accent, "bold")
    axes.annotate("threshold", (steps - 0.3, 1), (0, -4), textcoords="offset points", color=QUIET,
                  fontsize=10, ha="right", va="top")    # fmt: skip
    axes.set(title="Output membranes", xlabel="time step")


def _beside(axes: Axes, steps: int, y: float, text: str, color: str, weight: str) -> None:
    """Text at the right end of a row."""
    axes.annotate(text, (steps - 0.3, y), (5, 0), textcoords="offset points", color=color, fontsize=11,
                  fontweight=weight, va="center", annotation_clip=False)    # fmt: skip
