"""A page of one neuron, from its class."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from docs.docstring import Argument, Docstring, parse, reference
from docs.markdown import block, call, code, sentence, table
from docs.presets import OURS, SYSTEMS, ours, presets_of, remark, where_it_goes
from docs.specimen import (
    NEURONS,
    abstract,
    constructor,
    one_a_neuron,
    parameters,
    shape_text,
    signature,
    specimens,
    states,
    text_of,
    traced,
)
from snncc import nn
from snncc.nn.module import Module


def docstring(kind: type[Module]) -> Docstring:
    return parse(kind, constructor(kind))


def full_name(kind: type[Module]) -> str:
    """nn.Leaky, nn.snntorch.Leaky."""
    systems = {module.__name__: module for module in SYSTEMS.values()}
    package = next((n for n in systems if f"{kind.__module__}.".startswith(f"{n}.")), "snncc.nn")
    return f"{package.removeprefix('snncc.')}.{kind.__name__}"


def arguments(kind: type[Module]) -> Iterator[Argument]:
    """Its arguments' paragraphs, not in order; for "as LIF." what LIF says."""
    for argument in docstring(kind).arguments:
        other = reference(argument.text)
        if other is None:
            yield argument
            continue
        for said in arguments(OURS[other]):
            names = tuple(n for n in said.names if n in argument.names)
            if names:
                yield Argument(names, said.unit, said.text, said.also)


def differences(kind: type[Module]) -> str:
    said = docstring(kind).sections.get("Differences", "")
    other = reference(said)
    return differences(OURS[other]) if other else said


def page(kind: type[Module]) -> str:
    """The whole page."""
    said = docstring(kind)
    text = f"# {full_name(kind)}\n\n{said.summary}\n\n"
    text += block(call(full_name(kind), signature(kind)), "python") + body(said)
    if "dialect" in constructor(kind):
        text += "What the dialects are: [NIR](README.md#nir).\n\n"
    if constructor(kind):
        text += "## Arguments\n\n" + _arguments(kind)
    text += f"## Outputs and states\n\n{_outputs(kind)}\n\n"
    if not abstract(kind):
        text += _states(kind) + _parameters(kind)
    if differences(kind):
        text += f"## Differences\n\n{sentence(differences(kind), constructor(kind))}\n\n"
    return text + _others(kind) + _source(kind)


def body(said: Docstring) -> str:
    """Equations and prose."""
    return "".join(block(text) if is_equations else f"{text}\n\n" for is_equations, text in said.body)


def _arguments(kind: type[Module]) -> str:
    found = constructor(kind)
    order = list(found)

    def shown(name: str) -> str:
        default = found[name].default
        return f"`{name}`" if default is found[name].empty else f"`{name}={text_of(default)}`"

    rows = [
        (", ".join(map(shown, (*a.names, *(n for n in a.also if n in found)))), a.unit, a.text)
        for a in sorted(arguments(kind), key=lambda a: order.index(a.names[0]))
    ]
    units = any(unit for _, unit, _ in rows)
    head = ("argument", "unit", "") if units else ("argument", "")
    return table(head, *(row if units else (row[0], row[2]) for row in rows))


def _outputs(kind: type[Module]) -> str:
    return docstring(kind).sections["Outputs"]


def _states(kind: type[Module]) -> str:
    make = next(specimens(kind))
    rows = [(f"`{name}`", f"`{shape_text(s, kind)}`", at) for name, s, at in states(traced(make()))]
    if not rows:
        return "No states.\n\n"
    return table(("state", "shape", "before the first step, by default"), *rows)


def _parameters(kind: type[Module]) -> str:
    """All that there can be: with everything learned, and with one number a neuron."""
    shapes: dict[str, list[str]] = {}
    trains: dict[str, str] = {}
    flags = [n for n in constructor(kind) if n.startswith("learn_") or n == "learnable"]
    for make in specimens(kind):
        off = dict.fromkeys(flags, False)
        fixed, every = parameters(make(**off)), parameters(make(**dict.fromkeys(flags, True)))
        alone = {flag: parameters(make(**{**off, flag: True})) for flag in flags}
        for path, parameter in [*every.items(), *_wide(kind, make)]:
            shape = f"`{shape_text(parameter.shape, kind)}`"
            if shape not in shapes.setdefault(path, []):
                shapes[path].append(shape)
            learned = [f"with `{flag}`" for flag in flags if _learns(alone[flag], path)]
            if _learns(fixed, path):
                learned = ["yes"]
            never = "no" if path in every else "no; there if it is one number a neuron"
            trains.setdefault(path, next(iter(learned), never))
    if not shapes:
        return ""
    rows = [(f"`{path}`", " or ".join(found), trains[path]) for path, found in shapes.items()]
    return "## Parameters\n\n" + table(("parameter", "shape", "trains"), *rows)


def _wide(kind: type[Module], make: Callable[..., Module]) -> Iterator[tuple[str, nn.Parameter]]:
    """The parameters of neurons of which one argument is one number a neuron."""
    shape = next((shape for _, shape, _ in states(traced(make()))), (NEURONS,))
    count = shape if len(shape) > 2 else shape[:1]    # of an image each pixel is a neuron
    usual = parameters(make())
    for name, argument in constructor(kind).items():
        if str(argument.annotation).startswith(("Number", "Coefficient")):
            found = one_a_neuron(make, name, count).items()
            yield from ((path, p) for path, p in found if path not in usual or p.shape != usual[path].shape)


def _learns(found: dict[str, nn.Parameter], path: str) -> bool:
    return path in found and found[path].learnable


def _others(kind: type[Module]) -> str:
    """What other systems call it, and their arguments in ours."""
    known = getattr(kind, "known_as", {})
    if kind not in OURS.values() or not known:
        return ""
    text = "## In other systems\n\n"
    names = ", ".join(f"{system} `{name}`" for system, name in known.items())
    text += f"{names}. Arguments of a preset, and what they are here:\n\n"
    for _, preset in presets_of(kind.__name__):
        text += _preset(preset)
    if "NIR" in known:
        name = known["NIR"]
        text += f"### nn.nir.{name}\n\nNIR's is a neuron of its own: [nn.nir.{name}](nir.{name}.md).\n\n"
    return text


def _preset(kind: type[Module]) -> str:
    said = docstring(kind)
    text = f"### {full_name(kind)}\n\n" + block(call(full_name(kind), signature(kind)), "python")
    text += (f"{remark(kind)}\n\n" if remark(kind) else "") + body(said)
    notes = {name: a.text for a in said.arguments for name in a.names}
    groups: dict[tuple[str, str], list[str]] = {}
    for name in constructor(kind):
        to, note = where_it_goes(kind, name), notes.get(name, "")
        groups.setdefault(("the same" if to == f"`{name}`" else to, note), []).append(name)
    rows = [(code(names), *to) for to, names in groups.items()]
    noted = any(notes.values())
    head = ("argument", f"in nn.{ours(kind)}")
    text += table((*head, "") if noted else head, *(row if noted else row[:2] for row in rows))
    if "Differences" in said.sections:
        text += f"Differences: {said.sections['Differences']}\n\n"
    return text


def _source(kind: type[Module]) -> str:
    path = f"{kind.__module__.replace('.', '/')}.py"
    return f"---\n\nMade from [{path}](../../{path}).\n"
