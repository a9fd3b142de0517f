"""Numbers written as text: which mark separates decimals and which thousands is proven by a full column.

`2,142` is two thousand or two; no cell shows it, a column may. Proof of a decimal mark: a group after it that has not
three digits (`1,5`), or a whole part of 0 or of more than three digits (`0,125`, `2142,125`). Proof of a thousands
mark: it occurs twice in a cell (`1,234,567`), the other mark follows (`2,142.5`), or the column has plain numbers
and none reaches 1,000 (12, 843, 2,142).
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from core.data.readers.decisions import Decision

EMPTY = {"", "na", "n/a", "n.a.", "null", "none", "-", "--", "?", "missing", "nd", "n.d."}
NOT_A_NUMBER = {"nan", "+nan", "-nan", "#n/a", "#num!", "#value!", "#div/0!"}
TRUTH = {"true": 1.0, "false": 0.0}
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
MAX_LABEL = 1e30  # largest label: squares and sums must fit into single precision

BLANKS = " \N{NO-BREAK SPACE}\N{NARROW NO-BREAK SPACE}\N{THIN SPACE}\N{FIGURE SPACE}'\N{RIGHT SINGLE QUOTATION MARK}"
MARKED = re.compile(rf"[+-]?([\d.,{BLANKS}]*\d[\d.,]*)((?:[eE][+-]?\d+)?)")  # may be a number with marks
GROUPS = {mark: re.compile(rf"\d{{1,3}}(?:[{mark}]\d{{3}})+") for mark in (r"\.", ",", BLANKS)}
MARKS = {"point": ".", "comma": ","}
MARK_NAMES = {mark: name for name, mark in MARKS.items()}


class NumericText(str):
    """The text of a cell that the file stores as a number: a point in it is the decimal mark, whatever the column."""


@dataclass(frozen=True)
class NumberMarks:
    """The decimal mark of a column, "." or ","; the other one, blanks and apostrophes separate thousands."""

    decimal: str = "."

    def plain(self, cell: str) -> str:
        """The cell as Python writes the number; unchanged where it is no number with these marks."""
        sign = cell[:1] if cell[:1] in "+-" else ""
        match = MARKED.fullmatch(cell)
        if not match:
            return cell
        whole, mark, fraction = match[1].partition(self.decimal)
        thousands = "," if self.decimal == "." else r"\."
        for group in (thousands, BLANKS):
            if GROUPS[group].fullmatch(whole):
                whole = re.sub(rf"[{group}]", "", whole)
        if not re.fullmatch(r"\d*", whole) or not re.fullmatch(r"\d*", fraction):
            return cell
        return f"{sign}{whole}{'.' if mark else ''}{fraction}{match[2]}"


@dataclass
class MarkEvidence:
    """What the cells of a column show of their marks. The evidence of parts of a column adds up."""

    proofs: dict[str, int] = field(default_factory=lambda: {".": 0, ",": 0})  # cells that prove this decimal mark
    examples: dict[str, str] = field(default_factory=dict)  # the first of them, by decimal mark
    open_cells: dict[str, int] = field(default_factory=lambda: {".": 0, ",": 0})  # `2,142`: one mark, three digits
    open_example: dict[str, str] = field(default_factory=dict)
    plain: int = 0  # whole numbers without a mark
    large: int = 0  # of them, those of 1,000 or more
    grouped: str = ""  # the first cell with blanks or apostrophes between thousands
    numbers: int = 0  # cells that may be numbers, with the exact ones
    filled: int = 0

    def add(self, cells: Iterable[object]) -> None:
        """Count the cells of a part of the column; `NumericText` and numbers are exact and show nothing."""
        for cell in cells:
            if not isinstance(cell, str):
                continue
            text = normalise_cell(cell)
            if text in EMPTY:
                continue
            self.filled += 1
            match = MARKED.fullmatch(text)
            if not match:
                continue
            self.numbers += 1
            if not isinstance(cell, NumericText):
                self._count(match[1], bool(match[2]), cell.strip())

    def _count(self, body: str, has_exponent: bool, cell: str) -> None:
        if body.isdigit():
            self.plain += 1
            self.large += len(body.lstrip("0")) > 3
            return
        marks = [letter for letter in body if letter in ".,"]
        blanks = any(letter in BLANKS for letter in body)
        if len(set(marks)) == 2:
            last = marks[-1]
            other = r"\." if last == "," else ","
            if marks.count(last) == 1 and GROUPS[other].fullmatch(body.rpartition(last)[0]):
                self._prove(last, cell)
        elif len(marks) > 1:
            if GROUPS[r"\." if marks[0] == "." else ","].fullmatch(body):
                self._prove("," if marks[0] == "." else ".", cell)
        elif marks:
            whole, _, fraction = body.partition(marks[0])
            if blanks and not GROUPS[BLANKS].fullmatch(whole):
                return
            self.grouped = self.grouped or cell * blanks
            if has_exponent or blanks or len(fraction) != 3 or not 1 <= len(whole) <= 3 or whole.startswith("0"):
                self._prove(marks[0], cell)
            else:
                self.open_cells[marks[0]] += 1
                self.open_example.setdefault(marks[0], cell)
        elif GROUPS[BLANKS].fullmatch(body):
            self.grouped = self.grouped or cell

    def _prove(self, decimal: str, cell: str) -> None:
        self.proofs[decimal] += 1
        self.examples.setdefault(decimal, cell)

    @property
    def has_marks(self) -> bool:
        """Whether marks other than a decimal point occur, or a point whose meaning is not proven."""
        return bool(self.proofs[","] or self.open_cells[","] or self.grouped or (self.open_cells["."] and self.plain))


def decide_marks(
    name: str, evidence: MarkEvidence, wanted: str = "", others: Iterable[MarkEvidence] = (), convention: str = ""
) -> Decision:
    """The decimal mark of a column as a `Decision`, "point" or "comma"; undecided where nothing proves it.

    `wanted`: the user's choice. `others`: other columns of the file, which may prove the mark where this one cannot.
    `convention`: why a file of this kind has decimal points, if so; it decides where every cell has three decimals.
    """
    comma, point = evidence.proofs[","], evidence.proofs["."]
    open_comma, open_point = evidence.open_cells[","], evidence.open_cells["."]

    def decide(value: str, reason: str, undecided: bool = False) -> Decision:
        return Decision(f"numbers of {name!r}", value, reason, "decimal", ("point", "comma"), undecided)

    if wanted:
        return decide(wanted, "as chosen")
    if comma and point:
        return decide(
            "",
            f"{evidence.examples['.']!r} has a decimal point and {evidence.examples[',']!r} a decimal comma",
            True,
        )
    if comma or point:
        mark = "," if comma else "."
        return decide(MARK_NAMES[mark], f"{evidence.examples[mark]!r} shows it")
    if open_comma and open_point:
        examples = " and ".join(repr(evidence.open_example[mark]) for mark in ".,")
        return decide("", f"{examples}: one mark separates decimals, the other thousands", True)
    if open_comma or open_point:
        mark, other = (",", ".") if open_comma else (".", ",")
        example = evidence.open_example[mark]
        if evidence.large:
            return decide(
                MARK_NAMES[mark], f"numbers of 1,000 and more are written without a mark, and {example!r} has one"
            )
        proven = {mark for one in others for mark in ".," if one.proofs[mark]}
        if len(proven) == 1:
            (decimal,) = proven
            return decide(MARK_NAMES[decimal], f"another column of the file has a decimal {MARK_NAMES[decimal]}")
        if evidence.plain and mark == ",":
            return decide(
                MARK_NAMES[other],
                f"{example!r} has a mark and no number without one reaches 1,000: it separates thousands",
            )
        if evidence.plain or mark == "," or not convention:
            return decide("", f"{example!r} may be a number of thousands or one with three decimals", True)
        return decide("point", f"every number has three decimals, and {convention}")
    return decide("point", f"{evidence.grouped!r} has blanks between thousands" if evidence.grouped else "as usual")


def normalise_cell(cell: object) -> str:
    """A cell as lower-case text with an ordinary minus; "" for None and NaN."""
    if cell is None or cell is pd.NA or (isinstance(cell, float) and np.isnan(cell)):
        return ""
    return str(cell).strip().lower().replace("\N{MINUS SIGN}", "-")


def cell_key(cell: object) -> str:
    """Equal for cells that mean the same: `1`, `1.0` and 1; `Active` and `active`."""
    text = normalise_cell(cell)
    try:
        return f"{float(text):g}"
    except ValueError:
        return text


def parse_numbers(
    cells: Sequence | pd.Series, marks: NumberMarks | None = None, missing: Iterable[str] = ()
) -> tuple[np.ndarray, dict[int, str], list[int]]:
    """The numbers of a column (n,), NaN elsewhere; errors by row; and the rows that contain text.

    Empty cells, words for them (NA, null, -, ?) and those in `missing` are missing values, not errors. NaN and infinity
    written as text, infinity as a number, and numbers beyond ±1e30 are errors. true and false are 1 and 0. Without
    `marks`, as decided for the full column, a number has a decimal point and no other mark.
    """
    column = pd.Series(cells).reset_index(drop=True)
    errors: dict[int, str] = {}
    if pd.api.types.is_numeric_dtype(column) or pd.api.types.is_bool_dtype(column):
        values = column.to_numpy(dtype=float, na_value=np.nan).copy()
        for text in missing:
            values[values == _number(text, marks)] = np.nan
        errors = {int(row): "is infinite" for row in np.flatnonzero(np.isinf(values))}
        values[list(errors)] = np.nan
        return _remove_huge(values, errors), errors, []
    absent = {cell_key(text) for text in missing}
    values = pd.to_numeric(column, errors="coerce").to_numpy(dtype=float, na_value=np.nan).copy()
    values[np.isinf(values)] = np.nan  # reported below
    cells = column.tolist()
    doubtful = np.isnan(values)
    if marks and marks.decimal == ",":  # `1.234` is no decimal number here
        doubtful |= np.array([isinstance(c, str) and not isinstance(c, NumericText) and "." in c for c in cells], bool)
    if absent:
        doubtful |= np.array([cell_key(cell) in absent for cell in cells], bool)
    text_rows: list[int] = []
    for row in np.flatnonzero(doubtful).tolist():
        values[row] = np.nan
        cell = normalise_cell(cells[row])
        if cell in EMPTY or cell_key(cell) in absent:
            continue
        number = _number(cell, None if isinstance(cells[row], NumericText) else marks)
        if np.isfinite(number):
            values[row] = number
        else:
            errors[row] = _explain_bad_cell(cell)
            text_rows.extend([row] * errors[row].startswith("is text"))
    return _remove_huge(values, errors), errors, text_rows


def _number(cell: str, marks: NumberMarks | None) -> float:
    cell = marks.plain(cell) if marks else cell
    return float(cell) if NUMBER.fullmatch(cell) else TRUTH.get(cell, np.nan)


def _remove_huge(values: np.ndarray, errors: dict[int, str]) -> np.ndarray:
    """The values without those beyond ±`MAX_LABEL`, which are added to `errors`."""
    beyond = np.abs(values) > MAX_LABEL  # NaN is not
    errors |= {int(row): f"is {values[row]:g}, beyond ±{MAX_LABEL:g}" for row in np.flatnonzero(beyond)}
    return np.where(beyond, np.nan, values)


def _explain_bad_cell(cell: str) -> str:
    if cell in NOT_A_NUMBER:
        return "is NaN"
    if cell.lstrip("+-") in ("inf", "infinity") or NUMBER.fullmatch(cell):
        return "is infinite"
    if re.match(r"[<>~≤≥=]", cell):
        return f"is text: {cell[:40]!r} is a bound, not a measurement"
    return f"is text: {cell[:40]!r} is no number"
