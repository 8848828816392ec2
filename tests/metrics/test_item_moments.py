"""Moments of each item in the place of its frames: the same scores, from memory that does not grow with frames."""

from __future__ import annotations

import sys
import tracemalloc
from collections.abc import Sequence
from functools import reduce
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import soundfile

from clipsonic_metrics import EmbeddingStats, MetricsError, NotComparable, Sound, fad, fad_infinity, per_item_fad
from clipsonic_metrics.embedders import EMBEDDERS
from clipsonic_metrics.scores.fad import paired_bootstrap_fad
from clipsonic_metrics.scoring import score_folder
from clipsonic_metrics.subsets import SubsetDistances
from clipsonic_metrics.ways import Inputs
from clipsonic_metrics.workspace import Options, Workspace

LENGTHS = {"few": [1, 3, 2] * 8, "many": [90, 60, 75] * 8, "mixed": [1, 100, 9, 30] * 6}
DIM, FRAMES = 24, 500


def items(lengths: Sequence[int], dim: int, seed: int, offset: float = 0.3) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [rng.normal(size=(length, dim)) + offset * rng.normal(size=dim) for length in lengths]


def moments(frames: Sequence[np.ndarray]) -> list[EmbeddingStats]:
    return [EmbeddingStats.of(each) for each in frames]


@pytest.mark.parametrize("name", LENGTHS)
@pytest.mark.parametrize("dim", [6, 40])
def test_fad_is_the_same_from_frames_and_from_moments(name: str, dim: int) -> None:
    reference, made = items([4] * 60, dim, 0), items(LENGTHS[name], dim, 1)
    of_frames, of_moments = fad(reference, made), fad(reference, moments(made))
    assert of_moments.value == pytest.approx(of_frames.value, rel=1e-11)
    assert (of_moments.low, of_moments.high) == pytest.approx((of_frames.low, of_frames.high), rel=1e-6)
    assert of_moments.extra == pytest.approx(of_frames.extra, rel=1e-6) and of_moments.items == 24
    other = items(LENGTHS[name], dim, 2)
    paired = [paired_bootstrap_fad(reference, a, b, seed=0) for a, b in ((made, other), map(moments, (made, other)))]
    assert paired[1].value == pytest.approx(paired[0].value, rel=1e-8)


def test_its_relatives_are_the_same() -> None:
    reference, made = items([4] * 60, 6, 0), items(LENGTHS["many"], 6, 1)
    of_frames, of_moments = fad_infinity(reference, made), fad_infinity(reference, moments(made))
    assert (of_moments.value, of_moments.high) == pytest.approx((of_frames.value, of_frames.high), rel=1e-6)
    two = [each[:2] if len(each) < 2 else each for each in items([2, 9, 40], 6, 3)]
    of_frames, of_moments = per_item_fad(reference, two), per_item_fad(reference, moments(two))
    np.testing.assert_allclose(of_moments.per_item, of_frames.per_item, rtol=1e-10)
    with pytest.raises(MetricsError, match=r"1 of 2 items \(at 1\) have one frame"):
        per_item_fad(reference, moments(items([3, 1], 6, 0)))


@pytest.mark.parametrize("name", LENGTHS)
def test_moments_joined_at_once_are_those_merged_one_by_one_and_those_of_all_frames(name: str) -> None:
    made = items(LENGTHS[name], 12, 0)
    joined, whole = EmbeddingStats.joined(moments(made)), EmbeddingStats.of(np.concatenate(made))
    for expected in (whole, reduce(EmbeddingStats.merge, moments(made))):
        assert joined.count == expected.count
        np.testing.assert_allclose(joined.mean, expected.mean, atol=1e-14)
        np.testing.assert_allclose(joined.covariance, expected.covariance, atol=1e-13)
    with pytest.raises(NotComparable, match="cannot merge 'a' with 'b'"):
        EmbeddingStats.joined([EmbeddingStats.of(made[1], "a"), EmbeddingStats.of(made[1], "b")])
    with pytest.raises(MetricsError, match="no embeddings to join"):
        EmbeddingStats.joined([])


def test_joined_factors_keep_the_digits_of_a_rank_deficient_set() -> None:
    made = items([2] * 10, 48, 0)  # 20 frames of 48 dimensions: the factor has the rank and no row more
    joined = EmbeddingStats.joined(moments(made))
    assert joined.factor is not None and joined.factor.shape == (19, 48)
    assert np.linalg.matrix_rank(joined.factor) == 19


def test_a_mean_without_its_weight_would_be_seen() -> None:
    """Rows that stand for an item carry weights: centred as if they were frames, they give another distance."""
    reference, made = EmbeddingStats.of(np.concatenate(items([4] * 60, 40, 0))), items([1, 2] * 12, 40, 1, offset=2)
    half = np.arange(24)[None] % 4 < 2
    right, moved = SubsetDistances.of_frames(reference, np.concatenate(made), np.array([1, 2] * 12)), moments(made)
    kept = SubsetDistances.of_moments(reference, moved)
    assert kept.of(half) == pytest.approx(right.of(half), rel=1e-9)
    kept.weights[:] = 1
    assert kept.of(half) != pytest.approx(right.of(half), rel=1e-4)


class ManyFrames:
    """As EnCodec: hundreds of frames from each sound, many more than dimensions."""

    protocol = space = "many-frames@1"

    def embed_sounds(self, sounds: Sequence[Sound]) -> list[np.ndarray]:
        return [
            np.random.default_rng(int(abs(sound.samples[1]) * 2**15)).normal(size=(FRAMES, DIM)).astype(np.float32)
            for sound in sounds
        ]


@pytest.fixture
def many_frames(monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("many_frames_of_the_tests")
    module.load = lambda weights, listening: ManyFrames()  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setitem(EMBEDDERS, "many-frames", f"{module.__name__}:load")


def write(folder: Path, count: int) -> Path:
    folder.mkdir()
    rng = np.random.default_rng(count)
    for index in range(count):
        soundfile.write(folder / f"{index:03d}.wav", 0.1 * rng.normal(size=1600), 8000)
    return folder


def peak_of_scoring(reference: Path, generated: Path, metrics: Sequence[str]) -> int:
    tracemalloc.start()
    try:
        work = Workspace(Options(workers=1))
        report = score_folder(Inputs(generated, reference), metrics, work, embedders=["many-frames"])
        assert report is not None and report.scored[0].score.extra["frames"] == FRAMES * len(report.ids)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_memory_does_not_grow_with_the_frames_of_generated_sounds(tmp_path: Path, many_frames: None) -> None:
    small, large = write(tmp_path / "100", 100), write(tmp_path / "400", 400)
    peak_of_scoring(small, small, ["fad"])  # imports and caches of the first run
    grown = [peak_of_scoring(folder, folder, ["fad"]) for folder in (small, large)]
    per_item = (grown[1] - grown[0]) / 300
    frames, squares = FRAMES * DIM * 4, DIM * DIM * 8
    assert per_item < 4 * squares < 0.4 * frames  # its moments, what is made of them, and its entry in the audit

    rows = [items([FRAMES] * count, DIM, 0) for count in (25, 100)]  # the old way: all frames of all items
    peaks = []
    for made in rows:
        tracemalloc.start()
        fad(rows[0], made)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert (peaks[1] - peaks[0]) / 75 > 4 * frames


def test_items_of_another_protocol_are_refused_one_by_one_too() -> None:
    rng = np.random.default_rng(0)
    reference = EmbeddingStats.of(rng.normal(size=(100, 6)), "a@1")
    rows = rng.normal(size=(8, 9, 6))
    other = [EmbeddingStats.of(each, "b@1" if index == 5 else "a@1") for index, each in enumerate(rows)]
    with pytest.raises(NotComparable, match="item 5 was made under 'b@1', the reference under 'a@1'"):
        per_item_fad(reference, other, protocol="a@1")
    with pytest.raises(NotComparable):
        fad(reference, other, protocol="a@1")
    alike = [EmbeddingStats.of(each, "a@1") for each in rows]
    assert per_item_fad(reference, alike, protocol="a@1").value > 0


def test_a_paired_difference_of_moments_takes_their_protocol() -> None:
    rng = np.random.default_rng(0)
    rows, more = rng.normal(size=(100, 6)), rng.normal(size=(2, 12, 9, 6))
    reference = EmbeddingStats.of(rows, "a@1")
    a, b = ([EmbeddingStats.of(each, "a@1") for each in side] for side in more)
    found = paired_bootstrap_fad(reference, a, b, seed=0)
    assert found == paired_bootstrap_fad(reference, a, b, seed=0, protocol="a@1")
    assert found.protocol == "fad@1/a@1" and found.direction == "lower"
    bare = paired_bootstrap_fad(rows, more[0], more[1], seed=0)
    assert bare.protocol == "fad@1/arrays" and found.value == pytest.approx(bare.value, rel=1e-10)
    with pytest.raises(NotComparable, match="under 'a@1', the sounds under 'b@1'"):
        paired_bootstrap_fad(reference, a, b, seed=0, protocol="b@1")
    with pytest.raises(NotComparable):
        paired_bootstrap_fad(reference, a, [EmbeddingStats.of(each, "b@1") for each in more[1]], seed=0)
