"""`prepare`: videos to training data."""

from __future__ import annotations

import os
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from clipsonic.commands.console import Json, check_json, start_progress, tell
from clipsonic.commands.course import is_first_process

if TYPE_CHECKING:
    from clipsonic.lists import Item

_CLIP_BYTES: Final = 3e9
"""Of a GPU's memory, for one worker's ViT-L/14 in float32 with a batch of pictures."""
_VIDEOS_A_WORKER: Final = 16
"""Fewer clips are done before a second process has started."""
_BYTES_A_FILM: Final = 20e6
"""Of videos that are taken whole, fewer are done before that."""


class Cut(StrEnum):
    """How many clips a video gives."""

    FIRST = "first"
    ALL = "all"


def prepare(
    videos: Annotated[Path, typer.Argument(help="Folder tree of videos; or a list, CSV or JSON, of some of a folder.")],
    out: Annotated[Path, typer.Option(help="Folder to write the prepared data into.")],
    folder: Annotated[
        Path | None, typer.Option(help="With a list: the folder tree its videos are in. Default: the list's own.")
    ] = None,
    split: Annotated[str | None, typer.Option(help="With a list: only the lines of this split.")] = None,
    trimmed: Annotated[
        bool, typer.Option("--trimmed", help="With a list: the files hold only the seconds listed.")
    ] = False,
    captions: Annotated[Path | None, typer.Option(help="CSV with the columns id and caption.")] = None,
    preset: Annotated[str, typer.Option(help="Preset that defines the mel spectrogram and the CLIP.")] = "micro",
    clip: Annotated[
        str | None,
        typer.Option(help="micro, a folder, or ARCHITECTURE/TAG of open_clip. Default: the preset's, which it needs."),
    ] = None,
    fps: Annotated[float, typer.Option(help="Frames a second to keep as CLIP vectors.")] = 1.0,
    cut: Annotated[Cut, typer.Option(help="Clips of a video: the first, or all, one after another.")] = Cut.FIRST,
    device: Annotated[str, typer.Option(help="Where CLIP runs: cpu, or cuda.")] = "cpu",
    workers: Annotated[
        int | None,
        typer.Option(min=1, help="Processes, each with a CLIP. Default: by cores, videos and a GPU's memory."),
    ] = None,
    json_file: Json = None,
) -> None:
    """Turn videos into training data: log-mel spectrograms and CLIP frame vectors.

    Repeat the command to continue after an interruption. Under torchrun, all ranks share the work.

    Example: clipsonic prepare vggsound.csv --folder videos --split train --preset base --out data
    """
    from clipsonic.lists import add_captions, items_of_folder, items_of_list, read_captions

    if not out.name or out.name == "..":
        raise ValueError(f"--out {out} has no name of its own: name the folder that is to be made")
    check_json(json_file, out)
    if videos.is_file():
        root = folder or videos.parent
        items = items_of_list(videos, root, split, trimmed)
        if is_first_process():
            there = sum(item.fault is None for item in items)
            typer.echo(f"{len(items)} listed, {there} with a file", err=True)
    else:
        if given := [name for name, on in (("--folder", folder), ("--split", split), ("--trimmed", trimmed)) if on]:
            raise ValueError(
                f"{' and '.join(given)} belong{'s' * (len(given) == 1)} to a list of videos, and {videos} is not a file"
            )
        root, items = videos, items_of_folder(videos)
    if captions is not None:
        items = add_captions(items, read_captions(captions))
    from clipsonic.clips import Preparation  # torch and diffusers, which a mistake above need not wait for
    from clipsonic.prepare import Place
    from clipsonic.prepare import prepare as run
    from clipsonic.preset import load_preset
    from clipsonic.shards import of_open_end

    place = Place.of_environment()
    chosen = load_preset(preset)
    how = Preparation(chosen.mel, chosen.clip if clip is None else clip, fps, cut.value, _own(device))
    worth = _films(root, items) if of_open_end(items, how) else len(items) // _VIDEOS_A_WORKER
    with start_progress() as progress:
        task = progress.add_task("videos", total=None, visible=place.rank == 0)

        def report(done: int, total: int) -> None:
            if total == progress.tasks[0].total:
                progress.update(task, completed=done)
                return
            said = "videos" if total == len(items) else "videos of one rank"
            progress.reset(task, total=total, completed=done, description=said, found=done)

        counts = run(
            root,
            items,
            out,
            how,
            workers=workers or _workers(worth, how.device),
            place=place,
            report=report,
        )
    if counts is None:
        return
    tell(
        json_file,
        {**counts._asdict(), "out": str(out)},
        f"{counts.prepared} clip{'s' * (counts.prepared != 1)} prepared in {out}",
    )
    if counts.skipped:
        typer.echo(f"{counts.skipped} skipped ({_kinds(out)}): see {out / 'skipped.jsonl'}", err=True)
    if counts.padded:
        told = (
            "1 sound ends up to a tenth early and was"
            if counts.padded == 1
            else f"{counts.padded} sounds end up to a tenth early and were"
        )
        typer.echo(f"{told} padded with silence", err=True)
    if counts.cut_texts:
        typer.echo(f"{counts.cut_texts} clips have a text longer than CLIP's context: it read the beginning", err=True)
    typer.echo(f"next: clipsonic train {preset} --data {out} --out run", err=True)


def _own(device: str) -> str:
    """This rank's device: under torchrun, each rank of a machine has a GPU of its own."""
    import torch

    kind, _, number = device.partition(":")
    if kind not in ("cpu", "cuda"):
        raise ValueError(f"--device {device!r}: choose cpu or cuda")
    if kind == "cpu" or number:
        return device
    if not torch.cuda.is_available():
        raise ValueError("--device cuda: torch finds no GPU here; choose cpu")
    return f"cuda:{int(os.environ.get('LOCAL_RANK', '0')) % torch.cuda.device_count()}"


def _films(root: Path, items: Sequence[Item]) -> int:
    """How many processes videos that are taken whole are worth: at most one each."""
    sizes = ((root / item.video).stat().st_size for item in items if item.fault is None)
    return int(min(len(items), sum(sizes) / _BYTES_A_FILM))


def _workers(worth: int, device: str) -> int:
    """As many as the videos are worth, but at most one a core, shared by the ranks of this machine.

    On a GPU, at most as many as its free memory holds CLIPs.
    """
    most = (os.cpu_count() or 1) // int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    if device.startswith("cuda"):
        import torch

        free, _ = torch.cuda.mem_get_info(device)
        most = min(most, int(0.8 * free / _CLIP_BYTES))
    return max(1, min(most, worth))


def _kinds(out: Path) -> str:
    """How many were skipped for what."""
    import json

    kinds = json.loads((out / "prepared.json").read_text(encoding="utf-8"))["skipped_kinds"]
    return ", ".join(f"{count} {kind}" for kind, count in kinds.items())
