"""Preset `mos`: one sound at a time on five points (absolute category rating; cf. ITU-T P.800 and P.808).

Quality is asked by default; `--passes` adds or substitutes relevance to the prompt, on five points too. Real recordings
are rated like any other sound, as a control.
"""

from __future__ import annotations

from typing import Final

from clipsonic_listening_test.pages import Attribute, Page, Pass, Require
from clipsonic_listening_test.prepare.material import Draft, Material, Options, Recipe
from clipsonic_listening_test.prepare.naming import joined
from clipsonic_listening_test.prepare.passes import ACR, RELEVANCE_5, PassPages, draft_of, passes_asked, shown_of

MOST_TRIALS: Final = 40
_ATTRIBUTES: Final[dict[Pass, Attribute]] = {
    "fidelity": Attribute("quality", "acr", "quality"),
    "relevance": Attribute("relevance", "relevance-5", "relevance"),
}


def draft(material: Material, options: Options) -> Draft:
    """Draft a study of single sounds.

    Raises:
        ListeningTestError: relevance is asked for and there is nothing that sounds could be relevant to.
    """
    samples = material.samples
    asked = passes_asked(options, "fidelity", samples)
    recipes = [
        Recipe(joined("system", *key), "system", key[1], path, key[0], key[1]) for key, path in samples.sounds.items()
    ]
    recipes += [
        Recipe(joined("hidden-real", prompt), "hidden_real", prompt, path, None, prompt)
        for prompt, path in samples.references.items()
    ]

    def pages(passes: tuple[Pass, ...]) -> PassPages:
        return tuple(_page(passes, material, recipe) for recipe in recipes)

    scales = {"acr": ACR, "relevance-5": RELEVANCE_5}
    return draft_of(material, options, asked, pages, recipes, scales, MOST_TRIALS, [], own_instructions=False)


def _page(passes: tuple[Pass, ...], material: Material, recipe: Recipe) -> Page:
    assert recipe.prompt is not None
    name = passes[0] if len(passes) == 1 else "both"
    relevance = "relevance" in passes
    return Page(
        joined(name, recipe.system, recipe.prompt) if recipe.system else joined(f"{name}-real", recipe.prompt),
        "single",
        pass_=passes[0] if len(passes) == 1 else None,
        prompt=recipe.prompt,
        show=shown_of(material.samples.prompts[recipe.prompt]) if relevance else (),
        stimuli=(recipe.id,),
        attributes=tuple(_ATTRIBUTES[each] for each in passes),
        require=Require(heard_s=2.0, coverage=0.9),
    )
