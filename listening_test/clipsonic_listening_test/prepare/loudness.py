"""Loudness and true peak of a sound, ITU-R BS.1770-4, as FFmpeg's ebur128 filter measures them.

The sound is brought to a peak of full scale before it is measured and the result taken back, because the filter gives
the true peak with three decimals of full scale. The absolute gate of -70 LUFS therefore lies at -70 LUFS of the sound
at that level; stimuli are served near it, not at the level in which a file happens to come.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Final

import av
import av.filter
import numpy as np
from numpy.typing import NDArray

GATE_LUFS: Final = -70.0
_LAYOUTS: Final = {1: "mono", 2: "stereo"}

Samples = NDArray[np.float64]


@dataclass(frozen=True)
class Level:
    """Integrated loudness in LUFS, None where nothing passes the gate; true peak in dB of full scale."""

    lufs: float | None
    true_peak_dbtp: float


def measure(samples: Samples, rate_hz: int) -> Level:
    """Loudness and true peak of (frames, channels), one or two channels, not silent, 0.4 s or longer."""
    peak = float(np.max(np.abs(samples)))
    facts = _ebur128(samples / peak, rate_hz)
    peak_db = 20 * np.log10(peak)
    lufs = float(facts["lavfi.r128.I"])
    # The filter gives -70 exactly where nothing passed its gate.
    loudness = None if lufs <= GATE_LUFS else lufs + peak_db
    true_peak = max(float(facts["lavfi.r128.true_peak"]), 1.0)  # never below the sample peak
    return Level(loudness, float(20 * np.log10(true_peak) + peak_db))


def _ebur128(samples: Samples, rate_hz: int) -> dict[str, str]:
    layout = _LAYOUTS[samples.shape[1]]
    graph = av.filter.Graph()
    source = graph.add_abuffer(sample_rate=rate_hz, format="dblp", layout=layout, time_base=Fraction(1, rate_hz))
    meter = graph.add("ebur128", "peak=true:metadata=1")
    sink = graph.add("abuffersink")
    source.link_to(meter)
    meter.link_to(sink)
    graph.configure()
    frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples.T), format="dblp", layout=layout)
    frame.sample_rate = rate_hz
    frame.pts = 0
    graph.push(frame)
    graph.push(None)
    facts: dict[str, str] = {}
    try:
        while True:
            facts = dict(graph.pull().metadata) or facts
    except (av.EOFError, av.BlockingIOError):
        return facts
