"""Where published weights come from: by name, with address, licence and paper; and how they are found on this machine.

Nothing is fetched unless it is asked for by name (fetching.py). Fetched files lie in FOLDER/NAME/, FOLDER being
$CLIPSONIC_WEIGHTS or `clipsonic/weights` in the user's cache folder. Beside each file is FILE.sha256.json, the digest
that it had when it was first fetched; it is checked whenever the file is used. Files that are brought here by hand are
named by --weights instead.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from clipsonic_metrics.embedders.files import digest
from clipsonic_metrics.errors import MetricsError

SCHEMA: Final = 1


@dataclass(frozen=True)
class RemoteFile:
    """One file: its address, its name here, the beginning of its SHA-256 where its makers published that."""

    url: str
    name: str
    sha256_begins: str = ""


@dataclass(frozen=True)
class Source:
    """The weights of one embedder; a source of several files is a folder, one of a single file that file."""

    files: tuple[RemoteFile, ...]
    licence: str
    paper: str

    def path(self, folder: Path) -> Path:
        """What a loader is given of the folder that holds the files."""
        return folder / self.files[0].name if len(self.files) == 1 else folder


_PANNS: Final = "Kong et al. 2020, PANNs, arXiv 1912.10211"
_CLAP: Final = "Wu et al. 2023, LAION-CLAP, arXiv 2211.06687"
_CLIP: Final = "Radford et al. 2021, CLIP, arXiv 2103.00020"
_ENCODEC: Final = "Défossez et al. 2022, EnCodec, arXiv 2210.13438"
_HUB: Final = "https://huggingface.co"
_TOKENIZER: Final = tuple(
    RemoteFile(f"{_HUB}/FacebookAI/roberta-base/resolve/main/{name}", name) for name in ("vocab.json", "merges.txt")
)


def _one(url: str, name: str, licence: str, paper: str, sha256_begins: str = "") -> Source:
    return Source((RemoteFile(url, name, sha256_begins),), licence, paper)


def _laion_clap(name: str) -> Source:
    official = RemoteFile(f"{_HUB}/lukewys/laion_clap/resolve/main/{name}", name)
    return Source((official, *_TOKENIZER), "CC0-1.0; tokenizer MIT", _CLAP)


def _converted_clap(repository: str) -> Source:
    names = ("config.json", "pytorch_model.bin", "preprocessor_config.json", "vocab.json", "merges.txt")
    files = tuple(RemoteFile(f"{_HUB}/{repository}/resolve/main/{name}", name) for name in names)
    return Source(files, "Apache-2.0", _CLAP)


def _openai_clip(repository: str) -> Source:
    name = "open_clip_model.safetensors"
    return _one(f"{_HUB}/{repository}/resolve/main/{name}", name, "MIT", _CLIP)


SOURCES: Final[Mapping[str, Source]] = {
    "vggish": _one(
        "https://github.com/harritaylor/torchvggish/releases/download/v0.1/vggish-10086976.pth",
        "vggish-10086976.pth",
        "Apache-2.0",
        "Hershey et al. 2017, VGGish, arXiv 1609.09430",
        "10086976",
    ),
    "panns-cnn14-16k": _one(
        "https://zenodo.org/records/3987831/files/Cnn14_16k_mAP%3D0.438.pth",
        "Cnn14_16k_mAP=0.438.pth",
        "CC-BY-4.0",
        _PANNS,
    ),
    "panns-cnn14-32k": _one(
        "https://zenodo.org/records/3987831/files/Cnn14_mAP%3D0.431.pth",
        "Cnn14_mAP=0.431.pth",
        "CC-BY-4.0",
        _PANNS,
    ),
    "passt": _one(
        "https://github.com/kkoutini/PaSST/releases/download/v0.0.1-audioset/passt-s-f128-p16-s10-ap.476-swa.pt",
        "passt-s-f128-p16-s10-ap.476-swa.pt",
        "Apache-2.0",
        "Koutini et al. 2022, PaSST, arXiv 2110.05069",
    ),
    "encodec-24k": _one(
        "https://dl.fbaipublicfiles.com/encodec/v0/encodec_24khz-d7cc33bc.th",
        "encodec_24khz-d7cc33bc.th",
        "CC-BY-NC-4.0",
        _ENCODEC,
        "d7cc33bc",
    ),
    "encodec-48k": _one(
        "https://dl.fbaipublicfiles.com/encodec/v0/encodec_48khz-7e698e3e.th",
        "encodec_48khz-7e698e3e.th",
        "CC-BY-NC-4.0",
        _ENCODEC,
        "7e698e3e",
    ),
    "laion-clap-630k-audioset": _laion_clap("630k-audioset-best.pt"),
    "laion-clap-630k-audioset-fusion": _laion_clap("630k-audioset-fusion-best.pt"),
    "laion-clap-music": _laion_clap("music_audioset_epoch_15_esc_90.14.pt"),
    "laion-clap-music-speech-audioset": _laion_clap("music_speech_audioset_epoch_15_esc_89.98.pt"),
    "clap": _converted_clap("laion/clap-htsat-unfused"),
    "clap-fused": _converted_clap("laion/clap-htsat-fused"),
    "wav2clip": _one(
        "https://github.com/descriptinc/lyrebird-wav2clip/releases/download/v0.1.0-alpha/Wav2CLIP.pt",
        "Wav2CLIP.pt",
        "MIT",
        "Wu et al. 2022, Wav2CLIP, arXiv 2110.11499",
    ),
    "open-clip-vit-b-32": _openai_clip("timm/vit_base_patch32_clip_224.openai"),
    "open-clip-vit-l-14": _openai_clip("timm/vit_large_patch14_clip_224.openai"),
}


def default_folder() -> Path:
    """$CLIPSONIC_WEIGHTS, or `clipsonic/weights` in the user's cache folder."""
    chosen = os.environ.get("CLIPSONIC_WEIGHTS")
    if chosen:
        return Path(chosen)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "clipsonic" / "weights"


def source(name: str) -> Source:
    """The source of that name.

    Raises:
        MetricsError: there is none.
    """
    if name not in SOURCES:
        raise MetricsError(f"no weights are known by the name {name!r}; there are {', '.join(SOURCES)}")
    return SOURCES[name]


def fetched(name: str, folder: Path | None = None) -> Path | None:
    """What a loader is given of weights that were fetched whole; None where they were not. Digests are not checked."""
    of_name = (folder or default_folder()) / name
    whole = all((of_name / file.name).is_file() and record(of_name / file.name) for file in source(name).files)
    return source(name).path(of_name) if whole else None


def find_weights(name: str, weights: Path | None, folder: Path | None = None) -> Path:
    """The weights a loader is to read: those given, or else those fetched, whose digests are as recorded, or else those
    that other programs left in the hub cache.

    Raises:
        MetricsError: the ones given are not there; none were fetched; or a fetched file has changed.
    """
    if weights is not None:
        if not weights.exists():
            raise MetricsError(f"{weights} is not there; expected the weights of {name}")
        return weights
    found = fetched(name, folder)
    if found is None and (cached := _in_hub_cache(source(name))) is not None:
        return cached
    if found is None:
        remedy = f"type: clipsonic-metrics weights fetch {name}; or give them by --weights"
        raise MetricsError(f"the weights of {name} are not on this machine; {remedy}")
    of_name = (folder or default_folder()) / name
    for file in source(name).files:
        path = of_name / file.name
        expected, is_now = record(path), digest(path)
        if is_now != expected:
            remedy = f"delete it and type: clipsonic-metrics weights fetch {name}"
            raise MetricsError(f"{path} has sha256 {is_now[:12]}, {expected[:12]} is recorded; {remedy}")
    return found


def is_published(name: str, weights: Path | None, folder: Path | None = None) -> bool:
    """Whether what a loader was given (None: what it finds by itself) is known to be the published weights of that
    name: those fetched, or a file with the bytes of the one fetched. Of any other file, one in the hub cache too, it
    cannot be told: digests of most published files are recorded only when they are fetched.
    """
    found = fetched(name, folder)
    if weights is None:
        return found is not None
    return found is not None and found.is_file() and weights.is_file() and digest(found) == digest(weights)


def in_hub_cache(repository: str, name: str) -> Path | None:
    """The folder of a hub repository in this machine's hub cache, if it holds the file. Never asks the network."""
    try:
        from huggingface_hub import try_to_load_from_cache
    except ModuleNotFoundError:
        return None
    found = try_to_load_from_cache(repository, name)
    return Path(found).parent if isinstance(found, str) else None


def _in_hub_cache(of_name: Source) -> Path | None:
    first = of_name.files[0]
    if not first.url.startswith(f"{_HUB}/"):
        return None
    folder = in_hub_cache(first.url.removeprefix(f"{_HUB}/").split("/resolve/")[0], first.name)
    return None if folder is None else of_name.path(folder)


def record_path(path: Path) -> Path:
    """Where the digest of a fetched file is recorded."""
    return path.with_name(f"{path.name}.sha256.json")


def record(path: Path) -> str:
    """The SHA-256 recorded of a file when it was first fetched; "" where there is no record.

    Raises:
        MetricsError: there is a record, but it cannot be read.
    """
    beside = record_path(path)
    if not beside.exists():
        return ""
    try:
        found = json.loads(beside.read_text(encoding="utf-8"))
        if found["schema"] == SCHEMA and isinstance(found["sha256"], str):
            return str(found["sha256"])
    except (OSError, ValueError, KeyError, TypeError):
        pass
    raise MetricsError(f"{beside} is not a record of schema {SCHEMA}; delete it and fetch the weights again")
