"""Every neuron with every reset and every surrogate: compiled as interpreted, and its gradients are slopes.

Neuron and reset number i gets surrogate i + r in rotation r. An ordinary run takes few rotations, in which
each surrogate meets several neurons, in float64 or float32. The whole product, in both dtypes, takes about 40
minutes of one core:

    pytest tests/test_combinations.py --combinations all

Compiled networks hold the neurons of a group side by side, each with an input of its own, so that a gradient
which is wrong names its neuron; they are built with -O1, which takes a third of the time. Slopes are compared
where there are any: not where a reset is a constant for the gradient although its spike has a surrogate, and
not of surrogates that jump.
"""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from snncc import nn
from snncc.nn.surrogate import Surrogate
from tests.networks import Bench, Case, Extent
from tests.neurons import Make, groups
from tests.test_differentiate import check_loss, sequential
from tests.test_end_to_end import check_gradients_of_everything, check_outputs_and_final_states
from tests.test_surrogates import EVERY, WHOLE

STEPS, EXTENT = 5, Extent(5, 13)    # 5 steps are also those of check_loss
GROUPS = groups(STEPS)
TABLE: dict[str, Make] = {name: make for group in GROUPS.values() for name, make in group.items()}
FEW = {"compiled": (0,), "slopes": (3, 14)}    # rotations of an ordinary run
COMPILED: tuple[Surrogate, ...] = (*EVERY, WHOLE)


def jumps(chosen: Surrogate) -> bool:
    """Whether its derivative does: across a step too small for a slope."""
    u = np.linspace(-3, 3, 6001) + 0.0    # the jumps of EVERY are at multiples of 1/1000
    tiny = 1e-9
    apart = np.abs(chosen.derivative(u + tiny) - chosen.derivative(u - tiny))
    return bool((apart > 1e-5).any())


SMOOTH = tuple(chosen for chosen in EVERY if not jumps(chosen))
SLOPED = [name for name in TABLE if not name.endswith(("hard-zero", "soft-detached"))]


def surrogate_of(name: str, rotation: int, surrogates: tuple[Surrogate, ...]) -> Surrogate:
    return surrogates[(list(TABLE).index(name) + rotation) % len(surrogates)]


DTYPES = ("float64", "float32")


def dtype_of(group: str) -> str:
    """Of an ordinary run: by turns. The whole product is run in both."""
    return DTYPES[list(GROUPS).index(group) % 2]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """The rotations of this run."""
    if "rotation" not in metafunc.fixturenames:
        return
    compiled = "tmp_path" in metafunc.fixturenames
    whole = metafunc.config.getoption("--combinations") == "all"
    every = range(len(COMPILED if compiled else SMOOTH))
    metafunc.parametrize("rotation", every if whole else FEW["compiled" if compiled else "slopes"])
    if "dtype" in metafunc.fixturenames:
        chosen = [(g, d) for g in GROUPS for d in DTYPES if whole or d == dtype_of(g)]
        metafunc.parametrize(("group", "dtype"), chosen)


class Zoo(nn.Module):
    """A group in a rotation, each neuron with an input and outputs of its own."""

    def __init__(self, group: str, rotation: int) -> None:
        self.neurons = {
            name: make(surrogate=surrogate_of(name, rotation, COMPILED))
            for name, make in GROUPS[group].items()
        }
        self.inputs = {f"x_{name}".replace("-", "_"): nn.Input(4) for name in self.neurons}

    def forward(self, *currents: Any) -> dict[str, Any]:
        outputs: dict[str, Any] = {}
        for (name, neuron), current in zip(self.neurons.items(), currents, strict=True):
            found = neuron(current)._asdict()
            outputs |= {f"{key}_{name}".replace("-", "_"): value for key, value in found.items()}
        return outputs


def bench_of(
    group: str, rotation: int, folder: Path, compiled: bool = True, dtype: str = "float64"
) -> Bench:
    """With biases that let parallel neurons fire."""
    case = Case(lambda: Zoo(group, rotation), None)
    bench = Bench(case, dtype, folder / "bench", compiled, num_steps=STEPS)
    bench.values |= {key: value / 16 for key, value in bench.values.items() if key.endswith("bias")}
    return bench


def test_compiled_neurons_agree(group: str, dtype: str, rotation: int, tmp_path: Path) -> None:
    bench = bench_of(group, rotation, tmp_path, dtype=dtype)
    checks = (check_outputs_and_final_states, check_gradients_of_everything)
    assert [problem for check in checks for problem in check(bench, "custom", EXTENT)] == []


@pytest.mark.parametrize("name", SLOPED)
def test_the_smoothed_network_has_its_slopes(name: str, rotation: int) -> None:
    chosen = surrogate_of(name, rotation, SMOOTH)
    assert check_loss(sequential(TABLE[name](surrogate=chosen))) >= {("d_input", "x")}


# That these can fail, and miss nothing


@pytest.mark.parametrize("group", GROUPS)
def test_the_neurons_are_lively(group: str, tmp_path: Path) -> None:
    """In every rotation, as spikes do not depend on surrogates; and each neuron has the one it was given."""
    bench = bench_of(group, 0, tmp_path, compiled=False)
    out = bench.reference("forward", EXTENT, bench.inputs(EXTENT))
    often = {n: np.mean(a != 0) for (role, n), a in out.items() if role == "output" and n.startswith("spk")}
    assert len(often) == len(GROUPS[group])
    assert {name: share for name, share in often.items() if not 0.02 < share < 0.9} == {}
    spikes = [node for node in bench.traced.graph if node.op.name == "spike"]
    for name in GROUPS[group]:
        mine = {n.op.surrogate for n in spikes if n.name.startswith(f"neurons.{name}.")} - {None}    # type: ignore[attr-defined]
        assert mine == {surrogate_of(name, 0, COMPILED)}, name


@pytest.mark.parametrize("reset", ["subtract", "zero", "none"])
def test_an_lstm_of_images_has_its_slopes(reset: str, rotation: int) -> None:
    chosen = surrogate_of(f"lstm-{reset}_later", rotation, SMOOTH)
    lstm = nn.SConv2dLSTM(2, 2, 3, 0.1, avg_pool=2, reset=reset, learn_threshold=True, surrogate=chosen)
    net = nn.Sequential(
        lstm=lstm, flat=nn.Flatten(), fc=nn.Linear(2, 3), lif=nn.Leaky(0.8, 0.6), input=nn.Input(2, 3, 2)
    )
    learnt = {("gradient", "lstm.conv.weight"), ("gradient", "lstm.threshold")}
    assert check_loss(net) >= {("d_input", "x"), *learnt}


def takes_a_surrogate(neuron: type) -> bool:
    """Itself, or by way of a base that gets its other options."""
    return any("surrogate" in inspect.signature(base).parameters for base in neuron.__mro__[:-1])


def test_every_neuron_with_a_surrogate_is_in_the_table() -> None:
    """Presets apart, which are subclasses of these."""
    made = {type(make(surrogate=None)) for make in TABLE.values()}
    classes = {c for module in (nn, nn.nir) for c in vars(module).values() if inspect.isclass(c)}
    bases, of_images = {nn.Neuron, nn.IntegrateAndFire}, {nn.SConv2dLSTM}
    neurons = {c for c in classes if issubclass(c, nn.Neuron)} - bases - of_images
    assert made == {c for c in neurons if takes_a_surrogate(c)}


def test_the_rotations_are_the_product() -> None:
    for surrogates in (COMPILED, SMOOTH):
        pairs = {(n, str(surrogate_of(n, r, surrogates))) for n in TABLE for r in range(len(surrogates))}
        assert len(pairs) == len(TABLE) * len(surrogates)
    met = [surrogate_of(name, r, COMPILED) for name in TABLE for r in FEW["compiled"]]
    assert min(met.count(chosen) for chosen in COMPILED) >= 3


def test_what_jumps() -> None:
    assert {type(chosen).__name__ for chosen in EVERY if jumps(chosen)} == {
        "Rectangle", "TwoSlopes", "SparseFastSigmoid", "LogTailedReLU"
    }    # fmt: skip
    assert len(SMOOTH) == len(EVERY) - 8
