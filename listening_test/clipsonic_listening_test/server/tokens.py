"""Names that say nothing: cookies, CSRF tokens, page keys and the tokens of sounds and pictures.

A session has a random secret of 128 bits. The key of a page and the token of everything on it are HMAC-SHA256 of its
place under that secret: random to everybody else, different in each session, on each page and in each attempt, and
the same again after a restart, without a row in the database for each.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from clipsonic_listening_test.assign import AssignedPage, labels
from clipsonic_listening_test.pages import Page
from clipsonic_listening_test.store.people import keyed_hash
from clipsonic_listening_test.study import Study


def new_cookie() -> str:
    """A random cookie of 128 bits."""
    return secrets.token_urlsafe(16)


def cookie_hash(cookie: str) -> str:
    """What is stored of a cookie."""
    return hashlib.sha256(cookie.encode()).hexdigest()


def csrf_token(key: str, cookie: str) -> str:
    """The token that a page must send along with this cookie; `key` is the database's."""
    return keyed_hash(key, "csrf", cookie)[:32]


@dataclass(frozen=True)
class Slot:
    """A place on a page: a labelled stimulus, `reference`, `image`, `video`, or a tone of the headphone check.

    thing: id of the stimulus, or of the image or video among the study's media.
    """

    label: str
    kind: Literal["sound", "media"]
    thing: str


@dataclass(frozen=True)
class Shown:
    """One page of one session in one attempt: its key, and a token for each of its slots, in the order shown."""

    study: Study
    assigned: AssignedPage
    secret: str
    position: int
    attempt: int

    @property
    def page(self) -> Page:
        """The study's page."""
        return self.study.pages[self.assigned.page]

    @cached_property
    def key(self) -> str:
        """The page's key. It is the same in each attempt, which is sent beside it."""
        return page_key(self.secret, self.position)

    @cached_property
    def slots(self) -> dict[str, Slot]:
        """What each token stands for."""
        return {_token(self.secret, self.position, self.attempt, slot.label): slot for slot in self._slots()}

    @cached_property
    def token_of(self) -> dict[str, str]:
        """The token of each label."""
        return {slot.label: token for token, slot in self.slots.items()}

    @cached_property
    def stimuli(self) -> dict[str, Slot]:
        """The rated (or chosen) stimuli alone, by token."""
        names = set(labels(self.page))
        return {token: slot for token, slot in self.slots.items() if slot.label in names}

    @cached_property
    def trials(self) -> list[tuple[list[str], int]]:
        """The headphone check as shown: tokens of each trial's intervals, and the index of the quietest of them."""
        found = []
        for at, (trial, order) in enumerate(self._headphones()):
            tokens = [self.token_of[f"tone-{at}-{place}"] for place in range(len(order))]
            found.append((tokens, order.index(self.page.headphones[trial].quiet if self.page.headphones else 0)))
        return found

    def instructed_label(self) -> str | None:
        """Label of the stimulus that an instructed response is about."""
        if self.page.instructed is None:
            return None
        return labels(self.page)[self.assigned.stimuli.index(self.page.instructed.stimulus)]

    def _slots(self) -> Iterator[Slot]:
        page, order = self.page, self.assigned.stimuli
        if page.reference is not None:
            yield Slot("reference", "sound", page.reference)
        shown = [*order, *(() if self.assigned.x is None else (self.assigned.x,))]
        for label, index in zip(labels(page), shown, strict=True):
            yield Slot(label, "sound", page.stimuli[index])
        for at, (trial, intervals) in enumerate(self._headphones()):
            stimuli = page.headphones[trial].stimuli if page.headphones else ()
            for place, interval in enumerate(intervals):
                yield Slot(f"tone-{at}-{place}", "sound", stimuli[interval])
        prompt = None if page.prompt is None else self.study.prompts[page.prompt]
        if prompt is not None and prompt.image is not None and "image" in page.show:
            yield Slot("image", "media", prompt.image)
        if prompt is not None and prompt.video is not None and "video" in page.show:
            yield Slot("video", "media", prompt.video)

    def _headphones(self) -> list[tuple[int, Sequence[int]]]:
        if not self.assigned.headphones:
            return []
        trials, *intervals = self.assigned.headphones[self.attempt - 1]
        return list(zip(trials, intervals, strict=True))


def page_key(secret: str, position: int) -> str:
    """The key of the page at a position of a session."""
    return _token(secret, position, 0, "page")


def _token(secret: str, *place: str | int) -> str:
    name = "/".join(map(str, place)).encode()
    digest = hmac.new(bytes.fromhex(secret), name, hashlib.sha256).digest()
    return base64.urlsafe_b64encode(digest[:16]).rstrip(b"=").decode()
