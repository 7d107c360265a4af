"""Steps that were written out, rolled back into one."""

from __future__ import annotations

from .flat import Flat


def rolled(flat: Flat, remarks: list[str]) -> Flat | None:
    """The flat graph with its repeated steps as one, or None where there are none."""
    return None
