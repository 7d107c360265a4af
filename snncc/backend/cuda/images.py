"""Kernels of images as CUDA: for given windows a function around one kernel of include/snncc/cuda."""

from __future__ import annotations

from ...lower import Layout
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
TYPES = {"parts": "const uint16_t *", "scratch": "void *"}


def of_spikes(call: Call) -> bool:
    """Whether it reads images of spikes that are a bit each."""
    x = call.buffers[0]
    return x is not None and x.layout == "bits"


def in_lots(call: Call) -> bool:
    """Whether the kernel takes some images at a time, in memory of its own."""
    return bool(call.precision) or call.kind.startswith("conv_transpose_dense")


def used(call: Call) -> list[int]:
    """The positions of the buffers that it reads or writes: other scratch is of the C kernels."""
    return [k for k, name in enumerate(_operands(call)) if name != "scratch" or in_lots(call)]


def _operands(call: Call) -> tuple[str, ...]:
    """In the order of the buffers; a weight's parts for tensor cores come first, see lower/split.py."""
    operands, _ = FORMS[call.kind]
    return ("parts",) * (len(call.buffers) - len(operands)) + operands


class DeviceWindows(WindowsText):
    """The parameters and lines of the function for a call."""

    def __init__(self, call: Call, layout: Layout) -> None:
        super().__init__(call, layout)
        self.operands = _operands(call)

    @property
    def parameters(self) -> str:
        *read, written = (self.operands[k] for k in used(self.call))
        spikes = of_spikes(self.call)
        types = TYPES | ({"x": "const uint32_t *"} if spikes else {})
        given = (types.get(name, f"const {self.real} *") + name for name in read)
        more = ["snncc_blas *blas"] * bool(self.call.precision) + ["int samples"] * spikes
        return ", ".join(["cudaStream_t stream", *more, "int rows", *given, f"{self.real} *{written}"])

    @property
    def element(self) -> tuple[str, list[str]]:
        """The function that makes an element, in a loop over time, and what it is told of windows."""
        function = POOLS.get(self.call.kind, f"snncc_{self.call.kind}")
        return f"{function}_element", self._mean if function in MEANS else []

    @property
    def _mean(self) -> list[str]:
        what, ends = self.pool
        return [what, f"snncc_ends{{{{{ends}}}}}"]

    @property
    def lines(self) -> tuple[str, ...]:
        name, precision = self.call.kind.removesuffix("_dense"), self.call.precision
        function, given = POOLS.get(name) or f"snncc_{name}", ["stream"]
        if precision:
            function = f"snncc_{'split' if precision == 'split' else 'blas'}_{name}"
            given += ["blas"] + [f"SNNCC_{precision.upper()}"] * (precision != "split")
        given += ["g"]
        if of_spikes(self.call):
            function, given = f"{function}_spikes", [*given, "samples"]
        if function in MEANS:
            given += self._mean
        if name.startswith("conv_gradient"):
            given.append(str(added(self.call)))
        given += [str(self.call.numbers[2])] * in_lots(self.call)
        given += ["rows", *(self.operands[k] for k in used(self.call))]
        return *self.geometry, f"{function}({', '.join(given)});"
