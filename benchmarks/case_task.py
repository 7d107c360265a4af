"""What contestants of cases without a workload are given: sizes, as they draw their own samples."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from .task import Process


@dataclass(frozen=True)
class CaseGiven(Process):
    """shape: features of a step of the input."""

    num_steps: int
    batch: int
    shape: tuple[int, ...]

    def write(self, folder: Path) -> None:
        (folder / "case.json").write_text(json.dumps(asdict(self)))


def read(folder: Path) -> CaseGiven:
    """What `CaseGiven.write` wrote."""
    fields = json.loads((folder / "case.json").read_text())
    return CaseGiven(fields["num_steps"], fields["batch"], tuple(fields["shape"]))
