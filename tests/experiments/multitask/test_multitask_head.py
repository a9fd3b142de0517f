"""One head of a multitask model as a fit: predictions, metrics, intervals, embeddings."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from core.data.dataset import Dataset
from core.engine.make import make
from core.engine.report import SILENT_REPORT
from core.engine.spec import BadInput
from core.engine.store import Store
from core.experiments import (
    Ensemble,
    Influence,
    Load,
    MixtureTable,
    Multitask,
    MultitaskHead,
    Predict,
    build_mixture,
    import_files,
    split_table,
)
from core.experiments.inference.embed import embed_file, predict_multitask_file
from core.models.backbones import Gnn, Untrained
from core.models.ensemble import EnsembleModel, load_model
from core.models.heads import HEADS_FILE
from core.models.single_head import SingleHeadModel

SMALL = Gnn(width=12, depth=2, walk=4, eigenvectors=2)


def multitask(backbone: object = SMALL) -> Multitask:
    solubility = split_table(Load("bundled:solubility", limit=240), seed=0)
    hydration = split_table(Load("bundled:hydration", limit=240), seed=0)
    atoms = () if isinstance(backbone, Untrained) else (MixtureTable(*hydration, name="atoms", atoms="logP"),)
    members = build_mixture(
        (MixtureTable(*solubility, name="solubility"), MixtureTable(*hydration, name="hydration"), *atoms)
    )
    return Multitask(members, backbone=backbone, epochs=2, batch_size=64)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return Store(tmp_path_factory.mktemp("multitask-head"))


@pytest.mark.parametrize("backbone", [SMALL, Untrained("molsway-tiny")], ids=["gnn", "molsway-tiny"])
def test_head_predicts_as_the_multitask_model(store: Store, backbone: object) -> None:
    multi = import_files(multitask(backbone), store.files)
    model = make(multi, store, SILENT_REPORT)
    for member, card in zip(multi.members[:2], model.record["members"], strict=False):
        spec = MultitaskHead(multi, member)
        fit = make(spec, store, SILENT_REPORT)
        for part in ("valid", "test"):
            rows = model.predictions[model.predictions["member"].eq(member.called)]
            rows = rows[rows["part"].eq(part)]
            labels, predictions, smiles = fit.matrices(part)
            assert list(smiles) == list(rows["smiles"]) and np.array_equal(labels[:, 0], rows["label"])
            np.testing.assert_allclose(predictions[:, 0], rows["prediction"], rtol=1e-4, atol=1e-5)
            assert fit.metrics[part][fit.tasks[0]]["rmse"] == pytest.approx(
                card["metrics"][part][fit.tasks[0]]["rmse"], rel=1e-4
            )
        assert fit.record["rows"] == card["rows"] and fit.record["digests"] == card["digests"]
        assert fit.record["seed"] == multi.seed and fit.record["trunk"] == multi.key
        assert spec.title == f"{member.called} by {multi.called}, seed 0"


def test_other_molecules_get_intervals(store: Store) -> None:
    multi = import_files(multitask(), store.files)
    spec = Predict(MultitaskHead(multi, multi.members[0]), Load("bundled:drugs", limit=12))
    predictions = make(import_files(spec, store.files), store, SILENT_REPORT)
    assert (predictions.table["low"] < predictions.table["prediction"]).all() and (
        predictions.table["prediction"] < predictions.table["high"]
    ).all()
    assert predictions.record["calibrated_on"] == [24] and predictions.record["kept"][0]["n"] == 24
    model = load_model(store.get(MultitaskHead(multi, multi.members[0])).folder / "predictor")
    assert isinstance(model, SingleHeadModel)
    np.testing.assert_allclose(
        model.predict(list(predictions.table["smiles"]))[:, 0], predictions.table["prediction"], rtol=1e-6
    )
    known_molecules = Predict(MultitaskHead(multi, multi.members[0]), multi.members[0].train)
    assert make(known_molecules, store, SILENT_REPORT).record["known"]["train"] == len(
        store.get(known_molecules.fit).matrices("train")[2]
    )


def test_bad_settings_are_refused(store: Store) -> None:
    multi = multitask()
    with pytest.raises(BadInput, match=r"a table of the multitask model.*solubility, hydration, atoms"):
        MultitaskHead(multi, dataclasses.replace(multi.members[0], hidden=32))
    with pytest.raises(BadInput, match="contributions of single atoms to logP"):
        MultitaskHead(multi, multi.members[2])
    with pytest.raises(BadInput, match="wants a spec with a seed"):
        Ensemble(MultitaskHead(multi, multi.members[0]))
    with pytest.raises(BadInput, match="a multitask-head has no gradient"):
        Influence(MultitaskHead(multi, multi.members[0]), multi.members[0].train, multi.members[0].valid)


def test_too_many_predictions_are_refused(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("core.experiments.multitask.multitask_head.MAX_PREDICTIONS", 100)
    multi = import_files(dataclasses.replace(multitask(), seed=0), store.files)
    spec = MultitaskHead(multi, multi.members[0])
    with pytest.raises(
        BadInput, match=f"predictions to store, at most 100 are possible; `python -m core predict {multi.key}"
    ):
        spec.make(
            SILENT_REPORT,
            multitask_model=make(multi, store, SILENT_REPORT),
            member=make(spec.member, store, SILENT_REPORT),
        )


def test_head_embeds_and_damaged_heads_are_refused(store: Store, tmp_path: Path) -> None:
    multi = import_files(multitask(), store.files)
    fit = make(MultitaskHead(multi, multi.members[0]), store, SILENT_REPORT)
    table = tmp_path / "some.csv"
    table.write_text("smiles\nCCO\nc1ccccc1\n")
    by_head, by_model = tmp_path / "head.csv", tmp_path / "model.csv"
    embed_file(store, MultitaskHead(multi, multi.members[0]).key, table, by_head, SILENT_REPORT)
    embed_file(store, multi.key, table, by_model, SILENT_REPORT)
    assert by_head.read_text() == by_model.read_text()
    predict_multitask_file(store, multi, table, tmp_path / "all.csv", SILENT_REPORT)
    columns = (tmp_path / "all.csv").read_text().splitlines()[0]
    assert "solubility: logS_predicted" in columns and "atoms" not in columns
    (fit.folder / "predictor" / HEADS_FILE).write_text("{")
    assert not EnsembleModel.is_saved_in(fit.folder / "predictor")
    with pytest.raises(BadInput, match="holds no readable heads"):
        load_model(fit.folder / "predictor")


def test_parts_are_those_without_overlap(store: Store) -> None:
    multi = import_files(multitask(), store.files)
    fit = make(MultitaskHead(multi, multi.members[1]), store, SILENT_REPORT)
    tested = set(make(multi.members[0].test, store, SILENT_REPORT).smiles)
    assert not tested & set(fit.matrices("train")[2])
    assert isinstance(fit.table("train"), Dataset)
