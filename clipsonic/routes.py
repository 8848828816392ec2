"""From queries to conditions by a route: what `clipsonic generate` does before there is any sound.

Beside the routes of `CLIPSonicPipeline`, stored vectors are conditions as they are (`vectors`), and `text+prior-pd` may
go through a prior that is not in the model folder: one that `clipsonic train-prior` wrote, or Karlo.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from clipsonic.karlo import GUIDANCE_SCALE, STEPS, Karlo, is_karlo, load_karlo
from clipsonic.pipeline import ROUTES
from clipsonic.prior_folder import check_space, clip_digest, load_prior, read_record
from clipsonic.prior_preset import PriorSampling
from clipsonic.queries import Pictures, Queries, Texts, encode_pictures
from clipsonic.vectors import StoredVectors

if TYPE_CHECKING:
    from clipsonic.pipeline import CLIPSonicPipeline, Vectors

VECTORS: Final = "vectors"
_PD: Final = "text+prior-pd"


@dataclass(frozen=True)
class PriorChoice:
    """How a prior is asked; None is what that prior was meant for.

    prior: a prior folder, `karlo`, or a folder or hub repository in Karlo's layout; None is the model folder's own.
    samples: draws for each text, of which the one nearest to it is kept.
    """

    prior: str | None = None
    guidance_scale: float | None = None
    steps: int | None = None
    samples: int | None = None

    def __post_init__(self) -> None:
        if self.guidance_scale is not None and not math.isfinite(self.guidance_scale):
            raise ValueError(f"guidance scale {self.guidance_scale} of a prior: expected a finite number")


def choose_route(pipeline: CLIPSonicPipeline, queries: Queries, route: str | None, prior: PriorChoice) -> str:
    """The route asked for, or the best that the model has for such queries.

    Raises:
        ValueError: a route that does not exist, or that does not go with these queries, this model or this prior.
    """
    if isinstance(queries, StoredVectors):
        if route not in (None, VECTORS, "unconditional"):
            raise ValueError(
                f"route {route!r} does not go with --vectors, which are conditions as they are: leave it out"
            )
        _check_prior(prior, route or VECTORS)
        return route or VECTORS
    if pipeline.what.clip is None and route != "unconditional":
        raise ValueError("this model is asked by vectors of another encoder: give --vectors E.npz")
    if isinstance(queries, Pictures):
        chosen = route or "image"
    else:
        chosen = route or (_PD if prior.prior is not None or pipeline.prior_pd is not None else "text")
    if chosen in ROUTES and chosen != "unconditional" and (chosen == "image") != isinstance(queries, Pictures):
        needed, given = ("an image", "a text") if chosen == "image" else ("a text", "pictures")
        raise ValueError(f"route {chosen!r} needs {needed} query, and was given {given}")
    _check_prior(prior, chosen)
    if prior.prior is None:
        pipeline.check_route(chosen)
    return chosen


def _check_prior(prior: PriorChoice, route: str) -> None:
    """Refuse what would be passed over."""
    if prior.prior is not None and route != _PD:
        raise ValueError(f"--prior goes with route {_PD!r} and texts, not with route {route!r}")
    if prior != PriorChoice(prior.prior) and not route.startswith("text+prior"):
        raise ValueError(
            f"--prior-samples, --prior-steps and --prior-guidance-scale go with a prior, not with route {route!r}"
        )


def _check_vectors(found: StoredVectors, pipeline: CLIPSonicPipeline) -> None:
    """Refuse vectors that are known not to be of the encoder that the model was trained on."""
    what = pipeline.what
    if (dim := found.vectors.shape[1]) != what.conditioning.dim:
        raise ValueError(
            f"the vectors given have {dim} dimensions, this model takes {what.conditioning.dim}: another encoder's"
        )
    if None not in (found.space, what.space) and found.space != what.space:
        raise ValueError(
            f"the vectors given are of space {found.space}, this model takes those of {what.space}: another encoder's"
        )


class Asker:
    """Conditions of queries by a route, seed by seed; whatever does not depend on the seed is computed once.

    Company changes no bit of a condition: queries are encoded one at a time, and a prior always sees `batch_size` of
    them, the last ones filled up.
    """

    def __init__(
        self, pipeline: CLIPSonicPipeline, queries: Queries, route: str, prior: PriorChoice, batch_size: int = 1
    ) -> None:
        """Encode the queries, and load the prior.

        Args:
            batch_size: how many queries a prior draws for together.

        Raises:
            ValueError: unreadable pictures, vectors of another dimension, a prior that is missing or of another space.
        """
        self._pipeline, self._queries, self._route, self._prior = pipeline, queries, route, prior
        self._batch = batch_size
        self._karlo: Karlo | None = None
        if route == _PD and prior.prior is not None:
            self._load_prior(prior.prior)
        if isinstance(queries, StoredVectors):
            self._encoded = queries.vectors
            if route != "unconditional":  # which takes their ids alone
                _check_vectors(queries, pipeline)
        elif isinstance(queries, Pictures):
            self._encoded = np.concatenate([encode_pictures(pipeline.clip, [files]) for files in queries.files])
        elif self._karlo is None and route != "unconditional":
            self._encoded = np.concatenate([pipeline.encode_text([text]) for text in queries.texts])

    def _load_prior(self, name: str) -> None:
        pipeline, what = self._pipeline, self._pipeline.what
        if is_karlo(name):
            self._karlo = load_karlo(name, str(pipeline.device))
            self._karlo.check_space(pipeline.clip)
            return
        folder = Path(name)
        record = read_record(folder)
        check_space(folder, record, what.clip, clip_digest(what), what.conditioning.dim)
        pipeline.register_modules(prior_pd=load_prior(folder).to(pipeline.device))
        pipeline.prior_records["pd"] = record

    @property
    def sampling(self) -> PriorSampling | None:
        """How the prior is sampled; None where the route goes through none."""
        how = self._prior
        if self._karlo is not None:
            return PriorSampling(
                GUIDANCE_SCALE if how.guidance_scale is None else how.guidance_scale,
                STEPS if how.steps is None else how.steps,
                how.samples or 1,
            )
        if not self._route.startswith("text+prior"):
            return None
        return self._pipeline.prior_sampling(self._route, how.guidance_scale, how.steps, how.samples)

    @property
    def cut_texts(self) -> list[str]:
        """Ids of the texts that are longer than CLIP's context, which is Karlo's too, so that the end is not read."""
        if not isinstance(self._queries, Texts) or self._route == "unconditional":
            return []
        return [self._queries.ids[row] for row in self._pipeline.clip.cut_texts(self._queries.texts)]

    @property
    def doubt(self) -> str | None:
        """What is not known of the vectors given, in one line; None where their file and the model name one space.

        A CLIP has the digest of its tensors here, and in a file of vectors that of the file of its weights.
        """
        found, what = self._queries, self._pipeline.what
        if not isinstance(found, StoredVectors) or self._route == "unconditional":
            return None
        if what.space is not None and found.space == what.space:
            return None
        given = "of a space that their file does not name" if found.space is None else f"of space {found.space}"
        taken = f"CLIP {what.clip}" if what.clip is not None else f"space {what.space or 'that it does not name'}"
        return f"the vectors are {given}, the model takes those of {taken}: nobody vouches that these are one"

    @property
    def takes_long(self) -> bool:
        """Whether `conditions` is worth a progress bar of its own."""
        return self.sampling is not None and len(self._queries.ids) > 1

    def conditions(self, seed: int, advance: Callable[[int], None] | None = None) -> Vectors | None:
        """Unit vectors (queries, dim), or None for the route `unconditional`.

        Args:
            advance: where this takes long, called with the number of queries finished.
        """
        queries = self._queries
        if self._route == "unconditional":
            return None
        if isinstance(queries, StoredVectors):
            return self._encoded
        if self.sampling is None:
            return self._through(list(range(len(queries.ids))), seed)
        found = []
        for start in range(0, len(queries.ids), self._batch):
            rows = list(range(start, min(start + self._batch, len(queries.ids))))
            found.append(self._through(rows + rows[:1] * (self._batch - len(rows)), seed)[: len(rows)])
            if advance is not None:
                advance(len(rows))
        return np.asarray(np.concatenate(found))

    def _through(self, rows: list[int], seed: int) -> Vectors:
        """Conditions of some of the queries, all at once."""
        queries, how = self._queries, self.sampling
        ids = [queries.ids[row] for row in rows]
        if self._karlo is not None and how is not None:
            assert isinstance(queries, Texts)
            return self._karlo.image_embeddings(
                [queries.texts[row] for row in rows],
                ids,
                seed=seed,
                guidance_scale=how.guidance_scale,
                steps=how.steps,
                samples=how.samples,
                batch_size=len(rows),
            )
        kind = "image" if isinstance(queries, Pictures) else "text"
        found = self._pipeline.condition(
            self._route,
            ids,
            image=self._encoded[rows] if kind == "image" else None,
            text=self._encoded[rows] if kind == "text" else None,
            seed=seed,
            prior_samples=None if how is None else how.samples,
            prior_guidance_scale=None if how is None else how.guidance_scale,
            prior_steps=None if how is None else how.steps,
        )
        assert found is not None
        return found
