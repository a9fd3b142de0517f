"""Predictions of other molecules: intervals, labels to compare with, warnings."""

import dataclasses
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from core.data.dataset import Dataset
from core.engine.make import make
from core.engine.report import Report
from core.engine.spec import BadInput, read_spec_json
from core.engine.store import Store
from core.experiments import Baseline, Ensemble, Load, Predict, import_files, split_table
from core.experiments.inference.apply import predict_file
from core.models.baselines import RandomForest
from core.results.calibration import Calibration
from core.results.predictions import Predictions

OTHER = "id,smiles,measured,unit free\n" + "".join(
    f"m{n},{smiles},{label},{n}\n"
    for n, (smiles, label) in enumerate([("CCCCCCCCCCCCCO", 11), ("CCCCCCCl", 6.5), ("FC(F)(F)c1ccc(I)cc1", ""), ("CCO", 0)])
)  # fmt: skip


@pytest.fixture(scope="module")
def store_and_fit(tmp_path_factory: pytest.TempPathFactory, alcohols: list) -> tuple[Store, Baseline]:
    """A store with a random forest trained on sizes, with 24 validation molecules."""
    root = tmp_path_factory.mktemp("predict")
    (root / "size.csv").write_text("smiles,size\n" + "".join(f"{one},{size}\n" for one, size in alcohols))
    store = Store(root / "cache")
    train, valid, test = split_table(
        Load(f"file:{root / 'size.csv'}", unit="atoms"), seed=0, train=None, valid=24, test=10
    )
    spec = import_files(
        Baseline(train, valid, test, baseline=RandomForest(features="descriptors", trees=30)), store.files
    )
    make(spec, store, Report())
    return store, spec


@pytest.fixture
def other(tmp_path: Path) -> Path:
    path = tmp_path / "other.csv"
    path.write_text(OTHER)
    return path


def run_predict(store: Store, fit: Baseline, table: Path, **more) -> Predictions:
    targets = {"targets": ("measured",)} if "labels" in more else {}
    return make(import_files(Predict(fit, Load(f"file:{table}", **targets), **more), store.files), store, Report())


def test_intervals_and_nearest_training_molecules(store_and_fit: tuple[Store, Baseline], other: Path) -> None:
    store, fit = store_and_fit
    product = run_predict(store, fit, other, labels=("measured",))
    table, record = product.table, product.record
    assert list(table["id"]) == ["m0", "m1", "m2", "m3"] and list(table["part"][:3]) == ["", "", ""]
    assert table["part"][3] in ("train", "valid", "test")  # ethanol is among the alcohols
    assert (table["low"] < table["prediction"]).all() and (table["prediction"] < table["high"]).all()
    half = (table["high"] - table["low"]) / 2
    assert table["remote"][:3].all() and half[2] > half[3]
    assert "rotatable bonds, training set 0–" in table["outside"][0] and half[0] > half[3]
    assert table["outside"][1] == "element Cl, not in the training set"
    train = set(store.get(fit).matrices("train")[2])
    assert set(table["nearest"]) <= train and table["similarity"].between(0, 1).all()
    assert record["level"] == 0.9 and record["calibrated_on"] == [24] and record["kept"][0]["n"] == 10
    assert record["molecules"] == 4 and sum(record["known"].values()) == 1
    assert record["beyond_range"] == (table["outside"] != "").sum() >= 3 and record["remote"] == table["remote"].sum()
    assert any("of 4 molecules are beyond the range" in warning for warning in record["warnings"])
    errors = (table["prediction"] - table["label"])[:2]
    assert record["metrics"]["size"]["n"] == record["held"][0]["n"] == 2  # new molecules only
    assert record["metrics"]["size"]["rmse"] == pytest.approx(float(np.sqrt((errors**2).mean())))
    assert record["intervals"] == {"size": {}}  # of two molecules
    low, high = record["test_intervals"]["size"]["rmse"]
    assert low < record["test"]["size"]["rmse"] < high
    assert any("1 of 4 molecules" in warning and "left out of the errors" in warning for warning in record["warnings"])
    stored = store.get(import_files(read_spec_json(read_text(store, product)), store.files))
    pd.testing.assert_frame_equal(stored.table, table)


def read_text(store: Store, product: Predictions) -> str:
    entry = next(one for one in store.entries() if one.kind == "predict")
    assert entry.summary == product.record
    return entry.spec.text


def test_predict_file_writes_the_same_columns(
    store_and_fit: tuple[Store, Baseline], other: Path, tmp_path: Path
) -> None:
    store, fit = store_and_fit
    product = run_predict(store, fit, other).table
    out = tmp_path / "out.csv"
    answer = predict_file(store, fit, other, out, Report())
    assert {"size_predicted", "size_low", "size_high", "similarity"} <= set(answer["columns"])
    output = pd.read_csv(out)
    for name, column in (("prediction", "size_predicted"), ("low", "size_low"), ("high", "size_high")):
        np.testing.assert_allclose(output[column], product[name], rtol=1e-6)
    np.testing.assert_allclose(output["similarity"], product["similarity"], rtol=1e-6)
    for caution, words in zip(output["caution"].fillna(""), product["outside"], strict=True):
        assert (words in caution) if words else caution == ""
    predict_file(store, fit, other, out, Report(), level=0.5)
    assert (pd.read_csv(out)["size_high"] < output["size_high"]).all()
    with pytest.raises(BadInput, match=r"--level wants a share from 0\.5 to 0\.99"):
        predict_file(store, fit, other, out, Report(), level=1.0)


def test_ensemble_intervals_follow_the_spread(store_and_fit: tuple[Store, Baseline], other: Path) -> None:
    store, fit = store_and_fit
    ensemble = Ensemble(fit, (0, 1, 2))
    product = run_predict(store, ensemble, other)
    table = product.table
    assert (table["spread"] > 0).all() and product.record["seed"] is None
    calibration = Calibration.of(make(ensemble, store, Report()))
    position, values = calibration.locate(list(table["smiles"])), table[["prediction"]].to_numpy()
    spread = np.full((4, 1), float(table["spread"].min()))
    low, high = calibration.interval_bounds(values, position, spread)
    assert calibration.intervals[0].slopes[2] > 0
    wide, narrow = table["high"] - table["low"], (high - low)[:, 0]
    assert (wide >= narrow * (1 - 1e-9)).all() and (wide > narrow * 1.01).any()


def test_few_labels_give_no_intervals_and_a_warning(store_and_fit: tuple[Store, Baseline], other: Path) -> None:
    store, fit = store_and_fit
    small = dataclasses.replace(fit, valid=dataclasses.replace(fit.valid, valid=19))
    small = dataclasses.replace(
        small, train=dataclasses.replace(fit.train, valid=19), test=dataclasses.replace(fit.test, valid=19)
    )
    product = run_predict(store, small, other)
    assert product.table[["low", "high"]].isna().all(axis=None) and product.record["kept"] == [None]
    assert product.record["width"] == [None]
    reason = "no interval: the validation set has 19 labels, an interval of level 0.9 needs 20"
    assert reason in product.record["warnings"]
    assert product.record["undefined"] == dict.fromkeys(product.tasks, reason)
    strict = run_predict(store, fit, other, level=0.99).record
    assert any("an interval of level 0.99 needs 99" in warning for warning in strict["warnings"])


def test_binary_and_several_tasks(tmp_path: Path, alcohols: list) -> None:
    rows = [(one, float(size), int(size > 5)) for one, size in alcohols]
    (tmp_path / "two.csv").write_text("smiles,size,large\n" + "".join(f"{a},{b},{c}\n" for a, b, c in rows))
    store = Store(tmp_path / "cache")
    table = Load(f"file:{tmp_path / 'two.csv'}", targets=("size", "large"))
    train, valid, test = split_table(table, seed=0, train=None, valid=22, test=10)
    fit = import_files(
        Baseline(train, valid, test, baseline=RandomForest(features="descriptors", trees=30)), store.files
    )
    product = make(import_files(Predict(fit, table), store.files), store, Report())
    large, size = product.of("large"), product.of("size")
    assert large["prediction"].between(0, 1).all() and (large["low"] <= large["high"]).all()
    assert large["low"].min() >= 0 and large["high"].max() <= 1
    assert (size["high"] > size["prediction"]).all() and "prediction: size" in product.table
    half = make(import_files(Predict(fit, table, labels=("size", "")), store.files), store, Report())
    assert "label" in half.of("size") and "label" not in half.of("large")
    assert "prediction: large" not in size and {"similarity", "part"} <= set(size)
    assert product.record["held"][1] is None and product.record["kept"][1]["n"] == 10
    assert {"log_loss", "calibrated_log_loss"} < product.record["kept"][1].keys()
    assert product.record["kinds"] == ["regression", "binary"] and product.record["metrics"] == {}  # no molecule is new


def test_bad_labels_and_level_are_refused(store_and_fit: tuple[Store, Baseline], other: Path) -> None:
    store, fit = store_and_fit
    with pytest.raises(BadInput, match="the table has labels of measured, not of 'weight'"):
        run_predict(store, fit, other, labels=("weight",))
    with pytest.raises(BadInput, match=r"a column for each task \(size\); got measured, measured"):
        run_predict(store, fit, other, labels=("measured", "measured"))
    with pytest.raises(BadInput, match="level"):
        Predict(fit, fit.test, level=1.0)


def test_invalid_rows_are_listed(store_and_fit: tuple[Store, Baseline], tmp_path: Path) -> None:
    store, fit = store_and_fit
    path = tmp_path / "pasted.smi"
    path.write_text("CCO ethanol\nnonsense\nCCCl\nOCC again\n")
    product = run_predict(store, fit, path)
    assert [one["row"] for one in product.record["dropped"]] == [2] and "nonsense" in product.record["dropped"][0][
        "smiles"
    ]
    assert list(product.table["id"]) == ["ethanol", ""] and product.record["merged"] == 1


def test_columns_of_the_table_are_renamed_on_conflict(store_and_fit: tuple[Store, Baseline], tmp_path: Path) -> None:
    store, fit = store_and_fit
    path = tmp_path / "named.csv"
    path.write_text("smiles,label,prediction,prediction (given),spread\nCCO,a,b,c,d\nCCCl,e,f,g,h\n")
    table = run_predict(store, fit, path).table
    assert "label" not in table and "spread" not in table and table["prediction"].dtype == float
    assert list(table["label (given)"]) == ["a", "e"] and list(table["spread (given)"]) == ["d", "h"]
    columns = {tuple(table[name]) for name in table if str(name).startswith("prediction (given)")}
    assert columns == {("b", "f"), ("c", "g")}


def test_different_units_give_a_warning(store_and_fit: tuple[Store, Baseline], alcohols: list, tmp_path: Path) -> None:
    store, fit = store_and_fit
    path = tmp_path / "sizes.csv"
    path.write_text("smiles,size\nCCCCCCCCCCCCCCO,12\nCCCCCCBr,6\n")
    spec = import_files(Predict(fit, Load(f"file:{path}", unit="nm")), store.files)
    product = make(spec, store, Report())
    assert any("'size' is in nm in the table" in warning for warning in product.record["warnings"])
    assert product.record["metrics"]["size"]["n"] == 2  # columns of the same name are compared by default


def test_labels_of_a_binary_task_are_checked(store_and_fit: tuple[Store, Baseline]) -> None:
    store, fit = store_and_fit
    one = store.get(fit)
    record = one.record | {"kinds": ["binary"]}
    table = Dataset(np.array(["CCO"], object), np.array([[3.0]]), ("size",))
    with pytest.raises(BadInput, match="other than 0 and 1"):
        Predict(fit, fit.test).add_context(
            dataclasses.replace(one, record=record), table, np.zeros((1, 1)), None, [], Report()
        )
