import json

import numpy as np
import pandas as pd
import pytest

from core.data import Dataset
from core.spec import BadInput


def reasons(table, what=None):
    kept = table.dropped if what is None else table.dropped[table.dropped["what"] == what]
    return dict(zip(kept["row"], kept["reason"], strict=True))


def test_smiles_become_canonical_and_rows_keep_their_number():
    made = Dataset.build(
        ["OCC", "XYZ", "", None, "C(N)C"], ["1", "2", "3", "4", "5"], ["y"], "mg", columns={"id": list("abcde")}
    )
    assert list(made.smiles) == ["CCO", "CCN"]
    assert made.targets.tolist() == [[1], [5]] and made.tasks == ("y",) and made.unit == ("mg",)
    assert list(made.columns["row"]) == [1, 5] and list(made.columns["id"]) == ["a", "e"]
    found = reasons(made, "molecule")
    assert set(found) == {2, 3, 4}
    assert "syntax error while parsing: XYZ" in found[2] and "empty" in found[3] and "empty" in found[4]
    assert made.provenance["rows_read"] == 5


def test_cells_that_are_no_number_are_left_out_by_name():
    smiles = ["C", "CC", "CCC", "CCCC", "CCCCC", "CCCCCC", "CCCCCCC"]
    a = ["1", "nan", "inf", "abc", "", "2", "3"]
    b = ["1", "2", "3", "4", "", "5", "x"]
    made = Dataset.build(smiles, np.array([a, b], object).T, ["a", "b"])
    assert list(made.columns["row"]) == [1, 2, 3, 4, 6, 7]
    np.testing.assert_array_equal(made.targets, [[1, 1], [np.nan, 2], [np.nan, 3], [np.nan, 4], [2, 5], [3, np.nan]])
    assert reasons(made, "label") == {
        2: "a is NaN",
        3: "a is infinite",
        4: "a is text: 'abc' is no number",
        7: "b is text: 'x' is no number",
    }
    assert reasons(made, "molecule") == {5: "no label: every target is empty"}
    alone = Dataset.build(smiles, a, ["a"])
    assert list(alone.columns["row"]) == [1, 6, 7]
    assert reasons(alone, "molecule")[2] == "no label: a is NaN" and reasons(alone)[3] == "no label: a is infinite"


def test_a_column_of_text_is_refused():
    with pytest.raises(BadInput, match=r"column 'y' is text in 2 of its 3 filled cells \(row 1: 'abc' is no number\)"):
        Dataset.build(["C", "CC", "CCC", "CCCC"], ["abc", "d", "1", ""], ["y"])
    assert len(Dataset.build(["C", "CC", "CCC"], ["abc", "1", ""], ["y"])) == 1  # half is not most


def test_nothing_left_says_so():
    with pytest.raises(BadInput, match=r"none of 2 rows is left \(row 1: no molecule: syntax error"):
        Dataset.build(["XX", ""], ["1", "2"], ["y"])
    with pytest.raises(BadInput, match="do not fit"):
        Dataset.build(["C", "CC"], ["1"], ["y"])


@pytest.mark.parametrize(
    ("rule", "label", "word"), [("median", 2.0, "median"), ("mean", 3.0, "mean"), ("first", 1.0, "first")]
)
def test_rows_of_one_molecule_become_one(rule, label, word):
    made = Dataset.build(["CCO", "CC", "OCC", "C(O)C"], ["1", "9", "2", "6"], ["y"], duplicates=rule)
    assert list(made.smiles) == ["CCO", "CC"] and made.targets[:, 0].tolist() == [label, 9]
    assert reasons(made, "merged") == {row: f"same molecule as row 1; {word} of 3 labels, spread 5" for row in (3, 4)}


def test_drop_if_spread():
    smiles, labels = ["CCO", "OCC", "CC", "CC", "C"], ["1", "1.2", "3", "3", "4"]
    made = Dataset.build(smiles, labels, ["y"], duplicates="drop-if-spread")
    assert list(made.smiles) == ["CC", "C"]
    assert reasons(made, "molecule") == dict.fromkeys((1, 2), "labels differ by 0.2 in rows 1, 2")
    assert reasons(made, "merged") == {4: "same molecule as row 3; median of 2 labels, spread 0"}
    lenient = Dataset.build(smiles, labels, ["y"], duplicates="drop-if-spread", spread=0.5)
    assert lenient.targets[:, 0] == pytest.approx([1.1, 3, 4])


def test_merging_fills_gaps_and_keeps_stereoisomers_apart():
    made = Dataset.build(["CCO", "OCC"], [["1", ""], ["", "2"]], ["a", "b"])
    assert made.targets.tolist() == [[1, 2]]
    assert len(Dataset.build(["C[C@H](N)O", "C[C@@H](N)O", "CC(N)O"], [1, 2, 3], ["y"])) == 3


def test_zeros_and_ones_are_settled_by_majority():
    smiles = ["CCO", "OCC", "OCC", "CC", "CC", "C"]
    made = Dataset.build(smiles, [0, 1, 1, 0, 1, 0], ["toxic"])
    assert made.kinds == ("binary",) and made.targets[:, 0].tolist() == [1, 0]
    assert "equally often" in reasons(made, "molecule")[4]
    two = Dataset.build(smiles, [[0, 5], [1, 5], [1, 5], [0, 6], [1, 6], [0, 7]], ["toxic", "y"])
    np.testing.assert_array_equal(two.targets, [[1, 5], [np.nan, 6], [0, 7]])
    assert "toxic" in reasons(two, "label")[4]


def test_a_long_molecule_is_kept_and_noted():
    made = Dataset.build(["C" * 300, "CC"], [1, 2], ["y"])
    assert list(made.smiles) == ["C" * 300, "CC"]
    assert made.provenance["notes"] == ["1 SMILES have more than 200 characters, kept (rows 1)"]


def test_a_corpus_has_no_tasks():
    made = Dataset.build(["CCO", "OCC", "X", "C"])
    assert list(made.smiles) == ["CCO", "C"] and made.targets.shape == (2, 0) and made.kinds == ()
    assert reasons(made, "merged") == {2: "same molecule as row 1"}


@pytest.fixture
def table():
    return Dataset.build(
        ["CCO", "OCC", "c1ccccc1", "CCN", "C/C=C/C", "Q"],
        [[1, 0, None], [2, 1, None], [3, 1, 0.5], [-0.5, None, None], [None, 0, 1], [1, 1, 1]],
        ["logS", "toxic", "z"],
        ["log10(mol/L)", "", ""],
        columns={"id": list("abcdef"), "planted": np.array([True, False, True, False, False, True])},
        provenance={"source": "test"},
    )


def test_kept_and_read_again(table, tmp_path):
    table.save(tmp_path)
    again = Dataset.load(tmp_path)
    assert list(again.smiles) == list(table.smiles) and again.smiles.dtype == object
    np.testing.assert_array_equal(again.targets, table.targets)
    assert (again.tasks, again.unit, again.digest, again.kinds) == (table.tasks, table.unit, table.digest, table.kinds)
    for name, values in table.columns.items():
        np.testing.assert_array_equal(again.columns[name], values)
        assert again.columns[name].dtype == values.dtype
    pd.testing.assert_frame_equal(again.dropped, table.dropped, check_dtype=False)
    assert again.provenance == table.provenance
    assert {path.name for path in tmp_path.iterdir()} == {"table.parquet", "dataset.json", "dropped.parquet"}


def test_a_corpus_is_kept_too(tmp_path):
    Dataset.build(["CCO"]).save(tmp_path)
    assert Dataset.load(tmp_path).targets.shape == (1, 0)


def test_the_digest_follows_the_content(table):
    same = Dataset(table.smiles.copy(), table.targets.copy(), table.tasks, table.unit)
    assert same.digest == table.digest and len(same.digest) == 16
    changed = table.targets.copy()
    changed[0, 0] += 1e-9
    assert Dataset(table.smiles, changed, table.tasks, table.unit).digest != table.digest
    assert Dataset(table.smiles, table.targets, table.tasks, ("m", "", "")).digest != table.digest
    assert Dataset(table.smiles[::-1], table.targets, table.tasks, table.unit).digest != table.digest


def test_a_part_keeps_the_kinds_of_the_whole(table):
    assert table.kinds == ("regression", "binary", "regression")
    positive = table.take(table.targets[:, 1] == 1)
    assert list(positive.smiles) == ["c1ccccc1"] and positive.kinds == table.kinds
    backwards = table.take(np.array([3, 0]), part="x")
    assert list(backwards.columns["row"]) == [5, 1] and backwards.provenance["part"] == "x"
    assert backwards.provenance["source"] == "test" and "part" not in table.provenance


def test_the_summary_is_plain_json(table):
    found = json.loads(json.dumps(table.summary(), allow_nan=False))
    assert found["rows"] == 4 and found["dropped"] == {"merged": 1, "label": 1, "molecule": 1}
    assert found["tasks"][0]["unit"] == "log10(mol/L)" and found["tasks"][0]["measured"] == 3
    assert found["tasks"][1]["kind"] == "binary" and found["tasks"][1]["positives"] == 1
    empty = table.take(np.zeros(4, bool)).summary()
    json.dumps(empty, allow_nan=False)
    assert empty["rows"] == 0


def test_what_does_not_fit_is_refused():
    for made in (
        lambda: Dataset(["C"], [[1.0, 2.0]], ("y",)),
        lambda: Dataset(["C"], [[1.0, 2.0]], ("y", "y")),
        lambda: Dataset(["C"], [1.0], ("y",), ("a", "b")),
        lambda: Dataset(["C"], [np.inf], ("y",)),
        lambda: Dataset(["C"], [1.0], ("y",), columns={"row": [1, 2]}),
    ):
        with pytest.raises(BadInput):
            made()
    assert Dataset(["C"], [1.0], ("y",)).unit == ("",)
