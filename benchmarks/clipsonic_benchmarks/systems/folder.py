"""Somebody else's system: a folder of sounds named by item id, or listed in its `manifest.csv` (columns `id,file`)."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

from clipsonic_benchmarks.errors import BenchmarkError
from clipsonic_benchmarks.files import digest, file_digest
from clipsonic_benchmarks.split import Item
from clipsonic_benchmarks.system import Context
from clipsonic_metrics.errors import MetricsError
from clipsonic_metrics.sound import Sound, discover, read_sound

MANIFEST = "manifest.csv"


class Folder:
    """Sounds as files. Who made them is not known here: their identity is the digest of the files."""

    @staticmethod
    def check(name: str, argument: str | None, model: str) -> None:
        assert argument is not None
        sound_files(Path(argument))

    def __init__(self, name: str, argument: str | None, context: Context) -> None:
        assert argument is not None
        self.path = Path(argument)
        self.files = sound_files(self.path)

    def identity(self) -> Mapping[str, str | int | float | None]:
        files = [[id, file_digest(path)] for id, path in sorted(self.files.items())]
        return {"folder": self.path.name, "sounds": len(files), "sounds_sha256": digest(files)}

    def unanswered(self, items: Sequence[Item]) -> Mapping[str, str]:
        missing = {item.id: f"{self.path} has no sound of this id" for item in items if item.id not in self.files}
        if len(missing) == len(items):
            ours, theirs = ", ".join(item.id for item in items[:3]), ", ".join(list(self.files)[:3])
            raise BenchmarkError(
                f"no sound in {self.path} is named by an item id (ids: {ours}, …; sounds: {theirs}, …); "
                f"rename the files, or add {MANIFEST} with the columns id,file"
            )
        return missing

    def generate(self, items: Sequence[Item], seed: int) -> list[Sound]:
        sounds = []
        for item in items:
            sound = read_sound(self.files[item.id], item.id)
            fault = sound.fault()
            if fault is not None:
                raise MetricsError(f"{self.files[item.id]} is {fault}")
            sounds.append(sound)
        return sounds


def sound_files(folder: Path) -> Mapping[str, Path]:
    """Sound files of a folder by item id.

    Raises:
        BenchmarkError: no such folder, no sounds in it, or a manifest that cannot be used.
    """
    manifest = folder / MANIFEST
    if manifest.is_file():
        return _manifest(manifest)
    try:
        return discover(folder)
    except MetricsError as error:
        raise BenchmarkError(str(error)) from error


def _manifest(path: Path) -> Mapping[str, Path]:
    with path.open(newline="", encoding="utf-8-sig") as file:
        reader = csv.DictReader(file)
        found = reader.fieldnames or ()
        if not {"id", "file"} <= set(found):
            raise BenchmarkError(f"{path} has the columns {', '.join(found) or 'none'}; expected id,file")
        files = {row["id"]: path.parent / row["file"] for row in reader}
    missing = [str(file) for file in files.values() if not file.is_file()]
    if missing:
        raise BenchmarkError(f"{path} names {len(missing)} files that do not exist: {', '.join(missing[:10])}")
    return files
