"""Small values on disk that several processes share: SQLite by way of diskcache, without its pickles."""

import json
import os
import zlib
from pathlib import Path
from typing import Any

import diskcache

_INLINE = 2**31 - 1  # every value is in its database row: no file names to trust
_RAW = diskcache.core.MODE_RAW


class UnsafeValue(RuntimeError):
    """A value or key that is neither JSON nor bytes, or was not written by Molsway."""


class SafeDisk(diskcache.JSONDisk):  # type: ignore[misc]  # diskcache has no types
    """Keys are JSON; values are JSON or bytes, compressed. Nothing is ever pickled or unpickled.

    diskcache unpickles every row that is marked as a pickle (CVE-2025-69872), with JSONDisk too. Here such a row is
    refused: otherwise, whoever can write the file could run code.
    """

    def __init__(self, directory: str, **settings: Any) -> None:
        super().__init__(directory, **{**settings, "min_file_size": _INLINE})

    def put(self, key: Any) -> Any:
        return super().put(_checked(key, key))

    def get(self, key: Any, raw: Any) -> Any:
        if raw != 1 or not isinstance(key, bytes):
            raise UnsafeValue(self._refusal("a key"))
        try:
            return super().get(key, raw)
        except (ValueError, zlib.error):
            raise UnsafeValue(self._refusal("a key")) from None

    def store(self, value: Any, read: bool, key: Any = diskcache.UNKNOWN) -> Any:
        if read:
            raise UnsafeValue("an open file cannot be stored; give bytes or JSON")
        if isinstance(value, bytes):
            head, body = b"b", value
        else:
            head, body = b"j", json.dumps(_checked(value, key)).encode()
        return 0, _RAW, None, head + zlib.compress(body, self.compress_level)

    def fetch(self, mode: Any, filename: Any, value: Any, read: bool) -> Any:
        if mode != _RAW or filename is not None or read or not isinstance(value, bytes):
            raise UnsafeValue(self._refusal("a value"))
        try:
            body = zlib.decompress(value[1:])
            return body if value[:1] == b"b" else json.loads(body)
        except (ValueError, zlib.error):
            raise UnsafeValue(self._refusal("a value")) from None

    def remove(self, file_path: str) -> None:
        """Do nothing: values are never files, so a file named in a row is not ours to delete."""

    def _refusal(self, what: str) -> str:
        return (
            f"{what} in {self._directory} was not written by Molsway and was not read; delete that folder to start over"
        )


def _checked(value: Any, key: Any) -> Any:
    """The value, if JSON can hold it (tuples come back as lists)."""
    try:
        json.dumps(value)
    except (TypeError, ValueError) as error:
        raise UnsafeValue(f"{key!r:.80} wants JSON or bytes, got {type(value).__name__}: {error}") from None
    return value


def open_database(folder: Path | str, **settings: Any) -> diskcache.Cache:
    """The database in `folder`, readable by its owner only (0700). Nothing is evicted unless `settings` say so."""
    Path(folder).mkdir(parents=True, mode=0o700, exist_ok=True)
    os.chmod(folder, 0o700)
    return diskcache.Cache(str(folder), disk=SafeDisk, **{"eviction_policy": "none", "cull_limit": 0, **settings})


class DerivedCache:
    """Results that can be recomputed, such as drawings of molecules and fingerprints; the oldest are evicted."""

    def __init__(self, folder: Path | str, most: int = 64 * 2**20) -> None:
        """At most about `most` bytes on disk."""
        self._cache = open_database(folder, eviction_policy="least-recently-stored", cull_limit=16, size_limit=most)

    def get(self, key: Any) -> Any:
        """The JSON value or bytes under this key (any JSON), or None."""
        return self._cache.get(key)

    def set(self, key: Any, value: Any) -> None:
        self._cache.set(key, value)

    def close(self) -> None:
        self._cache.close()


def open_derived_cache(root: Path | str) -> DerivedCache:
    """The cache of derived results of the store at `root`."""
    return DerivedCache(Path(root).resolve() / "derived")
