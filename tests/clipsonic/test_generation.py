"""A folder of generated sounds: the manifest, and that a stopped command ends where an unbroken one does."""

from __future__ import annotations

import csv
import json
import wave
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import soundfile

from clipsonic.generation import (
    check_ids,
    check_place,
    check_run_place,
    folder_digest,
    manifest_text,
    queries_digest,
    weights_identity,
    whole_plan,
    write_sounds,
)
from clipsonic.queries import Pictures, Queries, Texts
from clipsonic.sounds import read_gain, write_wav
from clipsonic.vectors import StoredVectors

TEXTS = Texts(["one", "more/two", "dot.three"], ["the dog", 'a "bell", far', "rain"])


class Maker:
    """Sounds that tell the row they were made for, the later the more turned down, and a stop after some."""

    def __init__(self, most: int = 100) -> None:
        self.most, self.made = most, list[int]()

    def __call__(self, rows: Sequence[int]) -> Any:
        if len(self.made) >= self.most:
            raise OSError(28, "No space left on device")
        self.made += rows
        samples = np.array([[row / 8] * 100 for row in rows], np.float32)
        return SimpleNamespace(samples=samples, gain=np.array([0.7**row for row in rows], np.float32), rate_hz=8000)


def write(out: Path, queries: Queries = TEXTS, make: Maker | None = None, **plan: object) -> dict[str, Path]:
    """The file of each sound."""
    whole = whole_plan({"seed": 0, **plan}, queries_digest(queries))
    return {name: sound.file for name, sound in write_sounds(out, queries, whole, make or Maker(), 1).items()}


def test_sounds_and_their_manifest(tmp_path: Path) -> None:
    files = write(tmp_path / "s")
    assert list(files) == TEXTS.ids and files["more/two"] == tmp_path / "s" / "more" / "two.wav"
    with (tmp_path / "s" / "manifest.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [tuple(row.values()) for row in rows] == [
        (name, f"{name}.wav", gain, text)
        for name, gain, text in zip(TEXTS.ids, ("1.0", "0.7", "0.49"), TEXTS.texts, strict=True)
    ]
    assert list(rows[0]) == ["id", "file", "gain", "caption"]
    for row, name in enumerate(TEXTS.ids):
        samples, rate_hz = soundfile.read(files[name])
        assert rate_hz == 8000 and abs(samples[0] - row / 8) < 1e-4
    plan = json.loads((tmp_path / "s" / "plan.json").read_text())
    assert next(iter(plan)) == "schema" and plan["seed"] == 0 and len(plan["queries_sha256"]) == 64


def test_a_stopped_command_goes_on(tmp_path: Path) -> None:
    write(tmp_path / "whole")
    with pytest.raises(OSError, match="No space left"):
        write(tmp_path / "s", make=Maker(most=2))
    assert not (tmp_path / "s" / "manifest.csv").exists() and (tmp_path / "s" / "one.wav").is_file()
    rest = Maker()
    write(tmp_path / "s", make=rest)
    assert rest.made == [2]
    assert folder_digest(tmp_path / "s") == folder_digest(tmp_path / "whole")
    again = Maker(most=0)
    write(tmp_path / "s", make=again)
    assert again.made == []


@pytest.mark.parametrize("gain", [1.0, 0.1, 2**-0.5, 1e-7, np.nextafter(np.float32(1), np.float32(0))])
def test_a_sound_says_by_what_it_was_turned_down(tmp_path: Path, gain: float) -> None:
    """In one file with the sound, so that no kill comes between; and to the last bit."""
    samples = np.linspace(-1, 1, 100).astype(np.float32)
    write_wav(tmp_path / "x.wav", samples, 8000, gain)
    assert np.float32(read_gain(tmp_path / "x.wav")) == np.float32(gain)
    assert len(str(read_gain(tmp_path / "x.wav"))) <= len("0.12345678e-00")
    soundfile.write(tmp_path / "plain.wav", samples, 8000, subtype="PCM_16")
    for read in (soundfile.read, wavfile_read):
        np.testing.assert_array_equal(read(tmp_path / "x.wav")[0], read(tmp_path / "plain.wav")[0])


def wavfile_read(path: Path) -> tuple[np.ndarray, int]:
    """By another reader than libsndfile."""
    with wave.open(str(path)) as file:
        return np.frombuffer(file.readframes(file.getnframes()), "<i2"), file.getframerate()


def test_a_sound_of_an_earlier_version_is_kept_and_its_gain_is_not_known(tmp_path: Path) -> None:
    files = write(tmp_path / "s")
    soundfile.write(files["one"], np.zeros(100), 8000)
    assert write(tmp_path / "s") == files
    assert "one,one.wav,,one" in (tmp_path / "s" / "manifest.csv").read_text().replace(TEXTS.texts[0], "one")


@pytest.mark.parametrize("content", [b"", b"RIFF"])
def test_a_sound_that_cannot_be_read_is_named(tmp_path: Path, content: bytes) -> None:
    files = write(tmp_path / "s")
    before = (tmp_path / "s" / "manifest.csv").read_bytes()
    files["one"].write_bytes(content)
    with pytest.raises(ValueError, match=r"one.wav is not a sound that can be read: move it away, and repeat"):
        write(tmp_path / "s")
    files["one"].unlink()
    write(tmp_path / "s")
    assert (tmp_path / "s" / "manifest.csv").read_bytes() == before


def test_another_command_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "s")
    before = folder_digest(tmp_path / "s")
    with pytest.raises(ValueError, match="holds sounds of another seed: go on with that command, or choose another"):
        write(tmp_path / "s", seed=1)
    with pytest.raises(ValueError, match="another route and queries: go on"):
        write(tmp_path / "s", Texts(TEXTS.ids, ["x", "y", "z"]), route="text")
    assert folder_digest(tmp_path / "s") == before
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "one.wav").write_bytes(b"somebody's")
    with pytest.raises(ValueError, match=r"one.wav is there already, and .* has no plan.json"):
        write(tmp_path / "other")
    assert [path.name for path in (tmp_path / "other").iterdir()] == ["one.wav"]


def test_pictures_are_named_from_where_the_manifest_lies(tmp_path: Path) -> None:
    files = [(tmp_path / "pictures" / name,) for name in ("a.png", "b.png")]
    text = manifest_text(Pictures(["a", "b"], files), tmp_path / "out" / "s", [1.0, 0.25])
    assert text == "id,file,gain,image\na,a.wav,1.0,../../pictures/a.png\nb,b.wav,0.25,../../pictures/b.png\n"
    several = manifest_text(Pictures(["query"], [(*files[0], *files[1])]), tmp_path, [1.0])
    assert several == "id,file,gain\nquery,query.wav,1.0\n"
    stored = StoredVectors(["v"], np.eye(1, dtype=np.float32))
    assert manifest_text(stored, tmp_path, [1.0]) == "id,file,gain\nv,v.wav,1.0\n"


def test_the_digest_is_of_ids_and_queries(tmp_path: Path) -> None:
    paths = [tmp_path / "a.png", tmp_path / "b.png"]
    for path, content in zip(paths, (b"1", b"2"), strict=True):
        path.write_bytes(content)
    different: list[Queries] = [
        Texts(["a", "b"], ["x", "y"]),
        Texts(["a", "b"], ["y", "x"]),
        Texts(["a", "c"], ["x", "y"]),
        Texts(["a"], ["x"]),
        Pictures(["a", "b"], [(paths[0],), (paths[1],)]),
        Pictures(["a", "b"], [(paths[1],), (paths[0],)]),
        Pictures(["a", "b"], [(paths[0], paths[1]), (paths[1],)]),
        StoredVectors(["a", "b"], np.eye(2, dtype=np.float32)),
        StoredVectors(["a", "b"], np.eye(2, dtype=np.float32)[::-1].copy()),
    ]
    assert len({queries_digest(each) for each in different}) == len(different)
    assert queries_digest(different[0]) == queries_digest(Texts(["a", "b"], ["x", "y"]))


def test_a_command_without_a_sound_leaves_no_plan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Old mistake: a command that failed before its first sound kept the corrected one out."""
    with pytest.raises(OSError, match="No space left"):
        write(tmp_path / "s", make=Maker(most=0))
    assert not (tmp_path / "s").exists()
    with monkeypatch.context() as patch:  # the disk is full after the plan

        def full(*_: object) -> None:
            raise OSError(28, "No space left on device")

        patch.setattr("clipsonic.generation.write_wav", full)
        with pytest.raises(OSError, match="No space left"):
            write(tmp_path / "s")
    assert [path.name for path in (tmp_path / "s").iterdir()] == ["plan.json"]
    write(tmp_path / "s", seed=1)
    assert json.loads((tmp_path / "s" / "plan.json").read_text())["seed"] == 1


def test_a_folder_of_others_is_refused(tmp_path: Path) -> None:
    """Old mistake: only a file that a sound would replace was looked for."""
    for name in ("run/log.jsonl", "seeds/seed-0/plan.json", "seeds/seed-1/one.wav", "notes.csv"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("{}")
    (tmp_path / "hidden" / "empty").mkdir(parents=True)
    (tmp_path / "hidden" / ".DS_Store").touch()
    write(tmp_path / "single")
    for folder, seeds, message in (
        ("run", 1, r"run/log.jsonl is there already, and .*run has no plan.json"),
        ("run", 2, r"run/log.jsonl is there already, and .*run has no plan.json"),
        ("seeds", 1, r"seeds/seed-0/plan.json is there already, and .*seeds has no plan.json"),
        ("single", 2, "holds sounds of one seed, and each of 2 has a folder in it"),
        ("notes.csv", 1, "is a file that is there already: give a folder, or X.wav"),
    ):
        with pytest.raises(ValueError, match=message):
            check_place(tmp_path / folder, seeds)
    for folder, seeds in (("seeds", 2), ("single", 1), ("hidden", 1), ("hidden", 2), ("new", 1)):
        check_place(tmp_path / folder, seeds)
    with pytest.raises(ValueError, match="run/log.jsonl is there already"):
        write(tmp_path / "run")
    (tmp_path / "x.wav").mkdir()
    with pytest.raises(ValueError, match="x.wav is a folder"):
        check_place(tmp_path / "x.wav")
    check_run_place(tmp_path / "run")
    for folder in ("single", "seeds"):
        with pytest.raises(ValueError, match="and so sounds: choose another --out"):
            check_run_place(tmp_path / folder)


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        (["a", "a.wav/b"], "the sound of id 'a' would be a file, and a folder for that of 'a.wav/b'"),
        (["x/a.wav/b/c", "x/a"], "the sound of id 'x/a' would be a file"),
        (["é" * 123], "expected at most 245 bytes, found 246"),
        ([f"{'d' * 256}/x"], "expected at most 245 bytes, found 256"),
        (["a\0b"], "has a control character"),
        (["a\nb"], "has a control character"),
        (["\udce9"], "or one that is no text"),
        (["manifest.csv/a"], "plan.json and manifest.csv are files here"),
    ],
)
def test_ids_that_cannot_be_files_are_refused(ids: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check_ids(ids)


def test_what_is_no_sound_may_lie_beside_sounds(tmp_path: Path) -> None:
    """Old mistake: a command was kept out by its own log, and by the list of its prompts."""
    for name in ("err.txt", "prompts.csv", "pictures/a.png", "seed-notes", "seed-0/.lock", ".x.wav"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    check_place(tmp_path)
    check_place(tmp_path, 2)
    write(tmp_path)
    for number, name in enumerate(
        ("a/b.wav", "manifest.csv", "checkpoint.previous.safetensors", "seed-0/x", "log.jsonl")
    ):
        (other := tmp_path / "others" / str(number) / name).parent.mkdir(parents=True)
        other.touch()
        with pytest.raises(ValueError, match=rf"{name} is there already"):
            check_place(tmp_path / "others" / str(number))


def test_ids_that_can_be_files(tmp_path: Path) -> None:
    ids = ["a", "a.wav", "a/b", "é", "x" * 245, f"{'d' * 255}/x", "manifest.csv", "plan.json"]
    check_ids(ids)
    write(tmp_path / "s", Texts(ids, ids))


def test_a_digest_passes_over_what_is_hidden(tmp_path: Path) -> None:
    (tmp_path / "weights").write_text("1")
    before = folder_digest(tmp_path)
    (tmp_path / ".prior_pd.part").mkdir()
    (tmp_path / ".prior_pd.part" / "weights").write_text("2")
    (tmp_path / ".lock").touch()
    assert folder_digest(tmp_path) == before


@pytest.mark.parametrize("mark", ["prepared.json", "model_index.json", "prior.json"])
def test_other_folders_are_not_for_sounds(tmp_path: Path, mark: str) -> None:
    check_place(tmp_path / "sounds")
    (tmp_path / mark).write_text("{}")
    for out in (tmp_path, tmp_path / "below" / "sounds", tmp_path / "x.wav"):
        with pytest.raises(ValueError, match=f"which holds a {mark} and is no folder of sounds"):
            check_place(out)
        with pytest.raises(ValueError, match=f"which holds a {mark} and is no folder of a training"):
            check_run_place(out)


def test_the_hubs_revision_stands_for_its_files(tmp_path: Path) -> None:
    (tmp_path / "snapshots" / "abc").mkdir(parents=True)
    (tmp_path / "mine").mkdir()
    assert weights_identity(tmp_path / "snapshots" / "abc") == "revision abc"
    assert weights_identity(tmp_path / "mine") == folder_digest(tmp_path / "mine")


def test_a_wav_that_cannot_be_written_is_an_os_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Old mistake: libsndfile's own error, which is a RuntimeError, leaked as a traceback."""

    def full(*_: object, **__: object) -> None:
        raise soundfile.LibsndfileError(2, "Error writing: ")

    monkeypatch.setattr("clipsonic.sounds.soundfile.SoundFile", full)
    with pytest.raises(OSError, match=r"x\.wav cannot be written \(.*\): make room, or write elsewhere"):
        write_wav(tmp_path / "x.wav", np.zeros(8, np.float32), 8000, 1.0)
