"""Networks on CUDA: what the C backend computes, bit for bit, whatever the order of the threads."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import snncc
from snncc import CompileError, headers, loss, nn, nvcc, optim, rules
from snncc.driver import generate, text_of
from snncc.frontend.dsl import trace
from snncc.target import Target
from snncc_runtime import ModelError
from tests import cuda_host
from tests.cuda_pairs import Pair, inputs, same

ROOT = Path(__file__).parents[1]
STEPS, BATCH, CLASSES = 7, 3, 4


def layers(*between: nn.Module, static: bool = False) -> nn.Sequential:
    """6 inputs, these layers on 8 features, and 4 neurons."""
    named = {f"layer{k}": layer for k, layer in enumerate(between)}
    return nn.Sequential(
        input=nn.Input(6, static=static), fc=nn.Linear(6, 8),
        **named, out=nn.Linear(8, CLASSES), spk=nn.Leaky(0.75, threshold=0.1),
    )    # fmt: skip


def leaky() -> nn.Leaky:
    return nn.Leaky(np.linspace(0.5, 1.0, 8), learn_beta=True, learn_threshold=True)


NETWORKS: dict[str, tuple[Callable[[], nn.Module], dict[str, Any]]] = {
    "plain": (lambda: layers(leaky()), {}),
    "static": (lambda: layers(leaky(), static=True), {"optimizer": optim.SGD(0.1, momentum=0.9)}),
    "random": (lambda: layers(nn.Dropout(0.25), nn.Rate(), leaky(), static=True), {}),
    "all-to-all": (lambda: layers(nn.RLeaky(0.9, linear_features=8)), {}),
    "recurrent": (lambda: layers(nn.Recurrent(leaky(), nn.Linear(8, 8))), {"dtype": "float64"}),
    "norms": (lambda: layers(nn.BatchNorm1d(8), leaky(), nn.LayerNorm(8)), {"optimizer": optim.AdamW(0.01)}),
    "segments": (lambda: layers(leaky()), {"checkpoint_every": 3}),
    "segments-of-loops": (lambda: layers(nn.RLeaky(0.9, linear_features=8)), {"checkpoint_every": 3}),
    "half": (lambda: layers(leaky()), {"context": "float16", "unroll": 4}),
    "truncated": (lambda: layers(leaky()), {"rule": rules.BPTT(truncate=3)}),
    "online": (lambda: layers(nn.Leaky(0.9)), {"rule": "ottt"}),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_gives_the_bits_of_c(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make, options = NETWORKS[name]
    learning = {"loss": loss.cross_entropy("rate"), "optimizer": optim.Adam(0.01)}
    pair = Pair(make(), tmp_path, **{**learning, **options})
    given, targets = inputs(pair.c, STEPS, BATCH), np.array([0, 3, 1])
    for order in cuda_host.ORDERS:
        monkeypatch.setenv("SNNCC_HOST_ORDER", order)
        pair.check_calls(given, num_steps=STEPS)
    pair.check_training(given, targets, num_steps=STEPS)


WATCHED = """
import sys
import numpy as np
import snncc
from snncc import loss, nn, optim
from tests.cuda_arrays import Described, StandIn
from tests.cuda_pairs import executed_on_the_host, inputs
from tests.test_cuda import BATCH, STEPS, layers, leaky

recurrent = [nn.Linear(8, 20), nn.RLeaky(0.9, linear_features=20), nn.Linear(20, 8)]    # two blocks
between = [leaky(), nn.BatchNorm1d(8), *recurrent, nn.Dropout(0.25)]
learning = {"loss": loss.cross_entropy("mem"), "optimizer": optim.Adam(0.01), "context": "float16"}
with executed_on_the_host(sys.argv[1]):
    model = snncc.compile(layers(*between), target="cuda", **learning)
x, y = inputs(model, STEPS, BATCH), np.array([0, 3, 1])
model.backward(x, spk=model(x)["spk"])
for _ in range(3):
    model.train_step(x, y)
model.evaluate(x, y)
out = model(Described(StandIn(sys.argv[1]), x["x"].astype("float32")))
del model    # before its arrays
out["spk"].numpy()
"""


@pytest.mark.parametrize("variant", [v for v in cuda_host.VARIANTS if v != "plain"])
def test_sanitizers_find_nothing(variant: str) -> None:
    command = [sys.executable, "-c", WATCHED, variant]
    watched = {**cuda_host.environment(variant), "PYTHONPATH": f"{ROOT}:{ROOT / 'runtime'}"}
    answer = subprocess.run(command, capture_output=True, text=True, env=watched, check=False)
    assert (answer.returncode, answer.stdout, answer.stderr) == (0, "", "")


class Folded(nn.Module):
    """8 features as two images, of which a convolution hears."""

    def __init__(self) -> None:
        self.back, self.lif = nn.Conv2d(2, 2, 3, padding=1), nn.Leaky(0.9)

    def forward(self, x: Any) -> Any:
        loop = snncc.delay(shape=(2, 2, 2))
        return loop.feed(self.lif(x.reshape(2, 2, 2) + self.back(loop.value)).spk).reshape(8)


def test_nvcc_takes_what_is_printed(tmp_path: Path) -> None:
    try:
        found = nvcc.find_compiler("sm_75")    # the oldest; test_gpu_benchmark.py compiles for sm_90
    except CompileError as error:
        pytest.skip(f"NOTHING WAS COMPILED FOR A GPU: {error}")
    learning = {"loss": loss.cross_entropy("mem"), "optimizer": optim.Adam(0.01), "context": "float16"}
    loops = nn.RLeaky(0.9, linear_features=8), Folded()
    network = trace(layers(leaky(), nn.BatchNorm1d(8), *loops, nn.Dropout(0.25)))
    aim = Target(target="cuda", precision="split", **learning)    # with snncc's own products, in case
    sources = text_of(generate(network, aim)).files
    for name, text in {**sources, "snncc_cuda.h": headers.joined("cuda/cuda.h")}.items():
        (tmp_path / name).write_text(text)
    strict = ["-Werror", "all-warnings", "model.cu", "-o", "model.so"]
    command = [*found.program, *found.flags, *found.private, *strict]
    answer = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert (answer.returncode, answer.stdout, answer.stderr) == (0, "", "")


def test_spikes_are_bits_and_sums_start_with_what_is_added() -> None:
    learning = {"loss": loss.cross_entropy("rate"), "optimizer": optim.Adam(0.01)}
    for precision, spikes in (("exact", 1), ("float32", 0)):
        aim = Target(target="cuda", precision=precision, **learning)
        text = text_of(generate(trace(layers(leaky())), aim)).files["model.cu"]
        train = text.partition("int32_t train_kernels")[2].partition("\n}")[0]
        for name in ("snncc_product_spikes(", "snncc_weight_gradient_spikes(stream, rows, 0,"):
            assert train.count(name) == spikes
        assert "snncc_clear" not in train and "snncc_load_state" not in train


def test_what_is_wrong_with_a_call_is_said(tmp_path: Path) -> None:
    pair = Pair(layers(leaky()), tmp_path, loss=loss.cross_entropy("rate"))
    given = inputs(pair.c, STEPS, BATCH)
    broken = {"x": given["x"].copy()}
    broken["x"][2, 1, 3] = np.nan
    for model in pair.both:
        with pytest.raises(ModelError, match=r"x: nan at \[2, 1, 3\]"):
            model(broken)
        with pytest.raises(ModelError, match="classes, from 0 to 3, found 9"):
            model.evaluate(given, np.array([0, 9, 1]))
        model(given)    # and goes on
    with pytest.raises(ModelError, match="nsys profile"):
        pair.cuda.profile(given)


def test_weights_that_learn_by_their_rule(tmp_path: Path) -> None:
    network = nn.Sequential(input=nn.Input(6), fc=nn.Linear(6, 8), spk=nn.Leaky(0.9))
    pair = Pair(network, tmp_path, rule=rules.stdp(every="step"), optimizer=optim.SGD(0.1))
    spikes = {name: (array > 0).astype(np.float32) for name, array in inputs(pair.c, STEPS, BATCH).items()}
    for _ in range(2):
        for found in zip(*(model.learn(spikes) for model in pair.both), strict=True):
            np.testing.assert_array_equal(*found)
        same(*(model.params for model in pair.both))


def test_larger_calls_and_streams(tmp_path: Path) -> None:
    pair = Pair(layers(leaky()), tmp_path, num_steps=3)
    for steps, batch in ((2, 1), (9, 5), (4, 2)):
        pair.check_calls(inputs(pair.c, steps, batch))
    given = inputs(pair.c, 4, 2)["x"]
    whole, state = pair.c(given), None
    for t in range(4):
        out = pair.cuda.step(given[t], state=state)
        state = out.state
        np.testing.assert_array_equal(out["spk"], whole["spk"][t])
