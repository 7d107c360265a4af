"""Which kernels each item of a program starts, with what grid and what of a GPU's resources, without a GPU.

nvcc compiles the model's own text, linked with recorder.cpp in the place of CUDA's runtime.
"""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import cffi

from snncc import nvcc
from snncc.cache import Generated
from snncc.headers import joined

RECORDER = Path(__file__).with_name("recorder.cpp")
SOMEWHERE = 1 << 20    # an address: nothing is read or written there
AT = "snncc_at({}), "


@dataclass(frozen=True)
class Resources:
    """What ptxas says of a kernel: registers of a thread; bytes spilled, of the stack, of shared memory."""

    registers: int
    spilled: int
    stack: int
    shared: int


@dataclass(frozen=True)
class Launch:
    """statement: its place in the entry point. name: mangled; or "copy", "clear", whose blocks are bytes."""

    statement: int
    name: str
    blocks: int
    threads: int
    dynamic: int

    @property
    def kernel(self) -> bool:
        return self.threads > 0


def resources(said: str) -> dict[str, Resources]:
    """By mangled name, from what `nvcc -Xptxas -v` says of one architecture."""
    found = {}
    for part in said.split("Compiling entry function ")[1:]:
        name = part.partition("'")[2].partition("'")[0]

        def number(what: str, part: str = part) -> int:
            match = re.search(rf"(\d+) {what}", part)
            return int(match[1]) if match else 0

        spilled = number("bytes spill stores") + number("bytes spill loads")
        used = re.search(r"Used (\d+) registers", part)
        if used is None:
            raise ValueError(f"ptxas says no registers of {name}: {part.strip()[:200]!r}")
        found[name] = Resources(int(used[1]), spilled, number("bytes stack frame"), number("bytes smem"))
    return found


def readable(name: str) -> str:
    """A mangled name's own part, with the numbers of a template: `snncc_product_kernel<4, 4>`."""
    match = re.match(r"_ZL?(\d+)", name)
    if not match:
        return name
    end = match.end() + int(match[1])
    numbers = re.match(r"I((?:L\w\d+E)+)", name[end:])
    given = re.findall(r"L\w(\d+)E", numbers[1]) if numbers else []
    return name[match.end() : end] + (f"<{', '.join(given)}>" if given else "")


def marked(text: str) -> tuple[str, dict[str, int]]:
    """The text of a model, which now says before each statement which one it is; statements of an entry."""
    counts: dict[str, int] = {}

    def of_entry(match: re.Match[str]) -> str:
        numbers = iter(range(10**6))
        body = re.sub(r"\b\w+\(stream, ", lambda call: AT.format(next(numbers)) + call[0], match[0])
        counts[match[1]] = next(numbers)
        return body

    text = re.sub(r"^static int32_t (\w+)_kernels\(.*?^\}$", of_entry, text, flags=re.MULTILINE | re.DOTALL)
    return f'extern "C" void snncc_at(int);\n{text}', counts


class Recorded:
    """A model that nvcc compiled for one architecture; its calls start nothing and say what they would."""

    def __init__(self, generated: Generated, folder: Path, arch: str) -> None:
        """Raises CompileError without nvcc, RuntimeError if it does not take the text."""
        self.generated, self.manifest = generated, generated.manifest
        text, self.statements = marked(generated.files["model.cu"])
        files = {**generated.files, "model.cu": text, "snncc_cuda.h": joined("cuda/cuda.h")}
        for name, content in files.items():
            (folder / name).write_text(content)
        start = time.perf_counter()
        self.resources = resources(_compile(folder, arch))
        self.seconds = time.perf_counter() - start
        self.ffi = cffi.FFI()
        self.ffi.cdef(generated.declarations)
        self.ffi.cdef("const char *snncc_recorded(void); void snncc_at(int);")
        try:
            self.library = self.ffi.dlopen(str(folder / "model.so"))
        except OSError as error:
            raise RuntimeError(f"{RECORDER.name} has to answer to more of CUDA: {error}") from None

    def call(self, entry: str, steps: int, batch: int, filled: Sequence[str]) -> tuple[Launch, ...]:
        """What a call starts that gives all inputs and targets and takes arrays of the roles `filled`."""
        given = ("input", "target", "cotangent", "seed", *filled)
        fields = [p["field"] for p in self.manifest["io"] if entry in p["entries"] and p["role"] in given]
        io = self._new("io", {field: self._somewhere(field) for field in fields})
        self._check(entry, self._function(entry)(self._model(steps, batch), io, steps, batch))
        return tuple(self._taken())

    def update(self, steps: int, batch: int) -> tuple[Launch, ...]:
        self.library.snncc_at(0)
        self._check("update", self._function("update")(self._model(steps, batch), 0.0))
        return tuple(self._taken())

    def arena(self, steps: int, batch: int, training: bool) -> int:
        """Bytes."""
        return int(self._function("arena_bytes")(self._config(steps, batch, training)))

    def _model(self, steps: int, batch: int) -> Any:
        model, config = self._new("model", None), self._config(steps, batch, True)
        memory = self.ffi.cast("void *", SOMEWHERE)
        size = self._function("arena_bytes")(config)
        self._check("init", self._function("init")(model, config, memory, size))
        list(self._taken())
        return model

    def _config(self, steps: int, batch: int, training: bool) -> Any:
        config = {"steps": steps, "tile": batch, "slots": 1, "threads": 1, "training": training}
        return self._new("config", config)

    def _new(self, name: str, fields: Mapping[str, Any] | None) -> Any:
        return self.ffi.new(f"{self.generated.prefix}_{name} *", fields)

    def _somewhere(self, field: str) -> Any:
        type = dict(self._io_fields)[field].type
        return self.ffi.cast(type, SOMEWHERE)

    @cached_property
    def _io_fields(self) -> Any:
        return self.ffi.typeof(f"{self.generated.prefix}_io").fields

    def _function(self, name: str) -> Any:
        return getattr(self.library, f"{self.generated.prefix}_{name}")

    def _check(self, name: str, status: int) -> None:
        if status:
            raise RuntimeError(f"{name} ended with {status} in the recorder")

    def _taken(self) -> Iterator[Launch]:
        for line in self.ffi.string(self.library.snncc_recorded()).decode().splitlines():
            statement, name, *numbers = line.split()
            yield Launch(int(statement), name, *map(int, numbers))


def _compile(folder: Path, arch: str) -> str:
    """What nvcc says."""
    found = nvcc.find_compiler(arch)
    flags = ["none" if flag == "static" else flag for flag in found.flags]
    command = [*found.program, *flags, *found.private, "-Xptxas", "-v"]
    command += ["model.cu", str(RECORDER), "-o", "model.so"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"nvcc ended with {done.returncode}: {(done.stderr or done.stdout)[-2000:]}")
    return done.stdout + done.stderr
