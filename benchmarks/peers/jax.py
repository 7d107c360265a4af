"""JAX by hand: one product a layer for all steps, lax.scan for the neurons, a training step in one jit.

scan: one step an iteration. unroll5: five. unroll: the loop over time fully unrolled.
"""

from __future__ import annotations

import functools
import math
from typing import Any

import jax
import jax.numpy as jnp

from ..task import Calls, Given, LeftOut
from . import on_jax

LONG = 200


@jax.custom_vjp
def spike(mem: Any) -> Any:
    return (mem > 1).astype(mem.dtype)


spike.defvjp(lambda mem: (spike(mem), mem), lambda mem, d: (d / (1 + (math.pi * (mem - 1)) ** 2),))


def current(x: Any, weight: Any, bias: Any) -> Any:
    """What neurons are given, of rows [..., n] or images [..., height, width, channels]."""
    if weight.ndim == 2:
        rows = jnp.moveaxis(x, -1, -3).reshape(*x.shape[:-3], -1) if x.ndim > 3 else x
        return rows @ weight.T + bias
    images, order = x.reshape(-1, *x.shape[-3:]), ("NHWC", "OIHW", "NHWC")
    y = jax.lax.conv_general_dilated(images, weight, (1, 1), "VALID", dimension_numbers=order) + bias
    y = jax.lax.reduce_window(y, -jnp.inf, jax.lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")
    return y.reshape(*x.shape[:-3], *y.shape[1:])


def network(given: Given, unroll: int, layers: Any, x: Any) -> Any:
    """What the loss reads, [T, B, n]."""
    beta, steps = given.task.beta, given.task.num_steps

    def read_out(current: Any) -> Any:
        def step(mem: Any, now: Any) -> Any:
            mem = beta * mem + now
            return mem, mem

        return jax.lax.scan(step, jnp.zeros_like(current[0]), current, unroll=unroll)[1]

    def recurrent(current: Any, weight: Any, bias: Any) -> Any:
        def step(state: Any, now: Any) -> Any:
            mem, spk = state
            mem = beta * mem + now + spk @ weight.T + bias - jax.lax.stop_gradient(spk)
            spk = spike(mem)
            return (mem, spk), spk

        start = jnp.zeros_like(current[0])
        return jax.lax.scan(step, (start, start), current, unroll=unroll)[1]

    def neurons(current: Any, static: bool, by_membrane: bool) -> Any:
        def step(mem: Any, now: Any) -> Any:
            mem = beta * mem + (current if static else now) - jax.lax.stop_gradient(spike(mem))
            return mem, mem if by_membrane else spike(mem)

        start = jnp.zeros_like(current if static else current[0])
        return jax.lax.scan(step, start, None if static else current, length=steps, unroll=unroll)[1]

    if given.task.recurrent:
        (weight, bias), (out_weight, out_bias), back = layers
        spk = recurrent(x @ weight.T + bias, *back)
        return read_out(spk @ out_weight.T + out_bias)
    for i, (weight, bias) in enumerate(layers):
        last = i == len(layers) - 1
        x = neurons(current(x, weight, bias), given.task.static and i == 0, last and given.by_membrane)
    return x


def build(given: Given, variant: str) -> Calls:
    steps = given.task.num_steps
    unroll = {"scan": 1, "unroll5": 5, "unroll": steps}[variant]
    if unroll > LONG:
        raise LeftOut(f"{steps} unrolled steps do not compile in reasonable time")
    x, y = on_jax.start(given)
    forward = functools.partial(network, given, unroll)

    @functools.partial(jax.jit, donate_argnums=(0, 1))
    def update(layers: Any, state: Any, rate: Any, x: Any, y: Any) -> Any:
        both = jax.value_and_grad(lambda layers: on_jax.loss_of(given, forward(layers, x), y))
        loss, d_layers = both(layers)
        return *on_jax.updated(layers, d_layers, state, rate), loss

    summed = jax.jit(lambda layers, x: forward(layers, x).sum())
    given_layers = [*given.layers, *given.back]
    layers = [tuple(jnp.asarray(a) for a in layer) for layer in given_layers]
    now = [layers, on_jax.ADAM.init(layers)]

    def train(rate: float) -> float:
        *now[:], loss = update(*now, rate, x, y)
        jax.block_until_ready(now)
        return float(loss)

    return Calls(train, lambda: float(summed(now[0], x)))
