"""Stimuli out of recipes: one rate and channel count, aligned loudness, anchors, FLAC files of one size per group.

Loudness. Each source gets the gain that brings it to the target (ITU-R BS.1770-4). If the true peak of any stimulus
would then pass the limit, the target is lowered for the whole study, so that all stay equally loud: nothing is limited
or clipped. An anchor has the gain of what it was filtered from, as in BS.1534-3. Gains are recorded.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from clipsonic_listening_test.atomic import write_whole
from clipsonic_listening_test.errors import ListeningTestError
from clipsonic_listening_test.prepare import anchors, flac, loudness, signals
from clipsonic_listening_test.prepare.decode import at_rate, peaks_of, read_sound
from clipsonic_listening_test.prepare.material import TARGET_LUFS, Material, Options, Recipe
from clipsonic_listening_test.prepare.progress import Advance
from clipsonic_listening_test.prepare.work import in_order
from clipsonic_listening_test.study import Loudness, Source, Stimulus

TRUE_PEAK_LIMIT_DBTP: Final = -1.0
SUSPICIOUS_DB: Final = 30.0
PEAKS: Final = 200
_DRAWN: Final = frozenset({"system", "reference", "hidden_reference", "hidden_real", "low_anchor", "mid_anchor"})

Samples = NDArray[np.float64]


@dataclass(frozen=True)
class Level:
    """Loudness of a source at the study's rate, and the highest true peak of it and all that is filtered from it."""

    lufs: float
    true_peak_dbtp: float


@dataclass(frozen=True)
class Gains:
    """The gain of each source in dB, and the loudness it leads to."""

    db: Mapping[Path, float]
    loudness: Loudness
    notes: tuple[str, ...]


def measure_levels(material: Material, recipes: Sequence[Recipe], workers: int, advance: Advance) -> dict[Path, Level]:
    """Loudness and peak of every source that a recipe uses.

    Raises:
        ListeningTestError: sources in which nothing passes BS.1770's gate; all are named.
    """
    edges: dict[Path, set[int]] = {}
    for recipe in recipes:
        if recipe.path is not None:
            own = edges.setdefault(recipe.path, set())
            if recipe.low_pass_hz is not None:
                own.add(recipe.low_pass_hz)

    def measure(path: Path) -> tuple[float | None, float]:
        samples = _source(material, path)
        whole = loudness.measure(samples, material.rate_hz)
        filtered = [anchors.apply(anchors.low_pass(edge, material.rate_hz).taps, samples) for edge in edges[path]]
        peaks = [loudness.measure(each, material.rate_hz).true_peak_dbtp for each in filtered]
        return whole.lufs, max([whole.true_peak_dbtp, *peaks])

    paths = sorted(edges)
    found = dict(zip(paths, in_order(measure, paths, workers, advance), strict=True))
    quiet = [material.samples.origin(path) for path, (lufs, _) in found.items() if lufs is None]
    if quiet:
        raise ListeningTestError(
            f"{', '.join(quiet)}: nothing in them is above {loudness.GATE_LUFS:g} LUFS, the gate of BS.1770; "
            "make them louder or leave them out"
        )
    return {path: Level(lufs, peak) for path, (lufs, peak) in found.items() if lufs is not None}


def choose_gains(levels: Mapping[Path, Level], material: Material, options: Options) -> Gains:
    """Gains that align the loudness, or one common gain where levels are kept, below the true-peak limit."""
    limit = TRUE_PEAK_LIMIT_DBTP
    notes: list[str] = []
    if options.target_lufs is None:
        common = min(0.0, limit - max(level.true_peak_dbtp for level in levels.values()))
        notes += ["levels are kept" + (f", all lowered by {-common:.2f} dB" if common else "")]
        gains = {path: round(common, 3) for path in levels}
        return Gains(gains, Loudness("none: levels of the files", TARGET_LUFS, limit), tuple(notes))
    highest = {path: level.lufs + limit - level.true_peak_dbtp for path, level in levels.items()}
    target = options.target_lufs
    worst = min(highest, key=lambda path: highest[path])
    if highest[worst] < target:
        target = np.floor(highest[worst] * 10) / 10
        notes += [
            f"target lowered from {options.target_lufs:g} to {target:g} LUFS: the peaks of "
            f"{material.samples.origin(worst)} allow no more"
        ]
    gains = {path: round(target - level.lufs, 3) for path, level in levels.items()}
    raised = [material.samples.origin(path) for path, gain in gains.items() if gain > SUSPICIOUS_DB]
    if raised:
        notes += [f"raised by more than {SUSPICIOUS_DB:g} dB, and their noise with them: {', '.join(raised)}"]
    return Gains(gains, Loudness(target_lufs=float(target), true_peak_limit_dbtp=limit), tuple(notes))


def render(
    folder: Path, material: Material, recipes: Sequence[Recipe], gains: Gains, workers: int, advance: Advance
) -> dict[str, Stimulus]:
    """Make every stimulus, write its file below `folder/sounds`, and return the records in the order of the recipes.

    Raises:
        OSError: the files cannot be written.
    """
    (folder / "sounds").mkdir(parents=True, exist_ok=True)
    groups: dict[str, list[Recipe]] = {}
    for recipe in recipes:
        groups.setdefault(recipe.group, []).append(recipe)
    for edge in sorted({recipe.low_pass_hz for recipe in recipes if recipe.low_pass_hz is not None}):
        anchors.low_pass(edge, material.rate_hz)  # designed once, before threads would each do it
    made = in_order(
        lambda group: _render_group(folder, material, group, gains), list(groups.values()), workers, advance
    )
    records = {id: stimulus for group in made for id, stimulus in group.items()}
    return {recipe.id: records[recipe.id] for recipe in recipes}


def _render_group(folder: Path, material: Material, recipes: list[Recipe], gains: Gains) -> dict[str, Stimulus]:
    sources: dict[Path, Samples] = {}
    sounds = [_sound(material, recipe, gains, sources) for recipe in recipes]
    files = flac.padded([flac.encode(sound, material.rate_hz) for sound in sounds])
    records = {}
    for recipe, sound, data in zip(recipes, sounds, files, strict=True):
        digest = hashlib.sha256(data).hexdigest()
        path = folder / "sounds" / f"{digest}.flac"
        if not path.exists():
            write_whole(path, data)
        records[recipe.id] = _record(material, recipe, sound, digest, len(data), gains)
    return records


def _sound(material: Material, recipe: Recipe, gains: Gains, sources: dict[Path, Samples]) -> Samples:
    if recipe.path is None:
        return _signal(material, recipe, gains)
    if recipe.path not in sources:
        sources[recipe.path] = _source(material, recipe.path)
    samples = sources[recipe.path][: recipe.frames]
    if recipe.low_pass_hz is not None:
        samples = anchors.apply(anchors.low_pass(recipe.low_pass_hz, material.rate_hz).taps, samples)
    return np.asarray(samples * 10 ** (gains.db[recipe.path] / 20))


def _signal(material: Material, recipe: Recipe, gains: Gains) -> Samples:
    """A signal made here; the full tone and the noise are brought to the target, the other tones along with it."""
    rate_hz, target = material.rate_hz, gains.loudness.target_lufs
    if recipe.signal == "noise":
        made = {"noise": signals.volume_noise(rate_hz, material.channels, seed=0)}
    else:
        made = {name: tone[:, : material.channels] for name, tone in signals.tones(rate_hz).items()}
    level = loudness.measure(made.get("full", next(iter(made.values()))), rate_hz)
    assert level.lufs is not None and recipe.signal is not None
    gain_db = min(target - level.lufs, gains.loudness.true_peak_limit_dbtp - level.true_peak_dbtp)
    return np.asarray(made[recipe.signal] * 10 ** (gain_db / 20))


def _source(material: Material, path: Path) -> Samples:
    try:
        samples, rate_hz = read_sound(path)
    except ListeningTestError as error:  # it was whole when the facts were taken
        raise ListeningTestError(f"{material.samples.origin(path)} {error}") from error
    return at_rate(samples, rate_hz, material.rate_hz, material.channels)


def _record(material: Material, recipe: Recipe, sound: Samples, digest: str, size: int, gains: Gains) -> Stimulus:
    level = loudness.measure(sound, material.rate_hz)
    path, source = recipe.path, None
    if path is not None:
        facts = material.facts[path]
        origin = material.samples.origin(path, recipe.system, recipe.prompt or "")
        source = Source(origin, facts.sha256, facts.rate_hz)
    edge = recipe.low_pass_hz
    return Stimulus(
        role=recipe.role,
        file=f"sounds/{digest}.flac",
        sha256=digest,
        bytes=size,
        frames=len(sound),
        channels=sound.shape[1],
        system=recipe.system,
        prompt=recipe.prompt,
        lufs=None if level.lufs is None else round(level.lufs, 2),
        true_peak_dbtp=round(level.true_peak_dbtp, 2),
        gain_db=gains.db[path] if path is not None else 0.0,
        source=source,
        filter=None if edge is None else anchors.low_pass(edge, material.rate_hz).record,
        peaks=peaks_of(sound, PEAKS) if recipe.role in _DRAWN else None,
    )
