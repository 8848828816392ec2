"""Listening tests of sounds: prepared from a folder, taken in a browser, never losing an answer.

    Study, load_study    a study folder, checked

A package of its own: it imports none of the others, and benchmarks hand it a folder.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from clipsonic_listening_test.errors import CheckFailed, ListeningTestError

if TYPE_CHECKING:
    from clipsonic_listening_test.study import Study, load_study

__all__ = ["CheckFailed", "ListeningTestError", "Study", "load_study"]


def __getattr__(name: str) -> Any:
    """Import what needs the extra `listen` when it is first used: `clipsonic-listen --help` does not."""
    if name not in ("Study", "load_study"):
        raise AttributeError(f"module 'clipsonic_listening_test' has no attribute {name!r}")
    from clipsonic_listening_test import study

    return getattr(study, name)
