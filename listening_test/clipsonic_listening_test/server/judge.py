"""What an answer means for the session: go on, try again, or end; and how a session ends that has reached its end.

Nothing of this is known to the browser. Headphones: Woods et al. 2017 (Atten Percept Psychophys 79:2064), at least 5
of 6 right, in two tries. Instructed responses screen fairly by what panels allow: a study under five minutes may
reject for one that was missed, a longer one for two.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final

from clipsonic_listening_test.assign import HEADPHONE_TRIES, AssignedPage
from clipsonic_listening_test.pages import TRIALS
from clipsonic_listening_test.server.answer import Answer
from clipsonic_listening_test.server.tokens import Shown
from clipsonic_listening_test.study import Study

HEADPHONES_WRONG: Final = 1
LONG_STUDY_S: Final = 300.0
_PAGE_S: Final = 20.0  # a page without sounds, and what a trial takes beside listening
_LISTENINGS: Final = 1.5  # times each stimulus of a trial is listened to


@dataclass(frozen=True)
class Verdict:
    """passed: None where nothing can be wrong. again: the page is shown once more. outcome: the session ends so."""

    passed: bool | None = None
    again: bool = False
    outcome: str | None = None


def judge(shown: Shown, answer: Answer) -> Verdict:
    """Judge an answer that was accepted."""
    page = shown.page
    if page.type == "consent" and answer.consent is False:
        return Verdict(outcome="no_consent")
    if page.type == "headphones":
        right = [
            token == tokens[quiet] for token, (tokens, quiet) in zip(answer.headphones or (), shown.trials, strict=True)
        ]
        if sum(right) >= len(right) - HEADPHONES_WRONG:
            return Verdict(passed=True)
        last = shown.attempt >= HEADPHONE_TRIES
        return Verdict(passed=False, again=not last, outcome="screened_out" if last else None)
    if page.type == "abx":
        return Verdict(passed=_names_x(shown, answer))
    if page.instructed is not None:
        label, below = shown.instructed_label(), page.instructed.below
        token = shown.token_of[str(label)]
        given = [each for each in answer.ratings if each.token == token]
        if any(each.missing == "cannot_play" for each in given):
            return Verdict()  # a fault of the sound or the machine; to prefer not to is not to follow
        return Verdict(passed=all(each.score is not None and each.score < below for each in given))
    return Verdict()


def final_outcome(study: Study, pages: Sequence[AssignedPage], failed: Collection[int]) -> str:
    """How a session ends whose pages are all answered; `failed`: positions whose answer was judged wrong."""
    missed = sum(study.pages[pages[at].page].instructed is not None for at in failed)
    allowed = 1 if expected_seconds(study, pages) >= LONG_STUDY_S else 0
    return "failed_checks" if missed > allowed else "complete"


def expected_seconds(study: Study, pages: Sequence[AssignedPage]) -> float:
    """How long a session takes at the least: every stimulus one and a half times, and 20 s for each page."""
    seconds = 0.0
    for assigned in pages:
        page = study.pages[assigned.page]
        frames = sum(study.stimuli[id].frames for id in page.stimuli_used()) if page.type in TRIALS else 0
        seconds += _PAGE_S + _LISTENINGS * frames / study.rate_hz
    return seconds


def _names_x(shown: Shown, answer: Answer) -> bool | None:
    chosen = answer.choices[0].choice
    if chosen is None or chosen == "tie":
        return None
    x = next(slot for slot in shown.stimuli.values() if slot.label == "X")
    return shown.stimuli[chosen].thing == x.thing
