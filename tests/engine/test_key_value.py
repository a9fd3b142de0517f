"""The key-value database: bounded, shared, and never unpickled."""

import os
import pickle
import sqlite3
import stat

import pytest

from core.engine import key_value


class Malice:
    """Unpickled, it makes a folder."""

    def __init__(self, folder):
        self.folder = folder

    def __reduce__(self):
        return os.mkdir, (str(self.folder),)


def edit(folder, statement, *values):
    with sqlite3.connect(folder / "cache.db") as base:
        assert base.execute(statement, values).rowcount == 1
    base.close()


@pytest.mark.parametrize("value", [{"a": [1, 2.5, None, "é"]}, "text", 3, [], b"\x00\x80bytes", b"", "x" * 100_000])
def test_value_round_trip(tmp_path, value):
    rows = key_value.open_database(tmp_path / "line")
    rows.set(["job", "a"], value)
    assert rows.get(["job", "a"]) == value
    assert list(rows) == [["job", "a"]]
    assert [path.name for path in tmp_path.rglob("*.val")] == []  # all of it lies in the database


def test_values_are_shared_and_the_folder_is_private(tmp_path):
    first, second = key_value.open_database(tmp_path / "line"), key_value.open_database(tmp_path / "line")
    first.set("a", 1)
    assert second.get("a") == 1
    assert stat.S_IMODE((tmp_path / "line").stat().st_mode) == 0o700


def test_row_marked_as_pickle_is_refused_and_not_run(tmp_path):
    rows = key_value.open_database(tmp_path / "line")
    rows.set("a", {"fine": True})
    edit(tmp_path / "line", "UPDATE Cache SET mode = 4, value = ?", pickle.dumps(Malice(tmp_path / "pwned")))
    with pytest.raises(key_value.UnsafeValue, match="not written by Molsway"):
        rows.get("a")
    assert not (tmp_path / "pwned").exists()


def test_pickle_file_is_refused_and_not_deleted(tmp_path):
    rows = key_value.open_database(tmp_path / "line")
    rows.set("a", 1)
    (tmp_path / "evil.val").write_bytes(pickle.dumps(Malice(tmp_path / "pwned")))
    edit(tmp_path / "line", "UPDATE Cache SET mode = 4, filename = '../evil.val', value = NULL")
    with pytest.raises(key_value.UnsafeValue):
        rows.get("a")
    rows.set("a", 2)  # diskcache would remove the file that the old row names
    assert (tmp_path / "evil.val").exists()
    assert not (tmp_path / "pwned").exists()


def test_key_marked_as_pickle_is_refused_and_not_run(tmp_path):
    rows = key_value.open_database(tmp_path / "line")
    rows.set("a", 1)
    edit(tmp_path / "line", "UPDATE Cache SET raw = 0, key = ?", pickle.dumps(Malice(tmp_path / "pwned")))
    with pytest.raises(key_value.UnsafeValue):
        list(rows)
    assert not (tmp_path / "pwned").exists()


def test_garbage_is_refused_with_a_message(tmp_path):
    rows = key_value.open_database(tmp_path / "line")
    rows.set("a", 1)
    edit(tmp_path / "line", "UPDATE Cache SET value = ?", b"garbage")
    with pytest.raises(key_value.UnsafeValue, match="delete that folder"):
        rows.get("a")


@pytest.mark.parametrize("thing", [object(), {1, 2}, {"a": b"bytes inside"}])
def test_values_that_are_not_json_are_refused(tmp_path, thing):
    rows = key_value.open_database(tmp_path / "line")
    with pytest.raises(key_value.UnsafeValue, match="JSON or bytes"):
        rows.set("a", thing)
    with pytest.raises(key_value.UnsafeValue, match="JSON or bytes"):
        rows.set(thing, 1)
    assert len(rows) == 0


def test_derived_cache_is_bounded(tmp_path):
    cache = key_value.DerivedCache(tmp_path / "derived", most=1_000_000)
    for number in range(60):
        cache.set(["svg", number], os.urandom(50_000))  # 3 MB
    assert len(cache.get(["svg", 59])) == 50_000
    assert cache.get(["svg", 0]) is None
    assert sum(path.stat().st_size for path in (tmp_path / "derived").glob("cache.db")) < 2_000_000
    assert key_value.open_derived_cache(tmp_path).get(["svg", 59]) is not None
