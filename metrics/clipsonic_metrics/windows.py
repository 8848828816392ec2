"""How a sound of any length becomes windows of the one length that an encoder takes.

Windows do not overlap (hop = window). What is left over at the end counts as a window, repeated to fill it, when it is
at least half a window long, and is left out when it is shorter. A sound shorter than one window is always repeated to
fill one. Nothing is drawn at random, and nothing is filled with zeros: a mostly silent window is a sound nobody made.
"""

from __future__ import annotations

import numpy as np

from clipsonic_metrics.sound import Samples

RULE = "repeat-pad-tail-half"


def split_windows(samples: Samples, length: int) -> Samples:
    """Cut (time,) samples into (windows, length), at least one.

    Raises:
        ValueError: no samples, or a length below one.
    """
    if len(samples) == 0 or length < 1:
        raise ValueError(f"{len(samples)} samples cannot be cut into windows of {length}")
    whole, rest = divmod(len(samples), length)
    windows = [samples[: whole * length].reshape(whole, length)]
    if whole == 0 or 2 * rest >= length:
        windows.append(np.resize(samples[whole * length :], (1, length)))  # np.resize repeats
    return np.ascontiguousarray(np.concatenate(windows), dtype=np.float32)
