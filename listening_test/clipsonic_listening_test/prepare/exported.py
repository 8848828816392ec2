"""Folders that `clipsonic-bench export-study` wrote: `study.json` of kind "samples", `sounds/`, `images/`.

    {"schema": 1, "kind": "samples", "title": …, "systems": [{"id", "label", "role": "system" | "reference"}],
     "prompts": {id: {"text", "lang", "image"}}, "sounds": [{"system", "prompt", "file", "sha256", "origin"}], …}

Every file is named below the folder and checked against its digest.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from clipsonic_listening_test.errors import ListeningTestError
from clipsonic_listening_test.prepare.naming import changed, ids_of
from clipsonic_listening_test.prepare.samples import PromptSource, Samples

SCHEMA: Final = 1
_FILE: Final = re.compile(r"(sounds|images)/[A-Za-z0-9_-]+\.[a-z0-9]+")


def is_exported(root: Path) -> bool:
    """Whether a folder says what it holds in a study.json."""
    return (root / "study.json").is_file()


def read_exported(root: Path) -> Samples:
    """Systems, prompts and sounds of an exported folder.

    Raises:
        ListeningTestError: not such a folder, or a file is absent or not what it was.
    """
    path = root / "study.json"
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        if record["kind"] != "samples" or record["schema"] != SCHEMA:
            raise ListeningTestError(
                f"{path} has kind {record['kind']!r} and schema {record['schema']!r}; expected 'samples' and {SCHEMA}, "
                "as clipsonic-bench export-study writes"
            )
        return _samples(root, record)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ListeningTestError(
            f"{path} is not what clipsonic-bench export-study writes ({type(error).__name__}: {error}); export it again"
        ) from error


def _samples(root: Path, record: Mapping[str, Any]) -> Samples:
    systems = ids_of([each["id"] for each in record["systems"]], "system")
    prompts = ids_of(record["prompts"], "prompt")
    real = {each["id"] for each in record["systems"] if each["role"] == "reference"}
    sounds: dict[tuple[str, str], Path] = {}
    references: dict[str, Path] = {}
    origins: dict[tuple[str | None, str], str] = {}
    for each in record["sounds"]:
        path, prompt = _file(root, each["file"], each["sha256"]), prompts[each["prompt"]]
        system = None if each["system"] in real else systems[each["system"]]
        origins[system, prompt] = str(each["origin"])
        if system is None:
            references[prompt] = path
        else:
            sounds[system, prompt] = path
    sources = {prompts[id]: _prompt(root, each) for id, each in record["prompts"].items()}
    labels = ", ".join(f"{systems[each['id']]} ({each['label']})" for each in record["systems"])
    notes = (f"exported by {record['made_by']}: {labels}", *changed(systems, "system"), *changed(prompts, "prompt"))
    names = tuple(id for name, id in systems.items() if name not in real)
    return Samples(root, names, sources, sounds, references, notes, origins)


def _prompt(root: Path, each: Mapping[str, Any]) -> PromptSource:
    image = _file(root, each["image"], None) if each["image"] is not None else None
    return PromptSource(each["text"], each["lang"], image)


def _file(root: Path, name: str, sha256: str | None) -> Path:
    if not _FILE.fullmatch(name):
        raise ListeningTestError(f"{root / 'study.json'} names {name!r}; expected a file in sounds/ or images/")
    path = root / name
    if not path.is_file():
        raise ListeningTestError(f"{path} is absent; export the folder again")
    if sha256 is not None and hashlib.sha256(path.read_bytes()).hexdigest() != sha256:
        raise ListeningTestError(f"{path} is not the file that was exported; export the folder again")
    return path
