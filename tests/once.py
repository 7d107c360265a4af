"""What is made once in a run of the tests, whatever the number of its processes."""

from __future__ import annotations

import fcntl
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

Result = TypeVar("Result")


def file(name: str, make: Callable[[Path], object]) -> Path:
    """The file `name` of this run: the first process that asks has `make` write it; the others wait."""
    path = Path(os.environ["SNNCC_TEST_SESSION"]) / name
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_name(f"{path.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not path.exists():
            draft = path.with_name(f"{path.name}.draft")
            make(draft)
            draft.rename(path)
    return path


def result(name: str, of: Callable[[], Result]) -> Result:
    """What `of` returns, in every process."""
    path = file(f"results/{name}", lambda draft: draft.write_bytes(pickle.dumps(of())))
    found: Result = pickle.loads(path.read_bytes())
    return found
