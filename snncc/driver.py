"""compile(): the one function that sees every stage, from a network to a loaded model."""

from __future__ import annotations

import gc
import os
import re
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import snncc_runtime
from snncc_runtime.safetensors import to_bytes

from . import build, cache
from .frontend.dsl import Network, add_loss, add_sums, trace
from .graph import Graph
from .headers import joined
from .loss import Loss
from .names import prefix
from .nn.module import Input, Module
from .ops.lengths import check_ends
from .optim import Optimizer
from .rules import STDP, Rule
from .target import DTYPES, MOST_STEPS, STEPS, Target

if TYPE_CHECKING:  # what a model from the cache does not need is not loaded: 80 ms of 300
    from .backend.c import Sources
    from .passes.base import Pass
    from .passes.pipeline import Options
    from .program import Program

L2_BYTES = 1 << 20  # where the machine does not say
MOST_PLACES = 2**16  # that an index of 16 bits can name


@dataclass(frozen=True)
class Stages:
    """An entry point before the passes: its graph, and what of it is differentiated."""

    name: str
    graph: Graph
    gradient: str = ""

    def passes(self, options: Options) -> tuple[Pass, ...]:
        from .passes.pipeline import pipeline

        return pipeline(options, self.gradient, inputs=self.gradient == "outputs")

    def run(self, options: Options) -> Iterator[tuple[Pass, Graph]]:
        from .passes.pipeline import run

        return run(self.graph, self.passes(options))


@dataclass(frozen=True)
class Compiled:
    """A network as a program and as text, before it is built."""

    target: Target
    network: Network
    program: Program
    sources: Sources
    tile: int
    slots: int | None  # None: as many as the machine has processors


def compile(
    network: Module,
    *,
    num_steps: int | None = None,
    inputs: Mapping[str, Input] | None = None,
    loss: Loss | None = None,
    optimizer: Optimizer | None = None,
    dtype: str = "float32",
    name: str = "model",
    seed: int = 0,
    unroll: str | int = "none",
    products: str = "auto",
    checkpoint_every: int | None = None,
    context: str | None = None,
    rule: str | Rule = "bptt",
    lengths: bool = False,
    target: str = "c",
    arch: str | None = None,
    precision: str = "exact",
    out: str | os.PathLike[str] | None = None,
) -> snncc_runtime.Model:
    """Compile a network to C, or to CUDA, build it, and load it.

    num_steps: time steps of a call whose inputs do not say (it stays a run-time argument); if not given 25,
    or those of the file that the network is from, and then no others. inputs: by name, if the network does
    not declare them. loss, optimizer: for training. dtype: "float32" or "float64". name: prefix of the C
    functions. seed: of the initial weights. unroll: steps that one turn of a time loop does: "none", "full"
    or a number; never changes a bit of a result. products: "auto", "dense" or "events". checkpoint_every:
    hold the values of so many steps at a time, None for all; training then runs the forward half of such a
    segment of time again before its backward half, with the same bits. context: how values are kept for the
    backward half: "float32", "float16" or "bfloat16"; rounds what gradients are computed from, never an
    output (with both, segments change gradients within that rounding). rule: how it learns: "bptt", "dsr",
    "ottt", or what snncc.rules makes. lengths: calls may say how many steps each sample has. target: "c" for
    the processor, "cuda" for a GPU of NVIDIA's, of the architectures `arch`
    ("sm_90", "sm_80,sm_90", "all"; None: this machine's). precision: of products on a GPU: "exact" has the
    bits of C; "float32" (of a float64 network "float64"), "split", "tf32" and "bf16" are cuBLAS's: see
    docs/cuda.md. out: a folder to write the model to. Raises
    CompileError, naming the user's line.
    """
    steps = STEPS if num_steps is None else num_steps
    aim = Target(
        *(steps, loss, optimizer, dtype, name, unroll, products, checkpoint_every, context, rule),
        lengths=lengths,
        target=target,
        arch=arch,
        precision=precision,
    )
    traced = trace(network, inputs, seed, aim.learning.by_rates, lengths)
    source = type(network).__name__
    aim = aim.of_steps(num_steps, traced.steps)
    if out is not None:
        make(traced, aim, source, out)
        return snncc_runtime.load(out)
    with tempfile.TemporaryDirectory(prefix="snncc-") as folder:
        make(traced, aim, source, Path(folder) / "model")
        return snncc_runtime.load(Path(folder) / "model")


@dataclass(frozen=True)
class Made:
    """What `make` did: the manifest, the build, and whether the text was known from before."""

    manifest: dict[str, Any]
    built: build.Built
    known: bool


def make(network: Network, target: Target, source: str, folder: str | os.PathLike[str]) -> Made:
    """Generate, unless the same text was generated before, build, and write the model folder."""
    key = cache.key_of(network.graph, target, source, _cache_bytes(), training=network.training)
    known = cache.recall(key) if key else None
    with _uncollected():
        generated = known or text_of(generate(network, target, source))
    if key and not known:
        cache.keep(key, generated)
    if network.imported:
        generated = replace(generated, manifest={**generated.manifest, "import": dict(network.imported)})
    built = _write(generated, network, target, folder)
    return Made(generated.manifest, built, known is not None)


@contextmanager
def _uncollected() -> Iterator[None]:
    """Without the collector of cycles: graphs live on, and searching them takes a fifth of the time."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def text_of(compiled: Compiled) -> cache.Generated:
    """What `write` needs of a network beside its parameters."""
    sources = compiled.sources
    return cache.Generated(compiled.program.name, sources.files, sources.declarations, _manifest(compiled))


def entry_stages(network: Network, target: Target) -> tuple[Stages, ...]:
    """The entry points of a model, each with its own graph. Raises CompileError."""
    graph, rule = network.graph, target.learning
    check_ends(graph)
    stages = [Stages("forward", graph), Stages("backward", rule.prepared(graph), "outputs")]
    if target.loss is not None:
        check_ends(network.trained)
        with_loss = add_loss(graph, target.loss)
        evaluate = add_sums(with_loss, target.loss.scores)
        trained = add_loss(network.trained, target.loss) if network.training else with_loss
        asked = tuple(o for o in trained.outputs if o.role in ("loss", "parameter"))
        train = rule.prepared(replace(trained, outputs=asked))
        stages += [Stages("evaluate", evaluate), Stages("train", train, "loss")]
    if isinstance(rule, STDP):
        stages.append(Stages("learn", rule.learning(graph)))
    return tuple(stages)


def generate(network: Network, target: Target, source: str = "") -> Compiled:
    """The program and the C of a network."""
    from .backend.c import emit
    from .backend.cuda import emit as emit_cuda
    from .interface import tensors, user_arrays
    from .lower import Layout, lower, lower_update
    from .lower.device import for_device
    from .ops.delays import check_delayed
    from .ops.embedding import check_whole
    from .ops.steps import fixed_steps
    from .plan_meetings import without_scratch
    from .plan_memory import plan_memory
    from .plan_tiles import choose_slots, choose_tile
    from .program import Program

    check_delayed(network.graph, target.segment)
    check_whole(network.graph)
    exact = fixed_steps(network.graph, int(target.num_steps), target.segment)
    exact = exact or target.exact_steps * int(target.num_steps)
    final, unsplit, counts = _final(network, target)
    layout = Layout(DTYPES[target.dtype][1], _index_bytes(final, target), target.device, target.blas)
    windows = target.learning.held > 0
    entries = [lower(graph, name, layout, target.segment, windows) for name, graph in final.items()]
    entries = [replace(entry, fewest=counts[entry.name]) for entry in entries]
    if target.device:
        entries = [without_scratch(for_device(entry, layout)) for entry in entries]
    whole = [lower(graph, name, layout) for name, graph in unsplit.items()]
    optimizer = target.updating
    program = Program(
        prefix(target.name),
        8 * layout.real_bytes,
        tuple(entries),
        tensors(network, layout, final),
        user_arrays(final, target.dtype),
        lower_update(optimizer) if optimizer else None,
        optimizer.moments if optimizer else (),
        tuple((name, getattr(optimizer, name)) for name in optimizer.powers) if optimizer else (),
        int(target.num_steps),
        source,
        target.segment,
        8 * layout.index_bytes,
        exact,
        target.device,
        target.blas,
    )
    program = plan_memory(program.verify())
    if target.device:
        return Compiled(target, network, program, emit_cuda(program, _version()), 1, 1)
    # The tile decides in which order samples are added: checkpoint_every must not change it.
    plain = plan_memory(replace(program, entries=tuple(whole), segment=0)) if whole else program
    tile, slots = choose_tile(plain, int(target.num_steps), _cache_bytes()), choose_slots(program)
    return Compiled(target, network, program, emit(program, _version()), tile, slots)


Fewest = tuple[tuple[bool, int], ...]


def _final(network: Network, target: Target) -> tuple[dict[str, Graph], dict[str, Graph], dict[str, Fewest]]:
    """By entry point: its graph after all passes; the same as it would be without segments of time, if it has
    some; and the fewest samples that it takes (see `fewest`)."""
    from .ops.normalize import fewest
    from .passes.fuse import Fuse
    from .passes.order_features import orders_of
    from .passes.split_time import SplitTime

    final: dict[str, Graph] = {}
    unsplit: dict[str, Graph] = {}
    orders: dict[str, int] = {}
    counts: dict[str, Fewest] = {}
    for stages in entry_stages(network, target):
        counts[stages.name] = fewest(stages.graph)
        for step, graph in stages.run(replace(target.options, orders=tuple(orders.items()))):
            if isinstance(step, SplitTime):  # as it would be without
                unsplit[stages.name] = Fuse().run(final[stages.name])
            final[stages.name] = graph
        orders |= orders_of(final[stages.name])
    return final, unsplit, counts


def _index_bytes(graphs: Mapping[str, Graph], target: Target) -> int:
    """2, unless a list would name more than 16 bits can: features of a wide layer, rows of a long run."""
    features = (n.type.size for graph in graphs.values() for n in graph if n.op.name == "events")
    rows = min(int(target.num_steps), target.segment or MOST_STEPS)
    return 2 if max((*features, rows)) <= MOST_PLACES else 4


def write(compiled: Compiled, folder: str | os.PathLike[str]) -> None:
    """Build the library and write the model folder."""
    _write(text_of(compiled), compiled.network, compiled.target, folder)


def _write(
    text: cache.Generated, network: Network, target: Target, folder: str | os.PathLike[str]
) -> build.Built:
    if target.device:
        from . import nvcc

        sources = {**text.files, "snncc_cuda.h": joined("cuda/cuda.h")}
        built = nvcc.build(sources, name=text.prefix, declarations=text.declarations, arch=target.arch)
    else:
        sources = {**text.files, "snncc.h": joined("snncc.h")}
        built = build.build(sources, name=text.prefix, declarations=text.declarations)
    dtype = np.dtype(target.dtype)
    weights = {name: _stored(array, dtype) for name, array in network.parameters.items()}
    files = {**built.files, "weights.safetensors": to_bytes(weights)}
    build.write_folder(folder, files, {**text.manifest, "build": built.record()})
    return built


def _stored(array: np.ndarray, dtype: np.dtype[Any]) -> np.ndarray:
    """A parameter in the model's type; tables of whole numbers stay as they are."""
    return np.array(array, array.dtype if array.dtype.kind == "i" else dtype, order="C")


def _version() -> str:
    from . import __version__

    return __version__


def _crossovers() -> dict[str, float]:
    """Densities from which dense kernels take over, as the headers have them: product, gradient."""
    found = re.findall(r"^#define SNNCC_(?:(\w+)_)?CROSSOVER ([0-9.]+)$", joined("snncc.h"), re.MULTILINE)
    return {kind.lower() or "product": float(value) for kind, value in found}


def _cache_bytes() -> int:
    """Size of a core's second-level cache."""
    try:
        return os.sysconf("SC_LEVEL2_CACHE_SIZE") or L2_BYTES
    except (ValueError, OSError, AttributeError):
        return L2_BYTES


def _phased(program: Program) -> dict[str, Any]:
    """The entry points whose memory grows with the batch."""
    names = [e.name for e in program.entries if e.whole]
    return {"phased": names} if names else {}


def _tensors(program: Program, dtype: str) -> Iterator[dict[str, Any]]:
    """Records of what the library keeps under an index."""
    from .backend.c import tensor_roles

    by_name = {t.name: t for t in program.tensors}
    for index, (role, name, moment) in enumerate(tensor_roles(program)):
        entry: dict[str, Any]
        if role == "powers":
            shape = [len(program.powers)]
            entry = {"name": "powers", "role": "optimizer", "shape": shape, "dtype": "float64"}
        else:
            label = f"{program.moments[moment]}.{name}" if role == "optimizer" else name
            entry = {"name": label, "role": role, "shape": list(by_name[name].shape), "dtype": dtype}
            entry |= {"learnable": by_name[name].learnable} if role == "parameter" else {}
            if (table := by_name[name].table) is not None:
                entry |= {"dtype": "int32", "sha256": table[-1]}
        yield {**entry, "index": index}


def _manifest(compiled: Compiled) -> dict[str, Any]:
    from .cost import records
    from .program import BLOCK_TILES

    program, target = compiled.program, compiled.target
    optimizer = target.updating
    return {
        "schema": 1,
        "snncc": _version(),
        "name": target.name,
        "prefix": program.name,
        "target": target.target,
        "dtype": target.dtype,
        **({"precision": program.precision} if program.precision else {}),
        "num_steps": int(target.num_steps),
        **({"exact_steps": True} if program.exact_steps else {}),
        "entries": [*(e.name for e in program.entries), "step", *(["update"] if program.update else [])],
        "io": [
            {
                "name": a.name,
                "field": a.field,
                "role": a.role,
                "shape": list(a.shape),
                "time": a.time,
                "batch": a.batch,
                "dtype": a.dtype,
                "entries": [
                    *a.entries,
                    *["step"] * ("forward" in a.entries and a.role != "lengths"),
                ],
                **({"below": a.below, "reader": a.reader} if a.below else {}),
            }
            for a in program.arrays
        ],
        "tensors": list(_tensors(program, target.dtype)),
        "optimizer": {"name": type(optimizer).__name__, **vars(optimizer)} if optimizer else None,
        "loss": str(target.loss) if target.loss else None,
        "accuracy": target.loss.scores.record() if target.loss and target.loss.scores else None,
        "rule": str(target.learning),
        "learns": getattr(target.learning, "every", ""),
        "kernels": records(program),
        "crossover": _crossovers(),
        "block_tiles": BLOCK_TILES,
        "memory": {"tile": compiled.tile, **_phased(program)}
        | ({"slots": compiled.slots} if compiled.slots else {})
        | ({"checkpoint_every": program.segment} if program.segment else {}),
    }
