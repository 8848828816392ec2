"""`prepare`: videos to an Arrow dataset of log-mel spectrograms and CLIP vectors (`clipsonic.prepared` reads it).

Work is shared out in shards (`clipsonic.shards`), over processes and over the ranks of `torchrun`; the ranks meet in
the file system alone. Until all is done, everything lies in `.NAME.part` beside the folder `NAME` to be, finished
shards whole: the same command goes on there after any end, and any other command is refused. Then the folder is there
at once, with `prepared.json` (what it was made with, counts, digests) and `skipped.jsonl` (what could not be used, with
the reason). It is an error only if nothing could be used.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final, NamedTuple

from datasets import DatasetInfo

from clipsonic.claim import claimed
from clipsonic.clips import Preparation
from clipsonic.lists import Item
from clipsonic.prepared import LATER_CLIP, SCHEMA
from clipsonic.shards import Columns, Record, Shard, clip_for, read_record, shards_of, text_of
from clipsonic.sounds import replace_text
from clipsonic.workers import write_shards

Report = Callable[[int, int], None]
_LIBRARIES: Final = ("av", "soxr", "numpy", "torch", "open_clip_torch", "pillow", "pyarrow", "datasets")
_POLL_S: Final = 0.2


class Prepared(NamedTuple):
    """Clips that became training data; videos, or clips of one, that were skipped; clips that were padded; clips whose
    text is longer than what CLIP reads."""

    prepared: int
    skipped: int
    padded: int
    cut_texts: int = 0


@dataclass(frozen=True)
class Place:
    """Which of how many processes that share the work this is."""

    rank: int = 0
    world: int = 1

    @classmethod
    def of_environment(cls) -> Place:
        """As `torchrun` says."""
        return cls(int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1")))


def prepare(
    folder: Path,
    items: Sequence[Item],
    out: Path,
    how: Preparation,
    *,
    workers: int = 1,
    place: Place | None = None,
    report: Report | None = None,
) -> Prepared | None:
    """Prepare items, videos below `folder`, as the folder `out`; go on where an earlier call was stopped.

    Args:
        workers: processes of this rank; each holds a CLIP of its own.
        report: called with (items done, items to do) of this rank, first with what an earlier call has done; then, on
            rank 0, with those of all ranks while it waits for them.

    Returns:
        The counts, on rank 0, which waits for the others; None on the others.

    Raises:
        ValueError: an item without text where others have one, `out` not empty, an unfinished preparation of something
            else, another process at the same work, or nothing that could be used.
        OSError: a full disk; what is finished is kept.
    """
    place = place or Place()
    columns, shards = _check(items), shards_of(items, how)
    plan, part = _plan(folder, items, how), out.with_name(f".{out.name}.part")
    if (done := _finished(out, plan)) is not None:
        shutil.rmtree(part, ignore_errors=True)
        return done if place.rank == 0 else None
    mine = shards[place.rank :: place.world]
    if place.rank and all(read_record(part, shard) for shard in mine):
        return None
    with _claimed(part, plan, place):
        to_do = [shard for shard in mine if read_record(part, shard) is None]
        total, ready = _count(mine), _count(mine) - _count(to_do)
        if report is not None:
            report(ready, total)
        write_shards(part, folder, to_do, how, columns, workers, lambda n: report(ready + n, total) if report else None)
        if place.rank:
            return None
        records = _gather(part, shards, report)
        return _finish(part, out, shards, records, how, columns, plan)


def _count(shards: Sequence[Shard]) -> int:
    return sum(len(shard.items) for shard in shards)


def _check(items: Sequence[Item]) -> Columns:
    """Which texts there are: of all items or of none. No two clips may share an id, however many are cut."""
    if not items:
        raise ValueError("there is nothing to prepare: the list of videos is empty")
    columns = Columns(any(item.caption for item in items), any(item.label for item in items))
    if columns.texts and (without := [i.id for i in items if i.fault is None and text_of(i) is None]):
        raise ValueError(f"{len(without)} videos have neither caption nor label, the first is {without[0]!r}")
    ids = {item.id for item in items}
    for name in ids:
        if (later := LATER_CLIP.fullmatch(name)) and later[1] in ids:
            raise ValueError(f"{name!r} would be the id of a later clip of {later[1]!r} too: rename one")
    return columns


def _plan(folder: Path, items: Sequence[Item], how: Preparation) -> dict[str, str]:
    """Everything that decides the data, by the name a user knows it by."""
    listed = hashlib.sha256()
    for item in items:
        size = os.stat(os.path.join(folder, item.video)).st_size if item.fault is None else 0
        listed.update(json.dumps([*vars(item).values(), size]).encode())  # `asdict` copies, for seconds in long lists
    return {
        "list of videos": f"{len(items)}, sha256 {listed.hexdigest()}",
        "mel definition": json.dumps(how.mel.as_dict()),
        "CLIP": clip_for(how.clip, how.device).digest,
        "--fps": str(how.frames_per_second),
        "--cut": how.cut,
        "--device": how.device.partition(":")[0],
    }


def _finished(out: Path, plan: dict[str, str]) -> Prepared | None:
    """The counts of what is already there, if this is it; None if nothing is there."""
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return None
    if not (out / "prepared.json").is_file():
        raise ValueError(f"{out} is not empty: choose another --out, or remove it")
    record = json.loads((out / "prepared.json").read_text(encoding="utf-8"))
    if record["schema"] != SCHEMA:
        raise ValueError(f"{out} holds data of schema {record['schema']}: choose another --out, or remove it")
    _same(record["plan"], plan, f"{out} holds data prepared", "choose another --out")
    return Prepared(**{name: record[name] for name in Prepared._fields if name in record})


def _same(found: dict[str, str], plan: dict[str, str], what: str, remedy: str) -> None:
    if differs := [name for name, value in plan.items() if found.get(name) != value]:
        raise ValueError(f"{what} with another {' and another '.join(differs)}: {remedy}")


@contextmanager
def _claimed(part: Path, plan: dict[str, str], place: Place) -> Iterator[None]:
    """Hold the working folder for this rank, as the one of this plan."""
    with claimed(part, f"lock-{place.rank}"):
        for folder in ("data", "records"):
            (part / folder).mkdir(exist_ok=True)
        mark = part / "plan.json"
        if mark.exists():
            remedy = "repeat its own command, remove that folder, or choose another --out"
            _same(json.loads(mark.read_text(encoding="utf-8")), plan, f"{part} holds an unfinished preparation", remedy)
        else:
            mine = part / f".plan-{place.rank}.part"  # the ranks come at the same moment, with the same plan
            mine.write_text(json.dumps({"schema": 1, **plan}, indent=1) + "\n", encoding="utf-8")
            os.replace(mine, mark)
        yield


def _gather(part: Path, shards: Sequence[Shard], report: Report | None) -> list[Record]:
    """The records of all shards; those of other ranks are waited for."""
    found = [read_record(part, shard) for shard in shards]
    while None in found:
        if report is not None:
            done = [shard for shard, record in zip(shards, found, strict=True) if record is not None]
            report(_count(done), _count(shards))
        time.sleep(_POLL_S)
        found = [record or read_record(part, shard) for shard, record in zip(shards, found, strict=True)]
    return [record for record in found if record is not None]


def _finish(
    part: Path,
    out: Path,
    shards: Sequence[Shard],
    records: Sequence[Record],
    how: Preparation,
    columns: Columns,
    plan: dict[str, str],
) -> Prepared:
    """Write what stands beside the shards, and put the whole folder in its place."""
    skipped = [each for record in records for each in record.skipped]
    rows, padded, cut_texts = (sum(getattr(r, name) for r in records) for name in ("rows", "padded", "cut_texts"))
    counts = Prepared(rows, len(skipped), padded, cut_texts)
    if not counts.prepared:
        shutil.rmtree(part)
        reasons = "; ".join(f"{each['file'] or each['id']}: {each['reason']}" for each in skipped[:3])
        raise ValueError(f"none of {_count(shards)} videos could be prepared ({reasons})")
    clip, data = clip_for(how.clip, how.device), part / "data"
    files = {f"{s.name}.arrow": r.sha256 for s, r in zip(shards, records, strict=True) if r.rows}
    made_of = {"mel": how.mel.as_dict(), "clip_sha256": clip.digest, "files": list(files.values())}
    digest = hashlib.sha256(json.dumps(made_of, sort_keys=True).encode()).hexdigest()
    DatasetInfo(features=columns.features(how.mel, clip.dim)).write_to_directory(str(data))
    _write(data / "state.json", _state(list(files), digest))
    lines = "".join(json.dumps({"schema": 1, **each}, ensure_ascii=False) + "\n" for each in skipped)
    replace_text(data / "skipped.jsonl", lines)
    record = {
        "schema": SCHEMA,
        "clip": how.clip,
        "clip_sha256": clip.digest,
        "clip_dim": clip.dim,
        "mel": how.mel.as_dict(),
        "frames_per_second": how.frames_per_second,
        "cut": how.cut,
        "videos": _count(shards),
        **counts._asdict(),
        "skipped_kinds": dict(sorted(Counter(each["kind"] for each in skipped).items())),
        "digest": digest,
        "files": files,
        "plan": plan,
        "made_with": {name: version(name) for name in _LIBRARIES},
    }
    _write(data / "prepared.json", record)
    for stray in {*data.glob(".*.part"), *data.glob("*.arrow")} - {data / name for name in files}:
        stray.unlink()  # half written, or shared out by an earlier version
    if out.exists():
        out.rmdir()
    os.replace(data, out)
    shutil.rmtree(part, ignore_errors=True)
    return counts


def _write(path: Path, record: dict[str, Any]) -> None:
    replace_text(path, json.dumps(record, indent=1, ensure_ascii=False) + "\n")


def _state(files: list[str], digest: str) -> dict[str, Any]:
    """What `datasets.load_from_disk` wants to know of a folder of Arrow files."""
    return {
        "_data_files": [{"filename": name} for name in files],
        "_fingerprint": digest[:16],
        "_format_columns": None,
        "_format_kwargs": {},
        "_format_type": None,
        "_output_all_columns": False,
        "_split": None,
    }
