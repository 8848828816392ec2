"""What is to be judged is found in a folder, said, and refused in one complete list where something is missing."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from clipsonic_listening_test import ListeningTestError
from clipsonic_listening_test.prepare.naming import ids_of, joined, prefixed
from clipsonic_listening_test.prepare.samples import PromptSource, complete, find_samples


def touch(root: Path, *names: str) -> Path:
    """Empty files: names are all that matters here."""
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"")
    return root


def test_a_folder_per_system(tmp_path: Path) -> None:
    touch(tmp_path, "ours/p1.wav", "ours/p2.flac", "theirs/p1.mp3", "theirs/p2.m4a", "reference/p1.wav")
    touch(tmp_path, "ours/notes.txt", ".hidden/p1.wav", "ours/.p3.wav")
    found = find_samples(tmp_path, None)
    assert found.systems == ("ours", "theirs")
    assert list(found.prompts) == ["p1", "p2"]
    assert found.sounds["theirs", "p2"] == tmp_path / "theirs/p2.m4a"
    assert found.references == {"p1": tmp_path / "reference/p1.wav"}
    assert "one folder per system: 3 systems (ours, reference, theirs) and 2 prompts" in found.notes
    assert found.origin(tmp_path / "ours/p1.wav") == "ours/p1.wav"
    assert "the sounds of 'reference' are the real recordings" in found.notes


def test_flat_names(tmp_path: Path) -> None:
    found = find_samples(touch(tmp_path, "ours__p1.wav", "theirs__p1.wav", "real__p1.wav"), "real")
    assert found.systems == ("ours", "theirs") and list(found.references) == ["p1"]
    assert found.notes[0].startswith("flat names")


@pytest.mark.parametrize(
    ("names", "said"),
    [
        ((), "holds no sounds"),
        (("readme.txt",), "holds no sounds"),
        (("p1.wav",), "neither <system>/<prompt> nor <system>__<prompt>: p1.wav"),
        (("a/b/c.wav",), "a/b/c.wav"),
        (("a__b__c.wav", "a__b.wav"), "a__b__c.wav"),
        (("__b.wav",), "__b.wav"),
        (("a/p1.wav", "b__p1.wav"), "mixes two layouts"),
        (("a/p1.wav", "a/p1.flac"), "one sound in two files: a/p1.flac and a/p1.wav"),
        (("a/dog bark.wav", "a/dog?bark.wav"), "2 prompt names cannot be ids: 'dog bark', 'dog?bark'"),
        (("犬/p1.wav",), "1 system names cannot be ids: '犬'"),
        (("a/" + "x" * 65 + ".wav",), "1 prompt names cannot be ids"),
    ],
)
def test_other_folders_are_refused(tmp_path: Path, names: tuple[str, ...], said: str) -> None:
    with pytest.raises(ListeningTestError, match=re.escape(said)):
        find_samples(touch(tmp_path, *names), None)


def test_no_folder_and_no_such_reference(tmp_path: Path) -> None:
    with pytest.raises(ListeningTestError, match="is not a folder"):
        find_samples(tmp_path / "nowhere", None)
    with pytest.raises(ListeningTestError, match="--reference real is no system; found ours"):
        find_samples(touch(tmp_path, "ours/p1.wav"), "real")


def test_every_name_at_fault_is_named(tmp_path: Path) -> None:
    touch(tmp_path, *(f"deep/er/{k}.wav" for k in range(7)))
    with pytest.raises(ListeningTestError) as caught:
        find_samples(tmp_path, None)
    assert all(f"deep/er/{k}.wav" in str(caught.value) for k in range(7))


def test_odd_names_become_ids_that_lead_back(tmp_path: Path) -> None:
    found = find_samples(touch(tmp_path, "our model (v2)/dog bark.wav", "theirs/dog bark.wav"), None)
    assert found.systems == ("our-model--v2-", "theirs") and list(found.prompts) == ["dog-bark"]
    assert any("'our model (v2)' is our-model--v2-" in note for note in found.notes)
    path = found.sounds["our-model--v2-", "dog-bark"]
    assert found.origin(path) == "our model (v2)/dog bark.wav"


def test_what_is_missing_is_said_at_once(tmp_path: Path) -> None:
    found = find_samples(touch(tmp_path, "a/p1.wav", "a/p2.wav", "b/p1.wav", "b/p3.wav"), None)
    table = {"p1": PromptSource("one"), "p2": PromptSource("two"), "p4": PromptSource("four")}
    with pytest.raises(ListeningTestError) as caught:
        complete(found, table, incomplete=False)
    assert str(caught.value) == (
        "no row or image for prompts p3; no sound for prompts p4; no sound a/p3, b/p2; "
        "add what is missing, or leave it out with --incomplete"
    )
    left = complete(found, table, incomplete=True)
    assert list(left.prompts) == ["p1", "p2"] and ("b", "p3") not in left.sounds
    assert left.systems_of("p2") == ("a",)
    assert [note for note in left.notes if note.startswith("left out: ")] == [
        "left out: no row or image for prompts p3",
        "left out: no sound for prompts p4",
        "left out: no sound a/p3, b/p2",
    ]


def test_nothing_left_and_no_system(tmp_path: Path) -> None:
    found = find_samples(touch(tmp_path / "a", "a/p1.wav"), None)
    with pytest.raises(ListeningTestError, match="nothing is left to be judged"):
        complete(found, {"p2": PromptSource("two")}, incomplete=True)
    with pytest.raises(ListeningTestError, match="no system; add a folder of a system"):
        complete(find_samples(touch(tmp_path / "b", "reference/p1.wav"), None), None, incomplete=False)


def test_ids_of_several_parts_are_told_apart() -> None:
    assert joined("ours", "p1") == "ours__p1"
    parts = [("a__b", "c"), ("a", "b__c"), ("a_", "_b"), ("a", "__b"), ("x" * 40, "y" * 40), ("x" * 40, "z" * 40)]
    ids = [joined(*each) for each in parts]
    assert len(set(ids)) == len(ids) and all(re.fullmatch("[A-Za-z0-9_-]{1,64}", id) for id in ids)
    assert prefixed("repeat", "fidelity__p1") == "repeat-fidelity__p1"
    assert len(prefixed("training", "x" * 64)) == 64
    assert ids_of(["a b"], "prompt") == {"a b": "a-b"}
