"""`init`, `check` and `demo`: make a study folder, check one, try one."""

from __future__ import annotations

import os
import sys
import tempfile
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from clipsonic_listening_test.commands.options import Json, StudyFolder, write_json
from clipsonic_listening_test.errors import CheckFailed, ListeningTestError

if TYPE_CHECKING:
    from clipsonic_listening_test.check import Checked
    from clipsonic_listening_test.prepare.build import Made
    from clipsonic_listening_test.prepare.material import Passes
    from clipsonic_listening_test.study import Panel

OUTCOMES = ("complete", "failed_checks", "screened_out", "technical")
PROLIFIC = "https://app.prolific.com/submissions/complete?cc={code}"


class PresetChoice(StrEnum):
    """Presets by name."""

    gen = "gen"
    mushra = "mushra"
    mos = "mos"
    pairs = "pairs"
    abx = "abx"


class PassesChoice(StrEnum):
    """Who judges what."""

    between = "between"
    within = "within"
    same_page = "same-page"
    fidelity = "fidelity"
    relevance = "relevance"


class PanelChoice(StrEnum):
    """Where participants come from."""

    open = "open"
    invite = "invite"
    prolific = "prolific"
    mturk = "mturk"


Workers = Annotated[int | None, typer.Option(min=1, max=64, help="Threads; default one per processor.")]


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    app.command(no_args_is_help=True)(init)
    app.command(no_args_is_help=True)(check)
    app.command()(demo)


def init(
    samples: Annotated[Path, typer.Argument(help="SAMPLES/<system>/<prompt>.wav, or an exported folder.")],
    out: Annotated[Path, typer.Option(metavar="STUDY", help="Folder of the study; must not be there yet.")],
    preset: Annotated[PresetChoice, typer.Option(help="Kind of study; see the README.")],
    prompts: Annotated[
        Path | None, typer.Option(metavar="CSV", help="Prompts: id,caption and perhaps lang,image,video.")
    ] = None,
    images: Annotated[Path | None, typer.Option(metavar="DIR", help="Images named by prompt id.")] = None,
    reference: Annotated[
        str | None, typer.Option(metavar="SYSTEM", help="The system that is the real recordings; default reference.")
    ] = None,
    passes: Annotated[PassesChoice | None, typer.Option(help="Who judges fidelity and relevance.")] = None,
    title: Annotated[str | None, typer.Option(help="Title that participants see; default the folder's name.")] = None,
    per_participant: Annotated[
        int | None, typer.Option(min=1, help="Trials of each pass for each participant.")
    ] = None,
    ratings_per_page: Annotated[int | None, typer.Option(min=1, help="After so many a trial is done.")] = None,
    training: Annotated[int, typer.Option(min=0, help="Training trials of each pass.")] = 1,
    replicates: Annotated[int, typer.Option(min=0, help="Trials of each pass that are repeated.")] = 1,
    headphones: Annotated[bool, typer.Option(help="Whether there is a headphone check.")] = True,
    loudness: Annotated[str, typer.Option(metavar="LUFS", help="Target of the alignment; keep: none.")] = "-23",
    rate: Annotated[int | None, typer.Option(min=16_000, max=96_000, help="Rate in Hz; default the highest.")] = None,
    consent: Annotated[Path | None, typer.Option(metavar="FILE", help="Your consent text (Markdown).")] = None,
    languages: Annotated[str, typer.Option(metavar="L,L", help="Languages; the first is that of your texts.")] = (
        "en,de,es,fr,ar"
    ),
    panel: Annotated[PanelChoice, typer.Option(help="Where participants come from.")] = PanelChoice.open,
    code: Annotated[
        list[str] | None,
        typer.Option(metavar="OUTCOME=CODE", help=f"Completion code of {', '.join(OUTCOMES)}; repeatable."),
    ] = None,
    return_url: Annotated[str | None, typer.Option(metavar="URL", help="Where they return, {code} in it.")] = None,
    incomplete: Annotated[bool, typer.Option("--incomplete", help="Go on without what is missing.")] = False,
    seed: Annotated[int, typer.Option(help="Seed of every choice and order.")] = 0,
    workers: Workers = None,
    json_file: Json = None,
) -> None:
    """Make a study folder of a folder of sounds: levels aligned, anchors made, pages laid out, everything checked.

    clipsonic-listen init samples --prompts prompts.csv --preset gen --out study
    """
    from clipsonic_listening_test.prepare.build import Inputs, make_study
    from clipsonic_listening_test.prepare.material import Options
    from clipsonic_listening_test.prepare.naming import ids_of
    from clipsonic_listening_test.prepare.progress import start_progress

    tongues = _languages(languages)
    options = Options(
        preset=preset.value,
        id=ids_of([out.resolve().name], "study")[out.resolve().name],
        title=title or out.resolve().name,
        seed=seed,
        passes=passes.value if passes is not None else None,
        target_lufs=_target(loudness),
        rate_hz=rate,
        per_participant=per_participant,
        ratings_per_page=ratings_per_page,
        training=training,
        replicates=replicates,
        headphones=headphones,
        languages=tongues,
        consent=_text(consent),
        panel=_panel(panel, code or [], return_url),
    )
    inputs = Inputs(samples, prompts, images, reference, incomplete)
    made = make_study(inputs, options, out, _workers(workers), start_progress)
    write_json(json_file, _made_record(made))
    if json_file != "-":
        _show_made(made, out)


def check(study: StudyFolder, workers: Workers = None, json_file: Json = None) -> None:
    """Verify every file of a study, and list where it departs from ITU-R BS.1534-3. Exit code 1: something is wrong."""
    from clipsonic_listening_test.check import check_study
    from clipsonic_listening_test.prepare.progress import start_progress

    checked = check_study(study, _workers(workers), start_progress)
    write_json(json_file, checked.record())
    if json_file != "-":
        _show_checked(checked)
    if checked.faults:
        more = f", and {len(checked.faults) - 1} more" if len(checked.faults) > 1 else ""
        raise CheckFailed(f"{study}: {checked.faults[0]}{more}")


def demo(
    out: Annotated[Path, typer.Option(metavar="STUDY", help="Folder of the study; served as it is if it is there.")] = (
        Path("listening-demo")
    ),
    preset: Annotated[PresetChoice, typer.Option(help="Kind of study.")] = PresetChoice.gen,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 is any free one.")] = 8000,
    open_browser: Annotated[bool, typer.Option("--open", help="Open the study in this machine's browser.")] = False,
    serving: Annotated[bool, typer.Option("--serve/--no-serve", help="Serve it, or only make it.")] = True,
    json_file: Json = None,
) -> None:
    """Make a complete study of sounds and pictures that are computed here, and serve it."""
    if not (out / "study.json").is_file():
        _make_demo(out, preset)
    if serving:
        from clipsonic_listening_test.commands.server import serve

        serve(out, port=port, open_browser=open_browser, json_file=json_file)
    elif json_file is not None:
        from clipsonic_listening_test.study import load_study

        study = load_study(out)
        write_json(json_file, {"schema": 1, "study": study.id, "folder": str(out), "digest": study.digest})
    else:
        sys.stdout.write(f"{out}: a study of preset {preset.value}\nNext:   clipsonic-listen serve {out}\n")


def _make_demo(out: Path, preset: PresetChoice) -> None:
    from clipsonic_listening_test.prepare.build import Inputs, make_study
    from clipsonic_listening_test.prepare.demo import write_demo
    from clipsonic_listening_test.prepare.material import Options
    from clipsonic_listening_test.prepare.progress import start_progress

    against = preset in (PresetChoice.mushra, PresetChoice.abx)
    passes: Passes | None = None if against else "fidelity" if preset is PresetChoice.mos else "within"
    with tempfile.TemporaryDirectory() as folder:
        samples = Path(folder)
        write_demo(samples)
        reference = "faithful" if against else None
        inputs = Inputs(samples / "sounds", samples / "prompts.csv", samples / "images", reference)
        options = Options(preset.value, id="demo", title="Demonstration", passes=passes)
        make_study(inputs, options, out, _workers(None), start_progress)


def _target(loudness: str) -> float | None:
    if loudness == "keep":
        return None
    try:
        target = float(loudness)
    except ValueError:
        raise ListeningTestError(f"--loudness {loudness} is neither a number of LUFS nor keep") from None
    if not -60 <= target <= -5:
        raise ListeningTestError(f"--loudness {loudness} is outside -60 to -5 LUFS; the usual target is -23")
    return target


def _languages(languages: str) -> tuple[str, ...]:
    from clipsonic_listening_test.validate import LANGUAGE

    tags = tuple(dict.fromkeys(tag.strip() for tag in languages.split(",") if tag.strip()))
    bad = [tag for tag in tags if not LANGUAGE.fullmatch(tag)]
    if bad or not tags:
        raise ListeningTestError(f"--languages {languages}: expected tags such as en,de")
    return tags


def _text(path: Path | None) -> str | None:
    if path is None:
        return None
    try:
        text = path.read_text(encoding="utf-8").strip()
    except UnicodeDecodeError:
        raise ListeningTestError(f"--consent {path} is not text in UTF-8") from None
    if not text:
        raise ListeningTestError(f"--consent {path} is empty; write what participants agree to")
    return text


def _panel(kind: PanelChoice, codes: list[str], return_url: str | None) -> Panel:
    from clipsonic_listening_test.study import Panel

    given = {}
    for each in codes:
        outcome, equals, code = each.partition("=")
        if outcome not in OUTCOMES or not equals or not code.isalnum():
            raise ListeningTestError(f"--code {each}: expected one of {', '.join(OUTCOMES)}, =, letters and digits")
        given[outcome] = code
    if kind is PanelChoice.prolific and "complete" not in given:
        raise ListeningTestError("--panel prolific needs the study's completion code: add --code complete=CODE")
    if kind is PanelChoice.prolific and return_url is None:
        return_url = PROLIFIC
    if return_url is not None and not return_url.startswith("https://"):
        raise ListeningTestError(f"--return-url {return_url} does not start with https://")
    return Panel(kind.value, given, return_url)


def _workers(asked: int | None) -> int:
    return asked or min(os.cpu_count() or 1, 16)


def _made_record(made: Made) -> dict[str, Any]:
    study = made.study
    return {
        "schema": 1,
        "study": study.id,
        "folder": str(study.folder),
        "digest": study.digest,
        "name": study.name,
        "departures": list(study.departures),
        "systems": list(study.systems),
        "prompts": len(study.prompts),
        "pages": len(study.pages),
        "stimuli": len(study.stimuli),
        "notes": list(made.notes),
    }


def _show_made(made: Made, out: Path) -> None:
    study = made.study
    write = sys.stdout.write
    write(f"{out}: {study.name}\n")
    write(f"{len(study.systems)} systems, {len(study.prompts)} prompts, {len(study.pages)} pages\n")
    for note in made.notes:
        write(f"  {note}\n")
    _show_departures(study.departures)
    write(f"Next:   clipsonic-listen serve {out}\n        clipsonic-listen check {out}\n")


def _show_checked(checked: Checked) -> None:
    study = checked.study
    sys.stdout.write(f"{study.folder}: {study.name}\n")
    sys.stdout.write(f"{len(study.stimuli)} stimuli and {len(study.media)} media, study.json {study.digest[:12]}\n")
    for fault in checked.faults:
        sys.stdout.write(f"  FAULT {fault}\n")
    for note in checked.notes:
        sys.stdout.write(f"  {note}\n")
    _show_departures(checked.departures)


def _show_departures(departures: tuple[str, ...]) -> None:
    if not departures:
        sys.stdout.write("It meets ITU-R BS.1534-3 as far as a study can: it may be called MUSHRA.\n")
        return
    points = "1 point" if len(departures) == 1 else f"{len(departures)} points"
    sys.stdout.write(f"Departs from ITU-R BS.1534-3 in {points}, so it is not called MUSHRA:\n")
    for each in departures:
        sys.stdout.write(f"  - {each}\n")
