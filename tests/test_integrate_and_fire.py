"""Neurons that reset within their step, parallel ones, and those without time backward.

Their numbers are golden vectors' business; here: slopes, every reset compiled, initial states, the number of
steps, and arguments that are wrong.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import snncc
from snncc import CompileError, ModelError, nn
from snncc.frontend.dsl import trace
from tests.networks import Bench, Case, Extent
from tests.neurons import FIXED, OTHERS, READOUTS, RESETTING, WITHIN
from tests.test_differentiate import check_loss, sequential
from tests.test_end_to_end import (
    check_gradients_of_everything,
    check_outputs_and_final_states,
    check_steps_are_a_call,
    check_threads_do_not_matter,
    check_two_halves_are_a_whole,
)

STEPS = 9


# Gradients are slopes


@pytest.mark.parametrize("name", RESETTING)
@pytest.mark.parametrize("reset", ["hard", "soft"])
def test_slopes_of_neurons_that_reset(name: str, reset: str) -> None:
    """A detached reset is a constant for the gradient, so no slope; golden vectors have that."""
    compared = check_loss(sequential(RESETTING[name](**WITHIN[reset])))
    assert ("d_state", "lif1.mem") in compared


@pytest.mark.parametrize("name", [*OTHERS, *READOUTS])
def test_slopes_of_others(name: str) -> None:
    check_loss(sequential((OTHERS | READOUTS)[name]()))


@pytest.mark.parametrize("name", FIXED)
def test_slopes_of_neurons_for_a_number_of_steps(name: str) -> None:
    compared = check_loss(sequential(FIXED[name](5)))
    weight = {"psn": "weight", "masked": "weight", "masked-wholly": "weight"}.get(name, "conduct")
    assert ("gradient", f"lif1.{weight}") in compared


# Compiled


class Zoo(nn.Module):
    """Many neurons side by side, each with its own part of the outputs."""

    def __init__(self, neurons: dict[str, nn.Module], *shape: int) -> None:
        self.inputs = {"x": nn.Input(*shape)}
        self.neurons = neurons

    def forward(self, x: Any) -> dict[str, Any]:
        outputs: dict[str, Any] = {}
        for name, neuron in self.neurons.items():
            result = neuron(x)
            named = result._asdict() if hasattr(result, "_asdict") else {"y": result}
            outputs |= {f"{key}_{name.replace('-', '_')}": value for key, value in named.items()}
        return outputs


def zoo(names: Any) -> dict[str, nn.Module]:
    return {f"{n}-{r}": RESETTING[n](**options) for n in names for r, options in WITHIN.items()}


def dsr() -> dict[str, nn.Module]:
    options: dict[str, Any] = {"grad_scaling": 0.5, "bound": "overwrite"}
    lif = nn.DSRLIF(STEPS, 1.0, 0.3)
    return {"dsr-if": nn.DSRIF(1.0), "dsr-lif": lif, "dsr-scaled": nn.DSRIF(0.5, **options)}


ZOOS: dict[str, Callable[[], nn.Module]] = {
    "plain": lambda: Zoo(zoo(list(RESETTING)[:7]), 4),
    "curved": lambda: Zoo(zoo(list(RESETTING)[7:]), 4),
    "others": lambda: Zoo({name: make() for name, make in (OTHERS | READOUTS).items()}, 4),
    "fixed": lambda: Zoo({name: make(STEPS) for name, make in FIXED.items()} | dsr(), 4),
    "maps": lambda: Zoo({"gated": nn.GatedLIF(STEPS, 3), "psn": nn.PSN(STEPS), **dsr()}, 3, 5, 7),
    "wide": lambda: Zoo({"psn": nn.PSN(STEPS), "if": nn.IF(v_reset=None), "dsr": nn.DSRIF(1.0)}, 130),
    "one": lambda: Zoo({"psn": nn.PSN(STEPS), "if": nn.IF(), "gated": nn.GatedLIF(STEPS)}),
}


def bench_of(name: str, folder: Path, build: bool = True) -> Bench:
    """With biases that let parallel neurons fire."""
    bench = Bench(Case(ZOOS[name], None), "float64", folder, build)
    bench.values |= {key: value / 16 for key, value in bench.values.items() if key.endswith("bias")}
    return bench


OF_ANY_LENGTH = ("plain", "curved", "others")


@pytest.mark.parametrize("name", ZOOS)
def test_compiled_neurons_agree(name: str, tmp_path: Path) -> None:
    bench = bench_of(name, tmp_path / "bench")
    checks = [check_outputs_and_final_states, check_gradients_of_everything]
    checks += [check_threads_do_not_matter] * (name == "wide")
    extents = [Extent(STEPS, 13)]
    if name in OF_ANY_LENGTH:
        checks += [check_steps_are_a_call, check_two_halves_are_a_whole]
        extents += [Extent(1, 1), Extent(7, 1)]
    problems = [p for extent in extents for check in checks for p in check(bench, name, extent)]
    assert problems == []


@pytest.mark.parametrize("name", ZOOS)
def test_the_neurons_are_lively(name: str, tmp_path: Path) -> None:
    """What never spikes, or always does, would agree with anything."""
    bench, extent = bench_of(name, tmp_path, build=False), Extent(STEPS, 13)
    out = bench.reference("forward", extent, bench.inputs(extent))
    for (role, key), array in out.items():
        if role == "output" and key.startswith("spk"):
            assert 0.02 < np.mean(array != 0) < 0.9, key


# What they start from


def test_initial_states() -> None:
    """A hard reset starts from v_reset, a soft one from 0; and the others from where they are told."""

    def initial(neuron: nn.Neuron) -> dict[str, Any]:
        return neuron.initial

    assert initial(nn.IF(v_reset=-0.3)) == {"mem": -0.3}
    assert initial(nn.LIF(v_reset=None)) == {"mem": 0.0}
    assert initial(nn.IF(v_reset=-0.3, init_mem=0.2)) == {"mem": 0.2}
    assert initial(nn.HalfThresholdIF(1.5)) == {"mem": 0.75}
    assert initial(nn.Izhikevich(w_rest=0.4)) == {"mem": 0.0, "w": 0.4}
    values = {"tau": 1e-3, "r": 1.0, "v_leak": 0.2, "v_threshold": 0.6, "v_reset": 0.2, "dt": 1e-4}
    assert initial(nn.nir.LIF(**values)) == {"mem": 0.0}
    assert initial(nn.nir.LIF(**{**values, "v_reset": 0.1}, dialect="norse")) == {"mem": 0.2}
    assert initial(nn.nir.LIF(**values, dialect="spikingjelly")) == {"mem": 0.2}


def test_a_tie_fires_unless_strict() -> None:
    x = np.ones((1, 1, 2))
    for strict, fires in ((False, 1), (True, 0)):
        spk, _ = nn.IF(1.0, strict=strict).step(x, np.zeros_like(x))
        assert (spk == fires).all()


def test_the_mask_of_a_psn() -> None:
    mask = nn.MaskedPSN(2, 4, 1.0).mask
    np.testing.assert_array_equal(mask, [[1, 0, 0, 0], [1, 1, 0, 0], [0, 1, 1, 0], [0, 0, 1, 1]])
    np.testing.assert_array_equal(nn.MaskedPSN(2, 4, 0.25).mask, 0.25 * mask + 0.75)
    np.testing.assert_array_equal(nn.MaskedPSN(2, 4).mask, np.ones((4, 4)))


# DSR


@pytest.mark.parametrize(("bound", "gradient"), [("clamp", 0.0), ("overwrite", 3.0)])
def test_a_threshold_below_its_bound(bound: str, gradient: float) -> None:
    """The bound is used; the gradient is masked in SpikingJelly 2.0, and is not in the code before it."""
    network = nn.Sequential(lif=nn.DSRIF(1.0, lower_bound=0.5, bound=bound), input=nn.Input(1))
    model = snncc.compile(network, num_steps=3, name="dsr")
    model.params["lif.v_threshold"] = 0.25
    x = np.full((3, 1, 1), 0.75)
    np.testing.assert_array_equal(model(x).spk, np.full((3, 1, 1), 0.5))
    found = model.backward(x, cotangents={"spk": np.ones((3, 1, 1))})
    assert found.params["lif.v_threshold"] == gradient
    np.testing.assert_array_equal(found.inputs["x"], np.zeros((3, 1, 1)))


def test_dsr_trains_a_network_of_two_layers() -> None:
    layers = {"fc1": nn.Linear(4, 20), "if1": nn.DSRIF(1.0), "fc2": nn.Linear(20, 3), "if2": nn.DSRIF(1.0)}
    model = snncc.compile(
        nn.Sequential(**layers), num_steps=8, loss=snncc.loss.cross_entropy("count"),
        optimizer=snncc.optim.Adam(0.02), name="dsr",
    )    # fmt: skip
    random = np.random.default_rng(0)
    x = random.normal(0, 0.5, (8, 64, 4)) + random.normal(0, 1, (64, 4))
    y = x.mean(axis=0)[:, :3].argmax(axis=1)
    losses = [model.train_step(x, y) for _ in range(60)]
    assert losses[-1] < 0.7 * losses[0]


RATES = [
    (nn.IF(0.5), 0.5),
    (nn.LIF(2.0, 0.5), 1.0),
    (nn.LIF(2.0, 0.5, decay_input=False), 0.5),
    (nn.KLIF(2.0, 0.5), 1.0),
]


@pytest.mark.parametrize(("neuron", "height"), RATES)
def test_rates_of_neurons_for_the_rule_dsr(neuron: nn.Module, height: float) -> None:
    """The gradient of a mean current, up to the current that makes a spike at every step."""
    network = nn.Sequential(lif=neuron, input=nn.Input(3))
    model = snncc.compile(network, num_steps=4, rule="dsr", name="rates")
    x = np.broadcast_to([-0.25, 0.25, 1.25], (4, 2, 3))
    found = model.backward(x, cotangents={"spk": np.ones((4, 2, 3))}).inputs["x"]
    np.testing.assert_allclose(found, np.broadcast_to([0, 1 / height, 0], (4, 2, 3)), rtol=1e-6)


def test_a_neuron_without_a_rate_is_refused() -> None:
    with pytest.raises(CompileError, match="needs a neuron that defines firing_rate"):
        snncc.compile(nn.Sequential(qif=nn.QIF(), input=nn.Input(3)), rule="dsr")


# The number of steps


def test_a_network_for_a_number_of_steps_runs_no_other() -> None:
    network = nn.Sequential(fc=nn.Linear(3, 4), psn=nn.PSN(6))
    with pytest.raises(CompileError, match=r"but layer psn was made for 6 steps.*num_steps=6"):
        snncc.compile(network)
    with pytest.raises(CompileError, match=r"needs all steps at once.*without checkpoint_every"):
        snncc.compile(network, num_steps=6, checkpoint_every=2)
    model = snncc.compile(network, num_steps=6, name="psn")
    assert model(np.ones((6, 2, 3))).spk.shape == (6, 2, 4)
    for steps in (5, 7):
        with pytest.raises(ModelError, match=f"made for 6 steps, this call has {steps}"):
            model(np.ones((steps, 2, 3)))
    with pytest.raises(ModelError, match="made for 6 steps, this call has 1"):
        model.step(np.ones((2, 3)))


def test_two_numbers_of_steps_are_one_too_many() -> None:
    network = nn.Sequential(a=nn.PSN(6), b=nn.PSN(7), input=nn.Input(3))
    with pytest.raises(CompileError, match=r"^layer a and layer b are for 6 and 7 .*and_fire\.py"):
        snncc.compile(network, num_steps=6)


class Ring(nn.Module):
    """A neuron that needs its own future."""

    inputs = {"x": nn.Input(3)}    # noqa: RUF012

    def __init__(self) -> None:
        self.psn = nn.PSN(4)

    def forward(self, x: Any) -> Any:
        loop = snncc.delay(shape=3)
        spk = self.psn(x + loop.value).spk
        return loop.feed(spk)


def test_all_steps_cannot_be_mixed_in_a_loop() -> None:
    with pytest.raises(CompileError, match=r"^layer psn mixes all steps and is part of a feedback loop"):
        snncc.compile(Ring(), num_steps=4)


def test_a_static_input_may_be_mixed() -> None:
    network = nn.Sequential(psn=nn.PSN(4), input=nn.Input(3, static=True))
    model = snncc.compile(network, num_steps=4, name="psn")
    weight, x = np.eye(4) * 2, np.array([[0.25, 0.5, 1.0]])
    model.params["psn.weight"] = weight
    np.testing.assert_array_equal(model(x).spk, np.broadcast_to([0, 1, 1], (4, 1, 3)))


# What is wrong


LIF_OF_NIR = {"tau": 1e-3, "r": 1.0, "v_leak": 0.0, "v_threshold": 1.0}
WRONG: list[tuple[Callable[[], Any], str]] = [
    (lambda: nn.LIF(0.0), "LIF: tau must be above 0, got 0.0"),
    (lambda: nn.LIF([2.0, -1.0]), "tau must be above 0"),
    (lambda: nn.ParametricLIF(1.0), "tau must be above 1, got 1.0"),
    (lambda: nn.IF("one"), "threshold must be a finite number or one a neuron, got 'one'"),
    (lambda: nn.IF(v_reset=np.nan), "v_reset must be a finite number"),
    (lambda: nn.IF(surrogate="atan"), "surrogate must be one of nn.surrogate or None"),
    (lambda: nn.QIF(a0=-1.0), "a0 must be above 0"),
    (lambda: nn.RAF(b=0.1), "b must be below 0"),
    (lambda: nn.PSN(0), "num_steps must be a positive integer, got 0"),
    (lambda: nn.PSN(2.5), "num_steps must be an integer, got 2.5"),
    (lambda: nn.SlidingPSN(True), "k must be an integer, got True"),
    (lambda: nn.GatedLIF(4, tau=1.5), "tau must be between 0 and 1, got 1.5"),
    (lambda: nn.DSRIF(0.001), "threshold must be at least lower_bound"),
    (lambda: nn.DSRIF(alpha=0.0), "alpha must be above 0"),
    (lambda: nn.DSRIF(bound="seed"), "bound must be 'clamp' or 'overwrite'"),
    (lambda: nn.DSRLIF(4, tau=0.0), "tau and dt must be above 0"),
    (lambda: nn.spikingjelly.LIFNode(1.0), "tau must be a number above 1"),
    (lambda: nn.spikingjelly.IFNode(step_mode="x"), "step_mode must be 's' or 'm'"),
    (lambda: nn.spikingjelly.IFNode(backend="numpy"), "backend must be one of torch"),
    (lambda: nn.spikingjelly.DSRIFNode(step_mode="s"), "step_mode must be 'm'"),
    (lambda: nn.spikingjelly.NonSpikingLIFNode(decode="last-mem"), "'mean-mem', 'last_mem' or None"),
    (lambda: nn.snngrow.LIFNode(1.0), "tau must be a number above 1"),
    (lambda: nn.snngrow.IFNode(T=0), "T must be a positive integer"),
    (lambda: nn.aidge.Leaky(10, 0.9, reset="zero"), "reset must be 'subtraction' or 'to_zero', got 'zero'"),
    (lambda: nn.aidge.Leaky(0, 0.9), "nb_timesteps must be an integer, at least 1"),
    (lambda: nn.aidge.Memorize(-1), "end_step must be an integer, at least 0"),
    (lambda: nn.nir.LIF(**LIF_OF_NIR, dt=0.0), "dt must be a positive number of seconds"),
    (lambda: nn.nir.LIF(**LIF_OF_NIR, dt=1e-4, dialect="lava"), "dialect must be one of exact, norse"),
    (lambda: nn.nir.LIF(**LIF_OF_NIR, dt=1e-3, dialect="snntorch"), "has dt=1e-4"),
    (lambda: nn.nir.LIF(**{**LIF_OF_NIR, "tau": -1.0}, dt=1e-4), "tau must be above 0"),
    (lambda: nn.nir.LIF(**{**LIF_OF_NIR, "v_leak": 0.5}, dt=1e-4, dialect="snntorch"), "needs v_leak = 0.0"),
    (lambda: nn.nir.LIF(**{**LIF_OF_NIR, "r": 3.0}, dt=1e-4, dialect="spikingjelly"), "needs r = 1.0 or"),
    (lambda: nn.nir.LIF(**{**LIF_OF_NIR, "v_leak": 0.5}, dt=1e-4, dialect="spikingjelly"), "needs v_leak ="),
    (lambda: nn.nir.IF(1.0, 1.0, dt=1e-4, dialect="snntorch"), "imports IF as Leaky"),
    (lambda: nn.nir.IF(1.0, 1.0, dt=1e-4, dialect="spikingjelly"), "needs r = 10000.0"),
    (lambda: nn.nir.CubaLIF(1e-3, 1e-3, 1.0, 0.0, 1.0, dt=1e-4, dialect="snntorch"), "needs r = 10.0"),
    (lambda: nn.nir.CubaLIF(1e-3, 1e-3, 10.0, 0.0, 1.0, dt=1e-4, dialect="spikingjelly"), "needs w_in ="),
]    # fmt: skip


@pytest.mark.parametrize("case", range(len(WRONG)))
def test_wrong_arguments(case: int) -> None:
    make, message = WRONG[case]
    with pytest.raises(CompileError) as error:
        make()
    assert message in str(error.value)
    assert "test_integrate_and_fire.py:" in str(error.value)


def test_channels_must_be_the_first_axis() -> None:
    with pytest.raises(CompileError, match=r"made for 3 channels, the input has shape \[5, 3\]"):
        trace(nn.Sequential(gated=nn.GatedLIF(4, 3), input=nn.Input(5, 3)))


def test_mean_of_a_readout() -> None:
    layer = nn.spikingjelly.NonSpikingIFNode("mean-mem")
    model = snncc.compile(nn.Sequential(out=layer, input=nn.Input(2)), num_steps=4, name="readout")
    x = np.arange(8.0).reshape(4, 1, 2)
    np.testing.assert_array_equal(model(x).mem, np.cumsum(x, axis=0).mean(axis=0))


def test_aidge_stack_pop_and_heaviside() -> None:
    layers = {"pop": nn.aidge.Pop(), "step": nn.aidge.Heaviside(0.5), "stack": nn.aidge.Stack(4)}
    model = snncc.compile(nn.Sequential(**layers, input=nn.Input(3)), num_steps=4, name="aidge")
    x = np.tile([-1.0, 0.0, 2.0], (4, 1, 1))
    np.testing.assert_array_equal(model(x).out, np.tile([0, 0.5, 1], (4, 1, 1)))
    found = model.backward(x, cotangents={"out": np.ones_like(x)}).inputs["x"]
    np.testing.assert_allclose(found, 1 / (1 + (np.pi * x) ** 2), rtol=1e-6)
