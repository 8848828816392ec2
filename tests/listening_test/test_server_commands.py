"""The commands of whoever runs a study, from the command line to the exit code."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest
from listening_rig import Here, answer_to, copy_study, rating_study

from clipsonic_listening_test.cli import run
from clipsonic_listening_test.server.run import _listen

LISTEN = Path(sys.executable).with_name("clipsonic-listen")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return rating_study(tmp_path_factory.mktemp("made") / "study", 2)


@pytest.fixture
def study(made: Path, tmp_path: Path) -> Path:
    return copy_study(made, tmp_path / "study")


@pytest.fixture
def taken(study: Path) -> Iterator[tuple[Path, str]]:
    """A study with one finished session in its own database, and the participant's code."""
    here = Here(study, str(study / "ratings.sqlite"))
    rater = here.rater()
    rater.start(201)
    rater.finish()
    here.close()
    yield study, rater.state["participant"]


class Served:
    """`clipsonic-listen serve` as its own process."""

    def __init__(self, study: Path, *options: str) -> None:
        command = [str(LISTEN), "serve", str(study), "--port", "0", *options]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        self.lines = [self.process.stdout.readline() for _ in range(4)]
        self.url = self.lines[0].split()[1] if self.lines[0] else ""

    def __enter__(self) -> Served:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.communicate()

    def stop(self, how: signal.Signals) -> tuple[int, str]:
        self.process.send_signal(how)
        _, errors = self.process.communicate(timeout=30)
        return self.process.returncode, errors


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_serve_says_where_and_stops_when_told(study: Path, how: signal.Signals) -> None:
    with Served(study) as served:
        assert re.fullmatch(r"Study:   http://127\.0\.0\.1:\d+/\n", served.lines[0])
        link = r"Monitor: http://127\.0\.0\.1:\d+/monitor#\S{32,}  \(the link works once\)\n"
        assert re.fullmatch(link, served.lines[1])
        assert served.lines[2] == f"Ratings: sqlite:///{study / 'ratings.sqlite'}\n"
        with urlopen(served.url + "health") as reply:
            assert json.load(reply)["status"] == "ok"
        assert served.stop(how) == (0, "")


def test_replies_do_not_wait_for_acknowledgements() -> None:
    """asyncio switches TCP_NODELAY on only for sockets whose protocol is named; a reply took 40 ms more without."""
    with _listen("127.0.0.1", 0) as listening:
        assert listening.proto == socket.IPPROTO_TCP


def test_serve_json(study: Path, tmp_path: Path) -> None:
    record = tmp_path / "record.json"
    with Served(study, "--json", str(record)) as served:
        found = json.loads(record.read_text())
        assert found["study"] == served.url and list(found) == ["schema", "study", "monitor", "database"]


def test_serve_under_a_path(study: Path) -> None:
    """As a proxy that takes the path off reaches it; what the browser is told is relative, the cookie has the path."""
    from urllib.request import Request

    with Served(study, "--root-path", "/study1/", "--https-cookies") as served:
        body = Request(served.url + "api/session", b'{"tab": "t"}', {"Content-Type": "application/json"})
        with urlopen(served.url) as page, urlopen(body) as opened:
            assert b'"static/' in page.read()
            cookie = opened.headers["Set-Cookie"]
        assert "Path=/study1/" in cookie and "Secure" in cookie


def test_other_addresses_are_warned_about(study: Path) -> None:
    with Served(study, "--host", "0.0.0.0") as served:
        code, errors = served.stop(signal.SIGTERM)
    assert code == 0 and "without encryption" in errors


def test_a_port_that_is_taken(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert run(["serve", str(study), "--port", str(port)]) == 2
    error = capsys.readouterr().err
    assert error.startswith(
        f"error: 127.0.0.1:{port} cannot be used (Address already in use); choose another with --port"
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["serve", "absent"], "absent holds no study.json"),
        (["serve", "{study}", "--db", "mysql://x"], "--db names 'mysql'"),
        (["serve", "{study}", "--root-path", "x"], "--root-path x does not start with /"),
        (["serve", "{study}", "--host", "192.0.2.1"], "(Cannot assign requested address); choose another with --host"),
        (["status", "{study}"], "does not exist; start the study with: clipsonic-listen serve"),
        (["export", "{study}", "--out", "{out}"], "does not exist; start the study with"),
        (["backup", "{study}", "{out}"], "does not exist; start the study with"),
        (["codes", "{study}"], "does not exist; start the study with"),
        (["erase", "{study}", "nobody", "--yes"], "nobody here is 'nobody'"),
        (
            ["import-answers", "{study}", "{out}/absent.json"],
            "does not exist; expected the file that a participant saved",
        ),
        (["invite", "{study}", "3"], "takes anybody of panel 'open'; make it with --panel invite"),
        (["panel", "prolific", "{study}", "--url", "https://x.test"], "was made for panel 'open'"),
    ],
)
def test_errors_are_one_line(
    study: Path, tmp_path: Path, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    given = [each.format(study=study, out=tmp_path / "out") for each in arguments]
    assert run(given) == 2
    out, error = capsys.readouterr()
    assert out == "" and error.count("\n") == 1 and error.startswith("error: ") and message in error


def test_status(taken: tuple[Path, str], capsys: pytest.CaptureFixture[str]) -> None:
    study, _ = taken
    assert run(["status", str(study)]) == 0
    out = capsys.readouterr().out
    assert "1 begun" in out and "1 complete" in out and "t0" in out
    assert run(["status", str(study), "--json", "-"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert next(iter(found)) == "schema" and found["outcomes"] == {"complete": 1}


def test_export(taken: tuple[Path, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    study, _ = taken
    out = tmp_path / "tables"
    assert run(["export", str(study), "--out", str(out), "--json", "-"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["rows"]["ratings"] == 6 and found["outcomes"] == {"complete": 1}
    names = sorted(path.name for path in out.iterdir())
    assert [name for name in names if name.endswith(".csv")] == sorted(f"{name}.csv" for name in found["rows"])
    (version,) = (name for name in names if name.startswith("study-"))
    assert (out / version).read_text() == (study / "study.json").read_text()
    assert run(["export", str(study), "--out", str(out), "--format", "spreadsheet-csv"]) == 0
    assert (out / "ratings.csv").read_bytes().startswith(b"\xef\xbb\xbf")


def test_backup_and_back(taken: tuple[Path, str], tmp_path: Path, postgresql_database: str, capsys: Any) -> None:
    """Out of SQLite into a file, from there into PostgreSQL, and out of that again: the same tables each time."""
    study, _ = taken
    copy = tmp_path / "copy.sqlite"
    assert run(["backup", str(study), str(copy), "--json", "-"]) == 0
    assert json.loads(capsys.readouterr().out)["bytes"] == copy.stat().st_size
    assert run(["backup", str(study), postgresql_database, "--db", str(copy)]) == 0
    again = tmp_path / "again.sqlite"
    assert run(["backup", str(study), str(again), "--db", postgresql_database]) == 0
    tables = []
    for number, database in enumerate((str(study / "ratings.sqlite"), str(copy), postgresql_database, str(again))):
        out = tmp_path / str(number)
        assert run(["export", str(study), "--out", str(out), "--db", database]) == 0
        tables.append({path.name: path.read_text() for path in out.iterdir()})
    assert tables[0] == tables[1] == tables[2] == tables[3]
    assert tables[0]["ratings.csv"].count("\n") == 7


def test_erase(taken: tuple[Path, str], capsys: pytest.CaptureFixture[str]) -> None:
    study, code = taken
    assert run(["erase", str(study), code]) == 2
    assert "add --yes" in capsys.readouterr().err
    assert run(["erase", str(study), code, "--yes", "--json", "-"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert record == {"schema": 1, "ratings_kept": False, "sessions": 1, "answers": 3, "panel_id": False}
    assert run(["erase", str(study), code, "--yes"]) == 2
    assert run(["status", str(study), "--json", "-"]) == 0
    capsys.readouterr()
    assert not any(code.encode() in path.read_bytes() for path in study.glob("ratings.sqlite*"))


def test_import_answers(study: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    here = Here(study, str(study / "ratings.sqlite"))
    rater = here.rater()
    rater.start(201)
    here.close()
    content = {"schema": 1, "kind": "answers", "study": "tiny", "participant": rater.state["participant"]}
    path = tmp_path / "answers.json"
    path.write_text(json.dumps(content | {"answers": [answer_to(rater.view)]}))
    assert run(["import-answers", str(study), str(path)]) == 0
    assert capsys.readouterr().out == f"{rater.state['participant']}: 1 stored, 0 known before, 0 refused\n"
    path.write_text(json.dumps(content | {"answers": [answer_to(rater.view, consent=False)]}))
    assert run(["import-answers", str(study), str(path)]) == 1
    assert "another answer to this page is stored already" in capsys.readouterr().err


def test_invite_and_panel(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    invited = rating_study(tmp_path / "invited", 1, panel={"kind": "invite"})
    assert run(["invite", str(invited), "3", "--url", "https://test.example/s/"]) == 0
    links = capsys.readouterr().out.splitlines()
    assert len(set(links)) == 3 and all(
        re.fullmatch(r"https://test\.example/s/\?invite=[\w-]{16}", each) for each in links
    )
    panel = {"kind": "prolific", "codes": {"complete": "C1", "technical": "T1"}}
    prolific = rating_study(tmp_path / "prolific", 1, panel=panel)
    assert run(["panel", "prolific", str(prolific), "--url", "https://test.example/s"]) == 0
    out = capsys.readouterr().out
    assert (
        "https://test.example/s/?PROLIFIC_PID={{%PROLIFIC_PID%}}&STUDY_ID={{%STUDY_ID%}}&SESSION_ID={{%SESSION_ID%}}"
        in out
    )
    assert re.search(r"C1 +complete: approve", out) and re.search(r"T1 +technical: pay", out)


def test_codes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    study = rating_study(tmp_path / "study", 1, panel={"kind": "prolific", "codes": {"complete": "C1"}})
    here = Here(study, str(study / "ratings.sqlite"))
    rater = here.rater()
    rater.start(201, PROLIFIC_PID="pid1", SESSION_ID="v1")
    rater.finish()
    here.close()
    assert run(["codes", str(study)]) == 0
    header, row = capsys.readouterr().out.splitlines()
    assert header.startswith("panel,panel_id,visit,participant,outcome,code")
    assert row.startswith(f"prolific,pid1,v1,{rater.state['participant']},complete,C1,2,0.0,")


def test_the_factory_for_other_servers(study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from starlette.testclient import TestClient

    from clipsonic_listening_test.errors import ListeningTestError
    from clipsonic_listening_test.server.asgi import create

    monkeypatch.delenv("CLIPSONIC_STUDY", raising=False)
    with pytest.raises(ListeningTestError, match="CLIPSONIC_STUDY is not set"):
        create()
    monkeypatch.setenv("CLIPSONIC_STUDY", str(study))
    with TestClient(create()) as client:
        assert client.get("/health").status_code == 200
    assert os.path.exists(study / "ratings.sqlite") and time.time() > 0
