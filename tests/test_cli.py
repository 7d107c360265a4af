"""The command line: `snncc compile`, files of networks, and exit codes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import snncc
from snncc import cli, nn
from snncc.commands import doctor
from snncc.errors import CompileError, InternalError
from snncc.frontend.dsl import trace
from tests.terminal import NETWORK, TRAINED, Terminal, assert_refused, environment


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Terminal:
    monkeypatch.setattr(sys, "path", list(sys.path))    # commands put the folders of networks there
    return Terminal(capsys)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A file with networks."""
    path = tmp_path_factory.mktemp("networks") / "two_layers.py"
    path.write_text(NETWORK)
    return str(path)


@pytest.fixture(scope="module")
def model(source: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The compiled network."""
    folder = tmp_path_factory.mktemp("models") / "two"
    assert cli.main(["compile", f"{source}:net", "-o", str(folder), *TRAINED]) == 0
    return folder


# compile


def test_compile_says_what_it_made(run: Terminal, source: str, model: Path, tmp_path: Path) -> None:
    answer = run("compile", f"{source}:net", "-o", tmp_path / "two", *TRAINED)
    assert (answer.code, answer.err) == (0, "")
    assert f"{tmp_path / 'two'}: compiled in" in answer.out
    assert "from the cache" in answer.out
    assert "51 in 4 arrays, float32" in answer.out
    assert "forward, backward, evaluate, train, step, update" in answer.out
    files = {path.name: path.read_bytes() for path in model.iterdir()}
    assert {path.name: path.read_bytes() for path in (tmp_path / "two").iterdir()} == files


def test_a_known_network_needs_neither_passes_nor_templates(source: str, model: Path, tmp_path: Path) -> None:
    arguments = ["compile", f"{source}:net", "-o", str(tmp_path / "two"), *TRAINED]
    text = f"""
import sys
from functools import partial
from snncc import build
from snncc.cli import main
options = {{"level": "g", "extra": ("-DSNNCC_GLUE=",)}}    # as conftest builds
build.BuildOptions = partial(build.BuildOptions, **options)
code = main({arguments!r})
heavy = {{"networkx", "jinja2", "pycparser", "snncc.passes.pipeline", "snncc.lower", "snncc.backend.c"}}
print(code, sorted(heavy & set(sys.modules)))
"""
    answer = subprocess.run(
        [sys.executable, "-c", text], env=environment(), capture_output=True, text=True, check=False
    )
    assert answer.stdout.endswith("0 []\n"), answer


def test_options_reach_the_model(run: Terminal, source: str, tmp_path: Path) -> None:
    answer = run(
        "compile", f"{source}:static", "-o", tmp_path / "m", "--dtype", "float64", "--name", "small",
        "--seed", 3, "--num-steps", 4, "--unroll", 2, "--products", "dense", "--context", "bfloat16",
        "--loss", "mse:rate,on=0.9,off=0.1", "--optimizer", "sgd,momentum=0.5", "--lr", 0.25,
    )    # fmt: skip
    assert answer.code == 0, answer.err
    made = snncc.load(tmp_path / "m")
    manifest = made.manifest
    assert (manifest["dtype"], manifest["prefix"], manifest["num_steps"]) == ("float64", "small", 4)
    assert manifest["optimizer"]["learning_rate"] == 0.25
    assert manifest["optimizer"]["momentum"] == 0.5
    assert "snncc_store_bfloat16(" in (tmp_path / "m" / "model.c").read_text()
    assert manifest["loss"] == "mse(rate, on=0.9, off=0.1)"
    network = nn.Sequential(nn.Linear(4, 3), nn.Leaky(0.9))
    np.testing.assert_array_equal(made.params["0.weight"], trace(network, seed=3).parameters["0.weight"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--num-steps", "0"], "num_steps must be a positive integer, got 0"),
        (["--num-steps", "many"], "'many' is not a valid integer"),
        (["--dtype", "float16"], "dtype must be 'float32' or 'float64', got 'float16'"),
        (["--loss", "hinge"], "--loss must be cross_entropy or mse.*got 'hinge'"),
        (["--loss", "cross_entropy:spk"], "--loss must be"),
        (["--loss", "cross_entropy:mem,on=1"], "'on' is not known|--loss must be"),
        (["--loss", "mse:rate,up=1"], "--loss: 'up' is not known, only population, label_smoothing, on, off"),
        (["--loss", "mse:rate,on=high"], "--loss: expected on=NUMBER, got 'on=high'"),
        (["--optimizer", "adam"], "--optimizer needs a --loss"),
        (["--loss", "mse", "--optimizer", "lion"], "--optimizer must be one of adam, sgd, adamw, got 'lion'"),
        (["--loss", "mse", "--optimizer", "sgd,mass=1"], "--optimizer: 'mass' is not known"),
        (["--loss", "mse", "--optimizer", "sgd", "--lr", "-1"], "--lr must be a number from 0, got -1"),
        (["--loss", "mse", "--optimizer", "sgd", "--lr", "nan"], "--lr must be a number from 0, got nan"),
        (["--lr", "0.1"], "--lr needs an --optimizer"),
        (["--seed", "-1"], "--seed must not be negative, got -1"),
        (["--unroll", "some"], "unroll must be 'none', 'full' or a positive number of steps, got 'some'"),
        (["--unroll", "0"], "unroll must be"),
        (["--products", "magic"], "products must be one of auto, dense, events, got 'magic'"),
        (["--context", "half"], "context must be 'float32', 'float16' or 'bfloat16', got 'half'"),
        (["--name", ""], "name must be text, got ''"),
        (["--frobnicate"], "No such option"),
    ],
)
def test_bad_options_are_one_line(
    run: Terminal, source: str, options: list[str], message: str, tmp_path: Path
) -> None:
    answer = run("compile", f"{source}:net", "-o", tmp_path / "m", *options)
    assert_refused(answer, message)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("", r"which network\? Give .*two_layers.py:NAME; it has net, static, Own$"),
        (":absent", "there is no 'absent'; it has net, static, Own$"),
        (":net.layers.fc9", "there is no 'net.layers.fc9'"),
        (":number", "number is an int, not a network; it has"),
        (":Sized", "Sized needs size; give a network, or a class or function without arguments"),
        (":nothing", r"nothing\(\) returned a NoneType, not a network"),
        (":broken", r"IndexError: list index out of range \(two_layers.py:29\)$"),
        (":leave", r"SystemExit: 3 \(two_layers.py:32\)$"),
        (":soft", r"reset must be 'subtract', 'zero' or 'none', got 'soft' \(two_layers.py:35\)$"),
    ],
)
def test_networks_that_a_file_lacks(
    run: Terminal, source: str, name: str, message: str, tmp_path: Path
) -> None:
    assert_refused(run("compile", f"{source}{name}", "-o", tmp_path / "m"), message)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "is not there; give a network as file.py:name"),
        ("net = (\n", r"'\(' was never closed \(wrong.py:1\)"),
        ("import nowhere_to_be_found\n", r"No module named 'nowhere_to_be_found' \(wrong.py:1\)"),
        ("\n\nraise ValueError('mine')\n", r"ValueError: mine \(wrong.py:3\)"),
        ("from snncc import nn\nnet = nn.Linear(3, -1)\n", r"positive integer, got -1 \(wrong.py:2\)"),
        ("from snncc import nn\nnet = nn.Flatten()\n", r"declare the network's inputs.*\(wrong.py:2\)"),
        ("net = 1\n", "it has no network"),
    ],
)
def test_files_that_are_wrong(run: Terminal, content: str | None, message: str, tmp_path: Path) -> None:
    path = tmp_path / "wrong.py"
    if content is not None:
        path.write_text(content)
    assert_refused(run("compile", f"{path}:net", "-o", tmp_path / "m"), message)
    assert not (tmp_path / "m").exists()


def test_a_folder_is_no_source(run: Terminal, tmp_path: Path) -> None:
    assert_refused(run("compile", f"{tmp_path}:net", "-o", tmp_path / "m"), "is not there; give a network")
    assert_refused(run("compile", tmp_path, "-o", tmp_path / "m"), "is a folder; give a network")


def test_files_see_their_neighbours_and_no_options(run: Terminal, tmp_path: Path) -> None:
    (tmp_path / "sizes_of_mine.py").write_text("N = 5\n")
    lines = (
        "import sys",
        "from snncc import nn",
        "from sizes_of_mine import N",
        "assert __name__ != '__main__'",
        "assert sys.argv == [__file__], sys.argv",
        "net = nn.Sequential(nn.Linear(N, N))",
    )
    (tmp_path / "big-net.py").write_text("\n".join(lines))
    answer = run("inspect", f"{tmp_path / 'big-net.py'}:net")
    assert (answer.code, answer.err) == (0, "")
    assert "[5, 5]" in answer.out


# Exit codes


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (CompileError("yours"), 2, "snncc: yours\n"),
        (snncc.ModelError("yours"), 2, "snncc: yours\n"),
        (InternalError("ours"), 3, "snncc: ours; this is a bug of snncc's; please report it"),
        (KeyboardInterrupt(), 130, "snncc: interrupted\n"),
    ],
)
def test_errors_become_exit_codes(
    run: Terminal, error: BaseException, code: int, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> None:
        raise error

    monkeypatch.setattr(doctor, "examine", fail)
    answer = run("doctor")
    assert (answer.code, answer.out) == (code, "")
    assert answer.err.lstrip("\n").startswith(message)


def test_help_and_unknown_commands(run: Terminal) -> None:
    assert run("--help").code == 0
    assert run("run", "-h").code == 0
    assert run("--version").out == f"snncc, version {snncc.__version__}\n"
    assert run().code == 2
    assert_refused(run("compose"), "No such command 'compose'")
    assert_refused(run("compile", "x.py:net"), "Missing option '-o'")


def test_a_reader_that_leaves_is_no_error(source: str) -> None:
    command = [sys.executable, "-m", "snncc", "inspect", f"{source}:net", "--c"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, env=environment(), stdout=pipe, stderr=pipe) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait() == 1
