"""Cells of a sheet whose text does not say all: merged cells, formulas without a value, dates, errors, percent."""

import re
from collections.abc import Callable, Sequence

import pandas as pd

from core.data.readers.column_faults import ColumnFault
from core.data.readers.columns import MEASUREMENT_WORDS
from core.data.readers.numbers import NumericText
from core.data.readers.sheet_layout import SheetLayout, name_cell

ERRORS = {"#REF!", "#VALUE!", "#NAME?", "#DIV/0!", "#NULL!", "#NUM!", "#N/A", "#SPILL!", "#CALC!", "#FIELD!"}

YEAR = re.compile("(19|20)[0-9]{2}")


class DateText(str):
    """The text of a cell that the workbook stores as a date or a time."""


class CellInspector:
    """Inspects the body of a sheet; row 0 of the body is the row `first_row` of the sheet.

    `faults` and `notes` grow with each step; columns are numbers of the sheet, from 1, until they have names.
    """

    def __init__(self, layout: SheetLayout, first_row: int) -> None:
        self.layout, self.first_row = layout, first_row
        self.spans: dict[int, list[tuple[int, int]]] = {}  # column → first and last row of merged cells

    def fill_merged(self, body: list[list[str]]) -> None:
        """Give each row of a merged cell its value, in place."""
        last_rows: dict[int, int] = {}
        for top, column, bottom, _ in sorted(self.layout.merged):
            first, last = top - self.first_row, min(bottom - self.first_row, len(body) - 1)
            if first < max(0, last_rows.get(column, -1) + 1) or last <= first or len(body[first]) < column:
                continue
            last_rows[column] = last
            value = body[first][column - 1]
            for row in body[first + 1 : last + 1] if value else ():
                row.extend([""] * (column - len(row)))
                row[column - 1] = value
            if value:
                self.spans.setdefault(column, []).append((first, last))

    def inspect(self, frame: pd.DataFrame, columns: Sequence[int]) -> tuple[dict[str, ColumnFault], list[str]]:
        """The faults by column, and notes. Cells without a value are emptied, in place.

        `columns`: the column of the sheet for each column of the frame.
        """
        faults: dict[str, ColumnFault] = {}
        notes: list[str] = []
        for index, (name, number) in enumerate(zip(frame.columns, columns, strict=True)):
            cells = frame.iloc[:, index].tolist()
            for check in (self._uncalculated, self._errors, self._dates, self._percent, self._merged):
                finding = check(cells, number, str(name))
                if isinstance(finding, ColumnFault):
                    faults.setdefault(str(name), finding)
                    finding = finding.reason
                if finding:
                    notes.append(f"column {name!r}: {finding}")
            if rows := self._uncalculated_rows(len(frame), number):
                frame.iloc[rows, index] = ""
        return faults, notes

    def hidden(self, frame: pd.DataFrame, columns: Sequence[int]) -> tuple[tuple[int, ...], tuple[str, ...], list[str]]:
        """The hidden rows of the frame that are not empty, its hidden columns, and notes."""
        indices = sorted(row - self.first_row for row in self.layout.hidden_rows)
        rows = tuple(row for row in indices if 0 <= row < len(frame) and any(frame.iloc[row]))
        names = tuple(
            str(name)
            for name, number in zip(frame.columns, columns, strict=True)
            if number in self.layout.hidden_columns
        )
        notes = []
        if rows:
            how = "by a filter" if self.layout.filtered else "in the sheet"
            notes.append(
                f"{len(rows):,} rows are hidden {how}, the first is row {rows[0] + self.first_row} of the sheet"
            )
        if names:
            more = f" and {len(names) - 8} more" if len(names) > 8 else ""
            notes.append(f"hidden columns: {', '.join(map(repr, names[:8]))}{more}")
        return rows, names, notes

    def _cell(self, row: int, column: int) -> str:
        return name_cell(row + self.first_row, column)

    def _uncalculated_rows(self, height: int, column: int) -> list[int]:
        layout, first = self.layout, self.first_row
        rows = {row - first for row in layout.uncalculated.get(column, ())}
        for top, left, bottom, right in layout.uncalculated_arrays:
            if left <= column <= right:
                rows.update(range(max(top - first, 0), min(bottom - first + 1, height)))
        return sorted(row for row in rows if 0 <= row < height)

    def _uncalculated(self, cells: list[str], column: int, name: str) -> ColumnFault | str:
        rows = self._uncalculated_rows(len(cells), column)
        if not rows:
            return ""
        return ColumnFault(
            f"{_count(len(rows), 'formula has', 'formulas have')} no value (first {self._cell(rows[0], column)}), "
            "because the program that wrote the workbook does not calculate; open and save it in Excel or LibreOffice"
        )

    def _errors(self, cells: list[str], column: int, name: str) -> ColumnFault | str:
        rows = [row for row, cell in enumerate(cells) if cell[:1] == "#" and cell in ERRORS]
        if not rows:
            return ""
        numbers = sum(isinstance(cell, NumericText) for cell in cells)
        where = f"first {self._cell(rows[0], column)}: {cells[rows[0]]}"
        reason = f"{_count(len(rows), 'cell is an error', 'cells are errors')} ({where}); correct the formulas"
        return ColumnFault(reason) if sum(cells[row] != "#N/A" for row in rows) > numbers else reason

    def _dates(self, cells: list[str], column: int, name: str) -> ColumnFault | str:
        rows = [row for row, cell in enumerate(cells) if isinstance(cell, DateText)]
        if not rows:
            return ""
        numbers = sum(isinstance(cell, NumericText) and not YEAR.fullmatch(cell) for cell in cells)
        is_measurement = bool(set(re.split(r"[^a-z0-9]+", name.lower())) & MEASUREMENT_WORDS)
        if not numbers and not is_measurement:
            return ""
        return ColumnFault(
            f"{_count(len(rows), 'cell is a date', 'cells are dates')}, {numbers:,} are numbers (first "
            f"{self._cell(rows[0], column)}: {cells[rows[0]]}); a number such as 1.5 may have become one: correct it",
            hides_label=is_measurement or numbers >= len(rows),
        )

    def _percent(self, cells: list[str], column: int, name: str) -> ColumnFault | str:
        percent = {row - self.first_row for row in self.layout.percent.get(column, ())}
        rows = sorted(row for row in percent if 0 <= row < len(cells) and isinstance(cells[row], NumericText))
        if not rows:
            return ""
        others = sum(
            isinstance(cell, NumericText) and cell != "0" and row not in percent for row, cell in enumerate(cells)
        )
        example = f"{self._cell(rows[0], column)}: {cells[rows[0]]} is shown as {100 * float(cells[rows[0]]):g} %"
        if not others:
            return f"its numbers are shown in percent and were read as fractions ({example})"
        return ColumnFault(
            f"{_count(len(rows), 'number is', 'numbers are')} shown in percent, {others:,} are not ({example}); "
            "give all the same format and the same meaning"
        )

    def _merged(self, cells: list[str], column: int, name: str) -> ColumnFault | str:
        spans = self.spans.get(column)
        if not spans:
            return ""
        first, last = spans[0]
        area = f"first {self._cell(first, column)}:{self._cell(last, column)}"
        return ColumnFault(
            f"{_count(len(spans), 'cell is', 'cells are')} merged over several rows ({area}), each of which was given "
            "the value; where these are different molecules, write the value of each",
            spans=tuple(spans),
        )


def _count(count: int, one: str, many: str) -> str:
    return f"{count:,} {one if count == 1 else many}"


def is_group_header(row: int, layout: SheetLayout, first: list[list[str]], is_body: Callable[[str], bool]) -> bool:
    """Whether cells of a row (from 0) are merged over several columns that have their own names in the next row."""
    below = first[row + 1] if row + 1 < len(first) else []
    if not any(below) or any(is_body(cell) for cell in below):
        return False
    return any(top == row + 1 and sum(map(bool, below[left - 1 : right])) > 1 for top, left, _, right in layout.merged)
