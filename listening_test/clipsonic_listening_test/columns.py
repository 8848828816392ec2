"""Columns of every exported table, in order. A test holds the rows of `export` to them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

_LEFT: Final = (
    "study", "config_hash", "session", "participant", "panel", "session_number", "group", "page", "page_index",
    "attempt", "pass", "block", "prompt_id", "training",
)  # fmt: skip
_STIMULUS: Final = ("system", "stimulus_id", "role")
_HEARD: Final = ("n_plays", "seconds_heard", "coverage", "first_play_ms", "last_move_ms")
_CLIENT: Final = ("client_browser", "client_rate_hz", "client_output_latency_s")
_RIGHT: Final = (
    "page_ms", "order_seed", "replicate", *_CLIENT, "language", "outcome", "flags", "server_time", "schema_version",
)  # fmt: skip

COLUMNS: Final[Mapping[str, tuple[str, ...]]] = {
    "ratings": (
        *_LEFT, *_STIMULUS, "attribute", "score", "unset", "missing", "label", "position", *_HEARD, *_RIGHT,
    ),
    "choices": (
        *_LEFT, "question", "stimulus_a", "stimulus_b", "system_a", "system_b", "choice", "stimulus_id", "system",
        "tie", "missing", "correct", *_RIGHT,
    ),
    "listening": (*_LEFT, *_STIMULUS, "label", *_HEARD),
    "fields": (*_LEFT, "field", "value"),
    "pages": (
        *_LEFT, "type", "passed", "consent", "volume", "n_events", "source", "hidden_ms", "drift_ms", "rate_hz", "gain",
        *_RIGHT,
    ),
    "sessions": (
        "study", "config_hash", "session", "participant", "panel", "session_number", "group", "language", "outcome",
        "pages_answered", "volume", "begun", "last_seen", "finished", *_CLIENT, "client_max_channels",
        "client_viewport", "schema_version",
    ),
    "events": (*_LEFT, "at_ms", "event", "label", "stimulus_id", "value"),
}  # fmt: skip
