"""What must be refused, one test or more for each row of the kit's list of threats."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from listening_rig import Rater, StudyMaker, answer_to, block, copy_study, full_study, leaks, page, rating_study

from clipsonic_listening_test.errors import ListeningTestError
from clipsonic_listening_test.server.limits import MOST_BUCKETS, Limits, Rate, Rates
from clipsonic_listening_test.server.refusal import Refusal
from clipsonic_listening_test.server.run import Serving
from clipsonic_listening_test.server.security import MOST_BYTES
from clipsonic_listening_test.study import load_study

Serve = Callable[..., Any]
JSON = {"Content-Type": "application/json"}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return rating_study(tmp_path_factory.mktemp("made") / "study", 2)


@pytest.fixture
def here(serve_here: Serve, made: Path, tmp_path: Path) -> Any:
    return serve_here(copy_study(made, tmp_path / "study"))


@pytest.fixture
def rater(here: Any) -> Rater:
    rater: Rater = here.rater()
    rater.start(201)
    return rater


# Path traversal


@pytest.mark.parametrize(
    "path",
    [
        "/media/..%2fstudy.json",
        "/media/%2e%2e%2fstudy.json",
        "/media/study.json",
        "/static/{version}/../study.json",
        "/static/{version}/..%2f..%2fstudy.json",
        "/static/{version}/%2e%2e/store/tables.py",
        "/static/{version}//etc/passwd",
        "/static/{version}/app.js%00.png",
        "/study.json",
        "/ratings.sqlite",
        "/sounds/",
    ],
)
def test_no_name_reaches_a_file(here: Any, rater: Rater, path: str) -> None:
    found = rater.client.get(path.format(version=here.service.web.version))
    assert found.status_code == 404 and found.json()["error"] == "not_found"


@pytest.mark.parametrize("id", ["../x", "a/b", "a b", "", "x" * 65, "é", "a.b", "a\n"])
def test_ids_match_a_pattern(here: Any, tmp_path: Path, id: str) -> None:
    body = {"tab": "t", "parameters": {"PROLIFIC_PID": id}}
    found = here.client().post("/api/session", json=body)
    assert found.status_code == 422 and "PROLIFIC_PID is not 1 to 64 of" in found.json()["message"]
    assert here.client().post("/api/session", json={"tab": id}).status_code == 422
    maker = StudyMaker(tmp_path / "bad")
    with pytest.raises(ListeningTestError, match="page id"):
        load_study(maker.write([block("main", page(id, "pause"))]))


# Results, admin, debug


def test_nothing_but_the_participants_own_pages_is_there_without_a_login(here: Any) -> None:
    browser = here.client()
    assert browser.get("/monitor/data").status_code == 401
    assert browser.post("/monitor/logout", json={}).status_code == 401
    monitor = browser.get("/monitor")
    assert monitor.status_code in (200, 404) and here.study.digest not in monitor.text
    routes = sorted(route.path for route in here.app.routes)
    assert routes == [
        "/", "/api/answer", "/api/draft", "/api/problem", "/api/session", "/api/session", "/api/session/take-over",
        "/api/withdraw", "/health", "/media/{token}", "/monitor", "/monitor/data", "/monitor/login", "/monitor/logout",
        "/static/{version}/{name:path}",
    ]  # fmt: skip


def test_the_owners_token_is_random_and_good_once(here: Any) -> None:
    token = here.service.logins.token
    assert len(token) >= 32
    owner, thief = here.client(), here.client()
    for wrong in ("", "admin", "123456", token[:-1], token + "x"):
        assert owner.post("/monitor/login", json={"token": wrong}).status_code == 403
    found = owner.post("/monitor/login", json={"token": token})
    assert found.status_code == 204
    cookie = found.headers["set-cookie"]
    assert "HttpOnly" in cookie and "SameSite=strict" in cookie and "Max-Age" not in cookie
    assert owner.get("/monitor/data").status_code == 200
    assert thief.post("/monitor/login", json={"token": token}).status_code == 403
    assert thief.get("/monitor/data").status_code == 401
    name = cookie.split("=")[0]
    assert thief.get("/monitor/data", headers={"Cookie": f"{name}={token}"}).status_code == 401


def test_guessing_the_token_is_slow(here: Any) -> None:
    here.service.limits.clock = lambda: 0.0
    browser = here.client()
    found = [browser.post("/monitor/login", json={"token": str(n)}).status_code for n in range(15)]
    assert found == [403] * 10 + [429] * 5


def test_a_participants_cookie_is_no_login_and_the_other_way_round(here: Any, rater: Rater) -> None:
    assert rater.client.get("/monitor/data").status_code == 401
    owner = here.client()
    owner.post("/monitor/login", json={"token": here.service.logins.token})
    assert owner.get("/api/session", headers={"X-Tab": "t"}).status_code == 401


def test_it_listens_on_this_machine_alone_unless_told(here: Any) -> None:
    assert Serving(Path("study")).host == "127.0.0.1"
    assert here.app.debug is False


def test_a_fault_tells_nothing(here: Any, rater: Rater, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("secret detail")

    monkeypatch.setattr("clipsonic_listening_test.server.answers.prepare", broken)
    found = rater.request("PUT", "/api/answer", answer_to(rater.view))
    assert found.status_code == 500 and found.json()["error"] == "unavailable"
    assert "secret detail" not in found.text and "Traceback" not in found.text


def test_reading_changes_nothing(here: Any, rater: Rater) -> None:
    """Every GET there is, and HEAD, twice; the database is the same."""
    rater.next()
    rater.request("PUT", "/api/draft", {"key": rater.view["key"], "draft": {"x": 1}})
    tables = ("session", "cookie", "page", "answer", "rating", "draft", "audit", "alert", "person", "invite", "study")
    before = {table: here.rows(table) for table in tables}
    here.later(5)
    urls = ["/", "/?invite=x", "/?PROLIFIC_PID=p&SESSION_ID=s", "/health", "/monitor", "/monitor/data", "/api/session"]
    for url in [*urls, "/" + rater.view["stimuli"][0]["url"]] * 2:
        for method in ("GET", "HEAD"):
            rater.request(method, url)
    assert {table: here.rows(table) for table in tables} == before


# Cross-site requests


CHANGES = ("/api/answer", "/api/draft", "/api/session/take-over", "/api/withdraw", "/api/problem")


@pytest.mark.parametrize("path", CHANGES)
def test_changes_want_the_sessions_token(here: Any, rater: Rater, path: str) -> None:
    method = "PUT" if path in ("/api/answer", "/api/draft") else "POST"
    other = here.rater()
    other.start(201)
    for csrf in ("", "wrong", other.csrf, "é"):
        headers = [(b"X-CSRF-Token", csrf.encode()), (b"X-Tab", rater.tab.encode())]
        found = rater.client.request(method, path, json={}, headers=headers)
        assert found.status_code == 403 and found.json()["error"] == "csrf"


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_other_sites_may_not_change_anything(here: Any, site: str) -> None:
    browser = here.client()
    for path, body in (("/api/session", {"tab": "t"}), ("/monitor/login", {"token": here.service.logins.token})):
        found = browser.post(path, json=body, headers={"Sec-Fetch-Site": site})
        assert found.status_code == 403 and found.json()["error"] == "foreign_site"


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""])
def test_forms_of_other_sites_are_no_json(here: Any, kind: str) -> None:
    """A form can send these without being asked; JSON it cannot."""
    found = here.client().post("/api/session", content='{"tab": "t"}', headers={"Content-Type": kind})
    assert found.status_code == 415 and found.json()["error"] == "media_type"


# Forged scores: test_server_answers.py has them one by one; here the size and shape of bodies


def test_bodies_are_limited_whatever_they_claim(here: Any, rater: Rater) -> None:
    large = b"[" + b" " * MOST_BYTES + b"]"
    found = rater.client.put("/api/answer", content=large, headers=rater.headers() | JSON)
    assert found.status_code == 413 and found.json()["error"] == "too_large"

    def in_parts() -> Any:
        for _ in range(40):
            yield b" " * 8192

    found = rater.client.put("/api/answer", content=in_parts(), headers=rater.headers() | JSON)
    assert found.status_code == 413
    claimed = rater.headers() | JSON | {"Content-Length": "-5"}
    assert rater.client.put("/api/answer", content=b"{}", headers=claimed).status_code == 413
    draft = {"key": rater.view["key"], "draft": {"x": "y" * 70_000}}
    assert rater.request("PUT", "/api/draft", draft).status_code == 413


@pytest.mark.parametrize(
    "body",
    [
        b"", b"{", b"nonsense", b'{"tab": NaN}', b'{"tab": Infinity}', b"\xff\xfe", b'{"tab": "a", "tab": "b"}',
        b"[" * 100_000, b'{"a":' * 40 + b"1" + b"}" * 40,
    ],
)  # fmt: skip
def test_what_is_not_json_is_refused(here: Any, body: bytes) -> None:
    found = here.client().post("/api/session", content=body, headers=JSON)
    assert found.status_code == 400 and found.json()["error"] == "json"


def test_half_characters_and_nul_are_refused(here: Any) -> None:
    for text in ("\\ud800", "\\u0000"):
        body = f'{{"tab": "t", "client": {{"browser": "{text}"}}}}'.encode()
        found = here.client().post("/api/session", content=body, headers=JSON)
        assert found.status_code == 422 and "cannot be stored" in found.json()["message"]


# Sessions of others


def test_cookies_are_random_hidden_and_stored_as_hashes(here: Any) -> None:
    one, two = here.rater(), here.rater()
    cookie = one.start(201).headers["set-cookie"]
    two.start(201)
    assert "HttpOnly" in cookie and "SameSite=lax" in cookie and "Path=/" in cookie
    values = [each.client.cookies[here.service.cookie_name] for each in (one, two)]
    assert values[0] != values[1] and all(len(value) >= 22 for value in values)  # 128 bits
    stored = json.dumps([here.rows(table) for table in ("cookie", "session", "page")])
    assert not any(value in stored for value in values)


def test_a_cookie_for_https_alone(serve_here: Serve, made: Path, tmp_path: Path) -> None:
    here = serve_here(copy_study(made, tmp_path / "study"), https_cookies=True)
    found = here.rater().start(201)
    assert "Secure" in found.headers["set-cookie"]
    assert found.headers["strict-transport-security"] == "max-age=31536000"


def test_a_session_wants_its_cookie(here: Any, rater: Rater) -> None:
    stranger = here.rater()
    stranger.csrf, stranger.tab, stranger.state = rater.csrf, rater.tab, rater.state
    assert stranger.request("GET", "/api/session").status_code == 401
    assert stranger.save(answer_to(rater.view), 401).json()["error"] == "session"
    rater.next()
    url = "/" + rater.view["stimuli"][0]["url"]
    assert stranger.client.get(url).status_code == 401
    other = here.rater()
    other.start(201)
    assert other.client.get(url).status_code == 404  # the token is another session's
    for made_up in ("x", "x" * 22, "../", "é".encode()):
        header = made_up if isinstance(made_up, bytes) else made_up.encode()
        cookie = here.service.cookie_name.encode() + b"=" + header
        assert here.client().get("/api/session", headers=[(b"Cookie", cookie), (b"X-Tab", b"t")]).status_code == 401


def test_a_panel_id_alone_shows_nothing_and_overwrites_nothing(serve_here: Serve, tmp_path: Path) -> None:
    folder = rating_study(tmp_path / "study", panel={"kind": "prolific", "codes": {"complete": "C"}})
    here = serve_here(folder)
    victim, thief = here.rater(), here.rater()
    link = {"PROLIFIC_PID": "victim", "STUDY_ID": "s", "SESSION_ID": "one"}
    victim.start(201, **link)
    first = victim.view
    victim.next()
    draft = {"key": victim.view["key"], "draft": {"note": "of-the-victim"}}
    victim.request("PUT", "/api/draft", draft)
    assert thief.start(409, **(link | {"SESSION_ID": "two"})).json()["error"] == "repeat_participation"
    found = thief.start(200, **link)
    assert "of-the-victim" not in found.text and thief.view["draft"] is None and thief.state["progress"]["done"] == 1
    changed = answer_to(first, consent=False)
    assert thief.save(changed, 409).json()["error"] == "locked"
    assert [json.loads(row["content"])["consent"] for row in here.rows("answer")] == [True]


# Formulas: test_export.py. HTML and scripts in configuration and answers


def test_the_policy_allows_nothing_inline_and_nothing_foreign(here: Any, rater: Rater) -> None:
    for path in ("/", "/monitor", "/health", "/api/session", "/nothing", "/" + "media/x"):
        headers = rater.client.get(path).headers
        policy = dict(part.strip().split(" ", 1) for part in headers["content-security-policy"].split(";"))
        assert (
            policy["default-src"] == "'self'" and policy["script-src"] == "'self'" and policy["style-src"] == "'self'"
        )
        assert policy["object-src"] == policy["base-uri"] == policy["frame-ancestors"] == "'none'"
        assert "unsafe" not in headers["content-security-policy"] and "http" not in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff" and headers["referrer-policy"] == "no-referrer"
        assert headers["x-frame-options"] == "DENY"
        assert "server" not in headers


def test_no_page_of_the_kit_has_inline_code_or_asks_another_host(here: Any) -> None:
    web = Path(load_study.__code__.co_filename).parent / "web"
    pages = [*web.rglob("*.html"), *web.rglob("*.js"), *web.rglob("*.css"), *web.rglob("*.svg")]
    assert len(pages) > 5
    for each in pages:
        text = each.read_text(encoding="utf-8")
        assert not re.search(
            r"""["'(](https?:)?//[a-z0-9]""", re.sub(r"http://www\.w3\.org/[\w/.]*", "", text), re.I
        ), each
        if each.suffix == ".html":
            assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\sstyle=|\son[a-z]+=|javascript:", text, re.I), each
        if each.suffix == ".js":
            markup = r"\b(inner|outer)HTML\b|insertAdjacentHTML|document\.write|\beval\(|new Function"
            assert not re.search(markup, text), each


def test_a_studys_words_are_escaped_in_the_page(here: Any) -> None:
    text = here.client().get("/").text
    assert "A &lt;tiny&gt; study" in text and "<tiny>" not in text


# Leakage of conditions


def test_nothing_that_a_browser_is_told_names_a_condition(serve_here: Serve, tmp_path: Path) -> None:
    """Everything that is sent in a whole study, replies and headers, holds no system, stimulus, role or file name."""
    here = serve_here(full_study(tmp_path / "study"))
    rater = here.rater()
    told = [rater.start(201)]
    while rater.state["finished"] is None:
        view = rater.view
        sounds = [*view["stimuli"], *([view["reference"]] if view["reference"] else [])]
        sounds += [tone for trial in view["headphones"] or [] for tone in trial["stimuli"]]
        told += [rater.client.get("/" + each["url"]) for each in sounds]
        right = {"headphones": here.quietest(rater)(view)} if view["type"] == "headphones" else {}
        told.append(rater.save(answer_to(view, **right)))
    for reply in told:
        text = "\n".join(f"{name}: {value}" for name, value in reply.headers.items())
        text += reply.text if reply.headers["content-type"] == "application/json" else ""
        words = {"reference", "training", "headphones", "volume"}  # roles that are words of the protocol too
        assert not set(leaks(text, here.study)) - words


def test_tokens_differ_between_sessions_pages_and_the_reference(serve_here: Serve, tmp_path: Path) -> None:
    maker = StudyMaker(tmp_path / "study")
    reference = maker.sound("ref", "reference")
    hidden = maker.sound("hidden", "hidden_reference")
    others = [maker.sound("low", "low_anchor"), maker.sound("mid", "mid_anchor"), maker.sound("a", system="ours")]
    pages = [page(f"m{n}", "mushra", reference=reference, stimuli=[hidden, *others]) for n in range(2)]
    here = serve_here(maker.write([block("main", *pages)]))
    seen: list[str] = []
    for _ in range(3):
        rater = here.rater()
        rater.start(201)
        while rater.state["finished"] is None:
            seen += [rater.view["reference"]["token"], *(each["token"] for each in rater.view["stimuli"])]
            rater.next()
    assert len(seen) == len(set(seen)) == 3 * 2 * 5
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{22}", token) for token in seen)


def test_headers_of_sounds_are_alike(here: Any, rater: Rater) -> None:
    rater.next()
    replies = [rater.client.get("/" + each["url"]) for each in rater.view["stimuli"]]
    assert len({reply.headers["etag"] for reply in replies}) == 3
    own = ("etag", "content-length")
    told = [{name: value for name, value in reply.headers.items() if name not in own} for reply in replies]
    assert told[0] == told[1] == told[2]
    assert not {"last-modified", "content-disposition"} & told[0].keys()
    digests = {each.sha256 for each in here.study.stimuli.values()}
    assert not any(digest[:16] in reply.headers["etag"] for digest in digests for reply in replies)


def test_the_order_shown_is_not_the_order_of_the_study(serve_here: Serve, made: Path, tmp_path: Path) -> None:
    here = serve_here(copy_study(made, tmp_path / "study"))
    for _ in range(6):
        here.rater().start(201)
    arranged = [json.loads(row["arrangement"])["stimuli"] for row in here.rows("page") if row["page"] != "consent"]
    orders = {tuple(order) for order in arranged}
    assert len(orders) == 6  # three stimuli: all six


# Mixed codecs


def test_stimuli_are_flac_of_one_rate_or_the_study_is_refused(made: Path, tmp_path: Path) -> None:
    folder = copy_study(made, tmp_path / "study")
    content = json.loads((folder / "study.json").read_text())
    stimulus = next(iter(content["stimuli"].values()))
    stimulus["file"] = stimulus["file"].replace(".flac", ".webm")
    (folder / "study.json").write_text(json.dumps(content))
    with pytest.raises(ListeningTestError, match="flac"):
        load_study(folder)


# Flooding


def test_a_session_that_asks_too_often_is_told_when_to_come_back(serve_here: Serve, made: Path, tmp_path: Path) -> None:
    here = serve_here(copy_study(made, tmp_path / "study"), rates=Rates(session=Rate(5, 1)))
    here.service.limits.clock = lambda: 0.0
    rater, other = here.rater(), here.rater()
    rater.start(201)
    other.start(201)
    found = [rater.request("GET", "/api/session") for _ in range(7)]
    assert [each.status_code for each in found] == [200] * 5 + [429] * 2
    assert found[-1].json()["error"] == "too_many" and int(found[-1].headers["retry-after"]) >= 1
    assert other.request("GET", "/api/session").status_code == 200
    here.service.limits.clock = lambda: 1.5
    assert rater.request("GET", "/api/session").status_code == 200


def test_an_address_that_opens_too_many_sessions_is_stopped(serve_here: Serve, made: Path, tmp_path: Path) -> None:
    here = serve_here(copy_study(made, tmp_path / "study"), rates=Rates(opening=Rate(3, 0.01)))
    here.service.limits.clock = lambda: 0.0
    opened = [here.rater().start() for _ in range(5)]
    assert [each.status_code for each in opened] == [201] * 3 + [429] * 2
    assert here.rater(address="203.0.113.6").start().status_code == 201
    assert len(here.rows("session")) == 4


def test_no_cookie_and_no_other_name_gets_around_that(serve_here: Serve, made: Path, tmp_path: Path) -> None:
    here = serve_here(copy_study(made, tmp_path / "study"), rates=Rates(opening=Rate(3, 0.01)))
    here.service.limits.clock = lambda: 0.0

    def codes(browsers: list[Any], persons: list[str | None]) -> list[int]:
        bodies = [{"tab": "t", "parameters": {} if id is None else {"PROLIFIC_PID": id}} for id in persons]
        return [one.post("/api/session", json=body).status_code for one, body in zip(browsers, bodies, strict=True)]

    invented = [here.client() for _ in range(5)]
    for number, browser in enumerate(invented):
        browser.cookies.set(here.service.cookie_name, f"invented{number}")
    assert codes(invented, [None] * 5) == [201] * 3 + [429] * 2
    assert codes(invented[:1], [None]) == [200]  # who goes on opens nothing
    one = here.client(address="203.0.113.6")
    assert codes([one] * 5, [f"p{number}" for number in range(5)]) == [201] * 3 + [429] * 2
    assert codes([one], ["p1"]) == [200]


def test_limits_are_by_network_and_spare_this_machine() -> None:
    limits = Limits(Rates(address=Rate(1, 1)), clock=lambda: 0.0)
    limits.address("2001:db8::1")
    with pytest.raises(Refusal):
        limits.address("2001:db8::2")  # of the same /64
    limits.address("2001:db8:0:1::1")
    for _ in range(5):
        limits.address("127.0.0.1")
        limits.address(None)


def test_limits_need_no_more_memory_than_they_may() -> None:
    limits = Limits(clock=lambda: 0.0)
    for number in range(MOST_BUCKETS + 500):
        limits.session(str(number))
    assert len(limits) == MOST_BUCKETS


# Personal data


def test_panel_ids_stand_in_one_table_alone(serve_here: Serve, tmp_path: Path) -> None:
    here = serve_here(rating_study(tmp_path / "study", panel={"kind": "prolific", "codes": {"complete": "C"}}))
    rater = here.rater()
    rater.start(201, PROLIFIC_PID="5f3cafe", STUDY_ID="st", SESSION_ID="se55")
    rater.finish()
    from clipsonic_listening_test.store.tables import metadata

    found = {table: json.dumps(here.rows(table), default=str) for table in metadata.tables}
    assert [table for table, text in found.items() if "5f3cafe" in text or "se55" in text] == ["person"]
    assert "5f3cafe" not in json.dumps(rater.state)


def test_addresses_are_not_logged() -> None:
    from clipsonic_listening_test.server import run

    source = Path(run.__file__).read_text()
    assert "access_log=False" in source


# Proxies


def test_a_proxys_word_is_taken_only_if_it_is_trusted(here: Any) -> None:
    """Without --trusted-proxy a client cannot choose its address; the owner is told that there is a proxy."""
    browser = here.client(address="127.0.0.1")
    browser.get("/", headers={"X-Forwarded-For": "198.51.100.7"})
    assert [each["kind"] for each in here.service.recent_alerts] == ["proxy"]
    browser.get("/", headers={"X-Forwarded-For": "198.51.100.7"})
    assert len(here.service.recent_alerts) == 1


def test_a_study_on_mturk_may_stand_in_its_frame_and_post_back_to_it(serve_here: Serve, tmp_path: Path) -> None:
    here = serve_here(rating_study(tmp_path / "study", panel={"kind": "mturk"}))
    headers = here.client().get("/").headers
    policy = headers["content-security-policy"]
    assert "frame-ancestors https://worker.mturk.com https://workersandbox.mturk.com" in policy
    assert "form-action 'self' https://www.mturk.com" in policy
    assert "x-frame-options" not in headers
    elsewhere = ("https://www.mturk.com.evil.test", "https://www.mturk.com:8443", "http://www.mturk.com", "x")
    for bad in ("https://evil.test", *elsewhere):
        body = {"tab": "t", "parameters": {"workerId": "w", "assignmentId": "a", "turkSubmitTo": bad}}
        assert here.client().post("/api/session", json=body).status_code == 422
