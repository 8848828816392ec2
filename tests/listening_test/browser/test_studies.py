"""Whole studies: made by `init`, served by `serve` in a process of its own, taken in a browser, exported, and compared.

Sounds are 0.6 s of tones, so that a page is heard through in seconds. What the robot answered and what `export` writes
must be the same, row by row, whatever happened in between: reload, kill -9 of the server, a network that is gone,
another tab. Every error on the browser's console, and every request elsewhere, is a failure (fixture `watched`).
"""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from axe_playwright_python.sync_playwright import Axe
from listening_robot import Robot
from playwright.sync_api import Page, expect

Open = Callable[..., Page]
COMMAND = Path(sys.executable).with_name("clipsonic-listen")
RATE_HZ = 16_000
SECONDS = 0.6
PROMPTS = ("a dog barks", "rain falls", "a bell rings", "a train <b>passes</b> & whistles", "wind", "a man speaks")


def listen(*words: str, code: int = 0) -> str:
    """Run the command in a process of its own."""
    done = subprocess.run([str(COMMAND), *words], capture_output=True, text=True, timeout=300)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout


def write_samples(folder: Path, systems: int, prompts: int, *, spoiled: bool = False) -> Path:
    """`systems` × `prompts` sounds. spoiled: versions of one reference, as codecs make them."""
    rng = np.random.default_rng(7)
    seconds = np.arange(round(SECONDS * RATE_HZ)) / RATE_HZ
    originals = [np.sin(2 * np.pi * (300 + 170 * prompt) * seconds) for prompt in range(prompts)]
    originals = [0.2 * tone + 0.05 * rng.standard_normal(len(seconds)) for tone in originals]
    for system in range(systems):
        (folder / f"system{system}").mkdir(parents=True)
        for prompt, original in enumerate(originals):
            sound = original + 0.02 * (system + 1) * rng.standard_normal(len(seconds))
            soundfile.write(folder / f"system{system}" / f"p{prompt}.wav", sound, RATE_HZ)
    if spoiled:
        (folder / "reference").mkdir()
        for prompt, original in enumerate(originals):
            soundfile.write(folder / "reference" / f"p{prompt}.wav", original, RATE_HZ)
    return folder


def write_prompts(path: Path, prompts: int) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerows([("id", "caption"), *((f"p{at}", PROMPTS[at % len(PROMPTS)]) for at in range(prompts))])
    return path


class Served:
    """A study that is served by a process, which can be killed and started again on the same port."""

    def __init__(self, study: Path) -> None:
        self.study = study
        self.port = "0"
        self.process: subprocess.Popen[str] | None = None
        self.url = self.monitor = ""
        self.start()

    def start(self) -> None:
        words = [str(COMMAND), "serve", str(self.study), "--port", self.port]
        environment = os.environ | {"PYTHONUNBUFFERED": "1"}
        log = (self.study.parent / "serve.log").open("a")
        with log:
            self.process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=log, text=True, env=environment)
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if found := re.match(r"(Study|Monitor):\s+(http://\S+)", line):
                setattr(self, {"Study": "url", "Monitor": "monitor"}[found[1]], found[2])
            if line.startswith("Monitor"):
                break
        self.port = re.search(r":(\d+)/", self.url)[1]  # type: ignore[index]

    def kill(self, how: int = signal.SIGKILL) -> None:
        assert self.process is not None and self.process.stdout is not None
        self.process.send_signal(how)
        self.process.wait(30)
        self.process.stdout.close()
        self.process = None


@pytest.fixture
def serve() -> Iterator[Callable[[Path], Served]]:
    """Serves studies, and stops them at the end."""
    running: list[Served] = []

    def start(study: Path) -> Served:
        running.append(Served(study))
        return running[-1]

    yield start
    for served in running:
        if served.process is not None:
            served.kill(signal.SIGTERM)


@pytest.fixture(scope="module")
def make(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Makes studies by `init`; each call returns a fresh copy of what the same words made before."""
    made: dict[tuple[Any, ...], Path] = {}

    def study(preset: str, *words: str, systems: int = 2, prompts: int = 2, images: Path | None = None) -> Path:
        key = (preset, words, systems, prompts, images)
        if key not in made:
            folder = tmp_path_factory.mktemp(preset)
            samples = write_samples(folder / "samples", systems, prompts, spoiled=preset in ("mushra", "abx"))
            extra: list[str] = []
            if preset in ("gen", "pairs", "mos"):
                extra += ["--prompts", str(write_prompts(folder / "prompts.csv", prompts))]
            if images is not None:
                (folder / "images").mkdir()
                for at, image in enumerate(sorted(images.glob("*.jpg"))[:prompts]):
                    shutil.copy(image, folder / "images" / f"p{at}.jpg")
                extra = ["--images", str(folder / "images")]
            listen("init", str(samples), "--preset", preset, *extra, *words, "--out", str(folder / "study"))
            made[key] = folder / "study"
        copy = tmp_path_factory.mktemp("copy") / "study"
        shutil.copytree(made[key], copy)
        return copy

    return study


class Tables:
    """What `export` writes of a study."""

    def __init__(self, study: Path) -> None:
        self.folder = study.parent / f"tables-{time.monotonic_ns()}"
        listen("export", str(study), "--out", str(self.folder))

    def __getitem__(self, table: str) -> list[dict[str, str]]:
        with (self.folder / f"{table}.csv").open(newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file))


def assert_exported(study: Path, *robots: Robot) -> Tables:
    """Everything the robots answered is in the export, and nothing else is."""
    tables = Tables(study)
    did = [page for robot in robots for page in robot.did]
    ratings = tables["ratings"]
    said = sorted(
        (label, attribute, str(float(score)), str(page.training).lower())
        for page in did
        for (label, attribute), score in page.ratings.items()
    )
    wrote = sorted(
        (row["label"], row["attribute"], str(float(row["score"])), row["training"].lower()) for row in ratings
    )
    assert wrote == said
    assert len({(row["session"], row["page"], row["stimulus_id"], row["attribute"]) for row in ratings}) == len(ratings)
    choices = tables["choices"]
    assert sorted((row["question"], row["choice"]) for row in choices) == sorted(
        pair for page in did for pair in page.choices.items()
    )
    fields = {(row["field"], row["value"]) for row in tables["fields"] if row["value"]}
    assert fields == {(name, str(value)) for page in did for name, value in page.fields.items()}
    pages = tables["pages"]
    assert len(pages) == len(did) == len({(row["session"], row["page"], row["attempt"]) for row in pages})
    assert [row["type"] for row in pages] == [page.type for page in did]
    heard = tables["listening"]
    assert heard and all(
        float(row["seconds_heard"]) > 0 for row in heard if row["page"] not in ("volume", "headphones")
    )
    return tables


def take(watched: Open, url: str, query: str = "", *, seed: int = 0, **ways: bool) -> Robot:
    on = watched()
    refused: list[str] = []
    on.on("response", lambda reply: refused.append(f"{reply.status} {reply.url}") if reply.status >= 400 else None)
    on.goto(url + query)
    robot = Robot(on, seed, **ways)
    assert robot.take_all() == "outcome-complete"
    expect(on.get_by_role("heading", level=1)).to_have_text("Thank you!")
    assert refused == []
    return robot


@pytest.mark.large
@pytest.mark.parametrize("passes", ["between", "within", "same-page"])
def test_gen_with_text(watched: Open, make: Callable[..., Path], serve: Callable[[Path], Served], passes: str) -> None:
    """Five systems, six prompts."""
    study = make("gen", "--passes", passes, "--no-headphones", systems=5, prompts=6)
    served = serve(study)
    robots = [take(watched, served.url, seed=seed) for seed in range(2 if passes == "between" else 1)]
    tables = assert_exported(study, *robots)
    attributes = {row["attribute"] for row in tables["ratings"]}
    assert attributes == {"fidelity", "relevance"}
    if passes == "between":  # least-filled first: one of each
        assert {row["group"] for row in tables["sessions"]} == {"fidelity", "relevance"}
    counted = [page for robot in robots for page in robot.did if page.type == "multi" and not page.training]
    assert len(counted) >= {"between": 12, "within": 12, "same-page": 6}[passes]


@pytest.mark.large
def test_gen_with_images(
    watched: Open, make: Callable[..., Path], serve: Callable[[Path], Served], media: Path
) -> None:
    """Five systems, six real photographs."""
    study = make("gen", "--passes", "relevance", "--no-headphones", systems=5, prompts=6, images=media / "images")
    served = serve(study)
    on = watched()
    on.goto(served.url)
    robot = Robot(on)
    while robot.type != "multi":
        robot.take()
    image = on.locator(".pinned img")
    expect(image).to_be_visible()
    assert image.evaluate("(image) => image.decode().then(() => image.naturalWidth > 50)")
    assert not re.search(r"dog|cat|p\d", f"{image.get_attribute('alt')} {image.get_attribute('src')}")
    robot.take_all()
    assert_exported(study, robot)


@pytest.mark.parametrize(
    ("preset", "words"),
    [
        ("gen", ("--passes", "within", "--no-headphones", "--training", "1", "--replicates", "0")),
        ("mushra", ("--no-headphones", "--incomplete")),
        ("mos", ("--no-headphones",)),
        ("pairs", ("--no-headphones",)),
        ("abx", ("--no-headphones",)),
    ],
)
def test_presets(
    watched: Open, make: Callable[..., Path], serve: Callable[[Path], Served], preset: str, words: tuple[str, ...]
) -> None:
    """A small study of each preset."""
    study = make(preset, *words)
    served = serve(study)
    assert_exported(study, take(watched, served.url))


def test_headphones_reload_kill_and_offline(
    watched: Open, make: Callable[..., Path], serve: Callable[[Path], Served]
) -> None:
    """One participant to whom everything happens."""
    study = make("gen", "--passes", "relevance", "--replicates", "0")
    served = serve(study)
    on = watched()
    on.goto(served.url)
    robot = Robot(on)
    while robot.type != "multi":
        robot.take()
    assert "headphones" in {did.type for did in robot.did}

    # Reload in mid-page: same order, same ratings, same that was heard
    before = robot.view()
    did = robot.answer()
    on.wait_for_timeout(500)
    on.reload()
    on.locator("li.stimulus").first.wait_for()
    after = robot.view()
    assert [each["token"] for each in after["stimuli"]] == [each["token"] for each in before["stimuli"]]
    for index, score in enumerate(did.ratings.values()):
        item = on.locator("li.stimulus").nth(index)
        expect(item.locator("input[type=range]")).to_have_js_property("value", str(int(score)))
        expect(item.locator(".player-heard")).to_be_visible()
    robot.next()
    robot.did.append(did)

    # kill -9 while an answer is on its way
    did = robot.answer()
    served.kill()
    on.evaluate("document.querySelector('article.page').dataset.seen = '1'")
    robot.press(on.locator("button.next"))
    expect(on.get_by_role("status").filter(has_text="1 answer waiting")).to_be_visible()
    served.start()
    on.locator("article.page:not([data-seen])").wait_for(timeout=60_000)
    robot.did.append(did)

    # Network gone in the middle of a page, and for its answer
    view = robot.view()
    on.context.set_offline(True)
    did = robot.answer(view)
    on.evaluate("document.querySelector('article.page').dataset.seen = '1'")
    robot.press(on.locator("button.next"))
    expect(on.get_by_role("status").filter(has_text="1 answer waiting")).to_be_visible()
    on.wait_for_timeout(2000)
    on.context.set_offline(False)
    on.locator("article.page:not([data-seen])").wait_for(timeout=60_000)
    robot.did.append(did)
    assert robot.take_all() == "outcome-complete"
    assert_exported(study, robot)


@pytest.mark.large
def test_a_minute_without_network(watched: Open, make: Callable[..., Path], serve: Callable[[Path], Served]) -> None:
    """60 s, of which 45 s with an answer waiting."""
    study = make("pairs", "--no-headphones")
    served = serve(study)
    on = watched()
    on.goto(served.url)
    robot = Robot(on)
    while robot.type != "pair":
        robot.take()
    view = robot.view()
    on.context.set_offline(True)
    began = time.monotonic()
    on.wait_for_timeout(15_000)
    did = robot.answer(view)
    on.evaluate("document.querySelector('article.page').dataset.seen = '1'")
    robot.press(on.locator("button.next"))
    on.wait_for_timeout(max(0, 60 - (time.monotonic() - began)) * 1000)
    expect(on.get_by_role("status").filter(has_text="1 answer waiting")).to_be_visible()
    on.context.set_offline(False)
    on.locator("article.page:not([data-seen])").wait_for(timeout=60_000)
    robot.did.append(did)
    assert robot.take_all() == "outcome-complete"
    assert_exported(study, robot)


def test_by_keyboard_alone(watched: Open, make: Callable[..., Path], serve: Callable[[Path], Served]) -> None:
    """From consent to thanks without a mouse."""
    study = make("gen", "--passes", "relevance", "--replicates", "0", "--training", "0")
    served = serve(study)
    assert_exported(study, take(watched, served.url, keyboard=True))


@pytest.mark.parametrize("preset", ["mushra", "pairs"])
def test_other_pages_by_keyboard(
    watched: Open, make: Callable[..., Path], serve: Callable[[Path], Served], preset: str
) -> None:
    study = make(preset, "--no-headphones", *(["--incomplete"] if preset == "mushra" else []))
    served = serve(study)
    assert_exported(study, take(watched, served.url, keyboard=True))


def test_two_tabs_and_a_double_click(watched: Open, make: Callable[..., Path], serve: Callable[[Path], Served]) -> None:
    study = make("mos", "--no-headphones")
    served = serve(study)
    first = watched()
    first.goto(served.url)
    robot = Robot(first)
    while robot.type != "single":
        robot.take()
    robot.answer()
    second = watched(beside=first)
    second.goto(served.url)
    expect(second.get_by_role("heading", level=1)).to_have_text("Open in another window")
    second.get_by_role("button", name="Go on here").click()
    other = Robot(second, 1)
    second.locator(".rating-page").wait_for()
    # By script: its next draft may have told it already, and Next is gone then.
    first.evaluate("document.querySelector('button.next').click()")
    expect(first.get_by_role("heading", level=1)).to_have_text("Open in another window")

    did = other.answer()
    second.evaluate("document.querySelector('article.page').dataset.seen = '1'")
    second.locator("button.next").dblclick()
    second.locator("article.page:not([data-seen])").wait_for()
    other.did.append(did)
    assert other.take_all() == "outcome-complete"
    other.did = robot.did + other.did
    assert_exported(study, other)


def test_prolific_s_ids_come_in_and_its_code_goes_out(
    watched: Open, make: Callable[..., Path], serve: Callable[[Path], Served]
) -> None:
    back = "https://app.prolific.com/submissions/complete?cc={code}"
    study = make(
        "mos", "--no-headphones", "--panel", "prolific", "--code", "complete=DONE1", "--code", "technical=TECH1",
        "--return-url", back,
    )  # fmt: skip
    served = serve(study)
    query = "?PROLIFIC_PID=5e123&STUDY_ID=s1&SESSION_ID=t1"
    robot = take(watched, served.url, query)
    on = robot.page
    expect(on.get_by_text("DONE1", exact=True)).to_be_visible()
    link = on.get_by_role("link", name="Return to the panel")
    assert link.get_attribute("href") == back.replace("{code}", "DONE1")
    again = watched()
    again.goto(served.url + query.replace("t1", "t2"))
    expect(again.get_by_role("heading", level=1)).to_have_text("You have already taken part")
    nobody = watched()
    nobody.goto(served.url)
    expect(nobody.get_by_role("heading", level=1)).to_have_text("The address is not complete")
    tables = Tables(study)
    assert "5e123" not in json.dumps(tables["ratings"] + tables["sessions"])


def test_another_device_goes_on_at_the_next_page(
    watched: Open, make: Callable[..., Path], serve: Callable[[Path], Served]
) -> None:
    study = make("mos", "--no-headphones", "--panel", "prolific", "--code", "complete=DONE1")
    served = serve(study)
    query = "?PROLIFIC_PID=p&STUDY_ID=s&SESSION_ID=t"
    first = watched()
    first.goto(served.url + query)
    robot = Robot(first)
    while robot.type != "single":
        robot.take()
    robot.answer()
    first.wait_for_timeout(3500)  # its draft is on the server
    second = watched()
    second.goto(served.url + query)
    second.locator(".rating-page").wait_for()
    other = Robot(second)
    assert other.view()["draft"] is None  # earlier answers are shown to their own cookie alone
    assert other.take_all() == "outcome-complete"
    other.did = robot.did + other.did
    assert_exported(study, other)


def test_the_monitor_shows_it(watched: Open, make: Callable[..., Path], serve: Callable[[Path], Served]) -> None:
    study = make("mos", "--no-headphones")
    served = serve(study)
    owner = watched()
    owner.goto(served.url + "monitor")
    owner.get_by_label("Token").fill("wrong")
    owner.get_by_role("button", name="Log in").click()
    expect(owner.get_by_role("alert")).to_contain_text("wrong")
    owner.goto("about:blank")
    owner.goto(served.monitor)
    expect(owner.get_by_text("Nobody has begun yet.")).to_be_visible()
    assert "#" not in owner.url
    robot = take(watched, served.url)
    robot.page.close()
    complete = owner.locator(".tile").filter(has_text="Complete")
    expect(complete.locator("dd")).to_have_text("1", timeout=15_000)
    trials = [did for did in robot.did if did.type == "single"]
    assert owner.locator("td.heat:not(.plain)").all_inner_texts() == ["1"] * len(trials)
    for scheme in ("light", "dark"):
        owner.emulate_media(color_scheme=scheme)
        assert Axe().run(owner).response["violations"] == []
    owner.get_by_role("button", name="Log out").click()
    expect(owner.get_by_role("heading", name="Log in")).to_be_visible()
