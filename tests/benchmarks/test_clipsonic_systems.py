"""The systems made of a model, on a tiny CLIPSonic with random weights: right route, right conditions, one identity."""

from __future__ import annotations

import gzip
import json
import shutil
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import open_clip
import pytest
import torch
from safetensors.torch import save_file

from clipsonic.diffusion import make_sampler
from clipsonic.mel import MelConfig
from clipsonic.network import NetworkConfig, build_network
from clipsonic.pipeline import CLIPSonicPipeline
from clipsonic.prior import build_prior
from clipsonic.prior_folder import PriorRecord, write_record
from clipsonic.prior_preset import PriorSampling
from clipsonic.settings import Conditioning, Settings
from clipsonic_benchmarks.errors import BenchmarkError
from clipsonic_benchmarks.registry import SYSTEMS, load
from clipsonic_benchmarks.split import Item, read_item_sound, read_split
from clipsonic_benchmarks.suite import load_suite
from clipsonic_benchmarks.system import Context
from clipsonic_benchmarks.systems import clipsonic as module

DIM = 8
MEL = MelConfig(rate_hz=16_000, n_fft=256, hop=64, bands=16, frames=32, f_max_hz=8000.0, patch=(4, 4))
MODEL_SYSTEMS = [name for name, entry in SYSTEMS.items() if entry.target.startswith(module.__name__)]


@pytest.fixture(scope="session")
def clip_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clip")
    (folder / "merges.txt.gz").write_bytes(gzip.compress(b"#version: 0.2\nt h\nth e</w>", mtime=0))
    config = {
        "embed_dim": DIM,
        "vision_cfg": {"image_size": 32, "layers": 1, "width": 32, "head_width": 16, "patch_size": 16},
        "text_cfg": {"context_length": 16, "vocab_size": 2 * 256 + 2 + 2, "width": 32, "heads": 2, "layers": 1},
    }
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = open_clip.CLIP(**config)
    state = {name: value.contiguous() for name, value in network.state_dict().items()}
    save_file(state, folder / "open_clip_model.safetensors")
    preprocess = {"size": 32, "mean": [0.5] * 3, "std": [0.25] * 3}
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": config, "preprocess_cfg": preprocess}))
    return folder


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory, clip_folder: Path) -> Path:
    """A model folder with both priors, random weights."""
    known = Conditioning(DIM, 3.0, (0.0,) * DIM, (0.3,) * DIM, (-0.3,) * DIM)
    settings = Settings(MEL, known, str(clip_folder), steps=3, prior_steps=3)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        network = build_network(MEL, DIM, NetworkConfig(channels=(16, 32), head_dim=8, norm_groups=8))
        priors = [build_prior(DIM, heads=2, head_dim=8, layers=1) for _ in range(2)]
    for prior in priors:
        prior.requires_grad_(False).clip_std.fill_(0.4)
    folder = tmp_path_factory.mktemp("model") / "tiny"
    pipe = CLIPSonicPipeline(
        network, make_sampler("dpm-solver++", settings.diffusion), *priors, settings=settings.as_dict()
    )
    pipe.save_pretrained(str(folder), safe_serialization=True)
    return folder


class FakeClap:
    protocol = "fake-clap"

    def embed_texts(self, texts: list[str]) -> np.ndarray:
        return np.eye(DIM, dtype=np.float32)[[int(text[-1]) for text in texts]]


@pytest.fixture
def make(
    fake: ModuleType, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., tuple[Any, tuple[Item, ...]]]:
    """`make(name)`: a system of the tiny model, and eight items to ask it about."""
    monkeypatch.setattr(module, "OWN_MODELS", {})
    monkeypatch.setattr(module, "_clap", lambda encoders: FakeClap())
    items = fake.write_world(tmp_path / "items", 8)
    reference = fake.write_world(tmp_path / "reference", 12, seed=5)
    context = Context(items.folder, reference.folder, str(model), load_suite("quickstart").encoders)

    def made(name: str, argument: str | None = None) -> tuple[Any, tuple[Item, ...]]:
        return load(SYSTEMS[name].target)(name, argument, context), items.items

    return made


@pytest.mark.parametrize("name", MODEL_SYSTEMS)
def test_every_system_answers_whatever_the_batch(name: str, make: Callable[..., Any]) -> None:
    system, items = make(name)
    together = system.generate(items[:5], 0)
    assert [sound.id for sound in together] == [item.id for item in items[:5]]
    assert all(sound.fault() is None for sound in together)
    one_by_one = [system.generate([item], 0)[0] for item in items[:5]]
    for a, b in zip(together, one_by_one, strict=True):
        assert np.array_equal(a.samples, b.samples), "bit by bit"
    more = system.generate([*items[4:], *items[:4], *items[4:]], 0)
    assert np.array_equal(more[0].samples, together[4].samples), "in another place, in another group"


def test_routes_ask_for_different_sounds(make: Callable[..., Any]) -> None:
    sounds = {}
    for name in (*module.ROUTES, "clap-tta", "unconditional"):
        system, items = make(name)
        sounds[name] = system.generate(items[:1], 0)[0].samples
    assert np.allclose(sounds.pop("clip-tta"), sounds["clipsonic-zs"]), "one route, one model, one sound"
    names = list(sounds)
    for index, a in enumerate(names):
        for b in names[index + 1 :]:
            assert not np.allclose(sounds[a], sounds[b], atol=1e-4), (a, b)


def test_seeds_change_what_is_generated(make: Callable[..., Any]) -> None:
    system, items = make("clipsonic-iq")
    assert not np.allclose(system.generate(items[:1], 0)[0].samples, system.generate(items[:1], 1)[0].samples)


def test_an_identity_tells_how_the_priors_of_the_folder_are_sampled(
    make: Callable[..., Any], model: Path, tmp_path: Path
) -> None:
    """An attached prior's own record goes before the settings, as in sampling."""
    other = tmp_path / "attached"
    shutil.copytree(model, other)
    how = PriorSampling(guidance_scale=1.5, steps=2, samples=3)
    record = PriorRecord(
        "tiny", None, DIM, 9, **asdict(how), image_mean=(0.1,) * DIM, text_mean=(0.2,) * DIM, scores={}
    )
    write_record(record, other / "prior_pd")
    told = {name: make(name, str(other))[0].identity() for name in ("clipsonic-pd", "clipsonic-sd", "clipsonic-zs")}
    assert told["clipsonic-pd"].items() >= {f"prior_{key}": value for key, value in asdict(how).items()}.items()
    assert module.pipeline(other).prior_sampling("text+prior-pd") == how
    for name in ("clipsonic-sd", "clipsonic-zs"):
        assert told[name]["prior_steps"] == 3 and "prior_samples" not in told[name]


def test_an_identity_holds_route_weights_and_settings(make: Callable[..., Any], model: Path, tmp_path: Path) -> None:
    identities = [dict(make(name)[0].identity()) for name in MODEL_SYSTEMS if name != "clip-tta"]
    assert len({json.dumps(one, sort_keys=True) for one in identities}) == len(identities)
    other = tmp_path / "other"
    shutil.copytree(model, other)
    before = make("clipsonic-iq", str(other))[0].identity()
    weights = next((other / "unet").glob("*.safetensors"))
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(bytes(data))
    after = make("clipsonic-iq", str(other))[0].identity()
    assert before["weights_sha256"] != after["weights_sha256"]
    assert before["clip_sha256"] == after["clip_sha256"] is not None


def test_nearest_plays_the_sound_of_the_nearest_frame(make: Callable[..., Any]) -> None:
    system, items = make("nearest")
    pipe = module.pipeline(system.folder)
    bank = read_split(system.context.reference).items
    near = pipe.encode_image(module.frames_of(items)) @ pipe.encode_image(module.frames_of(bank)).T
    for row, sound in zip(near, system.generate(items, 0), strict=True):
        assert np.array_equal(sound.samples, read_item_sound(bank[int(row.argmax())]).samples)


def test_resynthesis_resembles_its_item_more_than_others(make: Callable[..., Any]) -> None:
    system, items = make("resynthesis")
    made = np.stack([np.abs(np.fft.rfft(sound.samples)) for sound in system.generate(items[:4], 0)])
    own = np.stack([np.abs(np.fft.rfft(read_item_sound(item).samples[: MEL.samples])) for item in items[:4]])
    likeness = np.corrcoef(np.log(made + 1e-3), np.log(own + 1e-3))[:4, 4:]
    assert (likeness.argmax(axis=1) == np.arange(4)).all()


def test_gap_conditions_are_those_of_the_routes(make: Callable[..., Any], model: Path) -> None:
    system, items = make("clipsonic-iq")
    images, conditions = module.gap_conditions(str(model), system.context.items, 0)
    assert list(conditions) == ["clipsonic-iq", "clipsonic-pd", "clipsonic-sd", "clipsonic-zs", "clipsonic-shift"]
    assert np.array_equal(conditions["clipsonic-iq"], images)
    assert images.shape == (len(items), DIM)
    for vectors in conditions.values():
        assert np.linalg.norm(vectors, axis=1) == pytest.approx(1, abs=1e-5)


def test_a_folder_without_a_model_is_one_line(make: Callable[..., Any], tmp_path: Path) -> None:
    for name, said in ((str(tmp_path), "holds no model"), ("micro-99", "no model 'micro-99' ships")):
        with pytest.raises(BenchmarkError, match=said):
            make("clipsonic-iq", name)
    (tmp_path / "model_index.json").write_text("{}")
    with pytest.raises(BenchmarkError, match="is not a CLIPSonic's"):
        make("clipsonic-iq", str(tmp_path))[0].identity()


def test_a_broken_model_folder_is_one_line(make: Callable[..., Any], model: Path, tmp_path: Path) -> None:
    shutil.copytree(model, tmp_path / "broken")
    next((tmp_path / "broken" / "unet").glob("*.safetensors")).write_bytes(b"not weights")
    system, items = make("clipsonic-iq", str(tmp_path / "broken"))
    with pytest.raises(BenchmarkError, match="cannot be loaded as a model"):
        system.generate(items[:1], 0)
