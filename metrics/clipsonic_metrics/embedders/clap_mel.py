"""What LAION's CLAP sees of a sound: log-mel spectrograms, as its training code defines them.

    both        48 kHz, Hann window of 1024, hop 480, centred (reflected), power, 64 bands of 50-14000 Hz,
                10 log10(max(1e-10, power))
    plain       Slaney's scale, each band divided by its width: networks without fusion take (1, 1001, 64) of 10 s
    fused       the HTK scale, bands of height one: networks with fusion take (4, 1001, 64), of any length: the whole,
                and three pieces of 10 s, one from each third. A sound of 10 s or less is the same piece four times, and
                is not "longer".

The training code draws the three pieces at random; here each is the middle one of its third, so that a sound has one
embedding. The whole is shrunk to 1001 frames by linear interpolation without antialiasing, as torchvision did when the
networks were trained; from 0.17 on it smooths first, and laion_clap on it gives longer sounds other embeddings.

Computed in float64: in float32 the rounding of loud bands fills the quiet ones, by decibels.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from torch import Tensor

RATE_HZ: Final = 48_000
SAMPLES: Final = 480_000
BANDS: Final = 64
HOP: Final = 480
FFT: Final = 1024
RANGE_HZ: Final = (50, 14_000)
FRAMES: Final = SAMPLES // HOP + 1

Scale = Literal["plain", "fused"]


def log_mel(samples: Tensor, scale: Scale, range_hz: tuple[float, float] = RANGE_HZ) -> Tensor:
    """(rows, time) samples to (rows, 1 + time // 480, 64) decibels, float32."""
    import torch

    window = torch.hann_window(FFT, dtype=torch.float64)
    spectra = torch.stft(samples.double(), FFT, HOP, window=window, pad_mode="reflect", return_complex=True)
    power = spectra.abs().square().transpose(1, 2) @ _filters(scale, range_hz)
    return (10 * power.clamp(min=1e-10).log10()).float()


def fused_mel(samples: Tensor, range_hz: tuple[float, float] = RANGE_HZ) -> tuple[Tensor, Tensor]:
    """(time,) samples of 10 s or more to (4, 1001, 64) decibels, and whether it is longer, (1,) bool."""
    import torch
    from torch.nn.functional import interpolate

    mel = log_mel(samples[None], "fused", range_hz)[0]
    if len(mel) <= FRAMES:
        return mel.expand(4, -1, -1), torch.tensor([False])
    begins = torch.tensor_split(torch.arange(len(mel) - FRAMES + 1), 3)
    middles = [int(third[len(third) // 2]) if len(third) else 0 for third in begins]
    whole = interpolate(mel[None, None], size=(FRAMES, BANDS), mode="bilinear", align_corners=False)[0, 0]
    return torch.stack([whole, *(mel[begin : begin + FRAMES] for begin in middles)]), torch.tensor([True])


@functools.cache
def _filters(scale: Scale, range_hz: tuple[float, float]) -> Tensor:
    from torchaudio.functional import melscale_fbanks

    norm, mel_scale = (None, "htk") if scale == "fused" else ("slaney", "slaney")
    filters: Tensor = melscale_fbanks(FFT // 2 + 1, *range_hz, BANDS, RATE_HZ, norm=norm, mel_scale=mel_scale)
    return filters.double()
