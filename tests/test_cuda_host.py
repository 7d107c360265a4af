"""CUDA on the host: sound kernels run under every check, and each planted fault is found by one of them."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from tests import cuda_host

CASES = Path(__file__).parent / "cuda" / "cases.cu"
SOUND = """\
scan 48528
sum 946.539
pack 6.6714e+12 12094
turn 2043.08
sum_of_blocks 45
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


RACES = ("missing_barrier", "missing_syncwarp", "missing_atomic", "race_between_blocks")


@pytest.mark.parametrize("fault", RACES)
def test_races_are_seen_although_nothing_runs_at_once(fault: str) -> None:
    status, _, said = answer(fault, "thread")
    assert status != 0
    assert "ThreadSanitizer: data race" in said
    assert f"in {fault}(" in said


@pytest.mark.parametrize("fault", [race for race in RACES if race != "missing_atomic"])
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
