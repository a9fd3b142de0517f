"""What stands above or below a table in a text file."""

from pathlib import Path

import pytest

from core.data.readers import Reading, read_table
from core.engine.report import Report
from core.experiments import Load
from core.experiments.data.load import import_files


@pytest.mark.parametrize(
    ("text", "skipped"),
    [
        ("sep=;\nsmiles;y\nCCO;1\nCCN;2\n", "sep=;"),
        ('"sep=,"\nsmiles,y\nCCO,1\nCCN,2\n', '"sep=,"'),
        ("# made in 2024\n# by hand\nsmiles,y\nCCO,1\nCCN,2\n", "# made in 2024 / # by hand"),
        ("Solubility of alcohols\n\nsmiles,y\nCCO,1\nCCN,2\n", "Solubility of alcohols"),
        ("Solubility, 2024,,\nsmiles,y,z,note\nCCO,1,2,a\nCCN,2,3,b\n", "Solubility, 2024"),
        ("Title\nUnits: mol/L\nsmiles;y\nCCO;1\nCCN;2\n", "Title / Units: mol/L"),
        ("Report\tA\n\nsmiles\ty\tz\nCCO\t1\t2\nCCN\t2\t3\n", "Report\tA"),
    ],
)
def test_preamble_is_skipped_and_named(tmp_path: Path, text: str, skipped: str) -> None:
    path = tmp_path / "a.csv"
    path.write_text(text)
    table = read_table(path)
    assert list(table.frame["smiles"]) == ["CCO", "CCN"] and list(table.frame["y"]) == ["1", "2"]
    assert any("above the header" in note and skipped in note for note in table.notes)


@pytest.mark.parametrize("text", ["#smiles,y\nCCO,1\nCCN,2\n", "# comment\n# smiles,y\nCCO,1\nCCN,2\n"])
def test_header_may_be_a_comment(tmp_path: Path, text: str) -> None:
    path = tmp_path / "a.csv"
    path.write_text(text)
    assert list(read_table(path).frame.columns) == ["smiles", "y"]


def test_header_line_can_be_chosen(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("structure,value\nsmiles,y\nCCO,1\nCCN,2\n")
    assert list(read_table(path, reading=Reading(header=2)).frame.columns) == ["smiles", "y"]
    assert len(read_table(path, reading=Reading(header=1)).frame) == 3


def test_blanks_separate_cells(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("smiles   logS\nCCO  -1.5\nCCN       2\n")
    table = read_table(path)
    assert table.frame.to_dict("list") == {"smiles": ["CCO", "CCN"], "logS": ["-1.5", "2"]}
    assert "blanks separate the cells" in table.notes


def test_third_column_of_smi(tmp_path: Path) -> None:
    path = tmp_path / "a.smi"
    path.write_text("CCO ethanol 1.5\nCCN ethylamine -2\n")
    assert read_table(path).frame.to_numpy().tolist() == [["CCO", "ethanol", "1.5"], ["CCN", "ethylamine", "-2"]]
    path.write_text("CCO ethanol one\nCCN ethylamine 2\n")
    assert list(read_table(path).frame.columns) == ["smiles", "id"]


@pytest.mark.parametrize(("last", "rows"), [("N,3", 3), ("N,2", 4), ("N,1.5", 4)])
def test_number_of_rows_below_the_table_is_no_ammonia(tmp_path: Path, last: str, rows: int) -> None:
    path = tmp_path / "a.csv"
    path.write_text(f"smiles,y\nCCO,1\nCCN,2\nCCC,2.5\n{last}\n")
    files = tmp_path / "files"
    table = import_files(Load(f"file:{path}"), files).make(Report(files=files))
    assert len(table) == rows
    assert [reason for reason in table.dropped["reason"] if "number of rows" in reason] == (
        ["'N, 3' is the number of rows, not ammonia"] if rows == 3 else []
    )
