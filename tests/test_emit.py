"""The C that is written: clean under warnings and sanitizers, without globals, one field a placeholder."""

from __future__ import annotations

import hashlib
import re
import subprocess
from collections.abc import Callable
from dataclasses import fields
from functools import cache
from pathlib import Path

import pytest
from jinja2 import meta

import snncc
from snncc import loss, nn, optim
from snncc.backend import records
from snncc.backend.c import Sources
from snncc.backend.cuda import records as cuda_records
from snncc.backend.render import environment
from snncc.build import build_api_module, find_compiler
from snncc.driver import generate
from snncc.frontend.dsl import trace
from snncc.headers import joined
from snncc.nn.module import Module
from snncc.target import Target
from tests.conftest import Golden
from tests.networks import LOSSES, Bank, Custom, Deep, Feedback, Stack, TwoRoads

BACKEND, TEMPLATES = (Path(snncc.__file__).parent / name for name in ("backend", "templates"))
STRICT = ("-std=c11", "-Wall", "-Wextra", "-Wpedantic", "-Werror")
EXACT = ("-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math", "-march=native")
NETWORKS: dict[str, Callable[[], Module]] = {
    "stack": lambda: Stack(65, "zero", False),
    "bank": lambda: Bank("none", nn.surrogate.Sigmoid()),
    "two-roads": TwoRoads,
    "feedback": Feedback,
    "deep": Deep,
    "custom": Custom,
}
TRAINED = {name: name != "bank" for name in NETWORKS}    # a bank has no output for a loss


@cache
def emitted(name: str, dtype: str, train: str, every: int | None = None) -> Sources:
    """The text of a network; train: "none", "loss" or "update"; every: see checkpoint_every."""
    wanted = LOSSES[list(NETWORKS).index(name)] if train != "none" and TRAINED[name] else None
    optimizer = optim.AdamW(1e-3) if train == "update" and wanted else None
    target = Target(9, wanted, optimizer, dtype, name.replace("-", "_"), checkpoint_every=every)
    return generate(trace(NETWORKS[name]()), target).sources


def whole(sources: Sources) -> dict[str, str]:
    """All that a C compiler needs."""
    return {**sources.files, "snncc.h": joined("snncc.h")}


def written(sources: Sources, folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    for name, text in whole(sources).items():
        (folder / name).write_text(text)
    return folder


def run(*command: str | Path, folder: Path) -> str:
    """What a command says; it must succeed."""
    words = [str(word) for word in command]
    answer = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False)
    assert answer.returncode == 0, f"{command}\n{answer.stdout}\n{answer.stderr}"
    return answer.stdout


def cc(*arguments: str, folder: Path) -> str:
    return run(*find_compiler().command, *arguments, folder=folder)


# Warnings


@pytest.mark.parametrize("name", NETWORKS)
def test_no_compiler_warns(name: str, tmp_path: Path) -> None:
    cases = [("float32", train, every) for train in ("none", "loss", "update") for every in (None, 4)]
    for dtype, train, every in [*cases, ("float64", "update", None)]:
        folder = written(emitted(name, dtype, train, every), tmp_path / f"{dtype}-{train}-{every}")
        cc(*STRICT, "-fopenmp", "-fsyntax-only", "model.c", "example.c", folder=folder)


@pytest.mark.parametrize(("name", "dtype"), [("stack", "float32"), ("deep", "float64")])
def test_no_optimiser_warns_and_nothing_global_is_left(name: str, dtype: str, tmp_path: Path) -> None:
    """At -O2 gcc also looks for what is read before it is set and for what lies outside of an array."""
    sources = emitted(name, dtype, "update")
    folder = written(sources, tmp_path)
    cc(*STRICT, *EXACT, "-O2", "-fPIC", "-c", "model.c", folder=folder)
    symbols = [line.split()[-2:] for line in run("nm", "model.o", folder=folder).splitlines()]
    needed = {name for kind, name in symbols if kind == "U"} - {"_GLOBAL_OFFSET_TABLE_"}
    assert needed <= {"memcpy", "memset", "memmove"}, "no malloc, no printf, no library for mathematics"
    assert {kind for kind, _ in symbols} <= set("UTtrR"), "no global that can be written"
    exported = {name for kind, name in symbols if kind == "T"}
    entries = ("forward", "step", "backward", "train", "evaluate", "update")
    others = ("arena_bytes", "init", "set", "get", "profile", "clock", "error", "abi")
    assert exported == {f"{name}_{function}" for function in (*entries, *others)}


# Declarations


@pytest.mark.parametrize(("name", "dtype"), [("feedback", "float32"), ("bank", "float64")])
def test_the_c_compiler_checks_the_declarations(name: str, dtype: str, tmp_path: Path) -> None:
    sources = emitted(name, dtype, "update")
    module = build_api_module(whole(sources), name=name, declarations=sources.declarations, folder=tmp_path)
    record = module.ffi.new(f"{name}_abi_record *")
    getattr(module.lib, f"{name}_abi")(record)
    assert record.io_bytes == module.ffi.sizeof(f"{name}_io")
    assert record.config_bytes == module.ffi.sizeof(f"{name}_config")
    assert record.model_bytes == module.ffi.sizeof(f"{name}_model")
    assert record.real_bytes == {"float32": 4, "float64": 8}[dtype]
    digest = hashlib.sha256(sources.declarations.encode()).hexdigest()
    assert module.ffi.string(record.digest).decode() == sources.digest == digest


# Without Python


@pytest.mark.parametrize(
    ("name", "dtype", "every"),
    [
        ("stack", "float32", None),
        ("deep", "float64", None),
        ("stack", "float64", 4),
        ("deep", "float32", 1),
        ("two-roads", "float32", 2),
    ],
)
def test_sanitizers_find_nothing(name: str, dtype: str, every: int | None, tmp_path: Path) -> None:
    folder = written(emitted(name, dtype, "update", every), tmp_path)
    sanitize = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all")
    cc("-std=c11", *EXACT, "-Og", *sanitize, "example.c", "model.c", "-o", "example", folder=folder)
    said = run("./example", folder=folder).splitlines()
    losses = [float(line.split()[1]) for line in said if line.startswith("loss")]
    assert len(losses) == 5
    assert all(0 < value < 100 for value in losses)
    assert len(set(losses)) == 5 or name != "stack", "updates move membranes (but not always a spike)"


def test_make_builds_the_example_in_a_model_folder(tmp_path: Path) -> None:
    net = nn.Sequential(nn.Linear(4, 3), nn.Leaky(0.9))
    snncc.compile(net, num_steps=5, name="tiny", out=tmp_path / "tiny")
    cflags = "CFLAGS=-O1 -Werror"
    run("make", "-s", cflags, folder=tmp_path / "tiny")
    said = run("./example", folder=tmp_path / "tiny")
    assert [line.split(":")[0] for line in said.splitlines()] == ["spk", "mem"]
    (tmp_path / "tiny" / "libtiny.so").unlink()
    run("make", "-s", cflags, "libtiny.so", folder=tmp_path / "tiny")
    assert (tmp_path / "tiny" / "libtiny.so").exists()
    run("make", "-s", "clean", folder=tmp_path / "tiny")
    assert not (tmp_path / "tiny" / "example").exists()


# Text


def model_c(network: Module, target: Target) -> str:
    text = generate(trace(network), target).sources.files["model.c"]
    return text.replace(f"snncc {snncc.__version__}", "snncc VERSION")


def test_text_of_a_neuron(golden: Golden) -> None:
    network = nn.Sequential(lif=nn.Leaky(0.9, learn_beta=True), input=nn.Input(70))
    golden.check(model_c(network, Target(name="neuron", dtype="float64")), "c")


def test_text_of_a_trained_layer(golden: Golden) -> None:
    network = nn.Sequential(fc=nn.Linear(4, 3), lif=nn.Leaky(0.9, reset="zero"))
    target = Target(name="layer", loss=loss.cross_entropy("mem"), optimizer=optim.SGD(0.1, momentum=0.9))
    golden.check(model_c(network, target), "c")


def test_what_calls_kernels_has_none_inlined() -> None:
    """Callers are compiled at -O2: a kernel that is always inlined would be, too."""
    printed = "".join((BACKEND / name).read_text() for name in ("calls.py", "synapses.py"))
    called = set(re.findall(r"snncc_[a-z_]+", printed))
    defined = r"^SNNCC_INLINE .*?(snncc_\w+)\("
    inlined = called & set(re.findall(defined, joined("snncc.h"), re.MULTILINE))
    tell = {"snncc_note", "snncc_gradient_is_dense"}    # what a call found, and which kernel it takes
    assert called > tell and inlined == tell


@pytest.mark.parametrize(
    "template", sorted(path.relative_to(TEMPLATES).as_posix() for path in TEMPLATES.rglob("*.j2"))
)
def test_templates_take_exactly_the_fields_of_their_record(template: str) -> None:
    text = (TEMPLATES / template).read_text()
    of = cuda_records if template.startswith("cuda/") else records
    record = getattr(of, text.splitlines()[0].removeprefix("//# "))
    asked = meta.find_undeclared_variables(environment().parse(text))
    assert asked == {field.name for field in fields(record)}
