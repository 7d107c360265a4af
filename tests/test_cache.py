"""The cache of generated text: what its keys hold, and damaged entries."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from snncc import cache, loss, nn, optim
from snncc.frontend.dsl import trace
from snncc.target import Target


def network(**changes: Any) -> Any:
    options = {"beta": 0.9, "surrogate": nn.surrogate.ATan(), "size": 3, **changes}
    lif = nn.Leaky(options["beta"], surrogate=options["surrogate"])
    return trace(nn.Sequential(nn.Linear(4, options["size"]), lif)).graph


class Mine(nn.surrogate.Surrogate):
    """A user's surrogate: what it does stands in his code alone."""

    def derivative(self, u: Any) -> Any:
        return u * 0.5


def test_the_key_of_a_text_holds_what_it_depends_on(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    target = Target()
    (tmp_path / "passes.py").write_text("")
    monkeypatch.setattr(cache, "PACKAGE", tmp_path)
    keys = [
        cache.key_of(network(), target),
        cache.key_of(network(beta=0.8), target),
        cache.key_of(network(beta=[0.8, 0.9, 0.9]), target),
        cache.key_of(network(size=2), target),
        cache.key_of(network(surrogate=nn.surrogate.ATan(3.0)), target),
        cache.key_of(network(surrogate=None), target),
        cache.key_of(network(), Target(num_steps=26)),
        cache.key_of(network(), Target(dtype="float64")),
        cache.key_of(network(), Target(name="other")),
        cache.key_of(network(), Target(loss=loss.mse("rate"))),
        cache.key_of(network(), Target(loss=loss.mse("rate", on=1.0))),
        cache.key_of(network(), Target(loss=loss.mse("rate"), optimizer=optim.SGD(0.1))),
        cache.key_of(network(), Target(loss=loss.mse("rate"), optimizer=optim.SGD(0.1, momentum=0.5))),
        cache.key_of(network(), target, "source"),
    ]
    assert keys[0] == cache.key_of(network(), target)
    (tmp_path / "passes.py").write_text("# a line of snncc changed\n")
    keys.append(cache.key_of(network(), target))
    (tmp_path / "passes.py").rename(tmp_path / "other.py")
    keys.append(cache.key_of(network(), target))
    monkeypatch.setattr(cache, "_version", lambda package: "another")
    keys.append(cache.key_of(network(), target))
    assert None not in keys
    assert len(set(keys)) == len(keys)


def test_a_users_own_code_has_no_key() -> None:
    assert cache.key_of(network(surrogate=Mine()), Target()) is None

    class Decay(optim.Optimizer):
        def update(self, parameter: Any, gradient: Any, moments: Any, lr: Any, powers: Any) -> Any:
            return parameter * 0.5, {}

    assert cache.key_of(network(), Target(loss=loss.mse("rate"), optimizer=Decay(0.1))) is None


@pytest.mark.parametrize("damage", ["cut", "altered", "binary", "missing"])
def test_a_damaged_text_is_generated_again(
    damage: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SNNCC_CACHE", str(tmp_path))
    text = cache.Generated("model", {"model.c": "int x;\n"}, "int x;", {"name": "model"})
    cache.keep("0" * 64, text)
    assert cache.recall("0" * 64) == text
    (path,) = tmp_path.iterdir()
    content = path.read_bytes()
    changed = {"cut": content[:-3], "altered": content.replace(b"int", b"asm"), "binary": b"\xff" + content}
    if damage == "missing":
        path.unlink()
    else:
        path.write_bytes(changed[damage])
    assert cache.recall("0" * 64) is None
