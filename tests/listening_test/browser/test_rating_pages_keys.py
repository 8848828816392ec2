"""The keyboard on rating pages: webMUSHRA's map, and where it keeps out of the way."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Page

_spec = importlib.util.spec_from_file_location("rating_stage", Path(__file__).with_name("stage.py"))
assert _spec is not None and _spec.loader is not None
stage = sys.modules.setdefault("rating_stage", importlib.util.module_from_spec(_spec))
_spec.loader.exec_module(stage)


@pytest.fixture
def on(browser_page: Page, web_url: str) -> Any:
    one = stage.Stage(browser_page, web_url)
    one.open()
    yield one
    assert one.page.evaluate("stage.missingKeys") == [], "the catalogue lacks these"


def test_the_keys_of_webmushra(on: Any) -> None:
    on.show("mushra", seconds=6)
    page = on.page
    now = page.locator(".transport-now")
    trial = "stage.engine && stage.mounted.draft().desk.sound"
    page.keyboard.press("r")
    assert now.inner_text() == "Playing: Reference"
    for key, text in [
        ("3", "C"),
        ("l", "D"),
        ("ArrowRight", "A"),
        ("h", "D"),
        ("ArrowLeft", "C"),
        ("0", "Reference"),
        ("2", "B"),
    ]:
        page.keyboard.press(key)
        assert now.inner_text() == f"Playing: {text}"
    page.keyboard.press(" ")
    assert now.inner_text() == "Paused: B"
    page.keyboard.press(" ")
    assert now.inner_text() == "Playing: B"
    for key, score in [
        ("j", 50),
        ("j", 51),
        ("ArrowUp", 52),
        ("k", 51),
        ("ArrowDown", 50),
        ("Shift+J", 60),
        ("Shift+ArrowUp", 70),
        ("Shift+K", 60),
        ("Shift+ArrowDown", 50),
    ]:
        page.keyboard.press(key)
        assert on.scores()[1] == score, key
    on.hear("tokB", 1.2)
    page.keyboard.press("a")
    region = page.evaluate(trial)["regions"][""]
    assert 0.5 < region[0] < 6 and region[1] == 6
    page.keyboard.press("Shift+A")
    assert page.evaluate(trial)["regions"][""] == [0, 6]
    page.keyboard.press("b")
    region = page.evaluate(trial)["regions"][""]
    assert region[0] == 0 and 0.5 <= region[1] < 6
    page.keyboard.press("Shift+B")
    assert page.evaluate(trial)["regions"][""] == [0, 6]
    page.keyboard.press("Backspace")
    assert now.inner_text() == "Stopped: B"


def test_keys_are_text_in_text_fields_and_the_browsers_with_control(on: Any) -> None:
    on.show("multi")
    on.page.evaluate("document.querySelector('.page').append(document.createElement('textarea'))")
    on.page.locator("textarea").focus()
    on.page.keyboard.type("12 jr?")
    assert on.page.locator("textarea").input_value() == "12 jr?"
    on.page.locator("textarea").evaluate("(element) => element.remove()")
    on.page.keyboard.press("Control+1")
    assert on.page.locator(".transport-now").inner_text() == ""
    assert all(one["plays"] == 0 for one in on.answer()["listening"])


def test_space_on_a_button_presses_it_once(on: Any) -> None:
    on.show("multi")
    on.player(1).focus()
    on.page.keyboard.press(" ")
    assert on.page.locator(".transport-now").inner_text() == "Playing: B"


def test_keys_can_be_turned_off_and_stay_off(on: Any) -> None:
    on.show("multi")
    on.page.keyboard.press("?")
    on.page.locator(".keys-switch input").uncheck()
    on.page.locator(".keys-dialog .primary").click()
    on.page.keyboard.press("1")
    assert on.answer()["listening"][0]["plays"] == 0
    on.open()
    on.show("multi")
    on.page.keyboard.press("1")
    assert on.answer()["listening"][0]["plays"] == 0
    on.page.locator(".keys-open").click()
    assert not on.page.locator(".keys-switch input").is_checked()


def test_left_is_the_screens_left_in_a_language_from_the_right(on: Any) -> None:
    on.mount(on.view("multi", 3), "ar")
    on.loaded()
    on.page.keyboard.press("1")
    on.page.keyboard.press("ArrowLeft")
    assert on.page.locator(".stimulus").nth(1).get_attribute("data-state") == "playing"
    boxes = [on.page.locator(".stimulus").nth(at).bounding_box()["x"] for at in range(3)]
    assert boxes == sorted(boxes, reverse=True)
