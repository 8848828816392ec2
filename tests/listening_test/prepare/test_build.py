"""From a folder to a study: what is served is loud alike, sized alike, the same each time, and whole or not there."""

from __future__ import annotations

import errno
import hashlib
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from PIL import Image

from clipsonic_listening_test import ListeningTestError
from clipsonic_listening_test.check import check_study
from clipsonic_listening_test.pages import TRIALS
from clipsonic_listening_test.prepare import build
from clipsonic_listening_test.prepare.build import Inputs, Made, make_study
from clipsonic_listening_test.prepare.loudness import measure
from clipsonic_listening_test.prepare.material import Options
from clipsonic_listening_test.prepare.progress import no_progress
from clipsonic_listening_test.study import MUSHRA, Study, load_study


def make(folder: Path, out: Path, workers: int = 2, table: Path | None = None, **options: Any) -> Made:
    options = {"preset": "gen"} | options
    return make_study(Inputs(folder, table), Options(**options), out, workers, no_progress)


def content(folder: Path) -> dict[str, str]:
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def read(study: Study, id: str) -> np.ndarray:
    samples, rate_hz = soundfile.read(study.sound_path(id), dtype="float64", always_2d=True)
    assert rate_hz == study.rate_hz
    return samples


@pytest.fixture
def gen(maker: Any, tmp_path: Path) -> Study:
    return make(maker.folder(), tmp_path / "study", table=maker.table()).study


def test_the_same_input_gives_the_same_bytes(maker: Any, tmp_path: Path) -> None:
    samples, table = maker.folder(), maker.table()
    for name, workers in (("one", 1), ("three", 3), ("again", 2)):
        (tmp_path / name).mkdir()
        make(samples, tmp_path / name / "study", workers, table)
    one, three, again = (content(tmp_path / name / "study") for name in ("one", "three", "again"))
    assert one == three == again and len(one) > 10
    make(samples, tmp_path / "other", 2, table, seed=1)
    assert content(tmp_path / "other") != one


def test_loudness_is_one_and_gains_are_recorded(gen: Study, maker: Any) -> None:
    """The sources differ by up to 10 dB; what is served does not, and the gains say what was done."""
    systems = {id: each for id, each in gen.stimuli.items() if each.role in ("system", "hidden_real")}
    gains = {each.gain_db for each in systems.values()}
    assert max(gains) - min(gains) > 6
    for id, each in systems.items():
        level = measure(read(gen, id), gen.rate_hz)
        assert level.lufs == pytest.approx(gen.loudness.target_lufs, abs=0.1)
        assert each.lufs == pytest.approx(level.lufs, abs=0.01)
        assert each.true_peak_dbtp == pytest.approx(level.true_peak_dbtp, abs=0.01)
        assert each.source is not None and each.source.rate_hz == 16_000
        source, _ = soundfile.read(maker.root / "samples" / each.source.path, always_2d=True)
        expected = np.repeat(source, 2, axis=1) * 10 ** (each.gain_db / 20)
        assert np.max(np.abs(read(gen, id) - expected)) < 2**-22
        assert (
            each.source.sha256 == hashlib.sha256((maker.root / "samples" / each.source.path).read_bytes()).hexdigest()
        )


def test_files_of_one_page_have_one_size(gen: Study) -> None:
    for page in gen.pages.values():
        sizes = {gen.stimuli[id].bytes for id in page.stimuli_used()}
        assert len(sizes) <= 1
        assert sizes <= {gen.sound_path(id).stat().st_size for id in page.stimuli_used()}
    plain = {len(read(gen, id).tobytes()) for id in gen.stimuli}
    assert plain  # decoded all


def test_peaks_guard_lowers_all_alike(maker: Any, tmp_path: Path) -> None:
    samples = maker.folder()
    spiky = maker.sound(99)
    spiky[5000] = 1.0  # loudness hardly knows, the true peak does
    maker.write("samples/ours/p1.wav", spiky * 0.5)
    made = make(samples, tmp_path / "study", table=maker.table(), target_lufs=-12.0)
    study = made.study
    assert study.loudness.target_lufs < -12
    assert any(note.startswith("target lowered from -12 to") and "ours/p1.wav" in note for note in made.notes)
    levels = {id: measure(read(study, id), study.rate_hz) for id in study.stimuli}
    assert max(level.true_peak_dbtp for level in levels.values()) <= -1.0 + 0.05
    systems = [levels[id].lufs for id, each in study.stimuli.items() if each.role == "system"]
    assert np.ptp([lufs for lufs in systems if lufs is not None]) < 0.1


def test_levels_can_be_kept(maker: Any, tmp_path: Path) -> None:
    study = make(maker.folder(), tmp_path / "study", table=maker.table(), target_lufs=None).study
    assert {each.gain_db for each in study.stimuli.values()} == {0.0}
    assert study.loudness.standard.startswith("none")


def test_mono_and_stereo_and_rates_meet(maker: Any, tmp_path: Path) -> None:
    samples = maker.folder(systems=("ours",), prompts=("p1",))
    maker.write("samples/theirs/p1.wav", maker.sound(5, 0.6, 44_100, 2), 44_100)
    study = make(samples, tmp_path / "study", passes="fidelity").study
    assert study.rate_hz == 44_100 and study.channels == 2
    for id, each in study.stimuli.items():
        assert read(study, id).shape == (each.frames, 2)
    ours = next(id for id, each in study.stimuli.items() if each.system == "ours" and each.role == "system")
    left, right = read(study, ours).T
    assert np.array_equal(left, right)


def test_mono_stays_mono_without_headphone_check(maker: Any, tmp_path: Path) -> None:
    study = make(maker.folder(), tmp_path / "study", table=maker.table(), headphones=False).study
    assert study.channels == 1 and {each.channels for each in study.stimuli.values()} == {1}


def test_mushra_is_mushra(maker: Any, tmp_path: Path) -> None:
    prompts = tuple(f"p{k}" for k in range(5))
    samples = maker.folder(prompts=prompts, rate_hz=24_000)
    study = make(samples, tmp_path / "study", preset="mushra").study
    assert study.name == MUSHRA and study.departures == ()
    for page in study.pages.values():
        if page.type == "mushra":
            by_role = {study.stimuli[id].role: id for id in page.stimuli}
            assert page.reference is not None
            reference = read(study, page.reference)
            assert np.array_equal(read(study, by_role["hidden_reference"]), reference)
            for role in ("low_anchor", "mid_anchor"):
                anchor = read(study, by_role[role])
                size = 2 * len(anchor)
                cross = np.fft.irfft(np.fft.rfft(anchor[:, 0], size) * np.conj(np.fft.rfft(reference[:, 0], size)))
                assert int(np.argmax(cross)) == 0
                assert study.stimuli[by_role[role]].filter is not None
    assert check_study(tmp_path / "study", 2, no_progress).faults == ()


def test_images_and_their_prompts(maker: Any, tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    for prompt, colour in (("p1", "red"), ("p2", "blue")):
        Image.new("RGB", (30, 20), colour).save(tmp_path / "images" / f"{prompt}.png")
    inputs = Inputs(maker.folder(), maker.table(), tmp_path / "images")
    study = make_study(inputs, Options("gen", consent="I **agree**."), tmp_path / "study", 2, no_progress).study
    assert {page.show for page in study.pages.values() if page.pass_ == "relevance" and page.type in TRIALS} == {
        ("text", "image")
    }
    for prompt in study.prompts.values():
        assert prompt.image is not None and study.media_path(prompt.image).is_file()
        assert prompt.text is not None and prompt.text.startswith("a sound, number")
    assert study.pages["consent"].text == "consent" and study.texts["consent"] == {"en": "I **agree**."}


def test_peaks_are_of_what_is_served(gen: Study) -> None:
    for id, each in gen.stimuli.items():
        if each.peaks is not None:
            assert len(each.peaks) == 200 and max(each.peaks) == pytest.approx(np.max(np.abs(read(gen, id))), abs=0.006)
    assert all(each.peaks is not None for each in gen.stimuli.values() if each.role == "system")


def leftovers(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_nothing_is_overwritten(maker: Any, tmp_path: Path) -> None:
    samples, table = maker.folder(), maker.table()
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.tex").write_text("dear")
    for there in (tmp_path / "out", tmp_path / "out" / "thesis.tex"):
        with pytest.raises(ListeningTestError, match="is there already and is never overwritten"):
            make(samples, there, table=table)
    assert (tmp_path / "out" / "thesis.tex").read_text() == "dear"
    (tmp_path / "empty").mkdir()
    assert make(samples, tmp_path / "empty", table=table).study.folder == tmp_path / "empty"


@pytest.mark.parametrize("stop_at", ["sounds", "study.json"])
@pytest.mark.parametrize("stop", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()])
def test_what_stops_it_leaves_nothing(
    maker: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stop: BaseException, stop_at: str
) -> None:
    samples, table = maker.folder(), maker.table()
    before = leftovers(tmp_path)
    real_replace = os.replace
    seen = []

    def replace(source: Any, target: Any) -> None:
        seen.append(str(target))
        if stop_at in str(target) and len(seen) > 3:
            raise stop
        real_replace(source, target)

    monkeypatch.setattr(os, "replace", replace)
    with pytest.raises(type(stop)):
        make(samples, tmp_path / "study", table=table)
    assert leftovers(tmp_path) == before and len(seen) > 3


def test_a_bad_file_stops_it_before_anything_is_written(maker: Any, tmp_path: Path) -> None:
    samples = maker.folder()
    (samples / "ours" / "p2.wav").write_bytes(b"no sound")
    maker.write("samples/theirs/p1.wav", np.zeros((16_000, 1)))
    with pytest.raises(
        ListeningTestError, match=r"2 of 6 sounds .*: ours/p2.wav is unreadable.*; theirs/p1.wav is silent"
    ):
        make(samples, tmp_path / "study", passes="fidelity")
    assert not (tmp_path / "study").exists()


def test_a_sound_without_loudness_is_refused(maker: Any, tmp_path: Path) -> None:
    samples = maker.folder()
    click = np.zeros((8800, 1))  # 0.55 s, the click after the last whole block
    click[-100] = 0.5
    maker.write("samples/ours/p1.wav", click)
    with pytest.raises(ListeningTestError, match=r"ours/p1.wav: nothing in them is above -70 LUFS"):
        make(samples, tmp_path / "study", passes="fidelity")


def test_suspicious_gain_is_said(maker: Any, tmp_path: Path) -> None:
    samples = maker.folder()
    maker.write("samples/ours/p1.wav", maker.sound(1) * 1e-3, subtype="FLOAT")
    made = make(samples, tmp_path / "study", passes="fidelity")
    assert any("raised by more than 30 dB" in note and "ours/p1.wav" in note for note in made.notes)


def test_the_order_of_the_folder_does_not_matter(maker: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    samples, table = maker.folder(), maker.table()
    make(samples, tmp_path / "one" / "study", table=table)
    real = Path.rglob
    monkeypatch.setattr(Path, "rglob", lambda self, pattern: reversed(list(real(self, pattern))))
    make(samples, tmp_path / "two" / "study", table=table)
    monkeypatch.undo()
    assert content(tmp_path / "one" / "study") == content(tmp_path / "two" / "study")


def test_what_is_written_is_read_back(maker: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A study that its own reader refuses never takes its place."""

    def refuse(_: Path) -> Study:
        raise ListeningTestError("refused")

    monkeypatch.setattr(build, "load_study", refuse)
    with pytest.raises(ListeningTestError, match="refused"):
        make(maker.folder(), tmp_path / "study", table=maker.table())
    assert not (tmp_path / "study").exists()


def test_real_sounds_and_images(media: Path, tmp_path: Path) -> None:
    paths = sorted((media / "sounds").glob("*.wav"))[:4]
    for system, keep in (("fine", 1.0), ("coarse", 0.02), ("reference", 0.5)):
        (tmp_path / "samples" / system).mkdir(parents=True)
        for path in paths:
            samples, rate_hz = soundfile.read(path)
            step = 2.0**-7 if system == "coarse" else 2.0**-15
            made = np.round(samples / step) * step * keep if system == "coarse" else samples * keep
            made = made + 1e-4 * np.random.default_rng(0).standard_normal(made.shape)
            soundfile.write(tmp_path / "samples" / system / path.name, made, rate_hz)
    (tmp_path / "images").mkdir()
    for path, picture in zip(paths, sorted((media / "images").glob("*.jpg")), strict=False):
        (tmp_path / "images" / f"{path.stem}.jpg").write_bytes(picture.read_bytes())
    inputs = Inputs(tmp_path / "samples", images=tmp_path / "images")
    study = make_study(inputs, Options("gen", passes="same-page"), tmp_path / "study", 2, no_progress).study
    assert study.rate_hz == 44_100 and len(study.media) == 4
    found = check_study(tmp_path / "study", 2, no_progress)
    assert found.faults == () and found.study == load_study(tmp_path / "study")
