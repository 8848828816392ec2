"""Errors a caller can mend. Each message is one line: what was found, what was expected, what to do next."""

from __future__ import annotations


class MetricsError(ValueError):
    """Input that cannot be scored: wrong shape, missing file, unknown name. The command exits with 2."""

    exit_code = 2


class NotComparable(MetricsError):
    """Two results or embeddings made under different protocols. The command exits with 3."""

    exit_code = 3


class NotInProfile(MetricsError):
    """A profile does not have the embedder that is to listen by it."""
