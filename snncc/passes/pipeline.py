"""The passes in their order: all of the compiler's middle on one screen."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ..graph import Graph
from .base import Pass
from .choose_kernels import ChooseKernels
from .differentiate import Differentiate
from .fold_affine import FoldAffine
from .fuse import Fuse
from .infer_types import InferTypes
from .insert_context import InsertContext
from .insert_memorize import InsertMemorize
from .order_features import OrderFeatures
from .simplify import Simplify
from .split_time import SplitTime
from .unroll_time import UnrollTime


@dataclass(frozen=True)
class Options:
    """Choices of a compilation that the passes look at.

    dtype: "f32" or "f64". unroll: steps that one turn of a time loop does. products: see ChooseKernels.
    checkpoint_every: steps of a segment of time, 0 for all in one.
    context: see InsertContext. truncate: see Differentiate; then also checkpoint_every. lists: whether the
    target has kernels that are driven by lists of events. orders: see OrderFeatures.
    """

    dtype: str = "f32"
    unroll: int = 1
    products: str = "auto"
    checkpoint_every: int = 0
    context: str = ""
    truncate: int = 0
    lists: bool = True
    orders: tuple[tuple[str, int], ...] = ()


def pipeline(options: Options, gradient: str = "", inputs: bool = False) -> tuple[Pass, ...]:
    """The passes for one entry point; gradient: "loss", "outputs" or "" for none."""
    segmented = options.checkpoint_every > 0
    return (
        InferTypes(options.dtype),
        *(
            (Differentiate(gradient, inputs, options.truncate),) if gradient else ()
        ),  # needs types: what sums over time
        *(() if gradient else (FoldAffine(),)),  # before simplify, which forgets what is a scale and shift
        Simplify(),  # after differentiate, which writes plainly and relies on it
        UnrollTime(options.unroll, segmented),
        InsertMemorize(),
        ChooseKernels(options.products, options.lists),  # before contexts: says what the backward half reads
        InsertContext(options.context, segmented),  # after loops are known: what is on one is not made again
        *((SplitTime(),) if segmented else ()),  # kernels lie within one part
        OrderFeatures(options.orders),  # once all readers are known; before kernels, which have one order
        Fuse(),  # last: contexts are stores that a kernel must make
    )


def run(graph: Graph, passes: tuple[Pass, ...]) -> Iterator[tuple[Pass, Graph]]:
    """Each pass with the graph after it, verified."""
    for step in passes:
        graph = step.run(graph).verify()
        yield step, graph
