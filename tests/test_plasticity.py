"""Spike-timing dependent plasticity: SNNGrow's numbers, and formulas written out by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import snncc
from snncc import nn, optim, rules
from tests import vectors
from tests.cuda_pairs import built
from tests.networks import difference

STEPS, BATCH = 13, 5
CASES = ["snngrow_stdp"]
X = (np.random.default_rng(3).random((STEPS, BATCH, 20)) < 0.3) * 1.0

Found = dict[str, Any]


class IF(nn.Neuron):
    """SNNGrow's IFNode: integrates, fires at the threshold, resets at once."""

    def step(self, current: Any, mem: Any) -> Any:
        charged = mem + current
        spk = snncc.spike(charged - 1.0, self.surrogate, strict=False)
        return spk, (1.0 - spk) * charged


@pytest.fixture(scope="module")
def stdp_case() -> Found:
    with np.load(vectors.FOLDER / "snngrow_stdp.npz") as file:
        return dict(file)


def plastic(
    every: str = "step", dtype: str = "float32", target: str = "c", neuron: Any = None, **options: Any
) -> Any:
    net = nn.Sequential(fc=nn.Linear(4, 3, bias=False), lif=neuron or IF())
    rule = rules.stdp(every=every, **options)
    return snncc.compile(net, num_steps=40, optimizer=optim.SGD(0.01), rule=rule, dtype=dtype, target=target)


@pytest.fixture(params=["c", "cuda"])
def learner(request: pytest.FixtureRequest, stdp_case: Found) -> Any:
    """With the case's weights."""
    with built():
        model = plastic(target=request.param)
    model.params["fc.weight"] = stdp_case["f32.param.weight0"]
    return model


def test_stdp_is_that_of_snngrow(learner: Any, stdp_case: Found) -> None:
    """Spikes, traces, changes and weights after each step, bit for bit."""
    state = None
    for t, spikes in enumerate(stdp_case["in_spike"]):
        out = learner.learn(spikes[None], state=state)
        state = out.state
        np.testing.assert_array_equal(out.spk[0], stdp_case["f32.out.spk"][t])
        for trace_of in ("trace_pre", "trace_post"):
            np.testing.assert_array_equal(state[f"fc.{trace_of}"], stdp_case[f"f32.out.{trace_of}"][t])
        np.testing.assert_allclose(-learner.gradients()["fc.weight"], stdp_case["f32.out.dw"][t], atol=1e-6)
        np.testing.assert_allclose(learner.params["fc.weight"], stdp_case["f32.out.weight"][t], atol=1e-6)


def test_one_call_learns_as_step_after_step(learner: Any, stdp_case: Found) -> None:
    out = learner.learn(stdp_case["in_spike"])
    np.testing.assert_array_equal(out.spk, stdp_case["f32.out.spk"])
    np.testing.assert_allclose(learner.params["fc.weight"], stdp_case["f32.out.weight"][-1], atol=1e-6)


@pytest.mark.parametrize("exponent", [0, 1])
def test_changes_of_a_call_are_summed_with_the_weights_held(stdp_case: Found, exponent: int) -> None:
    """snnTorch's learner: F of the weight itself, one update."""
    power = rules.Power(exponent)
    model = plastic("call", "float64", f_pre=power, f_post=power, tau_pre=3.0, tau_post=1.5)
    weight, spikes = stdp_case["f32.param.weight0"].astype(float), stdp_case["in_spike"].astype(float)
    model.params["fc.weight"] = weight
    out = model.learn(spikes)
    pre, post, change = np.zeros((2, 4)), np.zeros((2, 3)), np.zeros((3, 4))
    for x, spk in zip(spikes, out.spk, strict=True):
        pre, post = pre - pre / 3.0 + x, post - post / 1.5 + spk
        change += weight**exponent * (spk.T @ pre - post.T @ x)
    assert difference(-model.gradients()["fc.weight"], change) < 1e-12
    assert difference(model.params["fc.weight"], weight + 0.01 * change) < 1e-12


def test_convolutions_learn_by_all_places_of_their_windows() -> None:
    """snnTorch's learner for Conv2d: what each tap of the window saw, against what came out there."""
    conv = nn.Conv2d(2, 3, 3, stride=2, padding=1, bias=False)
    net = nn.Sequential(conv=conv, flat=nn.Flatten(), lif=nn.Leaky(0.8), input=nn.Input(2, 7, 6))
    rule = rules.stdp(3.0, 1.5, f_pre=lambda w: w * w, f_post=rules.Power(1), every="call")
    model = snncc.compile(net, num_steps=STEPS, optimizer=optim.SGD(0.01), rule=rule, dtype="float64")
    rng = np.random.default_rng(5)
    weight = model.params["conv.weight"] = rng.random((3, 2, 3, 3)) / 2
    spikes = (rng.random((STEPS, BATCH, 2, 7, 6)) < 0.2) * 1.0
    out = model.learn(spikes)
    assert 0.05 < out.spk.mean() < 0.6
    fired = out.spk.reshape(STEPS, BATCH, 3, 4, 3)
    padded = np.pad(spikes, [(0, 0)] * 3 + [(1, 1)] * 2)
    pre, post, change = np.zeros(padded.shape[1:]), np.zeros(fired.shape[1:]), np.zeros(weight.shape)
    for x, spk in zip(padded, fired, strict=True):
        pre, post = pre - pre / 3.0 + x, post - post / 1.5 + spk
        for h, w in np.ndindex(3, 3):
            tap = np.s_[:, :, h : h + 7 : 2, w : w + 5 : 2]
            grown = np.einsum("bohw,bihw->oi", spk, pre[tap])
            shrunk = np.einsum("bohw,bihw->oi", post, x[tap])
            at = weight[:, :, h, w]
            change[:, :, h, w] += at * grown - at * at * shrunk
    assert difference(-model.gradients()["conv.weight"], change) < 1e-12
    assert difference(model.params["conv.weight"], weight + 0.01 * change) < 1e-12


@pytest.mark.parametrize("every", ["step", "call"])
def test_weights_stay_within_bounds(stdp_case: Found, every: str) -> None:
    model = plastic(every, bounds=(0.45, 0.5))
    for _ in range(5):
        model.learn(stdp_case["in_spike"], lr=0.1)
        weights = model.params["fc.weight"]
        assert weights.min() >= np.float32(0.45) and weights.max() <= 0.5
    assert weights.min() < weights.max()


def test_only_named_layers_learn() -> None:
    net = nn.Sequential(a=nn.Linear(20, 70), b=IF(), c=nn.Linear(70, 4), last=IF())
    model = snncc.compile(net, optimizer=optim.SGD(0.1), rule=rules.stdp(layers=["c"]), num_steps=STEPS)
    before = {name: np.array(array) for name, array in model.params.items()}
    model.params["a.weight"] = before["a.weight"] + 0.2
    model.learn(X)
    changed = {n for n, array in model.params.items() if not np.array_equal(array, before[n])}
    assert changed == {"a.weight", "c.weight"}
    np.testing.assert_array_equal(model.params["a.weight"], before["a.weight"] + np.float32(0.2))


def test_learning_gives_the_same_bits_on_any_number_of_threads(tmp_path: Any) -> None:
    net = nn.Sequential(fc=nn.Linear(20, 130), lif=nn.Leaky(0.9))
    rule, out = rules.stdp(), tmp_path / "model"
    snncc.compile(net, optimizer=optim.SGD(0.1), rule=rule, num_steps=STEPS, out=out)
    weights = []
    for threads in (1, 2, 3):
        model = snncc.load(out, threads=threads)
        model.learn(X)
        weights.append(model.params["fc.weight"].tobytes())
    assert len(set(weights)) == 1
