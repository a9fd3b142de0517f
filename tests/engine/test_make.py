"""Tolerant specs get the reasons of failed parts; other errors end the job."""

import functools
from typing import ClassVar

import pytest

from core.engine.files import StoreFull
from core.engine.make import make
from core.engine.process_pool import make_parallel
from core.engine.report import SILENT_REPORT, Cancelled, Report
from core.engine.spec import BadInput, FailedPart, Spec, settings
from core.engine.store import Store
from tests.engine.test_store import Say, Together, Words


@settings
class Broken(Spec[Words]):
    """A word that fails."""

    kind: ClassVar[str] = "maker-broken"
    fault: str = "bad"

    def make(self, report):
        if self.fault == "bad":
            raise BadInput("nothing to say; say something")
        if self.fault == "full":
            raise StoreFull("no room")
        if self.fault == "cancel":
            raise Cancelled
        if self.fault == "memory":
            raise MemoryError
        raise ZeroDivisionError("by nought")


@settings
class Some(Spec[Words]):
    """All words that could be made."""

    kind: ClassVar[str] = "maker-some"
    tolerant: ClassVar[bool] = True
    words: tuple[Spec[Words], ...] = ()

    def make(self, report, words):
        return Words(" ".join(f"({w.reason})" if isinstance(w, FailedPart) else w.text for w in words))


@settings
class Wary(Spec[Words]):
    """Several words, if the first has two letters or more."""

    kind: ClassVar[str] = "maker-wary"
    words: Spec[Words] = Together(Say("a"))

    def cheap_parts(self):
        return {"first": self.words.first}

    def validate_early(self, first):
        if len(first.text) < 2:
            raise BadInput("too short a word; say a longer one")

    def make(self, report, words):
        return words


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "cache")


def test_tolerant_spec_gets_reasons_for_failed_parts(store):
    text = make(Some((Say("a"), Broken(), Broken("odd"), Broken("memory"), Say("b"))), store, SILENT_REPORT).text
    assert text.startswith("a (nothing to say; say something) (ZeroDivisionError: by nought) (out of memory")
    assert "lower `batch_size`" in text and text.endswith(" b")
    assert store.has(Say("b")) and not store.has(Broken())


def test_failed_part_of_a_part_fails_that_part(store):
    assert (
        make(Some((Together(Say("a"), (Broken(),)), Say("c"))), store, SILENT_REPORT).text
        == "(nothing to say; say something) c"
    )


def test_failed_shared_part_is_tried_once(store, monkeypatch):
    tries = []
    fail = Broken.make
    monkeypatch.setattr(Broken, "make", lambda self, report: tries.append(self.fault) or fail(self, report))
    wholes = tuple(Together(Broken("odd"), (Say(word),)) for word in "xyz")
    text = make(Some(wholes), store, SILENT_REPORT).text
    assert text == " ".join(["(ZeroDivisionError: by nought)"] * 3) and tries == ["odd"]


@pytest.mark.parametrize(("fault", "error"), [("full", StoreFull), ("cancel", Cancelled)])
def test_full_disk_and_cancelling_end_a_tolerant_spec(store, fault, error):
    with pytest.raises(error):
        make(Some((Broken(fault), Say("z"))), store, SILENT_REPORT)
    assert not store.has(Say("z"))


def test_strict_spec_fails_with_its_parts(store):
    with pytest.raises(BadInput, match="nothing to say"):
        make(Together(Say("a"), (Broken(),)), store, Report())


def test_validate_early_runs_before_costly_parts(store):
    spec = Together(Say("far"), (Wary(Together(Say("a"), (Say("costly"),))),))
    for way in (make, functools.partial(make_parallel, workers=2, kinds=__name__)):
        with pytest.raises(BadInput, match="too short a word"):
            way(spec, store, SILENT_REPORT)
    assert store.has(Say("a")) and not store.has(Say("far")) and not store.has(Say("costly"))
    fractions = []
    spec = Together(Say("far"), (Wary(Together(Say("long"), (Say("costly"),))),))
    product = make(spec, store, Report(lambda fraction, *_: fractions.append(fraction)))
    assert product.text == "far long costly" and fractions == sorted(fractions)


def test_parts_of_a_tolerant_spec_are_not_validated_early(store):
    text = make(Some((Wary(Together(Say("a"), (Say("b"),))), Say("c"))), store, SILENT_REPORT).text
    assert text == "a b c", "nobody asked"
