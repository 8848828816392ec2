"""Embedding folders: cache, faults, files; tables; pictures."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from PIL import Image

from clipsonic_metrics import MetricsError
from clipsonic_metrics.embedders import EMBEDDERS, load_embedder
from clipsonic_metrics.embedding import embed_folder
from clipsonic_metrics.images import read_pictures
from clipsonic_metrics.npz import load_embeddings, save_embeddings
from clipsonic_metrics.store import EmbeddingStore, default_cache
from clipsonic_metrics.tables import read_table, require_ids

from .conftest import RATE_HZ, TinyEmbedder, tone

Maker = Callable[..., Path]


def test_cache_is_by_content_and_changes_nothing(tiny: TinyEmbedder, sound_folder: Maker, tmp_path: Path) -> None:
    folder, cache = sound_folder("a"), tmp_path / "cache"
    plain = embed_folder(folder, tiny, cache=None)
    first, second = (embed_folder(folder, tiny, cache=cache) for _ in range(2))
    assert tiny.embedded == 24  # 12 without cache, 12 to fill it, none from it
    for id, vectors in plain.vectors.items():
        np.testing.assert_array_equal(first.vectors[id], vectors)
        np.testing.assert_array_equal(second.vectors[id], vectors)
    assert plain.digest == first.digest == second.digest


def test_a_file_that_changes_under_its_name_is_embedded_anew(
    tiny: TinyEmbedder, sound_folder: Maker, tmp_path: Path
) -> None:
    folder, cache = sound_folder("a"), tmp_path / "cache"
    before = embed_folder(folder, tiny, cache=cache)
    soundfile.write(folder / "item-03.wav", tone(2500, seed=99), RATE_HZ)
    after = embed_folder(folder, tiny, cache=cache)
    # Keyed by name, as others do, it would be what it was.
    assert np.abs(after.vectors["item-03"][0] - before.vectors["item-03"][0]).max() > 0.1
    assert tiny.embedded == 13 and after.digest != before.digest


def test_two_folders_of_equal_names_do_not_mix(tiny: TinyEmbedder, sound_folder: Maker, tmp_path: Path) -> None:
    a, b = sound_folder("a"), sound_folder("b", pitch_hz=900, seed=50)
    cached = embed_folder(a, tiny, cache=tmp_path / "cache"), embed_folder(b, tiny, cache=tmp_path / "cache")
    assert np.abs(cached[0].vectors["item-00"][0] - cached[1].vectors["item-00"][0]).max() > 0.1


def test_protocols_do_not_share_entries_and_broken_entries_are_absent(tmp_path: Path) -> None:
    one, other = EmbeddingStore(tmp_path, "a@1"), EmbeddingStore(tmp_path, "a@2")
    one.put("ab12", np.ones((2, 3), np.float32))
    assert other.get("ab12") is None
    np.testing.assert_array_equal(one.get("ab12"), np.ones((2, 3)))
    [entry] = [path for path in tmp_path.rglob("*") if path.is_file()]
    entry.write_bytes(entry.read_bytes()[:20])
    assert one.get("ab12") is None


def test_a_cache_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(MetricsError, match="choose another --cache"):
        EmbeddingStore(tmp_path / "file", "a@1").put("ab12", np.ones((1, 2), np.float32))


def test_default_cache_follows_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLIPSONIC_CACHE", "/somewhere")
    assert default_cache() == Path("/somewhere")
    monkeypatch.delenv("CLIPSONIC_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "/elsewhere")
    assert default_cache() == Path("/elsewhere/clipsonic")


def spoil(folder: Path) -> None:
    (folder / "item-01.wav").write_bytes(b"broken")
    soundfile.write(folder / "item-04.wav", np.zeros(RATE_HZ), RATE_HZ)
    soundfile.write(folder / "item-07.wav", tone(300, 0.01), RATE_HZ)
    broken = tone(300)
    broken[5] = np.nan
    soundfile.write(folder / "item-09.wav", broken, RATE_HZ, subtype="FLOAT")
    soundfile.write(folder / "item-11.wav", np.zeros(0), RATE_HZ)


def test_bad_files_stop_the_work_all_named_at_once(tiny: TinyEmbedder, sound_folder: Maker, tmp_path: Path) -> None:
    folder = sound_folder("a")
    spoil(folder)
    with pytest.raises(MetricsError) as caught:
        embed_folder(folder, tiny, cache=None)
    message = str(caught.value)
    assert "5 of 12 files" in message and "--on-bad skip" in message and "\n" not in message
    for name, fault in (("01", "unreadable"), ("04", "silent"), ("07", "too short"), ("09", "NaN"), ("11", "empty")):
        assert f"item-{name}.wav: " in message
        assert fault in message.split(f"item-{name}.wav: ")[1].split(";")[0]


def test_bad_files_are_left_out_on_request_and_named(tiny: TinyEmbedder, sound_folder: Maker) -> None:
    folder = sound_folder("a")
    spoil(folder)
    made = embed_folder(folder, tiny, cache=None, on_bad="skip")
    assert len(made.vectors) == 7 and len(made.skipped) == 5
    assert made.skipped[str(folder / "item-04.wav")].startswith("silent")
    for path in folder.iterdir():
        path.write_bytes(b"broken")
    with pytest.raises(MetricsError, match="none is left to score"):
        embed_folder(folder, tiny, cache=None, on_bad="skip")


def test_embeddings_survive_their_file(tiny: TinyEmbedder, sound_folder: Maker, tmp_path: Path) -> None:
    made = embed_folder(sound_folder("a"), tiny, cache=None)
    save_embeddings(made, tmp_path / "e.npz")
    loaded = load_embeddings(tmp_path / "e.npz")
    assert (loaded.protocol, loaded.space, loaded.digest) == (made.protocol, made.space, made.digest)
    assert list(loaded.vectors) == list(made.vectors)
    for id, vectors in made.vectors.items():
        np.testing.assert_array_equal(loaded.vectors[id], vectors)
    np.savez(tmp_path / "other.npz", x=np.ones(3))
    with pytest.raises(MetricsError, match="is not embeddings of schema 3"):
        load_embeddings(tmp_path / "other.npz")
    (tmp_path / "text.npz").write_text("nothing")
    with pytest.raises(MetricsError, match="cannot be read as embeddings"):
        load_embeddings(tmp_path / "text.npz")


def test_unknown_embedders_are_refused_with_near_names() -> None:
    with pytest.raises(MetricsError, match=r"did you mean .*microworld-clap") as caught:
        load_embedder("microworld-calp")
    assert all(name in str(caught.value) for name in EMBEDDERS)


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_tables_pair_by_id_or_file(tmp_path: Path) -> None:
    by_id = read_table(
        write(tmp_path / "a.csv", '\ufeffid,caption,extra\nx,A dog,1\ny,"A cat, meowing",2\n'), ["caption"]
    )
    assert by_id == {"x": {"caption": "A dog"}, "y": {"caption": "A cat, meowing"}}
    by_file = read_table(write(tmp_path / "b.csv", "file,caption\nsub/x.wav,A dog\n"), ["caption"])
    assert list(by_file) == ["sub/x"]
    require_ids(["x"], by_id, "a.csv")
    with pytest.raises(MetricsError, match=r"nothing for 7 of the sounds: 0, 1, 2, 3, 4 and 2 more"):
        require_ids(map(str, range(7)), by_id, "a.csv")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name,caption\nx,A\n", "columns name, caption; id is missing"),
        ("id,text\nx,A\n", "caption is missing"),
        ("", "none.; id, caption is missing"),
        ("id,caption\nx,A\nx,B\n", "line 3: id 'x' occurs a second time"),
        ("id,caption\nx,\n", "line 2: caption is empty"),
        ("id,caption\nx\n", "line 2: caption is empty"),
    ],
)
def test_bad_tables_are_refused_with_the_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(MetricsError, match=message):
        read_table(write(tmp_path / "a.csv", text), ["caption"])


def test_pictures_are_rgb_and_videos_stand_for_frames(tmp_path: Path) -> None:
    import av

    Image.new("RGBA", (5, 4), (255, 0, 0, 128)).save(tmp_path / "x.png")
    [picture] = read_pictures(tmp_path / "x.png")
    assert picture.shape == (4, 5, 3) and picture.dtype == np.uint8
    with av.open(str(tmp_path / "x.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
        for level in range(0, 240, 10):
            container.mux(
                stream.encode(av.VideoFrame.from_ndarray(np.full((64, 64, 3), level, np.uint8), format="rgb24"))
            )
        container.mux(stream.encode(None))
    frames = read_pictures(tmp_path / "x.mp4")
    assert len(frames) == 8
    np.testing.assert_allclose([frame.mean() for frame in frames], 10 * (np.arange(8) * 3 + 1), atol=4)
    (tmp_path / "broken.jpg").write_bytes(b"nothing")
    with pytest.raises(MetricsError, match="unreadable as an image"):
        read_pictures(tmp_path / "broken.jpg")
    (tmp_path / "broken.mp4").write_bytes(b"nothing")
    with pytest.raises(MetricsError, match="unreadable as a video"):
        read_pictures(tmp_path / "broken.mp4")
