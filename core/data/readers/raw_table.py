"""Reads a file of molecules of any supported kind as a frame of its cells."""

import contextlib
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from core.data.readers.column_faults import ColumnFault
from core.data.readers.decisions import AS_PROVEN, Reading
from core.data.readers.delimited import parse_delimited
from core.data.readers.excel import read_workbook
from core.data.readers.files import (
    KINDS,
    MAX_BYTES,
    MAX_COLUMNS,
    MAX_ROWS,
    PEEK_BYTES,
    check_size,
    decode_text,
    split_sheet,
    table_suffix,
    unpack,
)
from core.data.readers.numbers import NUMBER
from core.data.readers.sdf import read_sdf
from core.engine.spec import BadInput

if TYPE_CHECKING:
    from pyarrow.parquet import ParquetFile

BUFFER = 1 << 20  # bytes of a Parquet column read at a time


@dataclass(frozen=True, eq=False)
class RawTable:
    """A table as it was in its file."""

    frame: pd.DataFrame  # text cells are str, "" where empty; Parquet keeps its numbers
    kind: str = "csv"  # csv, smi, sdf, parquet or workbook
    sheet: str = ""  # the sheet that was read, of a workbook
    sheets: tuple[str, ...] = ()  # its visible sheets with cells
    delimiter: str = ""  # "" for a single column
    encoding: str = ""
    notes: tuple[str, ...] = ()  # guesses and changes that a user should know of
    reasons: dict[int, str] = field(default_factory=dict)  # row of the frame → why it is no molecule
    hidden_rows: tuple[int, ...] = ()  # rows of the frame, from 0, that a workbook hides
    hidden_columns: tuple[str, ...] = ()
    faults: dict[str, ColumnFault] = field(default_factory=dict)  # columns that cannot be read as labels


def peek_table(path: Path | str, rows: int = 20, reading: Reading = AS_PROVEN) -> RawTable:
    """The first rows, for a preview: only 1 MB is read. Raises `BadInput` as `read_table` does."""
    return read_table(path, rows, reading)


def read_table(path: Path | str, rows: int | None = None, reading: Reading = AS_PROVEN) -> RawTable:
    """A table, with its kind, delimiter and encoding detected; with `rows`, only the first rows.

    `book.xlsx#sheet` selects a sheet. Raises `BadInput` for an empty file, a header alone, mixed delimiters, lines that
    do not fit the header, archives, and more than 200 MB (unpacked), 2 million rows or 5,000 columns.
    """
    path = Path(path)
    kind = detect_kind(path)
    check_size(split_sheet(path)[0])
    if kind == "parquet":
        table = _parquet(path, rows)
    elif kind == "workbook":
        table = _workbook(path, rows)
    else:
        data, whole = unpack(path, None if rows is None else PEEK_BYTES)
        text, encoding = decode_text(data, path.name, whole)
        if kind == "csv":
            while not whole and text.count('"') % 2:  # truncated inside a quoted cell with line ends
                text = text[: text.rfind("\n", 0, -1) + 1]
            frame, delimiter, notes = parse_delimited(text, path.name, reading)
            table = RawTable(frame, delimiter=delimiter, notes=tuple(notes))
        else:
            table = _smi(text) if kind == "smi" else _sdf(text, whole, path.name)
        encoding_note = (f"read as {encoding}, because it is not UTF-8",) if encoding in ("cp1252", "latin-1") else ()
        table = replace(table, encoding=encoding, notes=table.notes + encoding_note)
    height, width = table.frame.shape
    if not height:
        raise BadInput(f"{path.name!r} has no rows; it needs at least one molecule")
    if height > MAX_ROWS or width > MAX_COLUMNS:
        raise BadInput(
            f"{path.name!r} has {height:,} rows and {width:,} columns; "
            f"up to {MAX_ROWS:,} and {MAX_COLUMNS:,} are read: split it"
        )
    return replace(table, kind=kind, frame=table.frame if rows is None else table.frame.head(rows))


def detect_kind(path: Path) -> str:
    """csv, smi, sdf, parquet or workbook, by suffix. Raises `BadInput` for a missing file or an unsupported one."""
    suffix = table_suffix(path.name)
    if not split_sheet(path)[0].is_file():
        raise BadInput(f"there is no file {str(path)!r}; check the path")
    return KINDS[suffix.removesuffix(".gz")]


def _workbook(path: Path, rows: int | None) -> RawTable:
    sheet = read_workbook(path, rows)
    return RawTable(
        sheet.frame,
        sheet=sheet.title,
        sheets=sheet.titles,
        notes=sheet.notes,
        hidden_rows=sheet.hidden_rows,
        hidden_columns=sheet.hidden_columns,
        faults=sheet.faults,
    )


def _smi(text: str) -> RawTable:
    """Lines of SMILES, blank or tab, name; no header, but a first line `SMILES` is skipped."""
    pairs = []
    for line in text.rstrip().split("\n"):
        smiles, _, rest = line.strip().replace("\t", " ", 1).partition(" ")
        if rest.lstrip().startswith("|"):  # CXSMILES: the extension belongs to the structure
            tail = re.match(r"\s*\|[^|]*\|", rest)
            smiles, rest = (f"{smiles} {tail[0].strip()}", rest[tail.end() :]) if tail else (smiles, rest)
        pairs.append((smiles, rest.strip()))
    notes: tuple[str, ...] = ()
    if pairs[0][0].lower() in ("smiles", "smi", "canonical_smiles"):
        pairs, notes = pairs[1:], ("the first line is a header and was skipped",)
    frame = pd.DataFrame(pairs, columns=["smiles", "id"], dtype=object)
    fields = frame["id"].str.split()
    count = fields.str.len()
    if (count == count[0]).all() and count[0] > 1 and fields.str[1:].explode().str.fullmatch(NUMBER.pattern).all():
        for number in range(1, count[0]):
            frame[f"column {number + 2}"] = fields.str[number]
        frame["id"] = fields.str[0]
        notes = (*notes, f"what follows the name was read as {count[0] - 1} columns of numbers")
    return RawTable(frame if (frame["id"] != "").any() else frame[["smiles"]], notes=notes)


def _sdf(text: str, whole: bool, name: str) -> RawTable:
    table = read_sdf(text, whole)
    if not whole and not len(table.frame):
        raise BadInput(f"{name!r} begins with a record of more than {PEEK_BYTES:,} bytes; is it an SD file?")
    return RawTable(table.frame, notes=tuple(table.notes), reasons=table.reasons, faults=table.faults)


def _parquet(path: Path, rows: int | None) -> RawTable:
    import pyarrow

    with parquet_file(path) as (file, plain):
        size = sum(file.metadata.row_group(group).total_byte_size for group in range(file.num_row_groups))
        if file.metadata.num_rows > MAX_ROWS or size > 10 * MAX_BYTES:
            raise BadInput(
                f"{path.name!r} has {file.metadata.num_rows:,} rows, {size / 1e6:,.0f} MB unpacked; "
                f"up to {MAX_ROWS:,} and {MAX_BYTES / 1e5:,.0f} are read: split it"
            )
        if rows is None:
            table = file.read(columns=plain)
        else:
            batch = next(file.iter_batches(rows, columns=plain), None)
            table = pyarrow.Table.from_batches([batch] if batch else [], schema=None if batch else file.schema_arrow)
        frame = fill_text_columns(table.to_pandas(ignore_metadata=True))
    nested = len(file.schema_arrow) - len(plain)
    return RawTable(frame, notes=(f"{nested} columns of lists or structures were skipped",) if nested else ())


@contextlib.contextmanager
def parquet_file(path: Path) -> "Iterator[tuple[ParquetFile, list[str]]]":
    """The file and its columns that are no lists or structures. Raises `BadInput`, also for errors while it is open."""
    import pyarrow
    from pyarrow import parquet, types

    try:
        with parquet.ParquetFile(path, buffer_size=BUFFER) as file:
            yield file, [column.name for column in file.schema_arrow if not types.is_nested(column.type)]
    except (pyarrow.ArrowException, OSError) as error:
        if (
            isinstance(error, OSError) and error.errno
        ):  # an error of the operating system; those of Arrow have no number
            raise
        raise BadInput(f"{path.name!r} is no readable Parquet file: {str(error)[:200]}") from None


def fill_text_columns(frame: pd.DataFrame) -> pd.DataFrame:
    """The frame with every column that is not numeric converted to text, "" for missing values."""
    for name in frame.columns:
        if not (pd.api.types.is_numeric_dtype(frame[name]) or pd.api.types.is_bool_dtype(frame[name])):
            frame[name] = pd.Series(["" if pd.isna(cell) else str(cell) for cell in frame[name]], dtype=object)
    return frame
