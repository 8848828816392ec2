"""`clipsonic generate` of prepared data, and repeated: what is there, and what another command is refused for."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
from PIL import Image
from safetensors.torch import load_file, save_file

from clipsonic.claim import claimed
from clipsonic.cli import run
from clipsonic.clip import FrozenClip
from clipsonic.clips import Preparation
from clipsonic.commands.console import start_progress
from clipsonic.generation import folder_digest, manifest_text
from clipsonic.lists import items_of_folder
from clipsonic.pipeline import CLIPSonicPipeline, load_model
from clipsonic.prepare import prepare
from clipsonic.prepared import PreparedData
from clipsonic.preset import Preset
from clipsonic.prior_folder import PriorRecord, save_prior
from clipsonic.queries import Texts, read_queries
from clipsonic.sounds import read_gain
from clipsonic.vocoders.griffin_lim import GriffinLimVocoder

Refused = Callable[..., str]
DIM = 8


def generate(*arguments: object) -> None:
    assert run(["generate", *map(str, arguments)]) == 0


# Prepared data


def test_the_papers_queries_are_the_middle_frames_of_prepared_data(
    tmp_path: Path, model_folder: Path, prepared_folder: Path, prepared: PreparedData
) -> None:
    generate(model_folder, "--data", prepared_folder, "--out", tmp_path / "iq", "--batch-size", 3)
    plan = json.loads((tmp_path / "iq" / "plan.json").read_text())
    assert plan["route"] == "image"
    made = load_model(model_folder).generate(prepared.vectors("clip_middle"), prepared.ids, batch_size=3)
    rows = ["id,file,gain,caption"]
    for row, (name, text) in enumerate(zip(prepared.ids, prepared.captions(), strict=True)):
        found, _ = soundfile.read(file := tmp_path / "iq" / f"{name}.wav")
        np.testing.assert_allclose(found, made.samples[row], atol=1e-4)
        rows.append(f"{name},{name}.wav,{read_gain(file)},{text}")
    assert len(rows) == 4 and (tmp_path / "iq" / "manifest.csv").read_text().splitlines() == rows


def test_prepared_data_are_asked_by_their_texts(
    tmp_path: Path, model_folder: Path, prepared_folder: Path, prepared: PreparedData
) -> None:
    lines = [f"{name},{text}" for name, text in zip(prepared.ids, prepared.captions(), strict=True)]
    (tmp_path / "p.csv").write_text("\n".join(["id,caption", *lines]) + "\n")
    for route in ("text", "text+prior-pd"):
        generate(model_folder, "--data", prepared_folder, "--route", route, "--out", tmp_path / route / "data")
        generate(model_folder, "--prompts", tmp_path / "p.csv", "--route", route, "--out", tmp_path / route / "csv")
        assert folder_digest(tmp_path / route / "data") == folder_digest(tmp_path / route / "csv")


def test_labels_stand_in_the_manifest_as_they_are(
    tmp_path: Path, videos: Path, preset: Preset, clip_folder: Path
) -> None:
    """And not in the words in which CLIP is asked for them: CLAP scores the manifest's column."""
    items = [replace(item, label="dog barking") for item in items_of_folder(videos) if item.id in ("low", "high")]
    prepare(videos, items, tmp_path / "data", Preparation(preset.mel, str(clip_folder), 4.0))
    seen = read_queries(data=tmp_path / "data")
    assert ",dog barking\n" in manifest_text(seen, tmp_path, [1.0, 1.0]) and len(seen.ids) == 2
    asked = read_queries(data=tmp_path / "data", route="text")
    assert isinstance(asked, Texts) and asked.texts == ["a photo of dog barking"] * 2


def test_prepared_data_that_do_not_fit_are_refused(
    tmp_path: Path,
    model_folder: Path,
    complete: CLIPSonicPipeline,
    prepared: PreparedData,
    videos: Path,
    preset: Preset,
    clip_folder: Path,
    karlo_clip_folder: Path,
    refused: Refused,
) -> None:
    (tmp_path / "alone").mkdir()
    shutil.copy(videos / "low.mp4", tmp_path / "alone")
    items = items_of_folder(tmp_path / "alone")
    for name, clip in (("bare", clip_folder), ("other", karlo_clip_folder)):
        prepare(tmp_path / "alone", items, tmp_path / name, Preparation(preset.mel, str(clip), 4.0))
    ask = ("generate", model_folder, "--out", tmp_path / "s", "--data")
    line = refused(*ask, tmp_path / "bare", "--route", "text")
    assert "these data have no clip_text: prepare them with --captions CSV" in line
    line = refused(*ask, tmp_path / "other")
    assert f"the data were prepared with CLIP {karlo_clip_folder} (sha256 " in line
    assert f"type clipsonic prepare VIDEOS --clip {clip_folder} --out NEW" in line
    assert "--prior goes with route 'text+prior-pd'" in refused(*ask, tmp_path / "bare", "--prior", "karlo")
    assert "is not prepared data" in refused(*ask, tmp_path)
    settings = {**complete.what.as_dict(), "clip": None, "clip_sha256": None}
    CLIPSonicPipeline(complete.unet, complete.scheduler, settings=settings).save_pretrained(str(tmp_path / "m"))
    line = refused(*ask[:1], tmp_path / "m", *ask[2:], tmp_path / "bare")
    assert "asked by vectors of another encoder: give --vectors" in line
    assert not (tmp_path / "s").exists()
    generate(*ask[1:], tmp_path / "bare")
    assert (tmp_path / "s" / "manifest.csv").read_text().startswith("id,file,gain\nlow,low.wav,")
    generate(model_folder, "--data", tmp_path / "other", "--route", "unconditional", "--out", tmp_path / "u")


# What is there already


def test_what_is_there_costs_nothing(
    tmp_path: Path, model_folder: Path, prompts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Old mistake: every query of every seed was encoded, and drawn by the prior, to make what was missing, or nothing;
    and that before the bar was there."""
    seen: list[object] = []
    encode, draw, start = FrozenClip.encode_text, CLIPSonicPipeline._through_prior, start_progress
    monkeypatch.setattr(FrozenClip, "encode_text", lambda self, texts: seen.extend(texts) or encode(self, texts))
    monkeypatch.setattr(
        CLIPSonicPipeline,
        "_through_prior",
        lambda self, route, text, ids, seed, how: seen.append((ids, seed)) or draw(self, route, text, ids, seed, how),
    )
    monkeypatch.setattr("clipsonic.commands.generate.start_progress", lambda: seen.append("bar") or start())
    command = (model_folder, "--prompts", prompts, "--seed", 0, "--seed", 1, "--out", tmp_path / "s")
    generate(*command)
    once = ["bar", "the dog", (["one"], 0), "a bell", (["more/two"], 0), (["one"], 1), (["more/two"], 1)]
    assert seen == once  # of a text, the same vector for every seed
    whole = folder_digest(tmp_path / "s")
    seen.clear()
    generate(*command)
    assert seen == ["bar"]
    (tmp_path / "s" / "seed-1" / "more" / "two.wav").unlink()
    seen.clear()
    generate(*command)
    assert seen == ["bar", "a bell", (["more/two"], 1)] and folder_digest(tmp_path / "s") == whole


def test_another_command_is_refused_before_any_query_is_encoded(
    tmp_path: Path, model_folder: Path, prompts: Path, refused: Refused, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Old mistake: after hours of encoding and drawing, and with several seeds those of the first."""
    ask = ("generate", model_folder, "--prompts", prompts)
    generate(*ask[1:], "--out", tmp_path / "s")
    generate(*ask[1:], "--seed", 0, "--seed", 1, "--out", tmp_path / "two")
    for plan in (tmp_path / "two").rglob("plan.json"):
        if plan.parent.name == "seed-1":
            plan.write_text(plan.read_text().replace('"seed": 1', '"seed": 2'))

    def encoded(*_: object) -> None:
        raise AssertionError("a query was encoded")

    monkeypatch.setattr(FrozenClip, "encode_text", encoded)
    assert "holds sounds of another seed" in refused(*ask, "--seed", 1, "--out", tmp_path / "s")
    (tmp_path / "two" / "seed-0" / "one.wav").unlink()
    line = refused(*ask, "--seed", 0, "--seed", 1, "--out", tmp_path / "two")
    assert "seed-1 holds sounds of another seed" in line
    with claimed(tmp_path / "s"):
        assert "another process is at work in" in refused(*ask, "--out", tmp_path / "s")


def test_pictures_and_sounds_are_read_once(
    tmp_path: Path, model_folder: Path, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Old mistake: each picture twice a seed for the digest, and each sound twice for its gain."""
    read: list[str] = []
    read_bytes, open_sound = Path.read_bytes, soundfile.SoundFile
    monkeypatch.setattr(Path, "read_bytes", lambda self: read.append(self.name) or read_bytes(self))

    def counted(path: Path, *how: object, **named: object) -> soundfile.SoundFile:
        if not how:  # to be read
            read.append(f"{path.parent.name}/{path.name}")
        return open_sound(path, *how, **named)

    monkeypatch.setattr("clipsonic.sounds.soundfile.SoundFile", counted)
    for _ in range(2):
        read.clear()
        generate(model_folder, "--images", pictures, "--seed", 0, "--seed", 1, "--out", tmp_path / "s")
        sounds = [f"seed-{seed}/{name}.wav" for seed in (0, 1) for name in ("blue", "red")]
        assert sorted(read) == sorted(["blue.png", "red.png", *sounds])


def test_a_picture_that_is_cut_short_is_told_before_the_first_sound(
    tmp_path: Path, model_folder: Path, pictures: Path, refused: Refused
) -> None:
    colours = np.random.default_rng(0).integers(0, 255, (64, 64, 3)).astype(np.uint8)
    Image.fromarray(colours).save(pictures / "z.png")
    whole = (pictures / "z.png").read_bytes()
    (pictures / "z.png").write_bytes(whole[: len(whole) // 2])
    line = refused("generate", model_folder, "--images", pictures, "--out", tmp_path / "s")
    assert "z.png: not a readable picture" in line and not (tmp_path / "s").exists()


def test_pictures_that_nobody_looks_at_need_not_be_whole(tmp_path: Path, model_folder: Path, pictures: Path) -> None:
    (pictures / "red.png").write_bytes((pictures / "red.png").read_bytes()[:60])
    generate(model_folder, "--images", pictures, "--route", "unconditional", "--out", tmp_path / "s")
    assert (tmp_path / "s" / "red.wav").is_file()


# The plan

VOCODERS = ("bigvgan-v2-24khz-100band", "bigvgan-v2-22khz-80band")
Options = dict[str, object]


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory, model_folder: Path, complete: CLIPSonicPipeline) -> Path:
    """Sounds of a command that names everything, and what it names: all that a second command may have otherwise."""
    place = tmp_path_factory.mktemp("generated")
    shutil.copytree(model_folder, place / "model")
    (place / "p.csv").write_text("id,caption\none,the dog\n")
    (place / "vocoder").mkdir()
    (place / "vocoder" / "weights").write_text("1")
    means = ((0.1,) * DIM, (-0.1,) * DIM)
    record = PriorRecord(str(complete.what.clip), complete.what.clip_sha256, DIM, 9, 2.0, 2, 1, *means, {})
    save_prior(complete.prior_sd, record, place / "prior")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        any_vocoder(patch)
        assert run(words_of(options_at_first())) == 0
    return place


def options_at_first() -> Options:
    return {
        "generate": "model", "--prompts": "p.csv", "--out": "s", "--prior": "prior", "--vocoder": VOCODERS[0],
        "--vocoder-weights": "vocoder",
    }  # fmt: skip


def words_of(options: Options) -> list[str]:
    return [str(word) for pair in options.items() for word in pair]


def any_vocoder(patch: pytest.MonkeyPatch) -> None:
    """Griffin-Lim by any name: the tiny model's mel is no BigVGAN's."""
    patch.setattr("clipsonic.pipeline.load_vocoder", lambda name, mel, weights=None: GriffinLimVocoder(mel))


def rewritten(path: str) -> None:
    """The same tensors but for one number."""
    tensors = load_file(path)
    name = max(tensors, key=lambda each: tensors[each].numel())
    tensors[name].view(-1)[0] += 0.5
    save_file(tensors, path, {"format": "pt"})


def retrained(options: Options) -> None:
    rewritten("model/unet/diffusion_pytorch_model.safetensors")


def other_prior_weights(options: Options) -> None:
    rewritten("prior/diffusion_pytorch_model.safetensors")


def other_vocoder_weights(options: Options) -> None:
    Path("vocoder/weights").write_text("2")


def other_prompts(options: Options) -> None:
    Path("p.csv").write_text("id,caption\none,a bell\n")


def copied(options: Options) -> None:
    shutil.copytree("model", "copy")
    options["generate"] = "copy"


def prior_copied(options: Options) -> None:
    shutil.copytree("prior", "copy")
    options["--prior"] = "copy"


def without_prior(options: Options) -> None:
    del options["--prior"]


def by_text(options: Options) -> None:
    del options["--prior"]
    options["--route"] = "text"


def by(name: str, value: object) -> Callable[[Options], None]:
    return lambda options: options.update({name: value})


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (retrained, "model"),
        (copied, "model"),
        (by_text, "route and prior and sampling of the prior"),
        (without_prior, "prior and sampling of the prior"),
        (prior_copied, "prior"),
        (other_prior_weights, "prior"),
        (by("--prior-samples", 2), "sampling of the prior"),
        (by("--prior-steps", 3), "sampling of the prior"),
        (by("--prior-guidance-scale", 3), "sampling of the prior"),
        (by("--guidance-scale", 3), "guidance scale"),
        (by("--sampler", "ddim"), "sampler"),
        (by("--steps", 3), "steps"),
        (by("--vocoder", VOCODERS[1]), "vocoder"),
        (other_vocoder_weights, "vocoder"),
        (by("--precision", "bfloat16"), "precision"),
        (by("--batch-size", 2), "batch size"),
        (by("--device", "cpu:0"), "device"),
        (by("--seed", 1), "seed"),
        (other_prompts, "queries"),
    ],
)
def test_a_second_command_that_differs_is_refused(
    tmp_path: Path,
    generated: Path,
    change: Callable[[Options], None],
    told: str,
    refused: Refused,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Old mistake: none held most of the plan; without it a retrained model goes on among the sounds of the old one."""
    monkeypatch.chdir(shutil.copytree(generated, tmp_path / "place"))
    any_vocoder(monkeypatch)
    options = options_at_first()
    assert run(words_of(options)) == 0  # the same command goes on
    change(options)
    before = folder_digest(Path("s"))
    assert refused(*words_of(options)).startswith(f"error: s holds sounds of another {told}: go on with that command")
    assert folder_digest(Path("s")) == before


def test_precision_is_heard(tmp_path: Path, model_folder: Path) -> None:
    for name, how in (("a", []), ("b", ["--precision", "float32"]), ("c", ["--precision", "bfloat16"])):
        generate(model_folder, "--text", "the dog", *how, "--out", tmp_path / f"{name}.wav")
    a, b, c = ((tmp_path / f"{name}.wav").read_bytes() for name in "abc")
    assert a == b != c
