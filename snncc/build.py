"""From C text to a library: finds a C compiler and what it accepts, builds, writes model folders."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

from snncc_runtime import ModelError
from snncc_runtime.cpu import cpu_flags
from snncc_runtime.files import MANIFEST, WEIGHTS, replace_folder

from . import store
from .errors import CompileError
from .store import Built as Built

BASE_FLAGS = ("-std=c11", "-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math", "-fPIC", "-shared")
WARNINGS = ("-Wall", "-Wextra", "-Wpedantic")
# Two processes, run by make, generate the code of one model, for 5 % more work.
IN_PARALLEL = "-flto=2 --param=lto-partitions=2 --param=lto-min-partition=500"
OPTIONAL_FLAGS = ("-march=native", "-mprefer-vector-width=512", "-fopenmp", IN_PARALLEL)
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


def find_compiler() -> Compiler:
    """CC if it is set, otherwise the first of cc, gcc, clang and `python -m ziglang cc` that answers."""
    return _find_compiler(os.environ.get("CC", "").strip(), os.environ.get("PATH", ""))


def accepted_flags(compiler: Compiler, folder: Path) -> tuple[str, ...]:
    """Those of OPTIONAL_FLAGS that the compiler takes and can link; found once and kept in `folder`."""
    known = folder / f"flags-{store.digest(compiler.command, compiler.version, cpu_flags() or ())[:16]}.json"
    try:
        return tuple(flag for flag in json.loads(known.read_text()) if flag in OPTIONAL_FLAGS)
    except (OSError, ValueError, TypeError):
        pass
    with store.cache_errors(folder), store.new_draft(folder) as drafted:
        draft = Path(drafted)
        (draft / "probe.c").write_text(PROBE)
        flags: tuple[str, ...] = OPTIONAL_FLAGS
        if not _accepts(compiler, flags, draft):
            flags = tuple(flag for flag in OPTIONAL_FLAGS if _accepts(compiler, (flag,), draft))
        (draft / known.name).write_text(json.dumps(flags))
        os.replace(draft / known.name, known)
    return flags


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
    flags = _flags(options, accepted_flags(compiler, store.cache_folder()))
    command = (*compiler.command, *flags, "model.c", "-o", store.library_name(name))
    used = (cpu_flags() or ()) if "-march=native" in command else ()
    return store.make(
        store.Recipe(name, sources, declarations, "C", command, compiler.version, cpu_flags=used)
    )


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
    ffi = store.parse_declarations(declarations)
    ffi.set_source(module, '#include "model.h"', compiler_verbose=0)
    store.write_sources(folder, sources)
    ffi.emit_c_code(str(folder / "glue.c"))
    compiler = find_compiler()
    errors = ("incompatible-pointer-types", "implicit-function-declaration", "int-conversion")
    flags = ("-std=gnu11", "-O1", "-fPIC", "-shared", *(f"-Werror={error}" for error in errors))
    library = f"{module}.so"
    command = (*compiler.command, *flags, "-I", include, "glue.c", "model.c", "-o", library)
    answer = store.run(command, folder)
    if answer.returncode:
        finding = store.first_error(answer.stdout)
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
    return store.run(command, folder).returncode == 0


def _flags(options: BuildOptions, accepted: Iterable[str]) -> tuple[str, ...]:
    unwanted = set() if options.native else {"-march=native", "-mprefer-vector-width=512"}
    unwanted |= set() if options.openmp else {"-fopenmp"}
    unwanted |= set() if options.level == 3 and shutil.which("make") else {IN_PARALLEL}
    optional = tuple(word for flag in accepted if flag not in unwanted for word in flag.split())
    quiet = () if "-fopenmp" in optional else ("-Wno-unknown-pragmas",)
    return (*BASE_FLAGS, f"-O{options.level}", *WARNINGS, *quiet, *optional, *options.extra)
