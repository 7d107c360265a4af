"""Weights files: the same as the safetensors package's, and nothing believed of a file that is not sound."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from snncc_runtime import ModelError
from snncc_runtime.safetensors import read_safetensors, to_bytes, write_safetensors

ARRAYS = {
    "fc1.weight": np.arange(6, dtype=np.float32).reshape(2, 3),
    "scale": np.array(0.5, np.float64),
    "steps": np.array([1, -(2**40)], np.int64),
    "nothing": np.zeros((0, 4), np.float32),
    "ünï": np.array([np.nan, np.inf, -0.0], np.float32),
}


def header_file(header: object, data: bytes = b"", length: int | None = None) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return (len(text) if length is None else length).to_bytes(8, "little") + text + data


def entry(begin: int = 0, end: int = 8, shape: Any = (2,), dtype: Any = "F32") -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    write_safetensors(tmp_path / "w.safetensors", ARRAYS, {"format": "np"})
    arrays, metadata = read_safetensors(tmp_path / "w.safetensors")
    assert metadata == {"format": "np"}
    assert set(arrays) == set(ARRAYS)
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(arrays[name], array)
        assert arrays[name].dtype == array.dtype
        assert arrays[name].flags.writeable


def test_both_implementations_read_each_other(tmp_path: Path) -> None:
    theirs = pytest.importorskip("safetensors.numpy")
    ours, path = to_bytes(ARRAYS, {"format": "np"}), tmp_path / "theirs.safetensors"
    for name, array in theirs.load(ours).items():
        np.testing.assert_array_equal(array, ARRAYS[name])
        assert array.shape == ARRAYS[name].shape
    theirs.save_file(ARRAYS, path, {"format": "np"})
    arrays, metadata = read_safetensors(path)
    assert metadata == {"format": "np"}
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(arrays[name], array)
        assert (arrays[name].shape, arrays[name].dtype) == (array.shape, array.dtype)


def test_elements_are_aligned_and_the_text_does_not_depend_on_the_order() -> None:
    text = to_bytes({"b": np.zeros(3, np.float32), "a": np.zeros(1, np.int64)})
    assert text == to_bytes({"a": np.zeros(1, np.int64), "b": np.zeros(3, np.float32)})
    length = int.from_bytes(text[:8], "little")
    assert length % 8 == 0
    assert json.loads(text[8 : 8 + length])["a"]["data_offsets"] == [0, 8]


def test_foreign_byte_orders_and_layouts_are_written_right(tmp_path: Path) -> None:
    array = np.arange(6, dtype=">f4").reshape(2, 3).T
    write_safetensors(tmp_path / "w", {"x": array})
    np.testing.assert_array_equal(read_safetensors(tmp_path / "w")[0]["x"], array)


HOSTILE = {
    "empty file": b"",
    "shorter than its length": b"\x01\x02",
    "huge header": header_file(b"{}", length=2**63),
    "header beyond the file": header_file(b"{}", length=3),
    "not an object": header_file([]),
    "not JSON": header_file(b"{nope}"),
    "not UTF-8": header_file(b'{"\xff": 1}'),
    "deep nesting": header_file(b'{"a":' + b"[" * 100_000),
    "long number": header_file(b'{"a":' + b"9" * 10_000 + b"}"),
    "duplicate name": header_file(
        b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}',
        bytes(8),
    ),
    "metadata of numbers": header_file({"__metadata__": {"a": 1}}),
    "metadata is a list": header_file({"__metadata__": []}),
    "entry is a number": header_file({"a": 1}),
    "entry lacks a key": header_file({"a": {"dtype": "F32", "shape": [2]}}, bytes(8)),
    "unknown dtype": header_file({"a": entry(dtype="F8_E4M3", shape=[8])}, bytes(8)),
    "dtype is a list": header_file({"a": entry(dtype=["F32"])}, bytes(8)),
    "negative size": header_file({"a": entry(shape=[-2, -1])}, bytes(8)),
    "size is a float": header_file({"a": entry(shape=[2.0])}, bytes(8)),
    "size is a truth value": header_file({"a": entry(end=4, shape=[True])}, bytes(4)),
    "sizes overflow": header_file({"a": entry(shape=[2**32, 2**32, 2])}, bytes(8)),
    "too many axes": header_file({"a": entry(end=4, shape=[1] * 100)}, bytes(4)),
    "offsets beyond the file": header_file({"a": entry(end=2**40, shape=[2**38])}, bytes(8)),
    "offsets backwards": header_file({"a": entry(begin=8, end=0)}, bytes(8)),
    "negative offset": header_file({"a": entry(begin=-4, end=4)}, bytes(8)),
    "three offsets": header_file({"a": {**entry(), "data_offsets": [0, 4, 8]}}, bytes(8)),
    "shape and offsets differ": header_file({"a": entry(shape=[3])}, bytes(8)),
    "overlap": header_file({"a": entry(), "b": entry(begin=4, end=12)}, bytes(12)),
    "hole": header_file({"a": entry(), "b": entry(begin=12, end=20)}, bytes(20)),
    "bytes left over": header_file({"a": entry()}, bytes(9)),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_files_are_refused(name: str, tmp_path: Path) -> None:
    path = tmp_path / "hostile.safetensors"
    path.write_bytes(HOSTILE[name])
    with pytest.raises(ModelError, match=r"hostile\.safetensors: not a sound safetensors file: "):
        read_safetensors(path)


def test_random_damage_is_refused_or_harmless(tmp_path: Path) -> None:
    random, whole = np.random.default_rng(0), to_bytes(ARRAYS)
    for _ in range(300):
        text = bytearray(whole)
        for place in random.integers(0, len(text), 3):
            text[place] = random.integers(0, 256)
        (tmp_path / "w").write_bytes(bytes(text[: random.integers(1, len(text) + 1)]))
        try:
            read_safetensors(tmp_path / "w")
        except ModelError:
            continue


def test_a_missing_file_and_a_type_without_code(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="cannot be read: No such file"):
        read_safetensors(tmp_path / "none")
    with pytest.raises(ModelError, match="x: weights must be float32, float64 or int64, got complex64"):
        to_bytes({"x": np.zeros(1, np.complex64)})
    with pytest.raises(ModelError, match="could not be written"):
        write_safetensors(tmp_path / "no folder" / "w", ARRAYS)
    assert list(tmp_path.iterdir()) == []
