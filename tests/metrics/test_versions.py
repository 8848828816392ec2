"""Versions stand beside the protocol id, and address the cache."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest

from clipsonic_metrics import store
from clipsonic_metrics.store import EmbeddingStore
from clipsonic_metrics.versions import all_versions, embedding_versions


def test_they_are_those_installed() -> None:
    found = all_versions()
    assert found["torch"] == version("torch") and found["soxr"] == version("soxr") and found["scipy"]
    assert set(embedding_versions()) < set(found)


def test_what_another_torch_embedded_is_not_served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    EmbeddingStore(tmp_path, "x@1").put("ab12", np.ones((1, 2), dtype=np.float32))
    assert EmbeddingStore(tmp_path, "x@1").get("ab12") is not None
    monkeypatch.setattr(store, "embedding_versions", lambda: {**embedding_versions(), "torch": "9"})
    assert EmbeddingStore(tmp_path, "x@1").get("ab12") is None


def test_what_prepares_sounds_and_texts_is_among_them() -> None:
    """Another tokenizer or front end gives other embeddings as well as another network does."""
    from importlib.metadata import PackageNotFoundError

    for name in ("tokenizers", "timm", "torchlibrosa", "librosa", "ftfy", "regex"):
        try:
            expected = version(name)
        except PackageNotFoundError:
            assert name not in embedding_versions()
            continue
        assert embedding_versions()[name] == expected
