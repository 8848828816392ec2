"""ANSWER: what a browser says of a page. Here only its shape; `acceptance` holds it against the page."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any, Final

from clipsonic_listening_test.server.shape import (
    invalid,
    items,
    members,
    milliseconds,
    number,
    one_of,
    token,
    truth,
    whole,
    words,
)

MISSING: Final = ("cannot_play", "prefer_not")
MOST_EVENTS: Final = 2000
_MEMBERS: Final = (
    "page_ms", "consent", "volume", "ratings", "choices", "headphones", "fields", "listening", "events", "client",
)  # fmt: skip
_CLIENT: Final = ("hidden_ms", "drift_ms", "rate_hz", "gain", "output_latency_s", "max_channels")
DEVICE: Final = ("rate_hz", "output_latency_s", "max_channels")
_MOST: Final = 1e12


@dataclass(frozen=True)
class Rating:
    """A score, or why there is none, of the stimulus that a token stands for."""

    token: str
    attribute: str
    score: float | None
    missing: str | None


@dataclass(frozen=True)
class Choice:
    """An answer to a question about a pair: a token, `tie`, or why there is none."""

    question: str
    choice: str | None
    missing: str | None


@dataclass(frozen=True)
class Listening:
    """How a stimulus was listened to."""

    token: str
    plays: int
    seconds_heard: float
    coverage: float
    first_play_ms: int | None
    last_move_ms: int | None


@dataclass(frozen=True)
class Answer:
    """One page's answer.

    judged: canonical JSON of what was answered, without how; its SHA-256 tells a repetition from another answer.
    content: canonical JSON of all but the events. events: theirs. device: what is known of what played the sounds.
    """

    key: str
    attempt: int
    page_ms: int
    consent: bool | None
    volume: float | None
    ratings: tuple[Rating, ...]
    choices: tuple[Choice, ...]
    headphones: tuple[str, ...] | None
    fields: dict[str, Any] | None
    listening: tuple[Listening, ...]
    event_tokens: frozenset[str]
    device: dict[str, float]
    content: str
    events: str
    digest: str


def read_answer(raw: Any) -> Answer:
    """An answer from a JSON value.

    Raises:
        Refusal: of another shape.
    """
    given = members(raw, "answer", ("schema", "key", "attempt"), _MEMBERS)
    if given["schema"] != 1 or given["schema"] is True:
        raise invalid(f"answer.schema is {str(given['schema'])[:20]}; this server reads 1")
    events = items(given.get("events"), "events", MOST_EVENTS)
    rest = {name: value for name, value in given.items() if name != "events"}
    judged = {name: rest.get(name) for name in ("consent", "volume", "ratings", "choices", "headphones", "fields")}
    client = _client(given.get("client"))
    answer = Answer(
        key=token(given["key"], "key"),
        attempt=whole(given["attempt"], "attempt", 1, 99),
        page_ms=milliseconds(given.get("page_ms", 0), "page_ms"),
        consent=None if given.get("consent") is None else truth(given["consent"], "consent"),
        volume=None if given.get("volume") is None else number(given["volume"], "volume", 0, 1),
        ratings=tuple(map(_rating, items(given.get("ratings"), "ratings", 500))),
        choices=tuple(map(_choice, items(given.get("choices"), "choices", 50))),
        headphones=_headphones(given.get("headphones")),
        fields=_fields(given.get("fields")),
        listening=tuple(map(_listening, items(given.get("listening"), "listening", 200))),
        event_tokens=frozenset(each for each in map(_event, events) if each is not None),
        device={name: client[name] for name in DEVICE if name in client},
        content=canonical(rest),
        events=canonical(events),
        digest=hashlib.sha256(canonical(judged).encode()).hexdigest(),
    )
    return answer


def canonical(value: Any) -> str:
    """JSON with sorted members and no spaces."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def _rating(raw: Any) -> Rating:
    given = members(raw, "rating", ("token", "attribute", "score"), ("missing",))
    score = None if given["score"] is None else number(given["score"], "score", -_MOST, _MOST)
    missing = _missing(given.get("missing"))
    if score is not None and missing is not None:
        raise invalid("a rating has a score and says why it has none")
    return Rating(token(given["token"], "token"), token(given["attribute"], "attribute"), score, missing)


def _choice(raw: Any) -> Choice:
    given = members(raw, "choice", ("question", "choice"), ("missing",))
    chosen = None if given["choice"] is None else token(given["choice"], "choice")
    missing = _missing(given.get("missing"))
    if (chosen is None) == (missing is None):
        raise invalid("a choice names one, or says why it does not")
    return Choice(token(given["question"], "question"), chosen, missing)


def _missing(raw: Any) -> str | None:
    return None if raw is None else one_of(raw, "missing", MISSING)


def _headphones(raw: Any) -> tuple[str, ...] | None:
    return None if raw is None else tuple(token(each, "headphones") for each in items(raw, "headphones", 20))


def _fields(raw: Any) -> dict[str, Any] | None:
    if raw is None:
        return None
    if not isinstance(raw, dict) or len(raw) > 200:
        raise invalid("fields is no object of up to 200 members")
    return {token(name, "field"): value for name, value in raw.items()}


def _listening(raw: Any) -> Listening:
    names = ("token", "plays", "seconds_heard", "coverage", "first_play_ms", "last_move_ms")
    given = members(raw, "listening", names)
    first, last = given["first_play_ms"], given["last_move_ms"]
    return Listening(
        token(given["token"], "token"),
        whole(given["plays"], "plays", 0, 10**6),
        number(given["seconds_heard"], "seconds_heard", 0, 10**6),
        number(given["coverage"], "coverage", 0, 1.001),
        None if first is None else milliseconds(first, "first_play_ms"),
        None if last is None else milliseconds(last, "last_move_ms"),
    )


def _event(raw: Any) -> str | None:
    if not isinstance(raw, list) or len(raw) != 4:
        raise invalid("an event is not [ms, name, token, number]")
    number(raw[0], "event time", -_MOST, _MOST)
    words(raw[1], "event name", 40)
    if raw[3] is not None:
        number(raw[3], "event value", -_MOST, _MOST)
    return None if raw[2] is None else token(raw[2], "event token")


def _client(raw: Any) -> dict[str, float]:
    given = {} if raw is None else members(raw, "client", (), _CLIENT)
    known = {name: value for name, value in given.items() if value is not None}
    for name, value in known.items():
        number(value, name, -_MOST, _MOST)
    return known
