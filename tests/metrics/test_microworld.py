"""The micro-world's embedders: files, digests, windows, and independence of the batch. Weights are random here."""

from __future__ import annotations

import gzip
import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import open_clip
import pytest
import safetensors.torch
import torch

from clipsonic_metrics import MetricsError, Sound
from clipsonic_metrics.embedders import load_embedder
from clipsonic_metrics.embedders.microworld.files import SHIPPED, write_digests
from clipsonic_metrics.embedders.microworld.networks import ContrastiveSoundText, FactorProbe, SoundEncoder

MEDIA = Path(__file__).parents[2] / ".." / "shared" / "media"
CONTEXT, VOCABULARY, DIM = 16, 514 + 3, 32
LEVELS = {"kind": ["bell", "drum"], "count": [1, 2, 3]}


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of weights as training writes it, with random networks."""
    folder = tmp_path_factory.mktemp("weights")
    (folder / "clip").mkdir()
    merges = "#version: 0.2\nb e\nbe l\nbel l</w>"
    (folder / "clip" / "merges.txt.gz").write_bytes(gzip.compress(merges.encode(), mtime=0))
    text = {"context_length": CONTEXT, "vocab_size": VOCABULARY, "width": 32, "heads": 2, "layers": 1}
    vision = {"image_size": 64, "layers": [1, 1, 1, 1], "width": 16, "head_width": 16}
    config = {"embed_dim": DIM, "vision_cfg": vision, "text_cfg": text}
    preprocess = {
        "size": 64,
        "mean": [0.5] * 3,
        "std": [0.25] * 3,
        "interpolation": "bicubic",
        "resize_mode": "shortest",
    }
    written = {"schema": 1, "model_cfg": config, "preprocess_cfg": preprocess}
    (folder / "clip" / "open_clip_config.json").write_text(json.dumps(written))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        save(folder / "clip" / "open_clip_model.safetensors", open_clip.CLIP(**config))
        save(folder / "clap.safetensors", lively(ContrastiveSoundText(VOCABULARY, CONTEXT, DIM)))
        save(folder / "wav2clip.safetensors", lively(SoundEncoder(DIM)))
        save(folder / "probe.safetensors", lively(FactorProbe({"kind": 2, "count": 3})))
    clap = {"vocabulary": VOCABULARY, "context": CONTEXT, "dim": DIM}
    for name, arguments in (("clap", clap), ("wav2clip", {"dim": DIM}), ("probe", {"levels": LEVELS})):
        (folder / f"{name}.json").write_text(json.dumps({"schema": 1, **arguments}))
    write_digests(folder)
    return folder


def lively(network: torch.nn.Module) -> torch.nn.Module:
    """As drawn by torch, the networks hear hardly a difference between sounds; the gate would refuse them."""
    with torch.no_grad():
        for name, part in network.named_parameters():
            if part.ndim >= 2 and "embedding" not in name:
                part.normal_(0, (2 / part[0].numel()) ** 0.5)
            elif name.endswith("bias"):
                part.zero_()
    return network


def save(path: Path, network: torch.nn.Module) -> None:
    state = {name: (part.half() if part.is_floating_point() else part) for name, part in network.state_dict().items()}
    safetensors.torch.save_file({name: part.contiguous() for name, part in state.items()}, str(path), {"format": "pt"})


def sounds(count: int, seconds: float = 2.048, rate_hz: int = 16_000) -> list[Sound]:
    time = np.arange(int(seconds * rate_hz)) / rate_hz
    return [
        Sound.of(f"{index}", (0.3 * np.sin(2 * np.pi * 150 * (1 + index / 3) * time)).astype(np.float32), rate_hz)
        for index in range(count)
    ]


@pytest.mark.parametrize("name", ["microworld-clap", "microworld-wav2clip", "microworld-probe"])
def test_sounds_do_not_feel_their_neighbours(weights: Path, name: str) -> None:
    embedder, items = load_embedder(name, weights), sounds(37)
    together = embedder.embed_sounds(items)
    backwards = embedder.embed_sounds(items[::-1])[::-1]
    alone = [embedder.embed_sounds([item])[0] for item in items[:3]]
    np.testing.assert_array_equal(np.concatenate(backwards), np.concatenate(together))
    np.testing.assert_array_equal(np.concatenate(alone), np.concatenate(together[:3]))
    assert np.abs(together[0] - together[1]).max() > 1e-4  # and they are not all the same
    assert embedder.embed_sounds([]) == []


def test_windows_follow_the_rule_of_the_protocol(weights: Path) -> None:
    clap = load_embedder("microworld-clap", weights)
    for seconds, rate_hz, windows in ((2.048, 16_000, 1), (5.0, 44_100, 2), (5.2, 22_050, 3), (0.3, 8000, 1)):
        [vectors] = clap.embed_sounds(sounds(1, seconds, rate_hz))
        assert vectors.shape == (windows, DIM) and vectors.dtype == np.float32
        np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-5)
    digest = hashlib.sha256((weights / "clap.safetensors").read_bytes()).hexdigest()[:12]
    expected = "microworld-clap@1/16000Hz/2.048s-hop2.048s/repeat-pad-tail-half/mono-mean/soxr-hq/sha256:"
    assert clap.protocol == expected + digest


def test_spaces_say_what_may_be_compared(weights: Path) -> None:
    spaces = {
        name: load_embedder(f"microworld-{name}", weights).space for name in ("clap", "clip", "wav2clip", "probe")
    }
    assert spaces["clip"] == spaces["wav2clip"]
    assert len(set(spaces.values())) == 3


def test_texts_and_images_do_not_feel_their_neighbours(weights: Path) -> None:
    texts = ["bell", "a bell", "drum", *(f"bell {index}" for index in range(40))]
    for name in ("microworld-clap", "microworld-clip"):
        embedder = load_embedder(name, weights)
        vectors = embedder.embed_texts(texts)
        assert vectors.shape == (43, DIM) and len(np.unique(vectors.round(5), axis=0)) == 43
        np.testing.assert_allclose(embedder.embed_texts(texts[2:3]), vectors[2:3], atol=1e-6)
        np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-5)
    images = list(np.random.default_rng(0).integers(0, 255, (5, 80, 64, 3), dtype=np.uint8))
    clip = load_embedder("microworld-clip", weights)
    np.testing.assert_allclose(clip.embed_images(images[3:4]), clip.embed_images(images)[3:4], atol=1e-6)


def test_a_probe_names_its_factors(weights: Path) -> None:
    probe = load_embedder("microworld-probe", weights)
    assert probe.factors == {"kind": ("bell", "drum"), "count": ("1", "2", "3")}
    assert probe.embed_sounds(sounds(1))[0].shape == (1, 5)


def spoil(folder: Path, name: str) -> None:
    data = bytearray((folder / name).read_bytes())
    data[-3] ^= 1
    (folder / name).write_bytes(data)


@pytest.mark.parametrize(
    ("embedder", "name"),
    [
        ("clap", "clap.safetensors"),
        ("clap", "clip/merges.txt.gz"),
        ("clip", "clip/merges.txt.gz"),
        ("clip", "clip/open_clip_model.safetensors"),
        ("clip", "clip/open_clip_config.json"),
        ("wav2clip", "wav2clip.json"),
        ("probe", "probe.safetensors"),
    ],
)
def test_weights_that_are_not_as_recorded_are_refused(weights: Path, tmp_path: Path, embedder: str, name: str) -> None:
    copy = Path(shutil.copytree(weights, tmp_path / "copy"))
    spoil(copy, name)
    with pytest.raises(MetricsError, match=f"{Path(name).name} has sha256 .* its record says"):
        load_embedder(f"microworld-{embedder}", copy)
    (copy / name).unlink()
    with pytest.raises(MetricsError, match="cannot be read"):
        load_embedder(f"microworld-{embedder}", copy)
    (copy / "digests.json").unlink()
    with pytest.raises(MetricsError, match=r"digests\.json cannot be read"):
        load_embedder(f"microworld-{embedder}", copy)


def test_weights_that_do_not_fit_are_refused(weights: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(weights, tmp_path / "copy"))
    (copy / "wav2clip.json").write_text(json.dumps({"schema": 1, "dim": DIM + 1}))
    (copy / "probe.json").write_text(json.dumps({"schema": 1}))
    (copy / "clip" / "merges.txt.gz").write_bytes(gzip.compress(b"#version: 0.2\nb e", mtime=0))
    write_digests(copy)
    for name, message in (
        ("wav2clip", "does not fit its network"),
        ("probe", "schema 1 with levels"),
        ("clip", "gives 515 tokens, the text encoder has 517"),
        ("clap", "gives 515 tokens, the text encoder has 517"),
    ):
        with pytest.raises(MetricsError, match=message):
            load_embedder(f"microworld-{name}", copy)


@pytest.mark.parametrize(
    ("name", "tower", "message"),
    [
        ("clap", "sound.", "the sound weights of microworld-clap have collapsed: 5 unlike sounds"),
        ("clap", "text.transformer.", "the text weights of microworld-clap have collapsed: 8 unrelated captions"),
        ("wav2clip", "", "the sound weights of microworld-wav2clip have collapsed"),
        ("probe", "", "the sound weights of microworld-probe have collapsed"),
        ("clip/open_clip_model", "", "the text weights of microworld-clip have collapsed"),
    ],
)
def test_weights_that_have_collapsed_are_refused(
    weights: Path, tmp_path: Path, name: str, tower: str, message: str
) -> None:
    copy = Path(shutil.copytree(weights, tmp_path / "copy"))
    path = copy / f"{name}.safetensors"
    state = safetensors.torch.load_file(path)
    if f"{tower}token_embedding.weight" in state:  # every word, wherever it stands, is the same
        state[f"{tower}token_embedding.weight"].zero_()
        state[f"{tower}positional_embedding"].fill_(0)[:, 0] = 1
    else:  # deaf: what comes out is a bias
        state[f"{tower}tower.trunk.0.weight"].zero_()
        state[f"{tower}tower.head.0.bias"].fill_(1)
    safetensors.torch.save_file(state, str(path), {"format": "pt"})
    write_digests(copy)
    with pytest.raises(MetricsError, match=message):
        load_embedder(f"microworld-{name.split('/')[0]}", copy)


def test_nothing_is_embedded_as_nothing(weights: Path) -> None:
    """`torch.stack` and an empty batch once raised."""
    clap, clip = load_embedder("microworld-clap", weights), load_embedder("microworld-clip", weights)
    for vectors in (clap.embed_texts([]), clip.embed_texts([]), clip.embed_images([])):
        assert vectors.shape == (0, DIM) and vectors.dtype == np.float32
    assert clap.embed_sounds([]) == []


@pytest.mark.skipif(not SHIPPED.is_dir(), reason=f"no weights are at {SHIPPED}")
def test_shipped_weights_load_and_have_not_collapsed() -> None:
    words = [
        "a small bell rings",
        "a large dog barks in a hall",
        "water",
        "two wooden drums",
        "an engine on the street",
    ]
    for name in ("microworld-clap", "microworld-clip"):
        vectors = load_embedder(name).embed_texts(words).astype(np.float64)
        assert (vectors @ vectors.T)[np.triu_indices(5, 1)].min() < 0.95, name
    heard = [load_embedder(f"microworld-{name}").embed_sounds(sounds(8)) for name in ("clap", "wav2clip", "probe")]
    for vectors in heard:
        assert np.ptp(np.concatenate(vectors), axis=0).max() > 0.05


@pytest.mark.skipif(not MEDIA.is_dir(), reason=f"real media are not at {MEDIA}")
def test_real_videos_are_scored_from_end_to_end(
    weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from clipsonic_metrics.cli import run

    videos = sorted(path.stem for path in (MEDIA / "videos").glob("*.mp4"))
    captions = [f"{video},a {video.split('_')[0]}" for video in videos]
    (tmp_path / "prompts.csv").write_text("\n".join(["id,caption", *captions]))
    options = ["--weights", str(weights), "--cache", str(tmp_path / "cache"), "--json", "-"]
    given = ["--images", str(MEDIA / "videos"), "--prompts", str(tmp_path / "prompts.csv")]
    arguments = ["score", str(MEDIA / "videos"), "--reference", str(MEDIA / "sounds"), *given, *options]
    assert run([*arguments, "--metrics", "fad,kad,clap-score,clip-score,retrieval"]) == 0
    record = json.loads(capsys.readouterr().out)
    by_name = {score["metric"]: score for score in record["scores"]}
    assert list(by_name) == ["fad", "kad", "clap-score", "clip-score", "retrieval@1"]  # 6 items have no R@10
    assert [item["id"] for item in record["items"]] == videos and record["reference"]["items"] == 12
    assert by_name["fad"]["extra"]["frames"] > 6 and by_name["clip-score"]["protocol"].endswith("video-8-frames")
    assert all(score["low"] <= score["value"] <= score["high"] for score in record["scores"])
