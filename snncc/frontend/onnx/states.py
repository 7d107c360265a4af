"""Which inputs and outputs of one step are its states: as the caller says, by names, then by structure.

A guess that could be another one is an error: it names what there is to choose from.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace

from ...errors import CompileError
from ..foreign import shown
from .loops import delay
from .nodes import Flat, Node

BEFORE = re.compile(r"(?:^(?:prev|old|init)_|[_.](?:in|prev|old|init|0|t)$)")
AFTER = re.compile(r"(?:^(?:new|next|out)_|[_.](?:out|next|new|1|n)$|'$)")
MIXING = (
    "Gemm",
    "MatMul",
    "Conv",
    "ConvTranspose",
    "RNN",
    "GRU",
    "LSTM",
    "MaxPool",
    "AveragePool",
    "BatchNormalization",
)
COMPARED = ("Greater", "GreaterOrEqual", "Less", "LessOrEqual")
AROUND = ("Cast", "CastLike", "Identity", "Mul", "Not", "Relu", "Where")  # what is between them and a spike


def given_pairs(flat: Flat, pairs: Mapping[str, str]) -> dict[str, str]:
    """The caller's pairs, input to output, checked."""
    for before, after in pairs.items():
        for name, known, what in ((before, flat.inputs, "input"), (after, flat.outputs, "output")):
            if name not in known:
                listed = ", ".join(shown(n) for n in known)
                raise CompileError(
                    f"state {shown(before)}={shown(after)}: there is no {what} {shown(name)!r}; "
                    f"there are {listed}"
                )
        if not _alike(flat, before, after):
            raise CompileError(
                f"state {shown(before)}={shown(after)}: their shapes differ: {_shapes(flat, before, after)}"
            )
    if len(set(pairs.values())) != len(pairs):
        raise CompileError("two states share an output: give each its own")
    return dict(pairs)


def named_pairs(flat: Flat) -> dict[str, str]:
    """Pairs whose names say so: mem and mem_out, v_in and v_next."""
    outputs = {AFTER.sub("", name): name for name in flat.outputs}
    found: dict[str, str] = {}
    for name in flat.inputs:
        for base in dict.fromkeys((name, BEFORE.sub("", name))):
            after = outputs.get(base)
            if after is not None and after not in found.values() and _alike(flat, name, after):
                found[name] = after
                break
    return found if len(found) < len(flat.inputs) else {}


def structural_pairs(flat: Flat, known: Mapping[str, str]) -> dict[str, str]:
    """Pairs by shape and flow: an output that is its input, changed element by element."""
    inputs = [name for name in flat.inputs if name not in known]
    outputs = [name for name in flat.outputs if name not in known.values()]
    makers = flat.made_by()
    choices = {}
    for before in inputs:
        near = [o for o in outputs if _alike(flat, before, o) and _flows(makers, before, o)]
        numbers = [o for o in near if not _compared(flat, makers, o)]
        if not known:  # spikes may come back; but where names tell states, one of them would have such a name
            numbers = numbers or near
        if numbers:
            choices[before] = numbers
    if not choices or (len(choices) == len(flat.inputs) - len(known) and not known and len(inputs) == 1):
        return {}
    if len(choices) == len(inputs) and not known:
        raise _ambiguous(flat, choices, "every input may be a state")
    taken = [after for options in choices.values() for after in options]
    if any(len(options) > 1 for options in choices.values()) or len(set(taken)) != len(taken):
        raise _ambiguous(flat, choices, "several outputs may be the same state's")
    return {before: options[0] for before, options in choices.items()}


def _ambiguous(flat: Flat, choices: Mapping[str, Sequence[str]], why: str) -> CompileError:
    listed = "; ".join(f"{shown(b)}: {', '.join(shown(a) for a in after)}" for b, after in choices.items())
    return CompileError(
        f"which inputs are states is not clear: {why} ({listed}); say it: states={{input: output}}, on the "
        "command line --state INPUT=OUTPUT, or --state none"
    )


def _shapes(flat: Flat, before: str, after: str) -> str:
    return f"{list(flat.inputs[before].shape)} and {list(flat.shapes.get(after, ()))}"


def _alike(flat: Flat, before: str, after: str) -> bool:
    known = flat.shapes.get(after)
    port = flat.inputs[before]
    return port.dtype.kind == "f" and (known is None or known == port.shape) and len(port.shape) > 0


def _flows(makers: Mapping[str, Node], source: str, target: str) -> bool:
    """Whether a value reaches another without being mixed with its neighbours."""
    waiting, seen = [target], set()
    while waiting:
        name = waiting.pop()
        if name == source and target != source:
            return True
        if name in seen:
            continue
        seen.add(name)
        maker = makers.get(name)
        if maker is not None and maker.op not in MIXING:
            waiting += maker.inputs
    return False


def _compared(flat: Flat, makers: Mapping[str, Node], name: str) -> bool:
    """Whether a value is a spike: a comparison or a sign, cast, negated, scaled or chosen by constants."""
    while (maker := makers.get(name)) is not None and maker.op in AROUND:
        free = [i for i in maker.inputs if i not in flat.constants]
        if not free or (maker.op in ("Mul", "Where") and len(free) != 1):
            return False
        name = free[0]
    return maker is not None and maker.op in (*COMPARED, "Sign")


def closed(flat: Flat, pairs: Mapping[str, str]) -> Flat:
    """The flat graph of one step with its states as delays, without the outputs that only states need."""
    labels = {b: f"{b}.state" if f"{b}_next" in flat.outputs else b for b in pairs}  # C adds _next itself
    nodes = [
        delay(Node("", (), (), {}, f"state {shown(before)}"), f"@{before}", before, after, labels[before])
        for before, after in pairs.items()
    ]
    renames = {before: f"@{before}" for before in pairs}
    nodes += [replace(n, inputs=tuple(renames.get(i, i) for i in n.inputs)) for n in flat.nodes]
    only = flat.hidden.intersection(pairs.values())
    outputs = tuple(name for name in flat.outputs if name not in only)
    return replace(flat, nodes=nodes, outputs=outputs or flat.outputs)
