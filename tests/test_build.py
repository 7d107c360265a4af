"""Finding a compiler, and the build cache."""

from __future__ import annotations

import errno
import hashlib
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from snncc import build, store
from snncc.errors import CompileError, InternalError
from tests import handmade

ROOT = Path(__file__).parents[1]


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of this test's own."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("SNNCC_CACHE", str(folder))
    return folder


def build_tiny(**changes: Any) -> build.Built:
    arguments = {"name": "tiny", "declarations": handmade.declarations(), **changes}
    return build.build(arguments.pop("sources", handmade.sources()), **arguments)


def script(path: Path, text: str) -> str:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


def counting_compiler(folder: Path, refuse: str = "nothing") -> tuple[str, Path]:
    """A compiler that logs its calls and refuses one flag."""
    log = folder / "calls.log"
    lines = (f'echo "$*" >> {log}', f'case " $* " in *" {refuse} "*) exit 1;; esac', 'exec cc "$@"')
    return script(folder / "logging-cc", "\n".join(lines)), log


# Compilers


def test_the_compiler_in_cc_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CC", "cc -g0")
    compiler = build.find_compiler()
    assert compiler.command == ("cc", "-g0")
    assert compiler.version
    assert str(compiler).startswith("cc -g0 (")


def test_a_machine_without_compiler_is_told_what_to_install(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(build.importlib.util, "find_spec", lambda name: None)
    tried = r"tried cc: not found; gcc: not found; clang: not found"
    with pytest.raises(CompileError, match=f"{tried}.*apt install"):
        build.find_compiler()


def test_ziglang_is_the_last_resort(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(build.importlib.util, "find_spec", lambda name: object())
    answers = {("cc",): "no", ("gcc",): "no", ("clang",): "no"}
    monkeypatch.setattr(build, "_ask_version", lambda c: answers.get(c, build.Compiler(c, "clang 22")))
    assert build.find_compiler().command == (sys.executable, "-m", "ziglang", "cc")


@pytest.mark.parametrize(
    ("text", "finding"),
    [(None, "not found"), ("exit 3", "exit status 3"), ("exit 0", "exit status 0")],
)
def test_a_broken_compiler_in_cc_is_not_passed_over(
    text: str | None, finding: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    command = tmp_path / "broken-cc"
    if text is not None:
        script(command, text)
    monkeypatch.setenv("CC", str(command))
    with pytest.raises(CompileError, match=f"{finding}.*CC is set to it"):
        build.find_compiler()


def test_flags_that_a_compiler_refuses_are_left_out(
    cache: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    command, log = counting_compiler(tmp_path, refuse="-fopenmp")
    monkeypatch.setenv("CC", command)
    compiler, folder = build.find_compiler(), store.cache_folder()
    flags = build.accepted_flags(compiler, folder)
    assert set(flags) == set(build.accepted_flags(build.Compiler(("cc",), "cc"), folder)) - {"-fopenmp"}
    built = build_tiny()
    assert "-fopenmp" not in built.command
    assert "-Wno-unknown-pragmas" in built.command
    before = log.read_text()
    assert build.accepted_flags(compiler, folder) == flags
    assert log.read_text() == before, "what a compiler accepts is asked once"


def test_portable_builds_name_no_instruction_sets(cache: Path) -> None:
    built = build_tiny(options=build.BuildOptions(level=1, native=False, openmp=False))
    assert "-march=native" not in built.command
    assert "-O1" in built.command
    assert built.record()["cpu_flags"] == []


# The cache


def test_the_second_build_comes_from_the_cache(
    cache: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    command, log = counting_compiler(tmp_path)
    monkeypatch.setenv("CC", command)
    first = build_tiny()
    calls = log.read_text()
    second = build_tiny()
    assert (first.cached, second.cached) == (False, True)
    assert log.read_text() == calls
    assert first.files == second.files
    assert first.record() == second.record()
    assert set(first.files) == {"model.c", "model.h", "libtiny.so", "_binding.py"}
    assert first.warnings == ""
    assert not any(str(Path.home()) in part or "include" in part for part in first.command)


@pytest.mark.optimised    # as the processes that it starts
def test_the_cached_path_is_short_and_parses_no_c(cache: Path) -> None:
    build_tiny()
    text = f"""
import sys, time
sys.path[:0] = [{str(ROOT)!r}, {str(ROOT / "runtime")!r}]
from snncc import build, store
from tests import handmade
sources, declarations = handmade.sources(), handmade.declarations()
start = time.perf_counter()
built = build.build(sources, name="tiny", declarations=declarations)
print(built.cached, "pycparser" in sys.modules, time.perf_counter() - start)
"""
    answers = [subprocess.check_output([sys.executable, "-c", text], text=True).split() for _ in range(6)]
    assert all(answer[:2] == ["True", "False"] for answer in answers)
    assert min(float(answer[2]) for answer in answers) < 0.020


def test_the_key_holds_everything_that_matters(
    cache: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    include = tmp_path / "include"
    (include / "snncc").mkdir(parents=True)
    monkeypatch.setattr(store, "get_include", lambda: str(include))
    folders = [build_tiny().folder]
    (include / "snncc" / "target.h").write_text("/* a header changed */\n")
    folders.append(build_tiny().folder)
    sources = handmade.sources()
    folders.append(build_tiny(sources={**sources, "model.c": sources["model.c"] + "\n"}).folder)
    folders.append(build_tiny(options=build.BuildOptions(level=2)).folder)
    monkeypatch.setattr(store, "cpu_flags", lambda: ("another",))
    folders.append(build_tiny().folder)
    compiler = build.find_compiler()
    folders.append(build_tiny(compiler=build.Compiler(compiler.command, "another version")).folder)
    assert len(set(folders)) == len(folders)


@pytest.mark.parametrize("damage", ["library", "record", "missing"])
def test_a_damaged_entry_is_built_again(damage: str, cache: Path) -> None:
    first = build_tiny()
    place = first.folder / {"record": store.RECORD}.get(damage, first.library)
    if damage == "missing":
        place.unlink()
    else:
        place.write_bytes(bytes(place.stat().st_size))
    again = build_tiny()
    assert not again.cached
    assert again.files == first.files
    assert build_tiny().cached


def test_two_processes_build_the_same_model_at_once(cache: Path, tmp_path: Path) -> None:
    go = tmp_path / "go"
    text = f"""
import sys, time, pathlib
sys.path[:0] = [{str(ROOT)!r}, {str(ROOT / "runtime")!r}]
from tests import handmade
import snncc_runtime
print("ready", flush=True)
while not pathlib.Path({str(go)!r}).exists(): time.sleep(0.001)
model = snncc_runtime.load(handmade.write(pathlib.Path({str(tmp_path / "tiny")!r})))
print(model.name)
"""
    processes = [
        subprocess.Popen([sys.executable, "-c", text], stdout=subprocess.PIPE, text=True) for _ in range(3)
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    go.touch()
    assert [process.communicate()[0] for process in processes] == ["tiny\n"] * 3
    assert [process.returncode for process in processes] == [0] * 3
    entries = sorted(path.name for path in cache.iterdir())
    assert len(entries) == 2, entries    # the build, and what the compiler accepts
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_the_cache_is_where_the_environment_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("SNNCC_CACHE", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    assert store.cache_folder() == tmp_path / "home" / ".cache" / "snncc"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert store.cache_folder() == tmp_path / "xdg" / "snncc"
    monkeypatch.setenv("SNNCC_CACHE", str(tmp_path / "own"))
    assert store.cache_folder() == tmp_path / "own"


def test_a_cache_that_cannot_be_made_names_the_remedy(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("SNNCC_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(CompileError, match="set SNNCC_CACHE to a folder"):
        build_tiny()


def test_a_full_disk_names_the_remedy(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    build.accepted_flags(build.find_compiler(), store.cache_folder())

    def full(*arguments: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(store, "write_sources", full)
    with pytest.raises(CompileError, match="the disk is full; set SNNCC_CACHE"):
        build_tiny()
    assert not [path for path in cache.iterdir() if path.is_dir()], "nothing half written"


# Errors of the compiler


def test_a_compile_error_keeps_the_sources(cache: Path) -> None:
    code = '#include "model.h"\nint x = 1;\nint broken(void) { return y; }\n'
    sources = {**handmade.sources(), "model.c": code}
    for _ in range(2):    # the second failure replaces what the first one kept
        with pytest.raises(CompileError) as caught:
            build_tiny(sources=sources)
    message = str(caught.value)
    assert "model.c:3:" in message
    assert "error: " in message
    assert "-ffp-contract=off" in message
    (kept,) = cache.glob("failed-*")
    assert f"are in {kept};" in message
    assert (kept / "model.c").read_text() == sources["model.c"]
    assert "error" in (kept / "build.log").read_text()
    assert not list(cache.glob("draft-*"))


def test_warnings_are_reported_and_kept(cache: Path) -> None:
    sources = handmade.sources()
    sources["model.c"] += "static int idle(int unused) { return 0; }\n"
    assert "unused" in build_tiny(sources=sources).warnings
    assert "unused" in build_tiny(sources=sources).warnings


def test_declarations_that_cffi_refuses_are_a_bug_of_ours(cache: Path) -> None:
    with pytest.raises(InternalError, match="cffi does not take the declarations"):
        build_tiny(declarations="int f(;")
    with pytest.raises(InternalError, match="cannot be named"):
        build_tiny(name="../tiny")


def test_the_c_compiler_agrees_with_the_declarations(tmp_path: Path) -> None:
    module = build.build_api_module(
        handmade.sources(), name="tiny", declarations=handmade.declarations(), folder=tmp_path
    )
    record = module.ffi.new("tiny_abi_record *")
    module.lib.tiny_abi(record)
    assert record.io_bytes == module.ffi.sizeof("tiny_io")
    digest = hashlib.sha256(handmade.declarations().encode()).hexdigest()
    assert module.ffi.string(record.digest).decode() == digest


def test_the_c_compiler_finds_a_wrong_declaration(tmp_path: Path) -> None:
    wrong = handmade.declarations().replace("const tiny_io *, int32_t batch)", "const tiny_io *)")
    with pytest.raises(CompileError, match="too few arguments"):
        build.build_api_module(handmade.sources(), name="wrong", declarations=wrong, folder=tmp_path)
