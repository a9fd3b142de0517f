"""The store: one folder for each finished spec, `root/<kind>/<key>/{spec.json, made.json, product files}`.

A product is written into a draft folder, which is then renamed: readers see a complete product or none. `made.json`
holds the digest of every file, which is checked when the product is read (`core.engine.digests`).
"""

import contextlib
import dataclasses
import functools
import json
import re
import secrets
import shutil
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from core.engine.digests import digest_files, find_change, read_sealed_json, write_sealed_json
from core.engine.files import (
    library_versions,
    list_files,
    raise_if_disk_full,
    rename_folder,
    sync_folder,
    to_json_value,
    write_json,
)
from core.engine.former_names import current_kind, list_renames
from core.engine.product import headline_of
from core.engine.spec import BadInput, Spec, read_spec_json, to_json

RESERVED_FOLDERS = ("drafts", "files", "scratch", "trash", "tracks", "line", "derived")  # not spec kinds


class DamagedRun(BadInput):
    """A product's folder was changed or is incomplete."""


@dataclasses.dataclass(frozen=True)
class Entry:
    """A run in the store, without its product. `made`: when it was made, ISO format (UTC); `seconds`: its duration."""

    kind: str
    key: str
    title: str
    made: str
    seconds: float
    bytes: int
    folder: Path
    device: str = ""
    summary: dict[str, Any] = dataclasses.field(default_factory=dict)  # of the product
    damaged: str = ""  # what is wrong with the folder, or ""
    digests: dict[str, str] = dataclasses.field(default_factory=dict, repr=False)  # SHA-256 of its files by name

    @property
    def integrity(self) -> str:
        """`checked`: its files are compared with their digests when read; `unchecked`: saved without; `damaged`."""
        return "damaged" if self.damaged else "checked" if self.digests else "unchecked"

    @functools.cached_property
    def spec(self) -> Spec:
        """The spec. Raises `BadInput` if this version cannot read it, `DamagedRun` if its file was changed."""
        return read_spec_json(self._read_spec())

    def _read_spec(self) -> str:
        if change := find_change(self.folder, {n: d for n, d in self.digests.items() if n == "spec.json"}):
            raise _damaged(self.key, change)
        return _read(self.folder / "spec.json", self.key).decode("utf-8", "replace")

    @property
    def spec_class(self) -> type[Spec] | None:
        """The class of its kind, by its current or former name; None if this version lacks it."""
        return Spec.kinds.get(current_kind(self.kind, Spec.kinds))

    @property
    def headline(self) -> str:
        """Its main number, from its summary; "–" for none."""
        return headline_of(self.spec_class and self.spec_class.product, self.summary)

    def check_current(self) -> None:
        """Raise `BadInput` if its spec now has another meaning or other names: it must be made again."""
        if self.spec.key == self.key:
            return
        renamed = list_renames(json.loads(self._read_spec()), to_json(self.spec))
        reason = ", ".join([*renamed[:3], *["and more"][: len(renamed) > 3]]) or "its spec has another meaning now"
        raise BadInput(f"an earlier version of Molsway made this run, and {reason}; run it again")


class Store:
    """Finished products below `root`, by kind and key. Safe for several processes at once."""

    def __init__(self, root: Path | str) -> None:
        self.root = Path(root).resolve()
        self.files = self.root / "files"  # imported tables, by digest
        try:
            with raise_if_disk_full(self.root):
                self.files.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise BadInput(f"{root} cannot be a cache: {error.strerror}; choose another --cache") from None

    def folder(self, what: Spec | str) -> Path:
        """The folder of a spec's product, existing or not; of a key the existing one. Raises `BadInput`."""
        if isinstance(what, Spec):
            if what.kind in RESERVED_FOLDERS or not re.fullmatch(r"[a-z][a-z0-9_-]*", what.kind):
                raise BadInput(f"{what.kind!r} cannot be a spec kind; a kind is a word of a-z, 0-9, - and _")
            return self.root / what.kind / check_key(what.key)
        folder = next((one for one in self._folders() if one.name == check_key(what)), None)
        if folder is None:
            raise BadInput(f"the store has no run with key {what}; `python -m core list` lists its runs")
        return folder

    def has(self, spec: Spec) -> bool:
        """Whether the product of a spec is in the store."""
        return self.folder(spec).is_dir()

    def get(self, spec: Spec) -> Any:
        """Load the product of a spec. Raises `DamagedRun` if a file is missing or was changed."""
        folder = self.folder(spec)
        self.check(folder)
        try:
            product: Any = spec.product
            return product.load(folder)
        except BadInput:
            raise
        except (OSError, ValueError, KeyError) as error:
            raise _damaged(spec.key, f"{type(error).__name__}: {str(error).replace(f'{folder}/', '')}") from error

    def check(self, folder: Path) -> None:
        """Raise `DamagedRun` if a file of a run is missing or was changed; each is read once in a process.

        Runs of earlier versions have no digests: only the sizes of their files are compared.
        """
        note = self._note(folder)
        for name, size in note["files"].items():
            if not (folder / name).is_file() or (folder / name).stat().st_size != size:
                raise _damaged(folder.name, f"{name} is missing or was changed")
        if change := find_change(folder, note.get("digests", {})):
            raise _damaged(folder.name, change)

    def product(self, entry: Entry) -> Any:
        """Load the product of an entry. Raises `BadInput` if an earlier version made it, and as `get` does."""
        entry.check_current()
        return self.get(entry.spec)

    def put(self, spec: Spec, product: Any, seconds: float) -> Path:
        """Store a product that took `seconds` to make; an existing one of the same key stays. Raises `StoreFull`."""
        folder = self.folder(spec)
        draft = self.root / "drafts" / f"{spec.key}-{secrets.token_hex(4)}"
        try:
            with raise_if_disk_full(self.root):
                draft.mkdir(parents=True)
                product.save(draft)
                summary = to_json_value(product.summary())
                files = list_files(draft)
                sizes = {path.relative_to(draft).as_posix(): path.stat().st_size for path in files}
                write_json(draft / "spec.json", to_json(spec))
                note = {
                    "key": spec.key,
                    "kind": spec.kind,
                    "title": spec.title,
                    "made": datetime.now(UTC).isoformat(timespec="seconds"),
                    "seconds": round(seconds, 3),
                    "bytes": sum(sizes.values()),
                    "device": str(summary.get("device") or ""),
                    "versions": library_versions(),
                    "summary": summary,
                    "files": sizes,
                    "digests": digest_files(draft, [*files, draft / "spec.json"]),
                }
                write_sealed_json(draft / "made.json", note)
                sync_folder(draft)
                folder.parent.mkdir(exist_ok=True)
                with contextlib.suppress(FileExistsError):  # another process stored it first
                    rename_folder(draft, folder)
        finally:
            shutil.rmtree(draft, ignore_errors=True)
        shutil.rmtree(self.root / "scratch" / spec.key, ignore_errors=True)
        return folder

    def scratch(self, spec: Spec) -> Path:
        """The checkpoint folder of a spec; it outlives interruptions until the product is stored."""
        folder = self.root / "scratch" / check_key(spec.key)
        with raise_if_disk_full(self.root):
            folder.mkdir(parents=True, exist_ok=True)
        return folder

    def entries(self) -> list[Entry]:
        """All runs, newest first."""
        return sorted(map(self._entry, self._folders()), key=lambda entry: (entry.made, entry.key), reverse=True)

    def latest(self, kind: str) -> Entry | None:
        """The newest run of a kind."""
        return next((entry for entry in self.entries() if entry.kind == kind), None)

    def find(self, prefix: str) -> Entry:
        """The only entry whose key starts with `prefix`. Raises `BadInput` if there is none or more than one."""
        if not re.fullmatch(r"[0-9a-f]{1,16}", prefix):
            raise BadInput(f"a key is 16 digits of 0-9 and a-f, or the first of them; got {prefix!r:.80}")
        folders = [folder for folder in self._folders() if folder.name.startswith(prefix)]
        if len(folders) != 1:
            names = ", ".join(f"{folder.parent.name} {folder.name}" for folder in folders[:5]) or "none"
            raise BadInput(f"{prefix} begins the key of {len(folders)} runs ({names}); give more or other digits")
        return self._entry(folders[0])

    def delete(self, key: str) -> None:
        """Remove a run and the checkpoints of its spec. Raises `BadInput` if the store lacks it."""
        trash = self.root / "trash" / f"{key}-{secrets.token_hex(4)}"
        folder = self.folder(key)
        trash.parent.mkdir(exist_ok=True)
        with contextlib.suppress(FileNotFoundError):  # another process deleted it first
            rename_folder(folder, trash)  # atomic for readers; then the files
        shutil.rmtree(trash, ignore_errors=True)
        self.remove(key)

    def remove(self, key: str) -> None:
        """Remove the checkpoints of the spec with this key."""
        shutil.rmtree(self.root / "scratch" / check_key(key), ignore_errors=True)

    def export(self, key: str, folder: Path | str) -> Path:
        """Copy a run's files into `folder`, which must be new or empty. Raises `BadInput`, also if one was changed."""
        source = self.folder(key)
        self.check(source)
        with self.export_folder(folder) as target:
            shutil.copytree(source, target, dirs_exist_ok=True)
        return target

    @contextlib.contextmanager
    def export_folder(self, folder: Path | str) -> Iterator[Path]:
        """A new or empty folder outside the cache; emptied again if writing fails. Raises `BadInput`."""
        target = Path(folder).resolve()
        if target.is_relative_to(self.root):
            raise BadInput(f"{folder} is inside the cache; export to a folder outside it")
        if target.exists() and (not target.is_dir() or any(target.iterdir())):
            raise BadInput(f"{folder} exists and is not empty; name a new folder")
        there = target.is_dir()
        try:
            with raise_if_disk_full(target, "free some or name another folder; nothing is left there"):
                target.mkdir(parents=True, exist_ok=True)
                yield target
        except BaseException as error:  # leave no half of a product
            for inner in (*target.glob("*"), *([] if there else [target])):
                shutil.rmtree(inner) if inner.is_dir() else inner.unlink()
            if isinstance(error, OSError):
                raise BadInput(f"{folder} cannot be written: {error.strerror or error}; name another folder") from None
            raise

    def sweep(self, days: float = 30.0) -> None:
        """Remove leftovers of crashes: drafts older than an hour, trash, and scratch untouched for `days`."""
        for name, age in (("drafts", 3600.0), ("trash", 0.0), ("scratch", days * 86400.0)):
            for folder in (self.root / name).glob("*"):
                with contextlib.suppress(OSError):  # another process removes it
                    touched = max(path.stat().st_mtime for path in (folder, *folder.rglob("*")))
                    if time.time() - touched > age:
                        shutil.rmtree(folder, ignore_errors=True)

    def _folders(self) -> Iterator[Path]:
        for folder in self.root.glob("*/*"):
            ours = folder.parent.name not in RESERVED_FOLDERS and re.fullmatch(r"[0-9a-f]{16}", folder.name)
            if ours and folder.is_dir() and not folder.is_symlink():
                yield folder

    def _note(self, folder: Path) -> dict[str, Any]:
        try:
            note = read_sealed_json(_read(folder / "made.json", folder.name))
            if not isinstance(note.get("files"), dict):
                raise ValueError("it lists no files")
        except BadInput:
            raise
        except (ValueError, RecursionError) as error:
            raise _damaged(folder.name, f"made.json cannot be used: {error}") from None
        kind, key = note.get("kind", folder.parent.name), note.get("key", folder.name)
        if (kind, key) != (folder.parent.name, folder.name):
            raise _damaged(folder.name, f"its files are those of another run, {kind!s:.40} {key!s:.40}")
        return note

    def _entry(self, folder: Path) -> Entry:
        head: dict[str, Any] = {"kind": folder.parent.name, "key": folder.name, "folder": folder}
        nothing: dict[str, Any] = {"title": folder.parent.name, "made": "", "seconds": 0.0, "bytes": 0}
        try:
            note = self._note(folder)
        except DamagedRun as error:
            return Entry(**head, **nothing, damaged=str(error))
        return Entry(**head, **{name: note.get(name, other) for name, other in nothing.items()},
                     device=note.get("device", ""), summary=note.get("summary", {}),
                     digests=note.get("digests", {}))  # fmt: skip


def check_key(key: str) -> str:
    """The key, if it is valid: no path is built from anything else. Raises `BadInput`."""
    if not isinstance(key, str) or not re.fullmatch(r"[0-9a-f]{16}", key):
        raise BadInput(f"a key is 16 digits of 0-9 and a-f; got {key!r:.80}")
    return key


def _damaged(key: str, what: str) -> DamagedRun:
    return DamagedRun(
        f"the run {key} is damaged: {what}; restore it from a copy, or delete it (`python -m core delete {key}`) and "
        "make it again"
    )


def _read(path: Path, key: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        raise _damaged(key, f"{path.name} is missing or cannot be read") from None
