"""Parts of a tree made at once by several processes: the same products, the same failures, and no process left."""

import json
import os
import time
from pathlib import Path
from typing import ClassVar

import psutil
import pytest

from core.cli.parser import main
from core.engine import process_pool
from core.engine.make import make
from core.engine.process_pool import PartTree, make_parallel
from core.engine.report import SILENT_REPORT, Cancelled, Report
from core.engine.spec import BadInput, FailedPart, Spec, settings
from core.engine.store import Store
from tests.engine.test_store import Words

ROOT = Path(__file__).parents[2]


@settings
class Told(Spec[Words]):
    """A word, and the process that said it."""

    kind: ClassVar[str] = "crew-told"
    word: str = ""

    def make(self, report):
        if self.word == "bad":
            raise BadInput("a bad word; say another")
        if self.word == "dead":
            os._exit(3)
        return Words(f"{self.word} of {os.getpid()}")


@settings
class Slow(Spec[Words]):
    """A word that takes until it is stopped."""

    kind: ClassVar[str] = "crew-slow"
    effort: ClassVar[float] = 5.0
    word: str = ""

    def make(self, report):
        while True:
            report(0.5, "speaking slowly")
            time.sleep(0.1)


@settings
class Strict(Spec[Words]):
    """All words; one that fails fails the whole."""

    kind: ClassVar[str] = "crew-strict"
    words: tuple[Spec[Words], ...] = ()

    def make(self, report, words):
        return Words("; ".join(f"({word.reason})" if isinstance(word, FailedPart) else word.text for word in words))


@settings
class Lenient(Strict):
    """All words that there are."""

    kind: ClassVar[str] = "crew-lenient"
    tolerant: ClassVar[bool] = True


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), str(ROOT / "tests")]))
    return Store(tmp_path / "cache")


def helped(spec: Spec, store: Store, report: Report = SILENT_REPORT, workers: int = 2) -> str:
    return make_parallel(spec, store, report, workers, kinds="tests.engine.test_process_pool").text


def said(text: str) -> list[str]:
    return [part.split(" of ")[0] for part in text.split("; ")]


def left() -> list[psutil.Process]:
    """Processes of a crew that are still there."""
    return [
        one
        for one in psutil.Process().children(recursive=True)
        if "core.engine.process_pool" in " ".join(one.cmdline())
    ]


def test_parts_are_made_by_other_processes_and_the_whole_by_this_one(store: Store) -> None:
    told: list[tuple[float, str]] = []
    report = Report(lambda fraction, message, numbers: told.append((fraction, message)))
    text = helped(Strict(tuple(Told(word) for word in "abcd")), store, report)
    speakers = {part.split(" of ")[1] for part in text.split("; ")}
    assert said(text) == list("abcd") and str(os.getpid()) not in speakers and 1 <= len(speakers) <= 2
    assert told and all(0 <= fraction <= 1 for fraction, _ in told) and not left()


def test_one_worker_and_what_is_kept_need_no_process(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process_pool.subprocess, "Popen", None)
    assert str(os.getpid()) in helped(Strict((Told("a"), Told("b"), Told("c"))), store, workers=1)
    assert said(helped(Lenient((Told("a"), Told("b"), Told("c"))), store)) == ["a", "b", "c"]


def test_a_part_that_fails_costs_a_tolerant_whole_nothing_else(store: Store) -> None:
    words = (Told("a"), Told("bad"), Told("dead"), Told("b"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "_exit", lambda code: (_ for _ in ()).throw(ZeroDivisionError("here it is not fatal")))
        text = helped(Lenient(words), store, workers=3)
    assert text.startswith("a of") and "(a bad word; say another)" in text and "here it is not fatal" in text
    assert not left()


def test_a_part_that_fails_ends_a_strict_whole(store: Store) -> None:
    with pytest.raises(BadInput, match="a bad word"):
        helped(Strict((Told("bad"), Slow("a"), Slow("b"))), store, workers=3)
    assert not left() and not store.has(Slow("a"))


def test_cancelling_ends_the_processes(store: Store) -> None:
    asked = []
    report = Report(lambda fraction, message, numbers: asked.append(message), lambda: bool(asked))
    with pytest.raises(Cancelled):
        helped(Strict((Slow("a"), Slow("b"))), store, report)
    assert "at once; crew-slow: " in asked[0] and not left()


def test_the_longest_way_goes_first_and_tolerance_is_seen(store: Store) -> None:
    inner, bad = Strict((Slow("a"),)), Told("bad")
    tree = PartTree.of(Strict((Lenient((bad, Told("c"))), inner, Told("b"))), store)
    assert list(tree.missing)[-1] == tree.root and tree.parts[inner.key] == {Slow("a").key}
    way = tree.critical_path()
    assert way[Slow("a").key] == 7 and way[bad.key] == 3 and way[tree.root] == 1
    assert not tree.is_fatal(bad.key) and tree.is_fatal(Slow("a").key)
    make(Told("b"), store, SILENT_REPORT)
    assert Told("b").key not in PartTree.of(Strict((inner, Told("b"))), store).missing


def test_a_study_from_the_shell(tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    from core.experiments import Baseline, Load, Study, split_table
    from core.models.baselines import RandomForest, SupportVectors

    rows = split_table(Load("bundled:hydration"), seed=0, train=60, valid=20, test=None)
    study = Study(tuple(Baseline(*rows, baseline=one) for one in (SupportVectors(), RandomForest())), seeds=(0, 1))
    (tmp_path / "study.json").write_text(study.text)
    monkeypatch.setattr(Baseline, "make", None)  # no training is made by this process
    given = ["run", str(tmp_path / "study.json"), "--cache", str(tmp_path / "cache"), "--json"]
    assert main([*given, "--workers", "2"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [arm["name"] for arm in found["summary"]["arms"]] == ["support vectors", "random forest"]
    assert main([*given, "--workers", "0"]) == 2 and "1 or more; got '0'" in capsys.readouterr().err
    assert main([*given, "--workers", "2", "--queue"]) == 2 and "leave --workers out" in capsys.readouterr().err
