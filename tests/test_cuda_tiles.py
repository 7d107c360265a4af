"""The kernel of products in each size of tiles; see tests/cuda/tiles.cu."""

from __future__ import annotations

import pytest

from tests import cuda_host

CASES = [*(("plain", order) for order in cuda_host.ORDERS), ("thread", "7")]


@pytest.mark.parametrize(("variant", "order"), CASES)
def test_each_size_of_tiles_gives_the_bits_of_plain_loops(variant: str, order: str) -> None:
    """In any order of the threads; none reads what another has yet to write, or writes what another reads."""
    answer = cuda_host.run(cuda_host.program(cuda_host.HEADERS / "tiles.cu", variant), order=order)
    assert answer.returncode == 0, answer.stdout + answer.stderr
