"""Images and videos as they are shown: images that every browser draws, videos without their sound.

A JPEG, PNG, WebP or GIF of at most 2048 pixels is kept byte for byte unless it carries EXIF data, which may say where
and how it was taken and may turn it; any other is turned upright, brought to that size, and saved as JPEG. A video
keeps its pictures as they are coded (H.264, VP8, VP9, AV1) and loses every other stream.
"""

from __future__ import annotations

import hashlib
import io
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import av
import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from clipsonic_listening_test.errors import ListeningTestError
from clipsonic_listening_test.study import Media
from clipsonic_listening_test.validate import MEDIA_TYPES

LARGEST_PIXELS: Final = 2048
_TYPES: Final = {"JPEG": "image/jpeg", "PNG": "image/png", "WEBP": "image/webp", "GIF": "image/gif"}
_CODECS: Final = {"h264": "mp4", "av1": "mp4", "vp8": "webm", "vp9": "webm"}


def image(path: Path) -> tuple[Media, bytes]:
    """An image's record and the bytes to serve.

    Raises:
        ListeningTestError: not an image that can be read.
    """
    data = path.read_bytes()
    try:
        with Image.open(io.BytesIO(data)) as picture:
            picture.load()
            kind = _TYPES.get(picture.format or "")
            if kind is None or max(picture.size) > LARGEST_PIXELS or len(picture.getexif()):
                upright = ImageOps.exif_transpose(picture)
                upright.thumbnail((LARGEST_PIXELS, LARGEST_PIXELS))
                buffer = io.BytesIO()
                if upright.mode.startswith("I"):  # 16-bit grey, which Pillow would clip at 255: a white page
                    upright = Image.fromarray((np.asarray(upright) >> 8).clip(0, 255).astype(np.uint8))
                upright.convert("RGB").save(buffer, "JPEG", quality=92)
                data, kind = buffer.getvalue(), "image/jpeg"
    except (UnidentifiedImageError, OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise ListeningTestError(f"{path} is no image that can be read ({error}); replace it") from error
    return _media("image", kind, data), data


def video(path: Path) -> tuple[Media, bytes]:
    """A video's record and the bytes to serve, with no stream but the pictures.

    Raises:
        ListeningTestError: unreadable, without pictures, or in a code that browsers do not show.
    """
    try:
        with av.open(str(path)) as source, TemporaryDirectory() as folder:
            if not source.streams.video:
                raise ListeningTestError(f"{path} holds no pictures; replace it")
            pictures = source.streams.video[0]
            codec = pictures.codec_context.name.removeprefix("lib").partition("-")[0]
            if codec not in _CODECS:
                raise ListeningTestError(f"{path} is coded in {codec}; expected H.264, VP8, VP9 or AV1")
            # faststart needs a real file: the index is moved to the front in a second pass.
            silent = Path(folder) / f"silent.{_CODECS[codec]}"
            options = {"fflags": "+bitexact", **({"movflags": "+faststart"} if silent.suffix == ".mp4" else {})}
            with av.open(str(silent), "w", options=options) as target:
                stream = target.add_stream_from_template(pictures)
                for packet in source.demux(pictures):
                    if packet.dts is not None:
                        packet.stream = stream
                        target.mux(packet)
            data = silent.read_bytes()
    except av.FFmpegError as error:
        raise ListeningTestError(f"{path} is unreadable ({error.strerror}); replace it") from error
    return _media("video", f"video/{_CODECS[codec]}", data), data


def _media(kind: str, type: str, data: bytes) -> Media:
    digest = hashlib.sha256(data).hexdigest()
    file = f"{kind}s/{digest}.{MEDIA_TYPES[kind][type]}"
    return Media("image" if kind == "image" else "video", file, digest, len(data), type)
