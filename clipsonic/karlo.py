"""Karlo: a pretrained diffusion prior for the route `text+prior-pd` (Karlo v1.0.alpha, Lee et al. 2022, 1 B weights).

A folder or hub repository in diffusers' layout: `prior/` (PriorTransformer), `prior_scheduler/` (UnCLIPScheduler),
`text_encoder/` and `tokenizer/` (CLIP ViT-L/14). The loop is that of diffusers' UnCLIPPipeline, step for step: raw CLIP
text vectors and token states in, the empty text as the unconditional branch, the predicted clean vector clamped as the
scheduler's configuration says, noise added at every step. The result is denormalised by the prior's own mean and
deviation, and then brought to unit length, because CLIPSonic is trained on unit vectors and Karlo on raw ones.

Weights are never fetched here: `clipsonic weights fetch karlo` does that.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final

import numpy as np
import torch
from diffusers import PriorTransformer, UnCLIPScheduler
from numpy.typing import NDArray
from torch import Tensor

from clipsonic.noise import addressed_generators
from clipsonic.prior import nearest_to_text
from clipsonic.prior_preset import PriorSampling

if TYPE_CHECKING:
    from transformers import CLIPTextModelWithProjection, CLIPTokenizer

    from clipsonic.clip import FrozenClip

NAME: Final = "karlo"
"""What `clipsonic weights fetch` knows it by."""
PARTS: Final = ("prior", "prior_scheduler", "text_encoder", "tokenizer")
GUIDANCE_SCALE: Final = 4.0
STEPS: Final = 25
_SAME_SPACE: Final = 0.99
"""Least cosine of two encoders of one text. One set of weights agrees to 0.9999 even in half precision; two sets of one
architecture do not come near."""
_PROBES: Final = ("a photo of a dog", "a photo of someone playing the acoustic guitar", "rain on a tin roof")


class KarloSampling(PriorSampling):
    """How Karlo is sampled: ancestral sampling takes as many steps as there are noise levels."""

    most_steps: ClassVar[int] = 1000


@dataclass(frozen=True)
class Karlo:
    """A pretrained prior with its own text encoder. `name` is what it was loaded by."""

    prior: PriorTransformer
    scheduler: UnCLIPScheduler
    text_encoder: CLIPTextModelWithProjection
    tokenizer: CLIPTokenizer
    name: str

    @property
    def dim(self) -> int:
        """Dimension of the image vectors it draws."""
        return int(self.prior.config.embedding_dim)

    @torch.no_grad()
    def encode_text(self, texts: Sequence[str]) -> tuple[Tensor, Tensor, Tensor]:
        """Raw projected vectors (items, dim), token states (items, length, width), and which tokens are text."""
        found = self.tokenizer(
            list(texts),
            padding="max_length",
            max_length=self.tokenizer.model_max_length,
            truncation=True,
            return_tensors="pt",
        )
        told = self.text_encoder(found.input_ids.to(self.prior.device))
        return told.text_embeds, told.last_hidden_state, found.attention_mask.bool().to(self.prior.device)

    @torch.no_grad()
    def image_embeddings(
        self,
        texts: Sequence[str],
        ids: Sequence[str],
        *,
        seed: int,
        guidance_scale: float = GUIDANCE_SCALE,
        steps: int = STEPS,
        samples: int = 1,
        batch_size: int = 16,
        progress: Callable[[int], None] | None = None,
    ) -> NDArray[np.float32]:
        """Draw one image embedding for each text.

        Args:
            ids: addresses of the noise, one per text.
            samples: how many are drawn for each, of which the one nearest to the text is kept (DALL-E 2 draws 2).
            progress: called with the number of texts finished after each batch.

        Returns:
            Unit vectors, (texts, dim), float32.

        Raises:
            ValueError: fewer than 2 steps (the schedule of UnCLIPScheduler needs two ends), more than there are noise
                levels, fewer than 1 sample, a guidance scale that is not finite, or vectors that are not.
        """
        if not math.isfinite(guidance_scale):
            raise ValueError(f"guidance scale {guidance_scale} of a prior: expected a finite number")
        most = self.scheduler.config.num_train_timesteps
        if not 2 <= steps <= most or samples < 1:
            raise ValueError(
                f"Karlo takes 2 to {most} steps and at least 1 sample; got {steps} steps and {samples} samples"
            )
        found = []
        for start in range(0, len(texts), batch_size):
            part = slice(start, start + batch_size)
            encoded = self.encode_text(texts[part])
            drawn = [self._draw(encoded, ids[part], seed, number, guidance_scale, steps) for number in range(samples)]
            found.append(nearest_to_text(torch.stack(drawn), encoded[0]).cpu())
            if not bool(torch.isfinite(found[-1]).all()):
                raise ValueError(f"Karlo's vectors are not finite for some of {', '.join(ids[part])}")
            if progress is not None:
                progress(len(found[-1]))
        return np.asarray(torch.cat(found).numpy())

    def _draw(
        self,
        encoded: tuple[Tensor, Tensor, Tensor],
        ids: Sequence[str],
        seed: int,
        number: int,
        guidance_scale: float,
        steps: int,
    ) -> Tensor:
        """One unit vector for each text; draw `number` has noise of its own, at the start and at every step."""
        empty = self.encode_text([""] * len(ids))
        vectors, states, mask = (torch.cat(pair) for pair in zip(empty, encoded, strict=True))
        scheduler: Any = type(self.scheduler).from_config(self.scheduler.config)
        scheduler.set_timesteps(steps)
        generators = addressed_generators(seed, ids, f"karlo {number}")
        start = torch.stack([torch.randn(self.dim, generator=each) for each in generators])
        sample = start.to(self.prior.device) * scheduler.init_noise_sigma
        there = scheduler.timesteps.to(sample.device)  # once: a copy in every step would make the host wait for a GPU
        for timestep, seen, following in zip(scheduler.timesteps, there, [*scheduler.timesteps[1:], None], strict=True):
            free, told = self.prior(
                torch.cat([sample, sample]), seen, vectors, states, mask
            ).predicted_image_embedding.chunk(2)
            guess = free + guidance_scale * (told - free)
            sample = scheduler.step(guess, timestep, sample, prev_timestep=following, generator=generators).prev_sample
        return torch.nn.functional.normalize(self.prior.post_process_latents(sample), dim=-1)

    def check_space(self, clip: FrozenClip) -> None:
        """Make sure that this prior lives in the space of a CLIP: the same texts must have the same vectors.

        Raises:
            ValueError: another dimension, or vectors that differ.
        """
        if self.dim != clip.dim:
            raise ValueError(
                f"prior {self.name} draws vectors of {self.dim} dimensions, CLIP {clip.name} has {clip.dim}: "
                "it is of another space; train one with clipsonic train-prior"
            )
        own = torch.nn.functional.normalize(self.encode_text(_PROBES)[0], dim=-1).cpu().numpy()
        agreement = float((own * clip.encode_text(_PROBES)).sum(1).min())
        if agreement < _SAME_SPACE:
            raise ValueError(
                f"prior {self.name} is of another space than CLIP {clip.name}: their vectors of one text have cosine "
                f"{agreement:.2f}, expected 1; Karlo goes with ViT-L-14/openai, for others use clipsonic train-prior"
            )


def karlo_folder(name: str) -> Path:
    """Where `load_karlo` finds a Karlo.

    Raises:
        ValueError: not on this machine.
    """
    return Path(name) if Path(name).is_dir() else _cached(name)


def is_karlo(name: str) -> bool:
    """Whether a name is Karlo's own, that of a hub repository, or of a folder in its layout.

    The run folder of a `train-prior` has a `prior` too, with a record in it.
    """
    folder = Path(name)
    is_laid_out = (folder / "prior").is_dir() and not (folder / "prior" / "prior.json").is_file()
    return name == NAME or is_laid_out or (not folder.exists() and name.count("/") == 1)


def load_karlo(name: str = NAME, device: str = "cpu") -> Karlo:
    """Load Karlo from a folder, or from the hub cache by `karlo` or a repository's name; float32, evaluation mode.

    Raises:
        ValueError: not on this machine, a part is missing or cannot be read, or a tokenizer without its vocabulary.
    """
    folder = karlo_folder(name)
    if missing := [part for part in PARTS if not (folder / part).is_dir()]:
        raise ValueError(f"{folder} is no Karlo: {', '.join(missing)} missing; expected the folders {', '.join(PARTS)}")
    from transformers import CLIPTextModelWithProjection, CLIPTokenizer

    try:
        with _no_bars():
            prior, read = PriorTransformer.from_pretrained(
                str(folder / "prior"), torch_dtype=torch.float32, low_cpu_mem_usage=False, output_loading_info=True
            )
            _check_whole(folder / "prior", read)
            scheduler = UnCLIPScheduler.from_pretrained(str(folder / "prior_scheduler"))
            told: Any = CLIPTextModelWithProjection.from_pretrained(
                str(folder / "text_encoder"), dtype=torch.float32, output_loading_info=True
            )
            encoder, read = told
            _check_whole(folder / "text_encoder", read)
            tokenizer = CLIPTokenizer.from_pretrained(str(folder / "tokenizer"))
    except (OSError, RuntimeError, KeyError, TypeError) as error:
        raise ValueError(f"{folder} cannot be read as Karlo: {error}") from error
    if len(tokenizer) != encoder.config.vocab_size:  # without its files transformers hands out an empty one, silently
        raise ValueError(
            f"{folder / 'tokenizer'} knows {len(tokenizer)} tokens, the text encoder {encoder.config.vocab_size}: "
            "its vocab.json and merges.txt are missing or another's"
        )
    parts: tuple[torch.nn.Module, ...] = (prior, encoder)
    for part in parts:
        part.to(device).eval().requires_grad_(False)
    return Karlo(prior, scheduler, encoder, tokenizer, name)


def _check_whole(folder: Path, read: Mapping[str, Collection[object]]) -> None:
    """Refuse weights that lack a tensor or have one of another shape: both libraries draw it at random."""
    if lacking := sorted({*map(str, read["missing_keys"]), *map(str, read["mismatched_keys"])}):
        more = " …" * (len(lacking) > 4)
        raise ValueError(f"{folder}: its weights lack {', '.join(lacking[:4])}{more}, or have them of another shape")


@contextmanager
def _no_bars() -> Iterator[None]:
    """Keep transformers from drawing its own progress bar over the caller's."""
    from transformers.utils import logging

    drawn = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        if drawn:
            logging.enable_progress_bar()  # type: ignore[no-untyped-call]


def _cached(name: str) -> Path:
    """Where Karlo, or a hub repository in its layout, lies on this machine. Never asks the network."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    from clipsonic.weights.fetch import cached_folder

    if name == NAME:
        if (folder := cached_folder(NAME)) is None:
            raise ValueError(f"the weights of Karlo are not on this machine; type: clipsonic weights fetch {NAME}")
        return folder
    try:
        return Path(snapshot_download(name, local_files_only=True))
    except LocalEntryNotFoundError as error:
        raise ValueError(f"{name} is no folder, and no repository in the hub's cache; fetch it first") from error
