"""Runs commands of `snncc` in the tests' process, on a file with small networks."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from snncc import cli

ROOT = Path(__file__).parents[1]
NETWORK = '''"""Two layers of neurons."""
import sys
from snncc import nn

net = nn.Sequential(fc1=nn.Linear(4, 6), lif1=nn.Leaky(0.9), fc2=nn.Linear(6, 3), lif2=nn.Leaky(0.8))
static = nn.Sequential(nn.Linear(4, 3), nn.Leaky(0.9), input=nn.Input(4, static=True))
number = 3

class Own(nn.Module):
    inputs = {"x": nn.Input(4)}

    def __init__(self, size=3):
        self.fc = nn.Linear(4, size)

    def forward(self, x):
        return self.fc(x)

class Sized(Own):
    def __init__(self, size):
        super().__init__(size)

def make():
    return Own(2)

def nothing():
    return None

def broken():
    return [][1]

def leave():
    sys.exit(3)

def soft():
    return nn.Sequential(nn.Linear(4, 3), nn.Leaky(0.9, reset="soft"))
'''
TRAINED = ("--loss", "cross_entropy:mem", "--optimizer", "adam", "--num-steps", "5")


@dataclass(frozen=True)
class Answer:
    """What a command said."""

    code: int
    out: str
    err: str


class Terminal:
    """Runs commands in this process."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self.capsys = capsys

    def __call__(self, *arguments: Any) -> Answer:
        self.capsys.readouterr()
        code = cli.main([str(argument) for argument in arguments])
        said = self.capsys.readouterr()
        return Answer(code, said.out, said.err)


def assert_refused(answer: Answer, message: str) -> None:
    """Exit code 2, nothing printed, one line of complaint that names no line of ours."""
    assert (answer.code, answer.out) == (2, ""), answer
    assert answer.err.startswith("snncc: ")
    assert answer.err.count("\n") == 1, answer.err
    assert re.search(message, answer.err), answer.err
    assert "Traceback" not in answer.err
    assert not re.search(r"\((core|cli|decorators)\.py:", answer.err), answer.err


def environment(**changes: str) -> dict[str, str]:
    paths = os.pathsep.join([str(ROOT), str(ROOT / "runtime")])
    return {**os.environ, "PYTHONPATH": paths, **changes}
