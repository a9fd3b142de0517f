"""The page Predict: the form, and the result."""

from pathlib import Path

import pytest

from core.engine.job_queue import JobQueue
from core.engine.make import make
from core.engine.report import Report
from core.engine.spec import read_spec_json
from core.engine.store import Store
from core.experiments import Load, Molecules, Predict, import_files
from core.results.predictions import Predictions
from pages.results.predictions import describe_prediction
from tests.pages import filled_store
from tests.pages.conftest import find_button, find_door, page_text, without_exception


def asked(root: Path) -> Predict:
    """The one prediction in the queue; other tests may have submitted other jobs."""
    (job,) = (job for job in JobQueue(root).jobs() if job.kind == Predict.kind)
    return read_spec_json(job.spec)


def test_without_a_model_the_page_links_to_train(open_page, cache):
    at = open_page("predict")
    assert "There is no trained model yet" in at.info[0].value
    assert next(one for one in at.button if one.label == "Predict").disabled


@pytest.mark.parametrize("cache", ["done"], indirect=True)
def test_pasted_molecules_are_submitted(open_page, copied):
    at = open_page("predict", fit=filled_store.BASELINE.key)
    assert next(one for one in at.button if one.label == "Predict").disabled
    without_exception(at.text_area(key="pasted").set_value("CCO ethanol\n\nc1ccccc1\n").run())
    without_exception(find_button(at, "Predict").click().run())
    spec = asked(copied)
    assert (spec.kind, spec.fit, spec.level) == ("predict", filled_store.BASELINE, 0.9)
    assert isinstance(spec.table, Molecules) and spec.table.source == "file:pasted.smi"
    predictions = spec.table.make(Report(files=Store(copied).files))
    assert list(predictions.smiles) == ["CCO", "c1ccccc1"] and list(predictions.columns["id"]) == ["ethanol", ""]


@pytest.mark.parametrize("cache", ["done"], indirect=True)
def test_a_table_is_submitted_with_its_label_column(open_page, copied):
    at = open_page("predict", fit=filled_store.FIT.key)
    at.get("button_group")[0].set_value("A table").run()
    table = next(one for one in at.selectbox if one.label == "Table")
    hydration = next(one for one in table.options if one.startswith("hydration"))
    without_exception(table.set_value(hydration).run())
    at.select_slider(key="predict-level").set_value(0.8).run()
    without_exception(find_button(at, "Predict").click().run())
    spec = asked(copied)
    assert (spec.table.source, spec.labels, spec.level) == ("bundled:hydration", (), 0.8)


@pytest.mark.parametrize("cache", ["done"], indirect=True)
def test_predictions_are_shown_with_coverage_and_errors(open_page, cache):
    at = open_page("predict", run=filled_store.PREDICT.key)
    text = page_text(at)
    assert "Molecules 60" in text and "90 % interval (median)" in text and "RMSE on this table" in text
    assert "the intervals contain **" in text and "90 % is the nominal coverage" in text
    assert "On this table (60 measured values) they contain" in text and "90 % interval: **" in text
    assert [one.label for one in at.get("download_button")][:3] == [
        "Predictions (CSV)",
        "Summary (JSON)",
        "Structures (SDF)",
    ]
    headline = Predictions.headline(Store(cache).get(filled_store.PREDICT).summary())
    assert headline.startswith("60 molecules, ± ") and headline.endswith(" log10(mol/L)")
    picked = at.session_state[f"picked-{filled_store.PREDICT.key}"]
    table = Store(cache).get(filled_store.PREDICT).table
    assert picked == int(table["prediction"].argmax())
    for order in ("Lowest", "Widest interval", "Least similar"):
        next(one for one in at.get("button_group") if one.label == "Order").set_value(order)
        without_exception(at.run())


@pytest.mark.parametrize("cache", ["done"], indirect=True)
def test_unreadable_lines_are_listed_and_names_are_shown(open_page, copied, tmp_path):
    (tmp_path / "pasted.smi").write_text("CCO ethanol\n*nonsense*\n")
    store = Store(copied)
    spec = import_files(Predict(filled_store.BASELINE, Load(f"file:{tmp_path / 'pasted.smi'}")), store.files)
    make(spec, store, Report())
    at = open_page("predict", run=spec.key)
    text = page_text(at)
    assert "1 row has no valid molecule and left out" in text and "Row 2, \\*nonsense\\*" in text
    assert "**ethanol**" in text and "<b>ethanol</b>" in text
    assert "RMSE, test set" in text


@pytest.mark.parametrize("cache", ["done"], indirect=True)
def test_a_model_opens_the_prediction_form(open_page, cache):
    at = open_page("train", run=filled_store.BASELINE.key)
    assert find_door(at, "Predict with it") == ("predict", {"fit": filled_store.BASELINE.key})


@pytest.mark.parametrize("cache", ["done"], indirect=True)
def test_a_molecule_beyond_the_training_set_says_so(open_page, copied, tmp_path):
    (tmp_path / "long.smi").write_text(f"{'C' * 60} wax\n")
    store = Store(copied)
    spec = import_files(Predict(filled_store.BASELINE, Load(f"file:{tmp_path / 'long.smi'}")), store.files)
    product = make(spec, store, Report())
    assert product.table["remote"][0] and "60 heavy atoms, " in product.table["outside"][0]
    text = page_text(open_page("predict", run=spec.key))
    assert "Outside the domain 1" in text and "or beyond the range of the training set (1)" in text
    assert "Beyond the training set: 60 heavy atoms" in text and "No error was measured there" in text
    row = product.table.iloc[0].drop("outside").to_dict()  # as stored before
    assert "No close training neighbour" in describe_prediction(
        row | {"remote": True}, product.record, "regression", ""
    )
