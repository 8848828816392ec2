"""Weights of others: fetched through the hub's own client, found in its cache, and one line where there is no hub."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest

from clipsonic.cli import run
from clipsonic.karlo import PARTS
from clipsonic.model_folder import find_model_folder
from clipsonic.preset import load_preset, preset_names
from clipsonic.vocoders import VOCODERS
from clipsonic.weights.fetch import CLIPS, PUBLISHED, cached_folder, fetch

Refused = Any
BIGVGAN = "bigvgan-v2-24khz-100band"


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    return tmp_path


def put(cache: Path, repository: str, *files: str, branch: str = "main") -> Path:
    """A branch of a repository in the hub's cache, as its client leaves it."""
    root = cache / f"models--{repository.replace('/', '--')}"
    snapshot = root / "snapshots" / "abc"
    for file in files:
        (snapshot / file).parent.mkdir(parents=True, exist_ok=True)
        (snapshot / file).write_text("{}")
    (root / "refs").mkdir(exist_ok=True)
    (root / "refs" / branch).write_text("abc")
    return snapshot


def test_what_is_published_is_what_the_parts_ask_for() -> None:
    assert {name for name in VOCODERS if name != "griffin-lim"} <= set(PUBLISHED)
    assert PUBLISHED["karlo"].repository == "kakaobrain/karlo-v1-alpha"
    assert PUBLISHED["karlo"].files == tuple(f"{part}/*" for part in PARTS)


def test_the_clips_of_the_presets_are_listed() -> None:
    assert {load_preset(name).clip for name in preset_names()} - {"micro"} == set(CLIPS)


def test_a_cache_is_looked_into_without_a_network(cache: Path) -> None:
    assert cached_folder(BIGVGAN) is None
    put(cache, PUBLISHED[BIGVGAN].repository, "config.json")
    assert cached_folder(BIGVGAN) is None  # half of it
    folder = put(cache, PUBLISHED[BIGVGAN].repository, "bigvgan_generator.pt")
    assert cached_folder(BIGVGAN) == folder


def test_fetching_asks_for_the_files_that_are_needed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked: list[tuple[str, list[str]]] = []

    def download(name: str, allow_patterns: list[str]) -> str:
        asked.append((name, allow_patterns))
        return str(tmp_path)

    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    assert fetch(BIGVGAN) == tmp_path and fetch("karlo") == tmp_path
    assert asked[0] == ("nvidia/bigvgan_v2_24khz_100band_256x", ["config.json", "bigvgan_generator.pt"])
    assert asked[1] == (PUBLISHED["karlo"].repository, [f"{part}/*" for part in PARTS])


FILES = {
    PUBLISHED[BIGVGAN].repository: PUBLISHED[BIGVGAN].files,
    PUBLISHED["karlo"].repository: tuple(f"{part}/config.json" for part in PARTS),
    "someone/clipsonic": ("model_index.json", "unet/config.json"),
}


@pytest.fixture
def hub(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A hub that has `FILES`, at any branch, and is reached by the client that reads its cache."""
    look = huggingface_hub.snapshot_download

    def download(name: str, *, revision: str | None = None, local_files_only: bool = False, **how: Any) -> str:
        if local_files_only:
            return look(name, revision=revision, local_files_only=True, **how)
        return str(put(cache, name, *FILES[name], branch=revision or "main"))

    monkeypatch.setattr("huggingface_hub.snapshot_download", download)


@pytest.mark.usefixtures("hub")
@pytest.mark.parametrize(
    ("words", "find"),
    [
        ((BIGVGAN,), lambda: cached_folder(BIGVGAN)),
        (("karlo",), lambda: cached_folder("karlo")),
        (("--model", "someone/clipsonic"), lambda: find_model_folder("someone/clipsonic")),
    ],
)
def test_what_is_fetched_is_what_is_found(
    words: tuple[str, ...], find: Callable[[], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["weights", "fetch", *words, "--json", "-"]) == 0
    assert json.loads(capsys.readouterr().out)["path"] == str(find())


@pytest.mark.usefixtures("hub")
@pytest.mark.parametrize("words", [(BIGVGAN,), ("karlo",), ("--model", "someone/clipsonic"), ("ViT-L-14/openai",)])
def test_there_is_no_revision_that_nothing_would_find(refused: Refused, cache: Path, words: tuple[str, ...]) -> None:
    """Old mistake: a revision was fetched, or for a CLIP left out without a word, and the name went on to mean main."""
    assert "No such option: --revision" in refused("weights", "fetch", *words, "--revision", "v1")
    put(cache, PUBLISHED[BIGVGAN].repository, *PUBLISHED[BIGVGAN].files, branch="v1")  # by the hub's own client
    assert cached_folder(BIGVGAN) is None


@pytest.mark.usefixtures("hub")
def test_a_revision_of_a_model_is_found_by_python(cache: Path) -> None:
    folder = put(cache, "someone/clipsonic", *FILES["someone/clipsonic"], branch="v2")
    assert find_model_folder("someone/clipsonic", "v2") == folder
    with pytest.raises(ValueError, match="in the cache; .*type: clipsonic weights fetch --model someone/clipsonic$"):
        find_model_folder("someone/clipsonic")
    with pytest.raises(ValueError, match="at revision v3; .*type: hf download someone/clipsonic --revision v3$"):
        find_model_folder("someone/clipsonic", "v3")


def test_a_model_is_named_as_its_repository(refused: Refused) -> None:
    assert "'clipsonic' is no hub repository" in refused("weights", "fetch", "--model", "clipsonic")


def test_a_clip_is_fetched_by_open_clip(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked: list[dict[str, Any]] = []

    def download(config: dict[str, Any]) -> str:
        asked.append(config)
        return str(tmp_path / "weights.pt")

    monkeypatch.setattr("open_clip.download_pretrained", download)
    assert fetch("ViT-L-14/openai") == tmp_path / "weights.pt"
    assert len(asked) == 1 and asked[0]["quick_gelu"]
    with pytest.raises(ValueError, match="open_clip has no weights 'ViT-L-14/openia': it has openai, "):
        fetch("ViT-L-14/openia")
    with pytest.raises(ValueError, match="no such architecture"):
        fetch("ViT-L/openai")


def test_the_commands(
    cache: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], refused: Refused
) -> None:
    folder = put(cache, PUBLISHED[BIGVGAN].repository, "config.json", "bigvgan_generator.pt")
    assert run(["weights", "list", "--json", "-"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert "micro-0" in found["models"] and set(found["published"]) == set(PUBLISHED)
    assert found["published"][BIGVGAN]["folder"] == str(folder) and found["published"]["karlo"]["folder"] is None
    assert run(["weights", "list"]) == 0
    assert "karlo\tnot here\t" in (out := capsys.readouterr().out)
    assert "ViT-L-14/openai\tnot here\tCLIP of the presets small and base" in out and found["clips"] == {
        "ViT-L-14/openai": {"purpose": CLIPS["ViT-L-14/openai"], "file": None}
    }
    there = put(cache, "timm/vit_large_patch14_clip_224.openai", "open_clip_model.safetensors")
    assert run(["weights", "list"]) == 0
    assert f"ViT-L-14/openai\t{there / 'open_clip_model.safetensors'}\t" in capsys.readouterr().out
    monkeypatch.setattr("huggingface_hub.snapshot_download", lambda *_, **__: str(folder))
    assert run(["weights", "fetch", BIGVGAN, "--json", "-"]) == 0
    assert json.loads(capsys.readouterr().out) == {"schema": 1, "name": BIGVGAN, "path": str(folder)}
    assert "did you mean 'karlo'?" in refused("weights", "fetch", "carlo")


def test_without_a_network_it_is_one_line(cache: Path, monkeypatch: pytest.MonkeyPatch, refused: Refused) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    told = refused("weights", "fetch", BIGVGAN)
    assert told.startswith(f"error: {BIGVGAN} cannot be fetched now: ") and told.endswith("the same command goes on")
