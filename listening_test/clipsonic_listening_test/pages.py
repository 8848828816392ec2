"""What a study shows: pages, each one screen. A page whose stimuli are rated or chosen between is a trial.

    consent        a text and yes or no
    headphones     six times three tones, of which the quietest is named (Woods et al. 2017)
    volume         one stimulus and a level, which is kept for the session
    instructions   a text: the study's own (`text`), else the kit's for the pass
    mushra         a mentioned reference, the hidden reference, low and mid anchor among the stimuli (ITU-R BS.1534-3)
    multi          stimuli rated side by side, no reference mentioned (cf. ITU-R BS.2132)
    single         one stimulus (absolute category rating)
    pair           two stimuli, one choice per question, with or without a tie
    abx            two stimuli and X, which is one of them; which, is decided per session on the server
    questionnaire  fields
    pause, finish  texts

JSON names are the attributes' names, but for `pass`, which Python keeps for itself: `Page.pass_`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

PageType = Literal[
    "consent", "headphones", "volume", "instructions", "mushra", "multi", "single", "pair", "abx", "questionnaire",
    "pause", "finish",
]  # fmt: skip
Pass = Literal["fidelity", "relevance"]
Shown = Literal["text", "image", "video"]
Switching = Literal["sync", "restart", "resume"]
FieldType = Literal["text", "long_text", "number", "choice", "multiple", "likert"]
Text = dict[str, str]  # language -> words

RATED: Final = frozenset({"mushra", "multi", "single"})
CHOSEN: Final = frozenset({"pair", "abx"})
TRIALS: Final = RATED | CHOSEN


@dataclass(frozen=True)
class Attribute:
    """One thing a stimulus is rated for: a scale of the study, and the question asked (a key of the catalogue)."""

    id: str
    scale: str
    question: str


@dataclass(frozen=True)
class Require:
    """What Next waits for.

    heard_s: seconds of each stimulus that must have been heard (all of it, where it is shorter). coverage: share of
    each stimulus that must have been heard, 0 to 1. rate_all: every stimulus is rated, or has a reason why not.
    one_at_top: one stimulus at least has the highest score (BS.1534-3, instructions to assessors).
    """

    heard_s: float = 2.0
    coverage: float = 0.0
    rate_all: bool = True
    one_at_top: bool = False


@dataclass(frozen=True)
class Instructed:
    """An instructed response: the stimulus with this index in `Page.stimuli` is to be rated below `below`."""

    stimulus: int
    below: float


@dataclass(frozen=True)
class Pair:
    """The questions of a pair or ABX page, each a key of the catalogue, and whether "no difference" is an answer."""

    questions: tuple[str, ...]
    tie: bool = False


@dataclass(frozen=True)
class HeadphoneTrial:
    """Three stimuli, of which the one with index `quiet` is the quietest. The server draws their order."""

    stimuli: tuple[str, ...]
    quiet: int


@dataclass(frozen=True)
class Option:
    """An answer of a choice field."""

    value: str
    label: Text


@dataclass(frozen=True)
class ShowIf:
    """The field is asked only if an earlier field of the page has this value."""

    field: str
    equals: str | float | bool


@dataclass(frozen=True)
class Field:
    """One question of a questionnaire. `min` and `max` bound a number, or the ends of a Likert scale."""

    id: str
    type: FieldType
    label: Text
    optional: bool = False
    options: tuple[Option, ...] = ()
    min: float | None = None
    max: float | None = None
    show_if: ShowIf | None = None


@dataclass(frozen=True)
class Page:
    """One screen. What a type does not need is empty.

    show: what of the prompt is pinned. switching: position kept on one clock (`sync`, equal lengths), from the start
    (`restart`), or one position per stimulus (`resume`). waveform: whether the reference's is drawn. training: rated,
    flagged and left out. replicate_of: the page that this one repeats.
    """

    id: str
    type: PageType
    pass_: Pass | None = None
    prompt: str | None = None
    show: tuple[Shown, ...] = ()
    reference: str | None = None
    stimuli: tuple[str, ...] = ()
    attributes: tuple[Attribute, ...] = ()
    switching: Switching = "restart"
    loop: bool = False
    waveform: bool = False
    require: Require = Require()
    training: bool = False
    replicate_of: str | None = None
    instructed: Instructed | None = None
    text: str | None = None
    fields: tuple[Field, ...] = ()
    headphones: tuple[HeadphoneTrial, ...] | None = None
    pair: Pair | None = None

    def stimuli_used(self) -> tuple[str, ...]:
        """Ids of every stimulus on the page, each once: rated, mentioned as reference, or of the headphone check."""
        used = (*((self.reference,) if self.reference is not None else ()), *self.stimuli)
        tones = (each for trial in self.headphones or () for each in trial.stimuli)
        return tuple(dict.fromkeys((*used, *tones)))


@dataclass(frozen=True)
class Block:
    """Pages that belong together.

    groups: only these groups of participants see it; None is all. order: of its pages. per_participant: how many of
    its pages a participant gets, least-rated first; None is all. ratings_per_page: after so many the page is done;
    None is no limit.
    """

    id: str
    pages: tuple[Page, ...]
    groups: tuple[str, ...] | None = None
    order: Literal["fixed", "random"] = "fixed"
    per_participant: int | None = None
    ratings_per_page: int | None = None
