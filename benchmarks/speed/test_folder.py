"""A folder end to end: VGGish FAD against frechet-audio-distance, a second run from the cache, and peak memory.

    uv run pytest benchmarks/speed/test_folder.py -s              # a small form, for trying
    uv run pytest benchmarks/speed/test_folder.py -s -m large     # 200 clips of 10 s; memory of 100 and of 1 000 files

The same random weights are in both tools (no score here means anything), and both read the same 48 kHz WAV files. What
is the peer's own here is everything but the network: reading, resampy, gathering, moments, square root. Its network is
ours without our batches, and its log-mel ours too, which is faster than its numpy: the ratio is no less with its own.

The floor is the network alone on all patches, in full batches: no way of reading makes a folder faster than that.
Networks are loaded before the clocks start, in both. Memory is the peak of a fresh process under `microworld-clap`,
whose network is small, so that what is held of the sounds would show.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import soundfile
import soxr
import torch
from pytest_benchmark.fixture import BenchmarkFixture

from clipsonic_metrics.embedders.vggish import HOP, RATE_HZ, WINDOW
from clipsonic_metrics.embedders.vggish_network import LogMel, VGGish
from clipsonic_metrics.listening import Listening
from clipsonic_metrics.random_weights import random_state, write_random_weights
from clipsonic_metrics.scoring import score_folder
from clipsonic_metrics.sound import Sound
from clipsonic_metrics.ways import Inputs
from clipsonic_metrics.workspace import Options, Workspace

SOURCE_HZ = 48_000
SIZES = [pytest.param(12, 4.0, id="small"), pytest.param(200, 10.0, id="200-clips", marks=pytest.mark.large)]
MEMORY = [pytest.param(20, 200, 2.0, id="small"), pytest.param(100, 1000, 10.0, id="1000", marks=pytest.mark.large)]


def clips(folder: Path, files: int, seconds: float, seed: int) -> Path:
    """A folder of noisy tones, each another one."""
    folder.mkdir(parents=True)
    clock = np.arange(int(seconds * SOURCE_HZ)) / SOURCE_HZ
    for index in range(files):
        rng = np.random.default_rng([seed, index])
        tone = 0.3 * np.sin(2 * np.pi * rng.uniform(80, 4000) * clock * (1 + rng.uniform(0, 0.1) * clock))
        samples = tone + 0.05 * rng.normal(size=len(clock))
        soundfile.write(folder / f"{index:04d}.wav", samples, SOURCE_HZ)
    return folder


def the_peer() -> Any:
    """frechet-audio-distance, with a VGGish of the same random weights where its own would be fetched."""
    given = sys.modules.get("laion_clap")
    sys.modules.setdefault("laion_clap", ModuleType("laion_clap"))  # which would fetch tokenizers, and is not needed
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from frechet_audio_distance.fad import FrechetAudioDistance
    finally:
        if given is None:
            del sys.modules["laion_clap"]
    network, front = VGGish().eval().requires_grad_(False), LogMel()
    network.load_state_dict(random_state("vggish", seed=0))

    def forward(samples: np.ndarray, rate_hz: int) -> torch.Tensor:
        with torch.inference_mode():
            windows = torch.from_numpy(np.asarray(samples, np.float32)).unfold(0, WINDOW, HOP)
            return network(front(windows))

    peer = FrechetAudioDistance.__new__(FrechetAudioDistance)
    facts = {"model_name": "vggish", "sample_rate": RATE_HZ, "channels": 1, "verbose": False, "audio_load_worker": 8}
    for name, value in {**facts, "model": SimpleNamespace(forward=forward)}.items():
        setattr(peer, name, value)
    return peer


def timed(function: Callable[[], Any]) -> tuple[float, Any]:
    start = time.perf_counter()
    value = function()
    return time.perf_counter() - start, value


@pytest.mark.parametrize(("files", "seconds"), SIZES)
def test_vggish_fad_of_folders(benchmark: BenchmarkFixture, tmp_path: Path, files: int, seconds: float) -> None:
    reference, generated = (clips(tmp_path / name, files // 2, seconds, seed) for seed, name in enumerate("rg"))
    weights = tmp_path / "vggish.safetensors"
    write_random_weights("vggish", weights, seed=0)
    inputs = Inputs(generated, reference)

    def loaded() -> Workspace:
        work = Workspace(Options(cache=tmp_path / "cache", weights={"vggish": weights}))
        work.embedder("vggish").build()
        return work

    def ours(work: Workspace) -> float:
        report = score_folder(inputs, ["fad"], work, embedders=["vggish"])
        assert report is not None
        return report.scored[0].score.value

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        peer = the_peer()
        warm = clips(tmp_path / "warm", 2, 1.0, 9)
        peer.score(str(warm), str(warm))  # resampy compiles itself once
        theirs_s, theirs = timed(lambda: peer.score(str(reference), str(generated)))
    value = benchmark.pedantic(ours, setup=lambda: ((loaded(),), {}), rounds=1, iterations=1)
    mine = benchmark.stats.stats.min
    load_s, work = timed(loaded)
    again_s, again = timed(lambda: ours(work))
    floor_s = floor(files, seconds)
    asked = ["fad", str(reference), str(generated), "--embedder", "vggish", "--weights", str(weights)]
    first_s, second_s, import_s = whole_commands([*asked, "--cache", str(tmp_path / "another-cache")])
    benchmark.extra_info |= {"ratio": theirs_s / mine, "cached": mine / again_s, "floor_s": floor_s}
    benchmark.extra_info |= {"command": first_s / second_s, "import_s": import_s}
    print(
        f"\n{files} clips of {seconds:g} s: ours {mine:.1f} s; frechet-audio-distance {theirs_s:.1f} s: "
        f"{theirs_s / mine:.2f} times (asked: 2); floor {floor_s:.1f} s, ours is {mine / floor_s:.2f} of it"
        f"\nthe whole command {first_s:.1f} s, again from the cache {second_s:.2f} s: {first_s / second_s:.0f} times; "
        f"floor {import_s:.2f} s, its imports"
        f"\nthe same in one process, without imports: {again_s:.2f} s: {mine / again_s:.0f} times (asked: 50); "
        f"loading the network, not in it: {load_s:.2f} s"
        f"\nFAD {value:.6g}, theirs {theirs:.6g} (another resampler)"
    )
    assert again == value and theirs == pytest.approx(value, rel=0.2)


COMMAND = "import sys; from clipsonic_metrics.cli import main; main()"
IMPORTS = "import clipsonic_metrics.cli, clipsonic_metrics.scoring, clipsonic_metrics.show, clipsonic_metrics.progress"


def whole_commands(arguments: list[str]) -> tuple[float, float, float]:
    """Seconds of a command as it is typed, of the same again, and of a Python that imports what the second needs."""

    def command(program: str, *given: str) -> float:
        run = [sys.executable, "-c", program, *given]
        return timed(lambda: subprocess.run(run, capture_output=True, check=True))[0]

    first = command(COMMAND, *arguments)
    return first, min(command(COMMAND, *arguments) for _ in range(3)), min(command(IMPORTS) for _ in range(3))


def floor(files: int, seconds: float) -> float:
    """Seconds of the network alone on all patches of the clips, from one full batch."""
    network = VGGish().eval().requires_grad_(False).to(memory_format=torch.channels_last)
    patches = torch.randn(32, 1, 96, 64, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        batch = min(timed(lambda: network(patches))[0] for _ in range(4))
    silence = Sound.of("x", np.zeros(round(seconds * RATE_HZ)), RATE_HZ)
    windows = len(Listening(rate_hz=RATE_HZ, window=WINDOW, hop=HOP).windows(silence))
    return batch * files * windows / 32


def test_resampling_and_log_mel(benchmark: BenchmarkFixture) -> None:
    import resampy

    samples = np.random.default_rng(0).normal(0, 0.1, 10 * SOURCE_HZ).astype(np.float32)
    front = LogMel()

    def heard(at_16k: np.ndarray) -> torch.Tensor:
        return front(torch.from_numpy(np.asarray(at_16k, np.float32)).unfold(0, WINDOW, HOP))

    def theirs() -> torch.Tensor:
        return heard(resampy.resample(samples, SOURCE_HZ, RATE_HZ))

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs()  # compiles itself once
    peer_s = min(timed(theirs)[0] for _ in range(3))
    benchmark.pedantic(
        lambda: heard(soxr.resample(samples, SOURCE_HZ, RATE_HZ, quality="HQ")), rounds=7, warmup_rounds=1
    )
    mine = benchmark.stats.stats.min
    benchmark.extra_info["ratio"] = peer_s / mine
    print(
        f"\nresampling and log-mel of 10 s: ours {1e3 * mine:.1f} ms; with resampy {1e3 * peer_s:.1f} ms: "
        f"{peer_s / mine:.0f} times (asked: 5)"
    )


PEAK = """
import json, sys
from pathlib import Path
from clipsonic_metrics.scoring import score_folder
from clipsonic_metrics.sound import Sound
from clipsonic_metrics.ways import Inputs
from clipsonic_metrics.workspace import Options, Workspace

folder = Path(sys.argv[1])
report = score_folder(Inputs(folder, folder), ["fad"], Workspace(Options(on_bad="skip")), embedders=["microworld-clap"])
[peak] = [line.split()[1] for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM")]
print(json.dumps({"MiB": int(peak) / 1024, "items": len(report.ids)}))
"""


@pytest.mark.parametrize(("few", "many", "seconds"), MEMORY)
def test_peak_memory(benchmark: BenchmarkFixture, tmp_path: Path, few: int, many: int, seconds: float) -> None:
    def peak(files: int) -> float:
        folder = clips(tmp_path / str(files), files, seconds, 0)
        done = subprocess.run([sys.executable, "-c", PEAK, str(folder)], capture_output=True, text=True, check=True)
        record = json.loads(done.stdout)
        assert record["items"] == files
        return float(record["MiB"])

    of_few = peak(few)
    of_many = benchmark.pedantic(peak, (many,), rounds=1, iterations=1)
    benchmark.extra_info["ratio"] = of_many / of_few
    print(
        f"\npeak memory: {few} files of {seconds:g} s {of_few:.0f} MiB, {many} files {of_many:.0f} MiB: "
        f"{of_many / of_few:.3f} times (asked: 1.15 at most)"
    )
