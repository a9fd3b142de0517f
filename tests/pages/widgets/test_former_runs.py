"""Runs of earlier versions: listed with their titles; the page gives the reason why they are not shown."""

from pathlib import Path

import pytest

from core.engine.former_names import FORMER_KINDS
from core.engine.store import Store
from pages.widgets.run_picker import page_of
from tests.earlier_runs import forget_digests
from tests.pages import filled_store
from tests.pages.conftest import page_text

OTHER = "ab" * 8
EARLIER = "An earlier version of Molsway made this run"


def move_fit(cache: Path, kind: str) -> None:
    """Move the fit to the folder of another version: another key and kind."""
    folder = Store(cache).folder(filled_store.FIT)
    (cache / kind).mkdir(exist_ok=True)
    forget_digests(folder.rename(cache / kind / OTHER), kind=kind, key=OTHER)


@pytest.mark.parametrize("kind", ["finetune", "test-tuning"])
def test_a_run_with_another_key_is_listed_and_not_read(open_page, copied, monkeypatch, kind):
    monkeypatch.setitem(FORMER_KINDS, "test-tuning", "finetune")
    move_fit(copied, kind)
    at = open_page("train", run=OTHER)
    assert EARLIER in page_text(at) and "run it again" in page_text(at)
    assert any(OTHER[:6] in option for box in at.selectbox for option in box.options)
    assert page_of(kind).endswith("train.py")


def test_a_run_of_an_unknown_kind_is_listed(open_page, copied):
    move_fit(copied, "test-unheard")
    table = open_page("runs").dataframe[0].value
    assert "–" in set(table["key figure"]) and page_of("test-unheard").endswith("runs.py")
