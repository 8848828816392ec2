"""Profiles against what the tools do, written out anew: windows, levels, fillings, roundings; and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
import soxr

from clipsonic_metrics import MetricsError, Sound
from clipsonic_metrics.embedders import EMBEDDERS, load_embedder
from clipsonic_metrics.listening import agreed
from clipsonic_metrics.profiles import PROFILES, find_profile

from .acoustic import noises

LENGTHS_S = (0.4, 0.99, 1.0, 1.49, 1.5, 3.3, 6.0, 10.0, 12.7)
PAIRS = [(profile.name, embedder) for profile in PROFILES.values() for embedder in profile.listenings]


def rows(profile: str, embedder: str, sound: Sound) -> np.ndarray:
    return find_profile(profile).listening(embedder).windows(sound)


def googles(integers: np.ndarray) -> np.ndarray:
    """The tool's normalisation, of the integers that it reads from WAV files."""
    samples = integers.astype(np.float64)
    return samples / max(0.1, samples.max())


@pytest.mark.parametrize("embedder", ["vggish", "vggish-relu"])
def test_google_divides_by_the_largest_sample_and_steps_by_half_a_second(embedder: str) -> None:
    for sound in noises(16_000, *LENGTHS_S):
        integers = np.round(sound.samples * 32768)
        samples = googles(integers)
        read = Sound.of(sound.id, (integers / 32768).astype(np.float32), 16_000)
        starts = range(0, len(samples) - 16_000 + 1, 8000)
        if not starts:
            with pytest.raises(MetricsError, match=f"{sound.id} lasts .* at least 1 s is needed"):
                rows("google-fad", embedder, read)
            continue
        expected = np.stack([samples[start : start + 16_000] for start in starts])
        np.testing.assert_allclose(rows("google-fad", embedder, read), expected, atol=1e-6)


def test_googles_floor_is_a_tenth_of_an_integer_and_so_never_acts_on_what_can_be_heard() -> None:
    [sound] = noises(16_000, 1.0)
    for level in (0.05, 0.001):  # below -20 dB, where a floor of 0.1 of full scale would act
        integers = np.round(sound.samples / sound.samples.max() * level * 32768)
        quiet = Sound.of("quiet", (integers / 32768).astype(np.float32), 16_000)
        [heard] = rows("google-fad", "vggish", quiet)
        np.testing.assert_allclose(heard, googles(integers), atol=1e-6)
        assert heard.max() == pytest.approx(1)
        of_full_scale = quiet.samples / max(0.1, quiet.samples.max())  # the old rule leaves it quiet
        assert of_full_scale.max() <= 10 * level + 1e-3 and np.abs(of_full_scale - heard).max() > 0.4
    below_zero = Sound.of("below zero", np.full(16_000, -0.25, dtype=np.float32), 16_000)
    np.testing.assert_allclose(rows("google-fad", "vggish", below_zero)[0], googles(np.full(16_000, -8192)), rtol=1e-6)


def patches(samples: np.ndarray) -> np.ndarray:
    """What 96 frames of 25 ms every 10 ms span, one after the other, as long as the clip has them."""
    frames = 1 + (len(samples) - 400) // 160
    return np.stack([samples[96 * 160 * n : 96 * 160 * n + 95 * 160 + 400] for n in range(frames // 96)])


def test_fadtks_vggish() -> None:
    for sound in noises(16_000, *LENGTHS_S):
        samples = np.clip(np.round(sound.samples * 32768), -32768, 32767) / 32768
        samples = np.pad(samples, (0, max(0, 16_000 - len(samples))))
        np.testing.assert_array_equal(rows("fadtk", "vggish", sound), patches(samples.astype(np.float32)))


def test_fadtks_clap_starts_a_window_every_second() -> None:
    for sound in noises(48_000, *LENGTHS_S):
        wave = (np.round(sound.samples * 32768) / 32768).astype(np.float32)
        wave = ((wave * np.float32(32767)).astype(np.int16) / 32767).astype(np.float32)
        starts = range(0, len(wave), 48_000)
        expected = [np.pad(wave[at : at + 480_000], (0, max(0, 480_000 - len(wave[at:])))) for at in starts]
        np.testing.assert_array_equal(rows("fadtk", "laion-clap-music", sound), np.stack(expected))


def test_fadtk_keeps_float16() -> None:
    assert {each.kept for each in find_profile("fadtk").listenings.values()} == {"float16"}
    others = [each for profile in PROFILES.values() if profile.name != "fadtk" for each in profile.listenings.values()]
    assert {each.kept for each in others} == {"float32"}


def test_frechet_audio_distances_vggish_and_whole_clips() -> None:
    for sound in noises(16_000, *LENGTHS_S):
        whole = rows("frechet-audio-distance", "panns-cnn14-16k", sound)
        np.testing.assert_array_equal(whole, sound.samples[None])
        if len(sound.samples) < 15_600:  # no row at all there, without a word
            with pytest.raises(MetricsError, match="at least 0.975 s is needed"):
                rows("frechet-audio-distance", "vggish", sound)
        else:
            np.testing.assert_array_equal(rows("frechet-audio-distance", "vggish", sound), patches(sound.samples))


def test_frechet_audio_distance_converts_by_resampy() -> None:
    resampy = pytest.importorskip("resampy", reason="of the extra peers")
    [sound] = noises(44_100, 1.5, channels=2)
    expected = resampy.resample(sound.channels.mean(axis=0), 44_100, 16_000)
    np.testing.assert_allclose(rows("frechet-audio-distance", "panns-cnn14-16k", sound)[0], expected, atol=1e-6)
    both = rows("frechet-audio-distance", "encodec-48k", sound)
    assert both.shape[:2] == (1, 2)
    np.testing.assert_allclose(both[0], resampy.resample(sound.channels, 44_100, 48_000), atol=1e-6)


def test_audioldm_eval_hears_the_first_channel_without_its_mean() -> None:
    for sound in noises(16_000, 0.4, 1.99, 3.3, channels=2):
        first = sound.channels[0] + np.float32(0.1)
        shifted = Sound.of(sound.id, np.stack([first, sound.channels[1]]), 16_000)
        expected = np.pad(first - first.mean(), (0, max(0, 32_000 - len(first))))
        whole = rows("audioldm-eval", "panns-cnn14-16k", shifted)
        np.testing.assert_allclose(whole, expected[None], atol=1e-6)
        np.testing.assert_allclose(rows("audioldm-eval", "vggish", shifted), patches(expected), atol=1e-6)


def test_tools_that_convert_by_torchaudio() -> None:
    torch = pytest.importorskip("torch")
    from torchaudio.functional import resample

    [sound] = noises(44_100, 9.0)
    centred = torch.from_numpy(sound.samples - sound.samples.mean())
    expected = resample(centred, 44_100, 16_000).numpy()
    np.testing.assert_allclose(rows("audioldm-eval", "panns-cnn14-16k", sound)[0], expected, atol=1e-6)
    np.testing.assert_allclose(rows("av-benchmark", "panns-cnn14-16k", sound)[0], expected[:128_000], atol=1e-6)
    passt = rows("av-benchmark", "passt", sound)
    np.testing.assert_allclose(passt[0], resample(centred, 44_100, 32_000).numpy()[:256_000], atol=1e-6)
    clap = rows("av-benchmark", "laion-clap-music-speech-audioset", sound)
    eight = resample(centred, 44_100, 48_000).numpy()[:384_000]
    np.testing.assert_allclose(clap, np.pad(eight, (0, 96_000))[None], atol=1e-6)
    with pytest.raises(MetricsError, match="lasts 7.5 s, at least 8 s is needed"):
        rows("av-benchmark", "vggish", noises(16_000, 7.5)[0])


def test_stable_audio_metrics_steps_by_five_seconds() -> None:
    for sound in noises(32_000, 1.6, 4.0, 5.0, 9.9, 10.0, 10.1, 14.9, 15.0, 15.1, 22.0):
        samples = sound.samples * np.float32(10 ** (-1 / 20) / np.abs(sound.samples).max())
        starts = range(0, max(160_000, len(samples) - 160_000), 160_000)
        expected = [np.pad(samples[at : at + 320_000], (0, max(0, 320_000 - len(samples[at:])))) for at in starts]
        np.testing.assert_allclose(rows("stable-audio-metrics", "passt", sound), np.stack(expected), atol=1e-6)


def test_stable_audio_metrics_sets_the_peak_after_the_conversion() -> None:
    [sound] = noises(44_100, 3.0)
    found = rows("stable-audio-metrics", "passt", sound)
    assert np.abs(found).max() == pytest.approx(10 ** (-1 / 20), rel=1e-6)
    converted = soxr.resample(sound.samples, 44_100, 32_000, quality="HQ")
    np.testing.assert_allclose(found[0, : len(converted)], converted * (0.8912509 / np.abs(converted).max()), atol=1e-6)


@pytest.mark.parametrize(("profile", "embedder"), PAIRS)
def test_every_profile_names_itself_and_an_embedder_that_there_is(profile: str, embedder: str) -> None:
    listening = find_profile(profile).listening(embedder)
    assert embedder in EMBEDDERS and listening.describe().endswith(f"profile-{profile}")


def test_networks_can_listen_as_the_profiles_say() -> None:
    from clipsonic_metrics.embedders import encodec, panns, passt, vggish

    own = {
        "vggish": (vggish.LISTENING, range(15_600, 30_960), 1),
        "vggish-relu": (vggish.LISTENING, range(15_600, 30_960), 1),
        "panns-cnn14-16k": (panns.LISTENING_16K, None, 5120),
        "panns-cnn14-32k": (panns.LISTENING_32K, None, 10_240),
        "passt": (passt.LISTENING, range(5120, 320_001), 1),
        "encodec-24k": (encodec.LISTENING_24K, None, 320),
        "encodec-48k": (encodec.LISTENING_48K, None, 320),
    }
    tried = [(profile, embedder) for profile, embedder in PAIRS if embedder in own]
    assert len(tried) > 12
    for profile, embedder in tried:
        listening, windows, shortest = own[embedder]
        asked = find_profile(profile).listening(embedder)
        assert agreed(embedder, listening, asked, windows, shortest) is asked


def test_profiles_say_what_they_repeat_and_what_not() -> None:
    assert list(PROFILES) == [
        "google-fad", "fadtk", "frechet-audio-distance", "audioldm-eval", "av-benchmark", "stable-audio-metrics",
    ]  # fmt: skip
    for profile in PROFILES.values():
        record = profile.record()
        assert list(record) == ["profile", "peer", "embedders", "repeats", "differs"]
        assert len(profile.repeats) > 100 and len(profile.differs) > 100 and record["embedders"]
    assert "TensorFlow" in PROFILES["stable-audio-metrics"].differs


def test_unknown_names_are_refused() -> None:
    with pytest.raises(MetricsError, match="unknown profile 'fadtkk'; did you mean fadtk"):
        find_profile("fadtkk")
    with pytest.raises(
        MetricsError, match="profile google-fad has no passt; choose by --embedder one of vggish, vggish-relu"
    ):
        find_profile("google-fad").listening("passt")
    with pytest.raises(MetricsError, match="there is no embedder openl3: it needs TensorFlow"):
        load_embedder("openl3")
