"""The page Sample: a selection is made, compared with the training set, and trained with."""

import dataclasses

import pytest

from core.engine.make import make
from core.engine.report import SILENT_REPORT
from core.engine.store import Store
from core.experiments import Concat, FineTune, Projection, Select
from core.selection import MaxMin, Top, Uniform
from tests.earlier_runs import forget_digests
from tests.pages import filled_store
from tests.pages.conftest import find_button, page_text, without_exception


@pytest.mark.parametrize("cache", ["done"], indirect=True)
def test_a_selection_is_made_at_once_and_shown(open_page, copied):
    at = open_page("sample")
    assert "No selection yet" in page_text(at)
    at = without_exception(find_button(at, "Select").click().run())
    assert any("Uniform wants 100 molecules of a pool of 60" in error.value for error in at.error)
    without_exception(next(box for box in at.number_input if box.label == "Count").set_value(8).run())
    at = without_exception(find_button(at, "Select").click().run())
    saved = next(entry for entry in Store(copied).entries() if entry.kind == "select")
    assert saved.spec.sampler == Uniform() or saved.spec.sampler.kind == "uniform"
    text = page_text(at)
    assert "Pool covered" in text and "New scaffolds" in text and "Selected compounds" in text


@pytest.mark.parametrize("cache", ["done"], indirect=True)
def test_selections_are_compared_and_mapped(open_page, copied, asked):
    store = Store(copied)
    pool, fit = filled_store.POOL, filled_store.SCORES.fit
    top, far = Select(pool, Top(count=8), filled_store.SCORES), Select(pool, MaxMin(count=8))
    for spec in (fit.train, far, top):
        make(spec, store, SILENT_REPORT)
    at = open_page("sample", run=top.key)
    text = page_text(at)
    assert "Compare with 1 other selections from this pool" in text and "8 of 60" in text
    without_exception(find_button(at, "Compute the map").click().run())
    assert asked[0] == Projection(pool, fit.train)
    make(asked[0], store, SILENT_REPORT)
    at = open_page("sample", run=top.key)
    assert "The two components explain" in page_text(at) and "60 of 60 (pool)" in page_text(at)
    find_button(at, "Train with these").click().run()
    again = next(spec for spec in asked if isinstance(spec, FineTune))
    assert again == dataclasses.replace(fit, train=Concat((fit.train, top)))


@pytest.mark.parametrize("cache", ["done"], indirect=True)
def test_selections_of_an_earlier_version_are_not_compared(open_page, copied):
    store = Store(copied)
    near, far = Select(filled_store.POOL, Top(count=8), filled_store.SCORES), Select(filled_store.POOL, MaxMin(count=8))
    for spec in (near.scores.fit.train, far, near):
        make(spec, store, SILENT_REPORT)
    path = store.folder(far) / "spec.json"
    path.write_text(path.read_text().replace(f'"revision": {Select.revision}', '"revision": 0', 1))
    forget_digests(path.parent)
    at = without_exception(open_page("sample", run=near.key))
    assert not at.warning and "other selections" not in page_text(at) and "Selected compounds" in page_text(at)
    assert "revision 0" in " ".join(box.value for box in without_exception(open_page("sample", run=far.key)).warning)
