"""`weights`: the small trained models that ship, and the weights of others that can be fetched."""

from __future__ import annotations

from typing import Annotated

import typer

from clipsonic.commands.console import Json, check_json, tell

app = typer.Typer(help="The models that ship, and weights of others to fetch.", no_args_is_help=True)


@app.command("list")
def list_weights(json_file: Json = None) -> None:
    """The models that ship and where they lie; what can be fetched, and what of it is on this machine."""
    from clipsonic.weights import model_folder, model_names
    from clipsonic.weights.fetch import CLIPS, PUBLISHED, cached_clip, cached_folder

    check_json(json_file)
    shipped = {name: str(model_folder(name)) for name in model_names()}
    cached = {name: cached_folder(name) for name in PUBLISHED}
    others = {
        name: {"repository": each.repository, "purpose": each.purpose, "folder": str(cached[name] or "") or None}
        for name, each in PUBLISHED.items()
    }
    lines = [f"{name}\t{folder}" for name, folder in shipped.items()]
    lines += [f"{name}\t{cached[name] or 'not here'}\t{each.purpose}" for name, each in PUBLISHED.items()]
    clips = {name: cached_clip(name) for name in CLIPS}
    lines += [f"{name}\t{clips[name] or 'not here'}\t{purpose}" for name, purpose in CLIPS.items()]
    read = {name: {"purpose": CLIPS[name], "file": str(clips[name] or "") or None} for name in CLIPS}
    tell(json_file, {"models": shipped, "published": others, "clips": read}, "\n".join(lines))


@app.command("fetch")
def fetch_weights(
    name: Annotated[str, typer.Argument(help="A name of `weights list`, or ARCHITECTURE/TAG of open_clip.")],
    model: Annotated[
        bool, typer.Option("--model", help="The name is a hub repository, owner/name, that holds a model folder.")
    ] = False,
    json_file: Json = None,
) -> None:
    """Fetch weights of others into the hub's cache. Interrupted, the same command goes on.

    Example: clipsonic weights fetch bigvgan-v2-24khz-100band
    """
    from clipsonic.weights.fetch import fetch, fetch_model

    check_json(json_file)
    place = fetch_model(name) if model else fetch(name)
    tell(json_file, {"name": name, "path": str(place)}, f"{name} is in {place}")
