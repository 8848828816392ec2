"""What presets with fidelity and relevance passes share: who gets which pass, and the blocks around the trials."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from clipsonic_listening_test.errors import ListeningTestError
from clipsonic_listening_test.pages import Block, Page, Pass, Shown
from clipsonic_listening_test.prepare import design
from clipsonic_listening_test.prepare.frame import end_block, pause_block, start_block
from clipsonic_listening_test.prepare.material import Draft, Material, Options, Passes, Recipe
from clipsonic_listening_test.prepare.samples import PromptSource, Samples
from clipsonic_listening_test.study import Scale

CQS: Final = Scale(0, 100, 1, "cqs")
RELEVANCE: Final = Scale(0, 100, 1, "relevance")
ACR: Final = Scale(1, 5, 1, "acr")
RELEVANCE_5: Final = Scale(1, 5, 1, "relevance")
EVERYONE: Final = "A"

PassPages = tuple[Page, ...]

_RULES: Final = (
    "headphones: a session ends as screened_out after two failed checks (fewer than 5 of 6 right)",
    "instructed response: a session of five minutes or more fails its checks if it misses two, a shorter one if it "
    "misses one",
    "behaviour (time, equal scores, focus lost) and repeated pages are reported and exclude nobody",
    "results are reported with and without excluded sessions",
)


def passes_asked(options: Options, usual: Passes, samples: Samples) -> Passes:
    """The passes asked for, or the preset's usual ones.

    Raises:
        ListeningTestError: relevance is to be judged and a prompt has nothing to show.
    """
    asked = options.passes or usual
    nothing = [id for id, prompt in samples.prompts.items() if not prompt.shown()]
    if asked != "fidelity" and nothing:
        raise ListeningTestError(
            f"{len(nothing)} of {len(samples.prompts)} prompts have nothing that sounds could be relevant to "
            f"({', '.join(nothing[:3])}); add --prompts CSV or --images DIR, or ask --passes fidelity"
        )
    return asked


def shown_of(prompt: PromptSource) -> tuple[Shown, ...]:
    """What of a prompt can be pinned."""
    shown: list[Shown] = ["text"] if prompt.text is not None else []
    shown += ["image"] if prompt.image is not None else []
    shown += ["video"] if prompt.video is not None else []
    return tuple(shown)


def draft_of(
    material: Material,
    options: Options,
    asked: Passes,
    pages: Callable[[tuple[Pass, ...]], PassPages],
    recipes: Sequence[Recipe],
    scales: Mapping[str, Scale],
    most: int,
    notes: Sequence[str],
    *,
    own_instructions: bool = True,
) -> Draft:
    """A draft with the passes asked for. pages: makes the trials of one pass, or of both on one page.

    own_instructions: whether each pass has instructions of its own, or the preset's.
    """
    kinds: tuple[tuple[Pass, ...], ...] = (("fidelity",), ("relevance",))
    if asked == "same-page":
        kinds = (("fidelity", "relevance"),)
    elif asked in ("fidelity", "relevance"):
        kinds = tuple(kind for kind in kinds if kind == (asked,))
    between = asked == "between"
    passes = []
    for kind in kinds:
        name = kind[0] if len(kind) == 1 else "both"
        told = Page(
            f"{name}-instructions", "instructions", pass_=kind[0] if own_instructions and name != "both" else None
        )
        passes.append(design.Pass(name, pages(kind), told, name if between else None))
    groups = tuple(one.name for one in passes) if between else (EVERYONE,)
    return assembled(material, options, passes, recipes, scales, groups, most, notes)


def assembled(
    material: Material,
    options: Options,
    passes: Sequence[design.Pass],
    recipes: Sequence[Recipe],
    scales: Mapping[str, Scale],
    groups: tuple[str, ...],
    most: int,
    notes: Sequence[str],
    rules: Sequence[str] = (),
) -> Draft:
    """The frame around the passes; stimuli that no page shows are left out."""
    start, own = start_block(options)
    blocks: list[Block] = [start]
    said = list(notes)
    for number, one in enumerate(passes):
        if number and one.group is None:
            blocks.append(pause_block())
        more, line = design.pass_blocks(one, material, dict(scales), options, most)
        blocks += more
        said += line
    blocks.append(end_block(options))
    used = {id for block in blocks for page in block.pages for id in page.stimuli_used()}
    needed = {attribute.scale for block in blocks for page in block.pages for attribute in page.attributes}
    return Draft(
        tuple(recipe for recipe in (*own, *recipes) if recipe.id in used),
        tuple(blocks),
        groups,
        {id: scale for id, scale in scales.items() if id in needed},
        (*rules, *_RULES),
        tuple(said),
    )
