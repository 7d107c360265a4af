"""snnTorch's spikegen: its numbers, interpreted, in C and on CUDA, and random spikes as they should be."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

import snncc
from snncc import CompileError, nn
from snncc.driver import Target, generate
from snncc.frontend.dsl import trace
from snncc.nn.module import Module
from snncc.nn.snntorch import spikegen
from snncc.reference import Call, evaluate
from tests import once, vectors
from tests.cuda_pairs import BACKENDS
from tests.vector_runs import model_of
from tests.vectors import Array

CASES = ["snntorch_spikegen_latency", "snntorch_spikegen_delta"]
LATENCIES: dict[str, dict[str, Any]] = {
    "log_normalize": {"tau": 2, "normalize": True},
    "log_normalize_clip": {"tau": 2, "normalize": True, "clip": True},
    "log_bypass": {"tau": 2, "bypass": True},
    "linear_normalize": {"normalize": True, "linear": True},
}
TIMES: dict[str, dict[str, Any]] = {
    "time_log": {"tau": 2},
    "time_log_normalize": {"tau": 2, "normalize": True},
    "time_linear_normalize": {"normalize": True, "linear": True},
}
DELTAS: dict[str, dict[str, Any]] = {
    "default": {},
    "padding_off": {"threshold": 0.2, "padding": True, "off_spike": True},
}
VARIANTS: tuple[dict[str, Any], ...] = ({}, {"unroll": 4}, {"checkpoint_every": 3}, {"dtype": "float64"})


def both(encoder: Module, x: Array, steps: int, static: bool, **options: Any) -> list[Array]:
    """What an encoder gives for data, interpreted and compiled."""
    features = x.shape[1:] if static else x.shape[2:]
    network = nn.Sequential(code=encoder, input=nn.Input(*features, static=static))
    traced, batch = trace(network), x.shape[0 if static else 1]
    dtype = np.dtype(options.get("dtype", "float32"))
    found = evaluate(traced.graph, Call({"x": x}, {}, {}, steps, batch, dtype))["output", "out"]
    return [found, snncc.compile(network, num_steps=steps, **options)(x, num_steps=steps).out]


class Encoders(nn.Module):
    """Those of both cases, each with an output of its own."""

    inputs: ClassVar[dict[str, nn.Input]] = {"still": nn.Input(4, static=True), "moving": nn.Input(4)}

    def __init__(self) -> None:
        self.of_still = {name: spikegen.latency(threshold=0.01, **o) for name, o in LATENCIES.items()}
        self.of_moving = {name: spikegen.delta(**options) for name, options in DELTAS.items()}

    def forward(self, still: Any, moving: Any) -> dict[str, Any]:
        found = {name: encoder(still) for name, encoder in self.of_still.items()}
        return found | {name: encoder(moving) for name, encoder in self.of_moving.items()}


STEPS = 10
RUNS = {"interpreted": ("", {})}
RUNS |= {f"{way}-{n}": (way, options) for way in BACKENDS for n, options in enumerate(VARIANTS)}


@pytest.fixture(scope="module", params=RUNS)
def found(request: pytest.FixtureRequest) -> dict[str, Array]:
    """Spikes by encoder."""
    return once.result(f"encoders-{request.param}", lambda: encoded(*RUNS[request.param]))


def encoded(way: str, options: dict[str, Any]) -> dict[str, Array]:
    """The sequence is the first of the two samples of a batch."""
    still = vectors.read_arrays("snntorch_spikegen_latency")["data"]
    moving = vectors.read_arrays("snntorch_spikegen_delta")["data"]
    given = {"still": still, "moving": np.stack([moving, np.zeros_like(moving)], axis=1)}
    network = Encoders()
    if not way:
        call = Call(given, {}, {}, STEPS, len(still), np.dtype("float32"))
        return {name: array for (_, name), array in evaluate(trace(network).graph, call).items()}
    out = model_of(network, way, num_steps=STEPS, **options)(given)
    return {name: out[name] for name in (*LATENCIES, *DELTAS)}


@pytest.mark.parametrize("name", LATENCIES)
def test_latency(name: str, found: dict[str, Array]) -> None:
    expected = vectors.read_arrays("snntorch_spikegen_latency")[name]
    np.testing.assert_array_equal(found[name], expected)


@pytest.mark.parametrize("name", DELTAS)
def test_delta(name: str, found: dict[str, Array]) -> None:
    expected = vectors.read_arrays("snntorch_spikegen_delta")[name]
    np.testing.assert_array_equal(found[name][:, 0], expected)


@pytest.mark.parametrize("name", TIMES)
def test_times(name: str) -> None:
    arrays = vectors.read_arrays("snntorch_spikegen_latency")
    found = spikegen.latency(threshold=0.01, **TIMES[name]).times(arrays["data"], 10)
    # The logarithm's argument cancels at the threshold: log(d / (d - threshold)) of float32.
    np.testing.assert_allclose(found, arrays[name], rtol=1e-5 if "linear" in name else 6e-4)


def test_normalized_times_are_snntorchs_where_an_input_is_at_the_threshold() -> None:
    x = np.array([[0.05, 0.3, 1.0]])
    ours = nn.Latency(2.0, normalize=True)
    with_dark = ours.times(np.array([[0.0, 0.05, 0.3, 1.0]]), 10)
    np.testing.assert_array_equal(ours.times(x, 10), with_dark[:, 1:])    # whatever the batch
    assert with_dark.max() == 9


def test_rate_fires_as_often_as_its_input_says() -> None:
    p = np.linspace(-0.25, 1.25, 13)
    x, steps, batch = np.tile(p, (64, 1)), 200, 64
    interpreted, compiled = both(nn.Rate(), x, steps, True)
    np.testing.assert_array_equal(interpreted, compiled)
    assert set(np.unique(compiled)) == {0, 1}
    expected = np.clip(p, 0, 1)
    spread = np.sqrt(expected * (1 - expected) / (steps * batch))
    assert (abs(compiled.mean(axis=(0, 1)) - expected) <= 5 * spread).all()
    (gained, _) = both(nn.Rate(0.5, 0.25), x, steps, True)
    assert abs(gained.mean(axis=(0, 1)) - np.clip(0.5 * p + 0.25, 0, 1)).max() < 0.03


@pytest.mark.parametrize("static", [True, False])
def test_rate_waits_for_its_first_spike(static: bool) -> None:
    x = np.ones((3, 5) if static else (8, 3, 5))
    for spk in both(nn.Rate(first_spike_time=3), x, 8, static):
        np.testing.assert_array_equal(spk[:3], 0)
        np.testing.assert_array_equal(spk[3:], 1)


def test_streaming_goes_on_where_it_was() -> None:
    x = np.random.default_rng(0).random((4, 6))
    for encoder in (nn.Latency(2.0, normalize=True, num_steps=12), nn.Rate(first_spike_time=2)):
        model = snncc.compile(nn.Sequential(code=encoder, input=nn.Input(6, static=True)), num_steps=12)
        drawing = "seed" in [port["role"] for port in model.manifest["io"]]
        whole, state = model(x, **({"seed": 4} if drawing else {})), None
        for t in range(12):
            seed = {"seed": 4, "number": t} if drawing else {}
            out = model.step(x, state=state, **seed)
            state = out.state
            np.testing.assert_array_equal(out.out, whole.out[t])


def test_spikes_of_encoders_are_bits_and_events() -> None:
    net = nn.Sequential(
        code=nn.Rate(), fc=nn.Linear(784, 10), lif=nn.Leaky(0.9), input=nn.Input(784, static=True)
    )
    program = generate(trace(net), Target(num_steps=4)).program
    (forward,) = (entry for entry in program.entries if entry.name == "forward")
    layouts = {b.layout for b in forward.buffers if b.name.startswith("code") and b.time}
    assert layouts == {"bits", "events"}


def test_an_encoder_is_deployed(tmp_path: Path) -> None:
    net = nn.Sequential(
        code=nn.Rate(), fc=nn.Linear(8, 4), lif=nn.Leaky(0.5), input=nn.Input(8, static=True)
    )
    snncc.compile(net, num_steps=6, out=tmp_path / "m")
    subprocess.run(["make", "-s"], cwd=tmp_path / "m", check=True)
    shown = subprocess.run(["./example"], cwd=tmp_path / "m", check=True, capture_output=True, text=True)
    assert "spk" in shown.stdout


def an_input_in_time() -> object:
    return trace(nn.Sequential(nn.Latency(), input=nn.Input(3)))


def a_targets_latency() -> object:
    return spikegen.latency(interpolate=True)


def steps_of_rate() -> object:
    return spikegen.rate(num_steps=25)


@pytest.mark.parametrize(
    ("mistake", "message"),
    [
        (an_input_in_time, r"Latency: the input varies over time.*static=True"),
        (a_targets_latency, "interpolate, on_target and off_target are for targets"),
        (steps_of_rate, "num_steps is given to compile or to the call"),
        (lambda: nn.Rate(gain="much"), "gain must be a finite number, got 'much'"),  # type: ignore[arg-type]
        (lambda: nn.Rate(first_spike_time=-1), "first_spike_time must be a number of steps from 0, got -1"),
        (lambda: nn.Latency(tau=0), "tau must be above 0"),
        (lambda: nn.Latency(threshold=2), "threshold must be from 0 to 1"),
        (lambda: nn.Delta(threshold=None), "threshold must be a finite number, got None"),  # type: ignore[arg-type]
    ],
)
def test_bad_input(mistake: Any, message: str) -> None:
    with pytest.raises(CompileError, match=message) as caught:
        mistake()
    assert "test_vectors_encoders.py:" in str(caught.value)
