"""`train-prior`: pairs of text and image vectors to a prior; `attach`: a prior into a model folder."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from clipsonic.commands.console import Json, check_json, start_progress, tell, tell_cut
from clipsonic.commands.course import MOST_SEED, Strategy, held, is_first_process, show_training

if TYPE_CHECKING:
    from clipsonic.pairs import Pairs

_SAID = {
    "predicted_image": "what is drawn and the true image vector (ViT-L/14: 0.75 or more)",
    "predicted_text": "what is drawn and its text (as the next)",
    "image_text": "true image vector and its text (ViT-L/14: about 0.3)",
    "predicted_unrelated": "what is drawn and an unrelated text (ViT-L/14: below 0.1)",
    "image_unrelated": "true image vector and an unrelated text",
}


class Role(StrEnum):
    """Which of a model folder's two priors."""

    pd = "pd"
    sd = "sd"


def train_prior(
    preset: Annotated[str, typer.Argument(help="Name of a prior's preset (micro, base), or a TOML file.")],
    out: Annotated[Path, typer.Option(help="Folder of the run: vectors, checkpoint, log, prior.")],
    pairs: Annotated[Path | None, typer.Option(help="CSV with the columns image (path) and caption.")] = None,
    data: Annotated[Path | None, typer.Option(help="What `clipsonic prepare` wrote, with captions or labels.")] = None,
    vectors: Annotated[Path | None, typer.Option(help=".npz with image and text, (pairs, dim) both.")] = None,
    clip: Annotated[
        str | None, typer.Option(help="CLIP of --pairs (default micro) or of --vectors; a name as for `prepare`.")
    ] = None,
    seed: Annotated[
        int, typer.Option(min=0, max=MOST_SEED, help="Seed of weights, held-out pairs, order and noise.")
    ] = 0,
    steps: Annotated[int | None, typer.Option(min=1, help="Fewer or more steps than the preset's.")] = None,
    strategy: Annotated[Strategy, typer.Option(help="Of several processes, under torchrun.")] = Strategy.auto,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    json_file: Json = None,
) -> None:
    """Train a prior: text vector in, image vector out. Repeat the command to continue a run that was stopped.

    Example: clipsonic train-prior base --pairs captions.csv --clip ViT-L-14/openai --out prior-run
    """
    from dataclasses import replace

    from clipsonic.devices import find_device
    from clipsonic.prior_folder import read_record
    from clipsonic.prior_preset import load_prior_preset
    from clipsonic.prior_training import PriorObjective
    from clipsonic.training.loop import fit

    check_json(json_file, out)
    chosen = load_prior_preset(preset)
    if steps is not None:
        chosen = replace(chosen, training=replace(chosen.training, steps=steps))
    where = find_device(device)
    with held(out):
        objective = PriorObjective(chosen, _pairs(pairs, data, vectors, clip, out, where), seed, where)
        with show_training(chosen.training) as report:
            fit(objective, chosen.training, out, strategy=strategy.value, accelerator=device, report=report)
    if not is_first_process():
        return
    folder = out / "prior"
    record = read_record(folder)
    first, *others = score_lines(record.scores)
    told = {"prior": str(folder), "pairs": record.pairs, "clip": record.clip, "scores": record.scores}
    tell(json_file, told, "\n".join([f"prior in {folder}; {first}", *others]))
    typer.echo(f"next: clipsonic attach MODEL {folder} --as {'sd' if data else 'pd'}", err=True)


def attach(
    model: Annotated[Path, typer.Argument(help="A model folder, which gets the prior.")],
    prior: Annotated[Path, typer.Argument(help="The folder `prior` that `clipsonic train-prior` wrote.")],
    role: Annotated[Role, typer.Option("--as", help="pd: pairs without sound; sd: captions of the training videos.")],
    json_file: Json = None,
) -> None:
    """Put a prior into a model folder: `text+prior-pd` or `text+prior-sd` becomes one of its routes.

    Example: clipsonic attach run/model prior-run/prior --as pd
    """
    from clipsonic.prior_folder import attach_prior

    check_json(json_file)
    attach_prior(model, prior, role.value)
    route = f"text+prior-{role}"
    tell(json_file, {"model": str(model), "route": route}, f"{model} has the route {route}")


def _pairs(
    table: Path | None, data: Path | None, vectors: Path | None, clip: str | None, out: Path, device: str
) -> Pairs:
    from clipsonic.clip import FrozenClip
    from clipsonic.commands.progress import resumed
    from clipsonic.pair_encoding import encode_pairs, read_table
    from clipsonic.pairs import PreparedPairs, read_pairs
    from clipsonic.prepared import PreparedData

    kinds = {"--pairs": table, "--data": data, "--vectors": vectors}
    if len(given := [name for name, value in kinds.items() if value is not None]) != 1:
        raise ValueError(f"give one of {', '.join(kinds)}; got {', '.join(given) or 'none'}")
    if data is not None:
        if clip is not None:
            raise ValueError(f"--clip {clip} is not for --data, which was prepared with a CLIP of its own")
        return PreparedPairs(PreparedData(data))
    if vectors is not None:
        return read_pairs(vectors, None if clip is None else FrozenClip(clip))
    assert table is not None
    rows = len(read_table(table))
    with start_progress() as progress:
        task = progress.add_task("pairs", total=rows, visible=is_first_process())
        model = FrozenClip(clip or "micro", device)
        found, skipped = encode_pairs(table, out / "pairs", model, resumed(progress, task))
    if skipped and is_first_process():
        typer.echo(f"{skipped} of {rows} pictures skipped: see {out / 'pairs' / 'skipped.jsonl'}", err=True)
    if is_first_process():
        tell_cut(found.cut_texts)
    return found


def score_lines(scores: dict[str, Any]) -> list[str]:
    """The scores of a prior on held-out pairs, as lines for a reader."""
    pairs = scores["pairs"]
    lines = [f"mean cosines over {pairs} held-out pair{'s' * (pairs != 1)}:"]
    return lines + [f"  {_interval(scores[name])}  {said}" for name, said in _SAID.items()]


def _interval(score: dict[str, Any]) -> str:
    if score["low"] is None:
        return f"{score['mean']:5.2f}"
    return f"{score['mean']:5.2f} [{score['low']:.2f}, {score['high']:.2f}]"
