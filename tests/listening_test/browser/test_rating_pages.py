"""Rating pages one by one, with their sounds, in a real browser: what they demand, what they answer, what they keep."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from playwright.sync_api import expect

from clipsonic_listening_test.server.answer import read_answer

if TYPE_CHECKING:
    from playwright.sync_api import Page

_spec = importlib.util.spec_from_file_location("rating_stage", Path(__file__).with_name("stage.py"))
assert _spec is not None and _spec.loader is not None
stage = sys.modules.setdefault("rating_stage", importlib.util.module_from_spec(_spec))
_spec.loader.exec_module(stage)

KINDS = stage.COUNTS
PROMPT = {"text": "A dog barks twice, then a door slams", "lang": "en", "image": None, "video": None}


@pytest.fixture
def on(browser_page: Page, web_url: str) -> Any:
    one = stage.Stage(browser_page, web_url)
    one.open()
    yield one
    assert one.page.evaluate("stage.missingKeys") == [], "the catalogue lacks these"


def whole_answer(part: dict[str, Any]) -> dict[str, Any]:
    return {
        "schema": 1,
        "key": "key",
        "attempt": 1,
        "page_ms": 1000,
        **part,
        "client": {"hidden_ms": 0, **part["client"]},
    }


# Nothing is rated before it is


@pytest.mark.parametrize("kind", KINDS)
def test_an_untouched_page_is_no_answer(on: Any, kind: str) -> None:
    on.show(kind)
    lines = on.missing()
    assert any("Listen" in line for line in lines)
    answer = on.answer()
    assert all(rating["score"] is None and rating["missing"] is None for rating in answer.get("ratings", []))
    assert all(choice["choice"] is None and choice["missing"] is None for choice in answer.get("choices", []))
    assert on.page.locator("input:checked").count() == 0
    on.page.locator(".next").click()
    assert on.page.locator("#missing li").all_inner_texts() == lines


@pytest.mark.parametrize("kind", ["mushra", "multi"])
def test_sliders_start_unset_and_say_so(on: Any, kind: str) -> None:
    on.show(kind)
    for at in range(KINDS[kind]):
        assert on.slider(at).get_attribute("aria-valuetext") == "not rated yet"
        assert on.page.locator(".slider-value").nth(at).inner_text() == "–"
    assert on.missing()[-1] == "Rate: A, B, C, and D."


@pytest.mark.parametrize("kind", KINDS)
def test_a_full_answer_lacks_nothing_and_is_one_to_the_server(on: Any, kind: str) -> None:
    on.show(kind)
    on.hear_all(kind)
    if kind in ("mushra", "multi"):
        for at in range(KINDS[kind]):
            on.page.keyboard.press(str(at + 1))
            on.page.keyboard.press("ArrowUp")  # the middle
            for _ in range(at * 2):
                on.page.keyboard.press("Shift+ArrowUp")
        assert on.scores() == [50, 70, 90, 100]
    else:
        assert on.missing() == ["Choose an answer."]
        on.page.locator(".choice").nth(1).click()
    assert on.missing() == []
    answer = on.answer()
    assert on.page.evaluate("stage.changes") > 0
    read = read_answer(whole_answer(answer))
    assert {each.token for each in read.listening} >= {"tokA"}
    assert all(
        each.plays >= 1 and each.seconds_heard >= 0.4 and each.first_play_ms is not None for each in read.listening
    )
    if kind == "single":
        assert answer["ratings"] == [{"token": "tokA", "attribute": "quality", "score": 4, "missing": None}]
    if kind == "pair":
        assert answer["choices"] == [{"question": "match", "choice": "tie", "missing": None}]
    if kind == "abx":
        assert answer["choices"] == [{"question": "x", "choice": "tokB", "missing": None}]
        assert on.page.locator(".choice").count() == 2


# Hearing


def test_a_glimpse_is_not_hearing(on: Any) -> None:
    on.show("multi", require={"heard_s": 2.0, "coverage": 0, "rate_all": False, "one_at_top": False})
    for at, letter in enumerate("ABCD"):
        on.player(at).click()
        on.hear(f"tok{letter}", 0.2)
    assert on.missing() == ["Listen to 2 s at least of: A, B, C, and D."]
    on.player(0).click()
    on.page.wait_for_function("() => stage.mounted.answer().listening[0].plays === 2")
    before = on.page.evaluate("stage.changes")
    expect(on.player(0)).to_have_attribute("aria-label", "Play A, heard")
    on.page.wait_for_function("(before) => stage.changes > before", arg=before)  # the shell is told, unasked
    assert on.missing() == ["Listen to 2 s at least of: B, C, and D."]


def test_the_same_second_twice_covers_it_once(on: Any) -> None:
    on.show("multi", seconds=2.4, require={"heard_s": 0, "coverage": 1, "rate_all": False, "one_at_top": False})
    assert on.missing() == ["Listen to the end: A, B, C, and D."]
    for plays in (1, 2, 3):
        on.player(0).click()
        on.page.wait_for_function("(plays) => stage.mounted.answer().listening[0].plays === plays", arg=plays)
        on.page.wait_for_timeout(600)
        on.page.keyboard.press("Backspace")
    heard = on.answer()["listening"][0]
    assert heard["plays"] == 3 and 0.5 < heard["seconds_heard"] < 1.5  # three times .6 s, each time the first of them
    on.player(0).click()
    on.page.wait_for_function("() => stage.mounted.answer().events.some((event) => event[1] === 'end')")
    assert on.answer()["listening"][0]["coverage"] == 1
    assert on.missing() == ["Listen to the end: B, C, and D."]


# Only the slider of what is heard


def box_of(on: Any, at: int) -> dict[str, float]:
    on.slider(at).scroll_into_view_if_needed()
    box = on.slider(at).bounding_box()
    assert box is not None
    return box


def press(on: Any, at: int, share: float) -> None:
    box = box_of(on, at)
    on.page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] * (1 - share))


def test_in_mushra_a_press_on_another_slider_only_plays_it(on: Any) -> None:
    on.show("mushra")
    press(on, 1, 0.8)
    on.page.wait_for_function("() => document.querySelectorAll('.stimulus')[1].dataset.state === 'playing'")
    assert on.scores() == [None] * 4
    press(on, 1, 0.8)
    first = on.scores()[1]
    assert first is not None and 75 < first < 85
    press(on, 2, 0.2)
    press(on, 1, 0.3)  # B is not heard now
    assert on.scores() == [None, first, None, None]
    states = [on.slider(at).get_attribute("aria-disabled") for at in range(4)]
    assert states == ["true", "false", "true", "true"]


def test_dragging_from_a_slider_that_is_not_heard_moves_nothing(on: Any) -> None:
    on.show("mushra")
    box = box_of(on, 0)
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    on.page.mouse.move(x, y)
    on.page.mouse.down()
    on.page.mouse.move(x, y - box["height"] / 3, steps=5)
    on.page.mouse.up()
    assert on.scores() == [None] * 4
    on.page.mouse.down()  # it is heard now
    on.page.mouse.up()
    assert on.scores()[0] is not None


def test_without_a_reference_a_press_plays_and_rates(on: Any) -> None:
    on.show("multi")
    press(on, 2, 0.5)  # where the hidden thumb is: no browser calls this a change
    assert on.scores()[2] == pytest.approx(50, abs=1)
    assert on.page.locator(".stimulus").nth(2).get_attribute("data-state") == "playing"


def test_focus_plays_and_coming_back_to_the_window_does_not(on: Any) -> None:
    on.show("mushra")
    on.player(0).focus()
    on.page.keyboard.press("Tab")
    assert on.page.locator(".transport-now").inner_text() == "Playing: A"
    on.page.keyboard.press("Tab")
    on.page.keyboard.press("Tab")
    assert on.page.locator(".transport-now").inner_text() == "Playing: B"
    on.page.keyboard.press(" ")
    assert on.page.locator(".transport-now").inner_text() == "Paused: B"
    on.page.keyboard.press("?")
    on.page.keyboard.press("Escape")
    assert on.page.evaluate("document.activeElement.className") == "slider-input"
    assert on.page.locator(".transport-now").inner_text() == "Paused: B"


def test_what_is_heard_is_told_by_text_name_and_state(on: Any) -> None:
    on.show("mushra")
    on.player(2).click()
    row = on.page.locator(".stimulus").nth(2)
    assert row.get_attribute("aria-current") == "true"
    assert on.player(2).get_attribute("aria-pressed") == "true"
    assert on.player(2).get_attribute("aria-label") == "Play C"
    assert on.page.locator(".transport-toggle").get_attribute("aria-label") == "Pause C"
    assert on.page.locator(".transport-now[role=status]").inner_text() == "Playing: C"
    assert on.page.locator(".stimulus[aria-current]").count() == 1


def test_one_must_get_the_highest_score_where_the_page_says_so(on: Any) -> None:
    on.show("mushra", require={"heard_s": 0, "coverage": 0, "rate_all": True, "one_at_top": True})
    on.hear_all("mushra")
    for at in range(4):
        on.page.keyboard.press(str(at + 1))
        on.page.keyboard.press("ArrowUp")
    assert on.missing() == ["Give 100 to one sound at least: one of them is the reference."]
    on.page.keyboard.press("End")
    assert on.scores()[3] == 100 and on.missing() == []


# What is kept


def test_a_page_comes_back_as_it_was_left(on: Any) -> None:
    on.show("mushra")
    on.hear_all("mushra")
    on.page.keyboard.press("2")
    on.page.keyboard.press("ArrowUp")
    on.page.keyboard.press("Shift+ArrowUp")
    on.page.locator(".problems summary").click()
    on.page.locator(".problems select").nth(2).select_option("prefer_not")
    on.page.evaluate("stage.engine")
    on.page.locator(".loop-end").evaluate("(end) => { end.value = 2.5; end.dispatchEvent(new Event('change')); }")
    on.page.locator(".transport-stop").click()
    draft, answer, missing = on.draft(), on.answer(), on.missing()
    on.open()  # the page is loaded anew
    on.mount(on.view("mushra", 4, draft=draft))
    on.loaded()
    again = on.draft()
    events = again["desk"]["sound"].pop("events")
    assert [event[1] for event in events][-1] == "ready" and events[:-1] == draft["desk"]["sound"].pop("events")
    assert again == draft
    assert on.answer()["ratings"] == answer["ratings"] and on.answer()["listening"] == answer["listening"]
    assert on.missing() == missing
    assert on.slider(1).input_value() == "60" and on.slider(0).get_attribute("data-unset") == ""
    assert on.page.locator(".loop-end").input_value() == "2.5"


@pytest.mark.parametrize("kind", ["single", "pair", "abx"])
def test_a_choice_comes_back(on: Any, kind: str) -> None:
    on.show(kind)
    on.page.locator(".choice").nth(0).click()
    draft = on.draft()
    on.open()
    on.mount(on.view(kind, KINDS[kind], draft=draft))
    on.loaded()
    assert on.page.locator(".choice input").nth(0).is_checked()


def test_leaving_a_page_leaves_nothing_behind(on: Any) -> None:
    on.show("multi")
    on.player(0).click()
    on.hear("tokA", 0.1)
    on.page.evaluate("stage.mounted.destroy()")
    on.page.wait_for_timeout(100)
    changes = on.page.evaluate("stage.changes")
    on.page.keyboard.press("2")
    on.page.wait_for_timeout(200)
    assert on.page.evaluate("stage.changes") == changes
    assert on.answer()["listening"][1]["plays"] == 0
    on.mount(on.view("multi", 2))
    on.loaded()
    assert on.page.evaluate("stage.engine.loader.held().urls") == ["media/tokA", "media/tokB"]
    assert on.asked.count("tokA") == 1, "what is still there is not fetched again"


# What does not work


def test_who_cannot_play_or_would_rather_not_judge_says_so(on: Any) -> None:
    on.show("multi")
    on.page.locator(".problems summary").click()
    on.page.locator(".problems select").nth(0).select_option("cannot_play")
    on.page.locator(".problems select").nth(1).select_option("prefer_not")
    ratings = on.answer()["ratings"]
    assert [(one["score"], one["missing"]) for one in ratings[:2]] == [(None, "cannot_play"), (None, "prefer_not")]
    heard, rated = on.missing()
    assert heard.endswith("of: C and D.") and rated == "Rate: C and D."
    assert on.page.evaluate("stage.problems") == []  # the server tells the owner, once it is said for good
    on.page.locator(".problems select").nth(0).select_option("")
    assert on.answer()["ratings"][0]["missing"] is None
    read_answer(whole_answer(on.answer()))


@pytest.mark.parametrize("reason", ["cannot_play", "prefer_not"])
def test_a_pair_that_is_not_judged_is_answered_with_the_reason(on: Any, reason: str) -> None:
    on.show("pair")
    on.page.locator(".problems summary").click()
    on.page.locator(".problems select").select_option(reason)
    assert on.missing() == []
    answer = on.answer()
    assert answer["choices"] == [{"question": "match", "choice": None, "missing": reason}]
    read_answer(whole_answer(answer))


def test_where_nothing_is_judged_the_reference_need_not_be_heard(on: Any) -> None:
    on.show("mushra")
    on.page.locator(".problems summary").click()
    selects = on.page.locator(".problems select")
    for at in range(selects.count()):
        assert any("Reference" in line for line in on.missing())
        selects.nth(at).select_option("prefer_not")
    assert on.missing() == []


def test_a_server_that_stumbles_is_asked_again(on: Any) -> None:
    on.refuse = {"tokA": 1, "tokB": 2}
    on.show("multi")
    assert on.asked.count("tokA") == 2 and on.asked.count("tokB") == 3 and on.asked.count("tokC") == 1
    on.player(0).click()
    on.hear("tokA")


def test_what_does_not_come_is_named_can_be_tried_again_and_does_not_stop_the_rest(on: Any) -> None:
    view = on.view("multi", 3)
    gone = on.files.pop("tokB")
    on.mount(view)
    on.loaded()
    notice = on.page.locator(".sound-notice .notice")
    assert notice.first.inner_text().startswith("Could not be loaded: B.")
    assert on.answer()["ratings"][1]["missing"] == "cannot_play"
    assert on.page.evaluate("stage.problems")[0][:2] == ["load", "tokB"]
    assert on.player(1).is_disabled()
    on.player(0).click()
    on.hear("tokA")
    on.files["tokB"] = gone
    notice.first.locator("button").click()
    on.loaded()
    on.page.wait_for_function("() => stage.mounted.answer().ratings[1].missing === null")
    assert on.answer()["listening"][0]["plays"] == 1, "what was heard before is kept"
    on.player(1).click()
    on.hear("tokB")
    assert on.asked.count("tokA") == 1


def test_an_interruption_is_seen_and_undone_by_a_button(on: Any) -> None:
    on.show("multi")
    on.player(0).click()
    on.hear("tokA", 0.1)
    on.page.evaluate("stage.engine.context.suspend()")
    resume = on.page.locator(".sound-still button")
    resume.wait_for(state="visible")
    resume.click()
    resume.wait_for(state="hidden")
    on.hear("tokA", 0.5)
    kinds = [event[1] for event in on.answer()["events"]]
    assert "interrupted" in kinds and kinds[-1] == "running"


# Questions


def test_two_questions_on_one_page_have_a_panel_each(on: Any) -> None:
    cqs = {"low": 0, "high": 100, "step": 1, "words": "cqs"}
    attributes = [
        {"id": "f", "scale": cqs, "question": "fidelity"},
        {"id": "r", "scale": {**cqs, "words": "relevance"}, "question": "relevance"},
    ]
    on.show(
        "multi",
        attributes=attributes,
        prompt=PROMPT,
        require={"heard_s": 0, "coverage": 0, "rate_all": True, "one_at_top": False},
    )
    on.page.keyboard.press("1")
    on.page.keyboard.press("j")
    on.slider(4).focus()
    on.page.keyboard.press("Shift+J")
    on.page.keyboard.press("Shift+J")
    rated = {(one["token"], one["attribute"]): one["score"] for one in on.answer()["ratings"]}
    assert rated["tokA", "f"] == 50 and rated["tokA", "r"] == 60 and len(rated) == 8
    assert "How well does the sound match the description? Rate: B, C, and D." in on.missing()
    assert on.slider(4).get_attribute("aria-valuetext") == "60, Mostly"


def test_an_instruction_is_plain_to_see(on: Any) -> None:
    on.show("multi", instructed={"label": "C", "below": 10})
    assert "slider of C below 10" in on.page.locator(".instructed").inner_text()


def test_an_instruction_names_the_answer_where_there_is_no_slider(on: Any) -> None:
    on.show("single", instructed={"label": "A", "below": 3})
    assert "choose “Poor or Bad”" in on.page.locator(".instructed").inner_text()


def test_words_stand_at_the_middles_of_their_intervals(on: Any) -> None:
    on.show("mushra")
    words = on.page.locator(".scale-word > span")
    assert words.all_inner_texts() == ["Bad", "Poor", "Fair", "Good", "Excellent"]
    box = on.slider(0).bounding_box()
    thumb = on.page.evaluate("parseFloat(getComputedStyle(document.documentElement).fontSize) * 1.75")
    for at in range(5):
        word = words.nth(at).bounding_box()
        middle = box["y"] + box["height"] - thumb / 2 - (box["height"] - thumb) * (0.1 + 0.2 * at)
        assert word["y"] + word["height"] / 2 == pytest.approx(middle, abs=1.5)
    assert box["height"] >= 0.6 * 720 - 0.5  # pixels are rounded


def test_a_scale_of_steps_has_its_words_at_the_steps(on: Any) -> None:
    acr = {"low": 1, "high": 5, "step": 1, "words": "acr"}
    on.show("multi", attributes=[{"id": "q", "scale": acr, "question": "quality"}])
    on.page.keyboard.press("1")
    for value, word in [(3, "Fair"), (4, "Good"), (5, "Excellent"), (5, "Excellent")]:
        on.page.keyboard.press("j")
        assert on.slider(0).get_attribute("aria-valuetext") == f"{value}, {word}"
    box = on.slider(0).bounding_box()
    top = on.page.locator(".scale-word > span").nth(4).bounding_box()
    assert top["y"] + top["height"] / 2 == pytest.approx(box["y"] + 14, abs=2)
