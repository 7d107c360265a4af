"""What a user's `pip install` brings: both packages whole, with templates and headers, and nothing else."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import zipfile
from email import message_from_bytes
from pathlib import Path

import pytest

import snncc
import snncc_runtime

ROOT = Path(__file__).parents[1]
SOURCES = {"snncc": ROOT / "snncc", "snncc_runtime": ROOT / "runtime" / "snncc_runtime"}
pytestmark = pytest.mark.slow


def build(source: Path, target: str, folder: Path) -> Path:
    """The one archive that hatchling makes; needs neither pip nor a network."""
    command = [sys.executable, "-m", "hatchling", "build", "-t", target, "-d", str(folder)]
    done = subprocess.run(command, cwd=source, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (archive,) = folder.iterdir()
    return archive


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(ROOT, "sdist", tmp_path_factory.mktemp("sdist"))


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(ROOT, "wheel", tmp_path_factory.mktemp("wheel"))


def shipped(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return {name for name in archive.namelist() if ".dist-info/" not in name}


def written() -> set[str]:
    return {
        f"{package}/{path.relative_to(folder).as_posix()}"
        for package, folder in SOURCES.items()
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def text_of(wheel: Path, ending: str) -> str:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(ending))
        return archive.read(name).decode()


def test_the_wheel_holds_both_packages_whole(wheel: Path) -> None:
    found = shipped(wheel)
    assert found == written()
    assert any(re.fullmatch(r"snncc_runtime/include/snncc/\w+\.h", name) for name in found)
    assert any(name.startswith("snncc/templates/") for name in found)
    assert {"snncc/py.typed", "snncc_runtime/py.typed"} <= found


def test_a_wheel_made_from_the_source_archive_is_the_same(sdist: Path, wheel: Path, tmp_path: Path) -> None:
    shutil.unpack_archive(sdist, tmp_path / "source")
    (source,) = (tmp_path / "source").iterdir()
    needed = ("LICENSE", "README.md", "CHANGELOG.md", "tests/conftest.py", "models/mnist_mlp.py")
    assert [name for name in needed if not (source / name).is_file()] == []
    (tmp_path / "wheel").mkdir()
    assert shipped(build(source, "wheel", tmp_path / "wheel")) == shipped(wheel)


def test_metadata(wheel: Path) -> None:
    metadata = message_from_bytes(text_of(wheel, "/METADATA").encode())
    assert metadata["Name"] == "snncc"
    assert metadata["License-Expression"] == "MIT"
    assert set(metadata.get_all("Provides-Extra", [])) == {"demo", "test", "dev", "blas", "nir"}
    assert text_of(wheel, "/entry_points.txt").strip() == "[console_scripts]\nsnncc = snncc.cli:main"
    assert "snncc contributors" in text_of(wheel, "/licenses/LICENSE")


def test_the_versions_agree(wheel: Path) -> None:
    version = message_from_bytes(text_of(wheel, "/METADATA").encode())["Version"]
    assert snncc.__version__ == version
    assert snncc_runtime.__version__ == version
