"""The numbers of the micro-world's training: one frozen record, chosen on the validation split and then left alone."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Corpora:
    """How many items of each split, all of one seed that no evaluation uses."""

    seed: int = 1
    captioned: int = 60_000
    train: int = 16_000
    evaluators: int = 6_000
    validation: int = 1_000


@dataclass(frozen=True)
class Effort:
    """Steps, batch size and peak learning rate of one model."""

    steps: int
    batch: int
    learning_rate: float


@dataclass(frozen=True)
class Recipe:
    """Everything `clipsonic-bench microworld train` does. `logit_scale` is 1 / temperature and fixed throughout.

    `gate_kind`: the least accuracy at which the kind must be readable from image vectors; `gate_lead`: by how much, in
    accuracy averaged over the factors, images must be more readable than any text route. Else no generator is trained.
    `ship_kind` and `ship_fad`: what a generator must reach on the validation split to ship (generator_gate.py).
    `clip_replicates`: further seeds of CLIP, trained only to show how much its scores owe to the seed.
    """

    corpora: Corpora = field(default_factory=Corpora)
    dim: int = 64
    logit_scale: float = 300.0
    clip: Effort = Effort(1500, 256, 1e-3)
    clap: Effort = Effort(900, 128, 2e-3)
    wav2clip: Effort = Effort(600, 128, 2e-3)
    probe: Effort = Effort(600, 128, 2e-3)
    prior_pd: Effort = Effort(4000, 256, 1e-3)
    prior_sd: Effort = Effort(4000, 256, 1e-3)
    preset: str = "micro"
    gate_kind: float = 0.9
    gate_lead: float = 0.05
    ship_kind: float = 0.85
    ship_fad: float = 5.0
    clip_replicates: tuple[int, ...] = (1,)
    generator_seeds: tuple[int, ...] = (0, 1, 2)
