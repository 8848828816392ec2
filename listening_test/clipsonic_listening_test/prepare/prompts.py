"""Prompts: what the systems were asked, from a CSV table, from a folder of images, or both.

The table has a first line with the columns `id,caption` and may have `lang`, `image` and `video` (files, relative to
the table). Rows are paired with sounds by id. A caption may be empty where there is an image or a video.
"""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path
from typing import Final

from clipsonic_listening_test.errors import ListeningTestError
from clipsonic_listening_test.prepare.naming import ids_of
from clipsonic_listening_test.prepare.samples import PromptSource
from clipsonic_listening_test.validate import LANGUAGE

COLUMNS: Final = ("id", "caption", "lang", "image", "video")
IMAGES: Final = frozenset({".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff"})
VIDEOS: Final = frozenset({".mp4", ".m4v", ".mov", ".webm", ".mkv"})


def read_prompts(table: Path | None, images: Path | None) -> tuple[dict[str, PromptSource] | None, list[str]]:
    """Prompts by id, and what there is to say about them; None where neither a table nor a folder is given.

    Raises:
        ListeningTestError: unreadable, without the columns, an id twice or empty, a row with nothing to show, a file
            that is not there, an unknown language tag; all rows at fault are named.
    """
    prompts: dict[str, PromptSource] | None = None
    notes: list[str] = []
    if table is not None:
        prompts, notes = _read_table(table)
    if images is not None:
        prompts = _with_images(prompts, images)
    if prompts is not None:
        nothing = [id for id, each in prompts.items() if not each.shown()]
        if nothing:
            raise ListeningTestError(f"prompts {', '.join(nothing)} have neither caption nor image; give them one")
    return prompts, notes


def _read_table(table: Path) -> tuple[dict[str, PromptSource], list[str]]:
    try:
        with table.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, strict=True)
            columns = list(reader.fieldnames or [])
            rows = [(reader.line_num, row) for row in reader]
    except OSError as error:
        raise ListeningTestError(f"{table} cannot be read: {error.strerror}") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise ListeningTestError(f"{table} is not a CSV table in UTF-8: {error}") from error
    if "id" not in columns or "caption" not in columns:
        raise ListeningTestError(f"{table} has columns {', '.join(columns) or 'none'}; expected id,caption")
    faults: list[str] = []
    found: dict[str, PromptSource] = {}
    for line, row in rows:
        id = (row["id"] or "").strip()
        if not id or None in row:
            faults.append(f"line {line} has {'too many columns' if id else 'no id'}")
        elif id in found:
            faults.append(f"line {line} has id {id!r} again")
        else:
            found[id], more = _row(row, table.parent)
            faults += [f"line {line} ({id}): {fault}" for fault in more]
    if faults or not found:
        raise ListeningTestError(f"{table}: {'; '.join(faults) or 'no rows'}")
    ids = ids_of(found, "prompt")
    unread = [column for column in columns if column not in COLUMNS]
    notes = [f"{table.name}: columns {', '.join(unread)} are not read"] if unread else []
    return {ids[name]: each for name, each in found.items()}, notes


def _row(row: dict[str, str | None], folder: Path) -> tuple[PromptSource, list[str]]:
    values = {column: (row.get(column) or "").strip() for column in COLUMNS}
    faults = []
    files: dict[str, Path | None] = {}
    for column, suffixes in (("image", IMAGES), ("video", VIDEOS)):
        path = folder / values[column] if values[column] else None
        if path is not None and (path.suffix.lower() not in suffixes or not path.is_file()):
            faults.append(f"{column} {values[column]} is not there, or not one of {' '.join(sorted(suffixes))}")
        files[column] = path
    lang = values["lang"] or "en"
    if not LANGUAGE.fullmatch(lang):
        faults.append(f"lang {lang!r} is no language tag such as en")
    return PromptSource(values["caption"] or None, lang, files["image"], files["video"]), faults


def _with_images(prompts: dict[str, PromptSource] | None, folder: Path) -> dict[str, PromptSource]:
    if not folder.is_dir():
        raise ListeningTestError(f"--images {folder} is not a folder; expected images named by prompt id")
    files = [path for path in sorted(folder.iterdir()) if path.suffix.lower() in IMAGES and path.name[0] != "."]
    stems = [path.stem for path in files]
    twice = sorted({stem for stem in stems if stems.count(stem) > 1})
    if twice or not files:
        fault = f"holds several images of {', '.join(twice)}" if twice else f"holds no {' '.join(sorted(IMAGES))}"
        raise ListeningTestError(f"--images {folder} {fault}; expected one image per prompt, named by its id")
    ids = ids_of(stems, "image")
    found = {ids[path.stem]: path for path in files}
    if prompts is None:
        return {id: PromptSource(image=path) for id, path in found.items()}
    missing = [id for id, each in prompts.items() if id not in found and not each.shown()]
    if missing:
        raise ListeningTestError(f"--images {folder} has none for {', '.join(missing)}, which have no caption either")
    return {id: replace(each, image=found.get(id, each.image)) for id, each in prompts.items()}
