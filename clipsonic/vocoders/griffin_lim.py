"""Griffin-Lim: any log-mel to samples, without weights."""

from __future__ import annotations

import torch
from torch import Tensor
from torchaudio.functional import griffinlim

from clipsonic.mel import MelConfig, mel_filters


class GriffinLimVocoder(torch.nn.Module):
    """Invert the mel matrix by non-negative least squares, then find phases (Griffin & Lim 1984; Perraudin 2013).

    The phase search starts at zero phase, not at random, so a log-mel always gives the same samples.
    """

    filters: Tensor
    inverse: Tensor
    window: Tensor

    def __init__(self, config: MelConfig, iterations: int = 16, inversion_steps: int = 12) -> None:
        super().__init__()
        self.config = config
        self.iterations = iterations
        self.inversion_steps = inversion_steps
        filters = mel_filters(config)
        self.register_buffer("filters", filters, persistent=False)
        self.register_buffer("inverse", torch.linalg.pinv(filters), persistent=False)
        self.register_buffer("window", torch.hann_window(config.n_fft), persistent=False)

    def magnitudes(self, log_mel: Tensor) -> Tensor:
        """Non-negative STFT magnitudes whose mel is `log_mel`: multiplicative updates of the clamped pseudo-inverse."""
        mel = log_mel.exp()
        guess = torch.clamp(self.inverse @ mel, min=1e-5)
        for _ in range(self.inversion_steps):  # Lee & Seung 2001: never leaves the positive orthant
            guess = guess * (self.filters.T @ mel) / (self.filters.T @ (self.filters @ guess) + 1e-8)
        return guess

    @torch.no_grad()
    def forward(self, log_mel: Tensor) -> Tensor:
        """(items, bands, frames) to (items, frames * hop) samples, beyond [-1, 1] where the log-mel asks for it.

        One item at a time: the search amplifies the rounding that differs between batch sizes until it can be heard.
        """
        return torch.cat([self._invert(item[None]) for item in log_mel])

    def _invert(self, log_mel: Tensor) -> Tensor:
        config = self.config
        samples = griffinlim(
            self.magnitudes(log_mel),
            window=self.window,
            n_fft=config.n_fft,
            hop_length=config.hop,
            win_length=config.n_fft,
            power=1.0,
            n_iter=self.iterations,
            momentum=0.99,
            length=None,
            rand_init=False,
        )
        return _fit(samples, log_mel.shape[-1] * config.hop, config)


def _fit(samples: Tensor, length: int, config: MelConfig) -> Tensor:
    """Centred frames start half a hop earlier than `LogMel`'s: undo the shift, then cut or pad to whole frames."""
    shifted = torch.nn.functional.pad(samples, (config.hop // 2, 0))[:, :length]
    return torch.nn.functional.pad(shifted, (0, length - shifted.shape[1]))
