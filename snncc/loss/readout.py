"""What a loss looks at: a sequence of outputs as one row a sample, or as it is."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import CompileError, user_line
from ..ops import Value, scatter_add, sum_time
from ..ops.lengths import count_steps
from ..ops.readouts import largest, last_step, spike_time

# The output that each readout is of, unless `of` says another one.
READS = {
    "mem": "mem",
    "mem_last": "mem",
    "mem_max": "mem",
    "mem_mean": "mem",
    "rate": "spk",
    "count": "spk",
    "latency": "spk",
}


@dataclass(frozen=True)
class Scores:
    """By what classes are chosen: the largest score, of equal ones the first.

    readout: of output `of`; the earliest spike for "latency". classes: of groups of outputs, 0 for none.
    """

    readout: str
    of: str
    classes: int = 0

    def record(self) -> dict[str, str | int]:
        """For the manifest."""
        return {"readout": self.readout, "of": self.of, "population": self.classes}


def check(readout: str) -> None:
    if readout not in READS:
        names = ", ".join(map(repr, READS))
        raise CompileError(f"loss: readout must be one of {names}, got {readout!r} ({user_line()})")


def read(x: Value, readout: str, classes: int = 0) -> Value:
    """The readout of a sequence: [B, n], or [T, B, n] for "mem" and "rate", which are read at every step."""
    if readout == "mem_last":
        x = last_step(x)
    elif readout == "mem_max":
        x = largest(x)
    elif readout == "mem_mean":
        x = sum_time(x) / count_steps(x)
    elif readout == "latency":
        x = spike_time(x)
    elif readout == "count":
        x = sum_time(x)
    return grouped(x, classes)


def score(x: Value, chosen: Scores) -> Value:
    """What is largest for the chosen class, [B, classes]."""
    if chosen.readout in ("mem", "rate"):
        return grouped(sum_time(x), chosen.classes)
    value = read(x, chosen.readout, chosen.classes)
    return -value if chosen.readout == "latency" else value


def grouped(x: Value, classes: int) -> Value:
    """Sums of as many groups of neighbouring outputs as there are classes (a population code)."""
    if not classes:
        return x
    size = x.type.size
    if size % classes:
        raise CompileError(
            f"loss: {size} outputs cannot be {classes} groups of the same size ({user_line()})"
        )
    return scatter_add(x, [i * classes // size for i in range(size)], (classes,))  # type: ignore[no-any-return]
