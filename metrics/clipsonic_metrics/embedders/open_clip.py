"""`open-clip-vit-b-32`, `open-clip-vit-l-14` and `open-clip`: images and texts by CLIP, in open_clip's own classes.

The first two are OpenAI's networks, which were trained with QuickGELU (x sigmoid(1.702 x)): open_clip builds "ViT-B-32"
with the exact GELU unless it is told otherwise, and OpenAI's weights then load without a word and embed another way.
Weights of other makers are given to `open-clip` as a folder in open_clip's layout, whose open_clip_config.json says
which network it is, and how images are prepared.

Images are scaled to the network's size on the shorter side (bicubic, antialiased), cut in the middle, and standardised:
nothing is random. Nothing is fetched; the tokenizer is in the open_clip package.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from clipsonic_metrics.embedder import Encode, Picture, Vectors, in_equal_batches, no_vectors
from clipsonic_metrics.embedders.files import digest, joint_digest, kept_random_state, load_state, read_state
from clipsonic_metrics.embedders.sanity import check_texts, check_vocabulary
from clipsonic_metrics.errors import MetricsError
from clipsonic_metrics.listening import Listening
from clipsonic_metrics.sources import find_weights, is_published

if TYPE_CHECKING:
    from torch import Tensor, nn

VERSION: Final = 1
_ROWS: Final = 16
_COMPUTED: Final = ("attn_mask", "text.attn_mask", "visual.attnpool.attn_mask")
_OF_OLD_FILES: Final = ("input_resolution", "context_length", "vocab_size")


@dataclass(frozen=True)
class ImageTextNetwork:
    """What is built of a CLIP: `prepare` makes a tensor of a picture, `tokens` makes tensors of texts; both encoders
    give unit vectors (rows, dim)."""

    dim: int
    prepare: Callable[[Picture], Tensor]
    tokens: Callable[[Sequence[str]], Tensor]
    encode_images: Encode
    encode_texts: Encode


@dataclass(frozen=True, kw_only=True)
class ImageTextEmbedder:
    """A CLIP; `network` is built once, when it must embed. `given_as` is the name that its weights were given under,
    and `is_published` says whether they are known to be the published ones of that name (spaces.py)."""

    protocol: str
    space: str
    network: Callable[[], ImageTextNetwork]
    given_as: str
    is_published: bool

    @property
    def dim(self) -> int:
        return self.network().dim

    def embed_images(self, images: Sequence[Picture]) -> Vectors:
        """Unit vectors, (images, dim), of RGB pictures (height, width, 3)."""
        import torch

        if not images:
            return no_vectors(self.dim)
        network = self.network()
        return in_equal_batches(network.encode_images, torch.stack([network.prepare(each) for each in images]), _ROWS)

    def embed_texts(self, texts: Sequence[str]) -> Vectors:
        """Unit vectors, (texts, dim); texts beyond the context are cut, as CLIP does."""
        if not texts:
            return no_vectors(self.dim)
        network = self.network()
        return in_equal_batches(network.encode_texts, network.tokens(list(texts)), _ROWS)

    def build(self) -> None:
        """Read the weights and build the network, once; embedding does so when it must.

        Raises:
            MetricsError: weights that do not fit or have collapsed, or a tokenizer of another network.
        """
        self.network()


def load_vit_b_32(weights: Path | None, listening: Listening | None = None) -> ImageTextEmbedder:
    """`open-clip-vit-b-32`: OpenAI's ViT-B/32, which Wav2CLIP and the CLIP score go with."""
    return _openai("ViT-B-32", weights, listening)


def load_vit_l_14(weights: Path | None, listening: Listening | None = None) -> ImageTextEmbedder:
    """`open-clip-vit-l-14`: OpenAI's ViT-L/14."""
    return _openai("ViT-L-14", weights, listening)


def load_folder(weights: Path | None, listening: Listening | None = None) -> ImageTextEmbedder:
    """`open-clip`: any CLIP, from a folder with open_clip_config.json and open_clip_model.safetensors.

    Raises:
        MetricsError: no folder is given, or it is not such a folder.
    """
    if weights is None:
        raise MetricsError("open-clip has no weights of its own; give a folder in open_clip's layout by --weights")
    _config(weights / "open_clip_config.json")
    path = weights / "open_clip_model.safetensors"
    sha256 = joint_digest([path, weights / "open_clip_config.json"])
    return _embedder("open-clip", False, listening, sha256, lambda: _folders_network(weights, path))


def _folders_network(folder: Path, path: Path) -> ImageTextNetwork:
    import open_clip

    config, prepared = _config(folder / "open_clip_config.json")
    state = read_state(path)
    built = open_clip.CustomTextCLIP if "text.positional_embedding" in state else open_clip.CLIP
    try:
        with kept_random_state():
            network = built(**config)
    except (TypeError, KeyError, ValueError) as error:
        raise MetricsError(f"{folder / 'open_clip_config.json'} is not a CLIP that open_clip has ({error})") from error
    return _checked("open-clip", network, state, path, prepared)


def _openai(architecture: str, weights: Path | None, listening: Listening | None) -> ImageTextEmbedder:
    name = f"open-clip-{architecture.lower()}"
    path = find_weights(name, weights)
    published = is_published(name, weights)
    return _embedder(name, published, listening, digest(path), lambda: _openais_network(name, architecture, path))


def _openais_network(name: str, architecture: str, path: Path) -> ImageTextNetwork:
    import open_clip

    with kept_random_state():
        network = open_clip.CLIP(**open_clip.get_model_config(architecture) | {"quick_gelu": True})
    size = network.visual.image_size
    prepared = {"size": size, "mean": open_clip.OPENAI_DATASET_MEAN, "std": open_clip.OPENAI_DATASET_STD}
    return _checked(name, network, read_state(path), path, prepared)


def _embedder(
    name: str, published: bool, listening: Listening | None, sha256: str, build: Callable[[], ImageTextNetwork]
) -> ImageTextEmbedder:
    if listening is not None:
        raise MetricsError(f"{name} hears no sounds: it cannot be asked to listen by {listening.describe()}")
    return ImageTextEmbedder(
        protocol=f"{name}@{VERSION}/open_clip-preprocess/sha256:{sha256[:12]}",
        space=f"{name}/sha256:{sha256[:12]}",
        network=cache(build),
        given_as=name,
        is_published=published,
    )


def _checked(
    name: str, network: nn.Module, state: dict[str, Tensor], path: Path, prepared: dict[str, Any]
) -> ImageTextNetwork:
    """The network with that state, which can tell captions apart."""
    import open_clip
    from open_clip.transform import PreprocessCfg, image_transform_v2
    from PIL import Image

    of_network = {key: part for key, part in state.items() if key not in _OF_OLD_FILES}
    load_state(network, of_network, path, left_out=_COMPUTED)
    clip: Any = network
    tokenizer = open_clip.SimpleTokenizer(context_length=clip.context_length)
    check_vocabulary(tokenizer.vocab_size, clip.vocab_size, name)
    prepare = image_transform_v2(PreprocessCfg(**prepared), is_train=False)
    made = ImageTextNetwork(
        dim=clip.text_projection.shape[1],
        prepare=lambda picture: prepare(Image.fromarray(picture)),
        tokens=tokenizer,
        encode_images=lambda rows: clip.encode_image(rows, normalize=True),
        encode_texts=lambda rows: clip.encode_text(rows, normalize=True),
    )
    check_texts(lambda texts: in_equal_batches(made.encode_texts, tokenizer(list(texts)), _ROWS), f"{name} ({path})")
    return made


def _config(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """The network and the preparation of images that open_clip_config.json names."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return found["model_cfg"], found["preprocess_cfg"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise MetricsError(f"{path} is not open_clip's configuration ({error!r}); give a folder with one") from error
