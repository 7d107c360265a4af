"""What an import made of each node of a file: the fidelity report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Any, Literal

from ..errors import CompileError
from .foreign import shown

Verdict = Literal["exact", "approximate", "unsupported"]
MOST_LINES = 40  # nodes from which those that are alike share a line
MORE = "(nodes that are alike share a line; one by one in Python: report.findings)"
MOST_NAMED = 8  # unsupported nodes that an error names


@dataclass(frozen=True)
class Finding:
    """One node of the file.

    node: its name there. kind: its type there, say "LIF" or "ai.onnx.ml::Scaler". verdict: whether the
    network computes what the file says. why: for "approximate" in what it differs, for "unsupported" what
    would be needed. became: what stands for it in the network, say "nn.nir.LIF" or "Leaky(beta=0.95)".
    """

    node: str
    kind: str
    verdict: Verdict = "exact"
    why: str = ""
    became: str = ""

    def __str__(self) -> str:
        became = f" -> {self.became}" if self.became else ""
        why = f": {self.why}" if self.why else ""
        return f"{shown(self.node)} ({shown(self.kind)}){became}: {self.verdict}{why}"


@dataclass(frozen=True)
class Report:
    """All nodes of a file, the options that the import was resolved with, and remarks.

    source: the file's name. format: say "NIR 1.0.8" or "ONNX opset 20". options: by name, each with
    where it comes from if that is not the caller: {"dt": "0.0001 (dialect snntorch)"}. remarks: what was
    inferred or looks wrong, a sentence each. neurons: the neuron that a state was recognised to be of.
    """

    source: str
    format: str
    findings: tuple[Finding, ...] = ()
    options: Mapping[str, str] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()
    neurons: Mapping[str, str] = field(default_factory=dict)

    def of(self, verdict: Verdict) -> tuple[Finding, ...]:
        return tuple(f for f in self.findings if f.verdict == verdict)

    def check(self) -> Report:
        """This report; a CompileError that names the unsupported nodes if there are any."""
        wrong = self.of("unsupported")
        if not wrong:
            return self
        lines = [f"{shown(f.node)} ({shown(f.kind)}): {f.why or 'not supported'}" for f in wrong[:MOST_NAMED]]
        if len(wrong) > MOST_NAMED:
            lines.append(f"and {len(wrong) - MOST_NAMED} more")
        raise CompileError(f"{self.source}: cannot be imported exactly: {'; '.join(lines)}")

    def __str__(self) -> str:
        """As text: a line for the file, one an option, a table of all nodes, neurons, remarks."""
        counts = ", ".join(f"{len(self.of(v))} {v}" for v in _VERDICTS if self.of(v)) or "no nodes"
        lines = [f"{self.source}: {self.format}: {counts}"]
        lines += [f"  {name} = {shown(value)}" for name, value in self.options.items()]
        lines += [f"  {line}" for line in _table(self.findings)]
        lines += [f"  state {shown(state)}: {neuron}" for state, neuron in self.neurons.items()]
        lines += [f"  remark: {remark}" for remark in self.remarks]
        return "\n".join(lines)

    def record(self) -> dict[str, Any]:
        """For a model's manifest."""
        return {
            "source": PurePath(self.source).name,  # the same file makes the same model in every folder
            "format": self.format,
            "options": dict(self.options),
            "nodes": {v: len(self.of(v)) for v in _VERDICTS if self.of(v)},
            "approximate": [str(f) for f in self.of("approximate")],
            "neurons": dict(self.neurons),
            "remarks": list(self.remarks),
        }


_VERDICTS: tuple[Verdict, ...] = ("exact", "approximate", "unsupported")


def _table(findings: Sequence[Finding]) -> list[str]:
    """A line a node: name, type, what it became, verdict; of many, a line for all that are alike."""
    groups: dict[tuple[str, ...], list[str]] = {}
    for k, f in enumerate(findings):
        verdict = f.verdict + (f": {f.why}" if f.why else "")
        alone = (str(k),) * (len(findings) <= MOST_LINES)
        groups.setdefault((shown(f.kind), f.became, verdict, *alone), []).append(shown(f.node))
    rows = [(_together(names), *key[:3]) for key, names in groups.items()]
    widths = [max((len(row[column]) for row in rows), default=0) for column in range(3)]
    lines = ["  ".join([*(c.ljust(w) for c, w in zip(row, widths, strict=False)), row[3]]) for row in rows]
    return lines if len(findings) <= MOST_LINES else [*lines, MORE]


def _together(names: Sequence[str]) -> str:
    """One name, or how many there are, with the first and the last."""
    return names[0] if len(names) == 1 else f"{len(names)}: {names[0]} to {names[-1]}"
