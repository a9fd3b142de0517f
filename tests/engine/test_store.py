"""The store: complete products or none, made once, readable later."""

import dataclasses
import errno
import json
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

from core.engine.files import StoreFull
from core.engine.make import make
from core.engine.report import SILENT_REPORT, Cancelled, Report
from core.engine.spec import BadInput, Spec, settings
from core.engine.store import DamagedRun, Store
from tests.earlier_runs import forget_digests


@dataclasses.dataclass
class Words:
    text: str

    def save(self, folder: Path) -> None:
        (folder / "deeper").mkdir()
        (folder / "deeper" / "words.json").write_text(json.dumps(self.text))

    @classmethod
    def load(cls, folder: Path) -> "Words":
        return cls(json.loads((folder / "deeper" / "words.json").read_text()))

    def summary(self) -> dict:
        return {"length": np.int64(len(self.text)), "rmse": float("nan"), "device": "cpu"}


made_words: list[str] = []  # what was made, in order


@settings
class Say(Spec[Words]):
    """A word."""

    kind: ClassVar[str] = "stored-say"
    word: str = "a"

    def make(self, report):
        made_words.append(self.word)
        for step in range(4):
            report((step + 1) / 4, f"saying {self.word}", step=step)
        return Words(self.word)


@settings
class Together(Spec[Words]):
    """Words in a row."""

    kind: ClassVar[str] = "stored-together"
    effort: ClassVar[float] = 3.0
    first: Spec[Words]
    rest: tuple[Spec[Words], ...] = ()
    nested: tuple[tuple[Spec[Words], ...], ...] = ()

    def make(self, report, first, rest=(), nested=()):
        report(0.5, "joining")
        row = (first, *rest, *(word for inner in nested for word in inner))
        made_words.append("+".join(word.text for word in row))
        return Words(" ".join(word.text for word in row))


@pytest.fixture
def store(tmp_path):
    made_words.clear()
    return Store(tmp_path / "cache")


def test_product_is_made_once_and_round_trips(store):
    spec = Say("hello")
    assert not store.has(spec)
    assert make(spec, store, SILENT_REPORT) == Words("hello")
    assert make(spec, store, SILENT_REPORT) == Words("hello")
    assert made_words == ["hello"]
    assert not (store.root / "scratch" / spec.key).exists()
    assert list((store.root / "drafts").iterdir()) == []


def test_parts_come_first_and_shared_parts_are_made_once(store):
    inner = Together(Say("a"), (Say("b"), Say("c")))
    spec = Together(inner, (Say("b"), inner), ((Say("c"), Say("d")),))
    assert make(spec, store, SILENT_REPORT).text == "a b c b a b c c d"
    assert made_words == ["a", "b", "c", "a+b+c", "d", "a b c+b+a b c+c+d"]


def test_fractions_rise_by_effort_of_missing_parts(store):
    reports = []
    make(Say("b"), store, SILENT_REPORT)  # no share: it is there
    spec = Together(Say("a"), (Say("b"), Say("a")))  # missing: a (1) and the whole (3)
    make(spec, store, Report(tell=lambda fraction, message, numbers: reports.append((fraction, message, numbers))))
    fractions = [fraction for fraction, _, _ in reports]
    assert fractions == sorted(fractions)
    assert fractions == [0, 1 / 16, 2 / 16, 3 / 16, 4 / 16, 1 / 4, 1 / 4 + 3 / 8]
    assert reports[1][2] == {"kind": "stored-say", "title": "stored-say", "key": Say("a").key, "step": 0}


def test_make_gets_scratch_and_files(store):
    calls = []

    @settings
    class Look(Spec[Words]):
        """Looks."""

        kind: ClassVar[str] = "stored-look"

        def make(self, report):
            calls.append((report.scratch, report.files, report.scratch.is_dir()))
            return Words("looked")

    make(Look(), store, SILENT_REPORT)
    assert calls == [(store.root / "scratch" / Look().key, store.root / "files", True)]


def test_cancelling_keeps_finished_parts_and_scratch(store):
    spec = Together(Say("a"))
    with pytest.raises(Cancelled):
        make(spec, store, Report(cancelled=lambda: store.has(Say("a"))))
    assert store.has(Say("a")) and not store.has(spec)
    assert (store.root / "scratch" / spec.key).is_dir()


def test_record_of_a_run(store):
    spec = Say("hello")
    folder = store.put(spec, Words("hello"), 1.5)
    assert folder == store.folder(spec) == store.folder(spec.key) == store.root / "stored-say" / spec.key
    note = json.loads((folder / "made.json").read_text())
    assert note["key"] == spec.key and note["seconds"] == 1.5 and note["device"] == "cpu" and note["bytes"] == 7
    assert note["summary"] == {"length": 5, "rmse": None, "device": "cpu"}
    assert {"python", "torch", "pandas"} <= set(note["versions"])
    assert note["made"].endswith("+00:00")
    (entry,) = store.entries()
    assert (entry.kind, entry.key, entry.title, entry.bytes) == ("stored-say", spec.key, "stored-say", 7)
    assert entry.spec == spec and entry.spec.key == entry.key and entry.summary["length"] == 5


def test_first_stored_product_stays(store):
    specs, barrier = [Say("same")] * 8, threading.Barrier(8)

    def put(number):
        barrier.wait()
        store.put(specs[number], Words(f"by {number}"), 0.0)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(put, range(8)))
    product = store.get(specs[0])
    store.put(specs[0], Words("late"), 0.0)
    assert store.get(specs[0]) == product
    assert list((store.root / "drafts").iterdir()) == []


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        RuntimeError("I/O error: No space left on device (os error 28)"),
    ],
)
def test_full_disk_leaves_no_partial_product(store, monkeypatch, error):
    def save(self, folder):
        (folder / "half").write_text("half")
        raise error

    spec = Say("big")
    monkeypatch.setattr(Words, "save", save)
    with pytest.raises(
        StoreFull, match=r"the disk of .*cache is full: [\d,]+ MB free; .*--cache; nothing was lost"
    ) as refusal:
        make(spec, store, SILENT_REPORT)
    assert "\n" not in str(refusal.value) and isinstance(refusal.value, BadInput)
    assert not store.has(spec) and store.entries() == []
    assert list((store.root / "drafts").iterdir()) == []
    assert (store.root / "scratch" / spec.key).is_dir()  # nothing was lost


def test_failed_save_leaves_no_draft(store, monkeypatch):
    monkeypatch.setattr(Words, "save", lambda self, folder: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        store.put(Say("a"), Words("a"), 0.0)
    assert list((store.root / "drafts").iterdir()) == []
    assert not store.has(Say("a"))


@pytest.mark.parametrize(
    ("name", "harm"),
    [
        ("deeper/words.json", None),  # missing
        ("deeper/words.json", ""),  # cut short
        ("deeper/words.json", "hello??"),  # as long as it was
        ("made.json", None),
        ("made.json", "[]"),
    ],
)
def test_damaged_run_is_named_with_a_remedy(store, name, harm):
    spec = Say("hello")
    path = store.put(spec, Words("hello"), 0.0) / name
    path.unlink() if harm is None else path.write_text(harm)
    with pytest.raises(DamagedRun, match=f"{spec.key} is damaged: .*delete {spec.key}.* make it again"):
        make(spec, store, SILENT_REPORT)
    assert len(store.entries()) == 1
    assert bool(store.entries()[0].damaged) == (name == "made.json")
    store.delete(spec.key)
    assert make(spec, store, SILENT_REPORT) == Words("hello")


def test_drafts_and_foreign_folders_are_not_entries(store):
    for name in ("drafts/0123456789abcdef", "scratch/0123456789abcdef", "trash/0123456789abcdef", "fit/not-a-key"):
        (store.root / name).mkdir(parents=True)
    (store.root / "fit" / ("0" * 16)).symlink_to(store.root / "scratch")
    assert store.entries() == []


def test_entries_are_newest_first(store, monkeypatch):
    for number, word in enumerate("abc"):
        folder = store.put(Say(word), Words(word), 0.0)
        forget_digests(folder, made=f"2026-01-0{number + 1}T00:00:00+00:00")
    assert [entry.spec.word for entry in store.entries()] == ["c", "b", "a"]
    assert store.latest("stored-say").spec.word == "c"
    assert store.latest("nothing") is None


def test_find_by_key_prefix(store):
    keys = [store.put(Say(str(n)), Words("w"), 0.0).name for n in range(17)]  # 17 keys: two begin alike
    assert store.find(keys[3]).key == keys[3]
    twice = next(digit for digit in "0123456789abcdef" if sum(key.startswith(digit) for key in keys) > 1)
    with pytest.raises(BadInput, match="give more or other digits"):
        store.find(twice)
    with pytest.raises(BadInput, match="of 0 runs"):
        store.find("0123456789abcdef")


@pytest.mark.parametrize("key", ["", "../..", "0123456789ABCDEF", "0123456789abcdef/..", "0123456789abcdef\n", None])
def test_only_keys_become_paths(store, key, tmp_path):
    (store.root / "fit" / "0123456789abcdef").mkdir(parents=True)
    for call in (store.folder, store.delete, store.remove, lambda key: store.export(key, tmp_path / "out")):
        with pytest.raises(BadInput, match="a key is 16 digits"):
            call(key)
    assert (store.root / "fit" / "0123456789abcdef").is_dir() and not (tmp_path / "out").exists()


def test_reserved_folder_names_are_not_kinds(store):
    @settings
    class Bad(Spec[Words]):
        """Bad."""

        kind: ClassVar[str] = "scratch"

    try:
        with pytest.raises(BadInput, match="cannot be a spec kind"):
            store.has(Bad())
    finally:
        del Spec.kinds["scratch"]


def test_delete(store):
    spec = Say("a")
    store.put(spec, Words("a"), 0.0)
    store.delete(spec.key)
    assert not store.has(spec) and list((store.root / "trash").iterdir()) == []
    with pytest.raises(BadInput, match="no run with key"):
        store.delete(spec.key)


def test_export(store, tmp_path):
    spec = Say("a")
    store.put(spec, Words("a"), 0.0)
    out = store.export(spec.key, tmp_path / "out")
    assert Words.load(out) == Words("a") and (out / "spec.json").exists()
    with pytest.raises(BadInput, match="not empty"):
        store.export(spec.key, out)
    with pytest.raises(BadInput, match="inside the cache"):
        store.export(spec.key, store.root / "stored-say" / "x")


def test_sweep_removes_only_leftovers_of_crashes(store):
    store.put(Say("a"), Words("a"), 0.0)
    for name in ("drafts/old", "drafts/new", "trash/new", "scratch/old", "scratch/new"):
        (store.root / name).mkdir(parents=True)
        if name.endswith("old"):
            os.utime(store.root / name, (time.time() - 40 * 86400,) * 2)
    store.sweep()
    left = sorted(
        str(path.relative_to(store.root)) for path in store.root.glob("*/*") if path.parent.name != "stored-say"
    )
    assert left == ["drafts/new", "scratch/new"]
    assert store.has(Say("a"))


def test_unusable_root_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(BadInput, match="choose another --cache"):
        Store(tmp_path / "file")
