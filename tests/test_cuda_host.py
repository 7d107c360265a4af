"""CUDA on the host: sound kernels run under every check, and each planted fault is found by one of them."""

from __future__ import annotations

import ctypes
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests import cuda_host

CASES = Path(__file__).parent / "cuda" / "cases.cu"
SOUND = """\
scan 48528
sum 946.539
pack 6.6714e+12 12094
turn 2043.08
sum_of_blocks 45
relay 563.672 290.928
too many blocks 720
vote 3630303 3601821 3630811 3630403
errors 0
captured 0 0
replayed 200.5
replayed 200.266
waiting in a capture 900 901
copies 0 1 1
launches 9 1 0 4
pointers 2 0
memory 2
frees 0 1
"""


def answer(name: str, variant: str = "plain", **switches: str) -> tuple[int, str, str]:
    result = cuda_host.run(cuda_host.program(CASES, variant), name, **switches)
    return result.returncode, result.stdout, result.stderr


@pytest.mark.parametrize("order", cuda_host.ORDERS)
@pytest.mark.parametrize("variant", cuda_host.VARIANTS)
def test_sound_kernels_give_the_same_everywhere(variant: str, order: str) -> None:
    assert answer("sound", variant, order=order) == (0, SOUND, "")


@pytest.mark.parametrize("switches", [{"streams": "late"}, {"protect": "1"}])
def test_sound_callers_wait_and_copy(switches: dict[str, str]) -> None:
    assert answer("sound", **switches) == (0, SOUND, "")


@pytest.mark.parametrize(
    ("fault", "finding"),
    [
        ("divergent_barrier", "a barrier is not reached by every thread of the block"),
        ("two_barriers", "threads of one block wait at different barriers"),
        ("wrong_mask", "a lane of the mask never arrives"),
        ("not_in_mask", "the caller is not in its own mask"),
        ("barrier_of_some_blocks", "a barrier of all blocks is not reached by every block"),
        ("not_together", "a kernel that was not launched with SNNCC_LAUNCH_TOGETHER"),
        ("uninitialised_barrier", "the word of a barrier of all blocks was not zero at first"),
        ("host_pointer", "a pointer to what is no device memory"),
        ("freed_memory", "a pointer to what is no device memory"),
    ],
)
def test_what_may_not_be_ends_the_process(fault: str, finding: str) -> None:
    status, _, said = answer(fault)
    assert status == -signal.SIGABRT
    assert said.startswith("snncc host: ")
    assert finding in said


@pytest.mark.parametrize("fault", ["uninitialised_shared", "uninitialised_memory"])
def test_what_nobody_wrote_is_no_number(fault: str) -> None:
    assert answer(fault)[1].endswith(" NaN\n")
    assert not answer(fault)[1].endswith(" 0 NaN\n")


@pytest.mark.parametrize(
    ("fault", "finding"),
    [
        ("off_by_one", "AddressSanitizer: heap-buffer-overflow"),
        ("off_by_one_shared", "index 64 out of bounds for type 'float [64]'"),
        ("freed_memory", "no device memory"),
    ],
)
def test_bounds_are_kept(fault: str, finding: str) -> None:
    status, _, said = answer(fault, "address")
    assert status != 0
    assert finding in said


RACES = (
    *("missing_barrier", "missing_syncwarp", "missing_atomic"),
    *("race_between_blocks", "race_behind_barriers", "missing_grid_barrier"),
)


@pytest.mark.parametrize("fault", RACES)
def test_races_are_seen_although_nothing_runs_at_once(fault: str) -> None:
    status, _, said = answer(fault, "thread")
    assert status != 0
    assert "ThreadSanitizer: data race" in said
    assert f"in {fault}(" in said


@pytest.mark.parametrize("fault", [race for race in RACES if "atomic" not in race])
def test_a_race_shows_in_another_order(fault: str) -> None:
    answers = {answer(fault, order=order) for order in cuda_host.ORDERS}
    assert len(answers) > 1


def test_the_host_does_not_read_device_memory() -> None:
    assert answer("read_on_the_host")[0] == 0
    assert answer("read_on_the_host", protect="1")[0] == -signal.SIGSEGV


def test_a_result_that_nobody_waited_for_is_not_there() -> None:
    assert answer("read_too_early")[1] == "8380 0 NaN\n"
    assert answer("read_too_early", streams="late")[1] == "0 0 NaN\n"


def test_an_unknown_order_is_refused() -> None:
    assert "must be forward, reverse or a number" in answer("missing_atomic", order="backward")[2]


# What stands in for cuBLAS

TYPES = {"float32": 0, "float64": 1, "int8": 3, "int32": 10}
COMPUTE = {"float32": 68, "float64": 70, "int8": 72}
CUBLAS_INVALID_VALUE = 7


class Products:
    """Products of NumPy matrices, stored column by column, by the library that stands in for cuBLAS."""

    def __init__(self) -> None:
        self.cuda = ctypes.CDLL(str(cuda_host.library("plain")))
        self.blas = ctypes.CDLL(str(cuda_host.cublas()))
        self.handle = ctypes.c_void_p()
        assert self.blas.cublasCreate_v2(ctypes.byref(self.handle)) == 0

    def upload(self, array: np.ndarray) -> ctypes.c_void_p:
        device = ctypes.c_void_p()
        assert self.cuda.cudaMalloc(ctypes.byref(device), ctypes.c_size_t(array.nbytes)) == 0
        stored = array.ravel(order="F")
        assert self.cuda.cudaMemcpy(device, stored.ctypes.data_as(ctypes.c_void_p), stored.nbytes, 1) == 0
        return device

    def multiply(
        self, a: np.ndarray, b: np.ndarray, c: np.ndarray, turned: tuple[int, int] = (0, 0), beta: float = 0,
        pitch: int = 0, compute: int = 0,
    ) -> tuple[int, np.ndarray]:
        """Status, and 2 a b + beta c."""
        device = [self.upload(x) for x in (a, b, c)]
        (m, k), n = a.shape[:: -1 if turned[0] else 1], c.shape[1]
        compute = compute or COMPUTE[a.dtype.name]
        scalars = [np.array([value], c.dtype) for value in (2, beta)]
        alpha, by = (x.ctypes.data_as(ctypes.c_void_p) for x in scalars)
        status = self.blas.cublasGemmEx(
            self.handle, *turned, m, n, k, alpha, device[0], TYPES[a.dtype.name], pitch or a.shape[0],
            device[1], TYPES[b.dtype.name], b.shape[0], by, device[2], TYPES[c.dtype.name], m, compute, -1,
        )    # fmt: skip
        result = np.empty(c.size, c.dtype)
        assert self.cuda.cudaMemcpy(result.ctypes.data_as(ctypes.c_void_p), device[2], c.nbytes, 2) == 0
        for pointer in device:
            assert self.cuda.cudaFree(pointer) == 0
        return status, result.reshape(c.shape, order="F")


@pytest.mark.parametrize("turned", [(0, 0), (0, 1), (1, 0), (1, 1)])
@pytest.mark.parametrize(
    ("factor", "result"), [("float32", "float32"), ("float64", "float64"), ("int8", "int32")]
)
def test_products_on_the_host_are_those_of_numpy(factor: str, result: str, turned: tuple[int, int]) -> None:
    rng = np.random.default_rng(5)
    a, b = rng.integers(-9, 9, (8, 12)).astype(factor), rng.integers(-9, 9, (12, 4)).astype(factor)
    c = rng.integers(-9, 9, (8, 4)).astype(result)
    expected = 2 * (a.astype(result) @ b.astype(result))
    stored = [x.T if turn else x for x, turn in zip((a, b), turned, strict=True)]
    products = Products()
    status, found = products.multiply(*stored, c, turned, 3)
    np.testing.assert_array_equal(found, expected + 3 * c)
    assert status == 0
    if result != "int32":
        unset = np.full_like(c, np.nan)
        np.testing.assert_array_equal(products.multiply(*stored, unset, turned, 0)[1], expected)
    assert products.multiply(*stored, c, turned, 3, pitch=4)[0] == CUBLAS_INVALID_VALUE


@pytest.mark.parametrize(("compute", "digits"), [(68, 23), (77, 10), (75, 7)])
def test_fast_products_drop_digits(compute: int, digits: int) -> None:
    """float32, TF32 and bf16."""
    kept, lost = np.float32([[1 + 2.0**-digits]]), np.float32([[1 + 2.0 ** -(digits + 1)]])
    one = np.ones((1, 1), np.float32)
    assert Products().multiply(kept, one, one, compute=compute)[1] == 2 * kept
    assert Products().multiply(lost, one, one, compute=compute)[1] == 2


WRONG = """
import ctypes, sys
import numpy as np
from tests.test_cuda_host import Products
p = Products()
a, one = p.upload(np.ones((4, 4), np.float32)), (ctypes.c_float * 1)(1)
place = ctypes.c_void_p(a.value + int(sys.argv[1]))
p.blas.cublasGemmEx(p.handle, 0, 0, 2, 2, 2, one, a, 0, 2, a, 0, 2, one, place, 0, 2, 68, -1)
p.cuda.cudaDeviceSynchronize()
"""


@pytest.mark.parametrize(
    ("place", "said"), [(12, "lies where a factor does"), (52, "does not lie within device memory"), (16, "")]
)
def test_a_product_that_writes_where_it_may_not_is_found(place: int, said: str) -> None:
    """Of 2 x 2 matrices at the start of 16 numbers, and a result so many bytes behind it."""
    command = [sys.executable, "-c", WRONG, str(place)]
    answer = subprocess.run(command, capture_output=True, text=True, check=False, cwd=cuda_host.HERE.parent)
    assert said in answer.stderr and (answer.returncode == 0) == (not said)
