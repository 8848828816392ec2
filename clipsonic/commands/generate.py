"""`generate`: queries to sounds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from clipsonic.commands.console import Json, check_json, find_model, open_model, start_progress, tell, tell_cut

_Value = TypeVar("_Value")


class Precision(StrEnum):
    """Of the network's arithmetic."""

    float32 = "float32"
    bfloat16 = "bfloat16"


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
    """Generate sounds from a text, pictures, a list of prompts, or stored vectors. The same command goes on if stopped.

    Example: clipsonic generate micro --text "two large wooden drums in a hall" --out drums.wav
    """
    from clipsonic.generation import (
        MANIFEST,
        check_ids,
        check_place,
        check_plan,
        folder_digest,
        weights_identity,
        whole_plan,
        write_sounds,
    )
    from clipsonic.queries import read_queries
    from clipsonic.sounds import write_wav

    alone = out.suffix.lower() == ".wav"
    check_json(json_file, out.parent if alone else out)
    queries = read_queries(
        _once("--text", text), image or (), _once("--images", images), _once("--prompts", prompts),
        _once("--vectors", vectors),
    )  # fmt: skip
    check_ids(queries.ids)
    seeds = list(dict.fromkeys(seed or [0]))
    check_place(out, len(seeds))
    if alone and (len(queries.ids) > 1 or len(seeds) > 1):
        raise ValueError(
            f"--out {out} is one file, for one query and one seed; given {len(queries.ids)} and {len(seeds)}: "
            "give a folder"
        )
    from clipsonic.devices import find_device  # torch and diffusers, which a mistake above need not wait for
    from clipsonic.diffusion import sampler_name
    from clipsonic.karlo import is_karlo, karlo_folder
    from clipsonic.routes import Asker, PriorChoice, choose_route
    from clipsonic.vocoders import vocoder_folder

    folder, where = find_model(model), find_device(device)
    pipeline = open_model(model).to(where)
    if vocoder is not None or vocoder_weights is not None:
        pipeline.use_vocoder(vocoder or pipeline.what.vocoder, vocoder_weights)
    how = PriorChoice(prior, prior_guidance_scale, prior_steps, prior_samples)
    chosen = choose_route(pipeline, queries, route, how)
    if chosen == "unconditional" and guidance_scale is not None:
        raise ValueError("--guidance-scale is not for the route 'unconditional', which has nothing to be guided to")
    pipeline.check_sampling(guidance_scale, steps, sampler)
    _ = pipeline.vocoder  # whatever may be refused is, before anything is written
    together = batch_size or (10 if where.startswith("cuda") else 1)
    asker = Asker(pipeline, queries, chosen, how, together)
    tell_cut(asker.cut_texts)
    if asker.doubt is not None:
        typer.echo(asker.doubt, err=True)
    heard_by, what = vocoder or pipeline.what.vocoder, pipeline.what
    sampling = asker.sampling
    sounding = vocoder_folder(heard_by, vocoder_weights)
    scale = what.guidance_scale if guidance_scale is None else guidance_scale
    plan: dict[str, Any] = {
        "model": folder.name,
        "model_sha256": folder_digest(folder),
        "route": chosen,
        "prior": prior,
        "prior_weights": None
        if prior is None
        else weights_identity(karlo_folder(prior) if is_karlo(prior) else Path(prior)),
        "prior_sampling": None if sampling is None else asdict(sampling),
        "guidance_scale": 1.0 if chosen == "unconditional" else scale,
        "sampler": sampler or sampler_name(pipeline.scheduler, what.diffusion),
        "steps": what.steps if steps is None else steps,
        "vocoder": heard_by,
        "vocoder_weights": None if sounding is None else weights_identity(sounding),
        "precision": precision.value,
        "batch_size": together,
        "device": where,
    }
    runs = []
    with _held(out, seeds), start_progress() as progress:
        for other in out.glob("seed-*") if len(seeds) > 1 else ():
            check_plan(other, whole_plan(plan, queries), ("seed",))
        total = len(queries.ids) * len(seeds)
        drawing = progress.add_task("vectors", total=total, visible=asker.takes_long)
        task = progress.add_task("sounds", total=total)
        for each in seeds:
            condition = asker.conditions(each, lambda n: progress.advance(drawing, n))

            def make(rows: Any, condition: Any = condition, each: int = each) -> Any:
                return pipeline.generate(
                    None if condition is None else condition[list(rows)],
                    [queries.ids[row] for row in rows],
                    seed=each,
                    guidance_scale=guidance_scale,
                    steps=steps,
                    sampler=sampler,
                    batch_size=together,
                    precision=precision.value,
                )

            if alone:
                made = make([0])
                write_wav(out, made.samples[0], made.rate_hz)
                progress.advance(task)
                runs.append({"seed": each, "sounds": {queries.ids[0]: str(out)}})
                continue
            place = out if len(seeds) == 1 else out / f"seed-{each}"
            files = write_sounds(
                place, queries, {**plan, "seed": each}, make, together, lambda n: progress.advance(task, n)
            )
            sounds = {name: str(path) for name, path in files.items()}
            runs.append({"seed": each, "manifest": str(place / MANIFEST), "sounds": sounds})
    record = {"route": chosen, "rate_hz": pipeline.what.mel.rate_hz, "runs": runs}
    tell(json_file, record, f"{total} sound{'s' * (total > 1)} by route {chosen!r}: {out}")


@contextmanager
def _held(out: Path, seeds: Sequence[int]) -> Iterator[None]:
    """Keep other commands from the sounds of this one: the file, the folder, or of several seeds the folder of each.

    Raises:
        ValueError: another process is at work there.
    """
    from clipsonic.claim import LOCK, claimed

    with ExitStack() as held:
        if out.suffix.lower() == ".wav":
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
