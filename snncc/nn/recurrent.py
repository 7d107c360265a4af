"""Feedback around any module: what it gives comes back to it a step later."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ..ops import Value
from .layers import positive
from .module import Module, delay
from .neuron import Number, beside, coefficient, for_each

Combine = Callable[[Any, Any], Any]


class Recurrent(Module):
    """y = module(x + back(y of the step before)); before the first step y is 0.

        nn.Recurrent(nn.LIF(2.0), nn.Linear(256, 256))          # all to all
        nn.Recurrent(nn.LIF(2.0), V=0.5)                        # each neuron to itself
        nn.Recurrent(nn.Sequential(lif1, fc2, lif2), nn.Linear(20, 256))    # from the last layer to the first

    module: a neuron, or any other module; back: the module through which y returns. V: instead of it a weight
    from each neuron to itself, a number or one a neuron; learn_V trains it. features: shape of y, where it is
    neither that of x nor what `back` takes. of: the output that comes back, where the module has several.
    combine: a function of x and what comes back, instead of their sum.
    The outputs are those of the module.
    """

    def __init__(
        self,
        module: Module,
        back: Module | None = None,
        *,
        V: Number | None = None,
        learn_V: bool = True,
        features: int | tuple[int, ...] = (),
        of: str = "spk",
        combine: Combine | None = None,
    ) -> None:
        if (back is None) == (V is None) and (combine is None or back is not None):
            found = "neither" if back is None else "both"
            raise self.error(
                f"expected either back, a module, or V, a weight from each neuron to itself; got {found}"
            )
        self.module, self.back, self.of, self.combine = module, back, of, combine
        self.features = (features,) if isinstance(features, int) else features
        positive(self, **{f"features[{i}]": n for i, n in enumerate(self.features)})
        if V is not None:
            self.V = coefficient(self, "V", V, learn_V)

    def forward(self, x: Value) -> Any:
        loop = delay(shape=self._shape(x), name="back")
        returned = loop.value
        if self.back is not None:
            returned = self.back(returned)
        elif hasattr(self, "V"):
            returned = self._own(returned)
        result = self.module(self.combine(x, returned) if self.combine else x + returned)
        loop.feed(self._output(result))
        return result

    def _own(self, returned: Value) -> Value:
        """What comes back to each neuron from itself."""
        weight: Any = self.V
        if isinstance(weight, float):
            return weight * returned
        if beside(weight.shape, returned.shape) is None:
            raise self.error(
                f"V has shape {list(weight.shape)}, what comes back has {list(returned.shape)}; pass one "
                "number for all, one for each channel or one for each neuron"
            )
        return for_each(weight, returned.shape) * returned

    def _shape(self, x: Value) -> tuple[int, ...]:
        taken = getattr(self.back, "in_features", 0)
        return self.features or ((taken,) if taken else x.shape)

    def _output(self, result: Any) -> Value:
        """What comes back."""
        if isinstance(result, Value):
            return result
        named = dict(result) if isinstance(result, Mapping) else result._asdict()
        if self.of not in named:
            raise self.error(f"the module has no output {self.of!r}, it has {', '.join(named)}; say of=")
        value: Value = named[self.of]
        return value
