"""What users ask: texts, pictures, prepared clips or stored vectors, by id. An id addresses the noise and names the
file of the sound.

A list of prompts is a CSV with the columns `id` and `caption`; a folder of pictures gives each the path below it
without suffix as id. A query of several pictures (frames of one scene) is the mean of their CLIP directions. A clip of
prepared data is asked for by its middle frame, as in the paper's evaluation, or by its text.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from clipsonic.folder import files_below
from clipsonic.vectors import StoredVectors, mean_direction, read_vectors

if TYPE_CHECKING:
    from PIL.Image import Image

    from clipsonic.clip import FrozenClip

PICTURE_SUFFIXES: Final = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff")
ALONE: Final = "query"
"""The id of a query that was given on the command line: not the name of the file, which may change."""
_TURNS: Final[dict[object, str]] = {
    2: "FLIP_LEFT_RIGHT",
    3: "ROTATE_180",
    4: "FLIP_TOP_BOTTOM",
    5: "TRANSPOSE",
    6: "ROTATE_270",
    7: "TRANSVERSE",
    8: "ROTATE_90",
}
"""What undoes an orientation of EXIF, as Pillow names it."""
_SIXTEEN_BITS: Final = ("PNG", "PPM", "JPEG2000")
"""Formats whose integers are of 16 bits, though Pillow may give them as of 32."""
_TOGETHER: Final = 64
"""Pictures in memory at a time: CLIP's own batch, so that the split changes no bit."""


@dataclass(frozen=True)
class Texts:
    """Captions by id."""

    ids: list[str]
    texts: list[str]


@dataclass(frozen=True)
class Pictures:
    """For each id the pictures that are one query."""

    ids: list[str]
    files: list[tuple[Path, ...]]


@dataclass(frozen=True)
class MiddleFrames:
    """Clips of prepared data: float32 unit vectors (clips, dim) of their middle frames by the data's CLIP, and their
    captions, or labels as they are, where they have any."""

    ids: list[str]
    vectors: NDArray[np.float32]
    captions: list[str] | None
    clip: str
    clip_sha256: str


Queries = Texts | Pictures | MiddleFrames | StoredVectors


def read_queries(
    text: str | None = None,
    image: Sequence[Path] = (),
    images: Path | None = None,
    prompts: Path | None = None,
    vectors: Path | None = None,
    data: Path | None = None,
    route: str | None = None,
) -> Queries:
    """The queries of the one kind that is given.

    Args:
        route: where it starts from texts, prepared data are asked for by theirs.

    Raises:
        ValueError: none or several kinds, an empty list, data without texts where a route needs them, or an id that
            would be a path outside the folder of sounds or is another's path.
    """
    kinds = {
        "--text": text,
        "--image": image or None,
        "--images": images,
        "--prompts": prompts,
        "--vectors": vectors,
        "--data": data,
    }
    if len(given := [name for name, value in kinds.items() if value is not None]) != 1:
        raise ValueError(f"give one of {', '.join(kinds)}; got {', '.join(given) or 'none'}")
    if text is not None:
        if not text.strip():
            raise ValueError("--text is empty; expected a prompt")
        return Texts([ALONE], [text])
    if image:
        return Pictures([ALONE], [tuple(image)])
    if images is not None:
        return _folder(images)
    if data is not None:
        found: Queries = _clips(data, route)
    else:
        found = read_vectors(vectors) if vectors is not None else _prompts(prompts)
    source = prompts or vectors or data
    for name in found.ids:
        place = PurePosixPath(name)
        if not place.name or ".." in place.parts or place.is_absolute():
            raise ValueError(f"{source}: id {name!r} would be written outside the folder of sounds")
        if place.as_posix() != name:
            raise ValueError(f"{source}: id {name!r} names the file of another id: write it {str(place)!r}")
    return found


def _prompts(path: Path | None) -> Texts:
    from clipsonic.lists import read_captions

    assert path is not None
    if not (captions := read_captions(path)):
        raise ValueError(f"{path} lists no prompt")
    return Texts(list(captions), list(captions.values()))


def _clips(folder: Path, route: str | None) -> Texts | MiddleFrames:
    from clipsonic.prepared import PreparedData

    data = PreparedData(folder)
    if route is not None and route.startswith("text"):
        return Texts(data.ids, data.captions())
    captions = data.captions_or_labels() if data.has_texts else None
    return MiddleFrames(data.ids, data.vectors("clip_middle"), captions, data.clip, data.clip_sha256)


def _folder(folder: Path) -> Pictures:
    if not folder.is_dir():
        raise ValueError(f"{folder} is not a folder of pictures")
    found: dict[str, tuple[Path, ...]] = {}
    for path in files_below(folder):
        if path.suffix.lower() in PICTURE_SUFFIXES and not path.name.startswith("."):
            name = path.relative_to(folder).with_suffix("").as_posix()
            if name in found:
                raise ValueError(f"{found[name][0]} and {path} would both get the id {name!r}: rename one")
            found[name] = (path,)
    if not found:
        raise ValueError(f"{folder} holds no picture ({', '.join(PICTURE_SUFFIXES)})")
    return Pictures(list(found), list(found.values()))


def encode_pictures(clip: FrozenClip, files: Sequence[Sequence[Path]]) -> NDArray[np.float32]:
    """One unit vector for each query of one or more pictures, (queries, dim).

    Raises:
        ValueError: naming a file that is not a readable picture.
    """
    every = [path for paths in files for path in paths]
    parts = [every[start : start + _TOGETHER] for start in range(0, len(every), _TOGETHER)]
    encoded = np.concatenate([clip.encode_image([read_picture(path) for path in part]) for part in parts])
    ends = np.cumsum([len(paths) for paths in files])
    return np.stack([mean_direction(rows) for rows in np.split(encoded, ends[:-1])])


def read_picture(path: Path) -> Image:
    """A picture as CLIP takes it, turned as its EXIF says that it is to be shown.

    Raises:
        ValueError: naming the file, if it cannot be read, or has values of which nobody knows what is white.
    """
    from PIL import Image, UnidentifiedImageError

    unreadable = (UnidentifiedImageError, Image.DecompressionBombError, OSError, ValueError, SyntaxError)
    try:
        # opened here: what Pillow opens it may map, and it garbles a grey TIFF on its side
        with path.open("rb") as file, Image.open(file) as picture:
            picture.load()  # first: some formats have their EXIF at the end, and TIFF is turned by this
            turn = _TURNS.get(_orientation(picture))
            shown = _eight_bits(picture)
            return shown if turn is None else shown.transpose(Image.Transpose[turn])
    except unreadable as error:
        raise ValueError(f"{path}: not a readable picture ({error})") from error


def _eight_bits(picture: Image) -> Image:
    """A picture as RGB. Of 16-bit grey it has the upper 8 bits, as Pillow keeps them of colour; grey it clips at 255.

    Raises:
        ValueError: floats, or integers of 32 bits.
    """
    from PIL import Image

    if picture.mode == "F" or (picture.mode == "I" and picture.format not in _SIXTEEN_BITS):
        kind = "floats" if picture.mode == "F" else "integers of 32 bits"
        raise ValueError(f"its values are {kind}: save it with 8 or 16 bits")
    if not picture.mode.startswith("I"):
        return picture.convert("RGB")
    return Image.fromarray((np.asarray(picture) >> 8).astype(np.uint8)).convert("RGB")


def _orientation(picture: Image) -> object:
    """1 where the EXIF cannot be read: the picture can. `ImageOps.exif_transpose` writes the whole of it anew, and
    fails at fields of other types than the standard's, which cameras do write."""
    try:
        return picture.getexif().get(0x0112, 1)
    except Exception:  # whatever a parser raises at what is damaged
        return 1
