"""Content digests: one changed byte in any file of a run is noticed, wherever it is."""

import json
import os
from pathlib import Path

import pytest

from core.engine import digests
from core.engine.make import make
from core.engine.report import SILENT_REPORT
from core.engine.store import DamagedRun, Store
from tests.earlier_runs import forget_digests
from tests.engine.test_store import Say, Words


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "cache")


def flip(path: Path, position: int, bit: int = 1) -> None:
    data = bytearray(path.read_bytes())
    data[position] ^= bit
    path.write_bytes(data)


@pytest.mark.parametrize("name", ["made.json", "spec.json", "deeper/words.json"])
def test_every_byte_of_every_file_counts(store: Store, name: str) -> None:
    spec = Say("hello")
    path = store.put(spec, Words("hello"), 0.0) / name
    whole = path.read_bytes()
    for position in range(len(whole)):
        flip(path, position, 1 << position % 7)
        with pytest.raises(DamagedRun, match=f"run {spec.key} is damaged: .*{path.name}.* restore it from a copy, or"):
            store.get(spec)
        path.write_bytes(whole)
    assert store.get(spec) == Words("hello")


def test_a_damaged_note_and_spec_are_noticed_where_they_are_listed(store: Store) -> None:
    folder = store.put(Say("a"), Words("a"), 0.0)
    note = folder / "made.json"
    note.write_text(note.read_text().replace('"seconds": 0.0', '"seconds": 9.0'))
    (entry,) = store.entries()
    assert "content is not what was saved" in entry.damaged and entry.integrity == "damaged"
    other = store.put(Say("b"), Words("b"), 0.0)
    (other / "spec.json").write_text((other / "spec.json").read_text().replace('"b"', '"c"'))
    with pytest.raises(DamagedRun, match=r"spec\.json was changed"):
        store.find(other.name).spec  # noqa: B018
    with pytest.raises(DamagedRun, match=r"spec\.json was changed"):
        store.product(store.find(other.name))


def test_files_of_another_run_are_refused(store: Store) -> None:
    one, two = (store.put(Say(word), Words(word), 0.0) for word in "ab")
    (two / "deeper" / "words.json").write_bytes((one / "deeper" / "words.json").read_bytes())
    with pytest.raises(DamagedRun, match=r"deeper/words\.json was changed"):
        store.get(Say("b"))
    store.delete(two.name)
    one.rename(two)  # a whole run under the key of another
    with pytest.raises(DamagedRun, match=f"files are those of another run, stored-say {one.name}"):
        store.get(Say("b"))
    assert "another run" in store.entries()[0].damaged


def test_digests_cannot_be_taken_away(store: Store) -> None:
    for name in ("digest", "digests"):
        folder = store.put(Say(name), Words("a"), 0.0)
        note = json.loads((folder / "made.json").read_text())
        del note[name]
        (folder / "made.json").write_text(json.dumps(note))
        with pytest.raises(DamagedRun):
            store.get(Say(name))


def test_runs_saved_without_digests_open_and_say_so(store: Store) -> None:
    folder = store.put(Say("a"), Words("a"), 0.0)
    assert store.find(folder.name).integrity == "checked"
    forget_digests(folder)
    assert store.find(folder.name).integrity == "unchecked"
    assert store.get(Say("a")) == Words("a") == make(Say("a"), store, SILENT_REPORT)


def test_a_damaged_run_is_not_exported(store: Store, tmp_path: Path) -> None:
    folder = store.put(Say("hello"), Words("hello"), 0.0)
    flip(folder / "deeper" / "words.json", 2)
    with pytest.raises(DamagedRun):
        store.export(folder.name, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_settled_file_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "draft").mkdir()
    path, reads = tmp_path / "draft" / "weights", []
    path.write_bytes(b"abc")
    monkeypatch.setattr(digests, "SETTLED_NS", -(10**12))  # as if it had been written long ago
    real = digests.hashlib.file_digest
    monkeypatch.setattr(digests.hashlib, "file_digest", lambda *given: reads.append(1) or real(*given))
    first = digests.digest_file(path)
    moved = path.parent.rename(tmp_path / "done") / "weights"  # as a draft is
    assert digests.digest_file(moved) == first and len(reads) == 1
    os.utime(moved, ns=(1, 1))
    assert digests.digest_file(moved) == first and len(reads) == 2
    moved.write_bytes(b"abd")
    assert digests.digest_file(moved) != first


def test_a_file_written_just_now_is_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "weights"
    path.write_bytes(b"abc")
    monkeypatch.setattr(digests, "SETTLED_NS", 10**18)
    first, times = digests.digest_file(path), path.stat()
    path.write_bytes(b"abd")
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))  # the clock of a file system may be coarse
    assert digests.digest_file(path) != first
