"""From CUDA text to a library: finds nvcc and a C++ compiler for its host code, and builds.

nvcc may come from a system's toolkit or from pip; what it makes needs NVIDIA's driver and nothing else, and
loads where there is none.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from snncc_runtime import cuda

from . import store
from .errors import CompileError
from .store import Built

OLDEST = (12, 0)  # CUDA: earlier ones have other functions for graphs
OLDEST_ARCHITECTURE = 75
FLAGS = (
    *("-std=c++17", "-O3", "--fmad=false", "-shared", "--cudart", "static"),
    *("-Xcompiler", "-fPIC,-Wall,-Wextra,-ffp-contract=off"),
)
DEFAULT_PLACE = "/usr/local/cuda"
INSTALL = (
    '`pip install "cuda-toolkit[nvcc,cudart,cccl]==13.0.*"`, or install NVIDIA\'s CUDA Toolkit and set '
    "CUDACXX to its nvcc"
)


@dataclass(frozen=True)
class CudaCompiler:
    """How model.cu becomes a library: `command` and `flags` as manifests show them, `program` as it is run.

    `private` are flags that hold paths of this machine. `version` says what made the result.
    """

    command: tuple[str, ...]
    flags: tuple[str, ...]
    version: str
    program: tuple[str, ...] = ()
    private: tuple[str, ...] = ()


@dataclass(frozen=True)
class Nvcc:
    """An nvcc that answered: path, CUDA version, and the architectures that it makes code for, ascending."""

    path: str
    release: tuple[int, int]
    version: str
    architectures: tuple[int, ...]
    host: str

    def __str__(self) -> str:
        newest = self.architectures[-1]
        return f"nvcc {self.version}, {self.path}, up to sm_{newest}, with {self.host}"


def build(
    sources: Mapping[str, str],
    *,
    name: str,
    declarations: str,
    arch: str | None = None,
    compiler: CudaCompiler | None = None,
) -> Built:
    """Compiles `model.cu` of the sources into lib<name>.so, and `declarations` into cffi's _binding.py.

    `arch` is as in `architecture_flags`. The result has what `build.build` gives, and is cached alike. Raises
    CompileError.
    """
    compiler = compiler or find_compiler(arch)
    command = (*compiler.command, *compiler.flags, "model.cu", "-o", store.library_name(name))
    recipe = store.Recipe(
        name, sources, declarations, "CUDA", command, compiler.version, compiler.private, compiler.program
    )
    return store.make(recipe)


def find_compiler(arch: str | None = None) -> CudaCompiler:
    """The nvcc that `find_nvcc` finds, with flags for the architectures."""
    nvcc = find_nvcc()
    flags = (*FLAGS, *architecture_flags(nvcc, arch))
    host = os.environ.get("NVCC_CCBIN", "").strip()
    private = (*(("-ccbin", host) if host else ()), *_libraries(Path(nvcc.path)))
    return CudaCompiler(("nvcc",), flags, f"nvcc {nvcc.version}, {nvcc.host}", (nvcc.path,), private)


def find_nvcc() -> Nvcc:
    """CUDACXX if it is set, otherwise the first nvcc that answers.

    Places: CUDA_HOME, CUDA_PATH, PATH, /usr/local/cuda, pip's packages. Raises CompileError.
    """
    names = ("CUDACXX", "CUDA_HOME", "CUDA_PATH", "PATH", "NVCC_CCBIN")
    return _find_nvcc(tuple(os.environ.get(name, "").strip() for name in names))


def architecture_flags(nvcc: Nvcc, arch: str | None = None) -> tuple[str, ...]:
    """What nvcc makes code for: by default this machine's devices, or every kind of them where there is none.

    `arch` is "sm_90" or several with commas, or "all": one for each generation from sm_75 on, whose code
    runs on its later members as well, and PTX of the newest, which drivers translate for what comes after
    it. Raises CompileError.
    """
    if arch is None:
        found = cuda.driver()
        own = sorted({device.capability for device in found.devices}) if found else []
        wanted = [10 * major + minor for major, minor in own]
        known = [number for number in wanted if number in nvcc.architectures]
        arch = ",".join(f"sm_{n}" for n in known) if known and known == wanted else "all"
    if arch == "all":
        numbers = _generations(nvcc.architectures)
        return (*_codes(numbers[:-1]), *_codes(numbers[-1:], ptx=True), "--threads", "0")
    numbers = [_number(nvcc, word.strip()) for word in arch.split(",")]
    return (*_codes(sorted(set(numbers))), *(("--threads", "0") if len(numbers) > 1 else ()))


def _number(nvcc: Nvcc, word: str) -> int:
    found = re.fullmatch(r"(?:sm_)?(\d+)\.?(\d)", word)
    number = int(found.group(1) + found.group(2)) if found else 0
    if number in nvcc.architectures:
        return number
    known = ", ".join(f"sm_{n}" for n in nvcc.architectures)
    raise CompileError(
        f"arch: nvcc {nvcc.version} makes no code for {word!r}; expected one or several, with commas, of "
        f'{known}, or "all"'
    )


def _generations(architectures: tuple[int, ...]) -> list[int]:
    """The first of each major version."""
    first: dict[int, int] = {}
    for number in architectures:
        first.setdefault(number // 10, number)
    return sorted(first.values())


def _codes(numbers: list[int], *, ptx: bool = False) -> Iterator[str]:
    for n in numbers:
        code = f"[sm_{n},compute_{n}]" if ptx else f"sm_{n}"
        yield from ("-gencode", f"arch=compute_{n},code={code}")


@cache
def _find_nvcc(environment: tuple[str, ...]) -> Nvcc:
    wish, home, path, _, host = environment
    tried = []
    for place, candidate in _candidates(wish, home, path):
        if candidate is None:
            tried.append(f"{place}: not found")
            continue
        try:
            version, release = _version(candidate)
        except _SilentError as error:
            tried.append(f"{place}: {error}")
            continue
        if release < OLDEST:
            raise CompileError(
                f"nvcc {version} ({candidate}) is too old: snncc needs CUDA {OLDEST[0]}.{OLDEST[1]} or "
                f"newer; {INSTALL}"
            )
        compiler = _host_compiler(host or "g++")
        return Nvcc(candidate, release, version, _architectures(candidate), compiler)
    source = "CUDACXX is set to it; unset CUDACXX or set it to an nvcc" if wish else INSTALL
    raise CompileError(f"no nvcc found (tried {'; '.join(tried)}); {source}")


def _candidates(wish: str, home: str, path: str) -> Iterator[tuple[str, str | None]]:
    """Where nvcc may be: the name of the place, and a program there."""
    if wish:
        yield f"CUDACXX={wish}", shutil.which(wish)
        return
    for name, root in (("CUDA_HOME", home), ("CUDA_PATH", path)):
        if root:
            yield f"{name}={root}", _program(Path(root))
    yield "PATH", shutil.which("nvcc")
    yield DEFAULT_PLACE, _program(Path(DEFAULT_PLACE))
    spec = importlib.util.find_spec("nvidia")  # CUDA 13 and later: nvidia/cu13; before, pip has no nvcc
    for package in spec.submodule_search_locations or () if spec else ():
        for folder in sorted(Path(package).glob("cu[0-9]*"), reverse=True):
            yield folder.name, _program(folder)
    yield "pip's packages", None


def _program(toolkit: Path) -> str | None:
    return shutil.which(str(toolkit / "bin" / "nvcc"))


class _SilentError(Exception):
    """A program that does not answer as nvcc does."""


def _answer(*command: str) -> str:
    if shutil.which(command[0]) is None:
        raise _SilentError("is not found")
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise _SilentError(f"does not run ({error})") from error
    if answer.returncode or not answer.stdout.strip():
        said = (answer.stderr or answer.stdout).strip().splitlines()
        raise _SilentError(
            f"answers with exit status {answer.returncode}" + (f" ({said[0]})" if said else "")
        )
    return answer.stdout


def _version(program: str) -> tuple[str, tuple[int, int]]:
    found = re.search(r"release (\d+)\.(\d+), V([\d.]+)", _answer(program, "--version"))
    if found is None:
        raise _SilentError("does not say its version")
    return found.group(3), (int(found.group(1)), int(found.group(2)))


def _host_compiler(command: str) -> str:
    """First line of what the C++ compiler says of its version. nvcc does nothing without one."""
    try:
        return _answer(command, "--version").splitlines()[0].strip()
    except _SilentError as error:
        raise CompileError(
            f"nvcc needs a C++ compiler for its host code, and {command} {error}: `apt install g++` on "
            "Debian and Ubuntu, `dnf install gcc-c++` on Fedora, or set NVCC_CCBIN to one that nvcc takes"
        ) from None


def _architectures(program: str) -> tuple[int, ...]:
    """Numbers of the sm_XY that it makes code for, from OLDEST_ARCHITECTURE on."""
    try:
        listed = _answer(program, "--list-gpu-code")
    except _SilentError as error:
        raise CompileError(f"{program} --list-gpu-code {error}; {INSTALL}") from error
    numbers = {int(number) for number in re.findall(r"^sm_(\d+)$", listed, re.MULTILINE)}
    return tuple(sorted(n for n in numbers if n >= OLDEST_ARCHITECTURE))


def _libraries(nvcc: Path) -> tuple[str, ...]:
    """pip's packages have lib/ where nvcc looks for lib64/."""
    folder = nvcc.resolve().parents[1] / "lib"
    return ("-L", str(folder)) if (folder / "libcudart_static.a").exists() else ()
