"""A rating page on its own: the shell's frame, one page module, a real engine, sounds made here. No server.

Tests load this file by its path. `Stage` serves the sounds (and can refuse, delay and count requests) and mounts a
PAGEVIEW as the shell would; `window.stage` in the page holds what was mounted. The content policy is the server's.
"""

from __future__ import annotations

import json
import struct
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from playwright.sync_api import Page, Route

RATE = 48_000
COUNTS = {"mushra": 4, "multi": 4, "single": 1, "pair": 2, "abx": 3}
POLICY = "default-src 'self'; object-src 'none'; base-uri 'none'"
HTML = """<!doctype html><html lang="en"><head><meta charset="utf-8"><title>stage</title>
<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="color-scheme" content="light dark">
<link rel="stylesheet" href="/style/base.css"><link rel="stylesheet" href="/style/shell.css">
<link rel="stylesheet" href="/style/pages.css"><link rel="stylesheet" href="/widgets/rating.css">
<script type="module" src="/stage.js"></script></head><body></body></html>"""
SCRIPT = """
import { createEngine } from "/engine/engine.js";
import { createTranslator, loadCatalogue } from "/i18n.js";
import { MODULES } from "/pages.js";
import { createView } from "/view.js";
const stage = { changes: 0, problems: [], missingKeys: [], engine: null, mounted: null };
const view = createView({ onNext: () => view.setMissing(stage.mounted.missing()), onLanguage() {}, onOptions() {} });
stage.mount = async (page, language, texts) => {
  const catalogue = await loadCatalogue(language);
  const known = createTranslator({ ...catalogue, texts: { ...texts, ...catalogue.texts } });
  const t = (key, values) => {
    const text = known(key, values);
    if (text === key) stage.missingKeys.push(key);
    return text;
  };
  stage.mounted?.destroy();
  view.setLanguage(t, language, catalogue.direction);
  view.setStudy("Birds and other sounds", ["en", "de"], language);
  view.setProgress(t, { done: 4, total: 17 });
  view.setNext(t("shell.next"));
  stage.engine ??= createEngine({ sleep: (ms) => new Promise((resolve) => setTimeout(resolve, ms / 20)) });
  const root = view.open(t(`title.${page.type}`), page.type, page.training ? t("shell.training") : null);
  const began = performance.now();
  stage.mounted = MODULES[page.type](root, page, {
    t, language, direction: catalogue.direction, engine: stage.engine,
    onChange: () => { stage.changes += 1; },
    problem: (...told) => stage.problems.push(told),
    now: () => performance.now() - began,
  });
};
window.stage = stage;
"""
HEARD = """([token, seconds]) => {
  const {listening} = stage.mounted.answer();
  return listening.find((one) => one.token === token).seconds_heard >= seconds;
}"""


def wav(samples: np.ndarray, rate: int = RATE) -> bytes:
    """A float WAV file of (channels, frames), which any decoder gives back bit by bit."""
    data = np.atleast_2d(samples).T.astype("<f4").tobytes()
    channels = np.atleast_2d(samples).shape[0]
    form = struct.pack("<HHIIHH", 3, channels, rate, rate * channels * 4, channels * 4, 32)
    chunks = b"fmt " + struct.pack("<I", 16) + form + b"data" + struct.pack("<I", len(data)) + data
    return b"RIFF" + struct.pack("<I", 4 + len(chunks)) + b"WAVE" + chunks


def tone(seconds: float, hz: float = 440, rate: int = RATE) -> np.ndarray:
    return 0.1 * np.sin(2 * np.pi * hz * np.arange(round(seconds * rate)) / rate)


@dataclass
class Stage:
    """Files by name (`/media/<name>`). refuse: how often a name is answered 503 first. asked: names asked for."""

    page: Page
    url: str
    files: dict[str, tuple[bytes, str]] = field(default_factory=dict)
    refuse: dict[str, int] = field(default_factory=dict)
    delay_s: float = 0
    asked: list[str] = field(default_factory=list)

    def open(self, script: str = SCRIPT, wait: bool = True) -> None:
        self.page.route("**/media/*", self._media)
        self.page.route(
            "**/stage",
            lambda route: route.fulfill(
                body=HTML, content_type="text/html", headers={"Content-Security-Policy": POLICY}
            ),
        )
        self.page.route("**/stage.js", lambda route: route.fulfill(body=script, content_type="text/javascript"))
        self.page.goto(f"{self.url}/stage")
        if wait:
            self.page.wait_for_function("() => window.stage")

    def _media(self, route: Route) -> None:
        name = route.request.url.rsplit("/", 1)[1]
        self.asked.append(name)
        if self.refuse.get(name, 0) > 0:
            self.refuse[name] -= 1
            route.fulfill(status=503, body="{}")
            return
        if self.delay_s:
            time.sleep(self.delay_s)
        if name not in self.files:
            route.fulfill(status=404, body="{}")
            return
        body, kind = self.files[name]
        route.fulfill(body=body, content_type=kind)

    def sound(self, name: str, samples: np.ndarray, rate: int = RATE) -> dict[str, str]:
        self.files[name] = (wav(samples, rate), "audio/wav")
        return {"token": name, "url": f"media/{name}"}

    def picture(self, name: str, path: Path) -> dict[str, str]:
        self.files[name] = (path.read_bytes(), "image/jpeg")
        return {"url": f"media/{name}"}

    def mount(self, view: dict[str, Any], language: str = "en", texts: dict[str, str] | None = None) -> None:
        self.page.evaluate(
            "([page, language, texts]) => stage.mount(page, language, texts)", [view, language, texts or {}]
        )

    def loaded(self) -> None:
        self.page.wait_for_selector(".sound-loading", state="hidden")

    def missing(self) -> list[str]:
        return self.page.evaluate("stage.mounted.missing()")

    def answer(self) -> dict[str, Any]:
        return self.page.evaluate("stage.mounted.answer()")

    def draft(self) -> Any:
        return json.loads(self.page.evaluate("JSON.stringify(stage.mounted.draft())"))

    def show(self, kind: str, language: str = "en", **members: Any) -> None:
        """Mount a page of the usual count of stimuli, and wait for its sounds."""
        self.mount(self.view(kind, COUNTS[kind], **members), language)
        self.loaded()

    def player(self, at: int) -> Any:
        return self.page.locator(".player.stimulus-play").nth(at)

    def slider(self, at: int) -> Any:
        return self.page.locator(".slider-input").nth(at)

    def hear(self, token: str, seconds: float = 0.45) -> None:
        """Wait until so much of a sound was heard."""
        self.page.wait_for_function(HEARD, arg=[token, seconds])

    def hear_all(self, kind: str) -> None:
        if kind == "mushra":
            self.page.keyboard.press("0")
            self.hear("tokR")
        for at, letter in enumerate("ABX" if kind == "abx" else "ABCD"[: COUNTS[kind]]):
            self.player(at).click()
            self.hear(f"tok{letter}")

    def scores(self) -> list[float | None]:
        return [rating["score"] for rating in self.answer()["ratings"]]

    def view(self, kind: str, count: int = 3, seconds: float = 4, **members: Any) -> dict[str, Any]:
        """A PAGEVIEW of a type with so many stimuli, named A, B, …; members replace its own."""
        letters = "ABX" if kind == "abx" else "ABCDEFGHIJKLMNOP"[:count]
        stimuli = [
            {**self.sound(f"tok{letter}", tone(seconds, 220 + 30 * at)), "label": letter}
            for at, letter in enumerate(letters)
        ]
        cqs = {"low": 0, "high": 100, "step": 1, "words": "cqs"}
        question = {"mushra": "quality", "single": "quality"}.get(kind, "fidelity")
        rated = kind in ("mushra", "multi", "single")
        acr = {"low": 1, "high": 5, "step": 1, "words": "acr"}
        questions = {"pair": ["match"], "abx": ["x"]}.get(kind)
        attribute = {"id": question, "scale": acr if kind == "single" else cqs, "question": question}
        return {
            "key": "key", "type": kind, "pass": None, "training": False, "index": 4, "title": None, "text": None,
            "prompt": None, "attributes": [attribute] if rated else [],
            "reference": self.sound("tokR", tone(seconds, 200)) if kind == "mushra" else None,
            "stimuli": stimuli, "switching": "sync" if kind in ("mushra", "abx") else "restart",
            "loop": kind == "mushra", "waveform": None,
            "require": {"heard_s": 0.4, "coverage": 0, "rate_all": True, "one_at_top": kind == "mushra"},
            "instructed": None, "fields": None, "headphones": None, "attempt": 1,
            "pair": {"questions": questions, "tie": kind == "pair"} if questions else None, "draft": None,
            **members,
        }  # fmt: skip
