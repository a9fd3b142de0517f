"""Embeddings and multitask predictions for every row of a file equal those of the backbone."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from core.chem import molecules as chem
from core.engine.make import make
from core.engine.report import Report
from core.engine.spec import BadInput
from core.engine.store import Store
from core.experiments import FineTune, Load, import_files, split_table
from core.experiments.inference.embed import embed_file, predict_multitask_file
from core.models.predictor import Predictor
from tests.cli.test_bad_input import ask, check_refused
from tests.experiments.multitask.test_multitask import SMALL, small


@pytest.fixture(scope="module")
def store_and_keys(tmp_path_factory: pytest.TempPathFactory) -> tuple[Store, dict[str, str]]:
    store = Store(tmp_path_factory.mktemp("embedded"))
    train, valid, test, _ = split_table(Load("bundled:hydration"), seed=3, train=40, valid=20, pool=20, test=None)
    specs = {
        "multitask": small(epochs=1),
        "fit": FineTune(train, valid, test, backbone=SMALL, features="none", steps=3, evaluations=1),
    }
    specs = {name: import_files(one, store.files) for name, one in specs.items()}
    for one in specs.values():
        make(one, store, Report())
    return store, {name: one.key for name, one in specs.items()}


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "mine.csv"
    path.write_text("name,smiles\na,OCC\nb,nonsense\nc,c1ccccc1\nd,CCO\n")
    return path


def test_embeddings_equal_those_of_the_backbone(store_and_keys: tuple, table: Path, tmp_path: Path) -> None:
    store, keys = store_and_keys
    backbones = {
        "multitask": store.get(store.find(keys["multitask"]).spec)(),
        "fit": Predictor.load(store.get(store.find(keys["fit"]).spec).folder / "predictor").backbone,
    }
    for name, backbone in backbones.items():
        out = tmp_path / f"{name}.parquet"
        answer = embed_file(store, keys[name], table, out, Report())
        output = pd.read_parquet(out)
        assert answer["rows"] == 4 and answer["unusable"] == 1 and list(output["name"]) == list("abcd")
        values = output[[f"embedding_{number}" for number in range(12)]].to_numpy(float)
        with torch.no_grad():
            expected = backbone.embed(backbone.batch([chem.canonical_smiles("CCO"), "c1ccccc1"])).numpy()
        assert np.isnan(values[1]).all() and np.allclose(values[[0, 2]], expected, atol=1e-5)
        assert np.array_equal(values[0], values[3])


def test_embeddings_of_a_named_checkpoint(store_and_keys: tuple, table: Path, tmp_path: Path) -> None:
    embed_file(store_and_keys[0], "molsway-mini", table, tmp_path / "mini.csv", Report())
    assert "embedding_255" in pd.read_csv(tmp_path / "mini.csv")


def test_predictions_of_multitask_heads(store_and_keys: tuple, table: Path, tmp_path: Path) -> None:
    store, keys = store_and_keys
    spec = store.find(keys["multitask"]).spec
    multitask_model = store.get(spec)
    rows = multitask_model.predictions[multitask_model.predictions["part"] == "test"].groupby("member").head(3)
    path = tmp_path / "known.csv"
    rows[["smiles"]].to_csv(path, index=False)
    predict_multitask_file(store, spec, path, tmp_path / "out.csv", Report())
    output = pd.read_csv(tmp_path / "out.csv")
    for index, row in enumerate(rows.itertuples()):
        assert output[f"{row.member}: {row.task}_predicted"][index] == pytest.approx(row.prediction, abs=1e-4)


def test_run_without_backbone_is_refused(store_and_keys: tuple, table: Path, tmp_path: Path) -> None:
    store, keys = store_and_keys
    load = store.find(keys["fit"]).spec.train.table
    with pytest.raises(BadInput, match="of kind 'load', which has no backbone"):
        embed_file(store, load.key, table, tmp_path / "out.csv", Report())


def test_bad_commands_are_refused(capsys: pytest.CaptureFixture[str], cache: Path, table: Path) -> None:
    out = ("--out", str(table.with_name("out.csv")))
    check_refused(ask(capsys, cache, "embed", "nowhere", str(table), *out), "nowhere")
    check_refused(ask(capsys, cache, "embed", "0000000", str(table), *out), "begins the key of 0 runs")
    check_refused(ask(capsys, cache, "run", "demo", "--data", "x"), "reads no folder of files")
    check_refused(ask(capsys, cache, "run", "toymix"), "needs --data")
    check_refused(ask(capsys, cache, "run", "mixture", "--table", "bundled:solubility"), "has its own tables")
