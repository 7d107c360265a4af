"""snnTorch's quantised states."""

from __future__ import annotations

import math
from typing import Any

from ...arguments import checked
from ...errors import CompileError, user_line
from ..levels import Levels, UniformLevels

MULTIPLIERS = {1: 0.05, 2: 0.1, 3: 0.3, 4: 0.5, 5: 0.7, 6: 0.9, 7: 0.925}
LARGEST_BITS = 16


@checked
def state_quant(
    num_bits: int = 8,
    uniform: bool = True,
    thr_centered: bool = True,
    threshold: float = 1,
    lower_limit: float = 0,
    upper_limit: float = 0.2,
    multiplier: float | None = None,
) -> Any:
    """2^num_bits levels from -threshold (1 + lower_limit) to threshold (1 + upper_limit): for `state_quant=`.

    uniform: equally spaced; else they get denser towards the threshold (or towards 0 if not thr_centered),
    each gap `multiplier` times the one before.
    """
    if not 1 <= num_bits <= LARGEST_BITS:
        shown = f"state_quant: num_bits must be an integer from 1 to {LARGEST_BITS}, got {num_bits!r}"
        raise CompileError(f"{shown} ({user_line()})")
    count, low, high = 2**num_bits, -threshold * (1 + lower_limit), threshold * (1 + upper_limit)
    if uniform:
        return UniformLevels(low, high, count)
    ratio = MULTIPLIERS.get(num_bits, 0.95) if multiplier is None else multiplier
    center = threshold if thr_centered else 0
    below = math.floor(count * ((center - low) / (high - low)))
    lower = _steps([ratio**j for j in range(below)], low, center)
    upper = _steps([ratio**j for j in reversed(range(count - below))], center, high)
    return Levels(sorted({*lower[:-1], *upper[1:]}))  # far along, gaps round to nothing


def _steps(gaps: list[float], start: float, end: float) -> list[float]:
    """Levels from start to end, with gaps in these proportions."""
    levels = [start]
    for gap in gaps:
        levels.append(levels[-1] + gap * (end - start) / sum(gaps))
    return levels
