"""Errors a user can cause. Each message is one line: what was found, what was expected, what to type next."""

from __future__ import annotations


class BenchmarkError(Exception):
    """Bad input or usage. The command prints the message and exits with 2."""

    exit_code = 2


class NotComparable(BenchmarkError):
    """Two things that must not stand in one table. The command exits with 3."""

    exit_code = 3


class CheckFailed(BenchmarkError):
    """The run finished, but something it declares about itself does not hold. The command exits with 1."""

    exit_code = 1
