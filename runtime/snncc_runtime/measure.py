"""Runs a model with its kernels counted: what `Model.profile` does."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from .arrays import Extent
from .errors import ModelError
from .instance import Instance
from .kernels import Kernel, load_of, parse_kernels
from .manifest import Manifest
from .profile import Counts, Profile, measured_row

# Entry points and results of a call by the role that decides which one it is.
CALLS = {
    "target": (("train", "update"), ("loss", "sum")),
    "cotangent": (("backward",), ("d_input", "d_state")),
    "": (("forward",), ("output", "state_out")),
}


def measure(instance: Instance, given: Mapping[str, Any], num_steps: int | None, repeats: int) -> Profile:
    """The profile of a call: forward, with a target training, with cotangents backward.

    Times are medians of `repeats` calls.
    """
    manifest, extent = instance.manifest, Extent(steps=num_steps)
    if instance.device:
        raise ModelError(
            f"{manifest.name}: kernels on a GPU are not counted; a profiler shows them by their names: "
            "nsys profile --stats=true python ..."
        )
    kernels, train = kernels_of(manifest), "target" in given
    entries, results = next(found for role, found in CALLS.items() if not role or role in given)
    instance.require(entries[0])

    def call() -> None:
        nonlocal extent
        extent = Extent(steps=num_steps)
        instance.call(entries[0], given, extent, results)
        if train and "update" in manifest.entries:
            instance.update(0.0)  # so that all calls do the same

    with instance.unchanged(train):
        call()
        with instance.counting(len(kernels)) as counts:
            start, ticks = time.perf_counter(), instance.ticks()
            calls = [_counted(call, counts) for _ in range(repeats)]
            tick = (time.perf_counter() - start) / max(1, instance.ticks() - ticks)  # in seconds
    seconds, found = float(np.median([timed for timed, _ in calls])), calls[-1][1]
    found[:, 0] = np.median([of[:, 0] for _, of in calls], axis=0)
    assert extent.batch is not None and extent.steps is not None
    config = instance.config
    load = load_of(manifest.raw, extent.batch, extent.steps, config.tile, config.slots)
    rows = [
        (kernel.entry, measured_row(kernel, load, Counts(*map(int, of)), tick))
        for kernel, of in zip(kernels, found, strict=True)
    ]
    return Profile(
        f"{manifest.name}, {entries[0]}",
        load,
        config.threads,
        seconds,
        tuple(row for entry, row in rows if row.calls and entry in entries),
        sum(row.seconds for entry, row in rows if entry == ""),
    )


def _counted(call: Callable[[], None], counts: np.ndarray) -> tuple[float, np.ndarray]:
    """Seconds of a call, and what all threads counted, [kernels, 4]."""
    counts[:] = 0
    start = time.perf_counter()
    call()
    return time.perf_counter() - start, counts.sum(axis=0)


def kernels_of(manifest: Manifest) -> tuple[Kernel, ...]:
    """The table of kernels. Raises ModelError."""
    try:
        kernels = parse_kernels(manifest.raw)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ModelError(
            f"{manifest.name}: its table of kernels is damaged: {error}; compile again"
        ) from None
    if not kernels:
        raise ModelError(f"{manifest.name}: was compiled without a table of kernels; compile it again")
    return kernels
