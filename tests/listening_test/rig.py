"""What tests of the server share: a tiny study, answers to any page, and raters that drive the real API.

Loaded by its path (conftest.py) under the name `listening_rig`.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import re
import secrets
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

SECONDS = 0.25
RATE = 16000
SCALES = {
    "cqs": {"low": 0, "high": 100, "step": 1, "words": "cqs"},
    "acr": {"low": 1, "high": 5, "step": 1, "words": "acr"},
}
FIDELITY = {"id": "fidelity", "scale": "cqs", "question": "fidelity"}


def page(id: str, type: str, **members: Any) -> dict[str, Any]:
    """A page of study.json."""
    given = {"id": id, "type": type} | members
    if type in ("mushra", "multi", "single"):
        given = {"attributes": [FIDELITY], "require": {"heard_s": 0.2}} | given
    if type in ("pair", "abx"):
        given = {"pair": {"questions": ["match"], "tie": type == "pair"}, "require": {"heard_s": 0.2}} | given
    return given


class StudyMaker:
    """Writes study folders. Each stimulus is its own quarter of a second of noise."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "sounds").mkdir(parents=True)
        (folder / "images").mkdir()
        self.stimuli: dict[str, Any] = {}
        self.media: dict[str, Any] = {}
        self.prompts: dict[str, Any] = {}

    def sound(self, id: str, role: str = "system", system: str | None = None, prompt: str | None = None) -> str:
        noise = np.random.default_rng(len(self.stimuli)).uniform(-0.1, 0.1, round(SECONDS * RATE))
        path = self.folder / "sounds" / "new.flac"
        soundfile.write(path, noise, RATE, subtype="PCM_16")
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        path = path.rename(path.with_name(f"{digest}.flac"))
        self.stimuli[id] = {
            "role": role,
            "system": system,
            "prompt": prompt,
            "file": f"sounds/{digest}.flac",
            "sha256": digest,
            "bytes": path.stat().st_size,
            "frames": len(noise),
            "channels": 1,
            "peaks": [0.1, 0.2],
        }
        return id

    def image(self, id: str) -> str:
        data = b"\x89PNG\r\n\x1a\n" + id.encode()
        digest = hashlib.sha256(data).hexdigest()
        path = self.folder / "images" / f"{digest}.png"
        path.write_bytes(data)
        self.media[id] = {
            "kind": "image",
            "file": f"images/{digest}.png",
            "sha256": digest,
            "bytes": len(data),
            "type": "image/png",
        }
        return id

    def prompt(self, id: str, text: str = "a dog barks", image: str | None = None) -> str:
        self.prompts[id] = {"text": text, "lang": "en", "image": image}
        return id

    def trial(self, id: str, systems: int = 3, **members: Any) -> dict[str, Any]:
        """A multi page with one stimulus per system, and the stimuli."""
        names = [self.sound(f"{id}-s{n}", system=f"s{n}") for n in range(systems)]
        return page(id, "multi", stimuli=names, **members)

    def headphones(self, id: str) -> dict[str, Any]:
        """The headphone check: six trials over the same three tones."""
        tones = [self.sound(f"{id}-{name}", role="headphones") for name in ("loud", "quiet", "antiphase")]
        return page(id, "headphones", headphones=[{"stimuli": tones, "quiet": 1}] * 6)

    def write(self, blocks: list[dict[str, Any]], **members: Any) -> Path:
        systems = sorted({each["system"] for each in self.stimuli.values() if each["system"]})
        study = {
            "schema": 1,
            "kind": "study",
            "id": "tiny",
            "title": {"en": "A <tiny> study", "de": "Eine <kleine> Studie"},
            "made_by": "test",
            "preset": "gen",
            "seed": 3,
            "name": "Multi-stimulus rating without reference (cf. ITU-R BS.2132)",
            "departures": ["no reference"],
            "languages": ["en", "de"],
            "rate_hz": RATE,
            "channels": 1,
            "systems": systems,
            "prompts": self.prompts,
            "media": self.media,
            "stimuli": self.stimuli,
            "scales": SCALES,
            "blocks": blocks,
        } | members
        (self.folder / "study.json").write_text(json.dumps(study))
        return self.folder


def block(id: str, *pages: dict[str, Any], **members: Any) -> dict[str, Any]:
    """A block of study.json."""
    return {"id": id, "pages": list(pages)} | members


def rating_study(folder: Path, pages: int = 3, systems: int = 3, **members: Any) -> Path:
    """Consent, then `pages` trials in random order."""
    maker = StudyMaker(folder)
    trials = [maker.trial(f"t{n}", systems) for n in range(pages)]
    blocks = [block("start", page("consent", "consent")), block("main", *trials, order="random")]
    return maker.write(blocks, **members)


def full_study(folder: Path, **members: Any) -> Path:
    """Every page type there is."""
    maker = StudyMaker(folder)
    maker.prompt("p1", image=maker.image("i1"))
    mushra = [
        maker.sound("m-ref", "reference"),
        maker.sound("m-hidden", "hidden_reference"),
        maker.sound("m-low", "low_anchor"),
        maker.sound("m-mid", "mid_anchor"),
        maker.sound("m-a", system="ours"),
    ]
    pair = [maker.sound("p-a", system="ours"), maker.sound("p-b", system="theirs")]
    fields = [
        {"id": "age", "type": "number", "label": {"en": "Age", "de": "Alter"}, "min": 0, "max": 120, "optional": True},
        {
            "id": "device",
            "type": "choice",
            "label": {"en": "Device"},
            "options": [
                {"value": "headphones", "label": {"en": "Headphones"}},
                {"value": "other", "label": {"en": "Other"}},
            ],
        },
        {
            "id": "which",
            "type": "text",
            "label": {"en": "Which?"},
            "show_if": {"field": "device", "equals": "other"},
        },
        {"id": "liked", "type": "likert", "label": {"en": "Liked"}, "min": 1, "max": 7},
    ]
    relevance = maker.trial("relevance", 3, prompt="p1", show=["text", "image"], **{"pass": "relevance"})
    blocks = [
        block(
            "start",
            page("consent", "consent", text="consent"),
            maker.headphones("headphones"),
            page("volume", "volume", stimuli=[maker.sound("v", "volume")]),
            page("instructions", "instructions"),
        ),
        block("training", maker.trial("training", 2, training=True)),
        block(
            "main",
            page(
                "mushra",
                "mushra",
                reference="m-ref",
                stimuli=mushra[1:],
                switching="sync",
                loop=True,
                **{"pass": "fidelity"},
            ),
            relevance,
            page("single", "single", stimuli=[maker.sound("mos", system="ours")]),
            page("pair", "pair", stimuli=pair),
            page("abx", "abx", stimuli=pair),
        ),
        block("check", maker.trial("check", 2, instructed={"stimulus": 1, "below": 10})),
        block(
            "end",
            page("pause", "pause"),
            page("questionnaire", "questionnaire", fields=fields),
            page("finish", "finish", text="thanks"),
        ),
    ]
    texts = {"consent": {"en": "May we?", "de": "Dürfen wir?"}, "thanks": {"en": "Thank you."}}
    return maker.write(blocks, **({"texts": texts} | members))


def listened(view: dict[str, Any], seconds: float = 1.0) -> list[dict[str, Any]]:
    """Enough listening to everything on a page."""
    return [
        {
            "token": each["token"],
            "plays": 2,
            "seconds_heard": seconds,
            "coverage": 1.0,
            "first_play_ms": 100,
            "last_move_ms": 900.5,
        }
        for each in view["stimuli"]
    ]


def answer_to(
    view: dict[str, Any], score: Callable[[int], float] = lambda at: 50 + at, **members: Any
) -> dict[str, Any]:
    """An answer that the page allows. `score`: of the stimulus with this index, as shown."""
    instructed = (view["instructed"] or {}).get("label")
    ratings = [
        {
            "token": each["token"],
            "attribute": attribute["id"],
            "score": 5 if each["label"] == instructed else score(at),
            "missing": None,
        }
        for attribute in view["attributes"]
        for at, each in enumerate(view["stimuli"])
    ]
    trial = view["require"] is not None
    answer = {
        "schema": 1,
        "key": view["key"],
        "attempt": view["attempt"],
        "page_ms": 1234.5,
        "consent": True if view["type"] == "consent" else None,
        "volume": 0.5 if view["type"] == "volume" else None,
        "ratings": ratings,
        "choices": [
            {"question": question, "choice": view["stimuli"][0]["token"], "missing": None}
            for question in (view["pair"] or {}).get("questions", [])
        ],
        "headphones": None,
        "fields": {"age": 33, "device": "headphones", "liked": 4} if view["type"] == "questionnaire" else None,
        "listening": listened(view) if trial else [],
        "events": [[12.5, "play", view["stimuli"][0]["token"], None]] if trial else [],
        "client": {"hidden_ms": 0, "drift_ms": 0.1, "rate_hz": RATE, "gain": 1.0},
    }
    return answer | members


class Rater:
    """A browser of the in-process application: cookies, CSRF token and tab are kept as a page would."""

    def __init__(self, client: Any, tab: str | None = None) -> None:
        self.client = client
        self.tab = secrets.token_hex(8) if tab is None else tab
        self.csrf = ""
        self.state: dict[str, Any] = {}

    @property
    def view(self) -> dict[str, Any]:
        found: dict[str, Any] = self.state["page"]
        return found

    def headers(self) -> dict[str, str]:
        return {"X-CSRF-Token": self.csrf, "X-Tab": self.tab}

    def request(self, method: str, path: str, body: Any = None) -> Any:
        return self.client.request(method, path, json=body, headers=self.headers())

    def start(self, status: int | None = None, language: str = "en", **parameters: str) -> Any:
        body = {"parameters": parameters, "language": language, "client": {"browser": "test"}, "tab": self.tab}
        found = self.client.post("/api/session", json=body)
        if status is not None:
            assert found.status_code == status, found.text
        if found.status_code < 300:
            self.csrf = found.json()["csrf"]
            self.state = found.json()["state"]
        return found

    def save(self, answer: dict[str, Any], status: int = 200) -> Any:
        found = self.request("PUT", "/api/answer", answer)
        assert found.status_code == status, found.text
        if status == 200:
            self.state = found.json()["state"]
        return found

    def next(self, **members: Any) -> None:
        """Answer the page whose turn it is."""
        self.save(answer_to(self.view, **members))

    def until(self, type: str, headphones: Callable[[dict[str, Any]], list[str]] | None = None) -> dict[str, Any]:
        """Answer pages until one of this type is there."""
        while self.view["type"] != type:
            if self.view["type"] == "headphones":
                assert headphones is not None
                self.next(headphones=headphones(self.view))
            else:
                self.next()
        return self.view

    def finish(self, headphones: Callable[[dict[str, Any]], list[str]] | None = None) -> dict[str, Any]:
        while self.state["finished"] is None:
            self.until(self.view["type"])
            if self.view["type"] == "headphones":
                assert headphones is not None
                self.next(headphones=headphones(self.view))
            else:
                self.next()
        return self.state


class Here:
    """A study served in this process: the service, its application, and a clock that tests set."""

    def __init__(self, folder: Path, database: str, **options: Any) -> None:
        from clipsonic_listening_test.server.app import create_app
        from clipsonic_listening_test.server.service import Options, Service
        from clipsonic_listening_test.store.database import database_url
        from clipsonic_listening_test.store.open import Store
        from clipsonic_listening_test.study import load_study

        self.now_ms = 1_800_000_000_000
        self.database = database
        self.study = load_study(folder)
        self.store = Store(database_url(database, folder), folder)
        self.service = Service(self.study, self.store, Options(**options), clock=lambda: self.now_ms)
        self.app = create_app(self.service)
        self._clients = contextlib.ExitStack()

    def client(self, address: str = "203.0.113.5", **options: Any) -> Any:
        """A browser of its own: no cookies, this address."""
        from starlette.testclient import TestClient

        return self._clients.enter_context(
            TestClient(self.app, client=(address, 50000), raise_server_exceptions=False, **options)
        )

    def rater(self, tab: str | None = None, **options: Any) -> Any:
        """Somebody in a browser of their own."""
        return Rater(self.client(**options), tab)

    def later(self, minutes: float) -> None:
        """Let time pass."""
        self.now_ms += round(minutes * 60_000)

    def rows(self, table: str) -> list[dict[str, Any]]:
        """Every row of a table."""
        from sqlalchemy import select

        from clipsonic_listening_test.store.tables import metadata

        with self.store.readers.connect() as connection:
            found = metadata.tables[table]
            return [dict(row) for row in connection.execute(select(found).order_by(*found.primary_key)).mappings()]

    def quietest(self, rater: Any) -> Callable[[dict[str, Any]], list[str]]:
        """Right answers to a rater's headphone check."""
        from clipsonic_listening_test.server.tokens import cookie_hash

        cookie = cookie_hash(rater.client.cookies[self.service.cookie_name])
        live = asyncio.run(self.service.live(cookie))
        return quietest(self.study, live)

    def close(self) -> None:
        self._clients.close()
        self.store.close()


def quietest(study: Any, live: Any) -> Callable[[dict[str, Any]], list[str]]:
    """Right answers to the headphone check, which only the server knows."""

    def answers(view: dict[str, Any]) -> list[str]:
        shown = live.find(view["key"], view["attempt"])
        return [tokens[quiet] for tokens, quiet in shown.trials]

    return answers


def copy_study(study: Path, folder: Path) -> Path:
    """A copy of a study without its ratings."""
    return Path(shutil.copytree(study, folder, ignore=shutil.ignore_patterns("ratings.sqlite*")))


def leaks(text: str, study: Any) -> list[str]:
    """Words of the study that a browser must never be told: ids of systems and stimuli, roles, files."""
    names = {*study.systems, *study.stimuli, *(each.role for each in study.stimuli.values())}
    names |= {each.sha256 for each in study.stimuli.values()} | {each.file for each in study.stimuli.values()}
    return sorted(name for name in names if re.search(rf"(?<![A-Za-z0-9_-]){re.escape(name)}(?![A-Za-z0-9_-])", text))
