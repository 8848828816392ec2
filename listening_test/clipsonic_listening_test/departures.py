"""Where a study departs from ITU-R BS.1534-3, as far as a study can: one line each, none for a study that meets it.

Only a study without departures is called MUSHRA. What a study cannot decide (who listens, at which level, in which
room) is not here; that it asks is.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Final

from clipsonic_listening_test.pages import TRIALS, Page
from clipsonic_listening_test.study import MUSHRA, PresetName, Scale, Study

LONGEST_S: Final = 12.0
MOST_SIGNALS: Final = 12
FEWEST_EXCERPTS: Final = 5
ALIGNED_LU: Final = 0.5
_CQS: Final = Scale(0, 100, 1, "cqs")
_EDGES_HZ: Final = {"low_anchor": 3500, "mid_anchor": 7000}

NAMES: Final[dict[PresetName, str]] = {
    "gen": "Multi-stimulus rating without reference (cf. ITU-R BS.2132)",
    "mushra": "Multi-stimulus rating with reference and anchors (departs from ITU-R BS.1534-3)",
    "mos": "Absolute category rating (cf. ITU-T P.800)",
    "pairs": "Paired comparison",
    "abx": "ABX discrimination",
}


def name_of(study: Study) -> str:
    """What a study of these departures may be called."""
    return NAMES[study.preset] if study.departures else MUSHRA


def departures(study: Study) -> tuple[str, ...]:
    """Every departure from BS.1534-3, in the order of the recommendation's subjects."""
    trials = [page for page in study.pages.values() if page.type in TRIALS]
    rated = [page for page in trials if page.instructed is None]
    main = [page for page in rated if not page.training and page.replicate_of is None]
    return tuple(
        [
            *_references(study, rated),
            *_material(study, main),
            *_anchors(study, rated),
            *_levels(study, rated),
            *_presentation(study, rated),
            *_scales(study, rated),
            *_listeners(study, rated),
        ]
    )


def _references(study: Study, trials: list[Page]) -> Iterator[str]:
    without = [page for page in trials if page.type != "mushra"]
    if without:
        yield _of(without, trials, "without mentioned reference, hidden reference and both anchors")
    other = [
        page
        for page in trials
        if page.type == "mushra" and page.reference is not None
        for id in page.stimuli
        if study.stimuli[id].role == "hidden_reference"
        and study.stimuli[id].sha256 != study.stimuli[page.reference].sha256
    ]
    if other:
        yield _of(other, trials, "whose hidden reference is not the reference")
    several = [page for page in trials if len(page.attributes) > 1]
    if several:
        yield _of(several, trials, "with more than one attribute at once (a halo is possible)")


def _material(study: Study, trials: list[Page]) -> Iterator[str]:
    long = {id for page in trials for id in page.stimuli if study.stimuli[id].frames > LONGEST_S * study.rate_hz}
    if long:
        yield f"{len(long)} stimuli longer than {LONGEST_S:g} s"
    crowded = [page for page in trials if len(page.stimuli) > MOST_SIGNALS]
    if crowded:
        yield _of(crowded, trials, f"with more than {MOST_SIGNALS} signals")
    excerpts = len({page.prompt for page in trials if page.prompt is not None})
    wanted = max(FEWEST_EXCERPTS, math.ceil(1.5 * len(study.systems)))
    if excerpts < wanted:
        yield f"{excerpts} excerpts for {len(study.systems)} systems; expected {wanted} or more"


def _anchors(study: Study, trials: list[Page]) -> Iterator[str]:
    from clipsonic_listening_test.prepare.anchors import PASS_RIPPLE_DB, STEPS

    used = {id for page in trials for id in page.stimuli}
    for role, edge in _EDGES_HZ.items():
        bad = 0
        for each in (study.stimuli[id] for id in used if study.stimuli[id].role == role):
            made = each.filter
            inside = made is not None and made.pass_ripple_db <= PASS_RIPPLE_DB and made.stop_db >= STEPS[-1][1]
            bad += not (inside and made is not None and edge < made.cut_hz < edge + STEPS[0][0] and made.taps % 2)
        if bad:
            yield f"{bad} stimuli of role {role} not made by a {edge} Hz low-pass inside the mask"


def _levels(study: Study, trials: list[Page]) -> Iterator[str]:
    roles = ("system", "reference", "hidden_reference", "hidden_real")
    used = {id for page in trials for id in page.stimuli_used() if study.stimuli[id].role in roles}
    target = study.loudness.target_lufs
    off = [id for id in used if abs((study.stimuli[id].lufs or -math.inf) - target) > ALIGNED_LU]
    if off:
        yield f"{len(off)} of {len(used)} stimuli more than {ALIGNED_LU} LU from {target:g} LUFS"
    if not any(page.type == "volume" for page in study.pages.values()):
        yield "no page on which the level is set before the trials"


def _presentation(study: Study, trials: list[Page]) -> Iterator[str]:
    fixed = [
        block.id
        for block in study.blocks
        if block.order == "fixed" and sum(page in trials and not page.training for page in block.pages) > 1
    ]
    if fixed:
        yield f"trials in fixed order in {', '.join(fixed)}"
    unsynced = [page for page in trials if page.switching != "sync"]
    if unsynced:
        yield _of(unsynced, trials, "that are not switched at one position")
    unlooped = [page for page in trials if not page.loop]
    if unlooped:
        yield _of(unlooped, trials, "without loop")
    pictured = [page for page in trials if page.waveform or {"image", "video"} & set(page.show)]
    if pictured:
        yield _of(pictured, trials, "with a picture")


def _scales(study: Study, trials: list[Page]) -> Iterator[str]:
    other = [
        page for page in trials if not page.attributes or any(study.scales[a.scale] != _CQS for a in page.attributes)
    ]
    if other:
        yield _of(other, trials, "not on the continuous quality scale from 0 to 100")
    free = [page for page in trials if not (page.require.one_at_top and page.require.rate_all)]
    if free:
        yield _of(free, trials, "that do not ask for a score of each signal and for one of 100")


def _listeners(study: Study, trials: list[Page]) -> Iterator[str]:
    if not any(page.training for page in trials):
        yield "no training"
    if not any(page.replicate_of is not None for page in trials):
        yield "no repeated trial to tell reliability from"
    asked = {each.id for page in study.pages.values() for each in page.fields}
    for field, what in (("experience", "experience"), ("hearing", "hearing"), ("transducer", "transducer")):
        if field not in asked:
            yield f"nothing asked about the listener's {what}"


def _of(pages: list[Page], trials: list[Page], what: str) -> str:
    return f"{len(dict.fromkeys(page.id for page in pages))} of {len(trials)} trials {what}"
