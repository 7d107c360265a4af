"""A model in memory: the C library, its arena and the tensors in it. One call of it is one call of C."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from threading import RLock
from typing import Any
from weakref import finalize

import numpy as np

from .arrays import Extent, as_dtype, named, non_finite, plain_array
from .binding import Library, Status
from .cublas import attach
from .device_memory import DeviceMemory
from .errors import ModelError
from .manifest import IO_ROLES, Manifest, Port, Tensor
from .memory import Arena, HostMemory, Memory
from .values import Arrays, Later

COUNTS = 4  # of a kernel
TRAINING_ENTRIES = frozenset({"backward", "train", "learn"})
CARRIED_ROLES = ("parameter", "structure", "gradient", "optimizer")


@dataclass(frozen=True)
class Config:
    """Sizes of an arena: most time steps of a call, samples per tile, slots, threads, room for gradients."""

    steps: int
    tile: int
    slots: int
    threads: int
    training: bool = False
    batch: int = 0  # most samples of a call that runs in phases


@dataclass(frozen=True)
class EntryPoint:
    """What every call of a C function needs, looked up once: its ports by role, those that may be named."""

    function: Any
    trains: bool
    ports: dict[str, tuple[Port, ...]]
    known: dict[str, tuple[Port, ...]]


@dataclass(frozen=True)
class Draws:
    """What random numbers a call draws: of which seed, and which step its first one is."""

    seed: int
    first_step: int = 0


class Instance:
    """Runs entry points. Holds a lock: the arena is scratch memory of one call at a time."""

    def __init__(self, manifest: Manifest, library: Library, config: Config) -> None:
        self.manifest = manifest
        self.lock = RLock()
        self.training_calls = 0
        self.seed = 0  # of the next call that is given none
        self.drawn = Draws(0)  # by the last call
        self.cublas = ""  # the library that computes the products, if one does
        self.missing = ""  # why none does, of a model that was compiled for it
        self.draws_numbers = bool(manifest.ports_of("seed"))
        self._entry_points: dict[str, EntryPoint] = {}
        self._library = library
        self._model = library.new_model()
        self.device = manifest.raw["target"] == "cuda"
        self.memory: Memory = (
            DeviceMemory(library, self._model, manifest.name, self.lock)
            if self.device
            else HostMemory(library, manifest.name)
        )
        self._arena: Arena | None = None
        self._start(config, self._make_arena(config))
        finalize(self, self.memory.end).atexit = False  # before what this refers to is gone

    def call(
        self,
        entry: str,
        given: Mapping[str, Any],
        extent: Extent,
        results: Collection[str],
        only: str = "",
        draws: Draws | None = None,
        rate: float | None = None,
    ) -> dict[str, Arrays]:
        """Calls an entry point: `given` arrays by role and name in, arrays of the roles `results` out.

        Of outputs only the one named `only` is made, if given. draws: of random numbers; None for the next
        seed. rate: of the optimiser's step that follows; None for none. With an array on the device results
        stay there, and what the call finds is not yet known. Raises ModelError, before a weight changes.
        """
        point = self._entry_points.get(entry) or self._entry_point(entry)
        if draws is not None and not self.draws_numbers:
            raise ModelError(f"{self.manifest.name}: draws no random numbers, so it has no use for a seed")
        arrays = self._convert(point, given, extent)
        filled: dict[str, Arrays] = {role: {} for role in results}
        memory = self.memory
        with self.lock:
            memory.begin(array for _, array in arrays)
            steps = self._settle(extent)
            batch = extent.batch or 1
            phased = self.device or entry in self.manifest.phased
            self._reserve(steps, point.trains, batch if phased else 0)
            pointers = {port.field: memory.given(port, array) for port, array in arrays}
            for port in point.ports["seed"]:
                pointers[port.field] = memory.given(port, self._draw(draws))
            for role, made in filled.items():
                for port in point.ports[role]:
                    if not only or port.name == only:
                        made[port.name], pointers[port.field] = memory.result(port, extent.shape(port))
            io = self._library.new("io", pointers)
            run_axes: tuple[Any, ...] = (extent.batch,) if entry == "step" else (steps, extent.batch)
            function = point.function
            if rate is not None and self.device:  # in one launch, without a look at what the call found
                function, run_axes = self._library.function(f"{entry}_step"), (*run_axes, rate)
            status = memory.finish(function(self._model, io, *run_axes))
            if status != Status.OK:
                self._explain(entry, status, arrays)
            self.training_calls += point.trains
            if rate is not None and not self.device:
                self.update(rate)
        return filled

    def require(self, entry: str) -> None:
        if entry not in self.manifest.entries:
            options = {
                "train": "with a loss",
                "evaluate": "with a loss",
                "learn": "with rule='stdp'",
                "update": "with an optimizer",
            }
            remedy = f"compile it again {options.get(entry, 'with that entry')}"
            raise ModelError(f"{self.manifest.name}: was compiled without {entry!r}; {remedy}")

    def update(self, learning_rate: float) -> None:
        """One step of the optimiser with the gradients of the last training call."""
        self.require("update")
        with self.lock:
            self._check("update", self._library.function("update")(self._model, learning_rate))

    @contextmanager
    def counting(self, kernels: int) -> Iterator[np.ndarray]:
        """Within: what the library counts, [threads, kernels, 4]: ticks, calls, events, dense calls."""
        counts = np.zeros((self.config.threads, kernels, COUNTS), np.int64)
        count = self._library.function("profile")
        with self.lock:
            self._check("profile", count(self._model, self._library.pointer(counts)))
            try:
                yield counts
            finally:
                count(self._model, self._library.ffi.NULL)

    def ticks(self) -> int:
        """The clock of profiles; always 0 where the library has none."""
        return int(self._library.function("clock")())

    @contextmanager
    def unchanged(self, training: bool) -> Iterator[None]:
        """Afterwards parameters, seed and the optimiser's state are what they were before; training: whether
        there must be room for that state, because it is going to be used."""
        with self.lock:
            self._reserve(self.config.steps, training, 0)
            roles = ("parameter", "optimizer") if self.config.training else ("parameter",)
            kept = [(tensor, self.get(tensor)) for tensor in self.manifest.tensors if tensor.role in roles]
            seed, drawn = self.seed, self.drawn
            try:
                yield
            finally:
                self.seed, self.drawn = seed, drawn
                for tensor, values in kept:
                    self.set(tensor, values)

    def get(self, tensor: Tensor) -> np.ndarray:
        """A copy of a tensor in its canonical shape."""
        values = np.empty(tensor.shape, tensor.dtype)
        with self.lock:
            self._check(
                "get", self._library.function("get")(self._model, tensor.index, self._library.pointer(values))
            )
        return values

    def set(self, tensor: Tensor, values: np.ndarray) -> None:
        """Copies in values of exactly the tensor's shape and type."""
        assert values.shape == tensor.shape and values.dtype == tensor.dtype
        with self.lock:
            self._check(
                "set", self._library.function("set")(self._model, tensor.index, self._library.pointer(values))
            )

    def gradients(self) -> dict[str, np.ndarray]:
        """Parameter gradients of the last training call, by name. Raises what the call found wrong."""
        if not self.training_calls:
            raise ModelError(f"{self.manifest.name}: no gradients yet; call backward or train_step first")
        with self.lock:
            self.memory.wait()
            return {name: self.get(tensor) for name, tensor in self.manifest.tensors_of("gradient").items()}

    def gradients_of_call(self) -> Mapping[str, np.ndarray]:
        """Parameter gradients of the call just made; read when somebody looks, if it is still going on."""
        if not self.memory.pending:
            return self.gradients()
        number = self.training_calls

        def read() -> Arrays:
            if number != self.training_calls:
                raise ModelError(
                    f"{self.manifest.name}: a later call has replaced these gradients; read them before it"
                )
            return self.gradients()

        return Later(read)

    def _entry_point(self, entry: str) -> EntryPoint:
        self.require(entry)
        ports = {role: self.manifest.ports_of(role, entry) for role in IO_ROLES}
        # What an entry point has no use for may be given all the same: a state that nothing reads, the
        # cotangent of an output without a gradient.
        known = {"state": self.manifest.ports_of("state"), "cotangent": self.manifest.ports_of("output")}
        point = EntryPoint(self._library.function(entry), entry in TRAINING_ENTRIES, ports, ports | known)
        return self._entry_points.setdefault(entry, point)

    def _convert(self, point: EntryPoint, given: Mapping[str, Any], extent: Extent) -> list[tuple[Port, Any]]:
        """Arrays of the host as C reads them, and those on the device."""
        arrays: list[tuple[Port, Any]] = []
        for role, values in given.items():
            if role == "lengths" and not point.ports[role]:
                continue  # nothing that this call computes depends on them
            values = named(values, point.known[role], role)
            for port in point.ports[role]:
                if port.name in values:
                    value = values[port.name]
                    view = self.memory.view(port, value)
                    array = plain_array(port.name, value, port.kinds) if view is None else view
                    extent.check(port, array.shape)
                    arrays.append((port, view or as_dtype(port.name, array, port.dtype)))
                elif role in ("input", "target"):
                    raise ModelError(f"{self.manifest.name}: {role} {port.name!r} is missing")
        return arrays

    def _draw(self, draws: Draws | None) -> np.ndarray:
        """What the C library draws from; without `draws` from the next seed."""
        if draws is None:
            draws, self.seed = Draws(self.seed), self.seed + 1
        self.drawn = draws
        return np.array([draws.seed, draws.first_step], np.int64)

    def _settle(self, extent: Extent) -> int:
        """Steps of this call, from an array, else from num_steps, else from the manifest."""
        if extent.steps is None:
            extent.steps = self.manifest.num_steps
        if extent.steps is None:
            raise ModelError(f"{self.manifest.name}: num_steps is needed, because no input has a time axis")
        steps = extent.steps if extent.time else 1
        if self.manifest.exact_steps and steps != self.manifest.num_steps:
            raise ModelError(
                f"{self.manifest.name}: a layer was made for {self.manifest.num_steps} steps, this call has "
                f"{steps}; give all {self.manifest.num_steps}, or compile the network for another number"
            )
        if extent.batch is None:
            extent.batch = 1
        return extent.steps

    def _reserve(self, steps: int, training: bool, batch: int) -> None:
        """Grows the arena where a call needs more than it was made for; the tensors are carried over."""
        config = self.config
        most, samples = max(steps, config.steps), max(batch, config.batch)
        wider = replace(config, steps=most, training=training or config.training, batch=samples)
        if self.device:
            wider = replace(wider, tile=max(batch, config.tile), batch=0)
        if wider == config:
            return
        roles = CARRIED_ROLES if config.training else CARRIED_ROLES[:2]
        kept = [(tensor, self.get(tensor)) for tensor in self.manifest.tensors if tensor.role in roles]
        try:
            arena = self._make_arena(wider)
        except ModelError:
            if not self.memory.fits_alone(self._arena_bytes(wider)):
                raise
            arena = self._replace_arena(wider, kept)
        self.memory.close()
        self._start(wider, arena)
        self._set_all(kept)

    def _replace_arena(self, wider: Config, kept: list[tuple[Tensor, np.ndarray]]) -> Arena:
        """One in the place of the present one; if that fails, everything is as before."""
        self._arena = None
        self.memory.end()
        try:
            return self._make_arena(wider)
        except ModelError:
            self._start(self.config, self._make_arena(self.config))
            self._set_all(kept)
            raise

    def _set_all(self, kept: list[tuple[Tensor, np.ndarray]]) -> None:
        for tensor, values in kept:
            self.set(tensor, values)

    def _arena_bytes(self, config: Config) -> int:
        size = int(self._library.function("arena_bytes")(self._c_config(config)))
        if size == 0:
            raise ModelError(f"{self.manifest.name}: the sizes are too large or not positive: {config}")
        return size

    def _make_arena(self, config: Config) -> Arena:
        size = self._arena_bytes(config)
        try:
            return self.memory.arena(size)
        except (MemoryError, ValueError):
            raise ModelError(
                f"{self.manifest.name}: {size} bytes are not to be had for {config.steps} steps; "
                "load the model with a smaller tile or fewer slots"
            ) from None

    def _start(self, config: Config, arena: Arena) -> None:
        start = self._library.function("init")
        self._check("init", start(self._model, self._c_config(config), arena.pointer, arena.size))
        self.config, self._arena = config, arena
        self.memory.started()
        if self.manifest.precision != "exact":
            self.cublas, self.missing = attach(self._library, self._model)

    def _c_config(self, config: Config) -> Any:
        unknown = () if self.manifest.phased and not self.device else ("batch",)
        return self._library.new("config", {k: v for k, v in vars(config).items() if k not in unknown})

    def _check(self, entry: str, status: int) -> None:
        if status != Status.OK:
            raise ModelError(f"{self.manifest.name}: {entry} failed: {self._library.finding(status)}")

    def _explain(self, entry: str, status: int, arrays: list[tuple[Port, Any]]) -> None:
        given = {port: array for port, array in arrays if isinstance(array, np.ndarray)}
        named = {port.name: array for port, array in given.items()}
        if status == Status.FINITE and (place := non_finite(named)):
            raise ModelError(f"{place}; inputs must be finite")
        if status == Status.LENGTH:
            found = f"{named['lengths'].min()} to {named['lengths'].max()}"
            raise ModelError(f"lengths: expected numbers from 1 to the steps of the call, found {found}")
        for port, array in given.items() if status == Status.LABEL else ():
            if port.below and ((outside := (array < 0) | (array >= port.below)).any()):
                at = np.unravel_index(outside.argmax(), array.shape)
                found = f"found {array[at]} at {[int(k) for k in at]}"
                kind = f"rows of the embedding {port.reader!r}" if port.reader else "classes"
                raise ModelError(f"{port.name}: expected {kind}, from 0 to {port.below - 1}, {found}")
        self._check(entry, status)
