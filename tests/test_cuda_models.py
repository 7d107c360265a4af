"""The networks of models/ on CUDA: what C computes of them, bit for bit, outputs and training.

They are as wide as users have them where the processor executes that within a second or two; else their
constructors make them narrow (test_image_models.py). Steps are few, samples two.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models import workloads
from models.workloads import WORKLOADS
from snncc import loss, nn, optim, rules
from snncc.frontend.dsl import trace
from tests import test_image_models
from tests.cuda_pairs import Pair, same
from tests.test_image_models import SMALL, learning

STEPS, BATCH, LABELS = 4, 2, np.array([3, 7])
SAME = {"mnist_mlp": workloads.w1, "shd_recurrent": workloads.w4}
script = test_image_models.script    # the fixture


def check(pair: Pair, x: Any, y: Any, **options: Any) -> None:
    """There are spikes in each layer: no weight's gradient is zero. That of a threshold of rates may be."""
    c, cuda = (model(x, **options) for model in pair.both)
    same(*({name: out[name] for name in pair.c.output_names} for out in (c, cuda)))
    same(c.state, cuda.state)
    pair.check_training(x, y, calls=2, **options)
    gradients = pair.c.gradients()
    assert [n for n, array in gradients.items() if not array.any() and "threshold" not in n] == []


@pytest.mark.parametrize("script", SMALL, indirect=True)
def test_networks_on_images(script: Any, tmp_path: Path) -> None:
    network, arranged = SMALL[script.__name__](script)
    pair = Pair(network, tmp_path, **learning(script.__name__))
    for model in pair.both:    # narrow as they are, some would have layers without spikes
        model.params.update({n: 4 * array for n, array in model.params.items() if n.startswith("conv")})
    x = arranged(np.random.default_rng(0).random((BATCH, 784), np.float32))
    check(pair, x, LABELS, num_steps=2)


# W2-dense, W5-dense and W6 are W2 and W5 with other weights and samples; W4 is below.
@pytest.mark.parametrize("name", ["W1", "W2", "W3", "W5", "W7"])
def test_workloads(name: str, tmp_path: Path) -> None:
    work = replace(WORKLOADS[name], num_steps=STEPS, batch=BATCH)
    pair = Pair(work.network, tmp_path, loss=work.loss, optimizer=optim.Adam(5e-4), num_steps=STEPS)
    for model in pair.both:
        model.params.update(work.parameters())
    check(pair, *work.samples())


@pytest.mark.parametrize("script", ["shd_recurrent"], indirect=True)
def test_words_of_different_lengths(script: Any, tmp_path: Path) -> None:
    """Also W4, as they are one network."""
    learning = {"loss": loss.cross_entropy("mem_mean"), "optimizer": optim.Adam(1e-3), "lengths": True}
    pair = Pair(script.net, tmp_path, num_steps=8, **learning)
    words = script.words(BATCH, 8, 0)
    for model in pair.both:
        model.params["fc1.weight"] = 4 * model.params["fc1.weight"]
    check(pair, words.x, words.y, lengths=words.lengths)


@pytest.mark.parametrize("script", ["stdp"], indirect=True)
def test_synapses_that_learn_by_their_rule(script: Any, tmp_path: Path) -> None:
    pair = Pair(script.net, tmp_path, rule=rules.stdp(bounds=(0.0, 1.0)), optimizer=optim.SGD(0.05))
    spikes = script.volleys(40, 0)[:, None].astype(np.float32)
    for model in pair.both:
        model.params["fc.weight"] = np.full((1, script.SYNAPSES), script.START)
    first, second = (script.watch(model, spikes) for model in pair.both)
    same(first, second)


@pytest.mark.parametrize("script", SAME, indirect=True)
def test_scripts_whose_networks_are_workloads(script: Any) -> None:
    """So that they are executed here as those."""

    def told(network: nn.Module) -> str:
        return str(trace(network).graph)

    assert told(script.net) == told(SAME[script.__name__])
