"""CSV and its kin: the delimiter found in the header, every line held to it."""

import csv
import io
import re
from types import SimpleNamespace

import numpy as np
import pandas as pd

from core.spec import BadInput
from core.tables.columns import NUMBER, guess_smiles, is_smiles, with_points
from core.tables.files import MOST_COLUMNS

DELIMITERS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "pipe"}
LOOK = 200  # lines from which the delimiter is found


def delimited(text: str, name: str) -> tuple[pd.DataFrame, str, list[str]]:
    """Frame of str cells, delimiter ("" for a single column), notes. Raises `BadInput` naming the line at fault."""
    before = len(text) - len(text.lstrip("\n"))
    text = text.strip("\n") + "\n"
    lines = _first_lines(text)
    delimiter = _delimiter(lines)
    names, notes = _names(_cells(lines[0], delimiter))
    if len(names) > MOST_COLUMNS:
        raise BadInput(f"{name!r} has {len(names):,} columns; up to {MOST_COLUMNS:,} are read: leave some out")
    if _is_data(names):
        raise BadInput(f"{name!r} begins with data ({lines[0][:60]!r}); put a header line first, such as smiles,logS")
    if len(lines) == 1:
        raise BadInput(f"{name!r} has a header and no rows; it wants at least one molecule")
    frame, misfits = _read(text, names, delimiter, name)
    for row in misfits:
        raise _misfit(name, row.text, before + (row.number or 0), delimiter, len(names))
    smiles = guess_smiles(frame)
    for mark in set(DELIMITERS) - {delimiter} if smiles else ():
        glued = frame[smiles].str.fullmatch(rf"[^\s{re.escape(mark)}]+{re.escape(mark)}\s*[-+]?[\d.,]+")
        if glued.any():
            place = int(np.argmax(glued.to_numpy()))
            raise _misfit(name, frame[smiles].iloc[place], before + place + 2, delimiter, len(names))
    if delimiter not in ("", ","):
        for column in names:
            if (points := with_points(frame[column])) is not None:
                frame[column] = points
                notes.append(f"decimal commas in {column!r} read as points")
    return frame, delimiter, notes


def _read(text: str, names: list[str], delimiter: str, name: str) -> tuple[pd.DataFrame, list]:
    from pyarrow import ArrowInvalid, string
    from pyarrow import csv as arrow

    misfits: list = []

    def misfit(row: object) -> str:
        misfits.extend([SimpleNamespace(text=row.text, number=row.number)] * (not misfits))
        return "skip"

    try:
        table = arrow.read_csv(
            io.BytesIO(text.encode()),
            arrow.ReadOptions(use_threads=False, block_size=1 << 24, column_names=names, skip_rows=1),
            arrow.ParseOptions(
                delimiter=delimiter or "\x1f",
                newlines_in_values=True,
                ignore_empty_lines=False,
                invalid_row_handler=misfit,
            ),
            arrow.ConvertOptions(column_types=dict.fromkeys(names, string()), strings_can_be_null=False),
        )
    except ArrowInvalid as error:
        raise BadInput(f"{name!r} cannot be read as a table: {str(error)[:200]}; is a quote left open?") from None
    frame = table.to_pandas().astype(object)
    if text.count('"') % 2 and len(frame) and frame.iloc[-1].str.contains("\n").any():
        raise BadInput(f"{name!r}: a quote is left open: its last cell runs over several lines; close or remove it")
    return frame, misfits


def _misfit(name: str, row: str, line: int, delimiter: str, columns: int) -> BadInput:
    """What to say of a line that does not fit the header."""
    used = DELIMITERS.get(delimiter, "no delimiter")
    for mark in sorted(set(DELIMITERS) - {delimiter}, key=lambda mark: -len(_cells(row, mark))):
        if len(_cells(row, mark)) > 1 and len(_cells(row, delimiter)) < max(columns, 2):
            return BadInput(
                f"{name!r} has mixed delimiters: {used} in the header, {DELIMITERS[mark]} in line {line} "
                f"({row[:60]!r}); use one throughout"
            )
    return BadInput(
        f"{name!r}: line {line} has {len(_cells(row, delimiter))} cells and the header {columns} ({used}); "
        f"quote cells that hold the delimiter: {row[:60]!r}"
    )


def _delimiter(lines: list[str]) -> str:
    """The mark that cuts the header, and most lines into as many cells; "" for a single column."""
    best, best_score = "", (0.0, 1)
    for mark in DELIMITERS:
        counts = [len(_cells(line, mark)) for line in lines]
        score = (float(np.mean(np.equal(counts, counts[0]))), counts[0])
        if counts[0] > 1 and score > best_score:
            best, best_score = mark, score
    return best


def _first_lines(text: str) -> list[str]:
    end = 0
    for _ in range(LOOK):
        end = text.find("\n", end) + 1
        if not end:
            return [line for line in text.split("\n") if line.strip()]
    return [line for line in text[:end].split("\n") if line.strip()]


def _cells(line: str, delimiter: str) -> list[str]:
    try:
        return next(csv.reader([line], delimiter=delimiter or "\x1f"))
    except csv.Error:
        most = csv.field_size_limit()
        raise BadInput(f"a cell has more than {most:,} characters ({line[:40]!r} …); is this a table?") from None


def _names(cells: list[str]) -> tuple[list[str], list[str]]:
    """Column names that are there and differ, with notes on those that were not so."""
    names: list[str] = []
    notes = []
    for place, cell in enumerate(cells, 1):
        name = cell.strip() or f"column {place}"
        while name in names:
            name += " (again)"
        if name != cell.strip():
            notes.append(
                f"column {place} is called {name!r}: its header is {'used before' if cell.strip() else 'empty'}"
            )
        names.append(name)
    return names, notes


def _is_data(names: list[str]) -> bool:
    """Whether a header looks like a row: a molecule beside a number, or a molecule of three letters and more alone."""
    molecules = [name for name in names if len(name) > 2 and is_smiles(name)]
    return bool(molecules) and (len(names) == 1 or any(NUMBER.fullmatch(name) for name in names))
