"""The parameters of a model as a mapping, and weights files."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from .arrays import as_dtype, non_finite, plain_array, reject_unknown
from .errors import ModelError
from .instance import Instance
from .manifest import Tensor
from .safetensors import Arrays, read_safetensors
from .values import describe
from .weights import Held, Match, Stored, arrays_of, joined, match, open_weights


class Parameters(Mapping[str, np.ndarray]):
    """Parameters by name, with PyTorch's names and shapes. Reading copies out, assigning copies in.

    `model.params["fc1.weight"][0] = 1` changes only a copy: assign the whole array.
    """

    def __init__(self, instance: Instance) -> None:
        self._instance = instance
        self._tensors = instance.manifest.tensors_of("parameter")
        self._structure = instance.manifest.tensors_of("structure")

    def __getitem__(self, name: str) -> np.ndarray:
        return self._instance.get(self._tensors[name])

    def __setitem__(self, name: str, values: Any) -> None:
        self.update({name: values})

    def __iter__(self) -> Iterator[str]:
        return iter(self._tensors)

    def __len__(self) -> int:
        return len(self._tensors)

    def __contains__(self, name: object) -> bool:
        return name in self._tensors

    def __repr__(self) -> str:
        return f"Parameters({describe(dict(self))})"

    @property
    def structure(self) -> Arrays:
        """Tables of connections by name, as copies: they were compiled in and do not change."""
        return {name: self._instance.get(tensor) for name, tensor in self._structure.items()}

    def connect(self, values: Mapping[str, Any], source: str) -> None:
        """Sets the tables of connections; `source` is named where one is missing or another one."""
        for name, tensor in self._structure.items():
            if name not in values:
                raise ModelError(f"{source}: connections are missing: {name}")
            self._instance.set(tensor, _known(tensor, values[name], source))

    def update(self, values: Mapping[str, Any]) -> None:
        """Sets several parameters: all of them, or none if one does not fit."""
        reject_unknown(values, list(self._tensors), "parameter")
        fitting = [(self._tensors[name], fit(self._tensors[name], new)) for name, new in values.items()]
        with self._instance.lock:
            for tensor, array in fitting:
                self._instance.set(tensor, array)

    def replace(self, values: Mapping[str, Any], source: str) -> None:
        """Sets all parameters; `source` is named where one is missing."""
        missing = [name for name in self._tensors if name not in values]
        if missing:
            raise ModelError(f"{source}: parameters are missing: {', '.join(missing)}")
        for name in self._structure.keys() & values.keys():
            _known(self._structure[name], values[name], source)
        self.update({name: array for name, array in values.items() if name not in self._structure})

    def load(
        self,
        source: str | os.PathLike[str] | Mapping[str, Any],
        rename: Mapping[str, str] | None = None,
        strict: bool = True,
    ) -> Match:
        """Sets what a file or a mapping holds by name; see Model.load_weights."""
        if isinstance(source, Mapping):
            stored: Mapping[str, Stored] = {n: Held(plain_array(n, values)) for n, values in source.items()}
            label = "load_weights"
        else:
            stored, label = open_weights(source), os.fspath(source)
        for name in self._structure.keys() & stored.keys():
            _known(self._structure[name], stored[name].read(), label)
        stored = {name: array for name, array in stored.items() if name not in self._structure}
        wanted = {name: tensor.shape for name, tensor in self._tensors.items()}
        stored = joined(stored, wanted, rename)
        shapes = {name: array.shape for name, array in stored.items()}
        fixed = [name for name, tensor in self._tensors.items() if not tensor.learnable]
        found = match(label, wanted, shapes, rename, fixed)
        if strict or not found.pairs:
            found.check()
        self.update(arrays_of(found, stored, wanted))
        return found


def _known(tensor: Tensor, values: Any, source: str) -> np.ndarray:
    """A table of connections, if it is the one that the model was compiled with."""
    array = np.ascontiguousarray(fit(tensor, values), "<i4")
    if hashlib.sha256(array.tobytes()).hexdigest() != tensor.sha256:
        raise ModelError(
            f"{source}: {tensor.name}: not the connections that the model was compiled with; compile the "
            "network with these"
        )
    return array


def fit(tensor: Tensor, values: Any) -> np.ndarray:
    """The values as an array of the tensor's shape and type. Raises ModelError."""
    array = plain_array(tensor.name, values)
    if array.shape != tensor.shape:
        raise ModelError(f"{tensor.name}: expected shape {list(tensor.shape)}, found {list(array.shape)}")
    array = as_dtype(tensor.name, array, tensor.dtype)
    if place := non_finite({tensor.name: array}):
        raise ModelError(f"{place}; parameters must be finite")
    return array


def read_weights(path: Path, tensors: Mapping[str, Tensor]) -> Arrays:
    """The folder's own weights file: exactly the model's parameters in exactly their types."""
    arrays, _ = read_safetensors(path)
    for name, array in arrays.items():
        if name in tensors and array.dtype != tensors[name].dtype:
            raise ModelError(f"{path}: {name}: expected {tensors[name].dtype}, found {array.dtype}")
    return arrays
