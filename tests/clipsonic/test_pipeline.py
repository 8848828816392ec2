"""The pipeline: folders that read back as they were written, routes, guidance, and results that ignore the batch."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler
from numpy.typing import NDArray

from clipsonic.diffusion import make_sampler
from clipsonic.network import build_network
from clipsonic.pipeline import ROUTES, CLIPSonicPipeline, check_finite, load_model
from clipsonic.preset import load_preset
from clipsonic.prior import sample_image_embedding
from clipsonic.settings import Conditioning, Settings
from clipsonic.vocoders import within_full_scale

IDS = [f"item-{k}" for k in range(5)]
Vectors = NDArray[np.float32]


@pytest.fixture(scope="module")
def vectors() -> Vectors:
    drawn = np.random.default_rng(0).normal(size=(5, 8))
    return (drawn / np.linalg.norm(drawn, axis=1, keepdims=True)).astype(np.float32)


# Folders


def test_a_model_folder_reads_back_as_it_was_written(
    tmp_path: Path, complete: CLIPSonicPipeline, vectors: Vectors
) -> None:
    complete.save_pretrained(str(tmp_path / "model"), safe_serialization=True)
    back = load_model(tmp_path / "model")
    assert back.what == complete.what
    for part in ("unet", "prior_pd", "prior_sd"):
        before, after = getattr(complete, part).state_dict(), getattr(back, part).state_dict()
        assert all(torch.equal(before[name], after[name]) for name in before)
        assert not getattr(back, part).training
    again = back.generate(vectors, IDS, seed=1)
    np.testing.assert_array_equal(again.samples, complete.generate(vectors, IDS, seed=1).samples)


def test_a_model_folder_holds_no_pickle(run_folder: Path) -> None:
    suffixes = {path.suffix for path in (run_folder / "model").rglob("*") if path.is_file()}
    assert suffixes == {".json", ".safetensors"}


def test_a_model_without_priors_reads_back_without(run_folder: Path) -> None:
    model = load_model(run_folder / "model")
    assert model.prior_pd is None and model.prior_sd is None


def change_settings(folder: Path, key: str, value: object) -> None:
    index = json.loads((folder / "model_index.json").read_text())
    place = index["settings"]
    *way, last = key.split("/")
    for step in way:
        place = place[step]
    place[last] = value
    (folder / "model_index.json").write_text(json.dumps(index))


@pytest.mark.parametrize("key", ["guidance", "mel/hops", "conditioning/average"])
def test_an_unknown_setting_is_refused(tmp_path: Path, run_folder: Path, key: str) -> None:
    """A setting of a later version would otherwise be dropped, and the sounds be others."""
    folder = shutil.copytree(run_folder / "model", tmp_path / "model")
    change_settings(folder, key, 3)
    with pytest.raises(ValueError, match=rf"unknown \['{key.split('/')[-1]}'\]"):
        load_model(folder)


def test_a_folder_without_a_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="holds no model: model_index.json is missing"):
        load_model(tmp_path)


def test_settings_survive_json(complete: CLIPSonicPipeline) -> None:
    record = complete.what.as_dict()
    assert Settings.from_dict(json.loads(json.dumps(record))) == complete.what


def test_defaults_can_be_changed_for_saving(complete: CLIPSonicPipeline) -> None:
    changed = complete.with_settings(guidance_scale=3.0, steps=7)
    assert (changed.what.guidance_scale, changed.what.steps) == (3.0, 7)
    assert replace(changed.what, guidance_scale=2.0, steps=4) == complete.what


def test_a_scheduler_that_clips_log_mels_is_refused(complete: CLIPSonicPipeline, vectors: Vectors) -> None:
    schedule, settings = complete.scheduler.config, complete.what.as_dict()
    with pytest.raises(ValueError, match="this DDIMScheduler clips predictions .* make it with clip_sample=False"):
        CLIPSonicPipeline(complete.unet, DDIMScheduler.from_config(schedule), settings=settings)
    whole = CLIPSonicPipeline(complete.unet, DDIMScheduler.from_config(schedule, clip_sample=False), settings=settings)
    assert whole.generate(vectors[:1], ["a"], steps=2).samples.any()


def test_loading_is_quiet_and_leaves_the_global_generator_alone(
    run_folder: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    before = torch.get_rng_state()
    load_model(run_folder / "model")
    assert torch.equal(torch.get_rng_state(), before)
    assert caplog.records == [] and capfd.readouterr() == ("", "")


# Vocoders


def test_another_vocoder_can_be_heard(complete: CLIPSonicPipeline, vectors: Vectors) -> None:
    class Silence(torch.nn.Module):
        def forward(self, log_mel: torch.Tensor) -> torch.Tensor:
            return torch.zeros(len(log_mel), log_mel.shape[2] * 64)

    model = CLIPSonicPipeline(complete.unet, complete.scheduler, settings=complete.what.as_dict())
    heard = model.generate(vectors[:1], ["a"], steps=1)
    model.vocoder = Silence()
    silent = model.generate(vectors[:1], ["a"], steps=1)
    np.testing.assert_array_equal(silent.log_mel, heard.log_mel)
    assert heard.samples.any() and not silent.samples.any()
    model.use_vocoder("griffin-lim")
    np.testing.assert_array_equal(model.generate(vectors[:1], ["a"], steps=1).samples, heard.samples)


def test_a_vocoder_of_another_mel_is_refused_when_the_model_is_made(complete: CLIPSonicPipeline) -> None:
    settings = replace(complete.what, vocoder="bigvgan-v2-22khz-80band").as_dict()
    with pytest.raises(ValueError, match="does not take this model's mel: n_fft 256 .wanted 1024., hop 64"):
        CLIPSonicPipeline(complete.unet, complete.scheduler, settings=settings)
    with pytest.raises(ValueError, match="does not take this model's mel"):
        complete.use_vocoder("bigvgan-v2-24khz-100band")


def test_a_vocoder_without_weights_is_refused_before_sampling(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten seconds at base size are minutes on a CPU: not after them."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    preset = load_preset("small")
    with torch.device("meta"):
        network = build_network(preset.mel, 8, preset.network)
    settings = Settings(preset.mel, Conditioning(8, 1.0), None, diffusion=preset.diffusion, vocoder=preset.vocoder)
    model = CLIPSonicPipeline(network, make_sampler("ddim", preset.diffusion), settings=settings.as_dict())
    with pytest.raises(ValueError, match="not on this machine: clipsonic weights fetch bigvgan-v2-22khz-80band"):
        model.generate(None, ["a"])


# Routes


def test_image_and_text_vectors_pass_as_they_are(complete: CLIPSonicPipeline, vectors: Vectors) -> None:
    np.testing.assert_array_equal(complete.condition("image", IDS, image=vectors), vectors)
    np.testing.assert_array_equal(complete.condition("text", IDS, text=vectors), vectors)
    assert complete.condition("unconditional", IDS) is None


def test_mean_shift_in_closed_form(complete: CLIPSonicPipeline, vectors: Vectors) -> None:
    moved = vectors + 0.2  # image mean 0.1, text mean -0.1
    expected = moved / np.linalg.norm(moved, axis=1, keepdims=True)
    np.testing.assert_allclose(complete.condition("text+shift", IDS, text=vectors), expected, atol=1e-6)


@pytest.mark.parametrize("kind", ["pd", "sd"])
def test_a_prior_route_samples_that_prior(complete: CLIPSonicPipeline, vectors: Vectors, kind: str) -> None:
    found = complete.condition(f"text+prior-{kind}", IDS, text=vectors, seed=3)
    prior = getattr(complete, f"prior_{kind}")
    expected = sample_image_embedding(prior, torch.from_numpy(vectors), IDS, 3, 2.0, 4)
    np.testing.assert_array_equal(found, expected.numpy())
    assert np.abs(complete.condition("text+prior-pd", IDS, text=vectors) - vectors).max() > 0.01


def test_what_a_route_lacks_is_named(complete: CLIPSonicPipeline, run_folder: Path, vectors: Vectors) -> None:
    plain = load_model(run_folder / "model")
    cases = {
        "'txt' does not exist; choose one of " + ", ".join(ROUTES).replace("+", r"\+"): (
            "txt",
            complete,
            {"text": vectors},
        ),
        "'image' needs an image query": ("image", complete, {"text": vectors}),
        "'text' needs a text query": ("text", complete, {"image": vectors}),
        r"'text\+shift' needs image and text means": ("text+shift", plain, {"text": vectors}),
        r"'text\+prior-sd' needs a prior that this": ("text+prior-sd", plain, {"text": vectors}),
        r"expected embeddings of shape \(5, 8\), got \(5, 7\)": ("text", complete, {"text": vectors[:, :7]}),
    }
    for message, (route, model, query) in cases.items():
        with pytest.raises(ValueError, match=message):
            model.condition(route, IDS, **query)


def test_queries_go_through_the_clip_of_the_settings(complete: CLIPSonicPipeline, clip_folder: Path) -> None:
    assert complete.what.clip == str(clip_folder)
    assert complete.encode_text(["a", "b"]).shape == (2, 8)
    pictures = np.zeros((3, 20, 30, 3), np.uint8)
    assert complete.encode_image(pictures).shape == (3, 8)


def test_another_clip_under_the_same_name_is_refused(complete: CLIPSonicPipeline) -> None:
    for changed, message in (
        (replace(complete.what, clip_sha256="0" * 64), "was made with a CLIP of sha256 000000000000"),
        (replace(complete.what, conditioning=Conditioning(9, 1.0)), "the condition of this model has 9 dimensions"),
    ):
        model = CLIPSonicPipeline(complete.unet, complete.scheduler, settings=changed.as_dict())
        with pytest.raises(ValueError, match=message):
            model.encode_text(["a"])


def test_best_of_several_draws_of_a_prior_is_nearer_to_the_text(complete: CLIPSonicPipeline, vectors: Vectors) -> None:
    one, best = (
        complete.condition("text+prior-pd", IDS, text=vectors, seed=3, prior_samples=samples) for samples in (1, 4)
    )
    assert one is not None and best is not None
    gain = (best * vectors).sum(1) - (one * vectors).sum(1)
    assert gain.min() >= 0 and gain.max() > 0


def test_a_model_of_vectors_says_so(complete: CLIPSonicPipeline) -> None:
    settings = replace(complete.what, clip=None).as_dict()
    model = CLIPSonicPipeline(complete.unet, complete.scheduler, settings=settings)
    with pytest.raises(ValueError, match="this model has no CLIP"):
        model.encode_text(["a"])


def test_standardising_is_the_record_in_the_settings(complete: CLIPSonicPipeline, vectors: Vectors) -> None:
    known = complete.what.conditioning
    expected = (vectors - np.array(known.mean)) * known.scale
    np.testing.assert_allclose(complete.standardise(vectors, 5).numpy(), expected, atol=1e-5)
    assert torch.equal(complete.standardise(None, 5), torch.zeros(5, 8))


# Generation


def test_shapes_and_ranges(complete: CLIPSonicPipeline, vectors: Vectors) -> None:
    made = complete.generate(vectors, IDS)
    assert made.samples.shape == (5, 2048) and made.samples.dtype == np.float32 and made.rate_hz == 8000
    assert made.log_mel.shape == (5, 16, 32) and made.log_mel.min() >= np.log(np.float32(1e-3))
    assert np.abs(made.samples).max() <= 1
    np.testing.assert_allclose(made.samples, complete.vocode(made.log_mel), atol=1e-5)


@pytest.mark.parametrize("batch_size", [1, 2, 3, 5, 32])
def test_batch_size_is_invisible(complete: CLIPSonicPipeline, vectors: Vectors, batch_size: int) -> None:
    alone = complete.generate(vectors, IDS, seed=2, batch_size=1)
    made = complete.generate(vectors, IDS, seed=2, batch_size=batch_size)
    np.testing.assert_allclose(made.log_mel, alone.log_mel, atol=1e-4)


def test_order_and_company_are_invisible(complete: CLIPSonicPipeline, vectors: Vectors) -> None:
    together = complete.generate(vectors, IDS, seed=2).log_mel
    some = complete.generate(vectors[[3, 1]], [IDS[3], IDS[1]], seed=2).log_mel
    np.testing.assert_allclose(some, together[[3, 1]], atol=1e-4)


def test_seed_and_id_are_the_address(complete: CLIPSonicPipeline, vectors: Vectors) -> None:
    base = complete.generate(vectors[:1], ["a"], seed=0).log_mel
    np.testing.assert_array_equal(complete.generate(vectors[:1], ["a"], seed=0).log_mel, base)
    assert np.abs(complete.generate(vectors[:1], ["a"], seed=1).log_mel - base).max() > 0.1
    assert np.abs(complete.generate(vectors[:1], ["b"], seed=0).log_mel - base).max() > 0.1


def test_guidance_of_one_is_the_conditional_model(
    complete: CLIPSonicPipeline, vectors: Vectors, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[torch.Tensor] = []
    forward = complete.unet.forward

    def spy(*arguments: object, class_labels: torch.Tensor, **named: object) -> object:
        seen.append(class_labels)
        return forward(*arguments, class_labels=class_labels, **named)

    monkeypatch.setattr(complete.unet, "forward", spy)
    complete.generate(vectors, IDS, guidance_scale=1.0, steps=3, batch_size=5)
    assert len(seen) == 3 and all(torch.equal(each, complete.standardise(vectors, 5)) for each in seen)
    seen.clear()
    complete.generate(vectors, IDS, guidance_scale=2.0, steps=3, batch_size=5)
    assert len(seen) == 3 and all(torch.equal(each[:5], torch.zeros(5, 8)) for each in seen)


def test_guidance_in_closed_form(complete: CLIPSonicPipeline, vectors: Vectors) -> None:
    """One step of the sampler is linear in what the network says: g = free + scale * (told - free)."""
    free = complete.generate(None, IDS, steps=1).log_mel.astype(np.float64)
    told = complete.generate(vectors, IDS, steps=1, guidance_scale=1.0).log_mel.astype(np.float64)
    found = complete.generate(vectors, IDS, steps=1, guidance_scale=3.0).log_mel
    floor, ceiling = np.log(1e-3) + 1e-3, complete.what.mel.ceiling - 1e-3
    above = np.all([(values > floor) & (values < ceiling) for values in (free, told, found)], axis=0)
    assert above.mean() > 0.2 and np.abs(told - free).max() > 1e-3
    np.testing.assert_allclose(found[above], (free + 3 * (told - free))[above], atol=1e-3)
    assert np.abs(found - told)[above].max() > 1e-3


def test_no_condition_needs_no_guidance(complete: CLIPSonicPipeline) -> None:
    one = complete.generate(None, IDS, guidance_scale=1.0).log_mel
    np.testing.assert_array_equal(complete.generate(None, IDS, guidance_scale=5.0).log_mel, one)


def test_company_does_not_change_a_sound(complete: CLIPSonicPipeline, vectors: Vectors) -> None:
    together = complete.generate(vectors, IDS, steps=2)
    alone = complete.generate(vectors[3:4], IDS[3:4], steps=2)
    np.testing.assert_array_equal(alone.samples[0], together.samples[3])


def test_a_sound_beyond_full_scale_is_turned_down_and_not_clipped() -> None:
    wave = torch.sin(torch.linspace(0, 50, 1000))
    samples, gain = within_full_scale(torch.stack([4.0 * wave, 0.5 * wave]))
    torch.testing.assert_close(samples, torch.stack([wave / wave.abs().max(), 0.5 * wave]))
    torch.testing.assert_close(gain, torch.tensor([1 / (4.0 * float(wave.abs().max())), 1.0]))


def test_progress_counts_the_sounds(complete: CLIPSonicPipeline, vectors: Vectors) -> None:
    seen: list[int] = []
    complete.generate(vectors, IDS, batch_size=2, steps=1, progress=seen.append)
    assert seen == [2, 2, 1]


def test_generating_leaves_the_global_generator_and_autograd_alone(
    complete: CLIPSonicPipeline, vectors: Vectors
) -> None:
    before = torch.get_rng_state()
    complete.generate(vectors, IDS, steps=1)
    assert torch.equal(torch.get_rng_state(), before) and torch.is_grad_enabled()


@pytest.mark.parametrize(
    ("ids", "steps", "dim", "message"),
    [
        ([], 4, 8, "0 ids, 4 steps, batches of 10: at least 1 of each is needed"),
        (IDS, 0, 8, "5 ids, 0 steps"),
        (IDS, 4, 7, r"expected conditions of shape \(5, 8\), got \(5, 7\)"),
        (IDS[:3], 4, 8, r"expected conditions of shape \(3, 8\), got \(5, 8\)"),
    ],
)
def test_a_wrong_request_is_refused(
    complete: CLIPSonicPipeline, vectors: Vectors, ids: list[str], steps: int, dim: int, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        complete.generate(vectors[:, :dim], ids, steps=steps)


@pytest.mark.parametrize("scale", [float("nan"), float("inf"), 1e40])
def test_what_is_not_finite_is_no_sound(complete: CLIPSonicPipeline, vectors: Vectors, scale: float) -> None:
    """Old mistake: NaN went through clamp and 16 bits, and was a WAV."""
    with pytest.raises(ValueError, match="expected a finite number|network generates is not finite for item-0, "):
        complete.generate(vectors, IDS, guidance_scale=scale)


def test_items_that_are_not_finite_are_named() -> None:
    values = torch.zeros(8, 2, 3)
    check_finite("it", list("abcdefgh"), values)
    values[1, 0, 2], values[7, 1, 0] = float("nan"), float("-inf")
    with pytest.raises(ValueError, match="^it is not finite for b, h: "):
        check_finite("it", list("abcdefgh"), values)
    with pytest.raises(ValueError, match="for a, b, c, d, e and 3 more: "):
        check_finite("it", list("abcdefgh"), values * float("nan"))


def test_a_prior_that_draws_what_is_not_finite_is_named(complete: CLIPSonicPipeline, vectors: Vectors) -> None:
    with pytest.raises(ValueError, match="guidance scale nan of a prior"):
        complete.condition("text+prior-pd", IDS, text=vectors, prior_guidance_scale=float("nan"))
    with pytest.raises(ValueError, match="the vectors that the prior of route 'text.prior-pd' draws is not finite for"):
        complete.condition("text+prior-pd", IDS, text=vectors * np.float32("nan"))


def test_log_mel_is_the_one_of_the_settings(complete: CLIPSonicPipeline) -> None:
    samples = np.random.default_rng(0).normal(0, 0.1, (2, 2048)).astype(np.float32)
    assert complete.log_mel(samples).shape == (2, 16, 32)


def test_conditioning_defaults_hold_no_means() -> None:
    assert Conditioning(8, 2.0).image_mean == ()
