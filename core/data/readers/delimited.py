"""CSV and similar text: the delimiter is taken from the header, and every line is checked against it."""

import csv
import io
import re
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd

from core.data.readers.columns import (
    NUMBER,
    count_decimal_commas,
    guess_smiles,
    has_decimal_commas,
    is_smiles,
    replace_decimal_commas,
)
from core.data.readers.files import MAX_COLUMNS
from core.engine.spec import BadInput

DELIMITERS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "pipe"}
NO_DELIMITER = "\x1f"  # delimiter for a single column: a character that no table contains
HEADER_LINES = 200  # lines used to detect the delimiter
MAX_ROW_BYTES = 1 << 24  # bytes of a row


@dataclass(frozen=True)
class Header:
    """The header of a table and its delimiter, "" for a single column."""

    file: str
    line: str
    blank_lines_before: int
    names: list[str]
    delimiter: str
    notes: list[str]

    @classmethod
    def of(cls, text: str, file: str) -> "Header":
        """Parse the header from the text or its first 200 lines. Raises `BadInput` if there is none."""
        blank_lines = len(text) - len(text.lstrip("\n"))
        text = text.strip("\n") + "\n"
        lines = _first_lines(text)
        delimiter = _delimiter(lines)
        names, notes = parse_header(_cells(lines[0], delimiter), file, lines[0])
        if len(lines) == 1:
            raise BadInput(f"{file!r} has a header and no rows; it needs at least one molecule")
        return cls(file, text.partition("\n")[0], blank_lines, names, delimiter, notes)


class RowChecks:
    """Checks the rows of a table, shard by shard; `decimal_comma_columns` raises the first error at the end."""

    def __init__(self, header: Header) -> None:
        self.header, self.rows, self.smiles = header, 0, None
        self.n_quotes = header.line.count('"')
        self.last_row_spans_lines = False
        self.errors: dict[str, BadInput] = {}  # the first row that does not fit, the first with a second delimiter
        self.commas: dict[str, np.ndarray] = {}

    def add(self, text: str) -> pd.DataFrame:
        """The next complete rows as a frame of str cells. Raises `BadInput` if they are no table."""
        header = self.header
        frame, misfit = read_rows(text, header)
        first = header.blank_lines_before + 2 + self.rows  # line of the first row here, if no row spans several lines
        if misfit is not None:
            line = first + (misfit.number or 1) - 1
            self.errors.setdefault(
                "misfit", _misfit(header.file, misfit.text, line, header.delimiter, len(header.names))
            )
        self.smiles = guess_smiles(frame) if self.rows == 0 else self.smiles
        others = set(DELIMITERS) - {header.delimiter}
        for mark in others if self.smiles and "second delimiter" not in self.errors else ():
            cells = frame[self.smiles]
            two_cells = cells.str.fullmatch(rf"[^\s{re.escape(mark)}]+{re.escape(mark)}\s*[-+]?[\d.,]+")
            if two_cells.any():
                row = int(np.argmax(two_cells.to_numpy()))
                error = _misfit(header.file, cells.iloc[row], first + row, header.delimiter, len(header.names))
                self.errors.setdefault("second delimiter", error)
        for name in header.names if header.delimiter not in ("", ",") else ():
            self.commas[name] = self.commas.get(name, 0) + count_decimal_commas(frame[name])
        self.rows += len(frame)
        self.n_quotes += text.count('"')
        self.last_row_spans_lines = len(frame) > 0 and frame.iloc[-1].str.contains("\n").any()
        return frame

    def decimal_comma_columns(self) -> list[str]:
        """The columns with decimal commas, after all rows were added. Raises `BadInput` naming the faulty line."""
        if self.n_quotes % 2 and self.last_row_spans_lines:
            raise BadInput(
                f"{self.header.file!r}: a quote is left open: the last cell spans several lines; close or remove it"
            )
        for kind in ("misfit", "second delimiter"):
            if kind in self.errors:
                raise self.errors[kind]
        return [name for name, counts in self.commas.items() if has_decimal_commas(counts)]


def parse_delimited(text: str, name: str) -> tuple[pd.DataFrame, str, list[str]]:
    """Frame of str cells, delimiter ("" for a single column), notes. Raises `BadInput` naming the faulty line."""
    header = Header.of(text, name)
    checks = RowChecks(header)
    frame = checks.add(text.strip("\n").partition("\n")[2] + "\n")
    notes = header.notes
    for column in checks.decimal_comma_columns():
        frame[column] = replace_decimal_commas(frame[column])
        notes.append(f"decimal commas in {column!r} read as points")
    return frame, header.delimiter, notes


def read_rows(text: str, header: Header) -> tuple[pd.DataFrame, Any]:
    """Rows that fit the header, and the first that does not: its `text` and its `number`, counted from 1."""
    from pyarrow import ArrowInvalid, string
    from pyarrow import csv as arrow

    misfits: list = []

    def misfit(row: object) -> str:
        misfits.extend([SimpleNamespace(text=row.text, number=row.number)] * (not misfits))
        return "skip"

    try:
        table = arrow.read_csv(
            io.BytesIO(text.encode()),
            arrow.ReadOptions(use_threads=False, block_size=MAX_ROW_BYTES, column_names=header.names),
            arrow.ParseOptions(
                delimiter=header.delimiter or NO_DELIMITER,
                newlines_in_values=True,
                ignore_empty_lines=False,
                invalid_row_handler=misfit,
            ),
            arrow.ConvertOptions(column_types=dict.fromkeys(header.names, string()), strings_can_be_null=False),
        )
    except ArrowInvalid as error:
        raise BadInput(
            f"{header.file!r} cannot be read as a table: {str(error)[:200]}; is a quote left open?"
        ) from None
    return table.to_pandas().astype(object), misfits[0] if misfits else None


def _misfit(name: str, row: str, line: int, delimiter: str, columns: int) -> BadInput:
    """The error for a line that does not fit the header."""
    used = DELIMITERS.get(delimiter, "no delimiter")
    for mark in sorted(set(DELIMITERS) - {delimiter}, key=lambda mark: -len(_cells(row, mark))):
        if len(_cells(row, mark)) > 1 and len(_cells(row, delimiter)) < max(columns, 2):
            return BadInput(
                f"{name!r} has mixed delimiters: {used} in the header, {DELIMITERS[mark]} in line {line} "
                f"({row[:60]!r}); use only one"
            )
    return BadInput(
        f"{name!r}: line {line} has {len(_cells(row, delimiter))} cells and the header {columns} ({used}); "
        f"quote cells that contain the delimiter: {row[:60]!r}"
    )


def _delimiter(lines: list[str]) -> str:
    """The delimiter that splits header and most lines into the same number of cells; "" for a single column."""
    best, best_score = "", (0.0, 1)
    for mark in DELIMITERS:
        counts = [len(_cells(line, mark)) for line in lines]
        score = (float(np.mean(np.equal(counts, counts[0]))), counts[0])
        if counts[0] > 1 and score > best_score:
            best, best_score = mark, score
    return best


def _first_lines(text: str) -> list[str]:
    end = 0
    for _ in range(HEADER_LINES):
        end = text.find("\n", end) + 1
        if not end:
            return [line for line in text.split("\n") if line.strip()]
    return [line for line in text[:end].split("\n") if line.strip()]


def _cells(line: str, delimiter: str) -> list[str]:
    try:
        return next(csv.reader([line], delimiter=delimiter or NO_DELIMITER))
    except csv.Error:
        most = csv.field_size_limit()
        raise BadInput(f"a cell has more than {most:,} characters ({line[:40]!r} …); is this a table?") from None


def parse_header(cells: list[str], file: str, line: str) -> tuple[list[str], list[str]]:
    """Unique column names, and notes on changed ones. Raises `BadInput` if the cells look like data."""
    if len(cells) > MAX_COLUMNS:
        raise BadInput(f"{file!r} has {len(cells):,} columns; up to {MAX_COLUMNS:,} are read: leave some out")
    names: list[str] = []
    notes = []
    for number, cell in enumerate(cells, 1):
        name = cell.strip() or f"column {number}"
        while name in names:
            name += " (again)"
        if name != cell.strip():
            notes.append(
                f"column {number} is named {name!r}: its header is {'a duplicate' if cell.strip() else 'empty'}"
            )
        names.append(name)
    if _is_data(names):
        raise BadInput(f"{file!r} begins with data ({line[:60]!r}); put a header line first, such as smiles,logS")
    return names, notes


def _is_data(names: list[str]) -> bool:
    """Whether a header looks like a row: a molecule with a number, or only a molecule of three letters or more."""
    molecules = [name for name in names if len(name) > 2 and is_smiles(name)]
    return bool(molecules) and (len(names) == 1 or any(NUMBER.fullmatch(name) for name in names))
