"""`clipsonic generate`: every kind of query by every route, and the same sounds from the same command."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from PIL import Image

from clipsonic.claim import claimed
from clipsonic.cli import run
from clipsonic.pipeline import CLIPSonicPipeline, load_model
from clipsonic.sounds import read_gain
from clipsonic.vectors import write_vectors

Refused = Callable[..., str]
DIM = 8


def generate(*arguments: object) -> None:
    assert run(["generate", *map(str, arguments)]) == 0


def test_every_route_of_a_complete_model(
    tmp_path: Path, model_folder: Path, pictures: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    heard = {}
    for route in ("text", "text+shift", "text+prior-pd", "text+prior-sd", "unconditional"):
        out = tmp_path / f"{route}.wav"
        generate(model_folder, "--text", "the dog", "--route", route, "--out", out)
        heard[route] = out.read_bytes()
    generate(model_folder, "--image", pictures / "red.png", "--out", tmp_path / "i.wav")
    heard["image"] = (tmp_path / "i.wav").read_bytes()
    assert len(set(heard.values())) == 6
    generate(model_folder, "--text", "the dog", "--out", tmp_path / "default.wav")
    assert (tmp_path / "default.wav").read_bytes() == heard["text+prior-pd"]
    assert "1 sound by route 'text+prior-pd'" in capsys.readouterr().out


def test_the_same_command_gives_the_same_sound_in_another_file(tmp_path: Path, model_folder: Path) -> None:
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        generate(model_folder, "--text", "the dog", "--seed", seed, "--out", tmp_path / f"{name}.wav")
    a, b, c = ((tmp_path / f"{name}.wav").read_bytes() for name in "abc")
    assert a == b != c


def test_a_list_of_prompts(
    tmp_path: Path, model_folder: Path, prompts: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = (model_folder, "--prompts", prompts, "--route", "text")
    generate(*arguments, "--out", tmp_path / "s", "--json", "-")
    record = json.loads(capsys.readouterr().out)
    sounds = {name: str(tmp_path / "s" / f"{name}.wav") for name in ("one", "more/two")}
    assert record["runs"] == [{"seed": 0, "manifest": str(tmp_path / "s" / "manifest.csv"), "sounds": sounds}]
    assert (record["route"], record["rate_hz"]) == ("text", 8000)
    prompts.write_text("id,caption\nmore/two,a bell\n")
    generate(*arguments, "--out", tmp_path / "alone")
    two = Path("more") / "two.wav"
    assert (tmp_path / "alone" / two).read_bytes() == (tmp_path / "s" / two).read_bytes()


def test_several_seeds_are_several_folders(tmp_path: Path, model_folder: Path, prompts: Path) -> None:
    generate(model_folder, "--prompts", prompts, "--out", tmp_path / "s", "--seed", 0, "--seed", 7)
    generate(model_folder, "--prompts", prompts, "--out", tmp_path / "seven", "--seed", 7)
    for name in ("one.wav", "manifest.csv"):
        seven = (tmp_path / "s" / "seed-7" / name).read_bytes()
        assert seven == (tmp_path / "seven" / name).read_bytes()
    assert (tmp_path / "s" / "seed-0" / "one.wav").read_bytes() != (tmp_path / "s" / "seed-7" / "one.wav").read_bytes()


def test_pictures_one_several_and_a_folder(tmp_path: Path, model_folder: Path, pictures: Path) -> None:
    red, blue = pictures / "red.png", pictures / "blue.png"
    for name, frames in (("red", [red]), ("twice", [red, red]), ("both", [red, blue]), ("back", [blue, red])):
        options = [word for frame in frames for word in ("--image", frame)]
        generate(model_folder, *options, "--out", tmp_path / f"{name}.wav")
    heard = {name: soundfile.read(tmp_path / f"{name}.wav")[0] for name in ("red", "twice", "both", "back")}
    assert np.abs(heard["both"] - heard["red"]).max() > 1e-3
    generate(model_folder, "--images", pictures, "--out", tmp_path / "s")
    assert (tmp_path / "s" / "manifest.csv").read_text().splitlines() == [
        "id,file,gain,image",
        f"blue,blue.wav,{read_gain(tmp_path / 's' / 'blue.wav')},../pictures/blue.png",
        f"red,red.wav,{read_gain(tmp_path / 's' / 'red.wav')},../pictures/red.png",
    ]


def test_texts_that_clip_does_not_read_whole_are_said(
    tmp_path: Path, model_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    prompts = tmp_path / "p.csv"
    prompts.write_text(f"id,caption\none,the dog\ntwo,{'the ' * 15}\nthree,{'the ' * 15}\n")
    ask = (model_folder, "--prompts", prompts, "--steps", 1)
    generate(*ask, "--route", "text", "--out", tmp_path / "s")
    said = "2 texts longer than CLIP's context: it read the beginning; the first is 'two'"
    assert said in capsys.readouterr().err
    generate(*ask, "--route", "unconditional", "--out", tmp_path / "u")
    assert "longer than" not in capsys.readouterr().err


def test_vectors_for_a_model_of_a_clip_are_vouched_for_by_nobody(
    tmp_path: Path, model_folder: Path, complete: CLIPSonicPipeline, capsys: pytest.CaptureFixture[str]
) -> None:
    write_vectors(tmp_path / "v.npz", ["a"], np.eye(1, DIM, dtype=np.float32), space="clap/sha256:0")
    generate(model_folder, "--vectors", tmp_path / "v.npz", "--out", tmp_path / "s")
    assert f"of space clap/sha256:0, the model takes those of CLIP {complete.what.clip}" in capsys.readouterr().err


def test_what_was_turned_down_is_written_and_said(
    tmp_path: Path,
    model_folder: Path,
    complete: CLIPSonicPipeline,
    prompts: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Old mistake: no file said that a sound was turned down, by a number that depends on the route."""

    def vocoder_at(level: float) -> None:
        class Loud(torch.nn.Module):
            def forward(self, log_mel: torch.Tensor) -> torch.Tensor:
                return level * log_mel.mean((1, 2)).abs()[:, None].expand(-1, 500)

        monkeypatch.setattr("clipsonic.pipeline.load_vocoder", lambda *_: Loud())

    ask = (model_folder, "--prompts", prompts, "--route", "text")
    names, ids = ("one.wav", "more/two.wav"), ["one", "more/two"]
    text = complete.encode_text(["the dog", "a bell"])
    means = np.abs(complete.generate(text, ids, batch_size=1).log_mel.mean((1, 2)))
    vocoder_at(level := 2 / float(means.max()))
    generate(*ask, "--out", tmp_path / "s")
    rows = (tmp_path / "s" / "manifest.csv").read_text().splitlines()[1:]
    gains = np.array([float(row.split(",")[2]) for row in rows])
    np.testing.assert_allclose(gains, np.minimum(1, 1 / (level * means)), rtol=1e-5)
    count = int((gains < 1).sum())
    assert [read_gain(tmp_path / "s" / name) for name in names] == gains.tolist() and count
    said = f"turned down {count} of 2 sounds by up to 6.0 dB, to stay within full scale: column gain of manifest.csv"
    assert said in capsys.readouterr().err
    whole = (tmp_path / "s" / "manifest.csv").read_bytes()
    (tmp_path / "s" / "manifest.csv").unlink()  # killed before it, and before one of the sounds
    (tmp_path / "s" / "one.wav").unlink()
    generate(*ask, "--out", tmp_path / "s")
    assert (tmp_path / "s" / "manifest.csv").read_bytes() == whole and said in capsys.readouterr().err
    vocoder_at(1e3)
    generate(model_folder, "--text", "the dog", "--route", "text", "--out", tmp_path / "x.wav")
    level_db = -20 * np.log10(read_gain(tmp_path / "x.wav"))
    said = (
        f"turned down 1 of 1 sound by up to {level_db:.1f} dB, to stay within full scale: gain in the comment of x.wav"
    )
    assert level_db > 40 and said in capsys.readouterr().err
    vocoder_at(1e-3)
    generate(*ask, "--out", tmp_path / "quiet")
    assert "turned down" not in capsys.readouterr().err
    assert (tmp_path / "quiet" / "manifest.csv").read_text().count(",1.0,") == 2


def test_samplers_steps_and_guidance_are_heard(tmp_path: Path, model_folder: Path) -> None:
    heard = set()
    ways = (["--sampler", "ddim"], ["--sampler", "ddpm"], ["--steps", 3], ["--guidance-scale", 4])
    for number, how in enumerate(([], *ways)):
        generate(model_folder, "--text", "the dog", *how, "--out", out := tmp_path / f"{number}.wav")
        heard.add(out.read_bytes())
    assert len(heard) == 5


def test_vectors_are_conditions_as_they_are(
    tmp_path: Path, model_folder: Path, complete: CLIPSonicPipeline, prompts: Path
) -> None:
    vectors = complete.encode_text(["the dog", "a bell"])
    write_vectors(tmp_path / "v.npz", ["one", "more/two"], vectors)
    generate(model_folder, "--vectors", tmp_path / "v.npz", "--out", tmp_path / "v")
    generate(model_folder, "--prompts", prompts, "--route", "text", "--out", tmp_path / "t")
    for name in ("one.wav", "more/two.wav"):
        assert (tmp_path / "v" / name).read_bytes() == (tmp_path / "t" / name).read_bytes()
    rows = (tmp_path / "v" / "manifest.csv").read_text().splitlines()
    gains = [read_gain(tmp_path / "v" / name) for name in ("one.wav", "more/two.wav")]
    assert rows == ["id,file,gain", f"one,one.wav,{gains[0]}", f"more/two,more/two.wav,{gains[1]}"]


def test_a_model_without_clip_takes_vectors_alone(
    tmp_path: Path, complete: CLIPSonicPipeline, refused: Refused
) -> None:
    settings = {**complete.what.as_dict(), "clip": None, "clip_sha256": None}
    CLIPSonicPipeline(complete.unet, complete.scheduler, settings=settings).save_pretrained(str(tmp_path / "m"))
    write_vectors(tmp_path / "v.npz", ["a"], np.eye(1, DIM, dtype=np.float32))
    generate(tmp_path / "m", "--vectors", tmp_path / "v.npz", "--out", tmp_path / "v")
    out = ("--out", tmp_path / "x.wav")
    assert "asked by vectors of another encoder: give --vectors" in refused(
        "generate", tmp_path / "m", *out, "--text", "a"
    )
    write_vectors(tmp_path / "v.npz", ["a"], np.eye(1, DIM + 1, dtype=np.float32))
    line = refused("generate", tmp_path / "m", "--vectors", tmp_path / "v.npz", *out)
    assert "the vectors given have 9 dimensions, this model takes 8: another encoder's" in line


def test_a_stopped_list_goes_on(
    tmp_path: Path, model_folder: Path, prompts: Path, refused: Refused, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = ("generate", model_folder, "--prompts", prompts, "--batch-size", 1, "--out", tmp_path / "s")
    with monkeypatch.context() as patch:
        write = soundfile.SoundFile

        def full(path: Path, *rest: object, **named: object) -> soundfile.SoundFile:
            if "two" in path.name:
                path.write_bytes(b"RIFF")
                raise OSError(28, "No space left on device", str(path))
            return write(path, *rest, **named)

        patch.setattr("clipsonic.sounds.soundfile.SoundFile", full)
        assert "No space left on device" in refused(*command)
    assert sorted(path.name for path in (tmp_path / "s").rglob("*.*")) == ["one.wav", "plan.json"]
    first = (tmp_path / "s" / "one.wav").stat().st_mtime_ns
    assert run([str(word) for word in command]) == 0
    assert (tmp_path / "s" / "one.wav").stat().st_mtime_ns == first
    assert (tmp_path / "s" / "more" / "two.wav").is_file() and (tmp_path / "s" / "manifest.csv").is_file()
    assert "holds sounds of another seed" in refused(*command, "--seed", 1)


@pytest.mark.parametrize("route", ["text", "text+prior-pd", "image"])
def test_company_changes_no_bit(tmp_path: Path, pictures: Path, route: str) -> None:
    """Old mistake: queries were encoded together, and Griffin-Lim lets that rounding grow until it is heard."""
    words = ("a dog barks", "two large wooden drums in a hall", "rain on a tin roof", "a bell")
    for number in range(3):
        colours = np.random.default_rng(number).integers(0, 255, (30, 40, 3)).astype(np.uint8)
        Image.fromarray(colours).save(pictures / f"noise{number}.png")
    files = sorted(pictures.iterdir())
    (tmp_path / "all.csv").write_text("id,caption\n" + "".join(f"{n},{text}\n" for n, text in enumerate(words)))
    (tmp_path / "one.csv").write_text(f"id,caption\n2,{words[2]}\n")
    shutil.copytree(pictures, tmp_path / "one")
    for file in files:
        if file != files[2]:
            (tmp_path / "one" / file.name).unlink()
    how = ("--route", route, "--steps", 2)
    every = ("--images", pictures) if route == "image" else ("--prompts", tmp_path / "all.csv")
    single = ("--images", tmp_path / "one") if route == "image" else ("--prompts", tmp_path / "one.csv")
    name = f"{files[2].stem if route == 'image' else 2}.wav"
    for batch in ([], ["--batch-size", 3]):
        generate("micro", *every, *how, *batch, "--out", tmp_path / f"every{batch}")
        generate("micro", *single, *how, *batch, "--out", tmp_path / f"single{batch}")
        assert (tmp_path / f"every{batch}" / name).read_bytes() == (tmp_path / f"single{batch}" / name).read_bytes()


def test_the_plan_says_what_was_meant(tmp_path: Path, model_folder: Path, complete: CLIPSonicPipeline) -> None:
    generate(model_folder, "--text", "a", "--out", tmp_path / "s", "--prior-steps", 3)
    plan, what = json.loads((tmp_path / "s" / "plan.json").read_text()), complete.what
    sampling = {"guidance_scale": what.prior_guidance_scale, "steps": 3, "samples": 1}
    assert plan["prior_sampling"] == sampling and plan["prior_weights"] is None and plan["batch_size"] == 1
    assert (plan["guidance_scale"], plan["steps"], plan["vocoder"]) == (what.guidance_scale, what.steps, what.vocoder)
    assert plan["sampler"] == "dpm-solver++" and plan["vocoder_weights"] is None


def test_a_command_that_is_refused_leaves_nothing(tmp_path: Path, model_folder: Path, refused: Refused) -> None:
    ask = ("generate", model_folder, "--text", "a", "--out", tmp_path / "s")
    assert "sampler 'dimm' does not exist" in refused(*ask, "--sampler", "dimm")
    assert "expected a finite number" in refused(*ask, "--guidance-scale", "nan")
    assert "of a prior: expected a finite number" in refused(*ask, "--prior-guidance-scale", "inf")
    for steps in (1000, 100_000):
        line = refused(*ask, "--steps", steps)
        assert f"{steps} steps: DPMSolverMultistepScheduler takes 1 to 999 here" in line
        assert f"{steps} steps of a prior, expected 1 to 999" in refused(*ask, "--prior-steps", steps)
    assert "has no weights" in refused(*ask, "--vocoder-weights", tmp_path)
    assert "--prompts is given 2 times" in refused(*ask[:2], "--prompts", "a", "--prompts", "b", *ask[4:])
    assert not (tmp_path / "s").exists()
    line = refused("generate", model_folder, "--text", "a", "--out", model_folder / "x.wav")
    assert "holds a model_index.json and is no folder of sounds" in line
    assert "weights fetch --model run/modle" in refused("generate", "run/modle", *ask[2:])


def test_what_does_not_fit_is_refused_before_any_query_is_encoded(
    tmp_path: Path,
    model_folder: Path,
    run_folder: Path,
    pictures: Path,
    refused: Refused,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def encoded(*_: object) -> None:
        raise AssertionError("a query was encoded")

    monkeypatch.setattr("clipsonic.clip.FrozenClip.encode_text", encoded)
    monkeypatch.setattr("clipsonic.clip.FrozenClip.encode_image", encoded)
    text, image, out = ("--text", "a"), ("--image", pictures / "red.png"), ("--out", tmp_path / "s")
    bare = ("generate", run_folder / "model", *out)
    assert "route 'image' needs an image query, and was given a text" in refused(*bare, *text, "--route", "image")
    assert "route 'text' needs a text query, and was given pictures" in refused(*bare, *image, "--route", "text")
    assert "needs image and text means" in refused(*bare, *text, "--route", "text+shift")
    line = refused(*bare, *text, "--route", "text+prior-pd")
    assert "type clipsonic attach MODEL PRIOR --as pd, or generate with --prior karlo" in line
    assert refused(*bare, *text, "--route", "text+prior-sd").endswith("type clipsonic attach MODEL PRIOR --as sd")
    ask = ("generate", model_folder, *out, *text)
    line = refused(*ask, "--route", "unconditional", "--guidance-scale", 4)
    assert "--guidance-scale is not for the route 'unconditional'" in line
    assert "2000 steps of a prior, expected 1 to 999" in refused(*ask, "--prior-steps", 2000)
    assert "there is no folder" in refused(*ask, "--json", tmp_path / "none" / "x.json")
    assert f"--json {tmp_path} is a folder" in refused(*ask, "--json", tmp_path)
    monkeypatch.chdir(tmp_path)
    for place in (tmp_path / "x.wav", "x.wav"):
        inside = ("--out", place, "--json", tmp_path / "none" / "rec.json")
        assert "there is no folder" in refused(*ask[:2], *text, *inside)
    assert not (tmp_path / "x.wav").exists()
    (tmp_path / "p.csv").write_text("id,caption\na,x\na.wav/b,y\n")
    assert "rename one" in refused(*bare, "--prompts", tmp_path / "p.csv", "--route", "text")
    assert "give a folder, or X.wav" in refused(*bare[:2], *text, "--out", tmp_path / "p.csv")
    assert not (tmp_path / "s").exists()


def test_two_of_one_command_at_once(tmp_path: Path, model_folder: Path, prompts: Path, refused: Refused) -> None:
    many = ("generate", model_folder, "--prompts", prompts, "--out", tmp_path / "s")
    one = ("generate", model_folder, "--text", "a", "--out", tmp_path / "x.wav")
    with claimed(tmp_path / "s"), claimed(tmp_path, ".x.wav.lock"):
        assert "another process is at work in" in refused(*many)
        assert "another process is at work in" in refused(*one)
        assert run([str(word) for word in (*one[:-1], tmp_path / "y.wav")]) == 0
    for command in (many, one):
        assert run([str(word) for word in command]) == 0
    assert not [path for path in tmp_path.rglob(".*")]


def test_seeds_of_another_command_are_refused(
    tmp_path: Path, model_folder: Path, prompts: Path, refused: Refused
) -> None:
    """Old mistake: a folder would hold seeds of one command beside those of another."""
    command = ("generate", model_folder, "--prompts", prompts, "--out", tmp_path / "s", "--json", tmp_path / "s" / "j")
    assert run([str(word) for word in (*command, "--seed", 0, "--seed", 1)]) == 0
    assert "has no plan.json" in refused(*command)
    line = refused(*command, "--seed", 2, "--seed", 3, "--guidance-scale", 3)
    assert "seed-0 holds sounds of another guidance scale: go on" in line or "seed-1 holds sounds" in line
    assert run([str(word) for word in (*command, "--seed", 0, "--seed", 3)]) == 0
    assert sorted(path.name for path in (tmp_path / "s").iterdir()) == ["j", "seed-0", "seed-1", "seed-3"]


def test_other_seeds_at_once_share_nothing(tmp_path: Path, model_folder: Path, prompts: Path, refused: Refused) -> None:
    """Old mistake: the folder of all seeds was held, and a command for others of them was refused."""
    command = ("generate", model_folder, "--prompts", prompts, "--out", tmp_path / "s")
    (tmp_path / "s" / "seed-0").mkdir(parents=True)
    with claimed(tmp_path / "s" / "seed-0"):
        assert "another process is at work in" in refused(*command, "--seed", 0, "--seed", 1)
        assert run([str(word) for word in (*command, "--seed", 2, "--seed", 3)]) == 0
    names = sorted(path.name for path in (tmp_path / "s").iterdir())
    assert names == ["seed-0", "seed-2", "seed-3"] and not list((tmp_path / "s").rglob(".*"))
    line = refused(*command[:-1], tmp_path / "n", "--seed", 0, "--seed", 1, "--guidance-scale", 1e38)
    assert "is not finite for" in line and not (tmp_path / "n").exists()


def test_the_plan_says_what_is_in_force(tmp_path: Path, model_folder: Path, refused: Refused) -> None:
    command = ("--text", "a", "--route", "text", "--out", tmp_path / "s")
    generate(model_folder, *command)
    generate(model_folder, *command, "--sampler", "dpm-solver++")  # which is the folder's own
    assert "holds sounds of another sampler: go on" in refused("generate", model_folder, *command, "--sampler", "ddim")
    generate(model_folder, "--text", "a", "--route", "unconditional", "--out", tmp_path / "u")
    assert json.loads((tmp_path / "u" / "plan.json").read_text())["guidance_scale"] == 1.0


def test_what_is_not_finite_leaves_nothing(tmp_path: Path, model_folder: Path, refused: Refused) -> None:
    assert "is not finite for query" in refused(
        "generate", model_folder, "--text", "a", "--out", tmp_path / "s", "--guidance-scale", 1e38
    )
    assert not (tmp_path / "s").exists()


def test_a_full_disk_is_one_line_and_leaves_nothing(
    tmp_path: Path, model_folder: Path, refused: Refused, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(partial: Path, *rest: object, **named: object) -> None:
        partial.write_bytes(b"RIFF")
        raise OSError(28, "No space left on device", str(partial))

    monkeypatch.setattr("clipsonic.sounds.soundfile.SoundFile", full)
    assert "No space left on device" in refused("generate", model_folder, "--text", "a", "--out", tmp_path / "x.wav")
    assert list(tmp_path.iterdir()) == []


# Priors


@pytest.fixture
def karlo_model(tmp_path: Path, complete: CLIPSonicPipeline, karlo_clip_folder: Path) -> Path:
    """A model of the CLIP whose text tower Karlo has; its own prior is another."""
    settings = {**complete.what.as_dict(), "clip": str(karlo_clip_folder), "clip_sha256": None}
    pipeline = CLIPSonicPipeline(complete.unet, complete.scheduler, settings=settings)
    pipeline.save_pretrained(str(tmp_path / "karlo-model"))
    return tmp_path / "karlo-model"


def test_karlo_is_a_prior(
    tmp_path: Path, karlo_model: Path, karlo_folder: Path, prompts: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    generate(karlo_model, "--prompts", prompts, "--prior", karlo_folder, "--out", tmp_path / "s")
    assert "2 sounds by route 'text+prior-pd'" in capsys.readouterr().out
    from clipsonic.karlo import load_karlo

    vectors = load_karlo(str(karlo_folder)).image_embeddings(["the dog", "a bell"], ["one", "more/two"], seed=0)
    made = load_model(karlo_model).generate(vectors, ["one", "more/two"], seed=0, batch_size=1)
    found, _ = soundfile.read(tmp_path / "s" / "one.wav", dtype="float32")
    np.testing.assert_allclose(found, made.samples[0], atol=2e-4)
    for how in (["--prior-steps", 5], ["--prior-guidance-scale", 1], ["--prior-samples", 8], []):
        generate(karlo_model, "--prompts", prompts, "--prior", karlo_folder, "--out", out := tmp_path / f"s{how}", *how)
        same = [
            (out / name).read_bytes() == (tmp_path / "s" / name).read_bytes() for name in ("one.wav", "more/two.wav")
        ]
        assert all(same) == (how == [])


def test_best_of_several_draws(tmp_path: Path, model_folder: Path, complete: CLIPSonicPipeline) -> None:
    text = complete.encode_text(["the dog"])
    one, best = (complete.condition("text+prior-pd", ["query"], text=text, prior_samples=samples) for samples in (1, 8))
    assert one is not None and best is not None and float((best * text).sum()) > float((one * text).sum())
    generate(model_folder, "--text", "the dog", "--prior-samples", 8, "--out", tmp_path / "x.wav")
    made = complete.generate(best, ["query"], batch_size=1)
    np.testing.assert_allclose(soundfile.read(tmp_path / "x.wav")[0], made.samples[0], atol=2e-4)


def test_foreign_priors_are_refused(
    tmp_path: Path, model_folder: Path, karlo_folder: Path, karlo_model: Path, refused: Refused
) -> None:
    common = ("--text", "a", "--out", tmp_path / "x.wav")
    assert "is of another space than CLIP" in refused("generate", model_folder, *common, "--prior", karlo_folder)
    assert "type: clipsonic weights fetch karlo" in refused("generate", model_folder, *common, "--prior", "karlo")
    assert "holds no prior: prior.json is missing" in refused("generate", model_folder, *common, "--prior", tmp_path)
    asked = ("generate", karlo_model, *common, "--prior", karlo_folder)
    assert "--prior goes with route 'text+prior-pd'" in refused(*asked, "--route", "text")
    alone = ("generate", karlo_model, *common, "--route", "text")
    assert "go with a prior, not with route 'text'" in refused(*alone, "--prior-samples", 2)
    assert "takes 2 to 1000 steps" in refused(*asked, "--prior-steps", 1)
    assert "1001 steps of a prior, expected 1 to 1000" in refused(*asked, "--prior-steps", 1001)
    (tmp_path / "run" / "prior").mkdir(parents=True)
    (tmp_path / "run" / "prior" / "prior.json").write_text("{}")
    line = refused("generate", model_folder, *common, "--prior", tmp_path / "run")
    assert f"{tmp_path / 'run'} holds no prior: prior.json is missing (type {tmp_path / 'run' / 'prior'})" in line
    assert not (tmp_path / "x.wav").exists()


# Mistakes


def test_mistakes(tmp_path: Path, model_folder: Path, pictures: Path, prompts: Path, refused: Refused) -> None:
    before = sorted(path.name for path in tmp_path.iterdir())
    ask = ("generate", model_folder, "--out", tmp_path / "x.wav")
    text = ("--text", "a")
    assert "give one of --text, --image, --images, --prompts, --vectors, --data; got none" in refused(*ask)
    assert "got --text, --image" in refused(*ask, *text, "--image", "x.png")
    assert "route 'txt' does not exist; choose one of" in refused(*ask, *text, "--route", "txt")
    assert "needs an image query" in refused(*ask, *text, "--route", "image")
    assert "needs a text query" in refused(*ask, "--image", pictures / "red.png", "--route", "text")
    assert "sampler 'dimm' does not exist; did you mean 'ddim'?" in refused(*ask, *text, "--sampler", "dimm")
    assert "--steps" in refused(*ask, *text, "--steps", 0)
    assert "device 'tpu' is not to be had here" in refused(*ask, *text, "--device", "tpu")
    assert "is one file, for one query and one seed; given 2 and 1: give a folder" in refused(
        *ask, "--prompts", prompts
    )
    assert "not a readable picture" in refused(*ask, "--image", tmp_path / "gone.png")
    assert "not a readable picture" in refused(*ask, "--image", prompts)
    assert "lists no prompt" in refused(*ask, "--prompts", _file(tmp_path / "p.csv", "id,caption\n"))
    assert "would be written outside" in refused(*ask, "--prompts", _file(tmp_path / "p.csv", "id,caption\n../x,a\n"))
    assert "holds no model" in refused("generate", tmp_path, *ask[2:], *text)
    assert "there is no folder 'mirco' here, and no model 'mirco' ships; did you mean 'micro'?" in refused(
        "generate", "mirco", *ask[2:], *text
    )
    (tmp_path / "p.csv").unlink()
    assert sorted(path.name for path in tmp_path.iterdir()) == before


def test_a_damaged_model_folder_is_one_line(tmp_path: Path, model_folder: Path, refused: Refused) -> None:
    ask = ("--text", "a", "--out", tmp_path / "x.wav")
    for change, message in (
        (lambda settings: settings.pop("steps"), "missing ['steps']"),
        (lambda settings: settings.update(speed=3), "unknown ['speed']"),
    ):
        broken = shutil.copytree(model_folder, tmp_path / "broken")
        index = json.loads((broken / "model_index.json").read_text())
        change(index["settings"])
        (broken / "model_index.json").write_text(json.dumps(index))
        assert message in refused("generate", broken, *ask)
        shutil.rmtree(broken)


def _file(path: Path, text: str) -> Path:
    path.write_text(text)
    return path
