"""The page of surrogates, from their functions and docstrings."""

from __future__ import annotations

import inspect
from types import ModuleType
from typing import Any

from docs.markdown import table
from snncc import nn
from snncc.nn import surrogate
from snncc.nn.surrogate import Surrogate

ABSTRACT = {"Surrogate", "Custom", "CustomGradient"}
OWN = nn.surrogate.custom(lambda u: 1 / (1 + 3 * abs(u)) ** 2)
SYSTEMS: dict[str, ModuleType] = {
    "snnTorch": nn.snntorch.surrogate,
    "SpikingJelly": nn.spikingjelly.surrogate,
}
START = """# Surrogates

What stands in for the derivative of a spike, at u = membrane - threshold. `nn.Leaky(0.9)` has `ATan()`; any
other is given as `nn.Leaky(0.9, surrogate=nn.surrogate.Triangle(0.5))`, and `surrogate=None` lets no gradient
through. Whether a spike needs u > 0 (snnTorch) or u >= 0 (SpikingJelly) is the neuron's to say.

"""
FIRST = "## All of them\n\nWith their defaults, in `snncc.nn.surrogate`.\n\n"
LEFT_OUT = """\
Not there: `PoissonPass` (spikes are drawn, forward too) and `MultiLevelSpikeCount` (whole numbers
instead of spikes), which change what fires and not only its derivative.

"""
OWN_ONE = f"""## One of your own

```python
steep = nn.surrogate.custom(lambda u: 1 / (1 + 3 * abs(u)) ** 2)
print(steep)    # {OWN}
```

The function is run once, on symbols: arithmetic, `snncc.exp`, `snncc.where` and so on, no functions of NumPy
or PyTorch. Two functions with the same equations are the same surrogate. `primitive=` gives an antiderivative
on NumPy arrays, for tests with finite differences. Where the gradient is not that of the spike times a
derivative, `nn.surrogate.custom_gradient(lambda u, grad, spk: ...)` gives all of it.
"""


def classes() -> dict[str, type[Surrogate]]:
    """Our surrogates by name."""
    found = ((name, getattr(surrogate, name)) for name in surrogate.__all__ if name not in ABSTRACT)
    return {name: value for name, value in found if isinstance(value, type) and issubclass(value, Surrogate)}


def call_of(function: Any) -> str:
    """`ATan(alpha=2.0)`; what only SpikingJelly has is left out."""
    arguments = inspect.signature(function).parameters.values()
    shown = [p for p in arguments if p.name != "spiking"]
    texts = (p.name if p.default is p.empty else f"{p.name}={p.default}" for p in shown)
    return f"{function.__name__}({', '.join(texts)})"


def first_line(documented: Any) -> str:
    return (inspect.getdoc(documented) or "").split("\n")[0]


def known_as(kind: type, module: ModuleType) -> str:
    """The presets of a system that are of this kind."""
    named = (n for n in module.__all__ if n != "custom_surrogate" and type(getattr(module, n)()) is kind)
    return ", ".join(f"`{name}`" for name in named)


def page() -> str:
    own = [
        (f"`{call_of(kind)}`", f"`{first_line(kind)}`", *(known_as(kind, m) for m in SYSTEMS.values()))
        for kind in classes().values()
    ]
    text = START + FIRST + table(("surrogate", "derivative", *SYSTEMS), *own)
    for system, module in SYSTEMS.items():
        rows = []
        for name in module.__all__:
            function = getattr(module, name)
            ours = "`custom_gradient`" if name == "custom_surrogate" else f"`{function()}`"
            rows.append((f"`{call_of(function)}`", ours, first_line(function)))
        text += f"## As {system} calls them\n\nWith its defaults, in `{module.__name__}`.\n\n"
        text += table((system, "ours", ""), *rows)
    return text + LEFT_OUT + OWN_ONE
