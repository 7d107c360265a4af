"""The index of all neurons, and the way from other systems' names to ours."""

from __future__ import annotations

import inspect
from importlib import import_module
from types import ModuleType

from docs.markdown import table
from docs.neuron_page import docstring, full_name
from docs.presets import OURS, SYSTEMS, ours, presets, remark
from snncc import nn
from snncc.nn.module import Module

START = """# Neurons

Every neuron is its equations: a `step` of a few lines in [snncc/nn/neurons](../../snncc/nn/neurons), from which the C of
both directions is made. Its page has the equations, arguments with units and defaults, states, parameters, and what
other systems call it.

```python
lif = nn.Leaky(0.9)                             # ours
lif = nn.snntorch.Leaky(0.9)                    # the same, with snnTorch's arguments, order and defaults
lif = nn.spikingjelly.LIFNode(tau=2.0)
out = lif(current)                              # in a network's forward
out.spk, out.mem                                # all outputs, by name
```

On the pages, `current` is the neuron's input at a step, `spk` what fires (a comparison gives 1 or 0), `mem` the membrane;
a state on the right of an equation is that of the step before, or of the line above if that has set it already.
"One number or one a neuron": `beta=0.9` or `beta=[0.9, 0.8, 0.7]`; what is one a neuron is among the model's parameters
even if it does not train. *Detached* means: a constant for the gradient. Derivatives of spikes are in
[surrogates](../surrogates.md).

**Which one?** Systems that call their neuron leaky integrate-and-fire differ in four ways: whether the current is
scaled, whether a membrane equal to the threshold fires, when the reset comes, and whether the gradient flows through it.

| | `nn.Leaky` (snnTorch, Aidge) | `nn.LIF` (SpikingJelly, SNNGrow) | `nn.nir.LIF` (NIR, Norse) |
| --- | --- | --- | --- |
| decay of the membrane | `beta` | `1 - 1/tau` | `1 - dt/tau` |
| the current counts | 1 | `1/tau`, or 1 with `decay_input=False` | `r dt/tau` |
| fires where | `mem > threshold` | `mem >= threshold` | `mem > v_threshold` |
| reset | a step later, or in the step (`reset_delay=False`) | in the step | in the step |
| gradient of the reset | none if a step later | flows, unless `detach_reset` | flows |
| `mem` that comes out | before a delayed reset | after the reset | after the reset |

A neuron of your own: README, "Your own neuron".

"""

# What has no preset, and why: by system.
LEFT_OUT: dict[str, tuple[tuple[str, str], ...]] = {
    "snnTorch": (
        ("`SConv2dLSTM`", "waits for convolutions."),
        (
            "`RLeaky`, `RSynaptic` with `conv2d_channels`",
            "likewise; `linear_features` and `V` work.",
        ),
        ("`GradedSpikes`", "an argument here: `graded_spikes_factor`."),
        ("`SpikingNeuron`, `LIF`", "bases; here `nn.Neuron`."),
    ),
    "SpikingJelly": (
        ("`SimpleIFNode`, `SimpleLIFNode`", "use `IFNode`, `LIFNode`."),
        ("`BaseNode`, `AdaptBaseNode`, ..., `FlexSN`", "ways to write one's own; here `nn.Neuron`."),
        ("`OTTTLIFNode`", "a learning rule: `LIFNode` or `nn.Leaky` with [`rule=\"ottt\"`](../learning-rules.md)."),
        ("`SLTTLIFNode`", "a learning rule that is not there yet."),
        ("`ILIFNode`, `TernaryIFNode`, `TernaryLIFNode`", "spikes other than 0 and 1: not there yet."),
        ("`LIAFNode`", "an activation instead of spikes: not there yet."),
        ("`MPBNLIFNode`", "waits for batch normalisation."),
        ("`ILCIFNode`, `ILCLIFNode`, `ILCCUBALIFNode`, `Noisy...`", "connections or noise inside: not there."),
        (
            "`ActivationAwareIFNode`, `STBIFNode`, `FewSpikeNode`, `HGNode`, `OutlierAwareThresholdNode`",
            "for converting trained networks without spikes: not there.",
        ),
        ("`GatedLIFNode` for maps `[C, H, W]`", "there; `inplane` is C."),
    ),
    "SNNGrow": (),
    "Aidge": (
        ("`RLeaky`, `Synaptic`, `RSynaptic`", "`nn.RLeaky`, ...; never compared with Aidge's."),
        ("`SpikGRU`", "not there."),
    ),
    "NIR": (("`Delay`, convolutions, pooling", "no neurons; not there yet."),),
    "Norse": (
        (
            "`LIFCell`, `LSNN`, `LIFEx`, `LIFAdEx`, `Izhikevich`, ...",
            "not there, nor modules with recurrent weights; `nn.LIF`, `nn.Synaptic`, `nn.Izhikevich` are relatives, not equals.",
        ),
    ),
}
NORSE = (
    ("`IAFCell`", '[`nn.nir.IF(..., dialect="norse")`](nir.IF.md)'),
    ("`LIFBoxCell`", '[`nn.nir.LIF(..., dialect="norse")`](nir.LIF.md)'),
    ("`LIBoxCell`", '[`nn.nir.LI(..., dialect="norse")`](nir.LI.md)'),
    ("`LIBoxCell`, then `LIFBoxCell`", '[`nn.nir.CubaLIF(..., dialect="norse")`](nir.CubaLIF.md)'),
)


def page() -> str:
    """The whole page."""
    text = START + "## Ours\n\n" + _ours() + "## My library's neuron, and ours\n\n"
    text += "Under the names that you know, with their arguments, orders and defaults; each is one of ours. A neuron's\n"
    text += "page says where every argument goes.\n\n"
    for system, module in SYSTEMS.items():
        text += _system(system, module)
    text += "### Norse\n\nAs Norse's own import of NIR makes them.\n\n" + table(("Norse", "here"), *NORSE)
    return (text + _left_out("Norse")).rstrip("\n") + "\n"


def families() -> dict[str, list[str]]:
    """Our neurons by the file that has them, in alphabetical order of the files."""
    found: dict[str, list[str]] = {}
    for name, kind in sorted(OURS.items(), key=lambda item: (item[1].__module__, item[0])):
        found.setdefault(kind.__module__, []).append(name)
    return found


def _ours() -> str:
    text = ""
    for module, names in families().items():
        title = (inspect.getdoc(import_module(module)) or "").split("\n")[0]
        rows = [(f"[`{n}`]({n}.md)", docstring(OURS[n]).summary) for n in names]
        text += f"**{title}**\n\n" + table(("`nn.`", ""), *rows)
    return text


def _system(system: str, module: ModuleType) -> str:
    rows = [
        (f"`{n}`", f"`{full_name(kind)}`", _link(kind), remark(kind)) for n, kind in presets(module).items()
    ]
    text = f"### {system}\n\n" + table((system, "preset", "ours", ""), *rows)
    return text + _left_out(system)


def _left_out(system: str) -> str:
    rows = LEFT_OUT[system]
    return table(("without a preset", ""), *rows) if rows else ""


def _link(kind: type[Module]) -> str:
    """The page that has it."""
    name = ours(kind)
    if name:
        return f"[`{name}`]({name}.md)"
    if kind in own_pages().values():
        return f"[its own page]({next(n for n, k in own_pages().items() if k is kind)}.md)"
    return ""


def own_pages() -> dict[str, type[Module]]:
    """Neurons of other systems that are none of ours with other arguments, by the names of their pages."""
    return {
        f"{module.__name__.rpartition('.')[2]}.{name}": kind
        for module in SYSTEMS.values()
        for name, kind in presets(module).items()
        if ours(kind) is None and issubclass(kind, nn.Neuron)
    }
