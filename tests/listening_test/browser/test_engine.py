"""The sound engine's parts: pure functions evaluated in a page, loading, and the real AudioContext without a device."""

from __future__ import annotations

import importlib.util
import io
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import soundfile

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

_spec = importlib.util.spec_from_file_location("rating_stage", Path(__file__).with_name("stage.py"))
assert _spec is not None and _spec.loader is not None
stage = sys.modules.setdefault("rating_stage", importlib.util.module_from_spec(_spec))
_spec.loader.exec_module(stage)


@pytest.fixture
def studio(browser_page: Page, web_url: str) -> Any:
    one = stage.Stage(browser_page, web_url)
    one.open()
    return one


# Pure functions


@pytest.mark.parametrize("rate", [8_000, 16_000, 44_100, 48_000, 96_000, 192_000])
def test_fades_are_raised_cosines_over_5_ms(blank: Page, rate: int) -> None:
    frames, rise, fall = blank.evaluate(
        """async (rate) => {
          const {fadeFrames, fadeIn, fadeOut} = await import("/engine/curves.js");
          const frames = fadeFrames(rate);
          return [frames, [...fadeIn(frames)], [...fadeOut(frames)]];
        }""",
        rate,
    )
    assert frames == pytest.approx(0.005 * rate, abs=0.5)
    ideal = np.sin(np.linspace(0, np.pi / 2, frames + 1)) ** 2
    np.testing.assert_allclose(rise, ideal, atol=1e-7)
    np.testing.assert_allclose(fall, ideal[::-1], atol=1e-7)
    assert rise[0] == fall[-1] == 0 and rise[-1] == fall[0] == 1


def test_heard_stretches_are_counted_once(blank: Page) -> None:
    draw = np.random.default_rng(1)
    cases = [np.sort(draw.integers(0, 1000, (draw.integers(0, 30), 2)), axis=1) / 100 for _ in range(200)]
    totals = blank.evaluate(
        """async (cases) => {
          const {merge, seconds} = await import("/engine/coverage.js");
          return cases.map((spans) => seconds(merge(spans)));
        }""",
        [case.tolist() for case in cases],
    )
    grid = (np.arange(1000) + 0.5) / 100
    for case, total in zip(cases, totals, strict=True):
        heard = ((case[:, :1] < grid) & (grid < case[:, 1:])).any(axis=0).sum() / 100 if len(case) else 0
        assert total == pytest.approx(heard, abs=1e-9)


def test_where_a_path_leads_and_what_it_passes(blank: Page) -> None:
    draw = np.random.default_rng(2)
    duration = 4.0
    cases = []
    for _ in range(200):
        low = draw.integers(0, 300) / 100
        region = [low, low + draw.integers(50, 100) / 100] if draw.random() < 0.7 else None
        cases.append((draw.integers(0, 400) / 100 + 0.005, region, *np.sort(draw.integers(0, 900, 2) / 100)))
    results = blank.evaluate(
        """async (cases) => {
          const {pathFrom, positionAfter, spansBetween} = await import("/engine/region.js");
          const {merge, seconds} = await import("/engine/coverage.js");
          return cases.map(([position, region, from, to]) => {
            const path = pathFrom(position, 4, region);
            return [path.position, positionAfter(path, to), seconds(merge(spansBetween(path, from, to)))];
          });
        }""",
        [[position, region, float(a), float(b)] for position, region, a, b in cases],
    )
    step = 0.01
    for (position, region, begin, end), (start, after, passed) in zip(cases, results, strict=True):
        low, high = region or (0, duration)
        here = position if low <= position < high else low
        assert start == pytest.approx(here)
        places = set()  # walk there, a hundredth of a second at a time
        for index in range(round(end / step)):
            if index >= round(begin / step) and here < duration - step / 4:
                places.add(round(2 * here / step) // 2)
            here = min(here + step, duration)
            if region and here >= high - 1e-9:
                here -= high - low
        assert after == pytest.approx(here, abs=1e-6) or (region and abs(abs(after - here) - (high - low)) < 1e-6)
        assert passed == pytest.approx(len(places) * step, abs=2 * step)


def test_transitions_never_touch(blank: Page) -> None:
    draw = np.random.default_rng(3)
    times = np.cumsum(draw.exponential(0.008, 500)).tolist()
    for rate in (16_000, 44_100, 48_000):
        moments = blank.evaluate(
            """async ([times, rate]) => {
              const {nextTransition} = await import("/engine/moments.js");
              let free = 0;
              return times.map((now) => {
                const moment = nextTransition(now, free, 0.015, rate, Math.round(rate * 0.005));
                free = moment.done;
                return [moment.out, moment.silent, moment.done];
              });
            }""",
            [times, rate],
        )
        frames = np.array(moments) * rate
        np.testing.assert_allclose(frames, np.round(frames), atol=1e-5)
        np.testing.assert_allclose(np.diff(frames, axis=1), np.floor(rate * 0.005 + 0.5), atol=1e-5)
        assert (frames[1:, 0] >= frames[:-1, 2] + 1 - 1e-5).all()
        assert (frames[:, 0] >= (np.array(times) + 0.015) * rate - 0.01).all()


def test_the_event_log_forgets_the_oldest_and_says_so(blank: Page) -> None:
    kept, short = blank.evaluate(
        """async () => {
          const {EventLog} = await import("/engine/events.js");
          let ms = 0;
          const log = new EventLog(() => ms++);
          for (let index = 0; index < 5000; index += 1) log.add("move", "token", index);
          const again = new EventLog(() => ms++);
          again.restore(log.list(300));
          again.add("play", "token", 0.123456789);
          return [log.list(), again.list()];
        }"""
    )
    assert len(kept) == 2000
    assert kept[0][1:] == ["dropped", None, 3001] and [event[3] for event in kept[1:]] == list(range(3001, 5000))
    assert len(short) == 301 and short[0][1:] == ["dropped", None, 4701] and short[-1][1:] == ["play", "token", 0.1235]


@pytest.mark.parametrize(
    ("kind", "rate", "channels"), [("FLAC", 48_000, 2), ("FLAC", 96_000, 6), ("WAV", 16_000, 1), ("WAV", 44_100, 2)]
)
def test_rate_and_channels_are_read_from_the_file(blank: Page, kind: str, rate: int, channels: int) -> None:
    file = io.BytesIO()
    soundfile.write(file, np.zeros((100, channels)), rate, format=kind)
    sniff = """async (bytes) => (await import("/engine/sniff.js")).soundHeader(new Uint8Array(bytes).buffer)"""
    assert blank.evaluate(sniff, list(file.getvalue())) == {"rate_hz": rate, "channels": channels}
    assert blank.evaluate(sniff, list(b"ID3 or anything else")) is None
    assert blank.evaluate(sniff, list(file.getvalue()[:10])) is None


# Loading: `fetch` is the test's, so that what is asked when is known without a network

LOADER = """async (act) => {
  const {createEngine} = await import("/engine/engine.js");
  const context = new OfflineAudioContext(1, 1, 8000);
  const log = {asked: [], most: 0, now: 0, waits: []};
  const wav = new Uint8Array(44 + 2 * 800);
  const view = new DataView(wav.buffer);
  const put = (at, text) => [...text].forEach((letter, index) => { wav[at + index] = letter.charCodeAt(0); });
  put(0, "RIFF"); view.setUint32(4, 36 + 1600, true); put(8, "WAVEfmt "); view.setUint32(16, 16, true);
  view.setUint16(20, 1, true); view.setUint16(22, 1, true); view.setUint32(24, 8000, true);
  view.setUint32(28, 16000, true); view.setUint16(32, 2, true); view.setUint16(34, 16, true);
  put(36, "data"); view.setUint32(40, 1600, true);
  const answers = {};  // url -> list of statuses before it is there; "stall": never
  const fake = async (url, {signal}) => {
    log.asked.push(url);
    log.now += 1;
    log.most = Math.max(log.most, log.now);
    try {
      const status = (answers[url] ?? []).shift() ?? 200;
      if (status === "stall") {
        return await new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason)));
      }
      await new Promise((resolve) => setTimeout(resolve, 3));
      if (status === "down") throw new TypeError("Failed to fetch");
      if (status === "image") return new Response("jpeg", {headers: {"Content-Type": "image/jpeg"}});
      if (status !== 200) return new Response("{}", {status, headers: {"Retry-After": "2"}});
      return new Response(wav, {headers: {"Content-Type": "audio/wav", "Content-Length": String(wav.length)}});
    } finally {
      log.now -= 1;
    }
  };
  const sleep = async (ms) => { log.waits.push(Math.round(ms)); };
  const engine = createEngine({context, fetch: fake, sleep, random: () => 0, stall_ms: 60});
  const sounds = (...urls) => urls.map((url) => ({token: url, url}));
  const fails = (promise) => promise.then(() => null, ({name, failed}) => ({name, failed: failed ?? null}));
  const body = `return (async () => { ${act} })()`;
  return await new Function("engine", "answers", "log", "sounds", "fails", body)(engine, answers, log, sounds, fails);
}"""


def test_four_at_a_time_each_once(blank: Page) -> None:
    log, progress = blank.evaluate(
        LOADER,
        """const progress = [];
        const page = sounds(..."abcdefghij");
        const first = engine.load(page, {onProgress: (share) => progress.push(share)});
        engine.preload([..."fghklm"]);
        await first;
        await engine.load(page);
        return [log, progress];""",
    )
    assert log["most"] == 4
    assert sorted(set(log["asked"])) == sorted(log["asked"])
    assert log["asked"][:10] == list("abcdefghij"), "this page's come before the next one's"
    assert progress[0] == 0 and progress[-1] == 1 and progress == sorted(progress)


def test_only_this_page_and_the_next_are_kept(blank: Page) -> None:
    first, second, third, asked = blank.evaluate(
        LOADER,
        """await engine.load(sounds("a", "b"));
        engine.preload(["c", "d"]);
        await engine.load(sounds("a", "b"));
        await new Promise((resolve) => setTimeout(resolve, 50));
        const first = engine.loader.held();
        await engine.load(sounds("c", "d"));
        const second = engine.loader.held();
        engine.preload(["e"]);
        await new Promise((resolve) => setTimeout(resolve, 50));
        return [first, second, engine.loader.held(), log.asked];""",
    )
    one = 4 * 800
    assert first == {"urls": ["a", "b", "c", "d"], "bytes": 4 * one}
    assert second == {"urls": ["c", "d"], "bytes": 2 * one}
    assert third == {"urls": ["c", "d", "e"], "bytes": 3 * one}
    assert asked == ["a", "b", "c", "d", "e"]


def test_what_fails_is_tried_three_times_more_ever_later(blank: Page) -> None:
    log, good, bad = blank.evaluate(
        LOADER,
        """answers.a = [503, "down", 500];
        const good = await fails(engine.load(sounds("a", "b")));
        answers.c = ["down", "down", "down", "down"];
        answers.d = [404];
        const bad = await fails(engine.load(sounds("b", "c", "d")));
        return [log, good, bad];""",
    )
    assert good is None
    assert log["asked"].count("a") == 4
    assert log["waits"][:3] == [2000, 1000, 2000], "Retry-After holds; later each time"
    assert log["asked"].count("c") == 4 and log["asked"].count("d") == 1, "what is not there is not asked for again"
    assert bad["name"] == "LoadError"
    assert [(one["token"], one["reason"]) for one in bad["failed"]] == [
        ("c", "TypeError: Failed to fetch"),
        ("d", "Error: HTTP 404"),
    ]


def test_a_failure_can_be_tried_again_and_the_rest_is_not_fetched_twice(blank: Page) -> None:
    asked, held = blank.evaluate(
        LOADER,
        """answers.b = [404];
        await fails(engine.load(sounds("a", "b")));
        await engine.load(sounds("a", "b"));
        return [log.asked, engine.loader.held().urls];""",
    )
    assert asked == ["a", "b", "b"] and held == ["a", "b"]


def test_a_stalled_request_is_given_up_and_tried_again(blank: Page) -> None:
    log, outcome = blank.evaluate(
        LOADER,
        """answers.a = ["stall"]; const outcome = await fails(engine.load(sounds("a"))); return [log, outcome];""",
    )
    assert outcome is None and log["asked"] == ["a", "a"]


def test_leaving_the_page_ends_its_loading(blank: Page) -> None:
    outcome, asked = blank.evaluate(
        LOADER,
        """const leave = new AbortController();
        answers.a = ["stall"];
        const outcome = fails(engine.load(sounds("a"), {signal: leave.signal}));
        leave.abort();
        await engine.load(sounds("b"));
        return [await outcome, log.asked];""",
    )
    assert outcome["name"] == "AbortError" and asked == ["a", "b"]


def test_a_picture_of_the_next_page_is_fetched_and_not_decoded(blank: Page) -> None:
    held, outcome = blank.evaluate(
        LOADER,
        """answers.p = ["image"];
        engine.preload(["p", "a"]);
        await engine.load(sounds("a"));
        await new Promise((resolve) => setTimeout(resolve, 30));
        return [engine.loader.held(), await fails(engine.load(sounds("a", "p")))];""",
    )
    assert held == {"urls": ["p", "a"], "bytes": 3200}
    assert outcome["failed"][0]["reason"] == "not a sound"


# The browser's own AudioContext, which runs without a device


@pytest.mark.parametrize("rate", [16_000, 44_100, 48_000, 96_000])
def test_the_context_runs_at_the_rate_of_the_files(studio: Any, rate: int) -> None:
    sound = studio.sound("one", stage.tone(0.5, rate=rate), rate)
    events, effective = studio.page.evaluate(
        """async (sound) => {
          const {createEngine} = await import("/engine/engine.js");
          const engine = createEngine();
          const events = [];
          engine.on((event) => events.push(event.kind));
          await engine.load([sound]);
          return [events, engine.rate];
        }""",
        sound,
    )
    assert effective == rate and "resampled" not in events


def test_what_the_browser_refuses_or_the_device_lacks_is_told(studio: Any) -> None:
    odd = studio.sound("odd", stage.tone(0.5, rate=2_000), 2_000)
    many = studio.sound("many", np.zeros((34, 4_800)))
    told = studio.page.evaluate(
        """async ([odd, many]) => {
          const {createEngine} = await import("/engine/engine.js");
          const told = [];
          for (const sound of [odd, many]) {
            const engine = createEngine();
            engine.on((event) => event.kind !== "state" && told.push([event, engine.rate]));
            await engine.load([sound]).catch((error) => told.push(String(error)));
          }
          return told;
        }""",
        [odd, many],
    )
    (resampled, effective), *rest = told
    assert resampled == {"kind": "resampled", "file_hz": 2_000, "effective_hz": effective} and effective > 2_000
    assert rest, "34 channels go by without a word"


def test_heard_seconds_follow_the_audio_clock(studio: Any) -> None:
    sounds = [studio.sound(name, stage.tone(3)) for name in "AB"]
    told = studio.page.evaluate(
        """async (sounds) => {
          const {createEngine} = await import("/engine/engine.js");
          const engine = createEngine();
          await engine.load(sounds);
          await engine.unlock();
          const trial = engine.trial({tokens: sounds, switching: "sync", loop: false});
          const clock = () => engine.context.currentTime;
          const until = async (time) => {
            while (clock() < time) await new Promise((resolve) => setTimeout(resolve, 5));
          };
          const began = clock();
          trial.play("A");
          await until(began + 0.6);
          const switched = clock();
          trial.play("B");
          await until(switched + 0.4);
          const paused = clock();
          trial.pause();
          await until(paused + 0.3);
          const heard = {heardA: trial.heard("A"), heardB: trial.heard("B"), playing: trial.playing};
          const first = {a: switched - began, b: paused - switched, ...heard};
          trial.seek(0);
          trial.play("A");  // the same second again
          await until(clock() + 0.3);
          trial.stop();
          const twice = trial.heard("A");
          const short = {listened: trial.saved().listened, regions: {}, events: trial.events()};
          const again = engine.trial({tokens: sounds, switching: "sync", loop: false, saved: short});
          const {state} = engine;
          return {...first, twice, restored: again.heard("A"), events: again.events(), state, report: engine.report()};
        }""",
        sounds,
    )
    assert told["state"] == "running" and told["playing"] is None
    assert told["heardA"]["seconds_heard"] == pytest.approx(told["a"], abs=0.05)
    assert told["heardB"]["seconds_heard"] == pytest.approx(told["b"], abs=0.05)
    assert told["heardB"]["coverage"] == pytest.approx(told["heardB"]["seconds_heard"] / 3, abs=1e-6)
    assert told["twice"]["plays"] == 2
    assert told["twice"]["seconds_heard"] == pytest.approx(told["heardA"]["seconds_heard"], abs=0.01)
    assert told["restored"] == told["twice"]
    assert [event[1] for event in told["events"]][:3] == ["play", "play", "pause"]
    assert told["report"]["rate_hz"] == 48_000 and told["report"]["gain"] == 1


def test_an_interruption_stops_the_clock_and_is_told(studio: Any) -> None:
    sounds = [studio.sound("A", stage.tone(5))]
    told = studio.page.evaluate(
        """async (sounds) => {
          const {createEngine} = await import("/engine/engine.js");
          const engine = createEngine();
          const states = [];
          engine.on((event) => event.kind === "state" && states.push(engine.state));
          await engine.load(sounds);
          await engine.unlock();
          const trial = engine.trial({tokens: sounds, switching: "restart", loop: false});
          const wait = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
          trial.play("A");
          await wait(300);
          await engine.context.suspend();  // as a telephone call does
          await wait(50);
          const stopped = trial.position("A");
          await wait(300);
          const still = trial.position("A");
          const heard = trial.heard("A").seconds_heard;
          await engine.unlock();
          while (trial.position("A") < still + 0.1) await wait(10);
          return {states, stopped, still, heard, playing: trial.playing};
        }""",
        sounds,
    )
    assert told["states"][-2:] == ["interrupted", "running"]
    assert told["still"] == told["stopped"] and told["heard"] == pytest.approx(told["still"], abs=0.05)
    assert told["playing"] == "A"


UNLOCK = """
await stage.mount(%s, "en", {});
const player = document.querySelector(".stimulus .player");
const wait = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
while (player.disabled) await wait(10);
const {x, y} = player.getBoundingClientRect();
console.log("before", stage.engine.state, x + 10, y + 10);
while (stage.mounted.answer().listening[0].seconds_heard < 0.1) await wait(10);
console.log("after", stage.engine.state);
"""


def test_sound_starts_with_the_first_click(browser: Browser, chromium: str, web_url: str) -> None:
    # What browsers ship with; "user-gesture-required" leaves Web Audio alone outside of foreign frames.
    policy = "--autoplay-policy=document-user-activation-required"
    strict = browser.browser_type.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu", policy])
    page = strict.new_page()
    one = stage.Stage(page, web_url)
    view = json.dumps(one.view("multi", 2))
    # Playwright's evaluate counts as a gesture, so the page drives itself and tells by its console.
    with page.expect_console_message(lambda message: message.text.startswith("before")) as before:
        one.open(stage.SCRIPT + UNLOCK % view, wait=False)
    _, state, x, y = before.value.text.split()
    assert state == "locked"
    with page.expect_console_message(lambda message: message.text.startswith("after")) as after:
        page.mouse.click(float(x), float(y))
    assert after.value.text == "after running"
    strict.close()
