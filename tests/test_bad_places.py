"""Spoilt model folders, places that cannot be written, full disks, broken compilers."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import snncc
from snncc import loss, nn, optim
from tests.terminal import NETWORK, Answer, Terminal, assert_refused, environment


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Terminal:
    monkeypatch.setattr(sys, "path", list(sys.path))
    return Terminal(capsys)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> str:
    """`file.py:net` of a network that compiles."""
    path = tmp_path_factory.mktemp("networks") / "sound.py"
    path.write_text(NETWORK)
    return f"{path}:net"


@pytest.fixture(scope="module")
def original(source: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The network as a model folder."""
    folder = tmp_path_factory.mktemp("models") / "sound"
    network = nn.Sequential(fc1=nn.Linear(4, 6), lif1=nn.Leaky(0.9))
    options = {"loss": loss.cross_entropy("count"), "optimizer": optim.SGD(0.1)}
    snncc.compile(network, num_steps=2, out=folder, **options)
    np.savez(folder.with_name("in.npz"), x=np.ones((2, 3, 4)))
    np.savez(folder.with_name("data.npz"), x=np.ones((2, 3, 4)), y=np.zeros(3, int))
    return folder


def contents(folder: Path) -> dict[str, bytes | None]:
    """Everything below a folder."""
    return {str(p.relative_to(folder)): p.read_bytes() if p.is_file() else None for p in folder.rglob("*")}


# Model folders that are not as they were made


def remove(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).unlink()


def alter(name: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        content = bytearray((folder / name).read_bytes())
        content[len(content) // 2] ^= 1
        (folder / name).write_bytes(content)

    return change


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (remove("manifest.json"), "has no manifest.json"),
        (remove("weights.safetensors"), "weights.safetensors is missing"),
        (remove("libmodel.so"), "libmodel.so is missing"),
        (remove("model.c"), "model.c is missing"),
        (alter("libmodel.so"), "libmodel.so was altered"),
        (alter("_binding.py"), "_binding.py was altered"),
        (lambda folder: (folder / "manifest.json").write_text("{"), "manifest.json: is not JSON"),
        (lambda folder: (folder / "weights.safetensors").write_bytes(b"short"), "weights.safetensors"),
        (shutil.rmtree, "is not a folder"),
    ],
)    # fmt: skip
def test_commands_refuse_a_spoilt_model(
    run: Terminal, original: Path, spoil: Callable[[Path], object], message: str, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(original, tmp_path / "m"))
    spoil(folder)
    before = contents(tmp_path)
    given, data = original.with_name("in.npz"), original.with_name("data.npz")
    assert_refused(run("run", folder, given, "-o", tmp_path / "out.npz"), message)
    assert_refused(run("train", folder, data, "-o", tmp_path / "out"), message)
    if folder.exists():
        assert_refused(run("inspect", folder), message)
    assert contents(tmp_path) == before


# Places that cannot be written


PLACES = ("a file in the way", "below a file", "a folder of others", "no file system")


def places(tmp_path: Path) -> dict[str, tuple[Path, str]]:
    """Paths that nobody can write to, not even root, each with what is to be said of it."""
    (tmp_path / "file").write_text("text")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "thesis.txt").write_text("text")
    return {
        "a file in the way": (tmp_path / "file", "is a file, and is left alone|Is a directory"),
        "below a file": (tmp_path / "file" / "m", "could not be written|cannot be read"),
        "a folder of others": (tmp_path / "folder", "is a folder that is not a model|Is a directory"),
        "no file system": (Path("/proc/nowhere/m"), "could not be written: .*; nothing was changed"),
    }


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("command", ["compile", "train", "save"])
def test_a_model_goes_only_where_it_can(
    run: Terminal, source: str, original: Path, command: str, place: str, tmp_path: Path
) -> None:
    path, message = places(tmp_path)[place]
    before = contents(tmp_path)
    if command == "save":
        with pytest.raises(snncc.ModelError, match=message):
            snncc.load(original).save(path)
    else:
        data = original.with_name("data.npz")
        options = ("compile", source, "--num-steps", 5) if command == "compile" else ("train", original, data)
        answer = run(*options, "-o", path)
        assert_refused(last_line(answer), message)
    assert contents(tmp_path) == before


def last_line(answer: Answer) -> Answer:
    """An answer without the progress that was reported before the error."""
    return replace(answer, err=answer.err.splitlines(keepends=True)[-1])


@pytest.mark.parametrize("place", ["below a file", "a folder of others", "no file system"])
def test_results_go_only_where_they_can(run: Terminal, original: Path, place: str, tmp_path: Path) -> None:
    path, _ = places(tmp_path)[place]
    before = contents(tmp_path)
    answer = run("run", original, original.with_name("in.npz"), "-o", path)
    assert_refused(answer, "could not be written: .*; nothing was changed")
    assert contents(tmp_path) == before


MOUNTED = """
set -e
mount -t tmpfs -o size={size},{mode} tmpfs {folder}
set +e
"$@"
echo "exit $?"
ls -A {folder}
"""


@pytest.mark.parametrize(
    ("size", "mode", "message"),
    [("24k", "rw", "the disk is full"), ("1m", "ro", "the file system is read-only")],
    ids=["full", "read-only"],
)
@pytest.mark.parametrize("command", ["compile", "train", "run"])
def test_a_real_file_system_that_is_full_or_read_only(
    source: str, original: Path, command: str, size: str, mode: str, message: str, tmp_path: Path
) -> None:
    """In a name space of its own: the mount ends with the process."""
    if subprocess.run(["unshare", "-rm", "true"], capture_output=True, check=False).returncode:
        pytest.skip("this system lets nobody mount")
    script = MOUNTED.format(size=size, mode=mode, folder=tmp_path)
    arrays = original.with_name("big.npz")
    np.savez(arrays, x=np.ones((2, 3000, 4)))
    options = {
        "compile": ("compile", source, "--num-steps", "5"),
        "train": ("train", original, original.with_name("data.npz")),
        "run": ("run", original, arrays),
    }[command]
    program = [sys.executable, "-m", "snncc", *map(str, options), "-o", str(tmp_path / "out")]
    answer = subprocess.run(
        ["unshare", "-rm", "sh", "-c", script, "sh", *program],
        env=environment(), capture_output=True, text=True, check=False,
    )    # fmt: skip
    if "mount:" in answer.stderr:
        pytest.skip("this system lets nobody mount")
    assert answer.stdout.endswith("exit 2\n"), answer
    assert answer.stderr.splitlines()[-1].startswith("snncc: ")
    assert message in answer.stderr
    assert "nothing was changed" in answer.stderr
    assert "Traceback" not in answer.stderr


def test_a_full_disk_under_the_cache(
    run: Terminal, source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*arguments: Any, **options: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setenv("SNNCC_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(Path, "write_text", full)
    monkeypatch.setattr(Path, "write_bytes", full)
    answer = run("compile", source, "-o", tmp_path / "m")
    assert_refused(answer, "the disk is full; .*set SNNCC_CACHE to a folder that can")
    assert list(contents(tmp_path)) == ["cache"]


# Compilers


def script(path: Path, text: str) -> str:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


def test_no_compiler(run: Terminal, source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CC", str(tmp_path / "absent-cc"))
    answer = run("compile", source, "-o", tmp_path / "m")
    assert_refused(answer, "no C compiler found .*absent-cc: not found.*unset CC or set it to a C compiler")
    assert list(tmp_path.iterdir()) == []


def test_a_compiler_that_fails(
    run: Terminal, source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = 'case "$*" in *--version*) echo mine 1.0;; *) echo "model.c:1:2: error: no good"; exit 1;; esac'
    monkeypatch.setenv("CC", script(tmp_path / "my-cc", text))
    monkeypatch.setenv("SNNCC_CACHE", str(tmp_path / "cache"))
    answer = run("compile", source, "-o", tmp_path / "m")
    assert_refused(answer, "the C compiler failed: model.c:1:2: error: no good; the sources and")
    assert not (tmp_path / "m").exists()
    (kept,) = (tmp_path / "cache").glob("failed-*")
    assert "no good" in (kept / "build.log").read_text()
    assert "int32_t model_forward(" in (kept / "model.c").read_text()
    assert not list((tmp_path / "cache").glob("draft-*"))


def test_a_compiler_that_makes_no_library(
    run: Terminal, source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CC", script(tmp_path / "my-cc", "echo mine 1.0"))
    monkeypatch.setenv("SNNCC_CACHE", str(tmp_path / "cache"))
    answer = run("compile", source, "-o", tmp_path / "m")
    assert_refused(answer, "the C compiler failed: mine 1.0; the sources and its whole output")
    assert not (tmp_path / "m").exists()
