"""Listening tests for sounds that benchmarks hand over as a folder. This version holds no kit yet, only its place.

It will read `study/` folders (`study.json` and `sounds/`) and import none of the other packages.
"""

from __future__ import annotations

__all__: list[str] = []
