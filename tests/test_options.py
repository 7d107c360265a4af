"""Losses, optimisers and the options of `compile`: mistakes are named with the user's line."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import snncc
from snncc import loss, nn, optim
from snncc.errors import located
from snncc.frontend.dsl import add_loss, trace
from snncc.nn.module import Module
from snncc.target import Target
from tests.mistakes import Mistake, refused


class TwoOutputs(nn.Module):
    """Outputs whose names and shapes do not suit a loss."""

    inputs = {"x": nn.Input(2, 3), "still": nn.Input(3, static=True)}  # noqa: RUF012

    def forward(self, x: Any, still: Any) -> dict[str, Any]:
        return {"mem": x, "spk": still}


class Clash(nn.Module):
    """Two inputs of which C can tell only one."""

    inputs = {"a b": nn.Input(2), "a-b": nn.Input(2)}  # noqa: RUF012

    def forward(self, *operands: Any) -> dict[str, Any]:
        return {"sum": operands[0] + operands[1]}


def small() -> Module:
    return nn.Sequential(nn.Linear(2, 2), nn.Leaky(0.9))


def a_loss_of_voltage() -> object:
    return loss.cross_entropy("voltage")


def a_mse_of_nothing() -> object:
    return loss.mse("")


def a_loss_of_a_missing_output() -> object:
    return add_loss(trace(nn.Sequential(nn.Linear(2, 2))).graph, loss.cross_entropy("mem"))


def a_loss_of_a_static_output() -> object:
    return add_loss(trace(TwoOutputs()).graph, loss.cross_entropy("rate"))


def a_loss_of_two_axes() -> object:
    return add_loss(trace(TwoOutputs()).graph, loss.cross_entropy("mem"))


def a_negative_learning_rate() -> object:
    return optim.SGD(-0.1)


def a_learning_rate_of_nan() -> object:
    return optim.Adam(float("nan"))


def a_learning_rate_in_words() -> object:
    return optim.Adam("1e-3")  # type: ignore[arg-type]


def a_negative_decay() -> object:
    return optim.AdamW(1e-3, weight_decay=-1)


def a_beta_of_one() -> object:
    return optim.Adam(1e-3, betas=(0.9, 1.0))


def a_single_beta() -> object:
    return optim.Adam(1e-3, betas=0.9)  # type: ignore[arg-type]


def no_steps() -> object:
    return Target(num_steps=0)


def half_a_step() -> object:
    return Target(num_steps=2.5)  # type: ignore[arg-type]


def half_precision() -> object:
    return Target(dtype="float16")


def an_optimizer_alone() -> object:
    return Target(optimizer=optim.SGD(0.1))


def a_loss_by_name() -> object:
    return Target(loss="cross_entropy")  # type: ignore[arg-type]


def an_optimizer_by_name() -> object:
    return Target(loss=loss.mse(), optimizer="adam")  # type: ignore[arg-type]


def unrolled_zero_times() -> object:
    return Target(unroll=0).options


def unrolled_a_lot() -> object:
    return Target(unroll="much").options


def steps_of_compile() -> object:
    return snncc.compile(small(), num_steps=-3)


def products_of_compile() -> object:
    return snncc.compile(small(), products="fast")


def loss_of_compile() -> object:
    return snncc.compile(TwoOutputs(), loss=loss.mse("rate"))


def network_of_compile() -> object:
    return snncc.compile("net.py:net")  # type: ignore[arg-type]


def names_that_clash() -> object:
    return snncc.compile(Clash())


READOUTS = "'mem', 'mem_last', 'mem_max', 'mem_mean', 'rate', 'count', 'latency'"
MISTAKES: dict[Mistake, str] = {
    a_loss_of_voltage: f"loss: readout must be one of {READOUTS}, got 'voltage'",
    a_mse_of_nothing: f"loss: readout must be one of {READOUTS}, got ''",
    a_loss_of_a_missing_output: "loss cross_entropy(mem): the network has no output 'mem', it has out",
    a_loss_of_a_static_output: "loss cross_entropy(rate): output 'spk' does not vary over time",
    a_loss_of_two_axes: "loss cross_entropy(mem): output 'mem' must be [classes], it is [2, 3]",
    a_negative_learning_rate: "SGD: learning_rate must not be negative, got -0.1",
    a_learning_rate_of_nan: "Adam: learning_rate must be a finite number, got nan",
    a_learning_rate_in_words: "Adam: learning_rate must be a finite number, got '1e-3'",
    a_negative_decay: "AdamW: weight_decay must not be negative, got -1.0",
    a_beta_of_one: "Adam: betas must be two numbers, at least 0 and below 1, got (0.9, 1.0)",
    a_single_beta: "Adam: betas must be two numbers, at least 0 and below 1, got 0.9",
    no_steps: "num_steps must be a positive integer, got 0",
    half_a_step: "num_steps must be a positive integer, got 2.5",
    half_precision: "dtype must be 'float32' or 'float64', got 'float16'",
    an_optimizer_alone: "an optimizer needs a loss: give loss= as well",
    a_loss_by_name: "loss must be made by snncc.loss, got 'cross_entropy'",
    an_optimizer_by_name: "optimizer must be made by snncc.optim, got 'adam'",
    unrolled_zero_times: "unroll must be 'none', 'full' or a positive number of steps, got 0",
    unrolled_a_lot: "unroll must be 'none', 'full' or a positive number of steps, got 'much'",
    steps_of_compile: "num_steps must be a positive integer, got -3",
    products_of_compile: "products must be one of auto, dense, events, got 'fast'",
    loss_of_compile: "loss mse(rate): output 'spk' does not vary over time",
    network_of_compile: "expected a network (an nn.Module), got str",
    names_that_clash: "input 'a-b' and input 'a b' would both be called a_b in C: rename one",
}


@pytest.mark.parametrize(("mistake", "message"), MISTAKES.items(), ids=[m.__name__ for m in MISTAKES])
def test_mistakes_are_named_with_their_line(mistake: Mistake, message: str) -> None:
    assert refused(mistake) == message


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("got (2, 2)", "got (2, 2) (net.py:3)"),
        ("got 3", "got 3 (net.py:3)"),
        ("got 3 (layers.py:7)", "got 3 (layers.py:7)"),
        ("call .feed(value)", "call .feed(value) (net.py:3)"),
    ],
)
def test_a_place_is_said_once(message: str, expected: str) -> None:
    assert str(located(message, "net.py:3")) == expected
    assert str(located(message, "")) == message


def test_steps_may_be_a_numpy_integer() -> None:
    assert Target(num_steps=np.int64(3), unroll="full").options.unroll == 3  # type: ignore[arg-type]
