"""What the systems on JAX share: processors, losses, and Adam with a learning rate for each step."""

from __future__ import annotations

import os
from typing import Any

import jax
import jax.numpy as jnp
import optax

from ..task import Given

ADAM = optax.scale_by_adam()


def start(given: Given) -> tuple[Any, Any]:
    """Inputs and targets; channels of images come last, where XLA wants them.

    XLA takes all processors that it may run on, so it is given as many as threads.
    """
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: given.threads])
    x = jnp.asarray(given.x)
    return jnp.moveaxis(x, -3, -1) if x.ndim > 3 else x, jnp.asarray(given.y)


def loss_of(given: Given, out: Any, y: Any) -> Any:
    """The loss from what it reads, [T, B, n]."""
    if given.by_membrane:
        labels = jnp.broadcast_to(y, out.shape[:2])
        return optax.softmax_cross_entropy_with_integer_labels(out, labels).mean(1).sum()
    return ((out.mean(0) - y) ** 2).mean()


def updated(parameters: Any, gradients: Any, state: Any, rate: Any) -> tuple[Any, Any]:
    """Parameters and Adam's state after a step."""
    direction, state = ADAM.update(gradients, state)
    return jax.tree.map(lambda p, d: p - rate * d, parameters, direction), state
