"""snncc's CUDA models: on a GPU measured, without one counted.

    python benchmarks/gpu.py                              # what this machine allows
    python benchmarks/gpu.py --static --only W2,W5        # kernels, registers, bytes, operations, least times
    python benchmarks/gpu.py --only W2 --peers snncc,jax --json w2.json
    python benchmarks/gpu.py --tests                      # the tests of CUDA, run by the GPU
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))    # a clone runs its benchmarks without being installed
sys.path.insert(1, str(ROOT / "runtime"))

try:
    from benchmarks.contest import Contestant, Settings
    from benchmarks.on_gpu import measured, static
    from benchmarks.on_gpu.cases import CASES, MODES
    from benchmarks.on_gpu.device import Probe
    from snncc import CompileError
    from snncc.target import PRECISIONS
    from snncc_runtime import cuda
except ImportError as error:
    sys.exit(f"{error}: `pip install numpy cffi jinja2 networkx click`, and nvcc, are what this needs")

# Public figures of an H200: 4.8 TB/s, 67 TFLOP/s where one instruction does two, 132 multiprocessors.
GBS, GFLOPS, MULTIPROCESSORS = 4800.0, 33500.0, 132
PARTS = ("", "_layers", "_images", "_loops", "_models", "_neurons", "_precision", "_conv_precision")
VECTORS = ("encoders", "losses", "nir", "snngrow", "snntorch", "spikingjelly", "surrogates")
TESTS = [    # whose models a GPU runs
    *(f"tests/test_cuda{part}.py" for part in PARTS),
    *(f"tests/test_device_{part}.py" for part in ("arrays", "libraries", "training")),
    *(f"tests/test_vectors_{part}.py" for part in VECTORS),
    *(f"tests/test_{part}.py" for part in ("layers_images", "matmul", "norm", "plasticity")),
]


def main() -> int:
    """1 where nothing could be compiled, contestants disagree, or a test fails."""
    options = parse()
    if options.tests:
        return subprocess.call([sys.executable, "-m", "pytest", "-q", "--gpu", *TESTS], cwd=ROOT)
    driver = cuda.driver()
    try:
        if driver and driver.devices and not options.static:
            return measure(options, str(driver.devices[0]))
        if not options.static:
            reason = cuda.explain(driver.code) if driver else cuda.NO_DRIVER
            print(f"nothing is measured: {reason}\n")
        count(options, static.Device(options.gbs, options.gflops, options.multiprocessors))
    except (CompileError, RuntimeError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def measure(options: argparse.Namespace, device: str) -> int:
    """Prints a table for each case, as far as there is time; 1 where contestants disagree."""
    end, record = time.monotonic() + 60 * options.minutes, {}
    with tempfile.TemporaryDirectory() as folder:
        probes = measured.probes(Path(folder))
        rates = {bits: Probe(path).rates(bits) for bits, path in probes.items()}
        for bits, found in rates.items():
            shown = ", ".join(f"{name} {rate:.0f}" for name, rate in found.items() if name != "gbs")
            print(f"{device}, float{bits}: {found['gbs']:.0f} GB/s; Gops a second: {shown}", flush=True)
        made = ("--target", "cuda", "--precision", options.precision)
        settings = Settings(
            2, options.seconds, dict(options.python), device="cuda", probe=str(probes[32]), options=made
        )
        for name in options.only:
            if time.monotonic() > end:
                print(f"\n{name}: left out, {options.minutes:g} minutes are over", flush=True)
                continue
            case = measured.measured(CASES[name], options.modes, options.peers, settings, options.precision)
            print("\n" + measured.table(case, rates[32]), flush=True)
            record[name] = measured.plain(case, rates[32])
            if options.json:    # what there is, should the rest not come
                everything = {"device": device, "rates": rates, "cases": record}
                options.json.write_text(json.dumps(everything, indent=1) + "\n")
    return int(any("MISMATCH" in note for case in record.values() for note in case["notes"]))


def count(options: argparse.Namespace, device: static.Device) -> None:
    """Prints a table for each case and mode, then one of them all."""
    print(f"{options.arch}; at {device.gbs:g} GB/s and {device.gflops:g} Gops a second\n", flush=True)
    found = []
    for name in options.only:
        for counted in static.counted(CASES[name], options.modes, options.arch):
            found.append(counted)
            print(static.table(counted, device) + "\n", flush=True)
    print(static.summary(found, device) + "\n\n" + static.LEGEND)
    if options.json:
        everything: dict[str, dict[str, object]] = {}
        for counted in found:
            everything.setdefault(counted.case.name, {})[counted.mode] = static.plain(counted, device)
        record = {"arch": options.arch, **vars(device), "cases": everything}
        options.json.write_text(json.dumps(record, indent=1) + "\n")


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measure CUDA models on a GPU, or count what they do.")
    add = parser.add_argument
    add("--static", action="store_true", help="count, whether there is a GPU or not")
    add("--only", type=cases, default=list(CASES), metavar="W1,...", help=f"of {', '.join(CASES)}")
    add("--modes", type=modes, default=list(MODES), metavar="train,infer,gradient")
    add("--tests", action="store_true", help="run the tests of CUDA on the GPU, and nothing else")
    add("--peers", type=contestants, default=contestants(",".join(measured.USUAL)), metavar="snncc,...",
        help=f"of {', '.join(measured.PEERS)}")    # fmt: skip
    add("--precision", choices=PRECISIONS["float32"], default="exact", help="of our products")
    add("--seconds", type=float, default=0.5, help="of measuring, for each contestant and mode")
    add("--minutes", type=float, default=8.0, help="after which no other case begins")
    add("--python", type=interpreter, action="append", default=[], metavar="NAME=PATH",
        help="interpreter of an environment (torch, jax) or of one peer")    # fmt: skip
    add("--arch", default="sm_90", help="which GPUs nvcc compiles for, where it is counted")
    add("--gbs", type=float, default=GBS, help="rate of memory in GB/s, for least times")
    add("--gflops", type=float, default=GFLOPS, help="billions of single operations a second")
    add("--multiprocessors", type=int, default=MULTIPROCESSORS)
    add("--json", type=Path, metavar="FILE", help="write what was found")
    return parser.parse_args(arguments)


def cases(text: str) -> list[str]:
    return [_known(name, CASES, "case") for name in text.split(",")]


def modes(text: str) -> list[str]:
    return [_known(name, MODES, "mode") for name in text.split(",")]


def contestants(text: str) -> list[Contestant]:
    """`jax:scan`, or `jax` for all of its variants; `snncc` is one of two."""
    peers, names = measured.PEERS, text.split(",")
    for name in names:
        _known(name, [*peers, *dict.fromkeys(peer.module for peer in peers.values())], "peer")
    modules = set(names) - set(peers)
    return [peer for peer in peers.values() if peer.name in names or peer.module in modules]


def interpreter(text: str) -> tuple[str, str]:
    name, _, path = text.partition("=")
    return name, path


def _known(name: str, names: Iterable[str], what: str) -> str:
    if name not in names:
        raise argparse.ArgumentTypeError(f"no {what} is called {name!r}; there are {', '.join(names)}")
    return name


if __name__ == "__main__":
    sys.exit(main())
