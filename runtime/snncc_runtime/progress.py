"""Shows how training goes: a bar where tqdm and a terminal are there, a line per epoch elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any, Protocol


class Progress(Protocol):
    """What training tells while it runs."""

    def start(self, epoch: int, epochs: int, batches: int) -> None: ...

    def advance(self, loss: float) -> None: ...

    def finish(self, results: Mapping[str, float]) -> None: ...


def choose_progress(wish: bool | None) -> Progress:
    """None: a bar on a terminal, otherwise lines. True: a bar if tqdm is there. False: nothing."""
    if wish is False:
        return Silence()
    if wish or sys.stderr.isatty():
        try:
            from tqdm import tqdm
        except ImportError:
            return Lines()
        return Bar(tqdm)
    return Lines()


class Silence:
    def start(self, epoch: int, epochs: int, batches: int) -> None:
        pass

    def advance(self, loss: float) -> None:
        pass

    def finish(self, results: Mapping[str, float]) -> None:
        pass


class Lines(Silence):
    def start(self, epoch: int, epochs: int, batches: int) -> None:
        self._title = _title(epoch, epochs)

    def finish(self, results: Mapping[str, float]) -> None:
        values = "  ".join(f"{name} {value:.4g}" for name, value in results.items())
        sys.stderr.write(f"{self._title}  {values}\n")
        sys.stderr.flush()


class Bar:
    def __init__(self, tqdm: Any) -> None:
        self._tqdm = tqdm

    def start(self, epoch: int, epochs: int, batches: int) -> None:
        self._bar = self._tqdm(total=batches, desc=_title(epoch, epochs), unit="batch", file=sys.stderr)

    def advance(self, loss: float) -> None:
        self._bar.set_postfix(loss=f"{loss:.4g}", refresh=False)
        self._bar.update()

    def finish(self, results: Mapping[str, float]) -> None:
        shown = {name: f"{value:.4g}" for name, value in results.items() if name != "seconds"}
        self._bar.set_postfix(shown)
        self._bar.close()


def _title(epoch: int, epochs: int) -> str:
    return f"epoch {epoch + 1}/{epochs}"
