"""`CLIPSonicPipeline`: from a query, by a route, to a condition, to a log-mel spectrogram, to a sound.

Routes (Dong et al. 2023; in brackets the names of its results): `image` (IQ) uses the CLIP image embedding of a frame;
`text` (ZS) puts the CLIP text embedding in its place; `text+prior-pd` and `text+prior-sd` first turn it into an image
embedding with a diffusion prior trained on image-caption pairs without sound (PD) or on the captions of the audio
training set (SD); `text+shift` moves it by the difference of the two modalities' means, which needs no training and is
the honest rival of a prior. `unconditional` asks for nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from diffusers import DiffusionPipeline, PriorTransformer, SchedulerMixin, UNet2DConditionModel
from diffusers.utils import logging
from numpy.typing import NDArray
from torch import Tensor

from clipsonic.checkpoint import named_if_unwritten
from clipsonic.clip import FrozenClip, Pictures
from clipsonic.diffusion import check_scheduler, make_sampler, set_steps
from clipsonic.mel import LogMel, denormalise, from_patches
from clipsonic.model_folder import beside, check_model_folder, find_model_folder, replace_folder
from clipsonic.noise import addressed_generators, addressed_noise
from clipsonic.prior import sample_image_embedding
from clipsonic.prior_folder import ROLES, PriorRecord, find_record, write_record
from clipsonic.prior_preset import PriorSampling
from clipsonic.sampling import Precision, sample_patches
from clipsonic.settings import Settings
from clipsonic.vocoders import check_vocoder, load_vocoder, within_full_scale

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
    """A trained CLIPSonic with its priors. `from_pretrained` and `save_pretrained` read and write a model folder.

    `to(device)` moves it; noise is drawn on the CPU in float32 wherever it runs, so every device starts alike.
    `unet.compile(dynamic=False)` (torch's own) makes long runs faster.
    """

    _optional_components = ["prior_pd", "prior_sd"]  # noqa: RUF012 - diffusers' own name and type

    def __init__(
        self,
        unet: UNet2DConditionModel,
        scheduler: SchedulerMixin,
        prior_pd: PriorTransformer | None = None,
        prior_sd: PriorTransformer | None = None,
        settings: dict[str, Any] | None = None,
    ) -> None:
        super().__init__()
        if settings is None:
            raise ValueError("a CLIPSonic needs its settings: see clipsonic.settings.Settings")
        what = Settings.from_dict(settings)
        check_scheduler(scheduler, what.diffusion)
        check_vocoder(what.vocoder, what.mel)
        self.register_modules(unet=unet, scheduler=scheduler, prior_pd=prior_pd, prior_sd=prior_sd)
        self.register_to_config(settings=settings)
        self.what = what
        self.log_mel_of = LogMel(what.mel)
        self.prior_records: dict[str, PriorRecord] = {}
        """What `clipsonic train-prior` wrote beside an attached prior, by `pd` and `sd`; a prior without has none."""

    @classmethod
    def from_pretrained(cls, source: str | Path, revision: str | None = None) -> CLIPSonicPipeline:
        """Read a model folder, or one of a hub by its id `owner/name`; in evaluation mode, float32, on the CPU.

        Raises:
            ValueError: one line, if the folder lacks a part, key or tensor, or has one that this version does not know.
        """
        folder = find_model_folder(source, revision)
        check_model_folder(folder)
        bars = logging.is_progress_bar_enabled()
        logging.disable_progress_bar()
        try:
            loaded: CLIPSonicPipeline = super().from_pretrained(
                str(folder), dtype=torch.float32, low_cpu_mem_usage=False
            )
        finally:
            if bars:
                logging.enable_progress_bar()
        for part in (loaded.unet, loaded.prior_pd, loaded.prior_sd):
            if part is not None:
                part.eval().requires_grad_(False)
        held = [role for role in ROLES if getattr(loaded, f"prior_{role}") is not None]
        found = {role: find_record(folder / f"prior_{role}") for role in held}
        loaded.prior_records = {role: record for role, record in found.items() if record is not None}
        return loaded

    def save_pretrained(self, save_directory: str | Path, safe_serialization: bool = True) -> None:
        """Write a model folder. A new one is whole or absent; in one that exists, every file is, the index last.

        Raises:
            ValueError: if pickles are asked for, which `from_pretrained` does not read.
            OSError: naming the folder, if it cannot be written (full disk).
        """
        if not safe_serialization:
            raise ValueError("a model folder holds safetensors: leave safe_serialization=True")
        folder = Path(save_directory)
        with named_if_unwritten(folder), beside(folder) as partial:
            super().save_pretrained(str(partial), safe_serialization=True)
            for role, record in self.prior_records.items():
                if getattr(self, f"prior_{role}") is not None:
                    write_record(record, partial / f"prior_{role}")
            replace_folder(partial, folder)

    @cached_property
    def clip(self) -> FrozenClip:
        """The CLIP that queries go through.

        Raises:
            ValueError: if this model takes vectors that are handed in (CLAP-TTA).
        """
        if self.what.clip is None:
            raise ValueError("this model has no CLIP: give CLIPSonicPipeline.generate its condition vectors")
        loaded = FrozenClip(self.what.clip, device=str(self.device))
        loaded.expect("the condition of this model", self.what.conditioning.dim, self.what.clip_sha256)
        return loaded

    @cached_property
    def vocoder(self) -> torch.nn.Module:
        """The vocoder of the settings, its weights from the hub's cache, unless `use_vocoder` named another.

        Raises:
            ValueError: if its weights are not on this machine.
        """
        return load_vocoder(self.what.vocoder, self.what.mel)

    def use_vocoder(self, name: str, weights: Path | None = None) -> None:
        """Hear this model through another vocoder than the one of its settings, which stay.

        Args:
            name: one of `clipsonic.vocoders.VOCODERS`.
            weights: folder of a BigVGAN's two files; None looks in the hub's cache.

        Raises:
            ValueError: if it does not exist, takes another mel definition, or its weights are missing or do not fit.
        """
        self.vocoder = load_vocoder(name, self.what.mel, weights)

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
        prior_samples: int | None = None,
        prior_guidance_scale: float | None = None,
        prior_steps: int | None = None,
    ) -> Vectors | None:
        """Turn query embeddings into conditions by a route; None means no condition.

        Args:
            route: one of `ROUTES`.
            ids: addresses of the prior's noise.
            image, text: unit vectors (items, dim), as the route needs.
            prior_samples: how many vectors a prior draws for each text; the one nearest to the text is kept.
            prior_guidance_scale, prior_steps: of the prior. Default of the three: `prior_sampling`.

        Raises:
            ValueError: for an unknown route, a missing embedding, a prior this model folder does not hold, or one that
                draws what is not finite.
        """
        self.check_route(route)
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
        how = self.prior_sampling(route, prior_guidance_scale, prior_steps, prior_samples)
        return self._through_prior(route, given, ids, seed, how)

    def check_route(self, route: str) -> None:
        """Make sure that this model has a route.

        Raises:
            ValueError: one that does not exist, or that needs what this model folder does not hold.
        """
        if route not in ROUTES:
            raise ValueError(f"route {route!r} does not exist; choose one of {', '.join(ROUTES)}")
        if route == "text+shift" and not self.what.conditioning.image_mean:
            raise ValueError(f"route {route!r} needs image and text means, which this model folder does not hold")
        role = route.removeprefix("text+prior-")
        if role in ROLES and getattr(self, f"prior_{role}") is None:
            other = ", or generate with --prior karlo" if role == "pd" else ""
            raise ValueError(
                f"route {route!r} needs a prior that this model folder does not hold: "
                f"type clipsonic attach MODEL PRIOR --as {role}{other}"
            )

    def prior_sampling(
        self, route: str, guidance_scale: float | None = None, steps: int | None = None, samples: int | None = None
    ) -> PriorSampling:
        """How the prior of a route is sampled: as said here, or else as its own record says, or else the settings.

        Raises:
            ValueError: fewer than one step or sample, or a guidance scale that is not finite.
        """
        record = self.prior_records.get(route.removeprefix("text+prior-"))
        meant = (
            PriorSampling(self.what.prior_guidance_scale, self.what.prior_steps, 1)
            if record is None
            else PriorSampling(record.guidance_scale, record.steps, record.samples)
        )
        return PriorSampling(
            meant.guidance_scale if guidance_scale is None else guidance_scale,
            meant.steps if steps is None else steps,
            meant.samples if samples is None else samples,
        )

    def _mean_shift(self, text: Vectors) -> Vectors:
        known = self.what.conditioning
        shifted = text - np.asarray(known.text_mean, np.float32) + np.asarray(known.image_mean, np.float32)
        return np.asarray(shifted / np.linalg.norm(shifted, axis=1, keepdims=True), np.float32)

    def _through_prior(self, route: str, text: Vectors, ids: Sequence[str], seed: int, how: PriorSampling) -> Vectors:
        prior = self.prior_pd if route == "text+prior-pd" else self.prior_sd
        asked = torch.from_numpy(text).to(self.device)
        found = sample_image_embedding(prior, asked, ids, seed, how.guidance_scale, how.steps, how.samples)
        check_finite(f"the vectors that the prior of route {route!r} draws", ids, found)
        return np.asarray(found.cpu().numpy())

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
        sampler: str | None = None,
        batch_size: int = 10,
        precision: Precision = "float32",
        progress: Callable[[int], None] | None = None,
    ) -> GeneratedAudio:
        """Generate one sound per id. Noise is addressed by (seed, id): neither order nor company changes a sound.

        Every batch has `batch_size` rows, the last one filled up, so on a CPU the arithmetic of an item does not depend
        on the others. Another `batch_size` changes the log-mel in its sixth digit, and so the phases the vocoder finds.

        Args:
            condition: unit vectors (items, dim), or None for unconditional sounds.
            guidance_scale: classifier-free guidance (Ho & Salimans 2022); 1 is none. Default: the model folder's.
            steps: of the sampler; `heun` and `edm` ask the network twice in each. Default: the model folder's.
            sampler: a name in `clipsonic.diffusion.SAMPLERS`. Default: the model folder's scheduler.
            precision: `bfloat16` runs the network under autocast: faster on a GPU, other sounds than `float32`.
            progress: called with the number of sounds finished after each batch.

        Raises:
            ValueError: no id, a number of steps that the sampler does not take, a guidance scale that is not finite,
                conditions of the wrong shape, or a vocoder without weights, all before anything is sampled; or sounds
                that are not finite.
        """
        steps = self.what.steps if steps is None else steps
        if not ids or steps < 1 or batch_size < 1:
            raise ValueError(f"{len(ids)} ids, {steps} steps, batches of {batch_size}: at least 1 of each is needed")
        scheduler = self.check_sampling(guidance_scale, steps, sampler)
        if condition is not None and condition.shape != (expected := (len(ids), self.what.conditioning.dim)):
            raise ValueError(f"expected conditions of shape {expected}, got {condition.shape}")
        scale = 1.0 if condition is None else self.what.guidance_scale if guidance_scale is None else guidance_scale
        mel, vocoder = self.what.mel, self.vocoder.to(self.device)
        if self.device.type == "cuda":  # cuDNN's fast convolutions; on a CPU it would change the last bits
            self.unet.to(memory_format=torch.channels_last)
        asked = self.standardise(condition, len(ids)).to(self.device)
        samples: list[Tensor] = []
        mels: list[Tensor] = []
        gains: list[Tensor] = []
        for start in range(0, len(ids), batch_size):
            rows = list(range(start, min(start + batch_size, len(ids))))
            filled = rows + rows[:1] * (batch_size - len(rows))
            names = [ids[row] for row in filled]
            set_steps(scheduler, steps)
            patches = sample_patches(
                self.unet,
                scheduler,
                addressed_noise(seed, names, "mel", (mel.channels, *mel.grid)).to(self.device),
                asked[filled],
                guidance_scale=scale,
                generators=addressed_generators(seed, names, "sampler"),
                precision=precision,
            )
            check_finite("what the network generates", names[: len(rows)], patches[: len(rows)])
            log_mel = denormalise(from_patches(patches[: len(rows)], mel), mel)
            heard = vocoder(log_mel)
            check_finite("what the vocoder makes", names[: len(rows)], heard)
            turned_down, gain = within_full_scale(heard)
            for parts, made in ((samples, turned_down), (mels, log_mel), (gains, gain)):
                parts.append(made.cpu())
            if progress is not None:
                progress(len(rows))
        return GeneratedAudio(
            torch.cat(samples).numpy(), torch.cat(mels).numpy(), torch.cat(gains).numpy(), mel.rate_hz
        )

    def check_sampling(self, guidance_scale: float | None, steps: int | None, sampler: str | None) -> SchedulerMixin:
        """Make sure that `generate` takes these, and return a scheduler with its steps set.

        Raises:
            ValueError: as `generate`.
        """
        if guidance_scale is not None and not math.isfinite(guidance_scale):
            raise ValueError(f"guidance scale {guidance_scale}: expected a finite number")
        scheduler = self._scheduler(sampler)
        set_steps(scheduler, self.what.steps if steps is None else steps)
        return scheduler

    def _scheduler(self, sampler: str | None) -> SchedulerMixin:
        """A scheduler of this call's own: they carry state from step to step."""
        if sampler is not None:
            return make_sampler(sampler, self.what.diffusion)
        return type(self.scheduler).from_config(self.scheduler.config)

    def vocode(self, log_mel: Vectors) -> Vectors:
        """Log-mel (items, bands, frames) to samples (items, frames * hop) in [-1, 1], turned down where need be."""
        given = torch.from_numpy(log_mel).to(self.device)
        return np.asarray(within_full_scale(self.vocoder.to(self.device)(given))[0].cpu().numpy())

    def log_mel(self, samples: Vectors) -> Vectors:
        """Samples (items, time) at the model's rate to log-mel (items, bands, frames)."""
        return np.asarray(self.log_mel_of(torch.from_numpy(samples)).numpy())

    def with_prior_pd(self, prior: PriorTransformer, record: PriorRecord) -> CLIPSonicPipeline:
        """The same model with another prior for `text+prior-pd`; this one stays as it is."""
        made = CLIPSonicPipeline(self.unet, self.scheduler, prior.to(self.device), self.prior_sd, self.what.as_dict())
        made.prior_records = {**self.prior_records, "pd": record}
        return made

    def with_settings(self, *, guidance_scale: float, steps: int) -> CLIPSonicPipeline:
        """The same network with another default guidance scale and number of steps, for saving."""
        changed = replace(self.what, guidance_scale=guidance_scale, steps=steps)
        made = CLIPSonicPipeline(self.unet, self.scheduler, self.prior_pd, self.prior_sd, changed.as_dict())
        made.prior_records = dict(self.prior_records)
        return made


_NAMED: Final = 5
"""How many ids an error names before it only counts."""


def check_finite(what: str, ids: Sequence[str], values: Tensor) -> None:
    """Refuse items (ids, ...) with a value that is not finite; clamping and 16 bits would make a sound of it.

    Raises:
        ValueError: naming the ids.
    """
    finite = torch.isfinite(values).flatten(1).all(1).tolist()
    if bad := [name for name, good in zip(ids, finite, strict=True) if not good]:
        more = f" and {len(bad) - _NAMED} more" if len(bad) > _NAMED else ""
        raise ValueError(
            f"{what} is not finite for {', '.join(bad[:_NAMED])}{more}: choose a smaller guidance scale or "
            "another sampler, or float32; if it stays, the weights are broken"
        )


def load_model(source: str | Path) -> CLIPSonicPipeline:
    """`CLIPSonicPipeline.from_pretrained`: a model folder, or a hub id, in evaluation mode, float32."""
    return CLIPSonicPipeline.from_pretrained(source)
