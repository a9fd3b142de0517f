import numpy as np
import pytest

from core.data.cleaning import TableContext, clean_table
from core.data.dataset import Dataset
from core.engine.report import SILENT_REPORT
from core.engine.spec import BadInput
from core.experiments.data.concat import Concat
from core.experiments.data.label_noise import LabelNoise
from core.experiments.data.load import Load

A = clean_table(
    ["CCO", "CC", "Q"], [1, 2, 3], ["y"], "mg", context=TableContext({"id": ["a", "b", "c"], "n": [1, 2, 3]})
)
WEIGHED = {"n": [7, 8], "weight": [0.5, 0.6], "extra": [1, 2]}
B = clean_table(["CCN", "CCO"], [4, 5], ["y"], "mg", context=TableContext(WEIGHED))


def concat(*tables):
    return Concat(tuple(Load() for _ in tables)).make(SILENT_REPORT, tables=tables)


def test_concat_keeps_row_order_and_unites_columns():
    table = concat(A, B)
    assert list(table.smiles) == ["CCO", "CC", "CCN", "CCO"] and table.targets[:, 0].tolist() == [1, 2, 4, 5]
    assert table.unit == ("mg",) and table.kinds == ("regression",)
    assert table.columns["row"].tolist() == [1, 2, 1, 2] and table.columns["row"].dtype == np.int64
    assert table.columns["n"].tolist() == [1, 2, 7, 8]
    assert list(table.columns["id"]) == ["a", "b", "", ""]
    np.testing.assert_array_equal(table.columns["weight"], [np.nan, np.nan, 0.5, 0.6])
    np.testing.assert_array_equal(table.columns["extra"], [np.nan, np.nan, 1, 2])
    assert len(table.dropped) == 1
    assert table.provenance["in several tables"] == 1
    assert [one["digest"] for one in table.provenance["joined"]] == [A.digest, B.digest]


def test_concat_keeps_label_noise_columns(tmp_path):
    clean = clean_table(["C" * n for n in range(1, 21)], range(20), ["y"], "mg")
    noisy = LabelNoise(Load(), fraction=0.5).make(SILENT_REPORT, table=clean)
    table = concat(A, noisy)
    assert table.columns["mislabelled"].dtype == bool and table.columns["mislabelled"].sum() == 10
    assert table.columns["measured:y"].tolist() == [1, 2, *range(20)]
    table.save(tmp_path)
    assert Dataset.load(tmp_path).columns["mislabelled"].sum() == 10


def test_other_tasks_or_units_are_refused():
    with pytest.raises(BadInput, match="same tasks: the first has 'y', table 2 has 'z'"):
        concat(A, clean_table(["C"], [1], ["z"], "mg"))
    with pytest.raises(BadInput, match="same units: the first has 'mg', table 3 has ''"):
        concat(A, B, clean_table(["C"], [1], ["y"]))
    with pytest.raises(BadInput, match="at least one table"):
        Concat(())


def test_kinds_follow_the_labels():
    positive = Dataset(["C"], [1.0], ("y",), ("mg",))
    assert concat(A.take([0]), positive).kinds == ("regression",)
    binary = clean_table(["C", "CC"], [0, 1], ["y"])
    assert concat(binary.take([0]), binary.take([0])).kinds == ("binary",)
    assert concat(A).digest == A.digest
