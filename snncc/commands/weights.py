"""Weights from a file into a network, before it is compiled."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from snncc_runtime.weights import (
    Match,
    Stored,
    arrays_of,
    candidates,
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
    stored, names = open_weights(file), parse_rename(rename or "")
    wanted = {name: array.shape for name, array in network.parameters.items()}
    leaves = [node.op for node in network.graph if isinstance(node.op, Parameter)]
    fixed = [op.label for op in leaves if not op.learnable]
    shapes = {name: array.shape for name, array in stored.items()}
    found = match(file, wanted, shapes, names, fixed).check()
    for name in found.ignored:
        _compare(module, name, stored[name], list(candidates(name, names, shapes)), file)
    parameters = {**network.parameters, **_finite(arrays_of(found, stored, wanted), file)}
    return replace(network, parameters=parameters), found


def _finite(arrays: dict[str, np.ndarray], file: str) -> dict[str, np.ndarray]:
    for name, array in arrays.items():
        if array.dtype.kind not in "biuf" or not np.isfinite(array).all():
            raise CompileError(f"{file}: {name} must be finite numbers")
    return {name: array.astype(np.float64) for name, array in arrays.items()}


def _compare(module: Module, name: str, stored: Stored, candidates: list[str], file: str) -> None:
    modules = dict(module.named_modules())
    for candidate in candidates:
        path, _, attribute = candidate.rpartition(".")
        ours = vars(modules[path]).get(attribute) if path in modules else None
        if isinstance(ours, float):
            theirs = float(np.ravel(stored.read())[0])
            if not math.isclose(ours, theirs, rel_tol=CLOSE, abs_tol=CLOSE):
                raise CompileError(f"{candidate} is {ours:g} in the network and {theirs:g} in {file}")
            return
