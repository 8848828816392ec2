"""Fixtures of the preparation's tests: small folders of sounds, and the command."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

Init = Callable[..., tuple[int, str, str]]


class Maker:
    """Makes folders of sounds. Each sound is noise and a tone of its own, `seconds` long."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def sound(self, seed: int, seconds: float = 0.6, rate_hz: int = 16_000, channels: int = 1) -> np.ndarray:
        rng = np.random.default_rng(seed)
        time = np.arange(round(seconds * rate_hz)) / rate_hz
        tone = np.sin(2 * np.pi * (300 + 40 * seed) * time)[:, None]
        return 0.1 * tone + 0.05 * rng.standard_normal((len(time), channels))

    def write(self, name: str, samples: np.ndarray, rate_hz: int = 16_000, subtype: str | None = None) -> Path:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, samples, rate_hz, subtype=subtype)
        return path

    def folder(
        self,
        systems: tuple[str, ...] = ("ours", "theirs", "reference"),
        prompts: tuple[str, ...] = ("p1", "p2"),
        seconds: float = 0.6,
        rate_hz: int = 16_000,
        channels: int = 1,
    ) -> Path:
        for at, system in enumerate(systems):
            for number, prompt in enumerate(prompts):
                samples = (at + 1) * 0.3 * self.sound(10 * at + number, seconds, rate_hz, channels)
                self.write(f"samples/{system}/{prompt}.wav", samples, rate_hz)
        return self.root / "samples"

    def table(self, prompts: tuple[str, ...] = ("p1", "p2")) -> Path:
        rows = "".join(f'{prompt},"a sound, number {prompt}"\n' for prompt in prompts)
        path = self.root / "prompts.csv"
        path.write_text(f"id,caption\n{rows}")
        return path


@pytest.fixture
def maker(tmp_path: Path) -> Maker:
    return Maker(tmp_path)


@pytest.fixture
def listen(capsys: pytest.CaptureFixture[str]) -> Init:
    """Run the command: `listen(words…) -> (exit code, stdout, stderr)`."""
    from clipsonic_listening_test.cli import run

    def command(*words: str | Path) -> tuple[int, str, str]:
        code = run([str(word) for word in words])
        said = capsys.readouterr()
        return code, said.out, said.err

    return command
