"""What this machine's processor can do, and how many threads and slots a model uses on it."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

MOST_SLOTS = 16

# The instruction sets that a compiler may use under -march=native, as /proc/cpuinfo spells them.
INSTRUCTION_SETS = (
    "pni ssse3 sse4_1 sse4_2 sse4a popcnt abm movbe avx avx2 fma fma4 xop f16c bmi1 bmi2 adx aes vaes "
    "pclmulqdq vpclmulqdq sha_ni gfni rdrand rdseed fsgsbase clwb clflushopt avx_vnni avx512f avx512dq "
    "avx512cd avx512bw avx512vl avx512ifma avx512vbmi avx512_vbmi2 avx512_vnni avx512_bitalg "
    "avx512_vpopcntdq avx512_bf16 avx512_fp16 avx512_vp2intersect amx_tile amx_int8 amx_bf16 "
    "asimd asimdhp asimdrdm asimddp asimdfhm fphp atomics crc32 sha1 sha2 sha3 sha512 sve sve2 bf16 "
    "i8mm svebf16 svei8mm"
)


@cache
def cpu_flags(path: str = "/proc/cpuinfo") -> tuple[str, ...] | None:
    """Instruction sets of this processor, sorted; None where the system has no such file (not Linux)."""
    try:
        lines = Path(path).read_text().splitlines()
    except OSError:
        return None
    for line in lines:
        key, _, value = line.partition(":")
        if key.strip() in ("flags", "Features"):
            return tuple(sorted(set(INSTRUCTION_SETS.split()) & set(value.split())))
    return None


def default_threads() -> int:
    """OMP_NUM_THREADS if it is a number, otherwise the processors that this process may run on."""
    wish = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()
    if wish.isdecimal() and int(wish) > 0:
        return int(wish)
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def default_slots() -> int:
    """Parts that a batch is split into: by the machine, not by the threads, so that results do not move."""
    return min(MOST_SLOTS, os.cpu_count() or 1)
