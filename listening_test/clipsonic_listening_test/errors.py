"""Errors a user can mend. Each message is one line: what was found, what was expected, what to type next."""

from __future__ import annotations


class ListeningTestError(Exception):
    """Bad input or usage. The command prints the message and exits with 2."""

    exit_code = 2


class CheckFailed(ListeningTestError):
    """Something that was checked does not hold. The command exits with 1."""

    exit_code = 1
