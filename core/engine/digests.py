"""Content digests (SHA-256) of saved files: written when a run is saved, checked when it is read.

A file is read for its digest once in each process. A second check of the same file costs one call of `stat`: it is
recognised by its inode, size and times.
"""

import hashlib
import json
import os
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

SETTLED_NS = 100_000_000  # a file changed later than this before may change again without another time stamp
BLANK = "0" * 64  # takes the place of a document's own digest while that is computed

_digests: dict[tuple[int, ...], str] = {}  # of files read in this process, by identity


def digest_file(path: Path) -> str:
    """SHA-256 (hex) of a file. Raises `OSError`."""
    with path.open("rb") as file:
        state = os.fstat(file.fileno())
        identity = (state.st_dev, state.st_ino, state.st_size, state.st_mtime_ns, state.st_ctime_ns)
        digest = _digests.get(identity)
        if digest is None:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            if time.time_ns() - max(state.st_mtime_ns, state.st_ctime_ns) > SETTLED_NS:
                _digests[identity] = digest
    return digest


def digest_files(folder: Path, paths: Iterable[Path]) -> dict[str, str]:
    """SHA-256 of files below a folder, by their path from there."""
    return {path.relative_to(folder).as_posix(): digest_file(path) for path in paths}


def find_change(folder: Path, digests: Mapping[str, str]) -> str:
    """What is wrong with the files of a folder, in a few words; "" where each has its digest."""
    for name, digest in digests.items():
        try:
            changed = digest_file(folder / name) != digest
        except OSError:
            return f"{name} is missing or cannot be read"
        if changed:
            return f"{name} was changed: its content is not what was saved"
    return ""


def write_sealed_json(path: Path, value: Mapping[str, Any]) -> None:
    """Write a JSON object with a `digest` of the file itself, computed with zeros in its place."""
    # sorted: only names before "digest" could hold a second one in front of it
    text = json.dumps({**value, "digest": BLANK}, indent=1, sort_keys=True, ensure_ascii=False) + "\n"
    digest = hashlib.sha256(text.encode()).hexdigest()
    path.write_bytes(text.replace(BLANK, digest, 1).encode())


def read_sealed_json(data: bytes) -> dict[str, Any]:
    """The object that `write_sealed_json` wrote; one without a digest (an earlier version's) is not checked.

    Raises `ValueError` if it is no JSON object, or was changed.
    """
    value = json.loads(data)
    if not isinstance(value, dict):
        raise ValueError("it is no JSON object")
    digest = value.get("digest")
    if digest is None and "digests" not in value:
        return value
    if (
        not isinstance(digest, str)
        or hashlib.sha256(data.replace(digest.encode(), BLANK.encode(), 1)).hexdigest() != digest
    ):
        raise ValueError("it was changed: its content is not what was saved")
    return value
