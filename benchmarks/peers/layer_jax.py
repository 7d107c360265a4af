"""`layer` in JAX: a scan, and its gradient by the currents in one jit. The neurons are those of jax.py."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from ..case_task import CaseGiven, read
from ..task import Calls, LeftOut
from .jax import spike

__all__ = ["build", "read"]
BETA = 0.95


def neurons(current: Any) -> Any:
    """Spikes [T, B, n]."""

    def step(mem: Any, now: Any) -> Any:
        mem = BETA * mem + now - jax.lax.stop_gradient(spike(mem))
        return mem, spike(mem)

    return jax.lax.scan(step, jnp.zeros_like(current[0]), current)[1]


def build(given: CaseGiven, variant: str) -> Calls:
    if not given.shape:
        raise LeftOut("the case has no currents")
    shape = (given.num_steps, given.batch, *given.shape)
    keys = jax.random.split(jax.random.key(0), 3)
    currents, chosen, cotangent = (jax.random.uniform(key, shape) for key in keys)
    x = currents * (chosen < 0.1)
    forward, backward = jax.jit(neurons), jax.jit(lambda x, d: jax.vjp(neurons, x)[1](d))

    def gradient(rate: float) -> float:
        jax.block_until_ready(backward(x, cotangent))
        return 0.0

    def infer() -> float:
        jax.block_until_ready(forward(x))
        return 0.0

    return Calls(gradient, infer)
