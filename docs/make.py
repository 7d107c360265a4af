"""Makes the pages that come from the source: docs/neurons and docs/surrogates.md.

    python docs/make.py            # writes them
    python docs/make.py --check    # ends with code 1 if a page on disk is not what would be written

Their source are the docstrings and constructors of the classes: mend those, not the pages.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))    # a clone makes its pages without being installed
sys.path.insert(1, str(Path(__file__).parents[1] / "runtime"))

from docs import neuron_index, neuron_page, surrogate_page
from docs.presets import OURS

HERE = Path(__file__).parent


def pages() -> dict[Path, str]:
    """All pages, by where they belong."""
    neurons = {**OURS, **neuron_index.own_pages()}
    found = {HERE / "neurons" / f"{name}.md": neuron_page.page(kind) for name, kind in neurons.items()}
    found[HERE / "neurons" / "README.md"] = neuron_index.page()
    found[HERE / "surrogates.md"] = surrogate_page.page()
    return found


def stale(made: dict[Path, str]) -> list[Path]:
    """Pages on disk that are missing, different, or not made any more."""
    found = {path for path in (HERE / "neurons").glob("*.md") if path not in made}
    found |= {
        path for path, text in made.items() if not path.exists() or path.read_text(encoding="utf-8") != text
    }
    return sorted(found)


def write(made: dict[Path, str]) -> None:
    """Write what is stale; remove what is not made any more."""
    (HERE / "neurons").mkdir(exist_ok=True)
    for path in stale(made):
        if path in made:
            path.write_text(made[path], encoding="utf-8", newline="\n")
        else:
            path.unlink()
        print(path.relative_to(HERE.parent))


def main() -> int:
    """1 where --check finds a stale page."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--check", action="store_true", help="write nothing, name what is stale")
    if not parser.parse_args().check:
        write(pages())
        return 0
    found = stale(pages())
    print("\n".join(f"stale: {path.relative_to(HERE.parent)}" for path in found) or "all pages are fresh")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
