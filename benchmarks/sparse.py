"""Sparse layers of 20,000 x 20,000 at 0.1 %: memory of training, and time beside scipy.sparse.

    python benchmarks/sparse.py [--features 20000] [--density 0.001] [--json]

Training runs in this process, whose peak resident memory is printed. Forward plus gradients of one batch are
then compared with scipy.sparse (one thread, as scipy has it): products with the matrix, and for the weights
the terms of the synapses alone. The smallest of several runs each.
"""

from __future__ import annotations

import argparse
import json
import resource
import time
from collections.abc import Callable
from typing import Any

import numpy as np

import snncc
from snncc import loss, nn, optim

STEPS, BATCH, FIRING, REPEATS = 25, 16, 0.02, 5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--features", type=int, default=20_000)
    parser.add_argument("--density", type=float, default=0.001)
    parser.add_argument("--json", action="store_true")
    chosen = parser.parse_args()
    result = trained(chosen.features, chosen.density) | compared(chosen.features, chosen.density)
    print(json.dumps(result) if chosen.json else "\n".join(f"{k:<40}{v:>14,.4g}" for k, v in result.items()))


def spikes(n: int) -> np.ndarray:
    return (np.random.default_rng(0).random((STEPS, BATCH, n), np.float32) < FIRING).astype(np.float32)


def trained(n: int, density: float) -> dict[str, float]:
    """Two sparse layers and a readout, trained for a few steps."""
    before = peak()
    rule = nn.connections.Probability(density, seed=1)
    network = nn.Sequential(
        fc1=nn.SparseLinear(n, n, rule), lif1=nn.Leaky(0.9),
        fc2=nn.SparseLinear(n, n, rule), lif2=nn.Leaky(0.9),
        out=nn.Linear(n, 10), last=nn.Leaky(0.9),
    )    # fmt: skip
    start = time.perf_counter()
    options = {"loss": loss.cross_entropy("mem"), "optimizer": optim.Adam(1e-3)}
    model = snncc.compile(network, num_steps=STEPS, **options)
    compiled = time.perf_counter() - start
    x, y = spikes(n), np.arange(BATCH) % 10
    step = best(lambda: model.train_step(x, y))
    return {
        "synapses of a layer": float(model.structure["fc1.indices"].size),
        "compile [s]": compiled,
        "training step [s]": step,
        "input of a step [MB]": x.nbytes / 2**20,
        "peak memory before [MB]": before,
        "peak memory of training [MB]": peak(),
    }


def compared(n: int, density: float) -> dict[str, float]:
    """Forward, and gradients of values and inputs, of one layer."""
    try:
        import scipy.sparse
    except ImportError:
        return {}
    layer = nn.SparseLinear(n, n, nn.connections.Probability(density, seed=1), bias=False)
    model = snncc.compile(nn.Sequential(fc=layer), num_steps=STEPS)
    x, values = spikes(n), model.params["fc.values"]
    d_y = np.random.default_rng(1).normal(size=x.shape).astype(np.float32)
    made, shape = layer.connections, (n, n)
    matrix = scipy.sparse.csc_matrix((values, made.indices, made.offsets), shape).tocsr()
    inputs, rows, d_rows = made.inputs, x.reshape(-1, n), d_y.reshape(-1, n)

    def with_scipy() -> tuple[Any, ...]:
        forward = scipy.sparse.csr_matrix(rows) @ matrix.T
        d_values = np.zeros_like(values)
        for row, d_row in zip(rows, d_rows, strict=True):
            d_values += row[inputs] * d_row[made.indices]
        return forward, d_values, (matrix.T @ d_rows.T).T

    found, expected = model.backward(x, out=d_y), with_scipy()
    assert np.abs(found.params["fc.values"] - expected[1]).max() < 1e-3
    assert np.abs(found.inputs["x"].reshape(-1, n) - expected[2]).max() < 1e-3
    ours, theirs = best(lambda: model.backward(x, out=d_y)), best(with_scipy)
    both = {"forward and gradients [s]": ours, "the same with scipy.sparse [s]": theirs}
    return both | {"ratio": theirs / ours}


def best(run: Callable[[], Any]) -> float:
    times = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return min(times)


def peak() -> float:
    """Peak resident memory of this process, MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
