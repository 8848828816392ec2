"""Saving a page: once, in its turn, whole, and only if it is an answer to that page."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from listening_rig import StudyMaker, answer_to, block, copy_study, full_study, listened, page, rating_study

from clipsonic_listening_test.server.importing import import_answers

Serve = Callable[..., Any]
Answer = dict[str, Any]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return full_study(tmp_path_factory.mktemp("made") / "study")


@pytest.fixture(scope="module")
def ratings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return rating_study(tmp_path_factory.mktemp("made") / "study")


@pytest.fixture
def at(serve_here: Serve, made: Path, tmp_path: Path) -> Callable[[str], tuple[Any, Any]]:
    """A rater who has come to a page of the full study, and where it is served."""

    def come(name: str) -> tuple[Any, Any]:
        here = serve_here(copy_study(made, tmp_path / "study"))
        rater = here.rater()
        rater.start(201)
        names = [row["page"] for row in here.rows("page")]
        while names[rater.state["progress"]["done"]] != name:
            right = {"headphones": here.quietest(rater)(rater.view)} if rater.view["type"] == "headphones" else {}
            rater.next(**right)
        return here, rater

    return come


@pytest.fixture
def here(serve_here: Serve, ratings: Path, tmp_path: Path) -> Any:
    return serve_here(copy_study(ratings, tmp_path / "study"))


# Once


def test_the_same_answer_again_is_stored_once(here: Any) -> None:
    rater = here.rater()
    rater.start(201)
    rater.next()
    answer = answer_to(rater.view)
    first = rater.save(answer).json()
    second = rater.save(answer).json()
    assert first == second
    timed = rater.save(answer | {"page_ms": 99_999, "events": [], "client": {}}).json()  # a second click on Next
    assert timed["stored"] and len(here.rows("answer")) == 2 and len(here.rows("rating")) == 3
    assert here.rows("audit") == []


def test_a_page_sent_twice_at_once_is_stored_once(here: Any) -> None:
    """Both requests are on their way before either is stored."""
    from concurrent.futures import ThreadPoolExecutor

    rater = here.rater()
    rater.start(201)
    while rater.state["finished"] is None:
        answer = answer_to(rater.view)
        with ThreadPoolExecutor(4) as pool:
            found = list(pool.map(lambda _, answer=answer: rater.request("PUT", "/api/answer", answer), range(4)))
        assert [each.status_code for each in found] == [200] * 4
        rater.state = found[0].json()["state"]
    assert len(here.rows("answer")) == 4 and len(here.rows("rating")) == 9


def test_another_answer_to_a_stored_page_is_refused_and_kept(here: Any) -> None:
    rater = here.rater()
    rater.start(201)
    rater.next()
    first = rater.view
    rater.save(answer_to(first))
    other = answer_to(first, score=lambda at: 10 + at)
    assert rater.save(other, 409).json()["error"] == "locked"
    rater.save(other, 409)
    (audit,) = here.rows("audit")
    assert '"score":10' in audit["content"] and audit["position"] == 1
    assert sorted(row["score"] for row in here.rows("rating")) == [50, 51, 52]


def test_a_page_out_of_turn_is_refused(here: Any) -> None:
    from clipsonic_listening_test.server.tokens import cookie_hash

    rater = here.rater()
    rater.start(201)
    rater.next()
    import asyncio

    live = asyncio.run(here.service.live(cookie_hash(rater.client.cookies[here.service.cookie_name])))
    from clipsonic_listening_test.server.views import page_view

    later = page_view(live.shown(3, 1), "en", None)
    assert rater.save(answer_to(later), 409).json()["error"] == "not_current"
    assert len(here.rows("answer")) == 1


def test_pages_of_another_session_are_unknown(here: Any) -> None:
    one, two = here.rater(), here.rater()
    one.start(201)
    two.start(201)
    assert "no such page" in two.save(answer_to(one.view), 422).json()["message"]
    one.next()
    two.next()
    mixed = answer_to(two.view) | {"ratings": answer_to(one.view)["ratings"]}
    assert "not on the page" in two.save(mixed, 422).json()["message"]


# Whole


def change(answer: Answer, **members: Any) -> Answer:
    return answer | {"ratings": [answer["ratings"][0] | members, *answer["ratings"][1:]]}


REFUSED: dict[str, tuple[Callable[[Answer], Answer], str]] = {
    "above the scale": (lambda a: change(a, score=101), "the score 101 is not from 0 to 100"),
    "below the scale": (lambda a: change(a, score=-1), "the score -1 is not from 0 to 100"),
    "between steps": (lambda a: change(a, score=50.5), "the score 50.5 is not on a step of 1"),
    "true is no number": (lambda a: change(a, score=True), "score is no number"),
    "text is no number": (lambda a: change(a, score="50"), "score is no number"),
    "unset": (lambda a: change(a, score=None), "1 of 3 stimuli have no rating for 'fidelity'"),
    "one left out": (lambda a: a | {"ratings": a["ratings"][1:]}, "1 of 3 stimuli have no rating"),
    "none at all": (lambda a: a | {"ratings": []}, "3 of 3 stimuli have no rating"),
    "twice": (lambda a: a | {"ratings": [*a["ratings"], a["ratings"][0]]}, "a stimulus is rated twice"),
    "another attribute": (lambda a: change(a, attribute="loudness"), "a rating is of 'loudness'"),
    "another token": (lambda a: change(a, token="x"), "a rating is of a stimulus that is not on the page"),
    "score and missing": (lambda a: change(a, missing="prefer_not"), "has a score and says why it has none"),
    "another reason": (
        lambda a: change(a, score=None, missing="tired"),
        "missing is not one of cannot_play, prefer_not",
    ),
    "unknown member": (lambda a: a | {"admin": True}, "answer has the unknown member 'admin'"),
    "unknown member inside": (lambda a: change(a, system="ours"), "rating has the unknown member 'system'"),
    "consent here": (lambda a: a | {"consent": True}, "a multi page does not ask for consent"),
    "volume here": (lambda a: a | {"volume": 0.5}, "a multi page does not ask for volume"),
    "choices here": (
        lambda a: a | {"choices": [{"question": "x", "choice": "tie", "missing": None}]},
        "a multi page does not ask for choices",
    ),
    "fields here": (lambda a: a | {"fields": {"age": 3}}, "a multi page does not ask for fields"),
    "not heard": (lambda a: a | {"listening": a["listening"][1:]}, "was heard for less than 0.2 s"),
    "heard too little": (
        lambda a: a | {"listening": [each | {"seconds_heard": 0.05} for each in a["listening"]]},
        "stimulus A was heard for less than 0.2 s",
    ),
    "heard twice": (lambda a: a | {"listening": a["listening"] * 2}, "listening names a stimulus twice"),
    "heard elsewhere": (
        lambda a: a | {"listening": [*a["listening"], a["listening"][0] | {"token": "other"}]},
        "listening or events name a stimulus that is not on the page",
    ),
    "negative plays": (
        lambda a: a | {"listening": [a["listening"][0] | {"plays": -1}, *a["listening"][1:]]},
        "plays is -1, not from 0",
    ),
    "coverage above one": (
        lambda a: a | {"listening": [a["listening"][0] | {"coverage": 2}, *a["listening"][1:]]},
        "coverage is 2, not from 0",
    ),
    "events elsewhere": (
        lambda a: a | {"events": [[1, "play", "other", None]]},
        "name a stimulus that is not on the page",
    ),
    "events of another shape": (lambda a: a | {"events": [[1, "play"]]}, "an event is not [ms, name, token, number]"),
    "too many events": (lambda a: a | {"events": [[1, "play", None, None]] * 2001}, "events has 2001 entries"),
    "attempt": (lambda a: a | {"attempt": 2}, "no such page or attempt"),
    "attempt of another type": (lambda a: a | {"attempt": "1"}, "attempt is no number"),
    "schema": (lambda a: a | {"schema": 2}, "answer.schema is 2; this server reads 1"),
    "negative time": (lambda a: a | {"page_ms": -1}, "page_ms is -1, not from 0"),
    "no key": (lambda a: {name: value for name, value in a.items() if name != "key"}, "answer lacks 'key'"),
    "list": (lambda a: [a], "answer is no object"),  # type: ignore[dict-item, return-value]
    "ratings no list": (lambda a: a | {"ratings": {}}, "ratings is no list"),
}


def test_what_is_no_answer_to_a_page_is_refused(here: Any) -> None:
    """One of each; after all of them nothing is stored but the consent, and the right answer is taken."""
    rater = here.rater()
    rater.start(201)
    rater.next()
    here.service.limits.clock = lambda: 0.0
    for name, (spoil, message) in REFUSED.items():
        here.service.limits._buckets.clear()
        found = rater.request("PUT", "/api/answer", spoil(answer_to(rater.view)))
        assert found.status_code == 422, name
        assert found.json()["error"] == "invalid" and message in found.json()["message"], (name, found.text)
    assert len(here.rows("answer")) == 1 and here.rows("rating") == [] and here.rows("audit") == []
    rater.next()


def test_reasons_why_a_rating_is_missing(here: Any) -> None:
    rater = here.rater()
    rater.start(201)
    rater.next()
    answer = answer_to(rater.view)
    answer["ratings"][0] |= {"score": None, "missing": "cannot_play"}
    answer["ratings"][1] |= {"score": None, "missing": "prefer_not"}
    unheard = answer | {"listening": answer["listening"][:2]}
    assert "stimulus C was heard" in rater.save(unheard, 422).json()["message"]
    assert here.rows("alert") == []
    rater.save(answer | {"listening": answer["listening"][2:]})  # what is not judged need not be heard
    rows = sorted(here.rows("rating"), key=lambda row: row["label"])
    assert [(row["score"], row["missing"]) for row in rows] == [(None, "cannot_play"), (None, "prefer_not"), (52, None)]
    first, second = (row["stimulus"] for row in rows[:2])
    told = [(row["kind"], row["detail"].split(", ")[1]) for row in here.rows("alert")]
    assert told == [("cannot_play", f"A ({first})"), ("prefer_not", f"B ({second})")]  # the owner is to look at it
    rater.save(answer | {"listening": answer["listening"][2:]})  # sent again
    assert len(here.rows("alert")) == 2


def test_ratings_that_are_not_required_may_stay_unset(serve_here: Serve, tmp_path: Path) -> None:
    maker = StudyMaker(tmp_path / "study")
    optional = maker.trial("t", 2, require={"heard_s": 0, "rate_all": False})
    here = serve_here(maker.write([block("main", optional, maker.trial("u"))]))
    rater = here.rater()
    rater.start(201)
    rater.save(answer_to(rater.view, ratings=[], listening=[]))
    assert here.rows("rating") == []


def test_one_at_the_top(serve_here: Serve, tmp_path: Path) -> None:
    maker = StudyMaker(tmp_path / "study")
    strict = maker.trial("t", 2, require={"heard_s": 0.2, "one_at_top": True})
    here = serve_here(maker.write([block("main", strict, maker.trial("u"))]))
    rater = here.rater()
    rater.start(201)
    assert "no stimulus has 100 for 'fidelity'" in rater.save(answer_to(rater.view), 422).json()["message"]
    unsure = answer_to(rater.view)
    unsure["ratings"][0] |= {"score": None, "missing": "cannot_play"}
    rater.save(unsure)  # the one that could not be played may have been it


def test_a_clip_shorter_than_what_must_be_heard_is_heard_whole(serve_here: Serve, tmp_path: Path) -> None:
    """The clips last 0.25 s; three quarters must be covered."""
    maker = StudyMaker(tmp_path / "study")
    here = serve_here(maker.write([block("main", maker.trial("t", 2, require={"heard_s": 2, "coverage": 0.75}))]))
    rater = here.rater()
    rater.start(201)
    short = answer_to(rater.view, listening=listened(rater.view, 0.1))
    assert "less than 0.25 s" in rater.save(short, 422).json()["message"]
    partly = answer_to(rater.view, listening=[each | {"coverage": 0.7} for each in listened(rater.view, 0.25)])
    assert "less than 75% was heard" in rater.save(partly, 422).json()["message"]
    rater.save(answer_to(rater.view, listening=[each | {"coverage": 0.74} for each in listened(rater.view, 0.25)]))


def test_consent_and_volume_are_wanted(at: Callable[[str], tuple[Any, Any]]) -> None:
    here, rater = at("consent")
    assert "consent is neither" in rater.save(answer_to(rater.view, consent=None), 422).json()["message"]
    rater.next()
    rater.next(headphones=here.quietest(rater)(rater.view))
    assert "the volume is missing" in rater.save(answer_to(rater.view, volume=None), 422).json()["message"]
    assert "volume is 1.5" in rater.save(answer_to(rater.view, volume=1.5), 422).json()["message"]
    rater.save(answer_to(rater.view, volume=0.25))
    assert rater.state["volume"] == 0.25


def test_headphone_answers_are_tones_of_their_trial(at: Callable[[str], tuple[Any, Any]]) -> None:
    here, rater = at("headphones")
    right = here.quietest(rater)(rater.view)
    for wrong, message in (
        (None, "0 of 6 headphone trials are answered"),
        (right[:5], "5 of 6 headphone trials"),
        ([right[1], *right[1:]], "headphone trial 1 names a tone that is not in it"),
        ([*right[:5], "x"], "headphone trial 6 names a tone"),
    ):
        assert message in rater.save(answer_to(rater.view, headphones=wrong), 422).json()["message"]


def test_choices(at: Callable[[str], tuple[Any, Any]]) -> None:
    here, rater = at("pair")
    tokens = [each["token"] for each in rater.view["stimuli"]]
    plain = answer_to(rater.view)

    def chosen(choice: str | None, missing: str | None = None, question: str = "match") -> Answer:
        return plain | {"choices": [{"question": question, "choice": choice, "missing": missing}]}

    for wrong, message in (
        (chosen("x"), "a choice names what cannot be chosen"),
        (chosen(None), "a choice names one, or says why it does not"),
        (chosen(tokens[0], "prefer_not"), "a choice names one, or says why it does not"),
        (chosen(tokens[0], question="other"), "answered are other; asked is match"),
        (plain | {"choices": []}, "answered are no questions; asked is match"),
        (plain | {"choices": plain["choices"] * 2}, "answered are match, match; asked is match"),
    ):
        assert message in rater.save(wrong, 422).json()["message"]
    rater.save(chosen("tie"))
    (row,) = here.rows("choice")
    assert row["tie"] and row["chosen"] is None and row["missing"] is None
    # ABX: X itself and a tie cannot be chosen, and only the server knows which is right
    first, second, x = [each["token"] for each in rater.view["stimuli"]]
    plain = answer_to(rater.view)
    for wrong in (x, "tie"):
        assert "cannot be chosen" in rater.save(chosen(wrong), 422).json()["message"]
    rater.save(chosen(second))
    assert first != second
    (row,) = [each for each in here.rows("choice") if each["correct"] is not None]
    assert row["label"] == "B"
    (session,) = here.rows("session")
    import json

    arranged = next(json.loads(each["arrangement"]) for each in here.rows("page") if each["page"] == "abx")
    assert row["correct"] == (arranged["x"] == arranged["stimuli"][1])
    assert row["correct"] == next(each["passed"] for each in here.rows("answer") if each["position"] == 9)
    assert session["outcome"] is None


@pytest.mark.parametrize("reason", ["cannot_play", "prefer_not"])
def test_a_pair_that_is_not_judged(at: Callable[[str], tuple[Any, Any]], reason: str) -> None:
    here, rater = at("pair")
    silent = [{"question": "match", "choice": None, "missing": reason}]
    rater.save(answer_to(rater.view, choices=silent, listening=[]))
    assert [row["kind"] for row in here.rows("alert")] == [reason]


def test_questionnaires(at: Callable[[str], tuple[Any, Any]]) -> None:
    here, rater = at("questionnaire")
    good = {"age": 33, "device": "headphones", "liked": 4}
    for fields, message in (
        (None, "field 'device' is not answered"),
        (good | {"device": None}, "field 'device' is not answered"),
        (good | {"device": "radio"}, "field 'device' is not one of headphones, other"),
        (good | {"device": "other"}, "field 'which' is not answered"),
        (good | {"which": "a box"}, "field 'which' was not asked"),
        (good | {"age": 150}, "field 'age' is 150, not from 0 to 120"),
        (good | {"age": "33"}, "field 'age' is no number"),
        (good | {"liked": 4.5}, "field 'liked' is 4.5, between two steps"),
        (good | {"liked": 8}, "field 'liked' is 8, not from 1 to 7"),
        (good | {"other": 1}, "there is no field 'other'"),
        (good | {"device": "other", "which": "x" * 1001}, "field 'which' is longer than 1000 characters"),
        (good | {"device": "other", "which": "a\x00b"}, "has a character that cannot be stored"),
        ({"../x": 1}, "field is not 1 to 64 of"),
    ):
        assert message in rater.save(answer_to(rater.view, fields=fields), 422).json()["message"], fields
    rater.save(
        answer_to(rater.view, fields={"device": "other", "which": "=HYPERLINK(1) & <b>ü</b>", "liked": 7, "age": None})
    )
    assert rater.state["finished"] == "complete"
    assert any("=HYPERLINK(1) & <b>ü</b>" in row["content"] for row in here.rows("answer"))


@pytest.mark.parametrize(
    ("type", "wanted", "value"),
    [
        ("multiple", "tv", ["radio", "tv"]),
        ("choice", "tv", "tv"),
        ("number", 3, 3),
        ("likert", "3", 3),
        ("number", 0.5, 0.5),
    ],
)
def test_what_a_question_depends_on_is_read_as_the_page_reads_it(
    serve_here: Serve, tmp_path: Path, type: str, wanted: Any, value: Any
) -> None:
    options = [{"value": each, "label": {"en": each}} for each in ("radio", "tv", "none")]
    asked: dict[str, Any] = {"id": "what", "type": type, "label": {"en": "?"}}
    asked |= {"options": options} if type in ("multiple", "choice") else {}
    asked |= {"min": 0, "max": 9} if type == "likert" else {}
    why = {"id": "why", "type": "text", "label": {"en": "?"}, "show_if": {"field": "what", "equals": wanted}}
    maker = StudyMaker(tmp_path / "study")
    here = serve_here(maker.write([block("main", page("q", "questionnaire", fields=[asked, why]), page("p", "pause"))]))
    rater = here.rater()
    rater.start(201)
    other = {"multiple": ["radio"], "choice": "none"}.get(type, 9)
    refused = rater.save(answer_to(rater.view, fields={"what": other, "why": "so"}), 422)
    assert "field 'why' was not asked" in refused.json()["message"]
    assert "'why' is not answered" in rater.save(answer_to(rater.view, fields={"what": value}), 422).json()["message"]
    rater.save(answer_to(rater.view, fields={"what": value, "why": "so"}))


def test_a_page_that_asks_nothing_takes_nothing(at: Callable[[str], tuple[Any, Any]]) -> None:
    _, rater = at("instructions")
    assert "does not ask for fields" in rater.save(answer_to(rater.view, fields={"x": 1}), 422).json()["message"]
    rater.next()


def test_several_attributes(serve_here: Serve, tmp_path: Path) -> None:
    maker = StudyMaker(tmp_path / "study")
    two = [{"id": each, "scale": "acr", "question": each} for each in ("fidelity", "relevance")]
    trial = maker.trial("t", 2, attributes=two)
    here = serve_here(maker.write([block("main", trial, page("p", "pause"))]))
    rater = here.rater()
    rater.start(201)
    half = answer_to(rater.view, score=lambda at: 1 + at)
    assert "for 'relevance'" in rater.save(half | {"ratings": half["ratings"][:2]}, 422).json()["message"]
    assert "not from 1 to 5" in rater.save(answer_to(rater.view, score=lambda _: 0), 422).json()["message"]
    rater.save(half)
    assert len(here.rows("rating")) == 4


# From a file


def saved_file(path: Path, here: Any, rater: Any, answers: list[Answer]) -> Path:
    import json

    content = {
        "schema": 1,
        "kind": "answers",
        "study": here.study.id,
        "participant": rater.state["participant"],
        "answers": answers,
    }
    path.write_text(json.dumps(content))
    return path


def test_answers_come_from_a_file_as_a_last_resort(here: Any, tmp_path: Path) -> None:
    """The network is gone for good; what the browser kept is imported, twice, and is there once."""
    rater = here.rater()
    rater.start(201)
    consent = answer_to(rater.view)
    rater.save(consent)
    queued = answer_to(rater.view)
    path = saved_file(tmp_path / "answers.json", here, rater, [consent, queued])
    found = import_answers(here.service, path)
    assert (found.participant, found.stored, found.known, found.refused) == (rater.state["participant"], 1, 1, ())
    assert import_answers(here.service, path).known == 2
    assert [row["source"] for row in here.rows("answer")] == ["browser", "file"]
    rater.start(200)
    assert rater.state["progress"]["done"] == 2


def test_a_file_of_somebody_else_or_changed_later_is_refused(here: Any, tmp_path: Path) -> None:
    from clipsonic_listening_test.errors import ListeningTestError

    one, two = here.rater(), here.rater()
    one.start(201)
    two.start(201)
    stolen = import_answers(here.service, saved_file(tmp_path / "a.json", here, two, [answer_to(one.view)]))
    assert stolen.stored == 0 and "no such page" in stolen.refused[0]
    first = one.view
    one.next()
    answer = answer_to(one.view)
    one.save(answer)
    changed = [answer_to(first), answer | {"ratings": [each | {"score": 0} for each in answer["ratings"]]}]
    found = import_answers(here.service, saved_file(tmp_path / "b.json", here, one, changed))
    assert (found.stored, found.known) == (0, 1) and "another answer" in found.refused[0]
    assert len(here.rows("audit")) == 1
    for text, message in (
        ("{", "the body is not JSON"),
        ("[]", "file is no object"),
        ('{"schema": 1, "kind": "answers", "study": "other", "participant": "X", "answers": []}', "study 'other'"),
        ('{"schema": 1, "kind": "answers", "study": "tiny", "participant": "X", "answers": [1]}', "has the code X"),
    ):
        (tmp_path / "c.json").write_text(text)
        with pytest.raises(ListeningTestError, match=message):
            import_answers(here.service, tmp_path / "c.json")
    with pytest.raises(ListeningTestError, match="does not exist"):
        import_answers(here.service, tmp_path / "absent.json")
