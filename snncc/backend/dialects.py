"""How C writes the functions and literals of expressions."""

from __future__ import annotations

from ..expr import Dialect
from ..ops.elementwise import SCALARS
from ..program import ROUNDED

FORMS = {name: (s.c, s.precedence) for name, s in SCALARS.items()}
DIFFERS = {"differs": ("{0} != {1}", 9)}
DECAY = {"exp_decay": ("snncc_exp_decay({0})", 0)}  # exp of what is never positive
UNIFORM = {"uniform": ("snncc_uniform({0}, {1})", 0)}
CONVERSIONS = {f"{way}_{k}": (f"snncc_{way}_{k}({{0}})", 0) for k in ROUNDED for way in ("to", "from")}


def dialect(real_bits: int) -> Dialect:
    """Expressions in the network's dtype."""
    forms = FORMS | DIFFERS | DECAY | UNIFORM | CONVERSIONS
    return Dialect(forms, "f" if real_bits == 32 else "", real_bits == 32)


def double_dialect() -> Dialect:
    """Expressions in double precision: what a kernel computes once, from steps or the learning rate."""
    built_in = {
        n: (f"__builtin_{c}({{0}})", 0)
        for n, c in (("sqrt", "sqrt"), ("floor", "floor"), ("round", "rint"), ("abs", "fabs"))
    }
    return Dialect(FORMS | DIFFERS | built_in)
