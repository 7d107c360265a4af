"""docs/neurons and docs/surrogates.md are what the source says: `python docs/make.py` writes them."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

from docs import make, neuron_index
from docs.docstring import SECTIONS, is_head, parse
from docs.neuron_page import arguments, docstring, page
from docs.presets import OURS, OWN, REFUSED, SYSTEMS, ours, presets, where_it_goes
from docs.specimen import abstract, constructor, output_names, specimens, traced
from snncc import nn
from snncc.nn.module import Module

ROOT = Path(__file__).parents[1]
PAGES = {**OURS, **neuron_index.own_pages()}
PRESETS = {
    f"{system}-{name}": kind
    for system, module in SYSTEMS.items()
    for name, kind in presets(module).items()
}


def test_the_pages_are_what_the_source_says() -> None:
    stale = [path.name for path in make.stale(make.pages())]
    assert stale == [], "write them again: python docs/make.py"


def test_another_process_with_other_hashes_makes_the_same_pages() -> None:
    command = [sys.executable, str(ROOT / "docs" / "make.py"), "--check"]
    done = subprocess.run(command, env={"PYTHONHASHSEED": "7"}, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "all pages are fresh\n"), done.stderr


def test_a_page_that_is_stale_missing_or_left_over_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(make, "HERE", tmp_path)
    folder = tmp_path / "neurons"
    made = {folder / "Leaky.md": "leaky\n", folder / "LIF.md": "lif\n"}
    make.write(made)
    assert make.stale(made) == []
    (folder / "Leaky.md").write_text("changed\n")
    (folder / "Gone.md").write_text("")
    (folder / "LIF.md").unlink()
    assert [path.name for path in make.stale(made)] == ["Gone.md", "LIF.md", "Leaky.md"]
    make.write(made)
    assert make.stale(made) == [] and not (folder / "Gone.md").exists()


@pytest.mark.parametrize("name", PAGES)
def test_every_argument_is_described_once(name: str) -> None:
    found = [n for a in arguments(PAGES[name]) for n in (*a.names, *a.also)]
    assert sorted(found) == sorted(constructor(PAGES[name]))


@pytest.mark.parametrize("name", PAGES)
def test_every_neuron_has_its_equations(name: str) -> None:
    said = docstring(PAGES[name])
    assert said.summary.endswith(".") and any(" = " in block for block in said.equations)
    assert {"Outputs"} <= said.sections.keys() <= {"Outputs", "Differences"}


@pytest.mark.parametrize("name", PAGES)
def test_outputs_are_the_documented_ones(name: str) -> None:
    text = re.sub(r"\([^)]*\)", "", docstring(PAGES[name]).sections["Outputs"])
    documented = re.findall(r"\w+", text)
    if not abstract(PAGES[name]):
        for specimen in specimens(PAGES[name]):
            assert output_names(traced(specimen())) == documented


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_is_in_the_index_and_on_its_page(name: str) -> None:
    kind, system = PRESETS[name], name.partition("-")[0]
    index = neuron_index.page()
    section = index.split(f"### {system}\n")[1].split("\n### ")[0]
    assert f"| `{kind.__name__}` |" in section
    own = ours(kind)
    if own:
        assert f".{kind.__name__}\n" in page(OURS[own])
        assert OURS[own].known_as[system] == kind.__name__ or system == "NIR"


@pytest.mark.parametrize("name", [n for n, kind in PRESETS.items() if ours(kind)])
def test_every_argument_of_a_preset_goes_somewhere(name: str) -> None:
    kind = PRESETS[name]
    noted = {n for a in parse(kind, constructor(kind)).arguments for n in a.names}
    assert noted <= set(constructor(kind))
    places = {argument: where_it_goes(kind, argument) for argument in constructor(kind)}
    assert [n for n, place in places.items() if place == OWN and n not in noted] == []
    for place in places.values():
        for target in re.findall(r"`(\w+)`", place):
            assert target in constructor(OURS[ours(kind) or ""])


def test_where_arguments_go_is_found_by_trying() -> None:
    assert where_it_goes(nn.snntorch.Leaky, "reset_mechanism") == "`reset`"
    assert where_it_goes(nn.snntorch.RLeaky, "conv2d_channels") == "`conv2d_channels`"
    assert where_it_goes(nn.snntorch.SLSTM, "inhibition") == REFUSED
    assert where_it_goes(nn.snntorch.RLeaky, "V") == "`V`"
    assert where_it_goes(nn.spikingjelly.LIFNode, "store_v_seq") == "changes nothing"
    assert where_it_goes(nn.spikingjelly.KLIFNode, "v_threshold") == "`threshold`"
    assert where_it_goes(nn.spikingjelly.NonSpikingLIFNode, "decode") == OWN


def test_what_systems_call_a_neuron_is_what_they_have() -> None:
    for kind in PAGES.values():
        for system, name in getattr(kind, "known_as", {}).items():
            assert name in presets(SYSTEMS[system]), (kind, system)
    listed = {ours(kind) for kind in PRESETS.values()}
    assert set(OURS) - listed == {"IntegrateAndFire"}


class TwoStyles(Module):
    """A summary on
    two lines.

        mem = a mem + b

    Prose: it is no argument.

    a, b [steps]: two at once
    and a second line; learn_b trains b.

    c: alone.
    Outputs: mem.
    Differences: none.
    """

    def __init__(self, a: float, b: float = 1.0, *, c: str = "x", learn_b: bool = False) -> None: ...


def test_paragraphs_of_arguments_with_and_without_blank_lines() -> None:
    said = parse(TwoStyles, constructor(TwoStyles))
    assert said.summary == "A summary on two lines."
    assert said.body == ((True, "mem = a mem + b"), (False, "Prose: it is no argument."))
    assert [(a.names, a.unit, a.also) for a in said.arguments] == [
        (("a", "b"), "steps", ("learn_b",)),
        (("c",), "", ()),
    ]
    assert said.arguments[0].text == "two at once and a second line; learn_b trains b."
    assert said.sections == {"Outputs": "mem.", "Differences": "none."}


def test_docstrings_have_one_style() -> None:
    """No blank lines between the paragraphs of arguments."""
    for kind in {*PAGES.values(), *PRESETS.values()}:
        known = {*constructor(kind), *SECTIONS}
        blocks = (inspect.getdoc(kind) or "").split("\n\n")
        assert sum(is_head(block.split("\n")[0], known) for block in blocks) <= 1, kind
