"""Cross-entropy and mean squared error of a readout."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..arguments import checked
from ..errors import CompileError, user_line
from ..ops import Value, absolute, greater, substitute, sum_batch, sum_features, sum_time, where
from ..ops.elementwise import floor
from ..ops.last_axis import LogSoftmax
from ..ops.leaf import Samples, Vector
from ..ops.lengths import count_steps, sum_of_means, within
from ..ops.readouts import spike_time
from ..ops.reduce import OneHot, leaf
from ..ops.value import apply
from .base import Loss, Values
from .readout import READS, Scores, check, grouped, read

Times = float | tuple[float, ...]
MOST_CLASSES = 2**31 - 1
EACH_STEP = ("mem", "rate")  # read at every step


@dataclass(frozen=True)
class Reading(Loss):
    """What both have in common: a readout of an output, perhaps of groups, and weights of classes."""

    readout: str
    of: str = ""
    population: int = 0
    class_weights: tuple[float, ...] = ()
    accuracy: str = ""

    @property
    def reads(self) -> str:
        """Name of the network output that the loss is computed from."""
        return self.of or READS[self.readout]

    @property
    def scores(self) -> Scores | None:
        if not self.target_is_label():
            return None
        if self.accuracy:
            same = READS[self.accuracy] == READS[self.readout]
            return Scores(self.accuracy, self.reads if same else READS[self.accuracy], self.population)
        if self.readout in ("mem", "rate", "count") and not self.of and not self.population:
            return None
        return Scores(self.readout, self.reads, self.population)

    def classes(self, outputs: Mapping[str, int]) -> int:
        return (self.population or outputs[self.reads]) if self.target_is_label() else 0

    def read(self, values: Values) -> Value:
        x = values.read(self.reads, self)
        if self.target_is_label() and len(x.type.features) != 1:
            raise CompileError(
                f"loss {self}: output {self.reads!r} must be [classes], it is {list(x.type.features)}"
                f" ({user_line()})"
            )
        return x

    def labelled(self, values: Values, classes: int) -> Value:
        """The target as rows of zeros with a one."""
        if self.class_weights and len(self.class_weights) != classes:
            found = len(self.class_weights)
            raise _error(f"{self}: expected {classes} class weights, found {found}", " ")
        result: Value = apply(OneHot(classes), values.target(self, (), False, "i32"))
        return result

    def weights(self, near: Value) -> Value:
        """The weights of the classes, one a class."""
        return Value(near.builder, near.builder.add(Vector(self.class_weights)))

    def _options(self) -> str:
        shown = {"of": self.of, "population": self.population, "accuracy": self.accuracy}
        shown["class_weights"] = f"[{', '.join(f'{w:g}' for w in self.class_weights)}]" * bool(
            self.class_weights
        )
        return "".join(f", {name}={value}" for name, value in shown.items() if value)


@dataclass(frozen=True)
class CrossEntropy(Reading):
    """See `cross_entropy`."""

    label_smoothing: float = 0.0
    inverse: str = "negate"
    weighted_mean: bool = False

    def target_is_label(self) -> bool:
        return True

    def value(self, values: Values) -> Value:
        logits = read(self.read(values), self.readout, self.population)
        if self.readout == "latency":
            logits = -logits if self.inverse == "negate" else 1.0 / (logits + 1.0)
        classes = logits.type.size
        wanted = self.labelled(values, classes)
        if self.label_smoothing:
            wanted = wanted * (1.0 - self.label_smoothing) + self.label_smoothing / classes
        if self.class_weights:
            wanted = wanted * self.weights(wanted)
        per_sample = -sum_features(wanted * apply(LogSoftmax(), logits))
        if self.readout in EACH_STEP:
            per_sample = sum_time(within(per_sample))
        mean = self.readout == "rate"
        total = sum_of_means(per_sample, logits) if mean else sum_batch(per_sample)
        if self.weighted_mean:
            hot = self.labelled(values, classes)
            return total / sum_batch(sum_features(hot * self.weights(hot)))
        return total / leaf(logits, Samples())

    def __str__(self) -> str:
        smoothing = f", label_smoothing={self.label_smoothing:g}" if self.label_smoothing else ""
        inverse = f", inverse={self.inverse}" if self.inverse != "negate" else ""
        mean = ", weighted_mean" * self.weighted_mean
        return f"cross_entropy({self.readout}{self._options()}{smoothing}{inverse}{mean})"


@dataclass(frozen=True)
class MeanSquaredError(Reading):
    """See `mse`."""

    on: Times | None = None
    off: Times = 0.0
    tolerance: float = 0.0
    time_varying: bool = False

    def target_is_label(self) -> bool:
        return self.on is not None

    def value(self, values: Values) -> Value:
        x = self.read(values)
        steps = count_steps(x)
        if self.readout == "latency":
            return self._of_times(x, values)
        x = sum_time(x) / steps if self.readout == "rate" else read(x, self.readout)
        on, off = self._levels(steps, x.type.size / (self.population or x.type.size))
        x = grouped(x, self.population)
        size = float(x.type.size)
        squares = self._squares(x - self._wanted(values, x, on, off), values, x.type.size)
        per_sample = sum_time(within(squares)) if x.type.time else squares
        mean = self.readout in ("count", "mem")
        total = sum_of_means(per_sample, x) if mean else sum_batch(per_sample)
        return total / (leaf(x, Samples()) * size)

    def _wanted(self, values: Values, x: Value, on: Any, off: Any) -> Value:
        """Targets in the shape of what is compared."""
        if self.on is None:
            return values.target(self, x.type.features, self.time_varying, "real")
        hot = self.labelled(values, x.type.size)
        wanted: Value = off + (on - off) * hot
        return wanted

    def _squares(self, distance: Value, values: Values, classes: int) -> Value:
        """Sum of squares over the features, times the weight of the sample's class."""
        squares = sum_features(distance * distance)
        if not self.class_weights:
            return squares
        hot = self.labelled(values, classes)
        return squares * sum_features(hot * self.weights(hot))

    def _levels(self, steps: Value, group: float) -> tuple[Any, Any]:
        """Target of the labelled class and of the others; counts are rates times steps times the outputs of a
        group, rounded down."""
        if self.readout != "count" or self.on is None:
            return self.on, self.off
        assert not isinstance(self.on, tuple) and not isinstance(self.off, tuple)
        return floor(steps * self.on * group), floor(steps * self.off * group)

    def _of_times(self, spk: Value, values: Values) -> Value:
        """Squared distances of spike times, as shares of the steps: a mean over spikes, samples, outputs."""
        ons, offs = (t if isinstance(t, tuple) else (t,) for t in (self.on, self.off))
        total, steps = None, count_steps(spk)
        for number, given in enumerate(zip(ons, offs, strict=True), 1):
            time = spike_time(spk, number)
            on, off = (steps + t if t is not None and t < 0 else t for t in given)
            wanted = self._wanted(values, time, on, off)
            if self.on is None:
                wanted = where(greater(0.0, wanted), steps + wanted, wanted)
            if self.tolerance:
                near = greater(self.tolerance, absolute(time - wanted))
                time = substitute(where(near, wanted, time), time)
            squares = self._squares(time - wanted, values, spk.type.size)
            total = squares if total is None else total + squares
        assert total is not None
        shares = sum_of_means(total, spk, 2)
        return shares / (leaf(spk, Samples()) * float(spk.type.size * len(ons)))

    def __str__(self) -> str:
        levels = "" if self.on is None else f", on={self.on}, off={self.off}"
        tolerance = f", tolerance={self.tolerance:g}" if self.tolerance else ""
        varying = ", time_varying" * self.time_varying
        return f"mse({self.readout}{levels}{self._options()}{tolerance}{varying})"


@checked
def cross_entropy(
    readout: str = "mem",
    *,
    of: str = "",
    population: int = 0,
    class_weights: Sequence[float] | None = None,
    label_smoothing: float = 0.0,
    inverse: str = "negate",
    accuracy: str = "",
    weighted_mean: bool = False,
) -> CrossEntropy:
    """Cross-entropy of class labels [B].

    "mem": of the membrane, summed over the steps (snnTorch's tutorial 5). "rate": of the spikes, averaged
    over the steps (snnTorch ce_rate_loss). "count": of the spike counts (ce_count_loss). "mem_last",
    "mem_max" (ce_max_membrane_loss), "mem_mean": of the membrane at the last step, its largest value, its
    mean.
    "latency": of the first spike's step, `inverse` "negate" (minus it) or "reciprocal" (1 / (it + 1)); the
    gradient goes to the first spike, negated (ce_temporal_loss).
    of: the output that is read, instead of "spk" or "mem". population: the number of classes, if each has a
    group of neighbouring outputs, which are added. class_weights: a factor for the samples of each class; the
    mean stays one over the number of samples, as snnTorch's does. label_smoothing: the share of the target
    that is spread over all classes. accuracy: the readout that `accuracy` is measured by, if another.
    weighted_mean: divide by the sum of the batch's class weights, as PyTorch does, and not by the number of
    samples; the backward half then waits for all labels, which checkpoint_every and truncate do not allow.
    """
    common = _checked("cross_entropy", readout, of, population, class_weights, accuracy)
    if not 0 <= label_smoothing <= 1:
        raise _error(f"label_smoothing must be from 0 to 1, got {label_smoothing!r}")
    if inverse not in ("negate", "reciprocal"):
        raise _error(f"inverse must be 'negate' or 'reciprocal', got {inverse!r}")
    if weighted_mean and class_weights is None:
        raise _error("weighted_mean is of class weights: give class_weights= as well")
    return CrossEntropy(*common, label_smoothing, inverse, weighted_mean)


@checked
def mse(
    readout: str = "rate",
    *,
    on: float | Sequence[float] | None = None,
    off: float | Sequence[float] = 0.0,
    of: str = "",
    population: int = 0,
    class_weights: Sequence[float] | None = None,
    tolerance: float = 0.0,
    time_varying: bool = False,
    accuracy: str = "",
) -> MeanSquaredError:
    """Mean squared error, over classes and batch.

    "rate": of the spikes averaged over the steps. "count": of the spike counts, divided by the number
    of steps; on and off are rates, their counts rounded down (snnTorch mse_count_loss). "mem": of the
    membrane at each step, averaged over the steps (mse_membrane_loss). "mem_last", "mem_max", "mem_mean": of
    the membrane at the last step, its largest value, its mean. "latency": of the first spike's step, divided
    by the number of steps (mse_temporal_loss); with lists of on and off of the first, second ... spike of a
    neuron; negative steps count from the end.
    on, off: the target of the labelled class and of the others; without `on`, targets are arrays
    [B, *features] of what is compared, [T, B, *features] if time_varying ("mem").
    tolerance: spikes nearer to their time than this are on time. of, population, class_weights, accuracy: as
    for cross_entropy.
    """
    common = _checked("mse", readout, of, population, class_weights, accuracy)
    if time_varying and (on is not None or readout != "mem"):
        raise _error(f"time_varying targets are arrays for mse('mem') without on, got {readout!r}")
    if class_weights is not None and on is None:
        raise _error("class_weights need class labels: give on= as well")
    if isinstance(on, Sequence) or isinstance(off, Sequence):
        paired = isinstance(on, Sequence) and isinstance(off, Sequence) and 0 < len(on) == len(off)
        if readout != "latency" or not paired:
            several = "several times are for mse('latency'), as many in on as in off"
            raise _error(f"{several}, got on={on!r}, off={off!r}")
    if tolerance and readout != "latency":
        raise _error(f"a tolerance is of spike times, mse('latency'), got {readout!r}")
    if tolerance < 0:
        raise _error(f"tolerance must be a number of steps from 0, got {tolerance}")
    ons = tuple(on) if isinstance(on, Sequence) else on
    offs = tuple(off) if isinstance(off, Sequence) else off
    return MeanSquaredError(*common, ons, offs, tolerance, time_varying)


def _checked(
    name: str, readout: str, of: str, population: int, weights: Sequence[float] | None, accuracy: str
) -> tuple[str, str, int, tuple[float, ...], str]:
    check(readout)
    if accuracy:
        check(accuracy)
    if not 0 <= population <= MOST_CLASSES:
        raise _error(f"population must be a number of classes, got {population}")
    if population and "latency" in (readout, accuracy):
        raise _error(f"{name}('latency') has no population code: leave population out")
    given = tuple(weights or ())
    if not all(w >= 0 for w in given) or (weights is not None and not given):
        raise _error(f"class_weights must be numbers from 0, got {weights!r}")
    return readout, of, population, given, accuracy


def _error(message: str, after: str = ": ") -> CompileError:
    return CompileError(f"loss{after}{message} ({user_line()})")
