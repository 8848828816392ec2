"""Weights of the micro-world's encoders on disk, checked by digest whenever they are loaded.

A folder of weights holds

    NAME.safetensors, NAME.json   for NAME of `clap`, `wav2clip` and `probe`: the state of the network (float16), and
                                  `schema` with the arguments that build it
    clip/                         open_clip's own layout, with `merges.txt.gz`, the byte-pair merges that `clap` shares
    digests.json                  `schema`, and `sha256` of every other file; `write_digests` writes it, last
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from clipsonic_metrics.atomic import write_whole
from clipsonic_metrics.errors import MetricsError

if TYPE_CHECKING:
    from torch import nn

SCHEMA: Final = 1
SHIPPED: Final = Path(__file__).parents[2] / "weights" / "microworld"
_DIGESTS: Final = "digests.json"


def write_digests(folder: str | Path) -> dict[str, str]:
    """Write `digests.json` of a folder of weights that is complete, and return what it holds, by path below it."""
    folder = Path(folder)
    paths = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != _DIGESTS)
    digests = {path.relative_to(folder).as_posix(): _digest(path) for path in paths}
    write_whole(folder / _DIGESTS, (json.dumps({"schema": SCHEMA, "sha256": digests}, indent=1) + "\n").encode())
    return digests


class WeightsFolder:
    """A folder of weights whose files are what `digests.json` says they are, each checked before it is used."""

    def __init__(self, folder: str | Path) -> None:
        """Read `digests.json`.

        Raises:
            MetricsError: not there, or not such a file.
        """
        self._folder = Path(folder)
        record = self._json(_DIGESTS, ("sha256",))
        self._digests: Mapping[str, str] = record["sha256"]

    def digest(self, name: str) -> str:
        """SHA-256 of a file as recorded.

        Raises:
            MetricsError: the record does not name it.
        """
        if name not in self._digests:
            raise MetricsError(f"{self._folder / _DIGESTS} does not name {name}; is {self._folder} complete?")
        return self._digests[name]

    def checked_digest(self, name: str) -> str:
        """SHA-256 of a file, which is as recorded.

        Raises:
            MetricsError: it is absent, or has another digest.
        """
        self.path(name)
        return self.digest(name)

    def path(self, name: str) -> Path:
        """Path of a file that has the digest recorded.

        Raises:
            MetricsError: it is absent, or has another digest.
        """
        path, expected = self._folder / name, self.digest(name)
        found = _digest(path)
        if found != expected:
            raise MetricsError(f"{path} has sha256 {found[:12]}, its record says {expected[:12]}; restore the file")
        return path

    def arguments(self, name: str, keys: tuple[str, ...]) -> dict[str, Any]:
        """What NAME.json says about a network, which must have the keys.

        Raises:
            MetricsError: unreadable, not as recorded, of another schema, or without one of the keys.
        """
        self.path(f"{name}.json")
        return self._json(f"{name}.json", keys)

    def load_state(self, name: str, network: nn.Module) -> None:
        """Put NAME.safetensors into a network, in evaluation mode and without gradients.

        Raises:
            MetricsError: the file is absent, not as recorded, or does not fit the network.
        """
        import safetensors.torch
        from safetensors import SafetensorError

        path = self.path(f"{name}.safetensors")
        try:
            network.load_state_dict(safetensors.torch.load_file(str(path)))
        except (RuntimeError, SafetensorError) as error:
            raise MetricsError(f"{path} does not fit its network ({str(error).splitlines()[0]}); restore it") from error
        network.eval().requires_grad_(False)

    def _json(self, name: str, keys: tuple[str, ...]) -> dict[str, Any]:
        path = self._folder / name
        try:
            record = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            remedy = "give a folder of the micro-world's weights by --weights"
            raise MetricsError(f"{path} cannot be read ({error}); {remedy}") from error
        if not isinstance(record, dict) or record.get("schema") != SCHEMA or not all(key in record for key in keys):
            raise MetricsError(f"{path} is not as expected: schema {SCHEMA} with {', '.join(keys)}; restore the file")
        return record


def _digest(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise MetricsError(f"{path} cannot be read ({error.strerror}); give another folder by --weights") from error
