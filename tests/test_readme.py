"""README's code runs: its Python in one go, its C, its shell lines but for the two that set up."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
BLOCKS = [(language, code) for language, code in BLOCK.findall(TEXT)]


def blocks(language: str) -> list[str]:
    return [code for found, code in BLOCKS if found == language]


def lines(language: str) -> list[str]:
    return [line for code in blocks(language) for line in code.splitlines()]


SETUP = [line for line in lines("sh") if "venv" in line]
SHELL = [line for line in lines("sh") if line not in SETUP]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder like a reader's checkout: models, data, `snncc` on the path, what README's Python made."""
    folder = tmp_path_factory.mktemp("readme")
    (folder / "models").symlink_to(ROOT / "models")
    (folder / "bin").mkdir()
    script = folder / "bin" / "snncc"
    script.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m snncc "$@"\n')
    script.chmod(0o755)
    rng = np.random.default_rng(0)
    x = rng.random((64, 784), np.float32) * (rng.random((64, 784)) < 0.2)
    np.savez(folder / "digits.npz", x=x, y=rng.integers(0, 10, 64))
    np.savez(folder / "images.npz", x=x)
    code = "\n".join(blocks("python"))
    (folder / "readme.py").write_text(code)
    done = run(folder, f'"{sys.executable}" readme.py')
    assert done.returncode == 0, done.stderr
    (folder / "output").write_text(done.stdout)
    return folder


def run(folder: Path, line: str) -> subprocess.CompletedProcess[str]:
    path = [str(folder / "bin"), os.environ["PATH"]]
    environment = {**os.environ, "PATH": os.pathsep.join(path), "PYTHONPATH": f"{ROOT}:{ROOT / 'runtime'}"}
    command = ["sh", "-c", line]
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300, check=False
    )


def test_python_prints_what_its_comments_say(place: Path) -> None:
    said = [line.split("    # ")[1] for line in lines("python") if re.match(r"print\(.*\)    # ", line)]
    assert len(said) == 2
    printed = (place / "output").read_text().splitlines()
    assert [line for line in printed if line in said] == said


@pytest.mark.parametrize("line", SHELL)
def test_shell_lines_run(place: Path, line: str) -> None:
    if line.split()[1] in ("train", "run") and not (place / "build" / "mlp").exists():
        run(place, next(o for o in SHELL if o.startswith("snncc compile") and "build/mlp" in o))
    done = run(place, line)
    assert done.returncode == 0, done.stderr
    assert done.stdout


def test_c_builds_beside_a_model_and_runs(place: Path) -> None:
    (place / "program.c").write_text(blocks("c")[0])
    (command,) = re.findall(r"`(cc .*?)`", TEXT)
    done = run(place, f"{command} -std=c11 -Wall -Wextra -Wpedantic -Werror && ./program")
    assert (done.returncode, done.stderr, done.stdout) == (0, "", "no error: 0\n")


def test_quoted_c_is_what_the_compiler_writes(place: Path) -> None:
    written = [line.strip() for line in (place / "build/gestures/model.c").read_text().splitlines()]
    for line in blocks("c")[1].splitlines():
        assert line.strip() in written


def test_quoted_graph_is_what_inspect_prints(place: Path) -> None:
    printed = run(place, "snncc inspect models/mnist_mlp.py:net --after fuse").stdout.splitlines()
    quoted = [line for line in lines("") if line.startswith("%")]
    assert quoted
    assert [line for line in printed if line in quoted] == quoted


def test_quoted_folder_is_what_is_saved(place: Path) -> None:
    quoted = next(line for line in lines("") if "manifest.json" in line).split()
    present = {path.name for path in (place / "build/gestures").iterdir()}
    assert present - {"example", "model.o", "example.o"} == {*quoted, "_binding.py"}


def test_links_and_pictures_exist() -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", TEXT):
        assert (ROOT / target).exists(), target


def test_setup_is_exactly_two_lines_that_name_real_extras() -> None:
    table = (ROOT / "pyproject.toml").read_text().split("[project.optional-dependencies]")[1].split("\n\n")[0]
    extras = re.findall(r"^(\w+) = ", table, re.MULTILINE)
    assert len(SETUP) == 2
    for line in SETUP:
        assert line.startswith("python3 -m venv .venv && .venv/bin/pip install -e ")
        assert re.findall(r"\[(\w+)\]", line)[0] in extras
    assert "models/mnist_mlp.py" in SETUP[0] and "pytest" in SETUP[1]
