"""Random numbers drawn from counters: a number is a function of where it stands, and of a seed.

A draw has no state and no array. Its value at a step, sample and neuron is a hash of these three, of the
draw's own number and of the call's seed, computed by the kernel that reads it, with integers alone. So it
is the same for every backend, number of threads, tile, slot, unroll factor and dtype, in the interpreter,
and when a segment of time or the backward half computes it again.

Steps count from the first step of the call, whatever `checkpoint_every`; samples over the whole batch. A
call may say which step its first one is: then a stream of single steps draws what one call draws.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..errors import CompileError, InternalError, user_line
from ..graph import Op, Type
from .value import Value

SEED = "seed"  # the caller's array [2] of the seed and the number of the first step
WHOLE = 2**64
GOLDEN = 0x9E3779B97F4A7C15


@dataclass(frozen=True)
class Uniform(Op):
    """Numbers from 0 to below 1, multiples of 2^-24. key: equal keys draw equal numbers."""

    key: int
    features: tuple[int, ...] = field(default=(), repr=False)
    time: bool = field(default=True, repr=False)
    name = "uniform"

    def infer(self, *types: Type) -> Type:
        return Type(self.features, self.time, True, "real")

    def evaluate(self, *arrays: Any) -> Any:
        raise InternalError("a draw depends on the call's seed: use numbers")

    def numbers(self, steps: int, batch: int, seed: int = 0, first_step: int = 0) -> np.ndarray:
        """The numbers of a call, [T or 1, B, *features] in float32 (which holds them exactly)."""
        if not self.time:
            steps, first_step = 1, 0
        rows = _row_keys(self.key, seed, first_step, steps, batch)
        shift, salt = (part.astype(np.uint32)[:, :, None] for part in (rows, rows >> np.uint64(32)))
        x = np.arange(Type(self.features).size, dtype=np.uint32) + shift
        x = (x ^ (x >> np.uint32(16))) * np.uint32(0x7FEB352D)
        x = (x ^ (x >> np.uint32(15)) ^ salt) * np.uint32(0x846CA68B)
        x ^= x >> np.uint32(16)
        unit = (x >> np.uint32(8)).astype(np.float32) * np.float32(2.0**-24)
        return unit.reshape(*unit.shape[:2], *self.features)


def _row_keys(key: int, seed: int, first_step: int, steps: int, batch: int) -> np.ndarray:
    """What the numbers of a step and sample are drawn from, [T, B] in uint64: snncc_key_at of random.h."""
    stream = np.uint64(_mixed_number(_mixed_number((seed + GOLDEN) % WHOLE) + key))
    step = np.arange(steps, dtype=np.uint64) + np.uint64(first_step)
    return mixed(((step[:, None] << np.uint64(32)) | np.arange(batch, dtype=np.uint64)) ^ stream)


def mixed(x: np.ndarray) -> np.ndarray:
    """The finaliser of splitmix64: every bit of x changes half of the result's bits."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed: np.ndarray = x ^ (x >> np.uint64(31))
    return mixed


def _mixed_number(x: int) -> int:
    return int(mixed(np.array([x % WHOLE], np.uint64))[0])


def uniform(like: Any, *, time: bool = True, key: int | None = None) -> Any:
    """A random number from 0 to below 1 for every neuron of `like`, step and sample.

    time: False draws once a call instead of at every step. key: draws of equal keys are equal; by
    default each has its own, in the order in which the network makes them. Each call of a model draws
    anew: see `seed` of its calls. There is no gradient.
    """
    if not isinstance(like, Value):
        raise CompileError(
            f"uniform: expected a value of a network, got {type(like).__name__}; random numbers are drawn "
            f"by a network's call, so call the network instead ({user_line()})"
        )
    if key is None:
        key = sum(node.op.name == "uniform" for node in like.builder.nodes.values())
    elif isinstance(key, bool) or not isinstance(key, int) or not 0 <= key < 2**32:
        raise CompileError(
            f"uniform: key must be an integer from 0 to 2**32 - 1, got {key!r} ({user_line()})"
        )
    return Value(like.builder, like.builder.add(Uniform(key, like.shape, time)))
