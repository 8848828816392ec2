"""A participant that uses the real pages, with a mouse or by the keyboard alone, and remembers what it answered.

It asks the server for nothing but what the browser was given; the quietest of three tones it finds by listening, which
is: by decoding what the browser plays.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Any

from playwright.sync_api import Locator, Page, expect

LONG_MS = 30_000
QUIETEST = """async (urls) => {
    const context = new OfflineAudioContext(2, 48000, 48000);
    const levels = await Promise.all(urls.map(async (url) => {
        const sound = await context.decodeAudioData(await (await fetch(url)).arrayBuffer());
        return sound.getChannelData(0).reduce((sum, x) => sum + x * x, 0) / sound.length;
    }));
    return levels.indexOf(Math.min(...levels));
}"""
STATE = """async () => {
    const reply = await fetch('api/session', {headers: {'X-Tab': sessionStorage['clipsonic.tab']}});
    return reply.json();
}"""


def next_button(on: Page) -> Locator:
    return on.get_by_role("button", name="Next")


def heading(on: Page, words: str) -> None:
    """The page of this heading is shown."""
    expect(on.get_by_role("heading", level=1)).to_have_text(words)


def fill_age(on: Page, age: str = "33") -> None:
    on.get_by_label("How old are you?").fill(age)


@dataclass
class Did:
    """What the robot answered on one page. ratings: (label, attribute) -> score; choices: question -> label or tie."""

    type: str
    key: str
    training: bool
    ratings: dict[tuple[str, str], float | str] = field(default_factory=dict)
    choices: dict[str, str] = field(default_factory=dict)
    fields: dict[str, Any] = field(default_factory=dict)


class Robot:
    """Rates at random. `keyboard`: never touches the mouse."""

    def __init__(self, page: Page, seed: int = 0, *, keyboard: bool = False, deaf: bool = False) -> None:
        self.page = page
        self.random = random.Random(seed)
        self.keyboard = keyboard
        self.deaf = deaf
        self.did: list[Did] = []

    @property
    def type(self) -> str:
        """Type of the page that is shown, or finish or screen."""
        names = self.page.locator("article.page").get_attribute("class") or ""
        return names.split()[1].removeprefix("page-")

    def view(self) -> dict[str, Any]:
        """The PAGEVIEW the browser has."""
        reply = self.page.evaluate(STATE)
        found: dict[str, Any] = reply.get("state", reply)["page"]
        return found

    def take_all(self, most: int = 200) -> str:
        """Answer every page; returns the outcome shown."""
        for _ in range(most):
            self.page.locator("article.page").wait_for()
            if self.type in ("finish", "screen"):
                break
            self.take()
        return (self.page.locator("article.page").get_attribute("class") or "").split()[-1]

    def take(self) -> Did:
        """Answer the page that is shown and press Next."""
        did = self.answer()
        self.next()
        self.did.append(did)
        return did

    def answer(self, view: dict[str, Any] | None = None) -> Did:
        """Answer the page that is shown; its `view` is asked for unless it is known."""
        view = view or self.view()
        did = Did(view["type"], view["key"], view["training"])
        getattr(self, f"_{view['type']}")(view, did)
        return did

    def next(self) -> None:
        """Press Next and wait for another page."""
        self.page.evaluate("document.querySelector('article.page').dataset.seen = '1'")
        self.press(self.page.locator("button.next"))
        self.page.locator("article.page:not([data-seen])").wait_for(timeout=LONG_MS)

    # How things are done, by mouse or keys

    def reach(self, target: Locator) -> None:
        """Move the focus with Tab until it is there."""
        handle = target.element_handle()
        for _ in range(150):
            if self.page.evaluate("(element) => document.activeElement === element", handle):
                return
            self.page.keyboard.press("Tab")
        raise AssertionError(f"Tab does not lead to {target}")

    def press(self, button: Locator) -> None:
        if not self.keyboard:
            button.click()
            return
        self.reach(button)
        self.page.keyboard.press("Enter")

    def check(self, box: Locator, index: int = 0) -> None:
        """Choose a radio button: `index` of its group, which is one stop of the Tab key."""
        if not self.keyboard:
            box.check()
            return
        group = self.page.locator(f"input[name='{box.get_attribute('name')}']")
        chosen = group.locator("xpath=self::*[1]").first
        self.reach(chosen)
        self.page.keyboard.press("Space")
        for _ in range(index):
            self.page.keyboard.press("ArrowDown")
        expect(box).to_be_checked()

    def hear(self, player: Locator) -> None:
        """Play a sound until the page says that it was heard."""
        if not player.locator(".player-heard").is_visible():
            if player.get_attribute("aria-pressed") != "true":
                self.press(player)
            expect(player.locator(".player-heard")).to_be_visible(timeout=LONG_MS)

    # Pages

    def _consent(self, view: dict[str, Any], did: Did) -> None:
        self.check(self.page.locator("input[value=yes]"))

    def _instructions(self, view: dict[str, Any], did: Did) -> None:
        expect(self.page.locator(".prose")).not_to_be_empty()

    _pause = _instructions

    def _volume(self, view: dict[str, Any], did: Did) -> None:
        play = self.page.locator(".volume button")
        expect(play).to_be_enabled(timeout=LONG_MS)
        self.press(play)
        slider = self.page.locator(".volume-slider")
        if self.keyboard:
            self.reach(slider)
            for _ in range(10):
                self.page.keyboard.press("ArrowUp")
        else:
            slider.fill("60")

    def _headphones(self, view: dict[str, Any], did: Did) -> None:
        for trial in view["headphones"]:
            quietest = self.page.evaluate(QUIETEST, [sound["url"] for sound in trial["stimuli"]])
            play = self.page.locator(".headphones > button")
            expect(play).to_be_enabled(timeout=LONG_MS)
            self.press(play)
            tones = self.page.locator(".tone")
            expect(tones.first).to_be_enabled(timeout=LONG_MS)
            self.press(tones.nth((quietest + 1) % 3 if self.deaf else quietest))

    def _questionnaire(self, view: dict[str, Any], did: Did) -> None:
        fields = self.page.locator(".fields > .field")
        for index, asked in enumerate(view["fields"]):
            place = fields.nth(index)
            if not place.is_visible():
                continue
            if asked["type"] in ("text", "long_text"):
                box = place.locator("input, textarea")
                text = f"=1+1 & <b>{asked['id']}</b> 🎵"
                if self.keyboard:
                    self.reach(box)
                    self.page.keyboard.insert_text(text)
                else:
                    box.fill(text)
                did.fields[asked["id"]] = text
            elif asked["type"] == "number":
                place.locator("input").fill("33")
                did.fields[asked["id"]] = 33
            else:
                options = place.locator("input")
                at = self.random.randrange(options.count())
                self.check(options.nth(at), at)
                did.fields[asked["id"]] = options.nth(at).get_attribute("value")

    def _sliders(self, view: dict[str, Any], did: Did) -> None:
        panels = self.page.locator(".panel")
        one_at_top = view["require"]["one_at_top"]
        for which, attribute in enumerate(view["attributes"]):
            items = panels.nth(which).locator("li.stimulus")
            for index, stimulus in enumerate(view["stimuli"]):
                score = float(self.random.randrange(0, 101))
                if one_at_top and index == 0:
                    score = 100.0
                if view["instructed"] and view["instructed"]["label"] == stimulus["label"]:
                    score = float(self.random.randrange(0, int(view["instructed"]["below"])))
                self.rate(items.nth(index), index, score)
                did.ratings[stimulus["label"], attribute["id"]] = score
        if view["reference"]:
            self.hear(self.page.locator(".reference-play").first)

    def rate(self, item: Locator, index: int, score: float) -> None:
        """Hear a stimulus and set its slider."""
        player, slider = item.locator("button.player"), item.locator("input[type=range]")
        expect(player).to_be_enabled(timeout=LONG_MS)
        if self.keyboard:
            self.reach(player)
            if player.get_attribute("aria-pressed") != "true":
                self.page.keyboard.press("Enter")
            self.reach(slider)
            self.page.keyboard.press("Home")
            for _ in range(int(score) // 10):
                self.page.keyboard.press("PageUp")
            for _ in range(int(score) % 10):
                self.page.keyboard.press("ArrowUp")
            expect(slider).to_have_js_property("value", str(int(score)))
        else:
            if player.get_attribute("aria-pressed") != "true":
                player.click()
            slider.fill(str(int(score)))
        expect(player.locator(".player-heard")).to_be_visible(timeout=LONG_MS)

    _multi = _mushra = _sliders

    def _choosing(self, view: dict[str, Any], did: Did) -> None:
        players = self.page.locator("button.player")
        expect(players.first).to_be_enabled(timeout=LONG_MS)
        for index in range(players.count()):
            self.hear(players.nth(index))
        by_token = {stimulus["token"]: stimulus["label"] for stimulus in view["stimuli"]}
        groups = self.page.locator("fieldset.choices")
        for index in range(groups.count()):
            options = groups.nth(index).locator("input")
            at = self.random.randrange(options.count())
            if view["instructed"]:  # what the page says is chosen: the best answer stands on top
                at = options.count() - 1
                word = groups.nth(index).locator("label").nth(at).locator(".choice-text").inner_text()
                expect(self.page.locator(".instructed")).to_contain_text(word)
            self.check(options.nth(at), at)
            value = options.nth(at).get_attribute("value") or ""
            if view["pair"]:
                did.choices[view["pair"]["questions"][index]] = by_token.get(value, value)
            else:
                did.ratings[view["stimuli"][0]["label"], view["attributes"][index]["id"]] = float(value)

    _pair = _abx = _choosing

    def _single(self, view: dict[str, Any], did: Did) -> None:
        scale = view["attributes"][0]["scale"]
        if (scale["high"] - scale["low"]) / scale["step"] > 10:
            self._sliders(view, did)
        else:
            self._choosing(view, did)
