"""The frozen CLIP: unit vectors that depend on nothing but the item, and weights never random or mismatched."""

from __future__ import annotations

import gzip
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from clipsonic.clip import FrozenClip

TEXTS = ["the dog", "a bell", "the the the", ""]


@pytest.fixture(scope="module")
def clip(clip_folder: Path) -> FrozenClip:
    return FrozenClip(str(clip_folder))


@pytest.fixture(scope="module")
def pictures() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (70, 40, 48, 3)).astype(np.uint8)


def test_images_become_unit_vectors_whatever_their_batch(clip: FrozenClip, pictures: np.ndarray) -> None:
    together = clip.encode_image(pictures)
    assert together.shape == (70, 8) and together.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1, atol=1e-5)
    for index in (0, 63, 64, 69):
        np.testing.assert_allclose(clip.encode_image(pictures[index : index + 1])[0], together[index], atol=1e-5)
    as_pil = clip.encode_image([Image.fromarray(picture) for picture in pictures[:2]])
    np.testing.assert_allclose(as_pil, together[:2], atol=1e-5)


def test_texts_become_unit_vectors_whatever_their_batch(clip: FrozenClip) -> None:
    together = clip.encode_text(TEXTS)
    assert together.shape == (4, 8) and together.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1, atol=1e-5)
    for index, text in enumerate(TEXTS):
        np.testing.assert_allclose(clip.encode_text([text])[0], together[index], atol=1e-5)


def test_the_folder_brings_its_own_tokenizer(clip: FrozenClip) -> None:
    tokens = clip._tokenize(["the"])[0]
    assert tokens.shape == (16,) and tokens[:3].tolist() == [514, 513, 515]  # start, the second merge, end


def test_the_digest_is_of_the_weights(clip: FrozenClip, clip_folder: Path, tmp_path: Path) -> None:
    assert FrozenClip(str(clip_folder)).digest == clip.digest
    other = shutil.copytree(clip_folder, tmp_path / "other")
    weights = load_file(other / "open_clip_model.safetensors")
    weights["ln_final.bias"][3] += 1e-3
    save_file(weights, other / "open_clip_model.safetensors")
    assert FrozenClip(str(other)).digest != clip.digest


def test_a_tokenizer_of_another_size_is_refused(clip_folder: Path, tmp_path: Path) -> None:
    """Words would be looked up in rows of other words, and every score would be a little wrong."""
    other = shutil.copytree(clip_folder, tmp_path / "other")
    (other / "merges.txt.gz").write_bytes(gzip.compress(b"#version: 0.2\nt h"))
    with pytest.raises(ValueError, match="its tokenizer knows 515 tokens, its text tower 516"):
        FrozenClip(str(other))


def test_weights_of_another_shape_are_refused_in_one_sentence(clip_folder: Path, tmp_path: Path) -> None:
    other = shutil.copytree(clip_folder, tmp_path / "other")
    config = json.loads((other / "open_clip_config.json").read_text())
    config["model_cfg"]["embed_dim"] = 4
    (other / "open_clip_config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match="holds no CLIP that open_clip can read"):
        FrozenClip(str(other))


def test_an_architecture_without_weights_is_refused() -> None:
    """open_clip itself hands out random weights here."""
    with pytest.raises(ValueError, match=r"CLIP ViT-B-32 has no weights ''; give ViT-B-32/TAG, of openai, "):
        FrozenClip("ViT-B-32")
    with pytest.raises(ValueError, match="CLIP ViT-B-32 has no weights 'opena1'"):
        FrozenClip("ViT-B-32/opena1")


@pytest.mark.parametrize("name", ["VIT-L-14", "no/such/folder"])
def test_an_unknown_name_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="is not known: give micro, a folder with open_clip_config.json, or ARCH"):
        FrozenClip(name)


def test_loading_leaves_the_global_generator_alone(clip_folder: Path) -> None:
    before = torch.get_rng_state()
    FrozenClip(str(clip_folder))
    assert torch.equal(torch.get_rng_state(), before)


def test_batches_change_rounding_alone(clip: FrozenClip, clip_folder: Path, pictures: np.ndarray) -> None:
    small = FrozenClip(str(clip_folder), batch_size=3)
    np.testing.assert_allclose(small.encode_image(pictures[:7]), clip.encode_image(pictures[:7]), atol=1e-6)
    np.testing.assert_allclose(small.encode_text(TEXTS), clip.encode_text(TEXTS), atol=1e-6)


def test_vectors_of_another_space_are_refused_in_one_line(clip: FrozenClip) -> None:
    assert clip.dim == 8
    clip.expect("this", 8, clip.digest)
    clip.expect("this", 8)
    with pytest.raises(ValueError, match="this has 768 dimensions, CLIP .* has 8: it is of another space"):
        clip.expect("this", 768)
    with pytest.raises(ValueError, match=r"this was made with a CLIP of sha256 000000000000, CLIP .*another space"):
        clip.expect("this", 8, "0" * 64)


def test_weights_that_are_not_here_are_named_with_the_command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(ValueError, match="not on this machine; type: clipsonic weights fetch ViT-B-32/laion2b_s34b"):
        FrozenClip("ViT-B-32/laion2b_s34b_b79k")


def test_openai_s_weights_meet_the_activation_they_were_trained_with(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, pictures: np.ndarray
) -> None:
    """open_clip takes the exact GELU of the architecture's name, warns, and gives embeddings of another network."""
    import open_clip

    config = {
        "embed_dim": 8,
        "vision_cfg": {"image_size": 32, "layers": 2, "width": 16, "head_width": 8, "patch_size": 16},
        "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 8, "heads": 2, "layers": 1},
    }
    with torch.random.fork_rng():
        torch.manual_seed(0)
        quick = open_clip.CLIP(**config, quick_gelu=True)
    exact = open_clip.CLIP(**config)
    exact.load_state_dict(quick.state_dict())
    save_file(quick.state_dict(), tmp_path / "weights.safetensors")
    monkeypatch.setitem(open_clip.factory._MODEL_CONFIGS, "tiny", config)
    monkeypatch.setitem(open_clip.pretrained._PRETRAINED, "tiny", {"openai": {"quick_gelu": True}})
    monkeypatch.setattr("open_clip.factory.download_pretrained", lambda *_, **__: str(tmp_path / "weights.safetensors"))
    loaded = FrozenClip("tiny/openai")
    seen = torch.stack([loaded._preprocess(Image.fromarray(each)) for each in pictures[:4]])
    mine = loaded.encode_image(pictures[:4])
    with torch.no_grad():
        right, wrong = (model.eval().encode_image(seen, normalize=True).numpy() for model in (quick, exact))
    np.testing.assert_allclose(mine, right, atol=1e-6)
    assert np.abs(mine - wrong).max() > 1e-4  # the version that must fail
    monkeypatch.setitem(open_clip.pretrained._PRETRAINED, "tiny", {"other": {"quick_gelu": False}})
    assert FrozenClip("tiny/other").digest != loaded.digest  # the same weights, another network


def test_texts_that_are_cut_are_named(clip: FrozenClip) -> None:
    """Of the context of 16 tokens, two are the start and the end."""
    texts = ["the " * 14, "the " * 15, "", "! " * 15, "!" * 14, "!" * 15, "the dog"]
    assert clip.cut_texts(texts) == [1, 3, 5] and clip.cut_texts([]) == []
    many = ["a bell"] * 70 + ["the " * 15]
    assert clip.cut_texts(many) == [70]  # whatever batch it is in


@pytest.mark.parametrize("fills_with", ["its own token", "the end"])
def test_texts_that_are_cut_are_named_by_other_tokenizers(
    clip: FrozenClip, monkeypatch: pytest.MonkeyPatch, fills_with: str
) -> None:
    """As BERT's, which fills up with a token that is not 0; and T5's of SigLIP, with that of the end."""

    def tokenize(texts: list[str], context_length: int = 4) -> torch.Tensor:
        start, fill = ([7], 1) if fills_with == "its own token" else ([], 9)
        words = ([*start, *range(20, 20 + len(text.split()))][: context_length - 1] for text in texts)
        return torch.tensor([[*row, 9, *[fill] * (context_length - 1 - len(row))] for row in words])

    monkeypatch.setattr(clip, "_tokenize", tokenize)
    most = 2 if fills_with == "its own token" else 3
    texts = [" ".join(["word"] * count) for count in range(6)]
    assert clip.cut_texts(texts) == list(range(most + 1, 6))
