"""`snncc check`: a compiled network against the reference interpreter, on the same random numbers.

In float32 both add in different orders, so a membrane that comes within rounding of its threshold may fire
in one and not in the other, and from then on that sample is another one. Such samples are counted, and left
out of the differences. In float64 there may be none.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from snncc_runtime import Model, load

from .. import optim
from ..driver import make
from ..errors import CompileError
from ..frontend.dsl import Network
from ..target import Target
from .draw import Draw, Key, Subject
from .options import Choices
from .probe import with_probes
from .source import load_source
from .weights import traced

SEED = 0  # of random numbers
BOUNDS = {"float32": 3e-5, "float64": 1e-10}  # relative to max(1, largest value)
FLIPPED = {"float32": 0.25, "float64": 0.0}  # share of samples that may be left out


@dataclass(frozen=True)
class Report:
    """What was found, and whether all is within its bounds."""

    text: str
    sound: bool


@dataclass(frozen=True)
class Row:
    """One comparison: its name, the largest difference, and what else there is to say."""

    name: str
    difference: float
    note: str = ""


def check_source(text: str, batch: int, choices: Choices) -> Report:
    """Compiles the network and compares. Raises CompileError."""
    target, source = choices.wanted(), load_source(text, choices)
    network, target, _ = traced(source, target, choices)
    title = f"{source.label}: {target.dtype}, {target.num_steps} steps, {batch} samples"
    return check(network, target, batch, choices.seed, title)


def check(network: Network, target: Target, batch: int, seed: int, title: str) -> Report:
    """Every neuron's spikes and states, final states, loss, gradients, one update; and streaming."""
    if target.loss is not None and target.optimizer is None:
        target = replace(target, optimizer=optim.SGD(0.1))  # a model hands out its loss's gradients with it
    subject = Subject(network, target)
    draw = subject.draw(batch, seed)
    with tempfile.TemporaryDirectory(prefix="snncc-check-") as folder:
        flipped, rows = _layers(subject, draw, Path(folder, "layers"))
        if not flipped.all():
            draw, model = draw.only(~flipped), _compiled(subject, Path(folder, "model"))
            if not model.manifest.get("exact_steps"):
                rows += _streaming(subject, model, draw)
            rows += _backward(subject, model, draw)
            rows += _training(subject, model, draw) if target.loss is not None else []
    return _report(title, target.dtype, rows, flipped)


def _compiled(subject: Subject, folder: Path) -> Model:
    make(subject.network, subject.target, "snncc check", folder)
    return load(folder)


def _layers(subject: Subject, draw: Draw, folder: Path) -> tuple[np.ndarray, list[Row]]:
    """Which samples have spikes that differ, and the rows of outputs, layers and final states."""
    target = replace(subject.target, loss=None, optimizer=None, rule="bptt")  # only what runs forward
    probed, rows = Subject(with_probes(subject.network), target), []
    try:
        model = _compiled(probed, folder)
    except CompileError:  # two values would have one name in C
        probed = Subject(subject.network, target)
        model, rows = _compiled(probed, folder), [Row("hidden layers", 0.0, "not compared: rename layers")]
    out = model(draw.of("input"), state=draw.of("state"), num_steps=int(target.num_steps))
    found: dict[Key, np.ndarray] = {("output", name): out[name] for name in model.output_names}
    found |= {("state_out", name): array for name, array in out.state.items()}
    expected = probed.reference("forward", draw)
    axes = {key: int(expected[key].ndim > 1 + len(_shape(probed, key))) for key in expected}
    spikes = {key for key, array in expected.items() if key[0] == "output" and _fires(array)}
    flipped = np.zeros(draw.batch, bool)
    for key in spikes:
        different = np.moveaxis(found[key] != expected[key], axes[key], 0)
        flipped |= different.reshape(draw.batch, -1).any(axis=1)
    for key, array in sorted(expected.items(), key=lambda item: item[0][0]):  # final states last
        ours, theirs = (np.compress(~flipped, a, axes[key]) for a in (found[key], array))
        flips = int(np.count_nonzero(found[key] != array))
        note = f"{int(array.sum()):,} spikes in {array.size:,}, {flips} flipped" if key in spikes else ""
        name = key[1] if key[0] == "output" else f"{key[1]}, final"
        rows.append(Row(name, difference(ours, theirs), note))
    return flipped, rows


def _shape(subject: Subject, key: Key) -> tuple[int, ...]:
    graph = subject.graphs["forward"]
    return next(graph[o.value].type.features for o in graph.outputs if (o.role, o.name) == key)


def _fires(array: np.ndarray) -> bool:
    return bool(np.isin(array, (0, 1)).all())


def _streaming(subject: Subject, model: Model, draw: Draw) -> Iterator[Row]:
    """A call against as many calls of one step: to the bit, but for products of other shapes."""
    given, state, steps = draw.of("input"), draw.of("state"), int(subject.target.num_steps)
    seed = _seed(model)
    whole, rows = model(given, state=state, num_steps=steps, **seed), []
    for t in range(steps):
        now = {name: array[t] if draw.axes["input", name] else array for name, array in given.items()}
        out = model.step(now, state=state, **seed, number=t if seed else 0)
        state = out.state
        rows.append(list(out))
    for k, name in enumerate(model.output_names):
        stacked = np.stack([row[k] for row in rows])
        if stacked.shape == whole[name].shape:
            yield Row(f"{name}, step by step", difference(stacked, whole[name]))


def _seed(model: Model) -> dict[str, Any]:
    """The interpreter's seed, for a model that draws random numbers."""
    return {"seed": SEED} if any(port["role"] == "seed" for port in model.manifest["io"]) else {}


def _backward(subject: Subject, model: Model, draw: Draw) -> Iterator[Row]:
    """Gradients of sum(output * cotangent)."""
    found = model.backward(
        draw.of("input"), state=draw.of("state"), cotangents=draw.of("cotangent"),
        num_steps=int(subject.target.num_steps), **_seed(model),
    )  # fmt: skip
    named = {"gradient": found.params, "d_input": found.inputs, "d_state": found.state}
    for (role, name), array in subject.reference("backward", draw).items():
        if role in named:
            yield Row(f"d outputs / d {name}", difference(named[role][name], array))


def _training(subject: Subject, model: Model, draw: Draw) -> Iterator[Row]:
    """The loss, its gradients, and one step of the optimiser from the gradients that the model found."""
    target, before = subject.target, dict(model.params)
    (labels,) = draw.of("target").values()
    model.seed = SEED
    loss = model.train_step(draw.of("input"), labels, num_steps=int(target.num_steps))
    expected, gradients = subject.reference("train", draw), model.gradients()
    yield Row("loss", difference(np.array(loss), expected["loss", "loss"]))
    for (role, name), array in expected.items():
        if role == "gradient":
            yield Row(f"d loss / d {name}", difference(gradients[name], array))
    for name, gradient in gradients.items():
        after = _updated(target, before[name], gradient)
        yield Row(f"{name}, updated", difference(model.params[name], after))


def _updated(target: Target, parameter: np.ndarray, gradient: np.ndarray) -> np.ndarray:
    """The optimiser's own equations on arrays, at its first step."""
    optimizer = target.optimizer
    assert optimizer is not None
    wide = parameter.astype(np.float64), gradient.astype(np.float64)
    moments = {name: np.zeros_like(wide[0]) for name in optimizer.moments}
    powers = {name: np.float64(getattr(optimizer, name)) for name in optimizer.powers}
    result: np.ndarray = optimizer.update(*wide, moments, optimizer.learning_rate, powers)[0]
    return result


def difference(found: np.ndarray, expected: np.ndarray) -> float:
    """Largest difference, relative to max(1, largest expected value); infinite for NaN or another shape."""
    if found.shape != expected.shape:
        return float("inf")
    scale = max(1.0, float(np.max(np.abs(expected), initial=0.0)))
    worst = float(np.max(np.abs(found.astype(np.float64) - expected), initial=0.0)) / scale
    return worst if np.isfinite(worst) else float("inf")


def _report(title: str, dtype: str, rows: list[Row], flipped: np.ndarray) -> Report:
    bound, width = BOUNDS[dtype], max(len(row.name) for row in rows)
    lines = [f"{title}: compiled against the reference interpreter", ""]
    for row in rows:
        mark = "  ABOVE THE BOUND" * (row.difference > bound)
        lines.append(f"  {row.name:<{width}}  {row.difference:9.2e}  {row.note}{mark}".rstrip())
    above = [row.name for row in rows if row.difference > bound]
    many = flipped.mean() > FLIPPED[dtype]
    lines += ["", f"bound {bound:.0e}, relative to max(1, largest value): {'exceeded' if above else 'kept'}"]
    if flipped.any():
        limit = f"at most {FLIPPED[dtype]:.0%} may" if many else "left out of the differences"
        lines.append(f"spikes differ in {int(flipped.sum())} of {len(flipped)} samples: {limit}")
    return Report("\n".join(lines), not above and not many)
