"""The cache of builds: one folder each, named by a digest of all that the result depends on.

A build happens in a draft folder beside it and appears by one rename, so two processes may build the same
model at once. What a compiler could not build stays in a folder `failed-...`.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import platform
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cffi

from snncc_runtime import get_include
from snncc_runtime.cpu import cpu_flags
from snncc_runtime.files import reason
from snncc_runtime.manifest import BINDING

from .errors import CompileError, InternalError

RECORD = "built.json"  # written into a build's folder: digests of its files, the command, the warnings


@dataclass(frozen=True)
class Recipe:
    """How a library is made of sources.

    `command` begins with the compiler and ends with the library's name; it is what manifests show. `private`
    are flags that hold paths of this machine. `declarations` are what cffi's cdef takes.
    """

    name: str
    sources: Mapping[str, str]
    declarations: str
    language: str
    command: tuple[str, ...]
    compiler: str
    private: tuple[str, ...] = ()
    program: tuple[str, ...] = ()  # the compiler's path, if `command` has its name only
    cpu_flags: tuple[str, ...] = ()

    @property
    def library(self) -> str:
        return self.command[-1]

    def whole_command(self) -> tuple[str, ...]:
        """As it is run."""
        program = self.program or self.command[:1]
        return (*program, *self.command[1:], *self.private, "-I", get_include())

    def key(self) -> str:
        """Digest of everything that the files of the build depend on."""
        include = Path(get_include())
        headers = {str(path.relative_to(include)): path.read_text() for path in sorted(include.rglob("*.h"))}
        machine = (platform.machine(), sys.platform, cffi.__version__, cpu_flags() or ())
        made = (self.command, self.private, self.program, self.compiler)
        return digest(dict(self.sources), headers, self.declarations, made, machine)


@dataclass(frozen=True)
class Built:
    """A finished build: all files by name (sources, library, _binding.py) and how they were made."""

    folder: Path
    library: str
    command: tuple[str, ...]
    compiler: str
    cpu_flags: tuple[str, ...]
    warnings: str
    cached: bool
    files: dict[str, bytes] = field(repr=False)

    def record(self) -> dict[str, Any]:
        """The manifest's entry "build"."""
        return {
            "command": list(self.command),
            "compiler": self.compiler,
            "library": self.library,
            "cpu_flags": list(self.cpu_flags),
        }


def cache_folder() -> Path:
    """SNNCC_CACHE, else snncc in XDG_CACHE_HOME or ~/.cache; made if missing."""
    wish, home = os.environ.get("SNNCC_CACHE"), os.environ.get("XDG_CACHE_HOME")
    try:
        folder = Path(wish) if wish else Path(home or Path.home() / ".cache") / "snncc"
    except RuntimeError as error:
        raise CompileError(
            f"no cache folder: {error}; set SNNCC_CACHE to a folder for compiled models"
        ) from None
    with cache_errors(folder):
        folder = folder.absolute()
        folder.mkdir(parents=True, exist_ok=True)
    return folder


def make(recipe: Recipe) -> Built:
    """The build of the recipe, from the cache if it was made before. Raises CompileError."""
    folder = cache_folder()
    place = folder / f"{recipe.name}-{recipe.key()[:32]}"
    built = _read_built(place)
    if built is not None:
        return built
    with cache_errors(folder), new_draft(folder) as drafted:
        draft = Path(drafted)
        write_sources(draft, recipe.sources)
        warnings = _compile(recipe, draft, keep=folder / f"failed-{place.name}")
        names = (*recipe.sources, recipe.library, BINDING)
        record = {
            "library": recipe.library,
            "command": recipe.command,
            "compiler": recipe.compiler,
            "cpu_flags": recipe.cpu_flags,
            "warnings": warnings,
            "files": {file: hashlib.sha256((draft / file).read_bytes()).hexdigest() for file in names},
        }
        (draft / RECORD).write_text(json.dumps(record))
        _publish(draft, place)
    built = _read_built(place, fresh=True)
    if built is None:
        raise CompileError(f"{place}: vanished while it was built; compile again, or set SNNCC_CACHE")
    return built


def library_name(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]*", name):
        raise InternalError(f"a library cannot be named {name!r}")
    return f"lib{name}.so"


def digest(*parts: Any) -> str:
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def run(command: tuple[str, ...], folder: Path) -> subprocess.CompletedProcess[str]:
    """Runs a compiler there; stdout gets all that it says, in English."""
    return subprocess.run(
        command,
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        env={**os.environ, "LC_ALL": "C"},
        check=False,
    )


def first_error(output: str) -> str:
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    errors = (line for line in lines if re.search(r"\berror\b|\bfatal\b|undefined reference", line))
    return next(errors, lines[-1] if lines else "it said nothing")


def parse_declarations(declarations: str) -> Any:
    ffi = cffi.FFI()
    try:
        ffi.cdef(declarations)
    except (cffi.CDefError, cffi.FFIError) as error:
        raise InternalError(f"cffi does not take the declarations: {error}") from error
    return ffi


def write_sources(folder: Path, sources: Mapping[str, str]) -> None:
    for name, text in sources.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def new_draft(folder: Path) -> tempfile.TemporaryDirectory[str]:
    """A new folder inside the cache; what is still there in the end is removed."""
    return tempfile.TemporaryDirectory(prefix="draft-", dir=folder, ignore_cleanup_errors=True)


@contextmanager
def cache_errors(folder: Path) -> Iterator[None]:
    """Turns what the system says of the cache into a CompileError with a remedy."""
    try:
        yield
    except OSError as error:
        raise CompileError(
            f"{folder}: the cache of compiled models cannot be written: {reason(error)}; "
            "set SNNCC_CACHE to a folder that can"
        ) from error


def _read_built(place: Path, *, fresh: bool = False) -> Built | None:
    """The build at that place, or None if there is none or its files are not what was built."""
    try:
        record = json.loads((place / RECORD).read_text())
        files = {name: (place / name).read_bytes() for name in record["files"]}
    except (OSError, ValueError, KeyError, TypeError):
        return None
    if any(hashlib.sha256(files[name]).hexdigest() != known for name, known in record["files"].items()):
        return None  # say, zeroes after a power failure
    return Built(
        folder=place,
        library=record["library"],
        command=tuple(record["command"]),
        compiler=record["compiler"],
        cpu_flags=tuple(record["cpu_flags"]),
        warnings=record["warnings"],
        cached=not fresh,
        files=files,
    )


def _compile(recipe: Recipe, draft: Path, keep: Path) -> str:
    """Makes library and binding, and returns the warnings. After an error the sources are in `keep`."""
    _write_binding(draft / BINDING, recipe.declarations)
    command = recipe.whole_command()
    answer = run(command, draft)
    if answer.returncode == 0 and (draft / recipe.library).exists():
        return answer.stdout
    (draft / "build.log").write_text(f"{shlex.join(command)}\n{answer.stdout}")
    shutil.rmtree(keep, ignore_errors=True)
    os.replace(draft, keep)
    raise CompileError(
        f"the {recipe.language} compiler failed: {first_error(answer.stdout)}; the sources and its whole "
        f"output (build.log) are in {keep}; command: {shlex.join(command)}"
    )


def _write_binding(path: Path, declarations: str) -> None:
    """cffi's out-of-line form of the declarations: loading it needs no C parser."""
    ffi = parse_declarations(declarations)
    ffi.set_source(path.stem, None, compiler_verbose=0)
    ffi.emit_python_code(str(path))
    with path.open("a") as file:
        file.write(f'digest = "{hashlib.sha256(declarations.encode()).hexdigest()}"\n')


def _publish(draft: Path, place: Path) -> None:
    """Renames the draft to its place, unless another process put a sound build there first."""
    while True:
        try:
            os.rename(draft, place)
            return
        except OSError as error:
            if error.errno not in (errno.EEXIST, errno.ENOTEMPTY):
                raise
        if _read_built(place) is not None:
            return
        shutil.rmtree(place, ignore_errors=True)
