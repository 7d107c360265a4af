"""Thousands of broken ONNX files: a network or one line, in bounded memory; the code of networks is sound."""

from __future__ import annotations

import resource
from contextlib import suppress
from pathlib import Path

import pytest

import snncc
from snncc import driver
from snncc.frontend.dsl import trace
from snncc.frontend.onnx import OnnxNetwork
from snncc.nn.module import Module
from snncc.target import Target
from tests import test_emit
from tests.onnx_cases import cases
from tests.onnx_mutants import mutant

FILES = sorted(case.path for case in cases().values() if case.path.stat().st_size < 60_000)
RUN = 4  # networks of mutants that run, each from another file
MOST_MEMORY = 1 << 20  # KiB, of the process


def taken(seed: int, path: Path) -> OnnxNetwork | None:
    """The network of a mutant, or none if it is refused in one line."""
    path.write_bytes(mutant(FILES[seed % len(FILES)].read_bytes(), seed))
    try:
        return snncc.import_onnx(path)
    except snncc.CompileError as error:
        assert str(error).isprintable(), f"seed {seed}"
        return None


def test_mutants_are_refused_or_taken(tmp_path: Path, pytestconfig: pytest.Config) -> None:
    """`--mutants N` tries more."""
    count = pytestconfig.getoption("--mutants")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    networks = sum(taken(seed, tmp_path / "mutant.onnx") is not None for seed in range(count))
    assert count - networks > networks > 0
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss < before + MOST_MEMORY


def test_sanitizers_find_nothing_in_what_mutants_become(tmp_path: Path) -> None:
    """Networks of mutants that differ from the file they are of, in one program of all their examples."""
    found: dict[Path, str] = {}
    for seed in range(1000):
        file = FILES[seed % len(FILES)]
        if file in found or len(found) == RUN:
            continue
        network = taken(seed, tmp_path / "mutant.onnx")
        if network is None or _text(network) == _text(snncc.import_onnx(file)):
            continue
        name = f"mutant{seed}"
        target = Target(name=name).of_steps(None, network.num_steps)
        with suppress(snncc.CompileError):
            test_emit.written(driver.generate(trace(network), target).sources, tmp_path / name)
            (tmp_path / f"{name}.c").write_text(f'#define main {name}_main\n#include "{name}/example.c"\n')
            found[file] = name
    names = list(found.values())
    declared = " ".join(f"int {name}_main(void);" for name in names)
    called = " + ".join(f"{name}_main()" for name in names)
    (tmp_path / "all.c").write_text(f"{declared}\nint main(void) {{ return {called}; }}\n")
    sources = ["all.c", *(f"{name}.c" for name in names), *(f"{name}/model.c" for name in names)]
    sanitize = ("-O0", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")
    test_emit.cc("-std=c11", *test_emit.EXACT, *sanitize, *sources, "-lm", "-o", "all", folder=tmp_path)
    said = test_emit.run("./all", folder=tmp_path)
    assert len(names) == RUN and len(said.splitlines()) >= RUN, said


def _text(network: Module) -> str:
    return str(trace(network).graph)
