"""`info`: what a model folder, a preset or prepared data hold."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from clipsonic.commands.console import Json, find_model, open_model, tell

if TYPE_CHECKING:
    from clipsonic.pipeline import CLIPSonicPipeline


def info(
    path: Annotated[
        str, typer.Argument(help="A model folder, hub id or shipped model's name, a preset, or prepared data.")
    ],
    preset: Annotated[bool, typer.Option("--preset", help="The preset of this name, not the model.")] = False,
    json_file: Json = None,
) -> None:
    """Say what a model folder, a preset or prepared data hold.

    Example: clipsonic info base
    """
    from clipsonic.preset import preset_names
    from clipsonic.weights import model_names

    if preset or path.endswith(".toml"):
        _tell_preset(path, json_file)
    elif (Path(path) / "prepared.json").is_file():
        _tell_data(Path(path), json_file)
    elif not Path(path).exists() and path in preset_names() and path not in ("micro", *model_names()):
        _tell_preset(path, json_file)
    else:
        _tell_model(path, json_file)


def _tell_data(folder: Path, json_file: str | None) -> None:
    from clipsonic.prepared import PreparedData

    data = PreparedData(folder)
    record: dict[str, object] = {"rows": len(data), "clip": data.clip, "mel": data.mel.as_dict()}
    tell(json_file, record, f"{len(data)} rows, CLIP {data.clip}, {data.mel}")


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
    pipeline = open_model(name)
    what = pipeline.what
    parameters = sum(p.numel() for p in pipeline.unet.parameters())
    routes = _routes(pipeline)
    lines = [
        f"{parameters / 1e6:.2f} M parameters; CLIP: {what.clip}; routes: {', '.join(routes)}",
        f"{what.mel}",
        f"{what.diffusion}; {type(pipeline.scheduler).__name__}, {what.steps} steps, guidance {what.guidance_scale:g}",
        f"vocoder: {what.vocoder}",
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


def _routes(pipeline: CLIPSonicPipeline) -> list[str]:
    if not pipeline.what.clip:
        return ["vectors"]
    shift = ["text+shift"] if pipeline.what.conditioning.image_mean else []
    priors = [kind for kind in ("pd", "sd") if getattr(pipeline, f"prior_{kind}") is not None]
    return ["image", "text", *shift, *(f"text+prior-{kind}" for kind in priors)]
