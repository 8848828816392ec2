"""Whether the parts of a study fit one another: ids, references, what each page type needs, files and their sizes.

Every fault is found before anything is said, and named by the id it is at. What makes a study a *good* one, such as
the departures from ITU-R BS.1534-3, is `check`'s to say, not this module's.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Final

from clipsonic_listening_test.errors import ListeningTestError
from clipsonic_listening_test.pages import RATED, TRIALS, Block, Field, Page
from clipsonic_listening_test.study import MUSHRA, Media, Stimulus, Study

ID: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
LANGUAGE: Final = re.compile(r"[a-z]{2,3}(-[A-Za-z0-9]{2,8})*")
MEDIA_TYPES: Final = {
    "image": {"image/jpeg": "jpg", "image/png": "png", "image/webp": "webp", "image/gif": "gif"},
    "video": {"video/mp4": "mp4", "video/webm": "webm"},
}
_SHA256: Final = re.compile(r"[0-9a-f]{64}")
_SHOWN: Final = 5
_STIMULI: Final = {
    "volume": (1, 1),
    "mushra": (3, 99),
    "multi": (1, 99),
    "single": (1, 1),
    "pair": (2, 2),
    "abx": (2, 2),
}


def validate(study: Study) -> None:
    """Check a study's parts against one another.

    Raises:
        ListeningTestError: they do not fit; the first faults are named.
    """
    _refuse([*_ids(study), *_whole(study), *_stimuli(study), *_media(study), *_blocks(study), *_pages(study)])


def validate_files(study: Study) -> None:
    """Check that each file of a study is there with the size that study.json gives.

    Raises:
        ListeningTestError: files are absent, or of another size.
    """
    faults = []
    stored: list[Stimulus | Media] = [*study.stimuli.values(), *study.media.values()]
    for each in stored:
        path = study.folder / each.file
        size = path.stat().st_size if path.is_file() else None
        if size is None:
            faults.append(f"{path} is absent")
        elif size != each.bytes:
            faults.append(f"{path} has {size} bytes instead of {each.bytes}")
    _refuse(list(dict.fromkeys(faults)), "; make the study anew with: clipsonic-listen init")


def _refuse(faults: list[str], hint: str = "") -> None:
    if faults:
        more = f" (and {len(faults) - _SHOWN} more)" if len(faults) > _SHOWN else ""
        raise ListeningTestError("; ".join(faults[:_SHOWN]) + more + hint)


def _ids(study: Study) -> Iterator[str]:
    for what, ids in {
        "study": [study.id],
        "system": study.systems,
        "prompt": study.prompts,
        "media": study.media,
        "stimulus": study.stimuli,
        "scale": study.scales,
        "group": study.groups,
        "text": study.texts,
        "block": [block.id for block in study.blocks],
        "page": [page.id for block in study.blocks for page in block.pages],
    }.items():
        yield from _id_faults(what, ids)


def _id_faults(what: str, ids: Iterable[str]) -> Iterator[str]:
    seen: set[str] = set()
    for id in ids:
        if not ID.fullmatch(id):
            yield f"{what} id {id!r} is not 1 to 64 of A-Z a-z 0-9 _ -"
        if id in seen:
            yield f"{what} id {id!r} is there twice"
        seen.add(id)


def _whole(study: Study) -> Iterator[str]:
    if study.rate_hz <= 0 or study.channels <= 0:
        yield f"rate_hz {study.rate_hz} and channels {study.channels} must be above 0"
    if not study.languages or not study.groups:
        yield "a study needs at least one language and one group"
    yield from (f"language {tag!r} is no language tag" for tag in study.languages if not LANGUAGE.fullmatch(tag))
    if study.name.startswith("MUSHRA") and (study.departures or study.name != MUSHRA):
        yield f"a study with departures from BS.1534-3 cannot be named {study.name!r}"
    for key, text in {"title": study.title, **{f"text {key!r}": text for key, text in study.texts.items()}}.items():
        if not text:
            yield f"{key} is in no language"
    for id, scale in study.scales.items():
        if not (scale.low < scale.high and scale.step > 0):
            yield f"scale {id!r} runs from {scale.low} to {scale.high} in steps of {scale.step}"
    if study.assignment.lease_minutes <= 0 or study.assignment.maximum_age_hours <= 0:
        yield "lease_minutes and maximum_age_hours must be above 0"
    if study.panel.return_url is not None and not study.panel.return_url.startswith("https://"):
        yield f"return_url {study.panel.return_url!r} does not start with https://"
    for id, prompt in study.prompts.items():
        for kind, media in (("image", prompt.image), ("video", prompt.video)):
            if media is not None and (media not in study.media or study.media[media].kind != kind):
                yield f"prompt {id!r} names {kind} {media!r}, which is not among the media"


def _stimuli(study: Study) -> Iterator[str]:
    for id, each in study.stimuli.items():
        where = f"stimulus {id!r}"
        if not _SHA256.fullmatch(each.sha256) or each.file != f"sounds/{each.sha256}.flac":
            yield f"{where} has file {each.file!r}; expected sounds/<its sha256>.flac"
        if each.frames <= 0 or each.bytes <= 0 or each.channels != study.channels:
            yield f"{where} has {each.frames} frames, {each.bytes} bytes and {each.channels} channels"
        if each.system is not None and each.system not in study.systems:
            yield f"{where} is of system {each.system!r}, which is not among the systems"
        if each.role == "system" and each.system is None:
            yield f"{where} has role 'system' and no system"
        if each.prompt is not None and each.prompt not in study.prompts:
            yield f"{where} is of prompt {each.prompt!r}, which is not among the prompts"
        if each.peaks is not None and not all(0 <= peak <= 1 for peak in each.peaks):
            yield f"{where} has peaks outside 0 to 1"


def _media(study: Study) -> Iterator[str]:
    for id, each in study.media.items():
        suffix = MEDIA_TYPES[each.kind].get(each.type)
        if suffix is None:
            yield f"media {id!r} is {each.type!r}; expected one of {', '.join(MEDIA_TYPES[each.kind])}"
        elif not _SHA256.fullmatch(each.sha256) or each.file != f"{each.kind}s/{each.sha256}.{suffix}":
            yield f"media {id!r} has file {each.file!r}; expected {each.kind}s/<its sha256>.{suffix}"


def _blocks(study: Study) -> Iterator[str]:
    if not study.pages:
        yield "a study needs at least one page"
    for block in study.blocks:
        yield from _block(study, block)


def _block(study: Study, block: Block) -> Iterator[str]:
    where = f"block {block.id!r}"
    for group in block.groups or ():
        if group not in study.groups:
            yield f"{where} is for group {group!r}, which is not among the groups"
    if block.groups == () or not block.pages:
        yield f"{where} has no group or no page"
    if block.per_participant is not None and not 1 <= block.per_participant <= len(block.pages):
        yield f"{where} gives each participant {block.per_participant} of {len(block.pages)} pages"
    if block.ratings_per_page is not None and block.ratings_per_page < 1:
        yield f"{where} wants {block.ratings_per_page} ratings per page"


def _pages(study: Study) -> Iterator[str]:
    for page in study.pages.values():
        yield from (f"page {page.id!r} {fault}" for fault in (*_references(study, page), *_needs(study, page)))
        yield from (f"page {page.id!r}: {fault}" for fault in _fields(page.fields))


def _references(study: Study, page: Page) -> Iterator[str]:
    if page.prompt is not None and page.prompt not in study.prompts:
        yield f"names prompt {page.prompt!r}, which is not among the prompts"
    if page.show and page.prompt is None:
        yield "shows a prompt and names none"
    missing = [id for id in page.stimuli_used() if id not in study.stimuli]
    if missing:
        yield f"names stimulus {missing[0]!r}, which is not among the stimuli"
    if len(set(page.stimuli)) != len(page.stimuli):
        yield "has a stimulus twice (a duplicate has an id of its own)"
    for attribute in page.attributes:
        if attribute.scale not in study.scales:
            yield f"has scale {attribute.scale!r}, which is not among the scales"
    yield from _id_faults("has attribute", [attribute.id for attribute in page.attributes])
    if page.text is not None and page.text not in study.texts:
        yield f"names text {page.text!r}, which is not among the texts"
    if page.replicate_of is not None and page.replicate_of not in study.pages:
        yield f"repeats page {page.replicate_of!r}, which there is not"


def _needs(study: Study, page: Page) -> Iterator[str]:
    low, high = _STIMULI.get(page.type, (0, 0))
    if not low <= len(page.stimuli) <= high:
        yield f"has {len(page.stimuli)} stimuli; a {page.type} page has {low if low == high else f'{low} or more'}"
    if (page.type in RATED) != bool(page.attributes):
        yield f"is a {page.type} page with {len(page.attributes)} attributes"
    if (page.type in ("pair", "abx")) != (page.pair is not None):
        yield "lacks `pair`" if page.pair is None else "has `pair` and is no pair"
    if page.pair is not None and not page.pair.questions:
        yield "asks no question of its pair"
    if (page.type == "questionnaire") != bool(page.fields):
        yield f"is a {page.type} page with {len(page.fields)} fields"
    if (page.type == "headphones") != bool(page.headphones):
        yield f"is a {page.type} page with {len(page.headphones or ())} headphone trials"
    for trial in page.headphones or ():
        if len(set(trial.stimuli)) != 3 or not 0 <= trial.quiet < 3:
            yield "has a headphone trial that is not three tones of which one is the quietest"
    if page.training and page.type not in TRIALS:
        yield "is training and nothing is rated on it"
    if not 0 <= page.require.coverage <= 1 or page.require.heard_s < 0:
        yield "requires less than nothing or more than all to be heard"
    if page.instructed is not None and not 0 <= page.instructed.stimulus < len(page.stimuli):
        yield f"instructs stimulus {page.instructed.stimulus} of {len(page.stimuli)}"
    used = [study.stimuli[id] for id in page.stimuli_used() if id in study.stimuli]
    if page.switching == "sync" and page.type in TRIALS and len({each.frames for each in used}) > 1:
        yield "switches in sync between stimuli of different lengths"
    if page.type == "mushra":
        roles = {study.stimuli[id].role for id in page.stimuli if id in study.stimuli}
        absent = sorted({"hidden_reference", "low_anchor", "mid_anchor"} - roles)
        if absent or page.reference is None:
            yield f"is a mushra page without {', '.join([*absent, *(['reference'] if page.reference is None else [])])}"
    elif page.reference is not None and page.type != "pair":
        yield f"mentions a reference, which a {page.type} page does not"


def _fields(fields: tuple[Field, ...]) -> Iterator[str]:
    yield from _id_faults("field", [each.id for each in fields])
    before: set[str] = set()
    for each in fields:
        if (each.type in ("choice", "multiple")) != bool(each.options):
            yield f"field {each.id!r} is {each.type} with {len(each.options)} options"
        if each.type == "likert" and (each.min is None or each.max is None):
            yield f"field {each.id!r} is a Likert scale without min and max"
        if each.min is not None and each.max is not None and each.min >= each.max:
            yield f"field {each.id!r} runs from {each.min} to {each.max}"
        if each.show_if is not None and each.show_if.field not in before:
            yield f"field {each.id!r} depends on {each.show_if.field!r}, which is not before it"
        before.add(each.id)
