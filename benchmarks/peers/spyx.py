"""Spyx as its documentation writes it: spyx.nn.Sequential and spyx.nn.run under nnx.jit.

Its LIF spikes on the membrane of the step before, trains beta as well and does not detach the reset; its
read-out, LI, has no reset: the work is the same, the numbers are not. A static input is broadcast over time.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import spyx
import spyx.nn as snn
from flax import nnx

from ..task import Calls, Given
from . import on_jax


def network(given: Given) -> Any:
    beta, rngs, activation = given.task.beta, nnx.Rngs(0), spyx.axn.arctan(1.0)
    parts: list[Any] = []
    for i, (weight, bias) in enumerate(given.layers):
        linear = nnx.Linear(weight.shape[1], weight.shape[0], rngs=rngs)
        linear.kernel[...], linear.bias[...] = jnp.asarray(weight.T), jnp.asarray(bias)
        if given.by_membrane and i == len(given.layers) - 1:
            neuron = snn.LI(bias.shape, beta=beta, rngs=rngs)
        else:
            back = given.task.recurrent and i == 0    # its connections back have no bias
            kind = snn.RLIF if back else snn.LIF
            neuron = kind(bias.shape, beta=beta, threshold=1.0, activation=activation, rngs=rngs)
            if back:
                neuron.recurrent_w[...] = jnp.asarray(given.back[0].T)
        parts += [linear, neuron]
    return snn.Sequential(*parts)


def build(given: Given, variant: str) -> Calls:
    x, y = on_jax.start(given)
    model = network(given)
    optimizer = nnx.Optimizer(model, on_jax.ADAM, wrt=nnx.Param)

    def forward(model: Any, x: Any) -> Any:
        if given.task.static:
            x = jnp.broadcast_to(x, (given.task.num_steps, *x.shape))
        return snn.run(model, x)[0]

    @nnx.jit
    def update(model: Any, optimizer: Any, rate: Any, x: Any, y: Any) -> Any:
        loss, gradients = nnx.value_and_grad(lambda m: on_jax.loss_of(given, forward(m, x), y))(model)
        # Optimizer.update adds Adam's direction; scaled before, it would change Adam.
        before = nnx.state(model, nnx.Param)
        optimizer.update(model, gradients)
        after = nnx.state(model, nnx.Param)
        nnx.update(model, jax.tree.map(lambda p, q: p - rate * (q - p), before, after))
        return loss

    summed = nnx.jit(lambda model, x: forward(model, x).sum())

    def train(rate: float) -> float:
        loss = update(model, optimizer, rate, x, y)
        jax.block_until_ready(nnx.state(model))
        return float(loss)

    return Calls(train, lambda: float(summed(model, x)))
