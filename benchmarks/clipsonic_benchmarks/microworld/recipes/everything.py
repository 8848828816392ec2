"""Train everything the micro-world ships, in order, each stage resumable and skipped when its result is there.

Order: CLIP, evaluation encoders, priors, the gate, generators; corpora and prepared data are made as they are needed. A
stage that is done has written `work/done/STAGE.json`: its seconds and scores, which become the record.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import torch
from diffusers import PriorTransformer
from numpy.typing import NDArray
from torch import Tensor

from clipsonic.clip import FrozenClip
from clipsonic.clips import Preparation
from clipsonic.lists import add_captions, items_of_folder, read_captions
from clipsonic.pipeline import CLIPSonicPipeline, load_model
from clipsonic.prepare import prepare
from clipsonic.prepared import PreparedData
from clipsonic.preset import Preset, load_preset
from clipsonic.prior import sample_image_embedding
from clipsonic.training.dataset import of_captions, of_frames, of_vectors
from clipsonic_benchmarks.files import write_json
from clipsonic_benchmarks.microworld.captions import vocabulary
from clipsonic_benchmarks.microworld.corpus import FRAMES_PER_SECOND
from clipsonic_benchmarks.microworld.factors import LEVELS
from clipsonic_benchmarks.microworld.recipes import evaluators, export, generator_gate, generators, held_out
from clipsonic_benchmarks.microworld.recipes.clip import train_clip
from clipsonic_benchmarks.microworld.recipes.evaluators import CONTEXT
from clipsonic_benchmarks.microworld.recipes.gate import check_gate, readable_factors
from clipsonic_benchmarks.microworld.recipes.material import Captioned, Heard, captioned, corpus_folder, heard
from clipsonic_benchmarks.microworld.recipes.priors import train_prior
from clipsonic_benchmarks.microworld.recipes.recipe import Recipe
from clipsonic_benchmarks.microworld.recipes.tokenizer import learn_merges, write_merges
from clipsonic_metrics.embedders.microworld.networks import ContrastiveSoundText, FactorProbe

Vectors = NDArray[np.float32]
_HELD_OUT = 2000
"""The last pairs of the captioned split are never trained on."""


@dataclass(frozen=True)
class Workshop:
    """A working folder, a recipe and the seed of the encoders' training. Everything below is made once and kept."""

    work: Path
    recipe: Recipe
    preset: Preset
    seed: int
    workers: int
    say: Callable[[str], None]

    # Material

    @cached_property
    def pairs(self) -> Captioned:
        return captioned(self.work, self.recipe.corpora.seed, self.recipe.corpora.captioned, self.workers)

    @property
    def held_out_pairs(self) -> int:
        return min(_HELD_OUT, self.recipe.corpora.captioned // 5)

    def sounds(self, split: str) -> Heard:
        n = getattr(self.recipe.corpora, split)
        return heard(self.work, split, self.recipe.corpora.seed, n, self.workers)

    @cached_property
    def clip(self) -> FrozenClip:
        return FrozenClip(str(self.work / "clip"))

    @cached_property
    def pair_vectors(self) -> tuple[Vectors, Vectors]:
        """CLIP image and text vectors of the captioned split."""
        return self._encoded(self.clip)

    def _encoded(self, clip: FrozenClip) -> tuple[Vectors, Vectors]:
        pairs = self.pairs
        images = [clip.encode_image(pairs.frames[k : k + 500]) for k in range(0, len(pairs.frames), 500)]
        return np.concatenate(images), clip.encode_text(pairs.captions)

    def _shown_factors(self, image: Vectors) -> tuple[Vectors, NDArray[np.int64]]:
        """What the gate's readers learn from: image vectors that are not held out, and their factors."""
        shown = min(len(image) - self.held_out_pairs, 10_000)
        return image[:shown], self.pairs.factors[:shown]

    def _routes(self, image: Vectors, text: Vectors) -> dict[str, Vectors]:
        """Conditions of the held-out pairs by the routes that need no prior."""
        cut = len(image) - self.held_out_pairs
        shifted = text[cut:] - text[:cut].mean(0) + image[:cut].mean(0)
        return {
            "image": image[cut:],
            "text": text[cut:],
            "text+shift": shifted / np.linalg.norm(shifted, axis=1, keepdims=True),
        }

    def tokens(self, captions: list[str]) -> Tensor:
        merges = self.work / "merges.txt.gz"
        if not merges.exists():
            write_merges(merges, learn_merges(vocabulary()))
        return torch.as_tensor(open_clip.SimpleTokenizer(str(merges), context_length=CONTEXT)(captions))

    @cached_property
    def vocabulary(self) -> int:
        return int(self.tokens([""])[0, 1]) + 1  # the end-of-text token is the last of the vocabulary

    def prepared(self, split: str) -> PreparedData:
        folder = self.work / "prepared" / split
        if not (folder / "prepared.json").exists():
            n = getattr(self.recipe.corpora, split)
            corpus = corpus_folder(self.work, split, self.recipe.corpora.seed, n, self.workers)
            how = Preparation(self.preset.mel, str(self.work / "clip"), FRAMES_PER_SECOND)
            items = add_captions(items_of_folder(corpus / "videos"), read_captions(corpus / "captions.csv"))
            prepare(corpus / "videos", items, folder, how, workers=self.workers)
        return PreparedData(folder)

    # Stages

    def stage(self, name: str, run: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """Run a stage unless it is done; keep what it reports."""
        done = self.work / "done" / f"{name}.json"
        if not done.exists():
            self.say(f"{name}: started")
            started = time.monotonic()
            report = {"schema": 1, **run(), "wall_seconds": round(time.monotonic() - started, 1)}
            write_json(done, report)
            self.say(f"{name}: {json.dumps(report)}")
        loaded: dict[str, Any] = json.loads(done.read_text(encoding="utf-8"))
        return loaded

    def train_clip(self) -> dict[str, Any]:
        cut = len(self.pairs.captions) - self.held_out_pairs
        shown = Captioned(self.pairs.frames[:cut], self.pairs.captions[:cut], self.pairs.factors[:cut])
        seconds = train_clip(shown, self.recipe, self.seed, self.work / "runs" / "clip", self.work / "clip")
        image, text = (vectors[cut:] for vectors in self.pair_vectors)
        return {"seconds": seconds, **held_out.contrastive_scores(image, text)}

    def train_clip_replicate(self, seed: int) -> dict[str, Any]:
        """The same CLIP from another seed: its gap, and what can be read from its vectors without a prior."""
        cut = len(self.pairs.captions) - self.held_out_pairs
        shown = Captioned(self.pairs.frames[:cut], self.pairs.captions[:cut], self.pairs.factors[:cut])
        folder = self.work / f"clip-{seed}"
        seconds = train_clip(shown, self.recipe, seed, self.work / "runs" / f"clip-{seed}", folder)
        image, text = self._encoded(FrozenClip(str(folder)))
        accuracy = readable_factors(*self._shown_factors(image), self._routes(image, text), self.pairs.factors[cut:])
        scores = held_out.contrastive_scores(image[cut:], text[cut:])
        return {"seconds": seconds, "seed": seed, **scores, "accuracy": accuracy}

    def train_clap(self) -> dict[str, Any]:
        data, check = self.sounds("evaluators"), self.sounds("validation")
        model, seconds = evaluators.train_clap(
            data, self.tokens(data.captions), self.vocabulary, self.recipe.clap, self.seed, self.work / "runs" / "clap"
        )
        export.save_half(
            model, self.work / "evaluators" / "clap", {"vocabulary": self.vocabulary, "context": CONTEXT, "dim": 64}
        )
        return {"seconds": seconds, **held_out.clap_scores(model, self.tokens(check.captions), check)}

    def train_wav2clip(self) -> dict[str, Any]:
        data, check = self.sounds("evaluators"), self.sounds("validation")
        frames = _all_frames(self.prepared("evaluators"))
        model, seconds = evaluators.train_wav2clip(
            data, frames, self.recipe.wav2clip, self.seed, self.work / "runs" / "wav2clip"
        )
        export.save_half(model, self.work / "evaluators" / "wav2clip", {"dim": self.recipe.dim})
        shown = _all_frames(self.prepared("validation"))
        return {"seconds": seconds, **held_out.wav2clip_scores(model, shown, check)}

    def train_probe(self) -> dict[str, Any]:
        data = self.sounds("evaluators")
        model, seconds = evaluators.train_probe(data, self.recipe.probe, self.seed, self.work / "runs" / "probe")
        levels = {name: [str(level) for level in levels] for name, levels in LEVELS.items()}
        export.save_half(model, self.work / "evaluators" / "probe", {"levels": levels})
        return {"seconds": seconds, **held_out.probe_scores(model, self.sounds("validation"))}

    def train_prior(self, name: str) -> dict[str, Any]:
        image, text = self._prior_pairs(name)
        effort = self.recipe.prior_pd if name == "pd" else self.recipe.prior_sd
        prior, seconds = train_prior(
            torch.from_numpy(image), torch.from_numpy(text), effort, self.seed, self.work / "runs" / f"prior-{name}"
        )
        prior.save_pretrained(str(self.work / f"prior-{name}"))
        return {"seconds": seconds, **self._prior_scores(prior)}

    def _prior_pairs(self, name: str) -> tuple[Vectors, Vectors]:
        if name == "pd":
            image, text = self.pair_vectors
            return image[: -self.held_out_pairs], text[: -self.held_out_pairs]
        data = self.prepared("train")
        return data.vectors("clip_middle"), data.vectors("clip_text")

    def _prior_scores(self, prior: PriorTransformer) -> dict[str, float]:
        image, text = (vectors[-self.held_out_pairs :] for vectors in self.pair_vectors)
        ids = [str(k) for k in range(len(text))]
        how = self.preset.sampling
        drawn = sample_image_embedding(
            prior.eval(), torch.from_numpy(text), ids, 0, how.prior_guidance_scale, how.prior_steps
        )
        guess = drawn.numpy()
        return {
            "cosine_to_image": float((guess * image).sum(1).mean()),
            "text_cosine_to_image": float((text * image).sum(1).mean()),
            "gap": float(np.linalg.norm(guess.mean(0) - image.mean(0))),
        }

    def prior(self, name: str) -> PriorTransformer:
        folder = str(self.work / f"prior-{name}")
        prior: PriorTransformer = PriorTransformer.from_pretrained(folder, low_cpu_mem_usage=False)
        return prior.eval()

    def gate(self) -> dict[str, Any]:
        """Factors readable from each route's vectors, on held-out pairs."""
        image, text = self.pair_vectors
        cut = len(image) - self.held_out_pairs
        routes = self._routes(image, text)
        how = self.preset.sampling
        for name in ("pd", "sd"):
            prior = self.prior(name)
            ids = [str(k) for k in range(len(image) - cut)]
            drawn = sample_image_embedding(
                prior, torch.from_numpy(text[cut:]), ids, 0, how.prior_guidance_scale, how.prior_steps
            )
            routes[f"text+prior-{name}"] = drawn.numpy()
        accuracy = readable_factors(*self._shown_factors(image), routes, self.pairs.factors[cut:])
        check_gate(accuracy, self.recipe.gate_kind, self.recipe.gate_lead)
        return {"accuracy": accuracy}

    def train_generator(self, name: str, seed: int) -> dict[str, Any]:
        if not (self.work / "done" / "gate.json").exists():
            raise ValueError(f"{name}: the gate has not been passed; run the stage gate first")
        data = self.prepared("train")
        if name == "clip-tta":
            shown = of_captions(data)
        elif name == "clap-tta":
            shown = of_vectors(data, dict(zip(data.ids, self.clap_text(data.captions()), strict=True)))
        else:
            shown = of_frames(data)
        run = self.work / "generators" / name
        generators.train_generator(
            self.preset, shown, seed, run, lambda told: self.say(f"{name}: step {told.step} loss {told.loss:.4f}")
        )
        last = json.loads((run / "log.jsonl").read_text(encoding="utf-8").splitlines()[-1])
        return {"seconds": last["seconds"], "steps": last["step"], "seed": seed}

    def check_generator(self, name: str) -> dict[str, Any]:
        """The gate of what ships: a CLIPSonic asked by images of the validation split."""
        data = self.prepared("validation")
        model = load_model(self.work / "generators" / name / "model")
        probe = FactorProbe({factor: len(levels) for factor, levels in LEVELS.items()})
        export.load_half(probe, self.work / "evaluators" / "probe")
        frames = data.vectors("clip_middle")
        scores = generator_gate.generator_scores(model, frames, self.sounds("validation"), self.clap, probe)
        generator_gate.check_generator(name, scores, self.recipe.ship_kind, self.recipe.ship_fad)
        return scores

    @cached_property
    def clap(self) -> ContrastiveSoundText:
        return export.load_half(ContrastiveSoundText(self.vocabulary, CONTEXT), self.work / "evaluators" / "clap")

    def clap_text(self, captions: list[str]) -> Vectors:
        with torch.no_grad():
            return np.asarray(self.clap.text(self.tokens(captions)).numpy())

    def finished_model(self, name: str, clip: str = "micro") -> CLIPSonicPipeline:
        """A generator as it ships: CLIP by its shipped name, and priors and means where it has queries by text."""
        model = load_model(self.work / "generators" / name / "model")
        settings = {**model.what.as_dict(), "clip": None if name == "clap-tta" else clip}
        if name in ("clip-tta", "clap-tta"):
            return CLIPSonicPipeline(model.unet, model.scheduler, settings=settings)
        pd, sd = self.prior("pd"), self.prior("sd")
        image, text = self._prior_pairs("pd")
        return generators.with_priors(
            CLIPSonicPipeline(model.unet, model.scheduler, settings=settings), pd, sd, image, text
        )


def _all_frames(data: PreparedData) -> list[Vectors]:
    return data.frames_of(np.arange(len(data)))


def generator_names(recipe: Recipe) -> dict[str, int]:
    """Every generator by name, with its seed."""
    return {**{f"micro-{seed}": seed for seed in recipe.generator_seeds}, "clip-tta": 0, "clap-tta": 0}


def encoder_stages(shop: Workshop) -> dict[str, Callable[[], dict[str, Any]]]:
    """Everything before the generators, in order."""
    return {
        "clip": shop.train_clip,
        "clap": shop.train_clap,
        "probe": shop.train_probe,
        "wav2clip": shop.train_wav2clip,
        "prior-pd": lambda: shop.train_prior("pd"),
        "prior-sd": lambda: shop.train_prior("sd"),
        "gate": shop.gate,
    }


def train_everything(shop: Workshop, only: tuple[str, ...] = ()) -> dict[str, Any]:
    """Run all stages, or those named in `only`; return their reports.

    Raises:
        ValueError: for a stage that does not exist.
    """
    stages = encoder_stages(shop)
    for seed in shop.recipe.clip_replicates:
        stages[f"clip-{seed}"] = lambda seed=seed: shop.train_clip_replicate(seed)  # type: ignore[misc]
    for name, seed in generator_names(shop.recipe).items():
        stages[name] = lambda name=name, seed=seed: shop.train_generator(name, seed)  # type: ignore[misc]
        if name.startswith("micro-"):
            stages[f"gate-{name}"] = lambda name=name: shop.check_generator(name)  # type: ignore[misc]
    if unknown := set(only) - set(stages):
        raise ValueError(f"no stage {', '.join(sorted(unknown))}; stages: {', '.join(stages)}")
    return {name: shop.stage(name, run) for name, run in stages.items() if not only or name in only}


def new_workshop(
    work: Path,
    recipe: Recipe,
    *,
    seed: int = 0,
    workers: int = 1,
    say: Callable[[str], None],
    preset: Preset | None = None,
) -> Workshop:
    """A workshop below `work`; a folder that belongs to another recipe is refused.

    Raises:
        ValueError: naming what differs.
    """
    chosen = preset or load_preset(recipe.preset)
    wanted = json.loads(json.dumps({"recipe": asdict(recipe), "preset": asdict(chosen), "seed": seed}))
    mark = work / "recipe.json"
    if mark.exists():
        found = json.loads(mark.read_text(encoding="utf-8"))
        differs = [key for key in ("recipe", "preset", "seed") if found[key] != wanted[key]]
        if differs:
            raise ValueError(f"{work} belongs to another {' and '.join(differs)}: choose another --work")
    else:
        write_json(mark, {"schema": 1, **wanted})
    return Workshop(work, recipe, chosen, seed, workers, say)
