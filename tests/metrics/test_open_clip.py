"""CLIP by open_clip: OpenAI's networks are built with QuickGELU, others as their folder says. Weights are random."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import open_clip
import pytest
import safetensors.torch
import torch

from clipsonic_metrics import MetricsError
from clipsonic_metrics.embedders import load_embedder
from clipsonic_metrics.embedders.files import digest
from clipsonic_metrics.listening import Listening

SMALL = {
    "embed_dim": 24,
    "vision_cfg": {"image_size": 32, "layers": 1, "width": 64, "patch_size": 16},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 64, "heads": 1, "layers": 1},
}
PREPARED = {"size": 32, "mean": [0.5] * 3, "std": [0.25] * 3, "interpolation": "bicubic", "resize_mode": "shortest"}
TEXTS = ["a dog", "rain", "a photo of a drum", *(f"bell {index}" for index in range(20))]


def pictures(count: int = 5) -> list[np.ndarray]:
    return list(np.random.default_rng(0).integers(0, 255, (count, 50, 40, 3), dtype=np.uint8))


@pytest.fixture
def network() -> open_clip.CLIP:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return open_clip.CLIP(**SMALL, quick_gelu=True).eval()


@pytest.fixture
def openai(network: open_clip.CLIP, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file as the hub has OpenAI's ViT-B/32, of a network of the small size, which open_clip gives by that name."""
    monkeypatch.setattr(open_clip, "get_model_config", lambda name: dict(SMALL))
    path = tmp_path / "open_clip_model.safetensors"
    safetensors.torch.save_file(network.state_dict(), path)
    return path


def test_openais_networks_have_quick_gelu(network: open_clip.CLIP, openai: Path) -> None:
    """open_clip by itself builds ViT-B-32 with the exact GELU, and takes OpenAI's weights: that way must fail."""
    embedder = load_embedder("open-clip-vit-b-32", openai)
    tokens = open_clip.SimpleTokenizer()(TEXTS)
    with torch.no_grad():
        expected = network.encode_text(tokens, normalize=True).numpy()
        trap = open_clip.CLIP(**SMALL, quick_gelu=False).eval()
        trap.load_state_dict(network.state_dict())
        wrong = trap.encode_text(tokens, normalize=True).numpy()
    np.testing.assert_allclose(embedder.embed_texts(TEXTS), expected, atol=1e-6)
    assert np.abs(wrong - expected).max() > 1e-4
    assert embedder.space == f"open-clip-vit-b-32/sha256:{digest(openai)[:12]}" and embedder.dim == 24
    assert embedder.protocol.startswith("open-clip-vit-b-32@1/open_clip-preprocess/sha256:")
    assert load_embedder("open-clip-vit-l-14", openai).space == f"open-clip-vit-l-14/sha256:{digest(openai)[:12]}"


def test_images_are_prepared_as_open_clip_evaluates_them(network: open_clip.CLIP, openai: Path) -> None:
    from PIL import Image

    embedder = load_embedder("open-clip-vit-b-32", openai)
    prepare = open_clip.image_transform(32, is_train=False)
    with torch.no_grad():
        given = torch.stack([prepare(Image.fromarray(picture)) for picture in pictures()])
        expected = network.encode_image(given, normalize=True).numpy()
    np.testing.assert_allclose(embedder.embed_images(pictures()), expected, atol=1e-6)


def test_items_do_not_feel_their_neighbours(openai: Path) -> None:
    embedder = load_embedder("open-clip-vit-b-32", openai)
    together = embedder.embed_images(pictures())
    np.testing.assert_array_equal(embedder.embed_images(pictures()[::-1])[::-1], together)
    np.testing.assert_array_equal(embedder.embed_images(pictures()[3:4]), together[3:4])
    np.testing.assert_array_equal(embedder.embed_texts(TEXTS[1:2]), embedder.embed_texts(TEXTS)[1:2])


def test_a_folder_says_which_network_it_is(network: open_clip.CLIP, openai: Path) -> None:
    config = {"model_cfg": SMALL | {"quick_gelu": True}, "preprocess_cfg": PREPARED}
    (openai.parent / "open_clip_config.json").write_text(json.dumps(config))
    embedder = load_embedder("open-clip", openai.parent)
    np.testing.assert_allclose(
        embedder.embed_texts(TEXTS), load_embedder("open-clip-vit-b-32", openai).embed_texts(TEXTS), atol=1e-6
    )
    assert embedder.space.startswith("open-clip/sha256:")
    (openai.parent / "open_clip_config.json").write_text("{}")
    with pytest.raises(MetricsError, match="is not open_clip's configuration"):
        load_embedder("open-clip", openai.parent)
    with pytest.raises(MetricsError, match="open-clip has no weights of its own"):
        load_embedder("open-clip")


def test_what_does_not_fit_or_has_collapsed_is_refused(
    network: open_clip.CLIP, openai: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(MetricsError, match="open-clip-vit-b-32 hears no sounds"):
        load_embedder("open-clip-vit-b-32", openai, Listening(rate_hz=16_000, window=None))
    state = network.state_dict()
    safetensors.torch.save_file(state | {"ln_final.weight": state["ln_final.weight"] * 0}, openai)
    with pytest.raises(MetricsError, match="8 unrelated captions"):
        load_embedder("open-clip-vit-b-32", openai)
    monkeypatch.setattr(open_clip, "get_model_config", lambda name: SMALL | {"embed_dim": 25})
    with pytest.raises(MetricsError, match="of another shape"):
        load_embedder("open-clip-vit-b-32", openai)


def test_the_real_configuration_is_known() -> None:
    for name, dim in (("ViT-B-32", 512), ("ViT-L-14", 768)):
        assert open_clip.get_model_config(name)["embed_dim"] == dim


def test_the_configuration_of_a_folder_is_a_part_of_its_protocol(openai: Path) -> None:
    made = []
    for mean in (PREPARED["mean"], [0.1, 0.2, 0.3]):
        config = {"model_cfg": SMALL | {"quick_gelu": True}, "preprocess_cfg": PREPARED | {"mean": mean}}
        (openai.parent / "open_clip_config.json").write_text(json.dumps(config))
        made.append(load_embedder("open-clip", openai.parent))
    assert made[0].protocol != made[1].protocol and made[0].space != made[1].space
