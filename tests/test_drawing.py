"""Drawings of networks: every layer, state and link is in them, nothing covers anything, no text is code."""

from __future__ import annotations

import re
from itertools import combinations
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

import snncc
from snncc import nn
from snncc.commands.drawing import draw
from snncc.commands.drawing.boxes import boxes_of
from snncc.commands.drawing.layout import arrange
from snncc.commands.drawing.svg import _size
from snncc.frontend.dsl import trace
from tests.nir_files import chain, lif, linear, write
from tests.onnx_cases import FOLDER
from tests.terminal import Terminal

SVG = "{http://www.w3.org/2000/svg}"


class Feedback(nn.Module):
    """Two loops over time, a delay, a skip connection, two inputs and three outputs."""

    inputs = {"x": nn.Input(12), "still": nn.Input(4, static=True)}  # noqa: RUF012

    def __init__(self) -> None:
        self.enc, self.lif1, self.mid = nn.Linear(12, 8), nn.Leaky(0.9), nn.Linear(8, 8)
        self.syn, self.back = nn.Synaptic(0.8, 0.9), nn.Linear(8, 8)
        self.rl, self.late = nn.RLeaky(0.9, linear_features=8), nn.Delay(5)
        self.out, self.skip = nn.Linear(8, 3), nn.Linear(12, 3)
        self.still, self.lif = nn.Linear(4, 3), nn.Leaky(0.5)

    def forward(self, x: Any, still: Any) -> dict[str, Any]:
        loop = snncc.delay(shape=8, name="loop")
        spikes = self.lif1(self.enc(x) + self.back(loop.value)).spk
        loop.feed(self.syn(self.mid(spikes)).spk)
        hidden = self.rl(spikes).spk
        last = self.lif(self.out(self.late(hidden)) + self.skip(x) + self.still(still))
        return {"spk": last.spk, "mem": last.mem, "hidden": hidden}


def ten_layers() -> nn.Module:
    layers = {}
    for k in range(5):
        layers |= {f"fc{k}": nn.Linear(8, 8), f"lif{k}": nn.Leaky(0.9)}
    return nn.Sequential(**layers)


@pytest.fixture(scope="module")
def drawn() -> tuple[Any, Any]:
    network = Feedback()
    return boxes_of(network, trace(network).graph)


def test_every_layer_and_state_has_its_place(drawn: tuple[Any, Any]) -> None:
    boxes = {box.name: box for box in drawn[0]}
    kinds = {name: box.kind for name, box in boxes.items() if box.kind in ("layer", "neuron", "delay")}
    assert kinds == {
        "enc": "layer", "back": "layer", "lif1": "neuron", "mid": "layer", "syn": "neuron", "rl": "neuron",
        "late": "delay", "out": "layer", "skip": "layer", "still": "layer", "lif": "neuron",
        "loose loop.prev": "delay",
    }    # fmt: skip
    assert boxes["syn"].states == ("syn 8", "mem 8")
    assert boxes["late"].states == ("delay ×5 8",)
    assert (boxes["enc"].detail, boxes["enc"].parameters) == ("Linear 12 → 8", 104)
    assert boxes["rl"].parameters == 72    # the layer inside of a neuron is part of it
    assert [box.title for box in drawn[0] if box.kind == "sum"] == ["+", "+"]


def test_links_say_what_flows_and_which_close_a_loop(drawn: tuple[Any, Any]) -> None:
    links = {(link.source, link.target): link for link in drawn[1]}
    assert [pair for pair, link in links.items() if link.back] == [("loose loop.prev", "back")]
    assert links["lif1", "mid"].spikes
    assert not links["mid", "syn"].spikes
    assert links["late", "out"].steps == 5
    assert links["syn", "loose loop.prev"].shape == "8"


@pytest.mark.parametrize("make", [Feedback, ten_layers])
def test_nothing_covers_anything(make: Any) -> None:
    network = make()
    boxes, links = boxes_of(network, trace(network).graph)
    layout = arrange(boxes, links, {box.name: _size(box) for box in boxes})
    places = [layout.places[box.name] for box in boxes]
    bends = [bend for way in layout.bends.values() for bend in way]
    for a, b in combinations([*places, *bends], 2):
        apart = abs(a.x - b.x) >= (a.width + b.width) / 2 or abs(a.y - b.y) >= (a.height + b.height) / 2
        assert apart
    for link in links:
        if not link.back:
            assert layout.places[link.source].y < layout.places[link.target].y


def test_the_picture_is_whole_and_the_same_each_time() -> None:
    network = ten_layers()
    graph = trace(network).graph
    text = draw(network, graph, "net")
    assert text == draw(network, graph, "net")
    root = ElementTree.fromstring(text)
    left, top, width, height = map(float, root.attrib["viewBox"].split())
    names = [node.text for node in root.iter(f"{SVG}text")]
    assert {f"fc{k}" for k in range(5)} | {f"lif{k}" for k in range(5)} <= set(names)
    assert names.count("mem 8") == 5
    for node in root.iter(f"{SVG}rect"):
        x, y, w, h = (float(node.attrib[key]) for key in ("x", "y", "width", "height"))
        assert left <= x
        assert x + w <= left + width + 0.1
        assert top <= y
        assert y + h <= top + height + 0.1
    assert set(re.findall(r"https?://[^\"']+", text)) == {"http://www.w3.org/2000/svg"}
    assert "<script" not in text


def test_names_are_text() -> None:
    network = nn.Sequential(**{"<script>": nn.Linear(2, 2), "a\x1b": nn.Leaky(0.9)})
    text = draw(network, trace(network).graph, "</title>")
    assert "<script" not in text
    names = [node.text for node in ElementTree.fromstring(text).iter(f"{SVG}text")]
    assert {"<script>", "a\\x1b", "</title>"} <= set(names)


def test_files_are_drawn_by_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path / "net.nir", chain(fc=linear(), lif=lif()))
    answer = Terminal(capsys)("inspect", path, "--dt", "1e-3", "--svg", tmp_path / "net.svg")
    assert answer.code == 0, answer.err
    root = ElementTree.fromstring((tmp_path / "net.svg").read_text())
    assert "LIF · threshold 1" in [node.text for node in root.iter(f"{SVG}text")]


def test_spikes_times_one_are_spikes() -> None:
    network = snncc.import_onnx(FOLDER / "snn_mlp_step_ts_dynbatch.onnx")
    links = boxes_of(network, trace(network).graph, network.report.neurons)[1]
    assert {link.target for link in links if link.spikes} == {"loose fc2.linear", "output spk2"}


def test_neurons_that_were_recognised_have_their_names() -> None:
    network = snncc.import_onnx(FOLDER / "sj_lif_step_dynamo.onnx")
    boxes = boxes_of(network, trace(network).graph, network.report.neurons)[0]
    neuron = "LIF(tau=2, v_threshold=1, v_reset=0), fires at its threshold"
    found = {box.title: (box.detail, box.states) for box in boxes if box.kind == "neuron"}
    assert found == {"n1": (neuron, ("v1 10",)), "n2": (neuron, ("v2 4",))}
