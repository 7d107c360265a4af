"""Which inputs of a sparse layer lead to which outputs.

Connections are kept sorted by input, never as a matrix. Random ones are functions of their seed: numbers come
from a counter through the hash of splitmix64, and are compared with products of doubles alone, so they are
the same on every machine.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..arguments import check_fields, shown
from ..errors import CompileError, user_line
from ..ops.random import GOLDEN, mixed

LONGEST_GAP = 4096  # unconnected pairs that one number passes over
MOST = 2**31 - 1  # synapses, and features

Array = np.ndarray


@dataclass(frozen=True, eq=False)
class Connections:
    """Synapse s leads from input i, offsets[i] <= s < offsets[i + 1], to output indices[s].

    weights: of the synapses, if whoever made them said so. Generated code trusts these numbers, so they are
    checked here.
    """

    n_in: int
    n_out: int
    indices: Array
    offsets: Array
    weights: Array | None = None

    def __post_init__(self) -> None:
        ends, places = np.asarray(self.offsets), np.asarray(self.indices)
        sorted_ends = len(ends) == self.n_in + 1 and ends[0] == 0 and (np.diff(ends) >= 0).all()
        if not sorted_ends or ends[-1] != len(places):
            raise CompileError(
                f"offsets must be {self.n_in + 1} numbers that ascend from 0 to {len(places)}, the number of "
                f"synapses ({user_line()})"
            )
        _check_ends("outputs", places, self.n_out)

    @property
    def inputs(self) -> Array:
        """The input of each synapse."""
        return np.repeat(np.arange(self.n_in), np.diff(self.offsets))

    @property
    def fan_in(self) -> Array:
        """Synapses of each output."""
        return np.bincount(self.indices, minlength=self.n_out)


# How a layer is asked for its connections: for sizes (n_in, n_out).
Rule = Callable[[int, int], Connections]


def pairs(n_in: int, n_out: int, inputs: Any, outputs: Any, weights: Any = None) -> Connections:
    """Connections from their two ends, in any order; a pair that occurs twice is one, its weights added."""
    _check_ends("inputs", np.asarray(inputs), n_in)
    _check_ends("outputs", np.asarray(outputs), n_out)
    places = np.asarray(inputs, np.int64) * n_out + np.asarray(outputs, np.int64)
    found, first = np.unique(places, return_inverse=True)
    if len(found) > MOST:
        raise CompileError(f"{len(found)} synapses are more than 2**31 - 1 ({user_line()})")
    sums = (
        None if weights is None else np.bincount(first.ravel(), np.asarray(weights, np.float64), len(found))
    )
    counts = np.bincount(found // n_out, minlength=n_in)
    offsets = np.concatenate([[0], np.cumsum(counts)])
    return Connections(n_in, n_out, (found % n_out).astype(np.int32), offsets.astype(np.int32), sums)


@dataclass(frozen=True)
class Probability:
    """Each input leads to each output with this probability, independently (GeNN's FixedProbability)."""

    probability: float
    seed: int = 0

    def __post_init__(self) -> None:
        check_fields(self)
        if not 0 < self.probability <= 1:
            raise CompileError(
                f"Probability: probability must be above 0, at most 1, got {self.probability} ({user_line()})"
            )
        check_seed("Probability", self.seed)

    def __call__(self, n_in: int, n_out: int) -> Connections:
        # Pairs in a row: from one connected pair to the next, the gap is geometrically distributed.
        end = n_in * n_out
        survival = np.multiply.accumulate(np.full(LONGEST_GAP, 1.0 - self.probability))
        found, at, drawn = [np.zeros(0, np.int64)], 0, 0
        while at < end:
            count = int((end - at) * self.probability * 1.1) + (end - at) // LONGEST_GAP + 64
            gaps = np.searchsorted(-survival, -_units(self.seed, drawn, count), side="left")
            ends = at + np.cumsum(gaps + (gaps < LONGEST_GAP))
            found.append(ends[gaps < LONGEST_GAP] - 1)
            at, drawn = int(ends[-1]), drawn + count
        places = np.concatenate(found)
        places = places[places < end]
        return pairs(n_in, n_out, places // n_out, places % n_out)


@dataclass(frozen=True)
class FanIn:
    """Each output has this many different inputs, drawn evenly (PyNN's FixedNumberPre)."""

    count: int
    seed: int = 0

    def __post_init__(self) -> None:
        check_fields(self)
        if self.count < 1:
            raise CompileError(f"FanIn: count must be a positive integer, got {self.count} ({user_line()})")
        check_seed("FanIn", self.seed)

    def __call__(self, n_in: int, n_out: int) -> Connections:
        if self.count > n_in:
            raise CompileError(
                f"FanIn: {self.count} different inputs of {n_in} cannot be had ({user_line()})"
            )
        left_out = 2 * self.count > n_in  # then it is quicker to draw the others
        chosen = self._drawn(n_in, n_out, n_in - self.count if left_out else self.count)
        if left_out:
            every = np.ones((n_out, n_in), bool)
            every.reshape(-1)[chosen] = False
            chosen = np.flatnonzero(every)
        return pairs(n_in, n_out, chosen % n_in, chosen // n_in)

    def _drawn(self, n_in: int, n_out: int, count: int) -> Array:
        """`count` different inputs of each output, as output * n_in + input: those drawn twice again."""
        chosen, drawn = np.zeros(0, np.int64), 0
        missing = np.full(n_out, count)
        while missing.any():
            outputs = np.repeat(np.arange(n_out), missing)
            inputs = drawn_below(n_in, self.seed, len(outputs), drawn)
            drawn += len(outputs)
            chosen = np.union1d(chosen, outputs * n_in + inputs)
            missing = count - np.bincount(chosen // n_in, minlength=n_out)
        return chosen


@dataclass(frozen=True)
class OneToOne:
    """Input i leads to output i."""

    def __call__(self, n_in: int, n_out: int) -> Connections:
        if n_in != n_out:
            raise CompileError(
                f"OneToOne: as many outputs as inputs are needed, got {n_in} and {n_out} ({user_line()})"
            )
        return pairs(n_in, n_out, np.arange(n_in), np.arange(n_in))


@dataclass(frozen=True)
class Local:
    """Each output has the inputs around it: `radius` to each side of a line (n,), or on a grid (h, w).

    shape: of the inputs. stride: outputs stand at every so many inputs of each axis. At an edge an output
    has fewer inputs; with wrap the edges meet.
    """

    shape: int | tuple[int, ...]
    radius: int
    stride: int = 1
    wrap: bool = False

    def __post_init__(self) -> None:
        check_fields(self)
        numbers = [*np.atleast_1d(self.shape), self.stride, self.radius + 1]
        if not 1 <= np.size(self.shape) <= 2 or not all(1 <= n <= MOST for n in numbers):
            raise CompileError(
                "Local: expected a shape of one or two positive integers, a radius of at least 0 and a "
                f"positive stride, got {self.shape}, {self.radius} and {self.stride} ({user_line()})"
            )

    def __call__(self, n_in: int, n_out: int) -> Connections:
        shape = tuple(int(n) for n in np.atleast_1d(self.shape))
        outputs = tuple(-(-n // self.stride) for n in shape)
        if (n_in, n_out) != (int(np.prod(shape)), int(np.prod(outputs))):
            raise CompileError(
                f"Local: inputs {shape} and outputs {outputs} are {int(np.prod(shape))} and "
                f"{int(np.prod(outputs))} features, the layer has {n_in} and {n_out} ({user_line()})"
            )
        around = [self._axis(n, m) for n, m in zip(shape, outputs, strict=True)]
        at, to = around[0]
        for (more_at, more_to), n, m in zip(around[1:], shape[1:], outputs[1:], strict=True):
            at = (at[:, None] * n + more_at).ravel()
            to = (to[:, None] * m + more_to).ravel()
        return pairs(n_in, n_out, at, to)

    def _axis(self, n: int, outputs: int) -> tuple[Array, Array]:
        """Along one axis: inputs, and the outputs that they lead to."""
        to, step = np.meshgrid(np.arange(outputs), np.arange(-self.radius, self.radius + 1), indexing="ij")
        at = to * self.stride + step
        inside = np.ones_like(at, bool) if self.wrap else (at >= 0) & (at < n)
        return (at % n)[inside], to[inside]


def wired(given: Any, n_in: int, n_out: int) -> Connections:
    """Connections from a rule, a NumPy mask [n_out, n_in], or a scipy.sparse matrix of that shape.

    Of a matrix the stored entries count, zeros among them, and are the weights.
    """
    if isinstance(given, Connections):
        made = given
    elif callable(given):
        made = given(n_in, n_out)
        if not isinstance(made, Connections):
            raise CompileError(
                f"connections must be a rule of nn.connections, got {shown(given)}, which gives "
                f"{shown(made)} ({user_line()})"
            )
    elif hasattr(given, "tocoo"):
        _check_shape(given.shape, n_in, n_out)
        entries = given.tocoo()
        if np.asarray(entries.data).dtype.kind not in "biuf":
            raise CompileError(f"connections must be real numbers, got {entries.data.dtype} ({user_line()})")
        made = pairs(n_in, n_out, entries.col, entries.row, entries.data)
    elif isinstance(given, np.ndarray) and given.dtype == bool:
        _check_shape(given.shape, n_in, n_out)
        outputs, inputs = np.nonzero(given)
        made = pairs(n_in, n_out, inputs, outputs)
    else:
        found = f"an array of {given.dtype}" if isinstance(given, np.ndarray) else type(given).__name__
        raise CompileError(
            "connections must be a rule of nn.connections, a NumPy array of bool, or a scipy.sparse matrix, "
            f"got {found} ({user_line()})"
        )
    _check_shape((made.n_out, made.n_in), n_in, n_out)
    if not len(made.indices):
        raise CompileError(f"no input leads to any output ({user_line()})")
    return made


def _check_ends(what: str, found: Array, count: int) -> None:
    if found.size and not 0 <= found.min() <= found.max() < count:
        raise CompileError(
            f"synapses must have {what} from 0 to {count - 1}, got {found.min()} to {found.max()} "
            f"({user_line()})"
        )


def _check_shape(shape: Sequence[int], n_in: int, n_out: int) -> None:
    if tuple(shape) != (n_out, n_in):
        raise CompileError(
            f"connections must have the shape [out_features, in_features] = [{n_out}, {n_in}], got "
            f"{list(shape)} ({user_line()})"
        )


def check_seed(rule: str, seed: int) -> None:
    if not 0 <= seed < 2**63:
        raise CompileError(
            f"{rule}: seed must be an integer from 0 to 2**63 - 1, got {seed!r} ({user_line()})"
        )


def _hashes(seed: int, first: int, count: int) -> Array:
    """Numbers first .. first + count of a seed, 64 bits each."""
    start = mixed(np.array([seed], np.uint64) + np.uint64(GOLDEN))
    return mixed(start + np.arange(first, first + count, dtype=np.uint64) * np.uint64(GOLDEN))


def _units(seed: int, first: int, count: int) -> Array:
    """Multiples of 2^-53 from 0 to below 1."""
    return (_hashes(seed, first, count) >> np.uint64(11)).astype(np.float64) * 2.0**-53


def drawn_below(n: int, seed: int, count: int, first: int = 0) -> Array:
    """Whole numbers from 0 to below n."""
    return ((_hashes(seed, first, count) >> np.uint64(32)) * np.uint64(n) >> np.uint64(32)).astype(np.int64)
