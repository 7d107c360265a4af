"""From C text to a library: finds a compiler, builds once per content, writes model folders.

The cache holds a folder per build, named by a digest of all that the result depends on. A build happens in
a draft folder beside it and appears by one rename, so two processes may build the same model at once.
"""

from __future__ import annotations

import errno
import hashlib
import importlib.util
import json
import os
import platform
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import cffi

from snncc.errors import CompileError, InternalError
from snncc_runtime import ModelError, get_include
from snncc_runtime.cpu import cpu_flags
from snncc_runtime.files import MANIFEST, WEIGHTS, reason, replace_folder
from snncc_runtime.manifest import BINDING

BASE_FLAGS = ("-std=c11", "-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math", "-fPIC", "-shared")
WARNINGS = ("-Wall", "-Wextra", "-Wpedantic")
# Two processes, run by make, generate the code of one model, for 5 % more work.
IN_PARALLEL = "-flto=2 --param=lto-partitions=2 --param=lto-min-partition=500"
OPTIONAL_FLAGS = ("-march=native", "-mprefer-vector-width=512", "-fopenmp", IN_PARALLEL)
RECORD = "built.json"  # written into a build's folder: digests of its files, the command, the warnings
PROBE = """int main(void) {
    int sum = 0;
#pragma omp parallel for reduction(+ : sum)
    for (int i = 0; i < 4; i++) sum += i;
    return sum != 6;
}
"""


@dataclass(frozen=True)
class Compiler:
    """A C compiler that answered: its command, and the first line of what it says of its version."""

    command: tuple[str, ...]
    version: str

    def __str__(self) -> str:
        return f"{shlex.join(self.command)} ({self.version})"


@dataclass(frozen=True)
class BuildOptions:
    """level: of -O. `native`: for this processor only. `extra`: flags after all others, say a sanitizer's."""

    level: int | str = 3
    native: bool = True
    openmp: bool = True
    extra: tuple[str, ...] = ()


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


def find_compiler() -> Compiler:
    """CC if it is set, otherwise the first of cc, gcc, clang and `python -m ziglang cc` that answers."""
    return _find_compiler(os.environ.get("CC", "").strip(), os.environ.get("PATH", ""))


def accepted_flags(compiler: Compiler, folder: Path) -> tuple[str, ...]:
    """Those of OPTIONAL_FLAGS that the compiler takes and can link; found once and kept in `folder`."""
    known = folder / f"flags-{_digest(compiler.command, compiler.version, cpu_flags() or ())[:16]}.json"
    try:
        return tuple(flag for flag in json.loads(known.read_text()) if flag in OPTIONAL_FLAGS)
    except (OSError, ValueError, TypeError):
        pass
    with _cache_errors(folder), _draft(folder) as drafted:
        draft = Path(drafted)
        (draft / "probe.c").write_text(PROBE)
        flags: tuple[str, ...] = OPTIONAL_FLAGS
        if not _accepts(compiler, flags, draft):
            flags = tuple(flag for flag in OPTIONAL_FLAGS if _accepts(compiler, (flag,), draft))
        (draft / known.name).write_text(json.dumps(flags))
        os.replace(draft / known.name, known)
    return flags


def cache_folder() -> Path:
    """SNNCC_CACHE, else snncc in XDG_CACHE_HOME or ~/.cache; made if missing."""
    wish, home = os.environ.get("SNNCC_CACHE"), os.environ.get("XDG_CACHE_HOME")
    try:
        folder = Path(wish) if wish else Path(home or Path.home() / ".cache") / "snncc"
    except RuntimeError as error:
        raise CompileError(
            f"no cache folder: {error}; set SNNCC_CACHE to a folder for compiled models"
        ) from None
    with _cache_errors(folder):
        folder = folder.absolute()
        folder.mkdir(parents=True, exist_ok=True)
    return folder


def build(
    sources: Mapping[str, str],
    *,
    name: str,
    declarations: str,
    options: BuildOptions | None = None,
    compiler: Compiler | None = None,
) -> Built:
    """Compiles `model.c` of the sources into lib<name>.so, and `declarations` into cffi's _binding.py.

    `declarations` are what cffi's cdef takes; their SHA-256, in hex, is what the library must report as its
    digest. A second call with the same arguments takes the files from the cache. Raises CompileError.
    """
    options = options or BuildOptions()
    compiler = compiler or find_compiler()
    folder = cache_folder()
    library = _library_name(name)
    flags = _flags(options, accepted_flags(compiler, folder))
    command = (*compiler.command, *flags, "model.c", "-o", library)
    place = folder / f"{name}-{_key(sources, declarations, command, compiler)[:32]}"
    built = _read_built(place)
    if built is not None:
        return built
    with _cache_errors(folder), _draft(folder) as drafted:
        draft = Path(drafted)
        _write_sources(draft, sources)
        warnings = _compile(command, draft, declarations, keep=folder / f"failed-{place.name}")
        names = (*sources, library, BINDING)
        record = {
            "library": library,
            "command": command,
            "compiler": compiler.version,
            "cpu_flags": (cpu_flags() or ()) if "-march=native" in command else (),
            "warnings": warnings,
            "files": {file: hashlib.sha256((draft / file).read_bytes()).hexdigest() for file in names},
        }
        (draft / RECORD).write_text(json.dumps(record))
        _publish(draft, place)
    built = _read_built(place, fresh=True)
    if built is None:
        raise CompileError(f"{place}: vanished while it was built; compile again, or set SNNCC_CACHE")
    return built


def write_folder(
    folder: str | os.PathLike[str], files: Mapping[str, bytes], manifest: Mapping[str, Any]
) -> None:
    """Writes a model folder with the files and the manifest, whose "files" become their digests.

    An older model at that place is replaced; anything else there is refused. Raises CompileError.
    """
    digests = {name: hashlib.sha256(files[name]).hexdigest() for name in sorted(files) if name != WEIGHTS}
    text = json.dumps({**manifest, "files": digests}, indent=1, allow_nan=False) + "\n"
    try:
        replace_folder(folder, {**files, MANIFEST: text.encode()})
    except ModelError as error:
        raise CompileError(str(error)) from error


def build_api_module(sources: Mapping[str, str], *, name: str, declarations: str, folder: Path) -> ModuleType:
    """The model as a cffi module in API mode, built in `folder`: here the C compiler checks the declarations.

    Needs Python.h. For tests: what ships is the plain library. Raises CompileError.
    """
    include = sysconfig.get_paths()["include"]
    if not Path(include, "Python.h").exists():
        raise CompileError(f"{include} has no Python.h; install your Python's headers, say python3-dev")
    module = f"_{name}_api"
    ffi = _parse(declarations)
    ffi.set_source(module, '#include "model.h"', compiler_verbose=0)
    _write_sources(folder, sources)
    ffi.emit_c_code(str(folder / "glue.c"))
    compiler = find_compiler()
    errors = ("incompatible-pointer-types", "implicit-function-declaration", "int-conversion")
    flags = ("-std=gnu11", "-O1", "-fPIC", "-shared", *(f"-Werror={error}" for error in errors))
    library = f"{module}.so"
    command = (*compiler.command, *flags, "-I", include, "glue.c", "model.c", "-o", library)
    answer = _run(command, folder)
    if answer.returncode:
        finding = _first_error(answer.stdout)
        raise CompileError(f"{name}: {finding}; command: {shlex.join(command)} (in {folder})")
    spec = importlib.util.spec_from_file_location(module, folder / library)
    assert spec is not None and spec.loader is not None
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


@cache
def _find_compiler(wish: str, path: str) -> Compiler:
    commands: list[tuple[str, ...]] = [tuple(shlex.split(wish))] if wish else [("cc",), ("gcc",), ("clang",)]
    if not wish and importlib.util.find_spec("ziglang"):
        commands.append((sys.executable, "-m", "ziglang", "cc"))
    tried = []
    for command in commands:
        answer = _ask_version(command)
        if isinstance(answer, Compiler):
            return answer
        tried.append(f"{shlex.join(command)}: {answer}")
    source = "CC is set to it; unset CC or set it to a C compiler" if wish else "install one"
    raise CompileError(
        f"no C compiler found (tried {'; '.join(tried)}); {source}: `apt install gcc` on Debian and Ubuntu, "
        "`dnf install gcc` on Fedora, `xcode-select --install` on macOS, or `pip install ziglang` anywhere"
    )


def _ask_version(command: tuple[str, ...]) -> Compiler | str:
    """The compiler, or why there is none."""
    if shutil.which(command[0]) is None:
        return "not found"
    try:
        answer = subprocess.run(
            [*command, "--version"], capture_output=True, text=True, timeout=60, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"does not run ({error})"
    lines = answer.stdout.splitlines()
    if answer.returncode or not lines:
        return f"answers --version with exit status {answer.returncode}"
    return Compiler(command, lines[0].strip())


def _accepts(compiler: Compiler, flags: tuple[str, ...], folder: Path) -> bool:
    """Whether a program builds with the flags: linking shows whether the OpenMP library is there."""
    words = [word for flag in flags for word in flag.split()]
    command = (*compiler.command, "-O3", "-Werror", *words, "probe.c", "-o", "probe")
    return _run(command, folder).returncode == 0


def _flags(options: BuildOptions, accepted: Iterable[str]) -> tuple[str, ...]:
    unwanted = set() if options.native else {"-march=native", "-mprefer-vector-width=512"}
    unwanted |= set() if options.openmp else {"-fopenmp"}
    unwanted |= set() if options.level == 3 and shutil.which("make") else {IN_PARALLEL}
    optional = tuple(word for flag in accepted if flag not in unwanted for word in flag.split())
    quiet = () if "-fopenmp" in optional else ("-Wno-unknown-pragmas",)
    return (*BASE_FLAGS, f"-O{options.level}", *WARNINGS, *quiet, *optional, *options.extra)


def _library_name(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]*", name):
        raise InternalError(f"a library cannot be named {name!r}")
    return f"lib{name}.so"


def _key(sources: Mapping[str, str], declarations: str, command: tuple[str, ...], compiler: Compiler) -> str:
    """Digest of everything that the files of a build depend on."""
    include = Path(get_include())
    headers = {str(path.relative_to(include)): path.read_text() for path in sorted(include.rglob("*.h"))}
    machine = (platform.machine(), sys.platform, cffi.__version__, cpu_flags() or ())
    return _digest(dict(sources), headers, declarations, command, compiler.version, machine)


def _digest(*parts: Any) -> str:
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _read_built(place: Path, *, fresh: bool = False) -> Built | None:
    """The build at that place, or None if there is none or its files are not what was built."""
    try:
        record = json.loads((place / RECORD).read_text())
        files = {name: (place / name).read_bytes() for name in record["files"]}
    except (OSError, ValueError, KeyError, TypeError):
        return None
    if any(hashlib.sha256(files[name]).hexdigest() != digest for name, digest in record["files"].items()):
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


def _compile(command: tuple[str, ...], draft: Path, declarations: str, keep: Path) -> str:
    """Makes library and binding, and returns the warnings. After an error the sources are in `keep`."""
    _write_binding(draft / BINDING, declarations)
    library, command = command[-1], (*command, "-I", get_include())
    answer = _run(command, draft)
    if answer.returncode == 0 and (draft / library).exists():
        return answer.stdout
    (draft / "build.log").write_text(f"{shlex.join(command)}\n{answer.stdout}")
    shutil.rmtree(keep, ignore_errors=True)
    os.replace(draft, keep)
    raise CompileError(
        f"the C compiler failed: {_first_error(answer.stdout)}; the sources and its whole output (build.log) "
        f"are in {keep}; command: {shlex.join(command)}"
    )


def _run(command: tuple[str, ...], folder: Path) -> subprocess.CompletedProcess[str]:
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


def _first_error(output: str) -> str:
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    errors = (line for line in lines if re.search(r"\berror\b|undefined reference", line))
    return next(errors, lines[-1] if lines else "it said nothing")


def _write_binding(path: Path, declarations: str) -> None:
    """cffi's out-of-line form of the declarations: loading it needs no C parser."""
    ffi = _parse(declarations)
    ffi.set_source(path.stem, None, compiler_verbose=0)
    ffi.emit_python_code(str(path))
    with path.open("a") as file:
        file.write(f'digest = "{hashlib.sha256(declarations.encode()).hexdigest()}"\n')


def _parse(declarations: str) -> Any:
    ffi = cffi.FFI()
    try:
        ffi.cdef(declarations)
    except (cffi.CDefError, cffi.FFIError) as error:
        raise InternalError(f"cffi does not take the declarations: {error}") from error
    return ffi


def _write_sources(folder: Path, sources: Mapping[str, str]) -> None:
    for name, text in sources.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


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


def _draft(folder: Path) -> tempfile.TemporaryDirectory[str]:
    """A new folder inside the cache; what is still there in the end is removed."""
    return tempfile.TemporaryDirectory(prefix="draft-", dir=folder, ignore_cleanup_errors=True)


@contextmanager
def _cache_errors(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise CompileError(
            f"{folder}: the cache of compiled models cannot be written: {reason(error)}; "
            "set SNNCC_CACHE to a folder that can"
        ) from error
