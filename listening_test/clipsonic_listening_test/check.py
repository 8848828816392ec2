"""`check`: is a study folder what its study.json says, and where does it depart from ITU-R BS.1534-3?

Every file is hashed and decoded. Lengths, rates, channels and loudness are measured again; an anchor is filtered again
from the served reference and must be the same signal at the same place; files of one page must have one size.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import soundfile
from numpy.typing import NDArray

from clipsonic_listening_test.departures import departures, name_of
from clipsonic_listening_test.pages import TRIALS, Page
from clipsonic_listening_test.prepare import anchors, loudness
from clipsonic_listening_test.prepare.progress import Start
from clipsonic_listening_test.prepare.work import in_order
from clipsonic_listening_test.study import MUSHRA, Stimulus, Study, load_study

LEVEL_LU: Final = 0.1
ANCHOR_ERROR_DB: Final = -80.0  # of the anchor's energy: 24-bit rounding is far below
_EDGES_HZ: Final = {"low_anchor": anchors.LOW_HZ, "mid_anchor": anchors.MID_HZ}


@dataclass(frozen=True)
class Checked:
    """A study, what is wrong with its folder, and where it departs from BS.1534-3."""

    study: Study
    faults: tuple[str, ...]
    departures: tuple[str, ...]
    notes: tuple[str, ...]

    def record(self) -> dict[str, Any]:
        return {
            "schema": 1,
            "study": self.study.id,
            "digest": self.study.digest,
            "name": self.study.name,
            "mushra": self.study.name == MUSHRA,
            "stimuli": len(self.study.stimuli),
            "pages": len(self.study.pages),
            "faults": list(self.faults),
            "departures": list(self.departures),
            "notes": list(self.notes),
        }


def check_study(folder: Path, workers: int, start: Start) -> Checked:
    """Check a study folder.

    Raises:
        ListeningTestError: no study there, or one whose study.json does not hold together.
    """
    study = load_study(folder)
    files: dict[str, list[Stimulus]] = {}
    for stimulus in study.stimuli.values():
        files.setdefault(stimulus.file, []).append(stimulus)
    tasks = list(files.items())
    found = in_order(lambda task: _file_faults(study, *task), tasks, workers, start("checking files"))
    faults = [fault for each in found for fault in each]
    for each in study.media.values():
        if hashlib.sha256((folder / each.file).read_bytes()).hexdigest() != each.sha256:
            faults.append(f"{each.file} is not the file of the manifest")
    if not faults:  # nothing is measured of files that cannot be trusted
        trials = [page for page in study.pages.values() if page.type in TRIALS]
        anchored = list({_anchor_key(study, page): page for page in trials if page.type == "mushra"}.values())
        measured = in_order(
            lambda page: list(_anchor_faults(study, page)), anchored, workers, start("checking anchors")
        )
        faults += [fault for each in measured for fault in each]
        faults += [fault for page in trials for fault in _size_faults(study, page)]
    found_departures = departures(study)
    if found_departures != study.departures:
        faults.append(
            "study.json lists other departures than are found; make the study anew with: clipsonic-listen init"
        )
    if study.name == MUSHRA and name_of(study) != MUSHRA:
        faults.append(f"it is named {study.name!r} and departs from the recommendation")
    return Checked(study, tuple(dict.fromkeys(faults)), found_departures, tuple(_notes(study)))


def _file_faults(study: Study, file: str, stimuli: list[Stimulus]) -> list[str]:
    data = (study.folder / file).read_bytes()
    if hashlib.sha256(data).hexdigest() != stimuli[0].sha256:
        return [f"{file} is not the file of the manifest"]
    try:
        samples, rate_hz = _read(study.folder / file)
    except soundfile.LibsndfileError as error:
        return [f"{file} cannot be decoded ({error.error_string.rstrip('.')})"]
    faults = []
    level = loudness.measure(samples, rate_hz)
    for each in stimuli:
        if (len(samples), samples.shape[1], rate_hz) != (each.frames, each.channels, study.rate_hz):
            faults.append(f"{file} has {len(samples)} frames, {samples.shape[1]} channels, {rate_hz} Hz")
        if level.lufs is not None and each.lufs is not None and abs(level.lufs - each.lufs) > LEVEL_LU:
            faults.append(f"{file} has {level.lufs:.2f} LUFS; the manifest says {each.lufs:.2f}")
        if level.true_peak_dbtp > study.loudness.true_peak_limit_dbtp + LEVEL_LU:
            faults.append(f"{file} has a true peak of {level.true_peak_dbtp:.2f} dBTP")
    return faults


def _anchor_key(study: Study, page: Page) -> tuple[str, ...]:
    """Pages of the same reference and anchors are checked once."""
    assert page.reference is not None
    own = (id for id in page.stimuli if study.stimuli[id].role in _EDGES_HZ)
    return (study.stimuli[page.reference].sha256, *(study.stimuli[id].sha256 for id in own))


def _anchor_faults(study: Study, page: Page) -> Iterator[str]:
    assert page.reference is not None
    reference, rate_hz = _read(study.sound_path(page.reference))
    for id in page.stimuli:
        each = study.stimuli[id]
        if each.role == "hidden_reference" and each.sha256 != study.stimuli[page.reference].sha256:
            yield f"page {page.id}: the hidden reference is not the reference"
        if each.role in _EDGES_HZ:
            wanted = anchors.apply(anchors.low_pass(_EDGES_HZ[each.role], rate_hz).taps, reference)
            found, _ = _read(study.sound_path(id))
            error_db = 10 * np.log10(max(float(np.sum((found - wanted) ** 2) / np.sum(wanted**2)), 1e-20))
            if error_db > ANCHOR_ERROR_DB:
                yield f"{each.file} is not the reference through the anchor's filter ({error_db:.0f} dB of difference)"


def _size_faults(study: Study, page: Page) -> Iterator[str]:
    sizes = {study.stimuli[id].bytes for id in page.stimuli_used()}
    if len(sizes) > 1:
        yield f"page {page.id}: files of {len(sizes)} sizes, which tell stimuli apart"


def _notes(study: Study) -> Iterator[str]:
    known = {each.file for each in study.stimuli.values()} | {each.file for each in study.media.values()}
    for name in ("sounds", "images", "videos"):
        folder = study.folder / name
        present = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
        stray = [file for file in present if f"{name}/{file}" not in known]
        if stray:
            yield f"{len(stray)} files in {name}/ belong to no stimulus: {', '.join(stray[:3])}"


def _read(path: Path) -> tuple[NDArray[np.float64], int]:
    samples, rate_hz = soundfile.read(path, dtype="float64", always_2d=True)
    return samples, int(rate_hz)
