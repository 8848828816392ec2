"""Profiles: how other tools hear, embedder by embedder, so that a number can be set beside theirs.

A profile is a way of listening (listening.py) for each embedder that the tool has, and says what of the tool it repeats
and what not. Its name is part of every protocol made with it. What the tools get wrong afterwards is not repeated: our
distances, intervals and pairing are the same in every profile. Windows that the tools choose at random are not repeated
either: a profile of CLAP is theirs for sounds up to 10 s, and hears all of the longer ones. Where a tool was read in a
public copy of its repository, its profile says so.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import Any, Final

from clipsonic_metrics.errors import MetricsError, NotInProfile
from clipsonic_metrics.listening import Listening

_VGGISH: Final = Listening(rate_hz=16_000, window=15_600, hop=15_360, tail="drop", short="refuse")
_CLAP: Final = Listening(rate_hz=48_000, window=480_000, short="repeat-zero")
_CLAP_FUSION: Final = Listening(rate_hz=48_000, window=None, at_least=480_000, short="repeat-zero")
_PANNS_16K: Final = Listening(rate_hz=16_000, window=None, at_least=5120, short="refuse")
_PANNS_32K: Final = Listening(rate_hz=32_000, window=None, at_least=10_240, short="refuse")
_ENCODEC_24K: Final = Listening(rate_hz=24_000, window=None, at_least=320, short="refuse")
_ENCODEC_48K: Final = Listening(rate_hz=48_000, window=None, at_least=320, short="refuse", mono="stereo")
_LAION: Final = ("laion-clap-630k-audioset", "laion-clap-music", "laion-clap-music-speech-audioset")
_FUSION: Final = "laion-clap-630k-audioset-fusion"


@dataclass(frozen=True)
class Profile:
    """A tool's way of listening by embedder; what of the tool is repeated, and what is not."""

    name: str
    peer: str
    listenings: Mapping[str, Listening]
    repeats: str
    differs: str

    def listening(self, embedder: str) -> Listening:
        """How the tool has that embedder listen; the profile is named in it.

        Raises:
            NotInProfile: the tool has no such embedder.
        """
        if embedder not in self.listenings:
            known = ", ".join(self.listenings)
            raise NotInProfile(
                f"profile {self.name} has no {embedder}; choose by --embedder one of {known}, or leave --profile out"
            )
        return replace(self.listenings[embedder], profile=self.name)

    def record(self) -> dict[str, Any]:
        """All of it as JSON-ready values."""
        heard = {name: self.listening(name).describe() for name in self.listenings}
        facts = {"profile": self.name, "peer": self.peer, "embedders": heard}
        return facts | {"repeats": self.repeats, "differs": self.differs}


def find_profile(name: str) -> Profile:
    """The profile of that name.

    Raises:
        MetricsError: there is none (near names, and all that there are).
    """
    if name not in PROFILES:
        near = get_close_matches(name, PROFILES, n=2)
        hint = f"did you mean {' or '.join(near)}? " if near else ""
        raise MetricsError(f"unknown profile {name!r}; {hint}there are {', '.join(PROFILES)}")
    return PROFILES[name]


def _google_fad() -> Profile:
    second = Listening(rate_hz=16_000, window=16_000, hop=8000, tail="drop", short="refuse", level="google-peak-int16")
    return Profile(
        "google-fad",
        "google-research/frechet_audio_distance (Kilgour et al. 2019)",
        {"vggish": second, "vggish-relu": second},
        "Divided by the largest sample, whatever the level: the tool divides the integers of WAV files by max(0.1,"
        " largest), and 0.1 of 32768 never acts on a sound that is not silent. 1 s windows every 0.5 s, of which"
        " VGGish hears the first 96 frames; a rest shorter than a second is left out. vggish-relu is the layer of the"
        " graph of that time, vggish that of later revisions of the model.",
        "The tool neither converts rates nor mixes channels, and reads 16 bits: it takes every file for 16 kHz mono."
        " Of a float WAV or a TFRecord of floats, which it reads as they are, its 0.1 does act on sounds quieter than"
        " that; here it never does."
        " Here sounds are converted, and not rounded to 16 bits after it. It leaves files under 1 s out without a"
        " word and keeps means and covariances in float32.",
    )


def _fadtk() -> Profile:
    kept: Any = {"resampler": "torchaudio-kaiser64", "kept": "float16"}
    vggish = replace(_VGGISH, at_least=16_000, short="zero", quantise="int16", **kept)
    clap = replace(
        _CLAP,
        hop=48_000,
        tail="zero-every-hop",
        short="zero",
        quantise="int16-then-laion",
        **kept,
    )
    encodec_24k = replace(_ENCODEC_24K, first=180 * 24_000, quantise="int16", **kept)
    encodec_48k = Listening(
        rate_hz=48_000,
        window=48_000,
        tail="drop",
        short="refuse",
        mono="mean-twice",
        first=180 * 48_000,
        quantise="int16",
        **kept,
    )
    return Profile(
        "fadtk",
        "microsoft/fadtk 1.1.0",
        {
            "vggish": vggish,
            "laion-clap-630k-audioset": clap,
            "laion-clap-music": clap,
            "encodec-24k": encodec_24k,
            "encodec-48k": encodec_48k,
        },
        "Mono, converted by torchaudio's Kaiser window of width 64, rounded to 16 bits. VGGish: sounds below 1 s"
        " filled with zeros, hop 0.96 s, before the last ReLU. CLAP: 10 s from every second of the sound, zeros"
        " behind its end, rounded to 16 bits once more. EnCodec: the first three minutes, whole at 24 kHz, in"
        " seconds at 48 kHz. Embeddings rounded to float16, as its cache does.",
        "Its FAD-infinity, which draws with replacement and keeps the bias; a NaN from any file of one frame; the"
        " mean taken in float16; caches by file name. EnCodec 48k's last, incomplete second is left out here.",
    )


def _frechet_audio_distance() -> Profile:
    resampler: Any = "resampy-kaiser-best"
    clap = replace(_CLAP, resampler=resampler)
    return Profile(
        "frechet-audio-distance",
        "gudgud96/frechet-audio-distance 0.3.4",
        {
            "vggish": replace(_VGGISH, resampler=resampler),
            "vggish-relu": replace(_VGGISH, resampler=resampler),
            "panns-cnn14-16k": replace(_PANNS_16K, resampler=resampler),
            "panns-cnn14-32k": replace(_PANNS_32K, resampler=resampler),
            **dict.fromkeys(_LAION, clap),
            "encodec-24k": replace(_ENCODEC_24K, resampler=resampler),
            "encodec-48k": replace(_ENCODEC_48K, resampler=resampler),
        },
        "Mono by the mean (EnCodec 48k: two channels), converted by resampy's kaiser_best. VGGish: hop 0.96 s, a"
        " rest left out, before the last ReLU (vggish) or with use_activation=True after it (vggish-relu). Cnn14"
        " and EnCodec: the whole clip. CLAP: 10 s, shorter sounds repeated as a whole and filled with zeros, no"
        " rounding to 16 bits.",
        "Its PANN score drops the batch axis and is a distance of single numbers: here a clip is a row of 2048."
        " Its CLAP crops longer sounds at random: here all of their 10 s windows are heard. Sounds too short for"
        " VGGish vanish there: here they are refused. Errors are -1 there, and what came before an unreadable file"
        " is scored.",
    )


def _audioldm_eval() -> Profile:
    heard: Any = {
        "mono": "first",
        "level": "no-dc",
        "resampler": "torchaudio-hann6",
        "at_least": 32_000,
        "short": "zero",
    }
    return Profile(
        "audioldm-eval",
        "haoheliu/audioldm_eval 0.0.5",
        {
            "vggish": replace(_VGGISH, **heard),
            "panns-cnn14-16k": replace(_PANNS_16K, **heard),
            "panns-cnn14-32k": replace(_PANNS_32K, **heard),
        },
        "The first channel, its mean taken off, converted by torchaudio's defaults, filled with zeros to 32000"
        " samples (2 s at 16 kHz, 1 s at 32 kHz). VGGish: hop 0.96 s, before the last ReLU. Cnn14: the whole clip,"
        ' the ReLU of fc1 for "FD", logits for KL and the inception score. Its KL is kl-reference-generated, of'
        " softmaxes. How it reads sounds was read in its own repository (2d5aad5, its version of then).",
        "Its default classifier, MERT, whose layers it takes for items. Its KL_sigmoid, which is no divergence."
        " 1e-6 inside the logarithms. Unreadable files are replaced by the next one there. Pairs are by name here,"
        " whatever share of names agrees. The inception score is of all items at once here, of ten random parts"
        " there.",
    )


def _av_benchmark() -> Profile:
    heard: Any = {"level": "no-dc", "resampler": "torchaudio-hann6"}
    eight = {
        rate: {**heard, "first": 8 * rate, "at_least": 8 * rate, "short": "refuse", "tail": "drop"}
        for rate in (16_000, 32_000)
    }
    return Profile(
        "av-benchmark",
        "hkchengrex/av-benchmark 1.0",
        {
            "vggish": replace(_VGGISH, **eight[16_000]),
            "panns-cnn14-16k": Listening(rate_hz=16_000, window=8 * 16_000, **eight[16_000]),
            "passt": Listening(rate_hz=32_000, window=8 * 32_000, **eight[32_000]),
            "laion-clap-music-speech-audioset": replace(_CLAP, first=8 * 48_000, **heard),
        },
        "Mono by the mean, its own mean taken off, converted by torchaudio's defaults, the first 8 s (its default"
        " audio_length). VGGish: hop 0.96 s, before the last ReLU. Cnn14 and PaSST: the 8 s as one. CLAP: repeated"
        " as a whole and filled with zeros to 10 s, no rounding to 16 bits. Its KL is kl-reference-generated. How it"
        " reads sounds was read in a public copy (jnwnlee/av-benchmark, 4db65bc), not in its own repository: copies"
        " differ (SonyResearch/soundreactor_v2a_eval reads in another way), and the tool may have moved on.",
        "Sounds below 8 s are refused here, where the tool asks for clips of one length. MS-CLAP, ImageBind and"
        " Synchformer are not here. Names of 20, 21 or 31 letters are not cut. Files that cannot be read are not"
        " replaced by others.",
    )


def _stable_audio_metrics() -> Profile:
    clap = replace(_CLAP, level="peak-1dB", quantise="int16-laion")
    passt = Listening(rate_hz=32_000, window=320_000, hop=160_000, tail="zero", short="zero", level="peak-1dB")
    fusion = replace(_CLAP_FUSION, level="peak-1dB", quantise="int16-laion")
    names = ("laion-clap-music", "laion-clap-music-speech-audioset")
    return Profile(
        "stable-audio-metrics",
        "Stability-AI/stable-audio-metrics fd55536",
        {"passt": passt, _FUSION: fusion, **dict.fromkeys(names, clap)},
        "Mono by the mean, converted by soxr HQ, peak at -1 dB. PaSST: 10 s windows every 5 s, the last filled"
        " with zeros, softmax of the mean logits; its KL is kl-generated-reference, the other direction than"
        " everyone else's. CLAP: rounded to 16 bits as LAION does; its default is the checkpoint with fusion.",
        "FD-OpenL3 is not here: the tool needs TensorFlow for it, and OpenL3 has no maintained port to torch;"
        " numbers of its papers stand for themselves. Random crops of fusion are not repeated. Windows of 1.5 s and"
        " less go in unfilled there. 1e-6 inside the logarithm. A silent file is refused, where its NaN spoils the"
        " tool's sum.",
    )


PROFILES: Final[Mapping[str, Profile]] = {
    profile.name: profile
    for profile in (
        _google_fad(),
        _fadtk(),
        _frechet_audio_distance(),
        _audioldm_eval(),
        _av_benchmark(),
        _stable_audio_metrics(),
    )
}
