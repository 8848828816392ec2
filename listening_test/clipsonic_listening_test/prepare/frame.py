"""What stands before and after the trials of every preset: consent, checks, volume; questions and the end."""

from __future__ import annotations

from typing import Final

from clipsonic_listening_test.pages import Block, Field, HeadphoneTrial, Option, Page, Text
from clipsonic_listening_test.prepare.material import Options, Recipe
from clipsonic_listening_test.prepare.words import FIELDS, OPTIONS

TRIALS: Final = 6
_TONES: Final = ("full", "quiet", "antiphase")
CONSENT: Final = "consent"


def start_block(options: Options) -> tuple[Block, list[Recipe]]:
    """Consent, headphone check (unless it is not wanted) and volume, with the stimuli they need."""
    consent = Page(CONSENT, "consent", text=CONSENT if options.consent is not None else None)
    recipes = []
    pages = [consent]
    if options.headphones:
        trials = []
        for number in range(1, TRIALS + 1):
            ids = tuple(f"headphones-{number}-{tone}" for tone in _TONES)
            trials.append(HeadphoneTrial(ids, _TONES.index("quiet")))
            recipes += [
                Recipe(id, "headphones", "headphones", signal=tone) for id, tone in zip(ids, _TONES, strict=True)
            ]
        pages.append(Page("headphones", "headphones", headphones=tuple(trials)))
    recipes.append(Recipe("volume", "volume", "volume", signal="noise"))
    pages.append(Page("volume", "volume", stimuli=("volume",), loop=True))
    return Block("start", tuple(pages)), recipes


def pause_block() -> Block:
    """A pause between two passes."""
    return Block("pause", (Page("pause", "pause"),))


def end_block(options: Options) -> Block:
    """Questions about the listener and the equipment, and the end."""
    questions = Page("questionnaire", "questionnaire", fields=questionnaire(options.languages))
    return Block("end", (questions, Page("finish", "finish")))


def questionnaire(languages: tuple[str, ...]) -> tuple[Field, ...]:
    """What BS.1534-3 wants known of listeners (experience, hearing, transducer), and room for a remark."""
    fields = []
    for id, (kind, label) in FIELDS.items():
        options = tuple(Option(value, _in(words, languages)) for value, words in OPTIONS.get(id, {}).items())
        fields.append(
            Field(id, "choice" if kind == "choice" else "long_text", _in(label, languages), kind != "choice", options)
        )
    return tuple(fields)


def _in(words: Text, languages: tuple[str, ...]) -> Text:
    """The words in the study's languages; English where a language has none here."""
    return {language: words.get(language, words["en"]) for language in languages}
