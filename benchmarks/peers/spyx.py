"""Spyx as its documentation writes it: spyx.nn.Sequential and spyx.nn.run under nnx.jit.

Its LIF spikes on the membrane of the step before, trains beta as well and does not detach the reset; its
read-out, LI, has no reset: the work is the same, the numbers are not. A static input is broadcast over time.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import spyx
import spyx.nn as snn
from flax import nnx

from ..task import Calls, Given
from . import on_jax


def network(given: Given) -> Any:
    beta, rngs, activation = given.task.beta, nnx.Rngs(0), spyx.axn.arctan(1.0)
    parts: list[Any] = []
    shape = given.x.shape[-2:]    # height and width of images; rows do not need them
    for i, (weight, bias) in enumerate(given.layers):
        product, shape = layer(weight, bias, shape, rngs)
        if given.by_membrane and i == len(given.layers) - 1:
            neuron = snn.LI(shape, beta=beta, rngs=rngs)
        else:
            back = given.task.recurrent and i == 0    # its connections back have no bias
            kind = snn.RLIF if back else snn.LIF
            neuron = kind(shape, beta=beta, threshold=1.0, activation=activation, rngs=rngs)
            if back:
                neuron.recurrent_w[...] = jnp.asarray(given.back[0][0].T)
        if weight.ndim == 2 and len(parts) > 0 and given.layers[i - 1][0].ndim == 4:
            parts.append(snn.Flatten())
        parts += [*product, neuron]
    return snn.Sequential(*parts)


def layer(weight: Any, bias: Any, shape: Any, rngs: Any) -> tuple[list[Any], tuple[int, ...]]:
    """The modules before a layer's neurons, and the neurons' shape, (n,) or (height, width, channels)."""
    n_out, n_in, *size = weight.shape
    if size:
        made: Any = nnx.Conv(n_in, n_out, size, padding="VALID", rngs=rngs)
    else:
        made = nnx.Linear(n_in, n_out, rngs=rngs)
    made.kernel[...], made.bias[...] = jnp.asarray(np.moveaxis(weight, (0, 1), (-1, -2))), jnp.asarray(bias)
    if not size:
        return [made], (n_out,)
    space = [(n - k + 1) // 2 for n, k in zip(shape[:2], size, strict=True)]
    return [made, lambda x: nnx.max_pool(x, (2, 2), (2, 2))], (*space, n_out)


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
