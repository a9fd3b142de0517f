"""Tables in shards: read and refused as by `read_table`, of any length, with one type per column."""

import gzip
import hashlib
import random
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from core.data.readers import files, read_long_table, read_table
from core.data.readers import long_table as shards
from core.data.readers import raw_table as reading
from core.data.readers.delimited import Header, read_rows
from core.data.readers.long_table import split_records
from core.engine.spec import BadInput
from tests.cli.test_bad_input import FILES

ROWS = 'smiles,name,y\nCCO,"a, ""b""\nc",1\n\nCCN,"",007\nC,x,1e5\n"c1ccccc1",5" tube,\nCC,"\n\n",2\nCCC,é,3\n'
GOOD = {
    "quotes and blank lines": ("a.csv", ROWS),
    "other line ends": ("a.csv", "\n\n" + ROWS.replace("\n", "\r\n") + "\r\n\r\n"),
    "old line ends": ("a.csv", ROWS.replace("\n", "\r")),
    "a byte-order mark": ("a.csv", "\ufeff" + ROWS),
    "no line end": ("a.csv", ROWS[:-1]),
    "gzipped": ("a.csv.gz", gzip.compress(ROWS.encode())),
    "gzipped and not called so": ("a.csv", gzip.compress(ROWS.encode())),
    "two bytes": ("a.csv", ROWS.encode("utf-16")),
    "two bytes, unmarked": ("a.csv", ROWS.encode("utf-16-le")),
    "not in UTF-8": ("a.csv", ROWS.encode("cp1252")),
    "not even in that": ("a.csv", ROWS.encode("cp1252") + b"CCCC,\x81,4\n"),
    "tabs": ("a.tsv", ROWS.replace(",", "\t")),
    "decimal commas": ("a.csv", "smiles;y;z\nCCO;1,5;1,5\nCCN;-2;a\nC;3,25e1;2,5\nCC;;3.5\nCCC;4;\n"),
    "a single column": ("a.csv", "smiles\nCCO\n\nCCN\nC\n"),
    "names that repeat": ("a.csv", ",smiles,y,y\n0,CCO,1,2\n1,CCN,3,4\n2,C,5,6\n"),
    "SMILES and names": ("a.smi", "CCO ethanol and more\nCCN\tethylamine\nC |$x$| methane\n"),
    "an SD file": ("a.sdf", "\n\n\n  1  0  0  0  0  0            999 V2000\n    0.0 0.0 0.0 C\nM  END\n$$$$\n" * 4),
}  # fmt: skip
BAD = {name: case[:2] for name, case in FILES.items()} | {
    "a line too long": ("a.csv", "\n\nsmiles,y\nCCO,1\nCCC,2\n\nCCN,3,4\nC,5\n"),
    "a line too short": ("a.csv", 'smiles,y,z\n"C\nC",1,2\nCCO,1,2\nCCN,2\nC,3,4\n'),
    "other delimiters": ("a.csv", "smiles;y\nCCO;1\nCCN;2\nCC;3\nC,4\n"),
    "two cells in one": ("a.csv", "smiles,y\nCCO,1\nCCN,2\nCC,3\nCCC;4,\nC,5\n"),
    "an open quote at the end": ("a.csv", 'smiles,y\nCCO,1\nCC,3\nCCC,5\nCCN,"2\nC,3\n'),
    "a zero byte far down": ("a.csv", ROWS + "CCO,\0,1\n"),
    "a damaged end": ("a.csv.gz", gzip.compress(ROWS.encode() * 500)[:-30]),
}


def written(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


@pytest.fixture(params=[3, 50, 1_000_000], ids="blocks of {}".format)
def small_blocks(request: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks end inside characters, lines and cells."""
    monkeypatch.setattr(files, "BLOCK", request.param)


@pytest.mark.parametrize("size", [1, 2, 1000])
@pytest.mark.parametrize("case", GOOD)
def test_shards_concatenate_to_the_full_table(small_blocks: None, tmp_path: Path, case: str, size: int) -> None:
    path = written(tmp_path, *GOOD[case])
    whole, result = read_table(path).frame, read_long_table(path, size)
    frames = list(result.shards())
    assert result.rows == len(whole) and result.digest == hashlib.sha256(path.read_bytes()).hexdigest()
    assert all(len(frame) == size for frame in frames[:-1]) and 0 < len(frames[-1]) <= size
    pd.testing.assert_frame_equal(pd.concat(frames, ignore_index=True), whole)
    pd.testing.assert_frame_equal(result.first, frames[0])
    later = list(result.shards(1))
    assert len(later) == len(frames) - 1
    for frame, again in zip(frames[1:], later, strict=True):
        pd.testing.assert_frame_equal(frame, again)


@pytest.mark.parametrize("size", [2, 1000])
@pytest.mark.parametrize("case", BAD)
def test_same_files_are_refused_as_by_read_table(tmp_path: Path, case: str, size: int) -> None:
    path = written(tmp_path, *BAD[case])
    try:
        expected = len(read_table(path).frame)
    except BadInput as error:
        expected = str(error)
    try:
        result: int | str = read_long_table(path, size).rows
    except BadInput as error:
        result = str(error)
    assert result == expected


def test_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="there is no file"):
        read_long_table(tmp_path / "no.csv", 10)


def test_quoted_cells_are_never_split() -> None:
    """Random texts of special characters: reading the pieces gives the same rows as reading the full text."""
    rng, cut = random.Random(0), 0
    for _ in range(600):
        columns, size = rng.choice([1, 2, 3]), rng.randint(1, 4)
        text = "".join(rng.choices(['"', ",", "\n", "a", "b", '""', ',"', '"\n'], k=rng.randint(1, 30)))
        lines = list(shards._strip_blank_end(iter(text.split("\n"))))
        if not lines:
            continue
        header = Header("f", "", 0, [f"c{k}" for k in range(columns)], "," if columns > 1 else "", [])
        try:
            whole, misfit = read_rows("\n".join(lines) + "\n", header)
        except BadInput:
            continue
        result, first = [], None
        for piece in split_records(lines, header.delimiter, size, "f"):
            frame, wrong = read_rows(piece, header)
            if wrong and not first:
                first = (len(result) + wrong.number, wrong.text)
            result += frame.to_numpy().tolist()
            cut += "\n" in "".join(frame.to_numpy().ravel())
        assert result == whole.to_numpy().tolist()
        assert first == (misfit and (misfit.number, misfit.text))
    assert cut > 100


def test_cells_stay_the_text_that_they_are(tmp_path: Path) -> None:
    text = "smiles;y;z\nCCO;1,5;1,234\nCCN;2,5;1,3\nC;3;1.000\n"
    frames = list(read_long_table(written(tmp_path, "a.csv", text), 2).shards())
    assert [cell for frame in frames for cell in frame["y"]] == ["1,5", "2,5", "3"]
    assert [cell for frame in frames for cell in frame["z"]] == ["1,234", "1,3", "1.000"]


@pytest.mark.parametrize(
    "text",
    ["sep=;\nsmiles;y\nCCO;1\n", "# made by hand\n\n#smiles,y\nCCO,1\n", "Results 2024\n\nsmiles\ty\nCCO\t1\n"],
)
def test_what_stands_above_the_header_is_skipped(tmp_path: Path, text: str) -> None:
    (frame,) = read_long_table(written(tmp_path, "a.csv", text), 2).shards()
    assert frame.to_dict("list") == {"smiles": ["CCO"], "y": ["1"]}


def test_column_has_one_type_in_all_shards(tmp_path: Path) -> None:
    text = "smiles,code\n" + "".join(f"CCO,{code}\n" for code in ("1", "007", "2.50", "", "1e3", "text"))
    frames = list(read_long_table(written(tmp_path, "a.csv", text), 2).shards())
    assert [cell for frame in frames for cell in frame["code"]] == ["1", "007", "2.50", "", "1e3", "text"]
    gaps = pd.DataFrame({"smiles": ["CCO"] * 6, "y": [1.5, np.nan] * 3, "name": ["a", None, "b", "c", None, None]})
    gaps["n"] = pd.array([2**60, 1, None, None, 5, 6], "Int64")
    gaps["u"] = pd.array([1, 2, 3, None, 5, 6], "UInt8")
    gaps["b"] = pd.array([True, None, None, True, True, False], "boolean")
    gaps.assign(many=[[1]] * 6, day=pd.to_datetime(["2020-01-01", None] * 3)).to_parquet(
        path := tmp_path / "a.parquet", row_group_size=4
    )
    frames = list(read_long_table(path, 2).shards())
    assert [len(frame) for frame in frames] == [2, 2, 2]
    assert {tuple(frame.dtypes) for frame in frames} == {tuple(frames[0].dtypes)}
    result = pd.concat(frames, ignore_index=True)
    assert result["n"].tolist() == [2**60, 1, pd.NA, pd.NA, 5, 6] and result["b"].tolist()[:2] == [True, pd.NA]
    assert result["name"].tolist() == ["a", "", "b", "c", "", ""] and "many" not in result
    assert result["day"].tolist() == ["2020-01-01 00:00:00", ""] * 3
    whole = read_table(path).frame
    pd.testing.assert_frame_equal(result[["smiles", "y", "name", "day"]], whole[["smiles", "y", "name", "day"]])


def test_limits_of_read_table_do_not_apply_to_shards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "MAX_BYTES", 100)
    monkeypatch.setattr(reading, "MAX_BYTES", 1)
    monkeypatch.setattr(reading, "MAX_ROWS", 10)
    text = "smiles,y\n" + "CCO,1\n" * 50
    pd.DataFrame({"smiles": ["CCO"] * 50}).to_parquet(tmp_path / "a.parquet")
    for path in (
        written(tmp_path, "a.csv", text),
        written(tmp_path, "a.csv.gz", gzip.compress(text.encode())),
        tmp_path / "a.parquet",
    ):
        with pytest.raises(BadInput, match="split it"):
            read_table(path)
        assert read_long_table(path, 20).rows == 50
    with pytest.raises(BadInput, match="split it"):
        read_long_table(written(tmp_path, "a.smi", "CCO\n" * 50), 20)


def test_only_the_blocks_of_a_shard_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "BLOCK", 100)
    table = read_long_table(written(tmp_path, "a.csv", "smiles,y\n" + "CCO,1\n" * 1000), 20)
    blocks_read = []
    blocks = files.read_blocks
    monkeypatch.setattr(files, "read_blocks", lambda path: (blocks_read.append(1) or block for block in blocks(path)))
    assert len(next(table.shards())) == 20 and 0 < len(blocks_read) < 5


def test_endless_row_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shards, "MAX_ROW_BYTES", 1000)
    for text in ('smiles,y\nCCO,"1\n' + "C,2\n" * 500, "smiles,y\nCCO,1\n" + "C" * 2000):
        with pytest.raises(BadInput, match="a row of more than 1,000 characters; is a quote left open"):
            read_long_table(written(tmp_path, "a.csv", text), 10)


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_table_that_changes_while_read_is_refused(tmp_path: Path, kind: str) -> None:
    frame, path = pd.DataFrame({"smiles": ["CCO"] * 6}), tmp_path / f"a.{kind}"
    write = getattr(frame, f"to_{kind}")
    write(path)
    rows = read_long_table(path, 2).shards()
    next(rows)
    frame.loc[5] = "CCCCCCN"
    write(path)
    with pytest.raises(BadInput, match="was changed while it was read"):
        list(rows)


def test_damaged_parquet_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pd.DataFrame({"smiles": [f"{'C' * (k % 90)}O" for k in range(5000)]}).to_parquet(path, compression=None)
    data = bytearray(path.read_bytes())
    data[200:400] = bytes(200)
    path.write_bytes(data)
    with pytest.raises(BadInput, match="no readable Parquet file"):
        read_long_table(path, 100)
    pd.DataFrame({"smiles": pd.Series([], dtype=str)}).to_parquet(path)
    with pytest.raises(BadInput, match="has no rows; it needs at least one molecule"):
        read_long_table(path, 100)
