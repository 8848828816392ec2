"""Prepare splits: of the micro-world, made on the spot and cached, and of a CSV of the user's own media.

The micro-world's videos are written as real `.mp4` files and decoded like anybody's. Both the videos and the
prepared split stay in the cache folder, which is safe to delete.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from clipsonic_benchmarks.errors import BenchmarkError
from clipsonic_benchmarks.files import digest, file_digest
from clipsonic_benchmarks.progress import Progress
from clipsonic_benchmarks.split import FRAMES_PER_SECOND, RATE_HZ, Material, Split, is_prepared, read_split, write_split
from clipsonic_benchmarks.suite import SplitSpec

if TYPE_CHECKING:
    from clipsonic_benchmarks.microworld.factors import Factors

Advance = Callable[[int], None]
_CHUNK: Final = 20
_WORLD_SOURCES: Final = ("captions", "corpus", "factors", "frames", "sounds")
_COLUMNS: Final = ("video", "image", "caption", "sound")
_REAL_FRAMES_PER_SECOND: Final = 1.0
_REAL_SECONDS: Final = 30.0


def world_fingerprint() -> str:
    """What a split of the micro-world depends on beside its name, seed and n: the code that makes it, and the codec."""
    folder = Path(__file__).parent / "microworld"
    sources = {name: file_digest(folder / f"{name}.py") for name in _WORLD_SOURCES}
    return digest([sources, version("av")])[:8]


def prepare_world(cache: Path, what: SplitSpec, executor: Executor, workers: int, progress: Progress) -> Split:
    """A split of the micro-world: made, decoded and cached below `cache`; both are stages of `progress`.

    Raises:
        BenchmarkError: an unknown split, or a cache folder that holds something else.
    """
    folder = cache / "microworld" / f"{what.split}-seed{what.seed}-{world_fingerprint()}"
    prepared = folder / f"prepared-{what.n}"
    source = {"world": "microworld", "split": what.split, "seed": what.seed, "n": what.n}
    if is_prepared(prepared, source):
        return read_split(prepared)
    from clipsonic_benchmarks.microworld.corpus import write_corpus

    with progress.stage("videos", f"making {what.n} videos, split {what.split}", what.n) as advance:
        try:
            items = write_corpus(folder, what.split, what.n, what.seed, workers, advance)
        except ValueError as error:
            raise BenchmarkError(str(error)) from error
    videos = [folder / "videos" / f"{item.id}.mp4" for item in items]
    with progress.stage("decoding", f"decoding {what.n} videos, split {what.split}", what.n) as advance:
        decoded = _decode_all(videos, FRAMES_PER_SECOND, None, executor, advance)
        materials = (
            Material(item.id, item.caption, frame, samples, _levels(item.factors))
            for item, (frame, samples) in zip(items, decoded, strict=True)
        )
        write_split(prepared, materials, source)
    return read_split(prepared)


def _levels(factors: Factors) -> dict[str, int]:
    """Index of each factor's level, by factor."""
    return dict(zip(factors.as_dict(), factors.indices(), strict=True))


def decode(
    path: Path, frames_per_second: float, max_seconds: float | None
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Middle frame and mono sound (at `RATE_HZ`) of a video.

    Raises:
        BenchmarkError: a video that cannot be used, and why.
    """
    from clipsonic.video import VideoError, read_video

    try:
        video = read_video(path, RATE_HZ, frames_per_second, max_seconds)
    except VideoError as error:
        raise BenchmarkError(str(error)) from error
    return video.frames[len(video.frames) // 2], video.samples


def _decode_chunk(
    paths: Sequence[Path], frames_per_second: float, max_seconds: float | None
) -> list[tuple[NDArray[np.uint8], NDArray[np.float32]]]:
    return [decode(path, frames_per_second, max_seconds) for path in paths]


def _decode_all(
    paths: Sequence[Path], frames_per_second: float, max_seconds: float | None, executor: Executor, advance: Advance
) -> Iterator[tuple[NDArray[np.uint8], NDArray[np.float32]]]:
    chunks = [paths[start : start + _CHUNK] for start in range(0, len(paths), _CHUNK)]
    waiting = [executor.submit(_decode_chunk, chunk, frames_per_second, max_seconds) for chunk in chunks]
    try:
        while waiting:
            for decoded in waiting.pop(0).result():
                advance(1)
                yield decoded
    finally:
        for future in waiting:
            future.cancel()


def prepare_csv(cache: Path, table: Path, executor: Executor, advance: Advance) -> Split:
    """The items of a CSV: `id`, and any of `video`, `image`, `caption`, `sound`; paths are relative to the CSV.

    A video gives the item its frame and its sound, an image its frame, a sound its sound. Sounds are prepared at
    `RATE_HZ`, mono. Every file that cannot be used is named in one error.

    Raises:
        BenchmarkError: a missing column, an id that is empty or there twice, a cell that contradicts another, or files
            that cannot be used.
    """
    rows = read_table(table)
    files = {str(path): file_digest(path) for row in rows for path in _files(row)}
    source = {"csv_sha256": file_digest(table), "csv": str(table.resolve()), "files": files}
    folder = cache / "folders" / digest(source)[:16]
    if is_prepared(folder, source):
        advance(len(rows))
        return read_split(folder)
    waiting = [executor.submit(_material, row) for row in rows]
    materials, faults = [], []
    for future in waiting:
        try:
            materials.append(future.result())
        except BenchmarkError as error:
            faults.append(str(error))
        advance(1)
    if faults:
        raise BenchmarkError(
            f"{len(faults)} of {len(rows)} items of {table} cannot be used: {'; '.join(faults)}. Mend or remove them"
        )
    write_split(folder, materials, source)
    return read_split(folder)


def read_table(table: Path) -> list[dict[str, Any]]:
    """Rows of the CSV, empty cells as None, paths resolved and known to exist.

    Raises:
        BenchmarkError: as `prepare_csv`.
    """
    if not table.is_file():
        raise BenchmarkError(
            f"{table} is not a file; expected a CSV with the column id and any of {', '.join(_COLUMNS)}"
        )
    try:
        with table.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            found = [name.strip() for name in reader.fieldnames or ()]
            reader.fieldnames = found
            lines = list(reader)
    except (UnicodeDecodeError, csv.Error) as error:
        raise BenchmarkError(f"{table} is not a CSV in UTF-8 ({error})") from None
    if "id" not in found or not set(found) & set(_COLUMNS):
        missing = "id" if "id" not in found else f"any of {', '.join(_COLUMNS)}"
        raise BenchmarkError(f"{table} has no column {missing}; found {', '.join(found) or 'none'}")
    rows = [_row(table, number, line) for number, line in enumerate(lines, start=2)]
    if not rows:
        raise BenchmarkError(f"{table} has a header and no rows; expected one row per item")
    ids = [row["id"] for row in rows]
    for number, id in enumerate(ids):
        if id in ids[:number]:
            raise BenchmarkError(f"{table}: id {id!r} is there twice; every item needs an id of its own")
    missing_files = [str(path) for row in rows for path in _files(row) if not path.is_file()]
    if missing_files:
        raise BenchmarkError(f"{table} names {len(missing_files)} files that do not exist: {', '.join(missing_files)}")
    return rows


def _row(table: Path, number: int, line: dict[str, str | None]) -> dict[str, Any]:
    cells = {name: (line.get(name) or "").strip() or None for name in ("id", *_COLUMNS)}
    where = f"{table}, line {number}"
    if cells["id"] is None:
        raise BenchmarkError(f"{where}: the id is empty")
    if Path(cells["id"]).is_absolute() or ".." in Path(cells["id"]).parts:
        raise BenchmarkError(f"{where}: id {cells['id']!r} would be a path outside the results; rename it")
    if all(cells[name] is None for name in _COLUMNS):
        raise BenchmarkError(f"{where}: item {cells['id']!r} has none of {', '.join(_COLUMNS)}")
    for other in ("image", "sound"):
        if cells["video"] is not None and cells[other] is not None:
            raise BenchmarkError(f"{where}: item {cells['id']!r} has a video and a {other}; leave one of them out")
    row: dict[str, Any] = {"id": cells["id"], "caption": cells["caption"]}
    for name in ("video", "image", "sound"):
        path = cells[name]
        row[name] = table.parent / path if path is not None else None
    return row


def _files(row: dict[str, Any]) -> list[Path]:
    return [row[name] for name in ("video", "image", "sound") if row[name] is not None]


def _material(row: dict[str, Any]) -> Material:
    frame: NDArray[np.uint8] | None = None
    samples: NDArray[np.float32] | None = None
    if row["video"] is not None:
        frame, samples = decode(row["video"], _REAL_FRAMES_PER_SECOND, _REAL_SECONDS)
    if row["image"] is not None:
        frame = _picture(row["image"])
    if row["sound"] is not None:
        samples = _samples(row["sound"], row["id"])
    return Material(row["id"], row["caption"], frame, samples)


def _picture(path: Path) -> NDArray[np.uint8]:
    from clipsonic_metrics.errors import MetricsError
    from clipsonic_metrics.images import read_pictures

    try:
        return read_pictures(path)[0]
    except MetricsError as error:
        raise BenchmarkError(str(error)) from error


def _samples(path: Path, id: str) -> NDArray[np.float32]:
    from clipsonic_metrics.errors import MetricsError
    from clipsonic_metrics.sound import read_sound

    try:
        sound = read_sound(path, id)
    except MetricsError as error:
        raise BenchmarkError(str(error)) from error
    fault = sound.fault()
    if fault is not None:
        raise BenchmarkError(f"{path} is {fault}")
    return sound.resampled(RATE_HZ)
