"""What the audit finds, what stops and what only warns, and the command."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from clipsonic_metrics import Sound
from clipsonic_metrics.audit import DC_MEAN, Facts, clipped_samples
from clipsonic_metrics.cli import run

from .conftest import RATE_HZ, TinyEmbedder, tone

Maker = Callable[..., Path]
MEDIA = Path(__file__).parents[2] / ".." / "shared" / "media"


@pytest.fixture(autouse=True)
def own_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CLIPSONIC_CACHE", str(tmp_path / "cache"))


@pytest.mark.parametrize(
    ("samples", "clipped"),
    [
        ([0.1, 1, 1, 1, 0.1], 3),
        ([0.1, 1, 1, 0.1, 1, 1], 0),
        ([1, 1, -1, -1, 1, 1], 0),
        ([-1, -1, -1, -1, 0, 1, 1, 1], 7),
        ([32767 / 32768] * 4, 4),
        ([1.5, 1.2, 1.7, 0], 3),
        ([0.99] * 9, 0),
        ([], 0),
    ],
)
def test_clipping_is_a_run_at_full_scale(samples: list[float], clipped: int) -> None:
    if samples:
        assert clipped_samples(np.array([samples, np.zeros(len(samples))], np.float32)) == clipped


def test_a_channel_off_zero_is_found_though_the_mean_of_channels_is_not() -> None:
    both = np.stack([tone(300) + 0.1, tone(300) - 0.1])
    assert Facts.of(Sound.of("x", both, RATE_HZ)).dc > DC_MEAN
    assert abs(both.mean()) < DC_MEAN / 10, "what averaging the channels first would have looked at"


def spoil(folder: Path) -> None:
    (folder / "item-00.wav").write_bytes(b"broken")
    soundfile.write(folder / "item-01.wav", np.zeros(RATE_HZ), RATE_HZ)
    whole = (folder / "item-02.wav").read_bytes()
    (folder / "item-02.wav").write_bytes(whole[: len(whole) // 2])
    soundfile.write(folder / "item-03.wav", np.clip(9 * tone(300), -1, 1), RATE_HZ)
    soundfile.write(folder / "item-04.wav", tone(300) + 0.2, RATE_HZ)
    (folder / "item-05.wav").write_bytes((folder / "item-06.wav").read_bytes())
    soundfile.write(folder / "item-07.wav", np.stack([tone(300), tone(500)], axis=1), 2 * RATE_HZ)


def test_audit_lists_everything_and_exits_1_for_errors(
    tiny: TinyEmbedder, sound_folder: Maker, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    a, b = sound_folder("a"), sound_folder("b", n=9)
    assert run(["audit", str(a)]) == 0
    assert "12 files, 0 cannot be scored" in capsys.readouterr().out
    spoil(a)
    (tmp_path / "p.csv").write_text("id,caption\n" + "".join(f"item-{i:02d},x\n" for i in range(1, 14)))
    assert run(["audit", str(a), "--reference", str(b), "--prompts", str(tmp_path / "p.csv"), "--json", "-"]) == 1
    record = json.loads(capsys.readouterr().out)
    faults = {Path(each["file"]).stem: each["fault"] for each in record["sets"][0]["errors"]}
    assert set(faults) == {"item-00", "item-01", "item-02"}
    assert "unreadable" in faults["item-00"] and "silent" in faults["item-01"] and "breaks off" in faults["item-02"]
    warnings = {each["kind"]: each for each in record["warnings"]}
    assert warnings["clipped"]["ids"] == ["item-03"] and warnings["DC"]["ids"] == ["item-04"]
    assert "item-05 = item-06" in warnings["duplicates"]["said"] or "are in both" in warnings["duplicates"]["said"]
    said = " ".join(each["said"] for each in record["warnings"])
    assert "item-05 = item-06" in said and "sounds are in both" in said, "within, and between the two"
    assert "8 of 8000 Hz, 1 of 16000 Hz" in said and "8 of 1 channel, 1 of 2 channels" in said
    assert "unused" in warnings and "item-12" in warnings["unused"]["said"]
    assert run(["audit", str(a)]) == 1
    out = capsys.readouterr().out
    assert "cannot be scored" in out and "breaks off" in out


def test_the_audit_knows_what_an_embedder_needs_and_embeds_nothing(
    tiny: TinyEmbedder, sound_folder: Maker, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from clipsonic_metrics.listening import Listening

    monkeypatch.setattr(
        TinyEmbedder, "listening", Listening(rate_hz=RATE_HZ, window=2 * RATE_HZ, short="refuse"), raising=False
    )
    assert run(["audit", str(sound_folder("a")), "--embedder", "tiny"]) == 1
    assert "10 cannot be scored" in capsys.readouterr().out and tiny.embedded == 0


def test_the_same_audit_comes_before_every_score_and_warnings_are_recorded(
    tiny: TinyEmbedder, sound_folder: Maker, capsys: pytest.CaptureFixture[str]
) -> None:
    a, b = sound_folder("a"), sound_folder("b", n=9, pitch_hz=500)
    spoil(a)
    (b / "item-08.wav").write_bytes(b"broken")
    assert run(["fad", str(b), str(a), "--embedder", "tiny"]) == 2
    error = capsys.readouterr().err
    assert "3 of 12 files" in error and "1 of 9 files" in error and tiny.embedded == 0, "both sides at once"
    assert run(["fad", str(b), str(a), "--embedder", "tiny", "--on-bad", "skip", "--json", "-"]) == 0
    captured = capsys.readouterr()
    record = json.loads(captured.out)
    assert record["generated"]["items"] == 9 and record["reference"]["items"] == 8
    assert {"clipped", "DC", "unequal sizes"} <= {each["kind"] for each in record["warnings"]}
    assert "warning: clipped: " in captured.err and "left out 3 files" in captured.err


@pytest.mark.skipif(not MEDIA.is_dir(), reason=f"real media are not at {MEDIA}")
def test_real_sounds_pass(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["audit", str(MEDIA / "sounds"), "--json", "-"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert record["sets"][0]["files"] == 12 and record["sets"][0]["errors"] == []
    assert run(["audit", str(MEDIA / "videos")]) == 0
