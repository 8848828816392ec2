"""The small CLIP's tokenizer: each word of the captions is one token under open_clip's own class."""

from __future__ import annotations

from pathlib import Path

import open_clip
import pytest
import torch

from clipsonic_benchmarks.microworld.captions import vocabulary
from clipsonic_benchmarks.microworld.corpus import world_item
from clipsonic_benchmarks.microworld.recipes.clip import CONTEXT, model_config, write_clip_folder
from clipsonic_benchmarks.microworld.recipes.tokenizer import learn_merges, vocabulary_size, write_merges


@pytest.fixture(scope="module")
def merges(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("merges") / "merges.txt.gz"
    write_merges(path, learn_merges(vocabulary()))
    return path


@pytest.fixture(scope="module")
def tokenizer(merges: Path) -> open_clip.SimpleTokenizer:
    return open_clip.SimpleTokenizer(str(merges), context_length=CONTEXT)


def test_every_word_is_one_token_of_its_own(tokenizer: open_clip.SimpleTokenizer) -> None:
    tokens = [tokenizer.encode(word) for word in vocabulary()]
    assert all(len(each) == 1 for each in tokens)
    assert len({each[0] for each in tokens}) == len(vocabulary())


def test_an_unknown_word_falls_apart(tokenizer: open_clip.SimpleTokenizer) -> None:
    assert len(tokenizer.encode("zyzzyva")) > 1
    assert tokenizer.decode(tokenizer.encode("zyzzyva")).strip() == "zyzzyva"


def test_the_size_of_the_vocabulary_is_known(tokenizer: open_clip.SimpleTokenizer) -> None:
    assert vocabulary_size(learn_merges(vocabulary())) == tokenizer.vocab_size == tokenizer.eot_token_id + 1


def test_captions_fit_and_come_back(tokenizer: open_clip.SimpleTokenizer) -> None:
    for index in range(200):
        caption = world_item(0, "captioned", index).caption
        tokens = tokenizer([caption])[0]
        assert tokens.shape == (CONTEXT,)
        assert tokens.argmax() == len(caption.split()) + 1  # start, one for each word, end
        assert tokenizer.decode(tokenizer.encode(caption)).split() == caption.split()


def test_the_same_words_give_the_same_bytes(tmp_path: Path, merges: Path) -> None:
    write_merges(tmp_path / "again.gz", learn_merges(reversed(vocabulary())))
    assert (tmp_path / "again.gz").read_bytes() == merges.read_bytes()


def test_a_clip_folder_reads_back_with_its_tokenizer(tmp_path: Path, merges: Path) -> None:
    """What the recipe writes is what `clipsonic` reads, weights rounded to half precision."""
    from clipsonic.clip import FrozenClip

    config = model_config(16, vocabulary_size(learn_merges(vocabulary())))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = open_clip.CLIP(**config).eval()
    write_clip_folder(tmp_path / "clip", model, config, merges)
    clip = FrozenClip(str(tmp_path / "clip"))
    assert clip.encode_text(["two large wooden drums in a hall"]).shape == (1, 16)
    expected = model.text_projection.detach().half().float()
    assert torch.equal(clip.model.text_projection, expected)
