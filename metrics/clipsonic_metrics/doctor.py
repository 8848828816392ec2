"""Is this installation able to compute what it should, and does it? One check per thing that is known to go wrong.

A check passes, fails (with what to do), or is skipped where something optional is not installed.
"""

from __future__ import annotations

import io
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from typing import Any, Literal

import numpy as np

from clipsonic_metrics.errors import MetricsError

Outcome = Literal["good", "failed", "skipped"]
_MATCHING = {"2.11": ("2.11", "0.26"), "2.10": ("2.10", "0.25"), "2.9": ("2.9", "0.24"), "2.8": ("2.8", "0.23")}
"""torch: the torchaudio and torchvision built against it."""
_TONE_HZ = 440.0


@dataclass(frozen=True)
class Check:
    """What was examined, how it came out, and what was found, with a remedy if it failed."""

    name: str
    outcome: Outcome
    found: str

    @property
    def failed(self) -> bool:
        return self.outcome == "failed"

    def record(self) -> dict[str, Any]:
        """The check as JSON-ready values."""
        return asdict(self)


class Failed(Exception):
    """A check failed; the message says what was found and what to do."""


class Skipped(Exception):
    """There is nothing to check; the message says why."""


def examine() -> list[Check]:
    """Every check, in the order in which things build on one another."""
    return [_checked(name, look) for name, look in CHECKS.items()]


def _checked(name: str, look: Callable[[], str]) -> Check:
    try:
        return Check(name, "good", look())
    except Skipped as reason:
        return Check(name, "skipped", str(reason))
    except Failed as fault:
        return Check(name, "failed", str(fault))
    except Exception as error:  # whatever is broken here, the other checks go on
        return Check(name, "failed", f"{type(error).__name__}: {' '.join(str(error).split())}")


def _torch_family() -> str:
    found = {name: version(name) for name in ("torch", "torchaudio", "torchvision")}
    minor = {name: ".".join(text.split("+")[0].split(".")[:2]) for name, text in found.items()}
    said = ", ".join(f"{name} {text}" for name, text in found.items())
    expected = _MATCHING.get(minor["torch"])
    if expected is not None and (minor["torchaudio"], minor["torchvision"]) != expected:
        fits = f"torchaudio=={expected[0]}.* torchvision=={expected[1]}.*"
        raise Failed(f"{said} were not built for one another; pip install torch=={minor['torch']}.* {fits}")
    # A mismatched build fails at import, and spoils the interpreter that tries: so another one does.
    code = "import torch, torchaudio, torchvision; torchvision.ops.nms"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise Failed(
            f"{said} do not import together ({last}); pip install torch==2.11.* torchaudio==2.11.* torchvision==0.26.*"
        )
    return said


def _packages() -> str:
    names = ("numpy", "scipy", "soundfile", "soxr", "av", "pandas", "safetensors")
    return ", ".join(f"{name} {version(name)}" for name in names)


def _codecs() -> str:
    """Write and read a tone in every form there is a writer for."""
    import tempfile
    from pathlib import Path

    from clipsonic_metrics.sound import read_sound

    tone = (0.5 * np.sin(2 * np.pi * _TONE_HZ * np.arange(48_000) / 48_000)).astype(np.float32)
    faults = []
    with tempfile.TemporaryDirectory() as folder:
        for suffix in (".wav", ".flac", ".ogg", ".opus", ".mp3", ".m4a", ".mp4", ".webm"):
            path = Path(folder) / f"tone{suffix}"
            try:
                _write_tone(path, tone)
                sound = read_sound(path)
            except Exception as error:
                faults.append(f"{suffix} ({' '.join(str(error).split())})")
                continue
            spectrum = np.abs(np.fft.rfft(sound.samples))
            peak = float(np.fft.rfftfreq(len(sound.samples), 1 / sound.rate_hz)[spectrum.argmax()])
            if abs(peak - _TONE_HZ) > 3:
                faults.append(f"{suffix} (a tone of 440 Hz comes back as {peak:.0f} Hz)")
    if faults:
        raise Failed(f"not read: {', '.join(faults)}; pip install --upgrade soundfile av")
    return "WAV, FLAC, OGG, Opus, MP3, M4A, MP4 and WebM are read"


def _write_tone(path: Any, tone: Any) -> None:
    import av
    import soundfile

    if path.suffix in (".wav", ".flac", ".ogg", ".mp3"):
        soundfile.write(path, tone, 48_000)
        return
    if path.suffix == ".opus":
        soundfile.write(path, tone, 48_000, format="OGG", subtype="OPUS")
        return
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libopus" if path.suffix == ".webm" else "aac", rate=48_000, layout="mono")
        frame = av.AudioFrame.from_ndarray(tone[None], format="fltp", layout="mono")
        frame.sample_rate = 48_000
        resampler = av.AudioResampler(stream.format, "mono", 48_000, stream.frame_size)
        for part in (*resampler.resample(frame), *resampler.resample(None)):
            container.mux(stream.encode(part))
        container.mux(stream.encode(None))


def _tokenizers() -> str:
    """Every text encoder that is here, loaded as the commands load it: its tokenizer must have a token for each row of
    the encoder's table, and tell captions apart. Without network, transformers gives empty ones without a word."""
    from clipsonic_metrics.embedders import EMBEDDERS, load_embedder, takes
    from clipsonic_metrics.sources import SOURCES, fetched

    captions = ["a dog barks", "rain on a tin roof", "a violin plays"]
    readers = [name for name in EMBEDDERS if "texts" in takes(name)]
    here = [
        name for name in readers if name.startswith("microworld-") or (name in SOURCES and fetched(name) is not None)
    ]
    for name in here:
        try:
            vectors = load_embedder(name).embed_texts(captions)
        except MetricsError as error:
            raise Failed(f"{name}: {error}") from error
        nearest = float((vectors @ vectors.T)[np.triu_indices(3, 1)].max())
        if nearest > 0.9999:
            raise Failed(f"{name} hears no difference between captions (cosine {nearest:.5f}); reinstall the package")
    return f"captions differ under {', '.join(here)}"


def _weights() -> str:
    """Every file of the fetched weights is what it was when it was fetched."""
    from clipsonic_metrics.sources import SOURCES, fetched, find_weights

    found = [name for name in SOURCES if fetched(name) is not None]
    for name in found:
        find_weights(name, None)  # raises where a digest differs
    if not found:
        raise Skipped("no published weights were fetched; clipsonic-metrics weights fetch NAME")
    return f"{', '.join(found)}: as when they were fetched"


def _golden_metrics() -> str:
    from clipsonic_metrics.golden import check_golden

    found = check_golden()
    wrong = [each for each in found if not each.holds]
    if wrong:
        told = [
            f"{each.golden.metric} of seed {each.golden.seed} is {each.value:.12g}, not {each.golden.value:.12g}"
            for each in wrong
        ]
        raise Failed(f"{'; '.join(told)}: another numpy, scipy or BLAS computes wrongly; reinstall them")
    metrics = len({each.golden.metric for each in found})
    return f"{metrics} metrics give the {len(found)} numbers they should"


def _golden_embeddings() -> str:
    """The encoders that ship, on a fixed sound and caption."""
    from clipsonic_metrics.embedders import load_embedder
    from clipsonic_metrics.sound import Sound

    time = np.arange(32_768) / 16_000
    sound = Sound.of("golden", 0.3 * np.sin(2 * np.pi * 300 * time * (1 + 0.2 * time)) * np.exp(-time), 16_000)
    for name, expected in GOLDEN_EMBEDDINGS.items():
        [vectors] = load_embedder(name).embed_sounds([sound])
        found = [round(float(value), 4) for value in vectors[0, :3]]
        if not np.allclose(found, expected, atol=2e-3):
            raise Failed(
                f"{name} makes {found} of a known sound, not {list(expected)}; reinstall torch and the package"
            )
    return f"{', '.join(GOLDEN_EMBEDDINGS)} make what they should of a known sound"


def _laion_clap() -> str:
    if find_spec("laion_clap") is None:
        raise Skipped("laion_clap is not installed; pip install 'clipsonic[clap]' for its official checkpoints")
    if int(np.__version__.split(".")[0]) >= 2:
        raise Failed(f"laion_clap needs numpy below 2 and this is {np.__version__}; pip install 'numpy<2'")
    return f"laion_clap {version('laion_clap')} with numpy {np.__version__}"


def _parquet() -> str:
    if find_spec("pyarrow") is None:
        raise Skipped("pyarrow is not installed; pip install 'clipsonic[model]' for --out X.parquet")
    import pandas as pd

    buffer = io.BytesIO()
    pd.DataFrame({"x": [1.0]}).to_parquet(buffer)
    return f"pyarrow {version('pyarrow')} writes Parquet"


def _peers() -> str:
    try:
        return f"frechet-audio-distance {version('frechet-audio-distance')}"
    except PackageNotFoundError:
        raise Skipped("frechet-audio-distance is not installed; pip install 'clipsonic[peers]' to compare") from None


def _cache() -> str:
    """The cache can be written to and read from."""
    from clipsonic_metrics.store import EmbeddingStore, default_cache

    store = EmbeddingStore(default_cache(), "doctor@1")
    try:
        store.put("0" * 64, np.ones((1, 2), np.float32))
    except MetricsError as error:
        raise Failed(
            str(error).replace("choose another --cache", "choose another by --cache or $CLIPSONIC_CACHE")
        ) from error
    if store.get("0" * 64) is None:
        raise Failed(f"{default_cache()} does not give back what was written; choose another by --cache")
    return str(default_cache())


CHECKS: dict[str, Callable[[], str]] = {
    "packages": _packages,
    "torch, torchaudio, torchvision": _torch_family,
    "codecs": _codecs,
    "cache": _cache,
    "known numbers of the metrics": _golden_metrics,
    "known embeddings": _golden_embeddings,
    "tokenizers": _tokenizers,
    "fetched weights": _weights,
    "laion_clap": _laion_clap,
    "Parquet": _parquet,
    "peers": _peers,
}
GOLDEN_EMBEDDINGS = {
    "microworld-clap": (-0.0768, -0.0772, 0.1233),
    "microworld-wav2clip": (0.1852, -0.1575, 0.0385),
    "microworld-probe": (0.5721, 0.0390, 2.4466),
}
"""The first three numbers of each encoder that ships, of the sound in `_golden_embeddings`."""
