"""A training that was killed, stopped or out of disk ends bit for bit where an unbroken one does."""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from clipsonic.checkpoint import State, load_checkpoint, save_checkpoint
from clipsonic.pipeline import load_model
from clipsonic.preset import Preset
from clipsonic.training.clipsonic import train
from clipsonic.training.dataset import Rows, TrainingSet, Vectors, read_conditioning
from clipsonic.training.log import Report
from clipsonic.training.stop import Stopped, heed_signals


class Killed(BaseException):
    """Stands for SIGKILL: nothing catches it."""


def at(step: int, act: Callable[[], None]) -> Callable[[Report], None]:
    def report(told: Report) -> None:
        if told.step == step:
            act()

    return report


def die() -> None:
    raise Killed


def weights(run: Path) -> dict[str, torch.Tensor]:
    state = load_checkpoint(run / "checkpoint.safetensors")
    moments = {f"moment {k}": entry["exp_avg_sq"] for k, entry in state["optimizer"]["state"].items()}
    return {**state["model"], **{f"average {k}": v for k, v in enumerate(state["ema"]["shadow_params"])}, **moments}


def assert_same_run(found: Path, expected: Path) -> None:
    mine, theirs = weights(found), weights(expected)
    assert mine.keys() == theirs.keys()
    assert all(torch.equal(mine[name], theirs[name]) for name in mine)
    for name in ("unet/diffusion_pytorch_model.safetensors", "model_index.json"):
        assert (found / "model" / name).read_bytes() == (expected / "model" / name).read_bytes()
    assert course(found) == course(expected)
    assert curves(found) == curves(expected)


def left(run: Path) -> list[str]:
    return sorted(each.name for each in run.iterdir())


def course(run: Path) -> list[tuple[int, float, float]]:
    lines = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    assert all(line["schema"] == 1 for line in lines)
    return [(line["step"], line["loss"], line["learning_rate"]) for line in lines]


def curves(run: Path) -> dict[str, list[tuple[int, float]]]:
    """What TensorBoard shows."""
    events = EventAccumulator(str(run / "tensorboard")).Reload()
    names = ("loss", "learning_rate", "gradient_norm")
    assert {*names, "samples_per_second"} == set(events.Tags()["scalars"])
    return {name: [(event.step, event.value) for event in events.Scalars(name)] for name in names}


@pytest.mark.parametrize("killed_at", [1, 3, 5])
def test_a_killed_run_ends_where_an_unbroken_one_does(
    tmp_path: Path, run_folder: Path, training_set: TrainingSet, preset: Preset, killed_at: int
) -> None:
    """Checkpoints are at 2, 4 and 6: a kill at 3 or 5 loses one step, which is done again."""
    with pytest.raises(Killed):
        train(preset, training_set, tmp_path, seed=0, report=at(killed_at, die), accelerator="cpu")
    assert (tmp_path / "checkpoint.safetensors").exists() == (killed_at > 1)
    assert not (tmp_path / "model").exists()
    with (tmp_path / "log.jsonl").open("a") as log:
        log.write('{"schema": 1, "st')  # torn
    train(preset, training_set, tmp_path, seed=0, accelerator="cpu")
    assert_same_run(tmp_path, run_folder)
    assert [step for step, _, _ in course(run_folder)] == [1, 2, 3, 4, 5, 6]


def test_kill_9(tmp_path: Path, run_folder: Path, training_set: TrainingSet, preset: Preset, preset_file: Path,
                prepared_folder: Path) -> None:  # fmt: skip
    program = str(Path(__file__).with_name("killed_training.py"))
    environment = {**os.environ, "OMP_NUM_THREADS": str(torch.get_num_threads())}
    killed = subprocess.run(
        [sys.executable, program, str(preset_file), str(prepared_folder), str(tmp_path), "5"],
        env=environment, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    files = [tmp_path / name for name in ("checkpoint.safetensors", "checkpoint.previous.safetensors")]
    last = next(file for file in files if file.exists())
    assert load_checkpoint(last)["step"] in (2, 4)  # that of 4 may not have been whole yet
    train(preset, training_set, tmp_path, seed=0, accelerator="cpu")
    assert_same_run(tmp_path, run_folder)


def test_steps_are_taken_while_a_checkpoint_is_written(
    tmp_path: Path, training_set: TrainingSet, preset: Preset, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The checkpoint of step 2 is written after step 3 was taken, and is still that of step 2."""
    for name in ("quick", "slow"):
        ahead = threading.Event()

        def save(path: Path, state: State, previous: Path, ahead: threading.Event = ahead) -> None:
            assert ahead.wait(60), "the training waits for its checkpoint"
            save_checkpoint(path, state, previous)

        def report(told: Report, name: str = name, ahead: threading.Event = ahead) -> None:
            if told.step == (3 if name == "slow" else 1):
                ahead.set()
            if told.step == 3:
                raise Killed

        monkeypatch.setattr("clipsonic.training.saver.save_checkpoint", save)
        with pytest.raises(Killed):
            train(preset, training_set, tmp_path / name, seed=0, report=report, accelerator="cpu")
        assert load_checkpoint(tmp_path / name / "checkpoint.safetensors")["step"] == 2
    quick, slow = weights(tmp_path / "quick"), weights(tmp_path / "slow")
    assert all(torch.equal(quick[name], slow[name]) for name in quick)


def test_what_a_thread_could_not_write_ends_the_training(
    tmp_path: Path, training_set: TrainingSet, preset: Preset, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(path: Path, state: State, previous: Path) -> None:
        raise OSError("no room")

    monkeypatch.setattr("clipsonic.training.saver.save_checkpoint", fails)
    told: list[int] = []
    with pytest.raises(OSError, match="no room"):
        train(preset, training_set, tmp_path, seed=0, report=lambda each: told.append(each.step), accelerator="cpu")
    assert told in ([1, 2, 3], [1, 2, 3, 4])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_after_the_step_with_a_checkpoint(
    tmp_path: Path, run_folder: Path, training_set: TrainingSet, preset: Preset, number: signal.Signals
) -> None:
    before = signal.getsignal(number)
    rarely = replace(preset, training=replace(preset.training, save_every=100))
    with pytest.raises(Stopped, match="stopped after step 3 of 6, which is saved"):
        ask = at(2, lambda: os.kill(os.getpid(), number))
        train(rarely, training_set, tmp_path, seed=0, report=ask, accelerator="cpu")
    assert signal.getsignal(number) is before
    assert load_checkpoint(tmp_path / "checkpoint.safetensors")["step"] == 3
    train(preset, training_set, tmp_path, seed=0, accelerator="cpu")
    assert_same_run(tmp_path, run_folder)


def test_a_second_ctrl_c_does_not_wait() -> None:
    given = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell ignores it in what runs behind
    try:
        with heed_signals() as asked:
            assert not asked()
            os.kill(os.getpid(), signal.SIGINT)
            assert asked()
            with pytest.raises(KeyboardInterrupt):
                os.kill(os.getpid(), signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, given)


def test_under_torchrun_a_second_ctrl_c_is_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """It comes once from the terminal and once from torchrun."""
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "1")
    with heed_signals() as asked:
        for _ in range(2):
            os.kill(os.getpid(), signal.SIGINT)
            assert asked()


def test_a_full_disk_leaves_the_last_checkpoint(
    tmp_path: Path, run_folder: Path, training_set: TrainingSet, preset: Preset
) -> None:
    """A limit on the size of files stands for the disk: the log fits, the checkpoint does not."""
    unlimited = resource.getrlimit(resource.RLIMIT_FSIZE)

    def fill() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, unlimited[1]))

    try:
        with pytest.raises(OSError, match="the one before is kept: make room, and repeat the command"):
            train(preset, training_set, tmp_path, seed=0, report=at(3, fill), accelerator="cpu")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, unlimited)
    assert load_checkpoint(tmp_path / "checkpoint.safetensors")["step"] == 2
    assert left(tmp_path) == ["checkpoint.safetensors", "conditioning.json", "log.jsonl", "tensorboard"]
    train(preset, training_set, tmp_path, seed=0, accelerator="cpu")
    assert_same_run(tmp_path, run_folder)


def test_a_disk_that_is_full_at_the_end_leaves_no_half_model(
    tmp_path: Path, run_folder: Path, training_set: TrainingSet, preset: Preset, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(pipeline: object, folder: str, safe_serialization: bool) -> None:
        Path(folder).mkdir()
        (Path(folder) / "model_index.json").write_text("{")
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("clipsonic.pipeline.CLIPSonicPipeline.save_pretrained", fails)
        with pytest.raises(OSError, match="No space left"):
            train(preset, training_set, tmp_path, seed=0, accelerator="cpu")
    assert left(tmp_path) == [
        "checkpoint.previous.safetensors",
        "checkpoint.safetensors",
        "conditioning.json",
        "log.jsonl",
        "tensorboard",
    ]
    train(preset, training_set, tmp_path, seed=0, accelerator="cpu")
    assert_same_run(tmp_path, run_folder)


def test_a_finished_run_is_not_trained_further(
    tmp_path: Path, run_folder: Path, training_set: TrainingSet, preset: Preset
) -> None:
    before = weights(run_folder)
    told: list[Report] = []
    train(preset, training_set, run_folder, seed=0, report=told.append, accelerator="cpu")
    after = weights(run_folder)
    assert told == [] and all(torch.equal(value, after[name]) for name, value in before.items())
    assert load_model(run_folder / "model").what.mel == preset.mel
    assert not [each.name for each in run_folder.iterdir() if each.name.startswith(".")]


def test_another_training_in_the_same_folder_is_refused(
    run_folder: Path, training_set: TrainingSet, preset: Preset
) -> None:
    def refused(match: str, preset: Preset = preset, data: TrainingSet = training_set, seed: int = 0) -> None:
        with pytest.raises(
            ValueError, match=f"holds a training with another {match}: continue it with its own command"
        ):
            train(preset, data, run_folder, seed=seed, accelerator="cpu")

    training = preset.training
    refused("seed", seed=1)
    refused("number of steps", replace(preset, training=replace(training, steps=7)))
    refused("recipe and seed", replace(preset, training=replace(training, learning_rate=1e-4)), seed=1)
    refused("recipe", replace(preset, training=replace(training, weighting="min-snr")))
    refused("network", replace(preset, network=replace(preset.network, channels=(16, 48))))
    refused("diffusion", replace(preset, diffusion=replace(preset.diffusion, prediction="epsilon")))
    refused("mel definition", replace(preset, mel=replace(preset.mel, floor=1e-4)))
    refused("training set", data=replace(training_set, digest="another"))


def test_what_changes_no_result_may_change_between_sessions(
    tmp_path: Path, run_folder: Path, training_set: TrainingSet, preset: Preset
) -> None:
    with pytest.raises(Killed):
        train(preset, training_set, tmp_path, seed=0, report=at(3, die), accelerator="cpu")
    other = replace(
        preset.training, save_every=100, report_every=1, activation_checkpointing=True, sample_every=8, micro_batch=4
    )
    train(replace(preset, training=other), training_set, tmp_path, seed=0, accelerator="cpu")
    assert_same_run(tmp_path, run_folder)


def test_a_run_in_progress_can_be_followed_in_tensorboard(
    tmp_path: Path, run_folder: Path, training_set: TrainingSet, preset: Preset
) -> None:
    seen: list[int] = []

    def look() -> None:
        seen.extend(step for step, _ in curves(tmp_path)["loss"])

    train(preset, training_set, tmp_path, seed=0, report=at(4, look), accelerator="cpu")
    assert seen == [1, 2, 3, 4]


def test_a_run_killed_between_two_checkpoints_goes_on_from_the_one_before(
    tmp_path: Path, run_folder: Path, training_set: TrainingSet, preset: Preset
) -> None:
    with pytest.raises(Killed):
        train(preset, training_set, tmp_path, seed=0, report=at(5, die), accelerator="cpu")
    previous = tmp_path / "checkpoint.previous.safetensors"
    assert load_checkpoint(previous)["step"] == 2
    (tmp_path / "checkpoint.safetensors").unlink()
    train(preset, training_set, tmp_path, seed=0, accelerator="cpu")
    assert load_checkpoint(previous)["step"] == 4
    assert_same_run(tmp_path, run_folder)


def test_a_model_folder_keeps_what_it_was_given(
    tmp_path: Path, run_folder: Path, training_set: TrainingSet, preset: Preset
) -> None:
    """Old mistake: the command repeated, or repeated by a scheduler, deleted attached priors and means."""
    shutil.copytree(run_folder, tmp_path / "run")
    index = tmp_path / "run" / "model" / "model_index.json"
    given = json.loads(index.read_text())
    given["settings"]["conditioning"] |= {"image_mean": [0.1] * 8, "text_mean": [0.2] * 8}  # as `attach` does
    index.write_text(json.dumps(given))
    train(preset, training_set, tmp_path / "run", seed=0, accelerator="cpu")
    assert json.loads(index.read_text()) == given
    (index.parent / "unet" / "diffusion_pytorch_model.safetensors").unlink()  # damaged: made again
    train(preset, training_set, tmp_path / "run", seed=0, accelerator="cpu")
    assert_same_run(tmp_path / "run", run_folder)


def test_files_of_a_run_can_be_read_by_whoever_reads_others(run_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "any").touch()
    modes = {path.name: path.stat().st_mode & 0o777 for path in run_folder.rglob("*.safetensors")}
    assert len(modes) == 3 and set(modes.values()) == {(tmp_path / "any").stat().st_mode & 0o777}


def test_what_a_kill_left_of_a_model_folder_is_removed(
    tmp_path: Path, run_folder: Path, training_set: TrainingSet, preset: Preset
) -> None:
    shutil.copytree(run_folder, tmp_path / "run")
    shutil.rmtree(tmp_path / "run" / "model")
    (tmp_path / "run" / "..model.part.x1y2" / ".model.part").mkdir(parents=True)
    train(preset, training_set, tmp_path / "run", seed=0, accelerator="cpu")
    assert not [name for name in left(tmp_path / "run") if name.startswith(".")]


def test_vectors_are_read_for_their_statistics_once(
    tmp_path: Path, run_folder: Path, training_set: TrainingSet, preset: Preset
) -> None:
    """Old mistake: every start of every process read all of them."""
    asked: list[int] = []

    def counted(rows: Rows) -> list[Vectors]:
        asked.append(len(rows))
        return training_set.conditions(rows)

    data, none = replace(training_set, conditions=counted), {"a": training_set.conditions(np.array([0]))[0][0]}
    with pytest.raises(Killed):
        train(preset, data, tmp_path, seed=0, prompts=none, report=at(5, die), accelerator="cpu")
    assert asked.count(len(data.ids)) == 1  # and batches of four
    train(preset, data, tmp_path, seed=0, prompts=none, accelerator="cpu")
    assert asked.count(len(data.ids)) == 1
    assert_same_run(tmp_path, run_folder)
    other = replace(training_set, digest="another")
    assert read_conditioning(tmp_path / "conditioning.json", other) is None
    (tmp_path / "conditioning.json").write_text("{")
    assert read_conditioning(tmp_path / "conditioning.json", training_set) is None


def test_a_model_folder_says_how_it_was_made(run_folder: Path, training_set: TrainingSet, preset_file: Path) -> None:
    found = load_model(run_folder / "model").what.provenance
    assert found | {"preset": str(preset_file), "condition": "frames", "seed": "0", "steps": "6"} == found
    assert found["data"] == training_set.digest and {"clipsonic", "torch", "diffusers"} <= set(found)
