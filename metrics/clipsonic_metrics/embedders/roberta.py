"""RoBERTa's tokenizer, which LAION's CLAP reads texts with, from files of this machine only.

transformers gives a tokenizer without words, and no error, where it finds no files; here files are looked for by name,
beside the weights and then in the hub cache, and the number of tokens is checked.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from clipsonic_metrics.embedders.sanity import check_vocabulary
from clipsonic_metrics.errors import MetricsError
from clipsonic_metrics.sources import in_hub_cache

if TYPE_CHECKING:
    from torch import Tensor

FILES: Final = ("vocab.json", "merges.txt")
REPOSITORIES: Final = ("FacebookAI/roberta-base", "roberta-base", "laion/clap-htsat-unfused", "laion/clap-htsat-fused")
CONTEXT: Final = 77


class RobertaTexts:
    """Texts to the tokens of a RoBERTa that has `rows` of them: at most 77 per text, as CLAP was trained.

    Every text is filled up to 77, whatever it is read with, so that its embedding does not depend on others.
    """

    def __init__(self, beside: Path, rows: int) -> None:
        """Read vocab.json and merges.txt from the folder `beside`, or else from the hub cache.

        Raises:
            MetricsError: they are in neither, cannot be read, or have another number of tokens.
        """
        from transformers import RobertaTokenizer

        paths = tokenizer_files(beside)
        try:
            self._tokenizer: Any = RobertaTokenizer(vocab=str(paths[0]), merges=str(paths[1]))
        except Exception as error:  # the Rust library raises plain Exception
            raise MetricsError(f"{paths[0]} and {paths[1].name} cannot be read as a tokenizer ({error})") from error
        check_vocabulary(len(self._tokenizer), rows, str(paths[0].parent))

    def __call__(self, texts: Sequence[str]) -> Tensor:
        """Tokens and, where they are the text's own, ones: (texts, 2, 77)."""
        import torch

        options = {"padding": "max_length", "truncation": True, "max_length": CONTEXT, "return_tensors": "pt"}
        found = self._tokenizer(list(texts), **options)
        return torch.stack([found["input_ids"], found["attention_mask"]], dim=1)


def tokenizer_files(beside: Path) -> tuple[Path, Path]:
    """vocab.json and merges.txt in the folder `beside`, or else in the hub cache.

    Raises:
        MetricsError: they are in neither.
    """
    folders = [beside, *(folder for each in REPOSITORIES if (folder := in_hub_cache(each, FILES[0])) is not None)]
    for folder in folders:
        vocabulary, merges = (folder / name for name in FILES)
        if vocabulary.is_file() and merges.is_file():
            return vocabulary, merges
    where = f"neither in {beside} nor in the hub cache ({', '.join(REPOSITORIES[:2])})"
    raise MetricsError(f"RoBERTa's {' and '.join(FILES)} are {where}; put them beside the weights")
