"""Whether an answer is an answer to the page it names: its stimuli, its scales, everything that the page requires.

Nothing is made to fit. What a page does not ask must be absent; what it requires must be there, or say why it is
not; a stimulus that is judged was heard, which is counted by seconds.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from clipsonic_listening_test.pages import CHOSEN, RATED, TRIALS, Attribute, Field, Page
from clipsonic_listening_test.server.answer import Answer, Rating
from clipsonic_listening_test.server.shape import invalid, items, number, one_of, words
from clipsonic_listening_test.server.tokens import Shown
from clipsonic_listening_test.server.views import questions

HEARD_TOLERANCE_S: Final = 0.1
COVERAGE_TOLERANCE: Final = 0.02
_STEP_TOLERANCE: Final = 1e-6
_LONGEST: Final = {"text": 1000, "long_text": 10_000}


def accept(shown: Shown, answer: Answer) -> None:
    """Refuse an answer that the page does not allow.

    Raises:
        Refusal: kind `invalid`, with what is wrong.
    """
    page = shown.page
    for name, given, asked in (
        ("consent", answer.consent is not None, page.type == "consent"),
        ("volume", answer.volume is not None, page.type == "volume"),
        ("ratings", bool(answer.ratings), page.type in RATED),
        ("choices", bool(answer.choices), page.type in CHOSEN),
        ("headphones", answer.headphones is not None, page.type == "headphones"),
        ("fields", bool(answer.fields), page.type == "questionnaire"),
    ):
        if given and not asked:
            raise invalid(f"a {page.type} page does not ask for {name}")
    if page.type == "consent" and answer.consent is None:
        raise invalid("consent is neither given nor refused")
    if page.type == "volume" and answer.volume is None:
        raise invalid("the volume is missing")
    if page.type == "headphones":
        _headphones(shown, answer)
    if page.type == "questionnaire":
        _questionnaire(page, answer.fields or {})
    _listening(shown, answer)
    if page.type in RATED:
        _ratings(shown, answer)
    if page.type in CHOSEN:
        _choices(shown, answer)
    if page.type in TRIALS:
        _heard(shown, answer)


def _headphones(shown: Shown, answer: Answer) -> None:
    given = answer.headphones or ()
    if len(given) != len(shown.trials):
        raise invalid(f"{len(given)} of {len(shown.trials)} headphone trials are answered")
    for at, (token, (tokens, _)) in enumerate(zip(given, shown.trials, strict=True)):
        if token not in tokens:
            raise invalid(f"headphone trial {at + 1} names a tone that is not in it")


def _listening(shown: Shown, answer: Answer) -> None:
    tokens = [each.token for each in answer.listening]
    if len(set(tokens)) != len(tokens):
        raise invalid("listening names a stimulus twice")
    if not {*tokens, *answer.event_tokens} <= shown.slots.keys():
        raise invalid("listening or events name a stimulus that is not on the page")


def _ratings(shown: Shown, answer: Answer) -> None:
    attributes = {attribute.id: attribute for attribute in shown.page.attributes}
    given: dict[tuple[str, str], Rating] = {}
    for rating in answer.ratings:
        if rating.token not in shown.stimuli:
            raise invalid("a rating is of a stimulus that is not on the page")
        if rating.attribute not in attributes:
            raise invalid(f"a rating is of {rating.attribute!r}, which the page does not ask for")
        if (rating.token, rating.attribute) in given:
            raise invalid("a stimulus is rated twice for one attribute")
        if rating.score is not None:
            _score(shown, attributes[rating.attribute], rating.score)
        given[rating.token, rating.attribute] = rating
    for attribute in attributes:
        mine = [given.get((token, attribute)) for token in shown.stimuli]
        unset = [each is None or (each.score is None and each.missing is None) for each in mine]
        if shown.page.require.rate_all and any(unset):
            raise invalid(f"{sum(unset)} of {len(unset)} stimuli have no rating for {attribute!r}")
        scores = [each.score for each in mine if each is not None and each.score is not None]
        top = shown.study.scales[attributes[attribute].scale].high
        if shown.page.require.one_at_top and len(scores) == len(mine) and max(scores) < top:
            raise invalid(f"no stimulus has {top:g} for {attribute!r}")


def _score(shown: Shown, attribute: Attribute, score: float) -> None:
    scale = shown.study.scales[attribute.scale]
    if not scale.low <= score <= scale.high:
        raise invalid(f"the score {score:g} is not from {scale.low:g} to {scale.high:g}")
    steps = (score - scale.low) / scale.step
    if abs(steps - round(steps)) > _STEP_TOLERANCE:
        raise invalid(f"the score {score:g} is not on a step of {scale.step:g}")


def _choices(shown: Shown, answer: Answer) -> None:
    page = shown.page
    asked = [choice.question for choice in answer.choices]
    if sorted(asked) != sorted(questions(page)):
        raise invalid(f"answered are {', '.join(asked) or 'no questions'}; asked is {', '.join(questions(page))}")
    allowed = {token for token, slot in shown.stimuli.items() if slot.label != "X" or page.type != "abx"}
    if page.pair is not None and page.pair.tie:
        allowed.add("tie")
    for choice in answer.choices:
        if choice.choice is not None and choice.choice not in allowed:
            raise invalid("a choice names what cannot be chosen")


def _heard(shown: Shown, answer: Answer) -> None:
    """Each stimulus was heard as long as the page requires. Who says why it is not judged need not go on hearing it."""
    need, study = shown.page.require, shown.study
    heard = {each.token: each for each in answer.listening}
    exempt = _not_judged(shown, answer)
    for token, slot in shown.stimuli.items():
        if token in exempt:
            continue
        seconds = min(need.heard_s, study.stimuli[slot.thing].frames / study.rate_hz)
        found = heard.get(token)
        if (0.0 if found is None else found.seconds_heard) < seconds - HEARD_TOLERANCE_S:
            raise invalid(f"stimulus {slot.label} was heard for less than {seconds:g} s")
        if (0.0 if found is None else found.coverage) < need.coverage - COVERAGE_TOLERANCE:
            raise invalid(f"of stimulus {slot.label} less than {need.coverage:.0%} was heard")


def _not_judged(shown: Shown, answer: Answer) -> set[str]:
    """Stimuli with a reason in place of every rating; both of a pair that could not be played or is not answered."""
    if shown.page.type in CHOSEN:
        reasons = {each.missing for each in answer.choices}
        return set(shown.stimuli) if "cannot_play" in reasons or None not in reasons else set()
    mine: dict[str, set[str | None]] = {}
    for each in answer.ratings:
        mine.setdefault(each.token, set()).add(each.missing)
    return {token for token, found in mine.items() if None not in found}


def _questionnaire(page: Page, given: Mapping[str, Any]) -> None:
    known = {field.id for field in page.fields}
    unknown = sorted(set(given) - known)
    if unknown:
        raise invalid(f"there is no field {unknown[0]!r}")
    for field in page.fields:
        value = given.get(field.id)
        empty = value is None or value == "" or value == []
        asked = field.show_if is None or _has_value(given.get(field.show_if.field), field.show_if.equals)
        if not asked and not empty:
            raise invalid(f"field {field.id!r} was not asked")
        if asked and empty and not field.optional:
            raise invalid(f"field {field.id!r} is not answered")
        if not empty:
            _field(field, value)


def _has_value(value: Any, wanted: str | float | bool) -> bool:
    """Whether a field has a value, or one option of several: by how it is written, as the page decides it."""
    return any(_written(each) == _written(wanted) for each in (value if isinstance(value, list) else [value]))


def _written(value: Any) -> str | None:
    """A value as JavaScript writes it; null is none."""
    if value is None or isinstance(value, str):
        return value
    return json.dumps(int(value) if isinstance(value, float) and value.is_integer() else value)


def _field(field: Field, value: Any) -> None:
    where = f"field {field.id!r}"
    options = [option.value for option in field.options]
    if field.type in _LONGEST:
        words(value, where, _LONGEST[field.type])
    elif field.type == "choice":
        one_of(value, where, options)
    elif field.type == "multiple":
        chosen = [one_of(each, where, options) for each in items(value, where, len(options))]
        if len(set(chosen)) != len(chosen):
            raise invalid(f"{where} names an option twice")
    else:
        low = -1e12 if field.min is None else field.min
        high = 1e12 if field.max is None else field.max
        found = number(value, where, low, high)
        if field.type == "likert" and found != int(found):
            raise invalid(f"{where} is {found:g}, between two steps")
