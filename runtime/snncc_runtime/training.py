"""Training, evaluation and prediction over data sets, batch by batch."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from .arrays import Extent
from .dataset import Batch, Dataset
from .errors import ModelError
from .instance import Instance
from .learning import learning_rate
from .manifest import Manifest, Port
from .metrics import OUTPUTS, READOUTS, most, scores
from .progress import Progress, choose_progress
from .values import Arrays

Rate = float | Callable[[int], float] | None


class History(Mapping[str, list[float]]):
    """A value per epoch: `history.loss`, `history["val_accuracy"]`, `history.seconds` (of training alone)."""

    def __init__(self) -> None:
        self._values: dict[str, list[float]] = {}

    def append(self, results: Mapping[str, float]) -> None:
        for name, value in results.items():
            self._values.setdefault(name, []).append(value)

    def __getitem__(self, name: str) -> list[float]:
        return self._values[name]

    def __getattr__(self, name: str) -> list[float]:
        if name != "_values" and name in self._values:
            return self._values[name]
        raise AttributeError(f"no record of {name!r}")

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        epochs = len(next(iter(self._values.values()), []))
        last = ", ".join(f"{name} {values[-1]:.4g}" for name, values in self._values.items())
        return f"<History of {epochs} epochs; last: {last}>"


Callback = Callable[[int, History], Any]


@dataclass(frozen=True)
class Plan:
    """How `fit` goes through the data."""

    epochs: int
    batch_size: int
    shuffle: bool
    seed: int
    rate: Rate
    drop_last: bool

    def order(self, epoch: int, size: int) -> np.ndarray:
        """Indices of the samples of an epoch; a function of the seed and the epoch alone."""
        kept = size - size % self.batch_size if self.drop_last else size
        if not self.shuffle:
            return np.arange(kept)
        return np.random.default_rng([self.seed, epoch]).permutation(size)[:kept]

    def learning_rate(self, epoch: int) -> float | None:
        return self.rate(epoch) if callable(self.rate) else self.rate


class Outcome(NamedTuple):
    """The loss of a batch, and outputs summed over time where the entry point gives them."""

    loss: float
    sums: dict[str, np.ndarray]
    scores: dict[str, np.ndarray]


class Trainer:
    """Runs the loss of a model; `num_steps` matters only where no array has a time axis."""

    def __init__(self, instance: Instance, num_steps: int | None) -> None:
        self._instance = instance
        self._manifest = instance.manifest
        self._num_steps = num_steps

    def step(self, x: Any, y: Any, rate: float | None, lengths: Any = None) -> Outcome:
        """Gradients and update for one batch."""
        return self._outcome(self._step(x, y, rate, lengths, ("loss", "sum", "score")))

    def loss_of_step(self, x: Any, y: Any, rate: float | None, lengths: Any = None) -> Any:
        """The same, and only the loss: a DeviceArray where an array given was on the device."""
        (loss,) = self._step(x, y, rate, lengths, ("loss",))["loss"].values()
        return loss

    def fit(
        self,
        x: Any,
        y: Any,
        plan: Plan,
        validation: tuple[Any, ...] | None,
        progress: bool | None,
        callbacks: Sequence[Callback],
        lengths: Any = None,
    ) -> History:
        """See Model.fit."""
        self._instance.require("train")
        dataset = Dataset(self._manifest, "train", x, y, self._num_steps, lengths)
        if len(plan.order(0, dataset.size)) == 0:
            raise ModelError(
                f"{dataset.size} samples make no batch of {plan.batch_size}, and drop_last is set"
            )
        if validation is not None and len(validation) not in (2, 3):
            raise ModelError(
                f"validation_data must be (x, y), with lengths (x, y, lengths), got {len(validation)} items"
            )
        x_held, y_held, held_lengths = (*(validation or (None, None)), None)[:3]
        if validation is not None:  # complain before training, not after
            Dataset(self._manifest, "evaluate", x_held, y_held, self._num_steps, held_lengths)
        history, display = History(), choose_progress(progress)
        for epoch in range(plan.epochs):
            results = self._run_epoch(dataset, plan, epoch, display)
            if validation is not None:
                scores = self.evaluate(x_held, y_held, plan.batch_size, held_lengths)
                results |= {f"val_{name}": value for name, value in scores.items()}
            display.finish(results)
            history.append(results)
            verdicts = [callback(epoch, history) for callback in callbacks]
            if any(verdicts):
                break
        return history

    def evaluate(self, x: Any, y: Any, batch_size: int, lengths: Any = None) -> dict[str, float]:
        """See Model.evaluate."""
        self._instance.require("evaluate")
        dataset = Dataset(self._manifest, "evaluate", x, y, self._num_steps, lengths)
        score = Score(self._manifest, "evaluate")
        for batch in dataset.batches(batch_size):
            score.add(batch, self._run("evaluate", batch.given))
        return score.results()

    def predict(self, x: Any, by: str | None, batch_size: int, lengths: Any = None) -> np.ndarray:
        """See Model.predict."""
        outputs = {port.name: port for port in self._manifest.ports_of("output", "forward")}
        own = self._manifest.raw.get("accuracy") or {}
        readout, of = (
            own.get("readout", "count"),
            own.get("of", "spk" if "spk" in outputs else next(iter(outputs))),
        )
        if by in outputs:
            readout, of = "count", by
        elif by is not None:
            readout, of = by, OUTPUTS.get(by, "mem") if by in READOUTS else ""
        if of not in outputs:
            known = ", ".join(dict.fromkeys((*outputs, *READOUTS)))
            raise ModelError(
                f"predict: by must be one of {known}, got {by!r}; outputs are {', '.join(outputs)}"
            )
        dataset = Dataset(self._manifest, "forward", x, None, self._num_steps, lengths)
        chosen = (outputs[of], readout, int(own.get("population", 0)))
        return np.concatenate([self._classes(batch, *chosen) for batch in dataset.batches(batch_size)])

    def _run_epoch(self, dataset: Dataset, plan: Plan, epoch: int, display: Progress) -> dict[str, float]:
        order, rate = plan.order(epoch, dataset.size), plan.learning_rate(epoch)
        display.start(epoch, plan.epochs, -(-len(order) // plan.batch_size))
        score, start = Score(self._manifest, "train"), time.perf_counter()
        for number, batch in enumerate(dataset.shuffled(plan.batch_size, order)):
            given = batch.given
            outcome = self.step(given["input"], given["target"], rate, given.get("lengths"))
            if not math.isfinite(outcome.loss):
                raise ModelError(
                    f"{self._manifest.name}: the loss is {outcome.loss} in epoch {epoch + 1}, "
                    f"batch {number + 1}; train with a lower learning rate"
                )
            score.add(batch, outcome)
            display.advance(outcome.loss)
        return {**score.results(), "seconds": time.perf_counter() - start}

    def _step(
        self, x: Any, y: Any, rate: float | None, lengths: Any, results: tuple[str, ...]
    ) -> dict[str, Arrays]:
        self._instance.require("train")
        rate = learning_rate(self._manifest, rate)
        self._instance.require("update")
        given = {"input": x, "target": y, "lengths": lengths}
        return self._instance.call("train", given, Extent(steps=self._num_steps), results, rate=rate)

    def _run(self, entry: str, given: Mapping[str, Any]) -> Outcome:
        results = ("loss", "sum", "score")
        return self._outcome(self._instance.call(entry, given, Extent(steps=self._num_steps), results))

    @staticmethod
    def _outcome(filled: dict[str, Arrays]) -> Outcome:
        (loss,) = filled["loss"].values()
        return Outcome(float(np.asarray(loss)), filled["sum"], filled["score"])

    def _classes(self, batch: Batch, port: Port, readout: str, population: int) -> np.ndarray:
        given: dict[str, Any] = {r: batch.given[r] for r in ("input", "lengths") if r in batch.given}
        extent = Extent(steps=self._num_steps)
        filled = self._instance.call("forward", given, extent, ("output",), only=port.name)
        values = filled["output"][port.name]
        if not port.time:
            return most(values)
        flat = values.reshape(*values.shape[:2], -1)
        return most(scores(flat, readout, population, batch.given.get("lengths", {}).get("lengths")))


class Score:
    """Mean loss and, for class targets, the share of samples whose class has the largest score: by the loss's
    readout where it says one, else the largest sum over time."""

    def __init__(self, manifest: Manifest, entry: str) -> None:
        targets = manifest.ports_of("target", entry)
        sums = {port.name: port for port in manifest.ports_of("sum", entry)}
        own = manifest.ports_of("score", entry)
        self._scored = bool(own)
        readout = own[0] if own else sums.get("spk") or next(iter(sums.values()), None)
        self._target = targets[0].name if targets and targets[0].dtype.kind == "i" else None
        self._readouts: dict[str, str] = {}  # metric by output
        if readout is not None and self._target is not None:
            same = (name for name, port in sums.items() if port.shape == readout.shape)
            self._readouts = {name: f"accuracy_{name}" for name in same}
            if not self._scored:
                self._readouts[readout.name] = "accuracy"
        self._loss, self._count = 0.0, 0
        self._right = dict.fromkeys(self._readouts, 0)
        self._chosen = 0  # right by the loss's own scores

    def add(self, batch: Batch, outcome: Outcome) -> None:
        self._loss += outcome.loss * batch.count
        self._count += batch.count
        for name in self._readouts:
            assert self._target is not None
            labels = batch.given["target"][self._target]
            self._right[name] += int(np.count_nonzero(most(outcome.sums[name]) == labels))
        for chosen in outcome.scores.values():
            assert self._target is not None
            labels = batch.given["target"][self._target]
            self._chosen += int(np.count_nonzero(most(chosen) == labels))

    def results(self) -> dict[str, float]:
        accuracies = {self._readouts[name]: right / self._count for name, right in self._right.items()}
        own = {"accuracy": self._chosen / self._count} if self._scored else {}
        return {"loss": self._loss / self._count, **own, **accuracies}
