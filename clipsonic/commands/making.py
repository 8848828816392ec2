"""How `generate` makes sounds of conditions, as its options say it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clipsonic.commands.console import open_model
from clipsonic.diffusion import sampler_name
from clipsonic.generation import folder_digest, weights_identity
from clipsonic.karlo import is_karlo, karlo_folder
from clipsonic.vocoders import vocoder_folder

if TYPE_CHECKING:
    from clipsonic.pipeline import CLIPSonicPipeline, GeneratedAudio
    from clipsonic.prior_preset import PriorSampling
    from clipsonic.routes import Asker
    from clipsonic.sampling import Precision


@dataclass(frozen=True)
class Making:
    """Options; None is what the model was meant for. batch_size: sounds made together."""

    guidance_scale: float | None
    steps: int | None
    sampler: str | None
    vocoder: str | None
    vocoder_weights: Path | None
    precision: Precision
    batch_size: int
    device: str

    def open(self, model: str) -> CLIPSonicPipeline:
        """The model, where it is to run, with the vocoder that it is to be heard through."""
        pipeline: CLIPSonicPipeline = open_model(model).to(self.device)
        if self.vocoder is not None or self.vocoder_weights is not None:
            pipeline.use_vocoder(self.vocoder or pipeline.what.vocoder, self.vocoder_weights)
        return pipeline

    def check(self, pipeline: CLIPSonicPipeline, route: str) -> None:
        """Refuse whatever may be, before anything is written.

        Raises:
            ValueError: as `CLIPSonicPipeline.generate`, or a guidance scale where there is nothing to be guided to.
        """
        if route == "unconditional" and self.guidance_scale is not None:
            raise ValueError("--guidance-scale is not for the route 'unconditional', which has nothing to be guided to")
        pipeline.check_sampling(self.guidance_scale, self.steps, self.sampler)
        _ = pipeline.vocoder

    def plan(
        self, pipeline: CLIPSonicPipeline, folder: Path, route: str, prior: str | None, drawing: PriorSampling | None
    ) -> dict[str, Any]:
        """What decides the sounds beside queries and seed: every value in force, whether it was given or not.

        Args:
            folder: of the model. prior: as it was named; None is the model's own. drawing: how a prior is sampled.
        """
        what, heard_by = pipeline.what, self.vocoder or pipeline.what.vocoder
        drawn_by = None if prior is None else karlo_folder(prior) if is_karlo(prior) else Path(prior)
        sounding = vocoder_folder(heard_by, self.vocoder_weights)
        scale = what.guidance_scale if self.guidance_scale is None else self.guidance_scale
        return {
            "model": folder.name,
            "model_sha256": folder_digest(folder),
            "route": route,
            "prior": prior,
            "prior_weights": None if drawn_by is None else weights_identity(drawn_by),
            "prior_sampling": None if drawing is None else asdict(drawing),
            "guidance_scale": 1.0 if route == "unconditional" else scale,
            "sampler": self.sampler or sampler_name(pipeline.scheduler, what.diffusion),
            "steps": what.steps if self.steps is None else self.steps,
            "vocoder": heard_by,
            "vocoder_weights": None if sounding is None else weights_identity(sounding),
            "precision": self.precision,
            "batch_size": self.batch_size,
            "device": self.device,
        }

    def make(
        self, pipeline: CLIPSonicPipeline, asker: Asker, ids: Sequence[str], seed: int, rows: Sequence[int]
    ) -> GeneratedAudio:
        """Sounds of some of the queries: encoding, the draws of a prior, and sampling, of these alone."""
        return pipeline.generate(
            asker.conditions(rows, seed),
            [ids[row] for row in rows],
            seed=seed,
            guidance_scale=self.guidance_scale,
            steps=self.steps,
            sampler=self.sampler,
            batch_size=self.batch_size,
            precision=self.precision,
        )
