"""A tiny CLIP, a tiny preset, tiny videos, and a tiny trained model: nothing here needs shipped weights.

A clip of the tiny preset is 2048 samples at 8 kHz (0.256 s), 16 bands by 32 frames.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import open_clip
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from safetensors.torch import save_file

from clipsonic.checkpoint import load_checkpoint
from clipsonic.clips import Preparation
from clipsonic.lists import add_captions, items_of_folder
from clipsonic.pipeline import CLIPSonicPipeline
from clipsonic.prepare import prepare
from clipsonic.prepared import PreparedData
from clipsonic.preset import Preset, load_preset
from clipsonic.prior import build_prior
from clipsonic.training.clipsonic import train
from clipsonic.training.dataset import TrainingSet, of_frames

DIM = 8
TINY = """
[mel]
rate_hz = 8000
n_fft = 256
hop = 64
bands = 16
frames = 32
f_max_hz = 4000.0
patch = [4, 4]

[network]
channels = [16, 32]
head_dim = 8
norm_groups = 8

[training]
steps = 6
batch = 4
learning_rate = 1e-3
warm_up = 2
weight_decay = 0.01
ema_decay = 0.9
condition_dropout = 0.25
precision = "32-true"
standardise = true
save_every = 2
report_every = 1

[sampling]
guidance_scale = 2.0
steps = 4
prior_guidance_scale = 2.0
prior_steps = 4
"""


@pytest.fixture(scope="session")
def preset_file(tmp_path_factory: pytest.TempPathFactory, clip_folder: Path) -> Path:
    path = tmp_path_factory.mktemp("preset") / "tiny.toml"
    path.write_text(f'clip = "{clip_folder}" # choice\n{TINY}')
    return path


@pytest.fixture(scope="session")
def preset(preset_file: Path) -> Preset:
    return load_preset(str(preset_file))


@pytest.fixture(scope="session")
def clip_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An open_clip folder with random weights and a byte tokenizer that merges only "th" and "the"."""
    folder = tmp_path_factory.mktemp("clip")
    merges = ["#version: 0.2", "t h", "th e</w>"]
    (folder / "merges.txt.gz").write_bytes(gzip.compress("\n".join(merges).encode(), mtime=0))
    config = {
        "embed_dim": DIM,
        "vision_cfg": {"image_size": 32, "layers": 1, "width": 32, "head_width": 16, "patch_size": 16},
        "text_cfg": {"context_length": 16, "vocab_size": 2 * 256 + 2 + 2, "width": 32, "heads": 2, "layers": 1},
    }
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = open_clip.CLIP(**config)
    save_file(
        {name: value.contiguous() for name, value in model.state_dict().items()}, folder / "open_clip_model.safetensors"
    )
    preprocess = {"size": 32, "mean": [0.5] * 3, "std": [0.25] * 3}
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": config, "preprocess_cfg": preprocess}))
    return folder


def tone(pitch_hz: float, seconds: float, rate_hz: int = 8000, level: float = 0.5) -> NDArray[np.float32]:
    return (level * np.sin(2 * np.pi * pitch_hz * np.arange(round(seconds * rate_hz)) / rate_hz)).astype(np.float32)


def write_video(
    path: Path,
    samples: NDArray[np.float32] | None,
    colours: tuple[tuple[int, int, int], ...] = ((200, 30, 30),),
    rate_hz: int = 8000,
    codecs: tuple[str, str] = ("libx264", "aac"),
) -> None:
    """One frame of each colour at 4 frames a second, 32 x 32; samples (time,) or (channels, time), or no sound."""
    with av.open(str(path), "w") as container:  # all streams first: the header is written with the first packet
        video = container.add_stream(codecs[0], rate=4) if colours else None
        channels = np.atleast_2d(samples if samples is not None else np.zeros(0, np.float32))
        layout = "mono" if len(channels) == 1 else "stereo"
        audio = container.add_stream(codecs[1], rate=rate_hz, layout=layout) if samples is not None else None
        if video is not None:
            video.width, video.height, video.pix_fmt = 32, 32, "yuv420p"
            video.options = {"preset": "ultrafast", "threads": "1"} if codecs[0] == "libx264" else {"threads": "1"}
            for colour in colours:
                picture = np.broadcast_to(np.array(colour, np.uint8), (32, 32, 3)).copy()
                container.mux(video.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
            container.mux(video.encode(None))
        if audio is not None:
            sound = av.AudioFrame.from_ndarray(np.ascontiguousarray(channels), format="fltp", layout=layout)
            sound.sample_rate, sound.pts, sound.time_base = rate_hz, 0, Fraction(1, rate_hz)
            container.mux(audio.encode(sound))
            container.mux(audio.encode(None))


@pytest.fixture(scope="session")
def make_video() -> Callable[..., None]:
    return write_video


@pytest.fixture(scope="session")
def make_tone() -> Callable[..., NDArray[np.float32]]:
    return tone


@pytest.fixture(scope="session")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three good videos, one of them in a folder, and one of every kind that must be skipped."""
    folder = tmp_path_factory.mktemp("videos")
    (folder / "more").mkdir()
    write_video(folder / "low.mp4", tone(300, 0.5), ((200, 30, 30), (30, 200, 30)))
    write_video(folder / "high.mp4", tone(2500, 0.5), ((30, 30, 200),))
    write_video(folder / "more" / "stereo.mp4", np.stack([tone(900, 0.5, 16000), tone(900, 0.5, 16000)]), rate_hz=16000)
    write_video(folder / "silent.mp4", np.zeros(4000, np.float32))
    write_video(folder / "mute.mp4", None)
    write_video(folder / "short.mp4", tone(300, 0.1))
    write_video(folder / "blind.mp4", tone(300, 0.5), ())
    (folder / "corrupt.mp4").write_bytes(bytes(range(256)) * 20)
    (folder / "notes.txt").write_text("not a video")
    return folder


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for name, colour in (("red", (200, 10, 10)), ("blue", (10, 10, 200))):
        Image.new("RGB", (40, 30), colour).save(folder / f"{name}.png")
    return folder


@pytest.fixture
def prompts(tmp_path: Path) -> Path:
    (tmp_path / "prompts.csv").write_text("id,caption\none,the dog\nmore/two,a bell\n")
    return tmp_path / "prompts.csv"


CAPTIONS = {
    name: f"the {name}" for name in ("low", "high", "more/stereo", "silent", "mute", "short", "blind", "corrupt")
}


@pytest.fixture(scope="session")
def captions_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("captions") / "captions.csv"
    path.write_text("\n".join(["id,caption", *(f"{name},{text}" for name, text in CAPTIONS.items())]) + "\n")
    return path


@pytest.fixture(scope="session")
def prepared_folder(tmp_path_factory: pytest.TempPathFactory, videos: Path, clip_folder: Path, preset: Preset) -> Path:
    out = tmp_path_factory.mktemp("prepared") / "data"
    items = add_captions(items_of_folder(videos), CAPTIONS)
    prepare(videos, items, out, Preparation(preset.mel, str(clip_folder), 4.0))
    return out


@pytest.fixture(scope="session")
def prepared(prepared_folder: Path) -> PreparedData:
    return PreparedData(prepared_folder)


@pytest.fixture(scope="session")
def training_set(prepared: PreparedData) -> TrainingSet:
    return of_frames(prepared)


@pytest.fixture(scope="session")
def run_folder(tmp_path_factory: pytest.TempPathFactory, training_set: TrainingSet, preset: Preset) -> Path:
    """A finished training of six steps."""
    run = tmp_path_factory.mktemp("run")
    train(preset, training_set, run, seed=0, accelerator="cpu")
    assert load_checkpoint(run / "checkpoint.safetensors")["step"] == 6
    return run


@pytest.fixture(scope="session")
def complete(run_folder: Path) -> CLIPSonicPipeline:
    """The tiny model with priors (random weights) and the means of the mean-shift route."""
    from dataclasses import replace

    from clipsonic.pipeline import load_model

    trained = load_model(run_folder / "model")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        priors = [build_prior(DIM, heads=2, head_dim=8, layers=1).eval().requires_grad_(False) for _ in range(2)]
    for prior in priors:
        prior.clip_std.fill_(0.4)
    known = replace(trained.what.conditioning, image_mean=(0.1,) * DIM, text_mean=(-0.1,) * DIM)
    settings = replace(trained.what, conditioning=known)
    return CLIPSonicPipeline(trained.unet, trained.scheduler, *priors, settings=settings.as_dict())


Refused = Callable[..., str]


@pytest.fixture
def refused(capsys: pytest.CaptureFixture[str]) -> Refused:
    """Run a command that must end with code 2 and one line; return the line."""
    from clipsonic.cli import run

    def check(*arguments: object) -> str:
        capsys.readouterr()
        assert run([str(each) for each in arguments]) == 2
        out, err = capsys.readouterr()
        lines = [line for line in err.splitlines() if line.startswith("error: ")]
        assert out == "" and len(lines) == 1 and err.rstrip("\n").endswith(lines[0]) and "Traceback" not in err
        return lines[0]

    return check


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory: pytest.TempPathFactory, complete: CLIPSonicPipeline) -> Path:
    """The complete tiny model as a folder."""
    folder = tmp_path_factory.mktemp("shipped") / "model"
    complete.save_pretrained(str(folder))
    return folder


@pytest.fixture(scope="session")
def karlo_clip_folder(tmp_path_factory: pytest.TempPathFactory, clip_folder: Path) -> Path:
    """A CLIP whose text tower is as wide as its embeddings, as ViT-L/14's is: Karlo's prior needs that."""
    folder = tmp_path_factory.mktemp("karlo-clip")
    config = json.loads((clip_folder / "open_clip_config.json").read_text())
    config["model_cfg"]["text_cfg"] |= {"width": DIM}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(2)
        model = open_clip.CLIP(**config["model_cfg"])
    state = {name: value.contiguous() for name, value in model.state_dict().items()}
    state["text_projection"] *= 20  # raw text vectors of a length that is not 1
    save_file(state, folder / "open_clip_model.safetensors")
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    (folder / "merges.txt.gz").write_bytes((clip_folder / "merges.txt.gz").read_bytes())
    return folder


@pytest.fixture(scope="session")
def karlo_folder(tmp_path_factory: pytest.TempPathFactory, karlo_clip_folder: Path) -> Path:
    """A Karlo with random weights in diffusers' layout, whose text encoder is that of `karlo_clip_folder`."""
    from diffusers import PriorTransformer, UnCLIPScheduler
    from safetensors.torch import load_file
    from transformers import CLIPTextConfig, CLIPTextModelWithProjection, CLIPTokenizer

    folder = tmp_path_factory.mktemp("karlo")
    bytes_of = list(open_clip.tokenizer.bytes_to_unicode().values())
    merges = [("t", "h"), ("th", "e</w>")]
    words = [*bytes_of, *(f"{byte}</w>" for byte in bytes_of), *("".join(pair) for pair in merges)]
    words += ["<|startoftext|>", "<|endoftext|>"]
    vocabulary = {word: number for number, word in enumerate(words)}
    CLIPTokenizer(vocab=vocabulary, merges=merges, model_max_length=16).save_pretrained(str(folder / "tokenizer"))
    config = CLIPTextConfig(
        vocab_size=len(words),
        hidden_size=DIM,
        intermediate_size=4 * DIM,
        projection_dim=DIM,
        num_hidden_layers=1,
        num_attention_heads=2,
        max_position_embeddings=16,
        hidden_act="gelu",
        bos_token_id=len(words) - 2,
        eos_token_id=len(words) - 1,
        pad_token_id=len(words) - 1,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        encoder = CLIPTextModelWithProjection(config)
        prior = PriorTransformer(
            num_attention_heads=2, attention_head_dim=8, num_layers=1, embedding_dim=DIM, num_embeddings=16
        )
        for parameter in (prior.positional_embedding, prior.prd_embedding):
            torch.nn.init.normal_(parameter, std=0.1)
    encoder.load_state_dict(
        _as_transformers(load_file(karlo_clip_folder / "open_clip_model.safetensors")), strict=False
    )
    encoder.save_pretrained(str(folder / "text_encoder"))
    prior.clip_mean.data.fill_(0.3)
    prior.clip_std.data.fill_(0.7)
    prior.save_pretrained(str(folder / "prior"))
    UnCLIPScheduler(
        variance_type="fixed_small_log", prediction_type="sample", num_train_timesteps=1000, clip_sample_range=5.0
    ).save_pretrained(str(folder / "prior_scheduler"))
    return folder


def _as_transformers(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The text tower of open_clip's one-layer CLIP under transformers' names."""
    layer, theirs = "text_model.encoder.layers.0", "transformer.resblocks.0"
    found = {
        "text_model.embeddings.token_embedding.weight": state["token_embedding.weight"],
        "text_model.embeddings.position_embedding.weight": state["positional_embedding"],
        "text_projection.weight": state["text_projection"].T.contiguous(),
    }
    for kind in ("weight", "bias"):
        query, key, value = state[f"{theirs}.attn.in_proj_{kind}"].chunk(3)
        names = {"q_proj": query, "k_proj": key, "v_proj": value, "out_proj": state[f"{theirs}.attn.out_proj.{kind}"]}
        found |= {f"{layer}.self_attn.{name}.{kind}": part for name, part in names.items()}
        found |= {f"{layer}.layer_norm{n}.{kind}": state[f"{theirs}.ln_{n}.{kind}"] for n in (1, 2)}
        found[f"{layer}.mlp.fc1.{kind}"] = state[f"{theirs}.mlp.c_fc.{kind}"]
        found[f"{layer}.mlp.fc2.{kind}"] = state[f"{theirs}.mlp.c_proj.{kind}"]
        found[f"text_model.final_layer_norm.{kind}"] = state[f"ln_final.{kind}"]
    return found
