"""Model folders appear whole or not at all, and nobody's files are lost."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from snncc import build
from snncc.errors import CompileError

ROOT = Path(__file__).parents[1]
MANIFEST = {"schema": 1, "snncc": "0.1.0", "name": "tiny"}
FILES = {"model.c": b"int x;\n", "include/snncc/target.h": b"", "weights.safetensors": b"w"}


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def contents(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }


def test_a_folder_holds_the_files_and_their_digests(tmp_path: Path) -> None:
    build.write_folder(tmp_path / "new" / "tiny", FILES, MANIFEST)
    found = contents(tmp_path / "new" / "tiny")
    manifest = json.loads(found.pop("manifest.json"))
    assert found == FILES
    assert set(manifest["files"]) == {"model.c", "include/snncc/target.h"}
    assert manifest["files"]["model.c"] == hashlib.sha256(FILES["model.c"]).hexdigest()
    assert names(tmp_path / "new") == ["tiny"]


def test_an_older_model_is_replaced_and_what_a_person_put_there_stays(tmp_path: Path) -> None:
    folder = tmp_path / "tiny"
    build.write_folder(folder, {**FILES, "old.c": b""}, MANIFEST)
    (folder / "raster.png").write_bytes(b"picture")
    link = tmp_path / "link"
    link.symlink_to(folder)
    build.write_folder(link, {**FILES, "model.c": b"int y;\n"}, MANIFEST)
    assert set(contents(folder)) == {*FILES, "manifest.json", "raster.png"}
    assert contents(folder)["model.c"] == b"int y;\n"
    assert names(tmp_path) == ["link", "tiny"]


@pytest.mark.parametrize("kind", ["file", "folder", "other manifest"])
def test_anything_else_is_left_alone(kind: str, tmp_path: Path) -> None:
    place = tmp_path / "precious"
    if kind == "file":
        place.write_text("text")
    else:
        place.mkdir()
        (place / "thesis.txt").write_text("text")
    if kind == "other manifest":
        (place / "manifest.json").write_text('{"name": "a web page"}')
    with pytest.raises(CompileError, match="is left alone; choose another folder"):
        build.write_folder(place, FILES, MANIFEST)
    assert "text" in (place if kind == "file" else place / "thesis.txt").read_text()
    assert names(tmp_path) == ["precious"]


def test_an_empty_folder_is_filled(tmp_path: Path) -> None:
    (tmp_path / "tiny").mkdir()
    build.write_folder(tmp_path / "tiny", FILES, MANIFEST)
    assert "manifest.json" in contents(tmp_path / "tiny")


@pytest.mark.parametrize(
    ("number", "text"),
    [(errno.ENOSPC, "the disk is full"), (errno.EROFS, "read-only"), (errno.EACCES, "may not write")],
)
@pytest.mark.parametrize("function", ["mkdir", "write_bytes", "rename"])
def test_a_folder_that_cannot_be_written_stays_as_it_was(
    function: str, number: int, text: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder = tmp_path / "tiny"
    build.write_folder(folder, FILES, MANIFEST)
    before = contents(tmp_path)

    def fail(*arguments: Any, **options: Any) -> None:
        raise OSError(number, os.strerror(number))

    for place in (folder, tmp_path / "deep" / "down" / "tiny"):
        with monkeypatch.context() as patch:
            patch.setattr(os if function == "rename" else Path, function, fail)
            with pytest.raises(CompileError, match=f"could not be written: .*{text}.*; nothing was changed"):
                build.write_folder(place, {**FILES, "model.c": b"new"}, MANIFEST)
        assert contents(tmp_path) == before
        assert names(tmp_path) == ["tiny"]


def test_a_swap_that_fails_half_way_is_undone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    folder, rename, calls = tmp_path / "tiny", os.rename, []
    build.write_folder(folder, FILES, MANIFEST)
    before = contents(tmp_path)

    def fail_second(source: Any, target: Any) -> None:
        calls.append(source)
        if len(calls) == 2:    # the older model has stepped aside by then
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        rename(source, target)

    monkeypatch.setattr(os, "rename", fail_second)
    with pytest.raises(CompileError, match="nothing was changed"):
        build.write_folder(folder, {**FILES, "model.c": b"new"}, MANIFEST)
    assert contents(tmp_path) == before


def test_a_real_limit_leaves_nothing_behind(tmp_path: Path) -> None:
    resource = pytest.importorskip("resource")
    text = f"""
import resource, signal, sys
sys.path[:0] = [{str(ROOT)!r}, {str(ROOT / "runtime")!r}]
from snncc import build, errors
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    build.write_folder({str(tmp_path / "tiny")!r}, {{"a": b"1", "model.c": bytes(5000)}}, {MANIFEST!r})
except errors.CompileError as error:
    print(error)
"""
    assert resource.RLIMIT_FSIZE is not None
    answer = subprocess.check_output([sys.executable, "-B", "-c", text], text=True)
    assert "nothing was changed" in answer
    assert names(tmp_path) == []


def test_names_stay_inside_the_folder(tmp_path: Path) -> None:
    for name in ("../evil", "/evil", "a/../../evil", ""):
        with pytest.raises(CompileError, match="not the name of a file inside"):
            build.write_folder(tmp_path / "tiny", {**FILES, name: b""}, MANIFEST)
    assert names(tmp_path) == []


def test_writers_of_the_same_folder_do_not_meet(tmp_path: Path) -> None:
    def write(number: int) -> None:
        build.write_folder(tmp_path / "tiny", {name: str(number).encode() for name in FILES}, MANIFEST)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, range(24)))
    found = contents(tmp_path / "tiny")
    del found["manifest.json"]
    assert set(found) == set(FILES)
    assert len(set(found.values())) == 1, "files of two writers were mixed"
    assert names(tmp_path) == ["tiny"]
