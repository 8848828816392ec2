"""A study folder: read strictly, written alike, refused where its parts do not fit."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from clipsonic_listening_test import ListeningTestError, load_study
from clipsonic_listening_test.study import MUSHRA, Study, study_from_json

SOUND = hashlib.sha256(b"a sound").hexdigest()
OTHER = hashlib.sha256(b"another").hexdigest()
PICTURE = hashlib.sha256(b"a picture").hexdigest()


def stimulus(**changed: Any) -> dict[str, Any]:
    own = {"role": "system", "system": "ours", "prompt": "p1", "file": f"sounds/{SOUND}.flac", "sha256": SOUND}
    return own | {"bytes": 7, "frames": 48000, "channels": 2, "lufs": -23, "peaks": [0.5, 1]} | changed


def rated(**changed: Any) -> dict[str, Any]:
    attributes = [{"id": "fidelity", "scale": "cqs", "question": "fidelity"}]
    return {"id": "page", "type": "multi", "stimuli": ["a"], "attributes": attributes, "prompt": "p1"} | changed


@pytest.fixture
def raw() -> dict[str, Any]:
    """The least that a study needs, with one page of one stimulus."""
    return {
        "schema": 1,
        "kind": "study",
        "id": "birds",
        "title": {"en": "Birds"},
        "made_by": "clipsonic 0.1.0",
        "preset": "gen",
        "seed": 0,
        "name": "Multi-stimulus rating",
        "departures": ["no anchors"],
        "languages": ["en"],
        "rate_hz": 48000,
        "channels": 2,
        "systems": ["ours", "theirs"],
        "prompts": {"p1": {"text": "a bird", "lang": "en", "image": "picture", "video": None}},
        "media": {
            "picture": {
                "kind": "image",
                "file": f"images/{PICTURE}.png",
                "sha256": PICTURE,
                "bytes": 9,
                "type": "image/png",
            }
        },
        "stimuli": {"a": stimulus(), "b": stimulus(system="theirs", file=f"sounds/{OTHER}.flac", sha256=OTHER)},
        "scales": {"cqs": {"low": 0, "high": 100, "step": 1, "words": "cqs"}},
        "blocks": [{"id": "main", "pages": [rated()]}],
        "texts": {"hello": {"en": "Hello"}},
    }


@pytest.fixture
def folder(raw: dict[str, Any], tmp_path: Path) -> Path:
    (tmp_path / "sounds").mkdir()
    (tmp_path / "images").mkdir()
    (tmp_path / f"sounds/{SOUND}.flac").write_bytes(b"a sound")
    (tmp_path / f"sounds/{OTHER}.flac").write_bytes(b"another")
    (tmp_path / f"images/{PICTURE}.png").write_bytes(b"a picture")
    (tmp_path / "study.json").write_text(json.dumps(raw))
    return tmp_path


def test_a_folder_is_loaded(folder: Path) -> None:
    study = load_study(folder)
    assert study.digest == hashlib.sha256((folder / "study.json").read_bytes()).hexdigest()
    assert study.folder == folder
    assert study.sound_path("a").read_bytes() == b"a sound"
    assert study.media_path("picture").read_bytes() == b"a picture"
    assert study.pages["page"].attributes[0].scale == "cqs"
    assert study.block_of["page"].id == "main"
    assert study.panel.kind == "open" and study.assignment.stimulus_order == "williams"


def test_what_is_written_is_read_again_and_written_alike(raw: dict[str, Any]) -> None:
    study = study_from_json(json.dumps(raw))
    text = study.to_json()
    again = study_from_json(text)
    assert again == study and again.to_json() == text
    written = json.loads(text)
    assert list(written)[:3] == ["schema", "kind", "id"]
    assert "folder" not in written and "digest" not in written
    assert written["blocks"][0]["pages"][0]["pass"] is None
    # Integers remain integers: a digest must not change because a scale is read and written.
    assert '"high": 100,' in text and written["stimuli"]["a"]["lufs"] == -23


def test_every_page_member_survives(raw: dict[str, Any]) -> None:
    page = rated(
        **{"pass": "relevance"},
        show=["text", "image"],
        switching="resume",
        loop=True,
        waveform=True,
        require={"heard_s": 1.5, "coverage": 0.5, "rate_all": True, "one_at_top": True},
        training=True,
        instructed={"stimulus": 0, "below": 10},
        text="hello",
    )
    field = {"id": "f", "type": "choice", "label": {"en": "?"}, "options": [{"value": "x", "label": {"en": "X"}}]}
    shown = {"id": "g", "type": "number", "label": {"en": "?"}, "min": 0, "max": 9.5}
    shown["show_if"] = {"field": "f", "equals": "x"}
    tones = [{"stimuli": ["a", "b", "c"], "quiet": 1}]
    raw["stimuli"]["c"] = stimulus(role="headphones", system=None, prompt=None)
    raw["blocks"][0]["pages"] = [
        page,
        {"id": "q", "type": "questionnaire", "fields": [field, shown]},
        {"id": "h", "type": "headphones", "headphones": tones},
        {"id": "pair", "type": "pair", "stimuli": ["a", "b"], "pair": {"questions": ["match"], "tie": True}},
        rated(id="again", replicate_of="page"),
    ]
    written = json.loads(study_from_json(json.dumps(raw)).to_json())["blocks"][0]["pages"]
    for before, after in zip(raw["blocks"][0]["pages"], written, strict=True):
        for key, value in before.items():
            if key not in ("fields", "require"):
                assert after[key] == value
    assert written[1]["fields"][1]["show_if"] == {"field": "f", "equals": "x"}


def put(*path: str | int, value: Any) -> Callable[[dict[str, Any]], None]:
    def change(raw: dict[str, Any]) -> None:
        target: Any = raw
        for step in path[:-1]:
            target = target[step]
        target[path[-1]] = value

    return change


PAGE = ("blocks", 0, "pages", 0)

FAULTS: dict[str, tuple[Callable[[dict[str, Any]], None], str]] = {
    "another kind": (put("kind", value="samples"), "make a study of it with: clipsonic-listen init"),
    "another schema": (put("schema", value=2), "schema 2; this version reads 1"),
    "an unknown member": (put("colour", value="red"), "unknown member colour @ \\$"),
    "an unknown member deep down": (put(*PAGE, "loopy", value=True), "unknown member loopy @ \\$.blocks\\[0\\].pages"),
    "text for a number": (put("rate_hz", value="48000"), "'48000' is not an integer @ \\$.rate_hz"),
    "truth for a number": (put("seed", value=True), "True is not an integer"),
    "a number for truth": (put(*PAGE, "loop", value=1), "1 is not true or false"),
    "text for a list": (put("languages", value="en"), "'en' is not a list"),
    "null for an object": (put("stimuli", value=None), "None is not an object"),
    "an unknown page type": (put(*PAGE, "type", value="quiz"), "'quiz' is none of consent"),
    "an unknown role": (put("stimuli", "a", "role", value="best"), "'best' is none of system"),
    "a path for an id": (put("id", value="../birds"), "study id '../birds' is not 1 to 64"),
    "an id too long": (put("systems", value=["ours", "theirs", "x" * 65]), "is not 1 to 64"),
    "an id with a newline": (put("systems", value=["ours\n", "theirs"]), "is not 1 to 64"),
    "two pages of one id": (put("blocks", 0, "pages", value=[rated(), rated()]), "page id 'page' is there twice"),
    "no language": (put("languages", value=[]), "at least one language"),
    "no page": (put("blocks", value=[]), "at least one page"),
    "a file elsewhere": (put("stimuli", "a", "file", value="../../etc/passwd"), "expected sounds/<its sha256>.flac"),
    "a file of another digest": (put("stimuli", "a", "sha256", value=OTHER), "expected sounds/<its sha256>"),
    "media elsewhere": (put("media", "picture", "file", value="/etc/passwd"), "expected images/<its sha256>.png"),
    "media of an odd type": (put("media", "picture", "type", value="image/svg+xml"), "expected one of image/jpeg"),
    "a mono stimulus in stereo": (put("stimuli", "a", "channels", value=1), "1 channels"),
    "an unknown system": (put("stimuli", "a", "system", value="mine"), "'mine', which is not among the systems"),
    "a system's stimulus without system": (put("stimuli", "a", "system", value=None), "role 'system' and no system"),
    "an unknown prompt": (put("stimuli", "a", "prompt", value="p9"), "prompt 'p9'"),
    "peaks above one": (put("stimuli", "a", "peaks", value=[2]), "peaks outside 0 to 1"),
    "a prompt's image that is not there": (put("prompts", "p1", "image", value="x"), "names image 'x'"),
    "a scale upside down": (put("scales", "cqs", "low", value=200), "runs from 200 to 100"),
    "an unknown scale": (put("scales", value={}), "scale 'cqs', which is not among"),
    "an unknown stimulus": (put(*PAGE, "stimuli", value=["z"]), "names stimulus 'z'"),
    "a stimulus twice": (put(*PAGE, "stimuli", value=["a", "a"]), "has a stimulus twice"),
    "too few stimuli": (put(*PAGE, "stimuli", value=[]), "has 0 stimuli"),
    "nothing to rate": (put(*PAGE, "attributes", value=[]), "multi page with 0 attributes"),
    "an unknown text": (put(*PAGE, "text", value="bye"), "names text 'bye'"),
    "a repeat of nothing": (put(*PAGE, "replicate_of", value="page0"), "repeats page 'page0'"),
    "shown without prompt": (put("blocks", 0, "pages", value=[rated(prompt=None, show=["text"])]), "shows a prompt"),
    "an instruction for nobody": (put(*PAGE, "instructed", value={"stimulus": 4, "below": 9}), "instructs stimulus 4"),
    "coverage above one": (put(*PAGE, "require", value={"coverage": 1.5}), "more than all"),
    "a reference that is mentioned": (put(*PAGE, "reference", value="b"), "mentions a reference"),
    "mushra without anchors": (
        put("blocks", 0, "pages", value=[rated(type="mushra", stimuli=["a", "b"])]),
        "without hidden_reference, low_anchor, mid_anchor, reference",
    ),
    "a questionnaire without questions": (put(*PAGE, "type", value="questionnaire"), "questionnaire page with 0"),
    "a pair of one": (
        put("blocks", 0, "pages", value=[{"id": "x", "type": "pair", "stimuli": ["a"], "pair": {"questions": ["m"]}}]),
        "has 1 stimuli",
    ),
    "a pair without question": (
        put("blocks", 0, "pages", value=[{"id": "x", "type": "abx", "stimuli": ["a", "b"]}]),
        "lacks `pair`",
    ),
    "tones that are two": (
        put(
            "blocks",
            0,
            "pages",
            value=[{"id": "x", "type": "headphones", "headphones": [{"stimuli": ["a", "b", "a"], "quiet": 0}]}],
        ),
        "not three tones",
    ),
    "a group that is none": (put("blocks", 0, "groups", value=["B"]), "group 'B'"),
    "more pages than there are": (put("blocks", 0, "per_participant", value=2), "2 of 1 pages"),
    "no ratings wanted": (put("blocks", 0, "ratings_per_page", value=0), "wants 0 ratings"),
    "a name it has not earned": (put("name", value=MUSHRA), "cannot be named"),
    "a way back that is not safe": (put("panel", value={"return_url": "javascript:x"}), "https://"),
    "a field that depends on a later one": (
        put(
            "blocks",
            0,
            "pages",
            value=[
                {
                    "id": "q",
                    "type": "questionnaire",
                    "fields": [
                        {"id": "f", "type": "text", "label": {"en": "?"}, "show_if": {"field": "g", "equals": 1}},
                        {"id": "g", "type": "number", "label": {"en": "?"}},
                    ],
                }
            ],
        ),
        "depends on 'g'",
    ),
    "a choice of nothing": (
        put(
            "blocks",
            0,
            "pages",
            value=[
                {
                    "id": "q",
                    "type": "questionnaire",
                    "fields": [{"id": "f", "type": "choice", "label": {"en": "?"}}],
                }
            ],
        ),
        "choice with 0 options",
    ),
}


@pytest.mark.parametrize("case", FAULTS)
def test_what_does_not_fit_is_refused(case: str, raw: dict[str, Any]) -> None:
    change, said = FAULTS[case]
    study_from_json(json.dumps(raw))  # it is the change that is refused
    change(raw)
    with pytest.raises(ListeningTestError, match=said) as caught:
        study_from_json(json.dumps(raw))
    assert "\n" not in str(caught.value).replace("\\n", "")


def test_sync_needs_one_length(raw: dict[str, Any]) -> None:
    raw["blocks"][0]["pages"] = [rated(stimuli=["a", "b"], switching="sync")]
    study_from_json(json.dumps(raw))
    raw["stimuli"]["b"]["frames"] = 47999
    with pytest.raises(ListeningTestError, match="different lengths"):
        study_from_json(json.dumps(raw))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "not JSON"),
        ("[]", "a list; expected an object"),
        ("{", "not JSON"),
        ('{"schema": NaN}', "NaN is no JSON number"),
        ("[" * 100_000, "not JSON"),
        ("\udcff", "not JSON"),
    ],
)
def test_what_is_no_json_is_refused(text: str, said: str) -> None:
    with pytest.raises(ListeningTestError, match=said):
        study_from_json(text.encode("utf-8", "surrogateescape"))


def test_many_faults_are_cut_short(raw: dict[str, Any]) -> None:
    raw["blocks"][0]["pages"] = [rated(id=f"page{k}", stimuli=["z"]) for k in range(9)]
    with pytest.raises(ListeningTestError, match=r"\(and 4 more\)"):
        study_from_json(json.dumps(raw))


def test_files_must_be_there_with_their_size(folder: Path) -> None:
    (folder / f"sounds/{SOUND}.flac").write_bytes(b"a sound!")
    with pytest.raises(ListeningTestError, match="has 8 bytes instead of 7"):
        load_study(folder)
    (folder / f"sounds/{SOUND}.flac").unlink()
    with pytest.raises(ListeningTestError, match="is absent; make the study anew"):
        load_study(folder)


def test_no_study_there(tmp_path: Path) -> None:
    with pytest.raises(ListeningTestError, match="holds no study.json; make a study with: clipsonic-listen init"):
        load_study(tmp_path)


def test_pages_used_names_each_stimulus_once(raw: dict[str, Any]) -> None:
    raw["blocks"][0]["pages"] = [rated(stimuli=["a", "b"])]
    study: Study = study_from_json(json.dumps(raw))
    assert study.pages["page"].stimuli_used() == ("a", "b")
