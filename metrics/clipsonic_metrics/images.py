"""Images, and frames of videos, that sounds are compared with by the CLIP score.

Conventions: a picture is (height, width, 3) uint8 RGB; a video stands for 8 frames, each the middle one of eight equal
parts (fewer if the video has fewer). Rotation noted in a photograph's EXIF or in a video's display matrix is applied.
Of 16-bit pictures the upper 8 bits are kept.
"""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from clipsonic_metrics.embedder import Picture
from clipsonic_metrics.errors import MetricsError

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp"})
VIDEO_SUFFIXES = frozenset({".mp4", ".mov", ".mkv", ".webm"})
VIDEO_FRAMES = 8
RULE = f"video-{VIDEO_FRAMES}-frames"


def read_pictures(path: str | Path) -> list[Picture]:
    """The picture of an image file, or up to eight frames of a video.

    Raises:
        MetricsError: not there, or not readable as an image or video.
    """
    path = Path(path)
    if path.suffix.lower() in VIDEO_SUFFIXES:
        return _frames(path)
    try:
        with Image.open(path) as image:
            return [_eight_bits(ImageOps.exif_transpose(image))]
    except (OSError, UnidentifiedImageError, Image.DecompressionBombError) as error:
        raise MetricsError(f"{path} is unreadable as an image: {error}") from error


def _eight_bits(image: Image.Image) -> Picture:
    if not image.mode.startswith("I"):
        return np.asarray(image.convert("RGB"))
    # 16-bit grey: Pillow would clip it at 255, and a picture turn white; of 16-bit colour it keeps the upper bits.
    grey = (np.asarray(image).astype(np.int64) >> 8).clip(0, 255).astype(np.uint8)
    return np.repeat(grey[..., None], 3, axis=-1)


def _upright(frame: av.VideoFrame) -> Picture:
    """The frame as players show it: phones film on their side, and note by how much in the file."""
    pixels = np.asarray(frame.to_ndarray(format="rgb24"), np.uint8)
    return np.ascontiguousarray(np.rot90(pixels, round(frame.rotation / 90)))  # both count counter-clockwise


def _frames(path: Path) -> list[Picture]:
    try:
        with av.open(str(path)) as container:
            if not container.streams.video:
                raise MetricsError(f"{path} holds no pictures")
            # Counted by decoding: the number that a container states may be wrong or absent.
            total = sum(1 for _ in container.decode(video=0))
        count = min(VIDEO_FRAMES, total)
        wanted = {int((part + 0.5) * total / count) for part in range(count)}
        with av.open(str(path)) as container:
            frames = enumerate(container.decode(video=0))
            pictures = [_upright(each) for index, each in frames if index in wanted]
    except av.FFmpegError as error:
        raise MetricsError(f"{path} is unreadable as a video: {error.strerror or error}") from error
    if not pictures:
        raise MetricsError(f"{path} holds no pictures")
    return pictures
