"""A table of two classes on every page: class metrics, and no label units."""

import numpy as np
import pandas as pd
import pytest
import streamlit as st

from core.engine.make import make
from core.engine.report import Report
from core.engine.store import Store
from core.experiments import Baseline, FineTune, Influence, Load, Predict, Study, import_files, split_table
from core.models.backbones import Untrained
from core.models.baselines import RandomForest
from core.stats.formatting import format_interval, format_with_interval
from tests.pages import filled_store
from tests.pages.conftest import page_text, text_and_tables, without_exception


@pytest.fixture(scope="module")
def store_and_specs(tmp_path_factory):
    """A store with a fit, a baseline, scores, predictions and a study of soluble against insoluble."""
    root = tmp_path_factory.mktemp("classes")
    store = Store(root / "cache")
    table = make(filled_store.TABLE, store, Report())
    flags = pd.DataFrame({"smiles": table.smiles, "soluble": (table.targets[:, 0] > -2.5).astype(int)})
    flags.to_csv(root / "flags.csv", index=False)
    load = import_files(Load(f"file:{root / 'flags.csv'}", targets=("soluble",)), store.files)
    train, valid, test, pool = split_table(load, train=None, valid=40, test=60, pool=40)
    fit = FineTune(train, valid, test, backbone=Untrained("molsway-tiny"), steps=6, evaluations=3)
    baseline = Baseline(train, valid, test, baseline=RandomForest(features="fingerprints", trees=20))
    specs = {
        "fit": import_files(fit, store.files),
        "baseline": baseline,
        "scores": import_files(Influence(fit, pool, valid), store.files),
        "predict": Predict(baseline, pool, labels=("soluble",)),
        "study": Study((import_files(fit, store.files), baseline), names=("network", "forest"), seeds=(0, 1)),
    }
    for spec in specs.values():
        make(spec, store, Report())
    return store, specs


@pytest.fixture
def classes(cache, store_and_specs, monkeypatch):
    """That store as the cache of the pages; its specs."""
    store, specs = store_and_specs
    monkeypatch.setenv("MOLSWAY_CACHE", str(store.root))
    st.cache_resource.clear()
    st.cache_data.clear()
    return specs


def test_a_classifier_shows_roc_and_calibration(open_page, classes, store_and_specs):
    fit = store_and_specs[0].get(classes["baseline"])
    at = open_page("train", run=classes["baseline"].key)
    text = page_text(at)
    assert "Classification" in [tab.label for tab in at.tabs] and "RMSE" not in text
    assert f"95 %: {format_interval(fit.interval('soluble', 'auroc'))}; validation" in text
    labels, predictions, _ = fit.matrices("test")
    found = (predictions[labels == 1] > 0.5).mean()
    assert f"At a threshold of 0.5, {100 * found:.0f} % (" in text
    assert f"of the {int((labels == 1).sum())} positives are detected" in text
    assert "marked epoch" in page_text(open_page("train", run=classes["fit"].key))


def test_classifiers_are_compared_by_auroc(open_page, classes, store_and_specs):
    pair = [classes[name] for name in ("baseline", "fit")]
    at = open_page("compare", fits=",".join(spec.key for spec in pair))
    table = next(one.value for one in at.dataframe if "AUROC" in one.value.columns)
    first, second = map(store_and_specs[0].get, pair)
    assert table["AUROC"].iloc[0] == format_with_interval(
        first.metrics["test"]["soluble"]["auroc"], first.interval("soluble", "auroc")
    )
    assert table["Δ AUROC, 95 % interval"].iloc[0] == "reference" and "RMSE" not in table
    assert table.columns[0] == "Δ AUROC, 95 % interval"  # in sight, however wide the table is
    difference = second.metrics["test"]["soluble"]["auroc"] - first.metrics["test"]["soluble"]["auroc"]
    cell = table["Δ AUROC, 95 % interval"].iloc[1].replace("−", "-")
    assert float(cell.split()[0]) == pytest.approx(difference, abs=0.006) and " to " in cell


def test_scores_of_classes_are_in_nats_and_labels_are_whole(open_page, classes, store_and_specs):
    at = open_page("influence", run=classes["scores"].key)
    text = page_text(at)
    assert "nat (cross-entropy)" in text and "Points beyond the dotted line are on the wrong side" in text
    label = next(metric for metric in at.metric if metric.label == "Measured value")
    assert label.value in ("0", "1") and "<b>1</b>" in text and "<b>1.00</b>" not in text


def test_predictions_of_classes_are_ranges_of_a_probability(open_page, classes, store_and_specs):
    text = page_text(open_page("predict", run=classes["predict"].key))
    record = store_and_specs[0].get(classes["predict"]).record
    assert "AUROC on this table" in text and "Width of a probability range (median)" in text
    assert f"95 %: {format_interval(record['intervals']['soluble']['auroc'])}; " in text


def test_a_study_of_classes_compares_by_auroc(open_page, classes, store_and_specs):
    at = open_page("methods", run=classes["study"].key)
    text = page_text(at)
    assert "“network” has a mean test error of root Brier score " in text and "RMSE" not in text_and_tables(at)
    for metric in ("auroc", "log_loss"):
        next(one for one in at.get("button_group") if one.label == "Metric").set_value(metric)
        without_exception(at.run())
    assert np.isfinite([arm["auroc"]["mean"] for arm in store_and_specs[0].get(classes["study"]).record["arms"]]).all()
