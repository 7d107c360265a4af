"""C identifiers from names of values: legal, unique, readable; never text of a user passed through."""

from __future__ import annotations

import re
from collections.abc import Iterable

# Words of C and C++, of our headers, and the locals and arguments of generated functions.
RESERVED = frozenset(
    word
    for line in (
        "auto break case char const continue default do double else enum extern float for goto if",
        "inline int long register restrict return short signed sizeof static struct switch typedef",
        "union unsigned void volatile while asm bool catch class delete explicit export false friend",
        "mutable namespace new operator private protected public template this throw true try",
        "typename using virtual alignas alignof noreturn main NULL i t b n0 width valid rows steps",
        "batch first model io status scratch sums sum shared slot slots tile total samples num_steps",
        "num_samples learning_rate count begin end state config arena bytes cursor threads parameters",
        "gradients moments at region piece last linux unix int8_t int16_t int32_t int64_t",
        "uint8_t uint16_t uint32_t uint64_t size_t memcpy memset panel panels",
        "crew teams team part parts from worker workers block left segment segments start span most",
        "not_finite WAITING KERNELS UPDATE BLOCK_TILES SEGMENT LEARNABLE PARAMETERS MOMENTS",
        "grid kept meeting room some",
    )
    for word in line.split()
)


def identifier(name: str) -> str:
    """A legal C identifier that still reads like the name: `0.weight` is `layer0_weight`."""
    text = re.sub(r"[^0-9A-Za-z_]+", "_", name, flags=re.ASCII).strip("_")[:100] or "value"
    text = re.sub(r"^(d_|ctx_)?(?=[0-9])", r"\1layer", text)
    taken = text in RESERVED or text.lower().startswith("snncc") or text.startswith("_")
    return f"{text}_" if taken else text


def prefix(name: str) -> str:
    """What all C names of a model start with; `_forward` and the like follow, so that it may be any word."""
    text = re.sub(r"[^0-9A-Za-z_]+", "_", name, flags=re.ASCII).strip("_")[:48] or "model"
    return f"model_{text}" if text[0].isdigit() or text.lower().startswith("snncc") else text


class Names:
    """Hands out identifiers of one scope, each once."""

    def __init__(self, taken: frozenset[str] = frozenset()) -> None:
        self.taken = set(taken)

    def new(self, name: str, endings: Iterable[str] = ()) -> str:
        """The identifier of a name, numbered if it is taken; with each of the endings it is its own, too."""
        base = candidate = identifier(name)
        count = 1
        while self.taken & (mine := {candidate, *(candidate + ending for ending in endings)}):
            count += 1
            candidate = f"{base}_{count}"
        self.taken |= mine
        return candidate


def plain_text(text: str) -> str:
    """Text of a user for a C comment or string: letters, digits and a few harmless signs."""
    return re.sub(r"[^0-9A-Za-z_.,:()\[\] +-]", "_", text)[:120]
