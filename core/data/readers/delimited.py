"""CSV and similar text: the delimiter is taken from the header, and every line is checked against it."""

import csv
import io
import re
from dataclasses import dataclass
from itertools import takewhile
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd

from core.data.readers.columns import guess_smiles, is_smiles
from core.data.readers.decisions import AS_PROVEN, Reading
from core.data.readers.files import MAX_COLUMNS
from core.data.readers.numbers import NUMBER
from core.engine.spec import BadInput

DELIMITERS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "pipe"}
DELIMITER_OF = {"blank": " ", **{name: mark for mark, name in DELIMITERS.items()}}
SEPARATOR_LINE = re.compile(r'"?sep=([,;\t|])"?', re.IGNORECASE)  # written by Excel
MAX_TITLES = 30  # lines of titles above a header
NO_DELIMITER = "\x1f"  # delimiter for a single column: a character that no table contains
HEADER_LINES = 200  # lines used to detect the delimiter
MAX_ROW_BYTES = 1 << 24  # bytes of a row


@dataclass(frozen=True)
class Header:
    """The header of a table and its delimiter: "" for a single column, " " for any number of blanks."""

    file: str
    line: str
    lines_before: int  # blank lines, comments, titles
    names: list[str]
    delimiter: str
    notes: list[str]

    @classmethod
    def of(cls, text: str, file: str, reading: Reading = AS_PROVEN) -> "Header":
        """Find the header in a text or in its first lines. Raises `BadInput` if there is none.

        Above it may stand `sep=;`, comments after `#`, and titles with fewer cells, which are skipped with a note.
        """
        numbered = [(k, line) for k, line in enumerate(_first_lines(text)) if line.strip()]
        if reading.header:
            skipped = [line for number, line in numbered if number < reading.header - 1]
            numbered = [(number, line) for number, line in numbered if number >= reading.header - 1]
            if not numbered:
                raise BadInput(f"{file!r} has no line {reading.header} for the header; give another `header`")
        else:
            skipped, numbered = _skip_comments(numbered)
        separator = SEPARATOR_LINE.fullmatch(skipped[0].strip()) if skipped else None
        lines = [line for _, line in numbered]
        delimiter = DELIMITER_OF.get(reading.delimiter) or (separator[1] if separator else "")
        index = 0
        if not delimiter:
            delimiter, index = _delimiter_below_titles(lines) if not reading.header else (_delimiter(lines), 0)
        if not reading.header and delimiter:
            index += find_header_row([_cells(line, delimiter) for line in lines[index:]])
        skipped += lines[:index]
        number, line = numbered[index]
        line = line.lstrip("# ") if line.startswith("#") else line
        names, notes = parse_header(_cells(line, delimiter), file, line)
        if index + 1 == len(lines):
            raise BadInput(f"{file!r} has a header and no rows; it needs at least one molecule")
        if skipped:
            notes.append(f"above the header: {' / '.join(skipped):.200}, which was skipped")
        if delimiter == " ":
            notes.append("blanks separate the cells")
        return cls(file, line, number, names, delimiter, notes)


def _skip_comments(numbered: list[tuple[int, str]]) -> tuple[list[str], list[tuple[int, str]]]:
    """The line `sep=…` and comments at the top, and the other lines; the last comment is kept if it is the header."""
    count = 0
    if numbered and SEPARATOR_LINE.fullmatch(numbered[0][1].strip()):
        count = 1
    while count < len(numbered) and numbered[count][1].startswith("#"):
        count += 1
    skipped, rest = [line for _, line in numbered[:count]], numbered[count:]
    if skipped and skipped[-1].startswith("#") and rest:
        title = skipped[-1].lstrip("# ")
        delimiter = _delimiter([title, *(line for _, line in rest)])
        cells, first = _cells(title, delimiter), _cells(rest[0][1], delimiter)
        if len(cells) == len(first) and (len(cells) > 1 or "smiles" in title.lower()) and _is_data(first):
            return skipped[:-1], numbered[count - 1 :]
    return (skipped, rest) if rest else ([], numbered)


def _delimiter_below_titles(lines: list[str]) -> tuple[str, int]:
    """The delimiter, and how many titles without it stand above the header."""
    delimiter = _delimiter(lines)
    fits = [len(_cells(line, delimiter)) == len(_cells(lines[0], delimiter)) for line in lines]
    if delimiter and np.mean(fits) >= 0.5:
        return delimiter, 0
    for index in range(1, min(len(lines) - 1, MAX_TITLES)):
        below = _delimiter(lines[index:])
        widths = [len(_cells(line, below)) for line in lines[index:]]
        above = [len(_cells(line, below)) for line in lines[:index]]
        fit = np.mean(np.equal(widths, widths[0])) >= 0.9 and max(above) < widths[0]
        if below and fit and not _is_data(_cells(lines[index], below)):
            return below, index
    if not delimiter and len(lines[0].split()) > 1:
        widths = [len(_cells(line, " ")) for line in lines]
        if np.mean(np.equal(widths, widths[0])) >= 0.9 and not _is_data(_cells(lines[0], " ")):
            return " ", 0
    return delimiter, 0


def find_header_row(rows: list[list[str]]) -> int:
    """The index of the header among the first rows of a table; rows of titles above it have fewer filled cells.

    It is the first row with at least half as many filled cells as the fullest one, or such a row with "SMILES" in a
    cell and no molecule above it.
    """
    counts = [sum(bool(cell.strip()) for cell in row) for row in rows]
    wide = [index for index, count in enumerate(counts) if 2 * count >= max(counts) > 0]
    possible = takewhile(lambda index: not any(len(cell) > 2 and is_smiles(cell) for cell in rows[index]), wide)
    return next((index for index in possible if any("smiles" in cell.lower() for cell in rows[index])), wide[0])


class RowChecks:
    """Checks the rows of a table, shard by shard; `finish` raises the first error at the end."""

    def __init__(self, header: Header) -> None:
        self.header, self.rows, self.smiles = header, 0, None
        self.n_quotes = header.line.count('"')
        self.last_row_spans_lines = False
        self.errors: dict[str, BadInput] = {}  # the first row that does not fit, the first with a second delimiter

    def add(self, text: str) -> pd.DataFrame:
        """The next complete rows as a frame of str cells. Raises `BadInput` if they are no table."""
        header = self.header
        frame, misfit = read_rows(text, header)
        first = header.lines_before + 2 + self.rows  # line of the first row here, if no row spans several lines
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
        self.rows += len(frame)
        self.n_quotes += text.count('"')
        self.last_row_spans_lines = len(frame) > 0 and frame.iloc[-1].str.contains("\n").any()
        return frame

    def finish(self) -> None:
        """After all rows were added: raises `BadInput` naming the first faulty line."""
        if self.n_quotes % 2 and self.last_row_spans_lines:
            raise BadInput(
                f"{self.header.file!r}: a quote is left open: the last cell spans several lines; close or remove it"
            )
        for kind in ("misfit", "second delimiter"):
            if kind in self.errors:
                raise self.errors[kind]


def parse_delimited(text: str, name: str, reading: Reading = AS_PROVEN) -> tuple[pd.DataFrame, str, list[str]]:
    """Frame of str cells, delimiter ("" for a single column), notes. Raises `BadInput` naming the faulty line."""
    header = Header.of(text, name, reading)
    checks = RowChecks(header)
    body = text
    for _ in range(header.lines_before + 1):
        body = body.partition("\n")[2]
    frame = checks.add(body.rstrip("\n") + "\n")
    checks.finish()
    return frame, header.delimiter, header.notes


def read_rows(text: str, header: Header) -> tuple[pd.DataFrame, Any]:
    """Rows that fit the header, and the first that does not: its `text` and its `number`, counted from 1."""
    from pyarrow import ArrowInvalid, string
    from pyarrow import csv as arrow

    misfits: list = []
    delimiter = header.delimiter or NO_DELIMITER
    if delimiter == " ":
        text, delimiter = re.sub(r"[ \t]+", NO_DELIMITER, re.sub(r"(?m)^[ \t]+|[ \t]+$", "", text)), NO_DELIMITER

    def misfit(row: object) -> str:
        misfits.extend([SimpleNamespace(text=row.text, number=row.number)] * (not misfits))
        return "skip"

    try:
        table = arrow.read_csv(
            io.BytesIO(text.encode()),
            arrow.ReadOptions(use_threads=False, block_size=MAX_ROW_BYTES, column_names=header.names),
            arrow.ParseOptions(
                delimiter=delimiter,
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
    """The lines up to the 200th that is not blank."""
    lines: list[str] = []
    start = filled = 0
    while filled < HEADER_LINES and start < len(text):
        end = text.find("\n", start)
        end = len(text) if end < 0 else end
        lines.append(text[start:end])
        filled += bool(lines[-1].strip())
        start = end + 1
    return lines


def _cells(line: str, delimiter: str) -> list[str]:
    if delimiter == " ":
        return line.split()
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
