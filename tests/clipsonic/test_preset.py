"""Presets: every key says where it comes from, and a mistake in a file is named."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from clipsonic.preset import PRESETS, load_preset, preset_names


@pytest.mark.parametrize("name", preset_names())
def test_every_key_of_a_preset_says_where_it_comes_from(name: str) -> None:
    load_preset(name)
    keys = [line for line in (PRESETS / f"{name}.toml").read_text().splitlines() if re.match(r"\w+ *=", line)]
    assert keys
    for line in keys:
        assert re.search(r"# (paper|predecessor|choice)\b", line), line


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
        ("[mel]", "[mels]", "unknown section mels; known: mel, network, training, sampling"),
        ("patch = [4, 4]", "patch = [3, 4]", r"patch \(3, 4\) does not divide"),
        ("warm_up = 2", "warm_up = 0", "warm_up must be at least 1"),
        ("[mel]", "[mel", "is not TOML"),
    ],
)
def test_a_mistake_in_a_file_is_named(tmp_path: Path, preset_file: Path, old: str, new: str, message: str) -> None:
    text = preset_file.read_text()
    assert text.count(old) >= 1
    (tmp_path / "mine.toml").write_text(text.replace(old, new, 1))
    with pytest.raises(ValueError, match=message):
        load_preset(str(tmp_path / "mine.toml"))
