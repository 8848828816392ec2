"""Rating pages on every screen: nothing cut off, nothing too small to touch, and the prompt never out of sight."""

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

SCREENS = {"360": (360, 640), "landscape": (740, 360), "tablet": (820, 1180), "laptop": (1280, 720), "4k": (3840, 2160)}
LONG = "A busy street in the rain: cars hiss past on wet asphalt, and then a dog barks somewhere to the left. " * 8
PROMPT = {"text": "A dog barks twice, then a door slams", "lang": "en", "image": None, "video": None}

OVERFLOW = """() => {
  const wide = document.documentElement.clientWidth;
  return [...document.querySelectorAll(".rating-page *")]
    .filter((element) => !element.closest(".waveform, .visually-hidden, svg") && element.getClientRects().length)
    .map((element) => [element.className, element.getBoundingClientRect()])
    .filter(([, {left, right}]) => left < -1 || right > wide + 1)
    .map(([name, {left, right}]) => [name, left, right]);
}"""
IN_VIEW = """(height) => {
  const prompt = document.querySelector(".prompt");
  scrollTo(0, document.body.scrollHeight);
  prompt.scrollTo(0, prompt.scrollHeight);
  const box = prompt.getBoundingClientRect();
  const end = document.querySelector(".prompt-text").getBoundingClientRect().bottom;
  return box.top >= 0 && box.bottom <= height && box.height <= 0.45 * height && end <= box.bottom + 1;
}"""
SMALL = """() => [...document.querySelectorAll(".rating-page :is(button, input, select, summary, label.choice)")]
  .filter((element) => !element.matches(".choice input"))  // its label is what is touched
  .map((element) => [element.className, element.getBoundingClientRect()])
  .filter(([, {width, height}]) => width > 0 && Math.min(width, height) < 43.5)
  .map(([name, {width, height}]) => [name, width, height])"""


@pytest.fixture
def on(browser_page: Page, web_url: str) -> Any:
    one = stage.Stage(browser_page, web_url)
    one.open()
    return one


def show(on: Any, kind: str, count: int = 4, screen: str = "laptop", language: str = "en", **members: Any) -> None:
    width, height = SCREENS[screen]
    on.page.set_viewport_size({"width": width, "height": height})
    on.mount(on.view(kind, count, seconds=1, **members), language)
    on.loaded()


SHOWN = (
    ("mushra", 12, "en"), ("multi", 5, "en"), ("multi", 12, "de"), ("mushra", 6, "ar"),
    ("single", 1, "fr"), ("pair", 2, "es"), ("abx", 3, "en"),
)  # fmt: skip


@pytest.mark.parametrize("screen", SCREENS)
def test_everything_is_on_the_screen_and_can_be_touched(on: Any, screen: str) -> None:
    for kind, count, language in SHOWN:
        show(on, kind, count, screen, language, prompt={**PROMPT, "text": LONG} if count == 12 else PROMPT, loop=True)
        on.page.locator(".problems summary").click()
        assert on.page.evaluate(OVERFLOW) == [], kind
        assert on.page.evaluate("() => document.documentElement.scrollWidth <= innerWidth"), kind
        assert on.page.evaluate(SMALL) == [], kind


def test_sliders_stand_where_they_can_and_lie_where_they_must(on: Any) -> None:
    for screen, count, orientation in [
        ("laptop", 12, "vertical"),
        ("360", 12, "horizontal"),
        ("360", 3, "vertical"),
        ("landscape", 3, "horizontal"),
    ]:
        show(on, "multi", count, screen)
        assert on.page.locator(".panel").get_attribute("data-orientation") == orientation
        first = on.page.locator(".slider-input").first
        assert first.get_attribute("aria-orientation") == orientation
        box = first.bounding_box()
        assert (box["height"] > box["width"]) is (orientation == "vertical")
        # A higher score is higher, or towards the end of the line.
        on.page.keyboard.press("1")
        on.page.keyboard.press("End")
        at = [0.5, 0.02] if orientation == "vertical" else [0.98, 0.5]
        on.page.keyboard.press("Home")
        on.page.mouse.click(
            box["x"] + box["width"] * at[0],
            on.page.locator(".slider-input").first.bounding_box()["y"] + box["height"] * at[1],
        )
        assert on.answer()["ratings"][0]["score"] == 100


@pytest.mark.parametrize("text", ["A dog barks", LONG])
def test_the_prompt_stays_in_view_and_can_be_read_to_its_end(on: Any, text: str) -> None:
    for screen in ("360", "landscape", "laptop", "4k"):
        show(on, "multi", 12, screen, prompt={**PROMPT, "text": text, "lang": "de"})
        assert on.page.locator(".prompt-text").get_attribute("lang") == "de"
        on.page.wait_for_function(IN_VIEW, arg=SCREENS[screen][1])  # what is pinned moves a frame after a scroll


@pytest.mark.parametrize(("screen", "loop"), [("360", False), ("360", True), ("laptop", True)])
def test_what_has_the_focus_is_not_hidden_by_what_is_pinned(on: Any, screen: str, loop: bool) -> None:
    show(on, "multi", 12, screen, prompt={**PROMPT, "text": LONG}, loop=loop)
    for _ in range(30):
        on.page.keyboard.press("Tab")
        hidden = on.page.evaluate(
            """() => {
              const at = document.activeElement;
              if (!at.closest(".rating-body")) return null;
              const {left, top, width, height} = at.getBoundingClientRect();
              const found = document.elementFromPoint(left + width / 2, top + Math.min(height, 60) / 2);
              const own = found === at.parentElement;  // of a loop bar only the thumbs take presses
              const seen = found && (at.contains(found) || own || found.closest("label")?.contains(at));
              return seen ? null : [at.className, found?.className ?? "outside"];
            }"""
        )
        assert hidden is None


def test_a_picture_opens_large_and_closes(on: Any, media: Path) -> None:
    image = on.picture("image", media / "images" / "cat1.jpg")
    show(on, "multi", 4, prompt={"text": None, "lang": None, "image": image, "video": None})
    small = on.page.locator(".prompt-image img").bounding_box()
    body = on.page.locator(".rating-body").bounding_box()
    assert small["x"] + small["width"] <= body["x"], "beside the sliders where there is room"
    assert "cat" not in (on.page.locator(".prompt-image img").get_attribute("alt") or ""), (
        "the description gives nothing away"
    )
    on.page.locator(".prompt-image").click()
    large = on.page.locator(".zoom-dialog img").bounding_box()
    assert large["width"] > small["width"]
    on.page.keyboard.press("Escape")
    on.page.wait_for_function("() => !document.querySelector('dialog')")
    assert on.page.evaluate("() => document.activeElement.className") == "prompt-image"


def test_a_video_is_silent_and_goes_along_with_the_sound(on: Any, media: Path) -> None:
    path = sorted((media / "videos").glob("*.mp4"))[0]
    on.files["video"] = (path.read_bytes(), "video/mp4")
    show(on, "multi", 2, prompt={"text": None, "lang": None, "image": None, "video": {"url": "media/video"}})
    video = on.page.locator("video")
    on.page.wait_for_function("() => document.querySelector('video').readyState >= 2")
    assert video.evaluate("(video) => video.muted && !video.controls && video.paused")
    on.page.keyboard.press("2")
    on.page.wait_for_function("() => document.querySelector('video').currentTime > 0.3")
    on.page.keyboard.press("Backspace")
    on.page.wait_for_function("() => document.querySelector('video').paused")


def test_a_waveform_is_drawn_where_the_page_has_one(on: Any) -> None:
    show(on, "mushra", 4)
    assert on.page.locator(".waveform path").count() == 0
    show(on, "mushra", 4, waveform=[0.1, 0.9, 0.4, 0.0])
    assert on.page.locator(".waveform path").get_attribute("d").startswith("M0 0L0.5 -0.1L1.5 -0.9")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_colours_can_be_told_apart(on: Any, scheme: str) -> None:
    on.page.emulate_media(color_scheme=scheme)
    for kind, count in (("mushra", 3), ("single", 1), ("pair", 2)):
        show(on, kind, count)
        colours_can_be_told_apart(on)


def colours_can_be_told_apart(on: Any) -> None:
    on.page.keyboard.press("1")
    ratios = on.page.evaluate(
        """() => {
          const parse = (text) => text.match(/[\\d.]+/g).map(Number);
          const linear = (c) => (c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
          const weight = [0.2126, 0.7152, 0.0722];
          const light = (rgb) => weight.reduce((sum, part, at) => sum + part * linear(rgb[at] / 255), 0);
          const behind = (element) => {
            for (let at = element; at; at = at.parentElement) {
              const colour = parse(getComputedStyle(at).backgroundColor);
              if (colour.length === 3 || colour[3] === 1) return colour;
            }
            return [255, 255, 255];
          };
          const ratio = (a, b) => {
            const [x, y] = [light(a), light(b)].sort((m, n) => n - m);
            return (x + 0.05) / (y + 0.05);
          };
          const hasText = (node) => node.nodeType === Node.TEXT_NODE && node.textContent.trim() !== "";
          return [...document.querySelectorAll(".rating-page *")]
            .filter((element) => [...element.childNodes].some(hasText) && element.getClientRects().length)
            .map((element) => [element.className, ratio(parse(getComputedStyle(element).color), behind(element))]);
        }"""
    )
    assert ratios and [pair for pair in ratios if pair[1] < 4.5] == []
