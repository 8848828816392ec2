"""How an embedder hears: everything between a sound and the rows of samples that its network takes.

In this order

    channels    averaged ("mean"), the first alone ("first"), two, a mono sound twice ("stereo"; more are refused), or
                the average twice ("mean-twice")
    rate        converted to `rate_hz` by `resampler` (resampling.py); before that, "no-dc" takes off the mean
    first       what comes after that many samples is not heard
    level       as it is; its peak at -1 dB ("peak-1dB"); or divided by its largest sample, by a tenth of a step of 16
                bits at least ("google-peak-int16": the largest, not the largest absolute, as the tool of Kilgour et
                al. 2019 does, whose samples are integers: its floor of 0.1 only keeps silence from a division by 0)
    quantise    float; rounded to steps of 2^-15 and clipped ("int16"); cut off to steps of 1/32767 and clipped, as
                LAION's CLAP was trained ("int16-laion"); or the one and then the other ("int16-then-laion")
    short       a sound shorter than `at_least` is repeated to fill it, filled with zeros, repeated as a whole as often
                as it fits and then filled with zeros ("repeat-zero"), or refused
    windows     of `window` samples from every multiple of `hop`, as long as they are full
    tail        what no full window covers at the end: left out ("drop"); one more window, filled with zeros ("zero");
                one more window, repeated to fill it, if what is left is at least half a hop, else left out ("half");
                or a window from every multiple of `hop` within the sound, filled with zeros ("zero-every-hop"; zeros
                that a short sound was filled with are not of the sound)

A window of None is the whole sound, as one row of its own length.

Nothing is drawn at random, and no sound is left out without a word: one that has no window is refused.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from clipsonic_metrics.errors import MetricsError
from clipsonic_metrics.resampling import Resampler, resample
from clipsonic_metrics.sound import SILENCE_PEAK, MonoRule, Samples, Sound

Channels = Literal["mean", "first", "stereo", "mean-twice"]
Level = Literal["as-is", "no-dc", "peak-1dB", "google-peak-int16"]
Quantise = Literal["float", "int16", "int16-laion", "int16-then-laion"]
Short = Literal["repeat", "zero", "repeat-zero", "refuse"]
Tail = Literal["drop", "zero", "half", "zero-every-hop"]
_GOOGLES_FLOOR: Final = 0.1 / 32768


@dataclass(frozen=True, kw_only=True)
class Listening:
    """Lengths (`window`, `hop`, `at_least`, `first`) are in samples at `rate_hz`.

    Left out, `hop` is the window and `at_least` too. `kept` is the precision that embeddings are rounded to, and
    `profile` the name of the peer's protocol that this is a part of; both, like all the rest, are in `describe`.
    """

    rate_hz: int
    window: int | None
    hop: int = 0
    tail: Tail = "half"
    short: Short = "repeat"
    at_least: int = 0
    first: int | None = None
    mono: Channels = "mean"
    resampler: Resampler = "soxr-hq"
    level: Level = "as-is"
    quantise: Quantise = "float"
    kept: Literal["float32", "float16"] = "float32"
    profile: str = ""

    def __post_init__(self) -> None:
        if self.window is not None and not self.hop:
            object.__setattr__(self, "hop", self.window)
        if not self.at_least:
            object.__setattr__(self, "at_least", self.window or 1)
        cuts = self.window is None or (0 < self.hop <= self.window <= self.at_least)
        if self.rate_hz < 1 or not cuts or self.at_least < 1 or (self.first is not None and self.first < 1):
            raise ValueError(f"no way of listening: {self} (0 < hop <= window <= at_least is expected)")

    @property
    def sides(self) -> int:
        """How many channels a row has: 1, rows being (window,), or 2."""
        return 2 if self.mono in ("stereo", "mean-twice") else 1

    def describe(self) -> str:
        """All of it in one line, which is part of every protocol id."""
        parts = [f"{self.rate_hz}Hz"]
        if self.window is None:
            parts += ["whole", f"{self.short}-pad-{self._length(self.at_least)}"]
        else:
            parts += [f"{self._length(self.window)}-hop{self._length(self.hop)}", f"{self.short}-pad-tail-{self.tail}"]
            parts += [f"pad-to-{self._length(self.at_least)}"] if self.at_least != self.window else []
        parts += [self.mono if self.mono == "stereo" else f"mono-{self.mono}", self.resampler]
        parts += [f"first-{self._length(self.first)}"] if self.first is not None else []
        parts += [f"level-{self.level}"] if self.level != "as-is" else []
        parts += [self.quantise] if self.quantise != "float" else []
        parts += [f"kept-{self.kept}"] if self.kept != "float32" else []
        parts += [f"profile-{self.profile}"] if self.profile else []
        return "/".join(parts)

    def windows(self, sound: Sound) -> Samples:
        """The rows that a sound becomes: (windows, window) float32, or (windows, 2, window) of two sides; at least one.

        Windows that overlap share memory: copy before writing.

        Raises:
            MetricsError: the sound is empty, is too short where that is refused, has more than two channels where two
                are heard, or is silent where its peak is to be set.
        """
        samples = self._heard(sound)
        heard = samples.shape[-1]
        if heard < self.at_least:
            samples = self._filled(samples, sound)
        if self.window is None:
            return samples[None]
        time = samples.shape[-1]
        count = self._count(time, heard if self.short == "zero" else time, self.window)
        missing = (count - 1) * self.hop + self.window - time
        if missing > 0:
            rest = samples[..., (count - 1) * self.hop :]
            more = _repeated(rest, self.window)[..., -missing:] if self.tail == "half" else _zeros(samples, missing)
            samples = np.concatenate([samples, more], axis=-1)
        cut = sliding_window_view(samples, self.window, axis=-1)[..., :: self.hop, :][..., :count, :]
        return np.moveaxis(cut, -2, 0)

    def _heard(self, sound: Sound) -> Samples:
        samples = self._channels(sound)
        if samples.shape[-1] == 0:
            raise MetricsError(f"{sound.id} holds no samples; it cannot be embedded")
        return _quantised(_levelled(samples[..., : self.first], self.level, sound), self.quantise)

    def _channels(self, sound: Sound) -> Samples:
        if self.mono != "stereo":
            rule: MonoRule = "first" if self.mono == "first" else "mean"
            if self.level == "no-dc":
                one = self._converted(sound.mono(rule), sound)
            else:
                one = sound.resampled(self.rate_hz, self.resampler, rule)  # kept, for other embedders of this rate
            return one if self.sides == 1 else np.stack([one, one])
        if len(sound.channels) > 2:
            raise MetricsError(f"{sound.id} has {len(sound.channels)} channels; one or two are expected")
        sides = [self._converted(side, sound) for side in sound.channels]
        return np.stack([sides[0], sides[-1]])

    def _converted(self, samples: Samples, sound: Sound) -> Samples:
        if self.level == "no-dc" and len(samples):
            samples = samples - samples.mean(dtype=np.float64).astype(np.float32)
        return resample(samples, sound.rate_hz, self.rate_hz, self.resampler)

    def _filled(self, samples: Samples, sound: Sound) -> Samples:
        time = samples.shape[-1]
        if self.short == "refuse":
            lasts, needs = f"{time / self.rate_hz:g} s", f"{self.at_least / self.rate_hz:g} s"
            remedy = "leave it out, or choose an embedder or profile that fills short sounds"
            raise MetricsError(f"{sound.id} lasts {lasts}, at least {needs} is needed; {remedy}")
        if self.short == "repeat":
            return _repeated(samples, self.at_least)
        whole = samples if self.short == "zero" else _repeated(samples, self.at_least // time * time)
        return np.concatenate([whole, _zeros(whole, self.at_least - whole.shape[-1])], axis=-1)

    def _count(self, time: int, of_sound: int, window: int) -> int:
        if self.tail == "zero-every-hop":
            return -(-of_sound // self.hop)
        full = (time - window) // self.hop + 1
        left = time - ((full - 1) * self.hop + window)
        one_more = {"drop": False, "zero": left > 0, "half": 2 * left >= self.hop}
        return full + one_more[self.tail]

    def _length(self, samples: int) -> str:
        seconds = f"{samples / self.rate_hz:g}"
        return f"{seconds}s" if round(float(seconds) * self.rate_hz, 6) == samples else f"{samples}samples"


def agreed(
    name: str,
    own: Listening,
    asked: Listening | None,
    windows: Collection[int | None] | None = (),
    shortest: int = 1,
) -> Listening:
    """The way of listening that an embedder is asked for, or its own when asked for none.

    `windows` are the windows that its network can take beside its own, None is any of at least `shortest` samples.

    Raises:
        MetricsError: another rate, window or number of channels than its network takes.
    """
    if asked is None:
        return own
    least = asked.at_least if asked.window is None else asked.window
    fits = asked.window == own.window or (asked.window in windows if windows is not None else least >= shortest)
    if asked.rate_hz != own.rate_hz or asked.sides != own.sides or not fits:
        raise MetricsError(f"{name} cannot listen as {asked.describe()}; its own way is {own.describe()}")
    return asked


def _levelled(samples: Samples, level: Level, sound: Sound) -> Samples:
    if level == "google-peak-int16":
        return samples / np.float32(max(_GOOGLES_FLOOR, float(samples.max())))
    if level == "peak-1dB":
        peak = float(np.abs(samples).max())
        if peak < SILENCE_PEAK:
            raise MetricsError(f"{sound.id} is silent; its peak cannot be set to -1 dB")
        return samples * np.float32(10 ** (-1 / 20) / peak)
    return samples


def _quantised(samples: Samples, quantise: Quantise) -> Samples:
    if quantise in ("int16", "int16-then-laion"):
        steps = np.round(samples * np.float32(32768))
        samples = np.clip(steps, -32768, 32767).astype(np.float32) / np.float32(32768)
    if quantise in ("int16-laion", "int16-then-laion"):
        steps = np.trunc(np.clip(samples, -1, 1) * np.float32(32767))
        samples = steps.astype(np.float32) / np.float32(32767)
    return samples


def _repeated(samples: Samples, length: int) -> Samples:
    """Samples (..., time), again and again until they are `length` long."""
    return np.take(samples, np.arange(length) % samples.shape[-1], axis=-1)


def _zeros(like: Samples, length: int) -> Samples:
    return np.zeros((*like.shape[:-1], length), dtype=np.float32)
