"""What can go wrong between browser and server: nothing is lost, nothing is doubled, nothing is hidden."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from typing import Any

from listening_fake_server import QUESTIONS, Fake, only_age, page, refuse, serving
from listening_robot import fill_age, heading, next_button
from playwright.sync_api import Page, expect

Open = Callable[..., Page]


def test_double_click_sends_once(watched: Open) -> None:
    fake = Fake(only_age())
    with serving(fake) as url:
        on = watched()
        on.goto(url)
        fill_age(on)
        next_button(on).dblclick()
        heading(on, "Time for a break")
    assert [body["key"] for body in fake.received] == ["key-0"]


def test_a_reply_that_is_lost_is_asked_for_again_and_stored_once(watched: Open) -> None:
    fake = Fake(only_age())
    with serving(fake) as url:
        on = watched()
        lost = []

        def lose(route: Any) -> None:
            lost.append(route.fetch())  # the server has it, the browser never hears of it
            route.abort() if len(lost) == 1 else route.fulfill(response=lost[-1])

        on.route("**/api/answer", lose)
        on.goto(url)
        fill_age(on)
        next_button(on).click()
        heading(on, "Time for a break")
    assert len(fake.received) == 2 and len(fake.answers) == 1


def test_the_network_goes_and_comes_back(watched: Open) -> None:
    fake = Fake(only_age())
    with serving(fake) as url:
        on = watched()
        on.goto(url)
        fill_age(on)
        on.context.set_offline(True)
        next_button(on).click()
        expect(on.get_by_role("status").filter(has_text="1 answer waiting")).to_be_visible()
        expect(on.get_by_role("heading", name="Thank you!")).to_have_count(0)
        with on.expect_download() as download:
            on.get_by_role("button", name="Download my answers").click()
        saved = json.loads(download.value.path().read_text())
        assert saved["kind"] == "answers" and saved["answers"][0]["fields"] == {"age": 33}
        assert fake.received == []
        on.context.set_offline(False)
        heading(on, "Time for a break")
        expect(on.get_by_role("status").filter(has_text="waiting")).to_have_count(0)
    assert fake.answers["key-0", 1]["fields"] == {"age": 33}


def test_a_full_disk_keeps_the_queue_and_a_closed_window_does_not_empty_it(watched: Open) -> None:
    fake = Fake(only_age())
    fake.fail = lambda request: (
        refuse(503, "unavailable", **{"Retry-After": "1"}) if request.url.path == "/api/answer" else None
    )
    with serving(fake) as url:
        on = watched()
        on.goto(url)
        fill_age(on)
        next_button(on).click()
        expect(on.get_by_role("status").filter(has_text="waiting")).to_be_visible()
        context = on.context
        on.close()  # without a word
        fake.fail = lambda request: None
        again = watched(beside=on)
        assert again.context is context
        again.goto(url)  # the outbox of the earlier visit is sent before anything is shown
        heading(again, "Time for a break")
    assert fake.answers["key-0", 1]["fields"] == {"age": 33} and len(fake.answers) == 1


def test_without_indexeddb_it_waits_in_localstorage(watched: Open) -> None:
    fake = Fake(only_age())
    with serving(fake) as url:
        on = watched()
        on.add_init_script("delete window.indexedDB; Object.defineProperty(window, 'indexedDB', {value: undefined});")
        on.goto(url)
        fill_age(on)
        on.context.set_offline(True)
        next_button(on).click()
        expect(on.get_by_role("status").filter(has_text="waiting")).to_be_visible()
        assert on.evaluate("Object.keys(localStorage).filter(k => k.startsWith('clipsonic.outbox.')).length") == 1
        on.context.set_offline(False)
        heading(on, "Time for a break")
        assert on.evaluate("Object.keys(localStorage).filter(k => k.startsWith('clipsonic.outbox.')).length") == 0


def test_reload_restores_what_stood_there_even_unsent(watched: Open) -> None:
    fake = Fake([page("questionnaire", fields=QUESTIONS)])
    with serving(fake) as url:
        on = watched()
        on.goto(url)
        fill_age(on)
        on.get_by_label("Yes").check()
        on.get_by_label("Which instrument?").fill("Viola")
        on.wait_for_timeout(400)
        on.reload()
        expect(on.get_by_label("How old are you?")).to_have_value("33")
        expect(on.get_by_label("Which instrument?")).to_have_value("Viola")
        deadline = time.monotonic() + 10
        while not fake.drafts and time.monotonic() < deadline:
            on.wait_for_timeout(100)
        assert fake.drafts["key-0"]["page"]["fields"]["instrument"] == "Viola"
        on.evaluate("localStorage.clear()")  # another device has the server's alone
        on.reload()
        expect(on.get_by_label("Which instrument?")).to_have_value("Viola")


def test_page_time_goes_on_after_a_reload(watched: Open) -> None:
    fake = Fake(only_age())
    with serving(fake) as url:
        on = watched()
        on.goto(url)
        fill_age(on)
        on.wait_for_timeout(700)
        fill_age(on, "34")
        on.wait_for_timeout(400)
        on.reload()
        expect(on.get_by_label("How old are you?")).to_have_value("34")
        next_button(on).click()
        heading(on, "Time for a break")
    assert fake.received[0]["page_ms"] >= 1000


def test_the_second_tab_asks_and_the_first_one_stops(watched: Open) -> None:
    fake = Fake(only_age())
    with serving(fake) as url:
        first = watched()
        first.goto(url)
        fill_age(first)
        second = watched(beside=first)
        second.goto(url)
        heading(second, "Open in another window")
        expect(next_button(second)).to_be_hidden()
        second.get_by_role("button", name="Go on here").click()
        heading(second, "A few questions")
        fill_age(second, "44")
        next_button(first).click()
        heading(first, "Open in another window")
        next_button(second).click()
        heading(second, "Time for a break")
        first.get_by_role("button", name="Go on here").click()
        heading(first, "Time for a break")  # its own answer came too late, and says so to nobody
    assert fake.answers["key-0", 1]["fields"] == {"age": 44}


def test_a_crashed_tab_is_not_asked_about(watched: Open) -> None:
    fake = Fake(only_age())
    with serving(fake) as url:
        first = watched()
        first.goto(url)
        heading(first, "A few questions")
        first.close()
        second = watched(beside=first)
        second.goto(url)
        heading(second, "A few questions")


def test_an_answer_already_there_leads_on(watched: Open) -> None:
    fake = Fake(only_age())
    with serving(fake) as url:
        on = watched()
        on.goto(url)
        heading(on, "A few questions")
        fake.at = 1  # another device went on
        fill_age(on)
        next_button(on).click()
        heading(on, "Time for a break")


def test_a_session_that_is_forgotten_is_opened_again(watched: Open) -> None:
    fake = Fake(only_age())
    refused = []

    def forget(request: Any) -> Any:
        if request.url.path == "/api/answer" and not refused:
            refused.append(1)
            return refuse(401, "session")
        return None

    fake.fail = forget
    with serving(fake) as url:
        on = watched()
        on.goto(url)
        fill_age(on)
        next_button(on).click()
        heading(on, "Time for a break")
    assert len(fake.sessions) == 2


def test_an_answer_is_never_given_to_another_session(watched: Open) -> None:
    """The cookie is gone and nothing says who it was: the answer stays here, to be downloaded."""
    fake = Fake(only_age())

    def forget(request: Any) -> Any:
        if request.url.path == "/api/answer":
            fake.participant = "P-OTHER"
            return refuse(401, "session")
        return None

    fake.fail = forget
    with serving(fake) as url:
        on = watched()
        on.goto(url)
        fill_age(on)
        next_button(on).click()
        heading(on, "Something went wrong")
        with on.expect_download() as download:
            on.get_by_role("button", name="Download my answers").click()
        saved = json.loads(download.value.path().read_text())
    assert saved["participant"] == "P-7K2M" and saved["answers"][0]["fields"] == {"age": 33}
    assert fake.received == []


def test_an_answer_whose_turn_is_not_yet_waits_for_it(watched: Open) -> None:
    """The server was set back to a copy of its database that is one page older."""
    fake = Fake([page("pause"), *only_age()], at=1)
    with serving(fake) as url:
        on = watched()
        on.goto(url)
        fill_age(on)
        fake.at = 0
        next_button(on).click()
        on.get_by_role("button", name="Continue").click()
        heading(on, "A few questions")
        on.reload()  # now it is its turn
        heading(on, "Time for a break")
    assert fake.answers["key-1", 1]["fields"] == {"age": 33}


def test_without_storage_it_says_to_stay(watched: Open) -> None:
    fake = Fake(only_age())
    with serving(fake) as url:
        on = watched()
        on.add_init_script(
            """for (const name of ["indexedDB", "localStorage", "sessionStorage"])
                   Object.defineProperty(window, name, {get() { throw new DOMException("no", "SecurityError"); }});"""
        )
        on.goto(url)
        fill_age(on)
        fake.fail = lambda request: refuse(503, "unavailable") if request.url.path == "/api/answer" else None
        next_button(on).click()
        expect(on.get_by_role("status").filter(has_text="Please leave it open")).to_be_visible()
        fake.fail = lambda request: None
        on.get_by_role("button", name="Try now").click()
        heading(on, "Time for a break")


def test_it_waits_for_a_server_that_is_not_there_yet(watched: Open) -> None:
    fake = Fake(only_age())
    fake.fail = lambda request: refuse(503, "unavailable") if request.url.path == "/api/session" else None
    with serving(fake) as url:
        on = watched()
        on.goto(url)
        heading(on, "Connecting")
        fake.fail = lambda request: None
        on.get_by_role("button", name="Try now").click()
        heading(on, "A few questions")


def test_an_answer_the_server_calls_wrong_is_kept_and_told(watched: Open) -> None:
    fake = Fake(only_age())
    fake.fail = lambda request: refuse(422, "invalid") if request.url.path == "/api/answer" else None
    with serving(fake) as url:
        on = watched()
        on.goto(url)
        fill_age(on)
        next_button(on).click()
        heading(on, "Something went wrong")
        expect(on.get_by_role("button", name="Download my answers")).to_be_visible()
        assert fake.problems[0]["kind"] == "refused"
        fake.fail = lambda request: None
        on.get_by_role("button", name="Load the page again").click()
        heading(on, "Time for a break")


def test_leaving_sends_the_draft_and_what_waits(watched: Open) -> None:
    fake = Fake(only_age())
    with serving(fake) as url:
        on = watched()
        on.goto(url)
        fill_age(on)
        on.goto("about:blank")
        for _ in range(50):
            if fake.drafts:
                break
            threading.Event().wait(0.1)
    assert fake.drafts["key-0"]["page"]["fields"] == {"age": 33}


def test_back_off_doubles_and_is_spread(browser_page: Page, web_url: str) -> None:
    browser_page.goto(f"{web_url}/i18n/en.json")
    waits = browser_page.evaluate(
        """async (url) => {
            const {backOff} = await import(url);
            return [0, 1].map((chance) => [1, 2, 3, 6, 20].map((tries) => backOff(tries, null, () => chance)))
                .concat([[backOff(1, 7, () => 0)]]);
        }""",
        f"{web_url}/delivery.js",
    )
    assert waits == [[500, 1000, 2000, 15000, 15000], [1000, 2000, 4000, 30000, 30000], [7500]]
