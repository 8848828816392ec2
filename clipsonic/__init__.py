"""CLIPSonic: learn text-to-audio synthesis from unlabeled videos through CLIP (reference implementation)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

__all__ = ["CLIPSonicPipeline", "FrozenClip", "GeneratedAudio", "LogMel", "MelConfig", "load_model"]

if TYPE_CHECKING:
    from clipsonic.clip import FrozenClip
    from clipsonic.mel import LogMel, MelConfig
    from clipsonic.pipeline import CLIPSonicPipeline, GeneratedAudio, load_model

_HOMES = {
    "CLIPSonicPipeline": "pipeline",
    "FrozenClip": "clip",
    "GeneratedAudio": "pipeline",
    "LogMel": "mel",
    "MelConfig": "mel",
    "load_model": "pipeline",
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used: `clipsonic --help` needs no torch."""
    if name not in _HOMES:
        raise AttributeError(f"module 'clipsonic' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"clipsonic.{_HOMES[name]}"), name)
