"""Odd arguments: every public function and constructor, each argument replaced by what makes no sense.

Whatever is refused is refused by one CompileError, a line of text that ends with the caller's line. What can
never make sense is refused everywhere.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

import numpy as np
import pytest

import snncc
from snncc import CompileError, ModelError, loss, nn, optim, rules
from snncc.arguments import check_fields, checked
from snncc.frontend.dsl import trace
from snncc.nn.connections import Connections

SPACES: dict[str, ModuleType] = {
    "nn": nn,
    "nn.snntorch": nn.snntorch,
    "nn.snntorch.spikegen": nn.snntorch.spikegen,
    "nn.snntorch.surrogate": nn.snntorch.surrogate,
    "nn.spikingjelly": nn.spikingjelly,
    "nn.spikingjelly.surrogate": nn.spikingjelly.surrogate,
    "nn.snngrow": nn.snngrow,
    "nn.aidge": nn.aidge,
    "nn.nir": nn.nir,
    "nn.connections": nn.connections,
    "nn.surrogate": nn.surrogate,
    "loss": loss,
    "loss.snntorch": loss.snntorch,
    "optim": optim,
    "rules": rules,
}
# Bases, what other functions make, and what works within a network's forward or on a layer only.
NOT_CALLED = {
    *(nn.Module, nn.Neuron, nn.IntegrateAndFire, nn.Parameter, nn.delay, nn.nir.Dialect),
    nn.surrogate.Surrogate,
    *(nn.surrogate.Custom, nn.surrogate.CustomGradient, optim.Optimizer, rules.Rule),
    *(value for name, value in vars(loss).items() if inspect.isclass(value)),
    *(nn.aidge.check_count, nn.connections.check_seed, nn.connections.pairs, nn.connections.wired),
    *(nn.connections.drawn_below, Connections),
}
# What is given for arguments that must be given, by name, and for some by owner.
GIVEN: dict[str, Any] = {
    **dict.fromkeys(("in_features", "input_size", "in_channels", "in_dim"), 3),
    **dict.fromkeys(("out_features", "hidden_size", "channels", "num_features", "input_features"), 4),
    **dict.fromkeys(("num_steps", "T", "time_steps", "nb_timesteps", "num_embeddings"), 5),
    **dict.fromkeys(("k", "d_value", "d_key", "num_groups", "embedding_dim", "output_size", "steps"), 2),
    **dict.fromkeys(("alpha", "scale", "r", "v_th", "threshold", "v_threshold"), 1.0),
    **dict.fromkeys(("num_channels", "normalized_shape", "num_spiking_neurons", "out_channels"), 4),
    **dict.fromkeys(("tau", "tau_syn", "tau_mem"), 2.0),
    **dict.fromkeys(("strength", "limit", "learning_rate", "delay", "dt"), 0.1),
    "kernel_size": 3, "beta": 0.5, "v_leak": 0.0, "low": -1.0, "high": 1.0, "count": 3, "values": [0.0, 1.0],
    "probability": 0.5, "shape": (4,), "radius": 1, "name": "exact", "exponent": 1, "max_delay": 4,
    "connections": nn.connections.Probability(0.5), "module": nn.Leaky(0.9), "layers": nn.Linear(3, 3),
    "function": lambda u, *others: u * 0.5,
    "custom_surrogate_function": lambda u, grad, spk: grad,
}
BESIDE: dict[str, dict[str, Any]] = {
    "nn.RLeaky": {"V": 0.5},
    "nn.RSynaptic": {"V": 0.5},
    "nn.snntorch.RLeaky": {"linear_features": 4},
    "nn.snntorch.RSynaptic": {"linear_features": 4},
    "nn.Lapicque": {"beta": 0.9},
    "nn.snntorch.Lapicque": {"beta": 0.9},
    "nn.snntorch.DeltaLeaky": {"beta": 0.9},
    "nn.Recurrent": {"back": nn.Linear(3, 3)},
    "nn.DelayedLinear": {"max_delay": 4},
    "nn.Upsample": {"size": (4, 4)},
}
# Values of no use anywhere.
SENSELESS: dict[str, Any] = {
    "nan": float("nan"), "inf": -float("inf"), "complex": 1j, "object": object(), "bytes": b"abc",
    "ragged": [[1, 2], [3]], "dict": {"a": 1}, "a nan": np.array([0.5, np.nan]), "complexes": np.ones(2) * 1j,
    "beyond float": 10**400,
}
# Values that some arguments take: no other error for them than CompileError.
ODD: dict[str, Any] = {
    "text": "abc", "number as text": "0.5", "None": None, "negative": -1, "zero": 0, "huge": 1e300,
    "long": 10**30, "empty": [], "three": np.array([0.1, 0.2, 0.3]), "matrix": np.full((2, 2), 0.5),
    "True": True, "half": 0.5, "texts": ["a", "b"], "NumPy's": np.int64(3), "truths": np.array([True, False]),
}
REFUSED = {word: ODD[word] for word in ("text", "matrix", "empty")}
TAKES_ANYTHING = {"nn.snntorch.LeakyParallel(device)", "nn.snntorch.LeakyParallel(dtype)"}
LONGEST = 300  # characters of a message


@dataclass(frozen=True)
class Call:
    """A public function with arguments that it takes, and the names of those that are replaced."""

    name: str
    function: Callable[..., Any]
    given: dict[str, Any]
    names: tuple[str, ...]


def public() -> Iterator[tuple[str, Callable[..., Any]]]:
    for space, module in SPACES.items():
        names = getattr(module, "__all__", None) or [n for n, v in vars(module).items() if own(module, v)]
        for name in names:
            function = getattr(module, name)
            if callable(function) and function not in NOT_CALLED:
                yield f"{space}.{name}", function
    yield "loss.snntorch.reg.l1_rate_sparsity", loss.snntorch.reg.l1_rate_sparsity
    yield "nn.AssociativeLeaky.from", nn.snntorch.AssociativeLeaky.from_num_spiking_neurons


def own(module: ModuleType, value: Any) -> bool:
    return getattr(value, "__module__", "") == module.__name__ and not value.__name__.startswith("_")


def calls() -> Iterator[Call]:
    for name, function in public():
        parameters = inspect.signature(function).parameters.values()
        named = [p for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
        given = {p.name: GIVEN[p.name] for p in named if p.default is p.empty} | BESIDE.get(name, {})
        yield Call(name, function, given, tuple(p.name for p in named))


def refusal(call: Call, argument: str, value: Any) -> str | None:
    """The error's message; None: the value is taken."""
    try:
        call.function(**{**call.given, argument: value})
    except CompileError as error:
        return str(error)
    return None


CALLS = {call.name: call for call in calls()}
NO_INPUT = ("nn.Sequential", "nn.Input")  # take any number of arguments by place


@pytest.mark.filterwarnings("error")
def test_everything_public_refuses_what_makes_no_sense() -> None:
    wrong = []
    for call in CALLS.values():
        if call.name not in NO_INPUT:
            call.function(**call.given)
        for argument in call.names:
            for word, value in (SENSELESS | ODD).items():
                place, message = f"{call.name}({argument}={word})", refusal(call, argument, value)
                if message is None:
                    if word in SENSELESS and f"{call.name}({argument})" not in TAKES_ANYTHING:
                        wrong.append(f"{place} is taken")
                elif not re.fullmatch(r"[^\n]+ \(test_arguments.py:\d+\)", message) or len(message) > LONGEST:
                    wrong.append(f"{place}: {message}")
    assert wrong == []
    assert len(CALLS) > 180


def test_plain_values_of_numpy_are_taken_for_pythons() -> None:
    layer = nn.Linear(np.int64(3), np.array(2), np.bool_(False))  # type: ignore[arg-type]
    assert (type(layer.in_features), layer.out_features, layer.has_bias) == (int, 2, False)
    assert nn.surrogate.ATan(np.float32(0.5)) == nn.surrogate.ATan(0.5)
    assert loss.cross_entropy("count", class_weights=np.array([1, 2])).class_weights == (1.0, 2.0)
    assert nn.LayerNorm(np.array([2, 3])).normalized_shape == (2, 3)  # type: ignore[arg-type]


def test_a_message_says_what_is_taken() -> None:
    message = refusal(CALLS["nn.IF"], "v_reset", "low")
    assert message and message.startswith("IF: v_reset must be a finite number or one a neuron or None, got")
    message = refusal(CALLS["nn.Conv2d"], "padding", 0.5)
    assert message and "must be an integer, a list, each an integer or text, got 0.5" in message
    with pytest.raises(CompileError, match=r"Sequential: layers\[1\] must be a module, got <class"):
        nn.Sequential(nn.Linear(2, 2), nn.Flatten)  # type: ignore[arg-type]


def test_a_users_own_constructors_are_the_users() -> None:
    class Mine(nn.Leaky):
        def __init__(self, size: int) -> None:
            super().__init__(0.9)
            self.size = size

    assert Mine("two").size == "two"  # type: ignore[arg-type]
    with pytest.raises(CompileError, match="Mine: beta must be a finite number"):
        type("Mine", (nn.Leaky,), {})("a")


def test_what_has_no_arguments_takes_none() -> None:
    with pytest.raises(CompileError, match=r"Flatten: takes no arguments, got 2, end_dim=-1 \(test_arg"):
        nn.Flatten(2, end_dim=-1)  # type: ignore[call-arg]


def test_annotations_that_cannot_be_read_check_nothing() -> None:
    @checked
    def f(x: Unknown, y: int = 1) -> Any:  # type: ignore[name-defined] # noqa: F821
        return x, y

    assert f("a", "b") == ("a", "b")

    @dataclass
    class Pair:
        x: int
        y: tuple[float, ...]

        def __post_init__(self) -> None:
            check_fields(self)

    assert Pair(np.int8(1), [1, 2]) == Pair(1, (1.0, 2.0))  # type: ignore[arg-type]
    with pytest.raises(CompileError, match="Pair: y must be a list, each a finite number, got"):
        Pair(1, "ab")  # type: ignore[arg-type]


def result_of(place: str, name: str) -> Any:
    """What another library's function gives: a function made inside, as snnTorch's `atan()` is."""

    def inner(x: Any) -> Any:
        return x

    inner.__module__, inner.__qualname__ = place, f"{name}.<locals>.inner"
    return inner


def object_of(place: str, name: str) -> Any:
    """One of another library's class."""
    return type(name, (), {"__module__": place})()


ATAN = result_of("snntorch.surrogate", "atan")
SIGMOID = object_of("spikingjelly.activation_based.surrogate", "Sigmoid")
WRITE_ATAN = "must be one of nn.surrogate or None, got snntorch's atan; write nn.snntorch.surrogate.atan(...)"
SLIPS: dict[str, tuple[Callable[[], Any], str]] = {
    "a preset's argument": (
        lambda: nn.Leaky(0.9, reset_mechanism="zero"),  # type: ignore[call-arg]
        "Leaky: got an unexpected keyword argument 'reset_mechanism'; it takes beta, threshold, reset, "
        "reset_delay, learn_beta, learn_threshold, init_mem, surrogate, inhibition, quantize, "
        "graded_spikes_factor, learn_graded_spikes_factor; reset_mechanism is an argument of "
        "nn.snntorch.Leaky",
    ),
    "nobody's argument, handed on": (
        lambda: nn.LIF(2.0, thresold=2.0),
        "LIF: got an unexpected keyword argument 'thresold'; it takes tau, threshold, v_reset, decay_input, "
        "detach_reset, strict, init_mem, learn_threshold, surrogate",
    ),
    "one forgotten": (
        lambda: nn.Linear(3),  # type: ignore[call-arg]
        "Linear: missing a required argument: 'out_features'; it takes in_features, out_features, bias",
    ),
    "one too many": (
        lambda: nn.Linear(3, 4, True, 5),  # type: ignore[call-arg]
        "Linear: too many positional arguments; it takes in_features, out_features, bias",
    ),
    "snnTorch's surrogate": (
        lambda: nn.snntorch.Leaky(0.9, spike_grad=ATAN),
        f"Leaky: spike_grad {WRITE_ATAN}",
    ),
    "the same in a neuron of ours": (lambda: nn.Leaky(0.9, surrogate=ATAN), f"Leaky: surrogate {WRITE_ATAN}"),
    "SpikingJelly's": (
        lambda: nn.spikingjelly.LIFNode(surrogate_function=SIGMOID),
        "LIFNode: surrogate_function must be one of nn.surrogate or None, got spikingjelly's Sigmoid; write "
        "nn.spikingjelly.surrogate.Sigmoid(...)",
    ),
    "PyTorch's layer": (
        lambda: nn.Sequential(object_of("torch.nn.modules.linear", "Linear")),
        "Sequential: layers[0] must be a module, got torch's Linear; write nn.Linear(...)",
    ),
}


@pytest.mark.parametrize("slip", SLIPS)
def test_slips_say_what_to_write(slip: str) -> None:
    make, message = SLIPS[slip]
    with pytest.raises(CompileError) as error:
        make()
    assert re.fullmatch(re.escape(message) + r" \(test_arguments\.py:\d+\)", str(error.value))


def test_an_error_inside_a_function_is_its_own() -> None:
    @checked
    def f(x: int) -> Any:
        return x + ""  # type: ignore[operator]

    with pytest.raises(TypeError, match="unsupported operand"):
        f(1)


class Slipping(nn.Module):
    """Computes with all outputs of a neuron."""

    inputs: ClassVar = {"x": nn.Input(3)}

    def __init__(self, slip: Callable[[Any, Any], Any]) -> None:
        self.lif, self.slip = nn.Leaky(0.9), slip

    def forward(self, x: Any) -> Any:
        return self.slip(self.lif(x), x)


ON_OUTPUTS: dict[str, tuple[str, Callable[[Any, Any], Any]]] = {
    "sum": ("arithmetic", lambda out, x: out + 1),
    "sum from the right": ("arithmetic", lambda out, x: 1 - out),
    "tuples": ("arithmetic", lambda out, x: out + out),
    "repeated": ("arithmetic", lambda out, x: out * 2),
    "sign": ("arithmetic", lambda out, x: -out),
    "comparison": ("arithmetic", lambda out, x: out > out),
    "an array's": ("arithmetic", lambda out, x: np.ones(3) * out),
    "a value's": ("mul", lambda out, x: x * out),
    "function": ("tanh", lambda out, x: snncc.tanh(out)),
    "function of axes": (".shape", lambda out, x: snncc.softmax(out)),
    "product": ("arithmetic", lambda out, x: snncc.matmul(x, out)),
    "method": (".sum", lambda out, x: out.sum()),
}


@pytest.mark.parametrize("slip", ON_OUTPUTS)
def test_arithmetic_takes_one_of_a_neurons_outputs(slip: str) -> None:
    what, function = ON_OUTPUTS[slip]
    message = f"{what}: expected a value of the network, got the outputs of a neuron, spk, mem; take one of "
    with pytest.raises(CompileError) as error:
        trace(Slipping(function))
    found = re.escape(f"{message}them, as in lif(x).spk") + r" \(test_arguments\.py:\d+\)"
    assert re.fullmatch(found, str(error.value)), error.value


def model_calls(folder: Path) -> Iterator[Call]:
    """A model's methods, and metrics."""
    net = nn.Sequential(fc=nn.Linear(2, 3), lif=nn.Leaky(0.9))
    model = snncc.compile(net, num_steps=3, loss=loss.cross_entropy("count"), optimizer=optim.SGD(0.1))
    x, y = np.ones((3, 4, 2)), np.zeros(4, int)
    model.save(folder / "m")
    for name in ("__call__", "step", "backward", "train_step", "fit", "evaluate", "predict", "profile"):
        function = getattr(model, name)
        parameters = inspect.signature(function).parameters.values()
        data = {} if name in ("__call__", "step", "backward", "profile") else {"x": x}
        data |= {"y": y} if name in ("train_step", "fit", "evaluate") else {}
        data |= {"progress": False} if name == "fit" else {}
        first = x[0] if name == "step" else x
        call = function if data else partial(function, first)
        named = tuple(p.name for p in parameters if p.kind is p.KEYWORD_ONLY or p.name in (*data, "by"))
        yield Call(name, call, data, named)
    for name in ("accuracy", "scores", "first_spike"):
        function = getattr(snncc.metrics, name)
        names = tuple(inspect.signature(function).parameters)
        yield Call(name, function, {names[0]: x} | ({"targets": y} if name == "accuracy" else {}), names)
    yield Call("load", snncc.load, {"folder": folder / "m"}, ("folder", "threads", "slots", "tile"))
    weights = {"source": dict(model.params)}
    yield Call("load_weights", model.load_weights, weights, ("source", "rename", "strict"))
    yield Call("save", model.save, {}, ("folder",))


def test_a_models_methods_refuse_what_makes_no_sense(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    wrong, count = [], 0
    for call in model_calls(tmp_path):
        for argument in call.names:
            for word, value in (SENSELESS | REFUSED).items():
                count += 1
                try:
                    call.function(**{**call.given, argument: value})
                except ModelError as error:
                    if "\n" in str(error) or len(str(error)) > LONGEST:
                        wrong.append(f"{call.name}({argument}={word}): {error}")
                else:
                    if word in SENSELESS and (argument, word) != ("rename", "dict"):
                        wrong.append(f"{call.name}({argument}={word}) is taken")
    assert wrong == []
    assert count > 500
