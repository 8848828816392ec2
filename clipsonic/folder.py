"""A folder tree of videos: which there are, and which file a dataset's line means.

Datasets of YouTube videos name a video by its id and a second. Downloaders store it under different names; these are
known, in any folder of the tree, with any video suffix:

* the seconds alone, cut out: `ID_000030`, `ID_30`, `ID_30.000_40.000` (start and end), `ID_30000_40000` (milliseconds);
* the video: `ID`, `YID`, `any title [ID]`.

A file that names the second comes first. Where several files of one name lie in different folders, the one in a folder
named like the label is meant.
"""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePath, PurePosixPath
from typing import Final

VIDEO_SUFFIXES: Final = (".mp4", ".webm", ".mkv", ".mov", ".avi", ".m4v", ".mpg", ".mpeg", ".3gp", ".flv", ".ts")
_NUMBER: Final = re.compile(r"\d+(?:\.\d+)?")
_TITLE: Final = re.compile(r".*\[([\w-]{11})\]")


def find_videos(folder: Path) -> dict[str, Path]:
    """All videos below a folder by id (path below it, without suffix), sorted.

    Raises:
        ValueError: if there is none, or two share an id.
    """
    if not folder.is_dir():
        raise ValueError(f"{folder} is not a folder of videos")
    found: dict[str, Path] = {}
    for path in _video_files(folder):
        name = path.relative_to(folder).with_suffix("").as_posix()
        if name in found:
            raise ValueError(f"{found[name]} and {path} would both get the id {name!r}: rename one")
        found[name] = path
    if not found:
        raise ValueError(f"{folder} holds no video ({', '.join(VIDEO_SUFFIXES)})")
    return found


def files_below(folder: Path) -> list[Path]:
    """All files below a folder, sorted. Links to folders are followed, after the folders that are no links; a folder
    that is come to again is left out, so a link to its own parent ends."""
    found: list[Path] = []
    seen, starts = set[str](), [folder]
    while starts:
        links: list[Path] = []
        for start in starts:
            for place, folders, files in os.walk(start):
                if (real := os.path.realpath(place)) in seen:
                    folders.clear()
                    continue
                seen.add(real)
                found += [Path(place, name) for name in files]
                links += [path for name in folders if (path := Path(place, name)).is_symlink()]
        starts = sorted(links)
    return sorted(found)


def _video_files(folder: Path) -> list[Path]:
    return [path for path in files_below(folder) if _is_video(path)]


def _is_video(path: PurePath) -> bool:
    return path.suffix.lower() in VIDEO_SUFFIXES and not path.name.startswith(".")


@dataclass(frozen=True)
class Found:
    """A file (path below the folder) for a line of a list, and whether it holds only the seconds that the line means.

    `fault` says in one line why there is none, and `video` is empty then.
    """

    video: str
    is_cut: bool = False
    fault: str | None = None
    kind: str = ""


class VideoFolder:
    """The videos below a folder, to be asked for by name."""

    def __init__(self, folder: Path) -> None:
        if not folder.is_dir():
            raise ValueError(f"{folder} is not a folder of videos: give the one that the list points into as --folder")
        self._folder = folder
        self._by_name: dict[str, list[str]] = defaultdict(list)
        depth = len(folder.parts)
        for path in _video_files(folder):
            self._by_name[path.stem].append("/".join(path.parts[depth:]))
        self._by_title = {found[1]: name for name in self._by_name if (found := _TITLE.fullmatch(name))}
        self._cuts: dict[tuple[str, float | None], list[str]] = defaultdict(list)
        """Names of files by YouTube id and the second at which they begin, and under None all of an id."""
        for stem in sorted(self._by_name):
            for name, seconds in _cuts(stem):
                for start_s in (None, *seconds):
                    self._cuts[name, start_s].append(stem)
        self._paths = {path for paths in self._by_name.values() for path in paths}

    def by_path(self, path: str) -> Found:
        """The video at a path below the folder, by whichever links it goes."""
        place = PurePosixPath(path)
        video = place.as_posix()
        if video in self._paths or (_is_inside(place) and _is_video(place) and os.path.isfile(self._folder / place)):
            return Found(video)
        return Found("", fault=f"no video {path}", kind="missing")

    def by_youtube_id(self, name: str, start_s: float | None, label: str | None) -> Found:
        """The video of a YouTube id: the cut that begins at `start_s` (any one cut if that is None), or the whole."""
        cuts = self._cuts.get((name, start_s), [])
        whole = [stem for stem in (name, f"Y{name}", self._by_title.get(name, "")) if stem in self._by_name]
        paths = [path for stem in cuts or whole for path in self._by_name[stem]]
        chosen = paths
        if len(paths) > 1 and label:
            chosen = [path for path in paths if _plain(label) in map(_plain, PurePosixPath(path).parts[:-1])] or paths
        if len(chosen) == 1:
            return Found(chosen[0], bool(cuts))
        if chosen:
            return Found("", fault=f"several files fit: {', '.join(chosen[:3])}", kind="ambiguous")
        names = [name] if start_s is None else [f"{name}_{int(start_s):06d}", f"{name}_{start_s:g}", name]
        return Found("", fault=f"no video is named {' or '.join(names)}", kind="missing")


def _is_inside(place: PurePosixPath) -> bool:
    return not place.is_absolute() and ".." not in place.parts


def _cuts(stem: str) -> Iterator[tuple[str, set[float]]]:
    """What the name of a file that is cut out may mean: a YouTube id, and the seconds at which it may begin.

    Ids may hold `_` themselves: `a_30_40` is `a` from 30 (or 0.03) on, or `a_30` from 40 on.
    """
    before, _, last = stem.rpartition("_")
    name, _, first = before.rpartition("_")
    if _NUMBER.fullmatch(last):
        yield before, {float(last)}
        if _NUMBER.fullmatch(first):
            yield name, {float(first), float(first) / 1000}


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", " ", name.lower()).strip()
