"""The golden fixture of conftest.py, run on small projects of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = """
import pytest

def test_text(golden):
    golden.check("one\\ntwo\\n", "txt")

@pytest.mark.parametrize("reset", ["zero", "a b"])
def test_many(golden, reset):
    golden.check(reset + "\\n", "c", suffix="forward")
"""
WRITTEN = {"thing/many-a-b-forward.c", "thing/many-zero-forward.c", "thing/text.txt"}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    tests = tmp_path / "tests"
    tests.mkdir()
    shutil.copy(Path(__file__).with_name("conftest.py"), tests)
    (tests / "test_thing.py").write_text(TESTS)
    (tmp_path / "pytest.ini").write_text("[pytest]\ntestpaths = tests\naddopts = -p no:cacheprovider\n")
    return tmp_path


def run(project: Path, *options: str, ci: bool = False) -> subprocess.CompletedProcess[str]:
    ours = ("CI", "SNNCC_CACHE", "SNNCC_TEST_SESSION", "PYTEST_")
    environment = {key: value for key, value in os.environ.items() if not key.startswith(ours)}
    if ci:
        environment["CI"] = "1"
    command = [sys.executable, "-m", "pytest", "-q", *options]
    return subprocess.run(
        command, cwd=project, env=environment, capture_output=True, text=True, check=False, timeout=120
    )


def written(project: Path) -> set[str]:
    folder = project / "tests" / "golden"
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_missing_written_then_compared(project: Path) -> None:
    missing = run(project)
    assert missing.returncode == 1
    assert "golden/thing/text.txt does not exist; make it with: pytest --update-golden" in missing.stdout
    assert written(project) == set()

    assert run(project, "--update-golden").returncode == 0
    assert written(project) == WRITTEN
    assert run(project, ci=True).returncode == 0

    (project / "tests/golden/thing/text.txt").write_text("one\nthree\n")
    changed = run(project)
    assert changed.returncode == 1
    assert "-three\n" in changed.stdout and "+two\n" in changed.stdout


def test_ci_does_not_bless(project: Path) -> None:
    refused = run(project, "--update-golden", ci=True)
    assert refused.returncode == 4
    assert "refused where CI is set" in refused.stderr
    assert written(project) == set()


@pytest.mark.parametrize("workers", [(), ("-n", "2")])
def test_an_unread_golden_fails_a_full_run(project: Path, workers: tuple[str, ...]) -> None:
    run(project, "--update-golden")
    (project / "tests/golden/thing/stale.c").write_text("old\n")
    full = run(project, *workers)
    assert full.returncode == 1
    assert "tests/golden/thing/stale.c" in full.stdout
    assert "1 failed, 3 passed" in full.stdout.splitlines()[-1]
    assert run(project, "-k", "text").returncode == 0


def test_goldens_of_a_skipping_module_are_spared(project: Path) -> None:
    run(project, "--update-golden")
    test = project / "tests/test_thing.py"
    test.write_text(TESTS.replace('golden.check("one', 'pytest.skip("no GPU")\n    golden.check("one'))
    assert run(project).returncode == 0
