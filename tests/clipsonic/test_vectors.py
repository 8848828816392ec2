"""Condition vectors from outside: what `clipsonic-metrics embed` writes is read, several vectors are one direction."""

from __future__ import annotations

import tracemalloc
from pathlib import Path
from typing import Literal

import numpy as np
import pytest

import clipsonic.vectors as vectors_module
from clipsonic.vectors import mean_direction, read_vectors, write_vectors


def save(path: Path, ids: list[str], frames: list[int], embeddings: object) -> Path:
    np.savez(path, ids=np.array(ids), frames=np.array(frames), embeddings=np.array(embeddings, np.float32))
    return path


def test_several_vectors_are_the_mean_of_their_directions(tmp_path: Path) -> None:
    """Of directions: a loud frame with a long vector counts no more than another."""
    path = save(tmp_path / "e.npz", ["b", "a"], [2, 1], [[3, 0], [0, 100], [0, 2]])
    found = read_vectors(path)
    assert found.ids == ["b", "a"] and found.vectors.dtype == np.float32
    np.testing.assert_allclose(found.vectors, [[0.5**0.5, 0.5**0.5], [0, 1]], atol=1e-7)
    np.testing.assert_allclose(found.of(["a", "b", "a"])[:, 0], [0, 0.5**0.5, 0], atol=1e-7)


@pytest.mark.parametrize("most", [1, 3])
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("frames_kind", ["int64", "uint8", "uint64"])
def test_blocks_are_bit_for_bit_what_the_whole_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, most: int, order: Literal["C", "F"], frames_kind: str
) -> None:
    monkeypatch.setattr(vectors_module, "ROWS", 16)
    rng = np.random.default_rng(0)
    frames = rng.integers(1, most + 1, size=200)
    frames[-100] = 40 if most > 1 else 1  # of more rows than a block
    rows = rng.normal(size=(frames.sum(), 37)).astype(np.float32)
    ids = np.arange(200).astype(str)
    np.savez(tmp_path / "e.npz", ids=ids, frames=frames.astype(frames_kind), embeddings=np.array(rows, order=order))

    def unit(vectors: np.ndarray) -> np.ndarray:
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)

    starts = np.concatenate([[0], np.cumsum(frames)[:-1]])
    whole = unit(np.add.reduceat(unit(np.array(rows.astype(np.float64), order=order)), starts)).astype(np.float32)
    np.testing.assert_array_equal(read_vectors(tmp_path / "e.npz").vectors, whole)


@pytest.mark.parametrize("most", [1, 3])
def test_a_file_takes_little_more_memory_than_it_and_what_it_becomes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    """Old mistake: 6 times its size; float64, quotients and sums, of all vectors at once."""
    monkeypatch.setattr(vectors_module, "ROWS", 64)
    rng = np.random.default_rng(0)
    frames = rng.integers(1, most + 1, size=2000)
    rows = rng.normal(size=(frames.sum(), 512)).astype(np.float32)
    np.savez(tmp_path / "e.npz", ids=np.arange(2000).astype(str), frames=frames, embeddings=rows)
    tracemalloc.start()
    try:
        found = read_vectors(tmp_path / "e.npz")
        assert tracemalloc.get_traced_memory()[1] < 1.3 * (rows.nbytes + found.vectors.nbytes)
    finally:
        tracemalloc.stop()


def test_what_is_written_is_read(tmp_path: Path) -> None:
    vectors = np.eye(3, dtype=np.float32)
    write_vectors(tmp_path / "v.npz", ["p", "q", "r"], vectors)
    found = read_vectors(tmp_path / "v.npz")
    assert found.ids == ["p", "q", "r"]
    np.testing.assert_array_equal(found.vectors, vectors)
    assert [path.name for path in tmp_path.iterdir()] == ["v.npz"]


def test_mean_direction_of_one_is_itself_bit_for_bit() -> None:
    one = np.random.default_rng(0).normal(size=(1, 5)).astype(np.float32)
    np.testing.assert_array_equal(mean_direction(one), one[0])
    np.testing.assert_allclose(np.linalg.norm(mean_direction(np.eye(4, dtype=np.float32))), 1, atol=1e-6)


@pytest.mark.parametrize(
    ("ids", "frames", "embeddings", "message"),
    [
        (["a"], [2], [[1, 0]], "do not fit one another"),
        (["a", "b"], [1, 0], [[1, 0]], "do not fit one another"),
        (["a"], [1], [1, 0], "do not fit one another"),
        (["a", "a"], [1, 1], [[1, 0], [0, 1]], "an id is there twice"),
        (["a"], [1], [[0, 0]], "a vector is zero or not finite"),
        (["a"], [1], [[np.nan, 0]], "a vector is zero or not finite"),
        ([], [], np.zeros((0, 2)), "holds no vector"),
    ],
)
def test_files_that_are_no_vectors(
    tmp_path: Path, ids: list[str], frames: list[int], embeddings: object, message: str
) -> None:
    path = save(tmp_path / "e.npz", ids, frames, embeddings)
    with pytest.raises(ValueError, match=message):
        read_vectors(path)


def test_other_files_and_missing_ids(tmp_path: Path) -> None:
    (tmp_path / "text.npz").write_text("no zip")
    with pytest.raises(ValueError, match=r"text.npz is no .npz with ids, frames and embeddings"):
        read_vectors(tmp_path / "text.npz")
    np.savez(tmp_path / "other.npz", ids=np.array(["a"]))
    with pytest.raises(ValueError, match="is no .npz with ids, frames and embeddings: 'frames is not a file"):
        read_vectors(tmp_path / "other.npz")
    found = read_vectors(save(tmp_path / "e.npz", ["a"], [1], [[1, 0]]))
    with pytest.raises(ValueError, match="no vector for c0, c1, c2, c3, c4 and 2 more: expected one for each of 7 ids"):
        found.of([f"c{k}" for k in range(7)])


def test_the_space_is_kept(tmp_path: Path) -> None:
    write_vectors(tmp_path / "v.npz", ["p"], np.eye(1, dtype=np.float32), space="clap/sha256:0")
    assert read_vectors(tmp_path / "v.npz").space == "clap/sha256:0"
    write_vectors(tmp_path / "v.npz", ["p"], np.eye(1, dtype=np.float32))
    assert read_vectors(tmp_path / "v.npz").space is None


def test_arrays_of_another_kind_are_one_line(tmp_path: Path) -> None:
    """Old mistake: a TypeError each."""
    path = tmp_path / "v.npz"
    with path.open("wb") as file:
        np.save(file, np.eye(2))  # a .npy that was renamed
    with pytest.raises(ValueError, match="is no .npz with ids, frames and embeddings"):
        read_vectors(path)
    np.savez(path, ids=np.array("a"), frames=np.array([1]), embeddings=np.eye(1))
    with pytest.raises(ValueError, match="is no .npz with ids, frames and embeddings"):
        read_vectors(path)
    np.savez(path, ids=np.array(["a"]), frames=np.array(["1"]), embeddings=np.eye(1))
    with pytest.raises(ValueError, match="frames are <U1 and embeddings float64; expected numbers"):
        read_vectors(path)
