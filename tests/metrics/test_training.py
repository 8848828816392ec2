"""The torchmetrics classes: what torchmetrics asks of a metric, and the digits of the functions."""

from __future__ import annotations

import importlib
import pickle
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torchmetrics import Metric, MetricCollection
from torchmetrics.utilities.checks import check_forward_full_state_property

from clipsonic_metrics import EmbeddingStats, MetricsError, clap_score, clip_score, fad, kad
from clipsonic_metrics.training import CLAPScore, CLIPScore, FrechetAudioDistance, KernelAudioDistance

DIM = 6
REFERENCE = np.random.default_rng(0).normal(size=(80, DIM))


def tensor(*shape: int, seed: int) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).normal(size=shape) + 0.3)


def new(kind: str) -> Metric:
    return {
        "fad": lambda: FrechetAudioDistance(REFERENCE),
        "kad": lambda: KernelAudioDistance(REFERENCE, seed=3),
        "clap": CLAPScore,
        "clip": CLIPScore,
    }[kind]()


def batches(kind: str, sizes: tuple[int, ...] = (7, 5, 12)) -> list[tuple[torch.Tensor, ...]]:
    one = [tensor(size, DIM, seed=seed) for seed, size in enumerate(sizes, 1)]
    if kind in ("fad", "kad"):
        return [(each,) for each in one]
    return [(each, tensor(len(each), DIM, seed=100 + seed)) for seed, each in enumerate(one)]


def by_function(kind: str, given: list[tuple[torch.Tensor, ...]]) -> float:
    whole = [torch.cat(parts).numpy() for parts in zip(*given, strict=True)]
    if kind == "fad":
        return fad(REFERENCE, *whole).value
    if kind == "kad":
        return kad(REFERENCE, *whole, seed=3).value
    return (clap_score if kind == "clap" else clip_score)(*whole).value


KINDS = ["fad", "kad", "clap", "clip"]


@pytest.mark.parametrize("kind", KINDS)
def test_batches_give_the_digits_of_the_function(kind: str) -> None:
    metric = new(kind)
    for batch in batches(kind):
        metric.update(*batch)
    value = metric.compute()
    assert value.dtype == torch.float64 and value.ndim == 0
    assert float(value) == pytest.approx(by_function(kind, batches(kind)), rel=1e-12)
    assert metric.compute() is value  # torchmetrics' cache


@pytest.mark.parametrize("kind", KINDS)
def test_forward_gives_the_batch_and_reset_forgets(kind: str) -> None:
    metric = new(kind)
    for batch in batches(kind):
        assert float(metric(*batch)) == pytest.approx(by_function(kind, [batch]), rel=1e-11)
    assert float(metric.compute()) == pytest.approx(by_function(kind, batches(kind)), rel=1e-12)
    metric.reset()
    metric.update(*batches(kind)[0])
    assert float(metric.compute()) == pytest.approx(by_function(kind, batches(kind)[:1]), rel=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_pickled_cloned_and_moved_it_goes_on_counting(kind: str) -> None:
    first, *others = batches(kind)
    metric = new(kind)
    metric.update(*first)
    for copy in (pickle.loads(pickle.dumps(metric)), metric.clone(), new(kind).to("cpu"), metric.half().float()):
        if copy.update_count == 0:
            copy.update(*first)
        for batch in others:
            copy.update(*batch)
        assert float(copy.compute()) == pytest.approx(by_function(kind, batches(kind)), rel=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_state_dict_brings_a_metric_back(kind: str) -> None:
    metric = new(kind)
    assert metric.state_dict() == {}
    metric.persistent(True)
    for batch in batches(kind):
        metric.update(*batch)
    restored = new(kind)
    restored.persistent(True)
    restored.load_state_dict(metric.state_dict())
    restored._update_count = metric.update_count
    assert float(restored.compute()) == float(metric.compute())


@pytest.mark.parametrize("kind", KINDS)
def test_merged_states_are_one(kind: str) -> None:
    left, right = new(kind), new(kind)
    left.update(*batches(kind)[0])
    for batch in batches(kind)[1:]:
        right.update(*batch)
    left.merge_state(right)
    assert float(left.compute()) == pytest.approx(by_function(kind, batches(kind)), rel=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_partial_state_update_is_right_by_torchmetrics_own_check(kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    start: dict[str, Any] = {"fad": {"reference": REFERENCE}, "kad": {"reference": REFERENCE}}.get(kind, {})
    names = {"fad": ["embeddings"], "kad": ["embeddings"], "clap": ["audio", "text"], "clip": ["audio", "image"]}[kind]
    given = dict(zip(names, batches(kind)[0], strict=True))
    check_forward_full_state_property(type(new(kind)), start, given, num_update_to_compare=[3, 4], reps=2)
    assert "Partial state for 4 steps took" in capsys.readouterr().out  # it stops before timing where results differ
    assert new(kind).full_state_update is False and new(kind).is_differentiable is False
    assert new(kind).higher_is_better == (kind in ("clap", "clip"))
    with pytest.raises(RuntimeError, match="Can't change const"):
        new(kind).higher_is_better = True


def test_a_collection_shares_its_updates_and_gradients_stop() -> None:
    both = MetricCollection({"fad": FrechetAudioDistance(REFERENCE), "kad": KernelAudioDistance(REFERENCE)})
    batch = tensor(20, DIM, seed=1).requires_grad_()
    both.update(batch)
    found = both.compute()
    assert set(found) == {"fad", "kad"} and not found["fad"].requires_grad
    assert float(found["kad"]) == pytest.approx(kad(REFERENCE, batch.detach().numpy(), seed=0).value, rel=1e-12)


def test_frames_of_items_and_low_precision_are_taken_as_they_are() -> None:
    frames = tensor(9, 4, DIM, seed=5)
    pooled, kernel, clip = FrechetAudioDistance(EmbeddingStats.of(REFERENCE, "vggish@1")), new("kad"), CLIPScore()
    pooled.update(frames.to(torch.bfloat16))
    kernel.update(frames)
    clip.update(frames, tensor(9, 3, DIM, seed=6))
    rounded = frames.to(torch.bfloat16).double().numpy()
    assert float(pooled.compute()) == pytest.approx(fad(REFERENCE, rounded).value, rel=1e-12)
    assert float(kernel.compute()) == pytest.approx(kad(REFERENCE, frames.numpy(), seed=3).value, rel=1e-12)
    assert float(clip.compute()) == pytest.approx(clip_score(frames.numpy(), tensor(9, 3, DIM, seed=6).numpy()).value)


def test_raw_sums_still_lose_the_digits_that_the_merged_moments_keep() -> None:
    offset, parts = 1e4, [tensor(40, DIM, seed=seed).numpy() + 1e4 for seed in range(3)]
    metric = FrechetAudioDistance(REFERENCE + offset)
    for part in parts:
        metric.update(torch.from_numpy(part))
    whole = np.concatenate(parts)
    expected = fad(REFERENCE, whole - offset).value
    assert float(metric.compute()) == pytest.approx(expected, rel=1e-9)
    single = whole.astype(np.float32)
    raw = (single.T @ single - np.outer(single.sum(0), single.mean(0))) / (len(whole) - 1)
    assert np.abs(raw - np.cov(whole, rowvar=False)).max() > 0.1  # or this test proves nothing


def test_few_frames_of_many_dimensions_keep_their_digits() -> None:
    reference, rows = np.random.default_rng(1).normal(size=(30, 64)), np.random.default_rng(2).normal(size=(200, 64))
    metric = FrechetAudioDistance(reference)
    for stop in (3, 10, 40, 100, 200):
        metric.reset()
        for row in range(0, stop, 5):
            metric.update(torch.from_numpy(rows[row : min(row + 5, stop)]))
        assert float(metric.compute()) == pytest.approx(fad(reference, rows[:stop]).value, rel=1e-12)
    metric.reset()
    metric.update(torch.from_numpy(reference))
    assert float(metric.compute()) < 1e-12 * np.trace(np.cov(reference, rowvar=False))


DISTRIBUTED = """
    import sys, warnings
    import numpy as np, torch, torch.distributed as dist
    from pathlib import Path
    warnings.simplefilter("ignore")
    sys.path.insert(0, sys.argv[1])
    from test_training import KINDS, batches, new

    rank, world = int(sys.argv[3]), 2
    dist.init_process_group("gloo", init_method=f"file://{sys.argv[2]}/meet", rank=rank, world_size=world)
    found = []
    for kind in KINDS:
        for share in (lambda number: number % 2 == rank, lambda number: rank == 0):  # then a process without sounds
            metric = new(kind)
            for number, batch in enumerate(batches(kind)):
                if share(number):
                    metric.update(*batch)
            found.append(float(metric.compute()))
            if metric.update_count:
                before = float(metric.compute())
                metric.update(*batches(kind)[0])  # the state is its own again after compute
                metric.reset()
            dist.barrier()
    Path(sys.argv[2], f"{rank}.txt").write_text(" ".join(repr(value) for value in found))
    dist.destroy_process_group()
"""


def test_two_processes_give_the_digits_of_one(tmp_path: Path) -> None:
    command = [sys.executable, "-c", textwrap.dedent(DISTRIBUTED), str(Path(__file__).parent), str(tmp_path)]
    started = [subprocess.Popen([*command, str(rank)], stderr=subprocess.PIPE, text=True) for rank in (0, 1)]
    for process in started:
        _, errors = process.communicate(timeout=300)
        assert process.returncode == 0, errors
    ranks = [np.array((tmp_path / f"{rank}.txt").read_text().split(), dtype=float) for rank in (0, 1)]
    np.testing.assert_array_equal(ranks[0], ranks[1])
    expected = np.repeat([by_function(kind, batches(kind)) for kind in KINDS], 2)
    np.testing.assert_allclose(ranks[0], expected, rtol=1e-12)


def test_what_cannot_be_computed_is_refused() -> None:
    with pytest.warns(UserWarning, match="before the ``update``"), pytest.raises(MetricsError, match="no embeddings"):
        new("fad").compute()
    with pytest.raises(MetricsError, match="reference has dim 6, generated 7"):
        new("fad").update(tensor(5, 7, seed=0))
    with pytest.raises(MetricsError, match="reference has dim 6, generated 7"):
        new("kad").update(tensor(5, 7, seed=0))
    with pytest.raises(MetricsError, match="1 of 5 rows with NaN"):
        new("kad").update(torch.where(torch.arange(5)[:, None] == 2, torch.nan, tensor(5, DIM, seed=0)))
    one = new("kad")
    one.update(tensor(1, DIM, seed=0))
    with pytest.raises(MetricsError, match="1 items were seen"):
        one.compute()
    with pytest.raises(MetricsError, match="bandwidth is 0"):
        KernelAudioDistance(np.ones((5, 2)))


def test_without_torchmetrics_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "clipsonic_metrics.training")
    monkeypatch.setitem(sys.modules, "torchmetrics", None)
    with pytest.raises(ModuleNotFoundError, match=r"needs torchmetrics.*; type: pip install 'clipsonic\[training\]'"):
        importlib.import_module("clipsonic_metrics.training")
