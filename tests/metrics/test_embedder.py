"""The composition of a network and a way of listening: batches of one size, frames back to their sounds, protocols."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from clipsonic_metrics import MetricsError, Sound
from clipsonic_metrics.embedder import (
    SoundClassifier,
    SoundEmbedder,
    TextEmbedder,
    WindowedClassifier,
    WindowedEmbedder,
    in_equal_batches,
    over_windows,
)
from clipsonic_metrics.listening import Listening

TEN = Listening(rate_hz=100, window=10)
SHA256 = "0123456789abcdef" * 4


class Recorder:
    """Sum and largest sample of each row; remembers the shapes it was given."""

    def __init__(self) -> None:
        self.shapes: list[tuple[int, ...]] = []

    def __call__(self, rows: Tensor) -> Tensor:
        self.shapes.append(tuple(rows.shape))
        return torch.stack([rows.sum(dim=-1), rows.amax(dim=-1)], dim=-1)


def sounds(*lengths: int) -> list[Sound]:
    return [Sound.of(f"s{index}", np.arange(length) + 100 * index, 100) for index, length in enumerate(lengths)]


def make(encode: Recorder, listening: Listening = TEN, rows: int = 4) -> WindowedEmbedder:
    return WindowedEmbedder(name="net", version=3, listening=listening, sha256=SHA256, encode=encode, dim=2, rows=rows)


def test_every_batch_has_the_same_size_and_every_sound_its_own_frames() -> None:
    net = Recorder()
    found = make(net).embed_sounds(sounds(10, 34, 5, 60))
    assert net.shapes == [(4, 10)] * 3  # 1 + 3 + 1 + 6 windows
    assert [each.shape for each in found] == [(1, 2), (3, 2), (1, 2), (6, 2)]
    np.testing.assert_array_equal(found[1][:, 1], [109, 119, 129])
    np.testing.assert_array_equal(found[3][:, 1], [309, 319, 329, 339, 349, 359])
    assert make(net).embed_sounds([]) == []


def test_several_frames_per_window_stay_in_order() -> None:
    def halves(rows: Tensor) -> Tensor:
        return rows.reshape(len(rows), 2, 5)[:, :, :1]

    found = over_windows(halves, TEN, sounds(20, 10), rows=2)
    assert [each[:, 0].tolist() for each in found] == [[0, 5, 10, 15], [100, 105]]


def test_whole_sounds_go_one_at_a_time() -> None:
    net = Recorder()
    found = make(net, Listening(rate_hz=100, window=None)).embed_sounds(sounds(7, 23))
    assert net.shapes == [(1, 7), (1, 23)] and [each.shape for each in found] == [(1, 2), (1, 2)]


def test_two_sides_reach_the_network_as_two() -> None:
    net = Recorder()
    make(net, replace(TEN, mono="stereo")).embed_sounds(sounds(20))
    assert net.shapes == [(4, 2, 10)]


def test_what_is_kept_is_rounded() -> None:
    def thirds(rows: Tensor) -> Tensor:
        return rows[:, :2] / 3

    [plain], [rounded] = (
        over_windows(thirds, replace(TEN, kept=kept), sounds(10), rows=2) for kept in ("float32", "float16")
    )
    assert rounded.dtype == np.float32
    np.testing.assert_array_equal(rounded, plain.astype(np.float16).astype(np.float32))
    assert (rounded != plain).any()


def test_protocol_and_space() -> None:
    net = make(Recorder())
    assert net.protocol == f"net@3/{TEN.describe()}/sha256:0123456789ab" and net.space == "net/sha256:0123456789ab"
    assert replace(net, space="shared").space == "shared"
    assert isinstance(net, SoundEmbedder) and not isinstance(net, SoundClassifier | TextEmbedder)


def test_a_classifier_is_an_embedder_with_classes() -> None:
    net = Recorder()
    both = WindowedClassifier(
        name="net", version=1, listening=TEN, sha256=SHA256, encode=net, dim=2, rows=4,
        classify=lambda rows: rows[:, :3], both=lambda rows: (net(rows), rows[:, :3]), labels=("a", "b", "c"),
    )  # fmt: skip
    assert isinstance(both, SoundClassifier) and isinstance(both, SoundEmbedder)
    [logits] = both.classify_sounds(sounds(20))
    np.testing.assert_array_equal(logits, [[0, 1, 2], [10, 11, 12]])
    assert both.embed_sounds(sounds(20))[0].shape == (2, 2)
    net.shapes.clear()
    together = both.embed_and_classify_sounds(sounds(20, 70))
    assert net.shapes == [(4, 10)] * 3
    for found, expected in zip(together, (both.embed_sounds, both.classify_sounds), strict=True):
        for one, other in zip(found, expected(sounds(20, 70)), strict=True):
            np.testing.assert_array_equal(one, other)
            assert one.base is None  # a view would keep the other half in memory


def test_a_refused_sound_is_named() -> None:
    with pytest.raises(MetricsError, match="s1 lasts 0.05 s"):
        make(Recorder(), replace(TEN, short="refuse")).embed_sounds(sounds(10, 5))


def test_batches_of_anything_are_filled_up() -> None:
    net = Recorder()
    items = torch.arange(21.0).reshape(7, 3)
    np.testing.assert_array_equal(in_equal_batches(net, items, 3)[:, 1], items.numpy().max(axis=1))
    assert net.shapes == [(3, 3)] * 3
