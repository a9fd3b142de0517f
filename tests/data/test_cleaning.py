import numpy as np
import pytest

from core.data.cleaning import CleaningRules, TableContext, clean_table
from core.engine.spec import BadInput


def reasons(table, what=None):
    dropped = table.dropped if what is None else table.dropped[table.dropped["what"] == what]
    return dict(zip(dropped["row"], dropped["reason"], strict=True))


def test_smiles_become_canonical_and_rows_keep_their_numbers():
    dataset = clean_table(
        ["OCC", "XYZ", "", None, "C(N)C"],
        ["1", "2", "3", "4", "5"],
        ["y"],
        "mg",
        context=TableContext({"id": list("abcde")}),
    )
    assert list(dataset.smiles) == ["CCO", "CCN"]
    assert dataset.targets.tolist() == [[1], [5]] and dataset.tasks == ("y",) and dataset.unit == ("mg",)
    assert list(dataset.columns["row"]) == [1, 5] and list(dataset.columns["id"]) == ["a", "e"]
    messages = reasons(dataset, "molecule")
    assert set(messages) == {2, 3, 4}
    assert "syntax error while parsing: XYZ" in messages[2] and "empty" in messages[3] and "empty" in messages[4]
    assert dataset.provenance["rows_read"] == 5


def test_cells_that_are_no_number_are_dropped_with_a_reason():
    smiles = ["C", "CC", "CCC", "CCCC", "CCCCC", "CCCCCC", "CCCCCCC"]
    a = ["1", "nan", "inf", "abc", "", "2", "3"]
    b = ["1", "2", "3", "4", "", "5", "x"]
    dataset = clean_table(smiles, np.array([a, b], object).T, ["a", "b"])
    assert list(dataset.columns["row"]) == [1, 2, 3, 4, 6, 7]
    np.testing.assert_array_equal(dataset.targets, [[1, 1], [np.nan, 2], [np.nan, 3], [np.nan, 4], [2, 5], [3, np.nan]])
    assert reasons(dataset, "label") == {
        2: "a is NaN",
        3: "a is infinite",
        4: "a is text: 'abc' is no number",
        7: "b is text: 'x' is no number",
    }
    assert reasons(dataset, "molecule") == {5: "no label: every target is empty"}
    single = clean_table(smiles, a, ["a"])
    assert list(single.columns["row"]) == [1, 6, 7]
    assert reasons(single, "molecule")[2] == "no label: a is NaN" and reasons(single)[3] == "no label: a is infinite"


def test_text_column_is_refused():
    with pytest.raises(BadInput, match=r"column 'y' is text in 2 of its 3 filled cells \(row 1: 'abc' is no number\)"):
        clean_table(["C", "CC", "CCC", "CCCC"], ["abc", "d", "1", ""], ["y"])
    assert len(clean_table(["C", "CC", "CCC"], ["abc", "1", ""], ["y"])) == 1  # half is not most


def test_table_without_readable_rows_is_refused():
    with pytest.raises(BadInput, match=r"none of 2 rows is left \(row 1: no molecule: syntax error"):
        clean_table(["XX", ""], ["1", "2"], ["y"])
    with pytest.raises(BadInput, match="do not fit"):
        clean_table(["C", "CC"], ["1"], ["y"])


@pytest.mark.parametrize(
    ("rule", "label", "word"), [("median", 2.0, "median"), ("mean", 3.0, "mean"), ("first", 1.0, "first")]
)
def test_rows_of_one_molecule_are_merged(rule, label, word):
    dataset = clean_table(["CCO", "CC", "OCC", "C(O)C"], ["1", "9", "2", "6"], ["y"], rules=CleaningRules(rule))
    assert list(dataset.smiles) == ["CCO", "CC"] and dataset.targets[:, 0].tolist() == [label, 9]
    assert reasons(dataset, "merged") == {
        row: f"same molecule as row 1; {word} of 3 labels, spread 5" for row in (3, 4)
    }


def test_drop_if_spread():
    smiles, labels = ["CCO", "OCC", "CC", "CC", "C"], ["1", "1.2", "3", "3", "4"]
    dataset = clean_table(smiles, labels, ["y"], rules=CleaningRules("drop-if-spread"))
    assert list(dataset.smiles) == ["CC", "C"]
    assert reasons(dataset, "molecule") == dict.fromkeys((1, 2), "labels differ by 0.2 in rows 1, 2")
    assert reasons(dataset, "merged") == {4: "same molecule as row 3; median of 2 labels, spread 0"}
    lenient = clean_table(smiles, labels, ["y"], rules=CleaningRules("drop-if-spread", 0.5))
    assert lenient.targets[:, 0] == pytest.approx([1.1, 3, 4])


def test_merging_fills_gaps_and_keeps_stereoisomers_apart():
    dataset = clean_table(["CCO", "OCC"], [["1", ""], ["", "2"]], ["a", "b"])
    assert dataset.targets.tolist() == [[1, 2]]
    assert len(clean_table(["C[C@H](N)O", "C[C@@H](N)O", "CC(N)O"], [1, 2, 3], ["y"])) == 3


def test_classes_are_decided_by_majority():
    smiles = ["CCO", "OCC", "OCC", "CC", "CC", "C"]
    dataset = clean_table(smiles, [0, 1, 1, 0, 1, 0], ["toxic"])
    assert dataset.kinds == ("binary",) and dataset.targets[:, 0].tolist() == [1, 0]
    assert "equally often" in reasons(dataset, "molecule")[4]
    both = clean_table(smiles, [[0, 5], [1, 5], [1, 5], [0, 6], [1, 6], [0, 7]], ["toxic", "y"])
    np.testing.assert_array_equal(both.targets, [[1, 5], [np.nan, 6], [0, 7]])
    assert "toxic" in reasons(both, "label")[4]


def test_long_smiles_are_noted():
    dataset = clean_table(["C" * 300, "CC"], [1, 2], ["y"])
    assert list(dataset.smiles) == ["C" * 300, "CC"]
    assert dataset.provenance["notes"] == ["1 SMILES have more than 200 characters (rows 1)"]


def test_table_without_targets_has_no_tasks():
    dataset = clean_table(["CCO", "OCC", "X", "C"])
    assert list(dataset.smiles) == ["CCO", "C"] and dataset.targets.shape == (2, 0) and dataset.kinds == ()
    assert reasons(dataset, "merged") == {2: "same molecule as row 1"}
