"""What a browser is told of a session: the page whose turn it is, and nothing that betrays a system.

Labels follow the order shown, everything else is named by tokens, and what a page type does not need is absent.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from clipsonic_listening_test.pages import CHOSEN, TRIALS, Field, Page, Text
from clipsonic_listening_test.server.tokens import Shown
from clipsonic_listening_test.study import Study

_SOUNDS = TRIALS | {"volume"}
_ALONE = {"consent"}  # what follows depends on the answer


def local(text: Text, language: str) -> str:
    """The text in a language, else in the first that it has."""
    return text.get(language) or next(iter(text.values()))


def page_view(shown: Shown, language: str, draft: Any) -> dict[str, Any]:
    """PAGEVIEW: what is on the page, for a participant who reads `language`."""
    page, study = shown.page, shown.study
    trial = page.type in TRIALS
    return {
        "key": shown.key,
        "type": page.type,
        "pass": page.pass_,
        "training": page.training,
        "index": shown.position,
        "title": None,
        "text": None if page.text is None else local(study.texts[page.text], language),
        "prompt": _prompt(shown),
        "attributes": [_attribute(study, page, at) for at in range(len(page.attributes))],
        "reference": _sound(shown, "reference") if page.reference is not None else None,
        "stimuli": _stimuli(shown) if page.type in _SOUNDS else [],
        "switching": page.switching if trial else None,
        "loop": page.loop if trial else None,
        "waveform": _peaks(study, page.reference) if page.waveform else None,
        "require": _require(page) if trial else None,
        "instructed": _instructed(shown),
        "fields": [_field(field, language) for field in page.fields] if page.type == "questionnaire" else None,
        "headphones": _headphones(shown),
        "attempt": shown.attempt,
        "pair": _pair(page),
        "draft": draft,
    }


def preload(shown: Shown) -> dict[str, Any]:
    """PRELOAD: addresses of everything on a page, in an order that is not the page's."""
    return {"urls": sorted(_url(token) for token in shown.slots)}


def may_preload_after(page: Page) -> bool:
    """Whether the page that follows is certain enough to be loaded ahead."""
    return page.type not in _ALONE


def study_view(study: Study, language: str) -> dict[str, Any]:
    """The study's own facts."""
    return {
        "id": study.id,
        "title": local(study.title, language),
        "name": study.name,
        "languages": list(study.languages),
        "language": language,
        "rate_hz": study.rate_hz,
        "preset": study.preset,
    }


def finish_view(study: Study, outcome: str, visit: Mapping[str, str]) -> dict[str, Any]:
    """What somebody whose session has ended takes along: the outcome's code, and the way back to the panel."""
    code = study.panel.codes.get(outcome)
    back = study.panel.return_url
    return {
        "outcome": outcome,
        "code": code,
        "return_url": None if back is None or code is None else back.replace("{code}", code),
        "mturk": _post_back(visit, outcome, code) if study.panel.kind == "mturk" else None,
    }


def _post_back(visit: Mapping[str, str], outcome: str, code: str | None) -> dict[str, Any] | None:
    if "turkSubmitTo" not in visit or "assignmentId" not in visit or outcome in ("no_consent", "withdraw"):
        return None
    fields = {"assignmentId": visit["assignmentId"], "outcome": outcome} | ({} if code is None else {"code": code})
    return {"url": visit["turkSubmitTo"].rstrip("/") + "/mturk/externalSubmit", "fields": fields}


def _prompt(shown: Shown) -> dict[str, Any] | None:
    page = shown.page
    if page.prompt is None or not page.show:
        return None
    prompt = shown.study.prompts[page.prompt]
    text = prompt.text if "text" in page.show else None
    media = {kind: {"url": _url(shown.token_of[kind])} for kind in ("image", "video") if kind in shown.token_of}
    return {
        "text": text,
        "lang": prompt.lang if text is not None else None,
        "image": media.get("image"),
        "video": media.get("video"),
    }


def _attribute(study: Study, page: Page, at: int) -> dict[str, Any]:
    attribute = page.attributes[at]
    scale = study.scales[attribute.scale]
    return {
        "id": attribute.id,
        "scale": {"low": scale.low, "high": scale.high, "step": scale.step, "words": scale.words},
        "question": attribute.question,
    }


def _stimuli(shown: Shown) -> list[dict[str, Any]]:
    own_peaks = shown.page.waveform and shown.page.reference is None
    views = []
    for slot in shown.stimuli.values():
        view: dict[str, Any] = {"label": slot.label} | _sound(shown, slot.label)
        if own_peaks:
            view["peaks"] = _peaks(shown.study, slot.thing)
        views.append(view)
    return views


def _sound(shown: Shown, label: str) -> dict[str, str]:
    token = shown.token_of[label]
    return {"token": token, "url": _url(token)}


def _url(token: str) -> str:
    return f"media/{token}"


def _peaks(study: Study, stimulus: str | None) -> list[float] | None:
    peaks = None if stimulus is None else study.stimuli[stimulus].peaks
    return None if peaks is None else list(peaks)


def _require(page: Page) -> dict[str, Any]:
    need = page.require
    return {
        "heard_s": need.heard_s,
        "coverage": need.coverage,
        "rate_all": need.rate_all,
        "one_at_top": need.one_at_top,
    }


def _instructed(shown: Shown) -> dict[str, Any] | None:
    if shown.page.instructed is None:
        return None
    return {"label": shown.instructed_label(), "below": shown.page.instructed.below}


def _headphones(shown: Shown) -> list[dict[str, Any]] | None:
    if not shown.trials:
        return None
    return [{"stimuli": [{"token": token, "url": _url(token)} for token in tokens]} for tokens, _ in shown.trials]


def _pair(page: Page) -> dict[str, Any] | None:
    if page.type not in CHOSEN:
        return None
    return {"questions": list(questions(page)), "tie": page.pair.tie if page.pair is not None else False}


def questions(page: Page) -> tuple[str, ...]:
    """Questions of a pair or ABX page; ABX has one, which of A and B is X."""
    asked = () if page.pair is None else page.pair.questions
    return asked[:1] if page.type == "abx" else asked


def _field(field: Field, language: str) -> dict[str, Any]:
    options = [{"value": option.value, "label": local(option.label, language)} for option in field.options]
    condition = field.show_if
    return {
        "id": field.id,
        "type": field.type,
        "label": local(field.label, language),
        "optional": field.optional,
        "options": options or None,
        "min": field.min,
        "max": field.max,
        "show_if": None if condition is None else {"field": condition.field, "equals": condition.equals},
    }
