"""`init`, `check` and `demo` as they are typed: what they say, and one line for whatever is wrong."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from clipsonic_listening_test.study import load_study


def test_init_says_what_it_did(maker: Any, listen: Any, tmp_path: Path) -> None:
    code, out, err = listen(
        "init", maker.folder(), "--prompts", maker.table(), "--preset", "gen", "--out", tmp_path / "my study"
    )
    assert (code, err) == (0, "")
    assert f"{tmp_path / 'my study'}: Multi-stimulus rating without reference (cf. ITU-R BS.2132)" in out
    assert "one folder per system: 3 systems (ours, reference, theirs) and 2 prompts" in out
    assert "6 sounds of 16000 Hz, mono; served at 16000 Hz, stereo" in out
    assert "so it is not called MUSHRA" in out and f"Next:   clipsonic-listen serve {tmp_path / 'my study'}" in out
    study = load_study(tmp_path / "my study")
    assert study.id == "my-study" and study.title == {"en": "my study"} and study.groups == ("fidelity", "relevance")


def test_init_writes_a_record(maker: Any, listen: Any, tmp_path: Path) -> None:
    code, out, err = listen(
        "init", maker.folder(), "--preset", "mos", "--out", tmp_path / "study", "--json", "-", "--title", "Birds"
    )
    record = json.loads(out)
    assert (code, err, record["schema"], record["systems"]) == (0, "", 1, ["ours", "theirs"])
    study = load_study(tmp_path / "study")
    assert record["digest"] == study.digest and study.title == {"en": "Birds"}


@pytest.mark.parametrize(("count", "said"), [(0, "may be called MUSHRA"), (1, "in 1 point,"), (2, "in 2 points,")])
def test_departures_are_counted(count: int, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    from clipsonic_listening_test.commands.prepare import _show_departures

    _show_departures(("no training",) * count)
    assert said in capsys.readouterr().out


def test_options_reach_the_study(maker: Any, listen: Any, tmp_path: Path) -> None:
    (tmp_path / "consent.md").write_text("Ich bin einverstanden.\n")
    words = ["init", maker.folder(prompts=("p1", "p2", "p3")), "--preset", "gen", "--out", tmp_path / "study"]
    words += ["--passes", "fidelity", "--per-participant", "2", "--ratings-per-page", "5", "--training", "0"]
    words += ["--replicates", "0", "--no-headphones", "--loudness", "-30", "--rate", "32000", "--seed", "7"]
    words += ["--consent", tmp_path / "consent.md", "--languages", "de,en", "--reference", "theirs", "--workers", "1"]
    words += ["--panel", "prolific", "--code", "complete=C1AB", "--code", "failed_checks=F2"]
    assert listen(*words)[0] == 0
    study = load_study(tmp_path / "study")
    assert study.systems == ("ours", "reference") and study.seed == 7 and study.rate_hz == 32_000
    assert study.loudness.target_lufs == -30 and study.channels == 1 and "headphones" not in study.pages
    (block,) = [block for block in study.blocks if block.id == "fidelity"]
    assert block.per_participant == 2 and block.ratings_per_page == 5
    assert study.texts == {"consent": {"de": "Ich bin einverstanden."}} and study.languages == ("de", "en")
    assert study.panel.codes == {"complete": "C1AB", "failed_checks": "F2"}
    assert study.panel.return_url == "https://app.prolific.com/submissions/complete?cc={code}"


def empty(maker: Any) -> list[Any]:
    (maker.root / "nothing").mkdir()
    return [maker.root / "nothing"]


def corrupt(maker: Any) -> list[Any]:
    folder = maker.folder()
    (folder / "ours" / "p1.wav").write_bytes(b"RIFF\x04\x00\x00\x00WAVE")
    return [folder]


def silent(maker: Any) -> list[Any]:
    folder = maker.folder()
    maker.write("samples/ours/p1.wav", np.zeros((16_000, 1)))
    return [folder]


def not_a_number(maker: Any) -> list[Any]:
    folder = maker.folder()
    samples = maker.sound(1)
    samples[100] = np.nan
    maker.write("samples/theirs/p2.wav", samples, subtype="FLOAT")
    return [folder]


def lengths(maker: Any) -> list[Any]:
    folder = maker.folder()
    maker.write("samples/theirs/p2.wav", maker.sound(1, 0.8))
    return [folder, "--preset", "mushra"]


def captions(maker: Any) -> list[Any]:
    return [maker.folder(prompts=("p1", "p2", "p3")), "--prompts", maker.table(("p1",))]


def missing(maker: Any) -> list[Any]:
    folder = maker.folder(prompts=("p1", "p2", "p3"))
    (folder / "ours" / "p2.wav").unlink()
    (folder / "theirs" / "p3.wav").unlink()
    return [folder]


def twice(maker: Any) -> list[Any]:
    path = maker.root / "prompts.csv"
    path.write_text("id,caption\np1,a\np1,b\np2,c\n")
    return [maker.folder(), "--prompts", path]


def odd(maker: Any) -> list[Any]:
    return [maker.folder(prompts=("a b", "a?b"))]


def there(maker: Any) -> list[Any]:
    (maker.root / "study").mkdir()
    (maker.root / "study" / "x").write_text("mine")
    return [maker.folder()]


def broken_image(maker: Any) -> list[Any]:
    (maker.root / "images").mkdir()
    for prompt in ("p1", "p2"):
        (maker.root / "images" / f"{prompt}.png").write_bytes(b"no image")
    return [maker.folder(), "--images", maker.root / "images"]


def consent(maker: Any) -> list[Any]:
    (maker.root / "consent.md").write_text("  \n")
    return [maker.folder(), "--consent", maker.root / "consent.md"]


def plain(*words: str) -> Callable[[Any], list[Any]]:
    return lambda maker: [maker.folder(), *words]


BAD: dict[str, tuple[Callable[[Any], list[Any]], str]] = {
    "empty folder": (empty, "holds no sounds"),
    "corrupt file": (corrupt, "1 of 6 sounds cannot be used: ours/p1.wav is unreadable"),
    "silent file": (silent, "ours/p1.wav is silent"),
    "NaN": (not_a_number, "theirs/p2.wav holds 1 samples that are NaN"),
    "lengths": (lengths, "1 differ: p2 (ours/p2.wav 0.6000 s, theirs/p2.wav 0.8000 s"),
    "captions": (captions, "no row or image for prompts p2, p3; add what is missing"),
    "missing sounds": (missing, "no sound ours/p2, theirs/p3; add what is missing, or leave it out with --incomplete"),
    "an id twice": (twice, "line 3 has id 'p1' again"),
    "odd names": (odd, "2 prompt names cannot be ids: 'a b', 'a?b'"),
    "out is there": (there, "is there already and is never overwritten"),
    "no image": (broken_image, "p1.png is no image that can be read"),
    "no consent": (consent, "consent.md is empty"),
    "no such consent": (plain("--consent", "nowhere.md"), "nowhere.md: No such file or directory"),
    "no relevance": (plain("--passes", "within"), "have nothing that sounds could be relevant to"),
    "odd loudness": (plain("--loudness", "loud"), "--loudness loud is neither"),
    "wild loudness": (plain("--loudness", "3"), "outside -60 to -5"),
    "no language": (plain("--languages", "English!"), "expected tags such as en,de"),
    "no code": (plain("--panel", "prolific"), "add --code complete=CODE"),
    "odd code": (plain("--code", "done=1"), "expected one of complete"),
    "odd way back": (plain("--return-url", "http://x"), "does not start with https://"),
    "no such reference": (plain("--reference", "real"), "--reference real is no system"),
    "low rate": (plain("--rate", "8000"), "16000"),
    "passes of mushra": (plain("--preset", "mushra", "--passes", "within"), "--passes has no meaning for mushra"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_line_and_leaves_nothing(case: str, maker: Any, listen: Any, tmp_path: Path) -> None:
    prepare, said = BAD[case]
    words = prepare(maker)
    before = sorted(path.name for path in tmp_path.iterdir())
    preset = [] if "--preset" in words else ["--preset", "gen"]
    passes = [] if "--passes" in words or "--preset" in words else ["--passes", "fidelity"]
    code, out, err = listen("init", *words, *preset, *passes, "--out", tmp_path / "study")
    assert (code, out) == (2, "") and err.startswith("error: ") and err.count("\n") == 1
    assert said in err, err
    assert sorted(path.name for path in tmp_path.iterdir()) == before


def test_incomplete_goes_on_and_says_so(maker: Any, listen: Any, tmp_path: Path) -> None:
    folder = maker.folder(systems=("a", "b", "c"), prompts=("p1", "p2", "p3"))
    (folder / "a" / "p2.wav").unlink()
    words = ["--preset", "gen", "--passes", "fidelity", "--incomplete", "--out", tmp_path / "study"]
    code, out, _ = listen("init", folder, *words)
    assert code == 0 and "left out: no sound a/p2" in out
    pages = [page for page in load_study(tmp_path / "study").pages.values() if page.prompt == "p2"]
    assert pages and not any("a__p2" in id for page in pages for id in page.stimuli)


def test_a_full_disk_is_one_line(maker: Any, listen: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = maker.folder()
    before = sorted(path.name for path in tmp_path.iterdir())

    def full(path: Path, data: bytes) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    monkeypatch.setattr("clipsonic_listening_test.prepare.render.write_whole", full)
    code, out, err = listen("init", folder, "--preset", "mos", "--out", tmp_path / "study")
    assert (code, out, err.count("\n")) == (2, "", 1) and "no space left on the device" in err
    assert sorted(path.name for path in tmp_path.iterdir()) == before


def test_check_of_what_is_no_study(listen: Any, tmp_path: Path) -> None:
    code, out, err = listen("check", tmp_path)
    assert (code, out) == (2, "") and "holds no study.json; make a study with: clipsonic-listen init" in err


@pytest.mark.parametrize("preset", ["gen", "mushra", "mos", "pairs", "abx"])
def test_demo_makes_every_preset(preset: str, listen: Any, tmp_path: Path) -> None:
    code, out, _ = listen("demo", "--no-serve", "--preset", preset, "--out", tmp_path / "demo")
    assert code == 0 and f"Next:   clipsonic-listen serve {tmp_path / 'demo'}" in out
    study = load_study(tmp_path / "demo")
    assert study.preset == preset and len(study.prompts) == 6 and len(study.media) == 6
    assert listen("check", tmp_path / "demo")[0] == 0
    if preset == "mushra":
        assert study.departures == ()


def test_demo_serves(tmp_path: Path) -> None:
    """The command as a user starts it: it answers, and stops when told to."""
    record = tmp_path / "served.json"
    arguments = ["demo", "--out", str(tmp_path / "demo"), "--port", "0", "--json", str(record)]
    code = f"import sys; from clipsonic_listening_test.cli import run; sys.exit(run({arguments!r}))"
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        while not record.exists() and process.poll() is None:
            time.sleep(0.05)
        assert process.poll() is None, process.communicate()[1]
        url = json.loads(record.read_text())["study"]
        with urllib.request.urlopen(url.rstrip("/") + "/health") as answer:
            assert answer.status == 200
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
    assert (tmp_path / "demo" / "study.json").is_file()
