"""A study: what is played to whom and asked how, as one folder that never changes once it is written.

    STUDY/study.json                    this module's `Study`, one to one; written last
    STUDY/sounds/<sha256>.flac          every stimulus: one rate, one channel count
    STUDY/images/<sha256>.<suffix>      STUDY/videos/<sha256>.<suffix>

`load_study` reads such a folder and refuses one that does not hold together; `Study.to_json` writes the same bytes
that were read. Ids match [A-Za-z0-9_-]{1,64}. Only a study without departures from ITU-R BS.1534-3 is named MUSHRA.
Files are looked up here by id; no name from outside is ever joined to a path.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Final, Literal

from clipsonic_listening_test.errors import ListeningTestError
from clipsonic_listening_test.pages import Block, Page, Text
from clipsonic_listening_test.reading import from_json, to_json

SCHEMA: Final = 1
KIND: Final = "study"
MUSHRA: Final = "MUSHRA (ITU-R BS.1534-3)"

Role = Literal[
    "system", "reference", "hidden_reference", "low_anchor", "mid_anchor", "degraded", "mismatch", "duplicate",
    "training", "headphones", "volume", "hidden_real",
]  # fmt: skip
PresetName = Literal["gen", "mushra", "mos", "pairs", "abx"]


@dataclass(frozen=True)
class Loudness:
    """What the stimuli were aligned to, and the true peak none may pass."""

    standard: str = "ITU-R BS.1770-4"
    target_lufs: float = -23.0
    true_peak_limit_dbtp: float = -1.0


@dataclass(frozen=True)
class Prompt:
    """What the systems were asked. `lang` is the language of the text; image and video are ids of `Study.media`."""

    text: str | None = None
    lang: str = "en"
    image: str | None = None
    video: str | None = None


@dataclass(frozen=True)
class Media:
    """An image or a silent video: file below the study's folder, SHA-256 and size of it, and its media type."""

    kind: Literal["image", "video"]
    file: str
    sha256: str
    bytes: int
    type: str


@dataclass(frozen=True)
class Source:
    """The file a stimulus was made of."""

    path: str
    sha256: str
    rate_hz: int


@dataclass(frozen=True)
class Filter:
    """The filter an anchor was made with: measured ripple up to the pass band's edge, attenuation in the stop band."""

    kind: Literal["kaiser-fir"]
    cut_hz: float
    taps: int
    pass_ripple_db: float
    stop_db: float


@dataclass(frozen=True)
class Stimulus:
    """One sound as it is served.

    lufs, true_peak_dbtp: of the file served. gain_db: what was applied to the source. peaks: of equal stretches,
    0 to 1, for drawing. lufs is None where BS.1770 gives none (a sound shorter than 0.4 s).
    """

    role: Role
    file: str
    sha256: str
    bytes: int
    frames: int
    channels: int
    system: str | None = None
    prompt: str | None = None
    lufs: float | None = None
    true_peak_dbtp: float | None = None
    gain_db: float = 0.0
    source: Source | None = None
    filter: Filter | None = None
    peaks: tuple[float, ...] | None = None


@dataclass(frozen=True)
class Scale:
    """A scale of scores from `low` to `high` in steps; `words` is the catalogue's key for its labels."""

    low: float
    high: float
    step: float
    words: str


@dataclass(frozen=True)
class Assignment:
    """How participants get pages and stimuli get places."""

    lease_minutes: float = 40
    maximum_age_hours: float = 24
    stimulus_order: Literal["williams", "random"] = "williams"


@dataclass(frozen=True)
class Screening:
    """Rules declared before collection."""

    rules: tuple[str, ...] = ()


@dataclass(frozen=True)
class Panel:
    """Where participants come from; a completion code per outcome; the URL they return to, with {code} in it."""

    kind: Literal["open", "invite", "prolific", "mturk"] = "open"
    codes: dict[str, str] = field(default_factory=dict)
    return_url: str | None = None


@dataclass(frozen=True)
class Study:
    """A whole study. `folder` and `digest` (SHA-256 of study.json) are set by `load_study` and not written."""

    schema: int
    kind: str
    id: str
    title: Text
    made_by: str
    preset: PresetName
    seed: int
    name: str
    departures: tuple[str, ...]
    languages: tuple[str, ...]
    rate_hz: int
    channels: int
    systems: tuple[str, ...]
    stimuli: dict[str, Stimulus]
    scales: dict[str, Scale]
    blocks: tuple[Block, ...]
    loudness: Loudness = Loudness()
    prompts: dict[str, Prompt] = field(default_factory=dict)
    media: dict[str, Media] = field(default_factory=dict)
    groups: tuple[str, ...] = ("A",)
    assignment: Assignment = Assignment()
    screening: Screening = Screening()
    panel: Panel = Panel()
    texts: dict[str, Text] = field(default_factory=dict)
    folder: Path = field(default=Path(), metadata={"json": False})
    digest: str = field(default="", metadata={"json": False})

    @cached_property
    def pages(self) -> dict[str, Page]:
        """Every page by id, in the order of the blocks."""
        return {page.id: page for block in self.blocks for page in block.pages}

    @cached_property
    def block_of(self) -> dict[str, Block]:
        """The block of each page, by the page's id."""
        return {page.id: block for block in self.blocks for page in block.pages}

    def sound_path(self, stimulus: str) -> Path:
        """Where the file of a stimulus lies. KeyError for an unknown id."""
        return self.folder / self.stimuli[stimulus].file

    def media_path(self, media: str) -> Path:
        """Where an image or a video lies. KeyError for an unknown id."""
        return self.folder / self.media[media].file

    def to_json(self) -> str:
        """The content of study.json: the same study gives the same text."""
        return json.dumps(to_json(self), indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def study_from_json(text: str | bytes) -> Study:
    """A study from the content of study.json, its own parts checked against one another; no file is looked at.

    Raises:
        ListeningTestError: not JSON, another schema or kind, a member that is unknown, missing or of another type,
            or parts that do not fit (every fault is in the message, up to a limit).
    """
    from clipsonic_listening_test.validate import validate

    raw = _parse(text)
    if raw.get("kind") != KIND:
        hint = "; make a study of it with: clipsonic-listen init" if raw.get("kind") == "samples" else ""
        raise ListeningTestError(f"study.json has kind {raw.get('kind')!r}; expected {KIND!r}{hint}")
    if raw.get("schema") != SCHEMA:
        raise ListeningTestError(f"study.json has schema {raw.get('schema')!r}; this version reads {SCHEMA}")
    study = from_json(raw, Study, "study.json")
    validate(study)
    return study


def load_study(folder: str | Path) -> Study:
    """Load a study and see that every file is there with its size (`check` also reads the files).

    Raises:
        ListeningTestError: no study there, or one that does not hold together.
    """
    from clipsonic_listening_test.validate import validate_files

    folder = Path(folder)
    path = folder / "study.json"
    if not path.is_file():
        raise ListeningTestError(f"{folder} holds no study.json; make a study with: clipsonic-listen init SAMPLES")
    data = path.read_bytes()
    try:
        study = study_from_json(data)
    except ListeningTestError as error:
        raise ListeningTestError(f"{folder}: {error}") from error
    study = replace(study, folder=folder, digest=hashlib.sha256(data).hexdigest())
    validate_files(study)
    return study


def _parse(text: str | bytes) -> dict[str, Any]:
    def no_constant(word: str) -> None:
        raise ValueError(f"{word} is no JSON number")

    try:
        raw = json.loads(text, parse_constant=no_constant)
    except (ValueError, RecursionError) as error:
        raise ListeningTestError(f"study.json is not JSON: {error}") from error
    if not isinstance(raw, dict):
        raise ListeningTestError(f"study.json holds a {type(raw).__name__}; expected an object")
    return raw
