"""Embeddings and predictions of a trunk for every row of a file, as the backbone itself gives them."""

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
def kept(tmp_path_factory: pytest.TempPathFactory) -> tuple[Store, dict[str, str]]:
    store = Store(tmp_path_factory.mktemp("embedded"))
    train, valid, test, _ = split_table(Load("bundled:hydration"), seed=3, train=40, valid=20, pool=20, test=None)
    recipes = {
        "trunk": small(epochs=1),
        "fit": FineTune(train, valid, test, backbone=SMALL, features="none", steps=3, evaluations=1),
    }
    recipes = {name: import_files(one, store.files) for name, one in recipes.items()}
    for one in recipes.values():
        make(one, store, Report())
    return store, {name: one.key for name, one in recipes.items()}


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "mine.csv"
    path.write_text("name,smiles\na,OCC\nb,nonsense\nc,c1ccccc1\nd,CCO\n")
    return path


def test_embeddings_are_those_of_the_backbone_of_a_run(kept: tuple, table: Path, tmp_path: Path) -> None:
    store, keys = kept
    bodies = {
        "trunk": store.get(store.find(keys["trunk"]).spec)(),
        "fit": Predictor.load(store.get(store.find(keys["fit"]).spec).folder / "predictor").backbone,
    }
    for name, body in bodies.items():
        out = tmp_path / f"{name}.parquet"
        answer = embed_file(store, keys[name], table, out, Report())
        found = pd.read_parquet(out)
        assert answer["rows"] == 4 and answer["unusable"] == 1 and list(found["name"]) == list("abcd")
        values = found[[f"embedding_{number}" for number in range(12)]].to_numpy(float)
        with torch.no_grad():
            wanted = body.embed(body.batch([chem.canonical_smiles("CCO"), "c1ccccc1"])).numpy()
        assert np.isnan(values[1]).all() and np.allclose(values[[0, 2]], wanted, atol=1e-5)
        assert np.array_equal(values[0], values[3])


def test_a_checkpoint_with_a_name_embeds_too(kept: tuple, table: Path, tmp_path: Path) -> None:
    embed_file(kept[0], "molsway-mini", table, tmp_path / "mini.csv", Report())
    assert "embedding_255" in pd.read_csv(tmp_path / "mini.csv")


def test_the_heads_of_a_trunk_predict(kept: tuple, table: Path, tmp_path: Path) -> None:
    store, keys = kept
    spec = store.find(keys["trunk"]).spec
    made = store.get(spec)
    known = made.predictions[made.predictions["part"] == "test"].groupby("member").head(3)
    mine = tmp_path / "known.csv"
    known[["smiles"]].to_csv(mine, index=False)
    predict_multitask_file(store, spec, mine, tmp_path / "out.csv", Report())
    found = pd.read_csv(tmp_path / "out.csv")
    for place, row in enumerate(known.itertuples()):
        assert found[f"{row.member}: {row.task}_predicted"][place] == pytest.approx(row.prediction, abs=1e-4)


def test_what_holds_no_backbone_is_refused(kept: tuple, table: Path, tmp_path: Path) -> None:
    store, keys = kept
    load = store.find(keys["fit"]).spec.train.table
    with pytest.raises(BadInput, match="of kind 'load', which holds no backbone"):
        embed_file(store, load.key, table, tmp_path / "out.csv", Report())


def test_bad_commands_are_told(capsys: pytest.CaptureFixture[str], cache: Path, table: Path) -> None:
    out = ("--out", str(table.with_name("out.csv")))
    check_refused(ask(capsys, cache, "embed", "nowhere", str(table), *out), "nowhere")
    check_refused(ask(capsys, cache, "embed", "0000000", str(table), *out), "begins the key of 0 products")
    check_refused(ask(capsys, cache, "run", "demo", "--data", "x"), "reads no folder of files")
    check_refused(ask(capsys, cache, "run", "toymix"), "wants --data")
    check_refused(ask(capsys, cache, "run", "mixture", "--table", "bundled:solubility"), "has tables of its own")
