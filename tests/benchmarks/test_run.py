"""A whole run on fakes: what it writes, that it resumes, that it refuses, and that nothing depends on chance."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from clipsonic_benchmarks.files import file_digest, read_lines
from clipsonic_benchmarks.result import read_record, validate

Bench = Callable[..., tuple[int, str, str]]
CONTROLS = ("--system", "reference", "--system", "noise")


def scores(record: dict[str, Any]) -> dict[str, dict[str, float]]:
    return {one["label"]: {score["metric"]: score["value"] for score in one["scores"]} for one in record["systems"]}


def test_a_run_writes_what_it_says(record: dict[str, Any], tmp_path: Path) -> None:
    folder = tmp_path / "results" / "quickstart@2"
    assert len(record["systems"]) == 13
    for system in record["systems"]:
        run = folder / system["folder"]
        assert {path.name for path in run.iterdir()} == {"plan.json", "items.jsonl", "result.json", "sounds"}
        assert len(list((run / "sounds").iterdir())) == 12
        result = json.loads((run / "result.json").read_text())
        assert next(iter(result)) == "schema"
        assert result["items"]["evaluated"] == result["items"]["expected"] == 12
        assert result["items"]["sha256"] == file_digest(run / "items.jsonl")
        for line in read_lines(run / "items.jsonl"):
            assert line["sound_sha256"] == file_digest(run / line["file"])
    assert read_record(folder / "record-main.json") == record
    assert (folder / "report-main.html").exists()
    assert not list(folder.rglob("*.part"))


def test_reference_is_the_ceiling_and_zero_shot_is_worst_of_the_fakes(record: dict[str, Any]) -> None:
    found = scores(record)
    assert found["reference"]["factor-accuracy/kind"] == 1
    assert found["clipsonic-zs"]["clap-score"] < found["clipsonic-iq"]["clap-score"]
    assert found["noise"]["fad"] > found["clipsonic-zs"]["fad"]
    outcomes = {(one["says"], one["metric"]): one["outcome"] for one in record["claims"]}
    assert outcomes["image queries (IQ) beat zero-shot text queries (ZS)", "clap-score"] == "holds"


def test_aggregates_follow_from_the_lines_of_the_items(record: dict[str, Any], tmp_path: Path) -> None:
    for system in record["systems"]:
        lines = read_lines(tmp_path / "results" / "quickstart@2" / system["folder"] / "items.jsonl")
        for metric in ("clap-score", "clip-score", "factor-accuracy/kind", "retrieval@1"):
            mean = np.mean([line["scores"][metric] for line in lines])
            assert scores(record)[system["label"]][metric] == pytest.approx(mean, abs=1e-12)


def test_every_score_carries_its_protocol(record: dict[str, Any]) -> None:
    for system in record["systems"]:
        for score in system["scores"]:
            assert "@1/" in score["protocol"]
            assert "fake" in score["protocol"]


def test_the_same_command_again_generates_nothing_and_scores_the_same(
    record: dict[str, Any], bench: Bench, fakes: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: Any) -> Any:
        raise AssertionError("generated again")

    monkeypatch.setattr(fakes.FakeSystem, "generate", never)
    code, out, _ = bench("run", "quickstart", "--n", "12", "--json", "-")
    assert code == 0
    again = json.loads(out)
    assert scores(again) == scores(record)
    assert [one["scores"] for one in again["systems"]] == [one["scores"] for one in record["systems"]]
    assert again["comparisons"] == record["comparisons"]


def test_shuffled_deals_the_sounds_of_the_image_route(record: dict[str, Any], tmp_path: Path) -> None:
    folder = tmp_path / "results" / "quickstart@2"
    own = {line["item"]: line["sound_sha256"] for line in read_lines(folder / "clipsonic-iq" / "main" / "items.jsonl")}
    dealt = {line["item"]: line["sound_sha256"] for line in read_lines(folder / "shuffled" / "main" / "items.jsonl")}
    assert sorted(own.values()) == sorted(dealt.values())
    assert all(own[item] != dealt[item] for item in own)


def test_shuffled_alone_brings_the_system_it_needs(bench: Bench) -> None:
    code, out, _ = bench("run", "quickstart", "--n", "6", "--system", "shuffled", "--json", "-")
    assert code == 0
    assert [one["label"] for one in json.loads(out)["systems"]] == ["clipsonic-iq", "shuffled"]


@pytest.mark.parametrize("batch", [1, 5, 50])
def test_batches_are_invisible(bench: Bench, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, batch: int) -> None:
    monkeypatch.setattr("clipsonic_benchmarks.run._BATCH", batch)
    out = tmp_path / f"batch-{batch}"
    arguments = ("--n", "7", "--system", "clipsonic-zs", "--system", "noise", "--out", str(out))
    assert bench("run", "quickstart", *arguments)[0] == 0
    systems = ("clipsonic-zs", "noise")
    whole = tmp_path / "whole"
    monkeypatch.setattr("clipsonic_benchmarks.run._BATCH", 7)
    bench("run", "quickstart", *arguments[:-1], str(whole))
    for system in systems:
        logs = [read_lines(folder / "quickstart@2" / system / "main" / "items.jsonl") for folder in (out, whole)]
        found = [{line["item"]: line["sound_sha256"] for line in log} for log in logs]
        assert found[0] == found[1]
        assert len(found[0]) == 7


def test_seeds_give_other_sounds_and_are_averaged(bench: Bench, tmp_path: Path) -> None:
    arguments = ("--system", "clipsonic-zs", "--seed", "0", "--seed", "1", "--n", "8")
    code, out, _ = bench("run", "quickstart", *arguments, "--json", "-")
    assert code == 0
    lines = read_lines(tmp_path / "results/quickstart@2/clipsonic-zs/main/items.jsonl")
    assert len({line["sound_sha256"] for line in lines}) == 16
    (system,) = json.loads(out)["systems"]
    assert system["items"]["evaluated"] == 8
    assert {score["items"] for score in system["scores"]} == {8}


def test_another_plan_is_refused_and_nothing_is_touched(record: dict[str, Any], bench: Bench, tmp_path: Path) -> None:
    def state() -> dict[str, str]:
        return {
            str(path): file_digest(path)
            for path in (tmp_path / "results" / "quickstart@2").rglob("*")
            if path.is_file()
        }

    before = state()
    for change, field in ((("--n", "13"), "suite.n is 12 there and 13 here"), (("--n", "12", "--seed", "5"), "seeds")):
        code, _, said = bench("run", "quickstart", *change)
        assert code == 2
        assert "holds another plan" in said and field in said and said.count("\n") == said.count("…\n") + 1
    assert state() == before
    assert bench("run", "quickstart", "--n", "13", "--run", "other", *CONTROLS)[0] == 0


def test_other_weights_are_another_plan(
    record: dict[str, Any], bench: Bench, fakes: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fakes.FakeSystem, "identity", lambda self: {"weights_sha256": "retrained", "steps": 7})
    code, _, said = bench("run", "quickstart", "--n", "12")
    assert code == 2
    assert "system.identity.weights_sha256" in said


def test_a_system_that_fails_on_an_item_is_incomplete_and_not_compared(
    bench: Bench, fakes: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = fakes.FakeSystem.generate

    def sometimes(self: Any, items: Any, seed: int) -> Any:
        if self.name == "clipsonic-pd" and any(item.id == "item-003" for item in items):
            raise ZeroDivisionError("no such luck")
        return whole(self, items, seed)

    monkeypatch.setattr(fakes.FakeSystem, "generate", sometimes)
    code, out, said = bench("run", "quickstart", "--n", "12", "--json", "-")
    assert code == 1
    assert "failed on 1 items, first item-003 (ZeroDivisionError: no such luck)" in said
    record = json.loads(out)
    (system,) = [one for one in record["systems"] if one["label"] == "clipsonic-pd"]
    assert system["items"]["evaluated"] == 11
    assert system["items"]["failed"] == [{"item": "item-003", "error": "ZeroDivisionError: no such luck"}]
    assert all("clipsonic-pd" not in (one["a"], one["b"]) for one in record["comparisons"])
    assert {one["reason"] for one in record["not_compared"]} == {"clipsonic-pd failed on 1 items"}

    monkeypatch.setattr(fakes.FakeSystem, "generate", whole)
    assert bench("run", "quickstart", "--n", "12")[0] == 0, "the same command tries the failed item again"


def test_a_silent_sound_is_a_failure_not_a_score(
    bench: Bench, fakes: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    from clipsonic_metrics.sound import Sound

    def silence(self: Any, items: Any, seed: int) -> Any:
        return [Sound.of(item.id, np.zeros(4000, np.float32), 16_000) for item in items]

    monkeypatch.setattr(fakes.FakeSystem, "generate", silence)
    code, _, said = bench("run", "quickstart", "--n", "6", "--system", "clipsonic-iq")
    assert code == 2
    assert "failed on every item, first with: the sound is silent" in said


def test_no_space_left_is_one_line_and_the_run_goes_on_later(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from clipsonic_benchmarks import generate

    real, written = generate.write_sound, []

    def filling(path: Path, *rest: Any) -> Any:
        if len(written) == 15:
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        written.append(path)
        return real(path, *rest)

    monkeypatch.setattr(generate, "write_sound", filling)
    monkeypatch.setattr("clipsonic_benchmarks.run._BATCH", 4)
    arguments = ("run", "quickstart", "--n", "10", *CONTROLS)
    code, out, said = bench(*arguments)
    assert (code, out) == (2, "")
    assert said.splitlines()[-1].startswith("error: no space left on the device while writing")
    assert not (tmp_path / "results/quickstart@2/record-main.json").exists()
    monkeypatch.setattr(generate, "write_sound", real)
    assert bench(*arguments)[0] == 0


def test_two_processes_do_not_share_a_run(bench: Bench, tmp_path: Path) -> None:
    import fcntl

    folder = tmp_path / "results" / "quickstart@2"
    folder.mkdir(parents=True)
    with (folder / ".main.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        code, _, said = bench("run", "quickstart", "--n", "6", *CONTROLS)
    assert code == 2
    assert "another process writes run 'main'" in said


def test_several_models_are_each_judged(bench: Bench) -> None:
    arguments = ("--system", "clipsonic-iq", "--system", "clipsonic-zs", "--system", "reference", "--n", "8")
    code, out, _ = bench("run", "quickstart", *arguments, "--model", "m0", "--model", "m1", "--json", "-")
    assert code == 0
    record = json.loads(out)
    labels = [one["label"] for one in record["systems"]]
    assert labels == ["clipsonic-iq:m0", "clipsonic-iq:m1", "clipsonic-zs:m0", "clipsonic-zs:m1", "reference"]
    pairs = {(one["a"], one["b"]) for one in record["comparisons"]}
    assert pairs == {(f"clipsonic-iq:{model}", f"clipsonic-zs:{model}") for model in ("m0", "m1")}
    assert {one["model"] for one in record["claims"]} == {"m0", "m1"}


def test_somebody_elses_folder_is_scored_beside_ours(bench: Bench, fake: ModuleType, tmp_path: Path) -> None:
    from clipsonic_benchmarks.split import RATE_HZ, write_sound

    rng = np.random.default_rng(3)
    for index in range(8):
        write_sound(tmp_path / "theirs" / f"item-{index:03d}.wav", fake.tone(index % 4, rng, 0.05), RATE_HZ)
    theirs = f"folder:{tmp_path / 'theirs'}"
    code, out, _ = bench("run", "quickstart", "--n", "8", "--system", theirs, "--system", "reference", "--json", "-")
    assert code == 0
    assert scores(json.loads(out))[theirs]["factor-accuracy/kind"] == 1

    (tmp_path / "theirs" / "item-002.wav").unlink()
    code, _, said = bench("run", "quickstart", "--n", "8", "--system", theirs, "--run", "again")
    assert code == 2
    assert "leaves 1 of 8 items of quickstart@2 unanswered (item-002)" in said

    other = tmp_path / "other"
    write_sound(other / "a.wav", fake.tone(0, rng, 0.05), RATE_HZ)
    code, _, said = bench("run", "quickstart", "--n", "8", "--system", f"folder:{other}", "--run", "third")
    assert code == 2
    assert "no sound in" in said and "manifest.csv" in said


def test_a_manifest_names_the_files(bench: Bench, fake: ModuleType, tmp_path: Path) -> None:
    from clipsonic_benchmarks.split import RATE_HZ, write_sound

    rng = np.random.default_rng(3)
    rows = ["id,file"]
    for index in range(4):
        write_sound(tmp_path / "theirs" / "takes" / f"{index}.wav", fake.tone(index % 4, rng, 0.05), RATE_HZ)
        rows.append(f"item-{index:03d},takes/{index}.wav")
    (tmp_path / "theirs" / "manifest.csv").write_text("\n".join(rows) + "\n")
    theirs = f"folder:{tmp_path / 'theirs'}"
    assert bench("run", "quickstart", "--n", "4", "--system", theirs)[0] == 0
    (tmp_path / "theirs" / "manifest.csv").write_text("name,path\n")
    code, _, said = bench("run", "quickstart", "--n", "4", "--system", theirs, "--run", "again")
    assert code == 2 and "expected id,file" in said


def test_a_record_that_contradicts_itself_is_refused(record: dict[str, Any]) -> None:
    from clipsonic_benchmarks.errors import BenchmarkError

    system = record["systems"][0]
    validate(system, "here")
    for change in ({"value": 7.0}, {"value": float("nan")}, {"value": -0.9}):
        broken = json.loads(json.dumps(system))
        (score,) = [one for one in broken["scores"] if one["metric"] == "clap-score"]
        score |= change
        with pytest.raises(BenchmarkError, match="clap-score of clipsonic-iq is"):
            validate(broken, "here")
    broken = json.loads(json.dumps(system))
    broken["items"]["evaluated"] = 3
    with pytest.raises(BenchmarkError, match="do not add up"):
        validate(broken, "here")


_SCRIPT = """
import importlib, importlib.util, sys, time
from concurrent.futures import ThreadPoolExecutor
spec = importlib.util.spec_from_file_location("benchmark_fakes", sys.argv[1])
fakes = importlib.util.module_from_spec(spec)
sys.modules["benchmark_fakes"] = fakes
spec.loader.exec_module(fakes)
def put(path, value):
    module, _, name = path.rpartition(".")
    setattr(importlib.import_module(module), name, value)
fakes.install(put)
real = fakes.FakeSystem.generate
def slow(self, items, seed):
    time.sleep(float(sys.argv[2]))
    return real(self, items, seed)
fakes.FakeSystem.generate = slow
importlib.import_module("clipsonic_benchmarks.run")._BATCH = 3
put("clipsonic_benchmarks.work.worker_processes", lambda count: ThreadPoolExecutor(1))  # one batch after another
from clipsonic_benchmarks.cli import run_command
sys.exit(run_command(sys.argv[3:]))
"""


def test_killed_and_repeated_gives_what_an_undisturbed_run_gives(tmp_path: Path) -> None:
    script = tmp_path / "run.py"
    script.write_text(_SCRIPT)
    fakes = Path(__file__).with_name("fakes.py")

    def command(out: str, delay: float) -> list[str]:
        words = ["run", "quickstart", "--n", "12", "--system", "clipsonic-iq", "--system", "clipsonic-zs"]
        return [sys.executable, str(script), str(fakes), str(delay), *words, "--out", str(tmp_path / out)]

    log = tmp_path / "killed/quickstart@2/clipsonic-iq/main/items.jsonl"
    running = subprocess.Popen(command("killed", 0.5), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not (log.exists() and log.stat().st_size > 0) and time.monotonic() < deadline:
        time.sleep(0.01)
    os.kill(running.pid, signal.SIGKILL)
    running.wait()
    assert 0 < len(read_lines(log)) < 12, "it was killed in the middle"
    kept = {line["item"]: (log.parent / line["file"]).stat().st_mtime_ns for line in read_lines(log)}

    subprocess.run(command("killed", 0), check=True, capture_output=True)
    subprocess.run(command("whole", 0), check=True, capture_output=True)
    resumed = read_record(tmp_path / "killed/quickstart@2/record-main.json")
    whole = read_record(tmp_path / "whole/quickstart@2/record-main.json")
    assert scores(resumed) == scores(whole)
    assert resumed["comparisons"] == whole["comparisons"]
    for item, written in kept.items():
        assert (log.parent / "sounds" / f"{item}.wav").stat().st_mtime_ns == written, "finished sounds are kept"
