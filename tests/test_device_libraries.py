"""Libraries that share arrays with a model on their own streams: ours here, and on a GPU PyTorch and CuPy."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pytest

import snncc
from snncc import loss, nn, optim
from snncc_runtime.streams import handle_of
from tests.cuda_arrays import Cuda, Described, Packed, present, unpacked
from tests.cuda_pairs import built, on_a_gpu

STEPS, BATCH, FEATURES = 5, 3, 6
LABELS = np.array([0, 3, 1])
Array = np.ndarray[Any, Any]


class Library(Protocol):
    """A library's own streams and arrays on the device."""

    takes: tuple[Callable[[Any], Any], ...]    # a result as its own array: by DLPack, by description

    def stream(self) -> Any: ...
    def current(self, stream: Any) -> AbstractContextManager[Any]: ...
    def array(self, values: Array) -> Any: ...
    def copy(self, to: Any, array: Any) -> None: ...
    def pointer(self, array: Any) -> int: ...
    def numpy(self, array: Any) -> Array: ...


class Driver:
    """What tests/cuda_arrays.py has; it gives arrays as `kind` does. What it takes is a pointer."""

    def __init__(self, kind: type[Described] | type[Packed]) -> None:
        self._kind, self._cuda, self._current = kind, present(), 0
        self.takes = self._by_dlpack, self._by_description

    def stream(self) -> int:
        return int(self._cuda.stream())

    @contextmanager
    def current(self, stream: int) -> Iterator[None]:
        before, self._current = self._current, stream
        yield
        self._current = before

    def array(self, values: Array) -> Any:
        return self._kind(self._cuda, values, self._current)

    def copy(self, to: Any, array: Any) -> None:
        self._cuda.copy(to.pointer, array.pointer, array.values.nbytes, self._current)

    def _by_dlpack(self, result: Any) -> int:
        return int(unpacked(result.__dlpack__(stream=self._current))[0])

    def _by_description(self, result: Any) -> int:
        given = result.__cuda_array_interface__
        self._cuda.order(given["stream"], self._current)
        return int(given["data"][0])

    def pointer(self, array: int) -> int:
        return array

    def numpy(self, array: int) -> Array:
        like = np.empty((STEPS, BATCH, 4), np.float32)
        return np.asarray(self._cuda.values(array, like, self._current))


class Torch:
    """It does not look at the stream of __cuda_array_interface__."""

    def __init__(self) -> None:
        self._torch = import_module("torch")
        self.stream, self.current = self._torch.cuda.Stream, self._torch.cuda.stream
        self.takes = (self._torch.from_dlpack,)

    def array(self, values: Array) -> Any:
        return self._torch.from_numpy(values).cuda()

    def copy(self, to: Any, array: Any) -> None:
        to.copy_(array)

    def pointer(self, array: Any) -> int:
        return int(array.data_ptr())

    def numpy(self, array: Any) -> Array:
        return np.asarray(array.cpu().numpy())


class CuPy:
    def __init__(self) -> None:
        self._cupy = import_module("cupy")
        self.takes = self._cupy.from_dlpack, self._cupy.asarray

    def stream(self) -> Any:
        return self._cupy.cuda.Stream(non_blocking=True)

    def current(self, stream: Any) -> AbstractContextManager[Any]:
        return stream    # type: ignore[no-any-return]

    def array(self, values: Array) -> Any:
        return self._cupy.asarray(values)

    def copy(self, to: Any, array: Any) -> None:
        to[...] = array

    def pointer(self, array: Any) -> int:
        return int(array.data.ptr)

    def numpy(self, array: Any) -> Array:
        return np.asarray(self._cupy.asnumpy(array))


LIBRARIES: dict[str, Callable[[], Library]] = {
    "described": lambda: Driver(Described), "packed": lambda: Driver(Packed), "torch": Torch, "cupy": CuPy,
}    # fmt: skip
OTHERS = ("torch", "cupy")
HERE = [name for name in LIBRARIES if on_a_gpu() or name not in OTHERS]


def numbers(seed: int, *shape: int) -> Array:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    network = nn.Sequential(
        input=nn.Input(FEATURES), fc=nn.Linear(FEATURES, 4), spk=nn.Leaky(0.9, threshold=0.2),
    )    # fmt: skip
    path = tmp_path_factory.mktemp("models") / "cuda"
    with built():
        learning = {"loss": loss.cross_entropy("rate"), "optimizer": optim.SGD(0.1)}
        snncc.compile(network, target="cuda", out=path, **learning)
    return path


@pytest.mark.parametrize("name", HERE)
def test_arrays_go_both_ways_in_the_order_of_streams(
    name: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Streams are held while they are read from, so what does not wait reads zeros."""
    monkeypatch.setenv("SNNCC_HOST_STREAMS", "late")    # on a GPU only what is held is late
    if name in OTHERS and not find_spec(name):
        pytest.skip(f"{name} is not installed")
    cuda: Cuda = present()
    model, library = snncc.load(folder), LIBRARIES[name]()
    theirs, own, reader = library.stream(), library.stream(), library.stream()
    values, back = numbers(0, STEPS, BATCH, FEATURES), numbers(1, STEPS, BATCH, 4)
    expected, slopes = model(values).spk, model.backward(values, spk=back)
    model.stream = own
    with library.current(theirs):
        x, source = library.array(np.zeros_like(values)), library.array(values)
        d_spk, labels = library.array(back), library.array(LABELS)
        for _ in range(3):    # so that there is memory, and calls are recorded
            library.copy(x, x)
            model(x)
            model.backward(x, spk=d_spk)
        model.wait()
        gate = cuda.hold(handle_of(theirs))
        library.copy(x, source)
        out, found = model(x), model.backward(x, spk=d_spk)
        assert not cuda.idle(handle_of(theirs)) and not cuda.idle(handle_of(own))
    with library.current(reader):
        taken = [take(out.spk) for take in library.takes]
        assert not cuda.idle(handle_of(reader))
        gate.open()
        for array in taken:
            assert library.pointer(array) == out.spk.pointer
            np.testing.assert_array_equal(library.numpy(array), expected)
    np.testing.assert_array_equal(found.inputs["x"].numpy(), slopes.inputs["x"])
    assert 0 < expected.mean() < 1
    other = snncc.load(folder)
    with library.current(theirs):
        assert model.train_step(x, labels) == other.train_step(values, LABELS)
