"""From queries to conditions by a route: what `clipsonic generate` does before there is any sound.

Beside the routes of `CLIPSonicPipeline`, stored vectors are conditions as they are (`vectors`), and `text+prior-pd` may
go through a prior that is not in the model folder: one that `clipsonic train-prior` wrote, or Karlo.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from clipsonic.karlo import GUIDANCE_SCALE, STEPS, Karlo, is_karlo, load_karlo
from clipsonic.pipeline import ROUTES
from clipsonic.prior_folder import check_space, clip_digest, load_prior, read_record
from clipsonic.queries import Pictures, Queries, Texts, encode_pictures
from clipsonic.vectors import StoredVectors

if TYPE_CHECKING:
    from clipsonic.pipeline import CLIPSonicPipeline, Vectors

VECTORS: Final = "vectors"
_PD: Final = "text+prior-pd"


@dataclass(frozen=True)
class PriorChoice:
    """How a prior is asked; None is what the model folder, or Karlo, was meant for.

    prior: a prior folder, `karlo`, or a folder or hub repository in Karlo's layout; None is the model folder's own.
    samples: draws for each text, of which the one nearest to it is kept.
    """

    prior: str | None = None
    guidance_scale: float | None = None
    steps: int | None = None
    samples: int = 1


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
    if chosen not in ROUTES:
        raise ValueError(f"route {chosen!r} does not exist; choose one of {', '.join(ROUTES)}")
    _check_prior(prior, chosen)
    return chosen


def _check_prior(prior: PriorChoice, route: str) -> None:
    """Refuse what would be passed over."""
    if prior.prior is not None and route != _PD:
        raise ValueError(f"--prior goes with route {_PD!r} and texts, not with route {route!r}")
    if prior != PriorChoice(prior.prior) and not route.startswith("text+prior"):
        raise ValueError(
            f"--prior-samples, --prior-steps and --prior-guidance-scale go with a prior, not with route {route!r}"
        )


class Asker:
    """Conditions of queries by a route, seed by seed; whatever does not depend on the seed is computed once."""

    def __init__(self, pipeline: CLIPSonicPipeline, queries: Queries, route: str, prior: PriorChoice) -> None:
        """Encode the queries, and load the prior.

        Raises:
            ValueError: unreadable pictures, vectors of another dimension, a prior that is missing or of another space.
        """
        self._pipeline, self._queries, self._route, self._prior = pipeline, queries, route, prior
        self._karlo: Karlo | None = None
        if route == _PD and prior.prior is not None:
            self._load_prior(prior.prior)
        if isinstance(queries, StoredVectors):
            self._encoded = queries.vectors
            if (found := queries.vectors.shape[1]) != (dim := pipeline.what.conditioning.dim):
                raise ValueError(
                    f"the vectors given have {found} dimensions, this model takes {dim}: another encoder's"
                )
        elif isinstance(queries, Pictures):
            self._encoded = encode_pictures(pipeline.clip, queries.files)
        elif self._karlo is None and route != "unconditional":
            self._encoded = pipeline.encode_text(queries.texts)

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

    @property
    def takes_long(self) -> bool:
        """Whether `conditions` is worth a progress bar of its own."""
        return self._karlo is not None

    def conditions(self, seed: int, advance: Callable[[int], None] | None = None) -> Vectors | None:
        """Unit vectors (queries, dim), or None for the route `unconditional`.

        Args:
            advance: where this takes long, called with the number of queries finished.
        """
        queries, how = self._queries, self._prior
        if self._route == "unconditional":
            return None
        if isinstance(queries, StoredVectors):
            return self._encoded
        if self._karlo is not None:
            assert isinstance(queries, Texts)
            return self._karlo.image_embeddings(
                queries.texts,
                queries.ids,
                seed=seed,
                guidance_scale=GUIDANCE_SCALE if how.guidance_scale is None else how.guidance_scale,
                steps=STEPS if how.steps is None else how.steps,
                samples=how.samples,
                progress=advance,
            )
        kind = "image" if isinstance(queries, Pictures) else "text"
        return self._pipeline.condition(
            self._route,
            queries.ids,
            image=self._encoded if kind == "image" else None,
            text=self._encoded if kind == "text" else None,
            seed=seed,
            prior_samples=how.samples,
        )
