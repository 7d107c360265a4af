"""What a call returns: arrays under their names."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

Arrays = dict[str, np.ndarray]


class Output:
    """A model's outputs as attributes, items or, in the model's order, elements; `state` is the final state.

    NumPy arrays, or DeviceArrays where an array given to the call was on the device.
    `spk, mem = model(x)`, `model(x).spk` and `model(x)["spk"]` are the same arrays.
    """

    __slots__ = ("_arrays", "state")

    def __init__(self, arrays: Mapping[str, np.ndarray], state: Arrays) -> None:
        self._arrays = dict(arrays)
        self.state = state

    def __getattr__(self, name: str) -> np.ndarray:
        if name != "_arrays" and name in self._arrays:
            return self._arrays[name]
        known = "" if name == "_arrays" else f"; outputs are {', '.join(self._arrays)}"
        raise AttributeError(f"no output {name!r}{known}")

    def __getitem__(self, key: str | int) -> np.ndarray:
        return self._arrays[key] if isinstance(key, str) else list(self._arrays.values())[key]

    def __iter__(self) -> Iterator[np.ndarray]:
        return iter(self._arrays.values())

    def __len__(self) -> int:
        return len(self._arrays)

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *self._arrays]

    def __repr__(self) -> str:
        parts = [describe(self._arrays)] if self._arrays else []
        parts += [f"state={{{', '.join(self.state)}}}"] if self.state else []
        return f"Output({', '.join(parts)})"


@dataclass(frozen=True, repr=False)
class Gradients:
    """Gradients of inputs, parameters and initial states, each by name."""

    inputs: Arrays
    params: Mapping[str, np.ndarray]
    state: Arrays

    def __repr__(self) -> str:
        parts = (f"{kind}={{{describe(arrays)}}}" for kind, arrays in vars(self).items())
        return f"Gradients({', '.join(parts)})"


class Later(Mapping[str, np.ndarray]):
    """Arrays that are read once, when somebody first looks."""

    def __init__(self, read: Callable[[], Arrays]) -> None:
        self._read = read
        self._found: Arrays | None = None

    def _arrays(self) -> Arrays:
        if self._found is None:
            self._found = self._read()
        return self._found

    def __getitem__(self, name: str) -> np.ndarray:
        return self._arrays()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._arrays())

    def __len__(self) -> int:
        return len(self._arrays())


def describe(arrays: Mapping[str, np.ndarray]) -> str:
    return ", ".join(f"{name}: {array.dtype}{list(array.shape)}" for name, array in arrays.items())
