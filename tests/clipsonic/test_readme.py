"""The first page of the README is run as it stands, on real videos; its Python too."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path

import pytest

from clipsonic.cli import run

README = (Path(__file__).parents[2] / "clipsonic" / "README.md").read_text(encoding="utf-8")


def section(title: str) -> str:
    return README.split(f"\n## {title}\n")[1].split("\n## ")[0]


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def run_commands(block: str) -> None:
    """Each line as it stands, but for the number of training steps; end-to-end tests take twenty."""
    for line in block.splitlines():
        command, *words = shlex.split(line.replace("--steps 20", "--steps 2"), comments=True)
        assert command == "clipsonic"
        assert run(words) == 0, line


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, media: Path) -> Path:
    """What the README supposes: a folder of videos, captions, a picture."""
    place = tmp_path_factory.mktemp("readme")
    (place / "videos").mkdir()
    names = sorted(path.stem for path in (media / "videos").glob("*.mp4"))
    for name in names:
        shutil.copy(media / "videos" / f"{name}.mp4", place / "videos")
    rows = [f"{name},a photo of {name.split('_')[0]}" for name in names]
    (place / "captions.csv").write_text("\n".join(["id,caption", *rows]) + "\n")
    shutil.copy(media / "images" / "dog1.jpg", place / "frame.jpg")
    return place


@pytest.mark.parametrize("title", ["Hear it", "From videos to sounds, in two minutes"])
def test_the_commands_run(place: Path, monkeypatch: pytest.MonkeyPatch, title: str) -> None:
    monkeypatch.chdir(place)
    (block,) = blocks(section(title), "sh")
    run_commands(block)
    named = re.findall(r"--out (\S+)", block)
    assert named and all((place / name).exists() for name in named)


def test_the_map_of_the_source_names_each_module_once() -> None:
    root = Path(__file__).parents[2] / "clipsonic"
    files = {path.relative_to(root).as_posix() for path in root.rglob("*.py") if not path.stem.startswith("__")}
    named = re.findall(r"^(\S+\.py) {2,}\S", section("Reading the source"), re.MULTILINE)
    assert sorted(named) == sorted(name for name in files if not name.startswith("commands/"))


@pytest.mark.parametrize("title", ["Generate", "Python"])
def test_the_python_runs(place: Path, monkeypatch: pytest.MonkeyPatch, title: str) -> None:
    monkeypatch.chdir(place)
    (block,) = blocks(section(title), "python")
    exec(compile(block, "clipsonic/README.md", "exec"), {})


def test_vectors_of_captions_train_and_ask_clap_tta(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the README's first command and its Python write is what the next commands take."""
    monkeypatch.chdir(place)
    if not (place / "data").is_dir():  # tests may run in any order, and on several workers
        (block,) = blocks(section("From videos to sounds, in two minutes"), "sh")
        run_commands(block.splitlines()[0])
    if not (place / "clap.npz").is_file():
        (block,) = blocks(section("Generate"), "python")
        exec(compile(block, "clipsonic/README.md", "exec"), {})
    run_commands(
        "clipsonic train micro --data data --condition vectors --vectors clap.npz --steps 2 --out run-clap\n"
        "clipsonic generate run-clap/model --vectors clap.npz --out by-vector\n"
    )
