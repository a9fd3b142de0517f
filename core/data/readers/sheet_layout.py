"""What the XML of a sheet says and its values do not: hidden rows and columns, merged cells, formulas without a value.

openpyxl's fast reader passes over all of these. The XML is read as a stream; declarations of entities are refused.
"""

import re
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any
from xml.parsers import expat

from openpyxl.utils import column_index_from_string, get_column_letter

from core.engine.spec import BadInput

BLOCK = 1 << 18  # bytes of XML parsed at a time
CELL = re.compile(r"\$?([A-Za-z]{1,3})\$?(\d+)")
PERCENT_FORMATS = {9, 10}  # built in: 0% and 0.00%
LITERALS = re.compile(r'"[^"]*"|\\.|\[[^\]]*\]|_.')  # parts of a number format that are shown as they are

MAX_COLUMN = 16_384  # of any sheet

Area = tuple[int, int, int, int]
Attributes = dict[str, str]
Start = Callable[[str, Attributes], None]


@dataclass
class SheetLayout:
    """Rows and columns count from 1; an area is its first row and column and its last row and column."""

    hidden_rows: set[int] = field(default_factory=set)
    hidden_columns: set[int] = field(default_factory=set)
    merged: list[Area] = field(default_factory=list)
    uncalculated: dict[int, list[int]] = field(default_factory=dict)  # column → rows of formulas without a value
    uncalculated_arrays: list[Area] = field(default_factory=list)  # results of one formula without a value
    formulas: dict[int, int] = field(default_factory=dict)  # column → number of formulas with a value
    zeros: dict[int, list[int]] = field(default_factory=dict)  # column → rows of formulas with the value 0
    percent: dict[int, list[int]] = field(default_factory=dict)  # column → rows of numbers that are shown in percent
    filtered: bool = False  # rows are hidden by a filter


def read_layout(path: Path, title: str) -> SheetLayout:
    """The layout of a sheet. Raises `BadInput` for a workbook with declarations of entities, and expat's errors."""
    with zipfile.ZipFile(path) as archive:
        part, recalculates = _find_sheet(archive, title)
        parser = _SheetParser(_percent_styles(archive))
        _parse(archive, part, parser.start, parser.parser)
    layout = parser.finish()
    if recalculates:  # written by a program that does not calculate: each value is missing, or 0 stands in its place
        for column, rows in layout.zeros.items():
            if len(rows) == layout.formulas[column]:
                layout.uncalculated.setdefault(column, []).extend(rows)
                layout.uncalculated[column].sort()
    return layout


def _find_sheet(archive: zipfile.ZipFile, title: str) -> tuple[str, bool]:
    """The part of the sheet, and whether its values are stale until a program has calculated them."""
    targets, sheets, recalculates = {}, {}, False

    def relation(name: str, attributes: Attributes) -> None:
        if name.endswith("Relationship"):
            targets[attributes["Id"]] = attributes["Target"]

    def sheet(name: str, attributes: Attributes) -> None:
        nonlocal recalculates
        bare = name.rpartition(":")[2]
        if bare == "sheet":
            key = next(value for name, value in attributes.items() if name.rpartition(":")[2] == "id")
            sheets[attributes["name"]] = key
        elif bare == "calcPr":
            recalculates = attributes.get("fullCalcOnLoad") in ("1", "true")

    _parse(archive, "xl/_rels/workbook.xml.rels", relation)
    _parse(archive, "xl/workbook.xml", sheet)
    target = targets[sheets[title]]
    return target.lstrip("/") if target.startswith("/") else str(PurePosixPath("xl") / target), recalculates


def _percent_styles(archive: zipfile.ZipFile) -> set[str]:
    """The styles of cells, as numbered in a sheet, that show a number in percent."""
    percent, styles, state = set(PERCENT_FORMATS), set(), {"inside": False, "count": 0}

    def start(name: str, attributes: Attributes) -> None:
        bare = name.rpartition(":")[2]
        if bare == "numFmt" and "%" in LITERALS.sub("", attributes.get("formatCode", "")):
            percent.add(int(attributes["numFmtId"]))
        elif bare in ("cellXfs", "cellStyleXfs", "cellStyles", "dxfs"):
            state["inside"] = bare == "cellXfs"
        elif bare == "xf" and state["inside"]:
            if int(attributes.get("numFmtId", 0)) in percent:
                styles.add(str(state["count"]))
            state["count"] += 1

    if "xl/styles.xml" in archive.namelist():
        _parse(archive, "xl/styles.xml", start)
    return styles


def _parse(archive: zipfile.ZipFile, part: str, start: Start, parser: Any = None) -> None:
    """Call `start` for every element of a part. Raises `BadInput` for a document type or an entity."""

    def refuse(*_: Any) -> None:
        raise BadInput(
            f"{part} declares entities, which no workbook needs; save it again as .xlsx, or its sheet as CSV"
        )

    parser = parser or expat.ParserCreate()
    parser.StartElementHandler = start
    parser.StartDoctypeDeclHandler = parser.EntityDeclHandler = parser.UnparsedEntityDeclHandler = refuse
    with archive.open(part) as stream:
        while block := stream.read(BLOCK):
            parser.Parse(block, False)
        parser.Parse(b"", True)


class _SheetParser:
    """Collects the layout from the starts of elements; a cell is complete when the next element begins."""

    def __init__(self, percent_styles: set[str]) -> None:
        self.parser = expat.ParserCreate()
        self.parser.buffer_text = True
        self.layout, self.percent_styles = SheetLayout(), percent_styles
        self.prefix: str | None = None
        self.row, self.reference, self.offset = 0, "", 0
        self.kind, self.array, self.formula, self.percent, self.pending = "", "", False, False, False
        self.text: list[str] = []

    def start(self, name: str, attributes: Attributes) -> None:
        """Handle the start of an element."""
        if self.prefix is None:
            self.prefix = name.removesuffix("worksheet")
        name = name[len(self.prefix) :] if self.prefix else name
        if name == "v":
            if self.pending:
                self.parser.CharacterDataHandler = self.text.append
            return
        if name == "f":
            self.formula = self.pending = True
            self.array = attributes.get("ref", "") if attributes.get("t") == "array" else ""
            return
        if name == "c":
            if self.pending:
                self._finish_cell()
            reference = attributes.get("r")
            if reference:
                self.reference, self.offset = reference, 0
            else:
                self.offset += 1
            self.kind = attributes.get("t", "")
            self.percent = self.pending = attributes.get("s") in self.percent_styles and self.kind in ("", "n")
        elif name == "row":
            if self.pending:
                self._finish_cell()
            self.row = int(attributes["r"]) if "r" in attributes else self.row + 1
            self.reference, self.offset = "", 0
            if attributes.get("hidden") in ("1", "true") or (attributes.get("ht") in ("0", "0.0")):
                self.layout.hidden_rows.add(self.row)
        elif name == "col" and (attributes.get("hidden") in ("1", "true") or attributes.get("width") in ("0", "0.0")):
            last = min(int(attributes["max"]), MAX_COLUMN)
            self.layout.hidden_columns.update(range(int(attributes["min"]), last + 1))
        elif name == "mergeCell":
            if area := parse_area(attributes.get("ref", "")):
                self.layout.merged.append(area)
        elif name == "filterColumn":
            self.layout.filtered = True

    def _finish_cell(self) -> None:
        """Note a formula or a number in percent."""
        self.parser.CharacterDataHandler = None
        match = CELL.fullmatch(self.reference)
        column = (column_index_from_string(match[1]) if match else 0) + self.offset
        value, layout = "".join(self.text).strip(), self.layout
        if self.formula and not value and self.kind != "str":  # the text "" is a value
            if area := parse_area(self.array):
                layout.uncalculated_arrays.append(area)
            else:
                layout.uncalculated.setdefault(column, []).append(self.row)
        elif self.formula:
            layout.formulas[column] = layout.formulas.get(column, 0) + 1
            if value == "0" and self.kind in ("", "n"):
                layout.zeros.setdefault(column, []).append(self.row)
        if self.percent and value:
            layout.percent.setdefault(column, []).append(self.row)
        self.formula, self.percent, self.pending, self.array = False, False, False, ""
        self.text.clear()

    def finish(self) -> SheetLayout:
        """The layout, after the last element."""
        if self.pending:
            self._finish_cell()
        return self.layout


def parse_area(text: str) -> Area | None:
    """The area `B2:C9` or `B2`; None for anything else."""
    first, _, last = text.partition(":")
    corners = [CELL.fullmatch(first), CELL.fullmatch(last or first)]
    if not all(corners):
        return None
    (top, left), (bottom, right) = [(int(one[2]), column_index_from_string(one[1])) for one in corners if one]
    return top, left, bottom, right


def name_cell(row: int, column: int) -> str:
    """`C2` for row 2 and column 3."""
    return f"{get_column_letter(column)}{row}"
