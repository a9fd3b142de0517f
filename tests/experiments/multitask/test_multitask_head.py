"""A trunk under one of its heads is a fit: it predicts as the trunk does, is judged on its parts, and tells how sure it is."""

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


def trunk(backbone: object = SMALL) -> Multitask:
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
def test_it_predicts_what_the_trunk_predicted(store: Store, backbone: object) -> None:
    multi = import_files(trunk(backbone), store.files)
    learned = make(multi, store, SILENT_REPORT)
    for member, card in zip(multi.members[:2], learned.record["members"], strict=False):
        spec = MultitaskHead(multi, member)
        fit = make(spec, store, SILENT_REPORT)
        for part in ("valid", "test"):
            told = learned.predictions[learned.predictions["member"].eq(member.called)]
            told = told[told["part"].eq(part)]
            labels, predictions, smiles = fit.matrices(part)
            assert list(smiles) == list(told["smiles"]) and np.array_equal(labels[:, 0], told["label"])
            np.testing.assert_allclose(predictions[:, 0], told["prediction"], rtol=1e-4, atol=1e-5)
            assert fit.metrics[part][fit.tasks[0]]["rmse"] == pytest.approx(
                card["metrics"][part][fit.tasks[0]]["rmse"], rel=1e-4
            )
        assert fit.record["rows"] == card["rows"] and fit.record["digests"] == card["digests"]
        assert fit.record["seed"] == multi.seed and fit.record["trunk"] == multi.key
        assert spec.title == f"{member.called} by {multi.called}, seed 0"


def test_other_molecules_are_predicted_with_intervals(store: Store) -> None:
    multi = import_files(trunk(), store.files)
    spec = Predict(MultitaskHead(multi, multi.members[0]), Load("bundled:drugs", limit=12))
    made = make(import_files(spec, store.files), store, SILENT_REPORT)
    assert (made.table["low"] < made.table["prediction"]).all() and (
        made.table["prediction"] < made.table["high"]
    ).all()
    assert made.record["calibrated_on"] == [24] and made.record["kept"][0]["n"] == 24
    body = load_model(store.get(MultitaskHead(multi, multi.members[0])).folder / "predictor")
    assert isinstance(body, SingleHeadModel)
    np.testing.assert_allclose(body.predict(list(made.table["smiles"]))[:, 0], made.table["prediction"], rtol=1e-6)
    known = Predict(MultitaskHead(multi, multi.members[0]), multi.members[0].train)
    assert make(known, store, SILENT_REPORT).record["known"]["train"] == len(store.get(known.fit).matrices("train")[2])


def test_what_it_is_no_fit_of_is_refused(store: Store) -> None:
    multi = trunk()
    with pytest.raises(BadInput, match=r"a table that the trunk has learned.*solubility, hydration, atoms"):
        MultitaskHead(multi, dataclasses.replace(multi.members[0], hidden=32))
    with pytest.raises(BadInput, match="what single atoms contribute to logP"):
        MultitaskHead(multi, multi.members[2])
    with pytest.raises(BadInput, match="wants a spec with a seed"):
        Ensemble(MultitaskHead(multi, multi.members[0]))
    with pytest.raises(BadInput, match="a trunk-head has no gradient"):
        Influence(MultitaskHead(multi, multi.members[0]), multi.members[0].train, multi.members[0].valid)


def test_a_table_too_large_to_keep_is_refused(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("core.experiments.multitask.multitask_head.MAX_PREDICTIONS", 100)
    multi = import_files(dataclasses.replace(trunk(), seed=0), store.files)
    spec = MultitaskHead(multi, multi.members[0])
    with pytest.raises(
        BadInput, match=f"predictions to keep, up to 100 are taken; `python -m core predict {multi.key}"
    ):
        spec.make(
            SILENT_REPORT, trunk=make(multi, store, SILENT_REPORT), member=make(spec.member, store, SILENT_REPORT)
        )


def test_its_trunk_embeds_and_a_damaged_one_is_told(store: Store, tmp_path: Path) -> None:
    multi = import_files(trunk(), store.files)
    fit = make(MultitaskHead(multi, multi.members[0]), store, SILENT_REPORT)
    table = tmp_path / "some.csv"
    table.write_text("smiles\nCCO\nc1ccccc1\n")
    by_head, by_trunk = tmp_path / "head.csv", tmp_path / "trunk.csv"
    embed_file(store, MultitaskHead(multi, multi.members[0]).key, table, by_head, SILENT_REPORT)
    embed_file(store, multi.key, table, by_trunk, SILENT_REPORT)
    assert by_head.read_text() == by_trunk.read_text()
    predict_multitask_file(store, multi, table, tmp_path / "all.csv", SILENT_REPORT)
    columns = (tmp_path / "all.csv").read_text().splitlines()[0]
    assert "solubility: logS_predicted" in columns and "atoms" not in columns
    (fit.folder / "predictor" / HEADS_FILE).write_text("{")
    assert not EnsembleModel.is_saved_in(fit.folder / "predictor")
    with pytest.raises(BadInput, match="holds no readable heads"):
        load_model(fit.folder / "predictor")


def test_the_parts_are_those_that_were_kept_clear(store: Store) -> None:
    multi = import_files(trunk(), store.files)
    fit = make(MultitaskHead(multi, multi.members[1]), store, SILENT_REPORT)
    tested = set(make(multi.members[0].test, store, SILENT_REPORT).smiles)
    assert not tested & set(fit.matrices("train")[2])
    assert isinstance(fit.table("train"), Dataset)
