"""Parallel parts: same products and failures as in one process, and no process left."""

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
class OneWord(Spec[Words]):
    """A word and the number of its process."""

    kind: ClassVar[str] = "pool-word"
    word: str = ""

    def make(self, report):
        if self.word == "bad":
            raise BadInput("a bad word; say another")
        if self.word == "dead":
            os._exit(3)
        return Words(f"{self.word} of {os.getpid()}")


@settings
class Slow(Spec[Words]):
    """Runs until it is stopped."""

    kind: ClassVar[str] = "pool-slow"
    effort: ClassVar[float] = 5.0
    word: str = ""

    def make(self, report):
        while True:
            report(0.5, "speaking slowly")
            time.sleep(0.1)


@settings
class Strict(Spec[Words]):
    """All words; fails with any of them."""

    kind: ClassVar[str] = "pool-strict"
    words: tuple[Spec[Words], ...] = ()

    def make(self, report, words):
        return Words("; ".join(f"({word.reason})" if isinstance(word, FailedPart) else word.text for word in words))


@settings
class Lenient(Strict):
    """All words that could be made."""

    kind: ClassVar[str] = "pool-lenient"
    tolerant: ClassVar[bool] = True


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), str(ROOT / "tests")]))
    return Store(tmp_path / "cache")


def make_text(spec: Spec, store: Store, report: Report = SILENT_REPORT, workers: int = 2) -> str:
    return make_parallel(spec, store, report, workers, kinds="tests.engine.test_process_pool").text


def split_words(text: str) -> list[str]:
    return [part.split(" of ")[0] for part in text.split("; ")]


def pool_processes() -> list[psutil.Process]:
    """Processes of a pool that still run."""
    return [
        process
        for process in psutil.Process().children(recursive=True)
        if "core.engine.process_pool" in " ".join(process.cmdline())
    ]


def test_parts_are_made_by_other_processes_and_the_root_by_this_one(store: Store) -> None:
    reports: list[tuple[float, str]] = []
    report = Report(lambda fraction, message, numbers: reports.append((fraction, message)))
    text = make_text(Strict(tuple(OneWord(word) for word in "abcd")), store, report)
    process_ids = {part.split(" of ")[1] for part in text.split("; ")}
    assert split_words(text) == list("abcd") and str(os.getpid()) not in process_ids and 1 <= len(process_ids) <= 2
    assert reports and all(0 <= fraction <= 1 for fraction, _ in reports) and not pool_processes()


def test_one_worker_and_stored_parts_need_no_process(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process_pool.subprocess, "Popen", None)
    assert str(os.getpid()) in make_text(Strict((OneWord("a"), OneWord("b"), OneWord("c"))), store, workers=1)
    assert split_words(make_text(Lenient((OneWord("a"), OneWord("b"), OneWord("c"))), store)) == ["a", "b", "c"]


def test_failed_part_of_a_tolerant_spec_costs_nothing_else(store: Store) -> None:
    words = (OneWord("a"), OneWord("bad"), OneWord("dead"), OneWord("b"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "_exit", lambda code: (_ for _ in ()).throw(ZeroDivisionError("here it is not fatal")))
        text = make_text(Lenient(words), store, workers=3)
    assert text.startswith("a of") and "(a bad word; say another)" in text and "here it is not fatal" in text
    assert not pool_processes()


def test_failed_part_ends_a_strict_spec(store: Store) -> None:
    with pytest.raises(BadInput, match="a bad word"):
        make_text(Strict((OneWord("bad"), Slow("a"), Slow("b"))), store, workers=3)
    assert not pool_processes() and not store.has(Slow("a"))


def test_cancelling_ends_the_processes(store: Store) -> None:
    messages = []
    report = Report(lambda fraction, message, numbers: messages.append(message), lambda: bool(messages))
    with pytest.raises(Cancelled):
        make_text(Strict((Slow("a"), Slow("b"))), store, report)
    assert "at once; pool-slow: " in messages[0] and not pool_processes()


def test_critical_path_and_fatal_parts(store: Store) -> None:
    inner, bad = Strict((Slow("a"),)), OneWord("bad")
    tree = PartTree.of(Strict((Lenient((bad, OneWord("c"))), inner, OneWord("b"))), store)
    assert list(tree.missing)[-1] == tree.root and tree.parts[inner.key] == {Slow("a").key}
    lengths = tree.critical_path()
    assert lengths[Slow("a").key] == 7 and lengths[bad.key] == 3 and lengths[tree.root] == 1
    assert not tree.is_fatal(bad.key) and tree.is_fatal(Slow("a").key)
    make(OneWord("b"), store, SILENT_REPORT)
    assert OneWord("b").key not in PartTree.of(Strict((inner, OneWord("b"))), store).missing


def test_study_on_the_command_line(
    tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    from core.experiments import Baseline, Load, Study, split_table
    from core.models.baselines import RandomForest, SupportVectors

    rows = split_table(Load("bundled:hydration"), seed=0, train=60, valid=20, test=None)
    study = Study(
        tuple(Baseline(*rows, baseline=baseline) for baseline in (SupportVectors(), RandomForest())), seeds=(0, 1)
    )
    (tmp_path / "study.json").write_text(study.text)
    monkeypatch.setattr(Baseline, "make", None)  # no training is made by this process
    command = ["run", str(tmp_path / "study.json"), "--cache", str(tmp_path / "cache"), "--json"]
    assert main([*command, "--workers", "2"]) == 0
    run = json.loads(capsys.readouterr().out)
    assert [arm["name"] for arm in run["summary"]["arms"]] == ["support vectors", "random forest"]
    assert main([*command, "--workers", "0"]) == 2 and "1 or more; got '0'" in capsys.readouterr().err
    assert main([*command, "--workers", "2", "--queue"]) == 2 and "leave --workers out" in capsys.readouterr().err
