"""Preparing items: the micro-world's splits through real video files, and a CSV of anybody's media."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image

from clipsonic_benchmarks.errors import BenchmarkError
from clipsonic_benchmarks.microworld.corpus import world_item, write_video
from clipsonic_benchmarks.prepare import prepare_csv, prepare_world, world_fingerprint
from clipsonic_benchmarks.progress import Progress
from clipsonic_benchmarks.split import RATE_HZ, read_item_sound
from clipsonic_benchmarks.suite import SplitSpec


def nothing(steps: int) -> None:
    pass


def test_a_world_split_is_made_once_and_holds_what_it_was_made_of(fake: ModuleType, tmp_path: Path) -> None:
    progress = Progress()
    split = prepare_world(tmp_path, SplitSpec("test", 2, 3), fake.Inline(), 1, progress)
    assert list(progress.seconds) == ["videos", "decoding"]
    assert [item.id for item in split.items] == ["test-000000", "test-000001", "test-000002"]
    for index, item in enumerate(split.items):
        made = world_item(2, "test", index)
        assert item.caption == made.caption
        assert item.factors is not None
        assert tuple(item.factors.values()) == made.factors.indices()
        assert item.frame is not None and item.frame.shape == (64, 64, 3)
        frames = made.frames().astype(float)
        errors = [np.abs(item.frame - frame).mean() for frame in frames]
        assert int(np.argmin(errors)) == len(frames) // 2, "the query is the middle frame"
        sound, real = read_item_sound(item).samples, made.sound()
        assert np.corrcoef(sound[: len(real)], real[: len(sound)])[0, 1] > 0.9, "in time with what was written"
    videos = list(tmp_path.rglob("*.mp4"))
    before = {path: path.stat().st_mtime_ns for path in videos}
    again = prepare_world(tmp_path, SplitSpec("test", 2, 3), fake.Inline(), 1, Progress())
    assert again.digest == split.digest
    more = prepare_world(tmp_path, SplitSpec("test", 2, 4), fake.Inline(), 1, Progress())
    assert [item.digest for item in more.items[:3]] == [item.digest for item in split.items], "items do not depend on n"
    assert {path: path.stat().st_mtime_ns for path in videos} == before


def test_a_world_that_changes_is_made_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    before = world_fingerprint()
    monkeypatch.setattr("clipsonic_benchmarks.prepare.version", lambda name: "another codec")
    assert world_fingerprint() != before


def test_an_unknown_split_is_one_line(fake: ModuleType, tmp_path: Path) -> None:
    with pytest.raises(BenchmarkError, match="split 'tset' does not exist"):
        prepare_world(tmp_path, SplitSpec("tset", 2, 3), fake.Inline(), 1, Progress())


@pytest.fixture
def own_media(tmp_path: Path) -> Path:
    """A video, a picture, a sound, and a CSV that names them."""
    folder = tmp_path / "media"
    folder.mkdir()
    item = world_item(5, "test", 0)
    write_video(folder / "a.mp4", item.frames(), item.sound())
    Image.fromarray(np.full((90, 120, 3), 7, np.uint8)).save(folder / "b.png")
    import soundfile

    soundfile.write(folder / "c.wav", np.tile(item.sound(), 2), 2 * RATE_HZ)
    (folder / "items.csv").write_text(
        "id,video,image,caption,sound\nv,a.mp4,,a dog,\np,,b.png,,\ns,,,rain,c.wav\nt,,,only words,\n"
    )
    return folder


def prepare(fake: ModuleType, tmp_path: Path, table: Path) -> Any:
    return prepare_csv(tmp_path / "cache", table, fake.Inline(), nothing)


def test_a_csv_gives_each_item_what_its_row_has(fake: ModuleType, tmp_path: Path, own_media: Path) -> None:
    items = prepare(fake, tmp_path, own_media / "items.csv").by_id()
    has = {id: [need for need in ("frame", "caption", "sound") if item.has(need)] for id, item in items.items()}
    assert has == {"v": ["frame", "caption", "sound"], "p": ["frame"], "s": ["caption", "sound"], "t": ["caption"]}
    assert items["p"].frame.shape == (90, 120, 3)
    sound = read_item_sound(items["s"])
    assert sound.rate_hz == RATE_HZ and abs(sound.duration_s - 2.048) < 0.01, "resampled, not stretched"


def test_a_file_that_changes_is_prepared_again(fake: ModuleType, tmp_path: Path, own_media: Path) -> None:
    first = prepare(fake, tmp_path, own_media / "items.csv").digest
    Image.fromarray(np.full((90, 120, 3), 8, np.uint8)).save(own_media / "b.png")
    assert prepare(fake, tmp_path, own_media / "items.csv").digest != first


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("video,caption\na.mp4,x\n", "has no column id; found video, caption"),
        ("id,file\nx,a.mp4\n", "has no column any of video, image, caption, sound"),
        ("id,caption\n", "has a header and no rows"),
        ("id,caption\nx,a\nx,b\n", "id 'x' is there twice"),
        ("id,caption\n,a\n", "line 2: the id is empty"),
        ("id,caption\nx,\n", "item 'x' has none of"),
        ("id,caption\n../x,a\n", "would be a path outside"),
        ("id,video,image\nx,a.mp4,b.png\n", "has a video and a image"),
        ("id,video\nx,gone.mp4\ny,lost.mp4\n", "names 2 files that do not exist"),
    ],
)
def test_a_csv_that_cannot_be_used(fake: ModuleType, tmp_path: Path, own_media: Path, text: str, said: str) -> None:
    (own_media / "items.csv").write_text(text)
    with pytest.raises(BenchmarkError, match=said):
        prepare(fake, tmp_path, own_media / "items.csv")


def test_all_broken_files_are_named_at_once(fake: ModuleType, tmp_path: Path, own_media: Path) -> None:
    (own_media / "a.mp4").write_bytes(b"not a video")
    (own_media / "b.png").write_bytes(b"not a picture")
    (own_media / "c.wav").write_bytes(b"not a sound")
    with pytest.raises(BenchmarkError, match=r"3 of 4 items .*a\.mp4.*b\.png.*c\.wav"):
        prepare(fake, tmp_path, own_media / "items.csv")
    assert not list((tmp_path / "cache").rglob("items.json"))


def test_a_video_without_sound_is_named(fake: ModuleType, tmp_path: Path, own_media: Path) -> None:
    with av.open(str(own_media / "a.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=4)
        stream.width = stream.height = 64
        stream.pix_fmt = "yuv420p"
        for _ in range(4):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8), format="rgb24")))
        container.mux(stream.encode(None))
    with pytest.raises(BenchmarkError, match="no sound"):
        prepare(fake, tmp_path, own_media / "items.csv")


def test_real_media_are_prepared(fake: ModuleType, tmp_path: Path, media: Path) -> None:
    rows = ["id,video,image,sound"]
    rows += [f"{path.stem},{path},," for path in sorted((media / "videos").glob("*.mp4"))[:2]]
    rows += [f"{path.stem},,{path}," for path in sorted((media / "images").glob("*.jpg"))[:2]]
    rows += [f"{path.stem},,,{path}" for path in sorted((media / "sounds").glob("*.wav"))[:2]]
    (tmp_path / "items.csv").write_text("\n".join(rows) + "\n")
    split = prepare(fake, tmp_path, tmp_path / "items.csv")
    assert len(split) == 6
    assert sum(item.has("frame") for item in split.items) == 4
    assert sum(item.has("sound") for item in split.items) == 4
    assert all(read_item_sound(item).fault() is None for item in split.items if item.has("sound"))


def test_real_media_run_through_the_folder_suite(
    bench: Callable[..., tuple[int, str, str]], tmp_path: Path, media: Path
) -> None:
    """On fake systems and encoders; the caption's last letter is what the latter read. Real sounds as a third party."""
    rows = ["id,video,caption"]
    videos = sorted((media / "videos").glob("*.mp4"))
    rows += [f"{path.stem},{path},kind {index % 4}" for index, path in enumerate(videos)]
    rows += [f"{path.stem},,kind 1" for path in sorted((media / "sounds").glob("*.wav"))[:5]]
    (tmp_path / "items.csv").write_text("\n".join(rows) + "\n")
    metrics = ("--metric", "fad", "--metric", "clap-score")
    arguments = ("--data", str(tmp_path / "items.csv"), "--sounds", str(media / "sounds"), *metrics)
    code, out, said = bench("run", "folder", *arguments, "--system", "reference", "--json", str(tmp_path / "r.json"))
    assert code == 0, said
    assert "have never seen or heard real media" in " ".join(out.split())
    real, theirs = json.loads((tmp_path / "r.json").read_text())["systems"]
    assert real["absent"] == {"fad": "its sounds are the reference set itself"}
    assert real["items"]["evaluated"] == len(videos)
    assert theirs["items"]["evaluated"] == 5
    assert len(theirs["items"]["left_out"]) == len(videos), "what the folder lacks is named"
    assert {score["metric"] for score in theirs["scores"]} == {"fad", "clap-score"}
