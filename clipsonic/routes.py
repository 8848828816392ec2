"""From queries to conditions by a route: what `clipsonic generate` does before there is any sound.

Beside the routes of `CLIPSonicPipeline`, stored vectors are conditions as they are (`vectors`), and `text+prior-pd` may
go through a prior that is not in the model folder: one that `clipsonic train-prior` wrote, or Karlo.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from clipsonic.karlo import GUIDANCE_SCALE, STEPS, Karlo, KarloSampling, is_karlo, load_karlo
from clipsonic.pipeline import ROUTES
from clipsonic.prior_folder import check_space, clip_digest, load_prior, read_record
from clipsonic.prior_preset import PriorSampling
from clipsonic.queries import MiddleFrames, Pictures, Queries, Texts, encode_pictures
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
    is_seen = isinstance(queries, Pictures | MiddleFrames)
    if is_seen:
        chosen = route or "image"
    else:
        chosen = route or (_PD if prior.prior is not None or pipeline.prior_pd is not None else "text")
    if chosen in ROUTES and chosen != "unconditional" and (chosen == "image") != is_seen:
        needed, given = ("an image", "a text") if chosen == "image" else ("a text", "pictures")
        raise ValueError(f"route {chosen!r} needs {needed} query, and was given {given}")
    _check_prior(prior, chosen)
    if prior.prior is None:
        pipeline.check_route(chosen)
    return chosen


def _check_prior(prior: PriorChoice, route: str) -> None:
    """Refuse what would be passed over."""
    if prior.prior is not None and route != _PD:
        raise ValueError(
            f"--prior goes with route {_PD!r} and texts, not with route {route!r}; of --data, type --route {_PD}"
        )
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


def _check_frames(found: MiddleFrames, pipeline: CLIPSonicPipeline) -> None:
    """Refuse prepared data of another CLIP than the model was trained on."""
    what, digest = pipeline.what, clip_digest(pipeline.what)
    if (found.vectors.shape[1], found.clip_sha256) != (what.conditioning.dim, digest):
        raise ValueError(
            f"the data were prepared with CLIP {found.clip} (sha256 {found.clip_sha256[:12]}), this model is for "
            f"{what.clip} (sha256 {str(digest)[:12]}): type clipsonic prepare VIDEOS --clip {what.clip} --out NEW"
        )


class Asker:
    """Conditions of queries by a route, computed for those that are asked for; what no seed changes is computed once.

    Company changes no bit of a condition: queries are encoded one at a time, and a prior always sees `batch_size` of
    them, the last ones filled up.
    """

    def __init__(
        self, pipeline: CLIPSonicPipeline, queries: Queries, route: str, prior: PriorChoice, batch_size: int = 1
    ) -> None:
        """Load what the queries go through, and check that they fit it; none is encoded yet.

        Args:
            batch_size: how many queries a prior draws for together.

        Raises:
            ValueError: vectors of another encoder or dimension, a CLIP or prior that is missing, a prior of another
                space, or one to be sampled as it cannot be.
        """
        self._pipeline, self._queries, self._route, self._prior = pipeline, queries, route, prior
        self._batch = batch_size
        self._encoded: dict[int | str, Vectors] = {}
        self._karlo: Karlo | None = None
        if route == _PD and prior.prior is not None:
            self._load_prior(prior.prior)
        _ = self.sampling
        if route == "unconditional":  # which takes ids alone
            return
        if isinstance(queries, StoredVectors):
            _check_vectors(queries, pipeline)
        elif isinstance(queries, MiddleFrames):
            _check_frames(queries, pipeline)
        else:
            _ = self._pipeline.clip

    def _load_prior(self, name: str) -> None:
        pipeline, what = self._pipeline, self._pipeline.what
        if is_karlo(name):
            self._karlo = load_karlo(name, str(pipeline.device))
            self._karlo.check_space(pipeline.clip)
            return
        folder = Path(name)
        record = read_record(folder)
        check_space(folder, record, what.clip, clip_digest(what), what.conditioning.dim)
        self._pipeline = pipeline.with_prior_pd(load_prior(folder), record)

    @property
    def sampling(self) -> PriorSampling | None:
        """How the prior is sampled; None where the route goes through none."""
        how = self._prior
        if self._karlo is not None:
            return KarloSampling(
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

    def conditions(self, rows: Sequence[int], seed: int) -> Vectors | None:
        """Unit vectors (rows, dim) of at most `batch_size` of the queries; None for the route `unconditional`.

        Raises:
            ValueError: naming a picture that cannot be read, or ids whose draws are not finite.
        """
        if self._route == "unconditional":
            return None
        if self.sampling is None:
            return self._through(rows, seed)
        return self._through([*rows, *[rows[0]] * (self._batch - len(rows))], seed)[: len(rows)]

    def _through(self, rows: Sequence[int], seed: int) -> Vectors:
        """Conditions of some of the queries, all at once."""
        queries, how = self._queries, self.sampling
        ids = [queries.ids[row] for row in rows]
        if isinstance(queries, StoredVectors):
            return np.asarray(queries.vectors[list(rows)])
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
        encoded = np.concatenate([self._encode(row) for row in rows])
        found = self._pipeline.condition(
            self._route,
            ids,
            image=None if isinstance(queries, Texts) else encoded,
            text=encoded if isinstance(queries, Texts) else None,
            seed=seed,
            prior_samples=None if how is None else how.samples,
            prior_guidance_scale=None if how is None else how.guidance_scale,
            prior_steps=None if how is None else how.steps,
        )
        assert found is not None
        return found

    def _encode(self, row: int) -> Vectors:
        """The CLIP vector of one query, (1, dim), encoded once for all seeds, and for all queries of one text."""
        queries = self._queries
        if isinstance(queries, MiddleFrames | StoredVectors):
            return np.asarray(queries.vectors[[row]])
        key = queries.texts[row] if isinstance(queries, Texts) else row
        if key not in self._encoded:
            self._encoded[key] = (
                self._pipeline.encode_text([queries.texts[row]])
                if isinstance(queries, Texts)
                else encode_pictures(self._pipeline.clip, [queries.files[row]])
            )
        return self._encoded[key]
