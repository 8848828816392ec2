"""Where participants come from: links of Prolific and MTurk, invitations, and who is paid for what."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from listening_rig import rating_study

from clipsonic_listening_test.payment import people_to_pay
from clipsonic_listening_test.store.people import make_invites

Serve = Callable[..., Any]
PROLIFIC = {
    "kind": "prolific",
    "codes": {"complete": "CDONE", "technical": "CTECH"},
    "return_url": "https://app.prolific.com/submissions/complete?cc={code}",
}


def link(pid: str, visit: str) -> dict[str, str]:
    return {"PROLIFIC_PID": pid, "STUDY_ID": "s", "SESSION_ID": visit}


def test_prolific_from_link_to_code(serve_here: Serve, tmp_path: Path) -> None:
    here = serve_here(rating_study(tmp_path / "study", 2, panel=PROLIFIC))
    assert here.rater().start(403).json()["error"] == "panel_id"
    rater = here.rater()
    rater.start(201, **link("p1", "v1"))
    assert rater.finish()["finish"] == {
        "outcome": "complete",
        "code": "CDONE",
        "return_url": "https://app.prolific.com/submissions/complete?cc=CDONE",
        "mturk": None,
    }
    left = here.rater()
    left.start(201, **link("p2", "v2"))
    left.request("POST", "/api/withdraw", {"reason": "technical"})
    with here.store.readers.connect() as connection:
        people = list(people_to_pay(connection, here.study))
    assert [(each["panel_id"], each["visit"], each["outcome"], each["code"]) for each in people] == [
        ("p1", "v1", "complete", "CDONE"),
        ("p2", "v2", "technical", "CTECH"),
    ]


def test_another_device_goes_on_where_the_first_was_and_takes_over(serve_here: Serve, tmp_path: Path) -> None:
    here = serve_here(rating_study(tmp_path / "study", 2, panel=PROLIFIC))
    first, second = here.rater(), here.rater()
    first.start(201, **link("p1", "v1"))
    first.next()
    second.start(200, **link("p1", "v1"))
    assert second.state["owned"] and second.view == first.view
    assert second.state["participant"] == first.state["participant"]
    first.start(200)
    assert first.state["owned"] is False
    second.finish()
    assert len(here.rows("session")) == 1 and len(here.rows("cookie")) == 2


def test_taking_part_twice(serve_here: Serve, tmp_path: Path) -> None:
    here = serve_here(rating_study(tmp_path / "study", 2, panel=PROLIFIC))
    rater = here.rater()
    rater.start(201, **link("p1", "v1"))
    rater.finish()
    assert rater.start(409, **link("p1", "v2")).json()["error"] == "repeat_participation"
    assert here.rater().start(409, **link("p1", "v2")).json()["error"] == "repeat_participation"
    rater.start(200, **link("p1", "v1"))  # the same visit again: the code once more
    assert rater.state["finish"]["code"] == "CDONE"


def test_two_people_at_one_browser(serve_here: Serve, tmp_path: Path) -> None:
    here = serve_here(rating_study(tmp_path / "study", 2, panel=PROLIFIC))
    rater = here.rater()
    rater.start(201, **link("p1", "v1"))
    rater.next()
    rater.start(201, **link("p2", "v2"))
    assert rater.state["progress"]["done"] == 0 and len(here.rows("session")) == 2
    rater.start(200, **link("p1", "v1"))
    assert rater.state["progress"]["done"] == 1


def test_mturk(serve_here: Serve, tmp_path: Path) -> None:
    panel = {"kind": "mturk", "codes": {"complete": "C"}}
    here = serve_here(rating_study(tmp_path / "study", 2, panel=panel))
    given = {"workerId": "w1", "assignmentId": "a1", "hitId": "h1", "turkSubmitTo": "https://workersandbox.mturk.com/"}
    preview = given | {"assignmentId": "ASSIGNMENT_ID_NOT_AVAILABLE"}
    del preview["workerId"]
    assert here.rater().start(409, **preview).json()["error"] == "preview"
    assert here.rows("session") == []
    rater = here.rater()
    rater.start(201, **given)
    finish = rater.finish()["finish"]
    assert finish["mturk"] == {
        "url": "https://workersandbox.mturk.com/mturk/externalSubmit",
        "fields": {"assignmentId": "a1", "outcome": "complete", "code": "C"},
    }
    assert here.rater().start(409, **(given | {"assignmentId": "a2"})).json()["error"] == "repeat_participation"


def test_invitations_open_one_session_each(serve_here: Serve, tmp_path: Path) -> None:
    here = serve_here(rating_study(tmp_path / "study", 2, panel={"kind": "invite"}))
    codes = here.store.write_now(lambda connection: make_invites(connection, here.store.key, here.study.id, 2, 0))
    assert len(set(codes)) == 2 and all(len(code) >= 16 for code in codes)
    assert here.rater().start(403).json()["error"] == "panel_id"
    assert here.rater().start(403, invite="made-up").json()["error"] == "panel_id"
    one, again, other = here.rater(), here.rater(), here.rater()
    one.start(201, invite=codes[0])
    one.next()
    again.start(200, invite=codes[0])  # the same link goes on, it does not begin again
    assert again.state["progress"]["done"] == 1
    other.start(201, invite=codes[1])
    assert other.state["participant"] != one.state["participant"]
    assert here.rows("person") == []
    assert not any(code in str(here.rows("invite")) for code in codes)


def test_an_open_study_takes_anybody_and_keeps_a_panel_id_if_there_is_one(serve_here: Serve, tmp_path: Path) -> None:
    here = serve_here(rating_study(tmp_path / "study", 2))
    here.rater().start(201)
    here.rater().start(201, **link("p1", "v1"))
    assert here.rater().start(409, **link("p1", "v2")).status_code == 409
    assert [row["panel"] for row in sorted(here.rows("session"), key=lambda row: row["number"])] == ["open", "prolific"]


def test_the_language_is_the_sessions_and_may_change(serve_here: Serve, tmp_path: Path) -> None:
    here = serve_here(rating_study(tmp_path / "study", 2))
    rater = here.rater()
    rater.start(201, language="fr")
    assert rater.state["study"]["language"] == "en"
    rater.start(200, language="de_CH")
    assert rater.state["study"] | {"language": "de", "title": "Eine <kleine> Studie"} == rater.state["study"]
