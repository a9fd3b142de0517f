"""The candidates of a form: what is preselected, and what cannot be meant."""

import pytest

from core.engine.store import Store
from core.experiments import Concat, FineTune, Load, Select, import_files, split_table
from core.models.backbones import Untrained
from core.results.fit import PARTS
from core.selection import Uniform
from pages.forms.tables import find_own_tables
from tests.pages import filled_store
from tests.pages.conftest import find_box, find_button, page_text, without_exception


@pytest.fixture
def without_pool(copied) -> FineTune:
    """A saved model of a table that was split into training, validation and test set alone, as an uploaded one is."""
    store = Store(copied)
    tables = filled_store.make_tables(store)
    spec = FineTune(
        *split_table(filled_store.TABLE, by="random", seed=0, train=120, valid=60, test=None),
        backbone=Untrained("molsway-tiny"),
        epochs=2,
    )
    store.put(spec, filled_store.make_fit({name: tables[name] for name in PARTS}, store.root / "by-hand"), 1.0)
    return spec


@pytest.mark.parametrize("cache", ["done"], indirect=True)
def test_nothing_is_preselected_where_no_pool_was_set_aside(open_page, without_pool):
    at = open_page("influence", fit=without_pool.key)
    box = find_box(at, "Candidate compounds (pool)")
    assert box.value is None and box.placeholder == "Choose candidates"
    assert "none are set aside" in page_text(at) and find_button(at, "Score the candidates").disabled


@pytest.mark.parametrize("cache", ["done"], indirect=True)
def test_the_own_table_of_a_model_is_marked_and_refused(open_page, without_pool):
    at = open_page("influence", fit=without_pool.key)
    own = [option for option in find_box(at, "Candidate compounds (pool)").options if "own table" in option]
    assert len(own) == 1 and own[0].startswith("solubility")
    box = find_box(at, "Candidate compounds (pool)")
    without_exception(box.select_index(box.options.index(own[0])).run())
    assert "no candidates" in at.error[0].value and find_button(at, "Score the candidates").disabled
    other = next(option for option in box.options if option.startswith("hydration"))
    box = find_box(at, "Candidate compounds (pool)")
    without_exception(box.select_index(box.options.index(other)).run())
    assert not at.error and not find_button(at, "Score the candidates").disabled


@pytest.mark.parametrize("cache", ["done"], indirect=True)
def test_a_pool_set_aside_is_preselected(open_page, cache):
    at = open_page("influence", fit=filled_store.FIT.key)
    assert find_box(at, "Candidate compounds (pool)").value == "aside"
    assert not find_button(at, "Score the candidates").disabled


@pytest.mark.parametrize("page", ["sample", "compare"])
@pytest.mark.parametrize("cache", ["done"], indirect=True)
def test_other_forms_ask_too(open_page, without_pool, page):
    at = open_page(page, fit=without_pool.key)
    assert find_box(at, "Candidate compounds (pool)").value is None


def test_tables_that_a_training_set_comes_from_are_its_own(cache):
    table, other = Load("bundled:solubility"), Load("bundled:hydration")
    train, valid, test = split_table(table)
    selected = Select(other, Uniform(count=5))
    keys = find_own_tables(FineTune(Concat((train, selected)), valid, test))
    assert {import_files(one, cache).key for one in (table, train, valid, test, selected)} <= keys
    assert other.key not in keys, "a selection leaves candidates"
