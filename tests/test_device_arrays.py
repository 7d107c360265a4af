"""Arrays that are on the device: used where they lie, in the order of their streams, given back likewise."""

from __future__ import annotations

import ctypes
import gc
import subprocess
import sys
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import snncc
from snncc import loss, nn, optim
from snncc_runtime import DeviceArray, Model, ModelError, dlpack
from snncc_runtime.device_memory import DeviceMemory
from snncc_runtime.memory import HostMemory
from tests import cuda_host
from tests.cuda_arrays import Cuda, Described, Packed, StandIn, Tensor, present, unpacked
from tests.cuda_pairs import built, on_a_gpu

STEPS, BATCH, FEATURES = 5, 3, 6
LABELS = np.array([0, 3, 1])
Array = np.ndarray[Any, Any]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    network = nn.Sequential(
        input=nn.Input(FEATURES), fc=nn.Linear(FEATURES, 8), lif=nn.Leaky(0.9, threshold=0.2),
        out=nn.Linear(8, 4), spk=nn.Leaky(0.75, threshold=0.1),
    )    # fmt: skip
    path = tmp_path_factory.mktemp("models") / "cuda"
    learning: dict[str, Any] = {"loss": loss.cross_entropy("rate"), "optimizer": optim.SGD(0.1)}
    with built():
        snncc.compile(network, target="cuda", out=path, lengths=True, num_steps=STEPS, **learning)
    return path


@pytest.fixture
def model(folder: Path) -> Model:
    return snncc.load(folder)


@pytest.fixture
def cuda(folder: Path) -> Any:
    return present()


@pytest.fixture
def late(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is put on a stream waits until somebody waits for it; on a GPU only while the stream is held."""
    monkeypatch.setenv("SNNCC_HOST_STREAMS", "late")


def numbers(seed: int = 0, *shape: int) -> Array:
    return np.random.default_rng(seed).normal(size=shape or (STEPS, BATCH, FEATURES)).astype(np.float32)


def same(found: Any, expected: Any) -> None:
    for name, array in expected.items():
        assert isinstance(found[name], DeviceArray)
        np.testing.assert_array_equal(found[name].numpy(), array, err_msg=name)


@pytest.mark.parametrize("kind", [Described, Packed])
def test_arrays_are_used_where_they_lie(model: Model, cuda: Cuda, kind: type[Tensor]) -> None:
    x, lengths = kind(cuda, numbers()), kind(cuda, np.array([5, 2, 3], np.int64))
    cotangents = {name: kind(cuda, numbers(k, STEPS, BATCH, 4)) for k, name in enumerate(model.output_names)}
    state = {name: kind(cuda, numbers(7, BATCH, 8 if "lif" in name else 4)) for name in model.state_names}
    plain = {
        "state": {name: tensor.values for name, tensor in state.items()},
        "cotangents": {name: tensor.values for name, tensor in cotangents.items()},
        "lengths": lengths.values,
    }
    expected = model(x.values, state=plain["state"], lengths=plain["lengths"])
    slopes = model.backward(x.values, **plain)
    out = model(x, state=state, lengths=lengths)
    found = model.backward(x, state=state, cotangents=cotangents, lengths=lengths)
    same(out, {name: expected[name] for name in model.output_names})
    same(out.state, expected.state)
    same(found.inputs, slopes.inputs)
    same(found.state, slopes.state)
    for name, array in slopes.params.items():
        np.testing.assert_array_equal(found.params[name], array)
    again = model(x, state=out.state)    # what a model gave, it takes
    np.testing.assert_array_equal(again.spk.numpy(), model(x.values, state=expected.state).spk)
    assert 0 < expected.spk.mean() < 1    # so the tests below see what is read too early


@pytest.mark.stand_in("it counts copies between host and device")
@pytest.mark.parametrize("kind", [Described, Packed])
def test_nothing_crosses(model: Model, cuda: StandIn, kind: type[Tensor]) -> None:
    x, lengths = kind(cuda, numbers()), kind(cuda, np.array([5, 2, 3], np.int64))
    cotangents = {name: kind(cuda, numbers(k, STEPS, BATCH, 4)) for k, name in enumerate(model.output_names)}
    model.backward(numbers(), spk=np.zeros((STEPS, BATCH, 4)))    # for which memory grows
    crossings = cuda.crossings()
    out = model(x, lengths=lengths)
    model.backward(x, state=out.state, cotangents=cotangents, lengths=lengths)
    assert cuda.crossings() == crossings
    out.spk.numpy()
    assert cuda.crossings() > crossings


@pytest.mark.parametrize("kind", [Described, Packed])
def test_the_host_waits_for_nothing(model: Model, cuda: Cuda, late: None, kind: type[Tensor]) -> None:
    expected, zeros = model(numbers()).spk, np.zeros_like(numbers())
    own, theirs, reader = (cuda.stream() for _ in range(3))
    model.stream = own
    x, other = kind(cuda, zeros, theirs), Described(cuda, numbers(), theirs)
    for _ in range(3):    # so that there is memory for two results, and the call is recorded
        out = [model(x), model(x)]
        del out
    model.wait()
    gate = cuda.hold(theirs)
    x.fill(numbers())
    out = model(x)
    assert not cuda.idle(own) and not cuda.idle(theirs)
    assert out.spk.__cuda_array_interface__["stream"] == own
    alive = weakref.ref(x)
    del x
    assert alive()    # until the model has read it
    gate.open()
    np.testing.assert_array_equal(out.spk.numpy(), expected)
    gc.collect()
    assert not alive()
    assert cuda.idle(own) and cuda.idle(theirs)
    gate = cuda.hold(own)
    out = model(other)
    capsule = out.spk.__dlpack__(stream=reader)    # which waits for the model's
    assert not cuda.idle(own) and not cuda.idle(reader)
    gate.open()
    np.testing.assert_array_equal(cuda.values(unpacked(capsule)[0], expected, reader), expected)
    model.stream = None    # what comes now waits for what was put on the stream before
    np.testing.assert_array_equal(model(Described(cuda, numbers())).spk.numpy(), expected)


def test_what_calls_find_wrong_is_said_at_the_next_look(model: Model, cuda: Cuda) -> None:
    good, broken = numbers(), numbers()
    broken[2, 1, 3] = np.nan
    late, expected = "a call with arrays on the device: an input holds NaN", model(good).spk
    out = model(Described(cuda, broken))
    fine = model(Described(cuda, good))
    with pytest.raises(ModelError, match=late):
        fine.spk.numpy()
    np.testing.assert_array_equal(fine.spk.numpy(), expected)
    looks: tuple[Callable[[], Any], ...] = (
        model.wait, lambda: model(good), lambda: np.asarray(out.spk), lambda: slopes.params["fc.weight"]
    )    # fmt: skip
    for look in looks:
        slopes = model.backward(Described(cuda, broken), spk=np.zeros((STEPS, BATCH, 4)))
        with pytest.raises(ModelError, match=late):
            look()
        np.testing.assert_array_equal(model(good).spk, expected)
    for wrong in (0, STEPS + 1):
        model(Described(cuda, good), lengths=Described(cuda, np.array([5, wrong, 3])))
        with pytest.raises(ModelError, match="a sample's length is not from 1"):
            model.wait()
    before = {name: array.copy() for name, array in model.params.items()}
    with pytest.raises(ModelError, match="a call with arrays on the device: a target class is out of range"):
        model.train_step(good, Packed(cuda, np.array([0, 9, 1])))
    for name, array in before.items():
        np.testing.assert_array_equal(model.params[name], array)
    out = model(Described(cuda, broken))
    with pytest.raises(ModelError, match=late):
        model(numbers(1, STEPS, 9, FEATURES))    # for which memory grows
    old = model.backward(Described(cuda, good), spk=np.zeros((STEPS, BATCH, 4))).params
    model.train_step(good, LABELS)
    with pytest.raises(ModelError, match="a later call has replaced these gradients"):
        old["fc.weight"]


def test_memory_of_results_comes_again(model: Model, cuda: Cuda) -> None:
    x, addresses, state = Described(cuda, numbers()), set(), None
    for _ in range(6):
        out = model(x, state=state)
        state = out.state
        addresses.add(tuple(array.pointer for array in (*out, *state.values())))
    assert len(addresses) == 2    # one is held while the next is made
    kept = model(x)
    values = kept.spk.numpy()
    lent = unpacked(kept.spk.__dlpack__())
    pointer = kept.spk.pointer
    del kept
    assert all(model(Described(cuda, numbers(2))).spk.pointer != pointer for _ in range(3))
    np.testing.assert_array_equal(cuda.values(lent[0], values, cuda.stream()), values)
    ctypes.CFUNCTYPE(None, ctypes.c_void_p)(lent[-2])(lent[-1])    # as a reader says that it is done
    assert pointer in {out.spk.pointer for out in [model(x) for _ in range(3)]}


def test_what_a_result_says_of_itself(model: Model, cuda: Cuda) -> None:
    spk = model(Packed(cuda, numbers())).spk
    shape, address = (STEPS, BATCH, 4), spk.pointer
    said = {"shape": shape, "typestr": "<f4", "data": (address, False), "strides": None, "version": 3}
    assert spk.__cuda_array_interface__ == {**said, "stream": 1}
    assert spk.__dlpack_device__() == (2, 0)
    assert (spk.shape, spk.dtype, spk.ndim, spk.nbytes) == (shape, np.float32, 3, 4 * spk.size)
    fields = unpacked(spk.__dlpack__(stream=1, max_version=(1, 0)))
    assert fields[:10] == (address, 2, 0, 3, 2, 32, 1, shape, (12, 4, 1), 0)
    assert spk.__dlpack__(stream=-1)    # which nobody reads
    for wrong in ({"copy": True}, {"dl_device": (1, 0)}):
        with pytest.raises(BufferError, match="no copies"):
            spk.__dlpack__(**wrong)
    with pytest.raises(ValueError, match="0 may mean two"):
        spk.__dlpack__(stream=0)
    with pytest.raises(ValueError, match="only as a copy"):
        spk.__array__(copy=False)


def test_capsules_are_those_of_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dlpack, "CUDA", 1)    # so that NumPy takes them
    values, owner = numbers(), Owner()
    alive = weakref.ref(owner)

    class Lent:
        def __dlpack_device__(self) -> tuple[int, int]:
            return 1, 0

        def __dlpack__(self, **options: Any) -> Any:
            return dlpack.capsule_of(values.ctypes.data, values.shape, values.dtype, 0, made.pop())

    made = [owner]
    del owner
    found = np.from_dlpack(Lent())    # type: ignore[arg-type]
    np.testing.assert_array_equal(found, values)
    assert alive() is not None
    del found
    assert alive() is None
    turned = values.T
    found_again = dlpack.read(turned.__dlpack__())
    assert found_again == (values.ctypes.data, (6, 3, 5), (1, 6, 18), np.float32)


class Owner:
    """Something that memory may belong to."""


HOST = numbers()
WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "dtype": ({"typestr": "<f8"}, r"x: .* expected float32, found float64; .* \.float\(\) in PyTorch"),
    "order": ({"strides": (4, 120, 20)}, r"x: .* C order .* found strides \[1, 30, 5\] .* \.contiguous\(\)"),
    "mask": ({"mask": 1}, "x: the array on the device cannot be used: it has a mask"),
    "shape": ({"shape": (STEPS, BATCH, 7)}, r"x: .* expected \[T, B, 6\], found \[5, 3, 7\]"),
    "address": ({"data": (HOST.ctypes.data + 1, False)}, r"x: .* a multiple of 4 bytes, .* \.clone\(\)"),
    "host": ({"data": (HOST.ctypes.data, False)}, "x: expected memory of device 0, .* memory of the host"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_does_not_fit_is_not_converted(model: Model, cuda: Cuda, name: str) -> None:
    x = Described(cuda, numbers())
    x.changes, message = WRONG[name]
    with pytest.raises(ModelError, match=message):
        model(x)


def test_what_a_producer_refuses(model: Model, cuda: Cuda, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(tensor: Packed, stream: int) -> None:
        raise BufferError("requires a gradient, use tensor.detach()")

    x = Packed(cuda, numbers())
    with monkeypatch.context() as patch, pytest.raises(ModelError, match=r"x: .* tensor.detach\(\)"):
        patch.setattr(Packed, "__dlpack__", refuse)
        model(x)
    model(x)
    model.wait()
    assert x.ended == 1    # read, and then let go


def test_streams_of_others(model: Model, cuda: Cuda) -> None:
    handle = cuda.stream()

    class Stream:
        def __init__(self, **names: Any) -> None:
            vars(self).update(names)

    class New:
        def __cuda_stream__(self) -> tuple[int, int]:
            return 0, handle

    for stream in (handle, Stream(cuda_stream=handle), Stream(ptr=handle), New()):
        model.stream = stream
        assert model.stream is stream
        assert model(Described(cuda, numbers())).spk.__cuda_array_interface__["stream"] == handle
        model.stream = None
    for wrong in ("fast", -1, True, Stream()):
        with pytest.raises(ModelError, match="expected a cudaStream_t as a number"):
            model.stream = wrong
    with pytest.raises(ModelError, match="compile it with target='cuda'"):
        HostMemory(None, "net").stream = handle    # type: ignore[arg-type]


@pytest.mark.stand_in("CUDA ends the process if a handle was never a stream's")
def test_a_stream_that_is_none(model: Model, cuda: Cuda) -> None:
    with pytest.raises(ModelError, match="invalid resource handle"):
        model.stream = 4096


def test_a_model_is_called_where_it_lies(model: Model, cuda: Cuda) -> None:
    """A thread whose current device is another one touches nothing."""
    expected, large = model(numbers()).spk, numbers(0, STEPS, 50, FEATURES)
    model._instance._model.device = 1
    for given in (numbers(), Described(cuda, numbers()), large):
        with pytest.raises(ModelError, match="lies on another GPU than the current one of this thread"):
            model(given)
    model._instance._model.device = 0
    np.testing.assert_array_equal(model(numbers()).spk, expected)


def test_what_the_host_gives_along_is_copied_at_once(model: Model, cuda: Cuda, late: None) -> None:
    """Also from pinned memory, which the device reads when it comes to it."""
    model.stream = cuda.stream()
    x, lengths = numbers(), np.array([5, 2, 3], np.int64)
    expected, given = model(x, lengths=lengths).spk, Described(cuda, lengths)
    pinned = np.frombuffer((ctypes.c_char * x.nbytes).from_address(cuda.pinned(x.nbytes)), np.float32)
    pinned = pinned.reshape(x.shape)
    pinned[:] = x
    out = model(pinned, lengths=given)
    pinned[:] = 0
    np.testing.assert_array_equal(out.spk.numpy(), expected)


def test_memory_that_is_not_there(folder: Path, cuda: Any) -> None:
    model = snncc.load(folder)
    x, large = Described(cuda, numbers()), np.zeros((STEPS, cuda.samples, FEATURES), np.float32)
    expected = model(numbers()).spk
    message = r"the model needs \d+ bytes .*, and \d+ are free: take a smaller"
    with cuda.full():
        for call in (lambda: model(large), lambda: snncc.load(folder)(large)):
            with pytest.raises(ModelError, match=message):
                call()
    np.testing.assert_array_equal(model(x).spk.numpy(), expected)


@pytest.mark.stand_in("its memory has any size, and is counted to the byte")
def test_an_arena_in_the_place_of_a_smaller_one(
    folder: Path, cuda: Cuda, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There is no room for both; what the smaller one held is carried over. If it fails, all is as before."""
    free, model, larger = cuda.available(), snncc.load(folder), numbers(0, STEPS, 500, FEATURES)
    model.backward(larger[:, :400], spk=numbers(1, STEPS, 400, 4))
    expected, gradients = model(larger[:, :400]).spk, model.gradients()
    room = (free - cuda.available()) // 2
    monkeypatch.setenv("SNNCC_HOST_MEMORY", str(2**32 - cuda.available() + room))
    np.testing.assert_array_equal(model(larger).spk[:, :400], expected)
    for name, array in gradients.items():
        np.testing.assert_array_equal(model.gradients()[name], array)
    monkeypatch.setattr(DeviceMemory, "fits_alone", lambda *_: True)
    with pytest.raises(ModelError, match="the model needs"):
        model(numbers(0, STEPS, 5000, FEATURES))
    np.testing.assert_array_equal(model(larger[:, :400]).spk, expected)
    for name, array in gradients.items():
        np.testing.assert_array_equal(model.gradients()[name], array)


ENDS = """
import gc, sys
import snncc_runtime, numpy as np
from tests.cuda_arrays import present, Described
cuda, folder, samples = present(), sys.argv[1], int(sys.argv[2])
x = np.ones((5, samples, 6), np.float32)

def one():
    model = snncc_runtime.load(folder)
    for _ in range(3):    # the second call is recorded
        out = model(Described(cuda, x))
    return model, out

model, out = one()
free = cuda.available()
del model
assert cuda.available() > free
assert out.spk.numpy().shape == (5, samples, 4)    # which lives on
capsule = out.spk.__dlpack__()
del out, capsule
model, out = one()
del out, model
model, out = one()
model.itself = model    # only the collector finds it
del model
gc.collect()
kept = [one() for _ in range(3)]
kept[0][0].lent = kept[0][1].spk.__dlpack__()
sys.kept = kept    # until modules are gone
"""


def test_models_end_in_any_order(folder: Path) -> None:
    samples = 2**16 if on_a_gpu() else 3    # whose memory is counted in pieces of 2 MiB
    command = [sys.executable, "-X", "dev", "-W", "error", "-c", ENDS, str(folder), str(samples)]
    environment = {**cuda_host.environment("plain"), "PYTHONPATH": ":".join(filter(None, sys.path))}
    answer = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert (answer.returncode, answer.stderr) == (0, "")
