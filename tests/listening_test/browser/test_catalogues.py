"""Texts of the kit: the same keys in all five languages, and every key that a module asks for."""

from __future__ import annotations

import json
import re
from pathlib import Path

TYPES = (
    "consent", "headphones", "volume", "instructions", "mushra", "multi", "single", "pair", "abx", "questionnaire",
    "pause", "finish",
)  # fmt: skip
OUTCOMES = ("complete", "no_consent", "screened_out", "failed_checks", "technical", "withdraw")
SCREENS = ("connecting", "elsewhere", "expired", "preview", "repeat", "framed", "panel", "full", "refused", "broken")
QUESTIONS = ("fidelity", "relevance", "quality", "quality.alone", "match", "better", "x")
FAMILIES = {  # keys that are put together at run time
    *(f"title.{each}" for each in TYPES),
    *(f"finish.{each}.{part}" for each in OUTCOMES for part in ("title", "text")),
    *(f"screen.{each}.{part}" for each in SCREENS for part in ("title", "text")),
    *(f"instructions.{each}" for each in ("general", "fidelity", "relevance", "mushra", "mos", "pairs", "abx")),
    *(f"question.{each}{part}" for each in QUESTIONS for part in ("", ".help")),
    *("question.relevance.picture", "question.match.picture", "rating.cannot_play", "rating.prefer_not"),
    *("options.technical.sure", "options.withdraw.sure", "shell.next.pause"),
    *(f"scale.{words}.{step}" for words in ("cqs", "acr", "relevance") for step in range(5)),
}


def test_every_text_asked_for_is_there_in_every_language(root: Path) -> None:
    web = root / "listening_test" / "clipsonic_listening_test" / "web"
    catalogues = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in (web / "i18n").glob("*.json")}
    assert sorted(catalogues) == ["ar", "de", "en", "es", "fr"]
    asked = set()
    for module in web.rglob("*.js"):
        source = module.read_text(encoding="utf-8")
        asked |= set(re.findall(r'"((?:[a-z_]+\.)+[A-Za-z0-9_]+)"', source)) - set(
            re.findall(r'"([a-z.]+\.(?:js|json))"', source)
        )
    english = catalogues["en"]["texts"]
    families = {key.split(".")[0] for key in english}
    asked = {key for key in asked if key.split(".")[0] in families and key not in catalogues["en"]["sources"]}
    assert sorted((asked | FAMILIES) - set(english)) == []
    assert sorted(set(english) - asked - FAMILIES) == []  # nor is any there for nobody
    for language, catalogue in catalogues.items():
        assert set(catalogue["texts"]) == set(english), language
        for key, text in catalogue["texts"].items():
            for one in [text] if isinstance(text, str) else text.values():
                assert one.strip(), (language, key)
                if isinstance(text, str):
                    same = english[key] if isinstance(english[key], str) else english[key]["other"]
                    assert sorted(re.findall(r"\{\w+\}", one)) == sorted(re.findall(r"\{\w+\}", same)), (language, key)
        assert {source["status"] for source in catalogue["sources"].values()} <= {"official", "unofficial"}
        assert set(catalogue["sources"]) == {"scale.cqs", "scale.acr", "scale.relevance"}
