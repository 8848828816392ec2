"""`check` notices what was changed in a study folder, and says every departure from BS.1534-3."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from clipsonic_listening_test.check import check_study
from clipsonic_listening_test.cli import run
from clipsonic_listening_test.departures import departures, name_of
from clipsonic_listening_test.pages import Attribute, Block, Page
from clipsonic_listening_test.prepare import flac
from clipsonic_listening_test.prepare.build import Inputs, make_study
from clipsonic_listening_test.prepare.material import Options
from clipsonic_listening_test.prepare.progress import no_progress
from clipsonic_listening_test.study import MUSHRA, Study, load_study


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A MUSHRA study of two systems and five prompts."""
    folder = tmp_path_factory.mktemp("check")
    for at, system in enumerate(("ours", "theirs", "reference")):
        (folder / "samples" / system).mkdir(parents=True)
        for prompt in range(5):
            noise = np.random.default_rng(10 * at + prompt).standard_normal((9600, 1)) * 0.05
            soundfile.write(folder / "samples" / system / f"p{prompt}.wav", noise, 16_000)
    make_study(Inputs(folder / "samples"), Options("mushra"), folder / "study", 2, no_progress)
    return folder / "study"


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    shutil.copytree(made, tmp_path / "study")
    return tmp_path / "study"


@pytest.fixture(scope="module")
def study(made: Path) -> Study:
    return load_study(made)


def test_a_good_study_has_no_faults(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = check_study(made, 2, no_progress)
    assert found.faults == () and found.departures == () and found.notes == ()
    assert run(["check", str(made)]) == 0
    assert "may be called MUSHRA" in capsys.readouterr().out
    assert run(["check", str(made), "--json", "-"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert record["schema"] == 1 and record["mushra"] is True and record["faults"] == []
    assert record["digest"] == load_study(made).digest


def change_sound(folder: Path, id: str, change: Callable[[np.ndarray], np.ndarray], record: bool = True) -> None:
    """Put another sound in place of a stimulus; with `record`, the manifest says so."""
    study = load_study(folder)
    stimulus = study.stimuli[id]
    samples, rate_hz = soundfile.read(study.sound_path(id), dtype="float64", always_2d=True)
    data = (
        flac._pad(file, stimulus.bytes - len(file))
        if len(file := flac.encode(change(samples), rate_hz)) < (stimulus.bytes - 4)
        else file
    )
    digest = hashlib.sha256(data).hexdigest()
    if not record:
        study.sound_path(id).write_bytes(data)
        return
    (folder / "sounds" / f"{digest}.flac").write_bytes(data)
    changed = replace(stimulus, file=f"sounds/{digest}.flac", sha256=digest, bytes=len(data))
    written = replace(study, stimuli=study.stimuli | {id: changed})
    (folder / "study.json").write_text(written.to_json())


def faults(folder: Path) -> str:
    return "; ".join(check_study(folder, 2, no_progress).faults)


def test_a_changed_byte_is_noticed(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = sorted((folder / "sounds").iterdir())[0]
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))
    assert faults(folder) == f"sounds/{path.name} is not the file of the manifest"
    assert run(["check", str(folder)]) == 1
    err = capsys.readouterr().err
    assert err.startswith(f"error: {folder}: sounds/{path.name} is not the file") and err.count("\n") == 1


def test_a_shifted_anchor_is_noticed(folder: Path) -> None:
    """webMUSHRA's fault: anchors 2.17 ms early. Nothing but the samples tells."""
    change_sound(folder, "low-anchor__p0", lambda samples: np.roll(samples, -35, axis=0))
    assert "is not the reference through the anchor's filter" in faults(folder)


def test_another_gain_on_an_anchor_is_noticed(folder: Path) -> None:
    change_sound(folder, "mid-anchor__p1", lambda samples: samples * 0.99)
    assert "is not the reference through the anchor's filter" in faults(folder)


def test_another_level_is_noticed(folder: Path) -> None:
    change_sound(folder, "system__ours__p2", lambda samples: samples * 0.9)
    assert "LUFS; the manifest says -23.0" in faults(folder)


def test_another_length_is_noticed(folder: Path) -> None:
    change_sound(folder, "system__ours__p3", lambda samples: samples[:-100])
    assert "has 9500 frames" in faults(folder)


def test_a_peak_is_noticed(folder: Path) -> None:
    def spike(samples: np.ndarray) -> np.ndarray:
        changed = samples.copy()
        changed[3000] = 0.99
        return changed

    change_sound(folder, "system__ours__p4", spike)
    assert "has a true peak of" in faults(folder)


def test_what_cannot_be_decoded_is_noticed(folder: Path) -> None:
    study = load_study(folder)
    stimulus = study.stimuli["system__ours__p0"]
    data = bytes(stimulus.bytes)
    digest = hashlib.sha256(data).hexdigest()
    (folder / "sounds" / f"{digest}.flac").write_bytes(data)
    changed = replace(stimulus, file=f"sounds/{digest}.flac", sha256=digest)
    (folder / "study.json").write_text(replace(study, stimuli=study.stimuli | {"system__ours__p0": changed}).to_json())
    assert f"sounds/{digest}.flac cannot be decoded" in faults(folder)


def test_sizes_that_tell_are_noticed(folder: Path) -> None:
    study = load_study(folder)
    file = study.sound_path("system__ours__p0").read_bytes()
    data = flac._pad(file, 10)
    digest = hashlib.sha256(data).hexdigest()
    (folder / "sounds" / f"{digest}.flac").write_bytes(data)
    changed = replace(study.stimuli["system__ours__p0"], file=f"sounds/{digest}.flac", sha256=digest, bytes=len(data))
    (folder / "study.json").write_text(replace(study, stimuli=study.stimuli | {"system__ours__p0": changed}).to_json())
    found = check_study(folder, 2, no_progress)
    assert "files of 2 sizes, which tell stimuli apart" in "; ".join(found.faults)
    assert any("belong to no stimulus" in note for note in found.notes)


def test_a_name_that_is_no_longer_earned_is_noticed(folder: Path) -> None:
    raw = json.loads((folder / "study.json").read_text())
    for block in raw["blocks"]:
        for page in block["pages"]:
            page["waveform"] = page["type"] == "mushra"
    (folder / "study.json").write_text(json.dumps(raw))
    found = check_study(folder, 2, no_progress)
    assert any("with a picture" in each for each in found.departures)
    assert any("other departures than are found" in fault for fault in found.faults)


def test_changed_media_are_noticed(tmp_path: Path, made: Path) -> None:
    from PIL import Image

    (tmp_path / "images").mkdir()
    for prompt in range(5):
        Image.new("RGB", (9, 9), (prompt, 0, 0)).save(tmp_path / "images" / f"p{prompt}.png")
    inputs = Inputs(made.parent / "samples", images=tmp_path / "images")
    study = make_study(inputs, Options("gen", passes="relevance"), tmp_path / "study", 2, no_progress).study
    path = study.media_path(str(study.prompts["p0"].image))
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(bytes(data))
    assert f"{path.parent.name}/{path.name} is not the file of the manifest" in faults(tmp_path / "study")


def pages(change: Callable[[Page], Page]) -> Callable[[Study], Study]:
    def apply(study: Study) -> Study:
        blocks = tuple(replace(block, pages=tuple(map(change, block.pages))) for block in study.blocks)
        return replace(study, blocks=blocks)

    return apply


def trials(**changed: Any) -> Callable[[Study], Study]:
    return pages(lambda page: replace(page, **changed) if page.type == "mushra" else page)


def blocks(change: Callable[[Block], Block | None]) -> Callable[[Study], Study]:
    return lambda study: replace(study, blocks=tuple(each for block in study.blocks if (each := change(block))))


def stimuli(role: str, **changed: Any) -> Callable[[Study], Study]:
    def apply(study: Study) -> Study:
        made = {id: replace(one, **changed) if one.role == role else one for id, one in study.stimuli.items()}
        return replace(study, stimuli=made)

    return apply


def without_pages(type: str) -> Callable[[Study], Study]:
    return blocks(lambda block: replace(block, pages=tuple(page for page in block.pages if page.type != type)))


DEPARTURES: dict[str, tuple[Callable[[Study], Study], str]] = {
    "no reference": (trials(type="multi", reference=None), "without mentioned reference"),
    "another hidden reference": (stimuli("hidden_reference", sha256="0" * 64), "hidden reference is not the reference"),
    "two attributes": (
        trials(attributes=(Attribute("a", "cqs", "q"), Attribute("b", "cqs", "q"))),
        "more than one attribute",
    ),
    "too long": (stimuli("system", frames=16_000 * 13), "10 stimuli longer than 12 s"),
    "too many signals": (
        pages(lambda page: replace(page, stimuli=page.stimuli * 3) if page.type == "mushra" else page),
        "with more than 12 signals",
    ),
    "too few excerpts": (
        lambda study: replace(study, systems=study.systems * 2),
        "5 excerpts for 4 systems; expected 6",
    ),
    "no filter": (stimuli("low_anchor", filter=None), "5 stimuli of role low_anchor not made by a 3500 Hz"),
    "levels apart": (stimuli("system", lufs=-24.0), "more than 0.5 LU from -23 LUFS"),
    "no level": (stimuli("system", lufs=None), "more than 0.5 LU from -23 LUFS"),
    "no volume page": (without_pages("volume"), "no page on which the level is set"),
    "fixed order": (blocks(lambda block: replace(block, order="fixed")), "trials in fixed order in quality"),
    "restarted": (trials(switching="restart"), "not switched at one position"),
    "no loop": (trials(loop=False), "without loop"),
    "a waveform": (trials(waveform=True), "with a picture"),
    "a picture": (trials(show=("image",)), "with a picture"),
    "another scale": (
        lambda study: replace(study, scales={"cqs": replace(study.scales["cqs"], high=10)}),
        "not on the continuous quality scale",
    ),
    "nothing at the top": (
        pages(lambda page: replace(page, require=replace(page.require, one_at_top=False))),
        "for one of 100",
    ),
    "no training": (blocks(lambda block: None if block.id == "quality-training" else block), "no training"),
    "no repeat": (pages(lambda page: replace(page, replicate_of=None)), "no repeated trial"),
    "nothing asked": (without_pages("questionnaire"), "nothing asked about the listener's experience"),
}


def test_what_prepare_makes_departs_in_nothing(study: Study) -> None:
    assert departures(study) == () and name_of(study) == MUSHRA == study.name


@pytest.mark.parametrize("case", DEPARTURES)
def test_each_departure_is_said_and_takes_the_name(case: str, study: Study) -> None:
    change, said = DEPARTURES[case]
    changed = change(study)
    found = departures(replace(changed, **{}))
    assert any(said in line for line in found), found
    assert name_of(replace(changed, departures=found)) != MUSHRA


def test_a_filter_outside_the_mask_departs(study: Study) -> None:
    anchor = next(each for each in study.stimuli.values() if each.role == "mid_anchor")
    assert anchor.filter is not None
    for bad in (
        replace(anchor.filter, stop_db=49.0),
        replace(anchor.filter, pass_ripple_db=0.2),
        replace(anchor.filter, cut_hz=3750),
        replace(anchor.filter, taps=100),
    ):
        assert any("role mid_anchor" in line for line in departures(stimuli("mid_anchor", filter=bad)(study)))
