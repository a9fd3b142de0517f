"""Models side by side."""

import dataclasses
from types import SimpleNamespace

import pytest

from core.engine.store import Store
from core.experiments import (
    Adapt,
    Concat,
    FineTune,
    Load,
)
from pages.base import text
from pages.forms import spec_form
from pages.results import side_by_side
from tests.pages import filled_store
from tests.pages.conftest import page_text, text_and_tables


def test_only_settings_that_differ_are_listed():
    table = side_by_side.settings_table(
        {"a": spec_form.flatten_settings(filled_store.FIT), "b": spec_form.flatten_settings(filled_store.OTHER)}
    )
    assert set(table.index) == {"method", "learning rate"}
    assert table.loc["method"].tolist() == ["full", "head"]
    assert table.loc["learning rate"].tolist() == ["automatic", "0.001"]


def test_settings_of_a_part_that_only_one_run_has_are_left_out():
    adapted = dataclasses.replace(filled_store.FIT, backbone=Adapt(filled_store.TABLE))
    settings = [{"kind": spec.kind} | spec_form.flatten_settings(spec) for spec in (filled_store.BASELINE, adapted)]
    table = side_by_side.settings_table(dict(zip("ab", settings, strict=True)))
    assert table.loc["kind"].tolist() == ["baseline", "finetune"] and table.loc["backbone"].tolist() == ["–", "adapt"]
    assert "baseline" in table.index and not any(name.startswith("backbone.") for name in table.index)


def test_parts_of_different_kinds_differ_in_one_row():
    one, other = Load("bundled:solubility"), Load("bundled:solubility", limit=9)
    fits = {"a": FineTune(one, other, other), "b": FineTune(Concat((one, other)), other, other)}
    table = side_by_side.settings_table({name: spec_form.flatten_settings(fit) for name, fit in fits.items()})
    assert table.loc["train"].tolist() == ["load", "concat"]
    assert not [name for name in table.index if name.startswith("train.")]


def words_to(text: str) -> list[str]:
    return text.replace("−", "-").split("(")[1].rstrip(")").split(" to ")


def test_differences_are_against_the_first(full):
    store = Store(full)
    fits = {"a": store.get(filled_store.FIT), "b": store.get(filled_store.OTHER)}
    reference, other = side_by_side.difference_column(fits, "logS", "regression")
    assert reference == "reference"
    a, b = (fit.metrics["test"]["logS"]["rmse"] for fit in fits.values())
    assert other.split(" ")[0] == text.format_signed(
        b - a, abs(float(words_to(other)[1]) - float(words_to(other)[0])) / 4
    )


@pytest.mark.parametrize("cache", ["done"], indirect=True)
def test_models_are_shown_side_by_side(open_page, cache):
    at = open_page("compare", fits=f"{filled_store.FIT.key},{filled_store.OTHER.key}")
    assert "Settings that differ" in page_text(at)
    differ, metrics = at.dataframe[0].value, at.dataframe[1].value
    assert "learning rate" in differ.index and "reference" in metrics.iloc[0].tolist()


def make_run(key: str, digest: str | None, task: str = "logS") -> SimpleNamespace:
    digests = {"digests": {"test": digest}} if digest else {}
    return SimpleNamespace(key=key, entry=SimpleNamespace(summary={"tasks": [task], **digests}))


@pytest.mark.parametrize(
    ("runs", "first"),
    [
        ([make_run("a", "1"), make_run("b", "2"), make_run("c", "1")], ["a", "c"]),
        ([make_run("a", "1"), make_run("b", "2"), make_run("c", "2"), make_run("d", "1")], ["b", "c"]),
        ([make_run("a", "1"), make_run("b", "1", "pKa")], []),
        ([make_run("a", None), make_run("b", None)], []),
        ([], []),
    ],
)
def test_it_opens_with_models_of_one_test_set_or_with_none(runs, first):
    assert side_by_side.choose_comparable(runs) == first


@pytest.mark.parametrize(
    ("value", "words"),
    [((), "–"), (("a", "b"), "a, b"), (None, "automatic"), ("", "–"), (0.001, "0.001"), (False, "False")],
)
def test_a_setting_is_written_as_people_write_it(value, words):
    assert side_by_side.format_setting(value) == words


@pytest.mark.parametrize("cache", ["done"], indirect=True)
def test_the_choice_of_models_is_the_address(open_page, cache):
    at = open_page("compare", fits=f"{filled_store.OTHER.key},{filled_store.BASELINE.key}")
    assert at.multiselect(key="beside").value == [filled_store.OTHER.key, filled_store.BASELINE.key]
    assert not at.exception and "()" not in text_and_tables(at)
    at.multiselect(key="beside").unselect(filled_store.BASELINE.key).run()
    assert at.query_params["fits"] in (filled_store.OTHER.key, [filled_store.OTHER.key])
