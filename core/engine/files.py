"""Durable writes: plain JSON, files synced to disk, and errors of a full disk."""

import contextlib
import errno
import functools
import json
import math
import os
import platform
import shutil
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

from core.engine.spec import BadInput

LIBRARIES = ("molsway", "torch", "transformers", "peft", "numpy", "pandas", "rdkit", "scikit-learn", "safetensors")

NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
ANOTHER_CACHE = "free some or choose another --cache; nothing was lost"


class StoreFull(BadInput):
    """The disk is full."""


def to_json_value(value: Any) -> Any:
    """Plain JSON of numbers, arrays and containers of them; NaN and infinities become None."""
    if isinstance(value, dict):
        return {str(name): to_json_value(inner) for name, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [to_json_value(inner) for inner in value]
    if hasattr(value, "tolist"):  # numpy and torch arrays and scalars; neither is imported here
        return to_json_value(value.tolist())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if value is None or isinstance(value, (bool, int, str)) else str(value)


def is_disk_full(error: BaseException) -> bool:
    """Whether an error of any library means that a disk, a quota or a file has no room for more."""
    # errors of other libraries have an `errno` too, or only a message
    words = ("no space left on device", "quota exceeded", "disk is full", "file too large")
    return getattr(error, "errno", None) in NO_ROOM or any(word in str(error).lower() for word in words)


def is_access_denied(error: BaseException) -> bool:
    """Whether an error means missing permission, not a failed read or write."""
    return isinstance(error, OSError) and error.errno in (errno.EACCES, errno.EPERM, errno.EROFS)


def disk_full_error(error: BaseException, path: Path, advice: str = ANOTHER_CACHE) -> StoreFull:
    """The error to raise for a failed write below `path`, or of the file that `error` names, with the free space there.

    `advice` is given for `path` only.
    """
    target = failed_file(error)
    if target is None or target.resolve().is_relative_to(path.resolve()):
        return StoreFull(f"{_describe_full_disk(error, path)}; {advice}")
    return StoreFull(f"{_describe_full_disk(error, target.parent)}; free some; nothing was lost")


def failed_file(error: BaseException) -> Path | None:
    """The file that could not be written, if the error names it."""
    for name in (getattr(error, "filename2", None), getattr(error, "filename", None)):
        if isinstance(name, (str, bytes)) and name:
            return Path(os.fsdecode(name))
    return None


def free_megabytes(path: Path) -> float:
    """Free space on the disk of a file or folder, which need not exist."""
    return shutil.disk_usage(_nearest_folder(path)).free / 1e6


def _nearest_folder(path: Path) -> Path:
    path = path.absolute()
    return next(folder for folder in (path, *path.parents) if folder.is_dir())


def _describe_full_disk(error: BaseException, path: Path) -> str:
    code, text = getattr(error, "errno", None), str(error).lower()
    if code == errno.EFBIG or "file too large" in text:
        return f"a file in {path} has reached the largest size that the disk or this user's limits allow"
    if code == errno.EDQUOT or "quota exceeded" in text:
        return f"this user's quota on the disk of {path} is used up"
    status = os.statvfs(_nearest_folder(path))
    if status.f_files and not status.f_favail:
        return f"the disk of {path} is full: it has no room for more files"
    return f"the disk of {path} is full: {free_megabytes(path):,.0f} MB free"


@functools.cache
def library_versions() -> dict[str, str]:
    """Versions of Python and of the installed libraries; imports none of them."""
    versions = {"python": platform.python_version()}
    for name in LIBRARIES:
        with contextlib.suppress(metadata.PackageNotFoundError):
            versions[name] = metadata.version(name)
    return versions


@contextlib.contextmanager
def raise_if_disk_full(path: Path, advice: str = ANOTHER_CACHE) -> Iterator[None]:
    """Raise `StoreFull` for any error of a full disk inside, where files are written below `path`."""
    try:
        yield
    except Exception as error:
        if not is_disk_full(error) or isinstance(error, StoreFull):
            raise
        raise disk_full_error(error, path, advice) from error


def write_json(path: Path, value: Any) -> None:
    """Write indented JSON with sorted keys; the same value gives the same file."""
    path.write_text(json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False) + "\n", "utf-8")


def list_files(folder: Path) -> list[Path]:
    """All files below a folder, sorted."""
    return sorted(path for path in folder.rglob("*") if path.is_file())


def sync_folder(draft: Path) -> None:
    """Sync every file and folder of the draft to disk."""
    for path in (*draft.rglob("*"), draft):
        _sync(path)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def rename_folder(source: Path, target: Path) -> None:
    """Rename a folder and sync it. Raises `FileExistsError` if `target` is a folder that is not empty."""
    try:
        os.rename(source, target)
    except OSError as error:
        if error.errno in (errno.ENOTEMPTY, errno.EEXIST):
            raise FileExistsError(error.errno, "there already", str(target)) from None
        raise
    _sync(target.parent)
    _sync(target.parent.parent)  # the parent itself may be new
