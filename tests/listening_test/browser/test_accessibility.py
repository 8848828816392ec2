"""Every page for everyone: axe-core finds nothing (WCAG 2.2 AA), in light and dark, in English and in Arabic; nothing
is wider than a narrow telephone; what can be pressed is large enough; nothing moves for who does not want it.

axe-core comes with axe-playwright-python. It cannot judge everything: the keyboard has its tests in test_studies.py.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from listening_fake_server import Fake, page, refuse, serving, sound
from playwright.sync_api import Page, expect

Open = Callable[..., Page]
SCALE = {"low": 0, "high": 100, "step": 1, "words": "cqs"}
ACR = {"low": 1, "high": 5, "step": 1, "words": "acr"}
REQUIRE = {"heard_s": 0.2, "coverage": 0.5, "rate_all": True, "one_at_top": False}
LONG = "A dog barks twice, then a heavy iron gate falls shut and somebody laughs far away in the rain " * 2
ATTRIBUTE = {"id": "fidelity", "scale": SCALE, "question": "fidelity"}


def prompt(**members: Any) -> dict[str, Any]:
    return {"text": None, "lang": None, "image": None, "video": None, **members}


def stimuli(count: int) -> list[dict[str, Any]]:
    return [{**sound(f"s{at}"), "label": "ABCDEFGHIJKL"[at]} for at in range(count)]


def field(id: str, type: str, **members: Any) -> dict[str, Any]:
    labels = {"id": id, "type": type, "label": f"Question {id}?", "optional": True}
    return {**labels, "options": None, "min": None, "max": None, "show_if": None, **members}


FIELDS = [
    field("a", "text"),
    field("b", "long_text"),
    field("c", "number", min=0, max=9, optional=False),
    field("d", "choice", options=[{"value": "x", "label": "One"}, {"value": "y", "label": "Other"}]),
    field("e", "multiple", options=[{"value": "x", "label": "One"}, {"value": "y", "label": "Other"}]),
    field("f", "likert", min=1, max=7),
]
RATING = {"switching": "restart", "loop": True, "require": REQUIRE}
PAGES = {
    "consent": page("consent", text="## For whom\n\n1. *You*\n2. [Us](https://example.org/)\n\n- `code`"),
    "headphones": page("headphones", headphones=[{"stimuli": [sound("a"), sound("q"), sound("b")]}] * 6),
    "volume": page("volume", stimuli=stimuli(1)),
    "instructions": page("instructions", **{"pass": "fidelity"}),
    "questionnaire": page("questionnaire", fields=FIELDS),
    "pause": page("pause"),
    "multi": page("multi", stimuli=stimuli(6), attributes=[ATTRIBUTE], training=True, **RATING),
    "multi-text": page(
        "multi", stimuli=stimuli(5), prompt=prompt(text=LONG, lang="en"), instructed={"label": "C", "below": 10},
        attributes=[{"id": "relevance", "scale": {**SCALE, "words": "relevance"}, "question": "relevance"}], **RATING,
    ),
    "multi-image": page(
        "multi", stimuli=stimuli(3), prompt=prompt(image={"url": "static/x/icon.svg"}),
        attributes=[{"id": "relevance", "scale": {**SCALE, "words": "relevance"}, "question": "relevance"}], **RATING,
    ),
    "mushra": page(
        "mushra", stimuli=stimuli(10), reference=sound("r"), waveform=[0.1, 0.5, 0.9, 0.3] * 50,
        attributes=[{"id": "quality", "scale": SCALE, "question": "quality"}], **{**RATING, "switching": "sync"},
    ),
    "single": page(
        "single", stimuli=stimuli(1), attributes=[{"id": "quality", "scale": ACR, "question": "quality"}], **RATING
    ),
    "pair": page(
        "pair", stimuli=stimuli(2), pair={"questions": ["match", "better"], "tie": True},
        prompt=prompt(text="wind", lang="en"), **RATING,
    ),
    "abx": page(
        "abx", stimuli=[{**sound(f"x{at}"), "label": label} for at, label in enumerate("ABX")],
        pair={"questions": ["x"], "tie": False}, **RATING,
    ),
}  # fmt: skip
SMALL = """() => [...document.querySelectorAll('button, select, summary, a.button, input:not([type=hidden])')]
    .filter((element) => element.checkVisibility() && !element.closest('.visually-hidden') && !element.disabled)
    .map((element) => {
        const box = (element.closest('label') ?? element).getBoundingClientRect();
        return [Math.round(box.width), Math.round(box.height), element.outerHTML.slice(0, 90)];
    })
    .filter(([width, height, html]) => Math.max(width, height) < 44 || Math.min(width, height) < 24)"""


def assert_clean(on: Page, part: str | None = None) -> None:
    """axe-core finds nothing on what is shown, or in one part of it: all else is inert behind a dialog."""
    from axe_playwright_python.sync_playwright import Axe

    on.evaluate("Promise.all(document.getAnimations().map((each) => each.finished.catch(() => {})))")
    # Not to copy style sheets, which the content policy would count as inline ones.
    options: dict[str, Any] = {"preload": False}
    if part:  # what every page must have, a part of one need not
        options["runOnly"] = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
    found = Axe().run(on, part, options).response["violations"]
    told = [f"{each['id']}: {each['help']}: {[node['html'][:160] for node in each['nodes']]}" for each in found]
    assert told == []


@pytest.mark.parametrize("name", PAGES)
def test_pages(watched: Open, name: str) -> None:
    fake = Fake([PAGES[name], page("pause")], languages=["en", "ar"])
    with serving(fake) as url:
        on = watched(viewport={"width": 1280, "height": 800}, reduced_motion="reduce")
        on.goto(url)
        on.locator("article.page").wait_for()
        if on.locator("button.player").count():
            expect(on.locator("button.player").first).to_be_enabled()
            on.locator("button.player").first.click()
        assert_clean(on)
        assert on.evaluate("document.getAnimations().filter((each) => each.playState === 'running').length") == 0
        on.locator("button.next").click()
        on.emulate_media(color_scheme="dark")
        if name not in ("instructions", "pause"):
            expect(on.get_by_role("alert").filter(has_text=re.compile(r"\S")).first).to_be_visible()
        assert_clean(on)
        for language, width, height in (("en", 320, 640), ("ar", 360, 740), ("ar", 1280, 800), ("en", 3840, 2160)):
            on.set_viewport_size({"width": width, "height": height})
            on.locator(".bar-language").select_option(language)
            expect(on.locator("html")).to_have_attribute("lang", language)
            on.locator("article.page").wait_for()
            on.wait_for_function("(width) => document.documentElement.scrollWidth <= width", arg=width)
            assert on.evaluate(SMALL) == [], (language, width)
            if width < 3000:
                assert_clean(on)


def test_what_is_pinned_covers_nothing_before_it_is_scrolled(watched: Open) -> None:
    """A practice page says so above its prompt, in full."""
    fake = Fake([{**PAGES["multi-text"], "training": True}])
    with serving(fake) as url:
        on = watched(viewport={"width": 1280, "height": 800})
        on.goto(url)
        expect(on.locator(".chip")).to_be_visible()
        gap = """() => document.querySelector('.pinned').getBoundingClientRect().top
            - document.querySelector('.chip').getBoundingClientRect().bottom"""
        assert on.evaluate(gap) >= -0.5


def test_options_notice_and_end(watched: Open) -> None:
    fake = Fake([PAGES["questionnaire"]])
    with serving(fake) as url:
        on = watched(reduced_motion="reduce")
        on.goto(url)
        on.get_by_role("button", name="Options").click()
        assert_clean(on, "dialog")
        on.get_by_role("button", name="I do not want to go on").click()
        assert_clean(on, "dialog")
        on.keyboard.press("Escape")
        on.get_by_label("Question c?").fill("3")
        fake.fail = lambda request: refuse(503, "unavailable") if request.url.path == "/api/answer" else None
        on.get_by_role("button", name="Next").click()
        expect(on.get_by_role("status").filter(has_text="1 answer waiting")).to_be_visible()
        assert_clean(on, ".notices")
        fake.fail = lambda request: None
        on.get_by_role("button", name="Try now").click()
        expect(on.get_by_role("heading", level=1)).to_have_text("Thank you!")
        assert_clean(on)
        on.emulate_media(color_scheme="dark")
        assert_clean(on)


def test_heading_has_the_focus_on_every_page(watched: Open) -> None:
    fake = Fake([page("pause"), page("instructions"), page("pause")])
    with serving(fake) as url:
        on = watched()
        on.goto(url)
        for name in ("Continue", "Next", "Continue"):
            expect(on.get_by_role("heading", level=1)).to_be_focused()
            on.get_by_role("button", name=name).click()
        expect(on.get_by_role("heading", level=1)).to_have_text("Thank you!")
        expect(on.get_by_role("heading", level=1)).to_be_focused()
