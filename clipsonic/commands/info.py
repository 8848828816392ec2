"""`info`: what a model folder, a prior folder, the folder of a training, a preset or prepared data hold."""

from __future__ import annotations

import difflib
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from clipsonic.commands.console import Json, check_json, find_model, open_model, tell
from clipsonic.commands.train_prior import score_lines

if TYPE_CHECKING:
    from clipsonic.mel import MelConfig
    from clipsonic.pipeline import CLIPSonicPipeline

_CHECKPOINTS: Final = ("checkpoint.safetensors", "checkpoint.previous.safetensors")


def info(
    path: Annotated[
        str,
        typer.Argument(
            help="A folder of a model, a prior, a training or prepared data; a hub id; or a model's or preset's name."
        ),
    ],
    preset: Annotated[bool, typer.Option("--preset", help="The preset of this name, not the model.")] = False,
    json_file: Json = None,
) -> None:
    """Say what a model, a prior, the folder of a training, a preset or prepared data hold.

    Example: clipsonic info base
    """
    from clipsonic.preset import preset_names
    from clipsonic.weights import model_names

    check_json(json_file)
    folder = Path(path)
    if preset or path.endswith(".toml"):
        _tell_preset(path, json_file)
    elif (folder / "prepared.json").is_file():
        _tell_data(folder, json_file)
    elif (folder / "prior.json").is_file():
        _tell_prior(folder, json_file)
    elif any((folder / name).is_file() for name in (*_CHECKPOINTS, "log.jsonl")):
        _tell_run(folder, json_file)
    elif not folder.exists() and path in preset_names() and path not in ("micro", *model_names()):
        _tell_preset(path, json_file)
    elif not folder.exists() and "/" not in path and path not in ("micro", *model_names()):
        near = difflib.get_close_matches(path, ["micro", *model_names(), *preset_names()], 1)
        raise ValueError(
            f"there is no folder {path!r}, and no model or preset of that name"
            f"{f'; did you mean {near[0]!r}?' if near else ';'} "
            f"models: micro, {', '.join(model_names())}; presets: {', '.join(preset_names())}"
        )
    else:
        _tell_model(path, json_file)


def _tell_data(folder: Path, json_file: str | None) -> None:
    import json

    from clipsonic.prepared import PreparedData

    data = PreparedData(folder)
    made, shape = (
        json.loads((folder / name).read_text(encoding="utf-8")) for name in ("prepared.json", "dataset_info.json")
    )
    texts = [name for name in ("caption", "label") if name in shape["features"]]
    counts = {
        "skipped": ", ".join(f"{count} {kind}" for kind, count in made.get("skipped_kinds", {}).items()) or "none",
        "padded with silence": made.get("padded"),
        "texts": " and ".join(texts) or "none",
        "texts longer than CLIP's context": made.get("cut_texts"),
        "digest": data.digest,
    }
    lines = [f"{len(data)} clip{'s' * (len(data) != 1)}, CLIP {data.clip}", _mel_line(data.mel)]
    lines += [f"{what}: {value}" for what, value in counts.items() if value is not None]
    record = {
        "rows": len(data),
        "clip": data.clip,
        "mel": data.mel.as_dict(),
        "skipped": made.get("skipped_kinds", {}),
        "padded": made.get("padded"),
        "texts": texts,
        "cut_texts": made.get("cut_texts"),
        "digest": data.digest,
    }
    tell(json_file, record, "\n".join(lines))


def _tell_prior(folder: Path, json_file: str | None) -> None:
    from clipsonic.prior_folder import load_prior, read_record

    known, parameters = read_record(folder), sum(p.numel() for p in load_prior(folder).parameters())
    lines = [
        f"prior of {parameters / 1e6:.2f} M parameters for {known.dim} dimensions of CLIP {known.clip}, "
        f"trained on {known.pairs} pairs",
        f"{known.steps} steps, guidance {known.guidance_scale:g}, "
        f"{'1 drawn' if known.samples == 1 else f'the best of {known.samples} drawn'}",
        *score_lines(known.scores),
    ]
    record: dict[str, object] = {"folder": str(folder), "parameters": parameters, **asdict(known)}
    tell(json_file, record, "\n".join(lines))


def _tell_run(folder: Path, json_file: str | None) -> None:
    """Of the folder of a `train` or `train-prior`: how far it is, and where what came of it is."""
    from clipsonic.checkpoint import read_values
    from clipsonic.training.log import read_log

    last = next((folder / name for name in _CHECKPOINTS if (folder / name).is_file()), None)
    values = {} if last is None else read_values(last)
    steps = values.get("plan", {}).get("number of steps")
    reports = [line for line in read_log(folder) if "loss" in line]
    made = next((folder / name for name in ("model", "prior") if (folder / name).is_dir()), None)
    report = reports[-1] if reports else None
    lines = [
        "no checkpoint yet" if last is None else f"step {values['step']} of {steps}, in {last}",
        "no loss is logged yet" if report is None else f"loss {report['loss']:.4f} at step {report['step']}",
        "not finished: repeat its command to go on" if made is None else f"{made.name} in {made}",
    ]
    record = {
        "folder": str(folder),
        "step": values.get("step"),
        "steps": None if steps is None else int(steps),
        "report": report,
        "made": None if made is None else str(made),
    }
    tell(json_file, record, "\n".join(lines))


def _tell_preset(name: str, json_file: str | None) -> None:
    from clipsonic.network import measure_network
    from clipsonic.preset import condition_dim, load_preset, read_provenance

    chosen = load_preset(name)
    dim = condition_dim(chosen)
    size = measure_network(chosen.mel, dim, chosen.network)
    seconds = chosen.mel.samples / chosen.mel.rate_hz
    keys = read_provenance(name)
    lines = [f"{size.parameters / 1e6:.2f} M parameters for CLIP vectors of {dim} dimensions"]
    lines += [f"{size.flops / 1e9:.1f} GFLOP for one evaluation of the network on one clip of {seconds:.3f} s"]
    section = ""
    for each in keys:
        if each.section != section:
            section = each.section
            lines.append(f"[{section}]")
        lines.append(f"{each.key} = {each.value}  # {each.provenance}")
    record = {
        "parameters": size.parameters,
        "flops": size.flops,
        "condition_dim": dim,
        "seconds": seconds,
        "keys": [vars(each) for each in keys],
    }
    tell(json_file, record, "\n".join(lines))


def _tell_model(name: str, json_file: str | None) -> None:
    from clipsonic.diffusion import sampler_name

    pipeline = open_model(name)
    what = pipeline.what
    parameters = sum(p.numel() for p in pipeline.unet.parameters())
    routes = _routes(pipeline)
    lines = [
        f"{parameters / 1e6:.2f} M parameters; CLIP: {what.clip or 'none'}; routes: {', '.join(routes)}",
        _mel_line(what.mel),
        f"{what.diffusion.prediction} on {what.diffusion.timesteps} timesteps of {what.diffusion.schedule}; sampler "
        f"{sampler_name(pipeline.scheduler, what.diffusion)}, {what.steps} steps, guidance {what.guidance_scale:g}",
        f"vocoder: {what.vocoder}",
        *([] if what.space is None else [f"space of its vectors: {what.space}"]),
        *(f"{key}: {value}" for key, value in what.provenance.items()),
    ]
    record = {
        "folder": str(find_model(name)),
        "parameters": parameters,
        "routes": routes,
        "scheduler": type(pipeline.scheduler).__name__,
        "settings": what.as_dict(),
    }
    tell(json_file, record, "\n".join(lines))


def _mel_line(mel: MelConfig) -> str:
    return (
        f"sound: {mel.samples / mel.rate_hz:.2f} s at {mel.rate_hz} Hz; log-mel of {mel.bands} bands, "
        f"{mel.f_min_hz:g} to {mel.f_max_hz:g} Hz, {mel.frames} frames (n_fft {mel.n_fft}, hop {mel.hop})"
    )


def _routes(pipeline: CLIPSonicPipeline) -> list[str]:
    if not pipeline.what.clip:
        return ["vectors"]
    shift = ["text+shift"] if pipeline.what.conditioning.image_mean else []
    priors = [kind for kind in ("pd", "sd") if getattr(pipeline, f"prior_{kind}") is not None]
    return ["image", "text", *shift, *(f"text+prior-{kind}" for kind in priors)]
