"""Learning rules against their definitions: written out by hand, other systems' numbers, and BPTT itself."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import snncc
from snncc import loss, nn, optim, rules
from snncc.driver import entry_stages, generate
from snncc.frontend.dsl import trace
from snncc.plan_memory import footprint
from snncc.reference import Call, evaluate
from snncc.target import Target
from tests.networks import difference
from tests.test_plasticity import IF, plastic

STEPS, BATCH = 13, 5
RNG = np.random.default_rng(3)
X = (RNG.random((STEPS, BATCH, 20)) < 0.3) * 1.0
Y = RNG.integers(0, 4, BATCH)

Found = dict[str, Any]


def network(**options: Any) -> nn.Sequential:
    layers = {"fc1": nn.Linear(20, 70), "lif1": nn.Leaky(0.9, **options)}
    return nn.Sequential(**layers, fc2=nn.Linear(70, 4), lif2=nn.Leaky(0.8, **options))


def train(rule: Any, of: str = "mem", net: Any = None, x: Any = X, **options: Any) -> tuple[float, Found]:
    """The loss and the gradients of one step, in double precision."""
    options = {"dtype": "float64", "num_steps": len(x), **options}
    model = snncc.compile(
        net or network(), loss=loss.cross_entropy(of), optimizer=optim.SGD(0.0), rule=rule, **options
    )
    return model.train_step(x, Y), {name: np.array(g) for name, g in model.gradients().items()}


# Truncated backpropagation


def by_hand(window: int, online: bool = False) -> Found:
    """Gradients of `network` for cross_entropy("mem"), step by step in NumPy.

    window: steps that a gradient goes back. online: nothing goes back; inputs leave traces.
    """
    traced = trace(network())
    w1, b1, w2, b2 = (traced.parameters[n] for n in ("fc1.weight", "fc1.bias", "fc2.weight", "fc2.bias"))
    layers = [run_leaky(X @ w1.T + b1, 0.9)]
    layers.append(run_leaky(layers[0][0] @ w2.T + b2, 0.8))
    (spk1, mem1), (_, mem2) = layers
    z = np.exp(mem2 - mem2.max(-1, keepdims=True))
    d_mem2 = (z / z.sum(-1, keepdims=True) - np.eye(4)[Y]) / BATCH
    back = (lambda g, beta: g) if online else (lambda g, beta: carried(g, beta, window))
    d_cur2 = back(d_mem2, 0.8)
    d_cur1 = back((d_cur2 @ w2) / (1 + (np.pi * (mem1 - 1.0)) ** 2), 0.9)
    one = np.ones((STEPS, BATCH, 1))
    kept = (lambda x, beta: summed(x, beta)) if online else (lambda x, beta: x)
    return {
        "fc1.weight": np.einsum("tbo,tbi->oi", d_cur1, kept(X, 0.9)),
        "fc1.bias": (d_cur1 * kept(one, 0.9)).sum((0, 1)),
        "fc2.weight": np.einsum("tbo,tbi->oi", d_cur2, kept(spk1, 0.8)),
        "fc2.bias": (d_cur2 * kept(one, 0.8)).sum((0, 1)),
    }


def run_leaky(current: Any, beta: float) -> tuple[Any, Any]:
    mem, spikes, membranes = np.zeros_like(current[0]), [], []
    for now in current:
        mem = beta * mem + now - (mem > 1.0)
        membranes.append(mem)
        spikes.append((mem > 1.0) * 1.0)
    return np.stack(spikes), np.stack(membranes)


def carried(gradient: Any, beta: float, window: int) -> Any:
    """Back through the membrane, to the start of the window."""
    total, after = np.zeros_like(gradient), np.zeros_like(gradient[0])
    for t in reversed(range(len(gradient))):
        after = gradient[t] + (0 if (t + 1) % window == 0 else beta * after)
        total[t] = after
    return total


def summed(x: Any, beta: float) -> Any:
    trace, before = np.zeros_like(x), np.zeros_like(x[0])
    for t, now in enumerate(x):
        trace[t] = before = beta * before + now
    return trace


@pytest.mark.parametrize("window", [1, 4, 13, 20])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_truncated_gradients_are_those_written_out(window: int, dtype: str) -> None:
    _, found = train(rules.bptt(truncate=window), dtype=dtype)
    for name, expected in by_hand(window).items():
        assert difference(found[name], expected) < (1e-5 if dtype == "float32" else 1e-12), name


@pytest.mark.parametrize("of", ["mem", "rate", "count"])
def test_a_window_of_all_steps_is_bptt_to_the_bit(of: str) -> None:
    plain, truncated = train("bptt", of), train(rules.bptt(truncate=STEPS), of)
    assert plain[0] == truncated[0]
    for name, gradient in plain[1].items():
        np.testing.assert_array_equal(truncated[1][name], gradient)


class Echo(nn.Module):
    """A loop that holds a product, and a delay outside of any loop."""

    def __init__(self) -> None:
        self.inputs = {"x": nn.Input(20)}
        self.fc, self.back, self.lif = nn.Linear(20, 70), nn.Linear(70, 70), nn.Leaky(0.9)
        self.out, self.last = nn.Linear(70, 4), nn.Leaky(0.8)

    def forward(self, x: Any) -> Any:
        feedback = nn.delay(shape=70)
        spk = self.lif(self.fc(x) + self.back(feedback.value)).spk
        feedback.feed(spk)
        return self.last(self.out(nn.delay(spk) + spk))


@pytest.mark.parametrize("rule", [rules.bptt(truncate=4), rules.bptt(truncate=5)], ids=str)
@pytest.mark.parametrize("of", ["mem", "count"])
def test_the_compiled_rule_is_the_interpreted_one(rule: Any, of: str) -> None:
    """With a loss of each step (segments in one round) and of sums (there and back)."""
    target = Target(STEPS, loss.cross_entropy(of), optim.SGD(0.0), "float64", rule=rule)
    traced = trace(Echo())
    assert_interpreted(traced, target, train(rule, of, Echo()))


def assert_interpreted(traced: Any, target: Target, found: tuple[float, Found]) -> None:
    (stages,) = [s for s in entry_stages(traced, target) if s.name == "train"]
    *_, (_, graph) = stages.run(target.options)
    call = Call({"x": X, "target": Y}, traced.parameters, {}, STEPS, BATCH, np.dtype("float64"))
    results = evaluate(graph, call)
    assert found[0] == pytest.approx(float(results["loss", "loss"]), rel=1e-12)
    for name, gradient in found[1].items():
        assert difference(gradient, results["gradient", name]) < 1e-12, name


@pytest.mark.parametrize("window", [4, STEPS])
def test_gradients_of_inputs_and_initial_states(window: int) -> None:
    """Those of the initial states come from the first window alone."""
    model = snncc.compile(Echo(), num_steps=STEPS, dtype="float64", rule=rules.bptt(truncate=window))
    weights = {name: RNG.standard_normal((STEPS, BATCH, 4)) for name in ("spk", "mem")}
    found = model.backward(X, cotangents=weights)
    target = Target(STEPS, dtype="float64", rule=rules.bptt(truncate=window))
    (stages,) = [s for s in entry_stages(trace(Echo()), target) if s.name == "backward"]
    *_, (_, graph) = stages.run(target.options)
    given = {"x": X, **{f"d_{name}": array for name, array in weights.items()}}
    call = Call(given, trace(Echo()).parameters, {}, STEPS, BATCH, np.dtype("float64"))
    results = evaluate(graph, call)
    assert difference(found.inputs["x"], results["d_input", "x"]) < 1e-12
    assert set(found.state) == {name for role, name in results if role == "d_state"}
    for name, gradient in found.state.items():
        assert difference(gradient, results["d_state", name]) < 1e-12, name


def scratch(rule: Any, of: str, steps: int) -> int:
    target = Target(steps, loss.cross_entropy(of), optim.SGD(0.0), rule=rule)
    compiled = generate(trace(network()), target)
    return footprint(compiled.program, steps, 2, 2, 2, training=True).scratch


@pytest.mark.parametrize("rule", [rules.bptt(truncate=8), rules.ottt()], ids=str)
def test_memory_does_not_grow_with_the_steps(rule: Any) -> None:
    assert scratch(rule, "mem", 50) == scratch(rule, "mem", 5000)
    assert scratch(rule, "rate", 50) == scratch(rule, "rate", 5000)
    # Sums over all steps are known at the end: states at the start of each segment are kept.
    assert scratch(rule, "count", 50) < scratch(rule, "count", 5000) < scratch("bptt", "count", 5000) / 5


# Online


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_online_gradients_are_those_written_out(dtype: str) -> None:
    _, found = train("ottt", dtype=dtype)
    for name, expected in by_hand(STEPS, online=True).items():
        assert difference(found[name], expected) < (1e-5 if dtype == "float32" else 1e-12), name


def test_online_learning_of_the_last_layer_is_bptt() -> None:
    online, plain = train("ottt")[1], train("bptt")[1]
    for name in ("fc2.weight", "fc2.bias"):
        assert difference(online[name], plain[name]) < 1e-13, name
    assert difference(online["fc1.weight"], plain["fc1.weight"]) > 1e-3


def test_online_learning_does_not_depend_on_how_steps_are_held() -> None:
    gradients = [train("ottt", checkpoint_every=k)[1] for k in (1, 5, STEPS)]
    for name, gradient in gradients[0].items():
        for other in gradients[1:]:
            assert difference(other[name], gradient) < 1e-14, name


def test_an_input_without_time_leaves_a_trace_as_well() -> None:
    static = nn.Sequential(fc=nn.Linear(20, 4), lif=nn.Leaky(0.8), input=nn.Input(20, static=True))
    options = {"num_steps": STEPS, "dtype": "float64", "loss": loss.cross_entropy("mem")}
    found = []
    for rule in ("ottt", "bptt"):
        model = snncc.compile(static, optimizer=optim.SGD(0.0), rule=rule, **options)
        model.train_step(X[0], Y)
        found.append(model.gradients())
    for name, gradient in found[1].items():
        assert difference(found[0][name], gradient) < 1e-13, name


def test_layers_in_a_row_are_one_linear_function() -> None:
    """The trace goes through them: still BPTT's own gradient for the last neuron."""
    def row() -> nn.Module:
        return nn.Sequential(a=nn.Linear(20, 8), b=nn.Linear(8, 4, bias=False), lif=nn.Leaky(0.9))

    online, plain = train("ottt", net=row())[1], train("bptt", net=row())[1]
    for name, gradient in plain.items():
        assert difference(online[name], gradient) < 1e-13, name


IMAGES: dict[str, tuple[tuple[int, ...], tuple[nn.Module, ...]]] = {
    "convolution": ((2, 3, 4), (nn.Conv2d(2, 4, 3, stride=2, padding=1, groups=2),)),
    "transposed": ((2, 3, 2), (nn.ConvTranspose2d(2, 3, 2, stride=2), nn.AvgPool2d(2))),
    "tokens": ((5, 4), (nn.Linear(4, 3),)),
}


class OnImages(nn.Module):
    """Layers, and a membrane for each of their outputs."""

    def __init__(self, shape: tuple[int, ...], layers: tuple[nn.Module, ...], static: bool) -> None:
        self.inputs = {"x": nn.Input(*shape, static=static)}
        self.layers, self.lif = nn.Sequential(*layers), nn.Leaky(0.9)

    def forward(self, x: Any) -> Any:
        return self.lif(self.layers(x)).mem.reshape(-1)


@pytest.mark.parametrize("static", [False, True])
@pytest.mark.parametrize("name", IMAGES)
def test_layers_of_images_and_tokens_leave_traces(name: str, static: bool) -> None:
    """Theirs is BPTT's own gradient in a last layer as well."""
    shape, layers = IMAGES[name]
    x = RNG.standard_normal((*(() if static else (STEPS,)), BATCH, *shape))
    options = {"num_steps": STEPS, "dtype": "float64", "loss": loss.cross_entropy("mem", of="out")}
    found = []
    for rule in ("ottt", "bptt"):
        net = OnImages(shape, layers, static)
        model = snncc.compile(net, optimizer=optim.SGD(0.0), rule=rule, **options)
        model.train_step(x, Y)
        found.append({name: np.array(g) for name, g in model.gradients().items()})
    assert len(found[0]) == 2
    for name, gradient in found[1].items():
        assert np.abs(gradient).max() > 0.01
        assert difference(found[0][name], gradient) < 1e-13, name


class Bent(nn.Module):
    """A current through a layer without weights on its way to the membrane."""

    def __init__(self, layer: Any) -> None:
        self.inputs = {"x": nn.Input(20)}
        self.fc, self.layer, self.lif = nn.Linear(20, 4), layer, nn.Leaky(0.9)

    def forward(self, x: Any) -> Any:
        return self.lif(self.layer(self.fc(x)))


@pytest.mark.parametrize(
    ("layer", "why"),
    [
        (snncc.tanh, "through a curved function"),
        (nn.LayerNorm(4), "through a curved function"),
        (snncc.softmax, "through a curved function"),
        (nn.Delay(1), "flows into a delay"),
    ],
)
def test_online_learning_refuses_what_no_trace_goes_through(layer: Any, why: str) -> None:
    with pytest.raises(snncc.CompileError, match=why):
        train("ottt", net=Bent(layer))


@pytest.mark.parametrize(
    ("neuron", "why"),
    [
        (nn.Leaky(0.9, reset="zero"), "another decay"),
        (nn.Leaky(0.9, learn_beta=True), "another decay"),
        (nn.Leaky([0.9, 0.8, 0.7, 0.6]), "another decay"),
        (nn.Leaky(0.9, reset_delay=False), "another decay"),
        (nn.StateLeaky(0.9, kernel_truncation_steps=3), "flows into a delay"),
    ],
)
def test_online_learning_needs_one_decay(neuron: nn.Module, why: str) -> None:
    with pytest.raises(snncc.CompileError, match=f"decays by one number.*{why}.*rules.bptt"):
        train("ottt", net=nn.Sequential(nn.Linear(20, 4), neuron))


# Rates


def test_gradients_of_rates_are_those_written_out() -> None:
    """d rate / d mean current is 1 / threshold where the rate is between 0 and 1; the same at every step."""
    _, found = train("dsr", "count")
    weights = trace(network()).parameters
    w1, b1, w2, b2 = (weights[n] for n in ("fc1.weight", "fc1.bias", "fc2.weight", "fc2.bias"))
    cur1 = X @ w1.T + b1
    spk1 = run_leaky(cur1, 0.9)[0]
    cur2 = spk1 @ w2.T + b2
    counts = run_leaky(cur2, 0.8)[0].sum(0)
    z = np.exp(counts - counts.max(-1, keepdims=True))
    d_rate2 = STEPS * (z / z.sum(-1, keepdims=True) - np.eye(4)[Y]) / BATCH
    d_cur2 = d_rate2 * ((cur2.mean(0) >= 0) & (cur2.mean(0) <= 1)) / STEPS
    d_cur1 = STEPS * (d_cur2 @ w2) * ((cur1.mean(0) >= 0) & (cur1.mean(0) <= 1)) / STEPS
    expected = {
        "fc1.weight": d_cur1.T @ X.sum(0),
        "fc1.bias": STEPS * d_cur1.sum(0),
        "fc2.weight": d_cur2.T @ spk1.sum(0),
        "fc2.bias": STEPS * d_cur2.sum(0),
    }
    for name, gradient in expected.items():
        assert difference(found[name], gradient) < 1e-12, name


def test_rates_leave_outputs_alone() -> None:
    plain = snncc.compile(network(), num_steps=STEPS)(X)
    by_rates = snncc.compile(network(), num_steps=STEPS, rule="dsr")(X)
    np.testing.assert_array_equal(by_rates.spk, plain.spk)
    np.testing.assert_array_equal(by_rates.mem, plain.mem)


def test_a_threshold_is_raised_to_its_bound_by_updates() -> None:
    """The code of DSR's authors writes the bound into the parameter; it goes on from there."""
    neuron = nn.DSRIF(0.5, lower_bound=0.4, bound="overwrite")
    network = nn.Sequential(dsr=neuron, input=nn.Input(3))
    model = snncc.compile(network, num_steps=6, loss=loss.mse("rate"), optimizer=optim.SGD(0.2))
    x, target = np.full((6, 2, 3), 2.0, np.float32), np.zeros((2, 3), np.float32)
    seen = []
    for _ in range(4):
        model.train_step(x, target)
        step = 0.2 * float(model.gradients()["dsr.v_threshold"])
        before = seen[-1] if seen else 0.5
        seen.append(float(model.params["dsr.v_threshold"]))
        assert step > 0 and seen[-1] == pytest.approx(max(before - step, 0.4), rel=1e-6)
    assert seen[-1] == np.float32(0.4)


# Mistakes


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: train("hebb"), "rule must be 'bptt', 'dsr', 'ottt', 'stdp' or of snncc.rules, got 'hebb'"),
        (lambda: rules.bptt(0), "truncate must be None or a number of steps, got 0"),
        (lambda: rules.stdp(0.5), "tau_pre must be at least 1 step, got 0.5"),
        (lambda: rules.stdp(every="batch"), "every must be 'step' or 'call', got 'batch'"),
        (lambda: rules.stdp(bounds=(1, 0)), r"bounds must be \(low, high\), got \(1.0, 0.0\)"),
        (lambda: train(rules.bptt(4), checkpoint_every=2), "leave checkpoint_every out"),
        (lambda: rules.stdp("a"), "tau_pre must be a finite number, got 'a'"),
        (lambda: rules.stdp(bounds=3), r"bounds must be \(low, high\) or None, got 3"),
        (lambda: nn.spikingjelly.LIFNode("a"), "tau must be a finite number, got 'a'"),
        (lambda: nn.snngrow.LIFNode("a"), "tau must be a finite number, got 'a'"),
        (lambda: plastic(layers="fc9"), "fc9 has no weights to learn"),
        (lambda: train("stdp"), "takes no loss"),
        (lambda: snncc.compile(network(), rule="stdp"), r"optimizer=optim.SGD\(lr\) to apply its changes"),
        (lambda: plastic(layers=["fc9"]), "fc9 has no weights to learn; layers that have: fc"),
        (lambda: plastic(neuron=nn.Flatten()), "expected one neuron behind %fc.linear, found 0"),
        (lambda: train("dsr", net=nn.Sequential(nn.Linear(20, 4), IF())), r"defines firing_rate"),
    ],
)
def test_mistakes(make: Any, message: str) -> None:
    with pytest.raises(snncc.CompileError, match=message):
        make()


def test_bounds_are_for_weights_alone() -> None:
    net = nn.Sequential(fc=nn.Linear(4, 3), lif=IF())
    with pytest.raises(snncc.CompileError, match=r"found fc\.bias; use bias=False"):
        snncc.compile(net, rule=rules.stdp(bounds=(0, 1)), optimizer=optim.SGD(0.1))


def test_a_model_that_was_not_compiled_for_it_says_so() -> None:
    with pytest.raises(snncc.ModelError, match="compile it again with rule='stdp'"):
        snncc.compile(network()).learn(X)


def test_targets_compare_by_their_rule() -> None:
    target = Target(rule="ottt")
    assert target.learning == rules.ottt()
    assert replace(target, rule=rules.bptt(3)).options.truncate == 3
