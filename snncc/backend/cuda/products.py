"""Calls of dense products as CUDA: kernels of product.h, or cuBLAS by blas.h and split.h."""

from __future__ import annotations

from ...program import Call
from ..calls import MATMULS
from .starts import Form, Place, added, once, plain, start


def _multiply(name: str, call: Call, *arguments: object) -> str:
    """The kernel of that name, or cuBLAS's product; of spikes that of bf16 numbers, see lower/split.py."""
    x = call.buffers[0]
    if x and x.layout == "bits":
        return start(f"snncc_{name}_spikes", "rows", *arguments)
    match call.precision:
        case "":
            return start(f"snncc_{name}", *arguments)
        case "split":
            return start(f"snncc_split_{name}", "blas", *arguments)
    return start(f"snncc_blas_{name}", "blas", f"SNNCC_{call.precision.upper()}", *arguments)


def _product(call: Call, place: Place) -> str:
    """y = bias + x w."""
    return _multiply("product", call, place.rows, *call.numbers, *place.names)


def _input_gradient(call: Call, place: Place) -> str:
    """d_x = d_y w'; the scratch of the C kernel is not used."""
    d_y, weight, _, d_x = place.names
    return _multiply("input_gradient", call, place.rows, *call.numbers, d_y, weight, d_x)


def _weight_gradient(call: Call, place: Place) -> str:
    return _multiply("weight_gradient", call, added(call), place.rows, *call.numbers, *place.names)


def _matmul(call: Call, place: Place) -> str:
    _, _, _, *sizes = call.numbers  # whether operands have zeros is nothing to a GPU
    rows = "1" if call.kind.endswith("_once") else place.rows
    return _multiply("matmul", call, rows, *sizes, *place.names)


def _where_blas(form: Form) -> Form:
    """What only cuBLAS reads."""
    return lambda call, place: f"if (blas) {form(call, place)}"


PRODUCTS: dict[str, Form] = {
    "product_dense": _product,
    "input_gradient": _input_gradient,
    **dict.fromkeys(("wide_gradient_dense", "narrow_gradient_dense"), _weight_gradient),
    **dict.fromkeys(MATMULS, _matmul),
    "halve_rows": _where_blas(plain("snncc_halve")),
    "split_rows": _where_blas(plain("snncc_split")),
    "split_once": _where_blas(once("snncc_split")),
}
