"""A compiled model as a Python object: `load` it, call it, train it, save it."""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .arguments import argument, draws_of, inputs_of, positive, steps_of
from .arrays import Extent
from .binding import Library
from .cpu import default_slots, default_threads
from .cublas import INSTALL
from .dataset import require_lengths
from .device_array import DeviceArray
from .errors import ModelError
from .files import MANIFEST, WEIGHTS, locked, replace_folder
from .instance import Config, Instance
from .learning import learn
from .manifest import Manifest, check_cpu, path_of, read_files, read_manifest
from .measure import measure
from .params import Parameters, read_weights
from .profile import Profile
from .safetensors import to_bytes
from .training import Callback, History, Plan, Rate, Trainer
from .values import Arrays, Gradients, Output
from .weights import Match, save_weights


@argument
def load(
    folder: str | os.PathLike[str],
    *,
    threads: int | None = None,
    slots: int | None = None,
    tile: int | None = None,
) -> Model:
    """Opens the model folder that `snncc compile` or `Model.save` wrote.

    `threads` (OMP_NUM_THREADS or all processors) changes only speed. `slots` (parts of a batch with sums of
    their own) and `tile` (samples that go through the network together) are the compiler's choice; they also
    change memory and the last bits of gradients. Raises ModelError.
    """
    path = path_of(folder)
    with locked(path.absolute().parent, shared=True):
        return _load(path, threads, slots, tile)


def _load(path: Path, threads: int | None, slots: int | None, tile: int | None) -> Model:
    manifest = read_manifest(path)
    files = read_files(path, manifest)
    check_cpu(manifest, path)
    tensors = {**manifest.tensors_of("parameter"), **manifest.tensors_of("structure")}
    weights = read_weights(path / WEIGHTS, tensors)
    config = Config(
        steps=manifest.num_steps or 1,
        tile=positive("tile", tile, manifest.tile),
        slots=positive("slots", slots, manifest.slots or default_slots()),
        threads=positive("threads", threads, default_threads()),
    )
    instance = Instance(manifest, Library(path, manifest, files), config)
    if instance.missing:
        warnings.warn(
            f"{manifest.name}: compiled with precision={manifest.precision!r}, but {instance.missing}; its "
            f"products are {manifest.dtype}, by snncc's own kernels. For cuBLAS: {INSTALL}",
            RuntimeWarning,
            stacklevel=3,
        )
    files[MANIFEST] = (path / MANIFEST).read_bytes()
    model = Model(manifest, instance, files)
    model.params.connect(weights, str(path / WEIGHTS))
    model.params.replace(weights, str(path / WEIGHTS))
    return model


class Model:
    """A compiled spiking network. Arrays are [T, B, *features], or [B, *features] without time.

    State starts fresh at each call unless it is passed in. A network with random numbers draws others at each
    call: those of `seed`, which then grows by one; a call's own `seed=` repeats numbers. What is wrong raises
    ModelError. Threads wait for each other; load the folder twice to run at the same time. A model for CUDA
    takes arrays on the GPU where they lie, and gives such.
    """

    def __init__(self, manifest: Manifest, instance: Instance, files: Mapping[str, bytes]) -> None:
        self._manifest, self._instance, self._files = manifest, instance, files
        self._params = Parameters(instance)

    @property
    def name(self) -> str:
        return self._manifest.name

    @property
    def manifest(self) -> dict[str, Any]:
        """The whole of manifest.json."""
        return self._manifest.raw

    @property
    def cublas(self) -> str:
        """Name or path of the cuBLAS that computes this model's products; "" where its own kernels do."""
        return self._instance.cublas

    @property
    def params(self) -> Parameters:
        return self._params

    @property
    def structure(self) -> Arrays:
        """The connections of sparse layers, by name: `indices` and `offsets`, as copies."""
        return self._params.structure

    @property
    def input_names(self) -> tuple[str, ...]:
        return tuple(port.name for port in self._manifest.ports_of("input"))

    @property
    def output_names(self) -> tuple[str, ...]:
        return tuple(port.name for port in self._manifest.ports_of("output"))

    @property
    def state_names(self) -> tuple[str, ...]:
        return tuple(port.name for port in self._manifest.ports_of("state"))

    @property
    def seed(self) -> int:
        """The seed of the next call that is given none: 0 after loading. Set it to repeat what follows."""
        return self._instance.seed

    @seed.setter
    def seed(self, value: int) -> None:
        self._instance.seed = draws_of(value, 0).seed

    @property
    def stream(self) -> Any:
        """Of a model for CUDA: where its work goes. A cudaStream_t as a number, a stream of PyTorch or CuPy;
        None is the default stream. A new one waits for what the model has put on the one before."""
        return self._instance.memory.stream

    @stream.setter
    def stream(self, stream: Any) -> None:
        self._instance.memory.stream = stream

    def wait(self) -> None:
        """Until all work is done; raises what calls with arrays on the device found wrong."""
        self._instance.memory.wait()

    def __call__(
        self,
        x: Any = None,
        /,
        *,
        state: Mapping[str, Any] | None = None,
        num_steps: int | None = None,
        seed: int | None = None,
        lengths: Any = None,
        **inputs: Any,
    ) -> Output:
        """All time steps. `x` is the only input, or a mapping of inputs by name, which may also be keywords.

        `lengths` [B] says how many steps each sample has (compiled with lengths=True): outputs past its end
        are zero, its final states are those of its own last step. `state` holds initial states by name, say
        `out.state` of the call before; missing ones start fresh. `num_steps` is needed only where no input
        has a time axis; the compiled number is the default.
        """
        given = {"input": inputs_of(x, inputs), "state": state, "lengths": self._lengths(lengths)}
        extent = Extent(steps=steps_of(num_steps))
        draws = None if seed is None else draws_of(seed, 0)
        filled = self._instance.call("forward", given, extent, ("output", "state_out"), draws=draws)
        return Output(filled["output"], filled["state_out"])

    def step(
        self,
        x: Any = None,
        /,
        *,
        state: Mapping[str, Any] | None = None,
        seed: int | None = None,
        number: int = 0,
        **inputs: Any,
    ) -> Output:
        """One time step of [B, *features] arrays: `out = model.step(x, state=out.state)` streams.

        With `seed` and the number of the step (from 0) it draws what a call of all steps draws there.
        """
        given = {"input": inputs_of(x, inputs), "state": state}
        if seed is None and draws_of(0, number) != draws_of(0, 0):
            raise ModelError("step: the number of a step says which numbers of a seed are drawn: give seed")
        draws = None if seed is None else draws_of(seed, number)
        once = Extent(time=False, steps=1)
        filled = self._instance.call("step", given, once, ("output", "state_out"), draws=draws)
        return Output(filled["output"], filled["state_out"])

    @argument
    def backward(
        self,
        x: Any = None,
        /,
        *,
        state: Mapping[str, Any] | None = None,
        num_steps: int | None = None,
        cotangents: Mapping[str, Any] | None = None,
        seed: int | None = None,
        lengths: Any = None,
        **named: Any,
    ) -> Gradients:
        """Gradients of sum(output * cotangent), for cotangents by output (`spk=...`); missing ones are zero.

        Several inputs are given as a mapping. Needs no call before it: it runs the forward half by itself.
        Random numbers are by default those of the last call.
        """
        given = {"input": x, "state": state, "cotangent": {**(cotangents or {}), **named}}
        given["lengths"] = self._lengths(lengths)
        extent = Extent(steps=steps_of(num_steps))
        repeats = bool(self._manifest.ports_of("seed", "forward"))  # else only gradients are drawn
        last = self._instance.drawn if repeats else None
        draws = last if seed is None else draws_of(seed, 0)
        filled = self._instance.call("backward", given, extent, ("d_input", "d_state"), draws=draws)
        return Gradients(filled["d_input"], self._instance.gradients_of_call(), filled["d_state"])

    def train_step(
        self, x: Any, y: Any, lr: float | None = None, *, num_steps: int | None = None, lengths: Any = None
    ) -> float:
        """One step of the optimiser on one batch; returns the loss before it (a mean over the batch)."""
        return float(self._trainer(num_steps).loss_of_step(x, y, lr, self._lengths(lengths)))

    def queue_step(
        self, x: Any, y: Any, lr: float | None = None, *, num_steps: int | None = None, lengths: Any = None
    ) -> DeviceArray:
        """`train_step` of arrays on the GPU that waits for nothing: `float(loss)` waits and reads the loss.

        If a call went wrong, it and those after it change no weights, until a look from the host raises that.
        """
        loss = self._trainer(num_steps).loss_of_step(x, y, lr, self._lengths(lengths))
        if not isinstance(loss, DeviceArray):
            raise ModelError(f"{self.name}: queue_step: x or y on a GPU is needed; otherwise use train_step")
        return loss

    @argument
    def learn(
        self,
        x: Any = None,
        /,
        *,
        state: Mapping[str, Any] | None = None,
        lr: float | None = None,
        num_steps: int | None = None,
        **inputs: Any,
    ) -> Output:
        """Runs all time steps and lets the weights follow their learning rule (rule="stdp"), step by step or
        once at the end, as it was compiled. Returns what a call does; traces are among `out.state`.

        Give `state=out.state` to go on. `gradients()` are the last changes, negated.
        """
        given = {"input": inputs_of(x, inputs), "state": state}
        outputs, last = learn(self._instance, given, steps_of(num_steps), lr)
        return Output(outputs, last)

    def gradients(self) -> Arrays:
        """Parameter gradients of the last `backward` or `train_step`, by parameter name."""
        return self._instance.gradients()

    @argument
    def fit(
        self,
        x: Any,
        y: Any,
        *,
        epochs: int = 1,
        batch_size: int = 128,
        validation_data: tuple[Any, ...] | None = None,
        shuffle: bool = True,
        seed: int = 0,
        lr: Rate = None,
        progress: bool | None = None,
        drop_last: bool = False,
        callbacks: Sequence[Callback] = (),
        num_steps: int | None = None,
        lengths: Any = None,
    ) -> History:
        """Trains on x ([N, *] static, [T, N, *] in time, a mapping if several) and targets y ([N, *]).

        `lr` is a number or a function of the epoch (from 0), by default the compiled rate. `progress` is
        a bar on a terminal and a line per epoch elsewhere; True always asks for the bar, False for silence.
        Callbacks get (epoch, history) after every epoch; a true result ends training. With `lengths` [N],
        validation_data is (x, y, lengths).
        """
        plan = Plan(
            epochs=positive("epochs", epochs),
            batch_size=positive("batch_size", batch_size),
            shuffle=shuffle,
            seed=draws_of(seed, 0).seed,
            rate=lr,
            drop_last=drop_last,
        )
        return self._trainer(num_steps).fit(x, y, plan, validation_data, progress, callbacks, lengths)

    @argument
    def evaluate(
        self, x: Any, y: Any, batch_size: int = 512, *, num_steps: int | None = None, lengths: Any = None
    ) -> dict[str, float]:
        """`loss`, and for class targets `accuracy` and `accuracy_mem` (largest sum).

        `accuracy` is by the loss's readout (first spikes, largest membrane, groups of a population code), for
        "mem", "rate" and "count" by most spikes; a loss's `accuracy=` says another one.
        """
        return self._trainer(num_steps).evaluate(x, y, positive("batch_size", batch_size), lengths)

    @argument
    def predict(
        self,
        x: Any,
        by: str | None = None,
        batch_size: int = 512,
        *,
        num_steps: int | None = None,
        lengths: Any = None,
    ) -> np.ndarray:
        """Classes, int64 [N]: the largest sum over time of output `by`, or the largest score of a readout.

        Readouts are those of metrics.scores ("mem_max", "latency" ...). By default the readout that the loss
        is measured by, else `spk`, else the first output.
        """
        return self._trainer(num_steps).predict(x, by, positive("batch_size", batch_size), lengths)

    @argument
    def profile(
        self,
        x: Any = None,
        y: Any = None,
        *,
        state: Mapping[str, Any] | None = None,
        num_steps: int | None = None,
        repeats: int = 10,
        lengths: Any = None,
        cotangents: Mapping[str, Any] | None = None,
    ) -> Profile:
        """Where the time goes: time, events, operations and bytes of each kernel, as a table and as rows.

        With targets `y` of a training step (its learning rate is 0: nothing changes), with `cotangents` by
        output of `backward`, otherwise of a call. Times are medians of `repeats` calls. `print` it, or read
        `.rows`.
        """
        given = {"input": x, "state": state} if y is None else {"input": x, "target": y}
        if y is not None and state is not None:
            raise ModelError("profile: training starts from fresh states; give state or y, not both")
        if cotangents is not None:
            if y is not None:
                raise ModelError("profile: of a training step or of backward; give y or cotangents, not both")
            given["cotangent"] = cotangents
        given["lengths"] = self._lengths(lengths)
        return measure(self._instance, given, steps_of(num_steps), positive("repeats", repeats))

    @argument
    def save(self, folder: str | os.PathLike[str]) -> None:
        """Writes the whole model with its present weights, or nothing. Replaces only an older model."""
        replace_folder(folder, {**self._files, WEIGHTS: to_bytes({**self.params, **self.structure})})

    @argument
    def save_weights(self, path: str | os.PathLike[str]) -> None:
        """Writes the parameters, and connections of sparse layers: .pt and .pth for PyTorch, .npz, or else
        safetensors."""
        save_weights(path, {**self.params, **self.structure})

    @argument
    def load_weights(
        self,
        source: str | os.PathLike[str] | Mapping[str, Any],
        *,
        rename: Mapping[str, str] | None = None,
        strict: bool = True,
    ) -> Match:
        """Sets parameters by name: from a PyTorch state dict (.pt, .pth), safetensors, npz, or a mapping.

        rename: their names to ours; of names that end with a dot, as a prefix: {"net.0.": "fc1."}. What
        PyTorch's wrappers put into names (`module.`, `_orig_mod.`) and what all names begin with needs none.
        Raises ModelError, and changes nothing, if a parameter is missing, has another shape, or if there is
        something else in the file; with strict=False what fits is taken. Returns what went where.
        """
        return self.params.load(source, rename, strict)

    def __repr__(self) -> str:
        ports = f"{', '.join(self.input_names)} -> {', '.join(self.output_names)}"
        count = sum(math.prod(tensor.shape) for tensor in self._manifest.tensors_of("parameter").values())
        return f"<Model {self.name}: {ports}, {self._manifest.dtype}, {count} parameters>"

    def _lengths(self, lengths: Any) -> Any:
        """What a call is given as lengths, by name."""
        if lengths is None:
            return None
        require_lengths(self._manifest)
        return lengths if isinstance(lengths, Mapping) else {"lengths": lengths}

    def _trainer(self, num_steps: int | None) -> Trainer:
        return Trainer(self._instance, steps_of(num_steps))
