"""What the sound engine renders, sample by sample, against curves computed here.

The engine plays into an OfflineAudioContext that stands still at given frames, where the test presses buttons. Sound A
is on the left, sound B on the right, so that each channel is one sound times its gain and nothing can hide in the sum.
The ideal is numpy's: which sample of which sound, times raised cosines over 5 ms. (One rendering quantum is 128 frames:
the only frames at which a context can stand still.)
"""

from __future__ import annotations

import base64
import struct
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Page

RATES = (16_000, 44_100, 48_000, 96_000)
LEAD_S = 0.02  # whole frames at all of them
TOLERANCE = 1e-6
Step = tuple[int, str, list[Any]]  # at which quantum, method of the trial, arguments

RENDER = """async ({rate, frames, sounds, switching, loop, steps, lead_s, slips}) => {
  const {createEngine} = await import("/engine/engine.js");
  const {Run} = await import("/engine/run.js");
  const curves = await import("/engine/curves.js");
  const context = new OfflineAudioContext(2, frames, rate);
  const engine = createEngine({context, lead_s});
  await engine.load(sounds);
  const trial = engine.trial({tokens: sounds, switching, loop});
  if (slips === "crossfade") {  // the new sound rises while the old one falls: what the standard forbids
    const open = Run.prototype.open;
    Run.prototype.open = function (token, when) {
      open.call(this, token, Math.max(this.at, when - this.fade / this.rate));
    };
    trial.undo = () => { Run.prototype.open = open; };
  }
  if (slips === "bare loop") {
    const turns = Run.prototype.fadeTurns;
    Run.prototype.fadeTurns = function () {};
    trial.undo = () => { Run.prototype.fadeTurns = turns; };
  }
  const late = [];
  const heard = {};
  const take = (moment) => {
    for (const [quantum, method, given] of steps) if (quantum === moment) trial[method](...given);
    if (Math.abs(context.currentTime * rate - moment * 128) > 1e-6) late.push([moment, context.currentTime * rate]);
  };
  for (const quantum of new Set(steps.map((step) => step[0]))) {
    if (quantum === 0) take(0);
    else context.suspend(quantum * 128 / rate).then(() => { take(quantum); context.resume(); });
  }
  const rendered = await context.startRendering();
  trial.undo?.();
  for (const {token} of sounds) heard[token] = {...trial.heard(token), position: trial.position(token)};
  const text = (samples) => {
    const bytes = new Uint8Array(samples.buffer);
    let out = "";
    for (let at = 0; at < bytes.length; at += 8192) out += String.fromCharCode(...bytes.subarray(at, at + 8192));
    return btoa(out);
  };
  const channels = [0, 1].map((channel) => text(rendered.getChannelData(channel)));
  return {channels, late, heard, events: trial.events()};
}"""


def wav(samples: np.ndarray, rate: int) -> bytes:
    """A float WAV file: (channels, frames), -1 to 1, which any decoder gives back bit by bit."""
    data = samples.T.astype("<f4").tobytes()
    channels = samples.shape[0]
    form = struct.pack("<HHIIHH", 3, channels, rate, rate * channels * 4, channels * 4, 32)
    return (
        b"RIFF"
        + struct.pack("<I", 36 + len(data))
        + b"WAVEfmt "
        + struct.pack("<I", 16)
        + form
        + b"data"
        + struct.pack("<I", len(data))
        + data
    )


class Studio:
    """Two sounds served to a page, and its rendering of what is done with them."""

    def __init__(self, page: Page, url: str) -> None:
        self.page = page
        self.files: dict[str, bytes] = {}
        page.route(
            "**/media/*",
            lambda route: route.fulfill(body=self.files[route.request.url.rsplit("/", 1)[1]], content_type="audio/wav"),
        )
        page.route(
            "**/blank",
            lambda route: route.fulfill(body="<!doctype html><title>blank</title>", content_type="text/html"),
        )
        page.goto(f"{url}/blank")

    def render(
        self, a: np.ndarray, b: np.ndarray, rate: int, frames: int, steps: list[Step], *,
        switching: str = "sync", loop: bool = False, slips: str | None = None,
    ) -> tuple[np.ndarray, dict[str, Any]]:  # fmt: skip
        """Two channels (A left, B right) and the trial's book of what was heard."""
        silence = np.zeros(len(a)), np.zeros(len(b))
        self.files = {"A": wav(np.stack([a, silence[0]]), rate), "B": wav(np.stack([silence[1], b]), rate)}
        sounds = [{"token": token, "url": f"/media/{token}"} for token in self.files]
        said = self.page.evaluate(RENDER, {
            "rate": rate, "frames": frames, "sounds": sounds, "switching": switching, "loop": loop,
            "steps": steps, "lead_s": LEAD_S, "slips": slips,
        })  # fmt: skip
        assert said["late"] == [], "the context did not stand still where it should"
        channels = [np.frombuffer(base64.b64decode(channel), dtype="<f4") for channel in said["channels"]]
        return np.stack(channels).astype(np.float64), said


@pytest.fixture
def studio(browser_page: Page, web_url: str) -> Studio:
    return Studio(browser_page, web_url)


def fade_frames(rate: int) -> int:
    return max(1, int(np.floor(0.005 * rate + 0.5)))


def lead(rate: int) -> int:
    return round(LEAD_S * rate)


def gate(frames: int, rate: int, rise: int, fall: int | None = None) -> np.ndarray:
    """A gain that begins its rise at one frame and, if it does, its fall at another."""
    n = fade_frames(rate)
    at = np.arange(frames)
    gain = 0.5 - 0.5 * np.cos(np.pi * np.clip((at - rise) / n, 0, 1))
    if fall is not None:
        gain = gain * (0.5 + 0.5 * np.cos(np.pi * np.clip((at - fall) / n, 0, 1)))
    return gain


def played(sound: np.ndarray, frames: int, start: int, position: int = 0) -> np.ndarray:
    """The sound as it is if it starts at a frame with one of its own frames, and ends at its end."""
    out = np.zeros(frames)
    piece = sound[position : position + max(0, frames - start)]
    out[start : start + len(piece)] = piece
    return out


def noise(rate: int, seconds: float, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-0.9, 0.9, round(rate * seconds)).astype(np.float32).astype(np.float64)


@pytest.mark.parametrize("rate", RATES)
def test_a_switch_on_one_clock_is_5_ms_out_then_5_ms_in(studio: Studio, rate: int) -> None:
    frames = 128 * round(0.9 * rate / 128)
    a, b = noise(rate, 2, 1), noise(rate, 2, 2)
    at = [0, round(0.3 * rate / 128), round(0.6 * rate / 128)]
    out, said = studio.render(
        a, b, rate, frames, [(at[0], "play", ["A"]), (at[1], "play", ["B"]), (at[2], "play", ["A"])]
    )
    start, n = lead(rate), fade_frames(rate)
    first, second = (128 * quantum + start for quantum in at[1:])
    ideal_a = played(a, frames, start) * (gate(frames, rate, start, first) + gate(frames, rate, second + n))
    ideal_b = played(b, frames, start) * gate(frames, rate, first + n, second)
    assert np.abs(out - np.stack([ideal_a, ideal_b])).max() <= TOLERANCE
    assert said["heard"]["B"]["plays"] == 1 and said["heard"]["A"]["plays"] == 2
    assert said["heard"]["B"]["seconds_heard"] == pytest.approx((second - first - n) / rate, abs=1e-3)


@pytest.mark.parametrize("rate", RATES)
def test_old_and_new_never_overlap(studio: Studio, rate: int) -> None:
    frames = 128 * round(0.6 * rate / 128)
    ones = np.ones(rate)
    steps: list[Step] = [(0, "play", ["A"]), (round(0.3 * rate / 128), "play", ["B"])]
    out, _ = studio.render(ones, ones, rate, frames, steps)
    assert out.max() == 1.0 and out.min() == 0.0
    assert (out[0] * out[1] == 0).all()
    assert 0 < np.flatnonzero(out[1])[0] - np.flatnonzero(out[0])[-1] <= 3  # one follows the other at once
    crossfaded, _ = studio.render(ones, ones, rate, frames, steps, slips="crossfade")
    assert (crossfaded[0] * crossfaded[1]).max() > 0.2, "this test cannot see a cross-fade"


@pytest.mark.parametrize("rate", RATES)
def test_start_pause_stop_and_the_end_fade(studio: Studio, rate: int) -> None:
    a, b = noise(rate, 0.5, 3), noise(rate, 0.5, 4)
    frames = 128 * round(1.6 * rate / 128)
    pause, again, stop, last = (round(s * rate / 128) for s in (0.2, 0.35, 0.5, 0.7))
    steps: list[Step] = [
        (0, "play", ["A"]),
        (pause, "pause", []),
        (again, "play", ["A"]),
        (stop, "stop", []),
        (last, "play", ["A"]),
    ]
    out, said = studio.render(a, b, rate, frames, steps)
    start, n = lead(rate), fade_frames(rate)
    p, g, s, z = (128 * quantum + start for quantum in (pause, again, stop, last))
    kept = p + n - start  # the position at which the pause fell silent
    ideal = played(a, frames, start) * gate(frames, rate, start, p)
    ideal += played(a, frames, g, kept) * gate(frames, rate, g, s)
    ideal += played(a, frames, z) * gate(frames, rate, z, z + len(a) - n)
    assert np.abs(out[0] - ideal).max() <= TOLERANCE
    assert np.abs(out[1]).max() == 0
    assert [event[1] for event in said["events"]][:5] == ["play", "pause", "play", "stop", "play"]
    assert said["heard"]["A"]["coverage"] == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("switching", ["sync", "restart"])
def test_a_seek_goes_on_at_the_frame_asked_for(studio: Studio, rate: int, switching: str) -> None:
    frames = 128 * round(0.8 * rate / 128)
    a, b = noise(rate, 2, 5), noise(rate, 2, 6)
    when = round(0.3 * rate / 128)
    out, said = studio.render(a, b, rate, frames, [(0, "play", ["A"]), (when, "seek", [1.2345])], switching=switching)
    start, n = lead(rate), fade_frames(rate)
    fall = 128 * when + start
    ideal = played(a, frames, start) * gate(frames, rate, start, fall)
    ideal += played(a, frames, fall + n, round(1.2345 * rate)) * gate(frames, rate, fall + n)
    assert np.abs(out[0] - ideal).max() <= TOLERANCE
    assert said["heard"]["A"]["seconds_heard"] == pytest.approx((fall - start + frames - fall - n) / rate, abs=1e-3)


@pytest.mark.parametrize("rate", RATES)
def test_loops_turn_on_the_frame_and_fade_at_their_edges(studio: Studio, rate: int) -> None:
    frames = 128 * round(2.6 * rate / 128)
    a, b = noise(rate, 2, 7), noise(rate, 2, 8)
    switch = round(1.5 * rate / 128)
    steps: list[Step] = [(0, "setLoop", [0.2, 0.75]), (0, "play", ["A"]), (switch, "play", ["B"])]
    out, said = studio.render(a, b, rate, frames, steps, loop=True)
    start, n = lead(rate), fade_frames(rate)
    low, high = round(0.2 * rate), round(0.75 * rate)
    place = (np.arange(frames) - start) % (high - low)
    edge = 0.5 - 0.5 * np.cos(np.pi * np.clip(np.minimum(place, high - low - place) / n, 0, 1))
    fall = 128 * switch + start
    ideal = np.stack(
        [a[low + place] * edge * gate(frames, rate, start, fall), b[low + place] * edge * gate(frames, rate, fall + n)]
    )
    assert np.abs(out - ideal).max() <= TOLERANCE
    assert said["heard"]["A"]["seconds_heard"] == pytest.approx(0.55, abs=2e-3)


@pytest.mark.parametrize("rate", RATES)
def test_a_seam_does_not_click(studio: Studio, rate: int) -> None:
    frames = 128 * round(2 * rate / 128)
    wave = 0.8 * np.sin(2 * np.pi * 110 * np.arange(2 * rate) / rate)
    # 0.2 to 0.8127 s: the wave is near its crest at one edge and near its trough at the other.
    steps: list[Step] = [(0, "setLoop", [0.2023, 0.8068]), (0, "play", ["A"])]
    unlooped = np.abs(np.diff(wave)).max()
    fade = 0.8 * np.pi / 2 / fade_frames(rate)  # steepest of the fade itself
    out, _ = studio.render(wave, wave, rate, frames, steps, loop=True)
    assert np.abs(np.diff(out[0])).max() <= unlooped + fade
    bare, _ = studio.render(wave, wave, rate, frames, steps, loop=True, slips="bare loop")
    assert np.abs(np.diff(bare[0])).max() > 5 * (unlooped + fade), "this test cannot see a click"


@pytest.mark.parametrize(
    "asked, given", [([0.3, 0.4], (0.3, 0.8)), ([0.9, 0.95], (0.5, 1.0)), ([0.8, 0.1], (0.1, 0.8))]
)
def test_a_loop_is_half_a_second_at_least(studio: Studio, asked: list[float], given: tuple[float, float]) -> None:
    rate = 48_000
    a = noise(rate, 1, 9)
    frames = 128 * 600
    out, _ = studio.render(a, a, rate, frames, [(0, "setLoop", asked), (0, "play", ["A"])], loop=True)
    start, n = lead(rate), fade_frames(rate)
    low, high = (round(edge * rate) for edge in given)
    place = (np.arange(frames) - start) % (high - low)
    edge = 0.5 - 0.5 * np.cos(np.pi * np.clip(np.minimum(place, high - low - place) / n, 0, 1))
    assert np.abs(out[0] - a[low + place] * edge * gate(frames, rate, start)).max() <= TOLERANCE


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("switching", ["restart", "resume"])
def test_restart_begins_anew_and_resume_goes_on(studio: Studio, rate: int, switching: str) -> None:
    frames = 128 * round(1 * rate / 128)
    a, b = noise(rate, 2, 10), noise(rate, 1.5, 11)  # generated clips are not equally long
    one, two = round(0.3 * rate / 128), round(0.6 * rate / 128)
    steps: list[Step] = [(0, "play", ["A"]), (one, "play", ["B"]), (two, "play", ["A"])]
    out, _ = studio.render(a, b, rate, frames, steps, switching=switching)
    start, n = lead(rate), fade_frames(rate)
    first, second = 128 * one + start, 128 * two + start
    kept = first + n - start if switching == "resume" else 0
    ideal_a = played(a, frames, start) * gate(frames, rate, start, first)
    ideal_a += played(a, frames, second + n, kept) * gate(frames, rate, second + n)
    ideal_b = played(b, frames, first + n) * gate(frames, rate, first + n, second)
    assert np.abs(out - np.stack([ideal_a, ideal_b])).max() <= TOLERANCE


def test_hasty_fingers_do_not_break_the_order_of_fades(studio: Studio) -> None:
    rate, frames = 48_000, 128 * 300
    ones = np.ones(rate)
    steps: list[Step] = [(0, "play", ["A"])]
    steps += [
        (60, method, given)
        for method, given in [
            ("play", ["B"]),
            ("play", ["A"]),
            ("play", ["B"]),
            ("seek", [0.1]),
            ("pause", []),
            ("play", ["B"]),
        ]
    ]
    out, _ = studio.render(ones, ones, rate, frames, steps)
    assert (out[0] * out[1] == 0).all()
    assert np.abs(np.diff(out)).max() <= np.pi / 2 / fade_frames(rate) + 1e-6
    assert out[1, -1] == 1.0


def test_sounds_of_one_clock_must_be_equally_long(studio: Studio) -> None:
    from playwright.sync_api import Error

    with pytest.raises(Error, match="equally long"):
        studio.render(np.ones(48_000), np.ones(47_999), 48_000, 1280, [])
