"""What contestants of cases without a workload are given: sizes, as they draw their own samples."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from .task import DEVICE


@dataclass(frozen=True)
class CaseGiven:
    """shape: features of a step of the input."""

    num_steps: int
    batch: int
    shape: tuple[int, ...]

    def write(self, folder: Path) -> None:
        (folder / "case.json").write_text(json.dumps(asdict(self)))

    @property
    def device(self) -> str:
        """Where to compute: "cpu" or "cuda"."""
        return os.environ.get(DEVICE, "cpu")

    @property
    def threads(self) -> int:
        return int(os.environ["OMP_NUM_THREADS"])


def read(folder: Path) -> CaseGiven:
    """What `CaseGiven.write` wrote."""
    fields = json.loads((folder / "case.json").read_text())
    return CaseGiven(fields["num_steps"], fields["batch"], tuple(fields["shape"]))
