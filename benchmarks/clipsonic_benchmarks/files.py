"""Digests and writes. Every file is written beside its final name and moved there, so it is whole or absent.

A log of lines is the exception: lines are appended and synced to disk, and a last line that a kill has torn is cut
off before the next append.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from clipsonic_benchmarks.errors import BenchmarkError


def digest(value: object) -> str:
    """SHA-256 of a JSON value, independent of key order and spacing."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def file_digest(path: Path) -> str:
    """SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def tree_digest(folder: Path) -> str:
    """SHA-256 over the relative names and bytes of all files below a folder, hidden files left out."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and not path.name.startswith("."))
    return digest([[path.relative_to(folder).as_posix(), file_digest(path)] for path in files])


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file, atomically; parent folders are made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with partial.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    except OSError as error:
        error.filename = error.filename or str(path)  # a failed write does not say where
        raise
    finally:
        partial.unlink(missing_ok=True)


def write_json(path: Path, record: Mapping[str, Any]) -> None:
    """Write one JSON record, atomically. Its first key must be `schema`."""
    assert next(iter(record)) == "schema"
    write_bytes(path, (json.dumps(record, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode())


def read_json(path: Path, schema: int, made_by: str) -> dict[str, Any]:
    """Read a JSON record of one schema.

    Raises:
        BenchmarkError: not there, not JSON, or of another schema.
    """
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise BenchmarkError(f"{path} does not exist; make it with: {made_by}") from None
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise BenchmarkError(f"{path} is not JSON ({error}); make it anew with: {made_by}") from None
    if not isinstance(record, dict) or record.get("schema") != schema:
        found = record.get("schema") if isinstance(record, dict) else type(record).__name__
        raise BenchmarkError(
            f"{path} has schema {found}; this version reads schema {schema}: make it anew with: {made_by}"
        )
    return record


def jsonl(lines: Iterable[Mapping[str, Any]]) -> bytes:
    """JSON lines, each ended by a newline."""
    return "".join(json.dumps(line, ensure_ascii=False, allow_nan=False) + "\n" for line in lines).encode()


def append_lines(path: Path, lines: Iterable[Mapping[str, Any]]) -> None:
    """Append JSON lines in one write and wait until they are on disk. A failed write leaves no torn line behind."""
    size = path.stat().st_size if path.exists() else 0
    with path.open("ab") as file:
        try:
            file.write(jsonl(lines))
            file.flush()
            os.fsync(file.fileno())
        except OSError:
            os.truncate(path, size)
            raise


def read_lines(path: Path) -> list[dict[str, Any]]:
    """Read JSON lines; an unfinished last line, which a kill leaves, is cut off the file.

    Raises:
        BenchmarkError: a finished line that is not JSON.
    """
    if not path.exists():
        return []
    data = path.read_bytes()
    whole = data.rfind(b"\n") + 1
    if whole < len(data):
        os.truncate(path, whole)
    lines = []
    for number, line in enumerate(data[:whole].splitlines(), start=1):
        try:
            lines.append(json.loads(line))
        except json.JSONDecodeError:
            raise BenchmarkError(f"{path}, line {number}, is not JSON; delete the run's folder and run again") from None
    return lines
