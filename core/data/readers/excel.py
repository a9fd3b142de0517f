"""Excel workbooks: the sheet with the molecules as a table of text.

`BOOK.xlsx#SHEET` names a sheet. Without a name the first visible sheet with a column of SMILES is read. For formulas
the last saved value is used. Cells that the sheet stores as numbers are `NumericText`. What a sheet says beside the
text of its cells is read by `core.data.readers.sheet_layout` and `core.data.readers.workbook_cells`.
"""

import datetime
import warnings
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import islice, takewhile
from pathlib import Path
from typing import Any

import pandas as pd

from core.data.readers.column_faults import ColumnFault
from core.data.readers.columns import guess_smiles, is_smiles
from core.data.readers.delimited import HEADER_LINES, parse_header
from core.data.readers.files import MAX_BYTES, MAX_ROWS, split_sheet
from core.data.readers.numbers import NumericText
from core.data.readers.sheet_layout import SheetLayout, read_layout
from core.data.readers.workbook_cells import CellInspector, DateText, is_group_header
from core.engine.spec import BadInput

warnings.filterwarnings("ignore", module="openpyxl")  # about charts and validation rules, which are not read


@dataclass(frozen=True, eq=False)
class Sheet:
    """A sheet as a table; rows count from 0, without the header."""

    frame: pd.DataFrame  # cells are str
    notes: tuple[str, ...] = ()
    title: str = ""
    titles: tuple[str, ...] = ()  # all visible sheets with cells
    hidden_rows: tuple[int, ...] = ()
    hidden_columns: tuple[str, ...] = ()
    faults: dict[str, ColumnFault] = field(default_factory=dict)


def read_workbook(path: Path, rows: int | None = None) -> Sheet:
    """The sheet that `path` names, or the first with molecules; with `rows`, only the first rows.

    Rows above the header are skipped. The header is the first row with at least half as many cells as the fullest one,
    or such a row with "SMILES" in a cell and no molecule above it; a row of merged cells over the header is none.
    Raises `BadInput` for a file that is no workbook or locked, and for a missing sheet.
    """
    file, requested = split_sheet(path)
    name = file.name
    _check(file)
    try:
        import openpyxl

        book = openpyxl.load_workbook(file, read_only=True, data_only=True, keep_links=False)
        try:
            visible = {sheet.title: sheet for sheet in book.worksheets if sheet.sheet_state == "visible"}
            filled = tuple(title for title, sheet in visible.items() if any(map(_is_filled, _rows(sheet))))
            titles = [sheet.title for sheet in book.worksheets]  # without chart sheets
            if requested and requested not in titles:
                raise BadInput(f"{name!r} has no sheet {requested!r}; it has {_list_titles(titles)}")
            if not requested and not filled:
                raise BadInput(f"{name!r} is empty: none of its sheets has a filled cell")
            chosen = requested or next((title for title in filled if _has_molecules(visible[title], name)), filled[0])
            if chosen not in filled and not any(map(_is_filled, _rows(book[chosen]))):
                raise BadInput(f"the sheet {chosen!r} of {name!r} is empty; it has {_list_titles(filled)}")
            sheet = _table(_rows(book[chosen]), name, chosen, rows, read_layout(file, chosen))
        finally:
            book.close()
    except BadInput:
        raise
    except Exception as error:  # openpyxl raises many kinds of errors for damaged files
        raise BadInput(
            f"{name!r} cannot be read as a workbook ({type(error).__name__}: {str(error)[:120]}); "
            "open it, save it again as .xlsx, or its sheet as CSV"
        ) from None
    others = [title for title in filled if title != chosen]
    if others and not requested:
        note = f"sheet {chosen!r} was read, not {_list_titles(others)}; {name}#{others[0]} selects another"
        sheet = replace(sheet, notes=(note, *sheet.notes))
    return replace(sheet, title=chosen, titles=filled)


def _check(file: Path) -> None:
    """Raises `BadInput` for a file that is no workbook or unpacks to more than `MAX_BYTES`."""
    with file.open("rb") as stream:
        is_locked = stream.read(4) == b"\xd0\xcf\x11\xe0"
    if is_locked:
        raise BadInput(
            f"{file.name!r} has a password or is an Excel 97 file; save it without a password as .xlsx, "
            "or its sheet as CSV"
        )
    try:
        with zipfile.ZipFile(file) as archive:
            size, names = sum(part.file_size for part in archive.infolist()), archive.namelist()
    except (zipfile.BadZipFile, OSError, ValueError):
        size, names = 0, []
    if "xl/workbook.xml" not in names:
        raise BadInput(f"{file.name!r} is no readable workbook; copy it again, or save its sheet as CSV")
    if size > MAX_BYTES:
        raise BadInput(
            f"{file.name!r} unpacks to {size / 1e6:,.0f} MB; up to {MAX_BYTES / 1e6:,.0f} are read: "
            "save its sheet as Parquet or CSV"
        )


def _rows(sheet: Any) -> Iterator[tuple[Any, ...]]:
    """The cells of a sheet, row by row, up to the last filled cell of each row."""
    sheet.reset_dimensions()  # the size stated in the file is often wrong
    return islice(sheet.iter_rows(values_only=True), MAX_ROWS + HEADER_LINES)


def _is_filled(row: tuple[Any, ...]) -> bool:
    return any(cell is not None and str(cell).strip() for cell in row)


def _has_molecules(sheet: Any, name: str) -> bool:
    try:
        return guess_smiles(_table(_rows(sheet), name, sheet.title, HEADER_LINES, SheetLayout()).frame) is not None
    except BadInput:  # notes, a cover, a chart's numbers
        return False


def _table(rows: Iterator[tuple[Any, ...]], name: str, title: str, most: int | None, layout: SheetLayout) -> Sheet:
    """The rows below the header."""
    where = f"{name}#{title}"
    first = [[_text(cell) for cell in row] for row in islice(rows, HEADER_LINES)]
    header_row = _find_header(first, where, layout)
    header = first[header_row]
    body = [
        *first[header_row + 1 :],
        *([_text(cell) for cell in row] for row in (islice(rows, most) if most else rows)),
    ]
    while body and not any(body[-1]):  # rows with formatting only
        body.pop()
    inspector = CellInspector(layout, header_row + 2)
    inspector.fill_merged(body)
    used = sorted({index for row in (header, *body) for index, cell in enumerate(row) if cell})
    full = [[row[index] if index < len(row) else "" for index in used] for row in (header, *body)]
    names, notes = parse_header(full[0], where, " ".join(header))
    if not body:
        raise BadInput(f"{where!r} has a header and no rows; it needs at least one molecule")
    frame = pd.DataFrame(full[1:], columns=names, dtype=object).head(most)
    if above := [" ".join(filter(None, row)) for row in first[:header_row] if any(row)]:
        notes.append(f"above the header: {' / '.join(above):.200}, which was skipped")
    columns = [index + 1 for index in used]
    faults, fault_notes = inspector.inspect(frame, columns)
    hidden_rows, hidden_columns, hidden_notes = inspector.hidden(frame, columns)
    notes += [*hidden_notes, *fault_notes]
    return Sheet(frame, tuple(notes), hidden_rows=hidden_rows, hidden_columns=hidden_columns, faults=faults)


def _find_header(first: list[list[str]], where: str, layout: SheetLayout) -> int:
    """The row of the header among the first rows, from 0. Raises `BadInput` if these have no cells."""
    counts = [sum(map(bool, row)) for row in first]
    wide = [index for index, count in enumerate(counts) if 2 * count >= max(counts) > 0]
    if not wide:
        raise BadInput(f"{where!r} has no cells in its first {HEADER_LINES} rows; put the header line first")
    if len(wide) > 1 and is_group_header(wide[0], layout, first, _is_body):
        wide = wide[1:]
    possible = takewhile(lambda index: not any(map(_is_molecule, first[index])), wide)
    return next((index for index in possible if any("smiles" in cell.lower() for cell in first[index])), wide[0])


def _is_molecule(cell: str) -> bool:
    return len(cell) > 2 and is_smiles(cell)


def _is_body(cell: str) -> bool:
    return isinstance(cell, NumericText) or _is_molecule(cell)


def _text(cell: Any) -> str:
    """A cell as text: 3 for 3.0, which Excel does not distinguish, and dates as 2024-01-31."""
    if cell is None:
        return ""
    if isinstance(cell, str):
        return cell if cell.strip() else ""
    if isinstance(cell, bool):
        return str(cell).lower()
    if isinstance(cell, float) and cell.is_integer() and abs(cell) < 1e15:
        return NumericText(int(cell))
    if isinstance(cell, (int, float)):
        return NumericText(cell)
    if isinstance(cell, datetime.datetime) and cell.time() == datetime.time():
        return DateText(cell.date().isoformat())
    return DateText(cell)


def _list_titles(titles: Any) -> str:
    titles = list(titles)
    return ", ".join(map(repr, titles[:8])) + (f" and {len(titles) - 8} more" if len(titles) > 8 else "")
