"""Two processes under torchrun print the digits of one."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import soundfile

from clipsonic_metrics import MetricsError, NotComparable
from clipsonic_metrics.distributed import World
from clipsonic_metrics.embedding import embed_set
from clipsonic_metrics.sets import Request, SoundEncoder, blocks_of

from .conftest import RATE_HZ, TinyEmbedder, tone

Maker = Callable[..., Path]


class Pretended(World):
    """One process of two: what the others would have sent is handed to it."""

    def gather(self, make):  # type: ignore[no-untyped-def]
        SENT.append(make())
        return list(SENT) if len(SENT) == self.size else None


SENT: list[object] = []


@pytest.mark.parametrize("items", [1, 5, 12, 70])
@pytest.mark.parametrize("size", [2, 3])
def test_shares_cover_every_item_once(sound_folder: Maker, items: int, size: int) -> None:
    folder = sound_folder("a", n=items)
    SENT.clear()
    embedders = [TinyEmbedder() for _ in range(size)]
    for rank, embedder in enumerate(embedders):
        names = frozenset({"tiny"})
        request = Request(folder, {"tiny": SoundEncoder.of(embedder)}, names, names)
        together = embed_set(request, cache=None, world=Pretended(rank, size))
    alone = embed_set(request, cache=None)
    assert together is not None and alone is not None
    assert sum(embedder.embedded for embedder in embedders[:-1]) + embedders[-1].embedded == 2 * items, "no duplicates"
    ours, theirs = together.embedded["tiny"], alone.embedded["tiny"]
    assert list(ours.vectors) == list(theirs.vectors) and ours.digest == theirs.digest
    for id, vectors in theirs.vectors.items():
        assert (ours.vectors[id] == vectors).all()
    for name in ("count", "mean", "covariance") if items > 1 else ("count", "mean"):
        assert (
            (getattr(ours.stats, name) == getattr(theirs.stats, name)).all()
            if name != "count"
            else (ours.stats.count == theirs.stats.count)
        )


def test_blocks_depend_on_the_ids_alone() -> None:
    for items in (1, 31, 32, 33, 500, 20_000):
        ids = [f"{index:05d}" for index in range(items)]
        blocks = blocks_of(ids)
        assert [id for block in blocks for id in block] == ids and max(map(len, blocks)) <= 256


def test_alone_an_error_is_what_it_is() -> None:
    def fail() -> None:
        raise NotComparable("x")

    with pytest.raises(NotComparable):
        World().gather(fail)


FAILING = """
import sys
from clipsonic_metrics.distributed import join, leave
from clipsonic_metrics.errors import MetricsError, NotComparable

world = join()

def make():
    if world.rank == 1:
        raise NotComparable("the second process found something")
    return world.rank

try:
    said = f"gathered {world.gather(make)}"
except MetricsError as error:
    said = f"raised {type(error).__name__} {error} in {world.rank}"
sys.stdout.write(said + "\\n")  # at once: two processes write here
leave()
"""


def torchrun(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_an_error_of_any_process_is_raised_by_the_first(tmp_path: Path) -> None:
    (tmp_path / "failing.py").write_text(FAILING)
    done = torchrun(str(tmp_path / "failing.py"))
    assert sorted(done.stdout.splitlines()) == [
        "gathered None",
        "raised NotComparable the second process found something in 0",
    ]


def test_two_processes_print_the_digits_of_one(tmp_path: Path, sound_folder: Maker) -> None:
    a, b = sound_folder("a", n=9), sound_folder("b", n=13, pitch_hz=300, seed=40)
    (b / "broken.wav").write_bytes(b"broken")
    soundfile.write(b / "long.wav", tone(500, 5.0), RATE_HZ)
    program = "import sys; from clipsonic_metrics.cli import run; sys.exit(run(sys.argv[1:]))"
    (tmp_path / "program.py").write_text(program)
    arguments = ["score", str(b), "--reference", str(a), "--metrics", "fad,kad,vendi", "--on-bad", "skip", "--no-cache"]
    one = subprocess.run(
        [sys.executable, str(tmp_path / "program.py"), *arguments, "--json", str(tmp_path / "one.json")],
        capture_output=True,
        text=True,
        check=True,
    )
    two = torchrun(str(tmp_path / "program.py"), *arguments, "--json", str(tmp_path / "two.json"))
    assert two.returncode == 0, two.stderr
    assert two.stdout == one.stdout, "printed once, and the same"
    record = json.loads((tmp_path / "one.json").read_text())
    assert json.loads((tmp_path / "two.json").read_text()) == record
    assert record["scores"][0]["items"] == 14 and len(record["generated"]["skipped"]) == 1


def test_one_process_is_asked_for_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    from clipsonic_metrics.distributed import join, leave

    monkeypatch.delenv("WORLD_SIZE", raising=False)
    assert join() == World(0, 1) and join().leads
    leave()
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(MetricsError, match="start them by torchrun"):
        join()
