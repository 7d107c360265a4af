"""docs/surrogates.md is what the surrogates themselves say. Written with `pytest --update-golden`."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from snncc import nn
from tests.test_surrogates import DRAWN, OWN, classes

PAGE = Path(__file__).parents[1] / "docs" / "surrogates.md"
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


def call_of(function: Any) -> str:
    """`ATan(alpha=2.0)`; what only SpikingJelly has is left out."""
    arguments = inspect.signature(function).parameters.values()
    shown = [p for p in arguments if p.name != "spiking"]
    texts = (p.name if p.default is p.empty else f"{p.name}={p.default}" for p in shown)
    return f"{function.__name__}({', '.join(texts)})"


def first_line(documented: Any) -> str:
    return (inspect.getdoc(documented) or "").split("\n")[0]


def table(*rows: tuple[str, ...]) -> str:
    head, *body = [f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |" for row in rows]
    return "\n".join([head, "| --- " * len(rows[0]) + "|", *body]) + "\n\n"


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
    return text + OWN_ONE


def test_the_page_is_what_the_surrogates_say(request: pytest.FixtureRequest) -> None:
    if request.config.getoption("--update-golden"):
        PAGE.write_text(page(), encoding="utf-8", newline="\n")
    assert PAGE.read_text(encoding="utf-8") == page(), "write it again: pytest --update-golden"


def test_every_first_line_is_a_formula() -> None:
    for name, kind in classes().items():
        assert re.search(r"\d|u", first_line(kind)), name
        assert not first_line(kind).endswith("."), name


def test_every_preset_is_somewhere() -> None:
    for system, module in SYSTEMS.items():
        named = {n for kind in classes().values() for n in re.findall(r"`(\w+)`", known_as(kind, module))}
        assert named == set(module.__all__) - {"custom_surrogate"}, system
    assert set(classes()) >= DRAWN
