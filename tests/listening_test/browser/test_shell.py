"""The shell around the pages, from consent to code, against a fake server."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from listening_fake_server import QUESTIONS, Fake, only_age, page, refuse, serving, sound
from listening_robot import fill_age, heading, next_button
from playwright.sync_api import Page, expect

Open = Callable[..., Page]
TEXT = "## About\n\nYou **may** stop. <b>Bold</b> [no](javascript:alert(1)) [site](https://example.org/)"
BACK = "https://app.prolific.com/submissions/complete?cc=C0DE-42"


def test_from_consent_to_code(watched: Open) -> None:
    tones = [{"stimuli": [sound(f"a{n}"), sound(f"q{n}"), sound(f"b{n}")]} for n in range(6)]
    fake = Fake(
        [
            page(
                "consent",
                text=TEXT,
            ),
            page("headphones", headphones=tones),
            page("volume", stimuli=[{**sound("v"), "label": "A"}]),
            page("instructions", **{"pass": "relevance"}),
            page("questionnaire", fields=QUESTIONS),
            page("pause"),
        ],
        finish={
            "code": "C0DE-42",
            "return_url": BACK,
            "mturk": None,
        },
    )
    with serving(fake) as url:
        on = watched()
        on.goto(url + "?PROLIFIC_PID=abc&STUDY_ID=s&SESSION_ID=t&evil=1")
        heading(on, "Before you begin")
        expect(on.get_by_text("Page 1 of 6")).to_be_visible()
        assert on.locator(".prose b").count() == 0  # markup is shown, not obeyed
        assert [link.get_attribute("href") for link in on.locator(".prose a").all()] == ["https://example.org/"]
        next_button(on).click()
        expect(on.get_by_role("alert")).to_contain_text("Choose whether you want to take part.")
        on.get_by_label("Yes, I have read").check()
        next_button(on).click()

        heading(on, "Headphone check")
        for set_ in range(6):
            expect(on.get_by_text(f"Set {set_ + 1} of 6")).to_be_visible()
            on.get_by_role("button", name="Play the three tones").click()
            on.get_by_role("button", name="Tone 2").click()
        next_button(on).click()

        heading(on, "Set the volume")
        on.get_by_role("button", name="Play the sound").click()
        on.get_by_role("slider", name="Volume").fill("60")
        on.get_by_role("button", name="Stop").click()
        next_button(on).click()

        heading(on, "What to do")
        expect(on.locator(".prose")).to_contain_text("how well each sound matches the description")
        next_button(on).click()

        heading(on, "A few questions")
        fill_age(on, "17")
        next_button(on).click()
        expect(on.get_by_role("alert")).to_contain_text("Please answer: How old are you?")
        fill_age(on)
        expect(on.get_by_label("Which instrument?")).to_be_hidden()
        on.get_by_label("Yes").check()
        on.get_by_label("Which instrument?").fill("Oboe <i>d'amore</i> & ü 🎵")
        on.get_by_label("On a bus").check()
        on.get_by_label("4", exact=True).check()
        next_button(on).click()

        heading(on, "Time for a break")
        on.get_by_role("button", name="Continue").click()
        heading(on, "Thank you!")
        expect(on.get_by_text("C0DE-42", exact=True)).to_be_visible()
        assert "cc=C0DE-42" in (on.get_by_role("link", name="Return to the panel").get_attribute("href") or "")

    assert fake.sessions[0]["parameters"] == {"PROLIFIC_PID": "abc", "STUDY_ID": "s", "SESSION_ID": "t"}
    assert len(fake.received) == len(fake.answers) == 6
    consent, phones, volume, _, questions, _ = fake.received
    assert consent["consent"] is True and consent["page_ms"] > 0
    assert phones["headphones"] == [f"q{n}" for n in range(6)]
    assert {row["plays"] for row in phones["listening"]} == {1} and len(phones["listening"]) == 18
    assert volume["volume"] == pytest.approx(0.36) and questions["client"]["gain"] == pytest.approx(0.36)
    assert questions["fields"] == {
        "age": 33, "musician": "yes", "instrument": "Oboe <i>d'amore</i> & ü 🎵", "heard": ["bus"], "effort": 4,
        "remarks": None,
    }  # fmt: skip


def test_no_consent_ends_without_a_code(watched: Open) -> None:
    fake = Fake([page("consent"), page("pause")], finish={"code": None, "return_url": None, "mturk": None})
    with serving(fake) as url:
        on = watched()
        on.goto(url)
        on.get_by_label("No, I do not").check()
        next_button(on).click()
        heading(on, "You decided not to take part")
        expect(on.get_by_text("Your completion code")).to_have_count(0)


def test_a_second_failed_headphone_check_screens_out(watched: Open) -> None:
    tones = [{"stimuli": [sound(f"a{n}"), sound(f"q{n}"), sound(f"b{n}")]} for n in range(6)]
    fake = Fake([page("headphones", headphones=tones), page("pause")])
    with serving(fake) as url:
        on = watched()
        on.goto(url)
        for attempt in (1, 2):
            if attempt == 2:
                expect(on.get_by_text("That did not work out.")).to_be_visible()
            for set_ in range(6):
                expect(on.get_by_text(f"Set {set_ + 1} of 6")).to_be_visible()
                on.get_by_role("button", name="Play the three tones").click()
                on.get_by_role("button", name="Tone 1").click()
            next_button(on).click()
        heading(on, "The study ends here")
    assert sorted(attempt for _, attempt in fake.answers) == [1, 2]


@pytest.mark.parametrize(
    ("status", "kind", "words"),
    [
        (409, "preview", "This is a preview"),
        (409, "repeat_participation", "You have already taken part"),
        (409, "full", "The study is full"),
        (403, "panel_id", "The address is not complete"),
        (410, "expired", "This session is too old"),
        (422, "invalid", "The study cannot be opened"),
    ],
)
def test_refused_sessions_are_explained(watched: Open, status: int, kind: str, words: str) -> None:
    fake = Fake(only_age())
    fake.fail = lambda request: refuse(status, kind) if request.url.path == "/api/session" else None
    with serving(fake) as url:
        on = watched()
        on.goto(url)
        heading(on, words)


def test_the_language_changes_in_mid_page_and_nothing_is_lost(watched: Open) -> None:
    fake = Fake([page("questionnaire", fields=QUESTIONS[:1]), page("pause")], languages=["en", "de", "ar"])
    with serving(fake) as url:
        on = watched()
        on.goto(url)
        fill_age(on)
        on.get_by_label("Language").select_option("de")
        heading(on, "Einige Fragen")
        expect(on.get_by_label("How old are you?")).to_have_value("33")
        on.get_by_label("Sprache").select_option("ar")
        expect(on.locator("html")).to_have_attribute("dir", "rtl")
        expect(on.locator("html")).to_have_attribute("lang", "ar")
        on.get_by_role("button", name="التالي").click()
        heading(on, "وقت للراحة")
    assert fake.received[0]["fields"] == {"age": 33}


@pytest.mark.parametrize(
    ("wanted", "words"), [("fr-CH", "Avant de commencer"), ("es", "Antes de empezar"), ("xx", "Before you begin")]
)
def test_the_browser_s_language_is_taken(watched: Open, wanted: str, words: str) -> None:
    fake = Fake([page("consent")], languages=["en", "de", "es", "fr", "ar"])
    with serving(fake) as url:
        on = watched(locale=wanted)
        on.goto(url)
        heading(on, words)
        on.goto(url + "?lang=de")
        heading(on, "Bevor Sie beginnen")


def test_mturk_gets_its_form(watched: Open) -> None:
    back = {"url": "https://www.mturk.com/mturk/externalSubmit", "fields": {"assignmentId": "A1", "code": "X"}}
    fake = Fake([page("pause")], finish={"code": "X", "return_url": None, "mturk": back})
    with serving(fake) as url:
        on = watched()
        on.goto(url)
        on.get_by_role("button", name="Continue").click()
        heading(on, "Thank you!")
        form = on.locator("form")
        assert form.get_attribute("action") == back["url"] and form.get_attribute("method") == "post"
        assert on.locator("input[name=assignmentId]").get_attribute("value") == "A1"


def test_in_a_frame_it_asks_for_its_own_tab(watched: Open) -> None:
    fake = Fake(only_age())
    with serving(fake) as url:
        on = watched()
        on.route(
            "**/frame",
            lambda route: route.fulfill(body=f"<iframe src='{url}?workerId=w'></iframe>", content_type="text/html"),
        )
        on.goto(url + "frame")
        frame = on.frame_locator("iframe")
        expect(frame.get_by_role("heading", level=1)).to_have_text("Open the study in its own tab")
        assert (frame.get_by_role("link", name="Open the study").get_attribute("href") or "").endswith("?workerId=w")
    assert fake.sessions == []


def test_stopping_is_asked_twice_and_told(watched: Open) -> None:
    fake = Fake(only_age(), finish={"code": None, "return_url": None, "mturk": None})
    with serving(fake) as url:
        on = watched()
        on.goto(url)
        on.get_by_role("button", name="Options").click()
        on.get_by_label("Something does not work?").fill("The sound crackles")
        on.get_by_role("button", name="Send").click()
        on.get_by_role("button", name="Options").click()
        on.get_by_role("button", name="I do not want to go on").click()
        assert fake.outcome is None
        on.get_by_role("button", name="End now").click()
        heading(on, "You have stopped")
    assert fake.outcome == "withdraw"
    assert fake.problems[0] == {"kind": "participant", "token": None, "detail": "The sound crackles"}
