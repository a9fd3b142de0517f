"""Columns of labels: classes, marks of missing values, what is asked."""

import numpy as np
import pandas as pd
import pytest

from core.data.readers import Labels, Reading, read_labels


def read(cells: list, **fields: object) -> Labels:
    return read_labels(pd.Series(cells, dtype=object), "y", Reading(**fields))


@pytest.mark.parametrize(
    ("cells", "values", "classes"),
    [
        (["-1", "1"] * 8, [0, 1], ("-1", "1")),
        (["1", "2"] * 8, [0, 1], ("1", "2")),
        (["Active", "Inactive"] * 8, [1, 0], ("Inactive", "Active")),
        (["yes", "No"] * 2, [1, 0], ("No", "yes")),
        (["+", "-"] * 2, [1, 0], ("-", "+")),
        (["mutagen", "clean"] * 8, [1, 0], ("clean", "mutagen")),
        (["10", "1e2"] * 8, [0, 1], ("10", "100")),
    ],
)
def test_two_values_are_two_classes(cells: list[str], values: list[float], classes: tuple[str, ...]) -> None:
    labels = read(cells)
    assert labels.values[:2].tolist() == values and labels.classes == classes
    (decision,) = labels.decisions
    assert decision.field == "classes" and not decision.undecided and " = 0, " in decision.value


def test_classes_can_be_turned() -> None:
    labels = read(["Active", "Inactive", "?"] * 4, classes=("Active", "Inactive"))
    np.testing.assert_array_equal(labels.values[:3], [0, 1, np.nan])
    assert read(["1.0", "-1"] * 8, classes=("1", "-1")).values[:2].tolist() == [0, 1]


def test_zero_and_one_and_few_repeats_are_left_alone() -> None:
    for cells in (["0", "1"] * 8, ["1.2", "3.4", "1.2"], ["true", "false"] * 3):
        assert read(cells).decisions == [] and read(cells).classes == ()


@pytest.mark.parametrize("cells", [["0", "1", "2"] * 8, ["low", "mid", "high"] * 8, ["1", "2", "3", "4", "5"] * 4])
def test_three_values_and_more_are_asked_about(cells: list[str]) -> None:
    (decision,) = read(cells).decisions
    assert decision.undecided and decision.field == "labels" and "classes" in decision.options
    classes = read(cells, labels="classes")
    assert len(classes.classes) == len(set(cells)) and not any(one.undecided for one in classes.decisions)
    assert set(np.unique(classes.values)) == set(range(len(set(cells))))
    if cells[0].isdigit():
        assert read(cells, labels="numbers").decisions == []


@pytest.mark.parametrize(
    ("cells", "mark"),
    [
        (["0", "1", "1", "-1"] * 8, "-1"),
        (["1.5", "-2.5", "0.5", "-999"] * 4, "-999"),
        (["1.5", "2.5", "0.5", "9999"], "9999"),
        ([0.5, 1.5, 2.5, -99.0], "-99"),
    ],
)
def test_marks_of_missing_values_are_asked_about(cells: list, mark: str) -> None:
    (decision,) = read(cells).decisions
    assert decision.undecided and decision.field == "missing" and decision.options == (mark, "none")
    without = read(cells, missing=(mark,), labels="numbers")
    assert np.isnan(without.values).sum() == sum(float(cell) == float(mark) for cell in cells)
    assert not np.isnan(read(cells, missing=("none",), labels="numbers").values).any()


@pytest.mark.parametrize(
    "cells", [["12", "843", "999", "1100"], ["-99", "-80", "-114", "-3"], ["-1", "-2.5", "3", "0"]]
)
def test_ordinary_values_are_no_marks(cells: list[str]) -> None:
    assert not any(decision.undecided for decision in read(cells).decisions)
