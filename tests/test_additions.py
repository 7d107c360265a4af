"""Spiking computation: between layers a spike is one bit, and a product with spikes is additions alone."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

import snncc
from snncc import loss, nn, optim
from snncc.driver import generate
from snncc.frontend.dsl import trace
from snncc.target import Target

NET = nn.Sequential(
    fc1=nn.Linear(96, 200), lif1=nn.Leaky(0.9), fc2=nn.Linear(200, 130), lif2=nn.Leaky(0.9),
    fc3=nn.Linear(130, 10), lif3=nn.Leaky(0.9),
)
# By kind of product: of a network's input, whose numbers may be anything, and of spikes.
MULTIPLIES = re.compile(r"\bv?(?:mul|fn?m(?:add|sub)\d*)[sp][sd]\b|\bfn?m(?:ul|la|ls|add|sub)\b")
PRODUCTS = re.compile(r"^static (?:SNNCC_\w+ )?void ((?:spikes|gradient|product)_\d+_\d+)\(", re.MULTILINE)


@pytest.fixture(scope="module")
def assembly(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Instructions of each product of a training model, by name; each is compiled by itself, not inlined."""
    if shutil.which("cc") is None:
        pytest.fail("the tests need a C compiler called cc")
    folder: Path = tmp_path_factory.mktemp("model") / "model"
    model = snncc.compile(NET, loss=loss.mse("rate"), optimizer=optim.SGD(0.1), out=folder)
    source = (folder / "model.c").read_text()
    names = PRODUCTS.findall(source)
    apart = PRODUCTS.sub(lambda found: "__attribute__((noinline)) " + found[0], source)
    (folder / "apart.c").write_text(apart)
    command = model.manifest["build"]["command"]
    unwanted = re.compile("-shared|-o|.*lto.*")    # with -flto there would be no assembly yet
    flags = [flag for flag in command if flag.startswith("-") and not unwanted.fullmatch(flag)]
    subprocess.run(["cc", *flags, "-S", "apart.c", "-o", "apart.s"], cwd=folder, check=True)
    text = (folder / "apart.s").read_text()
    return {name: _body(text, name) for name in names}


def _body(text: str, name: str) -> str:
    """What lies between a function's label and its end; also of parts that the compiler split off."""
    found = re.findall(rf"^{name}[\w.]*:\n(.*?)^\t\.size\t{name}", text, re.MULTILINE | re.DOTALL)
    assert found, f"{name} is not in the assembly"
    return "\n".join(found)


@pytest.mark.parametrize("layer", ["200_130", "130_10"])
def test_products_with_spikes_do_not_multiply(assembly: dict[str, str], layer: str) -> None:
    body = assembly[f"spikes_{layer}"]
    assert re.search(r"\bv?add[sp]s\b|\bfadd\b", body)
    assert MULTIPLIES.findall(body) == []


@pytest.mark.parametrize("layer", ["200_130", "130_10"])
def test_weight_gradients_of_spikes_do_not_multiply(assembly: dict[str, str], layer: str) -> None:
    assert MULTIPLIES.findall(assembly[f"gradient_{layer}"]) == []


def test_products_with_numbers_multiply(assembly: dict[str, str]) -> None:
    """So the search would find a multiplication if there were one."""
    assert MULTIPLIES.findall(assembly["product_96_200"]) != []


def test_spikes_are_one_bit_between_layers() -> None:
    program = generate(trace(NET), Target(25)).program
    forward = next(e for e in program.entries if e.name == "forward")
    held = {b.name: b for b in forward.buffers if b.name.startswith(("lif1_spk", "lif2_spk"))}
    assert {b.layout for b in held.values()} == {"bits", "events"}
    assert held["lif1_spk_bits"].size.seq == 4 * 8    # 200 spikes of a row in 256 bits


def test_the_cost_report_counts_no_multiplications_of_spikes() -> None:
    model = snncc.compile(NET, num_steps=6)
    model.params.update({name: 5 * array for name, array in model.params.items()})
    x = (np.random.default_rng(0).random((6, 4, 96)) < 0.2).astype(np.float32)
    profile = model.profile(x, repeats=1)
    for layer, outputs in (("fc2", 130), ("fc3", 10)):
        row = profile[f"{layer}.product"]
        assert row.work.multiplications == 0
        assert row.work.additions == row.events * outputs > 0
    assert "of the multiplications" in str(profile)
