"""Presets: every key says where it comes from, a mistake in a file is named, and the networks are what they claim."""

from __future__ import annotations

import re
from dataclasses import fields, replace
from pathlib import Path

import pytest
import torch

from clipsonic.mel import to_patches
from clipsonic.network import NetworkConfig, build_network, measure_network, predict
from clipsonic.preset import PRESETS, SECTIONS, Preset, condition_dim, load_preset, preset_names, read_provenance


@pytest.mark.parametrize("name", preset_names())
def test_every_key_of_a_preset_says_where_it_comes_from(name: str) -> None:
    """And every key there is is in the file, but for those whose default is to do nothing."""
    found = {(each.section, each.key): each for each in read_provenance(name)}
    lines = [line for line in (PRESETS / f"{name}.toml").read_text().splitlines() if re.match(r"\w+ *=", line)]
    assert len(found) == len(lines)
    known = {
        (section, field.name)
        for section, kind in SECTIONS.items()
        for field in fields(kind)
        if field.default is not None
    }
    optional = {(section, field.name) for section, kind in SECTIONS.items() for field in fields(kind)} - known
    known |= {("", "clip"), ("", "vocoder")}
    assert known - set(found) == set() and set(found) - known - optional == set()
    for each in found.values():
        assert re.match(r"(paper|predecessor|choice)(: \S|$)", each.provenance), each


def test_provenance_is_read_as_it_is_written(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text(
        'clip = "micro" # choice\n[mel]  # paper: no key\nhop = 64  # paper: p. 3\nbands = 1\n'
    )
    found = [vars(each) for each in read_provenance(str(tmp_path / "mine.toml"))]
    assert found == [
        {"section": "", "key": "clip", "value": '"micro"', "provenance": "choice"},
        {"section": "mel", "key": "hop", "value": "64", "provenance": "paper: p. 3"},
    ]


def test_the_nearest_preset_is_offered() -> None:
    with pytest.raises(ValueError, match=r"preset 'mirco' does not exist; did you mean 'micro'\? presets: .*micro"):
        load_preset("mirco")
    with pytest.raises(ValueError, match="preset 'zzz.toml' does not exist; presets: "):
        load_preset("zzz.toml")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("hop = 64", "hops = 64", r"\[mel\] got an unexpected keyword argument 'hops'"),
        ("steps = 6\n", "", r"\[training\] missing 1 required positional argument: 'steps'"),
        ("[mel]", "[mels]", "unknown section mels; known: mel, network, diffusion, training, sampling"),
        ("[mel]", "mel = 3\n[other]", "unknown section mel, other; known: "),
        ("[mel]", "vocoder = 3\n[mel]", "vocoder = 3: expected a name in quotes"),
        (
            "[mel]",
            'vocoder = "bigvgan-v2-24khz-100band"\n[mel]',
            r"toml: vocoder 'big.* rate_hz 8000 \(wanted",
        ),
        ("[mel]", 'vocoder = "griffin"\n[mel]', "did you mean 'griffin-lim'"),
        (
            "ema_decay = 0.9",
            "ema_decay = 1.0",
            r"\[training\] training: ema_decay is 1.0; expected 0 or more",
        ),
        ("condition_dropout = 0.25", "condition_dropout = 1.5", "condition_dropout is 1.5; expected 0 to 1"),
        ("condition_dropout = 0.25", "condition_dropout = nan", "condition_dropout is nan; expected 0 to 1"),
        ("learning_rate = 1e-3", "learning_rate = -1e-3", "learning_rate is -0.001; expected a number above 0"),
        ("learning_rate = 1e-3", 'learning_rate = "1e-3"', r"\[training\] learning_rate is '1e-3'; expected a number"),
        ("steps = 6", "steps = 6.5", r"\[training\] steps is 6.5; expected a whole number"),
        ("steps = 6", "steps = true", r"\[training\] steps is True; expected a whole number"),
        ("save_every = 2", 'micro_batch = "2"', r"micro_batch is '2'; expected a whole number"),
        ("standardise = true", "standardise = 1", "standardise is 1; expected true or false"),
        ('precision = "32-true"', "precision = 32", "precision is 32; expected a text in quotes"),
        (
            "channels = [16, 32]",
            "channels = [16, 32.5]",
            r"\[network\] channels is \[16, 32.5\]; expected a list",
        ),
        ("channels = [16, 32]", "channels = []", r"channels is \[\]; expected a width"),
        ("head_dim = 8", "head_dim = 0", "head_dim must be at least 1"),
        ("norm_groups = 8", "norm_groups = 7", "norm_groups 7 does not divide 16 channels"),
        ("head_dim = 8", "head_dim = 12", "head_dim 12 does not divide 32 channels"),
        ("prior_steps = 4", "prior_steps = 0", r"\[sampling\] sampling: prior_steps must be at least 1"),
        ("guidance_scale = 2.0", "guidance_scale = inf", "guidance_scale is inf; expected a finite number"),
        ("patch = [4, 4]", "patch = [3, 4]", r"\[mel\] patch \(3, 4\) does not divide"),
        ("warm_up = 2", "warm_up = 0", "warm_up must be at least 1"),
        ("[sampling]", '[diffusion]\nschedule = "cosine"\n[sampling]', r"\[diffusion\] diffusion: schedule 'cosine'"),
        ("[mel]", "[mel", "is not TOML"),
    ],
)
def test_a_mistake_in_a_file_is_named(tmp_path: Path, preset_file: Path, old: str, new: str, message: str) -> None:
    text = preset_file.read_text()
    assert text.count(old) >= 1
    (tmp_path / "mine.toml").write_text(text.replace(old, new, 1))
    with pytest.raises(ValueError, match=message):
        load_preset(str(tmp_path / "mine.toml"))


# The networks


def test_base_has_the_papers_size() -> None:
    """142.58 M is the one number of the architecture that is documented."""
    base = load_preset("base")
    assert condition_dim(base) == 768 and base.clip == "ViT-L-14/openai"
    size = measure_network(base.mel, 768, base.network)
    assert 140e6 < size.parameters < 145e6
    assert base.mel.samples / base.mel.rate_hz == pytest.approx(9.984)


@pytest.mark.parametrize(
    ("name", "millions", "gigaflops"), [("micro", 2.28, 0.235), ("small", 39.70, 47), ("base", 142.90, 497)]
)
def test_sizes_are_those_of_the_readme(name: str, millions: float, gigaflops: float) -> None:
    preset = load_preset(name)
    size = measure_network(preset.mel, condition_dim(preset), preset.network)
    assert size.parameters / 1e6 == pytest.approx(millions, abs=0.01)
    assert size.flops / 1e9 == pytest.approx(gigaflops, rel=0.05)


@pytest.mark.parametrize("name", preset_names())
def test_the_grid_of_patches_halves_without_a_rest(name: str) -> None:
    """Else an upsampled map is one row too large and is cut; diffusers does so, silently."""
    preset = load_preset(name)
    for size in preset.mel.grid:
        assert size % 2 ** (len(preset.network.channels) - 1) == 0
    assert preset.mel.frames * preset.mel.hop / preset.mel.rate_hz <= 10


def test_flops_are_counted_from_the_layers() -> None:
    """Against a count by hand of a 3 x 3 convolution, which is where most of them are."""
    tiny = load_preset("micro").mel
    narrow = measure_network(tiny, 8, NetworkConfig((16, 32), 1, 8, 8)).flops
    wide = measure_network(tiny, 8, NetworkConfig((32, 64), 1, 8, 8)).flops
    assert 3 < wide / narrow < 4
    double = measure_network(replace(tiny, frames=2 * tiny.frames), 8, NetworkConfig((32, 64), 1, 8, 8)).flops
    assert 1.9 < double / wide < 2.2


def test_the_network_sees_where_a_patch_is(preset: Preset) -> None:
    """Same content in every patch, other output in every row of bands: the positions are its only clue."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = build_network(preset.mel, 8, preset.network).eval()
    same = to_patches(torch.zeros(1, preset.mel.bands, preset.mel.frames), preset.mel)
    with torch.no_grad():
        said = predict(network, same, torch.tensor(500), torch.zeros(1, 8))
        told = predict(network, same, torch.tensor(500), torch.ones(1, 8))
    assert said.shape == same.shape
    middle = said[0, :, :, 3]
    assert float((middle[:, 1] - middle[:, 2]).abs().max()) > 1e-4
    assert float((said - told).abs().max()) > 1e-4
