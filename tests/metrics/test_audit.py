"""What the audit finds, what stops and what only warns, and the command."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

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


def kinds(record: dict[str, Any]) -> set[str]:
    return {each["kind"] for each in record["warnings"]}


def test_the_audit_goes_through_npz(
    tiny: TinyEmbedder, sound_folder: Maker, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    a, b = sound_folder("a"), sound_folder("b", n=9, pitch_hz=500)
    soundfile.write(a / "item-03.wav", np.clip(9 * tone(300), -1, 1), RATE_HZ)
    (b / "item-02.wav").write_bytes((a / "item-06.wav").read_bytes())
    for folder in (a, b):
        assert run(["embed", str(folder), "--embedder", "tiny", "--out", f"{folder}.npz"]) == 0
    capsys.readouterr()
    said = []
    for ends in (("", ""), (".npz", ""), ("", ".npz"), (".npz", ".npz")):
        paths = [f"{folder}{end}" for folder, end in zip((a, b), ends, strict=True)]
        assert run(["fad", *paths, "--embedder", "tiny", "--json", "-"]) == 0
        record = json.loads(capsys.readouterr().out)
        said.append([(each["kind"], each["ids"]) for each in record["warnings"]])
    assert said[0] == said[1] == said[2] == said[3]
    assert {kind for kind, _ in said[0]} == {"clipped", "duplicates", "unequal sizes"}


def test_an_npz_without_facts_says_so(
    tiny: TinyEmbedder, sound_folder: Maker, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from dataclasses import replace

    from clipsonic_metrics.embedding import embed_folder
    from clipsonic_metrics.npz import save_embeddings

    made = embed_folder(sound_folder("a"), tiny, cache=None)
    save_embeddings(replace(made, facts={}), tmp_path / "a.npz")
    assert run(["fad", str(tmp_path / "a.npz"), str(tmp_path / "a"), "--embedder", "tiny", "--json", "-"]) == 0
    assert kinds(json.loads(capsys.readouterr().out)) == {"not audited"}


def test_one_set_on_both_sides_is_told(
    tiny: TinyEmbedder, sound_folder: Maker, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    a = sound_folder("a")
    (tmp_path / "link").symlink_to(a)
    for other in (str(a), f"{a}/../a", str(tmp_path / "link")):
        assert run(["fad", str(a), other, "--embedder", "tiny", "--json", "-"]) == 0
        captured = capsys.readouterr()
        assert "same set" in kinds(json.loads(captured.out)) and "it is scored against itself" in captured.err


def test_too_few_sounds_are_told_of_all_metrics_before_anything_is_embedded(
    tiny: TinyEmbedder, sound_folder: Maker, capsys: pytest.CaptureFixture[str]
) -> None:
    a, b = sound_folder("a", n=5), sound_folder("b", n=4, pitch_hz=500)
    asked = ["score", str(b), "--reference", str(a), "--embedder", "tiny", "--metrics"]
    assert run([*asked, "fad,fad-infinity,kad,coverage"]) == 2
    error = capsys.readouterr().err
    assert "fad-infinity needs 16 generated sounds" in error and "has 4" in error
    assert "coverage needs 6 generated sounds" in error and "coverage needs 6 reference sounds" in error
    assert "kad" not in error and tiny.embedded == 0
    assert run([*asked, "fad,kad,kid"]) == 0


def test_sounds_of_one_frame_are_told_before_anything_is_embedded(
    tiny: TinyEmbedder,
    sound_folder: Maker,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    from clipsonic_metrics.listening import Listening

    a, b = sound_folder("a"), sound_folder("b", pitch_hz=500)
    seconds = Listening(rate_hz=RATE_HZ, window=RATE_HZ, hop=RATE_HZ // 2)
    monkeypatch.setattr(TinyEmbedder, "listening", seconds, raising=False)
    asked = ["score", str(b), "--reference", str(a), "--embedder", "tiny", "--metrics", "fad,per-item-fad"]
    tiny.embedded = 0
    assert run([*asked, "--no-cache"]) == 2
    error = capsys.readouterr().err
    assert "3 of 12 files in" in error and "too short for per-item-fad: 1 frame of tiny" in error
    assert tiny.embedded <= 12, "of the reference at most"
    assert run([*asked, "--no-cache", "--on-bad", "skip", "--json", "-"]) == 0
    assert json.loads(capsys.readouterr().out)["scores"][1]["items"] == 9


@pytest.mark.parametrize(
    "command", [["fad", "a", "b"], ["score", "a"], ["gap", "x", "y"], ["weights", "random", "vggish", "--out", "w"]]
)
def test_a_negative_seed_is_a_usage_error(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run([*command, "--seed", "-1"]) == 2
    error = capsys.readouterr().err
    assert "'--seed': Input should be greater than or equal to 0" in error and error.count("\n") == 1
