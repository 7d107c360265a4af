"""Every kind of bad input: one clear error, exit code 2 on the command line, nothing half written.

Here: networks, options, names. test_bad_places.py: model folders, disks, compilers. More of it stands beside
what it belongs to: arrays in test_runtime.py and test_commands.py, model folders in test_loading.py and
test_folders.py, compilers and the cache in test_build.py, options and files of networks in test_cli.py.
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import snncc
from snncc import CompileError, loss, nn, optim
from snncc.driver import generate, make
from snncc.frontend.dsl import Network, trace
from snncc.graph import Builder, Type
from snncc.ops.elementwise import Elementwise
from snncc.ops.leaf import Input as InputOp
from snncc.target import Target
from tests.terminal import Terminal

EVIL = 'x"; system("touch pwned"); //\n#include <evil.h>\n*/ int main(void) { } /* ${evil} //% evil'


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Terminal:
    monkeypatch.setattr(sys, "path", list(sys.path))
    return Terminal(capsys)


# Networks


def sequence(*layers: nn.Module, **options: Any) -> Callable[[], Any]:
    return lambda: snncc.compile(nn.Sequential(*layers, **options), num_steps=2)


class Loop(nn.Module):
    """A delay, fed as `feed` says."""

    def __init__(self, feed: Callable[[Any, Any], Any]) -> None:
        self.inputs = {"x": nn.Input(3)}
        self.feed = feed

    def forward(self, x: Any) -> Any:
        loop = snncc.delay(shape=3, name="loop")
        self.feed(loop, x)
        return loop.value + x


def feed_twice(loop: Any, x: Any) -> None:
    loop.feed(x)
    loop.feed(x)


def feed_another(loop: Any, x: Any) -> None:
    loop.feed(snncc.delay(shape=4).value)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: nn.Leaky(0.9, reset="soft"), "reset must be 'subtract', 'zero' or 'none', got 'soft'"),
        (lambda: nn.Leaky(0.9, reset=None), "reset must be .* got None"),    # type: ignore[arg-type]
        (lambda: nn.Leaky("fast"), "Leaky: beta must be a finite number or one a neuron, got 'fast'"),    # type: ignore[arg-type]
        (lambda: nn.Leaky(np.full((2, 2), np.nan)), r"beta must be .* got array\(\[\[nan, nan\], \[nan, nan"),
        (lambda: nn.Leaky(np.full((3, 3), np.nan)), r"beta must be .* got an array of float64 of shape"),
        (lambda: nn.Leaky([]), "Leaky: beta must be"),
        (lambda: nn.Leaky(float("nan")), "Leaky: beta must be a finite number"),
        (lambda: nn.Leaky(0.9, float("inf")), "Leaky: threshold must be a finite number"),
        (lambda: nn.Linear(3, 0), "Linear: out_features must be a positive integer, got 0"),
        (lambda: nn.Linear(3.5, 2), "Linear: in_features must be an integer, got 3.5"),  # type: ignore[arg-type]
        (lambda: nn.Input(3, -1), "Input: shape must be positive integers"),
        (lambda: nn.Conv2d(2, 4, 3, padding_mode="reflect"), "must be 'zeros', .* got 'reflect'"),
        (lambda: nn.ConvTranspose1d(2, 4, 3, padding_mode=None), "padding_mode must be"),    # type: ignore[arg-type]
        (sequence(nn.Linear(3, 4), nn.Leaky([0.9, 0.8, 0.7])), "1: beta has length 3 for 4 neurons"),
        (sequence(nn.Linear(3, 4), nn.Leaky([0.9, 0.8, 0.7], learn_beta=True)), "beta has length 3 for 4"),
        (sequence(nn.Linear(3, 4), nn.Leaky(0.9, [1.0] * 5)), "threshold has length 5 for 4"),
        (sequence(nn.Linear(3, 4), nn.Leaky(0.9, init_mem=[0.0] * 5)), "init_mem has length 5 for 4"),
        (sequence(nn.Linear(3, 4), nn.Leaky(0.9), nn.Linear(5, 2)), r"5 features, its input has shape \[4\]"),
        (sequence(nn.Linear(3, 4), input=nn.Input(7)), r"takes 3 features, its input has shape \[7\]"),
        (sequence(nn.Linear(2**31 - 1, 2**31 - 1)), r"0.weight: shape \[2147483647, .* more than memory"),
        (lambda: snncc.compile(Loop(lambda loop, x: None)), "loop: this delay is never fed; call its .feed"),
        (lambda: snncc.compile(Loop(feed_twice)), "is no open delay; each is fed once"),
        (lambda: snncc.compile(Loop(feed_another)), "the state has shape"),
        (lambda: snncc.compile(np.zeros(3)), r"expected a network \(an nn.Module\), got ndarray"),    # type: ignore[arg-type]
    ],
)    # fmt: skip
def test_networks_that_make_no_sense_name_their_line(build: Callable[[], Any], message: str) -> None:
    with pytest.raises(CompileError, match=message) as refused:
        build()
    assert re.search(r"\(test_bad_input.py:\d+\)$", str(refused.value)), refused.value
    assert "\n" not in str(refused.value)


def test_a_delay_that_is_never_fed_names_its_own_line() -> None:
    lines, first = inspect.getsourcelines(Loop.forward)
    made = first + next(k for k, line in enumerate(lines) if "snncc.delay" in line)
    with pytest.raises(CompileError, match=rf"never fed; .*\(test_bad_input.py:{made}\)$"):
        snncc.compile(Loop(lambda loop, x: None))


class Roads(nn.Module):
    """Two roads of different widths that meet as `join` says."""

    def __init__(self, join: Callable[[Any, Any], Any]) -> None:
        self.inputs, self.join = {"x": nn.Input(3)}, join
        self.one, self.other = nn.Linear(3, 5), nn.Linear(3, 4)

    def forward(self, x: Any) -> Any:
        one, other = self.one(x), self.other(x)
        return self.join(one, other)


@pytest.mark.parametrize(
    ("join", "words"),
    [
        (lambda a, b: a + b, r"Roads: add needs .* found \[5\] and \[4\]"),
        (lambda a, b: snncc.where(a, b, 0.0), r"Roads: where needs .* found \[5\] and \[4\]"),
        (lambda a, b: snncc.concat([a[None], b[None]]), r"Roads: concat .* found \[1, 5\], \[1, 4\]"),
    ],
)
def test_shapes_that_do_not_meet_name_the_network_and_the_line(join: Any, words: str) -> None:
    where = rf"\(test_bad_input.py:{inspect.getsourcelines(join)[1]}\)$"
    with pytest.raises(CompileError, match=f"^{words} {where}"):
        snncc.compile(Roads(join), num_steps=2)
    nested = nn.Sequential(roads=Roads(join), input=nn.Input(3))
    with pytest.raises(CompileError, match=f"^{words.replace('Roads', 'roads')} {where}"):
        snncc.compile(nested, num_steps=2)


@pytest.mark.parametrize("steps", [0, -1, 2.5, True, "25"])
def test_steps_are_a_positive_number(steps: Any) -> None:
    with pytest.raises(CompileError, match=f"num_steps must be a positive integer, got {steps!r}"):
        sound(num_steps=steps)


def sound(**options: Any) -> Any:
    return snncc.compile(nn.Sequential(nn.Linear(3, 4), nn.Leaky(0.9)), **{"num_steps": 2, **options})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"dtype": "float16"}, "dtype must be 'float32' or 'float64', got 'float16'"),
        ({"dtype": np.float32}, "dtype must be 'float32' or 'float64'"),
        ({"loss": "mse"}, "loss must be made by snncc.loss, got 'mse'"),
        ({"optimizer": optim.Adam(0.1)}, "an optimizer needs a loss"),
        ({"loss": loss.mse("rate"), "optimizer": "adam"}, "optimizer must be made by snncc.optim"),
        ({"unroll": "twice"}, "unroll must be 'none', 'full' or a positive number of steps, got 'twice'"),
        ({"unroll": 0}, "unroll must be"),
        ({"products": "sparse"}, "products must be one of auto, dense, events, got 'sparse'"),
        ({"inputs": {"x": 3}}, "declare the network's inputs"),
        ({"inputs": {3: nn.Input(3)}}, "declare the network's inputs"),
        ({"name": 3}, "name must be text, got 3"),
        ({"name": " "}, "name must be text, got ' '"),
    ],
)
def test_options_that_make_no_sense_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(CompileError, match=message):
        sound(**options)


def test_a_feedback_loop_without_a_delay_is_refused() -> None:
    """The front end cannot make one, but a graph that comes from elsewhere may hold one."""
    builder = Builder()
    x = builder.add(InputOp("x", "input", (3,), True), name="x")
    kind = Type((3,), True, True)
    builder.where = "mine.py:7"
    first = builder.add(Elementwise("add"), [x, x], name="first", type=kind)
    second = builder.add(Elementwise("mul"), [first, x], name="second", type=kind)
    builder.connect(first, second, x)
    builder.output("out", "output", second)
    message = r"loop without a delay: %\w+ -> %\w+ -> %\w+; put snncc.delay in the loop \(mine.py:7\)"
    with pytest.raises(CompileError, match=message):
        builder.graph().verify()
    with pytest.raises(CompileError, match=message):
        generate(Network(builder.graph(), {}, {"x": nn.Input(3)}), Target())


# Names


class Named(nn.Module):
    """One layer, with names of the user's choice."""

    def __init__(self, given: str, layer: str, outputs: tuple[Any, Any]) -> None:
        self.inputs = {given: nn.Input(3)}
        self.outputs = outputs
        self.layers = {layer: nn.Linear(3, 4), f"{layer} 2": nn.Leaky([0.9] * 4, learn_beta=True)}

    def forward(self, x: Any) -> Any:
        fc, lif = self.layers.values()
        spk, mem = lif(fc(x))
        return dict(zip(self.outputs, (spk, mem), strict=True))


@pytest.mark.parametrize(
    ("network", "name"),
    [
        (Named(EVIL, f"l{EVIL}", (f"spk {EVIL}", f"mem {EVIL}")), EVIL),
        (Named("double", "while", ("return", "struct")), "int"),
        (Named("x", "a" * 70, ("größe", "сумма")), "../../up"),
        (Named("model", "NULL", ("io", "steps")), "1st\0"),
        (Named("__attribute__", "memcpy", ("snncc_real", "_Bool")), "snncc"),
    ],
    ids=["code", "keywords", "long-and-foreign", "own-names", "reserved"],
)
def test_no_name_becomes_code(
    network: Named, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    target = Target(2, loss.cross_entropy("count") if "spk" in network.outputs else None, name=name)
    made = make(trace(network), target, f'{EVIL} "mine".py', tmp_path / "m")
    assert made.built.warnings == ""
    for path in (tmp_path / "m").iterdir():
        if path.suffix in (".c", ".h", ".py") or path.name == "Makefile":
            text = path.read_text(encoding="ascii")    # foreign letters are gone as well
            code = re.sub(r"/\*.*?\*/", "", text, flags=re.DOTALL)
            assert not re.search(r"system *\(|evil\.h|\$\{evil|//%", code), path.name
    model = snncc.load(tmp_path / "m")
    given, (layer, neuron) = np.ones((2, 5, 3)), network.layers
    out = model({next(iter(network.inputs)): given})
    assert model.name == name
    assert model.output_names == network.outputs
    assert list(model.params) == [f"layers.{layer}.weight", f"layers.{layer}.bias", f"layers.{neuron}.beta"]
    assert model.state_names == (f"layers.{neuron}.mem",)
    assert np.isfinite(out[network.outputs[1]]).all()
    assert [path.name for path in tmp_path.iterdir()] == ["m"]


def test_names_reach_files_of_arrays_unchanged(run: Terminal, tmp_path: Path) -> None:
    network = Named(EVIL, "fc", (f"spk {EVIL}", f"mem {EVIL}"))
    snncc.compile(network, num_steps=2, name=EVIL, out=tmp_path / "m")
    np.savez(tmp_path / "in.npz", **{EVIL: np.ones((2, 5, 3))})
    answer = run("run", tmp_path / "m", tmp_path / "in.npz", "-o", tmp_path / "out.npz")
    assert answer.code == 0, answer.err
    assert set(network.outputs) < set(np.load(tmp_path / "out.npz"))


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (Named("x", "fc", ("x", "mem")), "output 'x' and input 'x' would both be called x in C: rename one"),
        (Named("x", "fc", ("a b", "a.b")), "'a.b' and output 'a b' would both be called a_b in C"),
        (Named("x", "fc", (1, 2)), "Named: outputs must have names, got 1"),
    ],
)
def test_names_that_cannot_be_told_apart_are_refused(network: Named, message: str) -> None:
    with pytest.raises(CompileError, match=message):
        snncc.compile(network, num_steps=2)
