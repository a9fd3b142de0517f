"""Numbers as text: the marks that a column proves, and the values that follow."""

import numpy as np
import pandas as pd
import pytest

from core.data.readers import MarkEvidence, NumberMarks, NumericText, decide_marks, parse_numbers
from core.data.readers.numbers import MARKS


def read(cells: list[str], wanted: str = "", others: tuple[list[str], ...] = ()) -> list[float] | str:
    """The values of a column, or the reason why it is undecided."""
    evidence, other_evidence = MarkEvidence(), [MarkEvidence() for _ in others]
    evidence.add(cells)
    for one, column in zip(other_evidence, others, strict=True):
        one.add(column)
    decision = decide_marks("y", evidence, wanted, other_evidence)
    if decision.undecided:
        return decision.reason
    return parse_numbers(pd.Series(cells, dtype=object), NumberMarks(MARKS[decision.value]))[0].tolist()


@pytest.mark.parametrize(
    ("cells", "values"),
    [
        (["12", "843", "2,142", "21,379"], [12, 843, 2142, 21379]),  # no plain number reaches 1,000
        (["2.142,89", "3,5"], [2142.89, 3.5]),
        (["2,142.89", "3.5"], [2142.89, 3.5]),
        (["1,234,567", "12"], [1234567, 12]),
        (["1.234.567", "12"], [1234567, 12]),
        (["0,125", "1,250"], [0.125, 1.25]),  # a thousand does not begin with 0
        (["1,5", "2,142"], [1.5, 2.142]),
        (["2142,125", "1,125"], [2142.125, 1.125]),
        (["1500", "2,142"], [1500, 2.142]),  # thousands have no mark here
        (["12 345", "1 234,5"], [12345, 1234.5]),
        (["12\N{NO-BREAK SPACE}345", "7"], [12345, 7]),
        (["1\N{NARROW NO-BREAK SPACE}234\N{NARROW NO-BREAK SPACE}567", "7.5"], [1234567, 7.5]),
        (["1'234.5", "7"], [1234.5, 7]),
        (["1,5e3", "2"], [1500, 2]),
        (["-1,5", "+2", "\N{MINUS SIGN}3,25"], [-1.5, 2, -3.25]),
        (["1.5", "2,142"], [1.5, 2142]),
        ([" 1,5 ", "-", "NA"], [1.5, np.nan, np.nan]),
        ([NumericText("2142.5"), "1,5"], [2142.5, 1.5]),  # the workbook knows the first
    ],
)
def test_marks_are_read_as_the_column_proves(cells: list[str], values: list[float]) -> None:
    np.testing.assert_array_equal(read(cells), values)


@pytest.mark.parametrize(
    "cells",
    [
        ["2,142", "3,250"],  # nothing but three digits
        ["5.123", "6.250", "7.875"],
        ["12", "843", "2.142", "21.379"],  # thousands with points, or three decimals
        ["1,5", "2.5"],
        ["1,234", "2.345"],
    ],
)
def test_undecided_columns_ask_and_follow_the_answer(cells: list[str]) -> None:
    assert isinstance(read(cells), str)
    point, comma = read(cells, "point"), read(cells, "comma")
    assert isinstance(point, list) and isinstance(comma, list) and not np.array_equal(point, comma, equal_nan=True)


def test_a_file_with_commas_between_cells_has_decimal_points() -> None:
    evidence = MarkEvidence()
    evidence.add(["5.123", "6.250", "7.875"])
    decision = decide_marks("y", evidence, convention="cells are separated by commas")
    assert decision.value == "point" and "commas" in decision.reason


def test_another_column_of_the_file_may_prove_the_mark() -> None:
    assert read(["2,142", "3,250"], others=(["0,5"],)) == [2.142, 3.25]
    assert read(["2,142", "3,250"], others=(["0.5"],)) == [2142, 3250]
    assert isinstance(read(["2,142", "3,250"], others=(["0.5"], ["0,5"])), str)


def test_groups_that_are_none_are_text() -> None:
    values, errors, text = parse_numbers(["1,2,3", "12,34", "1 23", "1.2.3", "1,234"], NumberMarks("."))
    assert np.isnan(values[:4]).all() and values[4] == 1234 and text == [0, 1, 2, 3] and set(errors) == {0, 1, 2, 3}


def test_missing_marks_are_no_numbers() -> None:
    for cells in (["1.5", "-999", "NA"], np.array([1.5, -999.0, np.nan])):
        values, errors, _ = parse_numbers(cells, NumberMarks(), ("-999",))
        np.testing.assert_array_equal(values, [1.5, np.nan, np.nan])
        assert errors == {}


def test_evidence_of_shards_adds_up() -> None:
    cells = ["12", "843", "2,142"]
    whole, parts = MarkEvidence(), MarkEvidence()
    whole.add(cells)
    for cell in cells:
        parts.add([cell])
    assert whole == parts
