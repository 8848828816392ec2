"""Listening tests of sounds: prepared from a folder, taken in a browser, never losing an answer.

    Study, load_study    a study folder, checked

A package of its own: it imports none of the others, and benchmarks hand it a folder.
"""

from __future__ import annotations

from clipsonic_listening_test.errors import CheckFailed, ListeningTestError
from clipsonic_listening_test.study import Study, load_study

__all__ = ["CheckFailed", "ListeningTestError", "Study", "load_study"]
