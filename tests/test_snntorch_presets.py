"""snnTorch's neurons as presets: its arguments, its surprises, what is refused, and where ours differ."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import snncc
from snncc import CompileError, nn
from snncc.frontend.dsl import trace
from snncc.nn import snntorch
from snncc.reference import Call, evaluate

# The constructors of snntorch 1.0.0.
SIGNATURES = {
    "Leaky": (
        "beta, threshold=1.0, spike_grad=None, surrogate_disable=False, init_hidden=False, "
        "inhibition=False, learn_beta=False, learn_threshold=False, reset_mechanism='subtract', "
        "state_quant=False, output=False, graded_spikes_factor=1.0, learn_graded_spikes_factor=False, "
        "reset_delay=True"
    ),
    "RLeaky": (
        "beta, V=1.0, all_to_all=True, linear_features=None, conv2d_channels=None, kernel_size=None, "
        "threshold=1.0, spike_grad=None, surrogate_disable=False, init_hidden=False, inhibition=False, "
        "learn_beta=False, learn_threshold=False, learn_recurrent=True, reset_mechanism='subtract', "
        "state_quant=False, output=False, reset_delay=True"
    ),
    "Synaptic": (
        "alpha, beta, threshold=1.0, spike_grad=None, surrogate_disable=False, init_hidden=False, "
        "inhibition=False, learn_alpha=False, learn_beta=False, learn_threshold=False, "
        "reset_mechanism='subtract', state_quant=False, output=False, reset_delay=True"
    ),
    "RSynaptic": (
        "alpha, beta, V=1.0, all_to_all=True, linear_features=None, conv2d_channels=None, "
        "kernel_size=None, threshold=1.0, spike_grad=None, surrogate_disable=False, init_hidden=False, "
        "inhibition=False, learn_alpha=False, learn_beta=False, learn_threshold=False, "
        "learn_recurrent=True, reset_mechanism='subtract', state_quant=False, output=False, "
        "reset_delay=True"
    ),
    "Alpha": (
        "alpha, beta, threshold=1.0, spike_grad=None, surrogate_disable=False, init_hidden=False, "
        "inhibition=False, learn_alpha=False, learn_beta=False, learn_threshold=False, "
        "reset_mechanism='zero', state_quant=False, output=False"
    ),
    "Lapicque": (
        "beta=False, R=False, C=False, time_step=1, threshold=1.0, spike_grad=None, "
        "surrogate_disable=False, init_hidden=False, inhibition=False, learn_beta=False, "
        "learn_threshold=False, reset_mechanism='subtract', state_quant=False, output=False"
    ),
    "SLSTM": (
        "input_size, hidden_size, bias=True, threshold=1.0, spike_grad=None, surrogate_disable=False, "
        "init_hidden=False, inhibition=False, learn_threshold=False, reset_mechanism='none', "
        "state_quant=False, output=False"
    ),
    "SConv2dLSTM": (
        "in_channels, out_channels, kernel_size, bias=True, max_pool=0, avg_pool=0, threshold=1.0, "
        "spike_grad=None, surrogate_disable=False, init_hidden=False, inhibition=False, "
        "learn_threshold=False, reset_mechanism='none', state_quant=False, output=False"
    ),
    "LeakyParallel": (
        "input_size, hidden_size, beta=None, bias=True, threshold=1.0, dropout=0.0, spike_grad=None, "
        "surrogate_disable=False, learn_beta=False, learn_threshold=False, graded_spikes_factor=1.0, "
        "learn_graded_spikes_factor=False, weight_hh_enable=False, device=None, dtype=None"
    ),
    "StateLeaky": (
        "beta, channels, threshold=1.0, spike_grad=None, surrogate_disable=False, learn_beta=False, "
        "learn_threshold=False, state_quant=False, output=True, graded_spikes_factor=1.0, "
        "learn_graded_spikes_factor=False, kernel_truncation_steps=None"
    ),
    "LinearLeaky": (
        "beta, in_features, out_features, bias=True, device=None, dtype=None, threshold=1.0, "
        "spike_grad=None, surrogate_disable=False, learn_beta=False, learn_threshold=False, "
        "state_quant=False, output=True, graded_spikes_factor=1.0, learn_graded_spikes_factor=False, "
        "kernel_truncation_steps=None"
    ),
    "AssociativeLeaky": (
        "in_dim, d_value, d_key, num_spiking_neurons, use_q_projection=True"
    ),
}
RNG = np.random.default_rng(0)
STEPS, BATCH = 6, 3


@pytest.mark.parametrize("name", SIGNATURES)
def test_arguments_are_those_of_snntorch_in_its_order(name: str) -> None:
    found = list(inspect.signature(getattr(snntorch, name)).parameters.values())
    shown = (p.name if p.default is p.empty else f"{p.name}={p.default!r}" for p in found)
    assert ", ".join(shown) == SIGNATURES[name]


def run(neuron: nn.Module, x: Any, **parameters: Any) -> dict[str, Any]:
    """Outputs in float64, by the interpreter."""
    network = trace(nn.Sequential(neuron=neuron, input=nn.Input(*x.shape[2:])))
    values = {**network.parameters, **{f"neuron.{name}": value for name, value in parameters.items()}}
    call = Call({"x": x}, values, {}, len(x), x.shape[1], np.dtype("float64"))
    return {name: array for (role, name), array in evaluate(network.graph, call).items() if role == "output"}


def currents(n: int) -> Any:
    return RNG.normal(0.5, 1.0, (STEPS, BATCH, n))


# What is refused


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: nn.Alpha(0.8, 0.9), "alpha must be larger than beta"),
        (lambda: nn.Alpha([0.9, 0.5], 0.5), "alpha must be larger than beta"),
        (lambda: nn.Alpha([0.9, 0.8], [0.5] * 3), "alpha and beta must be as many, got 2 and 3"),
        (lambda: snntorch.Alpha(0.9, 0.8, learn_alpha=True), "learn_alpha=True fails; nn.Alpha can do it"),
        (lambda: nn.RLeaky(0.9), "expected either V, .* or linear_features, .* got none of them"),
        (lambda: nn.RLeaky(0.9, V=1.0, linear_features=3), "got V and linear_features"),
        (lambda: nn.RSynaptic(0.9, 0.8), "got none of them"),
        (lambda: nn.RLeaky(0.9, conv2d_channels=3), "kernel_size go together, got 3 and None"),
        (lambda: nn.RLeaky(0.9, V=1.0, kernel_size=3), "kernel_size go together, got None and 3"),
        (lambda: nn.RLeaky(0.9, conv2d_channels=2, kernel_size=(3, 4)), r"must be odd, .* got \(3, 4\)"),
        (lambda: nn.RLeaky(0.9, linear_features=0), "in_features must be a positive integer, got 0"),
        (lambda: snntorch.RLeaky(0.9), "linear_features must be given"),
        (lambda: snntorch.RLeaky(0.9, all_to_all=False, linear_features=3), "ignores linear_features"),
        (lambda: snntorch.RSynaptic(0.9, 0.8, conv2d_channels=2), "kernel_size go together, got 2 and None"),
        (lambda: snntorch.RLeaky(0.9, linear_features=3, conv2d_channels=2, kernel_size=3), "and conv2d_ch"),
        (lambda: snntorch.RSynaptic(0.9, 0.8, all_to_all=False, reset_delay=False), "nn.RSynaptic can do it"),
        (lambda: nn.Lapicque(), "expected R and C, or beta .* got none of them"),
        (lambda: nn.Lapicque(R=1.0), "expected R and C, or beta .* got R"),
        (lambda: nn.Lapicque(0.9, R=1.0, C=2.0), "got C, R, beta"),
        (lambda: snntorch.Lapicque(R=1.0, C=2.0, learn_beta=True), "learn_beta needs beta"),
        (lambda: snntorch.SLSTM(3, 4, inhibition=True), "snnTorch ignores inhibition here"),
        (lambda: nn.SLSTM(3, 0), "out_features must be a positive integer"),
        (lambda: nn.SConv2dLSTM(3, 4, 2), "kernel_size must be odd, so that images keep their size, got 2"),
        (lambda: nn.SConv2dLSTM(3, 4, 3, max_pool=2, avg_pool=2), "either max_pool or avg_pool, got 2 and 2"),
        (lambda: nn.SConv2dLSTM(3, 4, 3, [0.5] * 4), "threshold must be a finite number, got"),    # type: ignore[arg-type]
        (lambda: snntorch.SConv2dLSTM(3, 4, 3, inhibition=True), "snnTorch ignores inhibition here"),
        (
            lambda: trace(nn.Sequential(nn.SConv2dLSTM(3, 4, 3), input=nn.Input(2, 5, 5))),
            r"SConv2dLSTM: expected images \[3, height, width\], .* \[2, 5, 5\]",
        ),
        (lambda: snntorch.Leaky(0.9, inhibition=True, graded_spikes_factor=2.0), "ignores graded_spikes"),
        (lambda: snntorch.Leaky(0.9, reset_mechanism="soft"), "reset_mechanism must be .* got 'soft'"),
        (lambda: snntorch.Leaky(0.9, spike_grad="atan"), "spike_grad must be one of .* got 'atan'"),
        (lambda: snntorch.Leaky(0.9, state_quant=8), "state_quant must be a function or True .* got 8"),
        (lambda: nn.Leaky(0.9, quantize=8), "quantize must be a function"),    # type: ignore[arg-type]
        (lambda: nn.Leaky(0.9, graded_spikes_factor="a"), "graded_spikes_factor must be a finite number"),
        (lambda: snntorch.DeltaLeaky(0.5), "beta is missing"),
        (lambda: snntorch.DeltaLeaky(0.5, 0.9, threshold=2.0), "ignores threshold here: expected 1.0"),
        (lambda: snntorch.LeakyParallel(3, 4, beta=[0.5] * 4), "ignores a beta for each neuron"),
        (lambda: snntorch.LeakyParallel(3, 4, dropout=0.5), "ignores dropout here, which has one layer"),
        (lambda: snntorch.LeakyParallel(3, 4, device="cpu"), "device and dtype are not the layer's"),
        (lambda: nn.LeakyParallel(3, 4, [0.5] * 3), "beta must be one number or 4, got 3"),
        (lambda: nn.StateLeaky(1.5), "beta must not be larger than 1"),
        (lambda: nn.StateLeaky(0.5, kernel_truncation_steps=0), "kernel_truncation_steps must be a positive"),
        (lambda: snntorch.StateLeaky([0.5] * 3, 4), r"beta must be one number or 4 \(channels\), got 3"),
        (lambda: snntorch.AssociativeLeaky(3, 2, 2, 5), "must be d_value x d_key = 4, got 5"),
        (lambda: snntorch.AssociativeLeaky.from_num_spiking_neurons(3, 5), "x d_key = 4, got 5"),
        (lambda: snntorch.state_quant(0), "num_bits must be an integer from 1 to 16, got 0"),
        (lambda: nn.Levels([1.0, 0.5]), "values must be ascending numbers"),
        (lambda: nn.UniformLevels(1.0, 0.0, 4), "expected two levels or more from low up to high"),
        (lambda: trace(nn.Sequential(nn.Leaky(0.9, inhibition=True), input=nn.Input(2, 3))), "one feature"),
        (lambda: trace(nn.Sequential(nn.Linear(2, 3), snntorch.StateLeaky(0.5, 4))), r"channels is 4.*\[3\]"),
        (lambda: trace(nn.Sequential(nn.Linear(2, 3), nn.RLeaky(0.5, linear_features=4))), "features"),
    ],
)    # fmt: skip
def test_what_makes_no_sense_is_refused_with_its_line(build: Callable[[], Any], message: str) -> None:
    with pytest.raises(CompileError, match=message) as refused:
        build()
    assert re.search(r"\(test_snntorch_presets.py:\d+\)$", str(refused.value)), refused.value


# Where ours differ


def test_an_lstm_of_other_size_keeps_its_states_and_snntorchs_does_not() -> None:
    x = np.repeat(currents(4)[:1], STEPS, axis=0)
    ours, theirs = (run(make(4, 5), x)["mem"] for make in (nn.SLSTM, snntorch.SLSTM))
    assert (theirs == theirs[0]).all()
    np.testing.assert_array_equal(ours[0], theirs[0])
    assert not np.allclose(ours[1], ours[0])


def test_an_exact_circuit_decays_by_beta() -> None:
    x = np.zeros((STEPS, 1, 1))
    x[0] = 1.0
    exact = run(nn.Lapicque(0.8, R=2.0, threshold=9.0, exact=True), x)["mem"].ravel()
    np.testing.assert_allclose(exact, 0.4 * 0.8 ** np.arange(STEPS), rtol=1e-12)
    euler = run(nn.Lapicque(0.8, R=2.0, threshold=9.0), x)["mem"].ravel()
    rate = -np.log(0.8)
    np.testing.assert_allclose(euler, 2 * rate * (1 - rate) ** np.arange(STEPS), rtol=1e-12)


def test_the_three_ways_to_give_a_circuit_agree() -> None:
    x, capacity = currents(2), -1.0 / (2.0 * np.log(0.8))
    given: tuple[dict[str, Any], ...] = ({"R": 2.0, "C": capacity}, {"R": 2.0}, {"C": capacity})
    found = [
        run(nn.Lapicque(None if len(g) == 2 else 0.8, exact=exact, **g), x)["mem"]
        for exact in (False, True)
        for g in given
    ]
    for three in (found[:3], found[3:]):
        np.testing.assert_allclose(three[1], three[0], rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(three[2], three[0], rtol=1e-12, atol=1e-12)
    assert not np.allclose(found[0], found[3])


def test_a_beta_for_each_neuron_reaches_the_diagonal() -> None:
    weights = trace(nn.Sequential(neuron=nn.LeakyParallel(3, 2, [0.25, 0.75]))).parameters
    np.testing.assert_array_equal(weights["neuron.rnn.weight_hh_l0"], np.diag([0.25, 0.75]))
    dense = trace(nn.Sequential(neuron=snntorch.LeakyParallel(3, 2, 0.5, weight_hh_enable=True))).parameters
    np.testing.assert_array_equal(dense["neuron.rnn.weight_hh_l0"], np.full((2, 2), 0.5))


def test_the_graded_factor_counts_once_and_in_snntorch_twice() -> None:
    x = currents(3)
    once = run(nn.StateLeaky(0.5, graded_spikes_factor=0.5), x)["spk"]
    twice = run(snntorch.StateLeaky(0.5, 3, graded_spikes_factor=0.5), x)["spk"]
    assert set(np.unique(once)) == {0.0, 0.5}
    np.testing.assert_array_equal(twice, once / 2)


def test_membranes_alone_are_handed_on_without_output() -> None:
    x = currents(3)
    assert set(run(snntorch.StateLeaky(0.5, 3, output=False), x)) == {"mem"}


def test_truncation_forgets() -> None:
    x = currents(3)
    whole, short = (run(nn.StateLeaky(0.5, kernel_truncation_steps=k), x)["mem"] for k in (None, 2))
    np.testing.assert_allclose(short[:2], whole[:2], atol=1e-11)
    np.testing.assert_allclose(short[2:], x[2:] + np.exp(-0.5) * x[1:-1], atol=1e-11)


def test_associative_memories_agree_while_products_of_alphas_are_large() -> None:
    x = currents(4)
    ours, theirs = nn.AssociativeLeaky(4, 2, 3), snntorch.AssociativeLeaky(4, 2, 3, 6)
    found, expected = run(ours, x), run(theirs, x)
    np.testing.assert_allclose(found["mem"], expected["mem"], rtol=1e-5, atol=1e-6)
    long = np.zeros((200, 1, 4))
    biases = {"to_v.bias": np.ones(2), "to_k.bias": np.ones(3)}
    kept, faded = (run(n, long, **biases)["mem"][-1] for n in (ours, theirs))
    assert kept.min() > 1.0
    assert faded.max() < 0.01


# Inhibition and levels


def test_one_neuron_fires_and_all_above_the_threshold_reset() -> None:
    x = np.full((2, 1, 4), [2.0, 3.0, 3.0, 0.5])
    out = run(nn.Leaky(0.5, inhibition=True, reset="zero"), x)
    np.testing.assert_array_equal(out["spk"][0, 0], [0, 1, 0, 0])    # the first of two equal ones
    np.testing.assert_array_equal(out["mem"][1, 0], [2.0, 3.0, 3.0, 0.75])
    now = run(nn.Leaky(0.5, inhibition=True, reset="zero", reset_delay=False), x)
    np.testing.assert_array_equal(now["mem"][0, 0], [2.0, 0.0, 3.0, 0.5])    # the silent reset later


def test_the_first_maximum_on_arrays() -> None:
    x = np.array([[[1.0, 3.0, 3.0]], [[-1.0, -2.0, -3.0]]])
    np.testing.assert_array_equal(snncc.first_maximum(x), [[[0, 1, 0]], [[1, 0, 0]]])


@pytest.mark.parametrize("bits", [1, 2, 3, 5, 8])
@pytest.mark.parametrize("uniform", [True, False])
@pytest.mark.parametrize("centered", [True, False])
def test_levels_are_the_nearest(bits: int, uniform: bool, centered: bool) -> None:
    quantize = snntorch.state_quant(bits, uniform, centered, 1.25, 0.5, 0.25)
    levels = np.linspace(-1.875, 1.5625, 2**bits) if uniform else np.array(quantize.values)
    assert len(levels) == 2**bits
    assert levels[[0, -1]] == pytest.approx([-1.875, 1.5625])
    x = np.linspace(-2.5, 2.5, 997)
    nearest = levels[np.argmin(np.abs(levels - x[:, None]), axis=1)]
    np.testing.assert_allclose(quantize(x), nearest, rtol=1e-12, atol=1e-12)


def test_of_two_equally_near_levels_the_lower_is_taken() -> None:
    x = np.array([-0.5, 0.5, 1.5])
    for quantize in (nn.UniformLevels(-1.0, 2.0, 4), nn.Levels([-1.0, 0.0, 1.0, 2.0])):
        np.testing.assert_array_equal(quantize(x), [-1.0, 0.0, 1.0])
