"""`init`: from a folder of sounds to a study folder, which appears whole or not at all.

Everything is made in a hidden folder beside the place where the study will be, and moved there at the end; whatever
stops it, a bad file, a full disk or Ctrl-C, leaves nothing behind.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Final

from clipsonic_listening_test.atomic import write_whole
from clipsonic_listening_test.departures import departures, name_of
from clipsonic_listening_test.errors import ListeningTestError
from clipsonic_listening_test.prepare.decode import facts_of
from clipsonic_listening_test.prepare.exported import is_exported, read_exported
from clipsonic_listening_test.prepare.material import Draft, Material, Options, material_of, spread
from clipsonic_listening_test.prepare.media import image, video
from clipsonic_listening_test.prepare.presets import load_preset
from clipsonic_listening_test.prepare.progress import Start
from clipsonic_listening_test.prepare.prompts import read_prompts
from clipsonic_listening_test.prepare.render import Gains, choose_gains, measure_levels, render
from clipsonic_listening_test.prepare.samples import Samples, complete, find_samples
from clipsonic_listening_test.prepare.work import in_order
from clipsonic_listening_test.study import KIND, SCHEMA, Media, Prompt, Screening, Stimulus, Study, load_study

_CHANNELS: Final = {1: "mono", 2: "stereo"}


@dataclass(frozen=True)
class Inputs:
    """Where everything is. reference: the name of the system that is the real recording, None for the usual one."""

    samples: Path
    prompts: Path | None = None
    images: Path | None = None
    reference: str | None = None
    incomplete: bool = False


@dataclass(frozen=True)
class Made:
    """A study that was written, and what was inferred and decided on the way."""

    study: Study
    notes: tuple[str, ...]


def make_study(inputs: Inputs, options: Options, out: Path, workers: int, start: Start) -> Made:
    """Make a study and write it to `out`.

    Raises:
        ListeningTestError: bad input; nothing is written.
        OSError: the folder cannot be written; nothing is left.
    """
    if out.is_symlink() or (out.exists() and not (out.is_dir() and not any(out.iterdir()))):
        raise ListeningTestError(f"--out {out} is there already and is never overwritten; choose another, or remove it")
    samples = find_inputs(inputs)
    paths = samples.paths()
    facts = dict(zip(paths, in_order(facts_of, paths, workers, start("decoding")), strict=True))
    material = material_of(samples, facts, options)
    draft = load_preset(options.preset)(material, options)
    levels = measure_levels(material, draft.recipes, workers, start("measuring loudness"))
    gains = choose_gains(levels, material, options)
    with staged(out) as folder:
        stimuli = render(folder, material, draft.recipes, gains, workers, start("making stimuli"))
        prompts, media = _prompts(folder, material)
        study = _study(material, draft, gains, stimuli, prompts, media, options)
        write_whole(folder / "study.json", study.to_json().encode())
        load_study(folder)  # what is written is read back before it takes its place
    return Made(load_study(out), (*samples.notes, *_said(material), *gains.notes, *draft.notes))


def find_inputs(inputs: Inputs) -> Samples:
    """The samples, complete.

    Raises:
        ListeningTestError: see `samples`, `exported` and `prompts`.
    """
    given, notes = read_prompts(inputs.prompts, inputs.images)
    if is_exported(inputs.samples):
        samples = read_exported(inputs.samples)
        if inputs.reference is not None:
            raise ListeningTestError("--reference goes with a plain folder; an exported one says which it is")
        return complete(samples, given if given is not None else samples.prompts, incomplete=inputs.incomplete)
    samples = find_samples(inputs.samples, inputs.reference)
    samples = replace(samples, notes=(*samples.notes, *notes))
    return complete(samples, given, incomplete=inputs.incomplete)


@contextmanager
def staged(out: Path) -> Iterator[Path]:
    """A hidden folder beside `out` that becomes `out` if all goes well, and is removed if not."""
    out.parent.mkdir(parents=True, exist_ok=True)
    folder = out.parent / f".{out.name}.{os.getpid()}.part"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    try:
        yield folder
        os.replace(folder, out)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _prompts(folder: Path, material: Material) -> tuple[dict[str, Prompt], dict[str, Media]]:
    """Prompts as the study has them; their images and videos are written."""
    prompts, media = {}, {}
    for id, source in material.samples.prompts.items():
        found = {}
        for kind, path, make in (("image", source.image, image), ("video", source.video, video)):
            if path is not None:
                record, data = make(path)
                found[kind] = f"{kind}-{record.sha256[:16]}"
                media[found[kind]] = record
                (folder / f"{kind}s").mkdir(exist_ok=True)
                write_whole(folder / record.file, data)
        prompts[id] = Prompt(source.text, source.lang, found.get("image"), found.get("video"))
    return prompts, media


def _study(
    material: Material,
    draft: Draft,
    gains: Gains,
    stimuli: dict[str, Stimulus],
    prompts: dict[str, Prompt],
    media: dict[str, Media],
    options: Options,
) -> Study:
    study = Study(
        schema=SCHEMA,
        kind=KIND,
        id=options.id,
        title={options.languages[0]: options.title},
        made_by=f"clipsonic {version('clipsonic')}",
        preset=options.preset,
        seed=options.seed,
        name="",
        departures=(),
        languages=options.languages,
        rate_hz=material.rate_hz,
        channels=material.channels,
        systems=material.samples.systems,
        stimuli=stimuli,
        scales=dict(draft.scales),
        blocks=draft.blocks,
        loudness=gains.loudness,
        prompts=prompts,
        media=media,
        groups=draft.groups,
        screening=Screening(draft.rules),
        panel=options.panel,
        texts={"consent": {options.languages[0]: options.consent}} if options.consent is not None else {},
    )
    study = replace(study, departures=departures(study))
    return replace(study, name=name_of(study))


def _said(material: Material) -> list[str]:
    facts = list(material.facts.values())
    rates = spread((each.rate_hz for each in facts), "Hz")
    channels = " and ".join(_CHANNELS[count] for count in sorted({each.channels for each in facts}))
    return [
        f"{len(facts)} sounds of {rates}, {channels}; served at {material.rate_hz} Hz, {_CHANNELS[material.channels]}"
    ]
