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
from ..ops.leaf import Constant, Parameter
from ..target import Target
from .options import Choices
from .source import Source

COEFFICIENTS = ("alpha", "beta", "threshold")  # of neurons, in a state_dict
MOST_LISTED = 8
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
    nameless = _constants(network) if any(hasattr(m, "numbers") for _, m in module.named_modules()) else []
    for name in found.ignored:
        ours = [c for c in candidates(name, names, shapes) if c in held]
        _compare(name, stored[name], ours, held, file)
        if nameless and not ours:
            _look_for(name, stored, nameless, file)
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
        for name, value in getattr(inner, "numbers", {}).items():  # of a file, by its names
            yield f"{path}.{name}" if path else name, value


def _constants(network: Network) -> list[float]:
    """The numbers that a graph computes with."""
    return sorted({abs(node.op.value) for node in network.graph if isinstance(node.op, Constant)})


def _look_for(name: str, stored: Mapping[str, Stored], ours: list[float], file: str) -> None:
    """A coefficient that lost its name to an exporter must be there all the same.

    Lapicque's is not: what it computes with follows from R, C and its step.
    """
    prefix, _, kind = name.rpartition(".")
    if kind not in COEFFICIENTS or f"{prefix}.time_step" in stored:
        return
    value = float(np.ravel(stored[name].read())[0])
    used = value if kind == "threshold" else min(max(value, 0.0), 1.0)  # decays are clamped
    if not np.isclose(ours, abs(used), rtol=CLOSE, atol=CLOSE).any():
        listed = ", ".join(f"{number:g}" for number in ours[:MOST_LISTED])
        raise CompileError(
            f"{name} is {value:g} in {file}, and no number of the network is: it computes with {listed}; "
            "export the network with these weights, or leave the number out of them"
        )


def _compare(name: str, stored: Stored, ours: list[str], held: Mapping[str, float], file: str) -> None:
    """Numbers of the network must be those of the file."""
    if not ours:
        return
    theirs = np.ravel(stored.read()).astype(np.float64)
    wrong = theirs[~np.isclose(theirs, held[ours[0]], rtol=CLOSE, atol=CLOSE)]
    if wrong.size:
        raise CompileError(f"{ours[0]} is {held[ours[0]]:g} in the network and {wrong[0]:g} in {file}")
