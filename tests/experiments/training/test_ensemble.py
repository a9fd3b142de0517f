"""An ensemble: mean and spread of its members, its record, and bad input."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from core.engine.make import make
from core.engine.report import Report
from core.engine.spec import BadInput, read_spec_json, to_json
from core.engine.store import Store
from core.experiments import Baseline, Ensemble, FineTune, Influence, Load, import_files, split_table
from core.experiments.inference.apply import predict_file
from core.experiments.training.ensemble import spread_diagnostics
from core.models.backbones import Untrained
from core.models.baselines import RandomForest, SupportVectors
from core.models.ensemble import EnsembleModel, load_model
from core.results.fit import PARTS

FOREST = RandomForest(trees=3)


@pytest.fixture
def store(cache: Path) -> Store:
    return Store(cache)


@pytest.fixture
def ready(table: Path, store: Store) -> Ensemble:
    rows = split_table(Load(f"file:{table}"), seed=0, train=None, valid=12, test=12)
    return import_files(Ensemble(Baseline(*rows, baseline=FOREST), seeds=(4, 0, 7)), store.files)


def test_ensemble_predicts_mean_and_spread_of_members(ready: Ensemble, store: Store) -> None:
    fit = make(ready, store, Report())
    members = [store.get(dataclasses.replace(ready.fit, seed=seed)) for seed in (4, 0, 7)]
    for part in PARTS:
        each = np.stack([member.matrices(part)[1] for member in members])
        labels, predictions, _ = fit.matrices(part)
        np.testing.assert_allclose(predictions, each.mean(0))
        spread = fit.predictions.loc[fit.predictions["part"] == part, "spread"]
        np.testing.assert_allclose(spread, each.std(0, ddof=1)[:, 0])
        assert fit.metrics[part]["size"]["rmse"] == pytest.approx(np.sqrt(np.mean((predictions - labels) ** 2)))
    record = fit.record
    assert [(one["seed"], one["fit"]) for one in record["members"]] == [
        (seed, dataclasses.replace(ready.fit, seed=seed).key) for seed in (4, 0, 7)
    ]
    assert [one["metrics"] for one in record["members"]] == [member.metrics for member in members]
    assert record["digests"] == members[0].record["digests"] and record["rows"] == members[0].record["rows"]
    assert record["seconds"] == pytest.approx(sum(member.record["seconds"] for member in members))
    assert record["apart"]["size"]["spread"] == pytest.approx(spread.mean()) and record["warnings"] == []
    assert ready.title == f"mean of 3: random forest baseline on {ready.fit.train.title}, seeds 4, 0, 7"


def test_record_has_the_entries_of_a_member(ready: Ensemble, store: Store) -> None:
    fit, member = make(ready, store, Report()), store.get(dataclasses.replace(ready.fit, seed=4))
    assert set(member.record) <= set(fit.record) and list(member.curve) == list(fit.curve) and len(fit.curve) == 0
    assert list(fit.predictions) == [*member.predictions, "spread"]
    json.dumps(fit.summary(), allow_nan=False)


def test_ensemble_of_networks_is_stored_and_loaded(ready: Ensemble, store: Store, tmp_path: Path) -> None:
    rows = {name: getattr(ready.fit, name) for name in PARTS}
    network = FineTune(**rows, backbone=Untrained("molsway-tiny"), epochs=1)
    fit = make(Ensemble(network, seeds=(0, 1)), store, Report())
    _, predictions, smiles = fit.matrices("test")
    model = load_model(fit.folder / "predictor")
    assert isinstance(model, EnsembleModel) and len(model.members) == 2
    np.testing.assert_allclose(model.predict(list(smiles)), predictions, atol=1e-5)
    assert model.check(["C[Si](C)(C)C", "CC"]) == model.members[1].check(["C[Si](C)(C)C", "CC"])
    one = store.get(dataclasses.replace(network, seed=1)).record
    assert fit.record["parameters"] == 2 * one["parameters"] and fit.record["steps"] == 2 * one["steps"]
    assert fit.record["peak_memory"] >= one["peak_memory"] and fit.record["backbone"] == one["backbone"]


def test_predict_file_writes_mean_and_spread(ready: Ensemble, store: Store, table: Path, tmp_path: Path) -> None:
    fit, out = make(ready, store, Report()), tmp_path / "out.csv"
    answer = predict_file(store, ready, table, out, Report())
    output = pd.read_csv(out).set_index("smiles")
    assert {"size_predicted", "size_spread"} <= set(answer["columns"])
    rows = fit.predictions.set_index("smiles")
    for name, column in (("prediction", "size_predicted"), ("spread", "size_spread")):
        np.testing.assert_allclose(output.loc[rows.index, column], rows[name], atol=1e-9)


def test_identical_members_give_a_warning(ready: Ensemble, store: Store) -> None:
    fit = make(
        dataclasses.replace(ready, fit=dataclasses.replace(ready.fit, baseline=SupportVectors())), store, Report()
    )
    assert any("all members are the same" in warning for warning in fit.record["warnings"])
    assert fit.record["apart"]["size"] == {
        "spread": 0.0,
        "spearman": None,
        "undefined": {"spearman": "all 12 spreads are equal"},
    }


def test_spread_diagnostics() -> None:
    spread = np.array([0.1, 0.2, 0.3, 0.4, 9.0])
    assert spread_diagnostics(spread, np.array([-1.0, 2, -3, 4, np.nan])) == {
        "spread": 2.0,
        "spearman": pytest.approx(1),
    }
    for errors, reason in (
        (np.full(5, np.nan), "0 molecules with a label are too few"),
        (np.ones(5), "all 5 errors are equal"),
    ):
        assert spread_diagnostics(spread, errors)["spearman"] is None
        assert spread_diagnostics(spread, errors)["undefined"] == {"spearman": reason}
    assert spread_diagnostics(np.ones(5), np.arange(5.0))["undefined"] == {"spearman": "all 5 spreads are equal"}


def test_json_round_trip(ready: Ensemble) -> None:
    assert (
        read_spec_json(json.dumps(to_json(ready))).key == ready.key != dataclasses.replace(ready, seeds=(0, 4, 7)).key
    )


def test_bad_seeds_and_models_are_refused(ready: Ensemble) -> None:
    for seeds in ((), (1,), (1, 1, 2)):
        with pytest.raises(BadInput, match="`seeds` wants at least two seeds, all different"):
            Ensemble(ready.fit, seeds=seeds)
    with pytest.raises(BadInput, match=r"baseline.seed: input should be greater than or equal to 0; got -1"):
        Ensemble(ready.fit, seeds=(0, -1))
    with pytest.raises(BadInput, match="a spec with a seed, such as a fine-tuning; got 'ensemble'"):
        Ensemble(ready)
    with pytest.raises(BadInput, match="an ensemble has no gradient"):
        Influence(ready, ready.fit.valid, ready.fit.valid)


def test_damaged_folder_is_refused(ready: Ensemble, store: Store) -> None:
    fit = make(ready, store, Report())
    (fit.folder / "predictor" / "committee.json").write_text("{")
    with pytest.raises(BadInput, match=r"no readable ensemble .* delete the run and make it again"):
        load_model(fit.folder / "predictor")
