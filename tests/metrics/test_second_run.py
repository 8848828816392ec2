"""The same command again: everything is in the cache, so no network is built, and torch is not even imported."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from clipsonic_metrics import MetricsError, Sound
from clipsonic_metrics.cli import run
from clipsonic_metrics.embedders import EMBEDDERS, find_embedder, load_embedder, panns, vggish
from clipsonic_metrics.embedders.microworld.files import WeightsFolder
from clipsonic_metrics.random_weights import write_random_weights

Maker = Callable[..., Path]
ALONE = """
import sys
from clipsonic_metrics.cli import run
code = run(sys.argv[1:])
loaded = [name for name in ("torch", "transformers", "open_clip", "pandas", "scipy.stats") if name in sys.modules]
sys.exit(f"{code}, with {loaded}" if code or loaded else 0)
"""


@pytest.fixture
def asked(sound_folder: Maker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A command with every kind of input: sounds, captions, images, and three networks with random weights."""
    monkeypatch.setenv("CLIPSONIC_CACHE", str(tmp_path / "cache"))
    generated, reference = sound_folder("generated", n=6), sound_folder("reference", n=6, pitch_hz=320.0)
    (tmp_path / "images").mkdir()
    for index, path in enumerate(sorted(generated.iterdir())):
        pixels = np.random.default_rng(index).integers(0, 255, (32, 32, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "images" / f"{path.stem}.png")
    captions = [f"{path.stem},a bell {index}" for index, path in enumerate(sorted(generated.iterdir()))]
    (tmp_path / "prompts.csv").write_text("\n".join(["id,caption", *captions]))
    inputs = ["--reference", str(reference), "--prompts", str(tmp_path / "prompts.csv")]
    weights = []
    for name in ("vggish", "panns-cnn14-16k"):
        write_random_weights(name, tmp_path / f"{name}.safetensors", seed=0)
        weights += ["--weights", f"{name}={tmp_path / name}.safetensors"]
    embedders = ["--embedder", "vggish,panns-cnn14-16k,microworld-clap,microworld-wav2clip,microworld-clip"]
    metrics = ["--metrics", "fad,kad,inception-score,clap-score,clip-score"]
    return ["score", str(generated), *inputs, "--images", str(tmp_path / "images"), *embedders, *weights, *metrics]


def test_a_second_run_builds_no_network_and_gives_the_same(
    asked: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = tmp_path / "first.json", tmp_path / "second.json"
    assert run([*asked, "--json", str(first)]) == 0

    def built(*_: object) -> None:
        raise MetricsError("a network was built")

    for module, name in ((vggish, "read_state"), (panns, "read_state"), (WeightsFolder, "load_state")):
        monkeypatch.setattr(module, name, built)
    monkeypatch.setattr("open_clip.create_model_and_transforms", built)
    assert run([*asked, "--json", str(second)]) == 0, capsys.readouterr().err
    assert json.loads(first.read_text()) == json.loads(second.read_text())
    assert run([*asked, "--no-cache"]) == 2  # and with nothing kept, all of them are needed
    assert "a network was built" in capsys.readouterr().err


def test_a_second_run_imports_no_torch(asked: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(asked) == 0
    done = subprocess.run(
        [sys.executable, "-c", ALONE, *asked], capture_output=True, text=True, check=False, env=dict(os.environ)
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == capsys.readouterr().out


def test_weights_that_do_not_fit_are_told_when_they_are_needed(tmp_path: Path) -> None:
    write_random_weights("wav2clip", tmp_path / "w.safetensors", seed=0)
    found = find_embedder("vggish", tmp_path / "w.safetensors")  # what it is can be said: its protocol has the digest
    assert found.protocol.startswith("vggish@1/")
    with pytest.raises(MetricsError, match="does not fit the network"):
        found.build()
    with pytest.raises(MetricsError, match="does not fit the network"):
        load_embedder("vggish", tmp_path / "w.safetensors")


def test_what_is_found_is_what_is_loaded(tmp_path: Path) -> None:
    for name in EMBEDDERS:
        if name.startswith("microworld-"):
            assert find_embedder(name).protocol == load_embedder(name).protocol, name


def test_a_network_that_is_built_late_is_as_good_as_any(tmp_path: Path) -> None:
    """Built where torch's inference mode has begun, its parameters could not be used or changed outside of it."""
    write_random_weights("panns-cnn14-16k", tmp_path / "p.safetensors", seed=0)
    sound = Sound.of("x", np.random.default_rng(0).normal(0, 0.1, 16_000), 16_000)
    for method in ("embed_sounds", "classify_sounds"):
        found = find_embedder("panns-cnn14-16k", tmp_path / "p.safetensors")
        getattr(found, method)([sound])
        assert not any(part.is_inference() for part in found.build().parameters())
    for name in ("microworld-clap", "microworld-wav2clip"):
        found = find_embedder(name)
        found.embed_sounds([sound])
        built = found.build()
        network = built[0] if isinstance(built, tuple) else built
        assert not any(part.is_inference() for part in network.parameters())
