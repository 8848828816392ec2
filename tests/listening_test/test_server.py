"""The server as a browser meets it: whole studies, sessions, drafts, tabs, outcomes. On both databases."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from listening_rig import Rater, StudyMaker, answer_to, block, copy_study, full_study, rating_study

from clipsonic_listening_test.assign import Filled, deal
from clipsonic_listening_test.server.judge import expected_seconds

Serve = Callable[..., Any]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study of every page type."""
    return full_study(
        tmp_path_factory.mktemp("made") / "study", panel={"codes": {"complete": "C0", "screened_out": "S0"}}
    )


@pytest.fixture
def full(made: Path, tmp_path: Path) -> Path:
    return copy_study(made, tmp_path / "study")


def test_a_whole_study(serve_here: Serve, full: Path) -> None:
    """Every page type is shown, answered, stored and counted; the last page has the study's words and the code."""
    here = serve_here(full)
    rater = here.rater()
    assert rater.start(201).json()["resumed"] is False
    assert rater.state["progress"] == {"done": 0, "total": 13}
    seen = []
    while rater.state["finished"] is None:
        seen.append(rater.view["type"])
        right = {"headphones": here.quietest(rater)(rater.view)} if rater.view["type"] == "headphones" else {}
        rater.next(**right)
    assert seen == [here.study.pages[each.page].type for each in deal(here.study, 0, "A", Filled())][:-1]
    assert rater.state["finished"] == "complete" and rater.state["progress"] == {"done": 13, "total": 13}
    assert rater.state["finish"] == {"outcome": "complete", "code": "C0", "return_url": None, "mturk": None}
    assert rater.view["type"] == "finish" and rater.view["text"] == "Thank you."
    assert rater.state["volume"] == 0.5
    assert len(here.rows("answer")) == 13
    assert len(here.rows("rating")) == 2 + 4 + 3 + 1 + 2
    assert len(here.rows("choice")) == 2
    (session,) = here.rows("session")
    assert session["outcome"] == "complete" and session["finished_ms"] == here.now_ms
    rater.start(200)
    assert rater.state["finish"]["code"] == "C0"  # the code is there again after a reload


def test_what_each_page_shows(serve_here: Serve, full: Path) -> None:
    here = serve_here(full)
    rater = here.rater()
    rater.start(201, language="de-AT")
    views: dict[str, Any] = {}
    while rater.state["finished"] is None:
        views[rater.view["type"] if rater.view["type"] != "multi" else rater.view["pass"] or rater.view["training"]] = (
            rater.view
        )
        right = {"headphones": here.quietest(rater)(rater.view)} if rater.view["type"] == "headphones" else {}
        rater.next(**right)
    assert rater.state["study"]["language"] == "de" and rater.state["study"]["title"] == "Eine <kleine> Studie"
    assert views["consent"]["text"] == "Dürfen wir?" and views["consent"]["stimuli"] == []
    assert len(views["headphones"]["headphones"]) == 6
    assert all(len({tone["token"] for tone in trial["stimuli"]}) == 3 for trial in views["headphones"]["headphones"])
    assert len(views["volume"]["stimuli"]) == 1 and views["volume"]["require"] is None
    mushra = views["mushra"] if "mushra" in views else views["fidelity"]
    assert [each["label"] for each in mushra["stimuli"]] == ["A", "B", "C", "D"]
    assert mushra["reference"]["token"] not in {each["token"] for each in mushra["stimuli"]}
    assert mushra["switching"] == "sync" and mushra["loop"] is True and mushra["waveform"] is None
    assert mushra["attributes"] == [
        {"id": "fidelity", "scale": {"low": 0, "high": 100, "step": 1, "words": "cqs"}, "question": "fidelity"}
    ]
    relevance = views["relevance"]
    assert relevance["prompt"]["text"] == "a dog barks" and relevance["prompt"]["video"] is None
    assert relevance["prompt"]["image"]["url"].startswith("media/")
    assert views[True]["training"] is True
    assert [each["label"] for each in views["abx"]["stimuli"]] == ["A", "B", "X"]
    assert len({each["token"] for each in views["abx"]["stimuli"]}) == 3
    assert views["pair"]["pair"] == {"questions": ["match"], "tie": True}
    labels = [field["label"] for field in views["questionnaire"]["fields"]]
    assert labels == ["Alter", "Device", "Which?", "Liked"]  # a text without German is in the language it has


def test_the_instructed_stimulus_is_named_by_its_label(serve_here: Serve, full: Path) -> None:
    here = serve_here(full)
    rater = here.rater()
    rater.start(201)
    while (rater.view["instructed"] or None) is None:
        right = {"headphones": here.quietest(rater)(rater.view)} if rater.view["type"] == "headphones" else {}
        rater.next(**right)
    label = rater.view["instructed"]["label"]
    rater.next()
    row = next(each for each in here.rows("rating") if each["stimulus"] == "check-s1")
    assert (row["label"], row["score"]) == (label, 5)


def test_the_next_page_can_be_loaded_ahead(serve_here: Serve, tmp_path: Path) -> None:
    here = serve_here(rating_study(tmp_path / "study", 2))
    rater = here.rater()
    rater.start(201)
    assert rater.state["next"] is None  # what follows consent depends on it
    rater.next()
    ahead = rater.state["next"]["urls"]
    assert len(ahead) == 3
    rater.next()
    assert sorted(each["url"] for each in rater.view["stimuli"]) == ahead
    assert rater.state["next"] is None


# Continuing


def test_a_reload_goes_on_at_the_same_place_in_the_same_order(serve_here: Serve, tmp_path: Path) -> None:
    here = serve_here(rating_study(tmp_path / "study"))
    rater = here.rater()
    rater.start(201)
    rater.next()
    view = rater.view
    draft = {"seq": 1, "page": {"scores": [1, None]}}
    assert rater.request("PUT", "/api/draft", {"key": view["key"], "draft": draft}).status_code == 204
    found = rater.start(200)
    assert found.json()["resumed"] is True
    assert rater.view == view | {"draft": draft}
    assert rater.request("GET", "/api/session").json()["state"] == rater.state


def test_a_restart_of_the_server_goes_on_too(serve_here: Serve, tmp_path: Path) -> None:
    folder = rating_study(tmp_path / "study")
    here = serve_here(folder)
    rater = here.rater()
    rater.start(201)
    rater.next()
    cookies = dict(rater.client.cookies)
    here.close()
    again = serve_here(folder)
    same = again.rater(tab=rater.tab)
    same.client.cookies.update(cookies)
    same.csrf = rater.csrf
    same.save(answer_to(rater.view))
    assert same.state["progress"]["done"] == 2


def test_a_draft_replaces_the_one_before_and_goes_with_its_page(serve_here: Serve, tmp_path: Path) -> None:
    here = serve_here(rating_study(tmp_path / "study"))
    rater = here.rater()
    rater.start(201)
    rater.next()
    old = rater.view["key"]
    for number in range(3):
        rater.request("PUT", "/api/draft", {"key": old, "draft": {"n": number}})
    assert [json.loads(row["content"]) for row in here.rows("draft")] == [{"n": 2}]
    rater.next()
    assert here.rows("draft") == [] and rater.view["draft"] is None
    assert rater.request("PUT", "/api/draft", {"key": old, "draft": {"n": 9}}).status_code == 204
    assert here.rows("draft") == []  # a late draft of an answered page is forgotten


def test_a_session_that_is_too_old_is_refused_and_its_answers_are_not(serve_here: Serve, tmp_path: Path) -> None:
    here = serve_here(rating_study(tmp_path / "study"))
    rater = here.rater()
    rater.start(201)
    rater.next()
    here.later(24 * 60 + 1)
    rater.save(answer_to(rater.view))  # it waited in the browser's queue over night
    assert [row["late"] for row in here.rows("answer")] == [False, True]
    found = rater.start(410)
    assert found.json()["error"] == "expired"
    assert rater.request("GET", "/api/session").status_code == 410


def test_a_changed_study_leaves_running_sessions_as_they_are(serve_here: Serve, tmp_path: Path) -> None:
    """Running sessions keep their version; new ones get the new; both are exported under their own hash."""
    folder = rating_study(tmp_path / "study", 2)
    here = serve_here(folder)
    rater = here.rater()
    rater.start(201)
    rater.next()
    cookies, old = dict(rater.client.cookies), here.study.digest
    here.close()
    content = json.loads((folder / "study.json").read_text())
    content["blocks"] = [content["blocks"][0], content["blocks"][1] | {"pages": content["blocks"][1]["pages"][:1]}]
    (folder / "study.json").write_text(json.dumps(content))
    again = serve_here(folder)
    assert again.study.digest != old
    same = again.rater(tab=rater.tab)
    same.client.cookies.update(cookies)
    same.start(200)
    assert same.state["progress"] == {"done": 1, "total": 3} and same.view == rater.view
    assert same.client.get(f"/{same.view['stimuli'][0]['url']}").status_code == 200
    same.finish()
    new = again.rater()
    new.start(201)
    assert new.state["progress"]["total"] == 2
    assert {row["digest"] for row in again.rows("session")} == {old, again.study.digest}
    assert len(again.rows("study")) == 2


# Tabs


def test_two_tabs(serve_here: Serve, tmp_path: Path) -> None:
    """The second tab reads nothing and saves nothing until it takes over; then the first does not."""
    here = serve_here(rating_study(tmp_path / "study"))
    first = here.rater()
    first.start(201)
    second = Rater(first.client)
    second.start(200)
    assert second.state["owned"] is False and second.state["page"] is None and second.state["next"] is None
    answer = answer_to(first.view)
    assert second.save(answer, 409).json()["error"] == "open_elsewhere"
    draft = {"key": first.view["key"], "draft": {}}
    assert second.request("PUT", "/api/draft", draft).json()["error"] == "open_elsewhere"
    taken = second.request("POST", "/api/session/take-over", {}).json()["state"]
    assert taken["owned"] and taken["version"] == 2 and taken["page"]["key"] == first.view["key"]
    assert first.save(answer, 409).json()["error"] == "open_elsewhere"
    assert first.request("GET", "/api/session").json()["state"]["owned"] is False
    second.state = taken
    second.next()
    assert len(here.rows("answer")) == 1
    assert first.request("POST", "/api/session/take-over", {}).json()["state"]["version"] == 3


def test_an_answer_that_is_stored_is_acknowledged_to_any_tab(serve_here: Serve, tmp_path: Path) -> None:
    """The reply was lost, another tab took over, and the first sends what it has once more."""
    here = serve_here(rating_study(tmp_path / "study"))
    first = here.rater()
    first.start(201)
    answer = answer_to(first.view)
    first.save(answer)
    second = Rater(first.client)
    second.start(200)
    second.request("POST", "/api/session/take-over", {})
    first.save(answer)
    assert first.state["owned"] is False and len(here.rows("answer")) == 1


# Ends


def test_no_consent(serve_here: Serve, tmp_path: Path) -> None:
    here = serve_here(rating_study(tmp_path / "study", panel={"codes": {"complete": "C"}}))
    rater = here.rater()
    rater.start(201)
    rater.next(consent=False)
    assert rater.state["finished"] == "no_consent" and rater.state["page"] is None
    assert rater.state["finish"]["code"] is None and rater.state["finish"]["return_url"] is None


@pytest.mark.parametrize("wrong", [0, 1, 2])
def test_the_headphone_check_forgives_one_in_six_and_has_two_tries(serve_here: Serve, full: Path, wrong: int) -> None:
    here = serve_here(full)
    rater = here.rater()
    rater.start(201)
    rater.next()
    first = rater.view

    def answers(view: dict[str, Any]) -> list[str]:
        right = here.quietest(rater)(view)
        for at in range(wrong):
            right[at] = next(tone["token"] for tone in view["headphones"][at]["stimuli"] if tone["token"] != right[at])
        return right

    rater.next(headphones=answers(first))
    if wrong <= 1:
        assert rater.view["type"] == "volume"
        return
    assert (rater.view["type"], rater.view["attempt"], rater.view["key"]) == ("headphones", 2, first["key"])
    tokens = [
        {tone["token"] for trial in view["headphones"] for tone in trial["stimuli"]} for view in (first, rater.view)
    ]
    assert not tokens[0] & tokens[1]
    assert rater.save(answer_to(first, headphones=answers(first))).json()["stored"]  # a repetition of the first try
    rater.next(headphones=answers(rater.view))
    assert rater.state["finished"] == "screened_out" and rater.state["finish"]["code"] == "S0"
    assert [row["passed"] for row in here.rows("answer")] == [None, False, False]


def checks_study(folder: Path, checks: int, clip_pages: int) -> Path:
    maker = StudyMaker(folder)
    trials = [maker.trial(f"t{n}", 2) for n in range(clip_pages)]
    asked = [maker.trial(f"c{n}", 2, instructed={"stimulus": 0, "below": 10}) for n in range(checks)]
    return maker.write([block("main", *trials, *asked)], panel={"codes": {"complete": "C", "failed_checks": "F"}})


@pytest.mark.parametrize(
    ("pages", "missed", "outcome"),
    [(2, 0, "complete"), (2, 1, "failed_checks"), (14, 1, "complete"), (14, 2, "failed_checks")],
)
def test_instructed_responses_reject_as_panels_allow(
    serve_here: Serve, tmp_path: Path, pages: int, missed: int, outcome: str
) -> None:
    """One miss rejects only in a study of under five minutes."""
    here = serve_here(checks_study(tmp_path / "study", 2, pages))
    assert (expected_seconds(here.study, deal(here.study, 0, "A", Filled())) >= 300) == (pages == 14)
    rater = here.rater()
    rater.start(201)
    left = missed
    while rater.state["finished"] is None:
        answer = answer_to(rater.view)
        if rater.view["instructed"] is not None and left:
            left -= 1
            answer["ratings"] = [each | {"score": 60} for each in answer["ratings"]]
        rater.save(answer)
    assert rater.state["finished"] == outcome
    assert rater.state["finish"]["code"] == {"complete": "C", "failed_checks": "F"}[outcome]


@pytest.mark.parametrize(("reason", "passed"), [("prefer_not", False), ("cannot_play", None)])
def test_an_instruction_cannot_be_declined(serve_here: Serve, tmp_path: Path, reason: str, passed: bool | None) -> None:
    here = serve_here(checks_study(tmp_path / "study", 1, 0))
    rater = here.rater()
    rater.start(201)
    answer = answer_to(rater.view)
    answer["ratings"] = [each | {"score": None, "missing": reason} for each in answer["ratings"]]
    rater.save(answer)
    assert [row["passed"] for row in here.rows("answer")] == [passed]


@pytest.mark.parametrize("reason", ["no_consent", "technical", "withdraw"])
def test_leaving(serve_here: Serve, tmp_path: Path, reason: str) -> None:
    codes = {"complete": "C", "technical": "T"}
    here = serve_here(
        rating_study(tmp_path / "study", panel={"codes": codes, "return_url": "https://panel.test/?cc={code}"})
    )
    rater = here.rater()
    rater.start(201)
    rater.next()
    late = answer_to(rater.view)
    state = rater.request("POST", "/api/withdraw", {"reason": reason}).json()["state"]
    assert state["finished"] == reason and state["page"] is None
    assert state["finish"]["return_url"] == ("https://panel.test/?cc=T" if reason == "technical" else None)
    assert rater.save(late, 409).json()["error"] == "finished"
    again = rater.request("POST", "/api/withdraw", {"reason": "technical"}).json()["state"]
    assert again["finished"] == reason  # the first reason stands
    assert [row["kind"] for row in here.rows("alert")] == (["technical"] if reason == "technical" else [])


def test_the_code_is_given_only_when_every_page_is_held(serve_here: Serve, tmp_path: Path) -> None:
    here = serve_here(rating_study(tmp_path / "study", 2, panel={"codes": {"complete": "SECRETCODE"}}))
    rater = here.rater()
    texts = [rater.start(201).text]
    while rater.state["finished"] is None:
        assert rater.state["finish"] is None
        texts.append(rater.save(answer_to(rater.view)).text)
    assert ["SECRETCODE" in each for each in texts] == [False, False, False, True]


# Assignment


def test_places_come_back_when_a_lease_ends(serve_here: Serve, tmp_path: Path) -> None:
    """Four pages, one each, one rating per page: a place that was left is given to somebody else after the lease."""
    maker = StudyMaker(tmp_path / "study")
    dealt = block("main", *(maker.trial(f"t{n}", 2) for n in range(4)), per_participant=1, ratings_per_page=1)
    here = serve_here(maker.write([dealt], assignment={"lease_minutes": 10}))
    raters = [here.rater() for _ in range(5)]
    for rater in raters[:4]:
        rater.start(201)
    for rater in raters[:3]:
        rater.finish()
    last = raters[4]
    assert {row["page"] for row in here.rows("page")} == {"t0", "t1", "t2", "t3"}
    # the fourth holds the last page; those at their target may still be given one more, but nobody is needed
    (unfinished,) = [row["id"] for row in here.rows("session") if row["outcome"] is None]
    left = next(row["page"] for row in here.rows("page") if row["session"] == unfinished)
    here.later(11)
    last.start(201)
    (begun,) = [row["id"] for row in here.rows("session") if row["outcome"] is None and row["id"] != unfinished]
    assert [row["page"] for row in here.rows("page") if row["session"] == begun] == [left]
    last.finish()
    assert here.rater().start(409).json()["error"] == "full"


def test_a_draft_keeps_the_lease(serve_here: Serve, tmp_path: Path) -> None:
    maker = StudyMaker(tmp_path / "study")
    dealt = block("main", *(maker.trial(f"t{n}", 2) for n in range(2)), per_participant=1, ratings_per_page=1)
    here = serve_here(maker.write([dealt], assignment={"lease_minutes": 10}))
    rater = here.rater()
    rater.start(201)
    for _ in range(3):
        here.later(8)
        rater.request("PUT", "/api/draft", {"key": rater.view["key"], "draft": {}})
    here.rater().start(201)
    assert {row["page"] for row in here.rows("page")} == {"t0", "t1"}
