"""The command: its numbers are the functions', its errors one line, its exit codes the contract's."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from PIL import Image

from clipsonic_metrics import clap_score, clip_score, fad, kad, modality_gap
from clipsonic_metrics.cli import run
from clipsonic_metrics.embedding import embed_folder
from clipsonic_metrics.npz import save_embeddings
from clipsonic_metrics.scores import METRICS, Metric
from clipsonic_metrics.scores.kl import kl_reference_generated
from clipsonic_metrics.scores.prdc import prdc
from clipsonic_metrics.sets import SetOfEmbeddings
from clipsonic_metrics.sound import read_sound

from .conftest import RATE_HZ, TinyEmbedder, tone

Maker = Callable[..., Path]
CAPTIONS = ("a dog barks outside", "an iron bell", "water runs out", "a truck idles")


@pytest.fixture(autouse=True)
def own_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CLIPSONIC_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def tiny_metrics(monkeypatch: pytest.MonkeyPatch, tiny: TinyEmbedder) -> TinyEmbedder:
    """Every metric on the tiny embedder."""
    replaced = {"clip-score": ("tiny", "tiny"), "factor-accuracy": ("tiny-probe",)}
    for name, metric in METRICS.items():
        monkeypatch.setitem(METRICS, name, Metric(metric.function, metric.needs, replaced.get(name, ("tiny",))))
    return tiny


def inputs(folder: Path) -> list[str]:
    """Prompts, images and factors for the sounds of a folder, and the options that name them."""
    root, ids = folder.parent, sorted(path.stem for path in folder.iterdir())
    lines = [f"{id},{CAPTIONS[index % 4]}" for index, id in enumerate(ids)]
    (root / "prompts.csv").write_text("\n".join(["id,caption", *reversed(lines)]))  # paired by id, whatever the order
    pitches = ["low" if 200 * (1 + index / 4) <= 600 else "high" for index in range(len(ids))]
    rows = [f"{id},{pitch},long" for id, pitch in zip(ids, pitches, strict=True)]
    (root / "factors.csv").write_text("\n".join(["id,pitch,length", *rows]))
    (root / "images").mkdir(exist_ok=True)
    for index, id in enumerate(ids):
        Image.new("RGB", (8, 8), (20 * index, 255 - 20 * index, 90)).save(root / "images" / f"{id}.png")
    names = {"--prompts": "prompts.csv", "--factors": "factors.csv", "--images": "images"}
    return [part for option, name in names.items() for part in (option, str(root / name))]


def error_of(capsys: pytest.CaptureFixture[str]) -> str:
    captured = capsys.readouterr()
    assert captured.out == "" and captured.err.startswith("error: ") and captured.err.count("\n") == 1
    return captured.err


def test_help_imports_neither_torch_nor_numpy() -> None:
    program = (
        "import sys; from clipsonic_metrics.cli import run; code = run(sys.argv[1:]); "
        "print('loaded', [name for name in ('numpy', 'torch', 'scipy', 'pandas') if name in sys.modules], code)"
    )
    for command in ([], ["fad"], ["score"], ["weights", "fetch"], ["doctor"]):
        done = subprocess.run(
            [sys.executable, "-c", program, *command, "--help"], capture_output=True, text=True, check=True
        )
        assert done.stdout.splitlines()[-1] == "loaded [] 0" and "Usage: clipsonic-metrics" in done.stdout


def test_fad_prints_a_table_and_writes_the_record(
    tiny_metrics: TinyEmbedder, sound_folder: Maker, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    a, b = sound_folder("a"), sound_folder("b", pitch_hz=500, seed=40)
    assert run(["fad", str(a), str(b), "--embedder", "tiny", "--json", str(tmp_path / "r.json")]) == 0
    record = json.loads((tmp_path / "r.json").read_text())
    reference, generated = (embed_folder(folder, tiny_metrics, cache=None) for folder in (a, b))
    expected = fad(reference.items, generated.items, protocol=tiny_metrics.protocol)
    [score] = record["scores"]
    assert next(iter(record)) == "schema"
    found = [score[name] for name in ("value", "low", "high")]
    assert found == pytest.approx([expected.value, expected.low, expected.high], rel=1e-9)
    assert score["protocol"] == "fad@1/tiny@1/8000Hz/0.5s" and score["items"] == 12 and score["embedder"] == "tiny"
    assert record["generated"]["sha256"] == generated.digest and record["reference"]["sha256"] == reference.digest
    out = capsys.readouterr().out
    assert f"{expected.value:.4f}" in out and "fad@1/tiny@1" in out and "delete-half jackknife" in out


def test_json_on_stdout_is_all_there_is_on_stdout(
    tiny_metrics: TinyEmbedder, sound_folder: Maker, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = sound_folder("a")
    assert run(["fad", str(folder), str(folder), "--json", "-"]) == 0
    assert json.loads(capsys.readouterr().out)["scores"][0]["value"] == pytest.approx(0, abs=1e-12)


def test_score_computes_every_metric_on_pairs_by_id(
    tiny_metrics: TinyEmbedder, sound_folder: Maker, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    a, b = sound_folder("a"), sound_folder("b", pitch_hz=200, seed=40)
    options = inputs(b)
    names = [name for name in METRICS if name not in ("gap", "fad-infinity")]  # that one needs more items
    arguments = ["score", str(b), "--reference", str(a), "--training", str(sound_folder("c", pitch_hz=320, seed=9))]
    arguments += [*options, "--metrics", ",".join(names), "--json", "-"]
    assert run(arguments) == 0
    first = json.loads(capsys.readouterr().out)
    values = {score["metric"]: score["value"] for score in first["scores"]}
    made = embed_folder(b, tiny_metrics, cache=None)
    text = tiny_metrics.embed_texts([CAPTIONS[index % 4] for index in range(12)])
    pictures = [np.asarray(Image.open(tmp_path / "images" / f"{id}.png")) for id in made.vectors]
    images = [tiny_metrics.embed_images([picture]) for picture in pictures]
    reference = embed_folder(a, tiny_metrics, cache=None).items
    assert values["fad"] == pytest.approx(fad(reference, made.items).value, rel=1e-9)
    assert values["kad"] == kad(reference, made.items, seed=0).value
    assert values["clap-score"] == pytest.approx(clap_score(made.items, text).value)
    assert values["clip-score"] == pytest.approx(clip_score(made.items, images).value)
    assert values["factor-accuracy/pitch"] == 1 and values["factor-accuracy/length"] == 1
    assert {"retrieval@1", "retrieval@10"} <= set(values) and set(names) <= {name.split("@")[0] for name in values} | {
        "factor-accuracy"
    }
    sounds = [read_sound(path) for path in sorted(b.iterdir())], [read_sound(path) for path in sorted(a.iterdir())]
    logits, of_reference = (tiny_metrics.classify_sounds(each) for each in sounds)
    assert values["kl-reference-generated"] == pytest.approx(kl_reference_generated(of_reference, logits).value)
    assert values["coverage"] == prdc(reference, made.items)["coverage"].value
    [protocol] = [score["protocol"] for score in first["scores"] if score["metric"] == "kl-reference-generated"]
    assert protocol == "kl-reference-generated@1/tiny@1/8000Hz/0.5s/logits"
    per_item = clap_score(made.items, text).per_item
    assert [item["clap-score"] for item in first["items"]] == pytest.approx(per_item)
    assert [item["id"] for item in first["items"]] == list(made.vectors)
    assert run([*arguments, "--no-cache"]) == 0  # neither cache nor a second time changes anything
    assert json.loads(capsys.readouterr().out) == first


def test_embeddings_stand_for_their_folder(
    tiny_metrics: TinyEmbedder, sound_folder: Maker, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    a, b = sound_folder("a"), sound_folder("b", pitch_hz=500, seed=40)
    assert run(["embed", str(a), "--embedder", "tiny", "--out", str(tmp_path / "a.npz")]) == 0
    assert "12 sounds" in capsys.readouterr().out
    for reference in (a, tmp_path / "a.npz"):
        assert run(["fad", str(reference), str(b), "--json", str(tmp_path / f"{reference.suffix or 'x'}.json")]) == 0
    one, other = (json.loads((tmp_path / name).read_text())["scores"] for name in ("x.json", ".npz.json"))
    assert one == other


def test_embeddings_of_another_protocol_are_not_comparable(
    tiny_metrics: TinyEmbedder, sound_folder: Maker, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = sound_folder("a")
    made = embed_folder(folder, tiny_metrics, cache=None)
    save_embeddings(SetOfEmbeddings(made.vectors, "tiny@0", "tiny", "d"), tmp_path / "old.npz")
    assert run(["fad", str(tmp_path / "old.npz"), str(folder)]) == 3
    assert "'tiny@0'" in error_of(capsys)


def test_gap_of_files_and_of_inputs(
    tiny_metrics: TinyEmbedder, sound_folder: Maker, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = sound_folder("a")
    options = inputs(folder)
    prompts, images = options[1], options[5]
    assert run(["gap", "--prompts", prompts, "--images", images, "--embedder", "tiny", "--json", "-"]) == 0
    from_inputs = json.loads(capsys.readouterr().out)["scores"]
    ids = sorted(path.stem for path in folder.iterdir())
    text = tiny_metrics.embed_texts([CAPTIONS[index % 4] for index in range(12)])
    pictures = np.concatenate(
        [tiny_metrics.embed_images([np.asarray(Image.open(Path(images) / f"{id}.png"))]) for id in ids]
    )
    expected = [score.value for score in modality_gap(pictures, text)]
    assert [score["value"] for score in from_inputs] == pytest.approx(expected)
    for name, rows in (("x", pictures), ("y", text[::-1])):
        order = ids if name == "x" else ids[::-1]  # paired by id, whatever the order
        sets = {id: row[None] for id, row in zip(order, rows, strict=True)}
        save_embeddings(SetOfEmbeddings(sets, f"{name}@1", "tiny", "d"), tmp_path / f"{name}.npz")
    assert run(["gap", str(tmp_path / "x.npz"), str(tmp_path / "y.npz"), "--json", "-"]) == 0
    assert [score["value"] for score in json.loads(capsys.readouterr().out)["scores"]] == pytest.approx(expected)
    save_embeddings(SetOfEmbeddings(sets, "z@1", "another", "d"), tmp_path / "z.npz")
    assert run(["gap", str(tmp_path / "x.npz"), str(tmp_path / "z.npz")]) == 3
    assert "space" in error_of(capsys)
    assert run(["gap", str(tmp_path / "x.npz"), "--prompts", prompts]) == 2
    assert "gap takes two .npz files, or two of" in error_of(capsys)


def test_what_was_left_out_is_counted_and_named(
    tiny_metrics: TinyEmbedder, sound_folder: Maker, capsys: pytest.CaptureFixture[str]
) -> None:
    a, b = sound_folder("a"), sound_folder("b")
    soundfile.write(b / "silence.wav", np.zeros(RATE_HZ), RATE_HZ)
    assert run(["fad", str(a), str(b)]) == 2
    message = error_of(capsys)
    assert "1 of 13 files" in message and "silence.wav: silent" in message and "--on-bad skip" in message
    assert run(["fad", str(a), str(b), "--on-bad", "skip", "--json", "-"]) == 0
    captured = capsys.readouterr()
    record = json.loads(captured.out)
    assert record["scores"][0]["items"] == 12 and "left out 1 file" in captured.err
    [skipped] = record["generated"]["skipped"]
    assert skipped["file"].endswith("silence.wav") and skipped["fault"].startswith("silent")


def test_an_embedder_that_was_named_is_never_replaced(
    tiny_metrics: TinyEmbedder, sound_folder: Maker, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = sound_folder("a")
    images = inputs(folder)[5]
    asked = ["score", str(folder), "--images", images, "--metrics", "clip-score", "--embedder", "tiny-probe"]
    assert run(asked) == 2
    assert "clip-score needs an embedder of sounds and one of images in one space" in error_of(capsys)


def test_what_so_few_items_cannot_have_is_said(
    tiny_metrics: TinyEmbedder, sound_folder: Maker, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = sound_folder("a", n=6)
    prompts = folder.parent / "prompts.csv"
    prompts.write_text("id,caption\n" + "".join(f"item-0{index},sound {index}\n" for index in range(6)))
    asked = ["score", str(folder), "--prompts", str(prompts), "--metrics", "retrieval", "--embedder", "tiny"]
    assert run([*asked, "--json", "-"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert [score["metric"] for score in record["scores"]] == ["retrieval@1"]
    assert [each["said"] for each in record["warnings"]] == ["6 items, too few for retrieval@10: left out"]


def test_files_that_are_passed_over_are_counted(
    tiny_metrics: TinyEmbedder, sound_folder: Maker, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = sound_folder("a")
    for name in ("x.wma", "y.WMA", "notes.txt", ".hidden.wma"):
        (folder / name).write_bytes(b"-")
    assert run(["audit", str(folder), "--json", "-"]) == 0
    [warning] = json.loads(capsys.readouterr().out)["warnings"]
    assert warning["said"].endswith("files that are not read as sounds: 2 of suffix .wma")


def test_memorised_sounds_are_named_with_what_they_copy(
    tiny_metrics: TinyEmbedder, sound_folder: Maker, capsys: pytest.CaptureFixture[str]
) -> None:
    generated, training = sound_folder("a", n=4, seed=50), sound_folder("b", n=24)
    reference = sound_folder("c", n=24, pitch_hz=210.0, seed=100)
    shutil.copy(training / "item-07.wav", generated / "item-02.wav")
    options = ["--training", str(training), "--reference", str(reference), "--embedder", "tiny", "--json", "-"]
    assert run(["score", str(generated), "--metrics", "memorisation", *options]) == 0
    record = json.loads(capsys.readouterr().out)
    nearest = record["nearest_training"]["tiny"]
    assert [row["id"] for row in nearest] == [f"item-0{index}" for index in range(4)]
    assert nearest[2]["training"] == "item-07" and nearest[2]["cosine"] == pytest.approx(1)
    assert max(row["cosine"] for row in nearest) == nearest[2]["cosine"]


BAD: list[tuple[list[str], str]] = [
    (["score", "SOUNDS", "--metrics", "fda"], "did you mean fad"),
    (["score", "SOUNDS", "--metrics", ","], "no metric is named"),
    (["score", "SOUNDS", "--metrics", "clap-score"], "metric clap-score needs --prompts"),
    (["score", "SOUNDS", "--metrics", "gap"], "unknown metric 'gap'"),
    (["fad", "SOUNDS", "absent"], "absent is not a folder"),
    (["fad", "SOUNDS", "SOUNDS", "--embedder", "tine"], "did you mean tiny"),
    (["fad", "SOUNDS", "SOUNDS", "--json", "absent/x.json"], "cannot be written"),
    (["fad", "SOUNDS"], "Missing argument 'generated'"),
    (["fad", "SOUNDS", "SOUNDS", "--seeds", "1"], "No such option: --seeds"),
    (["fda"], "No such command 'fda'"),
    ([], "Missing command"),
    (["embed", "SOUNDS", "--out", "x.npy", "--embedder", "tiny"], "expected .npz"),
    (["embed", "SOUNDS", "--out", "absent/x.npz", "--embedder", "tiny"], "choose another --out"),
    (["fad", "SOUNDS", "SOUNDS", "--out", "x.xls"], "expected one of .csv .parquet .md .tex"),
    (["fad", "SOUNDS", "SOUNDS", "--out", "absent/x.csv"], "absent is not a folder"),
    (
        ["score", "SOUNDS", "--metrics", "kl-reference-generated", "--reference", "SOUNDS", "--embedder", "tiny-probe"],
        "needs a classifier, and tiny-probe is none",
    ),
    (["score", "SOUNDS", "--metrics", "memorisation", "--reference", "SOUNDS"], "needs --training"),
    (["fad", "SOUNDS", "SOUNDS", "--weights", "x.pth", "--embedder", "tiny,microworld-clap"], "say whose by --weights"),
    (["weights", "fetch", "vgish"], "no weights are known by the name 'vgish'"),
    (["weights", "random", "clap", "--out", "x.safetensors"], "random weights are not offered for 'clap'"),
    (["gap", "--prompts", "SOUNDS/item-00.wav", "--images", "SOUNDS", "--embedder", "tiny"], "cannot be read as a CSV"),
    (["gap", "--prompts", "x.csv", "--images", "SOUNDS", "--embedder", "tiny-probe"], "x.csv cannot be read"),
]


@pytest.mark.parametrize(("arguments", "message"), BAD)
def test_errors_are_one_line_and_exit_2(
    tiny_metrics: TinyEmbedder,
    sound_folder: Maker,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    arguments: list[str],
    message: str,
) -> None:
    folder = sound_folder("a", n=4)
    monkeypatch.chdir(tmp_path)
    code = run([argument.replace("SOUNDS", str(folder)) for argument in arguments])
    captured = capsys.readouterr()
    assert code == 2 and captured.err.startswith("error: ") and captured.err.count("\n") == 1
    assert message in captured.err and "Traceback" not in captured.err


def test_missing_ids_are_named(
    tiny_metrics: TinyEmbedder, sound_folder: Maker, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = sound_folder("a")
    options = inputs(folder)
    Path(options[1]).write_text("id,caption\nitem-00,x\n")
    assert run(["score", str(folder), *options, "--metrics", "clap-score"]) == 2
    message = error_of(capsys)
    assert "11 of 12 files" in message and f"item-01.wav: {options[1]} has no caption of its id" in message
    assert "item-00.wav" not in message
    (Path(options[5]) / "item-05.png").unlink()
    assert run(["score", str(folder), *options, "--metrics", "clip-score"]) == 2
    assert f"item-05.wav: {options[5]} has no image of its id" in error_of(capsys)
    skip = ["--metrics", "clip-score", "--on-bad", "skip", "--json", "-"]
    assert run(["score", str(folder), *options, *skip]) == 0
    record = json.loads(capsys.readouterr().out)
    assert record["scores"][0]["items"] == 11 and [item["id"] for item in record["items"]] == [
        f"item-{index:02d}" for index in range(12) if index != 5
    ]
    assert "no image of its id" in record["generated"]["skipped"][0]["fault"]
    Path(options[3]).write_text("id,pitch,length\n" + "".join(f"item-{i:02d},medium,long\n" for i in range(12)))
    assert run(["score", str(folder), *options, "--metrics", "factor-accuracy"]) == 2
    assert "pitch 'medium' is unknown; expected low, high" in error_of(capsys)


def test_a_pair_without_its_reference_is_dropped_counted_and_named(
    tiny_metrics: TinyEmbedder, sound_folder: Maker, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, reference = sound_folder("a"), sound_folder("b", pitch_hz=300)
    options = ["--reference", str(reference), "--metrics", "kl-reference-generated,vendi", "--on-bad", "skip"]
    assert run(["score", str(folder), *options, "--json", "-"]) == 0
    whole = json.loads(capsys.readouterr().out)
    (reference / "item-03.wav").write_bytes(b"")
    assert run(["score", str(folder), *options, "--json", "-"]) == 0
    captured = capsys.readouterr()
    record = json.loads(captured.out)
    kl, vendi = record["scores"]
    assert (kl["items"], kl["extra"]["dropped_pairs"], vendi["items"]) == (11, 1, 12)
    [warning] = [each for each in record["warnings"] if each["kind"] == "dropped pairs"]
    assert warning["ids"] == ["item-03"] and "1 of 12 pairs" in warning["said"] and warning["said"] in captured.err
    by_id = {row["id"]: row["kl-reference-generated"] for row in record["items"]}
    assert by_id.pop("item-03") is None
    before = {row["id"]: row["kl-reference-generated"] for row in whole["items"]}
    assert by_id == {id: value for id, value in before.items() if id != "item-03"}  # nothing has shifted
    assert kl["value"] == pytest.approx(np.mean(list(by_id.values())))
    assert record["versions"]["torch"] and record["versions"]["soxr"]


def test_ids_that_are_all_others_are_told_with_both_sides(
    tiny_metrics: TinyEmbedder, sound_folder: Maker, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, reference = sound_folder("a", 5), sound_folder("b", 5)
    for path in list(reference.iterdir()):
        path.rename(path.with_name(f"real-{path.name}"))
    asked = ["score", str(folder), "--reference", str(reference), "--metrics", "kl-reference-generated"]
    for more in ([], ["--on-bad", "skip"]):
        assert run([*asked, *more]) == 2
        message = error_of(capsys)
        assert "none of the 5 sounds" in message and "none is left to score" in message
        assert "ids here are item-00, item-01, item-02, and 2 more" in message
        assert "there real-item-00, real-item-01, real-item-02, and 2 more; name them alike" in message


def test_debug_shows_the_traceback() -> None:
    from clipsonic_metrics import MetricsError

    for arguments in (["--debug", "fad", "absent", "absent"], ["fad", "absent", "absent", "--debug"]):
        with pytest.raises(MetricsError):
            run(arguments)


def test_list_names_everything(tiny: TinyEmbedder, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["list", "--json", "-"]) == 0
    record: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert {row["metric"] for row in record["metrics"]} == set(METRICS)
    by_name = {row["embedder"]: row for row in record["embedders"]}
    assert by_name["tiny"]["protocol"] == "tiny@1/8000Hz/0.5s"
    assert run(["list"]) == 0
    out = capsys.readouterr().out
    assert all(name in out for name in METRICS)


def test_a_folder_of_one_tone_has_no_interval_and_says_so(
    tiny_metrics: TinyEmbedder, tmp_path: Path, sound_folder: Maker, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "b").mkdir()
    soundfile.write(tmp_path / "b" / "x.wav", tone(300, 2.0), RATE_HZ)  # two windows, so FAD exists
    assert run(["fad", str(sound_folder("a")), str(tmp_path / "b")]) == 0
    assert "not known" in capsys.readouterr().out


def test_files_are_written_though_the_reader_of_stdout_has_gone(sound_folder: Maker, tmp_path: Path) -> None:
    """As in `... | head -0`: the pipe is closed before anything is written to it."""
    a, b = sound_folder("a", n=5), sound_folder("b", n=5, pitch_hz=300)
    npz, table = tmp_path / "e.npz", tmp_path / "s.csv"
    commands: dict[str, list[str]] = {
        "fad": ["fad", str(a), str(b), "--out", str(table)],
        "embed": ["embed", str(b), "--out", str(npz)],
        "gap": ["gap", str(npz), str(npz)],
        "list": ["list"],
    }
    for name, command in commands.items():
        read, write = os.pipe()
        os.close(read)
        record = tmp_path / f"{name}.json"
        program = [sys.executable, "-c", "from clipsonic_metrics.cli import main; main()"]
        done = subprocess.run(
            [*program, *command, "--json", str(record)], stdout=write, stderr=subprocess.PIPE, text=True, check=False
        )
        os.close(write)
        assert done.returncode == 0, (name, done.stderr)
        assert "Traceback" not in done.stderr and "Exception ignored" not in done.stderr, done.stderr
        assert json.loads(record.read_text())["schema"] >= 1
    assert table.is_file() and npz.is_file()


@pytest.mark.parametrize("closed", ["stdout", "both"])
def test_a_record_on_a_closed_pipe_ends_quietly(sound_folder: Maker, closed: str) -> None:
    folder = sound_folder("a", n=5)
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        [sys.executable, "-c", "from clipsonic_metrics.cli import main; main()", "audit", str(folder), "--json", "-"],
        stdout=write,
        stderr=write if closed == "both" else subprocess.PIPE,
        check=False,
    )
    os.close(write)
    assert done.returncode == 0 and not done.stderr
