"""Weights from a file into a network, before it is compiled."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

import numpy as np

from snncc_runtime.weights import (
    Match,
    Stored,
    arrays_of,
    candidates,
    joined,
    match,
    open_weights,
    parse_rename,
)

from ..errors import CompileError
from ..frontend.dsl import Network, trace
from ..nn.module import Module
from ..ops.leaf import Parameter
from ..target import Target
from .options import Choices
from .source import Source

CLOSE = 1e-6  # relative: a number that was float32 in between


def traced(source: Source, target: Target, choices: Choices) -> tuple[Network, Target, Match | None]:
    """The graph of a source with its steps and the weights of --weights, and which of these went where."""
    network = trace(source.network, None, choices.seed, target.learning.by_rates, target.lengths)
    target = target.of_steps(choices.num_steps, network.steps)
    if choices.weights is None:
        return network, target, None
    network, matched = load_into(source.network, network, choices.weights, choices.rename)
    return network, target, matched


def load_into(module: Module, network: Network, file: str, rename: str | None) -> tuple[Network, Match]:
    """The traced network with the file's weights, and what went where. Raises CompileError or ModelError.

    Numbers that are part of the compiled network (a beta that is not learnable) must be those of the file.
    """
    names = parse_rename(rename or "")
    wanted = {name: array.shape for name, array in network.parameters.items()}
    stored = joined(open_weights(file), wanted, names)
    leaves = [node.op for node in network.graph if isinstance(node.op, Parameter)]
    fixed = [op.label for op in leaves if not op.learnable]
    shapes = {name: array.shape for name, array in stored.items()}
    held = dict(_numbers(module))
    found = match(file, wanted, shapes, names, fixed, held).check()
    for name in found.ignored:
        _compare(name, stored[name], [c for c in candidates(name, names, shapes) if c in held], held, file)
    parameters = {**network.parameters, **_finite(arrays_of(found, stored, wanted), file)}
    return replace(network, parameters=parameters), found


def _finite(arrays: dict[str, np.ndarray], file: str) -> dict[str, np.ndarray]:
    for name, array in arrays.items():
        if array.dtype.kind not in "biuf" or not np.isfinite(array).all():
            raise CompileError(f"{file}: {name} must be finite numbers")
    return {name: array.astype(np.float64) for name, array in arrays.items()}


def _numbers(module: Module) -> Iterator[tuple[str, float]]:
    """The numbers that are part of a network, by name."""
    for path, inner in module.named_modules():
        for name, value in vars(inner).items():
            if isinstance(value, float):
                yield f"{path}.{name}" if path else name, value


def _compare(name: str, stored: Stored, ours: list[str], held: Mapping[str, float], file: str) -> None:
    """Numbers of the network must be those of the file."""
    if not ours:
        return
    theirs = np.ravel(stored.read()).astype(np.float64)
    wrong = theirs[~np.isclose(theirs, held[ours[0]], rtol=CLOSE, atol=CLOSE)]
    if wrong.size:
        raise CompileError(f"{ours[0]} is {held[ours[0]]:g} in the network and {wrong[0]:g} in {file}")
