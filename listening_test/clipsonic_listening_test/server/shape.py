"""Reading JSON from outside: every member is known, of its type and within its bounds, or the request is refused."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Collection, Mapping
from typing import Any, Final

from clipsonic_listening_test.server.refusal import Refusal

TOKEN: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
_DEEPEST: Final = 16
_MILLISECONDS: Final = 10**10  # four months


def parse(body: bytes) -> Any:
    """The JSON value of a body.

    Raises:
        Refusal: not UTF-8, not JSON, NaN or infinity, a member twice, or nested too deep.
    """
    try:
        value = json.loads(body.decode("utf-8"), parse_constant=_no_constant, object_pairs_hook=_once)
    except (ValueError, RecursionError) as error:
        raise Refusal("json", f"the body is not JSON: {error}") from error
    if _depth(value) > _DEEPEST:
        raise Refusal("json", f"the body is nested deeper than {_DEEPEST}")
    return value


def members(value: Any, where: str, required: Collection[str], optional: Collection[str] = ()) -> dict[str, Any]:
    """An object with these members and no others."""
    if not isinstance(value, dict):
        raise invalid(f"{where} is no object")
    unknown = sorted(set(value) - {*required, *optional})
    missing = sorted(set(required) - set(value))
    if unknown:
        raise invalid(f"{where} has the unknown member {unknown[0][:40]!r}")
    if missing:
        raise invalid(f"{where} lacks {missing[0]!r}")
    return value


def items(value: Any, where: str, most: int) -> list[Any]:
    """A list of at most `most`; null is none."""
    if value is None:
        return []
    if not isinstance(value, list):
        raise invalid(f"{where} is no list")
    if len(value) > most:
        raise invalid(f"{where} has {len(value)} entries, more than {most}")
    return value


def words(value: Any, where: str, longest: int) -> str:
    """A text of at most `longest` characters, without NUL."""
    if not isinstance(value, str):
        raise invalid(f"{where} is no text")
    if len(value) > longest:
        raise invalid(f"{where} is longer than {longest} characters")
    if "\x00" in value or not _encodable(value):
        raise invalid(f"{where} has a character that cannot be stored")
    return value


def token(value: Any, where: str) -> str:
    """1 to 64 of A-Z a-z 0-9 _ -."""
    if not isinstance(value, str) or not TOKEN.fullmatch(value):
        raise invalid(f"{where} is not 1 to 64 of A-Z a-z 0-9 _ -")
    return value


def number(value: Any, where: str, low: float, high: float) -> float:
    """A finite number from low to high. true and false are none."""
    if type(value) not in (int, float) or not math.isfinite(value):
        raise invalid(f"{where} is no number")
    if not low <= value <= high:
        raise invalid(f"{where} is {value}, not from {low} to {high}")
    return float(value)


def whole(value: Any, where: str, low: int, high: int) -> int:
    """An integer from low to high."""
    if number(value, where, low, high) != int(value):
        raise invalid(f"{where} is {value}, no whole number")
    return int(value)


def milliseconds(value: Any, where: str) -> int:
    """A duration; browsers measure in fractions of a millisecond, which are dropped."""
    return int(number(value, where, 0, _MILLISECONDS))


def truth(value: Any, where: str) -> bool:
    """true or false."""
    if not isinstance(value, bool):
        raise invalid(f"{where} is neither true nor false")
    return value


def one_of(value: Any, where: str, allowed: Collection[str]) -> str:
    """One of some words."""
    if not isinstance(value, str) or value not in allowed:
        raise invalid(f"{where} is not one of {', '.join(sorted(allowed))}")
    return value


def texts(value: Any, where: str, longest: int, most: int) -> Mapping[str, str]:
    """An object of short texts."""
    if not isinstance(value, dict) or len(value) > most:
        raise invalid(f"{where} is no object of up to {most} members")
    return {words(name, where, 64): words(each, f"{where}.{name}", longest) for name, each in value.items()}


def invalid(message: str) -> Refusal:
    """The refusal of something of the wrong shape."""
    return Refusal("invalid", message)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a member stands there twice")
    return found


def _no_constant(word: str) -> None:
    raise ValueError(f"{word} is no JSON number")


def _encodable(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:  # half of a surrogate pair
        return False
    return True


def _depth(value: Any) -> int:
    deepest, row = 0, [value]
    while row and deepest <= _DEEPEST:
        deepest += 1
        row = [
            inner
            for each in row
            if isinstance(each, dict | list)
            for inner in (each.values() if isinstance(each, dict) else each)
        ]
    return deepest
