"""What is to be judged: systems, prompts and a sound for each of both, found in a folder.

    SAMPLES/<system>/<prompt>.wav         one folder per system
    SAMPLES/<system>__<prompt>.wav        flat
    SAMPLES/{study.json, sounds/, …}      what `clipsonic-bench export-study` wrote

A system called `reference` (or the one that is named) is the real recording of each prompt, not a system. Every
system must have every prompt, and every prompt that captions or images are given for must have sounds: what is missing
is said in one list, and passed over only if asked.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from clipsonic_listening_test.errors import ListeningTestError
from clipsonic_listening_test.prepare.decode import SUFFIXES
from clipsonic_listening_test.prepare.naming import changed, ids_of

REFERENCE: Final = "reference"


@dataclass(frozen=True)
class PromptSource:
    """What the systems were asked, as it was found: text with its language, files of image and video."""

    text: str | None = None
    lang: str = "en"
    image: Path | None = None
    video: Path | None = None

    def shown(self) -> bool:
        """Whether there is anything that a participant could be shown."""
        return self.text is not None or self.image is not None or self.video is not None


@dataclass(frozen=True)
class Samples:
    """Sounds by (system, prompt), real recordings by prompt. `notes` say what was inferred.

    origins: how the place of each sound is recorded, by (system, prompt) with None for the real recording; without
    them it is the path below `root`.
    """

    root: Path
    systems: tuple[str, ...]
    prompts: dict[str, PromptSource]
    sounds: dict[tuple[str, str], Path]
    references: dict[str, Path]
    notes: tuple[str, ...] = ()
    origins: Mapping[tuple[str | None, str], str] | None = None

    def origin(self, path: Path, system: str | None = None, prompt: str = "") -> str:
        """The place of a sound as the study records it; system and prompt tell apart what is one file of several."""
        if self.origins is None:
            return path.relative_to(self.root).as_posix()
        if self._path(system, prompt) == path:
            return self.origins[system, prompt]
        return next(origin for key, origin in self.origins.items() if self._path(*key) == path)

    def _path(self, system: str | None, prompt: str) -> Path | None:
        return self.references.get(prompt) if system is None else self.sounds.get((system, prompt))

    def paths(self) -> list[Path]:
        """Every sound file, sorted."""
        return sorted({*self.sounds.values(), *self.references.values()})

    def systems_of(self, prompt: str) -> tuple[str, ...]:
        """The systems that have this prompt."""
        return tuple(system for system in self.systems if (system, prompt) in self.sounds)


def find_samples(root: Path, reference: str | None) -> Samples:
    """Infer systems and prompts from the names in a folder. Prompts have no text or image yet.

    Raises:
        ListeningTestError: no sounds, names of neither layout or of both, one sound twice, names that cannot be ids,
            no system of the name given as the reference.
    """
    if not root.is_dir():
        raise ListeningTestError(f"{root} is not a folder; expected one of sounds, as SAMPLES/<system>/<prompt>.wav")
    files = _sound_files(root)
    if not files:
        raise ListeningTestError(
            f"{root} holds no sounds ({' '.join(sorted(SUFFIXES))}); expected SAMPLES/<system>/<prompt>.wav"
        )
    layout, named = _names(root, files)
    systems = ids_of(sorted({system for system, _ in named}), "system")
    prompts = ids_of(sorted({prompt for _, prompt in named}), "prompt")
    found: dict[tuple[str, str], Path] = {}
    twice = []
    for (system, prompt), paths in sorted(named.items()):
        found[systems[system], prompts[prompt]] = paths[0]
        twice += [" and ".join(path.relative_to(root).as_posix() for path in paths)] if len(paths) > 1 else []
    if twice:
        raise ListeningTestError(f"one sound in two files: {'; '.join(twice)}; remove one of each")
    real = _reference(systems, reference)
    notes = [f"{layout}: {len(systems)} systems ({', '.join(systems.values())}) and {len(prompts)} prompts"]
    notes += [f"the sounds of {real!r} are the real recordings"] if real is not None else []
    notes += [*changed(systems, "system"), *changed(prompts, "prompt")]
    return Samples(
        root,
        tuple(id for id in systems.values() if id != real),
        {id: PromptSource() for id in prompts.values()},
        {key: path for key, path in found.items() if key[0] != real},
        {prompt: path for (system, prompt), path in found.items() if system == real},
        tuple(notes),
    )


def complete(samples: Samples, captioned: Mapping[str, PromptSource] | None, *, incomplete: bool) -> Samples:
    """Give the prompts their sources and see that nothing is missing.

    captioned: by id, of a table or a folder of images; None where none was given. With `incomplete`, prompts without a
    row or without any sound are left out, missing sounds are not asked for, and all of it is said in `notes`.

    Raises:
        ListeningTestError: something is missing, and `incomplete` is not set; the message has all of it.
    """
    if not samples.systems:
        raise ListeningTestError(f"{samples.root} holds real recordings and no system; add a folder of a system")
    without = [id for id in samples.prompts if captioned is not None and id not in captioned]
    silent = [id for id in captioned or {} if id not in samples.prompts]
    absent = [f"{s}/{p}" for s in samples.systems for p in samples.prompts if (s, p) not in samples.sounds]
    said = [
        *([f"no row or image for prompts {', '.join(without)}"] if without else []),
        *([f"no sound for prompts {', '.join(silent)}"] if silent else []),
        *([f"no sound {', '.join(absent)}"] if absent else []),
    ]
    if said and not incomplete:
        raise ListeningTestError(f"{'; '.join(said)}; add what is missing, or leave it out with --incomplete")
    ids = [id for id in samples.prompts if id not in without and samples.systems_of(id)]
    if not ids:
        raise ListeningTestError(f"{'; '.join(said)}; nothing is left to be judged")
    return replace(
        samples,
        prompts={id: captioned[id] if captioned is not None else samples.prompts[id] for id in ids},
        sounds={key: path for key, path in samples.sounds.items() if key[1] in ids},
        references={id: path for id, path in samples.references.items() if id in ids},
        notes=(*samples.notes, *(f"left out: {each}" for each in said)),
    )


def _sound_files(root: Path) -> list[Path]:
    return [
        path
        for path in sorted(root.rglob("*"))
        if path.suffix.lower() in SUFFIXES
        and not any(part.startswith(".") for part in path.relative_to(root).parts)
        and path.is_file()
    ]


def _names(root: Path, files: list[Path]) -> tuple[str, dict[tuple[str, str], list[Path]]]:
    """What the layout is, and the files of each (system name, prompt name)."""
    named: dict[tuple[str, str], list[Path]] = {}
    layouts = {}
    bad = []
    for path in files:
        below = path.relative_to(root)
        if len(below.parts) == 2:
            layouts["one folder per system"] = below
            named.setdefault((below.parts[0], path.stem), []).append(path)
        elif len(below.parts) == 1 and path.stem.count("__") == 1 and all(path.stem.split("__")):
            layouts["flat names"] = below
            system, _, prompt = path.stem.partition("__")
            named.setdefault((system, prompt), []).append(path)
        else:
            bad.append(below.as_posix())
    if bad:
        raise ListeningTestError(
            f"{len(bad)} files are neither <system>/<prompt> nor <system>__<prompt>: {', '.join(bad)}; move or rename"
        )
    if len(layouts) > 1:
        one, other = layouts.values()
        raise ListeningTestError(f"{root} mixes two layouts, as in {one} and {other}; keep one of them")
    return next(iter(layouts)), named


def _reference(systems: Mapping[str, str], wanted: str | None) -> str | None:
    """Id of the system whose sounds are the real recordings."""
    if wanted is None:
        return systems.get(REFERENCE)
    if wanted in systems:
        return systems[wanted]
    if wanted in systems.values():
        return wanted
    raise ListeningTestError(f"--reference {wanted} is no system; found {', '.join(systems)}")
