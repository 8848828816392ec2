"""The `clipsonic` command. Torch is imported inside the commands, so `--help` needs none.

Results go to stdout, progress and notes to stderr. Exit codes: 0 good, 2 usage or bad input. An error is one line;
`--debug`, anywhere, shows where it came from.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Annotated

import typer
from typer.exceptions import Abort, TyperException

if TYPE_CHECKING:
    from rich.progress import Progress

    from clipsonic.pipeline import CLIPSonicPipeline, Vectors

app = typer.Typer(
    name="clipsonic",
    help="CLIPSonic: train on unlabeled videos, generate sound from images and texts.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
weights = typer.Typer(help="The small trained models that ship.", no_args_is_help=True)
app.add_typer(weights, name="weights")
JsonOption = Annotated[
    str | None, typer.Option("--json", metavar="FILE", help="Write the result as JSON; - for stdout.")
]


def _version(asked: bool) -> None:
    if asked:
        from clipsonic import __version__

        typer.echo(f"clipsonic {__version__}")
        raise typer.Exit


@app.callback()
def options(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Say which.")] = False,
) -> None:
    """CLIPSonic: train on unlabeled videos, generate sound from images and texts."""


@app.command()
def prepare(
    videos: Annotated[Path, typer.Argument(help="Folder tree of videos.")],
    out: Annotated[Path, typer.Option(help="Folder to write the prepared data into.")],
    captions: Annotated[Path | None, typer.Option(help="CSV with the columns id and caption.")] = None,
    preset: Annotated[str, typer.Option(help="Preset that defines the mel spectrogram.")] = "micro",
    clip: Annotated[str, typer.Option(help="micro, a folder, or ARCHITECTURE/TAG of open_clip.")] = "micro",
    fps: Annotated[float, typer.Option(help="Frames a second to keep as CLIP vectors.")] = 1.0,
    workers: Annotated[int, typer.Option(min=1, help="Processes.")] = os.cpu_count() or 1,
    json_file: JsonOption = None,
) -> None:
    """Turn videos into training data: log-mel spectrograms and CLIP frame vectors.

    Example: clipsonic prepare videos --out data --captions captions.csv
    """
    from clipsonic.data import Preparation, find_videos, read_captions
    from clipsonic.data import prepare as run
    from clipsonic.preset import load_preset

    texts = read_captions(captions) if captions else None
    how = Preparation(load_preset(preset).mel, clip, fps)
    with _progress() as progress:
        task = progress.add_task("videos", total=len(find_videos(videos)))
        counts = run(videos, out, how, texts, workers, lambda n: progress.advance(task, n))
    _tell(json_file, {**counts._asdict(), "out": str(out)}, f"{counts.prepared} videos prepared in {out}")
    if counts.skipped:
        typer.echo(f"{counts.skipped} skipped: see {out / 'skipped.jsonl'}", err=True)
    if counts.padded:
        typer.echo(f"{counts.padded} sounds end up to a tenth early and were padded with silence", err=True)
    typer.echo(f"next: clipsonic train {preset} --data {out} --out run", err=True)


@app.command()
def train(
    preset: Annotated[str, typer.Argument(help="Name of a preset, or a TOML file.")],
    data: Annotated[Path, typer.Option(help="What `clipsonic prepare` wrote.")],
    out: Annotated[Path, typer.Option(help="Folder of the run: checkpoint, log, model.")],
    condition: Annotated[str, typer.Option(help="image (CLIPSonic) or text (CLIP-TTA, needs captions).")] = "image",
    seed: Annotated[int, typer.Option(help="Seed of weights, data order and noise.")] = 0,
    steps: Annotated[int | None, typer.Option(min=1, help="Fewer or more steps than the preset's.")] = None,
    json_file: JsonOption = None,
) -> None:
    """Train a network and write it as a model folder. Repeat the command to continue a run that was stopped.

    Example: clipsonic train micro --data data --out run
    """
    from dataclasses import replace

    from clipsonic.data import PreparedData
    from clipsonic.preset import load_preset
    from clipsonic.train import TrainingSet
    from clipsonic.train import train as run

    chosen = load_preset(preset)
    if steps is not None:
        chosen = replace(chosen, training=replace(chosen.training, steps=steps))
    prepared = PreparedData(data)
    if prepared.mel != chosen.mel:
        raise ValueError(f"{data} was prepared with another mel definition than preset {preset!r}: prepare it again")
    if condition not in ("image", "text"):
        raise ValueError(f"--condition {condition!r}: choose image or text")
    vectors = prepared.frame_vectors() if condition == "image" else [v[None] for v in prepared.vectors("clip_text")]
    with _progress() as progress:
        task = progress.add_task("steps", total=chosen.training.steps)

        def report(step: int, loss: float) -> None:
            progress.update(task, completed=step, description=f"loss {loss:.4f}")

        run(chosen, TrainingSet(prepared.log_mels, vectors, prepared.clip), out, seed=seed, report=report)
    _tell(json_file, {"model": str(out / "model"), "steps": chosen.training.steps}, f"model in {out / 'model'}")


@app.command()
def generate(
    model: Annotated[str, typer.Argument(help="A model folder, or the name of one that ships (micro).")],
    out: Annotated[Path, typer.Option(help="WAV file to write; a folder with --prompts.")],
    text: Annotated[str | None, typer.Option(help="A prompt.")] = None,
    image: Annotated[Path | None, typer.Option(help="A picture.")] = None,
    prompts: Annotated[Path | None, typer.Option(help="CSV with the columns id and caption: one sound each.")] = None,
    route: Annotated[str | None, typer.Option(help="image, text, text+shift, text+prior-pd, text+prior-sd.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of the noise.")] = 0,
    guidance_scale: Annotated[float | None, typer.Option(help="Classifier-free guidance; 1 is none.")] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="Sampler steps.")] = None,
    json_file: JsonOption = None,
) -> None:
    """Generate sounds from a text, a picture, or a list of prompts.

    Example: clipsonic generate micro --text "two large wooden drums in a hall" --out drums.wav
    """
    from clipsonic.data import read_captions
    from clipsonic.sounds import write_wav

    given = [
        name for name, value in (("--text", text), ("--image", image), ("--prompts", prompts)) if value is not None
    ]
    if len(given) != 1:
        raise ValueError(f"give one of --text, --image, --prompts; got {', '.join(given) or 'none'}")
    texts = {"query": text} if text is not None else read_captions(prompts) if prompts else {}
    if prompts is not None and not texts:
        raise ValueError(f"{prompts} lists no prompt")
    ids = list(texts) or ["query"]  # the address of the noise: not the name of the file, which may change
    if outside := [name for name in ids if ".." in (place := PurePosixPath(name)).parts or place.is_absolute()]:
        raise ValueError(f"{prompts}: id {outside[0]!r} would be written outside {out}")
    pipeline = _model(model)
    chosen = route or ("image" if image else "text+prior-pd" if pipeline.prior_pd is not None else "text")
    condition = _condition(pipeline, chosen, ids, list(texts.values()), image, seed)
    with _progress() as progress:
        task = progress.add_task("sounds", total=len(ids))
        made = pipeline.generate(
            condition,
            ids,
            seed=seed,
            guidance_scale=guidance_scale,
            steps=steps,
            progress=lambda n: progress.advance(task, n),
        )
    paths = [out] if prompts is None else [out / f"{name}.wav" for name in ids]
    for path, samples in zip(paths, made.samples, strict=True):
        write_wav(path, samples, made.rate_hz)
    record = {
        "route": chosen,
        "seed": seed,
        "rate_hz": made.rate_hz,
        "sounds": dict(zip(ids, map(str, paths), strict=True)),
    }
    _tell(json_file, record, f"{len(paths)} sound{'s' * (len(paths) > 1)} by route {chosen!r}: {out}")


@app.command()
def info(
    path: Annotated[str, typer.Argument(help="A model folder, a shipped model's name, or prepared data.")],
    json_file: JsonOption = None,
) -> None:
    """Say what a model folder or prepared data hold."""
    if (Path(path) / "prepared.json").is_file():
        from clipsonic.data import PreparedData

        data = PreparedData(Path(path))
        _tell(
            json_file,
            {"rows": len(data), "clip": data.clip, "mel": data.mel.as_dict()},
            f"{len(data)} rows, CLIP {data.clip}, {data.mel}",
        )
        return
    pipeline = _model(path)
    parameters = sum(p.numel() for p in pipeline.unet.parameters())
    routes = ["image", "text", *(["text+shift"] if pipeline.what.conditioning.image_mean else [])]
    routes += [f"text+prior-{kind}" for kind in ("pd", "sd") if getattr(pipeline, f"prior_{kind}") is not None]
    routes = routes if pipeline.what.clip else ["vectors"]
    size = f"{parameters / 1e6:.2f} M parameters; CLIP: {pipeline.what.clip}; routes: {', '.join(routes)}"
    record = {"parameters": parameters, "routes": routes, "settings": pipeline.what.as_dict()}
    _tell(json_file, record, f"{size}\n{pipeline.what.mel}")


@weights.command("list")
def list_weights(json_file: JsonOption = None) -> None:
    """The models that ship with this package, and where they lie."""
    from clipsonic.weights import model_folder, model_names

    folders = {name: str(model_folder(name)) for name in model_names()}
    _tell(json_file, {"models": folders}, "\n".join(f"{name}\t{folder}" for name, folder in folders.items()))


def _model(name: str) -> CLIPSonicPipeline:
    from clipsonic.pipeline import load_model
    from clipsonic.weights import model_folder

    return load_model(Path(name) if Path(name).exists() else model_folder(name))


def _condition(
    pipeline: CLIPSonicPipeline, route: str, ids: list[str], texts: list[str], image: Path | None, seed: int
) -> Vectors | None:
    if image is None:
        return pipeline.condition(route, ids, text=pipeline.encode_text(texts) if texts else None, seed=seed)
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(image) as picture:
            vector = pipeline.encode_image([picture.convert("RGB")])
    except (UnidentifiedImageError, OSError) as error:
        raise ValueError(f"{image}: not a readable picture ({error})") from error
    return pipeline.condition(route, ids, image=vector, seed=seed)


def _progress() -> Progress:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=Console(stderr=True))


def _tell(json_file: str | None, record: dict[str, object], line: str) -> None:
    import json

    if json_file is None:
        typer.echo(line)
        return
    text = json.dumps({"schema": 1, **record}, indent=1) + "\n"
    if json_file == "-":
        typer.echo(text, nl=False)
    else:
        from clipsonic.sounds import replace_text

        replace_text(Path(json_file), text)


def run(arguments: Sequence[str]) -> int:
    """Run the command with these arguments and return its exit code."""
    debug = "--debug" in arguments
    try:
        code = app([word for word in arguments if word != "--debug"], prog_name="clipsonic", standalone_mode=False)
        return code if isinstance(code, int) else 0
    except (Abort, KeyboardInterrupt):
        return _fail("stopped; what a training has saved is kept: repeat the command to go on", 130)
    except TyperException as error:
        if debug:
            raise
        return _fail(f"{error.format_message().rstrip('.')}; see clipsonic --help", 2)
    except ModuleNotFoundError as error:
        if debug or error.name is None or error.name.startswith("clipsonic"):
            raise
        return _fail(f"this needs {error.name!r}, which is not installed; type: pip install 'clipsonic[model]'", 2)
    except (ValueError, OSError, FloatingPointError) as error:
        if debug:
            raise
        return _fail(str(error), 2)


def _fail(message: str, code: int) -> int:
    sys.stderr.write(f"error: {' '.join(message.split())}\n")  # one line, whatever the message holds
    return code


def main() -> None:
    """Entry point of `clipsonic`."""
    sys.exit(run(sys.argv[1:]))
