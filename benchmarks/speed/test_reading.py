"""Reading prepared data: one frame's vector of each of 4096 clips, as a step of a prior draws them.

    uv run pytest benchmarks/speed/test_reading.py -s

Against taking the whole lists out of the Arrow table, as `frames_of` does, and against the floor: copying as many
vectors at random out of one array in memory.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from datasets import Dataset, Features, List, Value
from pytest_benchmark.fixture import BenchmarkFixture

from clipsonic.prepared import SCHEMA, PreparedData
from clipsonic.preset import load_preset

CLIPS, FRAMES, DIM, ASKED = 12_000, 10, 768, 4096
AT_ONCE = 1000


def write_data(folder: Path) -> PreparedData:
    """A folder with ids and frames' vectors alone."""
    features = Features({"id": Value("string"), "clip_frames": List(Value("float32"))})
    rng, raw = np.random.default_rng(0), folder.with_suffix(".arrow")
    with pa.OSFile(str(raw), "wb") as sink, pa.ipc.new_stream(sink, features.arrow_schema) as writer:
        for start in range(0, CLIPS, AT_ONCE):
            rows = rng.standard_normal((AT_ONCE, FRAMES * DIM), np.float32)
            ids = pa.array([str(start + row) for row in range(AT_ONCE)])
            lists = pa.array(list(rows), pa.list_(pa.float32()))
            writer.write_table(pa.table({"id": ids, "clip_frames": lists}, schema=features.arrow_schema))
    Dataset.from_file(str(raw)).save_to_disk(str(folder))
    raw.unlink()
    mel = load_preset("base").mel.as_dict()
    known = {"schema": SCHEMA, "mel": mel, "clip": "none", "clip_sha256": "", "clip_dim": DIM, "digest": ""}
    (folder / "prepared.json").write_text(json.dumps(known), encoding="utf-8")
    return PreparedData(folder)


def test_one_frame_of_each(
    benchmark: BenchmarkFixture, fastest: Callable[..., tuple[float, Any]], tmp_path: Path
) -> None:
    data, rng = write_data(tmp_path / "data"), np.random.default_rng(1)
    rows, choices = rng.integers(CLIPS, size=ASKED), rng.random(ASKED)

    def whole_lists() -> np.ndarray:
        lists = data.frames_of(rows)
        return np.stack([each[int(choice * len(each))] for each, choice in zip(lists, choices, strict=True)])

    found = benchmark.pedantic(data.frame_of, (rows, choices), rounds=5, warmup_rounds=1)
    ours = benchmark.stats.stats.min
    theirs, expected = fastest(whole_lists, rounds=3)
    np.testing.assert_array_equal(found, expected)
    memory, places = np.concatenate(data.frames_of(np.arange(CLIPS))), rows * FRAMES
    floor, _ = fastest(lambda: memory[places], rounds=5)
    benchmark.extra_info |= {"times_faster": theirs / ours, "of_the_floor": ours / floor}
    print(
        f"\n{ASKED} vectors: {1e3 * ours:.1f} ms; taking whole lists {1e3 * theirs:.0f} ms, {theirs / ours:.0f} times"
        f" as long; copying them out of memory {1e3 * floor:.1f} ms"
    )
