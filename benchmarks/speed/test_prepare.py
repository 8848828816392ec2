"""`clipsonic prepare` on one core against the floor of decoding alone, in the same run.

    uv run pytest benchmarks/speed/test_prepare.py -s              # a small form, for trying
    uv run pytest benchmarks/speed/test_prepare.py -s -m large     # more of the same videos

The floor is PyAV decoding the pictures and the sound of the same seconds, and throwing them away: no preparation that
looks at every second can be faster. What is beside it is resampling, log-mel, CLIP (the small one that ships, and
therefore little; of `ViT-L/14` nearly all time would be CLIP's) and writing. Videos are the real ones where they are at
hand, else noise in the same format. Time is that of the processor, not the clock's: workers and ranks share nothing
but the file system, so a machine of n cores has n times the clips a second, as far as its disks go.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch
from PIL import Image
from pytest_benchmark.fixture import BenchmarkFixture

from clipsonic.clips import Preparation
from clipsonic.lists import items_of_folder
from clipsonic.mel import LogMel
from clipsonic.prepare import Prepared, prepare
from clipsonic.preset import load_preset
from clipsonic.shards import clip_for
from clipsonic.video import read_video

MEDIA = Path(__file__).parents[3] / "shared" / "media" / "videos"
COPIES = [pytest.param(1, id="small"), pytest.param(20, id="more", marks=pytest.mark.large)]


@pytest.fixture
def videos(tmp_path: Path) -> Path:
    """Some videos of ten seconds."""
    folder = tmp_path / "videos"
    folder.mkdir()
    if MEDIA.is_dir():
        for path in MEDIA.glob("*.mp4"):
            shutil.copy(path, folder)
    else:
        for index in range(6):
            write_noise(folder / f"{index}.mp4", index)
    return folder


def write_noise(path: Path, seed: int) -> None:
    """Ten seconds, 320 x 240 at 25 frames a second, with pictures and sound that a codec has work with."""
    rng = np.random.default_rng(seed)
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=25)
        video.width, video.height, video.pix_fmt = 320, 240, "yuv420p"
        audio = container.add_stream("aac", rate=44_100, layout="stereo")
        coarse = rng.integers(0, 256, (60, 80, 3), dtype=np.uint8)
        for index in range(250):
            picture = np.roll(coarse, index, axis=1).repeat(4, 0).repeat(4, 1)
            container.mux(video.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(video.encode(None))
        noise = rng.normal(0, 0.1, (2, 441_000)).astype(np.float32)
        sound = av.AudioFrame.from_ndarray(noise, format="fltp", layout="stereo")
        sound.sample_rate, sound.pts, sound.time_base = 44_100, 0, Fraction(1, 44_100)
        container.mux(audio.encode(sound))
        container.mux(audio.encode(None))


def decode_alone(paths: list[Path], seconds: float) -> None:
    """Every picture and every sample of the first seconds."""
    for path in paths:
        for kind in ("video", "audio"):
            with av.open(str(path)) as container:
                stream: Any = container.streams.best(kind)  # type: ignore[arg-type]
                stream.codec_context.thread_count = 1
                for frame in container.decode(stream):
                    if (frame.time or 0.0) >= seconds:
                        break


def spent(function: Callable[..., Any], *given: Any) -> float:
    """Processor seconds, the least of three calls."""
    times = []
    for _ in range(3):
        start = time.process_time()
        function(*given)
        times.append(time.process_time() - start)
    return min(times)


@pytest.mark.parametrize("copies", COPIES)
@pytest.mark.parametrize(("frames", "cut"), [(128, "first"), (128, "all"), (624, "first")])
def test_prepare(benchmark: BenchmarkFixture, tmp_path: Path, videos: Path, copies: int, frames: int, cut: str) -> None:
    from dataclasses import replace

    torch.set_num_threads(1)
    for path in list(videos.iterdir()):
        for index in range(1, copies):
            shutil.copy(path, path.with_stem(f"{path.stem}-{index}"))
    items, paths = items_of_folder(videos), sorted(videos.iterdir())
    mel = replace(load_preset("micro").mel, frames=frames)
    how = Preparation(mel, cut=cut)  # type: ignore[arg-type]
    clip = clip_for(how.clip, how.device)
    assert clip.digest  # computed once, and not what is measured

    times: list[float] = []

    def ours() -> Prepared:
        out = tmp_path / f"data-{len(times)}"
        start = time.process_time()
        counts = prepare(videos, items, out, how)
        times.append(time.process_time() - start)
        assert counts is not None
        return counts

    counts = benchmark.pedantic(ours, rounds=3, iterations=1)
    mine = min(times)
    floor = spent(decode_alone, paths, how.seconds if cut == "first" else 1e9)
    video = read_video(paths[0], mel.rate_hz, 1.0, how.seconds)
    pictures = [Image.fromarray(picture) for picture in video.frames]
    seen = spent(clip.encode_image, pictures * 8) / 8
    samples = torch.from_numpy(np.pad(video.samples, (0, mel.samples))[: mel.samples])[None]
    heard = spent(LogMel(mel), samples)
    each = mine / counts.prepared
    benchmark.extra_info |= {"clips_per_core_second": 1 / each, "ratio": mine / floor, "floor_s": floor}
    print(
        f"\n{counts.prepared} clips of {how.seconds:.2f} s ({cut}): {1 / each:.1f} clips/s a core, "
        f"decoding alone {counts.prepared / floor:.1f} clips/s: ours takes {mine / floor:.2f} times the floor"
        f"\nof {1e3 * each:.1f} ms a clip: decoding {1e3 * floor / counts.prepared:.1f}, "
        f"CLIP {1e3 * seen:.1f}, log-mel {1e3 * heard:.1f}, the rest resampling, opening and writing"
    )
    assert counts.prepared  # of ten seconds, one real video is too short
