"""The header's float16 and bfloat16 against NumPy: all numbers of each format, ties, any other bits."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import cffi
import numpy as np
import pytest

from snncc.ops.linear import rounded
from tests.headers import VARIANTS, build

pytestmark = pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler `cc`")
FORMATS = ("float16", "bfloat16")
REALS: dict[int, type] = {32: np.float32, 64: np.float64}
CHOICES = [(bits, variant) for bits in REALS for variant in VARIANTS]
EVERY = np.arange(65536, dtype=np.uint16)
Array = np.ndarray


@pytest.fixture(scope="module", params=CHOICES, ids=lambda choice: f"{choice[1]}{choice[0]}")
def half(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Half:
    return Half(tmp_path_factory.mktemp("half"), *request.param)


class Half:
    """The conversions on arrays."""

    def __init__(self, folder: Path, bits: int, variant: str) -> None:
        self.real, heads, text = REALS[bits], "", '#include "snncc/snncc.h"\n'
        for name in FORMATS:
            to = f"void to_{name}(const snncc_real *x, int n, uint16_t *y)"
            read = f"void read_{name}(const uint16_t *x, int n, snncc_real *y)"
            heads += f"{to};\n{read};\n"
            one = f"void to_each_{name}(const snncc_real *x, int n, uint16_t *y)"
            heads += f"{one};\n"
            text += f"{to};\n{read};\n{one};\n{to} {{ snncc_store_{name}(x, n, y); }}\n"
            text += f"{one} {{ for (int i = 0; i < n; i++) y[i] = snncc_to_{name}(x[i]); }}\n"
            text += f"{read} {{ snncc_read_{name}(x, n, y); }}\n"
        self.ffi = cffi.FFI()
        self.ffi.cdef(f"typedef {'float' if bits == 32 else 'double'} snncc_real;\n{heads}")
        flags = [*VARIANTS[variant], "-shared", "-fPIC"]
        self.library: Any = self.ffi.dlopen(str(build(folder, "half.so", bits, flags, text)))

    def call(self, name: str, x: Array, dtype: type) -> Array:
        y = np.empty(x.size, dtype)
        pointers = [self.ffi.from_buffer(t, a) for t, a in ((self._type(x), x), (self._type(y), y))]
        getattr(self.library, name)(pointers[0], x.size, pointers[1])
        return y

    def _type(self, x: Array) -> str:
        return "uint16_t[]" if x.dtype == np.uint16 else "snncc_real[]"

    def numbers(self, held: Array) -> Array:
        """What is held, what lies halfway between two of those, next to that, and anything else."""
        random, size = np.random.default_rng(0), 8 * self.real().itemsize
        finite = np.sort(held[np.isfinite(held)].astype(np.float64))
        ties = (finite[1:] / 2 + finite[:-1] / 2).astype(self.real)
        near = [np.nextafter(ties, self.real(limit)) for limit in (-np.inf, np.inf)]
        bits = random.integers(0, 2**size, 200_000, np.dtype(f"u{size // 8}")).view(self.real)
        wide = random.standard_normal(100_000) * 10.0 ** random.integers(-42, 39, 100_000)
        extreme = np.array([65519.99, 65520, 1e-46, np.inf, -np.inf, np.nan, 0.0, -0.0])
        with np.errstate(all="ignore"):
            return np.concatenate([a.astype(self.real) for a in (held, ties, *near, bits, wide, extreme)])


def same(found: Array, expected: Array) -> None:
    """Equal numbers of equal sign, and NaN where NaN is expected."""
    np.testing.assert_array_equal(found, expected)
    sure = ~np.isnan(expected)
    np.testing.assert_array_equal(np.signbit(found[sure]), np.signbit(expected[sure]))


@pytest.mark.parametrize("name", FORMATS)
def test_every_number_of_a_format_is_read_exactly(half: Half, name: str) -> None:
    float_bits = EVERY.astype(np.uint32) << np.uint32(16)
    known = EVERY.view(np.float16) if name == "float16" else float_bits.view(np.float32)
    held = half.call(f"read_{name}", EVERY, half.real)
    with np.errstate(invalid="ignore"):
        same(held, known.astype(half.real))
    numbers = ~np.isnan(held)
    np.testing.assert_array_equal(half.call(f"to_{name}", held, np.uint16)[numbers], EVERY[numbers])


@pytest.mark.parametrize("name", FORMATS)
def test_numbers_are_rounded_as_the_interpreter_does(half: Half, name: str) -> None:
    x = half.numbers(half.call(f"read_{name}", EVERY, half.real))
    narrow = half.call(f"to_{name}", x, np.uint16)
    same(half.call(f"read_{name}", narrow, half.real), rounded(x, name))
    np.testing.assert_array_equal(narrow, half.call(f"to_each_{name}", x, np.uint16))
    assert (narrow[np.isnan(x)] & 0x7FFF > (0x7C00 if name == "float16" else 0x7F80)).all()
