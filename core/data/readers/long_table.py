"""Tables of any length, read in shards of complete rows.

The rules are those of `read_table`, without its limits on bytes and rows. CSV and similar text (gzipped or not) and
Parquet are never in memory at once; other kinds are read completely, within these limits, and split into shards.

A column has the same type in all shards. Cells of a text file stay the text that they are. A Parquet column keeps its
type: integers and booleans with missing values stay so, while `read_table`, like pandas, converts them to floats and
text.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from core.data.readers.decisions import AS_PROVEN, Reading
from core.data.readers.delimited import HEADER_LINES, MAX_ROW_BYTES, NO_DELIMITER, Header, RowChecks, read_rows
from core.data.readers.files import MAX_COLUMNS, detect_encoding, read_text_pieces, split_sheet
from core.data.readers.raw_table import RawTable, detect_kind, fill_text_columns, parquet_file, read_table
from core.data.readers.smiles_stream import file_digest
from core.engine.report import SILENT_REPORT, Report
from core.engine.spec import BadInput

if TYPE_CHECKING:
    import pyarrow

Shards = Iterator[pd.DataFrame]
INTEGER_TYPES = ("Int8", "Int16", "Int32", "Int64", "UInt8", "UInt16", "UInt32", "UInt64")


@dataclass(frozen=True, eq=False)
class LongTable:
    """A table of any length, checked once from the first line to the last; only the first shard is in memory.

    `shards(k)` yields frames of `size` rows (the last may be shorter), starting with shard k (from 0); `first` is
    shard 0, used to guess the column of SMILES. `digest`: sha256 of the file's bytes, and the sheet. `whole`: the table
    without its frame if it was read completely, with what its cells do not say.
    """

    name: str
    digest: str
    size: int
    rows: int
    first: pd.DataFrame
    shards: Callable[[int], Shards]
    whole: RawTable = field(default_factory=lambda: RawTable(pd.DataFrame()))


def read_long_table(path: Path, size: int, report: Report = SILENT_REPORT, reading: Reading = AS_PROVEN) -> LongTable:
    """The table in a file, read once to check it. Raises `BadInput` as `read_table` does, and if the file changes."""
    reader = {"csv": _delimited, "parquet": _parquet}.get(detect_kind(path))
    whole = RawTable(pd.DataFrame())
    file, sheet = split_sheet(path)
    stamp, digest = _stamp(file), file_digest(file) + f"#{sheet}" * bool(sheet)
    if reader is None:
        whole = _without_hidden(read_table(path, reading=reading), reading)
        rows, shards = _split(whole.frame, size)
        whole = replace(whole, frame=pd.DataFrame())
    else:
        rows, shards = reader(
            path, size, lambda rows: report(0, f"reading {path.name!r}: {rows:,} rows", rows=rows), reading
        )

    def checked_shards(start: int = 0) -> Shards:
        for frame in shards(start):
            if _stamp(file) != stamp:
                raise BadInput(f"{path.name!r} was changed while it was read; do not change it, and run this again")
            yield frame

    first = next(checked_shards(), None)
    if first is None:
        raise BadInput(f"{path.name!r} has no rows; it needs at least one molecule")
    if first.shape[1] > MAX_COLUMNS:
        raise BadInput(f"{path.name!r} has {first.shape[1]:,} columns; up to {MAX_COLUMNS:,} are read: leave some out")
    return LongTable(path.name, digest, size, rows, first, checked_shards, whole)


def _stamp(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_size, status.st_mtime_ns


def _without_hidden(table: RawTable, reading: Reading) -> RawTable:
    """The table without its hidden rows and columns if these are to be left out."""
    if reading.hidden != "drop" or not (table.hidden_rows or table.hidden_columns):
        return table
    frame = table.frame.drop(index=list(table.hidden_rows), columns=list(table.hidden_columns)).reset_index(drop=True)
    return replace(table, frame=frame, hidden_rows=(), hidden_columns=())


def _split(frame: pd.DataFrame, size: int) -> tuple[int, Callable[[int], Shards]]:
    starts = range(0, len(frame), size)
    return len(frame), lambda start: (frame[k : k + size].reset_index(drop=True) for k in starts[start:])


def _parquet(path: Path, size: int, tell: Callable[[int], None], _: Reading) -> tuple[int, Callable[[int], Shards]]:
    import pyarrow

    def tables() -> Iterator[pyarrow.Table]:
        with parquet_file(path) as (file, plain):
            pending: list[pyarrow.RecordBatch] = []
            for batch in file.iter_batches(size, columns=plain, use_threads=False):
                while sum(map(len, pending)) + len(batch) >= size:
                    cut = size - sum(map(len, pending))
                    yield pyarrow.Table.from_batches([*pending, batch[:cut]])
                    pending, batch = [], batch[cut:]
                pending.extend([batch] * (len(batch) > 0))
            if pending:
                yield pyarrow.Table.from_batches(pending)

    def shards(start: int) -> Shards:
        for table in islice(tables(), start, None):
            yield fill_text_columns(to_exact_frame(table))

    rows = 0
    for table in tables():
        rows += len(table)
        tell(rows)
    return rows, shards


def to_exact_frame(table: "pyarrow.Table") -> pd.DataFrame:
    """An Arrow table as a frame; integer and boolean columns keep their type if values are missing."""
    import pyarrow

    types = {pyarrow.type_for_alias(kind.lower()): pd.api.types.pandas_dtype(kind) for kind in INTEGER_TYPES}
    types[pyarrow.bool_()] = pd.BooleanDtype()
    return table.to_pandas(ignore_metadata=True, types_mapper=types.get)


def _delimited(
    path: Path, size: int, tell: Callable[[int], None], reading: Reading
) -> tuple[int, Callable[[int], Shards]]:
    encoding = detect_encoding(path)

    def lines() -> Iterator[str]:
        return _lines(read_text_pieces(path, encoding), path.name)

    header = Header.of("\n".join(_first_filled(lines(), max(HEADER_LINES, reading.header + 1))), path.name, reading)

    def pieces() -> Iterator[str]:
        body = _strip_blank_end(islice(lines(), header.lines_before + 1, None))
        return split_records(body, header.delimiter, size, path.name)

    checks = RowChecks(header)
    for piece in pieces():
        checks.add(piece)
        tell(checks.rows)
    checks.finish()

    def shards(start: int) -> Shards:
        for piece in islice(pieces(), start, None):
            yield read_rows(piece, header)[0]

    return checks.rows, shards


def _first_filled(lines: Iterator[str], count: int) -> Iterator[str]:
    """The lines up to the `count`-th that is not blank."""
    filled = 0
    for line in lines:
        yield line
        filled += bool(line.strip())
        if filled == count:
            return


def _lines(pieces: Iterable[str], name: str) -> Iterator[str]:
    rest = ""
    for piece in pieces:
        *complete, rest = (rest + piece).split("\n")
        yield from complete
        if len(rest) > MAX_ROW_BYTES:
            raise _row_too_long(name)
    if rest:
        yield rest


def _strip_blank_end(lines: Iterator[str]) -> Iterator[str]:
    """The lines without trailing blank ones."""
    blank = 0
    for line in lines:
        if line:
            yield from [""] * blank
            yield line
            blank = 0
        else:
            blank += 1


def split_records(lines: Iterable[str], delimiter: str, size: int, name: str) -> Iterator[str]:
    """Texts of `size` rows each (the last may have fewer); a quoted cell may contain line ends.

    As in the CSV reader, a quote opens a cell only at its beginning, and two quotes inside a cell stand for one.
    Raises `BadInput` for a row of more than 16 MB.
    """
    mark = re.escape(delimiter or NO_DELIMITER)
    rest = rf"[^{mark}]*+(?:{mark}(?:\"(?:[^\"]++|\"\")*+\"|(?!\"))[^{mark}]*+)*+"
    closed = re.compile(rf"(?:\"(?:[^\"]++|\"\")*+\"|(?!\")){rest}")  # a line without an open quote at its end
    closing = re.compile(rf"(?:[^\"]++|\"\")*+\"{rest}")  # the same for a line that begins inside a quoted cell
    pending: list[str] = []
    count = length = 0
    inside_cell = False
    for line in lines:
        pending.append(line)
        if '"' in line:
            inside_cell = not (closing if inside_cell else closed).fullmatch(line)
        length = length + len(line) if inside_cell else 0
        if length > MAX_ROW_BYTES:
            raise _row_too_long(name)
        count += not inside_cell
        if count == size and not inside_cell:
            yield "\n".join(pending) + "\n"
            pending, count = [], 0
    if pending:
        yield "\n".join(pending) + "\n"


def _row_too_long(name: str) -> BadInput:
    return BadInput(
        f"{name!r} has a row of more than {MAX_ROW_BYTES:,} characters; is a quote left open, or is this no table?"
    )
