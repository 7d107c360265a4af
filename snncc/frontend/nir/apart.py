"""Calls a function in a process apart, with limits: for libraries that a bad file can hang or kill.

libhdf5 does both with damaged files, in its own code, where nothing of ours can stop it. The process starts
when it is first needed and serves until this one ends; after a file that was too much there is a new one.
"""

from __future__ import annotations

import atexit
import json
import math
import os
import pickle
import resource
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

CHILD = (
    "import json, sys; sys.path[:0] = json.loads(sys.argv[1]); "
    "from snncc.frontend.nir.apart import serve; serve(sys.argv[2], sys.argv[3])"
)
READY = 60.0  # seconds that a process may take to start, however busy the machine
HEAD = 8  # bytes that say how long a message is


class GoneError(Exception):
    """The process died, or was too slow."""


class Apart:
    """A function of a module that is called in a process apart. Arguments and results are pickled."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.names = (function.__module__, function.__name__)
        self.lock = threading.Lock()
        self.process: subprocess.Popen[bytes] | None = None
        atexit.register(self.stop)

    def __call__(self, *arguments: Any, seconds: float) -> Any:
        """The function's result. Raises what it raises, or GoneError."""
        with self.lock:
            try:
                process = self._started()
                assert process.stdin is not None and process.stdout is not None
                process.stdin.write(_framed(arguments))
                process.stdin.flush()
                good, result = pickle.loads(_read(process.stdout.fileno(), seconds))
            except (OSError, EOFError, TimeoutError) as error:
                slow = isinstance(error, TimeoutError) or self.stop() == -signal.SIGXCPU
                self.stop()
                raise GoneError("took too long" if slow else "crashed") from None
        if good:
            return result
        raise result

    def _started(self) -> subprocess.Popen[bytes]:
        if self.process is None or self.process.poll() is not None:
            root = str(Path(__file__).parents[3])
            command = [sys.executable, "-c", CHILD, json.dumps([root, *sys.path]), *self.names]
            pipe = subprocess.PIPE
            self.process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL)
            assert self.process.stdout is not None
            _read(self.process.stdout.fileno(), READY)
        return self.process

    def stop(self) -> int | None:
        """End the process, if there is one, and say what it ended with."""
        process, self.process = self.process, None
        if process is None:
            return None
        assert process.stdout is not None
        if not select.select([process.stdout], [], [], 0.0)[0]:  # else it has ended by itself
            process.kill()
        process.communicate()
        return process.returncode


def _framed(message: Any) -> bytes:
    content = pickle.dumps(message)
    return len(content).to_bytes(HEAD, "little") + content


def _read(number: int, seconds: float) -> bytes:
    """A message from a pipe."""
    end = time.monotonic() + seconds

    def take(count: int) -> bytes:
        parts = []
        while count:
            if not select.select([number], [], [], max(end - time.monotonic(), 0.0))[0]:
                raise TimeoutError
            part = os.read(number, min(count, 1 << 20))
            if not part:
                raise EOFError
            parts.append(part)
            count -= len(part)
        return b"".join(parts)

    return take(int.from_bytes(take(HEAD), "little"))


def serve(module: str, name: str) -> None:
    """Answer calls until the other side is gone. The child's side."""
    function = getattr(import_module(module), name)
    answers = os.dup(1)
    os.dup2(2, 1)  # what a library prints must not come between
    _write(answers, _framed("ready"))
    while True:
        try:
            arguments = pickle.loads(_read(0, 1e9))
        except EOFError:
            return
        try:
            answer = (True, function(*arguments))
        except Exception as error:  # noqa: BLE001 - it is raised on the other side
            answer = (False, error)
        _write(answers, _framed(answer))


def _write(number: int, content: bytes) -> None:
    view = memoryview(content)
    while view:
        view = view[os.write(number, view) :]


def limit(more_bytes: int, more_seconds: float) -> None:
    """So much memory and time of a processor, from now on, are all that this process gets before it dies."""
    memory = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    for kind, wanted in (
        (resource.RLIMIT_AS, memory + more_bytes),
        (resource.RLIMIT_CPU, math.ceil(time.process_time() + more_seconds)),
    ):
        hard = resource.getrlimit(kind)[1]
        resource.setrlimit(kind, (wanted if hard < 0 else min(wanted, hard), hard))
