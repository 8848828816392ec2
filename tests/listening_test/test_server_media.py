"""Sounds and pictures as they are served; what the owner is told and sees; the kit's own pages. On both databases."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from listening_rig import StudyMaker, answer_to, block, page, rating_study
from sqlalchemy import text

Serve = Callable[..., Any]


# Media


def test_sounds_are_served_whole_and_in_ranges(serve_here: Serve, tmp_path: Path) -> None:
    here = serve_here(rating_study(tmp_path / "study"))
    rater = here.rater()
    rater.start(201)
    rater.next()
    url = "/" + rater.view["stimuli"][0]["url"]
    (name,) = [row["stimulus"] for row in here.rows("rating")] or [None]
    whole = rater.client.get(url)
    assert whole.status_code == 200 and whole.headers["content-type"] == "audio/flac"
    assert whole.content in [here.study.sound_path(each).read_bytes() for each in here.study.stimuli]
    assert name is None
    size = len(whole.content)

    def part(given: str, **headers: str) -> Any:
        return rater.client.get(url, headers={"Range": given} | headers)

    first = part("bytes=0-99")
    assert first.status_code == 206 and first.content == whole.content[:100]
    assert first.headers["content-range"] == f"bytes 0-99/{size}"
    assert part("bytes=100-").content == whole.content[100:]
    assert part("bytes=-50").content == whole.content[-50:]
    assert part("bytes=0-999999999").content == whole.content
    assert part(f"bytes={size}-").status_code == 416
    assert part("bytes=5-4").status_code == 416
    assert part("bytes=-0").status_code == 416
    assert part("bytes=0-1,5-6").status_code == 200  # several ranges: all of it
    assert part("nonsense").status_code == 200
    etag = whole.headers["etag"]
    assert part("bytes=0-9", **{"If-Range": etag}).status_code == 206
    assert part("bytes=0-9", **{"If-Range": '"other"'}).status_code == 200
    assert rater.client.get(url, headers={"If-None-Match": etag}).status_code == 304
    head = rater.client.head(url)
    assert head.status_code == 200 and head.content == b"" and head.headers["content-length"] == str(size)


def test_a_file_that_has_gone_is_reported_once(serve_here: Serve, tmp_path: Path) -> None:
    here = serve_here(rating_study(tmp_path / "study"))
    rater = here.rater()
    rater.start(201)
    rater.next()
    for each in here.study.stimuli:
        here.study.sound_path(each).unlink()
    url = "/" + rater.view["stimuli"][0]["url"]
    assert rater.client.get(url).status_code == 404
    assert rater.client.get(url).status_code == 404
    assert [row["kind"] for row in here.rows("alert")] == ["file_missing"]
    ratings = [each | {"score": None, "missing": "cannot_play"} for each in answer_to(rater.view)["ratings"]]
    rater.save(answer_to(rater.view, ratings=ratings, listening=[]))  # and the participant goes on


def test_problems_reach_the_owner(serve_here: Serve, tmp_path: Path) -> None:
    here = serve_here(rating_study(tmp_path / "study"))
    rater = here.rater()
    rater.start(201)
    rater.next()
    token = rater.view["stimuli"][0]["token"]
    assert rater.request("POST", "/api/problem", {"kind": "decode", "token": token, "detail": "no"}).status_code == 204
    (row,) = here.rows("alert")
    assert row["kind"] == "decode" and row["detail"].startswith("page t") and row["detail"].endswith(": no")


def test_nobody_fills_the_disk_with_complaints(serve_here: Serve, tmp_path: Path) -> None:
    from clipsonic_listening_test.store.answers import MOST_KEPT

    here = serve_here(rating_study(tmp_path / "study"))
    rater = here.rater()
    rater.start(201)
    first = rater.view
    rater.next()
    for number in range(MOST_KEPT + 5):
        here.service.limits._buckets.clear()
        rater.request("POST", "/api/problem", {"kind": "x", "token": None, "detail": str(number)})
        rater.save(answer_to(first, consent=False, fields={}, volume=None), 409)
        rater.save(answer_to(first, consent=False, page_ms=number), 409)
    assert len(here.rows("alert")) == len(here.rows("audit")) == MOST_KEPT


# Monitor and health


def test_the_monitor_shows_how_it_goes(serve_here: Serve, tmp_path: Path) -> None:
    maker = StudyMaker(tmp_path / "study")
    trials = [maker.trial(f"t{n}") for n in range(2)]
    blocks = [block("start", page("consent", "consent")), block("main", *trials, order="random")]
    here = serve_here(maker.write([*blocks, block("end", page("finish", "finish"))]))
    done, away, gone = here.rater(), here.rater(), here.rater()
    gone.start(201)
    gone.next()
    here.later(41)
    away.start(201)
    here.later(5)
    done.start(201)
    done.finish()
    owner = here.client()
    assert owner.get("/monitor/data").status_code == 401
    token = here.service.logins.token
    assert owner.post("/monitor/login", json={"token": token}).status_code == 204
    found = owner.get("/monitor/data").json()
    assert found["sessions"] == {"begun": 3, "present": 0, "away": 1, "dropped": 1, "of_other_versions": 0}
    assert found["outcomes"] == {"complete": 1} and found["groups"] == {"A": 2}
    pages = {each["page"]: each for each in found["pages"]}
    assert pages["consent"]["answered"] == 2 and pages["consent"]["held"] == 1
    assert sum(pages[name]["dropped"] for name in ("t0", "t1")) == 1
    assert pages["t0"]["answered"] == 1 and pages["t0"]["mean_s"] == 1.2
    assert sorted(each["state"] for each in found["participants"]) == ["away", "complete", "dropped"]
    assert all((each["done"] == each["total"]) == (each["state"] == "complete") for each in found["participants"])
    assert found["database"] == {"waiting": 0, "failure": None}
    assert owner.post("/monitor/logout", json={}).status_code == 204
    assert owner.get("/monitor/data").status_code == 401


def test_health(serve_here: Serve, tmp_path: Path) -> None:
    here = serve_here(rating_study(tmp_path / "study"))
    assert here.client().get("/health").json() == {"schema": 1, "status": "ok"}


def test_the_kits_pages(serve_here: Serve, tmp_path: Path) -> None:
    here = serve_here(rating_study(tmp_path / "study"))
    browser = here.client()
    found = browser.get("/?PROLIFIC_PID=x&lang=de")
    assert found.status_code == 200 and "A &lt;tiny&gt; study" in found.text and "{{" not in found.text
    assert here.rows("session") == []  # reading an address has no effect
    script = f"/static/{here.service.web.version}/app.js"
    assert script[1:] in found.text
    static = browser.get(script)
    assert static.status_code == 200 and "immutable" in static.headers["cache-control"]
    assert static.headers["content-type"].startswith("text/javascript")
    assert browser.get("/static/older/app.js").status_code == 404
    assert browser.get("/static/x").json()["error"] == "not_found"
    assert browser.delete("/api/session", headers={"Content-Type": "application/json"}).status_code == 405


def test_it_can_be_mounted_by_another_application(serve_here: Serve, tmp_path: Path) -> None:
    from starlette.applications import Starlette
    from starlette.routing import Mount
    from starlette.testclient import TestClient

    here = serve_here(rating_study(tmp_path / "study"))
    with TestClient(Starlette(routes=[Mount("/study1", here.app)])) as client:
        assert client.get("/study1/").status_code == 200
        body = {"tab": "t", "parameters": {}}
        found = client.post("/study1/api/session", json=body)
        assert found.status_code == 201 and "Path=/study1/" in found.headers["set-cookie"]
        headers = {"X-CSRF-Token": found.json()["csrf"], "X-Tab": "t"}
        view = found.json()["state"]["page"]
        assert client.put("/study1/api/answer", json=answer_to(view), headers=headers).status_code == 200


def test_a_reader_sees_one_moment(serve_here: Serve, tmp_path: Path) -> None:
    here = serve_here(rating_study(tmp_path / "study"))
    with here.store.readers.connect() as connection:
        count = text("SELECT count(*) FROM session")
        before = connection.execute(count).scalar()
        here.rater().start(201)
        assert connection.execute(count).scalar() == before
