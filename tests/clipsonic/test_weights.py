"""Weights of others: fetched through the hub's own client, found in its cache, and one line where there is no hub."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from clipsonic.cli import run
from clipsonic.karlo import PARTS
from clipsonic.preset import load_preset, preset_names
from clipsonic.vocoders import VOCODERS
from clipsonic.weights.fetch import CLIPS, PUBLISHED, cached_folder, fetch

Refused = Any
BIGVGAN = "bigvgan-v2-24khz-100band"


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    return tmp_path


def put(cache: Path, repository: str, *files: str) -> Path:
    """A repository in the hub's cache, as its client leaves it."""
    root = cache / f"models--{repository.replace('/', '--')}"
    snapshot = root / "snapshots" / "abc"
    for file in files:
        (snapshot / file).parent.mkdir(parents=True, exist_ok=True)
        (snapshot / file).write_text("{}")
    (root / "refs").mkdir(exist_ok=True)
    (root / "refs" / "main").write_text("abc")
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
    asked: list[tuple[str, str | None, list[str]]] = []

    def download(name: str, revision: str | None, allow_patterns: list[str]) -> str:
        asked.append((name, revision, allow_patterns))
        return str(tmp_path)

    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    assert fetch(BIGVGAN) == tmp_path and fetch("karlo", "v1") == tmp_path
    assert asked[0] == ("nvidia/bigvgan_v2_24khz_100band_256x", None, ["config.json", "bigvgan_generator.pt"])
    assert asked[1] == (PUBLISHED["karlo"].repository, "v1", [f"{part}/*" for part in PARTS])


def test_a_model_folder_is_fetched_when_asked(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, refused: Callable[..., str]
) -> None:
    asked: list[tuple[str, str | None, list[str]]] = []

    def download(name: str, revision: str | None = None, allow_patterns: list[str] | None = None) -> str:
        asked.append((name, revision, allow_patterns or []))
        return str(tmp_path)

    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    assert run(["weights", "fetch", "--model", "someone/clipsonic", "--revision", "v2"]) == 0
    assert asked == [("someone/clipsonic", "v2", ["*.json", "*.safetensors"])]
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
