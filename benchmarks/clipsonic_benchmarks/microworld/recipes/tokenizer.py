"""Byte-pair merges in which every word of the micro-world's captions is one token.

Written in the format of open_clip's `SimpleTokenizer` (CLIP's own), so the small CLIP needs no tokenizer of its own
kind: words it has never seen fall apart into letters, as in any byte-pair encoding.
"""

from __future__ import annotations

import gzip
import os
from collections import Counter
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path

Pair = tuple[str, str]


def learn_merges(words: Iterable[str]) -> list[Pair]:
    """Merge the most frequent pair, ties by spelling, until each word is one symbol (Sennrich et al. 2016, alg. 1)."""
    spelled = [[*word[:-1], word[-1] + "</w>"] for word in sorted(set(words))]
    merges: list[Pair] = []
    while any(len(symbols) > 1 for symbols in spelled):
        pairs = Counter(pair for symbols in spelled for pair in pairwise(symbols))
        best = min(pairs, key=lambda pair: (-pairs[pair], pair))
        merges.append(best)
        spelled = [_merge(symbols, best) for symbols in spelled]
    return merges


def _merge(symbols: list[str], pair: Pair) -> list[str]:
    merged: list[str] = []
    for symbol in symbols:
        if merged and (merged[-1], symbol) == pair:
            merged[-1] += symbol
        else:
            merged.append(symbol)
    return merged


def write_merges(path: Path, merges: list[Pair]) -> None:
    """Write the gzipped merge list, header line first; the same merges give the same bytes."""
    text = "\n".join(["#version: 0.2", *(" ".join(pair) for pair in merges)])
    partial = path.with_name(f".{path.name}.part")
    partial.write_bytes(gzip.compress(text.encode(), mtime=0))
    os.replace(partial, path)


def vocabulary_size(merges: list[Pair]) -> int:
    """256 bytes, each also as the end of a word, the merges, start and end of text."""
    return 2 * 256 + len(merges) + 2
