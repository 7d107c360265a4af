"""Writes files and folders whole or not at all."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import secrets
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from .errors import ModelError

MANIFEST = "manifest.json"
WEIGHTS = "weights.safetensors"


def write_file(path: Path, content: bytes) -> None:
    """Writes beside `path`, then renames: a reader sees the old file or the new one."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        try:
            draft.write_bytes(content)
            os.replace(draft, path)
        finally:
            draft.unlink(missing_ok=True)
    except OSError as error:
        raise ModelError(f"{path}: could not be written: {reason(error)}; nothing was changed") from error


def replace_folder(folder: str | os.PathLike[str], files: Mapping[str, bytes]) -> None:
    """Makes `folder` hold exactly a model's `files` (names with `/`); an older model there is replaced.

    Files that a person put beside the older model stay. Anything else than a model, an empty folder or
    nothing at that place is refused, and after an error the place is as it was.
    """
    target = Path(os.path.realpath(folder))
    draft = target.with_name(f".{target.name}.{secrets.token_hex(4)}")
    made: list[Path] = []
    try:
        try:
            _make_parents(target.parent, made)
            with locked(target.parent):
                check_replaceable(target)
                _write_all(draft, files)
                _swap(draft, target)
        except BaseException:
            shutil.rmtree(draft, ignore_errors=True)
            _remove_empty(made)
            raise
    except OSError as error:
        raise ModelError(f"{folder}: could not be written: {reason(error)}; nothing was changed") from error


@contextmanager
def locked(folder: Path, *, shared: bool = False) -> Iterator[None]:
    """Keeps other processes' models in that folder from being swapped meanwhile, where the system can."""
    number = -1
    try:
        number = os.open(folder, os.O_RDONLY)
        fcntl.flock(number, fcntl.LOCK_SH if shared else fcntl.LOCK_EX)
    except OSError:  # not every file system has locks
        pass
    try:
        yield
    finally:
        if number >= 0:
            os.close(number)


def check_replaceable(folder: Path) -> None:
    """Raises ModelError if something other than a model of snncc or an empty folder stands there."""
    try:
        if not folder.exists() or (folder.is_dir() and (_is_model(folder) or not any(folder.iterdir()))):
            return
    except OSError as error:
        raise ModelError(f"{folder}: cannot be read: {reason(error)}; choose another folder") from error
    kind = "a folder that is not a model of snncc" if folder.is_dir() else "a file"
    raise ModelError(f"{folder}: is {kind}, and is left alone; choose another folder, or remove it first")


def is_plain_name(name: str) -> bool:
    """Whether `name` is a relative path that stays inside its folder."""
    path = PurePosixPath(name)
    return bool(path.parts) and not path.is_absolute() and ".." not in path.parts and "\\" not in name


def reason(error: OSError) -> str:
    """The system's error in the user's words."""
    match error.errno:
        case errno.ENOSPC | errno.EDQUOT:
            return "the disk is full"
        case errno.EROFS:
            return "the file system is read-only"
        case errno.EACCES | errno.EPERM:
            return "this user may not write there"
    return error.strerror or str(error)


def _is_model(folder: Path) -> bool:
    try:
        manifest = json.loads((folder / MANIFEST).read_text())
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(manifest, dict) and "snncc" in manifest and "schema" in manifest


def _make_parents(parent: Path, made: list[Path]) -> None:
    """Makes the missing folders above the target; `made` gets them, outermost first."""
    missing = [folder for folder in (parent, *parent.parents) if not folder.exists()]
    for folder in reversed(missing):
        folder.mkdir(exist_ok=True)
        made.append(folder)


def _remove_empty(folders: Iterable[Path]) -> None:
    for folder in reversed(list(folders)):
        try:
            folder.rmdir()
        except OSError:  # somebody else uses it by now
            return


def _write_all(draft: Path, files: Mapping[str, bytes]) -> None:
    draft.mkdir()
    for name, content in files.items():
        if not is_plain_name(name):
            raise ModelError(f"{name!r} is not the name of a file inside a model folder")
        path = draft / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def _swap(draft: Path, target: Path) -> None:
    """Renames `draft` to `target`; an older model steps aside first, and back if that fails."""
    if not _is_model(target):
        os.rename(draft, target)
        return
    old = target.with_name(f".{target.name}.{secrets.token_hex(4)}.old")
    os.rename(target, old)
    try:
        os.rename(draft, target)
    except OSError:
        os.rename(old, target)
        raise
    _keep_foreign(old, target)
    shutil.rmtree(old, ignore_errors=True)


def _keep_foreign(old: Path, new: Path) -> None:
    """Moves what did not belong to the old model, say a picture, into the new folder."""
    files = json.loads((old / MANIFEST).read_text()).get("files", ())
    owned = {MANIFEST, WEIGHTS, *(PurePosixPath(name).parts[0] for name in files)}
    for entry in old.iterdir():
        if entry.name not in owned and not (new / entry.name).exists():
            os.rename(entry, new / entry.name)
