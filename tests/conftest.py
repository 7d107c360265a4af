"""Golden texts, and one throw-away build cache for the whole test run.

A golden text is a small file that a test compares its text with, and that a reviewer reads:
`tests/golden/<module>/<test>[-suffix].<ext>`. Write them with `pytest --update-golden`, then read the diff.
"""

from __future__ import annotations

import difflib
import os
import re
import shutil
import tempfile
from collections.abc import Generator, Iterator
from functools import partial
from pathlib import Path

import pytest

from snncc import build
from snncc_runtime import cuda

HERE = Path(__file__).parent
GOLDEN = HERE / "golden"
NOT_TEXTS = {"layers", "nir", "onnx", "vectors", "weights"}    # folders of GOLDEN whose files are numbers
SESSION = "SNNCC_TEST_SESSION"    # folder of this run, handed by pytest-xdist's controller to its workers
UPDATE = "--update-golden"
# Options that leave tests out: without every test, an unread golden says nothing.
NARROWING = ("keyword", "markexpr", "lf", "deselect", "ignore", "ignore_glob", "collectonly", "stepwise")


class Golden:
    """Compares text with the golden file of one test."""

    def __init__(self, stem: Path, update: bool) -> None:
        self.stem = stem
        self.update = update

    def check(self, text: str, extension: str, suffix: str = "") -> None:
        """Fail with a unified diff unless `text` is what the golden file holds."""
        path = self.stem.with_name(f"{self.stem.name}{suffix and '-' + suffix}.{extension}")
        name = path.relative_to(GOLDEN).as_posix()
        _note("read", name)
        if self.update:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8", newline="\n")
            return
        if not path.exists():
            pytest.fail(f"tests/golden/{name} does not exist; make it with: pytest {UPDATE}", pytrace=False)
        expected = path.read_text(encoding="utf-8")
        if text != expected:
            lines = difflib.unified_diff(
                expected.splitlines(), text.splitlines(), f"tests/golden/{name}", "now", lineterm=""
            )
            diff = "\n".join(lines) or "only the end of the last line differs"
            pytest.fail(f"{diff}\n\nif this is meant: pytest {UPDATE}", pytrace=False)


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Golden:
    """`golden.check(text, "c")` compares with `tests/golden/<module>/<test>.c`."""
    module = request.path.stem.removeprefix("test_")
    test = re.sub(r"[^\w.]+", "-", request.node.name.removeprefix("test_")).strip("-")
    return Golden(GOLDEN / module / test, request.config.getoption(UPDATE))


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(UPDATE, action="store_true", help="rewrite the golden texts of the tests that run")
    combinations = "neurons with surrogates in test_combinations.py: a few rotations, or the whole product"
    parser.addoption("--gpu", action="store_true", help="a GPU runs what the tests compare with C")
    parser.addoption("--mutants", type=int, default=2000, help="mutants of ONNX files that are imported")
    parser.addoption("--combinations", choices=("few", "all"), default="few", help=combinations)


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption(UPDATE) and os.environ.get("CI"):
        raise pytest.UsageError(f"{UPDATE} is refused where CI is set: read the diff first")
    if _is_worker(config):
        return
    if config.getoption("--gpu"):
        driver = cuda.driver()
        if driver is None or not driver.devices:
            raise pytest.UsageError(f"--gpu: {cuda.explain(driver.code) if driver else cuda.NO_DRIVER}")
        os.environ["SNNCC_TEST_GPU"] = "1"
    session = Path(tempfile.mkdtemp(prefix="snncc-tests-"))
    (session / "read").mkdir()
    os.environ[SESSION] = str(session)
    os.environ["SNNCC_CACHE"] = str(session / "cache")
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")


def pytest_runtest_setup(item: pytest.Item) -> None:
    mark = item.get_closest_marker("stand_in")
    if mark and item.config.getoption("--gpu"):
        pytest.skip(f"not on a GPU, but on what stands in for one: {mark.args[0]}")


def pytest_unconfigure(config: pytest.Config) -> None:
    if not _is_worker(config) and SESSION in os.environ:
        shutil.rmtree(os.environ.pop(SESSION), ignore_errors=True)


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.skipped:    # a skipped test may own goldens: those of its module count as read
        _note("read", f"{Path(report.location[0]).stem.removeprefix('test_')}/")


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """A green run of every test must have read every golden text: report those that no test reads."""
    if _is_worker(session.config) or exitstatus != 0 or not _runs_everything(session.config):
        return
    unread = sorted(_unread())
    if not unread:
        return
    files = "\n".join(f"  tests/golden/{name}" for name in unread)
    report = pytest.TestReport(
        nodeid="tests/golden", location=("tests/golden", None, "unread golden files"), keywords={},
        outcome="failed", longrepr=f"no test reads these golden files; delete them:\n{files}", when="call",
    )    # fmt: skip
    session.config.hook.pytest_runtest_logreport(report=report)
    session.exitstatus = pytest.ExitCode.TESTS_FAILED


def _is_worker(config: pytest.Config) -> bool:
    return hasattr(config, "workerinput")


def _runs_everything(config: pytest.Config) -> bool:
    narrowed = any(config.getoption(option, None) for option in NARROWING)
    default = config.args_source is config.ArgsSource.TESTPATHS
    whole = default or [Path(argument).resolve() for argument in config.args] == [HERE]
    return whole and not narrowed


def _note(kind: str, name: str) -> None:
    """Leave a mark that every process of this run sees."""
    (Path(os.environ[SESSION]) / kind / name.replace("/", "|")).touch()


def _unread() -> Iterator[str]:
    read = {mark.name.replace("|", "/") for mark in (Path(os.environ[SESSION]) / "read").iterdir()}
    for path in GOLDEN.rglob("*"):
        name = path.relative_to(GOLDEN).as_posix()
        module = name.split("/")[0]
        if path.is_file() and module not in NOT_TEXTS and name not in read and f"{module}/" not in read:
            yield name


OPTIMISED, QUICK = build.BuildOptions, partial(build.BuildOptions, level="g", extra=("-DSNNCC_GLUE=",))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Generated code is built with -Og, in less than a third of the time, but for tests marked `optimised`.

    That -O3 gives the same bits is the business of test_headers, test_panels and test_end_to_end.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(build, "BuildOptions", OPTIMISED if item.get_closest_marker("optimised") else QUICK)
        return (yield)
