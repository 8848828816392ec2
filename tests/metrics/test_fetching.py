"""Fetching weights from a local server that breaks off, changes the file, or cannot resume; and a full disk."""

from __future__ import annotations

import errno
import hashlib
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from clipsonic_metrics import MetricsError, fetching, sources
from clipsonic_metrics.embedders import EMBEDDERS
from clipsonic_metrics.sources import RemoteFile, Source, fetched, find_weights

CONTENT = bytes(range(256)) * 4000


@dataclass
class Server:
    """What the server holds, how it behaves, and what it was asked."""

    url: str = ""
    content: bytes = CONTENT
    etag: str = '"one"'
    breaks_after: list[int] = field(default_factory=list)  # bytes of each next answer, before the connection ends
    status: int = 200
    ranges: list[str | None] = field(default_factory=list)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    state = Server()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked = self.headers.get("Range")
            state.ranges.append(asked)
            if state.status != 200:
                self.send_error(state.status)
                return
            begin = int(asked.removeprefix("bytes=").removesuffix("-")) if asked else 0
            if self.headers.get("If-Range") not in (None, state.etag):
                begin = 0
            if begin >= len(state.content):
                self.send_response(416)
                self.send_header("Content-Range", f"bytes */{len(state.content)}")
                self.end_headers()
                return
            self.send_response(206 if begin else 200)
            if begin:
                self.send_header("Content-Range", f"bytes {begin}-{len(state.content) - 1}/{len(state.content)}")
            self.send_header("Content-Length", str(len(state.content) - begin))
            if state.etag:
                self.send_header("ETag", state.etag)
            self.end_headers()
            end = begin + state.breaks_after.pop(0) if state.breaks_after else None
            self.wfile.write(state.content[begin:end])

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        thread = threading.Thread(target=http.serve_forever, args=(0.01,))
        thread.start()
        state.url = f"http://127.0.0.1:{http.server_address[1]}/network.pt"
        register(monkeypatch, RemoteFile(state.url, "network.pt"))
        yield state
        http.shutdown()
        thread.join()


def register(monkeypatch: pytest.MonkeyPatch, *files: RemoteFile) -> None:
    monkeypatch.setattr(sources, "SOURCES", {"net": Source(files, "MIT", "a paper")})


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir() if not path.name.startswith(".")}


def test_a_file_arrives_whole_with_its_digest(server: Server, tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    assert fetched("net", tmp_path) is None
    path = fetching.fetch("net", tmp_path, lambda done, total: seen.append((done, total)))
    assert path == tmp_path / "net" / "network.pt" == fetched("net", tmp_path) == find_weights("net", None, tmp_path)
    assert path.read_bytes() == CONTENT and seen[-1] == (len(CONTENT), len(CONTENT))
    record = json.loads((tmp_path / "net" / "network.pt.sha256.json").read_text())
    assert next(iter(record)) == "schema" and record["sha256"] == hashlib.sha256(CONTENT).hexdigest()
    assert names(path.parent) == {"network.pt", "network.pt.sha256.json"}
    fetching.fetch("net", tmp_path)
    assert len(server.ranges) == 1  # what is there is not fetched again


def test_a_cut_connection_is_resumed(server: Server, tmp_path: Path) -> None:
    server.breaks_after = [300_000, 100_000]
    path = fetching.fetch("net", tmp_path)
    assert path.read_bytes() == CONTENT
    assert server.ranges == [None, "bytes=300000-", "bytes=400000-"]


def test_what_has_arrived_is_kept_for_the_next_attempt(server: Server, tmp_path: Path) -> None:
    server.breaks_after = [300_000, 0, 0, 0]
    with pytest.raises(MetricsError, match=r"300000 bytes have arrived and are kept; type the same again") as error:
        fetching.fetch("net", tmp_path)
    assert "\n" not in str(error.value) and fetched("net", tmp_path) is None
    assert (tmp_path / "net" / "network.pt.part").read_bytes() == CONTENT[:300_000]
    server.ranges.clear()
    assert fetching.fetch("net", tmp_path).read_bytes() == CONTENT
    assert server.ranges == ["bytes=300000-"]


def test_a_part_of_another_version_is_not_built_on(server: Server, tmp_path: Path) -> None:
    server.breaks_after = [300_000, 0, 0, 0]
    with pytest.raises(MetricsError):
        fetching.fetch("net", tmp_path)
    server.content, server.etag = CONTENT[::-1], '"two"'
    assert fetching.fetch("net", tmp_path).read_bytes() == CONTENT[::-1]


def test_a_server_that_names_no_version_is_asked_for_the_whole(server: Server, tmp_path: Path) -> None:
    server.etag, server.breaks_after = "", [300_000]
    assert fetching.fetch("net", tmp_path).read_bytes() == CONTENT
    assert server.ranges == [None, None]


def test_a_process_that_died_before_the_last_step_is_made_up_for(server: Server, tmp_path: Path) -> None:
    (tmp_path / "net").mkdir()
    (tmp_path / "net" / "network.pt.part").write_bytes(CONTENT)
    (tmp_path / "net" / "network.pt.part.etag").write_text('"one"')
    assert fetching.fetch("net", tmp_path).read_bytes() == CONTENT
    assert server.ranges == [f"bytes={len(CONTENT)}-"]


def test_another_file_than_the_first_time_is_refused(server: Server, tmp_path: Path) -> None:
    path = fetching.fetch("net", tmp_path)
    path.unlink()
    server.content = CONTENT[:-1] + b"?"
    with pytest.raises(MetricsError, match=r"gave sha256 \w{12}, .*network.pt.sha256.json records \w{12}"):
        fetching.fetch("net", tmp_path)
    assert names(path.parent) == {"network.pt.sha256.json"}
    (path.parent / "network.pt.sha256.json").unlink()
    assert fetching.fetch("net", tmp_path).read_bytes() == server.content


def test_a_digest_that_the_makers_publish_is_checked(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    register(monkeypatch, RemoteFile(server.url, "network.pt", "00000000"))
    with pytest.raises(MetricsError, match="its makers publish 00000000"):
        fetching.fetch("net", tmp_path)
    register(monkeypatch, RemoteFile(server.url, "network.pt", hashlib.sha256(CONTENT).hexdigest()[:8]))
    assert fetching.fetch("net", tmp_path).is_file()


def test_a_fetched_file_that_changed_is_not_used(server: Server, tmp_path: Path) -> None:
    path = fetching.fetch("net", tmp_path)
    path.write_bytes(CONTENT[:-1])
    with pytest.raises(MetricsError, match=r"has sha256 \w{12}, \w{12} is recorded; delete it and type"):
        find_weights("net", None, tmp_path)
    (tmp_path / "net" / "network.pt.sha256.json").write_text("{}")
    with pytest.raises(MetricsError, match="not a record of schema 1"):
        find_weights("net", None, tmp_path)


def test_a_full_disk_is_named_and_loses_nothing(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real_open = Path.open

    class Full:
        def __init__(self, file: object) -> None:
            self.file = file

        def __enter__(self) -> Full:
            return self

        def __exit__(self, *_: object) -> None:
            self.file.close()  # type: ignore[attr-defined]

        def write(self, data: bytes) -> None:
            self.file.write(data[:1000])  # type: ignore[attr-defined]
            raise OSError(errno.ENOSPC, "No space left on device")

    def open_full(path: Path, mode: str = "r", **options: object) -> object:
        opened = real_open(path, mode, **options)  # type: ignore[call-overload]
        return Full(opened) if path.suffix == ".part" and mode == "ab" else opened

    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", open_full)
        with pytest.raises(MetricsError, match=r"No space left on device\); make room there") as error:
            fetching.fetch("net", tmp_path)
    assert "\n" not in str(error.value) and fetched("net", tmp_path) is None
    assert fetching.fetch("net", tmp_path).read_bytes() == CONTENT
    assert server.ranges == [None, "bytes=1000-"]


def test_servers_and_folders_that_refuse_are_one_line(server: Server, tmp_path: Path) -> None:
    server.status = 404
    with pytest.raises(MetricsError, match=r"answers 404 Not Found; try later, or get the file by hand"):
        fetching.fetch("net", tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(MetricsError, match="cannot be written"):
        fetching.fetch("net", tmp_path / "file")
    with pytest.raises(MetricsError, match="there are net"):
        fetching.fetch("nett", tmp_path)


def test_nobody_at_the_address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    register(monkeypatch, RemoteFile("http://127.0.0.1:9/network.pt", "network.pt"))
    with pytest.raises(MetricsError, match=r"cannot be fetched \(.*refused.*\): 0 bytes have arrived"):
        fetching.fetch("net", tmp_path)


def test_one_process_at_a_time(server: Server, tmp_path: Path) -> None:
    (tmp_path / "net").mkdir()
    with (
        fetching._alone(tmp_path / "net" / "network.pt"),
        pytest.raises(MetricsError, match="another process is fetching"),
    ):
        fetching.fetch("net", tmp_path)


def test_weights_of_several_files_are_a_folder(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    register(monkeypatch, RemoteFile(server.url, "network.pt"), RemoteFile(server.url, "vocab.json"))
    assert fetching.fetch("net", tmp_path) == tmp_path / "net"
    (tmp_path / "net" / "vocab.json").unlink()
    assert fetched("net", tmp_path) is None
    with pytest.raises(MetricsError, match=r"not on this machine; type: clipsonic-metrics weights fetch net; or give"):
        find_weights("net", None, tmp_path)


def test_given_weights_go_before_fetched_ones(server: Server, tmp_path: Path) -> None:
    fetching.fetch("net", tmp_path)
    (tmp_path / "other.pt").write_bytes(b"x")
    assert find_weights("net", tmp_path / "other.pt", tmp_path) == tmp_path / "other.pt"
    with pytest.raises(MetricsError, match=r"absent.pt is not there; expected the weights of net"):
        find_weights("net", tmp_path / "absent.pt", tmp_path)


def test_the_folder_is_the_users_choice(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CLIPSONIC_WEIGHTS", str(tmp_path))
    assert sources.default_folder() == tmp_path
    monkeypatch.delenv("CLIPSONIC_WEIGHTS")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert sources.default_folder() == tmp_path / "clipsonic" / "weights"


def test_every_source_says_where_it_is_from() -> None:
    for name, of_name in sources.SOURCES.items():
        assert of_name.licence and of_name.paper, name
        assert all(file.url.startswith("https://") and "/" not in file.name for file in of_name.files), name


def test_every_published_embedder_has_a_source() -> None:
    shipped = {name for name in EMBEDDERS if name.startswith("microworld-")}
    assert set(EMBEDDERS) - shipped - {"open-clip", "vggish-relu"} == set(sources.SOURCES)
