"""How each of our modules is said in NIR, and what NIR cannot say."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from ... import nn
from ...nn.module import Module
from ...nn.neuron import Neuron
from ...nn.neurons.integrate_and_fire import IntegrateAndFire
from ...nn.nir import Dialect
from .flat import Edge
from .read import RawNode
from .shapes import Shape

Values = dict[str, "np.ndarray | str"]


class CannotError(Exception):
    """NIR has no word for this."""


@dataclass(frozen=True)
class Site:
    """A module where it stands: its parameters, the shapes of what enters and leaves, and how it is read."""

    module: Any
    parameters: Mapping[str, np.ndarray]
    entering: Shape
    leaving: Shape
    dt: float
    reading: Dialect

    def array(self, name: str) -> np.ndarray:
        """A coefficient or weight as it is used: within its limits."""
        if name not in self.module._parameters:
            return np.asarray(getattr(self.module, name), np.float64)
        limits = self.module._parameters[name].limits
        array = np.asarray(self.parameters[name], np.float64)
        return np.clip(array, *limits) if limits else array

    def each(self, value: Any) -> np.ndarray:
        """One number a neuron."""
        return np.broadcast_to(np.asarray(value, np.float64), self.leaving)


@dataclass(frozen=True)
class Said:
    """Nodes by what follows the module's path, where values enter and leave, and edges between them.

    delayed: edges that carry the value of the step before.
    """

    nodes: Mapping[str, RawNode]
    entry: str = ""
    leaves: str = ""
    edges: tuple[Edge, ...] = ()
    delayed: tuple[Edge, ...] = field(default=())


def express(site: Site) -> Said:
    """The nodes of a module. Raises CannotError."""
    kind = next((kind for kind in type(site.module).__mro__ if kind in EXPRESSIONS), None)
    if kind is None:
        raise CannotError(getattr(site.module, "unsaid", "NIR has no such node"))
    for name in EQUATIONS:
        if getattr(type(site.module), name, None) is not getattr(kind, name, None):
            raise CannotError(
                f"it has a {name} of its own, unlike {kind.__name__}'s, which NIR does not know"
            )
    return EXPRESSIONS[kind](site)


def is_layer(module: Module) -> bool:
    """Whether it is one node or one neuron, and not a network of others."""
    return isinstance(module, Neuron) or not any(module.children())


def _one(type: str, **values: Any) -> Said:
    arrays = {name: value if isinstance(value, str) else np.asarray(value) for name, value in values.items()}
    return Said({"": RawNode(type, arrays)})


def _linear(site: Site) -> Said:
    if site.module.has_bias:
        return _one("Affine", weight=site.array("weight"), bias=site.array("bias"))
    return _one("Linear", weight=site.array("weight"))


def _conv(site: Site) -> Said:
    windows, axes = site.module.windows, site.module.axes
    if axes > 2:
        raise CannotError("NIR has convolutions of one and two axes")
    if windows.before != windows.after:
        if windows.stride != (1,) * axes:
            raise CannotError("NIR pads both ends alike")
        padding: Any = "same"
    else:
        padding = _sizes(windows.before)
    bias = site.array("bias") if site.module.has_bias else np.zeros(site.leaving[0])
    return _one(
        f"Conv{axes}d",
        weight=site.array("weight"),
        bias=bias,
        input_shape=_sizes(site.entering[1:]),
        stride=_sizes(windows.stride),
        padding=padding,
        dilation=_sizes(windows.dilation),
        groups=np.int64(site.module.groups),
    )


def _sizes(numbers: tuple[int, ...]) -> np.ndarray:
    return np.array(numbers if len(numbers) > 1 else numbers[0], np.int64)


def _pool(site: Site) -> Said:
    pool = site.module
    if (
        pool.axes != 2
        or pool.ceil_mode
        or (any(pool.padding) and not getattr(pool, "count_include_pad", True))
    ):
        raise CannotError("NIR's pools are of two axes, and neither round up nor leave out what was padded")
    sizes = {name: _sizes(getattr(pool, name)) for name in ("kernel_size", "stride", "padding")}
    kind = "SumPool2d" if isinstance(pool, nn.SumPool2d) else "AvgPool2d"
    return _one(kind, **sizes)


def _flatten(site: Site) -> Said:
    start, end = getattr(site.module, "start_dim", 0), getattr(site.module, "end_dim", -1)
    return _one(
        "Flatten", start_dim=np.int64(start), end_dim=np.int64(end), input_type=np.array(site.entering)
    )


def _scale(site: Site) -> Said:
    return _one("Scale", scale=site.each(site.array("scale")))


def _threshold(site: Site) -> Said:
    return _one("Threshold", threshold=site.each(site.array("threshold")))


def _delay(site: Site) -> Said:
    return _one("Delay", delay=site.each(np.asarray(site.module.steps) * site.dt))


def _decay(site: Site, beta: np.ndarray) -> np.ndarray:
    """1 - beta, which must be above 0: NIR's time constants are finite."""
    if not (beta < 1).all():
        raise CannotError("a decay of 1 would be an endless time constant; use nn.IF or nn.I")
    return np.asarray(1.0 - beta)


def _leak(site: Site, pull: Any, gain: Any, v_leak: Any = 0.0) -> Values:
    """mem + pull (v_leak - mem) + gain current, as a time constant and a resistance."""
    pull, gain = np.asarray(pull, np.float64), np.asarray(gain, np.float64)
    return {"tau": site.each(site.dt / pull), "r": site.each(gain / pull), "v_leak": site.each(v_leak)}


def _fires(site: Site, values: Values) -> Values:
    """With threshold and reset. Raises CannotError for another comparison, reset or start than a reader's."""
    reading = site.reading
    delayed, v_reset, strict, start = _after_a_spike(site)
    wanted = delayed or ("subtract" if v_reset is None else "file")
    if wanted != reading.reset:
        raise CannotError(
            f"its reset is {wanted!r}, a reader would do {reading.reset!r}; NIR has no word for it: "
            f"write the file with --reset {wanted} and read it so"
        )
    compare = "gt" if strict else "ge"
    if compare != reading.compare:
        raise CannotError(
            f"it compares by {compare!r}, a reader by {reading.compare!r}: write the file with --compare "
            f"{compare} and read it so"
        )
    target = np.zeros(()) if v_reset is None else v_reset
    begins = {"zero": np.zeros(()), "v_reset": target, "v_leak": values.get("v_leak", np.zeros(()))}
    if not np.array_equal(site.each(start), site.each(begins[reading.v0])):
        raise CannotError(
            f"its membrane starts at {np.ravel(start)[0]:g}, a reader's at {reading.v0}; see --v0"
        )
    threshold = site.each(site.array("threshold"))
    return {**values, "v_threshold": threshold, "v_reset": site.each(target)}


def _after_a_spike(site: Site) -> tuple[str, np.ndarray | None, bool, np.ndarray]:
    """The reset's name if it waits, v_reset (None: the threshold is subtracted), comparison, start."""
    module = site.module
    if isinstance(module, IntegrateAndFire):
        v_reset = None if module.v_reset is None else site.array("v_reset")
        delayed = "subtract_delayed" if getattr(module, "delayed", False) else ""
        return delayed, v_reset, module.strict, site.array("init_mem")
    if module.inhibition or module.quantize is not None or (site.array("graded_spikes_factor") != 1).any():
        raise CannotError("NIR has neither inhibition nor quantised states nor graded spikes")
    waits = module.reset_delay
    start = site.array("init_mem") if hasattr(module, "init_mem") else np.zeros(())
    if module.reset == "subtract" and waits:
        return "subtract_delayed", np.zeros(()), True, start
    if module.reset == "zero" and (not waits or isinstance(module, nn.Leaky)):
        if not (site.array("threshold") > 0).all():
            raise CannotError("a threshold that is not above 0 would fire after each reset")
        return "", np.zeros(()), True, start
    later = "a step later" if waits else "in the step of its spike"
    raise CannotError(
        f"reset={module.reset!r} {later}: NIR sets the membrane to v_reset in the step of a spike"
    )


def _leaky(site: Site) -> Said:
    pull = _decay(site, site.array("beta"))
    return _one("LIF", **_fires(site, _leak(site, pull, 1.0)))


def _synaptic(site: Site) -> Said:
    syn, mem = _decay(site, site.array("alpha")), _decay(site, site.array("beta"))
    return _one("CubaLIF", **_fires(site, _cuba(site, syn, 1.0, mem, 1.0)))


def _cuba(site: Site, syn: Any, syn_gain: Any, mem: Any, gain: Any, v_leak: Any = 0.0) -> Values:
    membrane, synapse = _leak(site, mem, gain, v_leak), _leak(site, syn, syn_gain)
    return {
        "tau_mem": membrane["tau"],
        "tau_syn": synapse["tau"],
        "r": membrane["r"],
        "v_leak": membrane["v_leak"],
        "w_in": synapse["r"],
    }


def _recurrent(plain: Callable[[Site], Said]) -> Callable[[Site], Said]:
    """A neuron whose spikes come back a step later: itself, and what they come back through."""

    def said(site: Site) -> Said:
        module = site.module
        if module.recurrent is None:
            way = RawNode("Scale", {"scale": site.each(site.array("V"))})
        else:
            weights = {name: site.parameters[f"recurrent.{name}"] for name in ("weight", "bias")}
            back = replace(site, module=module.recurrent, parameters=weights, entering=site.leaving)
            way = express(back).nodes[""]
        nodes = {".lif": plain(site).nodes[""], ".w_rec": way}
        loop = (".lif", ".w_rec")
        return Said(nodes, ".lif", ".lif", ((".w_rec", ".lif"), loop), (loop,))

    return said


def _if(site: Site) -> Said:
    return _one("IF", **_fires(site, {"r": site.each(1.0 / site.dt)}))


def _lif(site: Site) -> Said:
    pull = 1.0 / site.array("tau")
    base = np.zeros(()) if site.module.v_reset is None else site.array("v_reset")
    gain = pull if site.module.decay_input else np.ones(())
    return _one("LIF", **_fires(site, _leak(site, pull, gain, base)))


def _nir_if(site: Site) -> Said:
    return _one("IF", **_fires(site, {"r": site.each(site.array("gain") / site.dt)}))


def _nir_lif(site: Site) -> Said:
    leak = _leak(site, site.array("pull"), site.array("gain"), site.array("v_leak"))
    return _one("LIF", **_fires(site, leak))


def _nir_cuba(site: Site) -> Values:
    if site.array("syn_leak").any():
        raise CannotError("its synapse leaks to v_leak, NIR's to 0")
    return _cuba(
        site,
        site.array("syn_pull"),
        site.array("syn_gain"),
        site.array("pull"),
        site.array("gain"),
        site.array("v_leak"),
    )


def _quiet(site: Site, values: Values) -> Values:
    """Of what does not fire: its membrane must start where a reader's does."""
    start = values["v_leak"] if site.reading.v0 == "v_leak" else 0.0
    if not np.array_equal(site.each(site.array("init_mem")), site.each(start)):
        raise CannotError(f"its membrane does not start where a reader's does; see --v0 ({site.reading.v0})")
    return values


EXPRESSIONS: dict[type, Callable[[Site], Said]] = {
    nn.Linear: _linear,
    nn.Conv1d: _conv,
    nn.Conv2d: _conv,
    nn.AvgPool2d: _pool,
    nn.SumPool2d: _pool,
    nn.Flatten: _flatten,
    nn.Delay: _delay,
    nn.Leaky: _leaky,
    nn.Synaptic: _synaptic,
    nn.RLeaky: _recurrent(_leaky),
    nn.RSynaptic: _recurrent(_synaptic),
    nn.IF: _if,
    nn.LIF: _lif,
    nn.I: lambda site: _one("I", r=site.each(1.0 / site.dt)),
    nn.LI: lambda site: _one("LI", **_leak(site, 1.0 / site.array("tau"), 1.0 / site.array("tau"))),
    nn.nir.Flatten: _flatten,
    nn.nir.Scale: _scale,
    nn.nir.Threshold: _threshold,
    nn.nir.Delay: _delay,
    nn.nir.I: lambda site: _one("I", r=site.each(site.array("gain") / site.dt)),
    nn.nir.IF: _nir_if,
    nn.nir.LI: lambda site: _one(
        "LI", **_quiet(site, _leak(site, site.array("pull"), site.array("gain"), site.array("v_leak")))
    ),
    nn.nir.LIF: _nir_lif,
    nn.nir.CubaLI: lambda site: _one("CubaLI", **_quiet(site, _nir_cuba(site))),
    nn.nir.CubaLIF: lambda site: _one("CubaLIF", **_fires(site, _nir_cuba(site))),
}
EQUATIONS = ("step", "charge", "fire", "after", "settle", "due", "lowered")  # what makes a neuron another one
