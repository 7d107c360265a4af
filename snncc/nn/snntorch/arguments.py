"""What snnTorch's neurons have in common: arguments by snnTorch's names, in ours."""

from __future__ import annotations

from typing import Any

from ...arguments import shown
from ..module import Module
from ..neuron import RESETS
from ..surrogate import ATan


def surrogate_of(module: Module, spike_grad: Any, surrogate_disable: bool) -> Any:
    """Our surrogate: atan(2) if there is none; None, for spikes without a gradient, if it is disabled."""
    if surrogate_disable:
        return None
    return ATan(2.0) if spike_grad is None else spike_grad


def quantize_of(module: Module, state_quant: Any) -> Any:
    """Our `quantize`: a function, or None for False."""
    if state_quant is True:
        raise module.error(
            "state_quant must be False or a function as nn.snntorch.state_quant makes, got True"
        )
    return state_quant or None


def fires_as(
    module: Module, spike_grad: Any, surrogate_disable: bool, reset_mechanism: Any, state_quant: Any
) -> dict[str, Any]:
    """Our arguments for how a neuron fires and resets."""
    if reset_mechanism not in RESETS:
        raise module.error(f"reset_mechanism must be 'subtract', 'zero' or 'none', got {reset_mechanism!r}")
    return {
        "surrogate": surrogate_of(module, spike_grad, surrogate_disable),
        "reset": reset_mechanism,
        "quantize": quantize_of(module, state_quant),
    }


def refuse(module: Module, why: str, **given: tuple[Any, Any]) -> None:
    """Arguments (value and default) that snnTorch accepts and then ignores."""
    for name, (value, default) in given.items():
        if type(value) is not type(default) or value != default:
            raise module.error(
                f"snnTorch ignores {name} here{why}: expected {default!r}, got {shown(value)}; leave it out"
            )
