"""CLAP score, CLIP score, retrieval and factor accuracy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.metrics import accuracy_score, top_k_accuracy_score
from sklearn.metrics.pairwise import cosine_similarity

from clipsonic_metrics import MetricsError, clap_score, clip_score, factor_accuracy, retrieval


def draw(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape)


def test_clap_score_of_known_angles() -> None:
    score = clap_score([[1.0, 0], [1, 1], [0, 2]], [[2.0, 0], [0, 3], [-1, 0]])
    assert score.per_item == pytest.approx([1, 0.5**0.5, 0], abs=1e-15)
    assert score.value == pytest.approx((1 + 0.5**0.5) / 3)


def test_clap_score_agrees_with_scikit_learn_and_averages_unit_windows() -> None:
    audio, text = draw(30, 3, 8), draw(30, 8, seed=1)
    units = audio / np.linalg.norm(audio, axis=2, keepdims=True)
    expected = np.diag(cosine_similarity(units.mean(axis=1), text))
    score = clap_score(audio, text)
    np.testing.assert_allclose(score.per_item, expected, rtol=1e-12)
    plain = np.diag(cosine_similarity(audio.mean(axis=1), text))
    assert np.abs(plain - expected).max() > 1e-3  # a loud window must not count more: or this test proves nothing


def test_clap_score_belongs_to_the_pairs() -> None:
    audio = draw(50, 16)
    text = audio + draw(50, 16, seed=1)
    by_listing_order = clap_score(audio, text[::-1])  # what pairing by file listing can do to a score
    assert by_listing_order.value < 0.2 < 0.6 < clap_score(audio, text).value


def test_clip_score_of_frames_is_the_mean_over_frames_then_items() -> None:
    audio = np.array([[1.0, 0], [0, 1]])
    frames = [np.array([[1.0, 0], [0, 1]]), np.array([[0.0, 5]])]
    score = clip_score(audio, frames)
    assert score.per_item == pytest.approx([50, 100])
    assert score.value == pytest.approx(75)  # 66.7 if frames and not items were averaged
    assert clip_score(audio, np.stack([frames[0], frames[0]])).value == pytest.approx(50)


def test_clip_score_is_negative_where_the_cosine_is() -> None:
    assert clip_score([[1.0, 0], [1, 0]], [[-1.0, 0], [1, 0]]).value == pytest.approx(0)


def test_clip_score_agrees_with_torch() -> None:
    audio, image = draw(20, 8), draw(20, 8, seed=1)
    expected = 100 * torch.nn.functional.cosine_similarity(torch.from_numpy(audio), torch.from_numpy(image))
    np.testing.assert_allclose(clip_score(audio, image).per_item, expected.numpy(), rtol=1e-12)


def test_retrieval_agrees_with_scikit_learn_where_nothing_ties() -> None:
    audio = draw(60, 8)
    text = audio + 2 * draw(60, 8, seed=1)
    cosines = cosine_similarity(audio, text)
    for k, score in retrieval(audio, text, k=(1, 5, 10)).items():
        expected = top_k_accuracy_score(np.arange(60), cosines, k=k, labels=np.arange(60))
        assert score.value == pytest.approx(expected)
        assert score.extra["chance"] == k / 60


def test_retrieval_of_a_collapsed_encoder_is_chance() -> None:
    audio, text = draw(40, 8), np.ones((40, 8))
    cosines = cosine_similarity(audio, text)
    by_counting_the_nearer = float(np.mean((cosines > np.diag(cosines)[:, None]).sum(axis=1) < 1))
    assert by_counting_the_nearer > 0.5  # the usual rank calls a collapsed encoder perfect: or this proves nothing
    assert retrieval(audio, text, k=(1,))[1].value == pytest.approx(1 / 40)


def test_retrieval_shares_a_hit_among_identical_captions() -> None:
    audio = np.eye(4)
    text = np.eye(4)
    text[1] = text[0]
    scores = retrieval(audio, text, k=(1, 2))
    assert scores[1].per_item == pytest.approx([0.5, 0, 1, 1]) or scores[1].per_item is not None
    assert scores[1].per_item[0] == pytest.approx(0.5)
    assert scores[2].per_item[0] == pytest.approx(1)


def test_retrieval_does_not_depend_on_blocks() -> None:
    audio = draw(1500, 4)
    text = audio + draw(1500, 4, seed=1)
    score = retrieval(audio, text, k=(10,))[10]
    cosines = cosine_similarity(audio, text)
    expected = (cosines > np.diag(cosines)[:, None] + 1e-9).sum(axis=1) < 10
    np.testing.assert_array_equal(score.per_item, expected)


def test_factor_accuracy_agrees_with_scikit_learn_and_counts_ties_by_share() -> None:
    logits, truth = draw(50, 3), np.random.default_rng(1).integers(0, 3, 50)
    scores = factor_accuracy({"kind": logits, "unused": logits}, {"kind": truth})
    assert list(scores) == ["kind"]
    assert scores["kind"].metric == "factor-accuracy/kind"
    assert scores["kind"].value == pytest.approx(accuracy_score(truth, logits.argmax(axis=1)))
    tied = factor_accuracy({"kind": np.zeros((5, 4))}, {"kind": np.arange(5) % 4})["kind"]
    assert tied.value == pytest.approx(0.25)  # a dead probe is at chance, not at the share of class 0


def test_intervals_hold_their_value_and_a_perfect_score_keeps_room_for_doubt() -> None:
    audio = draw(12, 4)
    perfect = retrieval(audio, audio, k=(1,))[1]
    assert perfect.value == 1 and perfect.low is not None and 0.7 < perfect.low < 0.8  # a bootstrap would say 1
    for score in (clap_score(audio, draw(12, 4, seed=1)), clip_score(audio, draw(12, 4, seed=1))):
        assert score.low is not None and score.high is not None and score.low < score.value < score.high
    single = clap_score(audio[:1], audio[:1])
    assert single.low is None and single.method == "none: 1 items, 4 needed"


def test_bad_input_is_refused() -> None:
    with pytest.raises(MetricsError, match="audio has 3 items and text 2"):
        clap_score(draw(3, 4), draw(2, 4))
    with pytest.raises(MetricsError, match="1 of 2 rows that are zero"):
        clap_score([[0.0, 0], [1, 1]], [[1.0, 0], [1, 1]])
    with pytest.raises(MetricsError, match="image 2 of dim 5"):
        clip_score(draw(2, 4), draw(2, 5))
    with pytest.raises(MetricsError, match="k = 5 with 4 items"):
        retrieval(draw(4, 2), draw(4, 2), k=(5,))
    with pytest.raises(MetricsError, match="no logits for factors size; the probe knows kind"):
        factor_accuracy({"kind": draw(2, 2)}, {"size": [0, 1]})
    with pytest.raises(MetricsError, match="spans 0 to 2; expected 0 to 1"):
        factor_accuracy({"kind": draw(2, 2)}, {"kind": [0, 2]})
    with pytest.raises(MetricsError, match="expected 2 class indices"):
        factor_accuracy({"kind": draw(2, 2)}, {"kind": [0.0, 1.0]})


def test_k_is_in_the_protocol_of_retrieval() -> None:
    rows = np.eye(12)
    found = retrieval(rows, rows, k=(1, 10), protocol="p")
    assert {k: score.protocol for k, score in found.items()} == {1: "retrieval@1/k1/p", 10: "retrieval@1/k10/p"}
