"""Predictions of other molecules: their intervals, what they are compared with, what is said of them."""

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
def made(tmp_path_factory: pytest.TempPathFactory, alcohols: list) -> tuple[Store, Baseline]:
    """A store and in it a forest that learned sizes, with 24 molecules to validate."""
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


def predicted(store: Store, fit: Baseline, table: Path, **more) -> Predictions:
    targets = {"targets": ("measured",)} if "labels" in more else {}
    return make(import_files(Predict(fit, Load(f"file:{table}", **targets), **more), store.files), store, Report())


def test_every_molecule_has_an_interval_and_what_is_like_it(made: tuple[Store, Baseline], other: Path) -> None:
    store, fit = made
    found = predicted(store, fit, other, labels=("measured",))
    table, record = found.table, found.record
    assert list(table["id"]) == ["m0", "m1", "m2", "m3"] and list(table["part"][:3]) == ["", "", ""]
    assert table["part"][3] in ("train", "valid", "test")  # ethanol is among the alcohols
    assert (table["low"] < table["prediction"]).all() and (table["prediction"] < table["high"]).all()
    half = (table["high"] - table["low"]) / 2
    assert table["remote"][2] and not table["remote"][0] and half[2] >= half[0]
    known = set(store.get(fit).matrices("train")[2])
    assert set(table["nearest"]) <= known and table["similarity"].between(0, 1).all()
    assert record["level"] == 0.9 and record["calibrated_on"] == [24] and record["kept"][0]["n"] == 10
    assert record["molecules"] == 4 and sum(record["known"].values()) == 1 and record["remote"] == 1
    errors = (table["prediction"] - table["label"])[:2]
    assert record["metrics"]["size"]["n"] == record["held"][0]["n"] == 2  # without what it has seen
    assert record["metrics"]["size"]["rmse"] == pytest.approx(float(np.sqrt((errors**2).mean())))
    assert record["intervals"] == {"size": {}}  # of two molecules
    low, high = record["test_intervals"]["size"]["rmse"]
    assert low < record["test"]["size"]["rmse"] < high
    assert any("1 of 4 molecules" in said and "no forecast" in said for said in record["warnings"])
    again = store.get(import_files(read_spec_json(read_text(store, found)), store.files))
    pd.testing.assert_frame_equal(again.table, table)


def read_text(store: Store, found: Predictions) -> str:
    entry = next(one for one in store.entries() if one.kind == "predict")
    assert entry.summary == found.record
    return entry.spec.text


def test_a_file_gets_the_same_columns(made: tuple[Store, Baseline], other: Path, tmp_path: Path) -> None:
    store, fit = made
    found = predicted(store, fit, other).table
    out = tmp_path / "out.csv"
    answer = predict_file(store, fit, other, out, Report())
    assert {"size_predicted", "size_low", "size_high", "similarity"} <= set(answer["columns"])
    beside = pd.read_csv(out)
    for name, column in (("prediction", "size_predicted"), ("low", "size_low"), ("high", "size_high")):
        np.testing.assert_allclose(beside[column], found[name], rtol=1e-6)
    np.testing.assert_allclose(beside["similarity"], found["similarity"], rtol=1e-6)
    predict_file(store, fit, other, out, Report(), level=0.5)
    assert (pd.read_csv(out)["size_high"] < beside["size_high"]).all()
    with pytest.raises(BadInput, match=r"--level wants a share from 0\.5 to 0\.99"):
        predict_file(store, fit, other, out, Report(), level=1.0)


def test_an_ensemble_is_surer_where_its_members_agree(made: tuple[Store, Baseline], other: Path) -> None:
    store, fit = made
    whole = Ensemble(fit, (0, 1, 2))
    found = predicted(store, whole, other)
    table = found.table
    assert (table["spread"] > 0).all() and found.record["seed"] is None
    calibration = Calibration.of(make(whole, store, Report()))
    near, values = calibration.find_nearest(list(table["smiles"])), table[["prediction"]].to_numpy()
    apart = np.full((4, 1), float(table["spread"].min()))
    low, high = calibration.interval_bounds(values, near, apart)
    assert calibration.intervals[0].slopes[2] > 0
    wide, narrow = table["high"] - table["low"], (high - low)[:, 0]
    assert (wide >= narrow * (1 - 1e-9)).all() and (wide > narrow * 1.01).any()


def test_few_labels_make_no_intervals_and_say_so(made: tuple[Store, Baseline], other: Path) -> None:
    store, fit = made
    small = dataclasses.replace(fit, valid=dataclasses.replace(fit.valid, valid=19))
    small = dataclasses.replace(
        small, train=dataclasses.replace(fit.train, valid=19), test=dataclasses.replace(fit.test, valid=19)
    )
    found = predicted(store, small, other)
    assert found.table[["low", "high"]].isna().all(axis=None) and found.record["kept"] == [None]
    assert found.record["width"] == [None]
    assert any("fewer than 20 labels" in said for said in found.record["warnings"])
    assert any("fewer than 99 labels" in said for said in predicted(store, fit, other, level=0.99).record["warnings"])


def test_a_probability_comes_with_a_range_and_several_tasks_have_their_own_columns(
    tmp_path: Path, alcohols: list
) -> None:
    rows = [(one, float(size), int(size > 5)) for one, size in alcohols]
    (tmp_path / "two.csv").write_text("smiles,size,large\n" + "".join(f"{a},{b},{c}\n" for a, b, c in rows))
    store = Store(tmp_path / "cache")
    table = Load(f"file:{tmp_path / 'two.csv'}", targets=("size", "large"))
    train, valid, test = split_table(table, seed=0, train=None, valid=22, test=10)
    fit = import_files(
        Baseline(train, valid, test, baseline=RandomForest(features="descriptors", trees=30)), store.files
    )
    found = make(import_files(Predict(fit, table), store.files), store, Report())
    large, size = found.of("large"), found.of("size")
    assert large["prediction"].between(0, 1).all() and (large["low"] <= large["high"]).all()
    assert large["low"].min() >= 0 and large["high"].max() <= 1
    assert (size["high"] > size["prediction"]).all() and "prediction: size" in found.table
    half = make(import_files(Predict(fit, table, labels=("size", "")), store.files), store, Report())
    assert "label" in half.of("size") and "label" not in half.of("large")
    assert "prediction: large" not in size and {"similarity", "part"} <= set(size)
    assert found.record["held"][1] is None and found.record["kept"][1]["n"] == 10
    assert {"log_loss", "calibrated_log_loss"} < found.record["kept"][1].keys()
    assert found.record["kinds"] == ["regression", "binary"] and found.record["metrics"] == {}  # all of it was seen


def test_what_cannot_be_compared_is_refused(made: tuple[Store, Baseline], other: Path) -> None:
    store, fit = made
    with pytest.raises(BadInput, match="the table measures measured, not 'weight'"):
        predicted(store, fit, other, labels=("weight",))
    with pytest.raises(BadInput, match=r"a column for each task \(size\); got measured, measured"):
        predicted(store, fit, other, labels=("measured", "measured"))
    with pytest.raises(BadInput, match="level"):
        Predict(fit, fit.test, level=1.0)


def test_rows_that_are_no_molecule_are_named(made: tuple[Store, Baseline], tmp_path: Path) -> None:
    store, fit = made
    path = tmp_path / "pasted.smi"
    path.write_text("CCO ethanol\nnonsense\nCCCl\nOCC again\n")
    found = predicted(store, fit, path)
    assert [one["row"] for one in found.record["dropped"]] == [2] and "nonsense" in found.record["dropped"][0]["smiles"]
    assert list(found.table["id"]) == ["ethanol", ""] and found.record["merged"] == 1


def test_columns_of_the_table_are_not_taken_for_ours(made: tuple[Store, Baseline], tmp_path: Path) -> None:
    store, fit = made
    path = tmp_path / "named.csv"
    path.write_text("smiles,label,prediction,prediction (given),spread\nCCO,a,b,c,d\nCCCl,e,f,g,h\n")
    table = predicted(store, fit, path).table
    assert "label" not in table and "spread" not in table and table["prediction"].dtype == float
    assert list(table["label (given)"]) == ["a", "e"] and list(table["spread (given)"]) == ["d", "h"]
    kept = {tuple(table[name]) for name in table if str(name).startswith("prediction (given)")}
    assert kept == {("b", "f"), ("c", "g")}


def test_units_that_differ_are_said(made: tuple[Store, Baseline], alcohols: list, tmp_path: Path) -> None:
    store, fit = made
    path = tmp_path / "sizes.csv"
    path.write_text("smiles,size\nCCCCCCCCCCCCCCO,12\nCCCCCCBr,6\n")
    spec = import_files(Predict(fit, Load(f"file:{path}", unit="nm")), store.files)
    found = make(spec, store, Report())
    assert any("'size' is in nm in the table" in said for said in found.record["warnings"])
    assert found.record["metrics"]["size"]["n"] == 2  # columns of the same name are compared unasked


def test_labels_of_a_binary_task_are_checked(made: tuple[Store, Baseline]) -> None:
    store, fit = made
    one = store.get(fit)
    record = one.record | {"kinds": ["binary"]}
    table = Dataset(np.array(["CCO"], object), np.array([[3.0]]), ("size",))
    with pytest.raises(BadInput, match="other than 0 and 1"):
        Predict(fit, fit.test).add_context(
            dataclasses.replace(one, record=record), table, np.zeros((1, 1)), None, [], Report()
        )
