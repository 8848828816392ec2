"""Conversions between sampling rates, each by the name that protocol ids carry.

soxr-hq                 libsoxr, HQ: the default here; what stable-audio-metrics uses too
torchaudio-hann6        torchaudio's windowed sinc with its defaults (Hann, width 6): audioldm_eval, av-benchmark
torchaudio-kaiser64     the same with a Kaiser window, width 64, roll-off 0.9475937167399596, beta 14.769656459379492:
                        fadtk
resampy-kaiser-best     resampy's default: frechet-audio-distance, torchvggish (of the extra `peers`)
"""

from __future__ import annotations

from importlib import import_module
from typing import Literal

import numpy as np
import soxr
from numpy.typing import NDArray

from clipsonic_metrics.errors import MetricsError

Resampler = Literal["soxr-hq", "torchaudio-hann6", "torchaudio-kaiser64", "resampy-kaiser-best"]


def resample(samples: NDArray[np.float32], from_hz: int, to_hz: int, resampler: Resampler) -> NDArray[np.float32]:
    """Samples (time,) float32 at another rate; the same array where the rates are equal.

    Raises:
        MetricsError: the resampler is one of a package that is not installed.
    """
    if from_hz == to_hz or len(samples) == 0:
        return samples
    if resampler == "soxr-hq":
        return np.asarray(soxr.resample(samples, from_hz, to_hz, quality="HQ"), dtype=np.float32)
    if resampler == "resampy-kaiser-best":
        return _by_resampy(samples, from_hz, to_hz)
    return _by_torchaudio(samples, from_hz, to_hz, resampler)


def _by_resampy(samples: NDArray[np.float32], from_hz: int, to_hz: int) -> NDArray[np.float32]:
    try:
        resampy = import_module("resampy")
    except ModuleNotFoundError as error:
        raise MetricsError("resampy is not installed; install the extra 'peers', or choose another profile") from error
    return np.asarray(resampy.resample(samples, from_hz, to_hz), dtype=np.float32)


def _by_torchaudio(samples: NDArray[np.float32], from_hz: int, to_hz: int, resampler: Resampler) -> NDArray[np.float32]:
    import torch
    from torchaudio.functional import resample as sinc

    given = torch.from_numpy(np.array(samples))
    if resampler == "torchaudio-hann6":
        return np.asarray(sinc(given, from_hz, to_hz).numpy())
    method, rolloff, beta = "sinc_interp_kaiser", 0.9475937167399596, 14.769656459379492
    found = sinc(given, from_hz, to_hz, lowpass_filter_width=64, rolloff=rolloff, resampling_method=method, beta=beta)
    return np.asarray(found.numpy())
