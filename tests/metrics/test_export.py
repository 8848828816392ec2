"""Tables of scores as files: what is in them, and what stops them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from clipsonic_metrics import export
from clipsonic_metrics.cli import run
from clipsonic_metrics.export import FORMS, write_table

from .conftest import TinyEmbedder

Maker = Callable[..., Path]
ROW = {
    "metric": "fad",
    "version": 1,
    "value": 1.23456789,
    "low": 1.0,
    "high": 1.5,
    "level": 0.95,
    "items": 12,
    "unit": "100 % of a|b_c",
    "direction": "lower",
    "protocol": "fad@1/tiny",
    "method": "jackknife",
    "extra": {"frames": 37},
    "embedder": "tiny",
}
UNKNOWN = ROW | {"metric": "kad", "low": None, "high": None, "extra": {"bandwidth": 0.5}}


def test_csv_and_parquet_hold_every_field(tmp_path: Path) -> None:
    for suffix in (".csv", ".parquet"):
        write_table([ROW, UNKNOWN], tmp_path / f"x{suffix}")
        frame = pd.read_csv(tmp_path / "x.csv") if suffix == ".csv" else pd.read_parquet(tmp_path / "x.parquet")
        assert list(frame["value"]) == [1.23456789, 1.23456789] and list(frame["metric"]) == ["fad", "kad"]
        assert frame["extra/frames"][0] == 37 and pd.isna(frame["low"][1]) and frame["protocol"][0] == "fad@1/tiny"


def test_markdown_and_latex_are_as_one_would_print_them(tmp_path: Path) -> None:
    write_table([ROW, UNKNOWN], tmp_path / "x.md")
    lines = (tmp_path / "x.md").read_text().splitlines()
    assert lines[0].startswith("| metric | embedder | value |") and lines[1].startswith("| --- |")
    assert lines[2] == r"| fad | tiny | 1.2346 | [1.0000, 1.5000] | 100 % of a\|b_c | lower | 12 |"
    assert "not known" in lines[3] and lines[5] == "* fad: fad@1/tiny; interval 95 %, jackknife"
    write_table([ROW], tmp_path / "x.tex")
    text = (tmp_path / "x.tex").read_text()
    assert text.startswith("% fad: fad@1/tiny") and r"100 \% of a|b\_c" in text and text.count(r"\\") == 2


def test_without_pyarrow_parquet_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"pip install 'clipsonic\[model\]'"):
        write_table([ROW], tmp_path / "x.parquet")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("suffix", FORMS)
def test_the_command_writes_what_it_prints(
    tiny: TinyEmbedder, sound_folder: Maker, tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLIPSONIC_CACHE", str(tmp_path / "cache"))
    a, b, out = sound_folder("a"), sound_folder("b", pitch_hz=500), tmp_path / f"x{suffix}"
    assert (
        run(["score", str(b), "--reference", str(a), "--metrics", "fad,kad", "--embedder", "tiny", "--out", str(out)])
        == 0
    )
    assert out.stat().st_size > 0
