"""Each preset's stimuli and pages, drafted from facts alone: nothing is decoded here."""

from __future__ import annotations

from pathlib import Path

import pytest

from clipsonic_listening_test import ListeningTestError
from clipsonic_listening_test.pages import TRIALS, Page
from clipsonic_listening_test.prepare.decode import Facts
from clipsonic_listening_test.prepare.material import Draft, Material, Options, material_of
from clipsonic_listening_test.prepare.presets import PRESETS, load_preset
from clipsonic_listening_test.prepare.samples import PromptSource, Samples
from clipsonic_listening_test.study import PresetName


def material(
    systems: int = 3, prompts: int = 4, real: bool = True, captions: bool = True, high_share: float = 0.2
) -> Material:
    root = Path("samples")
    names = tuple(f"s{k}" for k in range(systems))
    ids = [f"p{k}" for k in range(prompts)]
    sounds = {(system, id): root / system / f"{id}.wav" for system in names for id in ids}
    references = {id: root / "reference" / f"{id}.wav" for id in ids} if real else {}
    facts = {
        path: Facts("0" * 64, 16_000, 1, 16_000, high_share, None) for path in (*sounds.values(), *references.values())
    }
    sources = {id: PromptSource(f"prompt {id}" if captions else None) for id in ids}
    return Material(Samples(root, names, sources, sounds, references), facts, 16_000, 2)


def draft(preset: PresetName, made: Material, **options: object) -> Draft:
    return load_preset(preset)(made, Options(preset, **options))  # type: ignore[arg-type]


def trials(made: Draft, pass_: str | None = None) -> list[Page]:
    pages = [page for block in made.blocks for page in block.pages if page.type in TRIALS]
    return [page for page in pages if pass_ is None or page.pass_ == pass_]


def main(pages: list[Page]) -> list[Page]:
    return [page for page in pages if not (page.training or page.replicate_of or page.instructed)]


def roles(made: Draft, page: Page) -> list[str]:
    by_id = {recipe.id: recipe.role for recipe in made.recipes}
    return [by_id[id] for id in page.stimuli]


@pytest.mark.parametrize("preset", PRESETS)
def test_the_frame_is_everywhere(preset: PresetName) -> None:
    made = draft(preset, material())
    pages = [page for block in made.blocks for page in block.pages]
    types = [page.type for page in pages]
    assert types[:3] == ["consent", "headphones", "volume"] and types[-2:] == ["questionnaire", "finish"]
    assert "instructions" in types and any(page.training for page in pages) and any(page.replicate_of for page in pages)
    ids = [recipe.id for recipe in made.recipes]
    used = {id for page in pages for id in page.stimuli_used()}
    assert len(set(ids)) == len(ids) and set(ids) == used  # nothing is made that nobody hears
    checks = [page for page in pages if page.instructed is not None]
    assert bool(checks) == (preset in ("gen", "mushra", "mos"))
    assert made.rules and len({page.id for page in pages}) == len(pages)


@pytest.mark.parametrize("preset", PRESETS)
def test_the_headphone_check_is_woods(preset: PresetName) -> None:
    made = draft(preset, material())
    page = made.blocks[0].pages[1]
    signals = {recipe.id: recipe.signal for recipe in made.recipes if recipe.role == "headphones"}
    assert page.headphones is not None and len(page.headphones) == 6 and len(signals) == 18
    for trial in page.headphones:
        assert sorted(str(signals[id]) for id in trial.stimuli) == ["antiphase", "full", "quiet"]
        assert signals[trial.stimuli[trial.quiet]] == "quiet"
    without = draft(preset, material(), headphones=False)
    assert [page.type for page in without.blocks[0].pages] == ["consent", "volume"]


def test_gen_between() -> None:
    made = draft("gen", material())
    assert made.groups == ("fidelity", "relevance")
    assert {block.id: block.groups for block in made.blocks if block.groups} == {
        f"{name}{suffix}": (name,) for name in made.groups for suffix in ("-instructions", "-training", "", "-last")
    }
    assert "pause" not in [block.id for block in made.blocks]
    for name, shown, coverage in (("fidelity", (), 0.5), ("relevance", ("text",), 0.8)):
        pages = main(trials(made, name))
        assert len(pages) == 4 and {page.type for page in pages} == {"multi"}
        for page in pages:
            assert page.show == shown and page.switching == "restart" and page.reference is None
            assert [attribute.id for attribute in page.attributes] == [name]
            assert page.require.coverage == coverage and page.require.heard_s == 2
            assert roles(made, page)[:4] == ["system"] * 3 + ["hidden_real"]
    assert made.scales["relevance"].words == "relevance"


def test_gen_has_its_low_ends() -> None:
    made = draft("gen", material(prompts=6))
    degraded = [page for page in main(trials(made, "fidelity")) if "degraded" in roles(made, page)]
    assert len(degraded) == 2  # every third
    assert all("degraded" not in roles(made, page) for page in trials(made, "relevance"))
    assert all("mismatch" not in roles(made, page) for page in trials(made, "fidelity"))
    by_id = {recipe.id: recipe for recipe in made.recipes}
    for page in main(trials(made, "relevance")):
        (wrong,) = [by_id[id] for id in page.stimuli if by_id[id].role == "mismatch"]
        assert wrong.path is not None and wrong.path.stem != page.prompt and wrong.path.parent.name == "reference"
        assert wrong.group == page.prompt  # so its file has the size of the page's others
    for recipe in made.recipes:
        assert (recipe.low_pass_hz == 3500) == (recipe.role == "degraded")


def test_gen_without_real_recordings_takes_systems_in_turn() -> None:
    made = draft("gen", material(real=False))
    assert "no real recordings: there is no hidden control" in made.notes
    wrong = [recipe for recipe in made.recipes if recipe.role == "mismatch"]
    assert len(wrong) == 4 and all(recipe.path is not None and recipe.path.stem != recipe.prompt for recipe in wrong)
    assert len({recipe.path.parent.name for recipe in wrong if recipe.path is not None}) == 3


def test_gen_says_what_it_cannot_make() -> None:
    dull = draft("gen", material(high_share=1e-6))
    assert any(note.startswith("no degraded stimulus") for note in dull.notes)
    assert all(recipe.role != "degraded" for recipe in dull.recipes)
    single = draft("gen", material(prompts=1))
    assert any(note.startswith("no mismatched stimulus") for note in single.notes)


def test_gen_passes() -> None:
    within = draft("gen", material(), passes="within")
    order = [block.id for block in within.blocks]
    assert within.groups == ("A",) and order.index("fidelity") < order.index("pause") < order.index("relevance")
    both = draft("gen", material(), passes="same-page")
    assert [len(page.attributes) for page in main(trials(both))] == [2] * 4
    assert all(page.pass_ is None and page.show == ("text",) for page in main(trials(both)))
    assert all(len(page.attributes) == 1 for page in trials(both) if page.instructed)
    for name in ("fidelity", "relevance"):
        alone = draft("gen", material(), passes=name)
        assert {page.pass_ for page in trials(alone)} == {name} and alone.groups == ("A",)


def test_relevance_needs_prompts() -> None:
    with pytest.raises(ListeningTestError, match="4 of 4 prompts have nothing .* ask --passes fidelity"):
        draft("gen", material(captions=False))
    assert trials(draft("gen", material(captions=False), passes="fidelity"))


def test_one_sound_alone_is_no_comparison() -> None:
    with pytest.raises(ListeningTestError, match="one sound alone cannot be compared"):
        draft("gen", material(systems=1, real=False), passes="fidelity")


@pytest.mark.parametrize(("preset", "most"), [("gen", 9), ("mushra", 9)])
def test_more_systems_than_a_page_holds(preset: PresetName, most: int) -> None:
    made = draft(preset, material(systems=14, prompts=6), seed=1)
    for page in main(trials(made)):
        assert roles(made, page).count("system") <= most and len(page.stimuli) <= 12
    assert any("incomplete blocks" in note for note in made.notes)
    by_id = {recipe.id: recipe for recipe in made.recipes}
    for prompt in material(prompts=6).samples.prompts:
        name = "fidelity" if preset == "gen" else None
        pages = [page for page in main(trials(made, name)) if page.prompt == prompt]
        systems = [by_id[id].system for page in pages for id in page.stimuli if by_id[id].role == "system"]
        assert len(pages) == 2 and sorted(map(str, systems)) == sorted(f"s{k}" for k in range(14))


def test_mushra() -> None:
    made = draft("mushra", material())
    for page in main(trials(made)):
        assert page.type == "mushra" and page.switching == "sync" and page.loop and not page.waveform and not page.show
        assert roles(made, page) == ["system"] * 3 + ["hidden_reference", "low_anchor", "mid_anchor"]
        assert page.reference not in page.stimuli and page.require.one_at_top
        assert [attribute.scale for attribute in page.attributes] == ["cqs"]
    cut = {recipe.role: recipe.low_pass_hz for recipe in made.recipes}
    assert cut["low_anchor"] == 3500 and cut["mid_anchor"] == 7000 and cut["hidden_reference"] is None
    assert sum("BS.1534-3" in rule for rule in made.rules) == 2


def test_mushra_needs_references_of_one_length() -> None:
    with pytest.raises(ListeningTestError, match="reference of every prompt, and p0, p1, p2, p3 have none"):
        draft("mushra", material(real=False))
    with pytest.raises(ListeningTestError, match="--passes has no meaning for mushra"):
        draft("mushra", material(), passes="within")
    made = material()
    longer = dict(made.facts)
    longer[Path("samples/s1/p2.wav")] = Facts("0" * 64, 16_000, 1, 16_040, 0.2, None)
    with pytest.raises(ListeningTestError, match=r"1 differ: p2 \(s0/p2.wav 1.0000 s, s1/p2.wav 1.0025 s"):
        draft("mushra", Material(made.samples, longer, 16_000, 2))
    # One sample of the lowest rate is what rounding may take.
    longer[Path("samples/s1/p2.wav")] = Facts("0" * 64, 48_000, 1, 48_002, 0.2, None)
    frames = {recipe.frames for recipe in draft("mushra", Material(made.samples, longer, 48_000, 2)).recipes}
    assert frames == {48_000, None}


def test_dull_references_are_said() -> None:
    assert any(note.startswith("anchors may be inaudible") for note in draft("mushra", material(high_share=1e-5)).notes)
    assert not any(note.startswith("anchors may") for note in draft("mushra", material()).notes)


def test_mos() -> None:
    made = draft("mos", material())
    pages = main(trials(made))
    assert len(pages) == 16 and {page.type for page in pages} == {"single"}
    assert {attribute.scale for page in pages for attribute in page.attributes} == {"acr"}
    assert {page.instructed.below for page in trials(made) if page.instructed} == {2}
    both = draft("mos", material(), passes="same-page")
    assert {attribute.scale for page in main(trials(both)) for attribute in page.attributes} == {"acr", "relevance-5"}
    assert (both.scales["relevance-5"].low, both.scales["relevance-5"].high) == (1, 5)


def test_pairs() -> None:
    made = draft("pairs", material())
    for name, question in (("fidelity", "better"), ("relevance", "match")):
        pages = main(trials(made, name))
        assert len(pages) == 12 and all(page.pair is not None and page.pair.tie for page in pages)
        assert {page.pair.questions for page in pages if page.pair is not None} == {(question,)}
        pairs = {(page.prompt, frozenset(page.stimuli)) for page in pages}
        assert len(pairs) == 12
    with pytest.raises(ListeningTestError, match="pairs need two systems"):
        draft("pairs", material(systems=1))


def test_abx() -> None:
    against = draft("abx", material())
    assert all(roles(against, page) == ["reference", "system"] for page in main(trials(against)))
    assert len(main(trials(against))) == 12
    among = draft("abx", material(real=False))
    assert len(main(trials(among))) == 12 and all("reference" not in roles(among, page) for page in trials(among))
    assert all(page.switching == "sync" for page in trials(among))
    with pytest.raises(ListeningTestError, match="abx needs two systems"):
        draft("abx", material(systems=1, real=False))


def test_per_participant_has_a_default_that_is_said() -> None:
    made = draft("gen", material(prompts=50))
    (block,) = [block for block in made.blocks if block.id == "fidelity"]
    assert block.per_participant == 11
    assert any("fidelity: 12 of 50 trials for each participant" in note for note in made.notes)


def test_files_with_faults_are_all_named() -> None:
    made = material()
    facts = dict(made.facts)
    facts[Path("samples/s0/p0.wav")] = Facts("", 0, 0, 0, 0.0, "is silent (peak 0.0e+00)")
    facts[Path("samples/s1/p3.wav")] = Facts("", 0, 0, 0, 0.0, "is empty")
    with pytest.raises(ListeningTestError) as caught:
        material_of(made.samples, facts, Options("gen"))
    assert str(caught.value) == (
        "2 of 16 sounds cannot be used: s0/p0.wav is silent (peak 0.0e+00); s1/p3.wav is empty"
    )


@pytest.mark.parametrize(
    ("rates", "asked", "chosen"),
    [
        ((16_000, 44_100), None, 44_100),
        ((8_000,), None, 16_000),
        ((192_000,), None, 96_000),
        ((44_100,), 48_000, 48_000),
    ],
)
def test_the_common_rate(rates: tuple[int, ...], asked: int | None, chosen: int) -> None:
    made = material()
    facts = {path: Facts("", rates[at % len(rates)], 1, 99_999, 0.1, None) for at, path in enumerate(made.facts)}
    assert material_of(made.samples, facts, Options("gen", rate_hz=asked)).rate_hz == chosen


def test_channels_are_two_for_the_headphone_check() -> None:
    made = material()
    assert material_of(made.samples, made.facts, Options("gen")).channels == 2
    assert material_of(made.samples, made.facts, Options("gen", headphones=False)).channels == 1
