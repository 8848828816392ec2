"""Spaces are what was loaded: other weights under a published network's name are not taken for the published ones."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import open_clip
import pytest
import safetensors.torch
import torch
from PIL import Image

from clipsonic_metrics.embedders import EMBEDDERS, find_embedder
from clipsonic_metrics.embedders.files import digest
from clipsonic_metrics.random_weights import write_random_weights
from clipsonic_metrics.scoring import score_folder
from clipsonic_metrics.sources import SOURCES, record_path
from clipsonic_metrics.spaces import is_verified, pair_protocol, share_a_space
from clipsonic_metrics.ways import Inputs
from clipsonic_metrics.workspace import Options, Workspace

CLIP = "open-clip-vit-b-32"
SMALL = {
    "embed_dim": 512,
    "vision_cfg": {"image_size": 32, "layers": 1, "width": 64, "patch_size": 16},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 64, "heads": 1, "layers": 1},
}


@pytest.fixture
def fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, bytes], Path]:
    """Puts a file where `weights fetch NAME` puts one, with its record. Embedders are named by bytes alone: no network
    is built of these."""
    monkeypatch.setenv("CLIPSONIC_WEIGHTS", str(tmp_path / "weights"))

    def put(name: str, data: bytes) -> Path:
        path = tmp_path / "weights" / name / SOURCES[name].files[0].name
        path.parent.mkdir(parents=True)
        path.write_bytes(data)
        record_path(path).write_text(json.dumps({"schema": 1, "sha256": digest(path)}))
        return path

    return put


def given(tmp_path: Path, name: str, data: bytes) -> Any:
    path = tmp_path / f"{name}-{data.decode()}.safetensors"
    path.write_bytes(data)
    return find_embedder(name, path)


def by_name(first: Any, second: Any) -> bool:
    """The old rule: spaces were words, and any weights under the name lay in them."""
    words = {"wav2clip": "clip-vit-b-32-openai", CLIP: "clip-vit-b-32-openai"}
    return words.get(first.protocol.split("@")[0]) == words.get(second.protocol.split("@")[0])


def test_the_published_pair_is_known_to_share_a_space(tmp_path: Path, fetched: Callable[[str, bytes], Path]) -> None:
    clip_path = fetched(CLIP, b"published clip")
    fetched("wav2clip", b"published wav2clip")
    sound, picture = find_embedder("wav2clip"), find_embedder(CLIP)
    assert share_a_space(sound, picture) and share_a_space(picture, sound) and is_verified(sound, picture)
    assert pair_protocol(sound, picture) == f"{sound.protocol}+{picture.protocol}"
    same_bytes = tmp_path / "brought by hand.safetensors"
    same_bytes.write_bytes(clip_path.read_bytes())
    assert pair_protocol(sound, find_embedder(CLIP, same_bytes)) == pair_protocol(sound, picture)


def test_what_lies_in_the_hub_cache_is_not_known_to_be_published(
    tmp_path: Path, fetched: Callable[[str, bytes], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """No digest was ever recorded of it: other programs put there what they like."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr("huggingface_hub.file_download.HF_HUB_CACHE", str(tmp_path / "hub"), raising=False)
    repository = tmp_path / "hub" / "models--timm--vit_base_patch32_clip_224.openai"
    (repository / "snapshots" / "abc").mkdir(parents=True)
    (repository / "snapshots" / "abc" / "open_clip_model.safetensors").write_bytes(b"anything")
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("abc")
    fetched("wav2clip", b"published wav2clip")
    sound, picture = find_embedder("wav2clip"), find_embedder(CLIP)
    assert picture.space.endswith(digest(repository / "snapshots" / "abc" / "open_clip_model.safetensors")[:12])
    assert share_a_space(sound, picture) and not is_verified(sound, picture)
    assert pair_protocol(sound, picture).endswith("/unverified-pair")
    fetched(CLIP, b"published clip")
    assert is_verified(sound, find_embedder(CLIP))


def test_other_weights_under_its_name_are_not_taken_for_it(
    tmp_path: Path, fetched: Callable[[str, bytes], Path]
) -> None:
    fetched(CLIP, b"published clip")
    fetched("wav2clip", b"published wav2clip")
    sound, picture, other = find_embedder("wav2clip"), find_embedder(CLIP), given(tmp_path, CLIP, b"other")
    assert other.space != picture.space
    assert not is_verified(sound, other) and pair_protocol(sound, other).endswith("/unverified-pair")
    assert not is_verified(given(tmp_path, "wav2clip", b"another"), picture)
    assert by_name(sound, other) and by_name(sound, picture)  # the old rule could not tell them apart


def test_what_it_was_not_made_for_shares_no_space(tmp_path: Path) -> None:
    sound = given(tmp_path, "wav2clip", b"a")
    assert not share_a_space(sound, given(tmp_path, "open-clip-vit-l-14", b"a"))
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "open_clip_model.safetensors").write_bytes(b"a")
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": {}, "preprocess_cfg": {}}))
    assert not share_a_space(sound, find_embedder("open-clip", folder))
    assert share_a_space(find_embedder("microworld-wav2clip"), find_embedder("microworld-clip"))
    assert is_verified(find_embedder("microworld-wav2clip"), find_embedder("microworld-clip"))


@pytest.mark.parametrize("name", ["vggish", "panns-cnn14-16k", "wav2clip", CLIP, "open-clip-vit-l-14"])
def test_a_space_is_the_digest_of_the_weights(name: str, tmp_path: Path) -> None:
    assert name in EMBEDDERS
    first, second = given(tmp_path, name, b"first"), given(tmp_path, name, b"second")
    assert first.space != second.space and "sha256:" in first.space


def test_a_score_of_an_unverified_pair_says_so(
    tmp_path: Path, sound_folder: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(open_clip, "get_model_config", lambda name: dict(SMALL))
    clip, wav2clip = tmp_path / "clip.safetensors", tmp_path / "wav2clip.safetensors"
    with torch.random.fork_rng():
        torch.manual_seed(0)
        safetensors.torch.save_file(open_clip.CLIP(**SMALL, quick_gelu=True).state_dict(), clip)
    write_random_weights("wav2clip", wav2clip, seed=0)
    sounds, images = sound_folder("sounds", 5), tmp_path / "images"
    images.mkdir()
    for index, path in enumerate(sorted(sounds.iterdir())):
        Image.new("RGB", (40, 40), (40 * index, 90, 200)).save(images / f"{path.stem}.png")
    work = Workspace(Options(weights={CLIP: clip, "wav2clip": wav2clip}))
    report = score_folder(Inputs(sounds, images=images), ["clip-score"], work, embedders=["wav2clip", CLIP])
    assert report is not None
    assert "/unverified-pair/" in report.scored[0].score.protocol
    [said] = [each.said for each in report.warnings if each.kind == "unverified pair"]
    assert said.startswith("wav2clip was made for the published weights of open-clip-vit-b-32")
