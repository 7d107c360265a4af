"""Runs a model with its kernels counted: what `Model.profile` does."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from .arrays import Extent
from .errors import ModelError
from .instance import Instance
from .kernels import Kernel, Load, parse_kernels
from .manifest import Manifest
from .profile import Counts, Profile, Row, measured_row

WAITING = "waiting"


def measure(instance: Instance, given: Mapping[str, Any], num_steps: int | None, repeats: int) -> Profile:
    """The profile of the call of median time among `repeats`: forward, or with a target training."""
    manifest, extent = instance.manifest, Extent(steps=num_steps)
    kernels, train = kernels_of(manifest), "target" in given
    entries = ("train", "update") if train else ("forward",)
    instance.require(entries[0])

    def call() -> None:
        nonlocal extent
        extent = Extent(steps=num_steps)
        instance.call(entries[0], given, extent, ("loss", "sum") if train else ("output", "state_out"))
        if train and "update" in manifest.entries:
            instance.update(0.0)  # so that all calls do the same

    with instance.unchanged():
        call()
        with instance.counting(len(kernels)) as counts:
            calls = [_counted(call, counts) for _ in range(repeats)]
    seconds, found = sorted(calls, key=lambda timed: timed[0])[repeats // 2]
    assert extent.batch is not None and extent.steps is not None
    load = Load(extent.batch, extent.steps, instance.config.tile, instance.config.slots)
    rows = [
        measured_row(kernel, load, Counts(*map(int, of)))
        for kernel, of in zip(kernels, found, strict=True)
        if kernel.entry in (*entries, "")
    ]
    title = f"{manifest.name}, {entries[0]}"
    return Profile(title, load, instance.config.threads, seconds, tuple(_in_order(rows)))


def _counted(call: Callable[[], None], counts: np.ndarray) -> tuple[float, np.ndarray]:
    """Seconds of a call, and what all threads counted, [kernels, 4]."""
    counts[:] = 0
    start = time.perf_counter()
    call()
    return time.perf_counter() - start, counts.sum(axis=0)


def _in_order(rows: list[Row]) -> list[Row]:
    """Without what did not run; the time of waiting, which the library counts first, comes last."""
    ran = [row for row in rows if row.calls]
    return sorted(ran, key=lambda row: row.kernel == WAITING)


def kernels_of(manifest: Manifest) -> tuple[Kernel, ...]:
    """The table of kernels. Raises ModelError."""
    try:
        kernels = parse_kernels(manifest.raw)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ModelError(f"{manifest.name}: the table of kernels is damaged ({error}); compile again") from None
    if not kernels:
        raise ModelError(f"{manifest.name}: was compiled without a table of kernels; compile it again")
    return kernels
