"""Choices that may change the speed of a model and nothing else; and the same text for the same network."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from snncc import loss, optim
from snncc.driver import generate
from snncc.frontend.dsl import trace
from snncc.target import Target
from tests.networks import Array, Bench, Case, Extent, Feedback, Stack

ROOT = Path(__file__).parents[1]
CASES = {
    "stack": Case(lambda: Stack(16, "subtract", True), loss.cross_entropy("mem")),
    "feedback": Case(Feedback, loss.cross_entropy("count")),
}
VARIANTS: dict[str, list[dict[str, Any]]] = {
    "stack": [{"unroll": 3, "products": "events"}, {"unroll": "full", "products": "dense"}],
    "feedback": [{"unroll": 3, "products": "dense"}, {"unroll": "full"}],
}
EXTENTS = (Extent(9, 5), Extent(1, 3), Extent(2, 1), Extent(3, 2), Extent(4, 2))    # compiled for 4 steps


def everything(bench: Bench, extent: Extent) -> dict[str, Array]:
    """All that a model computes."""
    model, inputs, steps = bench.load(), bench.inputs(extent), extent.steps
    out = model(inputs, num_steps=steps)
    back = model.backward(inputs, cotangents=bench.cotangents(extent), num_steps=steps)
    value = model.train_step(inputs, bench.targets(extent), num_steps=steps)
    found = {f"output {name}": out[name] for name in model.output_names}
    for title, arrays in (
        ("final", out.state),
        ("input", back.inputs),
        ("parameter", back.params),
        ("state", back.state),
        ("train", model.gradients()),
    ):
        found |= {f"{title} {name}": array for name, array in arrays.items()}
    return {**found, "loss": np.array(value)}


@pytest.mark.parametrize("name", CASES)
def test_every_choice_gives_the_same_bits(name: str, tmp_path: Path) -> None:
    plain = Bench(CASES[name], "float32", tmp_path / "plain", num_steps=4)
    for number, options in enumerate(VARIANTS[name]):
        bench = Bench(CASES[name], "float32", tmp_path / str(number), num_steps=4, **options)
        assert (bench.folder / "model.c").read_text() != (plain.folder / "model.c").read_text(), options
        for extent in EXTENTS:
            found, expected = everything(bench, extent), everything(plain, extent)
            different = [key for key, array in expected.items() if not np.array_equal(found[key], array)]
            assert different == [], (options, extent)


def sources() -> str:
    """The C of a network with everything in it."""
    target = Target(9, CASES["feedback"].loss, optim.Adam(1e-3), name="same")
    files = generate(trace(Feedback()), target).sources.files
    return "\n".join(f"{name}\n{text}" for name, text in sorted(files.items()))


def test_the_same_network_gives_the_same_text() -> None:
    assert sources() == sources()
    text = "import hashlib, tests.test_variants as t; print(hashlib.sha256(t.sources().encode()).hexdigest())"
    script = f"import sys; sys.path[:0] = {[str(ROOT), str(ROOT / 'runtime')]}; {text}"
    digests = {
        subprocess.check_output([sys.executable, "-B", "-c", script], cwd=ROOT, env={"PYTHONHASHSEED": seed})
        for seed in ("0", "1", "2")
    }
    assert len(digests) == 1
    assert str(ROOT) not in sources(), "no paths of this machine"


# Training in batches


def test_fit_is_training_steps_also_for_the_last_partial_batch(tmp_path: Path) -> None:
    case = CASES["stack"]
    bench = Bench(case, "float32", tmp_path / "fit", optimizer=optim.Adam(1e-2))
    whole, extent = bench.load(), Extent(6, 21)
    x, y = bench.inputs(extent)["x"], bench.targets(extent)
    history = whole.fit(x, y, epochs=2, batch_size=8, shuffle=False, progress=False)
    stepped, losses = bench.load(), []
    for _ in range(2):
        batches = [slice(0, 8), slice(8, 16), slice(16, 21)]
        values = [(stepped.train_step(x[:, part], y[part]), len(y[part])) for part in batches]
        losses.append(sum(value * count for value, count in values) / 21)
    assert history.loss == pytest.approx(losses, rel=1e-12)
    assert history.loss[1] < history.loss[0]
    for name, array in stepped.params.items():
        np.testing.assert_array_equal(whole.params[name], array, err_msg=name)
