"""What lies in the repository: nothing of the machines it was made on, and weights that are small and agree."""

from __future__ import annotations

import hashlib
import re
import subprocess
from pathlib import Path

import pytest

FOREIGN = (  # patterns that do not match themselves: this file is searched too
    r"/wor[k]/",
    r"/op[t]/wheels",
    r"/roo[t]/",
    r"/hom[e]/",
    r"\bissu[e] #?\d+\b",
    r"\blocalhos[t]:\d",
    r"artifactor[y]",
)
SUFFIXES = {
    "",
    ".py",
    ".md",
    ".toml",
    ".json",
    ".html",
    ".js",
    ".css",
    ".txt",
    ".csv",
    ".lock",
    ".cfg",
    ".yaml",
    ".yml",
}
TOP = {"README.md", "LICENSE", "CHANGELOG.md", "pyproject.toml", "uv.lock"}
FOLDERS = {"clipsonic", "metrics", "benchmarks", "listening_test", "tests"}
CLIP = ("clipsonic/weights/clip", "metrics/clipsonic_metrics/weights/microworld/clip")


@pytest.fixture(scope="module")
def files(root: Path) -> list[Path]:
    """What git tracks, or would."""
    if not (root / ".git").exists():
        pytest.skip("not a git checkout: there is no list of files")
    asked = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    found = subprocess.run(asked, cwd=root, capture_output=True, text=True, check=True).stdout
    return [Path(name) for name in found.split("\0") if name and (root / name).is_file()]


def test_nothing_names_the_machines_it_was_made_on(root: Path, files: list[Path]) -> None:
    found = []
    for path in files:
        if path.suffix in SUFFIXES:
            text = (root / path).read_text(encoding="utf-8")
            found += [f"{path}: {match[0]}" for word in FOREIGN for match in [re.search(word, text)] if match]
    assert found == []


def test_the_top_level_is_what_was_agreed(files: list[Path]) -> None:
    top = {path.parts[0] for path in files if not path.parts[0].startswith(".")}
    assert top == TOP | FOLDERS


def test_nothing_is_a_pickle(files: list[Path]) -> None:
    assert [path for path in files if path.suffix in {".pkl", ".pickle", ".pt", ".pth", ".bin", ".ckpt", ".npy"}] == []


def test_weights_are_small(root: Path, files: list[Path]) -> None:
    weights = [path for path in files if "weights" in path.parts and path.suffix != ".py"]
    assert any(path.suffix == ".safetensors" for path in weights), "no weights ship"
    assert sum((root / path).stat().st_size for path in weights) < 25_000_000


def test_both_copies_of_the_small_clip_are_the_same(root: Path) -> None:
    """Two packages that know nothing of one another each bring it; one digest says they mean the same space."""

    def digests(folder: Path) -> dict[str, str]:
        return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}

    model, metrics = (digests(root / folder) for folder in CLIP)
    assert {"open_clip_config.json", "open_clip_model.safetensors", "merges.txt.gz"} <= model.keys()
    assert model == metrics
