"""Fetching published weights: resumed where a connection broke, whole or not there at all, the same file ever after.

What has arrived lies in FILE.part. A later attempt asks for the rest only, on condition (If-Range) that the server
still has the file the part is of; a server that has another one, or cannot resume, sends it from the start. When it is
whole, its SHA-256 is compared with the one its makers published, or recorded by an earlier fetch; it is recorded if
there is none, and the part is renamed. One process at a time fetches a file.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import IO, Final

from clipsonic_metrics.atomic import write_whole
from clipsonic_metrics.errors import MetricsError
from clipsonic_metrics.sources import SCHEMA, RemoteFile, default_folder, record, record_path, source

Advance = Callable[[int, int], None]
_CHUNK: Final = 1 << 20
_TIMEOUT_S: Final = 60
_FRUITLESS: Final = 3


def fetch(name: str, folder: Path | None = None, advance: Advance | None = None) -> Path:
    """Fetch the weights of that name, or what is missing of them, and return what a loader is given.

    `advance` is called with the bytes that have arrived of a file, and its size (0 if the server does not say).

    Raises:
        MetricsError: unknown name; the server cannot be reached, refuses, or breaks off again and again; the folder
            cannot be written to, or is full; or the file is not the one recorded. What has arrived is kept, except
            in the last case.
    """
    wanted = source(name)
    of_name = (folder or default_folder()) / name
    for file in wanted.files:
        path = of_name / file.name
        if path.is_file() and record(path):
            continue
        try:
            of_name.mkdir(parents=True, exist_ok=True)
            with _alone(path):
                _fetch(file, path, advance or (lambda done, total: None))
        except OSError as error:
            remedy = "make room there, or set $CLIPSONIC_WEIGHTS to another folder; what has arrived is kept"
            raise MetricsError(f"{path} cannot be written ({error.strerror or error}); {remedy}") from error
    return wanted.path(of_name)


def _fetch(file: RemoteFile, path: Path, advance: Advance) -> None:
    part, fruitless, reason = _part(path), 0, ""
    while fruitless < _FRUITLESS:
        before = _size(part)
        try:
            whole = _receive(file.url, part, advance)
        except urllib.error.HTTPError as error:
            if error.code != 416:
                raise MetricsError(
                    f"{file.url} answers {error.code} {error.reason}; try later, or {_BY_HAND}"
                ) from error
            whole, reason = error.headers.get("Content-Range") == f"bytes */{before}", "no such part of the file"
            if not whole:  # the part is longer than the file: it is of something else
                _discard(part)
        except (HTTPException, urllib.error.URLError, ConnectionError, TimeoutError, _Broken) as error:
            whole, reason = False, str(getattr(error, "reason", "") or error or type(error).__name__)
        if whole:
            _accept(file, path, part)
            return
        fruitless = 0 if _size(part) > before else fruitless + 1
    kept = f"{_size(part)} bytes have arrived and are kept; type the same again to go on"
    raise MetricsError(f"{file.url} cannot be fetched ({reason}): {kept}, or {_BY_HAND}")


_BY_HAND: Final = "get the file by hand and give it by --weights"


class _Broken(Exception):
    """The connection ended before the file did."""


def _receive(url: str, part: Path, advance: Advance) -> bool:
    """Receive a file, or the rest of it, into `part`. True when it is whole."""
    have, mark = _size(part), _mark(part)
    request = urllib.request.Request(url, headers={"User-Agent": "clipsonic-metrics", "Accept-Encoding": "identity"})
    if have and mark:
        request.add_header("Range", f"bytes={have}-")
        request.add_header("If-Range", mark)
    with urllib.request.urlopen(request, timeout=_TIMEOUT_S) as answer:
        resumed = answer.status == 206 and (answer.headers.get("Content-Range") or "").startswith(f"bytes {have}-")
        if answer.status == 206 and not resumed:
            raise _Broken("the server sent another part of the file than asked for")
        if not resumed:
            have = 0
            part.unlink(missing_ok=True)
            _write_mark(part, answer)
        total = _total(answer, have)
        with part.open("ab") as out:
            while chunk := _read(answer):
                out.write(chunk)
                have += len(chunk)
                advance(have, total)
    if total and have < total:
        raise _Broken(f"the connection ended after {have} of {total} bytes")
    return True


def _read(answer: HTTPResponse) -> bytes:
    try:
        return answer.read1(_CHUNK)
    except OSError as error:  # of the connection, not of the disk
        raise _Broken(error.strerror or str(error)) from error


def _total(answer: HTTPResponse, have: int) -> int:
    ranged = re.fullmatch(r"bytes \d+-\d+/(\d+)", answer.headers.get("Content-Range") or "")
    if ranged:
        return int(ranged[1])
    length = answer.headers.get("Content-Length")
    return have + int(length) if length else 0


def _accept(file: RemoteFile, path: Path, part: Path) -> None:
    with part.open("rb") as whole:
        found = hashlib.file_digest(whole, "sha256").hexdigest()
    recorded = record(path)
    expected = recorded or file.sha256_begins
    if expected and not found.startswith(expected):
        whose = f"{record_path(path)} records" if recorded else "its makers publish"
        _discard(part)
        remedy = "nothing was kept; if they changed it on purpose, delete the record" if recorded else "try again"
        raise MetricsError(f"{file.url} gave sha256 {found[:12]}, {whose} {expected[:12]}; {remedy}")
    facts = {"schema": SCHEMA, "sha256": found, "bytes": _size(part), "url": file.url}
    with part.open("rb+") as whole:
        os.fsync(whole.fileno())
    if not recorded:
        write_whole(record_path(path), (json.dumps(facts, indent=1) + "\n").encode())
    os.replace(part, path)
    _discard(part)


def _part(path: Path) -> Path:
    return path.with_name(f"{path.name}.part")


def _size(part: Path) -> int:
    return part.stat().st_size if part.exists() else 0


def _mark_path(part: Path) -> Path:
    return part.with_name(f"{part.name}.etag")


def _mark(part: Path) -> str:
    """What the server called the version of the file that the part is of."""
    return _mark_path(part).read_text(encoding="utf-8") if _mark_path(part).exists() else ""


def _write_mark(part: Path, answer: HTTPResponse) -> None:
    mark = answer.headers.get("ETag") or answer.headers.get("Last-Modified") or ""
    mark = "" if mark.startswith("W/") else mark  # a weak one does not vouch for bytes
    write_whole(_mark_path(part), mark.encode())


def _discard(part: Path) -> None:
    part.unlink(missing_ok=True)
    _mark_path(part).unlink(missing_ok=True)


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Hold the lock of a file while it is fetched; the lock goes with the process, however that ends."""
    lock: IO[bytes]
    with path.with_name(f".{path.name}.lock").open("ab") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise MetricsError(f"another process is fetching {path}; wait for it") from error
        yield
