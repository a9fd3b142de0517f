"""A recipe that can do without a part gets the reason in its place; everything else ends the job."""

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
    """A word that cannot be said."""

    kind: ClassVar[str] = "made-broken"
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
    """Whatever words there are."""

    kind: ClassVar[str] = "made-some"
    tolerant: ClassVar[bool] = True
    words: tuple[Spec[Words], ...] = ()

    def make(self, report, words):
        return Words(" ".join(f"({w.reason})" if isinstance(w, FailedPart) else w.text for w in words))


@settings
class Wary(Spec[Words]):
    """Says what several words say together, if the first of them is a long one."""

    kind: ClassVar[str] = "made-wary"
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


def test_it_goes_on_without_the_parts_that_fail(store):
    found = make(Some((Say("a"), Broken(), Broken("odd"), Broken("memory"), Say("b"))), store, SILENT_REPORT).text
    assert found.startswith(
        "a (nothing to say; say something) (ZeroDivisionError: by nought) (the memory was not enough"
    )
    assert "lower `batch_size`" in found and found.endswith(" b")
    assert store.has(Say("b")) and not store.has(Broken())


def test_a_part_of_a_part_fails_its_whole(store):
    assert (
        make(Some((Together(Say("a"), (Broken(),)), Say("c"))), store, SILENT_REPORT).text
        == "(nothing to say; say something) c"
    )


def test_what_several_need_is_not_tried_again_when_it_has_failed(store, monkeypatch):
    tries = []
    fail = Broken.make
    monkeypatch.setattr(Broken, "make", lambda self, report: tries.append(self.fault) or fail(self, report))
    wholes = tuple(Together(Broken("odd"), (Say(word),)) for word in "xyz")
    found = make(Some(wholes), store, SILENT_REPORT).text
    assert found == " ".join(["(ZeroDivisionError: by nought)"] * 3) and tries == ["odd"]


@pytest.mark.parametrize(("fault", "error"), [("full", StoreFull), ("cancel", Cancelled)])
def test_a_full_disk_and_a_cancelled_job_end_it_all(store, fault, error):
    with pytest.raises(error):
        make(Some((Broken(fault), Say("z"))), store, SILENT_REPORT)
    assert not store.has(Say("z"))


def test_a_recipe_that_needs_its_parts_fails_with_them(store):
    with pytest.raises(BadInput, match="nothing to say"):
        make(Together(Say("a"), (Broken(),)), store, Report())


def test_what_can_be_foreseen_is_said_before_what_is_costly_is_made(store):
    spec = Together(Say("far"), (Wary(Together(Say("a"), (Say("costly"),))),))
    for way in (make, functools.partial(make_parallel, workers=2, kinds=__name__)):
        with pytest.raises(BadInput, match="too short a word"):
            way(spec, store, SILENT_REPORT)
    assert store.has(Say("a")) and not store.has(Say("far")) and not store.has(Say("costly"))
    heard = []
    spec = Together(Say("far"), (Wary(Together(Say("long"), (Say("costly"),))),))
    made = make(spec, store, Report(lambda fraction, *_: heard.append(fraction)))
    assert made.text == "far long costly" and heard == sorted(heard)


def test_what_one_can_do_without_is_not_foreseen(store):
    found = make(Some((Wary(Together(Say("a"), (Say("b"),))), Say("c"))), store, SILENT_REPORT).text
    assert found == "a b c", "nobody asked"
