import gzip
import hashlib
import stat

import numpy as np
import pandas as pd
import pytest
from rdkit import Chem

from core.data import readers
from core.data.readers import (
    guess_smiles,
    guess_targets,
    import_file,
    parse_numbers,
    peek_table,
    read_table,
    table_suffix,
)
from core.engine.spec import BadInput


@pytest.fixture
def written(tmp_path):
    """Writes text or bytes to a file of this name and gives its path."""

    def write(content, name="table.csv"):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_delimiter_is_detected(written, delimiter):
    text = "smiles,name,logS\nCCO,ethanol,1.5\nCCN,ethylamine,-2\n".replace(",", delimiter)
    table = read_table(written(text))
    assert table.delimiter == delimiter and table.kind == "csv" and table.encoding == "utf-8" and table.notes == ()
    assert table.frame.to_dict("list") == {
        "smiles": ["CCO", "CCN"],
        "name": ["ethanol", "ethylamine"],
        "logS": ["1.5", "-2"],
    }


def test_quoted_cells_may_contain_delimiters_and_line_ends(written):
    table = read_table(written('smiles,"name, long",y\r\nCCO,"1,2; a\nb",3\r\nC,"5""-x",4\r\n'))
    assert list(table.frame.columns) == ["smiles", "name, long", "y"]
    assert list(table.frame["name, long"]) == ["1,2; a\nb", '5"-x']


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "cp1252"])
def test_encoding_is_detected(written, encoding):
    path = written("smiles,name,logS (µmol)\nCCO,é—è,1\nCCN,ü,2\n".encode(encoding))
    for table in (read_table(path), peek_table(path)):
        assert table.encoding == encoding
        assert list(table.frame.columns) == ["smiles", "name", "logS (µmol)"]
        assert list(table.frame["name"]) == ["é—è", "ü"]
    assert ("cp1252" in " ".join(table.notes)) == (encoding == "cp1252")


def test_latin_1_is_the_fallback_of_cp1252(written):
    table = read_table(written(b"smiles,name\nCCO,a\x81\xe9\n"))
    assert table.encoding == "latin-1" and table.frame["name"][0] == "a\x81é"


@pytest.mark.parametrize(
    ("content", "name", "reason"),
    [
        ("", "table.csv", "is empty"),
        (" \n\n", "table.csv", "is empty"),
        ("smiles,y\n", "table.csv", "header and no rows"),
        ("smiles,y\n\n\n", "table.csv", "header and no rows"),
        ("smiles,y\nCCO,1\nCCN;2\nC,3\n", "table.csv", r"mixed delimiters: comma in the header, semicolon in line 3"),
        ("smiles,y\nCCO,1\nCCN;2,5\nC,3\n", "table.csv", r"mixed delimiters: .*semicolon in line 3"),
        ("smiles;y\nCCO,1\nCCN,2\n", "table.csv", "mixed delimiters: semicolon in the header, comma in line 2"),
        ("smiles\nCCO\nCCN,2\n", "table.csv", "line 3"),
        ("smiles,y\nCCO,1\nCCN,2,3\n", "table.csv", "line 3 has 3 cells and the header 2"),
        ("smiles,y,z\nCCO,1,2\nCCN,2\n", "table.csv", "line 3 has 2 cells and the header 3"),
        ('smiles,y\nCCO,1\nCCN,"2\nC,3\n', "table.csv", "quote is left open"),
        ("CCO,1.5\nCCN,2\n", "table.csv", "begins with data"),
        ("c1ccccc1\nCCN\n", "table.csv", "begins with data"),
        (b"\x00\x01\x02" * 100, "table.csv", "not text"),
        (b"PK\x03\x04 xl/styles", "table.csv", "workbook"),
        (b"PK\x03\x04 x", "table.csv", "archive"),
        (b"\xd0\xcf\x11\xe0 x", "table.csv", "workbook"),
        (b"\0" * 257 + b"ustar" + b"\0" * 250, "table.csv", "archive"),
        ("x", "table.xlsx", "no readable workbook.*CSV"),
        ("x", "table.ods", "workbook in an unsupported format.*CSV"),
        ("x", "table.xlsx.gz", "ends? in one of .csv"),
        ("x", "table.zip", "archive"),
        ("x", "table.tar.gz", "archive"),
        ("x", "table.pkl", "ends? in one of .csv"),
        ("x", "table.parquet", "no readable Parquet file"),
        (b"\x1f\x8b\x08 damaged", "table.csv.gz", "cannot be unpacked"),
    ],
)
def test_unreadable_files_are_refused_with_a_reason(written, content, name, reason):
    with pytest.raises(BadInput, match=reason) as caught:
        read_table(written(content, name))
    assert "\n" not in str(caught.value)


def test_missing_file_is_refused(tmp_path):
    with pytest.raises(BadInput, match="there is no file"):
        read_table(tmp_path / "no.csv")


def test_limits_of_bytes_rows_and_columns(written, monkeypatch):
    from core.data.readers import files
    from core.data.readers import raw_table as reading

    path = written("smiles,y\n" + "CCO,1\n" * 50)
    packed = written(gzip.compress(path.read_bytes()), "table.csv.gz")
    assert len(read_table(packed).frame) == 50
    monkeypatch.setattr(files, "MAX_BYTES", 200)
    assert packed.stat().st_size < 200
    for each in (path, packed):
        with pytest.raises(BadInput, match="MB"):
            read_table(each)
    with pytest.raises(BadInput, match="MB"):
        import_file(path.read_bytes(), "table.csv", path.parent / "files")
    monkeypatch.setattr(files, "MAX_BYTES", 10_000)
    monkeypatch.setattr(reading, "MAX_ROWS", 49)
    with pytest.raises(BadInput, match="50 rows"):
        read_table(path)
    wide = written("smiles," + ",".join(f"c{k}" for k in range(5000)) + "\nCCO" + "," * 5000 + "\n", "wide.csv")
    monkeypatch.setattr(files, "MAX_BYTES", 200_000_000)
    with pytest.raises(BadInput, match="5,001 columns"):
        read_table(wide)


def test_empty_and_duplicate_column_names_are_replaced(written):
    table = read_table(written(",smiles,y,y\n0,CCO,1,2\n1,CCN,3,4\n"))
    assert list(table.frame.columns) == ["column 1", "smiles", "y", "y (again)"]
    assert len(table.notes) == 2


def test_blank_lines_keep_row_numbers(written):
    table = read_table(written("smiles\nCCO\n\nCCN\n\n\n"))
    assert list(table.frame["smiles"]) == ["CCO", "", "CCN"]


def test_smi(written):
    table = read_table(written("CCO ethanol and more\nCCN\tethylamine\nC |$x$| methane\n", "a.smi"))
    assert table.frame.to_numpy().tolist() == [
        ["CCO", "ethanol and more"],
        ["CCN", "ethylamine"],
        ["C |$x$|", "methane"],
    ]
    assert table.kind == "smi"
    headed = read_table(written(gzip.compress(b"SMILES Name\nCCO a\n"), "b.smi.gz"))
    assert headed.frame.to_numpy().tolist() == [["CCO", "a"]] and len(headed.notes) == 1
    assert list(read_table(written("CCO\nCCN\n", "c.smi")).frame.columns) == ["smiles"]


def test_sdf(written):
    blocks = []
    for name, smiles, label in (("ethanol", "CCO", "-0.3"), ("alanine", "C[C@H](N)C(=O)O", "0.2")):
        molecule = Chem.MolFromSmiles(smiles)
        molecule.SetProp("_Name", name)
        blocks.append(Chem.MolToMolBlock(molecule) + f">  <logS>  (1) \n{label}\n\n> <smiles>\nwrong\n\n$$$$\n")
    broken = "broken\n\n\n  1  0  0  0  0  0            999 V2000\n    0.0 0.0 0.0 Qq\nM  END\n$$$$\n"
    path = written((blocks[0] + broken + blocks[1]).replace("\n", "\r\n"), "a.sdf")
    table = read_table(path)
    assert list(table.frame["smiles"]) == ["CCO", "", "C[C@H](N)C(=O)O"]
    assert list(table.frame["logS"]) == ["-0.3", "", "0.2"]
    assert list(table.frame["name"]) == ["ethanol", "broken", "alanine"]
    assert table.frame["smiles (field)"][0] == "wrong"
    assert list(table.reasons) == [1] and table.reasons[1]
    assert len(peek_table(path, 1).frame) == 1


def test_parquet_keeps_numbers(tmp_path):
    path = tmp_path / "a.parquet"
    pd.DataFrame({"smiles": ["CCO", None], "y": [1.5, np.nan], "many": [[1], [2]]}).to_parquet(path)
    table = read_table(path)
    assert list(table.frame["smiles"]) == ["CCO", ""] and table.frame["y"].dtype == float
    assert "many" not in table.frame and len(table.notes) == 1
    assert len(peek_table(path, 1).frame) == 1


def test_peek_reads_only_the_first_rows(written, monkeypatch):
    monkeypatch.setattr(readers.raw_table, "PEEK_BYTES", 1000)
    text = "smiles,name,y\n" + "CCO,é,1.5\n" * 1000
    for content, name in (
        (text.encode(), "a.csv"),
        (gzip.compress(text.encode()), "a.csv.gz"),
        (text.encode("utf-16"), "b.csv"),
    ):
        table = peek_table(written(content, name), 5)
        assert len(table.frame) == 5 and set(table.frame["name"]) == {"é"}


@pytest.mark.parametrize(
    ("columns", "smiles", "targets"),
    [
        ({"CMPD": ["a1", "b2"], "exp": ["1.5", "2"], "smiles": ["CCO", "CCN"]}, "smiles", ("exp",)),
        ({"mol": ["c1ccccc1", "CCN"], "pIC50": ["5", "6.5"], "MW": ["78.1", "45.1"]}, "mol", ("pIC50",)),
        ({"what": ["c1ccccc1O", "CCCCN"], "y1": ["5", ""], "note": ["C", "N"]}, "what", ("y1",)),
        ({"SMILES": ["bad", ""], "y": ["1", "2"]}, "SMILES", ("y",)),
        ({"name": ["ethanol", "water"], "y": ["1", "2"]}, None, ("y",)),
        ({"class": ["C", "N"], "y": ["1", "2"]}, None, ("y",)),
        (
            {"smiles": ["CCO", "CCN"], "measured x": ["1", "2"], "ESOL predicted y": ["1", "2"]},
            "smiles",
            ("measured x",),
        ),
        (
            {"smiles": ["CCO", "CCN"], "mol_id": ["1", "2"], "Compound ID": ["3", "1"], "A": ["1.5", "2"]},
            "smiles",
            ("A",),
        ),
    ],
)
def test_columns_are_guessed_from_name_and_content(columns, smiles, targets):
    frame = pd.DataFrame(columns, dtype=object)
    assert guess_smiles(frame) == smiles
    assert guess_targets(frame, smiles) == targets


def test_increasing_integers_are_no_target():
    frame = pd.DataFrame({"smiles": ["CCO"] * 12, "n": range(12), "rank": [3, 1, 2] * 4})
    assert guess_targets(frame, "smiles") == ("rank",)


def test_parse_numbers_reports_bad_cells():
    cells = ["1", " 2.5 ", "1e3", "−3", "true", "", "NA", None, "NaN", "inf", "1e999", "abc", ">10", "1,5", "1_000"]
    values, errors, text = parse_numbers(cells)
    np.testing.assert_array_equal(values, [1, 2.5, 1000, -3, 1] + [np.nan] * 10)
    assert text == [11, 12, 13, 14]
    assert {row: why for row, why in errors.items() if row not in text} == {
        8: "is NaN",
        9: "is infinite",
        10: "is infinite",
    }
    assert "no number" in errors[11] and "bound" in errors[12]
    values, errors, text = parse_numbers(np.array([1.0, np.inf, np.nan]))
    assert values[0] == 1 and np.isnan(values[1:]).all() and errors == {1: "is infinite"} and text == []


def test_import_stores_one_private_copy_by_digest(tmp_path, written):
    files = tmp_path / "cache" / "files"
    content = b"smiles,y\nCCO,1\n"
    assert import_file(written(content), "../../My Table.CSV", files) == (
        "My Table.CSV",
        hashlib.sha256(content).hexdigest(),
    )
    (copy,) = files.iterdir()
    assert copy.name == hashlib.sha256(content).hexdigest() + ".csv" and copy.read_bytes() == content
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    before = copy.stat().st_mtime_ns
    import_file(content, "again.csv", files)
    assert [path.name for path in files.iterdir()] == [copy.name] and copy.stat().st_mtime_ns == before
    with pytest.raises(BadInput, match="workbook"):
        import_file(content, "a.xls", files)
    with pytest.raises(BadInput, match="empty"):
        import_file(b"", "a.csv", files)
    with pytest.raises(BadInput, match="no file"):
        import_file(tmp_path / "none.csv", "none.csv", files)
    assert table_suffix("x.SMI.GZ") == ".smi.gz"


@pytest.mark.parametrize(
    ("name", "rows", "smiles", "targets"),
    [
        ("Lipophilicity.csv", 4200, "smiles", ("exp",)),
        ("External-Dataset_for_Task2.csv", 300, "SMILES", ("Label",)),
        ("delaney-processed.csv", 1128, "smiles", ("measured log solubility in mols per litre",)),
        ("clintox.csv.gz", 1484, "smiles", ("FDA_APPROVED", "CT_TOX")),
        ("bace.csv.gz", 1513, "smiles", ("pIC50",)),
        ("graphium_micro/pcqm4mv2-2k.csv.gz", 1999, "smiles", ("homo",)),
    ],
)
def test_public_tables(shared_data, name, rows, smiles, targets):
    table = read_table(shared_data / name)
    assert len(table.frame) == rows
    assert guess_smiles(table.frame) == smiles
    assert guess_targets(table.frame, smiles) == targets
