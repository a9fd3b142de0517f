"""Every page of app.py in every state, and with a product of every kind of spec."""

import json
import shutil
from pathlib import Path

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from app import PAGES
from core import experiments
from core.engine.spec import Spec, to_json
from core.engine.store import Store
from pages.widgets import run_page, run_picker
from pages.widgets.run_picker import locate_run
from tests.pages.conftest import ROOT, STATES, page_text
from tests.pages.every_kind import fill_rest

TITLES = {page.name: page.title for pages in PAGES.values() for page in pages}
KINDS = sorted(kind for kind, cls in Spec.kinds.items() if cls.__module__.startswith(experiments.__name__))
WITH_JOBS = (
    "train",
    "influence",
    "methods",
    "compare",
    "predict",
)  # the pages of the kinds in `filled_store.queue_jobs`


def test_every_view_is_a_page():
    assert {path.stem for path in (ROOT / "pages" / "views").glob("[a-z]*.py")} == set(TITLES)


@pytest.mark.parametrize("cache", STATES, indirect=True)
@pytest.mark.parametrize("page", TITLES)
def test_a_page_opens_in_every_state(open_page, cache, page, request):
    state = request.node.callspec.params["cache"]
    at = open_page(page)
    text = page_text(at)
    assert at.title[0].value == ("Molsway" if page == "start" else TITLES[page])
    if page in WITH_JOBS:
        expected = {
            "empty": " yet",
            "running": "40%",
            "failed": "became nan",
            "cancelled": "It was cancelled at 40%",
        }
        assert expected.get(state, "") in text.replace("\\", "")
        assert "Resume" in text or state not in ("failed", "cancelled")
    if page == "runs":
        assert ("The library is empty" in text) == (state != "done")


@pytest.fixture(scope="module")
def complete(tmp_path_factory, full, answers) -> Store:
    """The filled store, the one of the page Multitask, and a product of every other kind."""
    root = tmp_path_factory.mktemp("complete")
    for part in (full, answers[0]):
        shutil.copytree(part, root / "cache", dirs_exist_ok=True)
    store = Store(root / "cache")
    fill_rest(store, root / "scratch")
    return store


def test_the_store_has_every_kind(complete):
    missing = set(KINDS) - {entry.kind for entry in complete.entries()}
    assert not missing, f"no product of {sorted(missing)} is opened on its page: add one to tests/pages/every_kind.py"


@pytest.mark.parametrize("kind", KINDS)
def test_a_page_shows_a_real_product_of_every_kind(open_page, cache, complete, kind, monkeypatch):
    monkeypatch.setenv("MOLSWAY_CACHE", str(complete.root))
    st.cache_resource.clear()
    entry = next(entry for entry in complete.entries() if entry.kind == kind)
    page, key = locate_run(entry.key, kind)
    at = open_page(Path(page).stem, run=key)
    assert at.title[0].value == TITLES[Path(page).stem]
    assert at.query_params["run"] in (key, [key])
    assert not at.error, [error.value for error in at.error]
    assert shows(at, entry.spec), f"{page} does not show the {kind} of the address, or not to the end, its command"


@pytest.mark.parametrize("page", TITLES)
def test_a_page_shows_every_kind_that_it_offers(open_page, cache, complete, page, monkeypatch):
    """Also kinds whose main page is another one."""
    offers: set[str] = set()

    def recorded_pick(label: str, *products: type, kind: str = ""):
        offers.update({kind} if kind else {name for name, cls in Spec.kinds.items() if cls.product in products})
        return run_picker.choose_run(label, *products, kind=kind)

    monkeypatch.setattr(run_page, "choose_run", recorded_pick)
    monkeypatch.setenv("MOLSWAY_CACHE", str(complete.root))
    st.cache_resource.clear()
    open_page(page)
    offered = {entry.kind: entry.key for entry in complete.entries() if entry.kind in offers}
    for kind, key in offered.items():
        if Path(locate_run(key, kind)[0]).stem != page:
            assert open_page(page, run=key).query_params["run"] in (key, [key])


def shows(at: AppTest, spec: Spec) -> bool:
    """Whether the page has the command of this spec, with which each result ends."""
    text = json.dumps(to_json(spec), ensure_ascii=False).replace("'", "'\"'\"'")
    return any(text in code.value for code in at.code)
