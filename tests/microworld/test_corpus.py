"""A corpus on disk: real videos in step with what was synthesised, finished after a kill, never mixed with another."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest

from clipsonic.video import read_video
from clipsonic_benchmarks.cli import run_command
from clipsonic_benchmarks.microworld.corpus import FRAMES_PER_SECOND, WorldItem, write_corpus
from clipsonic_benchmarks.microworld.factors import LEVELS
from clipsonic_benchmarks.microworld.sounds import RATE_HZ, SAMPLES


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("world") / "test"
    write_corpus(out, "test", 4, seed=9)
    return out


@pytest.fixture(scope="module")
def items(tmp_path_factory: pytest.TempPathFactory) -> list[WorldItem]:
    return write_corpus(tmp_path_factory.mktemp("again") / "test", "test", 4, seed=9)


def content(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_the_files_of_a_corpus(corpus: Path, items: list[WorldItem]) -> None:
    ids = [f"test-00000{k}" for k in range(4)]
    assert sorted(content(corpus)) == sorted(
        ["captions.csv", "corpus.txt", "factors.csv", *(f"videos/{k}.mp4" for k in ids)]
    )
    captions = rows(corpus / "captions.csv")
    assert captions == [{"id": i.id, "file": f"videos/{i.id}.mp4", "caption": i.caption} for i in items]
    factors = rows(corpus / "factors.csv")
    assert list(factors[0]) == ["id", *LEVELS]
    assert [row["kind"] for row in factors] == [item.factors.kind for item in items]


def test_videos_are_h264_and_aac(corpus: Path) -> None:
    with av.open(str(corpus / "videos" / "test-000000.mp4")) as container:
        video, audio = container.streams.video[0], container.streams.audio[0]
        assert (video.codec_context.name, audio.codec_context.name) == ("h264", "aac")
        assert (video.width, video.height, video.frames) == (64, 64, 8)
        assert float(video.average_rate or 0) == FRAMES_PER_SECOND and audio.rate == RATE_HZ


def test_the_sound_of_a_video_is_in_step_with_the_synthesised_one(corpus: Path, items: list[WorldItem]) -> None:
    for item in items:
        made, found = item.sound(), read_video(corpus / "videos" / f"{item.id}.mp4", RATE_HZ, 1.0).samples
        assert len(found) >= SAMPLES
        found = found[:SAMPLES]
        size = 2 * SAMPLES
        crossed = np.fft.irfft(np.fft.rfft(found, size) * np.conj(np.fft.rfft(made, size)), size)
        assert int(crossed.argmax()) == 0, item
        assert np.corrcoef(found, made)[0, 1] > 0.95, item


def test_the_pictures_of_a_video_are_the_drawn_ones(corpus: Path, items: list[WorldItem]) -> None:
    for item in items:
        found = read_video(corpus / "videos" / f"{item.id}.mp4", RATE_HZ, FRAMES_PER_SECOND).frames
        made = item.frames()
        assert found.shape == made.shape
        error = np.abs(found.astype(float)[:, None] - made.astype(float)[None]).mean((2, 3, 4))
        assert (error.argmin(1) == np.arange(8)).all()  # each frame is nearest to the moment it was drawn for
        assert np.diag(error).max() < 12


def test_items_do_not_depend_on_how_many_there_are_or_who_made_them(tmp_path: Path, corpus: Path) -> None:
    write_corpus(tmp_path / "one", "test", 2, seed=9)
    write_corpus(tmp_path / "two", "test", 4, seed=9, workers=2)
    expected, fewer = content(corpus), content(tmp_path / "one")
    assert content(tmp_path / "two") == expected
    for name in ("videos/test-000000.mp4", "videos/test-000001.mp4", "corpus.txt"):
        assert fewer[name] == expected[name]
    for name in ("captions.csv", "factors.csv"):
        assert expected[name].startswith(fewer[name])


class Killed(BaseException):
    """Stands for SIGKILL."""


def killer(after: int) -> Callable[[int], None]:
    left = iter(range(after))

    def advance(_: int) -> None:
        if next(left, None) is None:
            raise Killed

    return advance


def test_a_corpus_that_was_killed_is_finished_by_the_same_call(tmp_path: Path, corpus: Path) -> None:
    with pytest.raises(Killed):
        write_corpus(tmp_path / "w", "test", 4, seed=9, advance=killer(2))
    written = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "w" / "videos").iterdir()}
    assert len(written) == 3 and not (tmp_path / "w" / "captions.csv").exists()
    write_corpus(tmp_path / "w", "test", 4, seed=9)
    assert content(tmp_path / "w") == content(corpus)
    for name, time in written.items():
        assert (tmp_path / "w" / "videos" / name).stat().st_mtime_ns == time  # kept, not made again


def test_another_corpus_in_the_same_folder_is_refused(corpus: Path) -> None:
    before = content(corpus)
    for split, seed in (("test", 8), ("train", 9)):
        with pytest.raises(ValueError, match="already holds 'microworld split=test seed=9', not 'microworld split="):
            write_corpus(corpus, split, 1, seed)
    assert content(corpus) == before


def test_a_foreign_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(ValueError, match="is not empty and holds no corpus; choose another --out"):
        write_corpus(tmp_path, "test", 1, seed=0)
    assert content(tmp_path) == {"mine.txt": b"mine"}


# Command


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make = ["microworld", "make", "--out", str(tmp_path / "w"), "--split", "test", "--workers", "1"]
    assert run_command([*make, "--n", "2", "--seed", "9", "--json", "-"]) == 0
    expected = {"schema": 1, "out": str(tmp_path / "w"), "split": "test", "seed": 9, "items": 2}
    assert json.loads(capsys.readouterr().out) == expected
    assert run_command([*make, "--n", "2", "--seed", "9"]) == 0
    out, err = capsys.readouterr()
    assert out == f"2 videos of split 'test' (seed 9) in {tmp_path / 'w'}\n"
    assert (
        f"next: clipsonic prepare {tmp_path / 'w'}/videos --out prepared --captions {tmp_path / 'w'}/captions.csv"
        in err
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (["--split", "tset"], "split 'tset' does not exist"),
        (["--n", "0"], "--n"),
        (["--seed", "1"], "already holds"),
        (["--workers", "0"], "--workers"),
    ],
)
def test_mistakes_are_one_line(
    corpus: Path, change: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    make = ["microworld", "make", "--out", str(corpus), "--split", "test", "--n", "1", "--seed", "9", "--workers", "1"]
    assert run_command([*make, *change]) == 2
    out, err = capsys.readouterr()
    lines = [line for line in err.splitlines() if line.startswith("error: ")]
    assert out == "" and len(lines) == 1 and message in lines[0] and "Traceback" not in err
