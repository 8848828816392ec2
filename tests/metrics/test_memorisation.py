"""Memorisation: nearest training sounds against the baseline of new real sounds."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.neighbors import NearestNeighbors

from clipsonic_metrics import MetricsError, memorisation


def draw(shape: tuple[int, ...], seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape)


def test_angles_have_a_closed_form() -> None:
    def at(*degrees: float) -> np.ndarray:
        return np.stack([np.cos(np.radians(degrees)), np.sin(np.radians(degrees))], axis=1)

    found = memorisation(at(0, 90), at(30, 40, 60), at(0, 20, 31, 45, 95))
    assert found.cosine == pytest.approx(np.cos(np.radians([0, 20, 31, 45, 5])))
    assert list(found.nearest) in ([0, 0, 0, 0, 1], [0, 0, 0, 1, 1])
    assert found.baseline == pytest.approx(np.cos(np.radians([30, 40, 30])))
    assert found.score.extra["threshold"] == pytest.approx(np.cos(np.radians(30)))  # 3 sounds: their largest
    assert found.score.extra["expected"] == pytest.approx(1 / 4)
    assert found.score.value == pytest.approx(3 / 5) and list(found.score.per_item) == [1, 1, 0, 0, 1]


@pytest.mark.parametrize(("training", "items"), [(30, 20), (3000, 1100)])
def test_neighbours_agree_with_scikit_learn_across_blocks(training: int, items: int) -> None:
    known, generated = draw((training, 16), 0), draw((items, 16), 1)
    found = memorisation(known, draw((40, 16), 2), generated)
    distance, index = (
        NearestNeighbors(n_neighbors=1, metric="cosine", algorithm="brute").fit(known).kneighbors(generated)
    )
    assert found.cosine == pytest.approx(1 - distance[:, 0], abs=1e-12)
    assert (found.nearest == index[:, 0]).all()


def test_new_sounds_exceed_the_threshold_as_often_as_expected() -> None:
    known = draw((200, 8), 0)
    shares = [memorisation(known, draw((99, 8), seed), draw((100, 8), 1000 + seed)).score for seed in range(1, 61)]
    assert all(score.extra["expected"] == pytest.approx(0.05) for score in shares)
    values = np.array([score.value for score in shares])
    assert abs(values.mean() - 0.05) < 4 * values.std() / 60**0.5


def test_copies_are_found_and_named() -> None:
    known, generated = draw((50, 8), 0), draw((20, 8), 1)
    generated[:5] = 3 * known[[7, 9, 11, 30, 7]] + 1e-3 * draw((5, 8), 2)
    found = memorisation(known, draw((40, 8), 3), generated)
    assert list(found.nearest[:5]) == [7, 9, 11, 30, 7] and (found.cosine[:5] > 0.999).all()
    assert found.score.value >= 0.25 and found.score.low > found.score.extra["expected"]


def test_means_of_sounds_still_miss_a_copied_window() -> None:
    known, reference, generated = draw((60, 6, 24), 0), draw((60, 6, 24), 1), draw((40, 6, 24), 2)
    generated[:, 3] = known[:40, 5]  # two seconds of every sound are stolen
    by_mean = memorisation(known.mean(axis=1), reference.mean(axis=1), generated.mean(axis=1))
    assert by_mean.score.value < 0.3  # or this test proves nothing
    found = memorisation(known, reference, generated)
    assert found.score.value == 1 and list(found.nearest) == list(range(40))
    ragged = memorisation(list(known), reference, [sound[2:] for sound in generated])
    assert ragged.score.value == 1 and (ragged.nearest == found.nearest).all()


def test_an_absolute_threshold_still_accuses_a_narrow_embedder() -> None:
    # Embeddings in a cone: any two real sounds have cosine 0.97, and no system copied anything.
    known, reference, generated = (draw((80, 16), seed) * 0.7 + 4 for seed in range(3))
    found = memorisation(known, reference, generated)
    assert (found.cosine > 0.95).mean() > 0.9  # or this test proves nothing
    assert found.score.low <= found.score.extra["expected"] <= found.score.high


def test_bad_input_is_refused() -> None:
    known = draw((30, 4), 0)
    with pytest.raises(MetricsError, match="25 of 25 reference sounds are training sounds"):
        memorisation(known, 2 * known[:25], draw((9, 4), 1))
    with pytest.raises(MetricsError, match="quantile is 1"):
        memorisation(known, draw((9, 4), 1), draw((9, 4), 2), quantile=1)
    with pytest.raises(MetricsError, match="dim 4, generated 5"):
        memorisation(known, draw((9, 4), 1), draw((9, 5), 2))
