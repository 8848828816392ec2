"""`generate`: queries to sounds."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, TypeVar

import typer

from clipsonic.commands.console import (
    Json,
    check_json,
    find_model,
    start_progress,
    tell,
    tell_cut,
    tell_turned_down,
)

if TYPE_CHECKING:
    from rich.progress import Progress

    from clipsonic.pipeline import GeneratedAudio
    from clipsonic.queries import Queries

_Value = TypeVar("_Value")


class Precision(StrEnum):
    """Of the network's arithmetic."""

    float32 = "float32"
    bfloat16 = "bfloat16"


_PICTURES: Final = 256
"""Pictures in memory at a time while they are looked at."""
_Make = Callable[[int, Sequence[int]], "GeneratedAudio"]
"""A seed, and rows of the queries, to their sounds."""
_Made = tuple[list[dict[str, Any]], list[float | None]]
"""For each seed what its run wrote; the gains of all sounds."""


def generate(
    model: Annotated[str, typer.Argument(help="A model folder, a hub id, or the name of one that ships (micro).")],
    out: Annotated[Path, typer.Option(help="Folder of sounds with a manifest; or X.wav, for one query and seed.")],
    text: Annotated[list[str] | None, typer.Option(help="A prompt.")] = None,
    image: Annotated[
        list[Path] | None, typer.Option(help="A picture; repeated, several frames of one scene: their mean.")
    ] = None,
    images: Annotated[list[Path] | None, typer.Option(help="Folder of pictures: one sound each.")] = None,
    prompts: Annotated[
        list[Path] | None, typer.Option(help="CSV with the columns id and caption: one sound each.")
    ] = None,
    vectors: Annotated[
        list[Path] | None,
        typer.Option(help=".npz of condition vectors, as `clipsonic-metrics embed` writes: one sound each."),
    ] = None,
    data: Annotated[
        list[Path] | None,
        typer.Option(help="Prepared data: one sound for the middle frame of each clip, or by a text route its text."),
    ] = None,
    route: Annotated[
        str | None, typer.Option(help="image, text, text+shift, text+prior-pd, text+prior-sd, unconditional.")
    ] = None,
    seed: Annotated[
        list[int] | None, typer.Option(help="Seed of the noise; repeated, one folder of sounds for each. [default: 0]")
    ] = None,
    guidance_scale: Annotated[float | None, typer.Option(help="Classifier-free guidance; 1 is none.")] = None,
    sampler: Annotated[str | None, typer.Option(help="dpm-solver++ (default), ddpm, ddim, unipc, heun or edm.")] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="Sampler steps.")] = None,
    prior: Annotated[
        str | None, typer.Option(help="karlo, or a folder of `train-prior`, in the place of the model's prior_pd.")
    ] = None,
    prior_samples: Annotated[
        int | None,
        typer.Option(min=1, help="Draws of the prior for a text; the one nearest is kept. [default: the prior's]"),
    ] = None,
    prior_guidance_scale: Annotated[
        float | None, typer.Option(help="Guidance of the prior. [default: the prior's]")
    ] = None,
    prior_steps: Annotated[
        int | None, typer.Option(min=1, help="Sampler steps of the prior. [default: the prior's]")
    ] = None,
    vocoder: Annotated[str | None, typer.Option(help="Another vocoder than the model's: see the README.")] = None,
    vocoder_weights: Annotated[
        Path | None, typer.Option(help="Folder of a BigVGAN's config.json and bigvgan_generator.pt.")
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    precision: Annotated[Precision, typer.Option(help="bfloat16 is faster on a GPU.")] = Precision.float32,
    batch_size: Annotated[
        int | None, typer.Option(min=1, help="Sounds made together. [default: 1 on a CPU, 10 on a GPU]")
    ] = None,
    json_file: Json = None,
) -> None:
    """Generate sounds from texts, pictures, prepared clips, or stored vectors. The same command goes on if stopped.

    Example: clipsonic generate micro --text "two large wooden drums in a hall" --out drums.wav
    """
    from clipsonic.generation import MANIFEST
    from clipsonic.queries import read_queries

    seeds = list(dict.fromkeys(seed or [0]))
    check_json(json_file, out.parent if _is_file(out) else out)
    queries = read_queries(
        _once("--text", text), image or (), _once("--images", images), _once("--prompts", prompts),
        _once("--vectors", vectors), _once("--data", data), route,
    )  # fmt: skip
    _check_place(out, queries, seeds)
    from clipsonic.commands.making import Making  # torch and diffusers, which a mistake above need not wait for
    from clipsonic.devices import find_device
    from clipsonic.routes import Asker, PriorChoice, choose_route

    folder, where = find_model(model), find_device(device)
    together = batch_size or (10 if where.startswith("cuda") else 1)
    making = Making(guidance_scale, steps, sampler, vocoder, vocoder_weights, precision.value, together, where)
    pipeline = making.open(model)
    choice = PriorChoice(prior, prior_guidance_scale, prior_steps, prior_samples)
    chosen = choose_route(pipeline, queries, route, choice)
    making.check(pipeline, chosen)
    asker = Asker(pipeline, queries, chosen, choice, together)
    tell_cut(asker.cut_texts)
    if asker.doubt is not None:
        typer.echo(asker.doubt, err=True)
    plan = making.plan(pipeline, folder, chosen, prior, asker.sampling)
    make = partial(making.make, pipeline, asker, queries.ids)
    with _held(out, seeds), start_progress() as progress:
        if _is_file(out):
            runs, gains = _one_file(out, queries, seeds[0], make, progress)
        else:
            runs, gains = _folders(out, queries, seeds, plan, make, together, progress)
    tell_turned_down(gains, f"gain in the comment of {out.name}" if _is_file(out) else f"column gain of {MANIFEST}")
    record = {"route": chosen, "rate_hz": pipeline.what.mel.rate_hz, "runs": runs}
    tell(json_file, record, f"{len(gains)} sound{'s' * (len(gains) > 1)} by route {chosen!r}: {out}")


def _is_file(out: Path) -> bool:
    """Whether one sound is asked for, and no folder."""
    return out.suffix.lower() == ".wav"


def _check_place(out: Path, queries: Queries, seeds: Sequence[int]) -> None:
    from clipsonic.generation import check_ids, check_place

    check_ids(queries.ids)
    check_place(out, len(seeds))
    if _is_file(out) and (len(queries.ids) > 1 or len(seeds) > 1):
        raise ValueError(
            f"--out {out} is one file, for one query and one seed; given {len(queries.ids)} and {len(seeds)}: "
            "give a folder"
        )


def _one_file(out: Path, queries: Queries, seed: int, make: _Make, progress: Progress) -> _Made:
    from clipsonic.sounds import write_wav

    task = progress.add_task("sounds", total=1)
    made = make(seed, [0])
    write_wav(out, made.samples[0], made.rate_hz, made.gain[0])
    progress.advance(task)
    return [{"seed": seed, "sounds": {queries.ids[0]: str(out)}}], [float(made.gain[0])]


def _folders(
    out: Path,
    queries: Queries,
    seeds: Sequence[int],
    plan: dict[str, Any],
    make: _Make,
    batch_size: int,
    progress: Progress,
) -> _Made:
    """A folder of sounds for each seed. What is there of another command is told before anything is made."""
    from clipsonic.commands.progress import resumed
    from clipsonic.generation import MANIFEST, check_plan, missing, queries_digest, whole_plan, write_sounds

    digest = queries_digest(queries)
    for other in out.glob("seed-*") if len(seeds) > 1 else ():
        check_plan(other, whole_plan(plan, digest), ("seed",))
    places = {seed: out if len(seeds) == 1 else out / f"seed-{seed}" for seed in seeds}
    plans = {seed: whole_plan({**plan, "seed": seed}, digest) for seed in seeds}
    for seed, place in places.items():
        check_plan(place, plans[seed])
    left = {row for place in places.values() for row in missing(place, queries.ids)}
    if plan["route"] != "unconditional":  # which takes ids alone
        _check_pictures(queries, sorted(left), progress)
    task = progress.add_task("sounds", total=len(queries.ids) * len(seeds))
    runs: list[dict[str, Any]] = []
    gains: list[float | None] = []
    for seed, place in places.items():
        advance = resumed(progress, task)
        sounds = write_sounds(place, queries, plans[seed], partial(make, seed), batch_size, advance)
        files = {name: str(sound.file) for name, sound in sounds.items()}
        runs.append({"seed": seed, "manifest": str(place / MANIFEST), "sounds": files})
        gains += [sound.gain for sound in sounds.values()]
    return runs, gains


def _check_pictures(queries: Queries, rows: Sequence[int], progress: Progress) -> None:
    """Tell before the first sound, and not after hours, of a picture that cannot be read.

    Only decoding finds one that is cut short; Pillow decodes several side by side.
    """
    from concurrent.futures import ThreadPoolExecutor

    from clipsonic.queries import Pictures, read_picture

    if isinstance(queries, Pictures) and rows:
        files = [file for row in rows for file in queries.files[row]]
        with ThreadPoolExecutor() as pool:
            for part in progress.track(range(0, len(files), _PICTURES), description="pictures"):
                for _ in pool.map(read_picture, files[part : part + _PICTURES]):
                    pass


@contextmanager
def _held(out: Path, seeds: Sequence[int]) -> Iterator[None]:
    """Keep other commands from the sounds of this one: the file, the folder, or of several seeds the folder of each.

    Raises:
        ValueError: another process is at work there.
    """
    from clipsonic.claim import LOCK, claimed

    with ExitStack() as held:
        if _is_file(out):
            held.enter_context(claimed(out.parent, f".{out.name}{LOCK}"))
        elif len(seeds) == 1:
            held.enter_context(claimed(out))
        else:
            if not out.exists():
                held.callback(_remove_empty, out)
            for each in seeds:
                held.enter_context(claimed(out / f"seed-{each}"))
        yield


def _remove_empty(folder: Path) -> None:
    with suppress(OSError):
        folder.rmdir()


def _once(name: str, values: list[_Value] | None) -> _Value | None:
    """The value of an option that may be given once; of several, all but the last would be passed over."""
    if values and len(values) > 1:
        raise ValueError(f"{name} is given {len(values)} times: give it once")
    return values[0] if values else None
