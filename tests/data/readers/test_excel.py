"""Excel workbooks: choice of the sheet, its header, its cells; and what is refused."""

import datetime
import io
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import openpyxl
import pytest

from core.data.readers import import_file, peek_table, read_table, split_sheet
from core.data.readers.files import MAX_BYTES
from core.data.readers.long_table import read_long_table
from core.engine.report import Report
from core.engine.spec import BadInput
from core.engine.store import Store
from core.experiments import Load, import_files

MOLECULES = [["SMILES", "logS"], ["CCO", -0.5], ["CCN", 1], ["c1ccccc1", 2.25]]
Sheets = dict[str, list[list[Any]]]


@pytest.fixture
def book(tmp_path: Path) -> Callable[..., Path]:
    """Writes a workbook of sheets, some of them hidden."""

    def write(sheets: Sheets, name: str = "book.xlsx", hidden: tuple[str, ...] = ()) -> Path:
        workbook = openpyxl.Workbook()
        workbook.remove(workbook.active)
        for title, rows in sheets.items():
            sheet = workbook.create_sheet(title)
            for row in rows:
                sheet.append(row)
            sheet.sheet_state = "hidden" if title in hidden else "visible"
        workbook.save(tmp_path / name)
        return tmp_path / name

    return write


def test_sheet_is_a_table_of_text(book: Callable[..., Path]) -> None:
    day = datetime.datetime(2024, 1, 31)
    head = ["id", "smiles", "y", "day", "pure", "bound"]
    path = book({"S": [head, [1, "CCO", 0.1, day, True, ">5"], [2, "CCN", -1e-20, day.replace(hour=9), False, None]]})
    table = read_table(path)
    assert table.frame.to_dict("list") == {
        "id": ["1", "2"],
        "smiles": ["CCO", "CCN"],
        "y": ["0.1", "-1e-20"],
        "day": ["2024-01-31", "2024-01-31 09:00:00"],
        "pure": ["true", "false"],
        "bound": [">5", ""],
    }
    assert (table.kind, table.sheet, table.sheets, table.notes) == ("workbook", "S", ("S",), ())
    assert peek_table(path, 1).frame.equals(table.frame.head(1))


def test_first_sheet_with_molecules_is_read_unless_one_is_named(book: Callable[..., Path]) -> None:
    other = [["compound", "ratio"], ["CCCCO", 7]]
    sheets = {"About": [["made by hand"]], "Old": MOLECULES, "Data": MOLECULES[:3], "None": [], "Other": other}
    path = book(sheets, hidden=("Old",))
    table = read_table(path)
    assert table.sheet == "Data" and len(table.frame) == 2 and table.sheets == ("About", "Data", "Other")
    assert table.notes == ("sheet 'Data' was read, not 'About', 'Other'; book.xlsx#About selects another",)
    assert list(read_table(f"{path}#Other").frame["compound"]) == ["CCCCO"]
    assert len(read_table(f"{path}#Old").frame) == 3  # hidden, but asked for
    for name, words in {
        "data": r"no sheet 'data'; it has 'About', 'Old', 'Data', 'None', 'Other'",
        "None": "the sheet 'None' of 'book.xlsx' is empty; it has 'About', 'Data', 'Other'",
        "About": "'book.xlsx#About' has a header and no rows",
    }.items():
        with pytest.raises(BadInput, match=words):
            read_table(f"{path}#{name}")


def test_chart_sheets_are_ignored(tmp_path: Path) -> None:
    workbook = openpyxl.Workbook()
    for row in MOLECULES:
        workbook.active.append(row)
    workbook.create_chartsheet("Chart").add_chart(openpyxl.chart.BarChart())
    workbook.save(tmp_path / "a.xlsx")
    assert read_table(tmp_path / "a.xlsx").sheets == ("Sheet",)
    with pytest.raises(BadInput, match="no sheet 'Chart'; it has 'Sheet'"):
        read_table(f"{tmp_path / 'a.xlsx'}#Chart")


def test_cells_around_the_table_are_skipped(book: Callable[..., Path]) -> None:
    rows = [["Results of 2024"], [], ["Lab", "4"], *MOLECULES]
    rows = [[None, *row, None, *["text"] * (row == ["CCN", 1])] for row in rows] + [[None], ["", " "]]
    table = read_table(book({"S": rows}))
    assert list(table.frame.columns) == ["SMILES", "logS", "column 3"]
    assert list(table.frame["logS"]) == ["-0.5", "1", "2.25"] and list(table.frame["column 3"]) == ["", "text", ""]
    assert "above the header: Results of 2024 / Lab 4, which was skipped" in table.notes


def test_header_is_never_below_molecules(book: Callable[..., Path]) -> None:
    table = read_table(book({"S": [["structure", "y", "by"], ["CCO", 1, "SMILES by hand"], ["CCN", 2, ""]]}))
    assert list(table.frame.columns) == ["structure", "y", "by"] and len(table.frame) == 2


def test_blank_row_keeps_row_numbers(book: Callable[..., Path]) -> None:
    table = read_table(book({"S": [*MOLECULES[:2], [], *MOLECULES[2:]]}))
    assert list(table.frame["SMILES"]) == ["CCO", "", "CCN", "c1ccccc1"]


def test_numbers_typed_as_text_stay_text(book: Callable[..., Path]) -> None:
    table = read_table(book({"S": [["smiles", "y"], ["CCO", "1,5"], ["CCN", "-2"]]}))
    assert list(table.frame["y"]) == ["1,5", "-2"] and table.notes == ()


def test_stray_cell_far_away_costs_no_memory(tmp_path: Path) -> None:
    workbook = openpyxl.Workbook()
    for row in MOLECULES:
        workbook.active.append(row)
    workbook.active["XFD60000"] = "stray"
    workbook.save(tmp_path / "a.xlsx")
    table = read_table(tmp_path / "a.xlsx")
    assert table.frame.shape == (59_999, 3) and table.frame.iloc[-1].tolist() == ["", "", "stray"]


@pytest.mark.parametrize(
    ("sheets", "words"),
    [
        ({"S": []}, "'book.xlsx' is empty: none of its sheets has a filled cell"),
        ({"S": [["CCO", 1.5], ["CCN", 2]]}, r"'book.xlsx#S' begins with data \('CCO 1.5'\); put a header line first"),
        ({"S": MOLECULES[:1]}, "'book.xlsx#S' has a header and no rows"),
        ({"S": [["x"] * 5001, [1] * 5001]}, "has 5,001 columns; up to 5,000 are read"),
        ({"S": [*[[" "]] * 300, *MOLECULES]}, "no cells in its first 200 rows; put the header line first"),
    ],
)
def test_sheet_without_table_is_refused_with_a_reason(book: Callable[..., Path], sheets: Sheets, words: str) -> None:
    with pytest.raises(BadInput, match=words):
        read_table(book(sheets))


@pytest.mark.parametrize("cut", [0.3, 0.6, 0.9])
def test_truncated_workbook_is_refused(book: Callable[..., Path], tmp_path: Path, cut: float) -> None:
    whole = book({"S": MOLECULES}).read_bytes()
    (tmp_path / "half.xlsx").write_bytes(whole[: int(cut * len(whole))])
    with pytest.raises(BadInput, match=r"'half.xlsx' is no readable workbook; copy it again"):
        read_table(tmp_path / "half.xlsx")


def test_damaged_parts_are_refused(book: Callable[..., Path], tmp_path: Path) -> None:
    with zipfile.ZipFile(book({"S": MOLECULES})) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    for name in parts:
        damaged = tmp_path / "damaged.xlsx"
        with zipfile.ZipFile(damaged, "w") as archive:
            for other, content in parts.items():
                archive.writestr(other, content[: len(content) // 2] if other == name else content)
        try:
            assert len(read_table(damaged).frame)  # such as a style, which is not looked at
        except BadInput as error:
            assert "cannot be read as a workbook" in str(error) and "\n" not in str(error)


def test_zip_bomb_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "bomb.xlsx"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("xl/workbook.xml", "")
        with archive.open("xl/worksheets/sheet1.xml", "w") as part:
            for _ in range(MAX_BYTES // 10_000_000 + 1):
                part.write(bytes(10_000_000))
    assert path.stat().st_size < 1_000_000
    with pytest.raises(BadInput, match=r"unpacks to 210 MB; up to 200 are read"):
        read_table(path)


@pytest.mark.parametrize(
    ("name", "file", "sheet"),
    [
        ("a.xlsx#b", "a.xlsx", "b"),
        ("x/A.XLSM#b#c d", "x/A.XLSM", "b#c d"),
        ("a.xlsx#b.xlsx", "a.xlsx", "b.xlsx"),
        ("a.xlsx#", "a.xlsx", ""),
        ("a#2.xlsx", "a#2.xlsx", ""),
        ("a.csv#b", "a.csv#b", ""),
    ],
)
def test_sheet_name_follows_the_file_name(name: str, file: str, sheet: str) -> None:
    assert split_sheet(name) == (Path(file), sheet)


def test_spec_names_the_sheet_and_one_copy_is_stored(book: Callable[..., Path], tmp_path: Path) -> None:
    path, files = book({"A": MOLECULES, "B": MOLECULES[:3]}), Store(tmp_path / "cache").files
    first, second, plain = (import_files(Load(f"file:{path}{sheet}"), files) for sheet in ("#A", "#B", ""))
    assert (first.source, second.source, plain.source) == ("file:book.xlsx#A", "file:book.xlsx#B", "file:book.xlsx")
    assert first.digest == second.digest and first.key != second.key and len(list(files.iterdir())) == 1
    workbook = [spec.make(Report(files=files)) for spec in (first, second, plain)]
    assert [len(table) for table in workbook] == [3, 2, 3]
    assert [table.provenance["sheet"] for table in workbook] == ["A", "B", "A"]
    note = "sheet 'A' was read, not 'B'; book.xlsx#B selects another"
    assert [note in table.provenance["notes"] for table in workbook] == [False, False, True]
    assert import_file(path, "../x\x1b/b\nc.xlsx#d\x1be", files)[0] == "b_c.xlsx#d_e"
    with pytest.raises(BadInput, match=r"'book.xlsx' has no sheet 'C'"):
        import_files(Load(f"file:{path}#C"), files).make(Report(files=files))


def test_long_table_reads_one_sheet(book: Callable[..., Path]) -> None:
    path = book({"A": MOLECULES, "B": MOLECULES[:3]})
    first, second = (read_long_table(Path(f"{path}#{sheet}"), 2) for sheet in "AB")
    assert (first.rows, second.rows, first.name) == (3, 2, "book.xlsx#A") and first.digest != second.digest
    assert [list(frame["SMILES"]) for frame in first.shards(0)] == [["CCO", "CCN"], ["c1ccccc1"]]


def test_uploaded_bytes_are_stored_unchanged(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    workbook = openpyxl.Workbook()
    workbook.active.append(["smiles"])
    workbook.active.append(["CCO"])
    workbook.save(buffer)
    name, digest = import_file(buffer.getvalue(), "book.XLSX", tmp_path)
    assert name == "book.XLSX" and (tmp_path / f"{digest}.xlsx").read_bytes() == buffer.getvalue()
