"""`CLIPSonicPipeline`: from a query, by a route, to a condition, to a log-mel spectrogram, to a sound.

Routes (Dong et al. 2023, sec. 1.3 of the reference digest): `image` (IQ) uses the CLIP image embedding of a frame;
`text` (ZS) puts the CLIP text embedding in its place; `text+prior-pd` and `text+prior-sd` first turn it into an image
embedding with a diffusion prior trained on image-caption pairs without sound (PD) or on the captions of the audio
training set (SD); `text+shift` moves it by the difference of the two modalities' means, which needs no training and is
the honest rival of a prior. `unconditional` asks for nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from diffusers import DiffusionPipeline, DPMSolverMultistepScheduler, PriorTransformer, UNet2DConditionModel
from diffusers.utils import logging
from numpy.typing import NDArray
from torch import Tensor

from clipsonic.clip import FrozenClip, Pictures
from clipsonic.mel import LogMel, denormalise, from_patches
from clipsonic.network import predict
from clipsonic.noise import addressed_noise
from clipsonic.prior import sample_image_embedding
from clipsonic.settings import Settings
from clipsonic.vocoder import GriffinLimVocoder, within_full_scale

ROUTES: Final = ("image", "text", "text+shift", "text+prior-pd", "text+prior-sd", "unconditional")
Vectors = NDArray[np.float32]


@dataclass(frozen=True)
class GeneratedAudio:
    """samples: float32 (items, time) in [-1, 1]; log_mel: float32 (items, bands, frames), natural log.

    gain: (items,), below 1 where a sound was turned down because its log-mel asked for more than full scale.
    """

    samples: Vectors
    log_mel: Vectors
    gain: Vectors
    rate_hz: int


class CLIPSonicPipeline(DiffusionPipeline):  # type: ignore[misc]  # diffusers is untyped
    """A trained CLIPSonic with its priors. `from_pretrained` and `save_pretrained` read and write a model folder."""

    _optional_components = ["prior_pd", "prior_sd"]  # noqa: RUF012 - diffusers' own name and type

    def __init__(
        self,
        unet: UNet2DConditionModel,
        scheduler: DPMSolverMultistepScheduler,
        prior_pd: PriorTransformer | None = None,
        prior_sd: PriorTransformer | None = None,
        settings: dict[str, Any] | None = None,
    ) -> None:
        super().__init__()
        if settings is None:
            raise ValueError("a CLIPSonic needs its settings: see clipsonic.settings.Settings")
        if getattr(scheduler.config, "clip_sample", False):  # DDIM's and DDPM's default: FAD 0.95 instead of 0.08
            raise ValueError(
                f"this {type(scheduler).__name__} clips predictions to [-1, 1], and log-mels go beyond: "
                "make it with clip_sample=False"
            )
        self.register_modules(unet=unet, scheduler=scheduler, prior_pd=prior_pd, prior_sd=prior_sd)
        self.register_to_config(settings=settings)
        self.what = Settings.from_dict(settings)
        self.log_mel_of = LogMel(self.what.mel)
        self.vocoder = GriffinLimVocoder(self.what.mel)

    @cached_property
    def clip(self) -> FrozenClip:
        """The CLIP that queries go through.

        Raises:
            ValueError: if this model takes vectors that are handed in (CLAP-TTA).
        """
        if self.what.clip is None:
            raise ValueError("this model has no CLIP: give CLIPSonicPipeline.generate its condition vectors")
        return FrozenClip(self.what.clip)

    def encode_image(self, images: Pictures) -> Vectors:
        """CLIP image embeddings, unit vectors (items, dim)."""
        return self.clip.encode_image(images)

    def encode_text(self, texts: Sequence[str]) -> Vectors:
        """CLIP text embeddings, unit vectors (items, dim)."""
        return self.clip.encode_text(texts)

    def condition(
        self,
        route: str,
        ids: Sequence[str],
        *,
        image: Vectors | None = None,
        text: Vectors | None = None,
        seed: int = 0,
    ) -> Vectors | None:
        """Turn query embeddings into conditions by a route; None means no condition.

        Args:
            route: one of `ROUTES`.
            ids: addresses of the prior's noise.
            image, text: unit vectors (items, dim), as the route needs.

        Raises:
            ValueError: for an unknown route, a missing embedding, or a prior this model folder does not hold.
        """
        if route not in ROUTES:
            raise ValueError(f"route {route!r} does not exist; choose one of {', '.join(ROUTES)}")
        if route == "unconditional":
            return None
        given, needed = (image, "image") if route == "image" else (text, "text")
        if given is None:
            raise ValueError(
                f"route {route!r} needs an {needed} query"
                if needed == "image"
                else f"route {route!r} needs a text query"
            )
        dim = self.what.conditioning.dim
        if given.shape != (len(ids), dim):
            raise ValueError(f"route {route!r}: expected embeddings of shape {(len(ids), dim)}, got {given.shape}")
        if route in ("image", "text"):
            return given
        if route == "text+shift":
            return self._mean_shift(given)
        return self._through_prior(route, given, ids, seed)

    def _mean_shift(self, text: Vectors) -> Vectors:
        known = self.what.conditioning
        if not known.image_mean:
            raise ValueError("route 'text+shift' needs image and text means, which this model folder does not hold")
        shifted = text - np.asarray(known.text_mean, np.float32) + np.asarray(known.image_mean, np.float32)
        return np.asarray(shifted / np.linalg.norm(shifted, axis=1, keepdims=True), np.float32)

    def _through_prior(self, route: str, text: Vectors, ids: Sequence[str], seed: int) -> Vectors:
        prior = self.prior_pd if route == "text+prior-pd" else self.prior_sd
        if prior is None:
            raise ValueError(f"route {route!r} needs a prior that this model folder does not hold")
        found = sample_image_embedding(
            prior, torch.from_numpy(text), ids, seed, self.what.prior_guidance_scale, self.what.prior_steps
        )
        return np.asarray(found.numpy())

    def standardise(self, condition: Vectors | None, items: int) -> Tensor:
        """Unit vectors to what the network was trained on, (items, dim); no condition is the zero vector."""
        known = self.what.conditioning
        if condition is None:
            return torch.zeros(items, known.dim)
        mean = torch.tensor(known.mean) if known.mean else torch.zeros(known.dim)
        return (torch.from_numpy(condition).float() - mean) * known.scale

    @torch.no_grad()
    def generate(
        self,
        condition: Vectors | None,
        ids: Sequence[str],
        *,
        seed: int = 0,
        guidance_scale: float | None = None,
        steps: int | None = None,
        batch_size: int = 10,
        progress: Callable[[int], None] | None = None,
    ) -> GeneratedAudio:
        """Generate one sound per id. Noise is addressed by (seed, id): neither order nor company changes a sound.

        Every batch has `batch_size` rows, the last one filled up, so the arithmetic of an item does not depend on the
        others. Another `batch_size` changes the log-mel in its sixth digit, and with it the phases the vocoder finds.

        Args:
            condition: unit vectors (items, dim), or None for unconditional sounds.
            guidance_scale: classifier-free guidance (Ho & Salimans 2022); 1 is none. Default: the model folder's.
            steps: evaluations of the sampler. Default: the model folder's.
            progress: called with the number of sounds finished after each batch.

        Raises:
            ValueError: no id, fewer than 1 step, or conditions of the wrong shape.
        """
        steps = self.what.steps if steps is None else steps
        if not ids or steps < 1 or batch_size < 1:
            raise ValueError(f"{len(ids)} ids, {steps} steps, batches of {batch_size}: at least 1 of each is needed")
        if condition is not None and condition.shape != (expected := (len(ids), self.what.conditioning.dim)):
            raise ValueError(f"expected conditions of shape {expected}, got {condition.shape}")
        scale = self.what.guidance_scale if guidance_scale is None else guidance_scale
        asked = self.standardise(condition, len(ids))
        mels, samples, gains = [], [], []
        for start in range(0, len(ids), batch_size):
            rows = list(range(start, min(start + batch_size, len(ids))))
            filled = rows + rows[:1] * (batch_size - len(rows))
            free = scale == 1.0 or condition is None
            patches = self._denoise(asked[filled], [ids[k] for k in filled], seed, 1.0 if free else scale, steps)
            mels.append(denormalise(from_patches(patches[: len(rows)], self.what.mel), self.what.mel))
            turned_down, gain = within_full_scale(self.vocoder(mels[-1]))
            samples.append(turned_down)
            gains.append(gain)
            if progress is not None:
                progress(len(mels[-1]))
        return GeneratedAudio(
            torch.cat(samples).numpy(), torch.cat(mels).numpy(), torch.cat(gains).numpy(), self.what.mel.rate_hz
        )

    def _denoise(self, asked: Tensor, ids: Sequence[str], seed: int, scale: float, steps: int) -> Tensor:
        mel = self.what.mel
        scheduler = type(self.scheduler).from_config(self.scheduler.config)
        scheduler.set_timesteps(steps)
        sample = addressed_noise(seed, ids, "mel", (mel.channels, *mel.grid)) * scheduler.init_noise_sigma
        both = torch.cat([torch.zeros_like(asked), asked])
        for timestep in scheduler.timesteps:
            inputs = scheduler.scale_model_input(sample, timestep)
            if scale == 1.0:
                guess = predict(self.unet, inputs, timestep, asked)
            else:
                free, told = predict(self.unet, torch.cat([inputs, inputs]), timestep, both).chunk(2)
                guess = free + scale * (told - free)
            sample = scheduler.step(guess, timestep, sample).prev_sample
        return torch.as_tensor(sample)

    def vocode(self, log_mel: Vectors) -> Vectors:
        """Log-mel (items, bands, frames) to samples (items, frames * hop) in [-1, 1], turned down where need be."""
        return np.asarray(within_full_scale(self.vocoder(torch.from_numpy(log_mel)))[0].numpy())

    def log_mel(self, samples: Vectors) -> Vectors:
        """Samples (items, time) at the model's rate to log-mel (items, bands, frames)."""
        return np.asarray(self.log_mel_of(torch.from_numpy(samples)).numpy())

    def with_settings(self, *, guidance_scale: float, steps: int) -> CLIPSonicPipeline:
        """The same network with another default guidance scale and number of steps, for saving."""
        changed = replace(self.what, guidance_scale=guidance_scale, steps=steps)
        return CLIPSonicPipeline(self.unet, self.scheduler, self.prior_pd, self.prior_sd, changed.as_dict())


def load_model(folder: Path) -> CLIPSonicPipeline:
    """Read a model folder in evaluation mode, float32.

    Raises:
        ValueError: if the folder holds no model, naming what is missing.
    """
    if not (folder / "model_index.json").is_file():
        raise ValueError(f"{folder} holds no model: model_index.json is missing (clipsonic train writes such a folder)")
    bars = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        loaded: CLIPSonicPipeline = CLIPSonicPipeline.from_pretrained(
            str(folder), dtype=torch.float32, low_cpu_mem_usage=False
        )
    finally:
        if bars:
            logging.enable_progress_bar()
    for part in (loaded.unet, loaded.prior_pd, loaded.prior_sd):
        if part is not None:
            part.eval().requires_grad_(False)
    return loaded
