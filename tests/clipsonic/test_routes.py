"""`Asker`: conditions of those queries alone that are asked for, in any company; and the model stays as it is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from clipsonic.pipeline import CLIPSonicPipeline
from clipsonic.prior import build_prior
from clipsonic.prior_folder import PriorRecord, clip_digest, save_prior
from clipsonic.queries import Pictures, Queries, Texts
from clipsonic.routes import Asker, PriorChoice

DIM = 8
TEXTS = Texts([*"abcde"], ["the dog", "a bell", "rain on a roof", "the sea", "two drums"])


@pytest.fixture
def pictures(tmp_path: Path) -> Pictures:
    files = []
    for number in range(5):
        colours = np.random.default_rng(number).integers(0, 255, (30, 40, 3)).astype(np.uint8)
        Image.fromarray(colours).save(tmp_path / f"{number}.png")
        files.append((tmp_path / f"{number}.png",))
    files[3] = (*files[3], *files[4])
    return Pictures([*"abcde"], files)


@pytest.fixture
def foreign(tmp_path: Path, complete: CLIPSonicPipeline) -> str:
    """A prior folder of the model's space, with other weights and another way to be sampled."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        prior = build_prior(DIM, heads=2, head_dim=8, layers=1).eval().requires_grad_(False)
    prior.clip_std.fill_(0.4)
    mean = (0.0,) * DIM
    record = PriorRecord(str(complete.what.clip), clip_digest(complete.what), DIM, 9, 3.0, 2, 2, mean, mean, {})
    save_prior(prior, record, tmp_path / "prior")
    return str(tmp_path / "prior")


@pytest.mark.parametrize("route", ["image", "text", "text+shift", "text+prior-pd", "text+prior-sd", "karlo"])
def test_rows_are_those_of_all(
    complete: CLIPSonicPipeline,
    karlo_clip_folder: Path,
    karlo_folder: Path,
    pictures: Pictures,
    route: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Every bit, in any company and order; and nothing is encoded that is not asked for, or twice."""
    queries: Queries = pictures if route == "image" else TEXTS
    settings, prior = complete.what.as_dict(), PriorChoice()
    if route == "karlo":
        settings |= {"clip": str(karlo_clip_folder), "clip_sha256": None}
        route, prior = "text+prior-pd", PriorChoice(str(karlo_folder))
    parts = (complete.unet, complete.scheduler, complete.prior_pd, complete.prior_sd)
    pipeline = CLIPSonicPipeline(*parts, settings=settings)
    for seed in (0, 1):
        whole = [Asker(pipeline, queries, route, prior, 5).conditions([*range(5)], seed) for _ in range(2)]
        assert whole[0] is not None and whole[0].shape == (5, DIM)
        np.testing.assert_array_equal(*whole)
        asker = Asker(pipeline, queries, route, prior, 5)
        for rows in ([3], [4, 0], [2, 1, 3]):
            np.testing.assert_array_equal(asker.conditions(rows, seed), whole[0][rows])
    encoded: list[object] = []
    if prior.prior is None:
        for kind in ("encode_text", "encode_image"):
            method = getattr(pipeline.clip, kind)
            monkeypatch.setattr(
                pipeline.clip, kind, lambda items, method=method: encoded.append(items) or method(items)
            )
        asker = Asker(pipeline, queries, route, prior, 5)
        assert encoded == []
        for seed in (0, 1):
            asker.conditions([1, 3], seed)
        assert len(encoded) == 2


def test_a_text_that_many_share_is_encoded_once(complete: CLIPSonicPipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    """As the labels of a test set."""
    asked: list[str] = []
    real = complete.encode_text
    monkeypatch.setattr(complete, "encode_text", lambda texts: [asked.extend(texts), real(texts)][1])
    asker = Asker(complete, Texts([*"abc"], ["the dog", "a bell", "the dog"]), "text", PriorChoice(), 3)
    found = asker.conditions([0, 1, 2], 0)
    assert found is not None and asked == ["the dog", "a bell"]
    np.testing.assert_array_equal(found[0], found[2])


def test_a_prior_that_is_asked_once_does_not_stay(complete: CLIPSonicPipeline, foreign: str) -> None:
    """Old mistake: the caller's pipeline had it from then on, for later askers and to be saved."""
    own, records = complete.prior_pd, dict(complete.prior_records)
    before = Asker(complete, TEXTS, "text+prior-pd", PriorChoice()).conditions([0], 0)
    asker = Asker(complete, TEXTS, "text+prior-pd", PriorChoice(foreign))
    assert asker.sampling is not None and (asker.sampling.guidance_scale, asker.sampling.steps) == (3.0, 2)
    drawn = asker.conditions([0], 0)
    assert drawn is not None and before is not None and np.abs(drawn - before).max() > 1e-3
    assert complete.prior_pd is own and complete.prior_records == records
    np.testing.assert_array_equal(Asker(complete, TEXTS, "text+prior-pd", PriorChoice()).conditions([0], 0), before)
