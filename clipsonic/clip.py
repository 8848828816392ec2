"""The frozen CLIP that turns frames and texts into conditions, behind one small class over open_clip.

`name` is `micro` (the small CLIP that ships with this package), a folder in open_clip's own layout, or
`ARCHITECTURE/TAG` of open_clip, for example `ViT-L-14/openai`. Embeddings are float32 unit vectors, (items, dim).
"""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

if TYPE_CHECKING:
    from PIL.Image import Image

Pictures = Sequence["Image"] | NDArray[np.uint8]

MICRO_FOLDER = Path(__file__).parent / "weights" / "clip"


class FrozenClip:
    """A CLIP in evaluation mode. What batch an item is in changes its embedding by rounding alone (1e-7)."""

    def __init__(self, name: str, device: str = "cpu", batch_size: int = 64) -> None:
        """Load a CLIP by name.

        Args:
            batch_size: how many pictures or texts are encoded together.

        Raises:
            ValueError: if nothing of that name can be loaded here.
        """
        self.name = name
        self.device = device
        self._batch = batch_size
        folder = MICRO_FOLDER if name == "micro" else Path(name)
        with torch.random.fork_rng(devices=[]):  # open_clip draws weights before it reads them
            found = _from_folder(folder) if (folder / "open_clip_config.json").is_file() else _from_open_clip(name)
        self.model, self._preprocess, self._tokenize = found
        words, rows = (getattr(part, "vocab_size", None) for part in (self._tokenize, self.model))
        if (
            None not in (words, rows) and words != rows
        ):  # a wrong vocabulary gives embeddings of other words, without an error
            raise ValueError(
                f"CLIP {name!r}: its tokenizer knows {words} tokens, its text tower {rows}; use matching files"
            )
        self.model.eval().requires_grad_(False).to(device)

    @cached_property
    def dim(self) -> int:
        """Dimension of the embeddings."""
        with torch.no_grad():
            return int(self.model.encode_text(self._tokenize([""]).to(self.device)).shape[1])

    @cached_property
    def digest(self) -> str:
        """SHA-256 over the weights, in name order, and the activation: CLIPs of one digest give the same conditions."""
        from open_clip.transformer import QuickGELU

        total = hashlib.sha256()
        if any(isinstance(module, QuickGELU) for module in self.model.modules()):
            total.update(b"QuickGELU")
        for key, value in sorted(self.model.state_dict().items()):
            total.update(key.encode())
            total.update(value.detach().cpu().float().contiguous().numpy().tobytes())
        return total.hexdigest()

    def expect(self, what: str, dim: int, digest: str | None = None) -> None:
        """Make sure that vectors made elsewhere are of this CLIP's space.

        Args:
            what: whose vectors they are, for the message.
            digest: SHA-256 of the CLIP that made them, None where it is not known.

        Raises:
            ValueError: another dimension or digest.
        """
        if dim != self.dim:
            raise ValueError(f"{what} has {dim} dimensions, CLIP {self.name} has {self.dim}: it is of another space")
        if digest is not None and digest != self.digest:
            raise ValueError(
                f"{what} was made with a CLIP of sha256 {digest[:12]}, CLIP {self.name} has {self.digest[:12]}: "
                "it is of another space"
            )

    @torch.no_grad()
    def encode_image(self, pictures: Pictures) -> NDArray[np.float32]:
        """Embed pictures: PIL images, or a uint8 array (items, height, width, 3)."""
        from PIL import Image

        found = []
        for start in range(0, len(pictures), self._batch):
            part = pictures[start : start + self._batch]
            batch = [p if isinstance(p, Image.Image) else Image.fromarray(p) for p in part]
            ready = torch.stack([self._preprocess(p) for p in batch]).to(self.device)
            found.append(self.model.encode_image(ready, normalize=True))
        return np.asarray(torch.cat(found).float().cpu().numpy())

    @torch.no_grad()
    def encode_text(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Embed texts; of those that `cut_texts` names, the beginning."""
        found = [
            self.model.encode_text(
                self._tokenize(list(texts[start : start + self._batch])).to(self.device), normalize=True
            )
            for start in range(0, len(texts), self._batch)
        ]
        return np.asarray(torch.cat(found).float().cpu().numpy())

    def cut_texts(self, texts: Sequence[str]) -> list[int]:
        """Which texts are longer than CLIP's context, so that it reads their beginning alone; by place, in order.

        A text that is cut fills more of a longer context, compared with a text of no words (tokenizers differ in what
        they fill up with).
        """
        found = []
        for start in range(0, len(texts), self._batch):
            part = ["", *texts[start : start + self._batch]]
            read = self._tokenize(part)
            more = self._tokenize(part, context_length=read.shape[1] + 2)
            filled, would_fill = ((tokens[1:] != tokens[:1]).sum(1) for tokens in (read, more))
            found += [start + row for row in torch.nonzero(would_fill > filled)[:, 0].tolist()]
        return found


def _from_folder(folder: Path) -> tuple[Any, Any, Any]:
    """Model, preprocessing and tokenizer of a folder in open_clip's layout; its own merges, if there are any."""
    import open_clip

    merges = folder / "merges.txt.gz"
    try:
        model, _, preprocess = open_clip.create_model_and_transforms(f"local-dir:{folder}")
    except (RuntimeError, KeyError, TypeError) as error:
        raise ValueError(f"{folder} holds no CLIP that open_clip can read: {error}") from error
    if merges.is_file():
        return model, preprocess, open_clip.SimpleTokenizer(str(merges), context_length=model.context_length)
    return model, preprocess, open_clip.get_tokenizer(f"local-dir:{folder}", context_length=model.context_length)


def _from_open_clip(name: str) -> tuple[Any, Any, Any]:
    import open_clip

    architecture, _, tag = name.partition("/")
    if architecture not in open_clip.list_models():
        near = difflib.get_close_matches(architecture, open_clip.list_models(), 1)
        raise ValueError(
            f"CLIP {name!r} is not known: give micro, a folder with open_clip_config.json, or ARCHITECTURE/TAG of "
            f"open_clip, for example {near[0] + '/TAG' if near else 'ViT-L-14/openai'}"
        )
    tags = open_clip.list_pretrained_tags_by_model(architecture)
    if tag not in tags:  # without one open_clip would hand out random weights
        raise ValueError(f"CLIP {architecture} has no weights {tag!r}; give {architecture}/TAG, of {', '.join(tags)}")
    quick = open_clip.get_pretrained_cfg(architecture, tag).get("quick_gelu", False)
    try:  # OpenAI's weights were trained with QuickGELU; without it they load, and embed another way
        model, _, preprocess = open_clip.create_model_and_transforms(
            architecture, pretrained=tag, force_quick_gelu=quick
        )
    except (RuntimeError, OSError) as error:
        raise ValueError(
            f"weights of CLIP {name!r} are not on this machine; type: clipsonic weights fetch {name}"
        ) from error
    return model, preprocess, open_clip.get_tokenizer(architecture)
