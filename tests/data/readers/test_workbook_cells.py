"""What a workbook says beside the text of its cells: formulas without a value, hidden cells, merged cells, formats."""

import datetime
import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import openpyxl
import pandas as pd
import pytest

from core.data.annotated_table import Annotation, annotate_table
from core.data.dataset import Dataset
from core.data.readers import NumericText, peek_table, read_table
from core.data.readers.sheet_layout import parse_area, read_layout
from core.engine.report import SILENT_REPORT, Report
from core.engine.spec import BadInput
from core.engine.store import Store
from core.experiments import Load, import_files

SMILES = ["CCO", "CCN", "CCC", "CCCO", "c1ccccc1", "CCCl"]
NUMBERS = [0.5, 1.25, -2, 3.75, 0, 5.5]
HEADER = ["smiles", "logS", "other"]
Change = Callable[[Any], None]


@pytest.fixture
def book(tmp_path: Path) -> Callable[..., Path]:
    """Writes a sheet of six molecules with `logS` in column B and `other` in column C, changed by a function."""

    def write(change: Change = lambda sheet: None, header: list[str] = HEADER) -> Path:
        workbook = openpyxl.Workbook()
        workbook.active.append(header)
        for row, (smiles, number) in enumerate(zip(SMILES, NUMBERS, strict=True)):
            workbook.active.append([smiles, number, row * 1.5])
        change(workbook.active)
        workbook.save(tmp_path / "book.xlsx")
        return tmp_path / "book.xlsx"

    return write


@pytest.fixture
def load(tmp_path: Path) -> Callable[..., Dataset]:
    def load(path: Path, **fields: Any) -> Dataset:
        files = Store(tmp_path / "cache").files
        return import_files(Load(f"file:{path}", **fields), files).make(Report(files=files))

    return load


def edit(path: Path, part: str, change: Callable[[str], str]) -> Path:
    """The workbook with the text of a part changed, as other programs write it."""
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name).decode() for name in archive.namelist()}
    parts[part] = change(parts[part])
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in parts.items():
            archive.writestr(name, text)
    return path


SHEET = "xl/worksheets/sheet1.xml"


def fill(column: str, values: list[Any], number_format: str = "") -> Change:
    def change(sheet: Any) -> None:
        for row, value in enumerate(values, 2):
            sheet[f"{column}{row}"] = value
            if number_format:
                sheet[f"{column}{row}"].number_format = number_format

    return change


# formulas


def test_formulas_that_were_never_calculated_are_no_empty_label(book: Any, load: Any) -> None:
    path = book(fill("B", [f"=C{row}*2" for row in range(2, 8)]))
    words = r"column 'logS': 6 formulas have no value \(first B2\).*open and save it in Excel or LibreOffice"
    for fields in ({}, {"targets": ("logS",)}):
        with pytest.raises(BadInput, match=words):
            load(path, **fields)
    table = load(path, targets=("other",))
    assert table.targets[:, 0].tolist() == [0, 1.5, 3, 4.5, 6, 7.5]
    assert any("'logS': 6 formulas have no value" in note for note in table.provenance["notes"])


def test_one_formula_without_a_value_is_enough(book: Any, load: Any) -> None:
    path = book(fill("B", [0.5, 1.25, "=1+1", 3.75, 0, 5.5]))
    with pytest.raises(BadInput, match=r"1 formula has no value \(first B4\)"):
        load(path)


def test_formulas_of_a_column_that_is_no_candidate_are_noted_only(book: Any, load: Any) -> None:
    path = book(fill("C", [f"=B{row}*2" for row in range(2, 8)]))
    table = load(path)  # logS is named like a measurement, so that the other column is none with values either
    assert table.tasks == ("logS",) and any("'other': 6 formulas" in note for note in table.provenance["notes"])
    path = book(fill("C", [f"=B{row}*2" for row in range(2, 8)]), ["smiles", "a", "b"])
    with pytest.raises(BadInput, match=r"column 'b': 6 formulas have no value \(first C2\)"):
        load(path)


def test_smiles_by_a_formula_without_a_value(book: Any, load: Any) -> None:
    with pytest.raises(BadInput, match=r"column 'smiles': 6 formulas have no value \(first A2\)"):
        load(book(fill("A", ['="CC"&"O"'] * 6)))


def test_a_zero_in_place_of_a_value_is_none(book: Any, load: Any, tmp_path: Path) -> None:
    """Programs that do not calculate may write 0 as the value of every formula, and ask for a calculation."""
    path = book(fill("B", [f"=C{row}*2" for row in range(2, 8)]))
    edit(path, SHEET, lambda text: re.sub(r"(</f>)<v ?/?>(</v>)?", r"\1<v>0</v>", text))
    with pytest.raises(BadInput, match="'logS': 6 formulas have no value"):
        load(path)
    edit(path, "xl/workbook.xml", lambda text: text.replace('fullCalcOnLoad="1"', ""))  # calculated: zeros are zeros
    assert load(path).targets[:, 0].tolist() == [0] * 6
    edit(path, "xl/workbook.xml", lambda text: text.replace("<calcPr ", '<calcPr fullCalcOnLoad="1" '))
    edit(path, SHEET, lambda text: text.replace("<v>0</v>", "<v>2.5</v>", 3))  # not all are 0: values were given
    assert load(path).targets[:, 0].tolist()[:2] == [2.5, 2.5]


def test_calculated_formulas_have_their_value(book: Any, load: Any) -> None:
    path = book(fill("B", [f"=C{row}*2" for row in range(2, 8)]))
    edit(path, SHEET, lambda text: re.sub(r"<f>C(\d)\*2</f><v ?/?>(</v>)?", r"<f>C\1*2</f><v>\1.5</v>", text))
    assert load(path).targets[:, 0].tolist() == [2.5, 3.5, 4.5, 5.5, 6.5, 7.5]
    edit(
        path, SHEET, lambda text: text.replace('<c r="B3"><f>C3*2</f><v>3.5</v>', '<c r="B3" t="str"><f>""</f><v></v>')
    )
    table = load(path)  # the text "" is a value: the label is missing
    assert table.targets[:, 0].tolist() == [2.5, 4.5, 5.5, 6.5, 7.5]


def test_all_cells_of_an_array_formula_are_without_a_value(book: Any, load: Any) -> None:
    from openpyxl.worksheet.formula import ArrayFormula

    def change(sheet: Any) -> None:
        fill("B", [None] * 6)(sheet)
        sheet["B2"] = ArrayFormula("B2:B7", "=C2:C7*2")

    with pytest.raises(BadInput, match=r"'logS': 6 formulas have no value \(first B2\)"):
        load(book(change), targets=("logS",))


def test_an_array_over_the_whole_sheet_costs_no_memory(book: Any) -> None:
    from openpyxl.worksheet.formula import ArrayFormula

    def change(sheet: Any) -> None:
        sheet["B2"] = ArrayFormula("B2:XFD1048576", "=1")

    table = read_table(book(change))
    assert set(table.faults) == {"logS", "other"} and len(table.frame) == 6


# errors, dates, percent, text


def test_errors_in_a_column_of_numbers_are_listed(book: Any, load: Any) -> None:
    table = load(book(fill("B", [0.5, "#REF!", -2, "#N/A", 0, 5.5])))
    assert table.targets[:, 0].tolist() == [0.5, -2, 0, 5.5] and sorted(table.dropped["row"]) == [2, 4]
    assert any("'logS': 2 cells are errors (first B3: #REF!)" in note for note in table.provenance["notes"])


@pytest.mark.parametrize("errors", [["#REF!"] * 6, ["#NAME?"] * 5 + [1], [1.5, 2, *["#VALUE!"] * 4]])
def test_a_column_of_errors_does_not_make_way_for_another(book: Any, load: Any, errors: list) -> None:
    with pytest.raises(BadInput, match=r"column 'logS': \d cells are errors \(first B[24]"):
        load(book(fill("B", errors)))
    assert load(book(fill("B", errors)), targets=("other",)).tasks == ("other",)


DAY = datetime.datetime(2024, 5, 1)


@pytest.mark.parametrize(
    ("values", "cell"),
    [
        ([0.5, DAY, 2, 3.75, 0, 5.5], "B3: 2024-05-01"),
        ([DAY] * 5 + [0.5], "B2: 2024-05-01"),
        ([DAY] * 6, "B2: 2024-05-01"),
        ([0.5, datetime.time(1, 30), 2, 3, 4, 5], "B3: 01:30:00"),
    ],
)
def test_numbers_that_became_dates_are_refused(book: Any, load: Any, values: list, cell: str) -> None:
    with pytest.raises(BadInput, match=f"'logS': . cells? (is a date|are dates).*first {cell}"):
        load(book(fill("B", values)))


def test_a_column_of_dates_is_no_fault(book: Any, load: Any) -> None:
    for values in ([DAY] * 6, [DAY, 2019, 2020, DAY, 2021, 2022]):
        assert load(book(fill("C", values))).provenance["notes"] == []


def test_percent_is_read_as_it_is_stored_and_said(book: Any, load: Any) -> None:
    table = load(book(fill("B", [0.125, 0.5, 1, 0, 0.25, 0.75], "0.0%")))
    assert table.targets[:, 0].tolist() == [0.125, 0.5, 1, 0, 0.25, 0.75]
    (note,) = table.provenance["notes"]
    assert (
        note
        == "column 'logS': its numbers are shown in percent and were read as fractions (B2: 0.125 is shown as 12.5 %)"
    )


@pytest.mark.parametrize("number_format", ["0%", "0.00%", '0.0" "%', "0 %;[Red]-0 %"])
def test_percent_beside_other_numbers_is_refused(book: Any, load: Any, number_format: str) -> None:
    path = book(fill("B", [0.125, 0.5], number_format))
    with pytest.raises(BadInput, match=r"2 numbers are shown in percent, 3 are not \(B2: 0.125 is shown as 12.5 %\)"):
        load(path)


@pytest.mark.parametrize("number_format", ['0.0"%"', r"0.0\%", "0.00_d", '0.0" mM"', "#,##0.00 [$€-1]", "0.00E+00"])
def test_other_formats_change_no_number(book: Any, load: Any, number_format: str) -> None:
    table = load(book(fill("B", [0.125, 0.5], number_format)))
    assert table.targets[:, 0].tolist() == [0.125, 0.5, -2, 3.75, 0, 5.5]


def test_stored_numbers_are_told_from_text(book: Any, load: Any) -> None:
    path = book(fill("B", [2142, "843", 12.5, "1.5", -1e-20, True]))
    cells = read_table(path).frame["logS"].tolist()
    assert cells == ["2142", "843", "12.5", "1.5", "-1e-20", "true"]
    assert [isinstance(cell, NumericText) for cell in cells] == [True, False, True, False, True, False]
    path = book(fill("B", [2.142, 21.379, 12.125, 843.5, 1.125, 3.625]))  # a point of a stored number is no doubt
    assert load(path).targets[:, 0].tolist() == [2.142, 21.379, 12.125, 843.5, 1.125, 3.625]


# hidden rows and columns


def hide_rows(*rows: int) -> Change:
    def change(sheet: Any) -> None:
        for row in rows:
            sheet.row_dimensions[row].hidden = True

    return change


def hide_by_filter(sheet: Any) -> None:
    sheet.auto_filter.ref = "A1:C7"
    sheet.auto_filter.add_filter_column(1, ["1.25"])
    hide_rows(3, 5)(sheet)


@pytest.mark.parametrize("change", [hide_rows(3, 5), hide_by_filter])
def test_hidden_rows_are_asked_about(book: Any, load: Any, change: Change) -> None:
    path = book(change)
    table = read_table(path)
    assert table.hidden_rows == (1, 3) and len(table.frame) == 6
    by = "by a filter" if change is hide_by_filter else "in the sheet"
    assert f"2 rows are hidden {by}, the first is row 3 of the sheet" in table.notes
    assert peek_table(path, 3).hidden_rows == (1,)
    words = r"2 of 6 rows are hidden .*--read hidden=drop or --read hidden=keep .in a spec: the field 'hidden' of load"
    with pytest.raises(BadInput, match=words):
        load(path)
    dropped, both = load(path, hidden="drop"), load(path, hidden="keep")
    assert list(dropped.smiles) == ["CCO", "CCC", "c1ccccc1", "CCCl"] and list(dropped.columns["row"]) == [1, 3, 5, 6]
    assert dropped.dropped[["row", "reason"]].to_numpy().tolist() == [
        [2, "the row is hidden in the sheet"],
        [4, "the row is hidden in the sheet"],
    ]
    assert len(both) == 6 and both.targets[:, 0].tolist() == NUMBERS


def test_rows_and_columns_without_height_or_width_are_hidden(book: Any) -> None:
    path = book(lambda sheet: setattr(sheet.column_dimensions["C"], "width", 9))
    edit(path, SHEET, lambda text: text.replace('<row r="3"', '<row r="3" ht="0"').replace('width="9"', 'width="0"'))
    table = read_table(path)
    assert table.hidden_rows == (1,) and table.hidden_columns == ("other",)


def test_hidden_rows_outside_of_the_table_do_not_matter(book: Any, load: Any) -> None:
    assert load(book(hide_rows(9, 100))).provenance["notes"] == []

    def shift(sheet: Any) -> None:
        sheet.insert_rows(1, 2)
        sheet["A1"] = "title"
        hide_rows(1, 2, 5)(sheet)

    table = read_table(book(shift))
    assert table.hidden_rows == (1,) and "row 5 of the sheet" in " ".join(table.notes)


def test_a_hidden_column_is_no_guess(book: Any, load: Any) -> None:
    def change(sheet: Any) -> None:
        sheet.column_dimensions["B"].hidden = True

    path = book(change)
    assert read_table(path).hidden_columns == ("logS",) and "hidden columns: 'logS'" in read_table(path).notes
    with pytest.raises(BadInput, match="column 'logS' is hidden; drop leaves it out, keep reads it"):
        load(path)
    assert load(path, targets=("logS",)).tasks == load(path, hidden="keep").tasks == ("logS",)
    assert load(path, hidden="drop").tasks == load(path, targets=("other",)).tasks == ("other",)


def test_predictions_keep_hidden_rows_unless_told_otherwise(book: Any, tmp_path: Path) -> None:
    from core.data.readers import Reading

    path, out = book(hide_rows(3, 5)), tmp_path / "out.csv"
    notes: list[str] = []
    report = Report(tell=lambda fraction, message, numbers: notes.append(message))
    for reading, rows in ((Reading(), 6), (Reading(hidden="drop"), 4)):
        columns = {"columns": lambda chunk, _: {"size": chunk.targets.sum(1)}, "product": "abc", "reading": reading}
        annotate_table(path, out, Annotation(**columns), report)
        assert len(pd.read_csv(out)) == rows
    assert any("2 rows are hidden" in note for note in notes)


def test_labels_of_a_table_to_score_have_values(book: Any, tmp_path: Path) -> None:
    path = book(fill("B", ["=1+1"] * 6))
    annotation = Annotation(lambda chunk, _: {}, ("logS",), labels=["logS"], product="abc")
    with pytest.raises(BadInput, match="'logS': 6 formulas have no value"):
        annotate_table(path, tmp_path / "out.csv", annotation, SILENT_REPORT)
    assert [path.name for path in tmp_path.iterdir()] == ["book.xlsx"]


# merged cells


def test_a_merged_structure_is_that_of_each_row(book: Any, load: Any) -> None:
    def change(sheet: Any) -> None:
        sheet.merge_cells("A2:A4")

    path = book(change)
    assert read_table(path).frame["smiles"].tolist() == ["CCO", "CCO", "CCO", "CCCO", "c1ccccc1", "CCCl"]
    table = load(path, merge_all=True)
    assert table.targets[0, 0] == 0.5 and list(table.columns["row"]) == [1, 4, 5, 6]  # the median of 0.5, 1.25, -2
    assert any("'smiles': 1 cell is merged over several rows (first A2:A4)" in n for n in table.provenance["notes"])


def test_a_merged_label_of_different_molecules_is_refused(book: Any, load: Any) -> None:
    def change(sheet: Any) -> None:
        sheet.merge_cells("B2:B4")
        sheet.merge_cells("C6:C7")

    with pytest.raises(BadInput, match=r"'logS': 1 cell is merged over several rows \(first B2:B4\)"):
        load(book(change))

    def merge_both(sheet: Any) -> None:
        sheet.merge_cells("A2:A4")
        sheet.merge_cells("B2:B4")

    table = load(book(merge_both), merge_all=True)
    assert table.smiles[0] == "CCO" and table.targets[0, 0] == 0.5


def test_merged_cells_over_the_header_are_skipped(book: Any, load: Any) -> None:
    def change(sheet: Any) -> None:
        sheet.insert_rows(1)
        sheet["A1"], sheet["B1"], sheet["C1"] = "compound", "activity", None
        sheet["D2"] = "by"
        sheet.merge_cells("B1:C1")

    table = read_table(book(change, ["structure", "logS", "other"]))
    assert list(table.frame.columns) == ["structure", "logS", "other", "by"] and len(table.frame) == 6
    assert "above the header: compound activity, which was skipped" in table.notes


def test_overlapping_and_endless_merged_cells_cost_no_time(book: Any) -> None:
    path = book()
    areas = "".join(f'<mergeCell ref="A{row % 5 + 2}:A1048576"/>' for row in range(20_000))
    edit(path, SHEET, lambda text: text.replace("</sheetData>", f"</sheetData><mergeCells>{areas}</mergeCells>"))
    assert read_table(path).frame["smiles"].tolist() == ["CCO"] * 6


# the XML


def test_cells_without_addresses_and_names_with_prefixes(book: Any) -> None:
    """As some programs write them."""
    path = book(fill("B", [0.5, "=1+1"]))
    edit(path, SHEET, lambda text: re.sub(r'(<(?:c|row)) r="\w+"', r"\1", text))
    layout = read_layout(path, "Sheet")
    assert layout.uncalculated == {2: [3]}
    edit(path, SHEET, lambda text: re.sub(r"(</?)(?=\w)", r"\1x:", text).replace("xmlns=", "xmlns:x="))
    assert read_layout(path, "Sheet") == layout


@pytest.mark.parametrize("part", [SHEET, "xl/styles.xml", "xl/workbook.xml"])
def test_entities_are_refused(book: Any, part: str) -> None:
    bomb = '<!DOCTYPE x [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;">]>'
    path = edit(book(), part, lambda text: bomb + re.sub(r"<\?xml[^>]*\?>", "", text))
    with pytest.raises(BadInput) as caught:
        read_table(path)
    assert "\n" not in str(caught.value)


def test_areas() -> None:
    assert parse_area("B2:C9") == (2, 2, 9, 3) and parse_area("$AA$10") == (10, 27, 10, 27)
    assert parse_area("") is parse_area("A1:") or parse_area("A1:") == (1, 1, 1, 1)
    assert parse_area("x") is parse_area("A:B") is None
