"""Draw the frames of an item: `count` objects of one kind, size and material in front of a background.

A frame is 64 x 64 RGB. Kind is a silhouette, size its scale, material its palette and surface, background the scene
behind. Nuisance, drawn anew per item: position, rotation, hue, light, camera noise and silent props. Objects bob
slowly, so the frames of a video differ, as a random training frame differs from the middle frame used at test time.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from clipsonic_benchmarks.microworld.factors import Factors

FRAME_SIZE: Final = 64
FRAMES: Final = 8
_CANVAS: Final = 2 * FRAME_SIZE
"""Drawn at twice the size and averaged down: cheap anti-aliasing."""

Outline = NDArray[np.float64]
_RADIUS: Final = {"small": 13.0, "medium": 20.0, "large": 29.0}


def _ellipse(cx: float, cy: float, rx: float, ry: float, points: int = 20) -> Outline:
    t = np.linspace(0, 2 * np.pi, points, endpoint=False)
    return np.stack([cx + rx * np.cos(t), cy + ry * np.sin(t)], 1)


def _polygon(*points: tuple[float, float]) -> Outline:
    return np.asarray(points, dtype=np.float64)


def _gear(teeth: int) -> Outline:
    t = np.linspace(0, 2 * np.pi, 4 * teeth, endpoint=False)
    radius = np.where(np.arange(4 * teeth) % 4 < 2, 1.0, 0.74)
    return np.stack([radius * np.cos(t), radius * np.sin(t)], 1)


def _box(left: float, top: float, right: float, bottom: float) -> Outline:
    return _polygon((left, top), (right, top), (right, bottom), (left, bottom))


# Outlines in units of the object's radius, y down, each with its shade: 0 body, 1 highlight, -1 shadow.
_SHAPES: Final[dict[str, tuple[tuple[Outline, int], ...]]] = {
    "bell": (
        (
            _polygon(
                (-0.95, 0.7),
                (-0.6, 0.35),
                (-0.5, -0.4),
                (-0.2, -0.8),
                (0.2, -0.8),
                (0.5, -0.4),
                (0.6, 0.35),
                (0.95, 0.7),
            ),
            0,
        ),
        (_ellipse(0, 0.85, 0.2, 0.2), -1),
        (_polygon((-0.3, 0.3), (-0.25, -0.35), (-0.05, -0.6), (-0.1, 0.3)), 1),
    ),
    "drum": (
        (_box(-0.9, -0.4, 0.9, 0.7), 0),
        (
            _polygon(
                (-0.9, 0.7),
                (-0.6, -0.35),
                (-0.3, 0.7),
                (0, -0.35),
                (0.3, 0.7),
                (0.6, -0.35),
                (0.9, 0.7),
                (0.6, -0.1),
                (0.3, 0.9),
                (0, -0.1),
                (-0.3, 0.9),
                (-0.6, -0.1),
            ),
            -1,
        ),
        (_ellipse(0, -0.45, 0.9, 0.32), 1),
    ),
    "siren": (
        (_box(-0.8, 0.45, 0.8, 0.85), -1),
        (
            _polygon(
                (-0.55, 0.45), (-0.55, -0.1), (-0.35, -0.45), (0, -0.55), (0.35, -0.45), (0.55, -0.1), (0.55, 0.45)
            ),
            1,
        ),
        (_polygon((-0.1, -0.65), (0.1, -0.65), (0, -1.0)), 1),
        (_polygon((-0.6, -0.5), (-0.48, -0.6), (-0.9, -0.95)), 1),
        (_polygon((0.6, -0.5), (0.48, -0.6), (0.9, -0.95)), 1),
    ),
    "water": (
        (
            _polygon(
                (0, -1.0),
                (0.25, -0.45),
                (0.6, 0.1),
                (0.62, 0.5),
                (0.35, 0.85),
                (0, 0.95),
                (-0.35, 0.85),
                (-0.62, 0.5),
                (-0.6, 0.1),
                (-0.25, -0.45),
            ),
            0,
        ),
        (_polygon((-0.4, 0.2), (-0.3, 0.6), (0.0, 0.75), (-0.2, 0.5)), 1),
    ),
    "dog": (
        (_ellipse(-0.05, 0.1, 0.62, 0.34), 0),
        (_ellipse(0.62, -0.35, 0.3, 0.27), 0),
        (_polygon((0.8, -0.4), (1.05, -0.25), (0.8, -0.15)), -1),
        (_polygon((0.4, -0.5), (0.5, -0.85), (0.62, -0.5)), -1),
        (_box(-0.55, 0.3, -0.38, 0.9), 0),
        (_box(0.25, 0.3, 0.42, 0.9), 0),
        (_polygon((-0.6, 0.0), (-1.0, -0.55), (-0.9, -0.6), (-0.5, -0.15)), 0),
    ),
    "bird": (
        (_ellipse(0, 0.1, 0.6, 0.32), 0),
        (_ellipse(0.5, -0.25, 0.24, 0.22), 0),
        (_polygon((0.7, -0.32), (1.05, -0.2), (0.7, -0.12)), -1),
        (_polygon((-0.25, 0.05), (0.3, 0.0), (-0.45, -0.95)), 1),
        (_polygon((-0.5, 0.1), (-1.0, -0.15), (-1.0, 0.25)), -1),
    ),
    "engine": ((_gear(8), 0), (_ellipse(0, 0, 0.48, 0.48), 1), (_ellipse(0, 0, 0.22, 0.22), -1)),
    "clock": (
        (_ellipse(0, 0, 0.95, 0.95, 28), -1),
        (_ellipse(0, 0, 0.76, 0.76, 28), 1),
        (_polygon((-0.06, 0.05), (0.06, 0.05), (0.05, -0.62), (-0.05, -0.62)), -1),
        (_polygon((-0.05, -0.06), (0.48, 0.22), (0.42, 0.32), (-0.05, 0.06)), -1),
    ),
    "flute": (
        (_box(-1.15, -0.16, 1.15, 0.16), 0),
        *((_ellipse(x, 0, 0.07, 0.07, 8), -1) for x in (-0.35, -0.1, 0.15, 0.4, 0.65)),
        (_box(-1.15, -0.22, -0.85, 0.22), 1),
    ),
    "fire": (
        (
            _polygon(
                (-0.6, 0.9),
                (-0.75, 0.3),
                (-0.45, -0.1),
                (-0.4, -0.5),
                (-0.1, -0.2),
                (0.05, -1.0),
                (0.35, -0.35),
                (0.5, -0.55),
                (0.75, 0.25),
                (0.6, 0.9),
            ),
            0,
        ),
        (_polygon((-0.3, 0.9), (-0.35, 0.45), (0.0, -0.2), (0.3, 0.4), (0.3, 0.9)), 1),
    ),
}

_METAL: Final = np.array([112.0, 128.0, 150.0])
_WOOD: Final = np.array([158.0, 100.0, 48.0])
_SCENES: Final = {
    "studio": (np.array([205.0, 200.0, 195.0]), np.array([180.0, 174.0, 168.0])),
    "hall": (np.array([70.0, 50.0, 88.0]), np.array([112.0, 88.0, 122.0])),
    "street": (np.array([98.0, 98.0, 96.0]), np.array([52.0, 52.0, 54.0])),
    "wind": (np.array([150.0, 196.0, 232.0]), np.array([108.0, 168.0, 92.0])),
}


def _paint(draw: ImageDraw.ImageDraw, outline: Outline, colour: NDArray[np.float64]) -> None:
    red, green, blue = (int(c) for c in np.clip(colour, 0, 255))
    draw.polygon([(float(x), float(y)) for x, y in outline], fill=(red, green, blue))


def _scene(background: str, light: float, tint: NDArray[np.float64], horizon: float) -> Image.Image:
    above, below = _SCENES[background]
    rows = np.arange(_CANVAS)[:, None]
    picture = np.where(rows < horizon * _CANVAS, above + tint, below + tint) * light
    canvas = np.repeat(picture[:, None, :], _CANVAS, 1)
    if background == "hall":  # columns
        canvas[: int(horizon * _CANVAS), ::22] *= 0.6
        canvas[: int(horizon * _CANVAS), 1::22] *= 0.6
        canvas[: int(horizon * _CANVAS), 2::22] *= 0.6
    elif background == "street":  # lane marks
        row = int((horizon + 0.5 * (1 - horizon)) * _CANVAS)
        for start in range(4, _CANVAS, 32):
            canvas[row : row + 4, start : start + 16] = 225.0 * light
    elif background == "wind":  # clouds
        for start in range(10, _CANVAS, 48):
            canvas[12:19, start : start + 26] = 245.0 * light
    return Image.fromarray(np.clip(canvas, 0, 255).astype(np.uint8))


def render(factors: Factors, rng: np.random.Generator, frames: int = FRAMES) -> NDArray[np.uint8]:
    """Draw an item: uint8, shape (frames, 64, 64, 3). `frames` takes the first of the `FRAMES` moments."""
    light = rng.uniform(0.75, 1.2)
    scene = _scene(factors.background, light, rng.normal(0, 8, 3), rng.uniform(0.5, 0.72))
    canvas = ImageDraw.Draw(scene)
    for _ in range(int(rng.integers(0, 3))):  # silent props: small blobs of any colour
        (x, y), (width, height) = rng.uniform(0, _CANVAS, 2), rng.uniform(3, 7, 2)
        _paint(canvas, _ellipse(x, y, width, height, points=8), rng.uniform(30, 230, 3))
    body = (_METAL if factors.material == "metal" else _WOOD) * light + rng.normal(0, 9, 3)
    contrast = 62.0 if factors.material == "metal" else 36.0
    radius = _RADIUS[factors.size] * rng.uniform(0.92, 1.08) * (1.0 if factors.count < 3 else 0.88)
    slots = (np.arange(factors.count) + 0.5) / factors.count
    centres = np.stack(
        [slots * _CANVAS + rng.normal(0, 5, factors.count), rng.uniform(0.42, 0.6, factors.count) * _CANVAS], 1
    )
    centres = np.clip(centres, 0.75 * radius, _CANVAS - 0.75 * radius)
    angles = rng.normal(0, 0.16, factors.count)
    mirror = rng.choice([-1.0, 1.0], factors.count)
    bob, phase = rng.uniform(1.5, 5.0), rng.uniform(0, 2 * np.pi, factors.count)
    noise = rng.uniform(2.0, 6.0)
    pictures = np.empty((frames, FRAME_SIZE, FRAME_SIZE, 3), np.uint8)
    for moment in range(frames):
        picture = scene.copy()
        draw = ImageDraw.Draw(picture)
        for k in range(factors.count):
            swing = np.sin(2 * np.pi * moment / FRAMES + phase[k])
            angle = angles[k] + 0.06 * swing
            turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
            place = centres[k] + np.array([0.0, bob * swing])
            for outline, shade in _SHAPES[factors.kind]:
                _paint(draw, (outline * (mirror[k], 1.0)) @ turn * radius + place, body + contrast * shade)
        small = np.asarray(picture.reduce(2), dtype=np.float32)
        pictures[moment] = np.clip(small + rng.normal(0, noise, small.shape).astype(np.float32), 0, 255).astype(
            np.uint8
        )
    return pictures
