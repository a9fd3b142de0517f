"""Read a file of molecules, whatever its kind, as a frame of what its cells hold."""

import contextlib
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from core.chem import molecules as chem
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
from core.engine.spec import BadInput

if TYPE_CHECKING:
    from pyarrow.parquet import ParquetFile

BUFFER = 1 << 20  # bytes of a Parquet column read at a time


@dataclass(frozen=True, eq=False)
class RawTable:
    """A table as it was in its file."""

    frame: pd.DataFrame  # text cells are str, "" where empty; Parquet keeps its numbers
    kind: str = "csv"  # csv, smi, sdf, parquet or workbook
    sheet: str = ""  # of a workbook: which was read
    sheets: tuple[str, ...] = ()  # and those that hold cells and are not hidden
    delimiter: str = ""  # "" where there is none
    encoding: str = ""
    notes: tuple[str, ...] = ()  # what was found out and is worth saying
    reasons: dict[int, str] = field(default_factory=dict)  # place in the frame: why its SD record is no molecule


def peek_table(path: Path | str, rows: int = 20) -> RawTable:
    """The first rows, for a preview: a megabyte is read, not the file. Raises `BadInput` as `read_table` does."""
    return read_table(path, rows)


def read_table(path: Path | str, rows: int | None = None) -> RawTable:
    """A table with its kind, delimiter and encoding found out; with `rows`, the first ones only.

    `book.xlsx#sheet` names a sheet. Raises `BadInput` for an empty file, a header alone, mixed delimiters, lines that
    do not fit the header, archives, and more than 200 MB (unpacked), 2 million rows or 5,000 columns.
    """
    path = Path(path)
    kind = detect_kind(path)
    check_size(split_sheet(path)[0])
    if kind == "parquet":
        table = _parquet(path, rows)
    elif kind == "workbook":
        frame, sheet, sheets, notes = read_workbook(path, rows)
        table = RawTable(frame, sheet=sheet, sheets=sheets, notes=tuple(notes))
    else:
        data, whole = unpack(path, None if rows is None else PEEK_BYTES)
        text, encoding = decode_text(data, path.name, whole)
        if kind == "csv":
            while not whole and text.count('"') % 2:  # the cut went through a quoted cell that runs over lines
                text = text[: text.rfind("\n", 0, -1) + 1]
            frame, delimiter, notes = parse_delimited(text, path.name)
            table = RawTable(frame, delimiter=delimiter, notes=tuple(notes))
        else:
            table = _smi(text) if kind == "smi" else _sdf(text, whole)
        encoding_note = (f"read as {encoding}, because it is no UTF-8",) if encoding in ("cp1252", "latin-1") else ()
        table = replace(table, encoding=encoding, notes=table.notes + encoding_note)
    height, width = table.frame.shape
    if not height:
        raise BadInput(f"{path.name!r} has no rows; it wants at least one molecule")
    if height > MAX_ROWS or width > MAX_COLUMNS:
        raise BadInput(
            f"{path.name!r} has {height:,} rows and {width:,} columns; "
            f"up to {MAX_ROWS:,} and {MAX_COLUMNS:,} are read: split it"
        )
    return replace(table, kind=kind, frame=table.frame if rows is None else table.frame.head(rows))


def detect_kind(path: Path) -> str:
    """csv, smi, sdf, parquet or workbook, by the name. Raises `BadInput` for a file that is missing or no table."""
    suffix = table_suffix(path.name)
    if not split_sheet(path)[0].is_file():
        raise BadInput(f"there is no file {str(path)!r}; check the path")
    return KINDS[suffix.removesuffix(".gz")]


def _smi(text: str) -> RawTable:
    """No header; SMILES, blank or tab, name. A first line that says `SMILES` is a header all the same."""
    pairs = []
    for line in text.rstrip().split("\n"):
        smiles, _, rest = line.strip().replace("\t", " ", 1).partition(" ")
        if rest.lstrip().startswith("|"):  # CXSMILES: the tail belongs to the structure
            tail = re.match(r"\s*\|[^|]*\|", rest)
            smiles, rest = (f"{smiles} {tail[0].strip()}", rest[tail.end() :]) if tail else (smiles, rest)
        pairs.append((smiles, rest.strip()))
    notes: tuple[str, ...] = ()
    if pairs[0][0].lower() in ("smiles", "smi", "canonical_smiles"):
        pairs, notes = pairs[1:], ("the first line is a header and was left out",)
    frame = pd.DataFrame(pairs, columns=["smiles", "id"], dtype=object)
    return RawTable(frame if (frame["id"] != "").any() else frame[["smiles"]], notes=notes)


def _sdf(text: str, whole: bool) -> RawTable:
    """SMILES of each record's structure, then its data fields; a SMILES among these is kept under another name."""
    if not whole:
        text = text[: text.rfind("$$$$\n") + 5]
    rows, reasons = [], {}
    for record, molecule in enumerate(chem.read_sdf_records(text)):
        if isinstance(molecule, str):
            reasons[record] = molecule
            rows.append({"smiles": ""})
            continue
        row = {"smiles": chem.write_smiles(molecule)}
        if molecule.HasProp("_Name") and molecule.GetProp("_Name").strip():
            row["name"] = molecule.GetProp("_Name").strip()
        for name in molecule.GetPropNames():
            row[f"{name} (field)" if name.lower() in ("smiles", "name") else name] = molecule.GetProp(name).strip()
        rows.append(row)
    frame = pd.DataFrame(rows, dtype=object).fillna("")
    notes = (f"{len(reasons)} records hold no readable molecule",) if reasons else ()
    return RawTable(frame, notes=notes, reasons=reasons)


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
    return RawTable(frame, notes=(f"{nested} columns of lists or structures left out",) if nested else ())


@contextlib.contextmanager
def parquet_file(path: Path) -> "Iterator[tuple[ParquetFile, list[str]]]":
    """The file, and its columns that are no lists or structures. Raises `BadInput`, also for what fails inside."""
    import pyarrow
    from pyarrow import parquet, types

    try:
        with parquet.ParquetFile(path, buffer_size=BUFFER) as file:
            yield file, [column.name for column in file.schema_arrow if not types.is_nested(column.type)]
    except (pyarrow.ArrowException, OSError) as error:
        if isinstance(error, OSError) and error.errno:  # the system's own; those of Arrow have none
            raise
        raise BadInput(f"{path.name!r} is no Parquet file that can be read: {str(error)[:200]}") from None


def fill_text_columns(frame: pd.DataFrame) -> pd.DataFrame:
    """The same frame, in which every column that holds no numbers holds text, "" where it is empty."""
    for name in frame.columns:
        if not (pd.api.types.is_numeric_dtype(frame[name]) or pd.api.types.is_bool_dtype(frame[name])):
            frame[name] = pd.Series(["" if pd.isna(cell) else str(cell) for cell in frame[name]], dtype=object)
    return frame
