"""Embedders by name. Each entry is `module:attribute`, a function that loads the embedder from
weights, or from those that ship when given None.

Nothing is imported before it is asked for: naming an embedder costs nothing, and listing them loads no weights.
"""

from __future__ import annotations

from difflib import get_close_matches
from importlib import import_module
from pathlib import Path
from typing import Any

from clipsonic_metrics.errors import MetricsError

EMBEDDERS = {
    "microworld-clap": "clipsonic_metrics.embedders.microworld:load_clap",
    "microworld-clip": "clipsonic_metrics.embedders.microworld:load_clip",
    "microworld-wav2clip": "clipsonic_metrics.embedders.microworld:load_wav2clip",
    "microworld-probe": "clipsonic_metrics.embedders.microworld:load_probe",
}


def load_embedder(name: str, weights: Path | None = None) -> Any:
    """The embedder of that name, with its own weights or others.

    Which of the interfaces of `embedder.py` it has depends on the embedder.

    Raises:
        MetricsError: unknown name (near names and all names offered), or weights that are absent or not as recorded.
    """
    if name not in EMBEDDERS:
        near = get_close_matches(name, EMBEDDERS, n=2)
        hint = f"did you mean {' or '.join(near)}? " if near else ""
        raise MetricsError(f"unknown embedder {name!r}; {hint}there are {', '.join(EMBEDDERS)}")
    module, attribute = EMBEDDERS[name].split(":")
    return getattr(import_module(module), attribute)(weights)
