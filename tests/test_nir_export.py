"""Export to NIR: what is written means the same when it is read, and the rest is refused by name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import nir
import numpy as np
import pytest

import snncc
from snncc import nn
from snncc.errors import CompileError
from snncc.frontend.nir import export_nir, import_nir
from snncc.nn.module import Module
from tests.nir_files import RUNS, chain, lif, linear, unpack, write
from tests.terminal import Terminal, assert_refused
from tests.test_nir import interpreted

DT = 1e-3
LOUD = 4.0    # weights that make neurons fire


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return unpack(tmp_path_factory.mktemp("nir"))


@pytest.mark.parametrize(("case", "options"), [(case, options) for case, _, options in RUNS])
def test_files_come_back_as_they_were_read(
    corpus: Path, tmp_path: Path, case: str, options: dict[str, Any]
) -> None:
    x = np.load(corpus / case / "inputs.npz")["x"].astype(np.float64)[:8]
    again = {name: value for name, value in options.items() if name != "integrator"}
    network = import_nir(corpus / case / "model.nir", **options)
    assert export_nir(network, tmp_path / "out.nir", **again).of("approximate") == ()
    back = import_nir(tmp_path / "out.nir", **again)
    np.testing.assert_allclose(interpreted(back, x)["y"], interpreted(network, x)["y"], rtol=0, atol=1e-12)
    nir.read(tmp_path / "out.nir")    # its own check of types and shapes


class Feedback(nn.Module):
    """Spikes of the second layer come back to the first, a step later; a branch goes around."""

    inputs = {"x": nn.Input(4)}  # noqa: RUF012

    def __init__(self) -> None:
        self.fc1, self.lif1 = nn.Linear(4, 6), nn.Leaky(0.8, reset="zero")
        self.fc2, self.lif2 = nn.Linear(6, 6), nn.Leaky(0.7, reset="zero", threshold=0.8)
        self.back, self.skip = nn.Linear(6, 6, bias=False), nn.Linear(4, 6)

    def forward(self, x: Any) -> Any:
        here, there = snncc.delay(shape=6), snncc.delay(shape=6)
        spikes = self.lif1(self.fc1(x) + self.back(there.value)).spk
        here.feed(spikes)
        there.feed(self.lif2(self.fc2(here.value) + self.skip(x)).spk)
        return {"y": spikes}


def mlp(**neurons: Module) -> Module:
    return nn.Sequential(fc=nn.Linear(4, 5), **neurons, out=nn.Linear(5, 3), last=nn.LI(4.0))


WAYS: dict[str, tuple[Callable[[], Module], dict[str, Any]]] = {
    "leaky": (lambda: mlp(lif=nn.Leaky(0.9, reset="zero")), {}),
    "leaky per neuron": (
        lambda: mlp(lif=nn.Leaky([0.5, 0.6, 0.7, 0.8, 0.9], [1, 2, 1, 2, 1], reset="zero")), {},
    ),
    "leaky subtract": (lambda: mlp(lif=nn.Leaky(0.9)), {"reset": "subtract_delayed"}),
    "synaptic": (lambda: mlp(lif=nn.Synaptic(0.7, 0.9, reset="zero", reset_delay=False)), {}),
    "recurrent": (
        lambda: mlp(lif=nn.RLeaky(0.9, linear_features=5)),
        {"reset": "subtract_delayed"},
    ),
    "recurrent conv": (
        lambda: nn.Sequential(
            lif=nn.RLeaky(0.9, conv2d_channels=2, kernel_size=3), flat=nn.Flatten(), fc=nn.Linear(24, 3),
            last=nn.LI(4.0), input=nn.Input(2, 3, 4),
        ),
        {"reset": "subtract_delayed"},
    ),
    "recurrent V": (lambda: mlp(lif=nn.RLeaky(0.9, V=0.5, reset="zero", reset_delay=False)), {}),
    "if": (lambda: mlp(lif=nn.IF(0.5, v_reset=None)), {"reset": "subtract", "compare": "ge"}),
    "lif": (
        lambda: mlp(lif=nn.LIF(2.5, v_reset=-0.25, decay_input=False)),
        {"compare": "ge", "v0": "v_reset"},
    ),
    "delay": (lambda: mlp(lif=nn.Leaky(0.9, reset="zero"), late=nn.Delay(2)), {}),
    "feedback": (Feedback, {}),
    "conv": (
        lambda: nn.Sequential(
            conv=nn.Conv2d(1, 2, 3, padding="same"), lif=nn.Leaky(0.8, reset="zero"), pool=nn.AvgPool2d(2),
            flat=nn.Flatten(), fc=nn.Linear(8, 3), last=nn.Leaky(0.9, reset="zero"), input=nn.Input(1, 4, 4),
        ),
        {},
    ),
}    # fmt: skip


@pytest.mark.parametrize("name", WAYS)
def test_networks_of_ours_mean_the_same_in_nir(tmp_path: Path, name: str) -> None:
    make, options = WAYS[name]
    network = make()
    shape = next(iter(network.inputs.values())).shape
    x = np.random.default_rng(5).random((9, 2, *shape)) * LOUD
    export_nir(network, tmp_path / "out.nir", dt=DT, **options)
    back = import_nir(tmp_path / "out.nir", dt=DT, **options)
    expected = next(iter(interpreted(network, x).values()))    # type: ignore[arg-type]
    assert expected.any()
    np.testing.assert_allclose(interpreted(back, x)["y"], expected, rtol=0, atol=1e-9)


class TwoTimes(nn.Module):
    inputs = {"x": nn.Input(4)}  # noqa: RUF012

    def __init__(self) -> None:
        self.fc = nn.Linear(4, 4)

    def forward(self, x: Any) -> Any:
        return self.fc(self.fc(x))


class Product(TwoTimes):
    def forward(self, x: Any) -> Any:
        return self.fc(x * 2.0)


class Early(Feedback):
    """The way from the first layer to the second is at once: a reader would delay it."""

    def forward(self, x: Any) -> Any:
        there = snncc.delay(shape=6)
        spikes = self.lif1(self.fc1(x) + self.back(there.value)).spk
        there.feed(self.lif2(self.fc2(spikes)).spk)
        return {"y": spikes}


class Own(nn.Leaky):
    """A neuron of the user's."""

    def step(self, current: Any, mem: Any) -> tuple[Any, Any]:
        return super().step(current * current, mem)


REFUSED: dict[str, tuple[Callable[[], Module], str]] = {
    "a reset": (
        lambda: mlp(lif=nn.Leaky(0.9)),
        "lif (Leaky): its reset is 'subtract_delayed', a reader would do 'file'; NIR has no word for it: "
        "write the file with --reset subtract_delayed and read it so",
    ),
    "a comparison": (lambda: mlp(lif=nn.IF()), "lif (IF): it compares by 'ge', a reader by 'gt'"),
    "a start": (
        lambda: mlp(lif=nn.LIF(2.0, v_reset=-0.5, strict=True)), "lif (LIF): its membrane starts at -0.5",
    ),
    "no reset": (lambda: mlp(lif=nn.Leaky(0.9, reset="none")), "lif (Leaky): reset='none' a step later"),
    "no leak": (lambda: mlp(lif=nn.Leaky(1.0, reset="zero")), "lif (Leaky): a decay of 1 would be an"),
    "inhibition": (lambda: mlp(lif=nn.Leaky(0.9, inhibition=True)), "lif (Leaky): NIR has neither"),
    "a layer": (lambda: mlp(lif=nn.ParametricLIF()), "lif (ParametricLIF): NIR has no such node"),
    "a pool": (
        lambda: nn.Sequential(pool=nn.MaxPool2d(2), input=nn.Input(1, 4, 4)), "pool (MaxPool2d): NIR has no",
    ),
    "a step of one's own": (lambda: mlp(lif=Own(0.9, reset="zero")), "lif (Own): it has a step of its own"),
    "a layer twice": (TwoTimes, "fc: is called twice"),
    "arithmetic": (Product, "fc: reads %mul = mul; outside of layers NIR only adds"),
    "a way at once in a cycle": (Early, "reads lif1 at once, a reader of NIR would a step later"),
    "a static input": (
        lambda: nn.Sequential(fc=nn.Linear(4, 2), input=nn.Input(4, static=True)),
        "input x: is the same at every step, which NIR cannot say",
    ),
}    # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_nir_cannot_express_is_refused_by_name(tmp_path: Path, name: str) -> None:
    make, message = REFUSED[name]
    with pytest.raises(CompileError) as caught:
        export_nir(make(), tmp_path / "out.nir", dt=DT)
    assert message in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_states_of_neurons_are_left_out_and_said(tmp_path: Path) -> None:
    network = nn.Sequential(fc=nn.Linear(4, 3), lif=nn.Leaky(0.9, reset="zero"))    # outputs spk and mem
    report = export_nir(network, tmp_path / "out.nir", dt=DT)
    assert report.remarks == ("output mem is left out: a node of NIR hands on one value",)
    assert [str(finding) for finding in report.findings] == [
        "fc (Linear) -> Affine: exact",
        "lif (Leaky) -> LIF: exact",
    ]


def test_the_command_writes_trained_weights(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run, source = Terminal(capsys), tmp_path / "net.py"
    source.write_text(
        "from snncc import nn\nnet = nn.Sequential(fc=nn.Linear(4, 3), lif=nn.Leaky(0.9, reset='zero'))\n"
    )
    weights = {"fc.weight": np.arange(12.0).reshape(3, 4), "fc.bias": np.ones(3)}
    np.savez(tmp_path / "w.npz", **weights)
    out = tmp_path / "out.nir"
    assert_refused(run("export", f"{source}:net", "--nir", out), "give dt in seconds")
    assert_refused(run("export", f"{source}:net"), "say where to: --nir FILE")
    answer = run("export", f"{source}:net", "--nir", out, "--dt", "1e-3", "--weights", tmp_path / "w.npz")
    assert answer.code == 0, answer.err
    assert "2 exact" in answer.out
    np.testing.assert_array_equal(nir.read(out).nodes["fc"].weight, weights["fc.weight"])
    again = run("export", out, "--nir", tmp_path / "again.nir", "--dt", "1e-3")
    assert again.code == 0, again.err


def test_a_graph_in_memory_is_read_as_a_file_is(tmp_path: Path) -> None:
    path = write(tmp_path / "a.nir", chain(fc=linear(), lif=lif()))
    x = np.random.default_rng(2).random((5, 2, 4))
    here, there = import_nir(nir.read(path), dt=DT), import_nir(path, dt=DT)
    np.testing.assert_array_equal(interpreted(here, x)["y"], interpreted(there, x)["y"])
