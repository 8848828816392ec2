"""Log-mel spectrograms: the only place that knows n_fft, hop, bands and floor, and the only inverse of normalisation.

Definition (BigVGAN's, `meldataset.py`, so that its vocoders fit): reflect-pad by (n_fft - hop) / 2 on both sides,
uncentred STFT with a periodic Hann window, magnitude sqrt(|X|^2 + 1e-9), Slaney mel filters, natural logarithm of
max(mel, floor). `samples // hop` frames. The diffusion model sees (log_mel - centre) / scale, cut into patches of
`patch` (bands, frames): a lossless rearrangement to (patch size) channels on a coarser grid.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass

import torch
from torch import Tensor
from torchaudio.functional import melscale_fbanks


@dataclass(frozen=True)
class MelConfig:
    """What a log-mel spectrogram is. Frequencies in Hz, times in samples; `centre` and `scale` in log units.

    `ceiling`, in log units, bounds what a model may generate, not what is analysed: guidance overshoots, and a log-mel
    two units too high is a sound beyond full scale.
    """

    rate_hz: int = 16_000
    n_fft: int = 1024
    hop: int = 256
    bands: int = 64
    frames: int = 128
    f_min_hz: float = 0.0
    f_max_hz: float = 8000.0
    floor: float = 1e-3
    ceiling: float = 1.6
    centre: float = -4.0
    scale: float = 2.25
    patch: tuple[int, int] = (8, 8)

    def __post_init__(self) -> None:
        whole = {name: getattr(self, name) for name in ("rate_hz", "n_fft", "hop", "bands", "frames")}
        if bad := [f"{name} {value!r}" for name, value in whole.items() if type(value) is not int or value < 1]:
            raise ValueError(f"mel: {', '.join(bad)}; expected whole numbers above 0")
        if self.hop > self.n_fft:
            raise ValueError(f"mel: hop {self.hop} is beyond n_fft {self.n_fft}: samples would be passed over")
        if not 0 <= self.f_min_hz < self.f_max_hz <= self.rate_hz / 2:
            raise ValueError(
                f"mel: f_min_hz {self.f_min_hz} and f_max_hz {self.f_max_hz}, expected a range within 0 to rate_hz / 2"
            )
        if not 0 < self.floor < math.inf or not math.log(self.floor) < self.ceiling < math.inf:
            raise ValueError(f"mel: floor {self.floor} and ceiling {self.ceiling}, expected 0 < floor < exp(ceiling)")
        if not math.isfinite(self.centre) or not 0 < self.scale < math.inf:
            raise ValueError(f"mel: centre {self.centre} and scale {self.scale}, expected finite ones, scale above 0")
        patch: object = self.patch
        if not isinstance(patch, tuple) or len(patch) != 2 or any(type(side) is not int or side < 1 for side in patch):
            raise ValueError(f"mel: patch must be two whole numbers above 0, found {patch!r}")
        if self.bands % self.patch[0] or self.frames % self.patch[1]:
            raise ValueError(f"patch {self.patch} does not divide {self.bands} bands x {self.frames} frames")

    @property
    def samples(self) -> int:
        """Samples of one clip."""
        return self.frames * self.hop

    @property
    def grid(self) -> tuple[int, int]:
        """Patches along frequency and time."""
        return self.bands // self.patch[0], self.frames // self.patch[1]

    @property
    def channels(self) -> int:
        """Values in a patch."""
        return self.patch[0] * self.patch[1]

    def as_dict(self) -> dict[str, object]:
        return {**asdict(self), "patch": list(self.patch)}

    @classmethod
    def from_dict(cls, values: dict[str, object]) -> MelConfig:
        """Read what `as_dict` wrote.

        Raises:
            ValueError: naming the keys that are missing or unknown, or whose values cannot be.
        """
        known = set(cls.__dataclass_fields__)
        if set(values) != known:
            raise ValueError(
                f"mel definition: missing {sorted(known - set(values))}, unknown {sorted(set(values) - known)}"
            )
        patch = values["patch"]
        return cls(**{**values, "patch": tuple(patch) if isinstance(patch, list) else patch})  # type: ignore[arg-type]


class LogMel(torch.nn.Module):
    """Samples to log-mel spectrograms as `config` defines them."""

    filters: Tensor
    window: Tensor

    def __init__(self, config: MelConfig) -> None:
        super().__init__()
        self.config = config
        self.register_buffer("filters", mel_filters(config), persistent=False)
        self.register_buffer("window", torch.hann_window(config.n_fft), persistent=False)

    def forward(self, samples: Tensor) -> Tensor:
        """(items, time) in [-1, 1] at `rate_hz` to (items, bands, time // hop), natural log, >= log(floor)."""
        config = self.config
        pad = (config.n_fft - config.hop) // 2
        padded = torch.nn.functional.pad(samples[:, None], (pad, pad), mode="reflect")[:, 0]
        spectrum = torch.stft(padded, config.n_fft, config.hop, window=self.window, center=False, return_complex=True)
        magnitude = torch.sqrt(spectrum.real.square() + spectrum.imag.square() + 1e-9)
        return torch.log(torch.clamp(self.filters @ magnitude, min=config.floor))


def mel_filters(config: MelConfig) -> Tensor:
    """The mel matrix, (bands, n_fft // 2 + 1), Slaney scale and norm."""
    filters: Tensor = melscale_fbanks(
        config.n_fft // 2 + 1, config.f_min_hz, config.f_max_hz, config.bands, config.rate_hz, "slaney", "slaney"
    )
    return filters.T.contiguous()


def normalise(log_mel: Tensor, config: MelConfig) -> Tensor:
    """Log-mel to what the diffusion model sees: zero mean and unit variance over a typical corpus."""
    return (log_mel - config.centre) / config.scale


def denormalise(values: Tensor, config: MelConfig) -> Tensor:
    """The exact inverse of `normalise`, held above the floor that every log-mel has and below `ceiling`."""
    return torch.clamp(values * config.scale + config.centre, min=math.log(config.floor), max=config.ceiling)


def to_patches(values: Tensor, config: MelConfig) -> Tensor:
    """(items, bands, frames) to (items, channels, *grid)."""
    (rows, columns), (high, wide) = config.grid, config.patch
    split = values.reshape(-1, rows, high, columns, wide)
    return split.permute(0, 2, 4, 1, 3).reshape(-1, high * wide, rows, columns)


def from_patches(patches: Tensor, config: MelConfig) -> Tensor:
    """The exact inverse of `to_patches`."""
    (rows, columns), (high, wide) = config.grid, config.patch
    split = patches.reshape(-1, high, wide, rows, columns)
    return split.permute(0, 3, 1, 4, 2).reshape(-1, rows * high, columns * wide)
