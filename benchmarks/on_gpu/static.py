"""What the kernels of a CUDA model are made of and how much they move and add, counted without a GPU."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.on_gpu.cases import FILLED, MODES, TITLES, Case
from benchmarks.on_gpu.launches import Launch, Recorded, Resources, readable
from benchmarks.table import aligned
from snncc.cost import Kernel, kernels
from snncc.driver import text_of
from snncc.program import Program
from snncc_runtime.kernels import Load, Work, parse_kernels

MIB = 2**20
COLUMNS = (
    *("", "does", "starts", "blocks", "waves", "registers", "spilled", "shared"),
    *("MB", "Mops", "least, us", "by"),
)
SHORT = ("", "starts", "small", "MB", "Gops", "least, ms", "arena, MiB", "registers", "spilled", "nvcc, s")
LEGEND = """\
starts: kernels, copies and clears of a call, one after the other. blocks: of the largest. waves: how often
they fill the device; small: starts of kernels that do not fill it once. registers: of a thread. spilled:
bytes of registers kept in memory. shared: bytes of a block. MB: what passes between kernels and arrays, each
once a run. ops: additions, multiplications, functions. least: by bytes or by operations, whichever takes
longer."""


@dataclass(frozen=True)
class Device:
    """GB/s; billions of single operations a second; how many multiprocessors. And what each of them holds."""

    gbs: float
    gflops: float
    multiprocessors: int
    threads: int = 2048
    registers: int = 65536
    shared: int = 228 * 2**10    # bytes; a block takes 1024 of them for itself

    def seconds(self, work: Work) -> float:
        return max(work.bytes / self.gbs, work.operations / self.gflops) / 1e9

    def limit(self, work: Work) -> str:
        return "bytes" if work.bytes / self.gbs > work.operations / self.gflops else "operations"

    def waves(self, launch: Launch, used: Resources) -> float:
        """How many times as many blocks as it holds at a time. A warp's registers come in pieces of 256."""
        registers = -(-used.registers * 32 // 256) * 256 * -(-launch.threads // 32)
        shared = 1024 + used.shared + launch.dynamic
        held = min(self.threads // launch.threads, self.registers // registers, self.shared // shared)
        return launch.blocks / max(1, held) / self.multiprocessors


@dataclass(frozen=True)
class Row:
    """A kernel of the manifest's table: what it does in a call, and what of CUDA's it starts for that."""

    name: str
    does: str
    launches: tuple[Launch, ...]
    used: Mapping[str, Resources]
    work: Work

    @property
    def kernels(self) -> list[Launch]:
        return [launch for launch in self.launches if launch.kernel]

    def waves(self, device: Device) -> list[float]:
        return [device.waves(launch, self.used[launch.name]) for launch in self.kernels]

    def most(self, what: str) -> int:
        return max((getattr(used, what) for used in self.used.values()), default=0)


@dataclass(frozen=True)
class Counted:
    """What a call of a case comes to. seconds: of nvcc. arena: bytes."""

    case: Case
    mode: str
    rows: tuple[Row, ...]
    arena: int
    seconds: float

    @property
    def launches(self) -> list[Launch]:
        return [launch for row in self.rows for launch in row.launches]

    def small(self, device: Device) -> int:
        return sum(waves < 1 for row in self.rows for waves in row.waves(device))

    @property
    def work(self) -> Work:
        return sum((row.work for row in self.rows), Work())

    def least(self, device: Device) -> float:
        """Seconds."""
        return sum(device.seconds(row.work) for row in self.rows)


def counted(case: Case, modes: Sequence[str], arch: str) -> Iterator[Counted]:
    """Of each mode that the case has."""
    compiled = case.compiled()
    with tempfile.TemporaryDirectory() as folder:
        recorded = Recorded(text_of(compiled), Path(folder), arch)
        for mode in (mode for mode in case.modes if mode in modes):
            rows = [row for entry in MODES[mode] for row in _rows(case, compiled.program, recorded, entry)]
            arena = recorded.arena(case.num_steps, case.batch, mode != "infer")
            yield Counted(case, mode, tuple(rows), arena, recorded.seconds)


def _rows(case: Case, program: Program, recorded: Recorded, entry: str) -> Iterator[Row]:
    """Of an entry point's kernels, in order."""
    steps, batch = case.num_steps, case.batch
    load = Load(batch, steps, tile=batch, slots=1, block=1, segment=program.segment)
    found = [k for k in kernels(program) if k.entry == entry]
    if entry == "update":
        launches, owners = recorded.update(steps, batch), [0]
    else:
        launches = recorded.call(entry, steps, batch, FILLED[entry])
        owners = _owners(found, recorded.statements[entry])
    costs = {k.name: k for k in parse_kernels(recorded.manifest) if k.entry == entry}
    for number, kernel in enumerate(found):
        own = tuple(a for a in launches if owners[a.statement] == number)
        used = {a.name: recorded.resources[a.name] for a in own if a.kernel}
        yield Row(kernel.name, kernel.does, own, used, costs[kernel.name].cost(load, 0))


def _owners(found: Sequence[Kernel], statements: int) -> list[int]:
    """The kernel of each statement of an entry point: they stand in the order of the items, behind those that
    clear sums, if there are some."""
    of_items = [number for number, kernel in enumerate(found) for _ in kernel.items]
    sums = [number for number, kernel in enumerate(found) if kernel.level == "slot"]
    cleared = statements - len(of_items)
    if cleared < 0 or bool(cleared) != bool(sums):
        raise RuntimeError(f"{statements} statements, {len(of_items)} items: the text is not the program's")
    return [*sums * cleared, *of_items]


def table(counted: Counted, device: Device) -> str:
    """A line for each kernel that runs."""
    case, work = counted.case, counted.work
    head = f"{case.name} {TITLES[counted.mode]}: {case.title}; {case.num_steps} steps, batch {case.batch}"
    rows = [_row(row, device) for row in counted.rows if row.launches]
    least = f"at least {1e3 * counted.least(device):.3f} ms: "
    least += f"{work.bytes / 1e6:.1f} MB, {work.operations / 1e9:.2f} Gops"
    return "\n".join([head, "", *aligned([COLUMNS, *rows], left=2), least])


def summary(everything: Sequence[Counted], device: Device) -> str:
    """A line a case and mode."""
    return "\n".join(aligned([SHORT, *(_short(counted, device) for counted in everything)]))


def _row(row: Row, device: Device) -> list[str]:
    work, waves = row.work, row.waves(device)
    return [
        row.name, row.does, str(len(row.launches)),
        *([f"{max(a.blocks for a in row.kernels)}", f"{max(waves):.2f}"] if waves else ["", ""]),
        *(str(row.most(what)) if row.used else "" for what in ("registers", "spilled", "shared")),
        f"{work.bytes / 1e6:.2f}", f"{work.operations / 1e6:.1f}", f"{1e6 * device.seconds(work):.1f}",
        device.limit(work),
    ]    # fmt: skip


def _short(counted: Counted, device: Device) -> list[str]:
    work = counted.work
    return [
        f"{counted.case.name} {TITLES[counted.mode]}", str(len(counted.launches)), str(counted.small(device)),
        f"{work.bytes / 1e6:.1f}", f"{work.operations / 1e9:.2f}", f"{1e3 * counted.least(device):.3f}",
        f"{counted.arena / MIB:.1f}",
        *(str(max(row.most(what) for row in counted.rows)) for what in ("registers", "spilled")),
        f"{counted.seconds:.1f}",
    ]    # fmt: skip


def plain(counted: Counted, device: Device) -> dict[str, Any]:
    """benchmarks/README.md says what the fields are."""
    return {
        "launches": len(counted.launches),
        "small": counted.small(device),
        "bytes": counted.work.bytes,
        "operations": counted.work.operations,
        "least_ms": 1e3 * counted.least(device),
        "arena_bytes": counted.arena,
        "nvcc_s": counted.seconds,
        "kernels": [_plain_row(row, device) for row in counted.rows if row.launches],
    }


def _plain_row(row: Row, device: Device) -> dict[str, Any]:
    starts = [{**asdict(a), "name": readable(a.name)} for a in dict.fromkeys(row.launches)]
    return {
        "name": row.name,
        "does": row.does,
        "launches": len(row.launches),
        "starts": starts,
        **{what: row.most(what) for what in ("registers", "spilled", "stack", "shared")},
        "bytes": row.work.bytes,
        "operations": row.work.operations,
        "waves": max(row.waves(device), default=0.0),
        "least_us": 1e6 * device.seconds(row.work),
        "limit": device.limit(row.work),
    }
