"""snnTorch's spikegen as layers: the same names, arguments and defaults, without the data.

`spikegen.rate(data, num_steps=25)` becomes the layer `spikegen.rate()` of a network whose input is
`nn.Input(784, static=True)`, with num_steps an argument of compile or of the call.
"""

from __future__ import annotations

from ...arguments import checked
from ...errors import CompileError, user_line
from ..encoders import Delta, Latency, Rate


@checked
def rate(
    num_steps: int | bool = False,
    gain: float = 1,
    offset: float = 0,
    first_spike_time: int = 0,
    time_var_input: bool = False,
) -> Rate:
    """Random spikes of this probability; with time_var_input gain and offset are left out, as there."""
    _of_the_call("rate", num_steps)
    if time_var_input:
        return Rate(first_spike_time=first_spike_time)
    return Rate(gain, offset, first_spike_time)


@checked
def latency(
    num_steps: int | bool = False,
    threshold: float = 0.01,
    tau: float = 1,
    first_spike_time: int = 0,
    on_target: float = 1,
    off_target: float = 0,
    clip: bool = False,
    normalize: bool = False,
    linear: bool = False,
    interpolate: bool = False,
    bypass: bool = False,
    epsilon: float = 1e-7,
) -> Latency:
    """One spike a neuron; times after the last step give none, whether bypass is set or not."""
    if interpolate or on_target != 1 or off_target != 0:
        raise CompileError(
            "spikegen.latency: interpolate, on_target and off_target are for targets, which are data: make "
            f"them with NumPy ({user_line()})"
        )
    return Latency(
        tau,
        threshold,
        first_spike_time=first_spike_time,
        normalize=normalize,
        linear=linear,
        clip=clip,
        epsilon=epsilon,
        num_steps=num_steps or None,
    )


@checked
def delta(threshold: float = 0.1, padding: bool = False, off_spike: bool = False) -> Delta:
    """A spike where the input has grown by the threshold."""
    return Delta(threshold, padding, off_spike)


def _of_the_call(name: str, num_steps: int | bool) -> None:
    if num_steps:
        raise CompileError(
            f"spikegen.{name}: num_steps is given to compile or to the call, not here; got {num_steps!r} "
            f"({user_line()})"
        )
