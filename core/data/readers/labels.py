"""Reads a column of labels: numbers with their marks, classes, marks of missing values; what is decided says why."""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from core.data.readers.decisions import AS_PROVEN, Decision, Reading
from core.data.readers.numbers import (
    EMPTY,
    MARKS,
    MarkEvidence,
    NumberMarks,
    cell_key,
    decide_marks,
    normalise_cell,
    parse_numbers,
)

# Pairs of class names in their usual order: the first is 0.
PAIRS = (
    *(("inactive", "active"), ("no", "yes"), ("n", "y"), ("false", "true"), ("f", "t"), ("negative", "positive")),
    *(("neg", "pos"), ("-", "+"), ("nontoxic", "toxic"), ("non-toxic", "toxic"), ("non toxic", "toxic")),
    *(("insoluble", "soluble"), ("low", "high"), ("inactive", "agonist"), ("fail", "pass"), ("nonbinder", "binder")),
    *(("non-binder", "binder"), ("impermeable", "permeable"), ("unstable", "stable"), ("control", "case")),
)
MISSING_MARKS = {-1.0, -9.0, -99.0, -999.0, -9999.0, -99999.0, -1000.0, 999.0, 9999.0, 99999.0, 999999.0, -99.9, -999.9}
MARK_DISTANCE = 3.0  # ranges of the other values between them and a value that probably marks missing ones
MAX_CLASSES = 20
FEW_VALUES = 5  # distinct whole numbers up to which a column may hold classes
MIN_PER_CLASS = 4  # rows of a class on average, without which repeated values are chance


@dataclass(frozen=True, eq=False)
class Labels:
    """A column of labels as read: values (n,), NaN where there is none; errors by row; rows with text.

    `classes`: names of the classes in order, if the values are classes; with three or more, a value is an index.
    """

    values: np.ndarray
    errors: dict[int, str]
    text_rows: list[int]
    decisions: list[Decision] = field(default_factory=list)
    classes: tuple[str, ...] = ()
    is_text: bool = False
    is_known_pair: bool = False


def read_labels(
    cells: pd.Series,
    name: str,
    reading: Reading = AS_PROVEN,
    others: Iterable[Callable[[], MarkEvidence]] = (),
    convention: str = "",
) -> Labels:
    """The labels of a column. `others`: evidence of other columns, computed only where this one proves nothing.

    `convention`: why a file of this kind has decimal points, if so.
    """
    cells = cells.reset_index(drop=True)
    if reading.classes:
        return _read_classes(cells, name, reading.classes, reading, "as chosen")
    decisions = []
    marks = NumberMarks()
    if not (pd.api.types.is_numeric_dtype(cells) or pd.api.types.is_bool_dtype(cells)):
        evidence = MarkEvidence()
        evidence.add(cells)
        decision = decide_marks(name, evidence, reading.decimal)
        if decision.undecided:
            decision = decide_marks(name, evidence, reading.decimal, [other() for other in others], convention)
        if evidence.has_marks or decision.undecided:
            decisions.append(decision)
        marks = NumberMarks(MARKS[decision.value or "point"])
    missing = tuple(text for text in reading.missing if text.lower() != "none")
    values, errors, text_rows = parse_numbers(cells, marks, missing)
    measured = values[~np.isnan(values)]
    if text_rows and 2 * len(text_rows) > len(errors) + len(measured):
        return _read_text_classes(cells, name, reading, Labels(values, errors, text_rows, decisions))
    if reading.missing:
        decisions.append(Decision(f"missing values of {name!r}", ", ".join(reading.missing), "as chosen", "missing"))
    elif mark := _find_missing_mark(measured):
        count = int((measured == float(mark)).sum())
        reason = f"{mark} occurs {count:,} times, far from all other values: it may mean 'not measured'"
        decisions.append(Decision(f"missing values of {name!r}", "", reason, "missing", (mark, "none"), True))
        return Labels(values, errors, text_rows, decisions)
    distinct = np.unique(measured)
    if reading.labels == "numbers" or set(distinct) <= {0.0, 1.0} or len(distinct) < 2:
        return Labels(values, errors, text_rows, decisions)
    repeated = len(measured) >= MIN_PER_CLASS * len(distinct)
    if len(distinct) == 2 and (repeated or reading.labels == "classes"):
        names = tuple(f"{value:g}" for value in distinct)
        decisions.append(_decide_order(name, names, "it has two values, in ascending order"))
        classes = np.where(np.isnan(values), np.nan, (values == distinct[1]).astype(float))
        return Labels(classes, errors, text_rows, decisions, names)
    whole = bool((distinct == np.round(distinct)).all())
    if reading.labels == "classes" and len(distinct) <= MAX_CLASSES:
        names = tuple(f"{value:g}" for value in distinct)
        decisions.append(Decision(f"classes of {name!r}", ", ".join(names), "as chosen", "classes"))
        index = np.searchsorted(distinct, values).astype(float)
        return Labels(np.where(np.isnan(values), np.nan, index), errors, text_rows, decisions, names)
    if whole and repeated and len(distinct) <= FEW_VALUES and not reading.labels:
        listing = ", ".join(f"{value:g}" for value in distinct)
        reason = f"it has the values {listing}: an ordered number, or names of classes"
        decisions.append(Decision(f"labels of {name!r}", "", reason, "labels", ("numbers", "classes"), True))
    return Labels(values, errors, text_rows, decisions)


def _find_missing_mark(measured: np.ndarray) -> str:
    """A value that marks missing ones in other tables and is far from all other values here; "" if there is none."""
    for value in np.unique(measured[np.isin(measured, list(MISSING_MARKS))]):
        others = measured[measured != value]
        if len(others) < 3:
            continue
        if value == -1 and set(np.unique(others)) == {0.0, 1.0}:
            return "-1"
        low, high = others.min(), others.max()
        gap = max(low - value, value - high)
        if abs(value) > 9 and gap > MARK_DISTANCE * max(high - low, 1e-12) and gap > 0.5 * abs(value):
            return f"{value:g}"
    return ""


def _read_text_classes(cells: pd.Series, name: str, reading: Reading, as_numbers: Labels) -> Labels:
    """A column of text as classes, where it has few values; otherwise as it is, with its errors."""
    absent = {cell_key(text) for text in reading.missing}
    texts = [str(cell).strip() for cell in cells]
    counts = Counter(text for text in texts if normalise_cell(text) and cell_key(text) not in absent)
    names = sorted(counts)
    pair = next((pair for pair in PAIRS if {text.lower() for text in names} == set(pair) and len(names) == 2), None)
    counts = Counter({text: count for text, count in counts.items() if pair or normalise_cell(text) not in EMPTY})
    names = sorted(counts)
    repeated = sum(counts.values()) >= MIN_PER_CLASS * len(names)
    if reading.labels == "numbers":
        return as_numbers
    if pair:
        names = sorted(names, key=lambda text: pair.index(text.lower()))
        order = _decide_order(name, names, "the usual order of these two words")
        return _with(_read_classes(cells, name, tuple(names), reading, ""), [order], True)
    if len(names) == 2 and (repeated or reading.labels == "classes"):
        order = _decide_order(name, names, "it has two values, in alphabetical order")
        return _with(_read_classes(cells, name, tuple(names), reading, ""), [order], False)
    if 2 < len(names) <= MAX_CLASSES and repeated:
        if reading.labels == "classes":
            return _read_classes(cells, name, tuple(names), reading, "as chosen")
        listing = ", ".join(map(repr, names[:6])) + " …" * (len(names) > 6)
        reason = f"it is text with {len(names)} values ({listing}): classes, or another column holds the labels"
        undecided = Decision(f"labels of {name!r}", "", reason, "labels", ("classes",), True)
        return Labels(as_numbers.values, as_numbers.errors, as_numbers.text_rows, [undecided], is_text=True)
    return as_numbers


def _decide_order(name: str, names: Iterable[str], reason: str) -> Decision:
    first, second = names
    options = (f"{first},{second}", f"{second},{first}")
    return Decision(f"classes of {name!r}", f"{first} = 0, {second} = 1", reason, "classes", options)


def _with(labels: Labels, decisions: list[Decision], known: bool) -> Labels:
    return Labels(labels.values, labels.errors, labels.text_rows, decisions, labels.classes, True, known)


def _read_classes(cells: pd.Series, name: str, classes: tuple[str, ...], reading: Reading, reason: str) -> Labels:
    """The index of each cell's class; a cell of no class is an error."""
    index = {cell_key(text): number for number, text in enumerate(classes)}
    absent = {cell_key(text) for text in reading.missing}
    values, errors, text_rows = np.full(len(cells), np.nan), {}, []
    for row, cell in enumerate(cells):
        key = cell_key(cell)
        if key in index:
            values[row] = index[key]
        elif key not in absent and key not in EMPTY:
            errors[row] = f"is text: {str(cell)[:40]!r} is none of the classes {', '.join(classes)[:80]}"
            text_rows.append(row)
    listing = ", ".join(f"{text} = {number}" for number, text in enumerate(classes))
    decisions = [Decision(f"classes of {name!r}", listing, reason, "classes")] if reason else []
    return Labels(values, errors, text_rows, decisions, classes)
