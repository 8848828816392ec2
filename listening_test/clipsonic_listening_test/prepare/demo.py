"""The demonstration: six prompts with drawn pictures, sounds of sines and noise, four "systems" that spoil them.

    faithful   the sound as it was meant        muffled    what is left below 1.2 kHz
    noisy      with noise 12 dB below           mixed-up   the sounds of other prompts

Everything is drawn and computed here, from one seed, in a second or two; the study is then made of the folder in the
very way of any other.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from pathlib import Path
from typing import Final

import numpy as np
import soundfile
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from clipsonic_listening_test.atomic import write_whole

RATE_HZ: Final = 32_000
SECONDS: Final = 3.0
_SIZE: Final = 480

Samples = NDArray[np.float64]
Sound = Callable[[Samples, np.random.Generator], Samples]
Picture = Callable[[ImageDraw.ImageDraw], None]


def write_demo(folder: Path, seed: int = 0) -> None:
    """Write the demonstration's samples: `sounds/<system>/<prompt>.wav`, `images/<prompt>.png`, `prompts.csv`."""
    rng = np.random.default_rng(seed)
    time = np.arange(round(RATE_HZ * SECONDS)) / RATE_HZ
    sounds = {id: _at_peak(make(time, rng)) for id, (_, make, _) in PROMPTS.items()}
    ids = list(PROMPTS)
    for at, id in enumerate(ids):
        noise = rng.standard_normal(len(time)) * np.std(sounds[id]) * 10 ** (-12 / 20)
        versions = {
            "faithful": sounds[id],
            "muffled": _below(sounds[id], 1200.0),
            "noisy": sounds[id] + noise,
            "mixed-up": sounds[ids[(at + 2) % len(ids)]],
        }
        for system, samples in versions.items():
            _write_sound(folder / "sounds" / system / f"{id}.wav", _at_peak(samples))
        _write_picture(folder / "images" / f"{id}.png", PROMPTS[id][2])
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerows([("id", "caption"), *((id, caption) for id, (caption, _, _) in PROMPTS.items())])
    write_whole(folder / "prompts.csv", table.getvalue().encode())


def _bell(time: Samples, rng: np.random.Generator) -> Samples:
    partials = ((1.0, 1.0), (2.76, 0.6), (5.4, 0.35), (8.93, 0.2))
    strikes = [0.0, 1.1, 2.2]
    sound = np.zeros_like(time)
    for start in strikes:
        after = np.maximum(time - start, 0)
        on = time >= start
        for ratio, level in partials:
            sound += on * level * np.exp(-after * (1.2 + ratio)) * np.sin(2 * np.pi * 420 * ratio * after)
    return sound


def _bird(time: Samples, rng: np.random.Generator) -> Samples:
    sound = np.zeros_like(time)
    for start in np.arange(0.15, SECONDS - 0.25, 0.38):
        after = time - start
        length = 0.16 + 0.06 * rng.random()
        inside = (after >= 0) & (after < length)
        sweep = 2600 + 900 * rng.random() + 1400 * np.sin(np.pi * after / length)
        sound += inside * np.sin(np.pi * np.clip(after / length, 0, 1)) * np.sin(2 * np.pi * np.cumsum(sweep) / RATE_HZ)
    return sound


def _rain(time: Samples, rng: np.random.Generator) -> Samples:
    drops = np.zeros_like(time)
    for at in rng.integers(0, len(time) - 400, 260):
        length = 300
        drops[at : at + length] += rng.standard_normal(length) * np.exp(-np.arange(length) / 40) * rng.uniform(0.3, 1.0)
    return 0.15 * rng.standard_normal(len(time)) + drops


def _siren(time: Samples, rng: np.random.Generator) -> Samples:
    pitch = 750 + 300 * np.sin(2 * np.pi * 0.7 * time)
    phase = 2 * np.pi * np.cumsum(pitch) / RATE_HZ
    return np.asarray(np.sin(phase) + 0.4 * np.sin(2 * phase) + 0.2 * np.sin(3 * phase))


def _engine(time: Samples, rng: np.random.Generator) -> Samples:
    phase = 2 * np.pi * np.cumsum(32 + 3 * np.sin(2 * np.pi * 0.4 * time)) / RATE_HZ
    pulses = sum(np.sin(k * phase + k) / k**0.7 for k in range(1, 24))
    return np.asarray(pulses + 0.3 * rng.standard_normal(len(time)) * (1 + np.sin(phase)))


def _waves(time: Samples, rng: np.random.Generator) -> Samples:
    swell = 0.08 + np.sin(np.pi * ((time / 1.5) % 1.0)) ** 3
    return np.asarray(_below(rng.standard_normal(len(time)), 5000.0) * swell)


def _draw_bell(draw: ImageDraw.ImageDraw) -> None:
    draw.pieslice((120, 90, 360, 470), 180, 360, fill="#c9982e")
    draw.rectangle((95, 275, 385, 310), fill="#a87a1d")
    draw.ellipse((210, 300, 270, 360), fill="#7d5a12")


def _draw_bird(draw: ImageDraw.ImageDraw) -> None:
    draw.ellipse((130, 190, 330, 330), fill="#4b7fb5")
    draw.ellipse((280, 130, 370, 220), fill="#4b7fb5")
    draw.polygon([(362, 165), (420, 180), (362, 195)], fill="#e0a030")
    draw.polygon([(60, 220), (150, 240), (140, 290)], fill="#396394")
    draw.ellipse((325, 158, 340, 173), fill="#101820")


def _draw_rain(draw: ImageDraw.ImageDraw) -> None:
    for box in ((90, 90, 250, 210), (180, 60, 330, 210), (270, 100, 400, 210)):
        draw.ellipse(box, fill="#8b98a5")
    for x in range(110, 390, 40):
        draw.line((x, 240, x - 20, 310), fill="#3f78b8", width=8)
        draw.line((x + 10, 330, x - 10, 400), fill="#3f78b8", width=8)


def _draw_siren(draw: ImageDraw.ImageDraw) -> None:
    draw.rectangle((110, 330, 370, 380), fill="#4a4f57")
    draw.pieslice((150, 150, 330, 510), 180, 360, fill="#c8372d")
    for end in ((60, 200), (110, 90), (240, 40), (370, 90), (420, 200)):
        draw.line((240, 250, *end), fill="#e8c24a", width=10)


def _draw_engine(draw: ImageDraw.ImageDraw) -> None:
    draw.rounded_rectangle((60, 220, 420, 320), 30, fill="#3f8f5f")
    draw.polygon([(130, 220), (180, 140), (300, 140), (360, 220)], fill="#8fb8d8")
    for x in (140, 340):
        draw.ellipse((x - 45, 280, x + 45, 370), fill="#22262b")
        draw.ellipse((x - 18, 307, x + 18, 343), fill="#b8bec5")


def _draw_waves(draw: ImageDraw.ImageDraw) -> None:
    for row, colour in enumerate(("#7fb2dd", "#4f8fc4", "#2f6ca3")):
        top = 190 + 80 * row
        draw.rectangle((0, top + 40, _SIZE, _SIZE), fill=colour)
        for x in range(-80 + 40 * row, _SIZE, 120):
            draw.pieslice((x, top, x + 120, top + 90), 180, 360, fill=colour)


PROMPTS: Final[dict[str, tuple[str, Sound, Picture]]] = {
    "bell": ("a bell is struck three times", _bell, _draw_bell),
    "bird": ("a small bird chirps", _bird, _draw_bird),
    "rain": ("rain falls on leaves", _rain, _draw_rain),
    "siren": ("a siren wails", _siren, _draw_siren),
    "engine": ("the engine of a car idles", _engine, _draw_engine),
    "waves": ("waves roll onto a beach", _waves, _draw_waves),
}


def _below(samples: Samples, edge_hz: float) -> Samples:
    spectrum = np.fft.rfft(samples)
    frequencies = np.fft.rfftfreq(len(samples), 1 / RATE_HZ)
    return np.asarray(np.fft.irfft(spectrum / (1 + (frequencies / edge_hz) ** 8), len(samples)))


def _at_peak(samples: Samples) -> Samples:
    ramp = np.clip(np.minimum(np.arange(len(samples)), np.arange(len(samples))[::-1]) / (0.02 * RATE_HZ), 0, 1)
    faded = samples * ramp
    return np.asarray(0.5 * faded / np.max(np.abs(faded)))


def _write_sound(path: Path, samples: Samples) -> None:
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, RATE_HZ, format="WAV", subtype="PCM_16")
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, buffer.getvalue())


def _write_picture(path: Path, draw: Picture) -> None:
    picture = Image.new("RGB", (_SIZE, _SIZE), "#f4f1ea")
    draw(ImageDraw.Draw(picture))
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, buffer.getvalue())
