"""The report: one file, no network, everything the record says, and nothing a caption could smuggle in."""

from __future__ import annotations

import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from clipsonic_benchmarks.figures import forest, rungs
from clipsonic_benchmarks.report import EXAMPLES, choose, write_report
from clipsonic_benchmarks.split import read_split
from clipsonic_benchmarks.table import cell


class Page(HTMLParser):
    """Tags with their attributes, and the text outside scripts and styles."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self._inside = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._inside = tag

    def handle_data(self, data: str) -> None:
        if self._inside not in ("script", "style"):
            self.text.append(data)

    def of(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.fixture
def html(record: dict[str, Any], tmp_path: Path) -> str:
    return (tmp_path / "results" / "quickstart@2" / "report-main.html").read_text()


def test_nothing_is_fetched(html: str) -> None:
    page = Page(html)
    for tag, attributes in page.tags:
        for name in ("src", "href", "poster", "data", "srcset"):
            value = attributes.get(name)
            assert value is None or value.startswith(("data:", "#")), (tag, value)
    assert not page.of("link") and not page.of("iframe")
    styles = "".join(re.findall(r"<style>(.*?)</style>", html, re.DOTALL))
    assert "url(" not in styles and "@import" not in styles


def test_it_stays_small_enough_to_send(html: str) -> None:
    assert len(html) < 12_000_000


def test_every_example_has_a_player_and_a_picture_for_every_system(html: str, record: dict[str, Any]) -> None:
    page = Page(html)
    examples = 4  # the fake world has four kinds
    audio = page.of("audio")
    assert len(audio) == examples * len(record["systems"])
    assert all((one["src"] or "").startswith("data:audio/mpeg;base64,") for one in audio)
    labels = [button["aria-label"] for button in page.of("button")]
    assert len(labels) == len(set(labels)) == len(audio)


def test_every_system_score_claim_and_note_is_on_the_page(html: str, record: dict[str, Any]) -> None:
    text = " ".join(" ".join(Page(html).text).split())
    for system in record["systems"]:
        assert system["label"] in text
        for score in system["scores"]:
            assert cell(score).split(" [")[0] in text
    for claim in record["claims"]:
        assert claim["says"] in text and claim["outcome"] in text
    for note in record["notes"].values():
        assert note in text
    assert "clipsonic-bench run quickstart" in text


def test_every_plot_on_the_page_has_its_data(html: str) -> None:
    found = re.search(r'<script type="application/json" id="plots-json">(.*?)</script>', html, re.DOTALL)
    assert found is not None
    plots = json.loads(found.group(1))
    wanted = re.findall(r'data-plot="([^"]+)"', html)
    assert set(wanted) == set(plots)
    assert {"ladder", "gap", "forest-fad", "difference-fad"} <= set(plots)


def test_a_caption_is_text_not_markup(record: dict[str, Any], tmp_path: Path) -> None:
    folder = tmp_path / "results" / "quickstart@2"
    items = tmp_path / "results" / record["items"]["folder"] / "items.json"
    evil = "<script>alert(1)</script>"
    items.write_text(items.read_text().replace("a thing of kind 0", evil))
    record["notes"]["fad"] = evil
    page = write_report(folder / "record-main.json", record).read_text()
    assert evil not in page
    assert "&lt;script&gt;alert(1)" in page


def test_without_the_cache_the_page_says_so(record: dict[str, Any], tmp_path: Path) -> None:
    shutil.rmtree(tmp_path / "results" / ".cache")
    page = write_report(tmp_path / "results" / "quickstart@2" / "record-main.json", record).read_text()
    assert "were deleted" in page
    assert not Page(page).of("audio")


def test_examples_are_the_first_of_each_kind(tmp_path: Path, fake: Any) -> None:
    split = fake.write_world(tmp_path / "s", 12)
    assert [item.id for item in choose(split.items)] == [f"item-{index:03d}" for index in range(4)]
    assert len(choose(split.items * 5)) <= EXAMPLES
    assert read_split(split.folder).digest == split.digest


def test_rungs_run_from_the_floor_to_the_real_sounds(record: dict[str, Any]) -> None:
    found = {(one["metric"], one["label"]): one["share"] for one in rungs(record["systems"], ["fad", "clap-score"])}
    assert found["fad", "noise"] == 0 and found["fad", "reference"] == 100
    assert found["clap-score", "shuffled"] == 0 and found["clap-score", "reference"] == pytest.approx(100)
    assert 0 < found["clap-score", "clipsonic-zs"] < 100


def test_a_floor_off_the_scale_is_written_not_squeezed_in(record: dict[str, Any]) -> None:
    plot = forest(record["systems"], "fad")
    assert plot is not None
    (note,) = plot["layout"]["annotations"]
    assert note["y"] == "noise" and "→" in note["text"]
    noise = next(one for one in record["systems"] if one["label"] == "noise")
    value = next(one["value"] for one in noise["scores"] if one["metric"] == "fad")
    assert plot["layout"]["xaxis"]["range"][1] < value


def test_a_browser_shows_it_on_narrow_and_wide_screens(html: str, tmp_path: Path, chromium: str) -> None:
    """Nothing is requested, nothing fails, nothing is wider than the screen, and every sound can be played."""
    from playwright.sync_api import sync_playwright

    path = tmp_path / "page.html"
    path.write_text(html)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for width, scheme in ((400, "light"), (1600, "dark")):
            context = browser.new_context(
                viewport={"width": width, "height": 900},
                color_scheme=scheme,  # type: ignore[arg-type]
                offline=True,
            )
            page, faults = context.new_page(), []
            page.on("pageerror", lambda error, faults=faults: faults.append(str(error)))
            page.on("console", lambda message, faults=faults: faults.append(message.text))
            page.goto(path.as_uri())
            page.wait_for_selector("[data-plot='ladder'] .main-svg")
            assert page.evaluate("document.documentElement.scrollWidth") == width
            drawn = page.evaluate(
                "[...document.querySelectorAll('[data-plot]')].every(p => p.querySelector('.main-svg'))"
            )
            assert drawn and faults == []
            durations = page.evaluate(
                """async () => Promise.all([...document.querySelectorAll("audio")].map(a => new Promise(done => {
                    a.onloadedmetadata = () => done(a.duration);
                    a.onerror = () => done(0);
                    a.preload = "auto";
                    a.load();
                })))"""
            )
            assert min(durations) > 0.2
            page.locator(".cell").first.click()
            page.wait_for_selector(".cell.playing")
            context.close()
        browser.close()
