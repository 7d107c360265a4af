"""Reads and writes .npz files: arrays by name, never pickled objects, written whole or not at all."""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from snncc_runtime import ModelError
from snncc_runtime.files import reason, write_file


def read_npz(path: Path) -> dict[str, np.ndarray]:
    """All arrays of the file. Raises ModelError."""
    try:
        with path.open("rb") as file:
            archive: Any = np.load(file, allow_pickle=False)
            if not isinstance(archive, Mapping):
                raise ModelError(
                    f"{path}: holds one array; write it as np.savez({path.with_suffix('.npz').name!r}, x=...)"
                )
            return {name: archive[name] for name in archive}
    except OSError as error:
        raise ModelError(f"{path}: cannot be read: {reason(error)}") from error
    except (ValueError, EOFError, KeyError, zipfile.BadZipFile, zlib.error, NotImplementedError) as error:
        what = "it holds Python objects" if "allow_pickle" in str(error) else str(error)
        raise ModelError(f"{path}: is not a sound .npz file of arrays: {what}") from error


def write_npz(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """The arrays under their names, whatever these are: np.savez cannot take one called `file`."""
    memory = io.BytesIO()
    with zipfile.ZipFile(memory, "w") as archive:
        for name, array in arrays.items():
            with archive.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True) as file:
                np.lib.format.write_array(
                    file, np.ascontiguousarray(array).reshape(array.shape), allow_pickle=False
                )
    write_file(path, memory.getvalue())
