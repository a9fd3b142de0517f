"""A baseline: trained on the training set alone, repeatable, without a gradient."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from core.engine import spec as specs
from core.engine.make import make
from core.engine.report import Cancelled, Report
from core.engine.spec import BadInput
from core.engine.store import Store
from core.experiments import Baseline, FineTune, Influence, Load, SelectionStudy, Split, import_files, split_table
from core.experiments.inference.apply import predict_file
from core.models.backbones import Untrained
from core.models.baseline_model import BaselineModel
from core.models.baselines import SupportVectors
from core.results.fit import PARTS, Fit


@pytest.fixture
def store(cache: Path) -> Store:
    return Store(cache)


@pytest.fixture
def ready(table: Path, store: Store) -> Baseline:
    train, valid, test = split_table(Load(f"file:{table}"), seed=0, train=None, valid=12, test=12)
    return import_files(Baseline(train, valid, test, seed=1), store.files)


def test_baseline_predicts_and_stores_its_record(ready: Baseline, store: Store) -> None:
    fit: Fit = make(ready, store, Report())
    card = fit.metrics["test"]["size"]
    assert card["r2"] > 0.8 and card["n"] == 12
    labels, predictions, smiles = fit.matrices("test")
    assert card["rmse"] == pytest.approx(float(np.sqrt(np.mean((labels - predictions) ** 2))))
    np.testing.assert_allclose(
        BaselineModel.load(fit.folder / "predictor").predict(list(smiles)), predictions, atol=1e-9
    )
    record = fit.record
    assert record["rows"] == {"train": 36, "valid": 12, "test": 12} and set(record["digests"]) == set(PARTS)
    assert record["method"] == specs.to_json(SupportVectors()) and record["features"].endswith(" descriptors")
    nothing = (
        "backbone",
        "trainable",
        "parameters",
        "steps",
        "best_epoch",
        "learning_rate",
        "precision",
        "proof",
    )
    assert all(record[name] is None for name in nothing)
    assert len(fit.curve) == 0 and record["seconds"] > 0 and record["peak_memory"] >= 0 and record["warnings"] == []


def test_record_has_the_entries_of_a_finetuning(ready: Baseline, store: Store) -> None:
    fit = make(ready, store, Report())
    tuned = FineTune(ready.train, ready.valid, ready.test, backbone=Untrained("molsway-tiny"), epochs=1)
    other = make(tuned, store, Report())
    assert set(other.record) <= set(fit.record) and set(other.curve) - {"valid_rmse"} <= set(fit.curve)
    assert fit.record["digests"] == other.record["digests"]
    pd.testing.assert_frame_equal(
        fit.predictions.drop(columns="prediction"), other.predictions.drop(columns="prediction")
    )


def test_validation_and_test_labels_are_not_used(ready: Baseline, store: Store) -> None:
    tables = {name: make(getattr(ready, name), store, Report()) for name in PARTS}
    wrong = {name: dataclasses.replace(tables[name], targets=-7.0 * tables[name].targets) for name in ("valid", "test")}
    one, other = (ready.make(Report(), **{**tables, **changes}) for changes in ({}, wrong))
    np.testing.assert_array_equal(one.predictions["prediction"], other.predictions["prediction"])
    assert other.metrics["test"]["size"]["rmse"] > 2 * one.metrics["test"]["size"]["rmse"]


def test_binary_task_gets_probabilities(store: Store, tmp_path: Path, alcohols: list) -> None:
    path = tmp_path / "acid.csv"
    path.write_text("smiles,oxygen\n" + "".join(f"{smiles},{int('O' in smiles)}\n" for smiles, _ in alcohols))
    train, valid, test = split_table(Load(f"file:{path}"), seed=0, valid=12, test=12)
    fit = make(import_files(Baseline(train, valid, test), store.files), store, Report())
    assert fit.record["kinds"] == ["binary"] and fit.metrics["test"]["oxygen"]["auroc"] > 0.9
    assert fit.predictions["prediction"].between(0, 1).all()


def test_predict_file_equals_the_stored_predictions(ready: Baseline, store: Store, tmp_path: Path) -> None:
    fit = make(ready, store, Report())
    _, predictions, smiles = fit.matrices("test")
    pd.DataFrame({"smiles": [*smiles, "no molecule"]}).to_csv(tmp_path / "more.csv", index=False)
    fractions: list[float] = []
    report = Report(tell=lambda fraction, message, numbers: fractions.append(fraction))
    answer = predict_file(store, ready, tmp_path / "more.csv", tmp_path / "out.csv", report)
    output = pd.read_csv(tmp_path / "out.csv")
    np.testing.assert_allclose(output["size_predicted"][:12], predictions[:, 0], atol=1e-9)
    assert answer["unusable"] == 1 and np.isnan(output["size_predicted"][12]) and fractions == sorted(fractions)


def test_no_pickle_is_stored(ready: Baseline, store: Store) -> None:
    fit = make(ready, store, Report())
    assert {path.suffix for path in fit.folder.rglob("*") if path.is_file()} == {".json", ".parquet", ".safetensors"}
    assert json.loads((fit.folder / "record.json").read_text()) == fit.record


def test_influence_of_a_baseline_is_refused(ready: Baseline) -> None:
    for spec in (
        lambda: Influence(fit=ready, pool=ready.test, target=ready.valid),
        lambda: SelectionStudy(fit=ready, pool=ready.test),
    ):
        with pytest.raises(BadInput, match=r"a baseline has no gradient, .* give a fine-tuning") as caught:
            spec()
        assert "\n" not in str(caught.value)


def test_json_round_trip(ready: Baseline) -> None:
    assert specs.read_spec_json(ready.text) == ready
    with pytest.raises(BadInput, match="no baseline of kind 'perceptron'; there are support-vectors"):
        dataclasses.replace(ready, baseline="perceptron")


def test_overlap_with_training_gives_a_warning(ready: Baseline, store: Store) -> None:
    assert isinstance(ready.train, Split)
    fit = make(dataclasses.replace(ready, valid=ready.train), store, Report())
    assert any(
        "36 of 36 validation molecules are also in the training part" in warning for warning in fit.record["warnings"]
    )


def test_subsampling_gives_a_warning(ready: Baseline, store: Store) -> None:
    fit = make(dataclasses.replace(ready, baseline=SupportVectors(features="fingerprints", most=20)), store, Report())
    (warning,) = fit.record["warnings"]
    assert warning == "support vectors used a random sample of 20 of 36 labels of 'size'; raise `most` to use all"


def test_baseline_can_be_cancelled(ready: Baseline, store: Store) -> None:
    for name in PARTS:
        make(getattr(ready, name), store, Report())
    looks = iter(range(100))
    with pytest.raises(Cancelled):
        make(ready, store, Report(cancelled=lambda: next(looks) == 2))
    assert not store.has(ready)
