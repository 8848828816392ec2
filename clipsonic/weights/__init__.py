"""The small trained models that ship with this package, one model folder each, and where they lie.

`micro-N` is seed N of one recipe; `micro` is seed 0, named before any was trained and the only one that ships.
"""

from __future__ import annotations

import difflib
from pathlib import Path

_HERE = Path(__file__).parent


def model_names() -> list[str]:
    """Names of the model folders that ship."""
    return sorted(path.parent.name for path in _HERE.glob("*/model_index.json"))


def model_folder(name: str) -> Path:
    """The folder of a shipped model.

    Raises:
        ValueError: naming the nearest and all that ship.
    """
    folder = _HERE / ("micro-0" if name == "micro" else name)
    if not (folder / "model_index.json").is_file():
        near = difflib.get_close_matches(name, [known for known in ("micro", *model_names()) if known != name], 1)
        hint = f"; did you mean {near[0]!r}? " if near else "; "
        raise ValueError(
            f"there is no folder {name!r} here, and no model {name!r} ships{hint}"
            f"models: micro, {', '.join(model_names())}"
        )
    return folder
