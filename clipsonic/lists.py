"""What is to be prepared: every video of a folder, or the lines of a list that points into one.

A list is read in the form that its dataset is published in:

* VGGSound, CSV without header: `youtube id, start seconds, label, split`; ten seconds each;
* AudioCaps, CSV with header: `audiocap_id,youtube_id,start_time,caption`; ten seconds each, one row per caption;
* MUSIC, JSON: `{"videos": {"acoustic_guitar": ["youtube id", ...], ...}}`; whole videos, duets as two words;
* CLIPSep's rows of both, CSV without header: `sound, folder of frames, number of frames, label`; the id is the sound's;
* your own: CSV with header, or a JSON array of objects, of `video` (path below the folder) or `youtube_id`, and any of
  `id`, `start_time`, `end_time` (seconds in the video, as a player counts), `caption`, `label`, `split`; other columns
  are not read.

Which file a YouTube id means is decided by `clipsonic.folder`. An item that has no file stays in the list with the
reason, and is counted among what was skipped.
"""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any, Final

from clipsonic.folder import Found, VideoFolder, find_videos

SEGMENT_S: Final = 10.0
"""Length of the segments of VGGSound and AudioCaps."""
_FORMS: Final = "VGGSound's, AudioCaps', MUSIC's, CLIPSep's, or a header with video or youtube_id"


@dataclass(frozen=True)
class Item:
    """One thing to prepare. video: path below the folder. start_s, end_s: seconds in that file, as a player counts.

    start_s is None for where picture and sound of the file begin, from which end_s counts then; end_s for its end.
    Without a file, `fault` says why in one line, `kind` in a word, and `video` is empty.
    """

    id: str
    video: str
    start_s: float | None = None
    end_s: float | None = None
    caption: str | None = None
    label: str | None = None
    fault: str | None = None
    kind: str = ""


@dataclass(frozen=True)
class Line:
    """A line of a list, as it stands there: of a path below the folder, or of a YouTube id."""

    id: str
    path: str | None = None
    youtube_id: str | None = None
    start_s: float | None = None
    end_s: float | None = None
    caption: str | None = None
    label: str | None = None
    split: str | None = None


def items_of_folder(folder: Path) -> list[Item]:
    """Every video below a folder, by id (its path there, without suffix), sorted.

    Raises:
        ValueError: if there is none, or two share an id.
    """
    return [Item(name, path.relative_to(folder).as_posix()) for name, path in find_videos(folder).items()]


def items_of_list(path: Path, folder: Path, split: str | None = None, trimmed: bool = False) -> list[Item]:
    """The lines of a list with their files below `folder`, in the list's order; of `split` alone, if one is given.

    trimmed: the files hold only the seconds listed, whatever they are named; else only files that name the second do.

    Raises:
        ValueError: naming the line that cannot be read, an id that means two things, or a split that is not there.
    """
    lines = _of_split(path, read_lines(path), split)
    if not lines:
        raise ValueError(f"{path} lists no video")
    known, items, seen = VideoFolder(folder), [], dict[str, Line]()
    for line in lines:
        if line.id not in seen:
            seen[line.id] = line
            items.append(_item(line, known, trimmed))
        elif replace(seen[line.id], split=line.split) != line:
            raise ValueError(f"{path}: id {line.id!r} is there twice, with different content")
        else:
            items.append(Item(line.id, "", fault="listed twice", kind="listed twice"))
    return items


def _item(line: Line, known: VideoFolder, trimmed: bool) -> Item:
    found = _find(line, known)
    begins = None if found.is_cut or trimmed else line.start_s
    ends = None if line.end_s is None else line.end_s - (line.start_s or 0.0) + (begins or 0.0)
    return Item(line.id, found.video, begins, ends, line.caption, line.label, found.fault, found.kind)


def _find(line: Line, known: VideoFolder) -> Found:
    if line.path is not None:
        return known.by_path(line.path)
    assert line.youtube_id is not None
    return known.by_youtube_id(line.youtube_id, line.start_s, line.label)


def _of_split(path: Path, lines: list[Line], split: str | None) -> list[Line]:
    splits = sorted({line.split for line in lines if line.split})
    if split is None:
        return lines
    if split not in splits:
        raise ValueError(f"{path} has no split {split!r}; it has {', '.join(splits) or 'no splits'}")
    return [line for line in lines if line.split == split]


def add_captions(items: Iterable[Item], captions: Mapping[str, str]) -> list[Item]:
    """The items with captions by id.

    Raises:
        ValueError: if an item has none.
    """
    given = list(items)
    if missing := sorted(item.id for item in given if item.id not in captions):
        raise ValueError(f"{len(missing)} videos have no caption, the first is {missing[0]!r}")
    return [replace(item, caption=captions[item.id]) for item in given]


def read_captions(path: Path) -> dict[str, str]:
    """Captions by id from a CSV with the columns `id`, or `audiocap_id`, and `caption`.

    Raises:
        ValueError: naming the missing column, an id that is there twice, or a line without id or caption.
    """
    captions: dict[str, str] = {}
    for number, row in read_csv(path, ("id", "caption")):
        if row["id"] in captions:
            raise ValueError(f"{path}: id {row['id']!r} is there twice")
        if not row["id"] or not (row["caption"] or "").strip():
            raise ValueError(f"{path}, line {number}: expected an id and a caption, found {row}")
        captions[row["id"]] = row["caption"]
    return captions


def read_csv(path: Path, columns: Sequence[str]) -> list[tuple[int, dict[str, Any]]]:
    """The rows of a CSV with a header, by column, each with the line on which it ends.

    Raises:
        ValueError: if it cannot be read, or naming the columns that it lacks.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:  # spreadsheets put a byte-order mark first
            reader = csv.DictReader(file)
            header = list(reader.fieldnames or ())
            rows = [(reader.line_num, row) for row in reader]
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{path} is not a CSV in UTF-8 ({error})") from None
    if "audiocap_id" in header and "id" not in header:  # AudioCaps' own name of it
        header, rows = [*header, "id"], [(number, {**row, "id": row["audiocap_id"]}) for number, row in rows]
    if missing := set(columns) - set(header):
        raise ValueError(f"{path}: column {', '.join(sorted(missing))} missing; found {', '.join(header) or 'none'}")
    return rows


def read_lines(path: Path) -> list[Line]:
    """The lines of a list in any of the forms known.

    Raises:
        ValueError: if it is in none of them, naming the line.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
        if path.suffix.lower() == ".json":
            return _of_json(path, json.loads(text))
        reader = csv.reader(io.StringIO(text, newline=""))
        rows = [(f"{path}, line {reader.line_num}", row) for row in reader if row]
    except (UnicodeDecodeError, csv.Error, json.JSONDecodeError) as error:
        raise ValueError(f"{path} is neither CSV nor JSON in UTF-8 ({error})") from None
    if not rows:
        return []
    header = [cell.strip() for cell in rows[0][1]]
    if "youtube_id" in header or "video" in header:
        return [_of_fields(where, dict(zip(header, row, strict=False))) for where, row in rows[1:]]
    return [_of_row(where, row) for where, row in rows]


def _of_json(path: Path, found: Any) -> list[Line]:
    if isinstance(found, dict) and isinstance(found.get("videos"), dict):
        for name, ids in found["videos"].items():
            if not isinstance(ids, list) or not all(isinstance(each, str) for each in ids):
                raise ValueError(f"{path}: {name} of videos must be an array of YouTube ids, found {str(ids)[:80]}")
        return [
            Line(f"{name}/{youtube_id}", youtube_id=youtube_id, label=_spoken(name))
            for name, ids in found["videos"].items()
            for youtube_id in ids
        ]
    if isinstance(found, list) and all(isinstance(each, dict) for each in found):
        return [_of_fields(f"{path}, object {number}", fields) for number, fields in enumerate(found, start=1)]
    raise ValueError(f"{path} is no list that is known: expected MUSIC's object of videos, or an array of objects")


def _of_fields(where: str, fields: Mapping[str, Any]) -> Line:
    """A line of AudioCaps, or of a list of the user's own."""
    given = {key: str(value).strip() for key, value in fields.items() if value is not None}
    path, youtube_id = given.get("video") or None, given.get("youtube_id") or None
    if (path is None) == (youtube_id is None):
        raise ValueError(f"{where}: expected a video or a youtube_id, found {dict(fields)}")
    start_s, end_s = (_seconds(where, key, given.get(key)) for key in ("start_time", "end_time"))
    if youtube_id is not None and start_s is not None and end_s is None:
        end_s = start_s + SEGMENT_S
    if end_s is not None and end_s <= (start_s or 0.0):
        raise ValueError(f"{where}: end_time {end_s:g} is not after start_time {start_s or 0:g}")
    name = PurePosixPath(path).with_suffix("").as_posix() if path is not None else str(youtube_id)
    id = given.get("id") or given.get("audiocap_id") or _clip_name(name, start_s)
    texts = {key: given.get(key) or None for key in ("caption", "label", "split")}
    return Line(id, path, youtube_id, start_s, end_s, **texts)


def _of_row(where: str, row: Sequence[str]) -> Line:
    """A line without header: of VGGSound, or of CLIPSep's lists."""
    cells = [cell.strip() for cell in row]
    if len(cells) == 4 and _is_number(cells[1]) and cells[0]:
        start_s = float(cells[1])
        name = _clip_name(cells[0], start_s)
        return Line(name, None, cells[0], start_s, start_s + SEGMENT_S, label=cells[2], split=cells[3])
    if len(cells) == 4 and "/" in cells[0] and _is_number(cells[2]):
        name = PurePosixPath(cells[0]).stem
        return Line(name, youtube_id=name, label=_spoken(cells[3]))
    raise ValueError(f"{where} is in no form that is known ({_FORMS}): found {','.join(cells)[:80]!r}")


def _seconds(where: str, key: str, value: str | None) -> float | None:
    if not value:
        return None
    if not _is_number(value):
        raise ValueError(f"{where}: {key} {value!r} is no number of seconds from 0 on")
    return float(value)


def _is_number(text: str) -> bool:
    try:
        return 0 <= float(text) < math.inf
    except ValueError:
        return False


def _clip_name(name: str, start_s: float | None) -> str:
    """VGGSound's way to name a clip of a video: `ID_000030`."""
    if start_s is None:
        return name
    return f"{name}_{int(start_s):06d}" if start_s == int(start_s) else f"{name}_{start_s:010.3f}"


def _spoken(name: str) -> str:
    """A label that is the name of a folder, in words."""
    return " ".join(name.replace("_", " ").split())
