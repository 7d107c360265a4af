"""What is looked at on a GPU: the workloads, and sizes that only a GPU is used for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from models.workloads import LARGE, WORKLOADS, Workload
from snncc.commands.options import Choices
from snncc.commands.source import load_source
from snncc.driver import Compiled, generate
from snncc.frontend.dsl import trace
from snncc.loss import Loss, cross_entropy
from snncc.nn import Module
from snncc.optim import Adam
from snncc.target import Target

MODELS = Path(__file__).parents[2] / "models"
# Entry points that run, by mode; a gradient is that of the inputs.
MODES = {"train": ("train", "update"), "infer": ("forward",), "gradient": ("backward",)}
TITLES = {"train": "training step", "infer": "inference", "gradient": "gradient"}
# What the caller has filled: a call, a training step, and Model.backward.
FILLED = {"train": ("loss",), "forward": ("output", "state_out"), "backward": ("d_input", "d_state")}


@dataclass(frozen=True)
class Case:
    """source: the network, file.py:name of models/. workload: what peers are given; without one, those in
    the file `peer` of peers/ draw their own."""

    name: str
    title: str
    source: str
    num_steps: int
    batch: int
    modes: tuple[str, ...]
    loss: Loss | None = None
    workload: Workload | None = None
    peer: str = ""

    def target(self) -> Target:
        optimizer = Adam(5e-4) if self.loss else None
        return Target(self.num_steps, self.loss, optimizer, target="cuda")

    @property
    def network(self) -> Module:
        return load_source(str(MODELS / self.source), Choices()).network

    def compiled(self) -> Compiled:
        """As text, not built."""
        return generate(trace(self.network), self.target())

    def samples(self, manifest: Mapping[str, Any]) -> dict[str, dict[str, np.ndarray]]:
        """By role and name: the inputs of a call, spikes at 10 % or an image, targets, and cotangents."""
        if self.workload:
            x, y = self.workload.samples()
            return {"input": {"x": x}, "target": {"target": y}}
        random = np.random.default_rng(4321)
        found: dict[str, dict[str, np.ndarray]] = {}
        for port in manifest["io"]:
            if port["role"] in ("input", "target", "cotangent"):
                shape = (*[self.num_steps] * port["time"], *[self.batch] * port["batch"], *port["shape"])
                drawn = random.random(shape, np.float32)
                below = port.get("below", 0)
                whole = (drawn * below).astype(port["dtype"])
                found.setdefault(port["role"], {})[port["name"]] = whole if below else drawn * (drawn < 0.1)
        return found


def _cases() -> Iterator[Case]:
    for w in (*WORKLOADS.values(), *LARGE.values()):
        source = f"workloads.py:{w.attribute}"
        yield Case(w.name, w.title, source, w.num_steps, w.batch, w.modes, w.loss, w)
    title, loss = "65,536 leaky neurons, no weights", cross_entropy("mem_mean")
    yield Case("layer", title, "workloads.py:layer", 32, 64, ("infer", "gradient"), peer="layer")
    source = "sew_resnet18.py:net"
    yield Case("ResNet", "SEW ResNet-18", source, 4, 128, ("train", "infer"), loss, peer="resnet")


CASES = {case.name: case for case in _cases()}
