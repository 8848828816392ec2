"""One decode for all embedders, flat memory, the index that spares decodes, and runs that break off."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import weakref
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import soundfile

from clipsonic_metrics import EmbeddingStats, MetricsError, embedding, store
from clipsonic_metrics.cli import run
from clipsonic_metrics.embedding import embed_folder, embed_set
from clipsonic_metrics.listening import Listening
from clipsonic_metrics.sets import Request, SoundEncoder
from clipsonic_metrics.sound import Sound, read_sound
from clipsonic_metrics.store import SoundIndex

from .conftest import RATE_HZ, TinyEmbedder, TinyProbe, tone

Maker = Callable[..., Path]
LONG_AGO = 1_600_000_000


@pytest.fixture(autouse=True)
def own_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("CLIPSONIC_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Ids of the files that were decoded."""
    ids: list[str] = []

    def read(path: Path, id: str | None = None) -> Sound:
        ids.append(str(id))
        return read_sound(path, id)

    monkeypatch.setattr(embedding, "read_sound", read)
    return ids


def request(folder: Path, *, moments: bool = False) -> Request:
    encoders = {"tiny": SoundEncoder.of(TinyEmbedder()), "probe": SoundEncoder.of(TinyProbe())}
    names = frozenset(encoders)
    return Request(folder, encoders, frozenset() if moments else names, names if moments else frozenset())


def test_a_file_is_decoded_once_for_all_embedders(sound_folder: Maker, decoded: list[str], own_cache: Path) -> None:
    folder = sound_folder("a")
    made = embed_set(request(folder), cache=own_cache)
    assert made is not None and sorted(decoded) == [f"item-{index:02d}" for index in range(12)]
    assert {name: len(each.vectors) for name, each in made.embedded.items()} == {"tiny": 12, "probe": 12}
    for name, embedder in (("tiny", TinyEmbedder()), ("probe", TinyProbe())):
        alone = embed_folder(folder, embedder, cache=None)
        for id, vectors in alone.vectors.items():
            np.testing.assert_array_equal(made.embedded[name].vectors[id], vectors)


@pytest.mark.parametrize("workers", [1, 3, 7])
def test_workers_and_cache_change_nothing(sound_folder: Maker, own_cache: Path, workers: int) -> None:
    folder = sound_folder("a", n=40)
    plain = embed_folder(folder, TinyEmbedder(), cache=None, workers=1)
    for _ in range(2):
        made = embed_folder(folder, TinyEmbedder(), cache=own_cache, workers=workers)
        assert list(made.vectors) == list(plain.vectors) and made.digest == plain.digest
        for id, vectors in plain.vectors.items():
            np.testing.assert_array_equal(made.vectors[id], vectors)


def test_no_more_sounds_are_held_than_are_worked_on(sound_folder: Maker, monkeypatch: pytest.MonkeyPatch) -> None:
    alive: weakref.WeakSet[Sound] = weakref.WeakSet()
    most: list[int] = []

    def read(path: Path, id: str | None = None) -> Sound:
        sound = read_sound(path, id)
        alive.add(sound)
        return sound

    class Watching(TinyEmbedder):
        def embed_sounds(self, sounds: Sequence[Sound]) -> list[np.ndarray]:
            most.append(len(alive))
            return super().embed_sounds(sounds)

    monkeypatch.setattr(embedding, "read_sound", read)
    embed_folder(sound_folder("a", n=150), Watching(), cache=None, workers=2)
    assert len(most) == 5 and max(most) <= embedding._BATCH + 2 * 2 + 2, "not all files at once"


def test_moments_need_no_rows_and_are_those_of_the_rows(sound_folder: Maker) -> None:
    folder = sound_folder("a", n=70)
    rows, moments = (embed_set(request(folder, moments=each), cache=None) for each in (False, True))
    assert rows is not None and moments is not None
    of_rows, streamed = rows.embedded["tiny"], moments.embedded["tiny"]
    assert len(streamed.vectors) == 0 and len(streamed.ids) == 70
    for name in ("count", "mean", "covariance"):
        np.testing.assert_array_equal(getattr(of_rows.stats, name), getattr(streamed.stats, name))
    at_once = EmbeddingStats.of(np.concatenate(of_rows.items), of_rows.protocol)
    np.testing.assert_allclose(streamed.stats.covariance, at_once.covariance, rtol=1e-11, atol=1e-15)


def settle(folder: Path) -> None:
    """Make files look as if they had been written long ago; only ctime tells."""
    for path in folder.iterdir():
        os.utime(path, (LONG_AGO, LONG_AGO))


def test_the_index_spares_the_decode(sound_folder: Maker, decoded: list[str], own_cache: Path) -> None:
    folder = sound_folder("a")
    first = embed_folder(folder, TinyEmbedder(), cache=own_cache)
    del decoded[:]
    again = embed_folder(folder, TinyEmbedder(), cache=own_cache)
    assert decoded == [] and again.digest == first.digest
    probe = embed_folder(folder, TinyProbe(), cache=own_cache)  # another embedder has to hear them
    assert len(decoded) == 12 and len(probe.vectors) == 12


def test_a_file_changed_within_a_tick_is_not_served_from_the_index(
    sound_folder: Maker, monkeypatch: pytest.MonkeyPatch, own_cache: Path
) -> None:
    folder = sound_folder("a")
    frozen: dict[Path, list[int]] = {}

    def coarse(path: Path) -> list[int]:
        """A file system whose clock stands still: size, times and inode do not tell that a file was changed."""
        return frozen.setdefault(path, [path.stat().st_size, *found(path)[1:]])

    found = store.stat_of
    for module in (store, embedding):
        monkeypatch.setattr(module, "stat_of", coarse)
    before = embed_folder(folder, TinyEmbedder(), cache=own_cache)
    path = folder / "item-03.wav"
    soundfile.write(path, tone(2500, 1.3, seed=99), RATE_HZ)
    assert path.stat().st_size == frozen[path][0], "the same size, too"
    after = embed_folder(folder, TinyEmbedder(), cache=own_cache)
    assert np.abs(after.vectors["item-03"][0] - before.vectors["item-03"][0]).max() > 0.1
    # Trusting the four numbers alone, whatever their age, serves the file that was there before.
    monkeypatch.setattr(store, "SETTLED_NS", -(10**18))
    embed_folder(folder, TinyEmbedder(), cache=own_cache)
    soundfile.write(path, tone(200, 1.3, seed=98), RATE_HZ)
    stale = embed_folder(folder, TinyEmbedder(), cache=own_cache)
    np.testing.assert_array_equal(stale.vectors["item-03"], after.vectors["item-03"])


def test_times_set_back_do_not_hide_a_change(sound_folder: Maker, own_cache: Path) -> None:
    folder = sound_folder("a")
    settle(folder)
    before = embed_folder(folder, TinyEmbedder(), cache=own_cache)
    soundfile.write(folder / "item-03.wav", tone(2500, 1.3, seed=99), RATE_HZ)
    settle(folder)
    after = embed_folder(folder, TinyEmbedder(), cache=own_cache)
    assert after.digest != before.digest


def test_entries_of_the_index(tmp_path: Path) -> None:
    path = tmp_path / "x.wav"
    soundfile.write(path, tone(300), RATE_HZ)
    index = SoundIndex(tmp_path / "cache", tmp_path)
    assert index.find(path) is None
    facts = embedding.Facts.of(read_sound(path))
    stat = store.stat_of(path)
    index.note(path, stat, stat[2] + 10**10, facts)  # read ten seconds after the last change: settled
    index.save()
    again = SoundIndex(tmp_path / "cache", tmp_path)
    assert again.find(path) == facts
    assert SoundIndex(tmp_path / "cache", tmp_path / "sub").find(path) is None, "an index is that of one folder"
    [file] = (tmp_path / "cache" / "sounds").iterdir()
    record = json.loads(file.read_text())
    file.write_text(json.dumps(record | {"decoders": "libsndfile 0.1"}))
    assert SoundIndex(tmp_path / "cache", tmp_path).find(path) is None, "another decoder may hear another sound"
    file.write_text(file.read_text()[:50])
    assert SoundIndex(tmp_path / "cache", tmp_path).find(path) is None
    path.unlink()
    assert again.find(path) is None


def test_an_embedder_that_refuses_short_sounds_makes_them_faults(sound_folder: Maker) -> None:
    folder = sound_folder("a")  # 1.0 to 2.1 s

    class Picky(TinyEmbedder):
        listening = Listening(rate_hz=RATE_HZ, window=RATE_HZ * 3 // 2, short="refuse")

    with pytest.raises(MetricsError) as caught:
        embed_folder(folder, Picky(), cache=None)
    assert "5 of 12 files" in str(caught.value) and "item-00.wav: lasts 1 s, at least 1.5 s is needed" in str(
        caught.value
    )
    assert len(embed_folder(folder, Picky(), cache=None, on_bad="skip").vectors) == 7


def test_an_embedder_that_makes_nan_is_told_and_not_cached(sound_folder: Maker, own_cache: Path) -> None:
    class Broken(TinyEmbedder):
        def embed_sounds(self, sounds: Sequence[Sound]) -> list[np.ndarray]:
            return [
                np.where(sound.id == "item-07", np.nan, rows)
                for sound, rows in zip(sounds, super().embed_sounds(sounds), strict=True)
            ]

    with pytest.raises(MetricsError, match=r"makes NaN or infinity of .*item-07\.wav"):
        embed_folder(sound_folder("a"), Broken(), cache=own_cache)
    assert not [path for path in own_cache.rglob("*.safetensors") if b"nan" in path.read_bytes()]


def test_ctrl_c_is_one_line_and_what_was_done_is_kept(
    tiny: TinyEmbedder,
    sound_folder: Maker,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    own_cache: Path,
    tmp_path: Path,
) -> None:
    folder = sound_folder("a", n=80)
    batches: list[int] = []
    embed = TinyEmbedder.embed_sounds

    def interrupted(self: TinyEmbedder, sounds: Sequence[Sound]) -> list[np.ndarray]:
        batches.append(len(sounds))
        if len(batches) == 2:
            raise KeyboardInterrupt
        return embed(self, sounds)

    monkeypatch.setattr(TinyEmbedder, "embed_sounds", interrupted)
    out = tmp_path / "e.npz"
    assert run(["embed", str(folder), "--embedder", "tiny", "--out", str(out)]) == 130
    captured = capsys.readouterr()
    assert captured.err.startswith("error: interrupted") and captured.err.count("\n") == 1 and captured.out == ""
    assert not out.exists() and not list(tmp_path.rglob("*.part"))
    assert run(["embed", str(folder), "--embedder", "tiny", "--out", str(out)]) == 0
    assert tiny.embedded == 80, "the first 32 came from the cache"


def test_a_full_disk_is_one_line(
    tiny: TinyEmbedder, sound_folder: Maker, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(path: Path, data: bytes) -> None:
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr(store, "write_whole", full)
    folder = sound_folder("a")
    assert run(["fad", str(folder), str(folder), "--embedder", "tiny"]) == 2
    captured = capsys.readouterr()
    assert captured.err.count("\n") == 1 and "No space left on device" in captured.err and "--cache" in captured.err


KILLED = """
import os, signal, sys
from clipsonic_metrics import atomic
from clipsonic_metrics.embedding import embed_folder
sys.path.insert(0, sys.argv[1])
from metrics.conftest import TinyEmbedder

writes = []
write, replace = atomic.Path.write_bytes, os.replace

def dying(source, target):
    writes.append(target)
    if len(writes) == 7:
        os.kill(os.getpid(), signal.SIGKILL)  # after the temporary file was written, before it has its name
    replace(source, target)

os.replace = dying
embed_folder(sys.argv[2], TinyEmbedder(), cache=atomic.Path(sys.argv[3]))
"""


def test_kill_9_leaves_nothing_half_written(sound_folder: Maker, own_cache: Path) -> None:
    folder = sound_folder("a")
    tests = str(Path(__file__).parents[1])
    done = subprocess.run([sys.executable, "-c", KILLED, tests, str(folder), str(own_cache)], check=False)
    assert done.returncode == -9
    entries = list(own_cache.rglob("*.safetensors"))
    assert len(entries) == 6
    embedder = TinyEmbedder()
    made = embed_folder(folder, embedder, cache=own_cache)
    assert embedder.embedded == 6, "six were kept, and are whole"
    plain = embed_folder(folder, TinyEmbedder(), cache=None)
    for id, vectors in plain.vectors.items():
        np.testing.assert_array_equal(made.vectors[id], vectors)
