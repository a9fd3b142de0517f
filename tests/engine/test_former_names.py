"""Specs and runs of earlier versions: read by current names, listed, or refused with a message."""

import json
from pathlib import Path
from typing import Annotated, Any, ClassVar

import pytest
from pydantic import Field

from core.engine import former_names
from core.engine.former_names import FORMER_FIELDS, FORMER_KINDS, list_renames
from core.engine.product import NO_HEADLINE
from core.engine.spec import BadInput, Family, Spec, read_spec, settings, to_json
from core.engine.store import Store
from tests.earlier_runs import forget_digests
from tests.engine.test_store import Words


@settings
class Mild:
    """A member."""

    kind: ClassVar[str] = "mild"
    strength: int = Field(default=1, description="of it")


STRENGTHS = Family("strength", Mild)


@settings
class Draft(Spec[Words]):
    """A product by its words."""

    kind: ClassVar[str] = "test-draft"
    page: ClassVar[str] = "data"
    words: str = Field(description="what it says")
    how: Annotated[Any, STRENGTHS] = Field(default=Mild(), description="how")
    before: Spec[Words] | None = Field(default=None, description="what it is from")


FORMER = {"kind": "test-sketch", "revision": 1, "text": "a", "how": {"kind": "weak", "power": 3}, "before": None}


@pytest.fixture(autouse=True)
def names(monkeypatch: pytest.MonkeyPatch) -> None:
    for old, new in (("test-sketch", "test-draft"), ("weak", "mild")):
        monkeypatch.setitem(FORMER_KINDS, old, new)
    for old, new in (("text", "words"), ("power", "strength")):
        monkeypatch.setitem(FORMER_FIELDS, old, new)


def test_former_names_are_read_as_current_names() -> None:
    spec = read_spec(FORMER)
    assert spec == Draft("a", how=Mild(3)) and read_spec(to_json(spec)) == spec
    assert read_spec(FORMER | {"before": FORMER}).before == spec
    assert list_renames(FORMER | {"before": FORMER}, to_json(read_spec(FORMER | {"before": FORMER}))) == [
        "'test-sketch' is called 'test-draft' now",
        "'text' is called 'words' now",
        "'weak' is called 'mild' now",
        "'power' is called 'strength' now",
    ]


def test_current_names_take_precedence() -> None:
    with pytest.raises(BadInput, match=r"test-draft\.text: is not a field of this spec; it is called 'words' now"):
        read_spec({"kind": "test-draft", "words": "a", "text": "b"})
    assert former_names.current_kind("test-draft", Spec.kinds) == "test-draft"
    assert former_names.current_kind("test-nothing", Spec.kinds) == "test-nothing"
    assert former_names.current_kind("test-sketch", ()) == "test-sketch"  # the new one is unknown too


def test_run_of_an_earlier_version_is_listed_and_refused_with_the_new_names(tmp_path: Path) -> None:
    store, spec = Store(tmp_path), Draft("a", how=Mild(3))
    folder = store.put(spec, Words("a"), 1.0)
    (tmp_path / "test-sketch").mkdir()
    old = folder.rename(tmp_path / "test-sketch" / ("ab" * 8))
    (old / "spec.json").write_text(json.dumps(FORMER))
    forget_digests(old, kind=old.parent.name, key=old.name)
    (entry,) = store.entries()
    assert (entry.kind, entry.title, entry.damaged) == ("test-sketch", spec.title, "")
    assert entry.spec_class is Draft and entry.spec == spec
    with pytest.raises(BadInput) as refused:
        store.product(entry)
    assert str(refused.value) == (
        "an earlier version of Molsway made this run, and 'test-sketch' is called 'test-draft' now, 'text' is called "
        "'words' now, 'weak' is called 'mild' now, and more; run it again"
    )
    assert old.is_dir() and not store.has(spec)


def test_run_of_an_unknown_kind_has_no_headline(tmp_path: Path) -> None:
    store = Store(tmp_path)
    folder = store.put(Draft("a"), Words("a"), 1.0)
    (tmp_path / "test-unheard").mkdir()
    old = folder.rename(tmp_path / "test-unheard" / ("ab" * 8))
    forget_digests(old, kind=old.parent.name, key=old.name)
    (entry,) = store.entries()
    assert entry.spec_class is None and entry.headline == NO_HEADLINE


def test_former_and_current_names_are_disjoint() -> None:
    from core import experiments  # noqa: F401

    present = {old: new for old, new in FORMER_KINDS.items() if new in Spec.kinds}
    assert not present.keys() & Spec.kinds.keys()
    assert len(set(FORMER_KINDS.values())) == len(FORMER_KINDS)
