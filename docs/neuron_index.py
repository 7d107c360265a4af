"""The index of all neurons, and the way from other systems' names to ours."""

from __future__ import annotations

import inspect
from importlib import import_module
from types import ModuleType

from docs.docstring import parse
from docs.markdown import table
from docs.neuron_page import body, docstring, full_name
from docs.presets import OURS, SYSTEMS, ours, presets, remark
from snncc import nn
from snncc.nn.module import Module

START = """# Neurons

Every neuron is its equations: a `step` of a few lines in [snncc/nn/neurons](../../snncc/nn/neurons), from
which the C of both directions is made. Its page has equations, arguments with units and defaults, states,
parameters, and what other systems call it.

```python
lif = nn.Leaky(0.9)                        # ours
lif = nn.snntorch.Leaky(0.9)               # the same, with snnTorch's arguments, order and defaults
lif = nn.spikingjelly.LIFNode(tau=2.0)
out = lif(current)                         # in a network's forward
out.spk, out.mem                           # all outputs, by name
```

`current` is a neuron's input at a step, `spk` what it fires (a comparison gives 1 or 0), `mem` its membrane.
Where an equation reads a state, it means that of the line above that has set it, else that of the step
before. *Detached*: a constant for the gradient. *One number or one a neuron*: `beta=0.9` or
`beta=[0.9, 0.8, 0.7]`, on images also one a channel, `[C]` or `[C, 1, 1]`; what is not one number is among
the model's parameters even if it does not train.
Derivatives of spikes: [surrogates](../surrogates.md). A neuron of your own:
[README](../../README.md#your-own-neuron).

## Which leaky neuron?

What is called leaky integrate-and-fire differs: how the current counts, whether a membrane at the threshold
fires, when the reset comes, whether the gradient flows through it, and which membrane comes out.

| | `nn.Leaky`: snnTorch, Aidge | `nn.LIF`: SpikingJelly, SNNGrow | `nn.nir.LIF`: NIR, Norse |
| --- | --- | --- | --- |
| the membrane keeps | `beta` | `1 - 1/tau` | `1 - dt/tau` |
| the current counts | 1 | `1/tau`, or 1 with `decay_input=False` | `r dt/tau`, in Norse `dt/tau` |
| fires where | `mem > threshold` | `mem >= threshold` | `mem > v_threshold` |
| reset | subtracts, a step later | to `v_reset`, in the step | to `v_reset`, in the step |
| or | to zero; in the step with `reset_delay=False` | subtracts with `v_reset=None` | |
| gradient of the reset | none; flows with `reset_delay=False` | flows, unless `detach_reset=True` | flows |
| `mem` that comes out | before a delayed reset | after the reset | after the reset |
| surrogate | `ATan(2)` | `Sigmoid(4)` | the dialect's |

"""
SECOND = """## My library's neuron, and ours

Under the names that you know, with their arguments, order and defaults. The page of our neuron says where
every argument goes, and what is refused.

"""
# The families, by file, in the order of the index.
FAMILIES = (
    "leaky", "synaptic", "recurrent", "lapicque", "integrate_and_fire", "nonlinear", "adaptive", "gated",
    "non_spiking", "parallel", "psn", "lstm", "associative", "dsr",
)    # fmt: skip

# What has no preset, and why: by system.
LEFT_OUT: dict[str, tuple[tuple[str, str], ...]] = {
    "snnTorch": (
        ("`GradedSpikes`", "an argument here: `graded_spikes_factor`"),
        ("`SpikingNeuron`, `LIF`", "bases; here `nn.Neuron`"),
    ),
    "SpikingJelly": (
        ("`SimpleIFNode`, `SimpleLIFNode`", "use `IFNode`, `LIFNode`"),
        ("`BaseNode`, `AdaptBaseNode`, `FlexSN` and the like", "to write one's own; here `nn.Neuron`"),
        ("`OTTTLIFNode`", 'a learning rule: `nn.Leaky` with [`rule="ottt"`](../learning-rules.md)'),
        ("`SLTTLIFNode`", "a learning rule: `nn.LIF` with [`rules.bptt(truncate=1)`](../learning-rules.md)"),
        ("`ILIFNode`, `TernaryIFNode`, `TernaryLIFNode`", "not there: spikes other than 0 and 1"),
        ("`LIAFNode`", "not there: an activation instead of spikes"),
        ("`MPBNLIFNode`", "not there: batch normalisation between charge and spike"),
        ("`ILCIFNode`, `ILCLIFNode`, `ILCCUBALIFNode`", "not there: connections within the layer"),
        ("`NoisyCUBALIFNode` and the other noisy ones", "not there: noise"),
        ("`ActivationAwareIFNode`, `STBIFNode`", "not there: for converted networks"),
        ("`FewSpikeNode`, `HGNode`, `OutlierAwareThresholdNode`", "likewise"),
    ),
    "SNNGrow": (),
    "Aidge": (
        ("`RLeaky`, `Synaptic`, `RSynaptic`", "ours of that name, which were not compared with Aidge's"),
        ("`SpikGRU`", "not there"),
    ),
    "NIR": (),
    "Norse": (
        ("`LIFCell`, `LSNN`, `LIFEx`, `LIFAdEx` and their kin", "not there"),
        ("`Izhikevich`", "not there: `nn.Izhikevich` is SpikingJelly's, with other equations"),
        ("modules with recurrent weights", "not there: `nn.RLeaky` is snnTorch's, with other equations"),
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
    text = START + "## Ours\n\n" + _ours() + SECOND
    for system, module in SYSTEMS.items():
        text += _system(system, module)
    text += "### Norse\n\nAs Norse's own import of NIR makes them.\n\n" + table(("Norse", "here"), *NORSE)
    return (text + _left_out("Norse")).rstrip("\n") + "\n"


def families() -> dict[str, list[str]]:
    """Our neurons by the file that has them."""
    found: dict[str, list[str]] = {f"snncc.nn.neurons.{family}": [] for family in FAMILIES}
    for name, kind in sorted(OURS.items(), key=lambda item: item[0].lower()):
        found[kind.__module__].append(name)
    return found


def _ours() -> str:
    text = ""
    for module, names in families().items():
        title = (inspect.getdoc(import_module(module)) or "").split("\n")[0]
        rows = [(f"[`{n}`]({n}.md)", docstring(OURS[n]).summary) for n in names]
        text += table(("in `snncc.nn`", title.rstrip(".")), *rows)
    return text


def _system(system: str, module: ModuleType) -> str:
    rows = [
        (f"`{n}`", f"`{full_name(kind)}`", _link(kind), remark(kind)) for n, kind in presets(module).items()
    ]
    text = f"### {system}\n\n{body(parse(module, ()))}"
    return text + table((system, "preset", "ours", ""), *rows) + _left_out(system)


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
