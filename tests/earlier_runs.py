"""Runs as earlier versions saved them: without digests."""

import json
from pathlib import Path


def forget_digests(folder: Path, **news: str) -> None:
    """Make a saved run one without digests, which is not checked; `news`: other entries of its `made.json`."""
    note = json.loads((folder / "made.json").read_text())
    note = {name: value for name, value in note.items() if name not in ("digest", "digests")}
    (folder / "made.json").write_text(json.dumps(note | news))
