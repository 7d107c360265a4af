"""snncc beside snnTorch and JAX on the network of snnTorch's tutorial 5, measured in turns.

784-1000-10 leaky neurons, 25 steps, a batch of 128 images that stay the same at every step, cross-entropy of
the membranes summed over the steps, Adam at 5e-4. All start from the same weights and see the same batch; the
first loss is printed, so that one can see that they compute the same thing.

snntorch: the tutorial's code as it stands. jax: written by hand, first layer once, one product a layer for
all steps, the whole training step under one jit; the loop over time unrolled as was best for each: fully for
training, by 5 for inference.

    python benchmarks/tutorial5.py                                 # snncc, and what else is installed
    python benchmarks/tutorial5.py --python jax=/path/to/python    # a peer that lives in another environment
    python benchmarks/tutorial5.py --json result.json

Each system runs in a process of its own with two threads; the processes take turns, so that a change of the
machine's speed meets all of them. Memory is the growth of resident memory at its peak over training steps,
from before the first of them; compilation is left out where Linux lets us.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import gc
import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

STEPS, BATCH, RATE, BETA = 25, 128, 5e-4, 0.95
SIZES = (784, 1000, 10)
NETWORK = Path(__file__).parents[1] / "models" / "mnist_mlp.py"
TRAINING = ("--loss", "cross_entropy:mem", "--optimizer", "adam", "--lr", str(RATE))

Work = Callable[[], float]    # runs one call to its end; returns the loss, or a sum of the outputs


def parameters() -> dict[str, Any]:
    """Weights and biases uniform in +-1/sqrt(inputs), by name."""
    rng = np.random.default_rng(1234)
    found = {}
    for layer, (n_in, n_out) in enumerate(itertools.pairwise(SIZES), start=1):
        bound = n_in**-0.5
        found[f"fc{layer}.weight"] = rng.uniform(-bound, bound, (n_out, n_in)).astype(np.float32)
        found[f"fc{layer}.bias"] = rng.uniform(-bound, bound, n_out).astype(np.float32)
    return found


def batch() -> tuple[Any, Any]:
    """Images [128, 784] of which 19 % is not zero, as in MNIST, and classes [128]."""
    rng = np.random.default_rng(4321)
    shape = (BATCH, SIZES[0])
    x = (rng.random(shape) < 0.19) * rng.random(shape)
    return x.astype(np.float32), rng.integers(0, SIZES[-1], BATCH)


def snncc_work(folder: str) -> dict[str, Work]:
    """The compiled model; nothing of the compiler is in this process."""
    import snncc_runtime

    model = snncc_runtime.load(folder)
    model.params.update(parameters())
    x, y = batch()
    return {"train": lambda: model.train_step(x, y), "infer": lambda: float(model(x).mem.sum())}


def snntorch_work(folder: str) -> dict[str, Work]:
    """Tutorial 5's code."""
    import snntorch as snn
    import torch
    from torch import nn

    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc1, self.lif1 = nn.Linear(784, 1000), snn.Leaky(beta=BETA)
            self.fc2, self.lif2 = nn.Linear(1000, 10), snn.Leaky(beta=BETA)

        def forward(self, x: Any) -> tuple[Any, Any]:
            mem1, mem2 = self.lif1.init_leaky(), self.lif2.init_leaky()
            spk_rec, mem_rec = [], []
            for _ in range(STEPS):
                spk1, mem1 = self.lif1(self.fc1(x), mem1)
                spk2, mem2 = self.lif2(self.fc2(spk1), mem2)
                spk_rec.append(spk2)
                mem_rec.append(mem2)
            return torch.stack(spk_rec), torch.stack(mem_rec)

    net = Net()
    net.load_state_dict({name: torch.from_numpy(array) for name, array in parameters().items()}, strict=False)
    optimizer = torch.optim.Adam(net.parameters(), lr=RATE, betas=(0.9, 0.999))
    entropy = nn.CrossEntropyLoss()
    x, y = map(torch.from_numpy, batch())

    def train() -> float:
        _, mem = net(x)
        loss = torch.zeros(())
        for step in range(STEPS):
            loss = loss + entropy(mem[step], y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return float(loss.detach())

    def infer() -> float:
        with torch.no_grad():
            return float(net(x)[1].sum())

    return {"train": train, "infer": infer}


def jax_work(folder: str) -> dict[str, Work]:
    """The best of the peers that we measured on this network."""
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    import jax
    import jax.numpy as jnp

    @jax.custom_vjp
    def spike(mem: Any) -> Any:
        return (mem > 1).astype(mem.dtype)

    spike.defvjp(lambda mem: (spike(mem), mem), lambda mem, d: (d / (1 + (jnp.pi * (mem - 1)) ** 2),))

    def forward(given: Any, x: Any, unroll: int) -> Any:
        def first(mem: Any, _: Any) -> Any:
            mem = BETA * mem + current - jax.lax.stop_gradient(spike(mem))
            return mem, spike(mem)

        def second(mem: Any, now: Any) -> Any:
            mem = BETA * mem + now - jax.lax.stop_gradient(spike(mem))
            return mem, mem

        current = x @ given["fc1.weight"].T + given["fc1.bias"]
        start = jnp.zeros_like(current)
        _, spk = jax.lax.scan(first, start, None, length=STEPS, unroll=unroll)
        drive = spk @ given["fc2.weight"].T + given["fc2.bias"]
        return jax.lax.scan(second, jnp.zeros_like(drive[0]), drive, unroll=unroll)[1]

    def loss_of(given: Any, x: Any, y: Any) -> Any:
        mem = forward(given, x, STEPS)
        chosen = jnp.take_along_axis(jax.nn.log_softmax(mem), y[None, :, None], axis=2)
        return -chosen.mean(axis=1).sum()

    def update(given: Any, first: Any, second: Any, count: Any, x: Any, y: Any) -> Any:
        loss, gradient = jax.value_and_grad(loss_of)(given, x, y)
        of = jax.tree.map
        first = of(lambda m, g: 0.9 * m + 0.1 * g, first, gradient)
        second = of(lambda v, g: 0.999 * v + 0.001 * g * g, second, gradient)
        rate, root = RATE / (1 - 0.9**count), jnp.sqrt(1 - 0.999**count)
        given = of(lambda p, m, v: p - rate * m / (jnp.sqrt(v) / root + 1e-8), given, first, second)
        return (given, first, second, count + 1), loss

    jitted = jax.jit(update, donate_argnums=(0, 1, 2))
    infer = jax.jit(lambda given, x: forward(given, x, 5).sum())
    given = jax.tree.map(jnp.asarray, parameters())
    zeros = jax.tree.map(jnp.zeros_like, given)
    state = [(given, zeros, jax.tree.map(jnp.zeros_like, given), 1.0)]
    x, y = map(jnp.asarray, batch())

    def train() -> float:
        state[0], loss = jitted(*state[0], x, y)
        jax.block_until_ready(state[0])
        return float(loss)

    return {"train": train, "infer": lambda: float(infer(state[0][0], x))}


PEERS = {"snncc": snncc_work, "snntorch": snntorch_work, "jax": jax_work}


def work(peer: str, folder: str) -> None:
    """A process that is measured: reads what to do from standard input, answers in lines of JSON."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)    # what libraries print must not get between

    def answer(value: Any) -> None:
        answers.write(json.dumps(value) + "\n")
        answers.flush()

    try:
        calls = PEERS[peer](folder)
    except ImportError as error:
        answer({"missing": str(error)})
        return
    answer(first_calls(calls))
    for line in sys.stdin:
        mode, seconds = line.split()
        answer(timed(calls[mode], float(seconds)))


def first_calls(calls: dict[str, Work]) -> dict[str, float]:
    """The first loss, and the peak of memory in training steps [bytes]; warms both kinds of call up."""
    give_back()
    before = memory("VmRSS")
    loss = calls["train"]()
    give_back()
    for _ in range(5):
        calls["train"]()
    growth = memory("VmHWM") - before
    calls["infer"]()
    return {"loss": loss, "memory": growth}


def timed(call: Work, seconds: float) -> list[float]:
    """Seconds of each call, for about `seconds`."""
    call()
    times: list[float] = []
    while sum(times) < seconds or len(times) < 3:
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return times


def give_back() -> None:
    """Free memory goes back to the system, and its peak so far is forgotten, where Linux lets us."""
    gc.collect()
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
        Path("/proc/self/clear_refs").write_text("5")


def memory(field: str) -> int:
    """VmRSS or VmHWM of this process in bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(field))


class Worker:
    """The parent's side of a measured process."""

    def __init__(self, peer: str, python: str, folder: str) -> None:
        command = [python, __file__, "--worker", peer, "--folder", folder]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.first = self._answer()

    def time(self, mode: str, seconds: float) -> list[float]:
        assert self.process.stdin
        self.process.stdin.write(f"{mode} {seconds}\n")
        self.process.stdin.flush()
        times: list[float] = self._answer()
        return times

    def _answer(self) -> Any:
        assert self.process.stdout
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"a measured process ended with code {self.process.wait()}; it says why above")
        return json.loads(line)


def compile_times(folder: Path) -> dict[str, list[float]]:
    """Seconds of `snncc compile` from start to end of the process: nothing in its cache, and all."""
    found: dict[str, list[float]] = {"cold": [], "cached": []}
    for _ in range(3):
        with tempfile.TemporaryDirectory() as cache:
            found["cold"].append(_compile(folder, cache))
            found["cached"].append(_compile(folder, cache))
    return found


def _compile(folder: Path, cache: str) -> float:
    command = [sys.executable, "-m", "snncc", "compile", f"{NETWORK}:net", "-o", str(folder), *TRAINING]
    start = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env={**os.environ, "SNNCC_CACHE": cache})
    return time.perf_counter() - start


def compare(pythons: dict[str, str], rounds: int, seconds: float) -> dict[str, Any]:
    """All that is measured, by system."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "model"
        compiling = compile_times(folder)
        workers, results = {}, {}
        for peer in PEERS:
            worker = Worker(peer, pythons.get(peer, sys.executable), str(folder))
            if "missing" in worker.first:
                print(f"{peer}: left out: {worker.first['missing']}")
            else:
                workers[peer] = worker
                results[peer] = {**worker.first, "train": [], "infer": []}
        for _ in range(rounds):
            for mode in ("train", "infer"):
                for peer, worker in workers.items():
                    results[peer][mode] += worker.time(mode, seconds)
        results["snncc"]["compile"] = compiling
        for worker in workers.values():
            worker.process.communicate()
    return results


def table(results: dict[str, Any]) -> str:
    lines = [f"{'':10}{'training step, ms':>26}{'inference, ms':>26}{'peak memory':>14}{'first loss':>13}"]
    for peer, found in results.items():
        train, infer = (_spread(found[mode], 1e3) for mode in ("train", "infer"))
        megabytes = f"{found['memory'] / 2**20:.0f} MiB"
        lines.append(f"{peer:10}{train:>26}{infer:>26}{megabytes:>14}{found['loss']:13.5f}")
    cold, cached = (_spread(results["snncc"]["compile"][kind], 1.0) for kind in ("cold", "cached"))
    return "\n".join([*lines, "", f"snncc compile: {cold} s cold, {cached} s from the cache"])


def _spread(times: list[float], unit: float) -> str:
    """Median and, in brackets, minimum and maximum."""
    middle, least, most = (unit * f(times) for f in (statistics.median, min, max))
    return f"{middle:.2f} [{least:.2f} .. {most:.2f}]"


def main() -> None:
    parser = argparse.ArgumentParser(description="Time tutorial 5's network in snncc, snnTorch and JAX.")
    parser.add_argument("--rounds", type=int, default=7, help="turns that each system gets")
    parser.add_argument("--seconds", type=float, default=0.5, help="length of a turn")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--python", action="append", default=[], metavar="PEER=PATH", help="where a peer is")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every single time")
    parser.add_argument("--worker", choices=PEERS, help=argparse.SUPPRESS)
    parser.add_argument("--folder", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        work(options.worker, options.folder)
        return
    os.environ["OMP_NUM_THREADS"] = str(options.threads)
    pythons = dict(text.split("=", 1) for text in options.python)
    results = compare(pythons, options.rounds, options.seconds)
    print(table(results))
    if options.json:
        options.json.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
