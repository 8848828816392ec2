"""Threads of torch and of the reading, and processes, decide no digit of an embedding."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch

from clipsonic_metrics.embedder import over_windows
from clipsonic_metrics.embedders import load_embedder
from clipsonic_metrics.embedders.vggish import LISTENING
from clipsonic_metrics.embedding import embed_folder
from clipsonic_metrics.npz import load_embeddings
from clipsonic_metrics.passes import side_by_side
from clipsonic_metrics.random_weights import write_random_weights

from .acoustic import noises

Maker = Callable[..., Path]
NAMES = ("vggish", "panns-cnn14-16k", pytest.param("passt", marks=pytest.mark.large), "wav2clip")


@pytest.fixture(autouse=True)
def threads_as_before() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("name", NAMES)
def test_workers_and_threads_decide_no_digit(name: str, sound_folder: Maker, tmp_path: Path) -> None:
    if name == "passt" and find_spec("hear21passt") is None:
        pytest.skip("hear21passt is of the extra embedders")
    write_random_weights(name, tmp_path / "w.safetensors", seed=0)
    count = 2 if name == "passt" else 5  # which takes twenty seconds a sound
    folder, embedder = sound_folder("a", n=count), load_embedder(name, tmp_path / "w.safetensors")
    torch.set_num_threads(1)
    expected = embed_folder(folder, embedder, cache=None, workers=1)
    torch.set_num_threads(2)
    found = embed_folder(folder, embedder, cache=None, workers=2)
    assert torch.get_num_threads() == 2
    assert list(found.vectors) == list(expected.vectors)
    for one, other in zip(found.items, expected.items, strict=True):
        np.testing.assert_array_equal(one, other)


def test_passes_of_many_threads_still_have_other_digits(tmp_path: Path) -> None:
    """What is avoided: the same batch of VGGish, split among one and among two threads of torch."""
    write_random_weights("vggish", tmp_path / "w.safetensors", seed=0)
    embedder = load_embedder("vggish", tmp_path / "w.safetensors")
    rows = torch.from_numpy(np.concatenate([LISTENING.windows(each) for each in noises(16_000, 8.0, 9.0, 9.0)]))
    found = []
    for threads in (1, 2):
        torch.set_num_threads(threads)
        with torch.inference_mode():
            found.append(embedder.encode(rows).numpy())
    assert not (found[0] == found[1]).all()
    np.testing.assert_allclose(*found, atol=1e-5 * np.abs(found[0]).max())


def test_passes_are_in_order_one_thread_each_and_an_error_is_raised() -> None:
    torch.set_num_threads(3)
    batches = [torch.tensor([float(index)]) for index in range(20)]
    found = list(side_by_side(lambda batch: (batch.item(), torch.get_num_threads()), batches))
    assert found == [(float(index), 1) for index in range(20)] and torch.get_num_threads() == 3

    def fails(batch: torch.Tensor) -> None:
        if batch.item() == 7:
            raise ValueError("the seventh")

    with pytest.raises(ValueError, match="the seventh"):
        list(side_by_side(fails, batches))
    assert torch.get_num_threads() == 3


def test_long_sounds_are_not_all_held_at_a_time() -> None:
    torch.set_num_threads(4)
    read, done = [], []

    def batches() -> Iterator[torch.Tensor]:
        for index in range(6):
            read.append(index)
            yield torch.zeros(2**24)

    for ahead in side_by_side(lambda batch: done.append(len(batch)) or len(read) - len(done), batches()):  # type: ignore[func-returns-value]
        assert ahead <= 2, "one runs, one waits"


def test_torchrun_embeds_the_digits_of_one_process_with_more_threads(tmp_path: Path, sound_folder: Maker) -> None:
    """torchrun gives each process one thread; a process by itself has one for each core."""
    b = sound_folder("b", n=5, pitch_hz=300, seed=40)
    write_random_weights("vggish", tmp_path / "w.safetensors", seed=0)
    (tmp_path / "program.py").write_text("from clipsonic_metrics.cli import main; main()")
    own = ["--embedder", "vggish", "--weights", str(tmp_path / "w.safetensors"), "--no-cache"]
    run = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    clean = {key: value for key, value in os.environ.items() if key != "OMP_NUM_THREADS"}
    found = []
    for kind, command, threads in (("one", [sys.executable], {"OMP_NUM_THREADS": "2"}), ("two", run, {})):
        done = subprocess.run(
            [*command, str(tmp_path / "program.py"), "embed", str(b), "--out", str(tmp_path / f"{kind}.npz"), *own],
            capture_output=True, text=True, check=False, env=clean | threads,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        found.append(load_embeddings(tmp_path / f"{kind}.npz").items)
    for one, other in zip(*found, strict=True):
        np.testing.assert_array_equal(one, other)


def test_batches_of_texts_and_sounds_take_the_same_way() -> None:
    """A network that says how many threads it has."""
    from clipsonic_metrics.embedder import in_equal_batches

    def encode(rows: torch.Tensor) -> torch.Tensor:
        return torch.full((len(rows), 1), float(torch.get_num_threads()))

    torch.set_num_threads(2)
    assert in_equal_batches(encode, torch.zeros(5, 3), 2).tolist() == [[1.0]] * 5
    assert all((each == 1).all() for each in over_windows(encode, LISTENING, noises(16_000, 1.0, 2.0), 2))
