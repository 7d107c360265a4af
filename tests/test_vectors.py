"""The golden vectors are what their README says: complete, and equal to the equations written out by hand."""

from __future__ import annotations

import importlib
import json

import numpy as np
import pytest

from tests import vectors
from tests.vectors import Array, LossCase, NeuronCase

DTYPES = ("float32", "float64")
LOSSES = [f"snntorch_loss_{name}" for name in ("ce_count", "ce_rate", "mse_count", "mse_membrane")]
# Modules that run cases of the manifest; each names them in CASES.
RUN_BY = (
    "test_plasticity",
    "test_vectors_encoders",
    "test_vectors_losses",
    "test_vectors_nir",
    "test_vectors_snngrow",
    "test_vectors_snntorch",
    "test_vectors_spikingjelly",
    "test_vectors_surrogates",
)
# Cases that the equations below are about: Leaky, without the options that they do not have.
OPTIONS = {"inhibition", "state_quant", "graded_spikes_factor"}
LEAKY = [
    name
    for kind in ("leaky_", "edge_")
    for name in vectors.cases("snntorch.Leaky", f"snntorch_{kind}")
    if not OPTIONS & set(vectors.load_neuron(name, "float64").options)
]


def surrogate(case: NeuronCase, u: Array) -> Array:
    name, arguments = case.surrogate
    if case.options.get("surrogate_disable"):
        return np.zeros_like(u)
    if name == "fast_sigmoid":
        return 1 / (1 + arguments["slope"] * abs(u)) ** 2
    alpha = arguments["alpha"]
    return (alpha / 2) / (1 + (np.pi * alpha * u / 2) ** 2)


def forward(case: NeuronCase) -> dict[str, Array]:
    """Leaky, step by step.

    Beside spk and mem: membranes before an immediate reset, delayed resets, membranes of the step before.
    """
    beta, threshold = np.clip(case.params["beta"], 0, 1), case.params["threshold"]
    kind, delay = case.options.get("reset_mechanism", "subtract"), case.options.get("reset_delay", True)
    mem = case.init.get("mem", np.zeros_like(case.x[0]))
    saved: dict[str, list[Array]] = {"spk": [], "mem": [], "before": [], "reset": [], "old": []}
    for x in case.x:
        reset = (mem > threshold) * 1.0
        before = beta * mem * (1 - reset if kind == "zero" else 1) + x
        before = before - (reset * threshold if kind == "subtract" else 0)
        spk = (before > threshold) * 1.0
        extra = (spk - reset) * (not delay)
        after = before - extra * {"subtract": threshold, "zero": before, "none": 0}[kind]
        for key, value in zip(saved, (spk, after, before, reset, mem), strict=True):
            saved[key].append(value)
        mem = after
    return {key: np.stack(value) for key, value in saved.items()}


def backward(case: NeuronCase, up: dict[str, Array]) -> dict[str, Array]:
    """Gradients by a hand-written reverse loop; the reset of the step before is a constant."""
    run = forward(case)
    beta, threshold = case.params["beta"], case.params["threshold"]
    inside = (beta >= 0) & (beta <= 1)
    kind, delay = case.options.get("reset_mechanism", "subtract"), case.options.get("reset_delay", True)
    d_x, d_beta, d_threshold = np.zeros_like(case.x), 0.0, 0.0
    carried = np.zeros_like(case.x[0])
    for t in reversed(range(len(case.x))):
        before, reset = run["before"][t], run["reset"][t]
        d_after, d_spk = up["mem"][t] + carried, up["spk"][t]
        extra = (run["spk"][t] - reset) * (not delay)
        if not delay:
            d_spk = d_spk - {"subtract": threshold, "zero": before, "none": 0}[kind] * d_after
        d_u = surrogate(case, before - threshold) * d_spk
        d_before = d_after * (1 - extra if kind == "zero" else 1) + d_u
        kept = np.clip(beta, 0, 1) * (1 - reset if kind == "zero" else 1)
        d_threshold = d_threshold - d_u - ((reset * d_before + extra * d_after) if kind == "subtract" else 0)
        d_beta = d_beta + inside * d_before * run["old"][t] * (1 - reset if kind == "zero" else 1)
        d_x[t], carried = d_before, kept * d_before
    return {"x": d_x, "beta": d_beta, "threshold": d_threshold, "init.mem": carried}


def summed_to(gradient: Array, shape: tuple[int, ...]) -> Array:
    """Sum over the axes along which a parameter of `shape` was broadcast."""
    if gradient.shape == shape:
        return gradient
    return gradient.reshape(-1, *shape).sum(axis=0)


@pytest.mark.parametrize("name", LEAKY)
@pytest.mark.parametrize("dtype", DTYPES)
def test_neuron_outputs_follow_the_equations(name: str, dtype: str) -> None:
    case = vectors.load_neuron(name, dtype)
    run = forward(case)
    np.testing.assert_array_equal(run["spk"], case.outputs["spk"])
    np.testing.assert_allclose(run["mem"], case.outputs["mem"], atol=1e-12 if dtype == "float64" else 1e-5)


@pytest.mark.parametrize("name", LEAKY)
def test_neuron_gradients_follow_the_equations(name: str) -> None:
    case = vectors.load_neuron(name, "float64")
    silent = {key: np.zeros_like(value) for key, value in case.upstream.items()}
    for up, expected in (
        (case.upstream, case.gradients),
        ({**silent, "spk": case.upstream["spk"]}, case.spike_gradients),
    ):
        found = backward(case, up)
        for key, gradient in expected.items():
            total = summed_to(found[key], gradient.shape)
            np.testing.assert_allclose(total, gradient, atol=1e-11, err_msg=key)


def value(case: LossCase, data: Array) -> float:
    """The four losses, written out."""
    steps, batch, classes = data.shape
    hot = np.eye(classes)[case.targets]
    options = case.options
    match case.name.removeprefix("snntorch_loss_"):
        case "ce_count":
            return float(-(hot * log_softmax(data.sum(axis=0))).sum() / batch)
        case "ce_rate":
            return float(-(hot * log_softmax(data)).sum() / batch / steps)
        case "mse_count":
            on, off = int(steps * options["correct_rate"]), int(steps * options["incorrect_rate"])
            return float(((data.sum(axis=0) - np.where(hot, on, off)) ** 2).mean() / steps)
        case "mse_membrane":
            target = np.where(hot, options["on_target"], options["off_target"])
            return float(((data - target) ** 2).mean())
    raise AssertionError(case.name)


def log_softmax(z: Array) -> Array:
    return z - z.max(axis=-1, keepdims=True) - np.log(
        np.exp(z - z.max(axis=-1, keepdims=True)).sum(axis=-1, keepdims=True)
    )


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_losses_follow_the_equations(name: str, dtype: str) -> None:
    case = vectors.load_loss(name, dtype)
    tolerance = 1e-12 if dtype == "float64" else 1e-6
    assert value(case, case.data.astype("float64")) == pytest.approx(case.loss, abs=tolerance)


@pytest.mark.parametrize("name", LOSSES)
def test_loss_gradients_are_slopes(name: str) -> None:
    case = vectors.load_loss(name, "float64")
    step = 1e-6
    for index in [(0, 0, 0), (3, 1, 2), (11, 3, 5), (7, 2, int(case.targets[2]))]:
        moved = [case.data.copy(), case.data.copy()]
        moved[0][index] += step
        moved[1][index] -= step
        slope = (value(case, moved[0]) - value(case, moved[1])) / (2 * step)
        assert slope == pytest.approx(case.gradient[index], abs=1e-8)


def test_every_file_is_in_the_manifest_with_its_shapes() -> None:
    manifest = json.loads((vectors.FOLDER / "manifest.json").read_text(encoding="utf-8"))
    entries = manifest["cases"]
    assert {path.stem for path in vectors.FOLDER.glob("*.npz")} == set(entries)
    for entry in entries.values():
        with np.load(vectors.FOLDER / entry["file"]) as file:
            found = {key: [list(file[key].shape), str(file[key].dtype)] for key in file}
        assert found == entry["arrays"]


def test_every_case_is_run_or_left_out_with_a_reason() -> None:
    run = {name for module in RUN_BY for name in importlib.import_module(f"tests.{module}").CASES}
    left_out = json.loads((vectors.FOLDER / "manifest.json").read_text(encoding="utf-8"))["left_out"]
    assert run | set(left_out) == set(vectors.cases())
