"""Kernels of images as CUDA: for given windows a function around one kernel of include/snncc/cuda."""

from __future__ import annotations

from ...program import Call
from ..images import FORMS, WINDOWS, WindowsText
from .starts import added

__all__ = ["WINDOWS", "DeviceWindows", "used"]

POOLS = {
    **dict.fromkeys(("max_pool", "max_place", "sum_pool"), "snncc_pool"),
    "max_unpool": "snncc_unpool_max",
    "sum_unpool": "snncc_unpool_sum",
}
MEANS = ("snncc_pool", "snncc_unpool_sum")  # kernels that are told what a window comes to


def used(call: Call) -> list[int]:
    """The positions of the buffers that the kernel reads or writes: scratch is of the C kernels."""
    operands, _ = FORMS[call.kind]
    return [k for k, name in enumerate(operands) if name != "scratch"]


class DeviceWindows(WindowsText):
    """The parameters and lines of the function for a call."""

    @property
    def parameters(self) -> str:
        *read, written = (self.operands[k] for k in used(self.call))
        given = (f"const {self.real} *{name}" for name in read)
        return ", ".join(["cudaStream_t stream", "int rows", *given, f"{self.real} *{written}"])

    @property
    def lines(self) -> tuple[str, ...]:
        function = POOLS.get(self.call.kind) or f"snncc_{self.call.kind.removesuffix('_dense')}"
        given = ["stream", "g"]
        if function in MEANS:
            what, ends = self.pool
            given += [what, f"{{{{{ends}}}}}"]
        if self.call.kind.startswith("conv_gradient"):
            given.append(str(added(self.call)))
        given += ["rows", *(self.operands[k] for k in used(self.call))]
        return *self.geometry, f"{function}({', '.join(given)});"
