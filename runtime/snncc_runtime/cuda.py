"""What this machine has for CUDA: the driver and its devices, and what to do where something is missing.

It asks the driver's own library, libcuda.so.1, which comes with NVIDIA's driver; nothing else is needed.
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from functools import cache

LIBRARIES = ("libcuda.so.1", "libcuda.so", "nvcuda.dll")
COMPUTE_MAJOR, COMPUTE_MINOR, MULTIPROCESSORS = 75, 76, 16  # attributes, as cuda.h numbers them


@dataclass(frozen=True)
class Device:
    """A GPU: compute capability (9, 0) is sm_90; memory in bytes."""

    name: str
    capability: tuple[int, int]
    memory: int
    multiprocessors: int

    @property
    def architecture(self) -> str:
        return f"sm_{self.capability[0]}{self.capability[1]}"

    def __str__(self) -> str:
        return f"{self.name} ({self.architecture}, {self.memory / 2**30:.0f} GiB)"


@dataclass(frozen=True)
class Driver:
    """NVIDIA's driver: the newest CUDA that it knows, its devices, and its code if it found none."""

    cuda: tuple[int, int]
    devices: tuple[Device, ...]
    code: int = 0


# What is wrong and what to do. The runtime's codes (cudaError) and the driver's (CUresult) are the same here.
REMEDIES = {
    2: "the device has too little free memory: end other programs that use it, or take a smaller batch",
    3: "CUDA does not work in a process that was forked after its first use: start processes with `spawn`",
    34: "the CUDA library that was found is an empty one for linking: install NVIDIA's driver",
    46: "another process has the device for itself: end it, or see `nvidia-smi -q -d COMPUTE`",
    100: "no CUDA device is visible: see `nvidia-smi` and CUDA_VISIBLE_DEVICES, or use a model compiled to C",
    101: "there is no device with this number: see `nvidia-smi` and CUDA_VISIBLE_DEVICES",
    700: "a kernel touched memory outside of its arrays: this is a bug of snncc, please report it",
    802: "the device's fabric is not ready yet: wait, or see that nvidia-fabricmanager runs",
    803: "NVIDIA's driver was updated without a restart: restart the machine, or load the new kernel module",
    804: "NVIDIA's compatibility libraries do not work with this device: use those of the driver itself",
    999: "the driver cannot be used: see `dmesg`, `nvidia-smi`, and that /dev/nvidia* may be opened",
}
NO_DRIVER = (
    "no NVIDIA driver is installed (libcuda.so.1 is missing): install it, or use a model compiled to C"
)


def explain(code: int, text: str = "", built: tuple[int, int] | None = None) -> str:
    """One sentence that says what error `code` means and what to do.

    `text` is what CUDA calls the error; `built` is the CUDA version of the model's library.
    """
    found = driver()
    if code == 35:
        return _old_driver(found, built)
    if code in (209, 222):
        return _foreign_code(found)
    remedy = REMEDIES.get(code, "")
    name = f"CUDA error {code}" + (f" ({text})" if text else "")
    return f"{name}: {remedy}" if remedy else name


@cache
def driver() -> Driver | None:
    """The driver and its devices; None where no driver is installed. Initialises CUDA in this process."""
    library = _open()
    if library is None:
        return None
    version = ctypes.c_int()
    library.cuDriverGetVersion(ctypes.byref(version))
    cuda = version.value // 1000, version.value % 1000 // 10
    count = ctypes.c_int()
    code = library.cuInit(0) or library.cuDeviceGetCount(ctypes.byref(count))
    if code:
        return Driver(cuda, (), int(code))
    return Driver(cuda, tuple(_device(library, index) for index in range(count.value)))


def _open() -> ctypes.CDLL | None:
    for name in LIBRARIES:
        try:
            return ctypes.CDLL(name)
        except OSError:
            continue
    return None


def _device(library: ctypes.CDLL, index: int) -> Device:
    handle, memory, name = ctypes.c_int(), ctypes.c_size_t(), ctypes.create_string_buffer(256)
    library.cuDeviceGet(ctypes.byref(handle), index)
    library.cuDeviceGetName(name, len(name), handle)
    library.cuDeviceTotalMem_v2(ctypes.byref(memory), handle)

    def attribute(number: int) -> int:
        value = ctypes.c_int()
        library.cuDeviceGetAttribute(ctypes.byref(value), number, handle)
        return value.value

    capability = attribute(COMPUTE_MAJOR), attribute(COMPUTE_MINOR)
    return Device(name.value.decode(errors="replace"), capability, memory.value, attribute(MULTIPROCESSORS))


def _old_driver(found: Driver | None, built: tuple[int, int] | None) -> str:
    """CUDA gives the same code for no driver and for one that is too old."""
    if found is None:
        return NO_DRIVER
    needs = f"CUDA {built[0]}.{built[1]}" if built else "a newer one"
    return (
        f"the NVIDIA driver knows CUDA {found.cuda[0]}.{found.cuda[1]}, and the model needs {needs}: "
        f"update the driver, or compile with an nvcc of CUDA {found.cuda[0]}"
    )


def _foreign_code(found: Driver | None) -> str:
    """The library holds nothing for this device: neither code nor PTX that the driver can translate."""
    wish = found.devices[0].architecture if found and found.devices else "the device's sm_XY"
    return (
        f"the model was compiled for other devices, or by an nvcc newer than the driver: compile it with "
        f'arch="{wish}", or update the driver'
    )
