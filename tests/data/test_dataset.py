import json

import numpy as np
import pandas as pd
import pytest

from core.data.cleaning import CleaningRules, TableContext, clean_table
from core.data.dataset import Dataset, is_binary
from core.engine.spec import BadInput


@pytest.fixture
def table():
    return clean_table(
        ["CCO", "OCC", "c1ccccc1", "CCN", "C/C=C/C", "Q"],
        [[1, 0, None], [2, 1, None], [3, 1, 0.5], [-0.5, None, None], [None, 0, 1], [1, 1, 1]],
        ["logS", "toxic", "z"],
        ["log10(mol/L)", "", ""],
        context=TableContext(
            {"id": list("abcdef"), "mislabelled": np.array([True, False, True, False, False, True])},
            provenance={"source": "test"},
        ),
    )


def test_save_and_load(table, tmp_path):
    table.save(tmp_path)
    loaded = Dataset.load(tmp_path)
    assert list(loaded.smiles) == list(table.smiles) and loaded.smiles.dtype == object
    np.testing.assert_array_equal(loaded.targets, table.targets)
    assert (loaded.tasks, loaded.unit, loaded.digest, loaded.kinds) == (
        table.tasks,
        table.unit,
        table.digest,
        table.kinds,
    )
    for name, values in table.columns.items():
        np.testing.assert_array_equal(loaded.columns[name], values)
        assert loaded.columns[name].dtype == values.dtype
    pd.testing.assert_frame_equal(loaded.dropped, table.dropped, check_dtype=False)
    assert loaded.provenance == table.provenance
    assert {path.name for path in tmp_path.iterdir()} == {"table.parquet", "dataset.json", "dropped.parquet"}


def test_save_and_load_without_tasks(tmp_path):
    clean_table(["CCO"]).save(tmp_path)
    assert Dataset.load(tmp_path).targets.shape == (1, 0)


def test_digest_depends_on_the_content(table):
    same = Dataset(table.smiles.copy(), table.targets.copy(), table.tasks, table.unit)
    assert same.digest == table.digest and len(same.digest) == 16
    changed = table.targets.copy()
    changed[0, 0] += 1e-9
    assert Dataset(table.smiles, changed, table.tasks, table.unit).digest != table.digest
    assert Dataset(table.smiles, table.targets, table.tasks, ("m", "", "")).digest != table.digest
    assert Dataset(table.smiles[::-1], table.targets, table.tasks, table.unit).digest != table.digest


def test_subset_keeps_the_task_kinds(table):
    assert table.kinds == ("regression", "binary", "regression")
    positive = table.take(table.targets[:, 1] == 1)
    assert list(positive.smiles) == ["c1ccccc1"] and positive.kinds == table.kinds
    backwards = table.take(np.array([3, 0]), part="x")
    assert list(backwards.columns["row"]) == [5, 1] and backwards.provenance["part"] == "x"
    assert backwards.provenance["source"] == "test" and "part" not in table.provenance


def test_source_smiles_include_dropped_molecules(table):
    assert list(table.source_smiles()) == ["CCO", "c1ccccc1", "CCN", "C/C=C/C", "Q"]
    assert sorted(
        clean_table(["OCC", "CCO", "CC"], [1, 3, 2], ["y"], rules=CleaningRules("drop-if-spread")).source_smiles()
    ) == [
        "CC",
        "CCO",
        "OCC",
    ]


def test_summary_is_plain_json(table):
    summary = json.loads(json.dumps(table.summary(), allow_nan=False))
    assert summary["rows"] == 4 and summary["dropped"] == {"merged": 1, "label": 1, "molecule": 1}
    assert summary["tasks"][0]["unit"] == "log10(mol/L)" and summary["tasks"][0]["measured"] == 3
    assert summary["tasks"][1]["kind"] == "binary" and summary["tasks"][1]["positives"] == 1
    empty = table.take(np.zeros(4, bool)).summary()
    json.dumps(empty, allow_nan=False)
    assert empty["rows"] == 0


def test_inconsistent_shapes_are_refused():
    for build in (
        lambda: Dataset(["C"], [[1.0, 2.0]], ("y",)),
        lambda: Dataset(["C"], [[1.0, 2.0]], ("y", "y")),
        lambda: Dataset(["C"], [1.0], ("y",), ("a", "b")),
        lambda: Dataset(["C"], [np.inf], ("y",)),
        lambda: Dataset(["C"], [1.0], ("y",), columns={"row": [1, 2]}),
    ):
        with pytest.raises(BadInput):
            build()
    assert Dataset(["C"], [1.0], ("y",)).unit == ("",)


def test_is_binary_needs_both_classes_and_nothing_else() -> None:
    assert is_binary(np.array([0.0, 1.0, np.nan]))
    assert not is_binary(np.array([1.0, 1.0])) and not is_binary(np.array([0.0, 1.0, 0.5]))
