"""What docs/surrogates.md is made of; tests/test_docs_neurons.py compares the page itself."""

from __future__ import annotations

import re

from docs.surrogate_page import SYSTEMS, classes, first_line, known_as
from tests.test_surrogates import DRAWN


def test_every_first_line_is_a_formula() -> None:
    for name, kind in classes().items():
        assert re.search(r"\d|u", first_line(kind)), name
        assert not first_line(kind).endswith("."), name


def test_every_preset_is_somewhere() -> None:
    for system, module in SYSTEMS.items():
        named = {n for kind in classes().values() for n in re.findall(r"`(\w+)`", known_as(kind, module))}
        assert named == set(module.__all__) - {"custom_surrogate"}, system
    assert set(classes()) >= DRAWN
