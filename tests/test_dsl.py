"""What the front end makes of networks, and its errors: each ends with the file and line to look at."""

from __future__ import annotations

import cProfile
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
import pytest

import snncc
from snncc import nn
from snncc.frontend.dsl import Network, trace
from tests.mistakes import Mistake, refused


def net(*layers: nn.Module) -> Network:
    return trace(nn.Sequential(*layers))


NO_INPUTS = "declare the network's inputs: inputs = {'x': nn.Input(784)} in the class, or inputs= here"
ONE_OR_EACH = "pass one number for all, or one for each"
WRONG_LENGTH = "is a per-neuron coefficient of the wrong length?"


# Layers and neurons


def linear_of_no_features() -> object:
    return nn.Linear(0, 10)


def linear_of_a_tuple() -> object:
    return nn.Linear(3, (4, 5))  # type: ignore[arg-type]


def linear_of_true() -> object:
    return nn.Linear(True, 3)


def nothing_in_a_row() -> object:
    return nn.Sequential()


def a_function_in_a_row() -> object:
    return nn.Sequential(nn.Linear(2, 2), relu=max)  # type: ignore[arg-type]


def input_of_no_shape_known() -> object:
    network = nn.Sequential(nn.Flatten(), nn.Linear(4, 2))  # here
    return trace(network)


def an_input_of_size_zero() -> object:
    return nn.Input(3, 0)


def a_soft_reset() -> object:
    return nn.Leaky(0.9, reset="soft")


def beta_of_words() -> object:
    return nn.Leaky("much")  # type: ignore[arg-type]


def beta_without_end() -> object:
    return nn.Leaky(float("nan"))


def a_matrix_of_thresholds() -> object:
    return trace(nn.Sequential(nn.Linear(3, 2), nn.Leaky(0.9, threshold=np.ones((2, 2)))))


def an_empty_init_mem() -> object:
    return nn.Leaky(0.9, init_mem=[])


def a_surrogate_by_name() -> object:
    return nn.Leaky(0.9, surrogate="atan")  # type: ignore[arg-type]


LAYERS: dict[Mistake, str] = {
    linear_of_no_features: "Linear: in_features must be a positive integer, got 0",
    linear_of_a_tuple: "Linear: out_features must be an integer, got (4, 5)",
    linear_of_true: "Linear: in_features must be an integer, got True",
    nothing_in_a_row: "Sequential: needs at least one layer",
    a_function_in_a_row: "Sequential: relu must be a module, got <built-in function max>",
    input_of_no_shape_known: "Sequential: the first layer, Flatten, does not say its input's shape; "
    "give input=nn.Input(...) to Sequential",
    an_input_of_size_zero: "Input: shape must be positive integers, got (3, 0)",
    a_soft_reset: "Leaky: reset must be 'subtract', 'zero' or 'none', got 'soft'",
    beta_of_words: "Leaky: beta must be a finite number or one a neuron, got 'much'",
    beta_without_end: "Leaky: beta must be a finite number or one a neuron, got nan",
    a_matrix_of_thresholds: "1: threshold has shape [2, 2] for neurons of shape [2]; pass one number "
    "for all, or [2] for each",
    an_empty_init_mem: "Leaky: init_mem must be a finite number or one a neuron, got ()",
    a_surrogate_by_name: "Leaky: surrogate must be one of nn.surrogate or None, got 'atan'",
}


# Tracing


class Net(nn.Module):
    """A network whose forward is given."""

    inputs = {"x": nn.Input(3)}  # noqa: RUF012

    def __init__(self, forward: Callable[..., Any], **layers: nn.Module) -> None:
        self.function = forward
        for name, layer in layers.items():
            setattr(self, name, layer)

    def forward(self, *operands: Any) -> Any:
        return self.function(self, *operands)


def wrong_number_of_features() -> object:
    layers = [nn.Linear(3, 4)]
    layers.append(nn.Linear(5, 2))  # here
    return net(*layers)


def flatten_forgotten() -> object:
    layer = nn.Linear(8, 2)  # here
    return trace(nn.Sequential(layer, input=nn.Input(2, 4)))


def beta_of_the_wrong_length() -> object:
    layers = [nn.Linear(3, 4), nn.Leaky([0.9, 0.8])]  # here
    return net(*layers)


def init_mem_of_the_wrong_length() -> object:
    layers = [nn.Linear(3, 4), nn.Leaky(0.9, init_mem=[0.9, 0.8])]  # here
    return net(*layers)


def not_a_network() -> object:
    return trace([nn.Linear(2, 2)])  # type: ignore[arg-type]


def no_inputs() -> object:
    network = nn.Module()  # here
    return trace(network)


def inputs_of_sizes() -> object:
    network = Net(lambda self, x: x)  # here
    return trace(network, {"x": 784})  # type: ignore[dict-item]


def no_forward() -> object:
    network = nn.Module()  # here
    return trace(network, {"x": nn.Input(2)})


def no_outputs() -> object:
    network = Net(lambda self, x: {})  # here
    return trace(network)


def outputs_of_numbers() -> object:
    network = Net(lambda self, x: {"spk": x, "beta": 0.9})  # here
    return trace(network)


def a_layer_made_inside() -> object:
    network = Net(lambda self, x: nn.Linear(3, 2)(x))  # here
    return trace(network)


def a_delay_never_fed() -> object:
    network = Net(lambda self, x: x + snncc.delay(shape=3, name="loop").value)  # here
    return trace(network)


def a_delay_fed_twice() -> object:
    def forward(self: nn.Module, x: Any) -> Any:
        loop = snncc.delay(shape=3, name="loop")
        loop.feed(x)
        return loop.feed(x)

    network = Net(forward)  # here
    return trace(network)


def a_delay_fed_another_shape() -> object:
    network = Net(lambda self, x: snncc.delay(shape=4, name="loop").feed(x))  # here
    return trace(network)


def a_delay_outside_of_a_network() -> object:
    return snncc.delay(shape=3)


def a_neuron_outside_of_a_network() -> object:
    return nn.Leaky(0.9)(np.zeros(3))


def a_choice_by_if() -> object:
    return trace(Net(lambda self, x: x if x > 0 else -x))


def a_value_unpacked() -> object:
    return trace(Net(lambda self, x: dict(zip("ab", x, strict=False))))


def outputs_of_a_neuron_as_one_value() -> object:
    layers: dict[str, nn.Module] = {"fc": nn.Linear(3, 2), "lif": nn.Leaky(0.9)}
    return trace(Net(lambda self, x: self.fc(self.lif(x)), **layers))


def an_array_among_values() -> object:
    return trace(Net(lambda self, x: x * np.ones(3)))


def a_value_of_another_network() -> object:
    kept: list[Any] = []
    trace(Net(lambda self, x: kept.append(x) or x))
    return trace(Net(lambda self, x: x + kept[0]))


class Silent(nn.Neuron):
    """A neuron without equations."""


class Forgetful(nn.Neuron):
    """A neuron that does not hand its state on."""

    def step(self, current: Any, mem: Any) -> Any:  # type: ignore[override]
        return mem + current


class Widening(nn.Neuron):
    """A neuron whose state changes its shape."""

    def __init__(self) -> None:
        self.weights = nn.Parameter((4,), np.ones(4))

    def step(self, current: Any, mem: Any, other: Any) -> Any:  # type: ignore[override]
        return current, self.weights * 1.0, other


def a_neuron_without_equations() -> object:
    layers = [nn.Linear(3, 3), Silent()]  # here
    return net(*layers)


def a_neuron_that_forgets() -> object:
    layers = [nn.Linear(3, 3), Forgetful()]  # here
    return net(*layers)


def a_state_that_widens() -> object:
    layers = [nn.Linear(3, 3), Widening()]  # here
    return net(*layers)


TRACING: dict[Mistake, str] = {
    wrong_number_of_features: "1: linear layer takes 5 features, its input has shape [4]",
    flatten_forgotten: "0: linear layer takes 8 features, its input has shape [2, 4]; "
    "put nn.Flatten() before it",
    beta_of_the_wrong_length: "1: beta has length 2 for 4 neurons; " + ONE_OR_EACH,
    init_mem_of_the_wrong_length: "1: init_mem has length 2 for 4 neurons; " + ONE_OR_EACH,
    not_a_network: "expected a network (an nn.Module), got list",
    no_inputs: f"Module: {NO_INPUTS}",
    inputs_of_sizes: f"Net: {NO_INPUTS}",
    no_forward: "Module must define forward",
    no_outputs: "Net: forward returned no outputs",
    outputs_of_numbers: "Net: forward must return a dict of values, one value, or a neuron's outputs; "
    "beta is float",
    a_layer_made_inside: "Linear: modules must be attributes of the network, not made inside forward",
    a_delay_never_fed: "loop: this delay is never fed; call its .feed(value)",
    a_delay_fed_twice: "%loop.prev is no open delay; each is fed once",
    a_delay_fed_another_shape: "loop: the state has shape [4], its next value [3]; " + WRONG_LENGTH,
    a_delay_outside_of_a_network: "delay belongs into the forward method of a network",
    a_neuron_outside_of_a_network: "Leaky belongs into the forward method of a network",
    a_choice_by_if: "%greater: the truth of a value is not known while the network is built; "
    "use snncc.where(condition, a, b) instead of if",
    a_value_unpacked: "%x is one value, it cannot be unpacked",
    outputs_of_a_neuron_as_one_value: "fc: expected a value of the network, got the outputs of a neuron, "
    "spk, mem; take one of them, as in lif(x).spk",
    an_array_among_values: "expected a value of the network or a number, got ndarray",
    a_value_of_another_network: "%x belongs to another network",
    a_neuron_without_equations: "Silent: must define step(self, current, *states)",
    a_neuron_that_forgets: "Forgetful: step must return (spk, mem), one value each",
    a_state_that_widens: "1.mem: the state has shape [3], its next value [4]; " + WRONG_LENGTH,
}


@pytest.mark.parametrize(
    ("mistake", "message"), [*LAYERS.items(), *TRACING.items()], ids=[m.__name__ for m in (*LAYERS, *TRACING)]
)
def test_mistakes_are_named_with_their_line(mistake: Mistake, message: str) -> None:
    assert refused(mistake) == message


def test_the_tracer_is_gone_after_an_error() -> None:
    refused(no_outputs)
    assert isinstance(nn.Linear(2, 3).weight, np.ndarray)


# What is made


def test_names_are_those_of_pytorch() -> None:
    network = trace(nn.Sequential(nn.Linear(3, 2), nn.Leaky(0.9, learn_beta=True, threshold=[0.5, 0.6])))
    shapes = {name: array.shape for name, array in network.parameters.items()}
    assert shapes == {"0.weight": (2, 3), "0.bias": (2,), "1.threshold": (2,), "1.beta": ()}
    learnable = {n.op.label: n.op.learnable for n in network.graph if n.op.name == "parameter"}  # type: ignore[attr-defined]
    assert learnable == {"0.weight": True, "0.bias": True, "1.threshold": False, "1.beta": True}


def test_locals_of_a_step_name_the_values() -> None:
    graph = net(nn.Linear(3, 2), nn.Leaky(0.9)).graph
    assert {"1.mem", "1.spk", "1.reset", "1.mem.prev", "1.mem.initial"} <= set(graph.nodes)
    assert graph["1.mem"].where.startswith("test_dsl.py:")


def test_names_do_not_depend_on_a_profiler() -> None:
    profiler = cProfile.Profile()
    network = nn.Sequential(nn.Linear(3, 2), nn.Leaky(0.9))
    assert str(profiler.runcall(trace, network).graph) == str(trace(network).graph)


def test_seeds() -> None:
    def weights(seed: int) -> np.ndarray:
        return trace(nn.Sequential(nn.Linear(3, 2), nn.Leaky(0.9)), seed=seed).parameters["0.weight"]

    np.testing.assert_array_equal(weights(1), weights(1))
    assert (weights(1) != weights(2)).all()
    assert np.abs(weights(1)).max() <= 1 / np.sqrt(3)


def test_a_layer_used_twice_shares_its_parameters() -> None:
    network = Net(lambda self, x: self.fc(self.fc(x)), fc=nn.Linear(3, 3))
    made = trace(network)
    assert set(made.parameters) == {"fc.weight", "fc.bias"}
    assert [n.op.name for n in made.graph].count("linear") == 2


def test_a_neuron_used_twice_has_two_states() -> None:
    network = Net(lambda self, x: self.lif(self.lif(x).spk), lif=nn.Leaky(0.9))
    states = [o.name for o in trace(network).graph.outputs if o.role == "state_out"]
    assert states == ["lif.mem", "lif.mem.2"]


def test_layers_in_lists_and_dicts_are_found() -> None:
    class Held(nn.Module):
        inputs = {"x": nn.Input(2)}  # noqa: RUF012

        def __init__(self) -> None:
            self.rows = [nn.Linear(2, 2), nn.Linear(2, 2, bias=False)]
            self.named = {"last": nn.Linear(2, 1)}

        def forward(self, x: Any) -> Any:
            return self.named["last"](self.rows[1](self.rows[0](x)))

    network = trace(Held())
    expected = ["rows.0.weight", "rows.0.bias", "rows.1.weight", "named.last.weight", "named.last.bias"]
    assert list(network.parameters) == expected
    assert [o.name for o in network.graph.outputs] == ["out"]


def test_a_static_input_has_no_time() -> None:
    network = trace(nn.Sequential(nn.Linear(3, 2), nn.Leaky(0.9), input=nn.Input(3, static=True)))
    types = {n.name: str(n.type) for n in network.graph}
    assert types["0.linear"] == "real[B, 2]"
    assert types["1.mem"] == "real[T, B, 2]"


class Rounding(nn.Module):
    """A straight-through estimator."""

    inputs: ClassVar[dict[str, nn.Input]] = {"x": nn.Input(3)}

    def forward(self, x: Any) -> Any:
        return snncc.substitute(snncc.floor(x), 2.0 * x)


def test_a_substitute_has_the_value_of_one_and_the_gradient_of_the_other() -> None:
    model = snncc.compile(Rounding(), dtype="float64")
    x = np.array([[[0.5, 1.5, -0.5]]])
    np.testing.assert_array_equal(model(x).out, np.floor(x))
    found = model.backward(x, cotangents={"out": np.ones_like(x)})
    np.testing.assert_array_equal(found.inputs["x"], np.full_like(x, 2.0))


def test_a_layer_may_be_called_as_the_model() -> None:
    """Its kernels are not the model's functions."""
    layers = {name: nn.Leaky(0.9) for name in ("net", "net_backward", "forward", "forward_tile")}
    model = snncc.compile(nn.Sequential(**layers, input=nn.Input(3)), name="net")
    assert model(np.zeros((2, 1, 3), np.float32)).spk.shape == (2, 1, 3)
