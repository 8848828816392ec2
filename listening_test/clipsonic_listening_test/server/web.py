"""The kit's own pages: every file of `web/`, read once, looked up by name and never joined to a path.

Files are served below a folder named after the hash of all of them, so they may be cached for ever. `index.html` and
`monitor.html` are filled in: `{{static}}` is that folder, `{{lang}}` and `{{title}}` are the study's.
"""

from __future__ import annotations

import hashlib
from html import escape
from pathlib import Path
from typing import Final

from clipsonic_listening_test.study import Study

WEB: Final = Path(__file__).parents[1] / "web"
_TYPES: Final = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".ico": "image/x-icon",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".webp": "image/webp",
    ".woff2": "font/woff2",
}


class WebFolder:
    """The files, by their name below `web/`; `version` names them all."""

    def __init__(self, study: Study, folder: Path = WEB) -> None:
        paths = sorted(path for path in folder.rglob("*") if path.suffix in _TYPES and path.is_file())
        self._files = {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}
        digest = hashlib.sha256()
        for name, data in self._files.items():
            digest.update(f"{name}\0{len(data)}\0".encode() + data)
        self.version = digest.hexdigest()[:16]
        language = study.languages[0]
        title = study.title.get(language) or next(iter(study.title.values()))
        self._values = {"static": f"static/{self.version}", "lang": language, "title": escape(title)}

    def file(self, version: str, name: str) -> tuple[bytes, str] | None:
        """Content and media type of a file, or None."""
        data = self._files.get(name) if version == self.version else None
        return None if data is None else (data, _TYPES[Path(name).suffix])

    def page(self, name: str) -> str | None:
        """A page of the kit with its placeholders filled in, or None."""
        data = self._files.get(name)
        if data is None:
            return None
        text = data.decode()
        for key, value in self._values.items():
            text = text.replace("{{" + key + "}}", value)
        return text
