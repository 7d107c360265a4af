"""The interpreter against plain NumPy loops, and `step` on arrays against the traced graph."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import snncc
from snncc import nn
from snncc.frontend.dsl import trace
from snncc.graph import Builder
from snncc.ops import Value
from snncc.ops.leaf import Input
from snncc.reference import Call, evaluate, evaluate_nodes
from tests.random_networks import SURROGATES, Adaptive, Synaptic

STEPS, BATCH, N = 12, 4, 5
EVERY_RESET = [(reset, delay) for reset in ("subtract", "zero", "none") for delay in (True, False)]
Array = np.ndarray


def alone(neuron: nn.Neuron) -> nn.Module:
    """A network of one neuron layer, driven by its input current."""
    return nn.Sequential(lif=neuron, input=nn.Input(N))


def call(module: nn.Module, dtype: Any = np.float64, seed: int = 0, **states: Array) -> Call:
    current = np.random.default_rng(seed).normal(0.3, 0.8, (STEPS, BATCH, N))
    return Call({"x": current.astype(dtype)}, trace(module).parameters, states, STEPS, BATCH, dtype)


def leaky_by_hand(
    x: Array, beta: Any, threshold: Any, reset: str, delay: bool, mem: Any
) -> tuple[Array, Array]:
    """One element at a time, written from the definition of snnTorch's Leaky."""
    spikes, membranes = np.zeros_like(x), np.zeros_like(x)
    beta = np.broadcast_to(np.clip(beta, 0, 1), (N,))
    threshold, mem = np.broadcast_to(threshold, (N,)), np.broadcast_to(mem, (N,))
    for b in range(x.shape[1]):
        for n in range(N):
            v, theta = float(mem[n]), float(threshold[n])
            for t in range(len(x)):
                fired = v > theta
                v = beta[n] * (0.0 if fired and reset == "zero" else v) + x[t, b, n]
                v = v - theta if fired and reset == "subtract" else v
                spikes[t, b, n] = fires = v > theta
                extra = int(fires) - int(fired)
                if not delay and reset == "subtract":
                    v = v - extra * theta
                elif not delay and reset == "zero":
                    v = v * (1 - extra)
                membranes[t, b, n] = v
    return spikes, membranes


@pytest.mark.parametrize(("reset", "delay"), EVERY_RESET)
@pytest.mark.parametrize("per_neuron", [False, True])
def test_leaky_is_the_loop_written_by_hand(reset: str, delay: bool, per_neuron: bool) -> None:
    beta: Any = [0.5, 0.99, -0.2, 1.3, 0.0] if per_neuron else 0.9
    threshold: Any = [0.5, 1.0, 0.3, 0.7, 0.0] if per_neuron else 0.6
    start: Any = [0.0, 2.0, 0.3, -1.0, 0.7] if per_neuron else 0.65
    module = alone(nn.Leaky(beta, threshold, reset=reset, reset_delay=delay, init_mem=start))
    run = call(module)
    found = evaluate(trace(module).graph, run)
    spk, mem = leaky_by_hand(run.inputs["x"], beta, threshold, reset, delay, start)
    np.testing.assert_array_equal(found["output", "spk"], spk)
    np.testing.assert_allclose(found["output", "mem"], mem, rtol=0, atol=1e-13)
    np.testing.assert_array_equal(found["state_out", "lif.mem"], found["output", "mem"][-1])
    assert 0 < spk.mean() < 1


def stepped(neuron: nn.Neuron, x: Array, states: list[Array]) -> list[Array]:
    """The neuron's own `step` on arrays, in a loop: spk and each state, stacked over time."""
    rows = []
    for current in x:
        spk, *states = neuron.step(current, *states)
        rows.append([spk, *states])
    return [np.stack(column) for column in zip(*rows, strict=True)]


def neurons() -> dict[str, nn.Neuron]:
    found: dict[str, nn.Neuron] = {"synaptic": Synaptic(N), "adaptive": Adaptive()}
    for k, (reset, delay) in enumerate(EVERY_RESET):
        options: dict[str, Any] = {"reset": reset, "reset_delay": delay, "surrogate": SURROGATES[k]}
        found[f"leaky-{reset}-{delay}"] = nn.Leaky(0.9, 0.5, **options)
        found[f"leaky-{reset}-{delay}-each"] = nn.Leaky(np.linspace(0.1, 0.9, N), [0.5] * N, **options)
    return found


@pytest.mark.parametrize("name", neurons())
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_step_on_arrays_is_the_traced_graph(name: str, dtype: Any) -> None:
    """Bit for bit in float64. In float32 NumPy keeps per-neuron coefficients of a module in float64, so
    only neurons whose coefficients are numbers are compared there."""
    neuron = neurons()[name]
    if dtype == np.float32 and neuron._parameters:
        return
    module = alone(neuron)
    names = type(neuron).state_names()
    rng = np.random.default_rng(1)
    start = {f"lif.{state}": rng.normal(size=(BATCH, N)).astype(dtype) for state in names}
    run = call(module, dtype, **start)
    found = evaluate(trace(module).graph, run)
    spk, *states = stepped(neuron, run.inputs["x"], list(start.values()))
    np.testing.assert_array_equal(found["output", "spk"], spk)
    for state, values in zip(names, states, strict=True):
        np.testing.assert_array_equal(found["output", state], values, err_msg=state)
        assert found["output", state].dtype == dtype


def test_states_start_where_they_are_told() -> None:
    module = alone(Adaptive())
    graph, run = trace(module).graph, call(module)
    default = evaluate(graph, run)
    same = {"lif.mem": np.full((BATCH, N), 0.1), "lif.trace": np.full((BATCH, N), 0.5)}
    given = evaluate(graph, call(module, **same))
    np.testing.assert_array_equal(default["output", "mem"], given["output", "mem"])
    other = evaluate(graph, call(module, **{"lif.mem": np.ones((BATCH, N))}))
    assert (other["output", "mem"][0] != default["output", "mem"][0]).all()


def test_a_run_in_two_halves_is_one_run() -> None:
    """The final states of the first half start the second: what streaming relies on."""
    for neuron in (nn.Leaky(0.9, 0.4), nn.Leaky(0.9, 0.4, reset_delay=False), Synaptic(N), Adaptive()):
        module = alone(neuron)
        graph, run = trace(module).graph, call(module)
        whole, states, halves = evaluate(graph, run), {}, []
        for rows in (slice(0, 5), slice(5, STEPS)):
            x = run.inputs["x"][rows]
            half = evaluate(graph, Call({"x": x}, run.parameters, states, len(x), BATCH))
            states = {name: array for (role, name), array in half.items() if role == "state_out"}
            halves.append(half["output", "spk"])
        np.testing.assert_array_equal(np.concatenate(halves), whole["output", "spk"])


class Echo(nn.Module):
    """Delays of a sequence, once and twice, and a static input beside it."""

    inputs = {"x": nn.Input(2), "still": nn.Input(2, static=True)}  # noqa: RUF012

    def forward(self, x: Any, still: Any) -> dict[str, Any]:
        late = snncc.delay(x, initial=7.0)
        return {"late": late, "later": snncc.delay(late), "moving": x + still, "still": still * 2.0}


def test_delays_and_static_inputs() -> None:
    x, still = np.arange(12.0).reshape(3, 2, 2), np.array([[1.0, 2.0], [3.0, 4.0]])
    found = evaluate(trace(Echo()).graph, Call({"x": x, "still": still}, {}, {}, 3, 2))
    np.testing.assert_array_equal(found["output", "late"], np.stack([np.full((2, 2), 7.0), x[0], x[1]]))
    later = np.stack([np.zeros((2, 2)), np.full((2, 2), 7.0), x[0]])
    np.testing.assert_array_equal(found["output", "later"], later)
    np.testing.assert_array_equal(found["output", "moving"], x + still)
    np.testing.assert_array_equal(found["output", "still"], still * 2.0)


def test_every_value_has_the_axes_of_its_type() -> None:
    network = trace(Echo())
    x, still = np.zeros((3, 2, 2)), np.zeros((2, 2))
    for name, array in evaluate_nodes(network.graph, Call({"x": x, "still": still}, {}, {}, 3, 2)).items():
        type = network.graph[name].type
        assert array.shape == (3 if type.time else 1, 2 if type.batch else 1, *type.features), name


def test_linear_and_flatten() -> None:
    module = nn.Sequential(nn.Flatten(), nn.Linear(6, 4), nn.Linear(4, 2, bias=False), input=nn.Input(2, 3))
    network = trace(module)
    x = np.random.default_rng(0).normal(size=(3, 5, 2, 3))
    p = network.parameters
    expected = (x.reshape(3, 5, 6) @ p["1.weight"].T + p["1.bias"]) @ p["2.weight"].T
    found = evaluate(network.graph, Call({"x": x}, p, {}, 3, 5))
    np.testing.assert_allclose(found["output", "out"], expected, rtol=0, atol=1e-14)


@pytest.mark.parametrize("exponent", [-3, -1, 0, 1, 2, 7, 16, 2.0])
def test_whole_powers_are_products(exponent: float) -> None:
    builder = Builder()
    x = Value(builder, builder.add(Input("x", features=(3,)), name="x"))
    builder.output("y", "output", (abs(x) ** exponent).node)
    given = np.array([[[-1.5, 0.25, 3.0]]])
    found = evaluate(builder.graph(), Call({"x": given}, {}, {}, 1, 1, np.dtype("float64")))
    np.testing.assert_allclose(found["output", "y"], np.abs(given) ** exponent, rtol=1e-14)
    assert sum(node.op.name == "mul" for node in builder.nodes.values()) <= 5
